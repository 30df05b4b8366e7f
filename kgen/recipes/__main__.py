"""Prints kgen/recipes/README.md: python -m kgen.recipes > kgen/recipes/README.md."""

from kgen.recipes import markdown

if __name__ == "__main__":
    print(markdown(), end="")
