"""Images in: any source -> one shape -> (images [B, H, W, C] float32 in [0, 1], labels [B] int32).

`load` opens a data set, `pipeline` is the short way from a name to a `tf.data.Dataset`. Importing this loads no
TensorFlow.
"""

from kgen.data.dataset import Dataset, SplitImages
from kgen.data.pipeline import load, pipeline, resplit
from kgen.data.sources.base import Skipped

__all__ = ["Dataset", "Skipped", "SplitImages", "load", "pipeline", "resplit"]
