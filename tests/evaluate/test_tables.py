"""Tables as text: every value to the agreed digits, nothing cut off, each protocol once."""

import math

from evaluate.test_results import a_result

from kgen.evaluate.tables import eval_table, format_interval, format_value, protocol_words


def test_figures_and_intervals():
    row = a_result("fid", 12.346, stddev=0.0567, interval=[12.2, 12.5])
    assert format_value(row) == "12.35 ± 0.057"
    assert format_interval(row) == "12.20 to 12.50"
    assert format_value(a_result("fid", 12.3)) == "12.30" and format_interval(a_result("fid", 12.3)) == "-"
    assert format_value(a_result("fid", None, stddev=0.1)) == "-"
    assert format_value(a_result("fid", math.nan)) == "-"


def test_the_table_of_one_subject_tells_the_protocol_once():
    rows = [
        a_result("fid", 12.34, stddev=0.05, interval=[12.2, 12.5], baseline=0.61),
        a_result("precision", None, better="higher", note="too few images", protocol={"num_fake": 500}),
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
    rows = [a_result("fid", 1.0), a_result("kid", 2.0), a_result("swd", 3.0, protocol={"features": "pixels"})]
    lines = eval_table(rows).splitlines()
    assert lines[-2].startswith("Protocol of fid, kid: classifier features")
    assert lines[-1].startswith("Protocol of swd: pixels features")


def test_words_leave_out_what_is_not_known_and_keep_what_is_new():
    assert protocol_words({"seed": 0, "features": None, "settings": {}, "trees": 5, "split": "test"}) == (
        "test split, seed 0, trees 5"
    )
