"""Matplotlib figures in one style, without a display and without matplotlib's global state.

>>> canvas = Canvas(6.4, 3.6)
>>> axes = canvas.axes()
>>> axes.plot(epochs, losses)
>>> canvas.save(run.path / "plots" / "loss.png")
"""

import os
from pathlib import Path

import numpy as np

from kgen.io import write_aside

DOTS_PER_INCH = 110
GRID_ALPHA = 0.3


class Canvas:
    """A figure to draw on.

    Args:
        width, height: in inches, at DOTS_PER_INCH pixels per inch.
        title: above all panels.

    Attributes:
        figure: the matplotlib Figure.
    """

    def __init__(self, width: float, height: float, *, title: str = ""):
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
        if title:
            self.figure.suptitle(title)

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

        axes.xaxis.set_major_locator(MaxNLocator(integer=True))

    @staticmethod
    def class_color(number: int, count: int):
        """The color of class `number` of `count`."""
        from matplotlib import colormaps

        return colormaps["tab10" if count <= 10 else "tab20"](number)

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

        return write_aside(path, lambda aside: FigureCanvasAgg(self.figure).print_png(aside))

    @staticmethod
    def _with_grid(panels, grid: str | None):
        for axes in panels if grid else ():
            axes.grid(axis=grid, alpha=GRID_ALPHA)
        return panels
