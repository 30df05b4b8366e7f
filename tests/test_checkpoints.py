"""Checkpoint files: what is read back, and that damage is noticed."""

import json

import numpy as np
import pytest

from kgen import checkpoints
from kgen.checkpoints import StepCheckpoints

ARRAYS = {
    "model/0": np.arange(6, dtype=np.float32).reshape(2, 3), "model/1": np.array(7, np.int64),
    "average/0": np.ones((2, 3), np.float32), "optimizer/elbo/0": np.full(40, 5.0, np.float32),
}  # fmt: skip
STATE = {"epoch": 2, "step": 20, "metrics": {"train_loss": float("nan")}}


def test_what_is_written_is_read_back(tmp_path):
    path = checkpoints.write(tmp_path / "checkpoints" / "best.npz", ARRAYS, STATE)
    found = checkpoints.read(path)
    assert found.arrays.keys() == ARRAYS.keys() and found.state["step"] == 20
    for name, values in ARRAYS.items():
        assert found.arrays[name].dtype == values.dtype
        np.testing.assert_array_equal(found.arrays[name], values)
    assert json.dumps(checkpoints.read_state(path)) == json.dumps(found.state)
    assert [p.name for p in path.parent.iterdir()] == ["best.npz"]


def test_weights_are_the_averages_where_there_are_any(tmp_path):
    path = checkpoints.write(tmp_path / "step.npz", ARRAYS, STATE)
    found = checkpoints.read(path, weights_only=True)
    assert "optimizer/elbo/0" not in found.arrays
    (first, second) = found.weights()
    assert (first == 1).all() and second == 7


def test_plain_numpy_reads_it(tmp_path):
    with np.load(checkpoints.write(tmp_path / "step.npz", ARRAYS, STATE)) as arrays:
        np.testing.assert_array_equal(arrays["model/0"], ARRAYS["model/0"])


def test_every_flipped_bit_of_an_array_is_noticed(tmp_path):
    path = checkpoints.write(tmp_path / "step.npz", ARRAYS, STATE)
    content = path.read_bytes()
    start = content.index(ARRAYS["optimizer/elbo/0"].tobytes())
    for place in range(start, start + 160, 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ValueError, match="CRC"):
            checkpoints.read(path)


@pytest.mark.parametrize("content", [b"", b"weights", b"PK"], ids=["empty", "text", "two letters"])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "best.npz").write_bytes(content)
    for read in (checkpoints.read, checkpoints.read_state):
        with pytest.raises(ValueError):
            read(tmp_path / "best.npz")


def test_the_newest_whole_file_and_no_more_than_are_kept(tmp_path):
    found, messages = StepCheckpoints(tmp_path, keep=2), []
    assert found.newest(messages.append) is None
    for step in (5, 1, 10, 15):
        found.write(step, ARRAYS, STATE | {"step": step})
    assert found.steps() == [10, 15] and found.newest(messages.append).state["step"] == 15 and not messages
    found.path(15).write_bytes(found.path(15).read_bytes()[:-30])
    assert found.newest(messages.append).state["step"] == 10
    assert len(messages) == 1 and str(found.path(15)) in messages[0]
    found.remove_after(10)
    assert found.steps() == [10]
