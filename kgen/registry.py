"""Named choices (models, networks, data sets): a dictionary with a decorator and helpful errors."""

import difflib
from collections.abc import Callable, Iterable
from typing import Any

from kgen.errors import UserError


def nearest(name: str, known: Iterable[str], listed: str = "") -> str:
    """What a message about an unknown name ends with: the closest known names, then all of them.

    Args:
        name: the unknown one.
        known: all.
        listed: where they are listed, if they are too many for a message.
    """
    known = sorted(known)
    lower = [other.casefold() for other in known]
    close = [known[lower.index(other)] for other in difflib.get_close_matches(name.casefold(), lower, n=3, cutoff=0.5)]
    hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return hint + (listed or f"known: {', '.join(known) or 'none'}")


class Registry(dict):
    """A dict from a name to an entry, filled by a decorator.

    >>> NETWORKS = Registry("network")
    >>> @NETWORKS.register("mlp", jit_compile_on_cpu=True)
    ... class MLP: ...
    >>> NETWORKS["mlp"] is MLP, NETWORKS.defaults("mlp")
    (True, {'jit_compile_on_cpu': True})

    Args:
        kind: what one entry is called in messages, e.g. "model".
    """

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind
        self._defaults: dict[str, dict[str, Any]] = {}

    def register(self, name: str, **defaults: Any) -> Callable:
        """Decorator that registers its target under `name`, with `defaults` beside it.

        Raises:
            ValueError: the name is taken.
        """

        def file(target):
            if name in self:
                raise ValueError(f"{self.kind} {name!r} is registered twice: {self[name]!r} and {target!r}")
            self[name] = target
            self._defaults[name] = defaults
            return target

        return file

    def defaults(self, name: str) -> dict[str, Any]:
        """The keyword arguments that `register` was given with this name."""
        self[name]
        return self._defaults[name]

    def __missing__(self, name):
        raise UserError(f"unknown {self.kind} {name!r}: {nearest(name, self)}")
