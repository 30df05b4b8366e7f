"""RunConfig: JSON there and back, typed settings, and messages that end the search."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal

import pytest

from kgen.config import (
    SECTIONS,
    DataConfig,
    RunConfig,
    TrainConfig,
    flatten,
    override,
    parse_sets,
    resolve_arguments,
    settings_table,
)
from kgen.errors import UserError
from kgen.options import coerce, defaults_of, load_name, options_of, schema_of

FULL = RunConfig(
    model="vae",
    model_args={"beta": 4.0, "hidden": [8, 4]},
    data=DataConfig(dataset="photos/", image_size=(32, 48), mat_image_shape=(8, 8, 3), binarize="sample", limit=7),
    train=TrainConfig(epochs=3, learning_rate=0.01, jit_compile=True, precision="mixed_float16"),
    seed=2**31 - 1,
)


class Base:
    def __init__(self, spec, *, width: int = 4, rate: float = 0.5, seed: int = 0, name: str | None = None):
        pass


class Heir(Base):
    def __init__(self, spec, *, depth: int = 2, width: int = 8, **kwargs):
        super().__init__(spec, width=width, **kwargs)


@pytest.mark.parametrize("config", [RunConfig(), FULL], ids=["defaults", "everything"])
def test_json_round_trip(config):
    again = RunConfig.from_json(json.loads(json.dumps(config.to_json())))
    assert again == config
    assert again.data.image_size == config.data.image_size  # a tuple again, not a list


def test_what_is_left_out_is_the_default():
    assert RunConfig.from_json({}) == RunConfig()
    assert RunConfig.from_json({"train": {"epochs": 2}}) == RunConfig(train=TrainConfig(epochs=2))


def test_the_given_values_are_not_changed():
    values = FULL.to_json()
    copy = json.loads(json.dumps(values))
    RunConfig.from_json(values)
    assert values == copy


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"modle": "vae"}, "unknown setting 'modle': did you mean 'model'"),
        ({"train": {"epoch": 2}}, "unknown setting 'train.epoch': did you mean 'epochs'"),
        ({"data": {"datset": "x"}}, "unknown setting 'data.datset': did you mean 'dataset'"),
        ({"train": {"epochs": "two"}}, "setting 'train.epochs' takes int or null. Received: 'two'"),
        ({"train": {"epochs": True}}, "setting 'train.epochs' takes int"),
        ({"train": {"epochs": 2.5}}, "setting 'train.epochs' takes int"),
        (
            {"train": {"precision": "float16"}},
            "takes one of float32, mixed_float16, mixed_bfloat16. Received: 'float16'",
        ),
        (
            {"data": {"image_size": 32}},
            r"setting 'data.image_size' takes a list such as \[1, 1\] or null. Received: 32",
        ),
        ({"data": {"image_size": [32, 32, 3]}}, "setting 'data.image_size' takes a list"),
        ({"data": {"image_size": [32, "a"]}}, "setting 'data.image_size' takes a list"),
        ({"data": {"grayscale": 1}}, "setting 'data.grayscale' takes bool. Received: 1"),
        ({"model_args": [1]}, "setting 'model_args' takes Mapping"),
        ({"data": None}, "setting 'data' takes an object of settings. Received: None"),
        ({"seed": -1}, r"seed must lie in \[0, 2\^31\). Received: -1"),
        ({"seed": 2**31}, "seed must lie in"),
        ({"train": {"epochs": 0}}, "train.epochs must be greater than 0. Received: 0"),
        ({"train": {"epochs": 10**21}}, r"train.epochs must be less than 2\^31. Received: 10{21}$"),
        ({"train": {"minutes": 1e9}}, "train.minutes must be at most 525600. Received: 1000000000.0"),  # a year
        ({"train": {"minutes": 0}}, "train.minutes must be greater than 0. Received: 0"),
        ({"train": {"ema_rampup": 5}}, "train.ema_rampup must be at most 1. Received: 5"),  # percent
        ({"train": {"learning_rate": -0.1}}, "train.learning_rate must be greater than 0"),
        (
            {"train": {"learning_rate": float("nan")}},
            "setting 'train.learning_rate' takes float or null. Received: nan",
        ),
        ({"data": {"limit": 0}}, "data.limit must be at least 1"),
        ({"data": {"image_size": [0, 8]}}, "data.image_size must be at least 1"),
        ({"data": {"validation_fraction": 1.0}}, r"data.validation_fraction must lie in \[0, 1\)"),
    ],
)
def test_mistakes_are_explained(values, words):
    with pytest.raises(UserError, match=words):
        RunConfig.from_json(values)


def test_not_a_number_is_no_rate():
    with pytest.raises(UserError, match=r"train.learning_rate.*greater than 0"):
        TrainConfig(learning_rate=float("nan"))


def test_configurations_do_not_change():
    for part in (FULL, FULL.data, FULL.train):
        with pytest.raises(dataclasses.FrozenInstanceError):
            part.seed = part.epochs = 1


@pytest.mark.parametrize(
    ("value", "kind", "result"),
    [
        (4, float, 4.0),
        (1e3, int, 1000),
        ("a", str, "a"),
        (None, int | None, None),
        ([1, 2], tuple[int, int], (1, 2)),
        ([1, 2, 3], tuple[int, ...], (1, 2, 3)),
        ([], tuple[int, ...], ()),
        ([1, 2.5], tuple[float, ...], (1.0, 2.5)),
        ("b", Literal["a", "b"], "b"),
        ({"a": 1}, Mapping[str, Any], {"a": 1}),
        ([1], Any, [1]),
        (False, bool, False),
    ],
)
def test_values_take_their_type(value, kind, result):
    found = coerce("x", value, kind)
    assert found == result and type(found) is type(result)
    if isinstance(result, tuple):
        assert [type(v) for v in found] == [type(v) for v in result]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, int), (True, float), (1, bool), (0.5, int), ("1", int), (1, str), (None, int), (float("inf"), float),
        (float("inf"), int), ("ab", tuple[str, ...]), ([1], tuple[int, int]), ("c", Literal["a", "b"]), ([1], Mapping),
    ],
)  # fmt: skip
def test_values_that_would_lose_something(value, kind):
    with pytest.raises(UserError, match=r"setting 'x' takes .* Received: "):
        coerce("x", value, kind)


@pytest.mark.parametrize(
    ("pair", "parsed"),
    [
        ("model_args.beta=4", {"model_args.beta": 4}),
        ("train.learning_rate=1e-4", {"train.learning_rate": 1e-4}),
        ("model_args.hidden=[256, 64]", {"model_args.hidden": [256, 64]}),
        ("model_args.batch_norm=true", {"model_args.batch_norm": True}),
        ("model_args.batch_norm=False", {"model_args.batch_norm": False}),
        ("train.epochs=None", {"train.epochs": None}),
        ("train.epochs=null", {"train.epochs": None}),
        ("data.dataset=photos/a=b", {"data.dataset": "photos/a=b"}),
        (" model = vae ", {"model": "vae"}),
        ("model_args.augment=[color, cutout]", {"model_args.augment": ["color", "cutout"]}),  # what a shell leaves
        ("model_args.augment=['color', 'cutout']", {"model_args.augment": ["color", "cutout"]}),
        ("model_args.augment=[color", {"model_args.augment": "[color"}),
        ('data.dataset="007"', {"data.dataset": "007"}),
    ],
)
def test_sets_are_json_or_words(pair, parsed):
    found = parse_sets([pair])
    assert found == parsed
    assert [type(v) for v in found.values()] == [type(v) for v in parsed.values()]


def test_the_last_set_counts():
    assert parse_sets(["seed=1", "seed=2"]) == {"seed": 2}


@pytest.mark.parametrize("pair", ["beta", "=4", " =4"])
def test_sets_need_a_key_and_a_value(pair):
    with pytest.raises(UserError, match="--set takes key=value"):
        parse_sets([pair])


def test_override_changes_only_what_it_names():
    settings = {"train.epochs": 5, "model_args.beta": 2.0, "seed": 3, "data.image_size": [64, 64], "model": "cvae"}
    found = override(FULL, settings)
    assert found == dataclasses.replace(
        FULL,
        model="cvae",
        seed=3,
        model_args={"beta": 2.0, "hidden": [8, 4]},
        train=dataclasses.replace(FULL.train, epochs=5),
        data=dataclasses.replace(FULL.data, image_size=(64, 64)),
    )
    assert FULL.model_args == {"beta": 4.0, "hidden": [8, 4]} and FULL.seed == 2**31 - 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"train.epoch": 1}, "unknown setting 'train.epoch': did you mean 'epochs'"),
        ({"trian.epochs": 1}, "unknown setting 'trian.epochs': did you mean 'train.epochs'"),
        ({"epochs": 1}, "unknown setting 'epochs': did you mean 'train.epochs'"),
        ({"sed": 1}, "unknown setting 'sed': did you mean 'seed'"),
        ({"model_args": {"beta": 1}}, "unknown setting 'model_args'"),
        ({"train.epochs": "many"}, "setting 'train.epochs' takes int or null. Received: 'many'"),
    ],
)
def test_override_explains_mistakes(settings, words):
    with pytest.raises(UserError, match=words):
        override(RunConfig(), settings)


def test_the_signature_is_the_schema():
    assert schema_of(Base) == {"width": int, "rate": float}
    assert defaults_of(Base) == {"width": 4, "rate": 0.5}


def test_an_heir_that_passes_arguments_on_takes_its_base_s_too():
    assert schema_of(Heir) == {"depth": int, "width": int, "rate": float}
    assert resolve_arguments(Heir, {"rate": 1}) == {"depth": 2, "width": 8, "rate": 1.0}


def test_defaults_that_follow_from_other_arguments_yield_to_what_is_given():
    class Follows(Base):
        @classmethod
        def default_args(cls, args):
            return {"rate": 0.1} if args["width"] > 8 else {}

    assert resolve_arguments(Follows, {}) == {"width": 4, "rate": 0.5}
    assert resolve_arguments(Follows, {"width": 16}) == {"width": 16, "rate": 0.1}
    assert resolve_arguments(Follows, {"width": 16, "rate": 0.5}) == {"width": 16, "rate": 0.5}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"widht": 1}, "unknown setting 'model_args.widht': did you mean 'width'"),
        ({"seed": 1}, "unknown setting 'model_args.seed'"),
        ({"spec": 1}, "unknown setting 'model_args.spec'"),
        ({"width": "wide"}, "setting 'model_args.width' takes int. Received: 'wide'"),
    ],
)
def test_model_arguments_are_checked(arguments, words):
    with pytest.raises(UserError, match=words):
        resolve_arguments(Heir, arguments)


def test_the_table_of_a_section():
    """The first column is what `--set` takes."""
    header, _, *rows = settings_table("data").splitlines()
    assert header == "| setting | flag | type | default | meaning |" and len(rows) == len(options_of(DataConfig))
    assert any(row.startswith("| `data.fit` | `--fit` | `crop`, `pad` | crop |") for row in rows)
    assert settings_table("eval").splitlines()[2].startswith("| `--metrics` | names")


@pytest.mark.parametrize("section", SECTIONS)
def test_every_option_says_what_it_is(section):
    """One line of help for each field, in whole sentences."""
    config = load_name(SECTIONS[section])
    declared = options_of(config)
    assert {*declared} == {f.name for f in dataclasses.fields(config)} - {"model_args", "data", "train", "recipe"}
    for name, option in declared.items():
        assert option.help.endswith(".") and len(option.help) <= 110, name
        assert not option.more or option.more.endswith("."), name
        assert f"    {name}: {option.help}" in config.__doc__


def test_nested_settings_are_flattened():
    assert flatten({"seed": 0, "train": {"epochs": 3}, "model_args": {}}) == {"seed": 0, "train.epochs": 3}
