"""What the audit shows: a contact sheet with a row per class, and pairs of copies side by side."""

from collections.abc import Sequence

import numpy as np

from kgen import images
from kgen.data.audit.indexed_images import IndexedImages
from kgen.data.audit.report import AuditReport
from kgen.data.dataset import Dataset

COLUMNS = 16  # images per class
ROWS = 40  # classes, or rows of an unlabelled set
MAX_PAIRS = 48
MAX_SEARCHED = 20_000  # images that are searched for 16 of each class
LETTERS = 12  # height of a line of text
DOTS = 7  # width of a letter, at most
GAP = 4
LONGEST_NAME = 40  # letters of a class name
LAST_LETTER = 0x24F
"""Pillow's own font holds the Latin letters, which end here."""
WHITE = np.uint8(images.to_uint8(np.float32(1)))


def contact_sheet(dataset: Dataset, split: str = "train") -> np.ndarray:
    """The first 16 images of each of the first 40 classes, as training sees them (binarized, if it is).

    Returns:
        [height, width, C] uint8; the class names stand on the left.
    """
    spec = dataset.spec
    classes = min(spec.num_classes, ROWS)
    rows: list[list[np.ndarray]] = [[] for _ in range(classes or 10)]
    seen = 0
    for batch, labels in dataset.batches(split, batch_size=256, training=False).as_numpy_iterator():
        for place, (image, label) in enumerate(zip(batch, labels, strict=True), start=seen):
            row = label if classes else place // COLUMNS
            if row < len(rows) and len(rows[row]) < COLUMNS:
                rows[row].append(images.to_uint8(image))
        seen += len(batch)
        if seen >= MAX_SEARCHED or all(len(row) == COLUMNS for row in rows):
            break
    if classes:
        names = [_printed(str(name), i) for i, name in enumerate((spec.class_names or range(classes))[:classes])]
        if spec.num_classes > classes:
            rows, names = [*rows, []], [*names, f"{spec.num_classes - classes} more classes"]
        return _sheet(rows, names, text_first=True)
    rows = [row for row in rows if row]
    return _sheet(rows, [""] * len(rows), text_first=True)


def _printed(name: str, label: int) -> str:
    """The name of a class as the sheet shows it: with its number where the font lacks letters of it."""
    name = name[:LONGEST_NAME]
    return name if max(map(ord, name), default=0) <= LAST_LETTER else f"class {label}: {name}"


def pairs_sheet(dataset: Dataset, report: AuditReport) -> np.ndarray | None:
    """The first 48 pairs of the report side by side with their names; None when there are none."""
    if not report.pairs:
        return None
    indexed, rows, texts = IndexedImages(dataset), [], []
    for pair in report.pairs[:MAX_PAIRS]:
        rows.append(list(indexed.take(np.array(pair.indices))))
        lines = [f"{split}: {name}" for split, name in zip(pair.splits, pair.names, strict=True)]
        if pair.labels is not None:
            lines = [f"{line} [{report.class_names[n]}]" for line, n in zip(lines, pair.labels, strict=True)]
        texts.append("\n".join([*lines, "the same pixels" if pair.same_pixels else f"distance {pair.distance:.3f}"]))
    return _sheet(rows, texts, text_first=False)


def _sheet(rows: Sequence[Sequence[np.ndarray]], texts: Sequence[str], *, text_first: bool) -> np.ndarray:
    """Rows of images with a text before or after each."""
    from PIL import Image, ImageDraw, ImageFont

    cells = [[images.to_view(image) for image in row] for row in rows]
    height, width, channels = next(cell.shape for row in cells for cell in row)
    room = max(len(line) for text in texts for line in (text.split("\n"))) * DOTS + GAP
    tall = max(height, LETTERS * max(text.count("\n") + 1 for text in texts)) + GAP
    pictures_width = max(map(len, cells)) * (width + GAP)
    sheet = np.full((len(rows) * tall + GAP, pictures_width + room + 2 * GAP, channels), WHITE, np.uint8)
    left = room + GAP if text_first else GAP
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            top, start = GAP + i * tall, left + j * (width + GAP)
            sheet[top : top + height, start : start + width] = cell
    picture = Image.fromarray(sheet[..., 0] if channels == 1 else sheet)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(LETTERS - 1)
    for i, text in enumerate(texts):
        draw.text((GAP if text_first else left + pictures_width, GAP + i * tall), text, fill="black", font=font)
    sheet = np.asarray(picture)
    return sheet[..., None] if channels == 1 else sheet
