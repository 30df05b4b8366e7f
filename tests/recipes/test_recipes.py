"""Recipes: every one is complete and fits its model; the user's settings win; what they are trained on."""

import dataclasses
import json
from pathlib import Path

import pytest

import kgen
from kgen.config import DataConfig, RunConfig, override
from kgen.errors import DataMissing, UserError
from kgen.io import data_folder, find_data_file
from kgen.recipes import (
    RECIPES,
    Recipe,
    RecipeResult,
    configure,
    load_recipe,
    log_lines,
    markdown,
    recipe,
    stand_in_note,
)
from kgen.recipes.recipe import choose_data, render_recipes

NAMES = (
    "binarized-conv-vae", "binarized-mlp-vae", "faces-conv-vae", "faces-gan", "images-conv-vae", "images-dcgan",
    "images-vae-gan", "imagenette-conv-vae", "imagenette-dcgan", "imagenette-mlp-vae", "mnist-bn-gan", "mnist-cdcgan",
    "mnist-cgan", "mnist-conv-cvae", "mnist-conv-vae", "mnist-cvae", "mnist-dcgan", "mnist-gan", "mnist-mlp-vae",
    "mnist-pixel-vae", "mnist-vae-bn", "mnist-wgan", "mnist-wgan-gp", "own-pictures", "own-pictures-fine-tune",
    "svhn-mlp-wgan-gp",
)  # fmt: skip
SHAPES = {"mnist": (28, 28, 1), "binarized_mnist": (28, 28, 1)}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder, named by KGEN_DATA_DIR; empty."""
    made = tmp_path / "data"
    made.mkdir()
    monkeypatch.setenv("KGEN_DATA_DIR", str(made))
    return made


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No data folder at all."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("KGEN_DATA_DIR", raising=False)
    return tmp_path


def never(data: DataConfig):
    raise AssertionError(f"{data.dataset} was opened")


def offline(data: DataConfig):
    raise DataMissing(f"TFDS set {data.dataset!r} is not prepared")


def a_recipe(**settings) -> Recipe:
    return Recipe("tiny", "a title", "a paper", settings, stand_ins=("first.zip", "second.zip"))


# The files ----------------------------------------------------------------------------------------------------------


def test_the_recipes_are_these():
    assert set(NAMES) == set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_complete_and_fits_its_model(name):
    """The settings build a configuration, its arguments are the model's, and the model is built for its images."""
    from kgen.models import build_model, resolve_model_args
    from kgen.spec import DataSpec
    from kgen.train.init_from import with_architecture

    found = load_recipe(name)
    for words in (found.title, found.reproduces):
        assert words and words == words.strip(" .") and "\n" not in words
    assert all(isinstance(result, RecipeResult) and result.seconds > 0 for result in found.results)
    config = with_architecture(override(RunConfig(), found.settings))
    assert config.data.image_size or found.dataset in SHAPES
    channels = 1 if config.data.grayscale else 3
    shape = SHAPES.get(found.dataset) or (*config.data.image_size, channels)
    model_args = resolve_model_args(config.model, config.model_args)
    model = build_model(config.model, DataSpec("tiny", shape, 10), **model_args)
    assert model.code_dim == config.model_args["latent_dim"]
    assert config.train.epochs or config.train.minutes, "a recipe is complete"


@pytest.mark.parametrize("gan, vae", [("faces-gan", "faces-conv-vae"), ("images-vae-gan", "images-conv-vae")])
def test_a_recipe_that_can_start_from_another_has_its_architecture(gan, vae):
    from kgen.models import resolve_model_args
    from kgen.models.presets import SHARED

    assert f"--init_from RUN of {vae} starts it from there" in load_recipe(gan).note
    args = []
    for name in (gan, vae):
        config = configure(name, {"data.dataset": "not looked at"})
        args.append(resolve_model_args(config.model, config.model_args))
    ours, theirs = ({name: found[name] for name in SHARED} for found in args)
    assert ours == theirs
    same_images = [configure(name, {"data.dataset": "x"}).data for name in (gan, vae)]
    for setting in ("image_size", "fit", "grayscale"):
        assert getattr(same_images[0], setting) == getattr(same_images[1], setting)


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(UserError, match=r"'mnist-mpl-vae'.*'mnist-mlp-vae'"):
        load_recipe("mnist-mpl-vae")
    with pytest.raises(UserError, match=r"unknown recipe '\.\./recipes/mnist-cvae'"):
        load_recipe("../recipes/mnist-cvae")


# The configuration --------------------------------------------------------------------------------------------------


def test_settings_win_over_the_recipe():
    config = configure("mnist-mlp-vae", {"train.epochs": 2, "model_args.latent_dim": 3, "seed": 7}, open_source=never)
    own = configure("mnist-mlp-vae")
    assert own.recipe == "mnist-mlp-vae" and own.data.dataset == "mnist" and own.train.epochs == 30
    assert config == dataclasses.replace(
        own,
        seed=7,
        train=dataclasses.replace(own.train, epochs=2),
        model_args={**own.model_args, "latent_dim": 3},
    )
    assert RunConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert kgen.recipes.configure is configure


def test_the_log_tells_the_recipe_and_what_was_changed():
    own = configure("mnist-mlp-vae")
    title, reproduces, note = (
        getattr(load_recipe("mnist-mlp-vae"), field) for field in ("title", "reproduces", "note")
    )
    lines = [f"recipe mnist-mlp-vae: {title}; reproduces {reproduces}", f"recipe mnist-mlp-vae: note: {note}"]
    assert log_lines(own) == lines
    changed = configure("mnist-mlp-vae", {"train.epochs": 2, "model_args.beta": 4, "data.dataset": "photos/"})
    changes = 'model_args.beta=4, data.dataset="photos/", train.epochs=2'
    assert log_lines(changed) == [*lines, f"recipe mnist-mlp-vae: changed by you: {changes}"]
    assert log_lines(RunConfig()) == []
    with pytest.raises(UserError, match="unknown recipe 'nonsense'"):
        log_lines(RunConfig(recipe="nonsense"))


def test_a_setting_set_to_the_recipe_s_own_value_is_no_change():
    assert log_lines(configure("mnist-mlp-vae", {"train.epochs": 30})) == log_lines(configure("mnist-mlp-vae"))


# The data folder ----------------------------------------------------------------------------------------------------


def test_the_data_folder_is_the_variable_s_or_the_one_beside(nowhere, monkeypatch):
    assert data_folder() is None and find_data_file("a.zip") is None
    beside = nowhere / "shared" / "data"
    beside.mkdir(parents=True)
    assert data_folder().resolve() == beside
    (nowhere / "named").mkdir()
    monkeypatch.setenv("KGEN_DATA_DIR", str(nowhere / "named"))
    assert data_folder() == nowhere / "named"
    monkeypatch.setenv("KGEN_DATA_DIR", str(nowhere / "gone"))
    with pytest.raises(UserError, match=r"KGEN_DATA_DIR must name a folder.*Received: .*gone"):
        data_folder()


def test_a_file_is_found_by_its_name_the_nearest_to_the_top(folder):
    for place in ("b/deep/faces.mat", ".hidden/faces.mat", "c/faces.mat/other.txt"):
        (folder / place).parent.mkdir(parents=True)
        (folder / place).touch()
    assert find_data_file("faces.mat") == folder / "b/deep/faces.mat"
    (folder / "c/d").mkdir()
    (folder / "c/d/faces.mat").touch()
    assert find_data_file("faces.mat") == folder / "b/deep/faces.mat"  # of one depth, the first by name
    (folder / "z").mkdir()
    (folder / "z/faces.mat").touch()
    assert find_data_file("faces.mat") == folder / "z/faces.mat"
    assert find_data_file("faces") is None
    (folder / "named.zip").symlink_to(folder / "z/faces.mat")
    (folder / "loop").symlink_to(folder)
    assert find_data_file("named.zip") == folder / "named.zip"  # a link keeps its name
    assert find_data_file("nowhere.zip") is None  # and a folder in itself ends


def test_prepared_sets_of_the_data_folder_are_read_where_tfds_data_dir_is_not_set(folder, tmp_path, monkeypatch):
    from kgen.data.sources import tfds

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    home, beside = tmp_path / "home" / "tensorflow_datasets", folder / "tfds"
    for place in (home / "both/1.0.0", beside / "both/1.0.0", beside / "many/small/1.0.0"):
        place.mkdir(parents=True)
        (place / "dataset_info.json").touch()
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    assert tfds.prepared_sets() == ["both", "many/small"]
    assert tfds.data_dir("both") == tfds.data_dir("many/large") == tfds.data_dir() == str(home)
    assert tfds.data_dir("many/small:1.0.0") == str(beside)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "own"))
    assert tfds.prepared_sets() == [] and tfds.data_dir("many/small") == str(tmp_path / "own")


# What a recipe is trained on ----------------------------------------------------------------------------------------


def test_a_tfds_set_that_can_be_had_goes_before_the_stand_in(folder):
    (folder / "first.zip").touch()
    opened = []
    data = DataConfig("mnist", limit=3)
    assert choose_data(a_recipe(**{"data.dataset": "mnist"}), data, opened.append) == "mnist" and opened == [data]


def test_the_first_stand_in_that_is_there_is_taken(folder):
    (folder / "zips").mkdir()
    (folder / "zips" / "second.zip").touch()
    own = a_recipe(**{"data.dataset": "mnist"})
    assert choose_data(own, DataConfig("mnist"), offline) == str(folder / "zips" / "second.zip")
    (folder / "first.zip").touch()
    assert choose_data(own, DataConfig("mnist"), offline) == str(folder / "first.zip")


def test_other_mistakes_are_not_covered_by_a_stand_in(folder):
    (folder / "first.zip").touch()

    def broken(data):
        raise UserError("is broken")

    with pytest.raises(UserError, match="is broken"):
        choose_data(a_recipe(**{"data.dataset": "mnist"}), DataConfig("mnist"), broken)


def test_without_a_stand_in_the_usual_error_says_where_it_would_be(folder):
    with pytest.raises(UserError) as error:
        choose_data(a_recipe(**{"data.dataset": "mnist"}), DataConfig("mnist"), offline)
    words = ("TFDS set 'mnist' is not prepared", "first.zip or second.zip", str(folder), "KGEN_DATA_DIR")
    assert all(word in str(error.value) for word in words), error.value


def test_imagenette_offline_is_trained_on_its_stand_in_and_says_so(folder):
    (folder / "cifar10_jpeg.zip").touch()
    config = configure("imagenette-conv-vae", open_source=offline)
    assert config.data.dataset == str(folder / "cifar10_jpeg.zip") and config.data.image_size == (64, 64)
    line = log_lines(config)[-1]
    assert line.startswith("recipe imagenette-conv-vae: ") and "not comparable" in line
    assert "stand-in cifar10_jpeg.zip instead of imagenette/160px-v2" in line
    assert not any("changed" in line for line in log_lines(config))


def test_what_the_user_names_goes_before_everything(folder):
    (folder / "twemoji72.zip").touch()
    for name in ("images-conv-vae", "imagenette-mlp-vae", "faces-conv-vae"):
        config = configure(name, {"data.dataset": "photos/"}, open_source=never)
        assert config.data.dataset == "photos/" and not stand_in_note(load_recipe(name), "photos/")


def test_a_folder_of_one_s_own_has_a_stand_in_or_must_be_named(folder):
    with pytest.raises(UserError, match=r"'images-conv-vae'.*--dataset.*twemoji72\.zip.*KGEN_DATA_DIR"):
        configure("images-conv-vae")
    (folder / "twemoji72.zip").touch()
    config = configure("images-conv-vae")
    assert config.data.dataset == str(folder / "twemoji72.zip")
    assert "training on the stand-in twemoji72.zip" in log_lines(config)[-1]


def test_a_data_file_is_found_and_is_no_change(folder):
    with pytest.raises(UserError, match=r"olivettifaces\.mat.*--dataset.*KGEN_DATA_DIR"):
        configure("faces-conv-vae")
    (folder / "olivetti").mkdir()
    (folder / "olivetti" / "olivettifaces.mat").touch()
    config = configure("faces-conv-vae")
    assert config.data.dataset == str(folder / "olivetti" / "olivettifaces.mat")
    assert not any("stand-in" in line or "changed" in line for line in log_lines(config))


def test_without_a_data_folder_the_message_says_that_none_is_set(nowhere):
    with pytest.raises(UserError, match=r"olivettifaces\.mat.*KGEN_DATA_DIR is not set"):
        configure("faces-conv-vae")


# The table ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_recipes(tmp_path, monkeypatch):
    """Two recipes in place of all."""
    training = {"seconds": 1699.6, "hardware": "two cores"}
    measured = [
        {"metric": "nll", "value": 88.125, "unit": "nats", "protocol": "K=5000", **training},
        {"metric": "label_agreement", "value": 0.984, "unit": "", "protocol": "10,000 samples", **training},
        {"metric": "fid", "value": 7, "unit": "", "protocol": "pixels", "seconds": 60, "hardware": "one GPU"},
    ]
    for name, results in (("a-recipe", measured), ("b-recipe", [])):
        values = {"title": f"title of {name}", "reproduces": f"paper of {name}", "settings": {}, "results": results}
        text = json.dumps({**values, "stand_ins": [], "note": ""})
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
    monkeypatch.setattr(recipe, "FOLDER", tmp_path)
    monkeypatch.setattr(recipe, "RECIPES", ("a-recipe", "b-recipe"))


def test_the_list_has_an_entry_for_each(two_recipes):
    assert render_recipes(200).splitlines() == [
        "a-recipe", "  title of a-recipe", "  reproduces paper of a-recipe", "  nll 88.125 nats (K=5000)",
        "  label_agreement 0.984 (10,000 samples)", "  in 1,700 s on two cores", "  fid 7 (pixels)",
        "  in 60 s on one GPU", "",
        "b-recipe", "  title of b-recipe", "  reproduces paper of b-recipe", "  not measured",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_list_is_as_wide_as_the_terminal(width):
    lines = render_recipes(width).splitlines()
    assert max(map(len, lines)) <= width
    assert [line for line in lines if line in RECIPES] == list(RECIPES)
    whole = " ".join(" ".join(lines).split())
    for name in RECIPES:  # nothing is cut off
        assert f"reproduces {load_recipe(name).reproduces}" in whole


def test_the_readme_is_generated_from_the_recipes():
    readme = (recipe.FOLDER / "README.md").read_text(encoding="utf-8")
    assert readme == markdown(), "stale: python -m kgen.recipes > kgen/recipes/README.md"
    for name in RECIPES:
        assert f"\n## {name}\n" in readme


def test_the_recipes_are_part_of_the_package():
    """The .json files are listed as package data, so that an installed kgen has them."""
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["setuptools"]["package-data"]["kgen.recipes"] == ["*.json"]
