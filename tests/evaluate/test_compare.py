"""Comparing generators: what goes into one column, what is marked, and how they are named."""

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from evaluate.test_results import PROTOCOL, a_result
from PIL import Image

from kgen.config import RunConfig, TrainConfig
from kgen.errors import UserError
from kgen.evaluate.compare import (
    BEST,
    NEAR,
    OTHER_PROCESSORS,
    Compared,
    compare,
    ends_of,
    loss_curves,
    open_targets,
    sample_curves,
)
from kgen.evaluate.compare_page import to_csv, to_html, write
from kgen.evaluate.results import merge_results
from kgen.run import Run
from kgen.spec import DataSpec

MNIST = DataSpec("mnist", (28, 28, 1), 10)
FACTS = {"parameters": 700_000, "bytes": 2_800_000, "seconds_per_1000_samples": 0.4}


def a_run(root, *rows, model: str = "vae", seconds: float = 31.25, ended: bool = True) -> Run:
    """A run directory as a training and an evaluation leave it, without weights."""
    run = Run.create(RunConfig(model), MNIST, runs_root=str(root))
    run.log_metrics({"epoch": 1, "elapsed_seconds": seconds / 2})
    run.log_metrics({"epoch": 2, "elapsed_seconds": seconds})
    if ended:
        run.finish()
    if rows:
        merge_results(run.path / "eval" / "classifier.jsonl", rows)
    return run


def column(comparison, title: str):
    return next(c for c in (*comparison.facts, *comparison.metrics) if c.title == title)


def marks(*rows) -> dict[int, str]:
    """Of one column of values, a target each."""
    targets = [Compared(f"run{i}", Path(f"runs/run{i}"), {}, [row]) for i, row in enumerate(rows)]
    return {i: mark for c in compare(targets).metrics for i, mark in c.marks.items()}


# Marks ----------------------------------------------------------------------------------------------------------------


def test_the_best_is_marked_and_what_cannot_be_told_from_it():
    rows = [a_result("fid", v, interval=[v - 0.2, v + 0.2]) for v in (12.0, 9.0, 9.3, 9.41)]
    assert marks(*rows) == {1: BEST, 2: NEAR}  # [8.8, 9.2] meets [9.1, 9.5], but not [9.21, 9.61]


def test_higher_may_be_better_and_ties_are_all_best():
    assert marks(*(a_result("recall", v, better="higher") for v in (0.7, 0.9, 0.9))) == {1: BEST, 2: BEST}


@pytest.mark.parametrize(("repeats", "expected"), [(2, {}), (20, {0: BEST})])
def test_repeats_give_an_interval_where_there_is_none(repeats, expected):
    """Student's: t(1) = 12.706, so 2 repeats give 0.5 +- 12.7 * 0.1 / sqrt 2 = 0.9 and overlap at a distance of 1;
    t(19) = 2.093, so 20 repeats give +- 2.093 * 0.1 / sqrt 20 = 0.047 and do not."""
    rows = [a_result("fid", v, stddev=0.1, values=[v] * repeats) for v in (1.0, 2.0)]
    half = {2: 12.7062 * 0.1 / math.sqrt(2), 20: 2.09302 * 0.1 / math.sqrt(20)}[repeats]
    assert ends_of(rows[0]) == pytest.approx((1 - half, 1 + half), rel=1e-5)
    assert marks(*rows) == expected


def test_nothing_is_marked_without_a_choice():
    assert marks(a_result("fid", 1.0)) == {}
    assert marks(a_result("class_kl", 1.0, better=""), a_result("class_kl", 2.0, better="")) == {}
    assert marks(a_result("fid", 1.0), a_result("fid", None), a_result("fid", math.nan)) == {}


def test_one_sentence_says_who_is_better():
    """Two values apart, one whose intervals overlap, one equal, one without a direction."""

    def sentence(*columns) -> str:
        targets = [
            Compared(n, Path(n), {}, list(rows)) for n, rows in zip("ABC", zip(*columns, strict=True), strict=False)
        ]
        return compare(targets).verdict()

    def values(metric, *found, better="lower", half=0.1):
        return [a_result(metric, v, better=better, interval=[v - half, v + half]) for v in found]

    pair = [values("fid", 5.0, 2.0), values("recall", 0.1, 0.9, better="higher"), values("kid", 1.0, 1.1)]
    pair += [values("is", 3.0, 3.0), values("class_kl", 1.0, 2.0, better="")]
    assert sentence(*pair) == "B is better in 2 of 4 measures, A in none; values are equal or intervals overlap in 2."
    assert sentence(pair[0], values("kid", 1.0, 9.0)) == "A is better in 1 of 2 measures, B in 1."
    assert sentence(pair[3]).startswith("None is better in any of 1 measure:") and sentence(pair[4]) == ""
    three = [values("fid", 5.0, 2.0, 9.0), values("kid", 1.0, 1.1, 9.0)]
    assert sentence(*three).startswith("B is the best in 1 of 2 measures, the others in none; values are equal")


def test_a_folder_of_runs_and_the_curves_of_two(tmp_path):
    runs = [a_run(tmp_path / "runs", a_result("fid", 1.0)) for _ in range(2)]
    (runs[1].path / "DONE").unlink(missing_ok=True)
    (runs[1].path / "FAILED").write_text("interrupted by the user\n")
    targets = open_targets([tmp_path / "runs"])
    assert [one.path for one in targets] == [run.path for run in runs]
    assert targets[1].notes == [
        f"its training was interrupted by the user; it goes on with: kgen-train --resume {runs[1].path}"
    ]
    for run, loss in zip(runs, (3.0, 2.0), strict=True):
        rows = [
            {"epoch": e, "elapsed_seconds": 1.0, "train_loss": 1.0, "validation_loss": loss / e, "validation_fid": 1.0}
            for e in (1, 2)
        ]
        (run.path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    names = [one.name for one in targets]
    expected = {"loss": {names[0]: [(1, 3.0), (2, 1.5)], names[1]: [(1, 2.0), (2, 1.0)]}}
    assert loss_curves(targets) == expected and loss_curves(targets[:1]) == {}
    written = write(compare(targets), tmp_path / "compare")
    assert [path.name for path in written] == ["compare.csv", "compare.html", "curves.png"]
    assert Image.open(written[-1]).size[0] > 400
    page = written[1].read_text()
    assert (
        "Validation loss during training" in page
        and "nats per image" in page
        and "&quot;x&quot;:[1,2],&quot;y&quot;:[3,1.5]" in page
    )


def test_infinity_is_a_value():
    assert marks(a_result("class_kl", math.inf), a_result("class_kl", 0.1)) == {1: BEST}


def test_values_of_other_processors_are_remarked_on():
    def legend(*environments) -> str:
        rows = [a_result("fid", float(i)) | {"environment": e} for i, e in enumerate(environments)]
        targets = [Compared(f"run{i}", Path(f"runs/run{i}"), {}, [row]) for i, row in enumerate(rows)]
        return "".join(compare(targets).legend())

    here, there = {"processor": "A", "onednn": True}, {"processor": "A", "onednn": False}
    assert OTHER_PROCESSORS in legend(here, there) and "1e-5" in OTHER_PROCESSORS
    assert OTHER_PROCESSORS not in legend(here, here)
    assert OTHER_PROCESSORS not in legend(here, None)  # an older row says nothing
    assert OTHER_PROCESSORS in legend(None, here, there) and OTHER_PROCESSORS not in legend("x", here)


# What compares --------------------------------------------------------------------------------------------------------


def test_values_of_other_seeds_compare(tmp_path):
    one = a_run(tmp_path, a_result("fid", 1.0, baseline=0.6))
    other = a_run(
        tmp_path, a_result("fid", 2.0, baseline=0.625, protocol={"seed": 5, "repeats": 1, "weights_hash": "x"})
    )
    comparison = compare(open_targets([one.path, other.path]))
    assert column(comparison, "fid").marks == {0: BEST}
    assert comparison.table()[1][-1] == ["baseline (real images)", *["-"] * 6, "0.6000 to 0.6250"]


def test_unlike_values_are_refused_with_the_difference_named(tmp_path):
    one = a_run(tmp_path, a_result("kid", 1.0), a_result("fid", 1.0), a_result("swd", 1.0))
    other = {"num_fake": 5000, "settings": {"k": 5}}
    two = a_run(
        tmp_path, a_result("kid", 1.0), a_result("fid", 2.0, protocol=other), a_result("swd", 2.0, protocol=other)
    )
    with pytest.raises(UserError) as error:
        compare(open_targets([one.path, two.path]))
    for words in (
        f"fid of {one.path} and {two.path} was not computed in the same way",
        "num_fake is 10000 against 5000, settings.k is 3 against 5",
        "the same holds for swd",
        "--anyway",
    ):
        assert words in str(error.value)
    assert "kid" not in str(error.value) and "\n" not in str(error.value)
    assert column(compare(open_targets([one.path, two.path]), metrics=["kid"]), "kid").marks == {}


def test_a_difference_that_short_hashes_would_hide_is_told_in_full(tmp_path):
    hashes = ["0123456789ab" + letter * 52 for letter in "cd"]
    runs = [a_run(tmp_path, a_result("fid", 1.0, protocol={"data_hash": value})) for value in hashes]
    with pytest.raises(UserError, match=f"data_hash is {hashes[0]} against {hashes[1]}"):
        compare(open_targets(run.path for run in runs))


def test_the_nearest_protocols_are_named_where_there_are_several(tmp_path):
    far = a_result("fid", 1.0, protocol={"features": "pixels", "extractor_hash": None, "num_fake": 10})
    one = a_run(tmp_path, far, a_result("fid", 2.0))
    two = a_run(tmp_path, a_result("fid", 3.0, protocol={"split": "train"}))
    with pytest.raises(UserError, match="split is test against train; evaluate"):
        compare(open_targets([one.path, two.path]))


def test_anyway_shows_unlike_values_apart(tmp_path):
    one, two, three = (
        a_run(tmp_path, a_result("fid", value, protocol={"num_fake": count}))
        for value, count in ((3.0, 10000), (1.0, 5000), (2.0, 10000))
    )
    comparison = compare(open_targets([one.path, two.path, three.path]), anyway=True)
    assert [c.title for c in comparison.metrics] == ["fid (num_fake=10000)", "fid (num_fake=5000)"]
    assert [sorted(c.cells) for c in comparison.metrics] == [[0, 2], [1]]
    assert [c.marks for c in comparison.metrics] == [{2: BEST}, {}]  # 1.0 is not the best: nothing stands beside it
    with pytest.raises(UserError, match=r"--sort fid.*2 ways"):
        compare(open_targets([one.path, two.path]), sort="fid", anyway=True)


def test_a_second_protocol_of_one_target_gets_a_column_and_is_no_reason_to_refuse(tmp_path):
    pixels = {"features": "pixels", "extractor_hash": None}
    one = a_run(tmp_path, a_result("fid", 1.0), a_result("fid", 70.0, protocol=pixels))
    two = a_run(tmp_path, a_result("fid", 2.0))
    first, second = compare(open_targets([one.path, two.path])).metrics
    assert first.title == "fid (features=classifier)" and first.marks == {0: BEST}
    assert second.title == "fid (features=pixels)" and second.marks == {}


def test_a_title_says_no_more_than_it_must(tmp_path):
    """One key that all differ in is enough; a hash is there only where nothing else distinguishes two protocols."""
    protocols = ({}, {"split": "train", "num_fake": 5000}, {"split": "train", "num_fake": 10}, {"data_hash": "f" * 16})
    runs = [a_run(tmp_path, a_result("fid", 1.0, protocol=protocol)) for protocol in protocols]
    comparison = compare(open_targets([run.path for run in runs]), anyway=True)
    same = "data_hash=" + a_result("fid", 1.0)["protocol"]["data_hash"][:12]
    assert [column.title for column in comparison.metrics] == [
        f"fid (split=test, num_fake=10000, {same})",
        f"fid (split=train, num_fake=5000, {same})",
        f"fid (split=train, num_fake=10, {same})",
        "fid (split=test, num_fake=10000, data_hash=ffffffffffff)",
    ]
    two = compare(open_targets([runs[0].path, runs[1].path]), anyway=True)
    assert [column.title for column in two.metrics] == ["fid (split=test)", "fid (split=train)"]
    assert any("5000 generated images" in words for _, words in two.protocols())


def test_values_that_were_refused_are_notes_and_do_not_hinder(tmp_path):
    one = a_run(tmp_path, a_result("fid", None, note="N = 100 is not above d = 128", protocol={"num_fake": 100}))
    two = a_run(tmp_path, a_result("fid", 2.0))
    comparison = compare(open_targets([one.path, two.path]))
    assert column(comparison, "fid").cells.keys() == {1}
    assert comparison.notes() == [(one.name, "fid: no value, N = 100 is not above d = 128")]


def test_notes_are_of_the_metrics_that_are_shown(tmp_path):
    run = a_run(tmp_path, a_result("fid", 1.0, note="few images"), a_result("kid", 2.0, note="noisy"))
    run.fail("interrupted by the user")
    notes = [note for _, note in compare(open_targets([run.path]), metrics=["fid"]).notes()]
    assert notes[0].startswith("its training was interrupted by the user") and notes[1:] == ["fid: few images"]


def test_seconds_that_differ_by_chance_are_not_the_best():
    def marked(*seconds) -> dict:
        targets = [Compared(f"run{i}", Path(f"run{i}"), {"training_seconds": s}, []) for i, s in enumerate(seconds)]
        return column(compare(targets), "training seconds").marks

    assert marked(100.0, 115.0) == {} and marked(100.0, 130.0) == {0: BEST}
    assert marked(100.0, 115.0, 200.0) == {0: BEST, 1: NEAR}


# Subjects -------------------------------------------------------------------------------------------------------------


def test_facts_come_from_the_run_and_its_rows(tmp_path):
    evaluated = a_run(tmp_path, a_result("fid", 1.0, target=FACTS | {"training_seconds": None}), model="cvae")
    bare = a_run(tmp_path, seconds=10.0)
    table = compare(open_targets([evaluated.path, bare.path])).table()
    assert table[1][0] == ["00000-cvae-mnist", "cvae", "mnist", "700,000", "2,800,000", "31.25", "0.4000", "1.000"]
    assert table[1][1] == ["00001-vae-mnist", "vae", "mnist", "-", "-", "10.00", "-", "-"]
    assert table[2] == {(1, 5): BEST}  # fewer training seconds; nothing else has two values


def test_a_cell_shows_the_interval_where_there_is_no_standard_deviation(tmp_path):
    both = a_result("fid", 2.0, stddev=0.5, interval=[1.0, 3.0])
    run = a_run(tmp_path, both, a_result("label_agreement", 0.97, interval=[0.96, 0.98]))
    assert compare(open_targets([run.path])).table()[1][0][-2:] == ["2.000 ± 0.50", "0.9700 [0.9600 to 0.9800]"]


def test_notes_say_what_to_run_and_how_a_training_ended(tmp_path):
    root = tmp_path / "my runs"
    failed, going = a_run(root, a_result("fid", 1.0), ended=False), a_run(root, ended=False)
    failed.fail("the loss was not finite at step 7")
    changed = a_run(root, a_result("fid", 1.0), a_result("kid", 1.0, protocol={"weights_hash": "other"}))
    assert compare(open_targets([failed.path, going.path, changed.path])).notes() == [
        (failed.name, "its training failed: the loss was not finite at step 7"),
        (going.name, "its training has not ended"),
        (going.name, f"not evaluated yet: kgen-eval '{going.path}'"),
        (changed.name, f"its values are of different weights; evaluate all of them again: kgen-eval '{changed.path}'"),
    ]


def test_names_are_told_apart_by_as_many_folders_as_it_takes(tmp_path):
    one, two, three = (a_run(tmp_path / root, a_result("fid", 1.0)) for root in ("x/runs", "y/runs", "z"))
    third = three.path.rename(tmp_path / "z" / "other")
    paths = [one.path, two.path, third, one.path, one.path.parent / ".." / "runs" / one.name]  # two are given again
    names = [target.name for target in open_targets(paths)]
    assert names == ["x/runs/00000-vae-mnist", "y/runs/00000-vae-mnist", "other"]


def test_checkpoints_of_a_run_are_targets_of_their_own(tmp_path):
    run = a_run(tmp_path, a_result("fid", 1.0), a_result("fid", 2.0, target={"checkpoint": "last"}))
    comparison = compare(open_targets([run.path]))
    assert [s.name for s in comparison.targets] == ["00000-vae-mnist (run, best)", "00000-vae-mnist (run, last)"]
    assert [row["value"] for row in column(comparison, "fid").cells.values()] == [1.0, 2.0]


def test_exports_folders_and_files_are_targets(tmp_path):
    version = tmp_path / "exports" / "cvae" / "3"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"")
    folder = tmp_path / "photos"
    merge_results(folder / "eval" / "rows.jsonl", [a_result("fid", 2.0, target={"kind": "folder", "checkpoint": None})])
    rows = [a_result("fid", v, target={"path": f"runs/{n}", "name": n}) for v, n in ((3.0, "p"), (4.0, "q"))]
    file = merge_results(tmp_path / "all.jsonl", rows)
    targets = open_targets([version.parent, version, folder, file])
    assert [(s.name, len(s.results)) for s in targets] == [("cvae/3", 0), ("photos", 1), ("p", 1), ("q", 1)]
    assert targets[0].notes == [f"not evaluated yet: kgen-eval {version}"]
    assert [s.name for s in open_targets([tmp_path / "exports"])] == ["cvae/3"]  # as runs/ stands for the runs in it
    assert column(compare(targets), "fid").marks == {1: BEST}


def test_a_folder_with_nothing_measured_is_refused(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path} has no evaluation results.*kgen-eval {tmp_path}"):
        open_targets([tmp_path])


def test_two_extractors_stand_in_columns_of_their_own(tmp_path):
    """Each run has a Fréchet distance by two extractors: columns apart, each chosen and sorted by NAME@EXTRACTOR."""
    by = {"random": {"features": "random", "extractor_hash": "ab" * 32}, "classifier": {}}
    runs = [
        a_run(tmp_path, a_result("fid", one, protocol=by["classifier"]), a_result("fid", other, protocol=by["random"]))
        for one, other in ((1.0, 8.0), (2.0, 7.0))
    ]
    targets = open_targets([run.path for run in runs])
    whole = compare(targets)
    assert [c.title for c in whole.metrics] == ["fid (features=classifier)", "fid (features=random)"]
    assert [c.marks for c in whole.metrics] == [{0: BEST}, {1: BEST}]
    chosen = compare(targets, metrics=["fid@random"], sort="fid@random")
    assert [c.title for c in chosen.metrics] == ["fid@random"] and chosen.metrics[0].marks == {0: BEST}
    assert [one.name for one in chosen.targets] == [runs[1].name, runs[0].name]
    assert [one.name for one in compare(targets, sort="fid@classifier").targets] == [runs[0].name, runs[1].name]
    with pytest.raises(UserError, match=r"--sort fid.*2 ways"):
        compare(targets, sort="fid")
    with pytest.raises(UserError, match=r"--metrics fid@pixels.*fid@random"):
        compare(targets, metrics=["fid@pixels"])


def test_sorting_puts_the_best_first_and_the_unmeasured_last(tmp_path):
    runs = [a_run(tmp_path, seconds=2)] + [
        a_run(tmp_path, a_result("recall", v, better="higher"), a_result("fid", 10 * v), seconds=3 - v)
        for v in (0.5, 0.9, 0.7)
    ]
    targets = open_targets(run.path for run in runs)

    def order(sort):
        return [target.name[:5] for target in compare(targets, sort=sort).targets]

    assert order("recall") == ["00002", "00003", "00001", "00000"]
    assert order("fid") == ["00001", "00003", "00002", "00000"]
    assert order("training_seconds") == ["00000", "00002", "00003", "00001"]
    with pytest.raises(UserError, match=r"--sort recal.*'recall'"):
        order("recal")


def test_measures_choose_and_order_the_columns(tmp_path):
    run = a_run(tmp_path, a_result("fid", 1.0), a_result("kid", 2.0), a_result("swd", 3.0))
    comparison = compare(open_targets([run.path]), metrics=["swd", "fid", "swd"])
    assert [c.title for c in comparison.metrics] == ["swd", "fid"]
    with pytest.raises(UserError, match=r"--metrics fdi.*'fid'"):
        compare(open_targets([run.path]), metrics=["fdi"])


# The spreadsheet ------------------------------------------------------------------------------------------------------


def test_the_spreadsheet_holds_every_value_to_the_last_digit(tmp_path):
    values = (0.1 + 0.2, 1 / 3)
    notes = ('a "quoted", noted\nthing', "")
    rows = [
        a_result("fid", v, stddev=v / 7, interval=[v - 0.01, v + 0.01], baseline=v / 3, note=n, target=FACTS)
        for v, n in zip(values, notes, strict=True)
    ]
    runs = [a_run(tmp_path, row, a_result("kid", math.nan)) for row in rows] + [a_run(tmp_path)]
    table = list(csv.DictReader(io.StringIO(to_csv(compare(open_targets(r.path for r in runs))))))
    assert len(table) == 3 and not any("kid" in key for key in table[0])
    for line, run, row, mark in zip(table, runs, rows, ("best", ""), strict=False):
        assert (line["name"], line["path"], line["model"]) == (run.name, str(run.path), "vae")
        assert (line["parameters"], line["bytes"], line["training_seconds"]) == ("700000", "2800000", "31.25")
        assert float(line["fid"]) == row["value"] and float(line["fid stddev"]) == row["stddev"]
        assert [float(line["fid low"]), float(line["fid high"])] == row["interval"]
        assert float(line["fid baseline"]) == row["baseline"] and line["fid mark"] == mark
        assert json.loads(line["fid protocol"]) == PROTOCOL
    assert notes[0] in table[0]["note"] and "kid: no value" in table[1]["note"]
    assert table[2]["fid"] == table[2]["fid protocol"] == table[2]["parameters"] == ""


# Curves of quality ----------------------------------------------------------------------------------------------------


def test_values_of_samples_that_two_runs_measured_alike_become_curves(tmp_path):
    """The terms of the loss stay out, and so does a run that measured other features."""
    runs = [Run.create(RunConfig("vae"), MNIST, runs_root=str(tmp_path)) for _ in range(2)]
    other = RunConfig("vae", train=TrainConfig(eval_features="pixels"))
    runs.append(Run.create(other, MNIST, runs_root=str(tmp_path)))
    for i, run in enumerate(runs):
        for epoch, value in ((1, 9.0 - i), (2, None), (3, 5.0 - i)):
            run.log_metrics({"epoch": epoch, "elapsed_seconds": 10.0 * epoch, "train_loss": 1.0,
                             "validation_loss": 1.0, "validation_fid": value})  # fmt: skip
    targets = open_targets([run.path for run in runs])
    assert sample_curves(targets) == [
        {"fid": {targets[0].name: [(10.0, 9.0), (30.0, 5.0)], targets[1].name: [(10.0, 8.0), (30.0, 4.0)]}}
    ]
    page = to_html(compare(targets))
    assert "Quality of samples during training" in page and "fid of 00000-vae-mnist, 00001-vae-mnist over" in page
    assert page.count("<svg") == 2 and "&quot;x&quot;:[10,30],&quot;y&quot;:[8,4]" in page  # what a pointer shows
    assert "Quality of samples" not in to_html(compare(targets[1:]))


def test_values_beside_training_images_become_curves_where_few_are_set_aside(tmp_path):
    """And no terms of the training, whose keys begin with train_, too."""
    few, runs = replace(MNIST, examples={"train": 90, "validation": 10}), []
    for value in (9.0, 8.0):
        run = Run.create(RunConfig("vae"), few, runs_root=str(tmp_path))
        run.log_metrics({"epoch": 1, "elapsed_seconds": 10.0, "train_loss": 1.0, "train_fid": value})
        runs.append(run)
    first, second = targets = open_targets([run.path for run in runs])
    assert sample_curves(targets) == [{"fid": {first.name: [(10.0, 9.0)], second.name: [(10.0, 8.0)]}}]
