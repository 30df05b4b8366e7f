"""Networks sized from a DataSpec: encoders, decoders, and what the decoder's output means."""

from kgen.nn import bilinear, conv, conv_mlp, mlp, pooled  # noqa: F401  (they register their networks)
from kgen.nn.networks import NETWORKS, NetworkOptions

__all__ = ["NETWORKS", "NetworkOptions"]
