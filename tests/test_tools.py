"""The programs of tools/: they end with a message where data or files are missing."""

import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from ending import exit_code_of

TOOLS = Path(__file__).parents[1] / "tools"


@pytest.mark.parametrize("words", [
    "stacked_mnist.py", "rare_classes.py", "compare_batch_norm.py", "compare_warm_start.py",
    "label_agreement.py nowhere", "bench_serve.py nowhere", "attack_serve.py nowhere",
    "bench_own_pictures.py --data nowhere", "fuzz_exports.py nowhere",
])  # fmt: skip
def test_what_is_missing_is_one_message(words, tmp_path, monkeypatch, capsys):
    """MNIST, or what an argument names."""
    import urllib.request

    def offline(*_, **__):
        raise OSError("offline")

    name, *arguments = words.split()
    monkeypatch.setattr(urllib.request, "urlopen", offline)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(TOOLS / name), *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(TOOLS / name), run_name="__main__")
    err = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and err[-1].startswith(f"{name}: ") and not any("Traceback" in line for line in err)
    assert ("nowhere" if arguments else "'mnist' is not prepared") in err[-1]


@pytest.mark.slow
def test_a_warm_start_is_compared_at_each_measurement(tmp_path):
    from compare_warm_start import trained

    settings = {
        "model": "vae", "data.limit": 32, "train.batch_size": 16, "train.epochs": 2, "train.eval_every": 1,
        "train.jit_compile": False, "train.metrics": ["kid"], "train.eval_features": "pixels", "train.eval_count": 16,
        "model_args.hidden": [4],
    }  # fmt: skip
    run, core_seconds = trained(settings, SimpleNamespace(runs_root=str(tmp_path)))
    assert len(core_seconds) == len(run.metrics()) == 2 and core_seconds == sorted(core_seconds)


def test_other_ends_of_a_program():
    """A command that failed has said why; what nobody foresaw stays a traceback."""
    assert exit_code_of(lambda: None) == 0 and exit_code_of(lambda: 1) == 1
    call = [sys.executable, "-c", "raise SystemExit(3)"]
    assert exit_code_of(lambda: subprocess.run(call, check=True)) == 3
    with pytest.raises(ZeroDivisionError):
        exit_code_of(lambda: 1 // 0)
