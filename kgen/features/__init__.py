"""Features: the vectors that sets of images are compared by, and the extractors that compute them.

The names stand here, without NumPy or TensorFlow, so that flags and help are made from them; an extractor is imported
when it is opened (`kgen.features.extractors.open_extractor`).
"""

from collections.abc import Collection
from dataclasses import dataclass

from kgen.errors import UserError
from kgen.pretrained import PRETRAINED, check_package, is_package_installed
from kgen.registry import Registry


@dataclass(frozen=True)
class ExtractorEntry:
    """An entry of EXTRACTORS.

    Attributes:
        help: one line.
        opener: "module:name" of the function or class that gives the extractor of a (Reference, weights or None).
        takes_weights: whether --feature_weights are its weights.
        finds_weights: whether it looks for them where none are named.
        package: module that must be installed.
        sees_shapes: whether a distance of its features falls as long as samples get better, so that it may choose.
    """

    help: str
    opener: str
    takes_weights: bool = False
    finds_weights: bool = False
    package: str | None = None
    sees_shapes: bool = True

    @property
    def needs_file(self) -> bool:
        """Whether it cannot do without --feature_weights."""
        return self.takes_weights and not self.finds_weights


EXTRACTORS: Registry = Registry("feature extractor")
EXTRACTORS |= {
    "classifier": ExtractorEntry(
        "a convolutional network trained on the data set's own training split; the default for labelled data",
        "kgen.features.classifier:open_classifier",
    ),
    "random": ExtractorEntry(
        "a fixed convolutional network with random weights; the default for unlabelled data",
        "kgen.features.extractors:RandomNetwork",
        sees_shapes=False,
    ),
    "pixels": ExtractorEntry("the pixel values themselves", "kgen.features.extractors:Pixels", sees_shapes=False),
    "efficientnet-lite0": ExtractorEntry(
        "a network trained on ImageNet; for colour images",
        "kgen.features.efficientnet:open_efficientnet",
        package=PRETRAINED["efficientnet-lite0"].package,
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
        finds_weights=True,
    ),
}

COLOUR = "efficientnet-lite0"
"""The default of evaluations for colour images without labels, where it is installed."""


def default_extractor(num_classes: int) -> str:
    """The extractor that is taken when none is named, for data of so many classes (0: unlabelled)."""
    return "classifier" if num_classes > 1 else "random"


def installed(name: str) -> bool:
    """Whether an extractor has the package that it needs."""
    return is_package_installed(EXTRACTORS[name].package)


def default_for_evaluation(num_classes: int, channels: int, trained_with: Collection[str] = ()) -> str:
    """As `default_extractor`, where features may take longer: for colour what has seen photographs, if installed.

    Args:
        num_classes: of the data; 0: unlabelled.
        channels: of its images.
        trained_with: extractors that the generator was trained with, which do not judge it.
    """
    fits = channels == 3 and num_classes < 2 and COLOUR not in trained_with
    return COLOUR if fits and installed(COLOUR) else default_extractor(num_classes)


def check_installed(name: str):
    """Raises UserError if an extractor lacks the package that it needs."""
    check_package(EXTRACTORS[name].package, f"--features {name}")


def check_for_training(names: Collection[str]):
    """Raises UserError if an extractor needs a file of weights, which a training cannot name."""
    for name in names:
        if EXTRACTORS[name].needs_file:
            others = ", ".join(other for other, entry in EXTRACTORS.items() if not entry.needs_file)
            raise UserError(
                f"features {name!r} need a file of weights, which a training does not take; name others with "
                f"--features ({others}), and compare by these when it has ended: "
                f"kgen-eval RUN --features {name} --feature_weights FILE"
            )


def check_impartial(names: Collection[str], trained_with: Collection[str], who: str | None = None):
    """Raises UserError if an extractor is to judge a generator that was trained with it.

    Such a generator has learned what the extractor looks at: its values are better than its images.

    Args:
        names: of the extractors.
        trained_with: those that the generator was trained with.
        who: the generator of an evaluation, which `--anyway` makes; None: a model that is to be trained.
    """
    for name in names:
        if name in trained_with:
            others = ", ".join(other for other in EXTRACTORS if other not in trained_with)
            raise UserError(
                f"features {name!r} do not judge {who or 'this model'}: it {'was' if who else 'is'} trained with them "
                "(model_args.feature_discriminator), so its values are better than its images; name others with "
                f"--features ({others})" + (", or add --anyway" if who else "")
            )
