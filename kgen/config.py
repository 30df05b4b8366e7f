"""RunConfig: everything that a training is made of, as frozen dataclasses <-> JSON, and the typed `--set key=value`."""

import dataclasses
import inspect
import json
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from kgen.errors import UserError
from kgen.registry import nearest

PriorName = Literal["standard_normal", "gaussian_mixture"]
"""The names in `kgen.sampling.PRIORS`."""


@dataclass(frozen=True)
class DataConfig:
    """Which images, and how they are brought to one shape.

    Attributes:
        dataset: "digits", the name of a TFDS set ("mnist", "tfds:NAME"), or a path: a folder, .zip, .mat or .npz.
        image_size: (height, width) in pixels; None keeps the data's own size (28x28 for digits).
        fit: what to do when the aspect ratio changes: "crop" the centre, or "pad" with white.
        grayscale: turn colour into one channel (ITU-R 601 luma).
        binarize: "none"; "threshold" at 0.5; "sample" draws every pixel anew each time it is seen.
        limit: at most so many images of each split (a seeded choice).
        validation_fraction: share of the training images set aside when the set brings no validation split.
        strict: refuse a set with an unreadable image instead of leaving the image out.
        cache: where decoded images stay: "memory", "disk", "none" (decoded anew each epoch), or "auto".
        mat_key: the variable of a .mat file that holds the images; None finds it.
        mat_orientation: "columns", "rows" (one flattened image each), "auto".
        mat_image_shape: (height, width) or (height, width, channels) of a flattened image; None guesses a square.
    """

    dataset: str = "digits"
    image_size: tuple[int, int] | None = None
    fit: Literal["crop", "pad"] = "crop"
    grayscale: bool = False
    binarize: Literal["none", "threshold", "sample"] = "none"
    limit: int | None = None
    validation_fraction: float = 0.1
    strict: bool = False
    cache: Literal["auto", "memory", "disk", "none"] = "auto"
    mat_key: str | None = None
    mat_orientation: Literal["auto", "columns", "rows"] = "auto"
    mat_image_shape: tuple[int, ...] | None = None

    def __post_init__(self):
        if not 0 <= self.validation_fraction < 1:
            raise UserError(f"data.validation_fraction must lie in [0, 1). Received: {self.validation_fraction}")
        for name in ("limit", "image_size"):
            value = getattr(self, name)
            if value is not None and min(value if isinstance(value, tuple) else (value,)) < 1:
                raise UserError(f"data.{name} must be at least 1. Received: {value}")


@dataclass(frozen=True)
class TrainConfig:
    """How long and how fast.

    Attributes:
        epochs: passes over the training images; None trains for about 4000 steps.
        batch_size: images per step, over all replicas; None takes 128, and fewer (at least 16) for small sets, so that
            an epoch has 40 steps.
        learning_rate: of the optimizer; None takes the model's own. Of an adversarial model the generator's.
        discriminator_learning_rate: None keeps its ratio to the generator's, which the model knows.
        optimizer: "adam", "rmsprop" or "sgd" of every phase; None takes the model's own.
        beta_1, beta_2: of Adam; None takes the model's own.
        schedule: of the learning rate: "constant", or "cosine": falls to 0 at the end of the training (Loshchilov &
            Hutter 2017).
        ema_halflife_images: keeps an exponential moving average of the weights, in which the influence of an image
            halves after so many more; it is what is evaluated, sampled and kept as a checkpoint. 0 keeps none; None
            chooses a twentieth of the training, at most 50,000 images, for adversarial models, and none for others.
        steps_per_execution: optimizer steps a Python call; None chooses.
        jit_compile: XLA; None uses it for MLPs on a CPU, where it was measured to help, and for everything on a GPU.
        precision: "float32", "mixed_float16" or "mixed_bfloat16".
        strategy: which devices share each batch: "one"; "mirrored", all of this machine; "multi_worker", those of all
            the machines that TF_CONFIG names; "tpu"; "auto" takes all GPUs of this machine, or one device.
        validate_every: epochs between two evaluations of the loss on validation and test images (and after the last);
            None evaluates each epoch, in long trainings about 200 times.
        patience: the training stops early, at an epoch's end, when the figure of `best_by` has not become better so
            many times in a row that it was measured; 0 never does.
        samples_every: epochs between two sample grids; None writes about twenty.
        eval_every: epochs between two measurements of samples (and after the last); None measures none.
        metrics: what is measured then; names as in kgen-eval.
        eval_features: what samples are compared by; None takes the classifier of labelled data, or else random.
        eval_count: samples per measurement.
        best_by: what the best checkpoint is chosen by: "loss", or a figure such as "fid". The losses of an adversarial
            model choose none: with "loss" its best is the last.
        init_from: of a model that can start from a trained one, the run that it starts from: its architecture and
            weights.
        init_discriminator: start the discriminator too, from that run's encoder.
        checkpoint_seconds: between two checkpoints to go on from, also inside an epoch.
        checkpoint_steps: the same in steps; None goes by time alone.
        keep: how many of them stay, at least 2.
        on_nan: a loss that is not finite stops the training, or once takes it back to the last checkpoint ("rollback"),
            with half the learning rate.
        profile: traces some steps for TensorBoard.
        deterministic: asks TensorFlow for operators that give the same bits each time, at some cost.
        prior: what z is drawn from once the model is trained; "gaussian_mixture" is then fitted to its encodings.
            While it trains, samples are drawn from the standard normal.
    """

    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    discriminator_learning_rate: float | None = None
    optimizer: Literal["adam", "rmsprop", "sgd"] | None = None
    beta_1: float | None = None
    beta_2: float | None = None
    schedule: Literal["constant", "cosine"] = "constant"
    ema_halflife_images: float | None = None
    steps_per_execution: int | None = None
    jit_compile: bool | None = None
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    strategy: Literal["auto", "one", "mirrored", "multi_worker", "tpu"] = "auto"
    validate_every: int | None = None
    patience: int = 0
    samples_every: int | None = None
    eval_every: int | None = None
    metrics: tuple[str, ...] = ("fid",)
    eval_features: Literal["classifier", "random", "pixels", "inception"] | None = None
    eval_count: int = 2_000
    best_by: str = "loss"
    init_from: str | None = None
    init_discriminator: bool = False
    checkpoint_seconds: float = 60.0
    checkpoint_steps: int | None = None
    keep: int = 2
    on_nan: Literal["stop", "rollback"] = "stop"
    profile: bool = False
    deterministic: bool = False
    prior: PriorName = "standard_normal"

    def __post_init__(self):
        for name in (
            "checkpoint_seconds", "checkpoint_steps", "epochs", "batch_size", "learning_rate",
            "discriminator_learning_rate", "steps_per_execution", "validate_every", "samples_every", "eval_every",
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"train.{name} must be greater than 0. Received: {value}")
        if self.ema_halflife_images is not None and not self.ema_halflife_images >= 0:
            raise UserError(
                "train.ema_halflife_images must be greater than 0, or 0 for no average. Received: "
                f"{self.ema_halflife_images}"
            )
        if self.patience < 0:
            raise UserError(
                f"train.patience must be greater than 0, or 0 for no early stopping. Received: {self.patience}"
            )
        if self.keep < 2:
            raise UserError(
                f"train.keep must be at least 2, so that one stands before a damaged one. Received: {self.keep}"
            )
        for name in ("beta_1", "beta_2"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise UserError(f"train.{name} must lie in [0, 1). Received: {value}")
        if self.eval_count < 2:
            raise UserError(f"train.eval_count must be at least 2. Received: {self.eval_count}")
        if self.eval_every and not self.metrics:
            raise UserError(
                "train.metrics names nothing to measure; give e.g. --metrics fid, or leave out --eval_every"
            )
        if self.best_by != "loss" and self.eval_every is None:
            raise UserError(
                f"train.best_by={self.best_by!r} needs samples to be measured; add --eval_every 1 (epochs) and name "
                "its metric in --metrics, or choose the best checkpoint by the loss"
            )


@dataclass(frozen=True)
class RunConfig:
    """One training, whole: what `config.json` of a run directory holds, next to the data spec and the versions.

    Attributes:
        model: a registered model's name.
        model_args: keyword arguments of the model; its `__init__` signature is their schema.
        seed: root of every random stream, in [0, 2^31).
        recipe: the recipe that the settings started from; see `kgen.recipes`.
    """

    model: str = "cvae"
    model_args: Mapping[str, Any] = field(default_factory=dict)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    seed: int = 0
    recipe: str | None = None

    def __post_init__(self):
        if not 0 <= self.seed < 2**31:
            raise UserError(f"seed must lie in [0, 2^31). Received: {self.seed}")

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types; `from_json` is its inverse."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "RunConfig":
        """Raises UserError for an unknown key or a value of another type."""
        values = dict(values)
        data = _build(DataConfig, "data", values.pop("data", {}))
        train = _build(TrainConfig, "train", values.pop("train", {}))
        return _build(cls, "", values, data=data, train=train)


def _build(cls, prefix: str, values: Mapping[str, Any], **ready: Any):
    if not isinstance(values, Mapping):
        raise UserError(f"setting {prefix!r} takes an object of settings. Received: {values!r}")
    schema = schema_of(cls)
    checked = {k: coerce(_dotted(prefix, k), v, lookup(schema, _dotted(prefix, k), k)) for k, v in values.items()}
    return cls(**checked, **ready)


def _dotted(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix else key


def lookup(schema: Mapping[str, Any], setting: str, key: str) -> Any:
    """The schema's entry for `key`; an unknown one raises UserError with the nearest names."""
    if key not in schema:
        raise UserError(f"unknown setting {setting!r}: {nearest(key, schema)}")
    return schema[key]


def schema_of(target: Callable) -> dict[str, Any]:
    """Name -> type of what a dataclass or a model's `__init__` can be given (`spec` and `seed` of a model apart)."""
    return {name: kind for name, (kind, _) in _arguments(target).items()}


def defaults_of(target: Callable) -> dict[str, Any]:
    """Name -> default of a model's `__init__`, over the same names as `schema_of`."""
    return {name: default for name, (_, default) in _arguments(target).items()}


def _arguments(target: Callable) -> dict[str, tuple[Any, Any]]:
    """Name -> (type, default); a model whose `__init__` passes **kwargs on takes its base's arguments too."""
    dataclass_given = dataclasses.is_dataclass(target)
    skip = () if dataclass_given else ("self", "spec", "seed", "name")
    inits = [target] if dataclass_given else [vars(c)["__init__"] for c in target.__mro__ if "__init__" in vars(c)]
    found = {}
    for init in inits:
        hints, parameters = typing.get_type_hints(init), inspect.signature(init).parameters.values()
        for p in parameters:
            if p.name not in skip and p.kind is not p.VAR_KEYWORD:
                found.setdefault(p.name, (hints.get(p.name, Any), p.default))
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            break
    return found


def coerce(setting: str, value: Any, kind: Any) -> Any:
    """`value` as the type `kind`, if it can be that without loss: 4 as a float, 1e3 as an int; never NaN or infinity.

    Args:
        setting: its name, for the message.
        value: a JSON value.
        kind: int, float, bool, str, a Literal, a tuple type, Mapping, Any, or a union of these.

    Raises:
        UserError: it is of another type.
    """
    for choice in typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,):
        matched, result = _as_type(value, choice)
        if matched:
            return result
    raise UserError(f"setting {setting!r} takes {_words(kind)}. Received: {value!r}")


def _as_type(value: Any, kind: Any) -> tuple[bool, Any]:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any or dataclasses.is_dataclass(kind):
        return True, value
    if kind is type(None):
        return value is None, None
    if origin is Literal:
        return value in args, value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            return False, None
        kinds = [args[0]] * len(value) if args[-1] is Ellipsis else args
        items = [_as_type(v, k) for v, k in zip(value, kinds, strict=False)]
        return len(kinds) == len(value) and all(ok for ok, _ in items), tuple(v for _, v in items)
    if (origin or kind) in (Mapping, dict):
        return isinstance(value, Mapping), value
    if kind in (float, int):
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        return number and kind(value) == value, kind(value) if number else value
    return isinstance(value, kind), value


def _words(kind: Any) -> str:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(k) for k in args)
    if origin is Literal:
        return "one of " + ", ".join(map(str, args))
    if origin is tuple:
        return f"a list such as [{', '.join('1' for _ in args)}]"
    return "null" if kind is type(None) else getattr(kind, "__name__", str(kind))


def parse_sets(pairs: Sequence[str]) -> dict[str, Any]:
    """`["model_args.beta=4"]` -> `{"model_args.beta": 4}`; values are JSON, or else words."""
    parsed = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise UserError(f"--set takes key=value, for example --set model_args.latent_dim=2. Received: {pair!r}")
        try:
            value = json.loads({"True": "true", "False": "false", "None": "null"}.get(text.strip(), text))
        except json.JSONDecodeError:
            value = text.strip()
        parsed[key.strip()] = value
    return parsed


def override(config: RunConfig, settings: Mapping[str, Any]) -> RunConfig:
    """A copy of `config` with dotted settings replaced, e.g. `{"train.epochs": 3, "model_args.beta": 4.0}`.

    Raises:
        UserError: an unknown setting (model arguments are checked by `resolve_model_args`), or a wrong type.
    """
    values = config.to_json()
    for setting, value in settings.items():
        section, dot, key = setting.partition(".")
        if section == "model_args" and dot:
            values["model_args"][key] = value
        elif section in ("data", "train") and dot:
            lookup(values[section], setting, key)
            values[section][key] = value
        elif setting in ("model", "seed"):
            values[setting] = value
        else:
            known = ["model", "seed", "model_args.NAME"]
            known += [f"{part}.{k}" for part in ("data", "train") for k in values[part]]
            raise UserError(f"unknown setting {setting!r}: {nearest(setting, known)}")
    return RunConfig.from_json(values)


def resolve_model_args(model: Callable, model_args: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments of a model: those given, checked against its `__init__`, and the defaults of the others.

    Defaults are those of the signature, or of the model's `default_args` where it has one (see GenerativeModel).

    Raises:
        UserError: an unknown argument (with the nearest names), or a wrong type.
    """
    schema = schema_of(model)
    given = {k: coerce(f"model_args.{k}", v, lookup(schema, f"model_args.{k}", k)) for k, v in model_args.items()}
    args = defaults_of(model) | given
    following = model.default_args(args) if hasattr(model, "default_args") else {}
    return args | dict(following) | given
