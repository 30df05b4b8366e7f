"""Matplotlib figures in one style, without a display and without matplotlib's global state.

>>> canvas = Canvas(6.4, 3.6)
>>> axes = canvas.axes()
>>> axes.plot(epochs, losses)
>>> canvas.save(run.path / "plots" / "loss.png")
"""

import io
import os
from pathlib import Path

import numpy as np

from kgen.images import COMPRESSION
from kgen.io import write_aside
from kgen.provenance import drawn_by, tagged

DOTS_PER_INCH = 110
GRID_ALPHA = 0.3
COLORS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#882255", "#999933", "#888888",
)  # fmt: skip
"""Colors that people with any color vision tell apart: Okabe and Ito's without their yellow, and three of Tol's."""
MARKERS = "os^DvPX*<>"
HEAD = 0.4
"""Height above all panels of fixed places, for title and legend, in inches."""
LEFT, RIGHT, BOTTOM, TOP = 0.85, 0.15, 0.5, 0.35
"""Room around each such panel for its marks and names, in inches."""


class Canvas:
    """A figure to draw on.

    Args:
        width, height: in inches, at DOTS_PER_INCH pixels per inch.
        title: above all panels.
        fixed: panels have the places that they are given. Otherwise they are placed so that all texts fit, which takes
            as long as the drawing.

    Attributes:
        figure: the matplotlib Figure.
    """

    def __init__(self, width: float, height: float, *, title: str = "", fixed: bool = False):
        from matplotlib.figure import Figure

        layout = None if fixed else "constrained"
        self.figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout=layout)
        if title:
            self.figure.suptitle(title, **({"x": 0.1 / width, "ha": "left"} if fixed else {}))

    @classmethod
    def of_panels(cls, count: int, columns: int, *, width: float = 4.2, height: float = 3.2, title: str = ""):
        """A figure of panels of one size at fixed places, by rows: (canvas, list of panels)."""
        columns = min(count, columns)
        rows = -(-count // columns)
        full, tall = width * columns, height * rows + HEAD
        canvas = cls(full, tall, title=title, fixed=True)
        places = (
            (width * (i % columns) + LEFT, tall - HEAD - height * (i // columns + 1) + BOTTOM) for i in range(count)
        )
        return canvas, [canvas.axes_at(*place, width - LEFT - RIGHT, height - BOTTOM - TOP) for place in places]

    def axes_at(self, left: float, bottom: float, width: float, height: float, *, grid: str | None = "both"):
        """A panel at a place, in inches; `grid`: see `axes`."""
        full, tall = self.figure.get_size_inches()
        place = (left / full, bottom / tall, width / full, height / tall)
        return self._with_grid([self.figure.add_axes(place)], grid)[0]

    def axes(self, *, grid: str | None = "both"):
        """The one panel of a figure; `grid`: "both", "x" or "y" for faint grid lines, None for none."""
        return self._with_grid([self.figure.add_subplot()], grid)[0]

    def panels(self, rows: int, columns: int, *, count: int | None = None, grid: str | None = "both", **options):
        """[rows, columns] panels; with `count`, a list of the first `count` of them by rows, and no others.

        Args:
            rows, columns: of panels.
            count: how many are drawn.
            grid: see `axes`.
            options: of matplotlib's `Figure.subplots`, e.g. sharex.
        """
        if count is not None:
            return self._with_grid([self.figure.add_subplot(rows, columns, i + 1) for i in range(count)], grid)
        panels = self.figure.subplots(rows, columns, squeeze=False, **options)
        self._with_grid(panels.flat, grid)
        return panels

    @staticmethod
    def integer_ticks(axes):
        """Puts the marks of the horizontal axis at integers, e.g. of epochs."""
        from matplotlib.ticker import MaxNLocator

        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))

    @staticmethod
    def plain_numbers(axes):
        """Writes the marks of the vertical axis out, without a number above it that is to be added to them."""
        axes.ticklabel_format(axis="y", useOffset=False)

    @staticmethod
    def class_color(number: int) -> str:
        """The color of class `number`, of COLORS."""
        return COLORS[number % len(COLORS)]

    @staticmethod
    def class_marker(number: int) -> str:
        """The marker of class `number`: those of 100 classes differ in color or marker."""
        return MARKERS[(number + 3 * (number // len(COLORS))) % len(MARKERS)]

    def to_array(self) -> np.ndarray:
        """The figure's pixels, [H, W, 3] uint8."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas = FigureCanvasAgg(self.figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()

    def save(self, path: str | os.PathLike) -> Path:
        """Writes a PNG, whole or not at all.

        Returns:
            `path`.
        """
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        file = io.BytesIO()
        FigureCanvasAgg(self.figure).print_png(file, pil_kwargs={"compress_level": COMPRESSION})
        content = tagged(file.getvalue(), drawn_by("plot", picture=Path(path).stem))
        return write_aside(path, lambda aside: aside.write_bytes(content))

    @staticmethod
    def _with_grid(panels, grid: str | None):
        for axes in panels if grid else ():
            axes.grid(axis=grid, alpha=GRID_ALPHA)
        return panels
