"""What can be asked of kgen-explore: the kinds of pictures, and the options. Importable without TensorFlow."""

from dataclasses import dataclass
from typing import Literal

from kgen.config import FEATURE_WEIGHTS
from kgen.options import check_ranges, documented, option
from kgen.registry import Registry


@dataclass(frozen=True)
class Kind:
    """A kind of picture, drawn by the function of its name in a module of kgen.explore.

    Attributes:
        help: what it shows, for `--help` and the guide.
        module: whose function draws it: takes a Context and yields Pictures.
        needs: what the Context must have: names of its properties `no_NEED`, which are "" if it has it.
    """

    help: str
    module: str
    needs: tuple[str, ...] = ()


KINDS = Registry("picture")
KINDS.update(
    samples=Kind("a grid of samples; of a conditional model a row per class", "samples"),
    style=Kind("a row per latent point, a column per label", "samples", ("labels",)),
    neighbours=Kind("samples beside their nearest training images", "samples", ("training_data",)),
    features=Kind("leading feature dimensions, real against generated", "samples", ("data",)),
    reconstructions=Kind(
        "images above what their codes decode to: any, the best and the worst", "encodings", ("encoder", "images")
    ),
    scatter=Kind("codes of real images in a plane, colored by class", "encodings", ("encoder", "data")),
    attributes=Kind(
        "the difference of two classes' mean codes, added to a code in steps", "encodings", ("encoder", "classes")
    ),
    interpolation=Kind("strips and GIFs between latent points, and from class to class", "interpolation"),
    traversal=Kind("one latent dimension at a time, and the plane of two", "traversal"),
    manifold=Kind("a plane of the latent space; of a conditional model a panel per class", "traversal"),
    curves=Kind("losses, health metrics, quality and gradient norms over the epochs", "training", ("metrics",)),
    progress=Kind("the same latent points over the epochs", "training", ("frames",)),
)
"""Name -> Kind; without a choice they are drawn in this order, as far as the model can give them."""
PAGE = "page"
PAGE_HELP = "one HTML file that runs the decoder in a browser; only when it is named"
"""The interactive page is no Kind: `explore_page` writes it."""


def parse_dims(text: str) -> list[int]:
    """ "0,1" -> [0, 1]."""
    return [int(part) for part in text.split(",")]


@documented
@dataclass(frozen=True)
class Options:
    """What a user may choose of the pictures."""

    seed: int = option(0, "Random seed; the same seed gives the same pictures.", at_least=0)
    label: str | None = option(None, "Class name or number to sample, of a conditional model.", auto="all classes")
    temperature: float = option(1.0, "Factor on the standard deviation of latent points.", at_least=0)
    steps: int = option(11, "Images per strip.", at_least=2, at_most=100)
    dims: tuple[int, int] | None = option(
        None,
        "traversal: two latent dimensions of the plane, 0,1.",
        auto="the two with the largest KL",
        at_least=0,
        parse=parse_dims,
        takes="two numbers, 0,1",
    )
    between: str | None = option(
        None, "interpolation: two real images by index, 3,17, or two image files.", auto="random latent points"
    )
    images: str | None = option(None, "reconstructions: a folder, .zip or image file of your own.")
    classes: str | None = option(None, "attributes: two classes, A,B.", auto="each class with the next")
    projection: Literal["pca", "tsne"] = option("pca", "scatter: how more than two dimensions are projected to two.")
    features: str | None = option(
        None,
        "For features and neighbours: features that images are compared by.",
        auto="random for features, pixels for neighbours",
        table="kgen.features:EXTRACTORS",
    )
    feature_weights: str | None = option(None, FEATURE_WEIGHTS, metavar="PATH")
    milliseconds: int = option(120, "Duration of a frame of a GIF.", at_least=20)

    def __post_init__(self):
        check_ranges(self, "--")
