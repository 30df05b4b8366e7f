"""Pictures of draws: samples, and one latent point under every label."""

import numpy as np

from kgen.explore.kinds import KINDS, Picture
from kgen.explore.lab import Lab
from kgen.explore.sheet import sheet

COLUMNS = 10


@KINDS.register("samples")
def samples(lab: Lab):
    """A grid; conditional: a row a class."""
    if not lab.sampler.conditional:
        drawn = lab.decode(lab.draw(8 * COLUMNS)).reshape(8, COLUMNS, *lab.spec.image_shape)
        caption = f"Samples of {lab.name} ({lab.seeds})."
        yield Picture("samples", [sheet(drawn, caption=caption)], caption)
        return
    classes = lab.classes if len(lab.classes) > 1 else lab.classes * 8
    labels = np.repeat(np.array(classes, np.int32), COLUMNS)
    drawn = lab.decode(lab.draw(len(labels), labels), labels).reshape(len(classes), COLUMNS, *lab.spec.image_shape)
    what = "a row a class" if len(lab.classes) > 1 else f"class {lab.class_name(classes[0])}"
    more = f", the first {len(classes)} of {lab.spec.num_classes}" if _cut(lab) else ""
    caption = f"Samples of {lab.name}, {what}{more} ({lab.seeds})."
    names = [lab.class_name(n) for n in classes] if len(lab.classes) > 1 else ()
    yield Picture("samples", [sheet(drawn, names=names, caption=caption)], caption)


@KINDS.register("style", needs=("labels",))
def style(lab: Lab):
    """A row a latent point, a column a label."""
    classes = np.arange(min(lab.spec.num_classes, 20), dtype=np.int32)
    points = [lab.draw(1, classes[:1], first=i) for i in range(8)]
    rows = [lab.decode(np.repeat(z, len(classes), axis=0), classes) for z in points]
    caption = (
        f"Style of {lab.name}: a row is one latent point under every label. What stays the same in a row is the style "
        f"that z holds; what changes is the class ({lab.seeds})."
    )
    yield Picture("style", [sheet(rows, columns=[lab.class_name(n) for n in classes], caption=caption)], caption)


def _cut(lab: Lab) -> bool:
    return lab.label is None and len(lab.classes) < lab.spec.num_classes
