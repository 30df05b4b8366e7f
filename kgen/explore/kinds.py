"""The kinds of pictures of kgen-explore: their names, what each shows and needs. Importable without TensorFlow."""

from dataclasses import dataclass

from kgen.registry import Registry


@dataclass(frozen=True)
class Kind:
    """A kind of picture, drawn by the function of its name in a module of kgen.explore.

    Attributes:
        help: what it shows, for `--help`.
        module: whose function draws it: takes a Context and yields Pictures.
        needs: what the Context must have: names of its properties `no_NEED`, which are "" if it has it.
    """

    help: str
    module: str
    needs: tuple[str, ...] = ()


KINDS = Registry("picture")
KINDS.update(
    {
        "samples": Kind("a grid of samples; of a conditional model a row per class", "samples"),
        "style": Kind("a row per latent point, a column per label", "samples", ("labels",)),
        "neighbours": Kind("samples beside their nearest training images", "samples", ("data",)),
        "features": Kind("leading feature dimensions, real against generated", "samples", ("data",)),
        "reconstructions": Kind(
            "images above what their codes decode to: any, the best and the worst", "encodings", ("encoder", "images")
        ),
        "scatter": Kind("codes of real images in a plane, colored by class", "encodings", ("encoder", "data")),
        "attributes": Kind(
            "the difference of two classes' mean codes, added to codes in steps", "encodings", ("encoder", "classes")
        ),
        "interpolation": Kind("strips and GIFs between latent points, and from class to class", "interpolation"),
        "traversal": Kind("one latent dimension at a time, and the plane of two", "traversal"),
        "manifold": Kind("a plane of the latent space; of a conditional model a panel per class", "traversal"),
        "curves": Kind("losses, health metrics, quality and gradient norms over the epochs", "training", ("metrics",)),
        "progress": Kind("the same latent points over the epochs", "training", ("frames",)),
    }
)
"""Name -> Kind; in this order all are drawn."""
PAGE = "page"
"""The interactive page, which is written only when it is asked for by name; see `explore_page`."""
