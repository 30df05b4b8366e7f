"""XLA is used on a GPU where a child process shows that it works; the children here are small programs with faults."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

import kgen
from kgen import gpu
from kgen.config import override
from kgen.errors import said
from kgen.train import defaults, dry_run, resume, train, trainer, xla

ABORTS = "import os, sys; sys.stderr.write('Check failed: unknown sm_999\\n'); sys.stderr.flush(); os.abort()"
RAISES = "raise RuntimeError('no ptxas')"
WRONG = "print('248832 82943')"
STACKS = """
import sys, os
sys.stderr.write('''F0000 xla.cc:9] Check failed: unknown sm_999
*** Check failure stack trace: ***
    @     0x7f2d66d84bf4  absl::log_internal::LogMessageFatal::~LogMessageFatal()
Fatal Python error: Aborted
  File "traceback_utils.py", line 150 in error_handler
'''); sys.stderr.flush(); os.abort()
"""
NOT_TEXT = "import os, sys; sys.stderr.buffer.write(b'\\xff Check failed: \\xe9'); sys.stderr.flush(); os.abort()"
WORKS = "print('248832 82944')"
SMALL = {
    "model": "vae", "data.limit": 64, "train.epochs": 2, "train.batch_size": 16, "model_args.hidden": [4],
    "train.samples_every": 2, "train.validate_every": 2,
}  # fmt: skip


@pytest.fixture
def a_gpu(tmp_path, monkeypatch):
    """TensorFlow seems to see a GPU, and the trial is the program given."""

    def trial(program: str):
        (tmp_path / "trial_program.py").write_text(program)
        monkeypatch.setattr(xla, "PROGRAM", "trial_program")

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("KGEN_CACHE_DIR", str(tmp_path / "cache"))
    device = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    monkeypatch.setattr(gpu, "visible", lambda: [device])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: {"device_name": "New GPU"})
    xla.failure.cache_clear()
    yield trial
    xla.failure.cache_clear()


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (ABORTS, "ended with SIGABRT: Check failed: unknown sm_999"),
        (STACKS, "ended with SIGABRT: F0000 xla.cc:9] Check failed: unknown sm_999"),
        (NOT_TEXT, "Check failed: "),
        (RAISES, "ended with exit code 1: RuntimeError: no ptxas"),
        (WRONG, "computed 248832 82943, not 248832 82944"),
    ],
)
def test_what_fails_in_the_trial_is_not_used(a_gpu, program, reason):
    a_gpu(program)
    assert reason in xla.failure() and len(xla.failure().splitlines()) == 1
    assert defaults.use_xla(kgen.RunConfig(), 1) is False
    assert defaults.use_xla(override(kgen.RunConfig(), {"train.jit_compile": True}), 1) is True


def test_a_trial_that_works_is_remembered_and_one_that_hangs_is_ended(a_gpu, monkeypatch):
    monkeypatch.setattr(xla, "SECONDS", 1.0)
    a_gpu("import time; time.sleep(60)")
    assert "ended with SIGKILL: no end in 1 seconds" in xla.failure()
    monkeypatch.setattr(xla, "SECONDS", 60.0)
    xla.failure.cache_clear()
    a_gpu(WORKS)
    assert xla.failure() == "" and defaults.use_xla(kgen.RunConfig(), 1) is True
    xla.failure.cache_clear()
    a_gpu(ABORTS)  # is not run again
    assert xla.failure() == ""
    monkeypatch.setenv("XLA_FLAGS", "--xla_other")
    xla.failure.cache_clear()
    assert "SIGABRT" in xla.failure()


def test_other_packages_of_nvidia_or_no_cache_are_tried_anew(a_gpu, monkeypatch):
    assert any(package.startswith("nvidia-cudnn-cu12 ") for package in xla._nvidia_packages())
    a_gpu(WORKS)
    assert xla.failure() == ""
    a_gpu(ABORTS)
    monkeypatch.setattr(xla, "_nvidia_packages", lambda: ["nvidia-cudnn-cu12 9.9"])
    xla.failure.cache_clear()
    assert "SIGABRT" in xla.failure()

    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    a_gpu(WORKS)
    monkeypatch.setattr(xla.Path, "is_file", denied)
    xla.failure.cache_clear()
    assert xla.failure() == ""


def test_where_no_process_can_be_started_xla_is_not_used(a_gpu, monkeypatch):
    a_gpu(WORKS)
    monkeypatch.setattr(xla.child.sys, "executable", "/nowhere/python")
    assert "ended with exit code 127: no process could be started: " in xla.failure()
    monkeypatch.undo()
    for name, value in (("frozen", True), ("executable", "")):
        with monkeypatch.context() as patch:
            patch.setattr(xla.child.sys, name, value, raising=False)
            assert xla.child.run_module("this", seconds=1.0).returncode == xla.child.NOT_STARTED


def test_the_program_computes_what_it_should_by_functions_of_the_toolkit(monkeypatch):
    compiled, function = [], tf.function

    def kept(**options):
        return lambda call: compiled.append(function(**options)(call)) or compiled[0]

    monkeypatch.setattr(xla.tf, "function", kept)
    assert xla.program() == xla.EXPECTED
    shapes = tf.ones((4, 8, 8, 4)), tf.ones((3, 3, 4, 8)), tf.zeros((288, 2))
    text = compiled[0].experimental_get_compiler_ir(*shapes)(stage="optimized_hlo")
    assert all(f" {name}(" in text for name in ("exponential", "power", "tanh", "sine", "convolution", "dot"))


def test_the_program_runs_on_each_gpu(monkeypatch):
    """Cards of two kinds can be in one machine."""
    devices = [tf.config.LogicalDevice(f"/device:GPU:{i}", "GPU") for i in range(2)]
    monkeypatch.setattr(xla.tf.config, "list_logical_devices", lambda kind: devices)
    monkeypatch.setattr(xla, "program", lambda device: "1 2" if device.endswith("1") else xla.EXPECTED)
    assert xla.main() == "1 2"
    devices.pop()
    assert xla.main() == xla.EXPECTED


def test_what_an_error_of_tensorflow_says_is_one_line():
    """Of an operation inside a function TensorFlow writes first where it comes from."""

    product = tf.function(lambda x: tf.matmul(x, x) + 1.0, input_signature=[tf.TensorSpec([None, None])])
    for fails in (product, lambda x: tf.matmul(x, x)):
        with pytest.raises(tf.errors.InvalidArgumentError) as found:
            fails(tf.ones((3, 2)))
        assert said(found.value) == "Matrix size-incompatible: In[0]: [3,2], In[1]: [3,2]"
    scheme = "File system scheme 's3' not implemented (file: 's3://a/b')"  # no line of a stack
    assert said(tf.errors.UnimplementedError(None, None, scheme)) == scheme


def test_without_a_gpu_nothing_is_tried(monkeypatch):
    monkeypatch.setattr(xla.child, "run_module", None)
    xla.failure.cache_clear()
    assert xla.failure() == ""


@pytest.mark.parametrize("begin", ["train", "resume", "dry_run"])
def test_the_trial_comes_before_this_process_opens_the_gpu(begin, monkeypatch, tmp_path):
    """It may be the only one that can, or take all of its memory."""
    called = []

    class Opened(Exception):
        pass

    def opens(*args, **kwargs):
        called.append("opened")
        raise Opened

    monkeypatch.setattr(xla, "failure", lambda: called.append("tried") or "")
    monkeypatch.setattr(trainer, "devices_of", opens)
    monkeypatch.setattr(dry_run.data, "load", opens)
    monkeypatch.setattr(trainer.Run, "open", lambda path: SimpleNamespace(config_with=lambda changes: config))
    (tmp_path / "config.json").touch()
    begins = {"train": train, "dry_run": dry_run.dry_run, "resume": lambda config, run_dir: resume(run_dir)}[begin]
    new = [] if begin == "resume" else [(None, None, True), (True, None, False), (False, None, False)]
    for asked, run_dir, tried in (*new, (True, str(tmp_path), True), (False, str(tmp_path), False)):
        called.clear()
        config = override(kgen.RunConfig(), {"train.jit_compile": asked})
        with pytest.raises(Opened):
            begins(config, run_dir=run_dir)
        assert called == ["tried"] * tried + ["opened"]


@pytest.mark.slow
def test_a_training_goes_on_without_xla_in_one_sentence(a_gpu, tmp_path, monkeypatch, no_steps):
    from kgen.train import memory

    monkeypatch.setattr(memory, "device_memory", lambda: (2**40, 2**40))
    a_gpu(WORKS)
    run = train(override(kgen.RunConfig(), SMALL | {"train.strategy": "one"}), run_dir=str(tmp_path / "run"))
    assert run.config.train.jit_compile is True and "XLA on" in (run.path / "log.txt").read_text()
    (run.path / "DONE").unlink()
    monkeypatch.setenv("XLA_FLAGS", "--xla_other")
    xla.failure.cache_clear()
    a_gpu(ABORTS)
    monkeypatch.setattr(dry_run, "SECONDS", 0.01)
    assert dry_run.dry_run(run.config, run_dir=str(run.path)).config.train.jit_compile is False
    resumed = resume(run.path, {"train.epochs": 3})
    log = (run.path / "log.txt").read_text()
    assert resumed.config.train.jit_compile is False and "note: resuming without XLA" in log and "unknown sm_999" in log
    other = train(override(kgen.RunConfig(), SMALL | {"train.strategy": "one"}), run_dir=str(tmp_path / "other"))
    (note,) = [line for line in (other.path / "log.txt").read_text().splitlines() if "without XLA" in line]
    assert "SIGABRT" in note and note.endswith("--jit_compile uses it all the same")
    assert other.config.train.jit_compile is False and (other.path / "DONE").is_file()
