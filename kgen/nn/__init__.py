"""Networks sized from a DataSpec: encoders, decoders, discriminators, and what the decoder's output means."""

from kgen.nn import conv, dcgan, mlp, residual  # noqa: F401  (they register their networks)
from kgen.nn.discriminator import DiscriminatorOptions
from kgen.nn.networks import NETWORKS, NetworkOptions

__all__ = ["NETWORKS", "DiscriminatorOptions", "NetworkOptions"]
