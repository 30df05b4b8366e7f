"""The Inception network as the TF-Hub module that TensorFlow-GAN evaluates with, run by TensorFlow-GAN's own loader."""

import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from kgen import tfgan
from kgen.data.store import cache_root
from kgen.data.tfds import probe
from kgen.errors import UserError
from kgen.evaluate.cache import digest
from kgen.evaluate.inception_network import DIMENSION, NUM_CLASSES, SIZE

ARCHIVES = (".tar.gz", ".tgz")


def open_module(path: Path) -> tuple[Callable, str]:
    """A SavedModel as TF-Hub distributes it.

    Args:
        path: its folder, or its .tar.gz.

    Returns:
        A function of images [B, 299, 299, 3] float32 in [-1, 1] -> (pool_3 [B, 2048], logits [B, 1008]), and 16 hex
        digits of the module's files.

    Raises:
        UserError: it is no such module.
    """
    import tensorflow as tf

    folder = _saved_model(_unpacked(path) if path.is_file() else path)
    metrics = tfgan.module("eval.inception_metrics")
    fields = [metrics.INCEPTION_FINAL_POOL, metrics.INCEPTION_OUTPUT]
    classify = metrics.classifier_fn_from_tfhub(str(folder), fields)

    @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3])])
    def run(images):
        outputs = metrics.run_inception(images, classifier_fn=classify)
        return [outputs[field] for field in fields]

    try:
        shapes = [tuple(output.shape) for output in run(tf.zeros([1, SIZE, SIZE, 3]))]
    except Exception as error:  # whatever a module of another kind meets
        raise UserError(f"{path} does not run as TensorFlow-GAN's Inception module: {_first_line(error)}") from error
    if shapes != [(1, DIMENSION), (1, NUM_CLASSES)]:
        raise UserError(
            f"{path} gives {fields} of the shapes {shapes} for one image, not {[(1, DIMENSION), (1, NUM_CLASSES)]}: "
            "it is not TensorFlow-GAN's Inception module"
        )
    return run, hash_folder(folder)


def fetch_module() -> Path:
    """The folder of TensorFlow-GAN's module from TF-Hub's cache, or from the network; without one it fails at once.

    Raises:
        UserError: it is not in the cache, and cannot be fetched.
    """
    metrics = tfgan.module("eval.inception_metrics")
    handle = metrics.INCEPTION_TFHUB
    kept = Path(os.environ.get("TFHUB_CACHE_DIR") or Path(tempfile.gettempdir()) / "tfhub_modules")
    failures = []
    if not (kept / hashlib.sha1(handle.encode()).hexdigest()).is_dir():  # https://www.tensorflow.org/hub/caching
        failures = probe([handle])
    if not failures:
        try:
            return Path(metrics.tfhub.resolve(handle))
        except Exception as error:  # the network, the disk, a moved module
            failures = [_first_line(error)]
    raise UserError(f"the Inception network ({handle}) is not in {kept} and cannot be fetched: {'; '.join(failures)}")


def hash_folder(folder: Path) -> str:
    """16 hex digits of the names and contents of all files of a folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return digest(*(part for file in files for part in (str(file.relative_to(folder)), _hash_file(file))))


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()


def _saved_model(folder: Path) -> Path:
    """The folder itself, or the shallowest one in it, that holds a SavedModel."""
    found = sorted(folder.rglob("saved_model.pb"), key=lambda file: (len(file.parts), file))
    if not found:
        raise UserError(f"{folder} holds no saved_model.pb; give the folder of TensorFlow-GAN's Inception module")
    return found[0].parent


def _unpacked(archive: Path) -> Path:
    """The folder of an archive's files, kept in the cache: unpacked aside first, then renamed."""
    folder = cache_root() / "inception" / _hash_file(archive)
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(aside, filter="data")
        os.rename(aside, folder)
    except (tarfile.TarError, EOFError, OSError) as error:
        if not folder.is_dir():  # unless another process was faster
            raise UserError(f"{archive} cannot be unpacked: {error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
