"""`kgen-train --model cvae`, whole: digits that one can look at."""

import json
import math

import label_agreement
import numpy as np
import pytest
from PIL import Image

import kgen
from kgen.provenance import read_tag

SPLITS, TERMS = ("train", "validation", "test"), ("loss", "reconstruction", "kl")


def test_the_run_directory_is_complete(default_job):
    run, _, _ = default_job
    assert run.name == "00000-cvae-digits"
    for path in ("config.json", "log.txt", "DONE", "checkpoints/best.npz"):
        assert (run.path / path).is_file(), path
    assert not (run.path / "FAILED").exists()
    assert not [p for p in run.path.rglob("*") if ".part" in p.name]


def test_it_tells_what_it_spent_its_time_on(default_job):
    run, _, _ = default_job
    found = json.loads((run.path / "costs.json").read_text())
    parts = {"steps", "compilation", "evaluation", "loggers", "pictures", "other", "checkpoints"}
    assert {*found["parts"]} == parts
    assert all(seconds > 0 for part in found["parts"].values() for seconds in part.values())
    assert "CPU time: steps " in (run.path / "log.txt").read_text()


def test_config_is_complete_and_builds_the_run_again(default_job):
    run, _, _ = default_job
    assert list(run.config.model_args["hidden"]) == [400]
    assert None not in run.config.model_args.values()
    assert run.spec.examples == {"train": 1293, "validation": 144, "test": 360}
    train = run.config.train
    assert None not in (train.epochs, train.batch_size, train.learning_rate, train.jit_compile, train.samples_every)


def test_every_epoch_has_a_row_in_nats(default_job):
    run, _, _ = default_job
    rows = run.metrics()
    assert [row["epoch"] for row in rows] == list(range(1, run.config.train.epochs + 1))
    assert [row["epoch"] for row in rows if "test_loss" in row] == list(range(10, 101, 10))
    for row in rows:
        for split in SPLITS if "test_loss" in row else SPLITS[:2]:
            values = {term: row[f"{split}_{term}"] for term in TERMS}
            assert all(math.isfinite(v) for v in values.values())
            assert values["loss"] == pytest.approx(values["reconstruction"] + values["kl"], rel=1e-4)
    # Nats an image of 784 pixels: a network that knows nothing pays ln 2 a pixel.
    assert rows[-1]["test_loss"] < 0.6 * 784 * math.log(2)
    best = min(rows, key=lambda row: row["validation_loss"])
    assert run.checkpoint_state()["best"]["epoch"] == best["epoch"]
    assert run.checkpoint_state()["last"]["step"] == rows[-1]["step"]


def test_pictures_at_the_start_during_and_at_the_end(default_job):
    run, _, _ = default_job
    grids = sorted((run.path / "samples").glob("epoch-*.png"))
    assert grids[0].name == "epoch-0000.png" and grids[-1].name == f"epoch-{run.config.train.epochs:04d}.png"
    assert len(grids) >= 20
    paths = sorted((run.path / "samples").glob("interpolation-*.png"))
    assert [path.name[-8:] for path in paths] == [grid.name[-8:] for grid in grids]
    strips = np.asarray(Image.open(paths[-1]))
    left = strips.shape[1] - (10 * 58 + 2)  # the names of the rows; then ten images of 28 pixels, twice, and 2 between
    assert strips.shape[0] == 6 * 58 + 2 and 10 < left < 40 and (strips[:, :left] < 128).any()
    starts = range(left + 2, strips.shape[1], 58)
    assert len({strips[2:58, start : start + 56].tobytes() for start in starts}) == 10  # ten pictures of one path
    final = np.asarray(Image.open(run.path / "samples" / "final.png"))
    assert final.shape == (10 * 58 + 2, left + 10 * 58 + 2)  # a named row per class
    assert Image.open(run.path / "plots" / "curves.png").size[0] > 600


def test_every_picture_says_what_made_it(default_job):
    run, _, _ = default_job
    tags = {path.relative_to(run.path).as_posix(): read_tag(path) for path in run.path.rglob("*.png")}
    assert all(tag and tag["kgen"] == kgen.__version__ for tag in tags.values())
    final, first = tags["samples/final.png"], tags["samples/epoch-0000.png"]
    assert (final["command"], final["seed"], final["checkpoint"]) == ("kgen-train", 0, "best")
    assert final["weights_hash"] == run.load_model().weights_hash() != first["weights_hash"] and first["epoch"] == 0
    # The same training gives the same bytes wherever its run lies, and a picture that is passed on names no folder.
    assert not any(str(run.path.parent) in str(tag) for tag in tags.values())


def test_the_last_words_say_where_and_what_next(default_job):
    run, out, _ = default_job
    last = out.strip().splitlines()[-7:]
    assert last[0].split() == ["pictures:", str(run.path / "samples" / "final.png")]
    assert last[1].split() == ["plots:", str(run.path / "plots"), "(curves.png,", "layers.png)"]
    assert last.pop(0) and last[1].split() == ["report:", str(run.path / "report.html")]
    assert last[2].split()[:3] == ["next:", "kgen-sample", str(run.path)]
    assert [line.split()[:2] for line in last[3:5]] == [["kgen-explore", str(run.path)], ["kgen-eval", str(run.path)]]
    assert last[5].split()[:2] == ["kgen-export", str(run.path)]


def test_tensorboard_reads_the_events_back(default_job):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run, _, _ = default_job
    events = EventAccumulator(str(run.path / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    tags = set(events.Tags()["tensors"])
    assert {f"{term}/{split}" for term in TERMS for split in SPLITS} <= tags
    assert len(events.Tensors("loss/validation")) == run.config.train.epochs
    assert [event.step for event in events.Tensors("loss/test")] == list(range(10, 101, 10))
    plugins = {tag: events.SummaryMetadata(tag).plugin_data.plugin_name for tag in tags}
    assert {tag for tag in tags if plugins[tag] == "images"} == {"samples", "interpolation"}
    assert len(events.Tensors("samples")) == len(list((run.path / "samples").glob("epoch-*.png")))
    weights = run.load_model().trainable_variables
    histograms = {f"{kind}/elbo/{weight.path}" for kind in ("weights", "gradients") for weight in weights}
    assert {tag for tag in tags if plugins[tag] == "histograms"} == histograms


def test_samples_are_what_their_label_says(default_job):
    found = label_agreement.measure(default_job[0].path, count=1000)
    assert found.ceiling > 0.97, "the classifier itself is poor"
    assert found.share >= 0.95, found


def test_agreement_sees_wrong_labels(default_job, monkeypatch):
    """The measure can fail: with labels that are off by one it must be near zero."""
    from kgen import sampling

    decode = sampling.ModelSampler.decode
    monkeypatch.setattr(sampling.ModelSampler, "decode", lambda self, z, labels: decode(self, z, (labels + 1) % 10))
    assert label_agreement.measure(default_job[0].path, count=200).share < 0.05


def test_the_log_is_a_table_of_losses_and_ends_with_the_best(default_job):
    run, out, err = default_job
    rows = run.metrics()
    best = min(rows, key=lambda row: row["validation_loss"])
    assert f"best validation loss {best['validation_loss']:.4g} nats per image, epoch {best['epoch']}\n" in out
    lines = [line[20:] for line in (run.path / "log.txt").read_text().splitlines()]
    start = next(i for i, line in enumerate(lines) if line.split()[0] == "epoch")
    assert lines[start].split("  ")[-1] == "kl [nats per image]" and len(lines[start]) <= 80
    table = [line.split() for line in lines[start + 1 :] if "/100 " in line]
    assert 20 <= len(table) <= 30 and [table[0][0], table[-1][0]] == ["1/100", "100/100"]
    for epoch, _, *values in table:
        row = rows[int(epoch.split("/")[0]) - 1]
        terms = ("train_loss", "validation_loss", "train_reconstruction", "train_kl")
        assert values == [f"{row[term]:#.4g}" for term in terms]
    assert all(line.endswith(" …") or "elapsed" in line for line in err.splitlines()), err
