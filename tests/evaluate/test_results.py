"""Evaluation results: reading, merging, and when two values may be compared."""

import json
import os

import pytest

from kgen.errors import UserError
from kgen.evaluate.results import (
    FORMAT,
    NOT_COMPARED,
    difference,
    merge_results,
    protocol_key,
    read_results,
    results_of,
)

PROTOCOL = {
    "features": "classifier",
    "extractor_hash": "9f3c" * 16,
    "dimension": 128,
    "resizer": "none",
    "value_range": "uint8 / 255",
    "data": "mnist",
    "data_hash": "01ab" * 16,
    "split": "test",
    "num_real": 10000,
    "num_fake": 10000,
    "settings": {"k": 3},
    "seed": 0,
    "repeats": 3,
    "weights_hash": "77aa" * 16,
}
TARGET = {"name": "00000-cvae-mnist", "path": "runs/00000-cvae-mnist", "kind": "run", "checkpoint": "best"}


def a_result(metric: str, value: float | None, *, protocol=None, target=None, **changes) -> dict:
    """An evaluation result of one repeat."""
    result = {"format": FORMAT, "metric": metric, "value": value, "stddev": None, "values": [value], "interval": None}
    result |= {"baseline": None, "better": "lower", "note": "", "kgen": "0.1.0"} | changes
    return result | {"protocol": PROTOCOL | (protocol or {}), "target": TARGET | (target or {})}


def write(path, *rows, age: int = 0):
    """Writes rows, so many seconds ago."""
    merge_results(path, rows)
    os.utime(path, (1_000_000 - age, 1_000_000 - age))


def test_rows_come_back_as_written(tmp_path):
    rows = [a_result("fid", 0.1 + 0.2, baseline=1e-17), a_result("kid", None, note="zu wenige Bilder, größer wählen")]
    assert read_results(merge_results(tmp_path / "eval" / "classifier.jsonl", rows)) == rows
    assert [p.name for p in (tmp_path / "eval").iterdir()] == ["classifier.jsonl"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"metric": "fid", ', "broken JSON"),
        ("[1, 2]", "no evaluation result"),
        ('{"value": 1}', "no evaluation result"),
        (f'{{"format": {FORMAT}, "metric": "fid", "protocol": "mnist"}}', "no evaluation result"),
        ('{"measure": "fid", "protocol": {}}', f"of format 1, this kgen reads format {FORMAT}; delete the file"),
        ('{"format": 9, "metric": "fid", "protocol": {}}', f"of format 9, this kgen reads format {FORMAT}"),
    ],
)
def test_a_broken_line_is_named_and_the_file_is_left_as_it_is(tmp_path, line, words):
    path = tmp_path / "rows.jsonl"
    text = json.dumps(a_result("fid", 1.0)) + "\n\n" + line + "\n"
    path.write_text(text)
    for use in (read_results, results_of, lambda path: merge_results(path, [a_result("fid", 2.0)])):
        with pytest.raises(UserError, match="line 3") as error:
            use(path)
        assert str(path) in str(error.value) and words in str(error.value)
    assert path.read_text() == text


def test_merging_replaces_what_is_measured_again_and_keeps_the_rest(tmp_path):
    path = tmp_path / "classifier.jsonl"
    merge_results(path, [a_result("fid", 1.0), a_result("kid", 2.0), a_result("fid", 3.0, protocol={"num_fake": 500})])
    merge_results(
        path,
        [
            a_result("fid", 4.0),
            a_result("fid", 5.0, protocol={"seed": 1}),
            a_result("kid", 6.0, target={"checkpoint": "last"}),
        ],
    )
    assert [(row["metric"], row["value"]) for row in read_results(path)] == [
        ("kid", 2.0),
        ("fid", 3.0),
        ("fid", 4.0),
        ("fid", 5.0),
        ("kid", 6.0),
    ]


def test_the_newest_figure_of_a_run_wins(tmp_path):
    write(tmp_path / "eval" / "a.jsonl", a_result("fid", 1.0), a_result("kid", 2.0), age=10)
    again = [a_result("fid", 3.0, protocol={"seed": 1, "repeats": 5, "weights_hash": "b" * 64}), a_result("fid", 4.0)]
    write(tmp_path / "eval" / "b.jsonl", again[0], age=5)
    write(tmp_path / "eval" / "old.jsonl", a_result("fid", 9.0, target={"path": "elsewhere", "name": "x"}), age=20)
    assert [(row["metric"], row["value"]) for row in results_of(tmp_path)] == [("kid", 2.0), ("fid", 3.0)]
    write(tmp_path / "eval" / "b.jsonl", again[1], age=5)  # the later line of one file
    assert [(row["metric"], row["value"]) for row in results_of(tmp_path)] == [("kid", 2.0), ("fid", 4.0)]


def test_figures_of_another_protocol_or_checkpoint_are_other_figures(tmp_path):
    rows = [
        a_result("fid", 1.0),
        a_result("fid", 2.0, protocol={"settings": {"k": 5}}),
        a_result("fid", 3.0, target={"checkpoint": "last"}),
    ]
    write(tmp_path / "eval" / "a.jsonl", *rows)
    assert results_of(tmp_path) == rows


def test_a_file_holds_results_of_many_subjects(tmp_path):
    rows = [a_result("fid", 1.0, target={"path": "a/run"}), a_result("fid", 2.0, target={"path": "b/run"})]
    assert results_of(merge_results(tmp_path / "all.jsonl", rows)) == rows


def test_results_of_an_export_are_those_of_its_latest_version(tmp_path):
    for version in ("2", "10"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "saved_model.pb").write_bytes(b"")
        write(tmp_path / version / "eval" / "a.jsonl", a_result("fid", float(version)))
    assert [row["value"] for row in results_of(tmp_path)] == [10.0]
    assert [row["value"] for row in results_of(tmp_path / "2")] == [2.0]


def test_no_rows_say_what_to_run(tmp_path):
    with pytest.raises(UserError, match=f"kgen-eval {tmp_path}"):
        results_of(tmp_path)
    assert results_of(tmp_path, required=False) == []
    with pytest.raises(UserError, match="does not exist"):
        results_of(tmp_path / "nowhere", required=False)
    (tmp_path / "table.csv").write_text("")
    with pytest.raises(UserError, match=r"table.csv is no .jsonl file"):
        results_of(tmp_path / "table.csv", required=False)


@pytest.mark.parametrize("key", NOT_COMPARED)
def test_figures_compare_across_seeds_repeats_and_weights(key):
    other = a_result("fid", 1.0, protocol={key: 7})
    assert protocol_key(other) == protocol_key(a_result("fid", 2.0))
    assert difference(other["protocol"], PROTOCOL) == []


@pytest.mark.parametrize("key", [*sorted({*PROTOCOL} - {*NOT_COMPARED, "settings"}), "something_new"])
def test_any_other_key_must_agree(key):
    other = a_result("fid", 1.0, protocol={key: "other"})
    assert protocol_key(other) != protocol_key(a_result("fid", 1.0))
    assert difference(PROTOCOL, other["protocol"]) == [(key, PROTOCOL.get(key), "other")]


def test_differences_are_told_setting_by_setting_in_the_order_of_the_protocol():
    other = PROTOCOL | {"num_fake": 5, "features": "pixels", "settings": {"k": 5, "degree": 3}, "resizer": None}
    assert difference(PROTOCOL, other) == [
        ("features", "classifier", "pixels"),
        ("resizer", "none", None),
        ("num_fake", 10000, 5),
        ("settings.degree", None, 3),
        ("settings.k", 3, 5),
    ]


def test_an_empty_key_is_as_good_as_a_missing_one():
    bare = {key: value for key, value in PROTOCOL.items() if key not in ("resizer", "settings")}
    assert difference(bare, bare | {"resizer": None, "settings": {}}) == []
    assert protocol_key({"protocol": bare}) == protocol_key({"protocol": bare | {"resizer": None, "settings": {}}})
