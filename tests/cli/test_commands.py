"""The commands as typed: what they write, and one clear message with exit code 2 for every mistake."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kgen.export
from kgen.cli import eval as evaluate
from kgen.cli import explore, export, sample, train
from kgen.config import DataConfig, RunConfig, TrainConfig, flatten
from kgen.options import options_of

TINY = ["--limit", "64", "--epochs", "1", "--nojit_compile", "--set", "model_args.hidden=[8]"]


def test_flags_and_sets_become_the_configuration():
    cmd = train.command()
    cmd.parse(
        [
            "--model",
            "vae",
            "--image_size",
            "48x64",
            "--seed",
            "3",
            "--learning_rate",
            "0.01",
            "--nograyscale",
            "--mat_image_shape",
            "8x8x3",
            "--set",
            "model_args.hidden=[400,200]",
            "--set",
            "train.epochs=7",
            "--set",
            "model_args.network=conv",
        ]
    )
    config = train.config_of(cmd)
    assert (config.model, config.seed, config.train.epochs, config.train.learning_rate) == ("vae", 3, 7, 0.01)
    assert config.data.image_size == (48, 64) and config.data.mat_image_shape == (8, 8, 3)
    assert config.model_args == {"hidden": [400, 200], "network": "conv"}


def test_image_size_of_one_number_is_a_square():
    cmd = train.command()
    cmd.parse(["--image_size", "32"])
    assert train.config_of(cmd).data.image_size == (32, 32)


def test_every_setting_of_the_data_and_training_has_a_flag():
    flags = {name for names in train.command().groups.values() for name in names}
    for config in (RunConfig, DataConfig, TrainConfig):
        assert {option.flag for option in options_of(config).values()} <= flags


@pytest.mark.parametrize(
    ("flag", "text", "setting", "value"),
    [
        ("features", "random", "train.eval_features", "random"),
        ("metrics", "fid,kid", "train.metrics", ["fid", "kid"]),
        ("ema_halflife_images", "5", "train.ema_halflife_images", 5.0),
        ("binarize", "sample", "data.binarize", "sample"),
        ("steps_per_execution", "8", "train.steps_per_execution", 8),
        ("seed", "3", "seed", 3),
    ],
)
def test_a_flag_is_a_setting(flag, text, setting, value):
    cmd = train.command()
    cmd.parse([f"--{flag}", text])
    assert train.given_settings(cmd) == {setting: value}
    assert flatten(train.config_of(cmd).to_json())[setting] == value


def test_the_next_commands_can_be_pasted(tmp_path):
    """Class names and paths with blanks are quoted; an unconditional model is not given a label."""
    import shlex

    from kgen.report.commands import next_commands
    from kgen.run import Run
    from kgen.spec import DataSpec

    spec = DataSpec("clothes", (8, 8, 1), 2, ("Bag", "Ankle boot"))
    for model, label in (("cvae", "Ankle boot"), ("vae", None)):
        path = tmp_path / "my runs"
        lines = [line for _, line in next_commands(Run(path, RunConfig(model), spec))[:4]]
        for line, main in zip(lines, (sample, explore, evaluate, export), strict=True):
            cmd = main.command()
            assert shlex.split(line)[0] == cmd.name and cmd.parse(shlex.split(line)[1:]) == [str(path)]
            assert main is not sample or cmd["label"] == label


def fails(capsys, main, arguments) -> str:
    """The message of a command that must end with exit code 2 and one message."""
    assert main([str(a) for a in arguments]) == 2
    said = capsys.readouterr().err.strip().removeprefix("starting TensorFlow …\n")
    assert "Traceback" not in said and said.startswith("kgen-") and "\n" not in said, said
    return said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--modle", "vae"], ["--modle", "did you mean '--model'"]),
        (["--latent_dim", "3"], ["--set model_args.latent_dim=3", "kgen-train --help"]),
        (["--model_args.latent_dim=3"], ["given by --set model_args.latent_dim=3;"]),
        (["--model_args", "latent_dim=3"], ["given by --set model_args.latent_dim=3;"]),
        (["--train.epochs", "3"], ["a setting is given by --set train.epochs=3;"]),
        (["--lr", "3"], ["did you mean", "'--learning_rate'"]),
        (["--help=x"], ["--help takes true or false", "'x'"]),
        (["--set", "latent_dim=3"], ["--set model_args.latent_dim=3", "kgen-train --help"]),
        (["--set", "epochs=3"], ["--set train.epochs=3"]),
        (["--epochs", "+10"], ["a whole number", "--resume RUN --more_epochs 10"]),
        (["--epochs", "1.5"], ["--epochs takes a whole number", "'1.5'"]),
        (["--more_epochs", "0"], ["--more_epochs takes a positive integer", "'0'"]),
        (["--learning_rate", "small"], ["--learning_rate takes a number", "'small'"]),
        (["--more_epochs", "3"], ["--resume RUN"]),
        (["--recipe", "mnist-mlp-vae", "--model", "dcgan"], ["--set model=dcgan"]),
        (["--model", "cave"], ["unknown model 'cave'", "'cvae'"]),
        (["--dataset", "digit"], ["'digit'", "'digits'"]),
        (["--dataset", "nowhere/"], ["nowhere", "does not exist"]),
        (["--set", "model_args.latent=3"], ["model_args.latent", "latent_dim"]),
        (["--set", "model_args.latent_dim=two"], ["model_args.latent_dim", "int", "'two'"]),
        (["--set", "model_args.latent_dim=0"], ["model_args.latent_dim", "at least 1", "0"]),
        (["--set", "model_args.network=cnn"], ["unknown network 'cnn'", "did you mean 'conv'"]),
        (["--set", "model_args.likelihood=bernouli"], ["'bernoulli'"]),
        (["--set", "model_args.activation=rleu"], ["model_args.activation", "rleu"]),
        (["--set", "train.epoch=3"], ["train.epoch", "epochs"]),
        (["--set", "epochs"], ["key=value", "'epochs'"]),
        (["--epochs", "many"], ["epochs", "many"]),
        (["--epochs", "0"], ["epochs", "greater than 0"]),
        (["--image_size", "big"], ["--image_size", "'big'"]),
        (["--seed", "-1"], ["seed", "-1"]),
        (["--binarize", "maybe"], ["binarize", "threshold"]),
        (["--validation_fraction", "1.5"], ["validation_fraction", "1.5"]),
        (["positional"], ["positional"]),
    ],
)
def test_mistakes_on_the_command_line_of_train(capsys, tmp_path, arguments, words):
    said = fails(capsys, train.main, [*arguments, "--runs_root", tmp_path / "runs"])
    assert all(word in said for word in words), said
    assert not (tmp_path / "runs").exists()


def test_mistakes_about_places(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert "is not empty" in fails(capsys, train.main, [*TINY, "--run_dir", tmp_path])
    assert "--runs_root" in fails(capsys, train.main, [*TINY, "--runs_root", tmp_path / "file" / "runs"])
    assert "no run directory" in fails(capsys, sample.main, [tmp_path])
    assert "does not exist" in fails(capsys, sample.main, [tmp_path / "runs"])
    assert "takes PATH" in fails(capsys, sample.main, [])
    assert "--to is missing" in fails(capsys, export.main, [tmp_path])
    assert "no run directory" in fails(capsys, export.main, [tmp_path, "--to", tmp_path / "e"])
    assert not (tmp_path / "e").exists()


@pytest.mark.slow
def test_a_full_disk_while_writing_is_one_message(capsys, default_job, monkeypatch, tmp_path):
    import errno

    from kgen import images

    def full(path, write):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(images, "write_aside", full)
    assert "No space left" in fails(capsys, sample.main, [default_job[0].path, "--out", tmp_path / "s.png"])


@pytest.mark.slow
def test_a_failed_training_ends_with_1(capsys, tmp_path):
    assert train.main([*TINY, "--learning_rate", "1e30", "--epochs", "9", "--run_dir", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().err
    assert "kgen-train: the loss was not finite at step" in said and "Traceback" not in said
    assert (tmp_path / "run" / "FAILED").is_file()


def test_sample_writes_the_same_grid_for_the_same_seed(capsys, default_job, tmp_path):
    run = str(default_job[0].path)
    for name, seed in [("a", 1), ("b", 1), ("c", 2)]:
        out = str(tmp_path / f"{name}.png")
        assert sample.main([run, "--count", "64", "--label", "7", "--seed", str(seed), "--out", out]) == 0
        assert out in capsys.readouterr().out
    a, b, c = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in "abc")
    assert a.shape == (8 * 58 + 2, 8 * 58 + 2)  # 28 pixels, twice: about 48
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_sample_formats(default_job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = str(default_job[0].path)
    assert sample.main([run, "--count", "20", "--format", "npz"]) == 0
    assert sample.main([run, "--count", "20", "--format", "png-files"]) == 0
    assert sample.main([run, "--count", "20"]) == 0
    name = f"samples-{default_job[0].name}-seed0"
    arrays = np.load(f"{name}.npz")
    assert arrays["labels"].tolist() == [*range(10), *range(10)]  # all classes in turn
    files = sorted((tmp_path / name).iterdir())
    assert files[13].name == "00013-label3.png"
    np.testing.assert_array_equal(np.asarray(Image.open(files[13])), arrays["images"][13, ..., 0])
    grid = np.asarray(Image.open(f"{name}.png"))  # a row per class, its name to the left, each pixel twice
    left = grid.shape[1] - (2 * 58 + 2)
    assert grid.shape[0] == 10 * 58 + 2 and (grid[:, :left] < 128).any()
    found = grid[3 * 58 + 2 : 4 * 58, left + 60 : left + 116]
    np.testing.assert_array_equal(found[::2, ::2], arrays["images"][13, ..., 0])
    np.testing.assert_array_equal(found[1::2, 1::2], arrays["images"][13, ..., 0])


def test_sample_refuses_an_unknown_label(capsys, default_job):
    assert "no class of 'digits'" in fails(capsys, sample.main, [default_job[0].path, "--label", "eleven"])


def test_export_says_what_it_measured(capsys, default_job, default_export, monkeypatch, tmp_path):
    monkeypatch.setattr(kgen.export, "export", lambda run, to, **_: shutil.copytree(default_export, Path(to) / "1"))
    assert export.main([str(default_job[0].path), "--to", str(tmp_path / "cvae")]) == 0
    said = capsys.readouterr().out
    whole, by_rows, psnr, uint8 = re.search(r"saved_model decode +" + r"\| +(\S+) +" * 4, said).groups()
    assert max(float(whole), float(by_rows)) <= 1e-5 and float(psnr) > 100 and int(uint8) < 50
    assert re.search(r"model.tflite decode +\| +\S+ +\| +- +\| .* \d+\.\d\d\n", said)
    assert max(map(len, said.split("\n\n")[1].splitlines()[:-1])) <= 80  # but for the sentence, broken in a terminal
    assert (tmp_path / "cvae" / "1" / "manifest.json").is_file()


def test_help_does_not_import_tensorflow_and_the_commands_are_installed():
    code = (
        "import sys; from kgen.cli import compare, data, divergence, eval, export, report, sample, train\n"
        "for m in (compare, data, divergence, eval, export, report, sample, train): assert m.main(['--help']) == 0\n"
        "assert not {'tensorflow', 'keras', 'matplotlib', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


PROGRAM = """
import json, shlex, sys
import kgen
kgen.build_model("vae", kgen.DataSpec("digits", (8, 8, 1), 0, (), {}))  # TensorFlow starts as it does from Python
for line in json.load(sys.stdin):
    command, *arguments = shlex.split(line)
    print(line, file=sys.stderr, flush=True)
    assert __import__(f"kgen.cli.{command}", fromlist=["main"]).main(arguments) == 0, line
"""
LINES = [
    f"train {shlex.join(TINY)} --model vae --dataset digits --run_dir run",
    "export run --to e/run",
    "sample e/run/1/model.tflite --count 2",
    "eval e/run/1/model.tflite --metrics fid --features random --count 200 --num_real 200 --repeats 1 --anyway",
    "explore run",
    "compare run run",
    "report run",
    "data digits --limit 64",
]
OWN = re.compile("|".join((r"[a-z ]+ …", r".*\|.*\d\d:\d\d.*", *map(re.escape, LINES))))
"""The lines of standard error that are kgen's own: a step that takes seconds, a progress bar, and those of PROGRAM."""


@pytest.mark.slow
def test_nothing_of_another_library_on_standard_error(tmp_path):
    """Neither from Python nor from a command: start-up remarks, delegates, retracing, deprecations."""
    clean = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=json.dumps(LINES), capture_output=True, text=True, env=clean,
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not [line for line in re.split("[\r\n]+", done.stderr) if line.strip() and not OWN.fullmatch(line)]
