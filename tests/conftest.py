"""Two logical CPU devices, so that tests of replicas run on any machine; a cache of the session's own; and no test
leaves a dtype policy behind. Files with many slow tests run first; figures of trainings are drawn where a test asks."""

import contextlib
import fcntl
import fnmatch
import gc
import io
import os
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a job that a script began in the background, "&"
    signal.signal(signal.SIGINT, signal.default_int_handler)  # or the commands of the tests ignored Ctrl-C, too
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # exact comparisons are of the CPU
pytest_plugins = ["evaluation_fixtures"]
pytest.register_assert_rewrite("check_metric", "model_case")
pytest.register_assert_rewrite("check_model", "check_model_training", "check_model_results")


NUMERICS = (
    "test_portable.py::test_[!t]*", "test_random.py", "test_images.py", "data/test_fingerprint.py",
    "data/test_transforms.py",
    "losses/", "nn/test_cpu_kernels.py", "nn/test_likelihoods.py", "nn/test_spectral.py",
    "models/test_conformance_vae.py::test_checks[conv_cvae-sgd_step*",
    "models/test_conformance_vae.py::test_checks[conv_cvae-same_seed*",
    "models/test_conformance_vae.py::test_checks[conv_cvae-exports*",
    "models/test_conformance_gan.py::test_checks[gan-sgd_step*", "models/test_conformance_gan.py::test_checks[gan-xla*",
    "metrics/test_frechet.py", "metrics/test_kernel.py", "metrics/test_prdc.py", "metrics/test_sliced.py",
    "metrics/test_inception_score.py", "metrics/test_likelihood.py", "metrics/test_memorization.py",
    "features/test_extractors.py::test_features_are*", "features/test_extractors.py::test_random*",
    "features/test_inception.py::test_[fr]*",
    "export/test_tolerances.py", "export/test_golden.py", "export/test_sample_export.py",
    "export/test_signatures.py",
    "train/test_resume.py::test_the_same_to_the_last_bit[[]gan-10*", "train/test_histograms.py::test_the_gradient*",
)  # fmt: skip
"""The tests with the marker "numerics": parity, certification, replicas, resume, seeds, features, metrics, likelihoods.

`tools/test.sh` runs them as on other processors too (`tools/worlds.py`), so they must take about a minute.
"""


BLANK_FIGURES = ("train", "sampling", "export", "sweep")
"""Whose tests train without Matplotlib's figures and gradients for histograms, which take longer than the steps of so
small a training; see `figures`."""

SLOW_FIXTURES = {"default_job", "default_export", "digits_classifier", "trained_vae", "browser", "litert_js"}
"""What takes trainings or a browser to make: a test with one of them is slow."""


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="leave out the tests with the marker slow")


def pytest_configure():
    for entry in NUMERICS:
        if not (Path(__file__).parent / (file := entry.partition("::")[0])).exists():
            raise pytest.UsageError(f"NUMERICS in tests/conftest.py names {file}, which is not there")


def pytest_ignore_collect(collection_path, config):
    """Files that hold none are not even imported for `-m numerics`, a few seconds each time."""
    if config.option.markexpr == "numerics" and collection_path.name.startswith("test_"):
        path = collection_path.relative_to(Path(__file__).parent).as_posix()
        return True if not any(path.startswith(entry.partition("::")[0]) for entry in NUMERICS) else None
    return None


def pytest_collection_modifyitems(items, config):
    named = set()
    for item in items:
        if SLOW_FIXTURES & {*item.fixturenames}:
            item.add_marker("slow")
        if found := [e for e in NUMERICS if fnmatch.fnmatchcase(item.nodeid, f"tests/{_pattern(e)}")]:
            item.add_marker("numerics")
            named.update(found)
    if config.option.markexpr == "numerics" and config.args == ["tests"] and (idle := {*NUMERICS} - named):
        raise pytest.UsageError(f"NUMERICS in tests/conftest.py names no test with {sorted(idle)}")
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker("no_cover")  # tracing for coverage makes what TensorFlow traces two thirds slower
    slow_of = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow_of[item.path])  # stable; a worker that gets the last file keeps no other waiting
    if config.option.quick:
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


def _pattern(entry: str) -> str:
    """An entry as fnmatch takes it: brackets of parameters are letters, and all that begins so belongs to it."""
    name, bracket, parameters = entry.partition("::test_checks[")
    return f"{name}::test_checks[[]{parameters}" if bracket else f"{name}*"


def pytest_collection_finish(session):
    """Splits the CPU in two before TensorFlow starts; a session that never imports TensorFlow stays quick.

    Python's garbage collector walks through the half a million objects of TensorFlow no more.
    """
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def what_is_left_is_frozen():
    """What a file's tests leave behind, mostly what TensorFlow traced and keeps, is walked through no more: the server
    and the stores of tests collect garbage while others wait."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory, worker_id):
    """A folder that all workers of this session share."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def make_once(shared_folder, tmp_path_factory):
    """A function that makes what several workers need once in a session: (name, make) -> a folder of one's own.

    `make(folder)` fills a folder; the first worker that asks calls it, the others wait, and each gets a copy.
    """

    def once(name: str, make) -> Path:
        folder, done = shared_folder / name, shared_folder / f"{name}.done"
        with open(shared_folder / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                done.touch()
        return shutil.copytree(folder, tmp_path_factory.mktemp(name), dirs_exist_ok=True)

    return once


@pytest.fixture(scope="session", autouse=True)
def session_cache(shared_folder):
    """No test touches the user's cache; what is trained for an evaluation is shared by all tests and workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KGEN_CACHE_DIR", str(shared_folder / "cache"))
        yield


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Makes this process one on the machine of a name: with a cache of its own."""

    def on(name: str):
        monkeypatch.setenv("KGEN_CACHE_DIR", str(tmp_path / name))

    on("first")
    return on


@pytest.fixture(scope="session", autouse=True)
def blank_figures():
    """A switch, off at first: while it is on, Canvas.save writes a blank picture in place of a figure."""
    from PIL import Image

    from kgen.canvas import Canvas
    from kgen.io import write_aside

    switch, draw = {"on": False}, Canvas.save
    blank = Image.new("RGB", (8, 8))

    def save(self, path):
        if not switch["on"]:
            return draw(self, path)
        return write_aside(path, lambda aside: blank.save(aside, "png"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Canvas, "save", save)
        yield switch


@pytest.fixture(scope="module", autouse=True)
def blank_in_most(request, blank_figures):
    """In BLANK_FIGURES figures are blank, and so are the gradients that histograms show."""
    if request.path.relative_to(Path(__file__).parent).parts[0] not in BLANK_FIGURES:
        yield
        return
    from kgen.train import callbacks

    def gradients_of(model, phase, batch, found=callbacks.gradients_of):
        return [[0.0] for _ in phase.weights] if blank_figures["on"] else found(model, phase, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks, "gradients_of", gradients_of)
        blank_figures["on"] = True
        yield
        blank_figures["on"] = False


@pytest.fixture(autouse=True)
def figures(request, blank_figures):
    """Draws them in tests with the marker of that name."""
    on = blank_figures["on"]
    blank_figures["on"] = on and not request.node.get_closest_marker("figures")
    yield
    blank_figures["on"] = on


@pytest.fixture(autouse=True)
def float32_policy():
    """Fails no test, but hands the next one the default policy."""
    yield
    if "keras" in sys.modules:
        import keras

        keras.mixed_precision.set_global_policy("float32")


@pytest.fixture
def no_steps(monkeypatch):
    """Trainings take no step: what they say, decide and refuse before the first one, and where they are written."""
    from untrained import keep_weights

    from kgen.train import trainer

    def leave(run, dataset, model, *_):
        if not run.checkpoint("best").exists():
            keep_weights(run, model)
        return ""

    monkeypatch.setattr(trainer, "_fit_or_roll_back", leave)


@pytest.fixture(scope="session")
def default_job(make_once, blank_figures):
    """What `kgen-train --model cvae` leaves and prints: (its Run, standard output, standard error)."""
    from kgen.run import Run

    def train(folder: Path):
        from kgen.cli import train

        out, err = io.StringIO(), io.StringIO()
        blank, blank_figures["on"] = blank_figures["on"], False
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = train.main(["--model", "cvae", "--runs_root", str(folder / "runs")])
        blank_figures["on"] = blank
        assert code == 0, err.getvalue()
        (folder / "out.txt").write_text(out.getvalue().replace(str(folder), "FOLDER"))
        (folder / "err.txt").write_text(err.getvalue())

    folder = make_once("default_job", train)
    out, err = ((folder / name).read_text().replace("FOLDER", str(folder)) for name in ("out.txt", "err.txt"))
    return Run.open(folder / "runs" / "00000-cvae-digits"), out, err


@pytest.fixture(scope="session")
def default_export(default_job, make_once):
    """exports/cvae/1 of the default run."""
    from kgen.export import export

    return make_once("default_export", lambda folder: export(default_job[0], folder / "cvae")) / "cvae" / "1"
