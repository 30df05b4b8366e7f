"""kgen-train --recipe and --list_recipes, as typed."""

import json
import re
import subprocess
import sys
import zipfile
from io import BytesIO

import pytest
from PIL import Image

from kgen.cli import train
from kgen.recipes import RECIPES, load_recipe


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("KGEN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    return tmp_path / "data"


def config_of(*arguments: str):
    cmd = train.command()
    cmd.parse(list(arguments))
    return train.config_of(cmd)


def test_the_list_shows_all_recipes_without_tensorflow(tmp_path):
    code = (
        "import sys; from kgen.cli.train import main; assert main(['--list_recipes']) == 0\n"
        "assert not {'tensorflow', 'keras', 'matplotlib', 'sklearn', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.strip() == line != ""] == list(RECIPES)
    assert max(map(len, lines)) <= 100  # of a pipe
    entries = [" ".join(entry.split()) for entry in re.split(r"^(?=\S)", done.stdout, flags=re.MULTILINE)[1:]]
    for entry, recipe in zip(entries, map(load_recipe, RECIPES), strict=True):
        assert entry.startswith(f"{recipe.name} {recipe.title} reproduces {recipe.reproduces}")
        assert ("not measured" in entry) == (not recipe.results)
        assert all(line in entry for line in recipe.result_lines())
    assert not done.stderr and "\x1b" not in done.stdout


def test_flags_and_sets_win_over_the_recipe():
    own = config_of("--recipe", "mnist-mlp-vae")
    assert (own.recipe, own.model, own.data.binarize, own.train.epochs) == ("mnist-mlp-vae", "vae", "sample", 30)
    assert own.model_args == {"hidden": [400], "latent_dim": 2} and own.seed == 0
    changed = config_of(
        "--recipe", "mnist-mlp-vae", "--epochs", "3", "--binarize", "none", "--set", "model_args.latent_dim=5",
        "--set", "train.epochs=4",
    )  # fmt: skip
    assert changed.data.binarize == "none"  # a default that the user gave is given
    assert changed.train.epochs == 4 and changed.train.learning_rate == own.train.learning_rate
    assert changed.model_args == {"hidden": [400], "latent_dim": 5}
    assert config_of().recipe is None


def test_mistakes_end_with_one_message(capsys, data_folder):
    for arguments, words in (
        (["--recipe", "mnist-cave"], ["unknown recipe 'mnist-cave'", "did you mean 'mnist-cvae'", "--list_recipes"]),
        (["--recipe", "images-conv-vae"], ["--dataset photos/", "twemoji72.zip", "KGEN_DATA_DIR"]),
        (["--recipe", "mnist-cvae", "--set", "recipe=mnist-vae-bn"], ["unknown setting 'recipe'"]),
        (["--recipe", ""], ["unknown recipe ''"]),
    ):
        assert train.main(arguments) == 2
        said = capsys.readouterr().err
        assert said.startswith("kgen-train: ") and said.count("\n") == 1 and all(w in said for w in words), said


def test_offline_the_stand_in_is_found_at_once(data_folder, monkeypatch):
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nothing listens there: no way out, on any machine
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    (data_folder / "cifar10_jpeg.zip").touch()
    assert config_of("--recipe", "imagenette-mlp-vae").data.dataset == str(data_folder / "cifar10_jpeg.zip")


@pytest.mark.slow
def test_a_recipe_trains_and_the_run_says_which_and_on_what(capsys, data_folder, tmp_path):
    """On a made-up zip that has the stand-in's name: 12 pictures of 72x72."""
    from kgen.run import Run

    with zipfile.ZipFile(data_folder / "twemoji72.zip", "w") as archive:
        for i in range(12):
            picture = BytesIO()
            Image.new("RGBA", (72, 72), (20 * i, 100, 0, 255)).save(picture, "PNG")
            archive.writestr(f"{i}.png", picture.getvalue())
    sets = ["--set", "model_args.filters=[2]", "--set", "model_args.hidden=[4]"]
    arguments = ["--epochs", "1", "--limit", "8", "--nojit_compile", *sets, "--run_dir", str(tmp_path / "run")]
    assert train.main(["--recipe", "images-conv-vae", *arguments]) == 0
    values = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    assert values["recipe"] == "images-conv-vae"
    assert values["data"]["dataset"] == str(data_folder / "twemoji72.zip")
    assert (values["model_args"]["latent_dim"], values["model_args"]["filters"]) == (64, [2])
    run = Run.open(tmp_path / "run")
    assert run.config.recipe == "images-conv-vae" and run.spec.image_shape == (64, 64, 3)
    said, log = capsys.readouterr().out, (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
    recipe = load_recipe("images-conv-vae")
    stand_in = "training on the stand-in twemoji72.zip: results are not comparable with the original's"
    for line in (
        f"{recipe.title}; reproduces {recipe.reproduces}",
        "changed by you: model_args.filters=[2], model_args.hidden=[4], data.limit=8, train.epochs=1, "
        "train.jit_compile=false",
        stand_in,
    ):
        assert f"recipe images-conv-vae: {line}\n" in said and f"recipe images-conv-vae: {line}\n" in log
    assert stand_in in said[said.index("done in") :]  # again among the last words
