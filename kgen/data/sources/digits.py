"""The embedded data set: 1797 handwritten digits that come with scikit-learn (UCI, 8x8 pixels, 17 grey levels)."""

import importlib.metadata
import importlib.util
from pathlib import Path

import numpy as np

from kgen import images
from kgen.data.sources.arrays import ArraySource

DEFAULT_SIZE = (28, 28)
TEST_IMAGES = 360


def open_digits() -> ArraySource:
    """1437 training and 360 test images, 8x8; always the same stratified split.

    The test images do not depend on the user's seed, so that metric values of different runs can be compared.
    scikit-learn is not imported, which would take two seconds: its file is read, and its split computed.
    """
    found = importlib.util.find_spec("sklearn")
    if found is None:
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
    folder = Path(found.origin).parent
    rows = np.loadtxt(folder / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    grey, labels = rows[:, :-1], rows[:, -1].astype(int)
    pixels = images.to_uint8(grey.reshape(-1, 8, 8, 1) / 16)
    train, test = stratified_split(labels, TEST_IMAGES)
    source = ArraySource(
        "digits",
        {"train": pixels[train], "test": pixels[test]},
        {"train": labels[train], "test": labels[test]},
        class_names=map(str, range(10)),
        identity=("digits", importlib.metadata.version("scikit-learn")),
    )
    source.default_size = DEFAULT_SIZE
    return source


def stratified_split(labels: np.ndarray, test_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of training and test images, as scikit-learn's `train_test_split(stratify=labels, random_state=0)`.

    Args:
        labels: [N] integers, 0 to K - 1.
        test_size: number of test images.
    """
    stream, counts = np.random.RandomState(0), np.bincount(labels)
    shares = counts / counts.sum() * (len(labels) - test_size)
    trained = np.floor(shares).astype(int)
    missing, rest = len(labels) - test_size - trained.sum(), shares - trained
    for value in np.sort(np.unique(rest))[::-1]:  # the largest remainders are rounded up; of equal ones, some by chance
        equal = np.flatnonzero(rest == value)
        taken = min(len(equal), missing)
        trained[stream.choice(equal, size=taken, replace=False)] += 1
        missing -= taken
        if missing == 0:
            break
    parts: tuple[list, list] = ([], [])
    for label, of_class in enumerate(np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])):
        shuffled = of_class[stream.permutation(counts[label])]
        for part, indices in zip(parts, np.split(shuffled, [trained[label]]), strict=True):
            part.extend(indices)
    train, test = (stream.permutation(part) for part in parts)
    return train, test
