"""`--batch_size auto`: the largest batch of which a step fits into memory, found by taking steps.

They are taken in a child process, `python -m kgen.train.batch_size`: where memory runs out, a system may kill it. What
it took is free again when it ends.
"""

import functools
import gc
import json
import os
import signal
import sys

import keras
import tensorflow as tf

from kgen import gpu
from kgen.config import RunConfig
from kgen.errors import UserError, lacks_memory, says_lack
from kgen.models import build_model
from kgen.progress import announce
from kgen.spec import DataSpec
from kgen.tables import counted
from kgen.train import child
from kgen.train.memory import CERTAIN, device_memory, smaller_sizes, step_memory, with_batch_size

PROGRAM = "kgen.train.batch_size"
"""Module that takes steps of one size after the other and prints those that were tried, "SIZE fits" for the last."""
SECONDS = 900.0
STEPS = 3


def largest_that_fits(config: RunConfig, spec: DataSpec) -> int:
    """The batch size of a configuration, or the first of its half, quarter, ... that fits into memory.

    Args:
        config: complete.
        spec: of the data.

    Raises:
        UserError: not even the smallest fits, several machines train together, or a GPU has no memory left for it.
    """
    if config.train.strategy == "multi_worker":
        raise UserError("--batch_size auto is tried on one machine; give a number with --strategy multi_worker")
    if gpu.visible() and os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH", "").lower() == "false":
        raise UserError(
            "--batch_size auto takes steps in a process beside this one, which has all memory of the GPU by "
            "TF_FORCE_GPU_ALLOW_GROWTH=false; leave that out, or give a number"
        )
    alone = config.train.strategy == "one"
    replicas = 1 if alone else max(1, len(gpu.visible()))
    averaged = 1.0 if config.train.ema_halflife_images else 0.0
    length = {"epochs": 1, "minutes": None, "validate_every": 1, "samples_every": 1}  # which makes no difference
    config = with_batch_size(config, config.train.batch_size, ema_halflife_images=averaged, **length)
    return _largest(json.dumps(config.to_json(), sort_keys=True), json.dumps(spec.to_json()), replicas)


@functools.cache
def _largest(config_json: str, spec_json: str, replicas: int) -> int:
    config, spec = RunConfig.from_json(json.loads(config_json)), DataSpec.from_json(json.loads(spec_json))
    left = sizes = [size for size in smaller_sizes(config) if _may_fit(config, spec, size, replicas)]
    announce("trying batch sizes")
    while left:
        given = {"config": json.loads(config_json), "spec": json.loads(spec_json)}
        given |= {"sizes": [-(-size // replicas) for size in left], "replicas": replicas}
        ended = child.run_module(PROGRAM, json.dumps(given), seconds=SECONDS)
        tried = [line for line in ended.stdout.splitlines() if line.partition(" ")[0].isdigit()]
        if tried and tried[-1].endswith("fits"):
            return left[len(tried) - 1]
        if ended.returncode == child.NOT_STARTED or (ended.returncode > 0 and gpu.says_unusable(ended.stderr)):
            raise UserError(
                f"--batch_size auto takes steps in a process beside this one, which ended with "
                f"{child.how_it_ended(ended)}; give a number"
            )
        if ended.returncode > 0:  # another fault, which the training will show
            return left[0]
        left = left[len(tried) + (ended.returncode < 0) :]
        if not left and ended.returncode < 0 and ended.returncode != -signal.SIGKILL and not says_lack(ended.stderr):
            raise UserError(
                f"--batch_size auto: a step of {counted(sizes[-1], 'image')} ended with {child.how_it_ended(ended)}, "
                "as larger ones did; a step does not work here, of whatever size"
            )
    smallest = f"a step of {sizes[-1]} images" if sizes else "a step of one image"
    raise UserError(
        f"--batch_size auto: not even {smallest} fits into memory: --model {config.model} on images of "
        f"{'x'.join(map(str, spec.image_shape))}; use a smaller --image_size or a smaller model"
    )


def _may_fit(config: RunConfig, spec: DataSpec, size: int, replicas: int) -> bool:
    """Whether the estimate of a step does not exclude it."""
    try:
        need = step_memory(with_batch_size(config, size), spec, replicas)
    except UserError:
        raise
    except Exception:  # any kind, from a user's own layers
        return True
    return CERTAIN * need.bytes <= device_memory()[0]


# The child ------------------------------------------------------------------------------------------------------------


def main():
    given = json.loads(sys.stdin.read())
    config, spec = RunConfig.from_json(given["config"]), DataSpec.from_json(given["spec"])
    for size in given["sizes"]:
        try:
            for device in kinds_of_gpus() if given["replicas"] > 1 else [None]:
                with tf.device(device):
                    take_steps(with_batch_size(config, size, steps_per_execution=STEPS), spec)
        except Exception as error:
            smaller = size != given["sizes"][-1]  # a batch that fills a GPU leaves none for its libraries
            if not lacks_memory(error) and not (smaller and gpu.cannot_be_used(error)):
                raise
            print(f"{size} needs more memory", flush=True)
        else:
            print(f"{size} fits", flush=True)
            return
        keras.backend.clear_session()
        gc.collect()


def kinds_of_gpus() -> list[str]:
    """A GPU of each name: cards of two kinds share a batch equally, and one of them has less memory."""
    devices = zip(gpu.visible(), tf.config.list_logical_devices("GPU"), strict=False)
    return [*{gpu.name_of(card): device.name for card, device in devices}.values()]


def take_steps(config: RunConfig, spec: DataSpec):
    """Builds and compiles a model and takes some steps on black images."""
    from kgen.train.trainer import compile_model, set_precision  # which imports the defaults, and they this module

    set_precision(config)
    model = build_model(config.model, spec, seed=config.seed, **config.model_args)
    compile_model(model, config, steps_per_epoch=STEPS)
    size = config.train.batch_size
    batch = tf.zeros((size, *spec.image_shape), tf.uint8), tf.zeros(size, tf.int32)
    model.make_train_function()
    iterator = iter(tf.data.Dataset.from_tensors(batch).repeat())
    for _ in range(2):
        model.train_function(iterator)
    model.step.numpy()  # waits for the device


if __name__ == "__main__":
    main()
