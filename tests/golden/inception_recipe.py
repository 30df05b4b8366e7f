"""Random weights and images for the Inception network, and what torch-fidelity 0.4.0 makes of them.

`inception.npz` beside this file holds torch-fidelity's answer: features, logits, every 13th pixel of the resized
images, and the keys of the state dictionary. Written by, where torch-fidelity is installed:

    PYTHONPATH=. python tests/golden/inception_recipe.py
"""

from pathlib import Path

import numpy as np

from kgen import random

GOLDEN = Path(__file__).with_name("inception.npz")


def random_array(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The array of one key of a state dictionary, float32: He's normal for convolutions, so that nothing fades."""
    draw = random.generator(0, "inception", key)
    if len(shape) == 4:
        values = draw.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / np.prod(shape[1:])))
    elif len(shape) == 2:
        values = draw.standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[1]))
    elif key.endswith((".weight", ".running_var")):
        values = draw.uniform(0.5, 1.5, shape)
    else:
        values = draw.normal(0, 0.1, shape)
    return values.astype(np.float32)


def random_images() -> np.ndarray:
    """[2, 40, 56, 3] uint8: noise, and noise upon a slope of colours; not square, so that no axis can be swapped."""
    noise = random.generator(0, "inception images").integers(0, 256, (2, 40, 56, 3))
    slope = np.arange(40)[:, None, None] * 3 + np.arange(56)[None, :, None] * np.array([0, 1, 2])
    noise[1] = noise[1] // 16 + slope
    return noise.astype(np.uint8)


def main():
    """Runs torch-fidelity's extractor; of its package only that file, because the others need torchvision."""
    import importlib.util
    import sys
    import tempfile

    import torch

    sys.modules["torch_fidelity"] = importlib.util.module_from_spec(importlib.util.find_spec("torch_fidelity"))
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    class Empty(FeatureExtractorInceptionV3):
        """Its keys and shapes are wanted, not its weights."""

        def load_state_dict(self, state):
            return None

    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        torch.save({}, file.name)
        shapes = {key: tuple(value.shape) for key, value in Empty("empty", ["2048"], file.name).state_dict().items()}
        shapes = {key: shape for key, shape in shapes.items() if not key.endswith("num_batches_tracked")}
        torch.save({key: torch.from_numpy(random_array(key, shape)) for key, shape in shapes.items()}, file.name)
        extractor = FeatureExtractorInceptionV3("golden", ["2048", "logits"], file.name)
    images = torch.from_numpy(random_images().transpose(0, 3, 1, 2))
    with torch.no_grad():
        features, logits = (values.numpy() for values in extractor(images))
    resized = interpolate_bilinear_2d_like_tensorflow1x(images.float(), (299, 299), align_corners=False).numpy()
    np.savez_compressed(
        GOLDEN,
        features=features,
        logits=logits,
        resized=resized.transpose(0, 2, 3, 1)[:, ::13, ::13],
        keys=np.array(sorted(f"{key} {list(shape)}" for key, shape in shapes.items())),
    )


if __name__ == "__main__":
    main()
