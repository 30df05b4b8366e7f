"""Tables as text: every figure to the agreed digits, nothing cut off, the protocol told once."""

import math

import pytest
from evaluate.test_results import a_row

from kgen.evaluate.tables import eval_table, format_interval, format_number, format_value, protocol_words, render_table


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (12.34, "12.34"),
        (0.5, "0.5000"),
        (0.0, "0.000"),
        (-0.00012346, "-0.0001235"),
        (0.00001234, "1.234e-05"),
        (999.96, "1000"),
        (9999.4, "9999"),
        (9999.9, "10,000"),
        (1234567.8, "1,234,568"),
        (1e20, "1.000e+20"),
        (700_000, "700,000"),
        (math.inf, "inf"),
        (math.nan, "-"),
        (None, "-"),
    ],
)
def test_numbers_have_four_significant_digits_and_all_before_the_point(value, shown):
    assert format_number(value) == shown


def test_figures_and_intervals():
    row = a_row("fid", 12.346, stddev=0.0567, interval=[12.2, 12.5])
    assert format_value(row) == "12.35 ± 0.057"
    assert format_interval(row) == "12.20 to 12.50"
    assert format_value(a_row("fid", 12.3)) == "12.30" and format_interval(a_row("fid", 12.3)) == "-"
    assert format_value(a_row("fid", None, stddev=0.1)) == "-"
    assert format_value(a_row("fid", math.nan)) == "-"


def test_a_table_cuts_nothing_off_and_aligns_numbers_on_the_right():
    long = "x" * 300 + " [bold]not markup[/bold] 数字"
    table = render_table(["name", "value"], [[long, 1.5], ["b", 12345], ["c", None]], best={(0, 1): "*"})
    head, _, first, second, third = table.splitlines()
    assert first.startswith(long) and first.endswith("| * 1.500")
    assert second.endswith("|  12,345") and third.endswith("|       -") and head.endswith("|   value")


def test_a_wide_table_is_split_with_the_names_in_each_part():
    headers = ["name", *(f"measure{i}" for i in range(9))]
    rows = [["run-a", *range(9)], ["run-b", *range(10, 19)]]
    table = render_table(headers, rows, width=50)
    lines = table.splitlines()
    assert max(map(len, lines)) <= 50
    assert sum(line.startswith("run-a") for line in lines) == sum(line.startswith("name") for line in lines) > 1
    for i in range(9):
        assert sum(f"measure{i}" in line for line in lines) == 1
    narrow = render_table(headers, rows, width=5)  # too narrow for any: one column each, none broken
    assert all(f"measure{i}" in narrow for i in range(9))


def test_the_table_of_one_subject_tells_the_protocol_once():
    rows = [
        a_row("fid", 12.34, stddev=0.05, interval=[12.2, 12.5], floor=0.61),
        a_row("precision", None, better="higher", note="too few images", protocol={"num_fake": 500}),
    ]
    table = eval_table(rows)
    fid, precision = (next(line for line in table.splitlines() if line.startswith(m)) for m in ("fid", "precision"))
    for cell in ("fid (k=3)", "12.34 ± 0.050", "12.20 to 12.50", "0.6100", "lower", "10,000 / 10,000", "classifier"):
        assert cell in fid
    assert "10,000 / 500" in precision and precision.endswith("too few images")
    assert table.count("Protocol") == 1
    assert table.splitlines()[-1] == (
        "Protocol: classifier features, extractor 9f3c9f3c9f3c, 128 dimensions, resizer none, values uint8 / 255, "
        "reference mnist, data hash 01ab01ab01ab, test split, seed 0, repeats 3, weights 77aa77aa77aa"
    )


def test_the_table_tells_several_protocols_with_their_measures():
    rows = [a_row("fid", 1.0), a_row("kid", 2.0), a_row("swd", 3.0, protocol={"features": "pixels"})]
    lines = eval_table(rows).splitlines()
    assert lines[-2].startswith("Protocol of fid, kid: classifier features")
    assert lines[-1].startswith("Protocol of swd: pixels features")


def test_words_leave_out_what_is_not_known_and_keep_what_is_new():
    assert protocol_words({"seed": 0, "features": None, "settings": {}, "trees": 5, "split": "test"}) == (
        "test split, seed 0, trees 5"
    )
