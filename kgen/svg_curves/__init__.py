"""Curves as inline SVG that one can hover: no library, no network, readable without JavaScript.

A page puts `STYLE` and `SCRIPT` once, and what `figures` gives wherever curves belong.
"""

from importlib import resources

from kgen.svg_curves.draw import Line, Panel, figure, figures, thin

STYLE = (resources.files("kgen.svg_curves") / "curves.css").read_text(encoding="utf-8")
SCRIPT = (resources.files("kgen.svg_curves") / "curves.js").read_text(encoding="utf-8")

__all__ = ["SCRIPT", "STYLE", "Line", "Panel", "figure", "figures", "thin"]
