"""What a user may choose of the pictures; each is a flag of kgen-explore."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """Choices.

    Attributes:
        seed: of everything that is drawn; the same seed gives the same pictures.
        label: class name or number that conditional models draw; None shows all.
        temperature: spread of drawn latent points.
        steps: pictures a strip.
        dims: two latent dimensions for the plane of `traversal`; None takes the two most used.
        between: "A,B": indices of real images, or image files, for `interpolation`; None takes random points.
        images: a folder, .zip or image file of the user's own for `reconstructions`.
        classes: "A,B" for `attributes`; None takes neighbours in the list of classes.
        projection: of `scatter` beyond two dimensions, "pca" or "tsne".
        features: of `features` and `neighbours`, see kgen.evaluate.extractors; None takes "random" and "pixels".
        milliseconds: a GIF's frame lasts.
    """

    seed: int = 0
    label: str | None = None
    temperature: float = 1.0
    steps: int = 11
    dims: tuple[int, int] | None = None
    between: str | None = None
    images: str | None = None
    classes: str | None = None
    projection: str = "pca"
    features: str | None = None
    milliseconds: int = 120
