"""Matplotlib figures as arrays, with a caption below; no display, no global state."""

import numpy as np

from kgen.explore.sheet import captioned

DOTS = 110  # an inch


class Figure:
    """A figure of so many inches."""

    def __init__(self, width: float, height: float):
        from matplotlib.figure import Figure as Drawing

        self.drawing = Drawing(figsize=(width, height), dpi=DOTS, layout="constrained")

    def axes(self):
        """One panel with a faint grid."""
        axes = self.drawing.add_subplot()
        axes.grid(alpha=0.25)
        return axes

    def panels(self, rows: int, columns: int):
        """[rows, columns] panels."""
        return self.drawing.subplots(rows, columns, squeeze=False)

    @staticmethod
    def color(number: int, count: int):
        """The colour of a class."""
        from matplotlib import colormaps

        return colormaps["tab10" if count <= 10 else "tab20"](number)

    def drawn(self, caption: str) -> np.ndarray:
        """[H, W, 3] uint8 with the caption below."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas = FigureCanvasAgg(self.drawing)
        canvas.draw()
        return captioned(np.asarray(canvas.buffer_rgba())[..., :3].copy(), caption)
