"""Prints kgen/recipes/README.md: python -m kgen.recipes > kgen/recipes/README.md."""

from kgen.recipes import markdown

print(markdown(), end="")
