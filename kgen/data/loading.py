"""The input pipeline: from the name or the path of a data set to batches of images, in five steps.

1. read: a `Source` of `kgen.data.sources` lists the images of a folder, a zip, an .npz or .mat file or a TFDS set, and
   `kgen.data.splits` says which of them are for training, validation and testing.
2. transform: every image gets one number of channels, one aspect ratio and one size, in uint8 (`transforms`).
3. store: decoded once and kept in memory or in a memory-mapped file, or decoded again in each epoch (`store`).
4. order: the rows of an epoch are permuted and cut into batches (`dataset`).
5. normalise: uint8 becomes float32 in [0, 1], or is binarized (`dataset`).

`load` runs steps 1 to 3 and returns a `Dataset`, whose `batches` are steps 4 and 5. `pipeline` does both in one call.
"""

from collections.abc import Mapping

import numpy as np

from kgen.config import DataConfig
from kgen.data import value_range
from kgen.data.dataset import Dataset
from kgen.data.sources.base import WHITE, Skipped, Source
from kgen.data.sources.resolve import open_source
from kgen.data.splits import make_splits, split_notes
from kgen.data.store import StoredSplit, store, transformed_records
from kgen.data.transforms import make_transform
from kgen.errors import UserError
from kgen.options import coerce, lookup, schema_of
from kgen.spec import DataSpec
from kgen.tables import counted

NAMED = 5  # skipped images that a message names
BLOCK_IMAGES, BLOCK_BYTES = 512, 2**20  # what is looked at in one go, to find whether a set is black and white


def load(config: DataConfig, *, seed: int = 0) -> Dataset:
    """Opens a data set, splits it, brings its images to one shape and keeps them where there is room.

    Args:
        config: which images, and how.
        seed: of the validation split and of `config.limit`.

    Returns:
        Dataset.

    Raises:
        UserError: the set is not there, cannot be read, or does not fit the settings.
    """
    # 1. read: a source, and which of its images are for what
    source = open_source(config)
    refuse_unread(source, config)
    splits, notes = make_splits(source, config, seed)
    chosen = {stored: _in_order(source, stored, splits) for stored in dict.fromkeys(s for s, _ in splits.values())}
    total = len(source.skipped) + sum(map(len, chosen.values()))
    readable = source.scan(chosen)
    left_out = refuse_or_note(source.skipped, total, config)
    if not any(map(len, readable.values())):
        raise UserError(f"data set {source.name!r}: no image can be read. {left_out}")
    # 2. transform: channels, aspect ratio, size
    image_shape = image_shape_of(source, config)
    transform = make_transform(source.channels, image_shape, config.fit, source.size)
    # 3. store: decoded once, in memory, on disk, or not at all
    kept, where = store(source, readable, transform, image_shape, config)
    left_out = refuse_or_note(source.skipped, total, config)
    unlabelled = total - len(source.skipped) - sum(len(stored.indices) for stored in kept.values())
    if unlabelled:
        notes.append(counted(unlabelled, "image has no label and is", "images have no label and are") + " left out")
    rows = _rows_per_split(splits, kept)
    if not len(rows["train"][1]):
        raise UserError(f"data set {source.name!r}: no training image is left. {left_out}")
    spec = _spec(source, image_shape, rows)
    pixels = _pixels(kept, source, rows["train"], transform)
    findings = value_range.check_brightness(pixels, source.value_range, source.name)
    binary = config.binarize != "none" or _is_black_and_white(pixels[0])
    # 4. order and 5. normalise: in `Dataset.batches`
    return Dataset(
        spec,
        source,
        kept,
        rows,
        transform=transform,
        binarize=config.binarize,
        binary=binary,
        notes=tuple(
            filter(None, [*source.notes, *notes, *split_notes(source, config, seed, spec.examples), left_out, where])
        ),
        findings=(*source.findings, *findings),
        skipped=tuple(source.skipped),
    )


def resplit(dataset: Dataset, config: DataConfig, *, seed: int = 0, stratified: bool = True) -> Dataset:
    """The images of a loaded set in other splits: they are not read again, and there is no second copy.

    Args:
        dataset: loaded with the settings of `config`, but for `validation_fraction`, and without a limit.
        config: its `validation_fraction` and its `limit` count.
        seed: of the validation split and of the limit.
        stratified: see `make_splits`.

    Returns:
        What `load(config, seed=seed)` returns, but for the notes.
    """
    source, kept, transform = dataset.source, dataset.stored_splits, dataset.transform
    splits, _ = make_splits(source, config, seed, stratified=stratified)
    rows = _rows_per_split(splits, kept)
    binary = config.binarize != "none" or _is_black_and_white(_pixels(kept, source, rows["train"], transform)[0])
    return Dataset(
        _spec(source, dataset.spec.image_shape, rows),
        source,
        kept,
        rows,
        transform=transform,
        binarize=config.binarize,
        binary=binary,
        skipped=dataset.skipped,
    )


def pipeline(
    dataset: str | Dataset | DataConfig,
    split: str = "train",
    *,
    batch_size: int = 128,
    seed: int = 0,
    limit: int | None = None,
    **options,
):
    """A `tf.data.Dataset` that any Keras model can `fit`.

    >>> for images, labels in pipeline("digits", batch_size=64): ...

    Args:
        dataset: "digits", a TFDS name, a path, a DataConfig, or a loaded Dataset.
        split: "train", "validation" or "test".
        batch_size: images per batch.
        seed: of splits, order, sampled binarization and limit.
        limit: at most so many images, a seeded choice.
        **options: fields of DataConfig, e.g. `image_size=(64, 64)`, `binarize="threshold"`.

    Returns:
        (images [B, H, W, C] float32 in [0, 1], labels [B] int32; zeros when unlabelled). See `Dataset.batches`.

    Raises:
        UserError: an unknown option, or what `load` raises.
    """
    if isinstance(dataset, str):
        schema = schema_of(DataConfig)
        if isinstance(options.get("image_size"), int):
            options["image_size"] = (options["image_size"],) * 2
        checked = {k: coerce(f"data.{k}", v, lookup(schema, f"data.{k}", k)) for k, v in options.items()}
        dataset = DataConfig(dataset=dataset, limit=limit, **checked)
        options = {}
    if options:
        raise UserError(f"options {sorted(options)} belong to the name of a data set; put them into the DataConfig")
    if isinstance(dataset, DataConfig):
        dataset = load(dataset, seed=seed)
    return dataset.batches(split, batch_size=batch_size, seed=seed, limit=limit)


def _in_order(source: Source, stored: str, splits) -> np.ndarray:
    """All indices that any split takes from a stored one, in the source's order: one layout whatever the seed."""
    wanted = np.concatenate([indices for s, indices in splits.values() if s == stored])
    order = source.order(stored)
    return order[np.isin(order, wanted)]


def _rows_per_split(
    splits: Mapping[str, tuple[str, np.ndarray]], kept: Mapping[str, StoredSplit]
) -> dict[str, tuple[str, np.ndarray]]:
    """Split -> (the stored split, the rows of its images there); a split of which nothing is kept is left out."""
    rows = {name: (stored, _rows_of(indices, kept[stored].indices)) for name, (stored, indices) in splits.items()}
    return {name: (stored, r) for name, (stored, r) in rows.items() if len(r) or name == "train"}


def _rows_of(indices: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The places of `indices` in `kept`, without those that are not there."""
    by_index = np.argsort(kept, kind="stable")
    place = np.searchsorted(kept, indices, sorter=by_index)
    there = place < len(kept)
    there[there] = kept[by_index[place[there]]] == indices[there]
    return by_index[place[there]]


def _spec(source: Source, image_shape: tuple[int, int, int], rows: Mapping[str, tuple[str, np.ndarray]]) -> DataSpec:
    return DataSpec(
        name=source.name,
        image_shape=image_shape,
        num_classes=source.num_classes,
        class_names=source.class_names,
        examples={name: len(r) for name, (_, r) in rows.items()},
    )


def image_shape_of(source: Source, config: DataConfig) -> tuple[int, int, int]:
    """(H, W, C) that the images of a scanned source are brought to.

    Raises:
        UserError: they have several sizes, and none is asked for.
    """
    channels = 1 if config.grayscale or source.channels < 3 else 3
    size = config.image_size or source.default_size or source.size
    if size is None:
        raise UserError(
            f"the images of {source.name!r} have {source.describe_sizes()}; give them one size with --image_size N, "
            "for example --image_size 64"
        )
    return (*size, channels)


def refuse_unread(source: Source, config: DataConfig) -> None:
    """Raises UserError where `config.strict` is set, and files that look like images of the set are not read."""
    if config.strict and source.unread:
        raise UserError(
            f"data.strict is set and not all of {config.dataset!r} can be used: {'; '.join(source.unread)}; or leave "
            "strict off to train without them"
        )


def refuse_or_note(skipped: list[Skipped], total: int, config: DataConfig) -> str:
    """A sentence about the images that are left out, "" where there are none.

    Raises:
        UserError: there are some, and `config.strict` is set, or they are more than `config.max_bad_records`.
    """
    if not skipped:
        return ""
    named = ", ".join(f"{s.name} ({s.reason})" for s in skipped[:NAMED])
    more = f" and {len(skipped) - NAMED} more" if len(skipped) > NAMED else ""
    if config.strict:
        raise UserError(
            f"data.strict is set and {counted(len(skipped), 'file')} of {config.dataset!r} cannot be used: {named}"
            f"{more}; repair or remove them, or leave strict off to train without them"
        )
    if len(skipped) > config.max_bad_records * total:
        raise UserError(
            f"{len(skipped)} of {counted(total, 'file')} of {config.dataset!r}, {len(skipped) / total:.2%}, cannot be "
            f"used, and data.max_bad_records is {config.max_bad_records:g}: {named}{more}; repair or remove them, or "
            "raise it"
        )
    return f"{len(skipped)} of {counted(total, 'file')} could not be used, left out: {named}{more}"


def _pixels(kept: dict[str, StoredSplit], source: Source, rows: tuple[str, np.ndarray], transform) -> list[np.ndarray]:
    """The kept images, those of the training split first; of images that are not kept, the first 512 of it."""
    stored = kept[rows[0]]
    if stored.images is not None:
        return [stored.images, *(s.images for name, s in kept.items() if name != rows[0])]
    indices = stored.indices[rows[1]][:BLOCK_IMAGES]
    import tensorflow as tf

    try:
        records = transformed_records(source, rows[0], indices, transform).as_numpy_iterator()
        return [np.stack([image for _, image, _ in records])]
    except tf.errors.OpError as error:
        if (explained := source.explain(rows[0], error)) is error:
            raise
        raise explained from error


def _is_black_and_white(images: np.ndarray) -> bool:
    """Whether all pixels are 0 or 255."""
    step = max(1, BLOCK_BYTES // max(1, images[:1].size))
    return all(np.isin(images[i : i + step], (0, WHITE)).all() for i in range(0, len(images), step))
