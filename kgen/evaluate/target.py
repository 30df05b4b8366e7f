"""Targets of an evaluation: a run, an export, a .tflite file or a server that generates images, or a folder of them."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from kgen import data, images, random
from kgen.cache import digest
from kgen.config import DataConfig, RunConfig, override
from kgen.data.reference import Reference, chosen_rows
from kgen.data.sources import base
from kgen.data.sources.resolve import is_data_file
from kgen.data.training_data import Content, TrainingData
from kgen.errors import UserError
from kgen.mirror import local_path
from kgen.run import Run
from kgen.sampling import SINGLE_FILES, Sampler, StandardNormal, is_url, latest_version, open_run, open_sampler
from kgen.spec import DataSpec

BATCH, BATCH_VALUES = 1024, 2**26
"""Images that are generated at a time, and the largest number of their values."""


@dataclass
class Target:
    """A source of generated images.

    Attributes:
        path: as the user gave it.
        kind: "run", "saved_model", "tflite", "onnx", "server" or "folder".
        sampler: generates the images; None for a folder.
        config: the data set it was trained on; None when unknown.
        seed: root seed of the run; it chose the validation split.
        data_hashes: split -> content hash of what it was trained on, where that is known and whole.
        trained_on: the images that it was trained on; None when unknown.
        read_as: how a folder of images is read, if it is the data set that it is compared with.
        out: the file of its results.
        trained_with: extractors whose features it was trained with; see `Run.trained_with`.
        mirrored: whether it was trained on mirrored images, too.
        about: facts that its results hold (name, kind, parameters, ...); completed by `sample`.
    """

    path: str
    kind: str
    sampler: Sampler | None
    config: DataConfig | None
    seed: int
    out: Path
    about: dict[str, Any] = field(default_factory=dict)
    data_hashes: Mapping[str, str] = field(default_factory=dict)
    trained_on: TrainingData | None = None
    read_as: DataConfig | None = None
    trained_with: Sequence[str] = ()
    mirrored: bool = False

    @property
    def spec(self) -> DataSpec | None:
        return None if self.sampler is None else self.sampler.spec

    @property
    def content(self) -> Content | None:
        """What identifies the images that it was trained on; None when unknown."""
        return self.trained_on and self.trained_on.content

    @property
    def repeatable(self) -> bool:
        """Whether another seed gives other images."""
        return self.sampler is not None

    def real_images(self, dataset: str | None, settings: Mapping[str, Any] | None = None) -> tuple[DataConfig, bool]:
        """The real images to compare with, and whether they are those that it was trained on.

        Args:
            dataset: named by the user; None takes the data that it was trained on.
            settings: how they are read, e.g. {"data.image_size": [64, 64]}; see DataConfig.

        Raises:
            UserError: no data set is named, and none is known, or it is not there any more.
        """
        trained_on = self.trained_on
        if dataset is None and trained_on is None:
            raise UserError(f"{self.path} has no record of its training data; name the real images with --dataset")
        if dataset is None:
            if trained_on.missing:
                raise UserError(trained_on.missing)
            config, own = trained_on.located, True
        else:
            differs = trained_on.difference_at(dataset) if trained_on else ""
            own = trained_on is not None and not differs
            self.about |= {"other_data": differs} if differs else {}
            same_name = trained_on is not None and dataset == trained_on.config.dataset
            config = trained_on.moved(dataset) if own or same_name else self._other_images(dataset)
        config = override(RunConfig(data=config), settings or {}).data
        if self.kind == "folder" and Path(self.path).resolve() == Path(config.dataset).expanduser().resolve():
            self.read_as = config
        return config, own

    def _other_images(self, dataset: str) -> DataConfig:
        """Another data set, in the shape of the generated images."""
        if self.spec is None:
            return DataConfig(dataset=dataset)
        height, width, channels = self.spec.image_shape
        return DataConfig(dataset=dataset, image_size=(height, width), grayscale=channels == 1)

    def check_unchanged(self, reference: Reference):
        """Raises UserError when the real images are not those that there were when it was trained."""
        split = reference.real.split
        was = self.data_hashes.get(split)
        change = reference.changed if split == "train" else "" if was else reference.change_in(split)
        if change:
            raise UserError(change)
        if split != "train" and was not in (None, reference.real.hash):
            raise UserError(
                f"the {split} images of {reference.spec.name!r} have changed since {self.path} was trained (content "
                f"hash {was}, now {reference.real.hash}); restore them, or name the data to evaluate on with --dataset"
            )

    def check_classes(self, reference: Reference):
        """Raises UserError for a conditional model of other classes than the reference's."""
        sampler, classes = self.sampler, reference.spec.num_classes
        if sampler is None or not sampler.conditional or classes == (sampler.spec.num_classes or classes) > 0:
            return
        raise UserError(
            f"{self.path} knows {sampler.spec.num_classes} classes, data set {reference.spec.name!r} has "
            f"{classes}; give the data set that it was trained on with --dataset"
        )

    def sample(
        self, reference: Reference, count: int, seed: int, progress: Callable[[int], None] = lambda images: None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Generated images and their labels; conditional models generate all classes in turn.

        Args:
            reference: names the classes, and the shape of the images.
            count: how many; a folder gives at most what it holds.
            seed: of the latent points, or of the choice from a folder.
            progress: called with the number of images that were added.

        Returns:
            [N, H, W, C] uint8, and [N] int32 or None.
        """
        if self.sampler is None:
            return _from_folder(self, reference, count, seed)
        self.check_classes(reference)
        sampler, classes = self.sampler, reference.spec.num_classes
        check_room(count, reference.spec)
        labels = np.arange(count, dtype=np.int32) % classes if sampler.conditional else None
        pixels = np.empty((count, *reference.spec.image_shape), np.uint8)
        one = None if labels is None else labels[:1]
        by_number = labels is not None and not sampler.spec.num_classes  # a server
        given = reference.spec.numbers(labels) if by_number else labels
        sampler.decode(sampler.density.sample(seed, 1, one), None if given is None else given[:1])  # traces the graph
        started = time.monotonic()
        batch = min(BATCH, max(1, BATCH_VALUES // reference.spec.num_pixels))
        for start in range(0, count, batch):
            rows = slice(start, min(start + batch, count))
            some = None if labels is None else labels[rows]
            z = sampler.density.sample(seed, rows.stop - start, some, first=start)
            pixels[rows] = images.to_uint8(sampler.decode(z, None if given is None else given[rows]))
            progress(len(z))
        self.about["seconds_per_1000_samples"] = round((time.monotonic() - started) * 1000 / count, 4)
        return pixels, labels


def open_target(
    path: str | Path, *, checkpoint: str = "best", prior: str | None = None, dataset: str | None = None
) -> Target:
    """Opens what can be evaluated.

    A generator whose z is sampled from another prior is another generator, evaluated by the same protocol: the prior is
    part of the target, its results go into a file of their own, and `kgen-compare` lists it beside the others.

    Args:
        path: see above.
        checkpoint: of a run: "best" or "last".
        prior: what z is sampled from; see `open_sampler`.
        dataset: where the data of a run are looked for, if they are not where they were: a prior may have to be fitted.

    Raises:
        UserError: there is no such thing at the path.
    """
    if is_url(path):
        sampler = open_sampler(path, prior=prior)
        about = {"name": sampler.spec.name, "path": str(path), "kind": "server", "version": sampler.version}
        about |= _prior(sampler)
        out = Path("eval") / f"{base.slug(str(path))}.jsonl"
        return Target(str(path), "server", sampler, None, 0, out, about)
    given, path = str(path), local_path(path)
    if (path / "config.json").is_file():
        return _open_run(given, path, checkpoint, prior, dataset)
    if checkpoint != "best":
        raise UserError(f"--checkpoint {checkpoint} takes a run directory. Received: {path}")
    version = path if (path / "saved_model.pb").is_file() else latest_version(path)
    if path.suffix in SINGLE_FILES or version:
        return _open_export(given, path if version is None else version, prior)
    if prior is not None and path.exists():
        raise UserError(f"--prior {prior} takes a generator. Received: {path}, which holds images")
    if path.is_dir() or is_data_file(path):
        about = {"name": path.resolve().name, "path": given, "kind": "folder"}
        return Target(given, "folder", None, None, 0, Path("eval") / f"{base.slug(path.stem)}.jsonl", about)
    what = "cannot be evaluated" if path.exists() else "does not exist"
    raise UserError(
        f"{path} {what}; give a run directory, an export, a .tflite file, a server's address, or a folder of images"
    )


def check_room(count: int, spec: DataSpec, flag: str = "--count"):
    """Raises UserError, which names the flag, when so many images do not fit into memory."""
    need, room = count * spec.num_pixels, psutil.virtual_memory().available
    if need > room:
        raise UserError(
            f"{flag} {count}: so many images of {'x'.join(map(str, spec.image_shape))} take {need / 2**30:.1f} GiB, "
            f"and {room / 2**30:.1f} GiB of memory are available; give a smaller {flag}, e.g. {flag} "
            f"{max(2, room // (4 * spec.num_pixels))}"
        )


def _open_run(given: str, path: Path, checkpoint: str, prior: str | None, dataset: str | None) -> Target:
    run = Run.open(path)
    trained_on = run.training_data
    if dataset is not None and trained_on.missing:
        run.move_data(dataset)
    sampler = open_run(run, checkpoint=checkpoint, prior=prior)
    epochs, state = run.metrics(), run.checkpoint_state([checkpoint]).get(checkpoint, {})
    about = {
        "name": run.name,
        "path": given,
        "kind": "run",
        "model": run.config.model,
        "checkpoint": checkpoint,
        "epoch": state.get("epoch"),
        "parameters": sampler.parameters,
        "bytes": run.checkpoint(checkpoint).stat().st_size,
        "training_seconds": epochs[-1]["elapsed_seconds"] if epochs else None,
        "dataset": run.spec.name,
        **_prior(sampler),
    }
    hashes = {} if run.config.data.limit else run.data_hashes
    out = path / "eval" / f"{checkpoint}{_suffix(sampler)}.jsonl"
    return Target(
        given, "run", sampler, trained_on.config, run.config.seed, out, about, hashes, trained_on,
        trained_with=run.trained_with, mirrored=run.config.train.flip == "on",
    )  # fmt: skip


def _open_export(given: str, path: Path, prior: str | None) -> Target:
    sampler = open_sampler(path, prior=prior)
    single = path.suffix in SINGLE_FILES
    kind, folder = (path.suffix[1:], path.parent) if single else ("saved_model", path)
    manifest = sampler.manifest
    about = {
        "name": f"{folder.parent.name}/{folder.name}" + (f"/{path.name}" if single else ""),
        "path": given,
        "kind": kind,
        "model": manifest["model"],
        "checkpoint": manifest["checkpoint"]["which"],
        "epoch": manifest["checkpoint"].get("epoch"),
        "parameters": sampler.parameters,
        "bytes": path.stat().st_size if single else manifest["bytes"][kind],
        "dataset": sampler.spec.name,
        **_prior(sampler),
    }
    settings = {f"data.{name}": value for name, value in manifest.get("data", {}).items()}
    config = override(RunConfig(), settings).data if settings else None
    hashes = {} if config is None or config.limit else manifest.get("data_hashes", {})
    seed, trained_on = manifest.get("seed", 0), None
    if config is not None:
        content = Content(sampler.spec.examples, manifest.get("data_hashes", {}), manifest.get("data_names", {}))
        trained_on = TrainingData(f"export {path}", config, seed, content, manifest.get("data_places"))
    out = folder / "eval" / f"{kind}{_suffix(sampler)}.jsonl"
    return Target(
        given, kind, sampler, config, seed, out, about, hashes, trained_on,
        trained_with=manifest.get("trained_with", []), mirrored=manifest.get("mirrored", False),
    )  # fmt: skip


def _prior(sampler: Sampler) -> dict[str, Any]:
    return {"prior": sampler.prior, "prior_hash": sampler.density.hash}


def _suffix(sampler: Sampler) -> str:
    """Of the file of results: those of a fitted prior have one of their own."""
    return "" if sampler.prior == StandardNormal.name else f"-{sampler.prior}"


def _from_folder(target: Target, reference: Reference, count: int, seed: int):
    """The images of a folder in the reference's shape; labels where its classes have the reference's names.

    All of its splits; of the set that the reference is a split of, that split alone.
    """
    height, width, channels = reference.spec.image_shape
    config = replace(
        target.read_as or DataConfig(target.path),
        image_size=(height, width),
        grayscale=channels == 1,
        limit=None,
        validation_fraction=0.0,
    )
    try:
        found = data.load(config)
    except UserError as error:
        if target.read_as:
            raise
        raise UserError(
            f"{error}. Flags say how --dataset is read, and {target.path} is read without any: save it so that this "
            "is possible, e.g. as PNG files"
        ) from error
    if found.spec.image_shape != reference.spec.image_shape:
        raise UserError(
            f"{target.path} holds images of shape {found.spec.image_shape}, those of data set "
            f"{reference.spec.name!r} are {reference.spec.image_shape}"
        )
    splits, real = found.splits, reference.real
    if len(splits) > 1 and real.split in splits and found.fingerprint(real.split) == real.hash:
        splits = (real.split,)  # a set against itself
        target.about["split"] = real.split
    parts = [found.arrays(split) for split in splits]
    pixels, labels = parts[0] if len(parts) == 1 else map(np.concatenate, zip(*parts, strict=True))
    names = found.spec.class_names
    if names and set(names) <= set(reference.spec.class_names):
        labels = np.array([reference.spec.class_names.index(name) for name in names], np.int32)[labels]
    else:
        labels = None
    if count < len(pixels):
        if [found.fingerprint(split) for split in splits] == [real.hash]:  # the same images: the same choice
            rows = chosen_rows(real.split, len(pixels), count)
        else:
            rows = np.sort(random.generator(seed, "folder").choice(len(pixels), count, replace=False))
        pixels, labels = pixels[rows], None if labels is None else labels[rows]
    if found.source.size != (height, width):
        target.about["resized_from"] = "x".join(map(str, found.source.size)) if found.source.size else "many sizes"
    if (found.source.channels in (1, 2)) != (channels == 1):
        target.about["made"] = "gray" if channels == 1 else "colour"
    target.about["content_hash"] = digest(np.ascontiguousarray(pixels))
    return pixels, labels
