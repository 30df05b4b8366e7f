"""What pictures are made of: a generator, the user's options and, where they are available, the real images.

What may be missing has a property `no_NEED` that gives the reason, or "" where it is there; see `Kind.needs`.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kgen import images, random
from kgen.data.reference import Reference, load_reference
from kgen.errors import UserError
from kgen.evaluate.target import open_target
from kgen.explore.kinds import Options
from kgen.run import Run
from kgen.sampling import ROWS_PER_CALL, check_request
from kgen.sampling.sampler import Described

MAX_CODES = 2_000
"""Real images that are encoded."""
DECODED_ROWS = 8 * ROWS_PER_CALL
"""Images that are floats at the same time."""
MAX_CLASSES = 20
"""Classes that get a row or a panel."""


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
        name: of the generator, for captions.
        code_dim: leading dimensions of z that are the code; the others are the pixel noise of a PixelVAE.
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
        self.target = open_target(path, checkpoint=checkpoint, prior=prior, dataset=dataset)
        if self.target.sampler is None:
            raise UserError(f"{path} is a folder of images; kgen-explore takes a run, an export or a server")
        self.sampler, self.options = self.target.sampler, options
        self.spec, self.run = self.sampler.spec, Run.open(path) if self.target.kind == "run" else None
        self.name = self.target.about["name"]
        self._dataset, self._data_settings = dataset, data_settings
        size = int(np.prod(self.sampler.latent_shape))
        arguments = getattr(self.sampler, "manifest", {}).get("model_args", {})
        self.code_dim = getattr(getattr(self.sampler, "model", None), "code_dim", arguments.get("latent_dim", size))
        _ = self.label  # fails early for a wrong one

    # Why something is missing -------------------------------------------------------------------------------------

    @property
    def no_encoder(self) -> str:
        """Why images cannot be encoded; "" if they can."""
        return "" if self.sampler.encodes else "the model has no encoder"

    @functools.cached_property
    def no_data(self) -> str:
        """Why there are no real images; "" if there are."""
        try:
            self.reference  # noqa: B018  loads them
            return ""
        except UserError as error:
            if self._dataset is not None:
                raise
            return str(error)

    @property
    def no_training_data(self) -> str:
        """Why the images that it was trained on are not there; "" if they are."""
        return self.no_data or self.reference.changed

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
        """Why there are no samples of a class; "" if there are."""
        if not self.sampler.conditional:
            return "the model is unconditional"
        return "" if self.spec.num_classes else "a server does not tell the classes"

    @property
    def no_run(self) -> str:
        """Why the training is not known; "" if it is."""
        return "" if self.run else "only a run directory records a training"

    @property
    def no_metrics(self) -> str:
        """Why there are no curves; "" if there are."""
        return self.no_run or ("" if self.run.metrics() else "its training has not completed an epoch")

    @property
    def no_frames(self) -> str:
        """Why there is no animation of the training; "" if there is."""
        return self.no_run or ("" if len(self.frames("epoch")) > 1 else "its training wrote fewer than two grids")

    def frames(self, name: str) -> list[Path]:
        """The pictures samples/NAME-EPOCH.png of the run, in order."""
        return sorted((self.run.path / "samples").glob(f"{name}-[0-9][0-9][0-9][0-9]*.png"))

    @property
    def seeds(self) -> str:
        """For captions: seed, temperature and prior."""
        spread = "" if self.options.temperature == 1 else f", temperature {self.options.temperature:g}"
        return f"seed {self.options.seed}{spread}, prior {self.sampler.prior}"

    # Sampling -------------------------------------------------------------------------------------------------------

    @functools.cached_property
    def label(self) -> int | None:
        """The class that was asked for."""
        return label_of(self.options, self.sampler)

    @property
    def classes(self) -> list[int]:
        """The classes to show: the one asked for, or the first MAX_CLASSES."""
        if self.label is not None:
            return [self.label]
        return list(range(min(self.spec.num_classes, MAX_CLASSES)))

    def class_name(self, label: int) -> str:
        return self.spec.class_name(label)

    def sample_latents(self, count: int, labels: np.ndarray | None = None, first: int = 0) -> np.ndarray:
        """Latent points of the prior, [count, *latent_shape]."""
        return self.sampler.density.sample(
            self.options.seed, count, labels, first=first, temperature=self.options.temperature
        )

    def decode(self, z: np.ndarray, labels: Any = None) -> np.ndarray:
        """[N, H, W, C] uint8; labels: one for all or [N]; an unconditional model ignores them."""
        z, conditional = np.asarray(z, np.float32), self.sampler.conditional
        labels = np.broadcast_to(np.asarray(labels, np.int32), (len(z),)).copy() if conditional else None
        parts = [slice(start, start + DECODED_ROWS) for start in range(0, len(z), DECODED_ROWS)]
        decoded = (self.sampler.decode(z[part], labels[part] if conditional else None) for part in parts)
        return np.concatenate([images.to_uint8(some) for some in decoded])

    def decode_rows(self, z: np.ndarray, labels: Any = 0) -> np.ndarray:
        """Rows of images in one call of the sampler, which fills up the batches of its graph only once.

        Args:
            z: [R, N, *latent_shape].
            labels: one for all, [R, 1] or [R, N]; an unconditional model ignores them.

        Returns:
            [R, N, H, W, C] uint8.
        """
        rows, count = z.shape[:2]
        labels = np.broadcast_to(np.asarray(labels, np.int32), (rows, count)).reshape(-1)
        pixels = self.decode(z.reshape(-1, *z.shape[2:]), labels)
        return pixels.reshape(rows, count, *pixels.shape[1:])

    def some_labels(self, count: int) -> np.ndarray:
        """[count] int32: the class asked for, or all classes in turn; zeros for an unconditional model."""
        if not self.sampler.conditional:
            return np.zeros(count, np.int32)
        return np.array([self.classes[i % len(self.classes)] for i in range(count)], np.int32)

    # Real images ----------------------------------------------------------------------------------------------------

    @functools.cached_property
    def reference(self) -> Reference:
        """The real images, as `kgen-eval` chooses them.

        Raises:
            UserError: they cannot be read, or are not those that there were when the model was trained.
        """
        real, own = self._real_images
        as_trained = self._dataset is None and not self._data_settings
        reference = load_reference(
            real, num_real=10_000, seed=self.target.seed, spec=self.spec, own=own,
            content=self.target.content if as_trained else None,
        )  # fmt: skip
        if as_trained:
            self.target.check_unchanged(reference)
        return reference

    @property
    def searched(self) -> str:
        """What the images of `reference.trained_on` are called."""
        return "training images" if self._real_images[1] else f"images of data set {self.reference.spec.name!r}"

    @functools.cached_property
    def _real_images(self):
        return self.target.real_images(self._dataset, self._data_settings)

    @functools.cached_property
    def codes(self) -> "Codes":
        """Codes of at most MAX_CODES real images."""
        real = self.reference.real.some(MAX_CODES)
        return self.encode(real.pixels, real.labels)

    def encode(self, pixels: np.ndarray, labels: np.ndarray) -> "Codes":
        """Codes of images [N, H, W, C] uint8."""
        pixels = np.asarray(pixels)
        mean, log_var = self.sampler.encode(images.to_unit(pixels), np.asarray(labels, np.int32))
        return Codes(pixels, labels, mean, log_var)

    def latents_of(self, codes: np.ndarray) -> np.ndarray:
        """Latent points of codes [N, at least code_dim]; the noise after the code is sampled once for all."""
        z = np.repeat(self.sample_latents(1, self.some_labels(1)), len(codes), axis=0)
        z[:, : self.code_dim] = codes[:, : self.code_dim]
        return z


def label_of(options: Options, generator: Described) -> int | None:
    """The class that was asked for; raises UserError when the generator has none of it. Of a conditional model whose
    classes are not known, as of a server, one has to be asked for, by its number."""
    if generator.conditional and not generator.spec.num_classes:
        return int(check_request(generator, 1, labels=options.label)[0])
    if options.label is None:
        return None
    if not generator.conditional:
        raise UserError(f"--label {options.label!r} was given, but the model is unconditional")
    return generator.spec.label(options.label)


def check_dims(options: Options, code_dim: int):
    """Raises UserError when `dims` are not two of the dimensions of a code."""
    dims = options.dims
    if dims and (len({*dims}) != 2 or not all(0 <= d < code_dim for d in dims)):
        raise UserError(f"--dims takes two of the dimensions 0 to {code_dim - 1}. Received: {dims[0]},{dims[1]}")


@dataclass(frozen=True)
class Codes:
    """Images with their codes, the posteriors q(z|x).

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
    """A reproducible permutation of `count` indices; `name` of the random stream."""
    return random.generator(seed, "explore", name).permutation(count)
