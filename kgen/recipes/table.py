"""The recipes as a table: what each reproduces and what it reached."""

import io
import itertools

from kgen.recipes.recipe import RECIPES, Recipe, load_recipe

HEADERS = ("recipe", "what it is; what it reproduces", "what it reached")
LEAST_WIDTH = 60


def render(width: int | None = None) -> str:
    """The table as text.

    Args:
        width: characters a line; longer cells are wrapped. None wraps nothing: a line a recipe, for a file or a pipe.

    Returns:
        Lines, each with its end of line.
    """
    from rich.box import ASCII2
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=ASCII2, show_edge=False, pad_edge=False, show_lines=width is not None)
    table.add_column(HEADERS[0], no_wrap=True)
    for header in HEADERS[1:]:
        table.add_column(header, overflow="fold")
    for recipe in map(load_recipe, RECIPES):
        cells = ((recipe.title, f"reproduces {recipe.reproduces}"), reached(recipe))
        table.add_row(recipe.name, *(Text(("; " if width is None else "\n").join(lines)) for lines in cells))
    file = io.StringIO()
    columns = 1_000_000 if width is None else max(width, LEAST_WIDTH)
    Console(file=file, width=columns, color_system=None, legacy_windows=False).print(table)
    return "".join(line.rstrip() + "\n" for line in file.getvalue().splitlines())


def reached(recipe: Recipe) -> list[str]:
    """The recipe's figures in words, those of one training together."""
    lines = []
    for (seconds, hardware), figures in itertools.groupby(recipe.reached, lambda f: (f.seconds, f.hardware)):
        lines += [*map(str, figures), f"in {seconds:,.0f} s on {hardware}"]
    return lines or ["not measured"]
