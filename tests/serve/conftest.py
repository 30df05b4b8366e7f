"""The tiny model and servers of it."""

import os
import shutil

import pytest
import tiny_models
from serving_case import Address, running


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """exports/ with the model tiny/1 and a models.config that labels it."""
    root = tmp_path_factory.mktemp("tiny") / "exports"
    tiny_models.write(root / "tiny" / "1")
    (root / "models.config").write_text(tiny_models.config(root, **{tiny_models.LABEL: 1}))
    return root


@pytest.fixture
def exports(tiny, tmp_path):
    """A copy of it that a test may change."""
    copy = shutil.copytree(tiny, tmp_path / "exports")
    (copy / "models.config").write_text(tiny_models.config(copy, **{tiny_models.LABEL: 1}))
    return copy


@pytest.fixture(scope="session")
def served(tiny):
    """A server of the tiny model with all defaults."""
    with running(tiny) as server:
        yield server


@pytest.fixture(scope="session")
def any_server(request):
    """The server that contract tests ask: a real TF Serving if KGEN_TF_SERVING=host:port names its REST port, or ours.

    KGEN_TF_SERVING_GRPC is its gRPC address (default: port 8500 of the same host), KGEN_TF_SERVING_MODEL its name of
    the tiny model (default: tiny). It serves what `python tests/serve/tiny_models.py FOLDER` wrote:
    tensorflow_model_server --rest_api_port=8501 --port=8500 --model_config_file=FOLDER/models.config
    --allow_version_labels_for_unavailable_models=true
    """
    if not (place := os.environ.get("KGEN_TF_SERVING")):
        yield request.getfixturevalue("served")
        return
    other = os.environ.get("KGEN_TF_SERVING_GRPC", place.rsplit(":", 1)[0] + ":8500")
    address = Address(f"http://{place}", other, os.environ.get("KGEN_TF_SERVING_MODEL", "tiny"))
    yield address
    address.close()
