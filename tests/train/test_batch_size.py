"""`--batch_size auto`: sizes are tried in a child process, which may run out of memory, or be killed for it."""

import json
import os

import pytest
import tensorflow as tf

import kgen
from kgen.config import override
from kgen.errors import UserError
from kgen.sweep.space import parse_space
from kgen.train import batch_size, checks, defaults, memory, train

CHILD = """
import json, os, signal, sys
sizes = json.loads(sys.stdin.read())["sizes"]
with open(os.environ["TRIALS"], "a") as file:
    file.write(f"{sizes}\\n")
for size in sizes:
    if size > 100:
        os.kill(os.getpid(), signal.SIGKILL)
    print(f"{size} " + ("fits" if size <= int(os.environ["FITS"]) else "needs more memory"), flush=True)
    if size <= int(os.environ["FITS"]):
        break
"""
SMALL = {"model": "vae", "train.batch_size": "auto", "model_args.hidden": [4], "train.epochs": 1, "data.limit": 512}


@pytest.fixture
def trials(tmp_path, monkeypatch):
    """Children take sizes up to $FITS, and are killed at sizes above 100; -> the sizes that each was given."""
    (tmp_path / "child_program.py").write_text(CHILD)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(batch_size, "PROGRAM", "child_program")
    monkeypatch.setenv("TRIALS", str(tmp_path / "trials"))
    monkeypatch.setenv("FITS", "20")
    batch_size._largest.cache_clear()
    yield lambda: [json.loads(line) for line in (tmp_path / "trials").read_text().splitlines()]
    batch_size._largest.cache_clear()


def resolved(**settings):
    config = override(kgen.RunConfig(), SMALL | settings)
    return defaults.resolve_defaults(checks.checked(config), kgen.data.load(config.data))


def test_sizes_are_halved_until_one_fits_also_after_a_kill(trials, monkeypatch):
    monkeypatch.setattr(defaults, "BATCH_SIZES", (128, 128))
    assert resolved().train.batch_size == 16
    assert trials() == [[128, 64, 32, 16, 8, 4, 2, 1], [64, 32, 16, 8, 4, 2, 1]]
    assert resolved(**{"train.epochs": 3}).train.batch_size == 16 and len(trials()) == 2  # not tried again


def test_the_default_stays_where_it_fits(trials):
    assert resolved().train == resolved(**{"train.batch_size": None}).train
    assert len(trials()) == 1


def test_nothing_fits(trials, monkeypatch):
    monkeypatch.setenv("FITS", "0")
    with pytest.raises(UserError, match=r"not even a step of 1 images fits.*28x28x1.*--image_size"):
        resolved()
    with pytest.raises(UserError, match="one machine"):
        resolved(**{"train.strategy": "multi_worker"})


def test_a_gpu_whose_memory_this_process_has(trials, monkeypatch):
    monkeypatch.setattr(batch_size.gpu, "visible", lambda: ["GPU"])
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "false")
    with pytest.raises(UserError, match="TF_FORCE_GPU_ALLOW_GROWTH=false; leave that out, or give a number"):
        resolved(**{"train.jit_compile": False})


def test_a_gpu_that_one_process_alone_may_open_is_said(trials, tmp_path):
    """The training itself may have it, so that no step can be tried: the default would not have been either."""
    busy = "cudaSetDevice() on GPU:0 failed. Status: CUDA-capable device(s) is/are busy or unavailable"
    (tmp_path / "child_program.py").write_text(f"import sys; sys.exit('tensorflow...InternalError: {busy}')")
    with pytest.raises(UserError, match=r"ended with exit code 1: .*busy or unavailable; give a number"):
        resolved()


def test_a_step_that_aborts_whatever_its_size_is_not_told_as_a_lack_of_memory(trials, tmp_path):
    aborts = "import os, sys; sys.stderr.write('Check failed: unknown sm_999\\n'); sys.stderr.flush(); os.abort()"
    (tmp_path / "child_program.py").write_text(aborts)
    with pytest.raises(UserError, match=r"a step of 1 image ended with SIGABRT: Check failed: unknown sm_999, as"):
        resolved()
    batch_size._largest.cache_clear()
    (tmp_path / "child_program.py").write_text(aborts.replace("Check failed: unknown sm_999", "std::bad_alloc"))
    with pytest.raises(UserError, match="not even a step of 1 images fits"):
        resolved()


def run_child(monkeypatch, config, sizes, replicas=1):
    """Runs the program of the child process in this one."""
    given = {"config": config.to_json(), "spec": _vae()[1].spec.to_json(), "sizes": sizes, "replicas": replicas}
    read, write = os.pipe()
    os.write(write, json.dumps(given).encode())
    os.close(write)
    monkeypatch.setattr(batch_size.sys, "stdin", os.fdopen(read))
    batch_size.main()


def test_of_cards_of_two_kinds_a_step_must_fit_on_both(monkeypatch, capsys):
    """The second half of the CPU stands for the smaller card, where a step of more than 8 images does not fit."""
    config, taken = defaults.resolve_defaults(*_vae()), []

    def take_steps(config, spec, steps=batch_size.take_steps):
        device = tf.zeros(3).device[-5:]
        taken.append((config.train.batch_size, device))
        if device == "CPU:1" and config.train.batch_size > 8:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        steps(config, spec)

    cards, names = ["card 0", "card 1", "card 2"], {"card 0": "Large", "card 1": "Large", "card 2": "Small"}
    devices = [tf.config.LogicalDevice(f"/device:CPU:{i}", "GPU") for i in (1, 0, 1)]
    monkeypatch.setattr(batch_size.gpu, "visible", lambda: cards)
    monkeypatch.setattr(batch_size.gpu, "name_of", names.get)
    monkeypatch.setattr(batch_size.tf.config, "list_logical_devices", lambda kind: devices)
    monkeypatch.setattr(batch_size, "take_steps", take_steps)
    run_child(monkeypatch, config, [16, 8], replicas=3)
    assert capsys.readouterr().out == "16 needs more memory\n8 fits\n"
    assert taken == [(16, "CPU:0"), (16, "CPU:1"), (8, "CPU:0"), (8, "CPU:1")]


@pytest.mark.parametrize("said", ["OOM when allocating tensor", "DNN library initialization failed."])
def test_the_child_goes_on_with_the_next_size(said, monkeypatch, capsys):
    config = defaults.resolve_defaults(*_vae())
    tried = []

    def take_steps(config, spec, steps=batch_size.take_steps):
        tried.append(config.train.batch_size)
        if config.train.batch_size > 8:
            raise tf.errors.InternalError(None, None, said)
        steps(config, spec)

    monkeypatch.setattr(batch_size, "take_steps", take_steps)
    run_child(monkeypatch, config, [16, 8, 4])
    assert capsys.readouterr().out == "16 needs more memory\n8 fits\n" and tried == [16, 8]


def _vae():
    config = override(kgen.RunConfig(), SMALL | {"train.batch_size": 16})
    return checks.checked(config), kgen.data.load(config.data)


def test_a_run_holds_the_size_and_resumes_with_it(trials, tmp_path, no_steps, monkeypatch):
    monkeypatch.setenv("FITS", "8")
    config = override(kgen.RunConfig(), SMALL)
    run = train(config, run_dir=str(tmp_path / "run"))
    assert run.config.train.batch_size == 8
    assert "batch_size auto: 8" in (run.path / "log.txt").read_text()
    assert checks.with_decided(run, config).train.batch_size == 8


def test_what_the_estimate_excludes_is_not_tried(trials, monkeypatch):
    monkeypatch.setattr(batch_size, "device_memory", lambda: (0, 0))
    with pytest.raises(UserError, match="not even a step of one image fits"):
        resolved()
    assert memory.smaller_sizes(resolved(**{"train.batch_size": 6})) == [6, 3, 1]


def test_a_number_or_auto(tmp_path):
    from kgen.cli.train import command, given_settings

    for text, value in (("64", 64), ("auto", "auto")):
        cmd = command()
        cmd.parse(["--batch_size", text])
        assert given_settings(cmd) == {"train.batch_size": value}
    for text in ("+10", "1.5", "many"):
        cmd = command()
        cmd.parse(["--batch_size", text])
        with pytest.raises(UserError, match=r"--batch_size takes int, or auto"):
            given_settings(cmd)
        with pytest.raises(UserError, match=r"batch_size takes int, or auto"):
            parse_space([f"batch_size=16,{text}"])
    with pytest.raises(UserError, match="greater than 0"):
        override(kgen.RunConfig(), {"train.batch_size": 0})
