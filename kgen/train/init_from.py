"""Starts a training from a trained model, whole or in part: `train.init_from` names a run, or an export of kgen-export.

Networks are matched by their names (a VAE's decoder is a generator), layers within them by theirs. A layer is taken
where its weights have the same shapes, with two additions:

- the first layer of a network that takes labels: where the number of classes differs, the part of z, or of the image,
  is taken, and the part of every class starts as the mean of the source's classes; 0 where the source has none, so that
  a conditional generator starts as the unconditional one that it came from;
- a layer whose batch normalization the new network lacks takes that on, with its moving statistics.

All other layers keep their initial values, and so do optimizers. `freeze_layers` keeps the first layers of the
discriminator from being trained (Mo et al. 2020, https://arxiv.org/abs/2002.10964).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kgen.config import RunConfig
from kgen.errors import UserError
from kgen.file_systems import OF_THE_WEB, is_address, scheme_of
from kgen.mirror import local_path
from kgen.models.presets import ARCHITECTURE, PENALTIES, PRESETS, STARTS_FROM
from kgen.recipes import load_recipe
from kgen.run import Run, first_line, is_run
from kgen.sampling import is_url, latest_version
from kgen.sampling.exported import DISCRIMINATOR
from kgen.sampling.fetched_export import fetch_export
from kgen.sampling.manifest import read_manifest
from kgen.sampling.remote import SCHEMES
from kgen.spec import DataSpec
from kgen.tables import counted

if TYPE_CHECKING:
    import keras

    from kgen.models import GenerativeModel

LABELLED = ("z_and_label", "image_and_label", "pixels_and_label")
"""Layers that put a label beside the input of a network."""
NORM = "_norm"
"""Suffix of the name of the batch normalization that follows a layer."""
OPTIONAL = ("bias", "direction")
"""Weights that a layer may keep: a bias that the source goes without, the state of spectral normalization."""

MOST_NAMED = 8
"""Runs and exports of a folder that a message names."""


@dataclass(frozen=True)
class TrainedModel:
    """What a training starts from, as its files describe it.

    Attributes:
        where: its path, as it was given.
        model: name of its preset.
        model_args: arguments of its model.
        spec: of the data that it was trained on.
        run: it is the checkpoint "best" of this run; or None.
        export: it is this version of an export; or None.
        manifest: of the export.
    """

    where: str
    model: str
    model_args: Mapping[str, Any]
    spec: DataSpec
    run: Run | None = None
    export: Path | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, path: str) -> TrainedModel:
        """Reads the description of a run or an export; needs no TensorFlow.

        Raises:
            UserError: the path is neither, or its description is damaged.
        """
        folder = _found(path)
        export = folder if (folder / "saved_model.pb").is_file() else latest_version(folder)
        if export is None and not is_run(folder):
            raise UserError(f"train.init_from={path} {_what_it_is(folder)}")
        if export is None or (folder / "config.json").is_file():
            run = Run.open(folder)
            return cls(path, run.config.model, run.config.model_args, run.spec, run=run)
        manifest = read_manifest(export)
        if missing := [name for name in ("model", "model_args") if name not in manifest]:
            raise UserError(f"train.init_from={path}: its manifest lacks {' and '.join(missing)}; export the run again")
        spec = DataSpec.from_json(manifest["spec"])
        return cls(path, manifest["model"], manifest["model_args"], spec, export=export, manifest=manifest)

    @property
    def attribution(self) -> list[str]:
        """Whom to name, and under which license, wherever its weights go: by the export, or by the run's own source."""
        return list((self.run.initial_weights or {} if self.run else self.manifest).get("attribution", []))

    @property
    def trained_with(self) -> list[str]:
        """The extractors whose features it was trained with; see `Run.trained_with`."""
        return self.run.trained_with if self.run else list(self.manifest.get("trained_with", []))

    @property
    def kind(self) -> str:
        """What it is, in words: "a dcgan, checkpoint best"."""
        return f"a {self.model}, {'checkpoint best' if self.run else 'exported'}"

    def load(self) -> tuple[dict[str, keras.layers.Layer], str]:
        """Name -> network with the trained weights, without those that an export does not hold; and the weights' hash.

        Raises:
            UserError: its weights are damaged.
        """
        if self.run:
            model = self.run.load_model("best")
            return {network.name: network for network in model.networks}, model.weights_hash()
        from kgen.models import build_model

        try:
            model = build_model(self.model, self.spec, **self.model_args)
            values = _exported_weights(self.export, self.manifest)
            found = {network.name: network for network in model.networks if _assigned(network, values)}
            return found, self.manifest["weights_hash"]
        except UserError:
            raise
        except Exception as error:  # of any kind, for files of any content
            raise UserError(
                f"train.init_from={self.where}: the weights of {self.export} cannot be read ({first_line(error)}); "
                "bring its files back, or export the run again"
            ) from error


def _found(path: str) -> Path:
    """A path; one that begins with exports/ also in kgen's own folder, where the working folder has no such thing.

    Of what is at an address the copy: of a run, else of a version of an export.

    Raises:
        UserError: there is no such thing.
    """
    if is_url(path) and (path.startswith(SCHEMES) or "/v1/models/" in path):
        raise UserError(
            f"train.init_from={path} is the address of a server, which gives images and no weights; name the run, or "
            "the export that it serves"
        )
    if is_address(path):
        return local_path(path) if scheme_of(path) not in OF_THE_WEB and is_run(path) else fetch_export(path)
    given = Path(path)
    if given.parts[:1] != ("exports",) or given.exists():
        return given
    shipped = Path(__file__).resolve().parents[2] / given
    if not shipped.exists():
        raise UserError(
            f"train.init_from={path} does not exist; the exports that come with kgen lie in the folder exports/ of its "
            "source: call the command there, or give the whole path"
        )
    return shipped


def _what_it_is(path: Path) -> str:
    """What is there that is neither a run nor an export, and what to name: the end of a message."""
    if not path.exists():
        return "does not exist; kgen-train writes one, a run, and kgen-export an export"
    if path.is_file():
        return "is a file; name a run that kgen-train wrote, or an export, the folder that kgen-export wrote"
    held = [f"{path / child.name}" for child in sorted(path.iterdir()) if latest_version(child) or is_run(child)]
    named = f"it holds {', '.join(held[:MOST_NAMED])}" if held else "kgen-train writes runs, kgen-export exports"
    return f"is neither a run (it has no config.json) nor an export (no version with a saved_model.pb); {named}"


def _exported_weights(folder: Path, manifest: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """LAYER/WEIGHT -> value of what a version of an export holds; float16 of a discriminator as float32."""
    import tensorflow as tf

    for name, known in manifest.get("files", {}).items():
        holds_weights = name in ("saved_model.pb", DISCRIMINATOR) or name.startswith("variables/")
        if holds_weights and hashlib.sha256((folder / name).read_bytes()).hexdigest() != known["sha256"]:
            raise ValueError(f"{name} has changed since the export was written")
    loaded = tf.saved_model.load(str(folder))  # which owns the variables
    found = {v.name.removesuffix(":0"): v.numpy() for one in loaded.signatures.values() for v in one.variables}
    if (folder / DISCRIMINATOR).is_file():
        with np.load(folder / DISCRIMINATOR, allow_pickle=False) as arrays:
            found |= {name: arrays[name].astype(np.float32) for name in arrays.files}
    return found


def _assigned(network: keras.layers.Layer, values: Mapping[str, np.ndarray]) -> bool:
    """Assigns a network's weights from those of an export; whether it holds them. Counters stay as they are."""
    weights = [weight for weight in network.weights if "float" in weight.dtype]
    if not any(weight.path in values for weight in weights):
        return False
    for weight in weights:
        weight.assign(values[weight.path])
    return True


def seen_extractors(config: RunConfig) -> list[str]:
    """The extractors that what `train.init_from` names was trained with.

    Raises:
        UserError: there is no such run or export.
    """
    return TrainedModel.open(config.train.init_from).trained_with if config.train.init_from else []


# The architecture -----------------------------------------------------------------------------------------------------


def with_architecture(config: RunConfig) -> RunConfig:
    """The configuration with the architecture of what `train.init_from` names, where it is not given.

    Raises:
        UserError: there is no such run or export, it is of another family, or a setting that does not go with it.
    """
    train, preset = config.train, PRESETS[config.model]
    if train.freeze_layers and not preset.adversarial:
        raise UserError(
            f"train.freeze_layers is of adversarial models; {config.model!r} has no discriminator. Received: "
            f"{train.freeze_layers}"
        )
    if train.init_from is None:
        if train.init_discriminator:
            raise UserError("train.init_discriminator starts it from the run that train.init_from names; name one")
        if train.freeze_layers:
            raise UserError("train.freeze_layers keeps layers as train.init_from brings them; name a run or an export")
        return config
    source = TrainedModel.open(train.init_from)
    family, theirs = preset.family, PRESETS[source.model].family
    if theirs not in STARTS_FROM[family]:
        names = [name for name, other in PRESETS.items() if other.family in STARTS_FROM[family]]
        raise UserError(
            f"{config.model!r} cannot start from {source.where}, a {source.model}: train.init_from takes a run or an "
            f"export of {', '.join(names)}"
        )
    if train.init_discriminator and theirs != "VAE":
        raise UserError(
            f"train.init_discriminator is for the encoder of a VAE; {source.where} is a {source.model}, whose "
            "discriminator is taken anyway; leave it out"
        )
    names = [name for name in ARCHITECTURE[family] if name in ARCHITECTURE[theirs] and name in source.model_args]
    wanted = {name: source.model_args[name] for name in names}
    if not preset.conditional:
        wanted.pop("projection", None)
    penalized = any((preset.args | dict(config.model_args)).get(name) for name in PENALTIES)
    if penalized:  # which forbids it: the layers take it on
        wanted.pop("discriminator_batch_norm", None)
    if train.init_discriminator:
        wanted["discriminator_activation"] = source.model_args["activation"]
    return dataclasses.replace(config, model_args=wanted | dict(config.model_args))


def with_architecture_of(run: Run, config: RunConfig) -> RunConfig:
    """The configuration with the architecture of a run that resumes, whose source may be gone by now."""
    names = [name for name in ARCHITECTURE[PRESETS[run.config.model].family] if name in run.config.model_args]
    wanted = {name: run.config.model_args[name] for name in names}
    return dataclasses.replace(config, model_args=wanted | dict(config.model_args))


# The weights ----------------------------------------------------------------------------------------------------------


@dataclass
class Copied:
    """What one network took.

    Attributes:
        name: of the network.
        taken: names of the layers that were taken.
        parts: those of them that were taken in part, with what was.
        for_classes: those of them that take the label, of other classes than the source's.
        new: name of a layer that keeps its initial values -> why.
        absent: the source has no such network.
    """

    name: str
    taken: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    for_classes: list[str] = field(default_factory=list)
    new: dict[str, str] = field(default_factory=dict)
    absent: bool = False

    def __str__(self):
        return f"{self.name} {len(self.taken)} of {counted(len(self.taken) + len(self.new), 'layer')}"


def initialize_weights(model: GenerativeModel, config: RunConfig) -> tuple[list[str], dict[str, Any]]:
    """Copies the weights of what `train.init_from` names into a model that is not compiled yet.

    Returns:
        Lines for the log, and what config.json records of the source: {"model", "weights_hash"}, "attribution" where
        somebody is to be named, and "trained_with" where it looked at an extractor's features.

    Raises:
        UserError: the source is damaged, of images of other channels, or nothing of it fits; or a layer that
            `train.freeze_layers` keeps is not among what was taken.
    """
    train = config.train
    source = TrainedModel.open(train.init_from)
    check_channels(source, model.spec, config.recipe)
    given, weights_hash = source.load()
    if train.init_discriminator:
        given["discriminator"] = given["encoder"]
    copied, generating = [], getattr(model, model.latent_network)
    for network in dict.fromkeys([generating, *model.networks]):
        name = model.latent_network if network is generating else network.name
        if not _by_layer(network):
            continue
        if network.name in given:
            of = given[network.name]
            classes = _label_inputs(of, source.spec), _label_inputs(network, model.spec)
            copied.append(_copy(of, network, name, *classes))
        else:
            copied.append(Copied(name, absent=True))
    if not any(one.taken for one in copied):
        raise UserError(
            f"train.init_from={source.where}: nothing of it fits: "
            + "; ".join(f"{one.name}: {_reasons(one)}" for one in copied if not one.absent)
            + ". Leave out the settings of model_args that differ from its own"
        )
    if train.freeze_layers:
        _check_frozen(model, train.freeze_layers, source, next(one for one in copied if one.name == "discriminator"))
    initial = {"model": source.model, "weights_hash": weights_hash}
    initial |= {"attribution": source.attribution} if source.attribution else {}
    initial |= {"trained_with": source.trained_with} if source.trained_with else {}
    return _lines(source, model, copied), initial


def check_same(run: Run, initial: Mapping[str, Any]):
    """Raises UserError where a run that begins again would start from other weights than those that it recorded."""
    if run.initial_weights not in (None, initial):
        raise UserError(
            f"{run.path} started from weights {run.initial_weights['weights_hash']}, and {run.config.train.init_from} "
            f"now holds {initial['weights_hash']}; bring those back, or start a new run"
        )


def check_channels(source: TrainedModel, spec: DataSpec, recipe: str | None):
    """Raises UserError where the source is a model of gray images and the data have colour, or vice versa."""
    theirs, ours = source.spec.image_shape[2], spec.image_shape[2]
    if theirs != ours:
        kinds = {1: "gray", 3: "colour"}
        by_recipe = recipe is not None and load_recipe(recipe).settings.get("train.init_from") == source.where
        other = f"take another recipe than {recipe}" if by_recipe else "leave out --init_from"
        advice = "add --grayscale" if theirs == 1 else f"start from a model of gray images, as {spec.name!r} has them"
        raise UserError(
            f"train.init_from={source.where} was trained on {kinds[theirs]} images, and data set {spec.name!r} has "
            f"{kinds[ours]} ones: {advice}, or {other}"
        )


def _by_layer(network: keras.layers.Layer) -> dict[str, dict[str, Any]]:
    """Name of a layer -> name -> weight, in order from the input; without layers that hold only counters."""
    found: dict[str, dict[str, Any]] = {}
    for weight in network.weights:
        if "float" in weight.dtype:
            layer, _, name = weight.path.rpartition("/")
            found.setdefault(layer, {})[name] = weight
    return found


def _label_inputs(network: keras.layers.Layer, spec: DataSpec) -> int:
    """Number of inputs of a network's first layer that say the class."""
    labelled = any(layer.name in LABELLED for layer in getattr(network, "layers", ()))
    return spec.num_classes if labelled else 0


def _copy(source: keras.layers.Layer, target: keras.layers.Layer, name: str, theirs: int = 0, ours: int = 0) -> Copied:
    """Copies the weights of every layer that fits.

    Args:
        source, target: networks.
        name: of the target, for the log.
        theirs, ours: inputs of the first layer of the source, and of the target, that say the class.
    """
    given, wanted = _by_layer(source), _by_layer(target)
    copied, first = Copied(name), next(iter(wanted))
    for layer, weights in wanted.items():
        if layer not in given:
            copied.new[layer] = "not in the source"
            continue
        if layer.endswith(NORM) and layer.removesuffix(NORM) not in copied.taken:
            copied.new[layer] = f"its layer {layer.removesuffix(NORM)} is new"
            continue
        values = {key: np.asarray(value) for key, value in given[layer].items()}
        if f"{layer}{NORM}" in given and f"{layer}{NORM}" not in wanted:
            values |= _folded(source, layer)
        part = False
        if layer == first and theirs != ours and "kernel" in values:
            values["kernel"], part = _for_classes(values["kernel"], tuple(weights["kernel"].shape), theirs, ours)
        reason = _misfit(values, weights)
        if reason:
            copied.new[layer] = reason
            continue
        for key, weight in weights.items():
            if key in values:
                weight.assign(values[key])
        copied.taken.append(layer)
        copied.parts += [f"{layer} (without its {counted(theirs, 'class')})" if theirs else layer] if part else []
        copied.for_classes += [layer] if layer == first and theirs != ours else []
    return copied


def _misfit(values: Mapping[str, np.ndarray], weights: Mapping[str, Any]) -> str:
    """Why values do not fit the weights of a layer; "" if they do."""
    for key, weight in weights.items():
        if key not in values:
            if key not in OPTIONAL:
                return f"its {key} is not in the source"
        elif values[key].shape != tuple(weight.shape):
            return f"{_size(weight.shape)}, in the source {_size(values[key].shape)}"
    return ""


def _size(shape) -> str:
    return "×".join(map(str, shape)) or "1"


def _for_classes(kernel: np.ndarray, shape: tuple[int, ...], theirs: int, ours: int) -> tuple[np.ndarray, bool]:
    """(a kernel [..., inputs, outputs] for another number of classes, True); the kernel itself where it cannot fit.

    Args:
        kernel: of the source: the last of its inputs say the class.
        shape: that is wanted.
        theirs, ours: numbers of those inputs.
    """
    own = kernel.shape[-2] - theirs
    if own != shape[-2] - ours:
        return kernel, False
    classes = kernel[..., own:, :]
    mean = classes.mean(axis=-2, keepdims=True) if theirs else np.zeros_like(kernel[..., :1, :])
    return np.concatenate([kernel[..., :own, :], np.repeat(mean, ours, axis=-2)], axis=-2), True


def _folded(network: keras.Model, name: str) -> dict[str, np.ndarray]:
    """Kernel and bias of a linear layer that equals one without a bias followed by batch normalization."""
    import keras

    linear, norm = network.get_layer(name), network.get_layer(f"{name}{NORM}")
    kernel, gamma, beta = (np.asarray(w) for w in (linear.kernel, norm.gamma, norm.beta))
    scale = gamma / np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
    bias = beta - np.asarray(norm.moving_mean) * scale
    if isinstance(linear, keras.layers.Conv2DTranspose):  # [height, width, outputs, inputs]
        return {"kernel": kernel * scale[:, None], "bias": bias}
    scale, bias = (np.resize(values, kernel.shape[-1]) for values in (scale, bias))  # a dense layer's of maps repeat
    return {"kernel": kernel * scale, "bias": bias}


def _reasons(copied: Copied) -> str:
    return ", ".join(f"{layer} ({reason})" for layer, reason in copied.new.items())


def _lines(source: TrainedModel, model: GenerativeModel, copied: list[Copied]) -> list[str]:
    """What was taken, and what was not."""
    absent = [one.name for one in copied if one.absent]
    line = f"weights from {source.where} ({source.kind}): {', '.join(str(one) for one in copied if not one.absent)}"
    new = [_reasons(one) for one in copied if one.new] + [f"the whole {name}" for name in absent]
    parts = [part for one in copied for part in one.parts]
    lines = [line + (f"; in part: {', '.join(parts)}" if parts else "") + (f"; new: {', '.join(new)}" if new else "")]
    if source.export and "discriminator" in absent:
        lines.append(f"note: {source.where} holds no discriminator; kgen-export --with_discriminator writes it")
    lines += [f"note: where this model goes, name: {text}" for text in source.attribution]
    theirs, ours = ("x".join(map(str, spec.image_shape[:2])) for spec in (source.spec, model.spec))
    if theirs != ours:
        lines.append(f"note: {source.where} was trained on images of {theirs}; these are of {ours} (--image_size)")
    return lines


# Frozen layers --------------------------------------------------------------------------------------------------------


def freeze_layers(model: GenerativeModel, count: int):
    """Keeps the first layers of the discriminator, and their batch normalization, from being trained.

    Args:
        model: not compiled yet, or to be compiled again.
        count: of the layers with weights; normalization is not counted.

    Raises:
        UserError: no layer would be left to train.
    """
    if not count:
        return
    names = _countable(model)
    if count >= len(names):
        raise UserError(
            f"train.freeze_layers={count}: the discriminator has {counted(len(names), 'layer')} with weights "
            f"({', '.join(names)}), and at least one must be trained"
        )
    frozen = {*names[:count], *(f"{name}{NORM}" for name in names[:count])}
    for layer in model.discriminator.layers:
        if layer.name in frozen:
            layer.trainable = False


def _countable(model: GenerativeModel) -> list[str]:
    """Names of the layers of the discriminator that have weights, without normalization."""
    return [name for name in _by_layer(model.discriminator) if not name.endswith(NORM)]


def _check_frozen(model: GenerativeModel, count: int, source: TrainedModel, copied: Copied):
    lacking = [name for name in _countable(model)[:count] if name not in copied.taken]
    if lacking:
        raise UserError(
            f"train.freeze_layers={count} keeps layers as {source.where} has them, and it has no {', '.join(lacking)} "
            "that fits; freeze fewer layers, or start from a run, or from an export --with_discriminator"
        )
    if blind := [name for name in _countable(model)[:count] if model.conditional and name in copied.for_classes]:
        raise UserError(
            f"train.freeze_layers={count} keeps {', '.join(blind)}, which takes the labels, as {source.where} has it, "
            "of other classes: it would never tell them apart. Add --set model_args.projection=true, which takes them "
            "at the last layer, or leave out --freeze_layers"
        )
