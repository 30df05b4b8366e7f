"""Features: the vectors that sets of images are compared by, and the extractors that compute them.

The names stand here, without NumPy or TensorFlow, so that flags and help are made from them; an extractor is imported
when it is opened (`kgen.features.extractors.open_extractor`).
"""

from dataclasses import dataclass

from kgen.registry import Registry


@dataclass(frozen=True)
class ExtractorEntry:
    """An entry of EXTRACTORS.

    Attributes:
        help: one line.
        opener: "module:name" of the function or class that gives the extractor of a (Reference, weights or None).
        takes_weights: whether --inception_weights are its weights.
    """

    help: str
    opener: str
    takes_weights: bool = False


EXTRACTORS: Registry = Registry("feature extractor")
EXTRACTORS |= {
    "classifier": ExtractorEntry(
        "a convolutional network trained on the data set's own training split; the default for labelled data",
        "kgen.features.classifier:open_classifier",
    ),
    "random": ExtractorEntry(
        "a fixed convolutional network with random weights; the default for unlabelled data",
        "kgen.features.extractors:RandomNetwork",
    ),
    "pixels": ExtractorEntry("the pixel values themselves", "kgen.features.extractors:Pixels"),
    "inception": ExtractorEntry(
        "the network that the Fréchet Inception distance was defined with",
        "kgen.features.inception:open_inception",
        takes_weights=True,
    ),
}


def default_extractor(num_classes: int) -> str:
    """The extractor that is taken when none is named, for data of so many classes (0: unlabelled)."""
    return "classifier" if num_classes > 1 else "random"
