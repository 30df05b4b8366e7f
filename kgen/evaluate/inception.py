"""The features that the Fréchet Inception distance was defined with, from weights that lie on this machine.

Images are prepared as in Heusel et al. 2017 (https://github.com/bioinf-jku/TTUR), whose graph does it itself; as in
torch-fidelity, which repeats that graph; and as `preprocess_image` did in TensorFlow 1's `tf.contrib.gan`, from which
TensorFlow-GAN comes. (pytorch-fid resizes with half-pixel centres: its figures are a little different.)
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from kgen.errors import UserError
from kgen.evaluate.cache import digest
from kgen.evaluate.extractors import Extractor
from kgen.evaluate.inception_network import DIMENSION, NUM_CLASSES, SIZE

CODE_VERSION = 1
"""Changed with anything that changes the features of the same weights."""

CHOICES = (
    "give --inception_weights FILE: the folder or .tar.gz of TensorFlow-GAN's TF-Hub module "
    "(tensorflow/tfgan/eval/inception/1), or the state dictionary of pytorch-fid or torch-fidelity "
    "(pt_inception-2015-12-05-6726825d) as .npz, .safetensors or .pth; or use --features classifier, random or pixels"
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
        weights: a TF-Hub module (folder or .tar.gz), or a state dictionary (.npz, .safetensors, .pth). None takes
            TensorFlow-GAN's module from TF-Hub: from TFHUB_CACHE_DIR, or from the network.

    Raises:
        UserError: the weights are not there, or not this network's; the message says what to give.
    """
    from kgen.evaluate.inception_hub import ARCHIVES, fetch_module, open_module

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

    from kgen.evaluate.inception_network import build_network, load, state_shapes
    from kgen.evaluate.inception_weights import read_state

    state, network = read_state(path), build_network()
    load(network, state, str(path))
    weights_hash = digest(*(part for key in sorted(state_shapes(network)) for part in (key, state[key])))
    return InceptionExtractor(tf.function(lambda images: network(images, training=False)), weights_hash)
