"""`kgen.train` is a package, and what a user calls: `kgen.train(config)`."""

import sys
import types


def make_callable(module_name: str, function_name: str):
    """Lets a module be called like one of its functions.

    Args:
        module_name: of an imported module, its `__name__`.
        function_name: of the function in it.
    """

    class CallableModule(types.ModuleType):
        def __call__(self, *args, **kwargs):
            return getattr(self, function_name)(*args, **kwargs)

    sys.modules[module_name].__class__ = CallableModule
