"""The network that the Fréchet Inception distance was defined with, from weights that lie on this machine.

It is the frozen graph "inception-2015-12-05" of Szegedy et al. 2015 (https://arxiv.org/abs/1512.00567), with 1008
classes. `keras.applications.InceptionV3` and torchvision's network are later ones: other weights, 1000 classes, and
another pooling in the last block. Its weights come as TensorFlow-GAN's TF-Hub module, which TensorFlow-GAN's own loader
runs, or as a state dictionary of pytorch-fid or torch-fidelity, for the Keras model built here.

Images are prepared as in Heusel et al. 2017 (https://github.com/bioinf-jku/TTUR), whose graph does it itself; as in
torch-fidelity, which repeats that graph; and as `preprocess_image` did in TensorFlow 1's `tf.contrib.gan`, from which
TensorFlow-GAN comes. (pytorch-fid resizes with half-pixel centers: its values are a little different.)
"""

import hashlib
import os
import pickle
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
from keras import layers

from kgen import tfgan
from kgen.cache import cache_root, digest
from kgen.data.sources.tfds import probe
from kgen.errors import UserError
from kgen.features.extractors import Extractor
from kgen.nn.torch_files import read_state_dict

CODE_VERSION = 1
"""Incremented with anything that changes the features of the same weights."""
SIZE, DIMENSION, NUM_CLASSES = 299, 2048, 1008
EPSILON = 1e-3
"""Added to the variances of the batch normalizations."""
KEYS_IN_MESSAGE = 3
"""Wrong keys of a state dictionary that a message names."""
ARCHIVES = (".tar.gz", ".tgz")

CHOICES = (
    "give kgen-eval or kgen-explore --feature_weights FILE: the folder or .tar.gz of TensorFlow-GAN's TF-Hub module "
    "(tensorflow/tfgan/eval/inception/1), or the state dictionary of pytorch-fid or torch-fidelity "
    "(pt_inception-2015-12-05-6726825d) as .npz or .pth; or use --features classifier, random or pixels"
)


class InceptionExtractor(Extractor):
    """pool_3 and the logits of the Inception network of 2015-12-05.

    Args:
        network: images [B, 299, 299, 3] float32 in [-1, 1) -> (pool_3 [B, 2048], logits [B, 1008]).
        weights_hash: of its weights.
    """

    name = "inception"
    dimension = DIMENSION
    num_classes = NUM_CLASSES
    resizer = "TensorFlow 1 bilinear to 299x299 (align_corners=False, no half-pixel centres, no antialiasing)"
    value_range = "(uint8 - 128) / 128"
    batch_size = 16

    def __init__(self, network: Callable, weights_hash: str):
        self._network = network
        self.hash = digest("inception", CODE_VERSION, weights_hash)

    def batch(self, pixels: np.ndarray):
        return self._network(prepare(pixels))


def prepare(pixels: np.ndarray):
    """pixels [B, H, W, C] uint8, C 1 (repeated) or 3 -> [B, 299, 299, 3] float32 in [-1, 1)."""
    import tensorflow as tf

    if pixels.ndim != 4 or pixels.shape[3] not in (1, 3) or pixels.dtype != np.uint8:
        raise UserError(
            "Inception features are of grey or RGB images, [N, H, W, 1 or 3] uint8. "
            f"Received: {list(pixels.shape)} {pixels.dtype}"
        )
    x = tf.cast(tf.repeat(pixels, 3 // pixels.shape[3], axis=3), tf.float32)
    x = tf.raw_ops.ResizeBilinear(images=x, size=[SIZE, SIZE], align_corners=False, half_pixel_centers=False)
    return (x - 128.0) / 128.0


def open_inception(weights: str | None = None) -> InceptionExtractor:
    """The extractor with weights of one of two kinds.

    Args:
        weights: a TF-Hub module (folder or .tar.gz), or a state dictionary (.npz, .pth). None takes
            TensorFlow-GAN's module from TF-Hub: from TFHUB_CACHE_DIR, or from the network.

    Raises:
        UserError: the weights are not there, or of another network.
    """

    if weights is None:
        try:
            path = fetch_module()
        except UserError as error:
            raise UserError(f"{error}; {CHOICES}") from error
    else:
        path = Path(weights).expanduser()
        if not path.exists():
            raise UserError(f"there are no Inception weights at {weights!r}; {CHOICES}")
    if path.is_dir() or path.name.endswith(ARCHIVES):
        return InceptionExtractor(*open_module(path))
    return _open_state(path)


def _open_state(path: Path) -> InceptionExtractor:
    import tensorflow as tf

    state, network = read_state(path), build_network()
    load_state(network, state, str(path))
    weights_hash = digest(*(part for key in sorted(state_shapes(network)) for part in (key, state[key])))
    return InceptionExtractor(tf.function(lambda images: network(images, training=False)), weights_hash)


# State dictionary -----------------------------------------------------------------------------------------------------

UNREADABLE = (OSError, EOFError, LookupError, TypeError, AttributeError, ValueError, RuntimeError)
UNREADABLE += (zipfile.BadZipFile, pickle.UnpicklingError)
"""What readers raise for a file that is not what its suffix promises."""


def read_state(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a state dictionary by their keys.

    Raises:
        UserError: another kind of file, or one that cannot be read.
    """
    readers = {".npz": _read_npz, ".pth": read_state_dict, ".pt": read_state_dict}
    if path.suffix not in readers:
        other = "; an .h5 file may be that of --features squeezenet" if path.suffix == ".h5" else ""
        raise UserError(
            f"--feature_weights of inception takes a folder, a .tar.gz, or one of {', '.join(readers)}. Received: "
            f"{path}{other}"
        )
    try:
        return readers[path.suffix](path)
    except UNREADABLE as error:
        raise UserError(f"{path} cannot be read as {path.suffix}: {error}") from error


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


# Network --------------------------------------------------------------------------------------------------------------
#
# The layers have the names of the state dictionaries of pytorch-fid (https://github.com/mseitzer/pytorch-fid) and
# torch-fidelity (https://github.com/toshas/torch-fidelity). Average pools do not count the
# padding, as TensorFlow's never do.


def build_network() -> keras.Model:
    """images [B, 299, 299, 3] in [-1, 1) -> (pool_3 [B, 2048], logits [B, 1008]); weights are 0 before `load_state`."""
    inputs = keras.Input((SIZE, SIZE, 3))
    x = _conv(inputs, "Conv2d_1a_3x3", 32, 3, strides=2, padding="valid")
    x = _conv(x, "Conv2d_2a_3x3", 32, 3, padding="valid")
    x = _conv(x, "Conv2d_2b_3x3", 64, 3)
    x = layers.MaxPooling2D(3, 2)(x)
    x = _conv(x, "Conv2d_3b_1x1", 80, 1)
    x = _conv(x, "Conv2d_4a_3x3", 192, 3, padding="valid")
    x = layers.MaxPooling2D(3, 2)(x)
    x = _block_a(x, "Mixed_5b", 32)
    x = _block_a(x, "Mixed_5c", 64)
    x = _block_a(x, "Mixed_5d", 64)
    x = _block_b(x, "Mixed_6a")
    x = _block_c(x, "Mixed_6b", 128)
    x = _block_c(x, "Mixed_6c", 160)
    x = _block_c(x, "Mixed_6d", 160)
    x = _block_c(x, "Mixed_6e", 192)
    x = _block_d(x, "Mixed_7a")
    x = _block_e(x, "Mixed_7b", layers.AveragePooling2D)
    x = _block_e(x, "Mixed_7c", layers.MaxPooling2D)  # the 2015-12-05 graph has a maximum here, unlike the paper
    pool = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, [pool, layers.Dense(NUM_CLASSES, kernel_initializer="zeros", name="fc")(pool)])


def state_shapes(network: keras.Model) -> dict[str, tuple[int, ...]]:
    """Every key that a state dictionary must have, with its shape there."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in _weighted(network):
        *window, channels, filters = layer.kernel.shape
        if window:
            shapes[f"{layer.name}.conv.weight"] = (filters, channels, *window)
            shapes |= {
                f"{layer.name}.bn.{part}": (filters,) for part in ("weight", "bias", "running_mean", "running_var")
            }
        else:
            shapes |= {f"{layer.name}.weight": (filters, channels), f"{layer.name}.bias": (filters,)}
    return shapes


def load_state(network: keras.Model, state: Mapping[str, np.ndarray], source: str) -> None:
    """Sets the weights; each batch normalization is folded into the convolution before it.

    Args:
        network: from `build_network`.
        state: a state dictionary; further keys are ignored.
        source: its file, for messages.

    Raises:
        UserError: keys are missing or have other shapes; the message names them.
    """
    shapes = state_shapes(network)
    missing = [key for key in shapes if key not in state]
    other = [
        f"{key} {state[key].shape}, not {shapes[key]}"
        for key in shapes
        if key in state
        if state[key].shape != shapes[key]
    ]
    wrong = [
        f"{len(keys)} {what}: {_first(keys)}" for what, keys in (("missing", missing), ("misshapen", other)) if keys
    ]
    if wrong:
        raise UserError(
            f"{source} is not the Inception network of 2015-12-05 ({'; '.join(wrong)}); "
            "give pytorch-fid's or torch-fidelity's file with --feature_weights"
        )
    for layer in _weighted(network):
        if isinstance(layer, layers.Dense):
            layer.set_weights([state[f"{layer.name}.weight"].T, state[f"{layer.name}.bias"]])
            continue
        gain, bias, mean, variance = (
            state[f"{layer.name}.bn.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gain / np.sqrt(variance + EPSILON)
        kernel = state[f"{layer.name}.conv.weight"].transpose(2, 3, 1, 0) * scale
        layer.set_weights([kernel, bias - mean * scale])


def _weighted(network: keras.Model) -> list:
    return [layer for layer in network.layers if layer.weights]


def _first(keys: list[str]) -> str:
    return ", ".join(keys[:KEYS_IN_MESSAGE]) + (", ..." if len(keys) > KEYS_IN_MESSAGE else "")


def _conv(x, name: str, filters: int, window, *, strides: int = 1, padding: str = "same"):
    return layers.Conv2D(
        filters, window, strides, padding, activation="relu", kernel_initializer="zeros", name=name
    )(x)  # fmt: skip


def _chain(x, block: str, *steps):
    """Convolutions one after the other; a step is (name, filters, window)."""
    for name, filters, window in steps:
        x = _conv(x, f"{block}.{name}", filters, window)
    return x


def _halving(x, name: str, filters: int):
    return _conv(x, name, filters, 3, strides=2, padding="valid")


def _pooled(x, block: str, filters: int, pooling=layers.AveragePooling2D):
    return _conv(pooling(3, 1, "same")(x), f"{block}.branch_pool", filters, 1)


def _block_a(x, block: str, pool_filters: int):
    one = _chain(x, block, ("branch1x1", 64, 1))
    five = _chain(x, block, ("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5))
    three = _chain(x, block, ("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3))
    return layers.Concatenate()([one, five, three, _pooled(x, block, pool_filters)])


def _block_b(x, block: str):
    single = _halving(x, f"{block}.branch3x3", 384)
    double = _chain(x, block, ("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3))
    double = _halving(double, f"{block}.branch3x3dbl_3", 96)
    return layers.Concatenate()([single, double, layers.MaxPooling2D(3, 2)(x)])


def _block_c(x, block: str, filters: int):
    row, column = (1, 7), (7, 1)
    one = _chain(x, block, ("branch1x1", 192, 1))
    seven = _chain(x, block, ("branch7x7_1", filters, 1), ("branch7x7_2", filters, row), ("branch7x7_3", 192, column))
    double = _chain(
        x,
        block,
        ("branch7x7dbl_1", filters, 1),
        ("branch7x7dbl_2", filters, column),
        ("branch7x7dbl_3", filters, row),
        ("branch7x7dbl_4", filters, column),
        ("branch7x7dbl_5", 192, row),
    )
    return layers.Concatenate()([one, seven, double, _pooled(x, block, 192)])


def _block_d(x, block: str):
    three = _halving(_chain(x, block, ("branch3x3_1", 192, 1)), f"{block}.branch3x3_2", 320)
    seven = _chain(x, block, ("branch7x7x3_1", 192, 1), ("branch7x7x3_2", 192, (1, 7)), ("branch7x7x3_3", 192, (7, 1)))
    seven = _halving(seven, f"{block}.branch7x7x3_4", 192)
    return layers.Concatenate()([three, seven, layers.MaxPooling2D(3, 2)(x)])


def _block_e(x, block: str, pooling):
    one = _chain(x, block, ("branch1x1", 320, 1))
    single = _fork(_chain(x, block, ("branch3x3_1", 384, 1)), f"{block}.branch3x3_2")
    double = _chain(x, block, ("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3))
    double = _fork(double, f"{block}.branch3x3dbl_3")
    return layers.Concatenate()([one, *single, *double, _pooled(x, block, 192, pooling)])


def _fork(x, name: str) -> list:
    return [_conv(x, f"{name}a", 384, (1, 3)), _conv(x, f"{name}b", 384, (3, 1))]


# TF-Hub module --------------------------------------------------------------------------------------------------------


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
