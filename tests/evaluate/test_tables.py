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


def test_the_table_has_five_columns_and_the_rest_once_below():
    rows = [
        a_result("fid", 12.34, stddev=0.05, interval=[12.2, 12.5], baseline=0.61),
        a_result("kid", 0.5, stddev=0.05, protocol={"settings": {}}),
        a_result("precision", None, better="higher", note="too few images", protocol={"num_fake": 500}),
    ]
    lines = eval_table(rows).splitlines()
    table = [[cell.strip() for cell in line.split("|")] for line in lines[:5]]
    assert table[0] == ["metric", "value", "95 % interval", "baseline", "better"]
    assert table[2] == ["fid", "12.34", "12.20 to 12.50", "0.6100", "lower"]
    assert table[3][1:3] == ["0.5000 ± 0.050", "-"] and table[4] == ["precision", "-", "-", "-", "higher"]
    assert lines[5:] == [
        "",
        "Note on precision: too few images",
        "fid: the Fréchet distance of classifier features, which is no published FID",
        "Images of fid, kid: 10,000 real and 10,000 generated",
        "Images of precision: 10,000 real and 500 generated",
        "Settings: fid (k=3), precision (k=3)",
        "Protocol: classifier features, extractor 9f3c9f3c9f3c, 128 dimensions, resizer none, values uint8 / 255, "
        "reference mnist, data hash 01ab01ab01ab, test split, seed 0, repeats 3, weights 77aa77aa77aa",
    ]


def test_the_table_fits_a_terminal():
    rows = [
        a_result(
            "label_agreement_drawn", 0.0002927, interval=[0.0002084, 0.0003769], baseline=0.0004667, note="word " * 40
        ),
        a_result("fid@inception", 1.0, better="higher"),
    ]
    lines = eval_table(rows, 80).splitlines()
    assert max(map(len, lines)) <= 80 and lines[0].split(" | ")[-1] == "better"
    assert [len(line) for line in lines] != [len(line) for line in eval_table(rows).splitlines()]


def test_the_table_tells_several_protocols_with_their_measures():
    rows = [a_result("fid", 1.0), a_result("kid", 2.0), a_result("swd", 3.0, protocol={"features": "pixels"})]
    lines = eval_table(rows).splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["fid@classifier", "kid@classifier", "swd@pixels"]
    assert lines[-2].startswith("Protocol of fid@classifier, kid@classifier: classifier features")
    assert lines[-1].startswith("Protocol of swd@pixels: pixels features")


def test_a_published_fid_is_one_of_inception():
    row = a_result("fid", 12.0, protocol={"features": "inception"})
    assert "published" not in eval_table([row])
    assert "published" in eval_table([a_result("fid_infinity", 12.0, protocol={"features": "pixels"})])


def test_words_leave_out_what_is_not_known_and_keep_what_is_new():
    assert protocol_words({"seed": 0, "features": None, "settings": {}, "trees": 5, "split": "test"}) == (
        "test split, seed 0, trees 5"
    )
