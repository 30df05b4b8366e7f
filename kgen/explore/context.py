"""What a user may choose of the pictures; each is a flag of kgen-explore."""

import dataclasses
import functools
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kgen import data, images, random
from kgen.config import DataConfig, RunConfig, override
from kgen.data.reference import Reference, load_reference
from kgen.errors import UserError
from kgen.evaluate.target import open_target
from kgen.explore.figures import save_gif
from kgen.nn.layers import OneHot
from kgen.registry import Registry
from kgen.run import Run


@dataclass(frozen=True)
class Options:
    """Choices.

    Attributes:
        seed: of everything that is drawn; the same seed gives the same pictures.
        label: class name or number that conditional models draw; None shows all.
        temperature: spread of drawn latent points.
        steps: pictures per strip.
        dims: two latent dimensions for the plane of `traversal`; None takes the two most used.
        between: "A,B": indices of real images, or image files, for `interpolation`; None takes random points.
        images: a folder, .zip or image file of the user's own for `reconstructions`.
        classes: "A,B" for `attributes`; None takes neighbours in the list of classes.
        projection: of `scatter` beyond two dimensions, "pca" or "tsne".
        features: of `features` and `neighbours`, see kgen.features.extractors; None takes "random" and "pixels".
        milliseconds: a GIF's frame lasts.
    """

    seed: int = 0
    label: str | None = None
    temperature: float = 1.0
    steps: int = 11
    dims: tuple[int, int] | None = None
    between: str | None = None
    images: str | None = None
    classes: str | None = None
    projection: str = "pca"
    features: str | None = None
    milliseconds: int = 120


# Kinds ----------------------------------------------------------------------------------------------------------------
# KINDS: the pictures that can be asked for by name, and what each needs.


KINDS = Registry("picture")
"""Name -> function of a Lab that yields Pictures; `needs` names attributes of the Lab that must not say why not."""


@dataclass(frozen=True)
class PictureKind:
    """A PNG, or a GIF of several frames.

    Attributes:
        name: of the file, without its ending.
        frames: each [H, W, 3] uint8, caption included.
        caption: what there is to see.
    """

    name: str
    frames: Sequence[np.ndarray]
    caption: str

    def save(self, folder: Path, milliseconds: int) -> Path:
        """Writes `folder/NAME.png` or `.gif`."""
        if len(self.frames) == 1:
            return images.save_png(folder / f"{self.name}.png", self.frames[0])
        return save_gif(folder / f"{self.name}.gif", self.frames, milliseconds)


# Lab ------------------------------------------------------------------------------------------------------------------
# Lab: a generator and, where they can be had, the real images it learned from; what every picture is made of.


MOST_CODES = 2_000
"""Real images that are encoded."""
MOST_CLASSES = 20
"""Rows or panels of classes."""


class Context:
    """What pictures are made of.

    Args:
        path: a run, an export, a .tflite file or the address of a server.
        options: what the user chose.
        checkpoint, prior: see `open_sampler`.
        dataset: the real images; None takes those that the model was trained on.
        data_settings: settings of `data` that differ.

    Attributes:
        sampler, spec, options: of the generator.
        run: None for an export or a server.
        name: to call it by.
        code_dim: leading numbers of z that are no pixel noise of a PixelVAE.
    """

    def __init__(
        self,
        path: str | Path,
        options: Options,
        *,
        checkpoint: str = "best",
        prior: str | None = None,
        dataset: str | None = None,
        data_settings: dict[str, Any] | None = None,
    ):
        self.subject = open_target(path, checkpoint=checkpoint, prior=prior)
        if self.subject.sampler is None:
            raise UserError(f"{path} is a folder of images; kgen-explore looks into a run, an export or a server")
        self.sampler, self.options = self.subject.sampler, options
        self.spec, self.run = self.sampler.spec, Run.open(path) if self.subject.kind == "run" else None
        self.name = self.subject.about["name"]
        self.data_config, self.named = self._data_config(dataset, data_settings or {}), dataset is not None
        size = int(np.prod(self.sampler.latent_shape))
        arguments = getattr(self.sampler, "manifest", {}).get("model_args", {})
        self.code_dim = getattr(getattr(self.sampler, "model", None), "code_dim", arguments.get("latent_dim", size))
        _ = self.label  # a wrong one is said before anything is drawn

    # What it has, and why it lacks something ------------------------------------------------------------------------

    @property
    def no_encoder(self) -> str:
        """Why images cannot be encoded; "" if they can."""
        return "" if self.sampler.encodes else "the model has no encoder"

    @functools.cached_property
    def no_data(self) -> str:
        """Why there are no real images; "" if there are."""
        if self.data_config is None:
            return "its real images are not known; name them with --dataset"
        try:
            self.reference  # noqa: B018  loads them
            return ""
        except UserError as error:
            if self.named:
                raise
            return str(error)

    @property
    def no_images(self) -> str:
        """Why there is nothing to encode; "" if there is."""
        return "" if self.options.images else self.no_data

    @property
    def no_classes(self) -> str:
        """Why the real images have no classes; "" if they have."""
        return self.no_data or ("" if self.reference.spec.num_classes > 1 else "the images have no classes")

    @property
    def no_labels(self) -> str:
        """Why nothing can be drawn of a class; "" if it can."""
        return "" if self.sampler.conditional else "the model is unconditional"

    @property
    def no_run(self) -> str:
        """Why nothing is known of the training; "" if it is."""
        return "" if self.run else "only a run directory tells of a training"

    @property
    def no_metrics(self) -> str:
        """Why there are no curves; "" if there are."""
        return self.no_run or ("" if self.run.metrics() else "its training has not ended an epoch")

    @property
    def no_frames(self) -> str:
        """Why there is no film of the training; "" if there is."""
        return self.no_run or ("" if len(self.frames("epoch")) > 1 else "its training wrote fewer than two grids")

    def frames(self, name: str) -> list[Path]:
        """The pictures samples/NAME-EPOCH.png of the run, in order."""
        return sorted((self.run.path / "samples").glob(f"{name}-[0-9][0-9][0-9][0-9]*.png"))

    @property
    def seeds(self) -> str:
        """How a caption says what was drawn."""
        spread = "" if self.options.temperature == 1 else f", temperature {self.options.temperature:g}"
        return f"seed {self.options.seed}{spread}, prior {self.sampler.prior}"

    # Drawing --------------------------------------------------------------------------------------------------------

    @functools.cached_property
    def label(self) -> int | None:
        """The class that was asked for."""
        if self.options.label is None:
            return None
        if not self.sampler.conditional:
            raise UserError(f"--label {self.options.label!r} was given, but the model is unconditional")
        return self.spec.label(self.options.label)

    @property
    def classes(self) -> list[int]:
        """The classes to show: the one asked for, or the first MOST_CLASSES."""
        if self.label is not None:
            return [self.label]
        return list(range(min(self.spec.num_classes, MOST_CLASSES)))

    def class_name(self, label: int) -> str:
        return str(self.spec.class_names[label]) if self.spec.class_names else str(label)

    def draw(self, count: int, labels: np.ndarray | None = None, first: int = 0) -> np.ndarray:
        """Latent points of the prior, [count, *latent_shape]."""
        return self.sampler.density.draw(
            self.options.seed, count, labels, first=first, temperature=self.options.temperature
        )

    def decode(self, z: np.ndarray, labels: Any = None) -> np.ndarray:
        """[N, H, W, C] uint8; labels: one for all or [N]; an unconditional model looks at none."""
        z = np.asarray(z, np.float32)
        if self.sampler.conditional:
            labels = np.broadcast_to(np.asarray(labels, np.int32), (len(z),)).copy()
        return images.to_uint8(self.sampler.decode(z, labels if self.sampler.conditional else None))

    def some_labels(self, count: int) -> np.ndarray:
        """A class a row: the one asked for, or all in turn; zeros of an unconditional model."""
        if not self.sampler.conditional:
            return np.zeros(count, np.int32)
        return np.array([self.classes[i % len(self.classes)] for i in range(count)], np.int32)

    # Real images ----------------------------------------------------------------------------------------------------

    @functools.cached_property
    def reference(self) -> Reference:
        """The real images: `real` of the test (or validation) split, `train`."""
        return load_reference(self.data_config, num_real=10_000, seed=self.subject.seed, spec=self.spec)

    @functools.cached_property
    def codes(self) -> "Codes":
        """Encodings of at most MOST_CODES real images."""
        real = self.reference.real.some(MOST_CODES)
        return self.encoded(real.pixels, real.labels)

    def encoded(self, pixels: np.ndarray, labels: np.ndarray) -> "Codes":
        """Encodings of images [N, H, W, C] uint8."""
        mean, log_var = self.sampler.encode(images.to_unit(np.asarray(pixels)), np.asarray(labels, np.int32))
        return Codes(pixels, labels, mean, log_var)

    def whole(self, codes: np.ndarray) -> np.ndarray:
        """Latent points of codes [N, at least code_dim]: what follows the code is drawn, the same for all."""
        z = np.repeat(self.draw(1, self.some_labels(1)), len(codes), axis=0)
        z[:, : self.code_dim] = codes[:, : self.code_dim]
        return z

    def _data_config(self, dataset: str | None, settings: dict[str, Any]) -> DataConfig | None:
        if dataset is None:
            base = self.subject.config
        else:
            height, width, channels = self.spec.image_shape
            base = DataConfig(dataset=dataset, image_size=(height, width), grayscale=channels == 1)
        return base and override(RunConfig(data=base), settings).data


@dataclasses.dataclass(frozen=True)
class Codes:
    """Encoded images.

    Attributes:
        pixels: [N, H, W, C] uint8.
        labels: [N].
        mean, log_var: of q(z|x), [N, *latent_shape].
    """

    pixels: np.ndarray
    labels: np.ndarray
    mean: np.ndarray
    log_var: np.ndarray


def shuffled(count: int, seed: int, name: str) -> np.ndarray:
    """A repeatable order."""
    return random.generator(seed, "explore", name).permutation(count)


# Own images -----------------------------------------------------------------------------------------------------------
# Images of the user's own, brought to the shape that the model knows.


def load_own_images(lab: Context, path: str) -> tuple[np.ndarray, np.ndarray]:
    """The images of a folder, a .zip or one file.

    Labels are those of folders that bear names of the model's classes, or `--label`.

    Returns:
        ([N, H, W, C] uint8, [N] int32).

    Raises:
        UserError: nothing there, or a conditional model and no label.
    """
    height, width, channels = lab.spec.image_shape
    place = Path(path)
    if not place.exists():
        raise UserError(f"--images {path} does not exist; give a folder, a .zip or an image file")
    with tempfile.TemporaryDirectory() as folder:
        if place.is_file() and place.suffix.lower() not in (".zip", ".npz", ".mat"):
            shutil.copy(place, Path(folder) / place.name)
            place = Path(folder)
        config = DataConfig(
            dataset=str(place),
            image_size=(height, width),
            grayscale=channels == 1,
            validation_fraction=0.0,
            cache="memory",
        )
        found = data.load(config)
        parts = [found.arrays(split) for split in found.splits]
    pixels, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if found.spec.image_shape != lab.spec.image_shape:
        raise UserError(
            f"--images {path}: images of shape {found.spec.image_shape}, the model's are {lab.spec.image_shape}"
        )
    return np.array(pixels), _labels(lab, found.spec.class_names, labels)


def _labels(lab: Context, names: tuple[str, ...], labels: np.ndarray) -> np.ndarray:
    if not lab.sampler.conditional:
        return np.zeros(len(labels), np.int32)
    if lab.label is not None:
        return np.full(len(labels), lab.label, np.int32)
    known = lab.spec.class_names
    if names and {*names} <= {*known}:
        return np.array([known.index(name) for name in names], np.int32)[labels]
    raise UserError(
        "the model is conditional and must be told the class of --images: give --label, or put them into folders with "
        f"the names of classes ({', '.join(map(str, known[:10]))})"
    )


# Soft labels ----------------------------------------------------------------------------------------------------------
# A conditional model that takes vectors in the place of labels: mixtures of classes.


@contextmanager
def soft_labels(model) -> Iterator:
    """The model; while the context lasts, `generate` takes labels [B, num_classes] float32 instead of [B] int32.

    Args:
        model: a conditional GenerativeModel whose decoder or generator sees the label as a one-hot vector.
    """
    name = model.latent_network
    network = getattr(model, name)
    (layer,) = (layer for layer in network.layers if type(layer) is OneHot)
    z = network.inputs[0]
    opened = keras.Model([z, layer.output], network.output)
    object.__setattr__(model, name, opened)  # past Keras, which would track its weights per second time
    try:
        yield model
    finally:
        object.__setattr__(model, name, network)
