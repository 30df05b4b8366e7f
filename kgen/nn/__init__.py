"""Networks sized from a DataSpec: encoders, decoders, discriminators, and what the decoder's output means."""

from kgen.nn import bilinear, conv, conv_mlp, dcgan, mlp, pooled  # noqa: F401  (they register their networks)
from kgen.nn.critics import CriticOptions
from kgen.nn.networks import NETWORKS, NetworkOptions

__all__ = ["NETWORKS", "CriticOptions", "NetworkOptions"]
