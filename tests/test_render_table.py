"""Tables as text: numbers to the agreed digits, nothing cut off."""

import math

import pytest

from kgen.tables import format_number, render_table


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


def test_a_table_cuts_nothing_off_and_aligns_numbers_on_the_right():
    long = "x" * 300 + " [bold]not markup[/bold] 数字"
    table = render_table(["name", "value"], [[long, 1.5], ["b", 12345], ["c", None]], marks={(0, 1): "*"})
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
    listed = render_table(headers, rows, width=15).splitlines()  # too narrow for any
    assert listed[:2] == ["run-a", "  measure0 0"] and listed[10:12] == ["run-b", "  measure0 10"]
