"""The embedded data set: 1797 handwritten digits that come with scikit-learn (UCI, 8x8 pixels, 17 grey levels)."""

import numpy as np

from kgen import images
from kgen.data.sources.arrays import ArraySource

DEFAULT_SIZE = (28, 28)


def open_digits() -> ArraySource:
    """1437 training and 360 test images, 8x8; always the same stratified split.

    The test images do not depend on the user's seed, so that metric values of different runs can be compared.
    """
    import sklearn
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    grey, labels = load_digits(return_X_y=True)
    pixels = images.to_uint8(grey.reshape(-1, 8, 8, 1) / 16)
    train, test = train_test_split(np.arange(len(labels)), test_size=360, random_state=0, stratify=labels)
    source = ArraySource(
        "digits",
        {"train": pixels[train], "test": pixels[test]},
        {"train": labels[train], "test": labels[test]},
        class_names=map(str, range(10)),
        identity=("digits", sklearn.__version__),
    )
    source.default_size = DEFAULT_SIZE
    return source
