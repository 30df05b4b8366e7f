"""`kgen` and `python -m kgen`: the list of commands, versions, completions; and settings from a file."""

import importlib.metadata
import json
import os
import pty
import select
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import kgen
from kgen import gpu
from kgen.cli import main as kgen_main
from kgen.cli import train
from kgen.cli.command import Command
from kgen.config import RunConfig, override

ROOT = Path(__file__).parents[2]


def test_it_lists_every_installed_command(capsys):
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {name: f"kgen.cli.{name.partition('-')[2] or 'main'}:main" for name in kgen_main.commands()}
    done = subprocess.run([sys.executable, "-m", "kgen"], capture_output=True, text=True, check=True, cwd=ROOT)
    assert all(f"  {name} " in done.stdout for name in scripts if name != "kgen") and not done.stderr
    assert kgen_main.main(["--version"]) == 0
    assert f"kgen {kgen.__version__}\n" in capsys.readouterr().out
    assert kgen_main.main(["sample", "--help"]) == 0
    assert capsys.readouterr().out.startswith("kgen-sample: ")


def test_versions_name_what_is_not_installed(monkeypatch, capsys):
    """As beside the few packages that sampling a .tflite file takes."""

    def without_tensorflow(name: str) -> str:
        if name != "numpy":
            raise importlib.metadata.PackageNotFoundError(name)
        return "2.0"

    monkeypatch.setattr(importlib.metadata, "version", without_tensorflow)
    assert kgen_main.main(["--version"]) == 0
    out = capsys.readouterr().out
    assert f"kgen {kgen.__version__}\n" in out and "tensorflow not installed\n" in out and "numpy 2.0\n" in out


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("kgen-train --binarize th", "threshold"),
        ("kgen-train --model cdc", "cdcgan"),
        ("kgen-train --model vae --more", "--more_epochs"),
        ("/usr/bin/kgen-sample run --che", "--checkpoint"),
        ("kgen-train run", ""),
        ("kgen-train --model = cdc", "cdcgan"),
        ("kgen-train --recipe mnist-cd", "mnist-cdcgan"),
        ("kgen-eval run --metrics fid,pr", "fid,prdc"),
        ("kgen tr", "train"),
        ("kgen train --more", "--more_epochs"),
        ("kgen --completion z", "zsh"),
    ],
)
def test_bash_completes(words, found):
    line = f"COMP_WORDS=({words}); COMP_CWORD={len(words.split()) - 1}; _kgen; echo ${{COMPREPLY[@]}}"
    script = f"{kgen_main.completion('bash')}\n{line}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == found


@pytest.mark.skipif(not shutil.which("zsh"), reason="there is no zsh")
def test_zsh_completes_without_a_setup_of_its_own(tmp_path):
    """In a terminal, as zsh completes nowhere else."""
    master, slave = pty.openpty()
    (tmp_path / "kgen.zsh").write_text(kgen_main.completion("zsh"))
    environment = {**os.environ, "ZDOTDIR": str(tmp_path), "TERM": "dumb"}
    shell = subprocess.Popen(
        ["zsh", "-i"], stdin=slave, stdout=slave, stderr=slave, cwd=tmp_path, env=environment, start_new_session=True
    )
    os.close(slave)
    os.write(master, b"source ./kgen.zsh; PS1=\n; print READY-$?\n")
    shown = b""
    try:
        for awaited, typed in (
            (b"READY-0", b"kgen-train --model=cdc\t"),
            (b"=cdcgan", b" --more\t"),
            (b"--more_epochs", b""),
        ):
            while awaited not in shown:
                assert select.select([master], [], [], 60)[0], shown
                shown += os.read(master, 4096)
            os.write(master, typed)
    finally:
        shell.kill()
        shell.wait()
        os.close(master)


def test_settings_of_a_file_are_those_that_are_printed(capsys, tmp_path):
    assert train.main(["--model", "vae", "--epochs", "3", "--set", "model_args.latent_dim=2", "--print_config"]) == 0
    printed = capsys.readouterr().out
    config = RunConfig.from_json(json.loads(printed))
    assert config == override(RunConfig(), {"model": "vae", "train.epochs": 3, "model_args.latent_dim": 2})
    file = tmp_path / "config.json"  # of a run, which holds more
    file.write_text(json.dumps({"format": 2, "spec": {}, **json.loads(printed)}))
    assert train.main(["--config", str(file), "--seed", "4", "--print_config"]) == 0
    assert json.loads(capsys.readouterr().out) == override(config, {"seed": 4}).to_json()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("c.json", "{", "c.json cannot be read: "),
        ("c.json", "[]", "does not hold settings"),
        ("c.json", '{"modle": "vae"}', "unknown setting 'modle': did you mean 'model'"),
        ("c.yaml", "model: vae", "needs PyYAML: pip install pyyaml"),
    ],
)
def test_a_file_that_does_not_do(capsys, tmp_path, monkeypatch, name, text, words):
    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / name).write_text(text)
    assert train.main(["--config", str(tmp_path / name)]) == 2
    assert words in capsys.readouterr().err


OUT_OF_MEMORY = "Failed copying input tensor to GPU:0 in order to run Conv2D: Dst tensor is not initialized."
BUSY = "cudaSetDevice() on GPU:0 failed. Status: all CUDA-capable devices are busy or unavailable"


@pytest.mark.parametrize(("said", "words"), [(OUT_OF_MEMORY, "out of memory"), (BUSY, "the GPU cannot be used")])
def test_what_a_gpu_refuses_is_one_message(said, words, monkeypatch, capsys):
    import tensorflow as tf

    def fails():
        raise tf.errors.InternalError(
            None, None, f"Exception encountered when calling A.call().\n\n\x1b[1m{said}\nmore"
        )

    monkeypatch.setattr(gpu, "visible", lambda: ["GPU:0"])
    assert Command("kgen-eval", "evaluate.", ()).run(fails, []) == 1
    message = capsys.readouterr().err
    assert len(message.splitlines()) == 1 and f"kgen-eval: {words} ({said}); nvidia-smi" in message
    assert "CUDA_VISIBLE_DEVICES=-1 computes on the CPU" in message


@pytest.mark.parametrize("reason", ["No space left on device", "Too many open files"])
def test_a_full_disk_is_not_told_as_a_lack_of_memory(reason, capsys):
    """TensorFlow's error is of the same kind."""
    import tensorflow as tf

    path = f"/{'x' * 200}/variables.data"

    def fails():
        raise tf.errors.ResourceExhaustedError(
            None, None, f"{{{{function_node __wrapped__SaveV2_dtypes_2}}}} {path}; {reason} [Op:SaveV2]"
        )

    assert Command("kgen-export", "export.", ()).run(fails, []) == 2
    assert capsys.readouterr().err.splitlines() == [f"kgen-export: {path}; {reason}"]


def test_a_lack_of_memory_is_one_message_on_a_cpu_too_and_other_errors_are_not_hidden(capsys, monkeypatch):
    def fails(error):
        raise error

    monkeypatch.setattr(gpu, "visible", lambda: ["GPU:0"])  # whose memory it is not
    command = Command("kgen-data", "look at data.", ())
    assert command.run(lambda: fails(MemoryError("Unable to allocate 9 TiB")), []) == 1
    assert "out of memory (Unable to allocate 9 TiB); end other programs" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="a fault"):
        command.run(lambda: fails(RuntimeError("a fault")), [])
