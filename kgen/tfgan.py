"""TensorFlow-GAN's losses, metrics and features, without its Estimators.

`import tensorflow_gan` raises since TensorFlow 2.16, which has no Estimators. Its subpackages run: here they are
imported below two empty shells of `tensorflow_gan` and `tensorflow_gan.python`, whose own `__init__` never runs.

>>> from kgen import tfgan
>>> tfgan.losses.losses_impl.wasserstein_generator_loss(logits)
>>> tfgan.module("eval.classifier_metrics").frechet_classifier_distance_from_activations(real, fake)

Modules are imported when they are used: `losses` and `features` cost next to nothing beside TensorFlow itself, `eval`
some seconds (it imports TensorFlow Probability, TF-Hub and Keras 2). What builds layers of TensorFlow 1 raises beside
Keras 3: `features.condition_tensor` and `features.condition_tensor_from_onehot`.
"""

import importlib
import importlib.util
import sys
import types
import warnings

from kgen.errors import UserError

PACKAGES = ("losses", "eval", "features")
INSTALL = 'pip install tensorflow-gan tensorflow-hub tensorflow-probability tf_keras "setuptools<82"'


def module(name: str) -> types.ModuleType:
    """A module of TensorFlow-GAN.

    Args:
        name: below `tensorflow_gan.python`, e.g. "losses.losses_impl" or "eval.classifier_metrics".

    Raises:
        UserError: TensorFlow-GAN, or a package that this part of it imports, is not installed.
    """
    for shell in ("tensorflow_gan", "tensorflow_gan.python"):
        if shell not in sys.modules:
            spec = importlib.util.find_spec(shell)
            if spec is None:
                raise UserError(f"TensorFlow-GAN is not installed: {INSTALL}")
            sys.modules[shell] = importlib.util.module_from_spec(spec)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "pkg_resources is deprecated")  # by TF-Hub
            found = importlib.import_module(f"tensorflow_gan.python.{name}")
    except ImportError as error:
        raise UserError(f"TensorFlow-GAN's {name!r} cannot be imported ({error}): {INSTALL}") from error
    if inception := sys.modules.get("tensorflow_gan.python.eval.inception_metrics"):
        _give_flatten(inception)
    return found


def __getattr__(name: str) -> types.ModuleType:
    if name in PACKAGES:
        return module(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _give_flatten(inception_metrics: types.ModuleType) -> None:
    """Its loader of TF-Hub modules calls `tf.compat.v1.layers.flatten`, which TensorFlow withholds beside Keras 3."""
    import tensorflow as tf

    if inception_metrics.tf is not tf:
        return
    given = types.ModuleType("tensorflow")
    given.__getattr__ = lambda name: getattr(tf, name)
    layers = types.SimpleNamespace(flatten=lambda x: tf.reshape(x, [tf.shape(x)[0], -1]))
    given.compat = types.SimpleNamespace(v1=types.SimpleNamespace(layers=layers))
    inception_metrics.tf = given
