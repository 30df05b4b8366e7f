"""What a user means by `--dataset`: the embedded digits, a TFDS set, or a path. Decided here and nowhere else."""

import dataclasses
import difflib
import os
import re
from pathlib import Path

from kgen.config import DataConfig
from kgen.data.sources.base import Source
from kgen.errors import UserError
from kgen.file_systems import is_address
from kgen.registry import nearest

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz")
FILE_KINDS = (*ARCHIVES, ".mat", ".npz", ".npy", ".parquet")
ADVICE = {
    ".csv .tsv .txt .json .jsonl .xlsx": "it holds no images; give the folder of the images, and this as --labels. If "
    "its columns are pixels: numpy.savez('images.npz', images=table[:, 1:], labels=table[:, 0])",
    ".tfrecord .tfrecords": "give the folder of the shards, with dataset_info.json and features.json beside them; "
    "tfds.folder_dataset.write_metadata writes these",
    ".h5 .hdf5 .arrow .pt .pkl .pickle .mdb": "write its images as picture files or as "
    "an .npz file: numpy.savez('images.npz', images=images, labels=labels)",
    ".gz .bz2 .xz .zst .lzma .7z .rar": "unpack it and give what is in it",
    ".z01 .001": "it is one part of a split archive; join the parts with the program that split it",
    ".part .crdownload .download .tmp": "it is a download that did not end; download it again",
    ".exe": "unpack it and give the folder",
    ".png .jpg .jpeg .webp .gif .bmp .tif .tiff .avif": "it is a single picture; give the folder that holds it",
    ".heic .heif .svg .psd .dng .cr2 .nef .arw .pdf": "convert such pictures to PNG or JPEG, and give their folder",
    ".mp4 .avi .mov .mkv .webm": "save the frames of videos as PNG or JPEG files, and give their folder",
}
"""What to do with files of other kinds."""
OTHER_SUFFIXES = tuple(suffix for suffixes in ADVICE for suffix in suffixes.split())
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(?!\\)")
"""What an address begins with; a drive of Windows has one letter."""
WELL_KNOWN = ("mnist", "fashion_mnist", "binarized_mnist", "svhn_cropped", "cifar10", "celeb_a", "imagenette/160px-v2")
HOW = (
    "--dataset takes 'digits', the name of a TFDS image set, or a path: a folder of images or shards, a .zip or .tar "
    "(also compressed), a .mat, .npz, .npy or .parquet file, here or at an address (gs://, s3://, https://)"
)

OF_ARRAYS = ("mat_key", "mat_orientation", "mat_image_shape")
"""Settings of files of arrays."""


def open_source(config: DataConfig) -> Source:
    """The source that `config.dataset` names.

    Raises:
        UserError: there is no such set or file, or what is there cannot be read.
    """
    from kgen.data.sources.tfds import open_tfds

    name = config.dataset.strip()
    if not name:
        raise UserError(f"{HOW}. Received: {config.dataset!r}")
    if config.remote == "stream" and not is_address(name):  # also a run that was trained on a stream, and its copy
        source = open_source(dataclasses.replace(config, remote="auto"))
        source.notes.insert(0, f"data.remote is 'stream', and {name} is at no address: nothing of it is streamed")
        return source
    if name == "digits":
        from kgen.data.sources.digits import open_digits

        _refuse_settings(config, "labels", "layout", "value_range", *OF_ARRAYS)
        return open_digits()
    if name.startswith("tfds:"):
        _refuse_settings(config, "labels", "layout", *OF_ARRAYS)
        check_name(name)
        return open_tfds(name.removeprefix("tfds:"), config.value_range)
    check_name(name)
    if is_address(name):
        return _open_address(name, config)
    path = Path(name).expanduser()
    if path.exists():
        return _open_path(path, config)
    if is_pattern(name):
        from kgen.data.sources.shards import open_shards, shards_of_pattern

        _refuse_settings(config, "layout", *OF_ARRAYS)
        paths = shards_of_pattern(name)
        folder = Path(os.path.commonpath([path.absolute().parent for path in paths]))
        return open_shards(paths, folder, folder.name, name, config)
    _refuse_settings(config, "labels", "layout", *OF_ARRAYS)
    return open_tfds(name, config.value_range)


def is_name(value: str) -> bool:
    """Whether a value of `--dataset` is the embedded digits, or a TFDS set that is called so."""
    return value.strip() == "digits" or value.strip().startswith("tfds:")


def is_pattern(value: str) -> bool:
    """Whether a value of `--dataset` names several shards by braces: photos/train-{000..009}.tar."""
    return "{" in value and not Path(value).expanduser().exists()


def is_known(value: str) -> bool:
    """Whether a value of `--dataset` names a set that is known, or a path that is there."""
    name = value.strip()
    return (
        is_name(name)
        or is_address(name)
        or Path(name).expanduser().exists()
        or (not _must_be_path(name) and _known_to_tfds(name))
    )


def check_path(name: str):
    """Raises UserError if the name can only be that of a file or folder, and there is none. Opens nothing."""
    if _must_be_path(name) and not is_address(name) and not is_pattern(name) and not Path(name).expanduser().exists():
        raise _missing(name)


def check_name(name: str):
    """Raises UserError if there is neither a file, a folder with files nor a set of this name. Opens nothing."""
    if is_name(name):
        if name != "digits":
            _known_to_tfds(name.removeprefix("tfds:"), or_raise=True)
        return
    if is_address(name):
        from kgen.data.sources.remote import check_address

        check_address(name)
        return
    if is_pattern(name):
        from kgen.data.sources.shards import shards_of_pattern

        shards_of_pattern(name)
        return
    check_path(name)
    path = Path(name).expanduser()
    if not path.exists():
        if "/" in name and not _known_to_tfds(name):
            raise _missing(name)
        _known_to_tfds(name, or_raise=True)
    elif path.is_dir() and not any(_holds_something(*found) for found in os.walk(path)):
        raise UserError(f"{name} holds no images, it is an empty folder; --dataset takes one of images or of classes")


def _holds_something(top: str, folders: list[str], files: list[str]) -> bool:
    """Whether a folder holds a file, or a link to what may hold one."""
    return bool(files) or any(os.path.islink(os.path.join(top, folder)) for folder in folders)


def is_data_file(path: Path) -> bool:
    """Whether a path is that of a file which is a data set of its own, by its name."""
    from kgen.data.sources.idx import is_idx

    return path.is_file() and (path.name.lower().endswith(FILE_KINDS) or is_idx(path.name))


def _missing(name: str) -> UserError:
    if ADDRESS.match(name):
        return UserError(f"dataset {name!r} is an address; download it, and give the path of the folder or file. {HOW}")
    if "*" in name:
        return UserError(f"dataset {name!r} is a pattern; give the folder that holds the images. {HOW}")
    folder = Path(name).expanduser().absolute().parent
    return UserError(f"dataset {name!r} does not exist (looked in {folder}). {HOW}")


def _open_address(address: str, config: DataConfig) -> Source:
    """The source of what is at an address: of a copy, or of shards that are streamed."""
    from kgen.data.sources.remote import find_set
    from kgen.data.sources.streamed import holds_records, is_streamable, open_streamed

    is_stream = config.remote == "stream"
    found = find_set(address, lambda file: file.lower().endswith(FILE_KINDS), ranges=is_stream)
    too_large = config.remote == "auto" and bool(found.not_copied) and found.lacks_room
    if is_stream or (too_large and is_streamable(found)):
        _refuse_settings(config, "layout", *OF_ARRAYS, *["labels"] * holds_records(found))
        source, why = open_streamed(found, config), f" ({too_large})" if too_large else ""
        note = f"{address}: {found.amount('streamed and not copied')}{why}"
    else:
        note = found.copy()
        source = open_source(dataclasses.replace(config, dataset=found.place))
    source.notes.insert(0, note)
    return source


def _open_path(path: Path, config: DataConfig) -> Source:
    from kgen.data.sources.tfds import find_tfds_folder, open_tfds_folder

    suffix = path.suffix.lower()
    if path.is_dir() and (shards := find_tfds_folder(path)):
        _refuse_settings(config, "labels", "layout", *OF_ARRAYS)
        return open_tfds_folder(shards, config.value_range)
    if path.is_dir() or path.name.lower().endswith(ARCHIVES):
        from kgen.data.sources.folder import open_folder
        from kgen.data.sources.pictures import PictureSource
        from kgen.data.sources.shards import ShardSource

        source = open_folder(path, config)
        if isinstance(source, PictureSource):
            _refuse_settings(config, *OF_ARRAYS)
        if isinstance(source, ShardSource):
            _refuse_settings(config, "layout")
        return source
    _refuse_settings(config, "layout")
    if suffix == ".mat":
        from kgen.data.sources.mat import open_mat

        return open_mat(path, config)
    if suffix == ".npz":
        from kgen.data.sources.arrays import open_npz

        return open_npz(path, config)
    if suffix == ".npy":
        from kgen.data.sources.arrays import open_npy

        return open_npy(path, config)
    if suffix == ".parquet":
        from kgen.data.sources.shards import open_shards

        _refuse_settings(config, *OF_ARRAYS)
        return open_shards([path], path.parent, path.stem, str(path), config)
    if path.is_file():
        from kgen.data.sources.idx import is_idx, open_idx_file

        if is_idx(path.name):
            return open_idx_file(path, config)
    advice = next((f"; {advice}" for suffixes, advice in ADVICE.items() if suffix in suffixes.split()), "")
    raise UserError(
        f"dataset {str(path)!r} is a file of a kind that is not read ({suffix or 'no suffix'}){advice}. {HOW}"
    )


def _refuse_settings(config: DataConfig, *names: str) -> None:
    """Raises UserError if a setting is given that this kind of data set cannot follow."""
    has = {"labels": "labels of its own", "layout": "no folders", "value_range": "a value range of its own"}
    for name in names:
        if (value := getattr(config, name)) != getattr(DataConfig, name):
            raise UserError(
                f"data.{name}={value!r} was given, but data set {config.dataset!r} has "
                f"{has.get(name, 'no arrays')}; leave it out"
            )


def _must_be_path(name: str) -> bool:
    return (
        name.lower().endswith((*FILE_KINDS, *OTHER_SUFFIXES, "/", "\\"))
        or name.startswith((".", "/", "~"))
        or "\\" in name
    )


def _known_to_tfds(name: str, *, or_raise: bool = False) -> bool:
    from kgen.data.sources.tfds import prepared_sets, registered_sets

    base = name.split("/")[0].split(":")[0]
    prepared = prepared_sets()
    if base in {p.split("/")[0] for p in prepared} or base in (registered := registered_sets()):
        return True
    if or_raise:
        close = difflib.get_close_matches(base, registered, n=5, cutoff=0.6)
        near = nearest(name, {"digits", *WELL_KNOWN, *prepared, *close})
        raise UserError(f"unknown dataset {name!r}, neither in {Path.cwd()} nor in TFDS: {near}. {HOW}")
    return False
