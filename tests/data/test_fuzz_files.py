"""Damaged files of every kind are read or refused with a message; none runs code, fills the memory or writes outside.

More of the same: tools/fuzz_files.py.
"""

import io
import json
import pathlib
import struct
import zipfile
import zlib

import h5py
import numpy as np
import psutil
import pytest
from file_damage import watched
from fuzz_files import INPUTS, KINDS, Bench, cases
from PIL import Image

import kgen
from kgen import checkpoints
from kgen.cli import sample
from kgen.config import DataConfig
from kgen.data import load
from kgen.errors import UserError
from kgen.evaluate.target import open_target
from kgen.report.run_files import read
from kgen.run import Run
from kgen.train import resume

DAMAGED_INPUTS, DAMAGED_RUNS = 60, 30
SEED = 20


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("fuzz") / "bench")


@pytest.fixture(autouse=True)
def cache_beside(bench, monkeypatch):
    monkeypatch.setenv("KGEN_CACHE_DIR", str(bench.root / "cache"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*INPUTS, *(kind for kind in KINDS if kind not in INPUTS)])
def test_damaged_files_are_read_or_refused(bench, kind):
    together, count = (INPUTS, DAMAGED_INPUTS) if kind in INPUTS else (KINDS[len(INPUTS) :], DAMAGED_RUNS)
    outcomes = [bench.case(k, number, SEED) for k, number in cases(count, together) if k == kind]
    assert outcomes and {*outcomes} <= {"read", "refused"}


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (pathlib.Path.mkdir, (self.path,))


def test_pickles_in_npz_files_are_not_run(tmp_path):
    made = tmp_path / "made by the pickle"
    objects = np.array([Payload(made), 1], dtype=object)
    np.savez(tmp_path / "images.npz", images=objects)
    np.savez(tmp_path / "labels.npz", images=np.zeros((4, 8, 8), np.uint8), labels=objects)
    (tmp_path / "bare.npz").write_bytes((tmp_path / "images.npz").read_bytes())
    np.save(tmp_path / "bare.npz.npy", objects, allow_pickle=True)
    (tmp_path / "bare.npz.npy").rename(tmp_path / "bare.npz")
    for name in ("images.npz", "labels.npz", "bare.npz"):
        with watched(tmp_path) as events, pytest.raises(UserError, match=name):
            load(DataConfig(str(tmp_path / name)))
        assert not events and not made.exists()


def picture(side: int = 8) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def with_one_name(folder: pathlib.Path, name: str) -> pathlib.Path:
    """A zip in a new folder, of four good names and another."""
    folder.mkdir()
    with zipfile.ZipFile(folder / "set.zip", "w") as file:
        for number in range(4):
            file.writestr(f"a/{number}.png", picture())
        file.writestr(name, picture())
    return folder / "set.zip"


@pytest.mark.parametrize("name", ["../outside.png", "/outside.png", "a/../../outside.png", "C:\\outside.png"])
def test_names_that_lead_out_of_a_zip_are_refused(tmp_path, name):
    path = with_one_name(tmp_path / "root", name)
    with watched(path.parent) as events, pytest.raises(UserError, match="climbs out") as error:
        load(DataConfig(str(path)))
    assert repr(name) in str(error.value)
    assert not events and [path.name for path in tmp_path.iterdir()] == ["root"]


@pytest.mark.parametrize("name", ["a//b.png", "a/../b.png", "./a/b.png"])
def test_names_that_stay_in_a_zip_are_read(tmp_path, name):
    path = with_one_name(tmp_path / "root", name)
    with watched(path.parent) as events:
        for cache in ("memory", "none"):
            dataset = load(DataConfig(str(path), cache=cache))
            list(dataset.batches("train", batch_size=2))
    assert not dataset.skipped
    assert not events and [path.name for path in tmp_path.iterdir()] == ["root"]


def bomb_png(side: int) -> bytes:
    """A PNG whose header declares a square of `side`."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def grown(act) -> float:
    """MiB that the process is larger by afterwards."""
    before = psutil.Process().memory_info().rss
    act()
    return (psutil.Process().memory_info().rss - before) / 2**20


def test_a_picture_of_ten_billion_pixels_is_left_out(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "bomb.png").write_bytes(bomb_png(100_000))
    (folder / "good.png").write_bytes(picture())
    (folder / "fine.png").write_bytes(picture())
    for cache in ("memory", "none"):
        assert grown(lambda cache=cache: load(DataConfig(str(folder), cache=cache))) < 300
        (skipped,) = load(DataConfig(str(folder), cache=cache)).skipped
        assert skipped.name == "bomb.png" and "decompression bomb" in skipped.reason


@pytest.mark.slow
def test_a_zip_bomb_is_left_out(tmp_path, monkeypatch):
    from kgen.data.sources import archives

    monkeypatch.setattr(archives, "MAX_PICTURE_BYTES", 2**22)
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("good.png", picture())
        file.writestr("fine.png", picture())
        file.writestr("bomb.png", picture() + bytes(2**28))
    assert (tmp_path / "set.zip").stat().st_size < 2**20
    assert grown(lambda: load(DataConfig(str(tmp_path / "set.zip")))) < 128
    (skipped,) = load(DataConfig(str(tmp_path / "set.zip"))).skipped
    assert skipped.name == "bomb.png" and "larger than 4 MiB" in skipped.reason


@pytest.mark.slow
def test_a_zip_whose_sizes_lie_is_left_out(tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb.png", bytes(2**28))
        file.writestr("good.png", picture())
        file.writestr("fine.png", picture())
    real = struct.pack("<I", 2**28)
    content = path.read_bytes()
    named = struct.pack("<H", len("bomb.png"))  # follows the size in both headers
    assert content.count(real + named) == 2
    path.write_bytes(content.replace(real + named, struct.pack("<I", 100) + named))
    assert grown(lambda: load(DataConfig(str(path)))) < 128
    assert [s.name for s in load(DataConfig(str(path))).skipped] == ["bomb.png"]


@pytest.mark.parametrize("kind", ["npz", "mat"])
def test_arrays_larger_than_the_memory_are_refused(tmp_path, kind):
    path, side = tmp_path / f"set.{kind}", 2**16
    if kind == "npz":
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "|u1", "fortran_order": False, "shape": (side, side, side, 3)}
        )
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("images.npy", header.getvalue() + bytes(1000))
    else:
        with h5py.File(path, "w", userblock_size=512) as file:
            file.create_dataset("X", (side, 3, side, side), "u1", chunks=(1, 3, 64, 64))
        with open(path, "r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    with pytest.raises(UserError, match=rf"set\.{kind}"):
        load(DataConfig(str(path)))


def test_a_damaged_cache_is_made_again(tmp_path, bench):
    config = DataConfig(str(bench.whole["zip"]), cache="disk")
    whole = load(config).arrays("train")[0].copy()
    for name in ("train.images.npy", "train.npz", "skipped.json"):
        (file,) = (bench.root / "cache").glob(f"whole-*/{name}")
        file.write_bytes(file.read_bytes()[:-100])
        np.testing.assert_array_equal(load(config).arrays("train")[0], whole)


# The files of a run -------------------------------------------------------------------------------------------------


@pytest.fixture
def run(bench, tmp_path):
    import shutil

    return Run.open(shutil.copytree(bench.trained(), tmp_path / "run"))


def rewritten(path, change):
    """A checkpoint file whose arrays were changed, with checksums that fit."""
    checkpoint = checkpoints.read(path)
    change(checkpoint.arrays)
    checkpoints.write(path, checkpoint.arrays, checkpoint.state)


def test_weights_that_lack_an_array_are_refused(run):
    rewritten(run.checkpoint(), lambda arrays: arrays.pop(max(arrays)))
    with pytest.raises(UserError, match=r"best\.npz.*--checkpoint last"):
        run.load_model()
    run.load_model("last")


def test_an_archive_that_lacks_a_member_is_refused(run):
    content = run.checkpoint().read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as file, zipfile.ZipFile(run.checkpoint(), "w") as written:
        for name in file.namelist():
            if name != "model/3.npy":
                written.writestr(name, file.read(name))
    with pytest.raises(UserError, match=r"best\.npz cannot be read"):
        run.load_model()


def test_weights_that_are_not_finite_are_refused(run):
    rewritten(run.checkpoint(), lambda arrays: arrays.update({"model/3": np.full_like(arrays["model/3"], np.nan)}))
    with pytest.raises(UserError, match=r"best\.npz cannot be read.*not finite"):
        run.load_model()


def test_weights_of_another_model_are_refused(run, capsys):
    values = json.loads((run.path / "config.json").read_text())
    values["model_args"]["hidden"] = [5]
    (run.path / "config.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"best\.npz cannot be read as weights of this vae.*train again"):
        Run.open(run.path).load_model()
    with pytest.raises(UserError, match=r"does not fit .*config\.json"):
        resume(run.path, {"train.epochs": 3})
    assert sample.main([str(run.path), "--out", str(run.path / "x.png")]) == 2
    assert "best.npz" in capsys.readouterr().err


def test_a_damaged_last_checkpoint_does_not_stand_in_the_way_of_the_best(run):
    run.checkpoint("last").write_bytes(run.checkpoint("last").read_bytes()[:-100])
    assert open_target(str(run.path)).about["epoch"] == run.checkpoint_state(["best"])["best"]["epoch"]
    record = read(run)
    assert [*record.checkpoints] == ["best"] and run.checkpoint("last").name in " ".join(record.problems)


def test_no_words_in_place_of_weights(run):
    run.checkpoint().write_text("weights")
    with pytest.raises(UserError, match=r"best\.npz cannot be read"):
        kgen.open_sampler(run.path)


@pytest.mark.parametrize("line", ["{", "[]", "3", '{"epoch": "one"}', '{"step": 1}', "\x00"])
def test_a_broken_line_of_metrics_is_named(run, line):
    with open(run.path / "metrics.jsonl", "a") as file:
        file.write(f"{line}\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 3 "):
        run.metrics()


@pytest.mark.slow
def test_a_changed_state_of_a_checkpoint_counts_as_damaged(run):
    newest = run.checkpoint("last")
    content = newest.read_bytes()
    assert content.count(b'"steps_in_epoch": 0') == 1
    newest.write_bytes(content.replace(b'"steps_in_epoch": 0', b'"steps_in_epoch": 1'))
    resume(run.path, {"train.epochs": 3})
    assert f"{newest} is damaged" in (run.path / "log.txt").read_text()
    assert [row["epoch"] for row in run.metrics()] == [1, 2, 3]
