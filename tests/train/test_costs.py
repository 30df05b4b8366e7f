"""What a training counts to which part, on a clock of the test's own."""

import json

import keras
import pytest

from kgen.train import costs
from kgen.train.costs import Costs


class Clock:
    """CPU time passes half as fast as time."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.now / 2


class Work(keras.callbacks.Callback):
    """Takes three seconds at the end of an epoch."""

    def __init__(self, clock: Clock):
        super().__init__()
        self.clock = clock

    def on_epoch_end(self, epoch, logs=None):
        self.clock.now += 3


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(costs, "time", clock)
    return clock


def spent(clock: Clock) -> Costs:
    """A training of 2 seconds of other work, 10 of steps, and two epochs' ends of 3 seconds."""
    counted = Costs()
    callback = counted.callback("pictures", Work(clock))
    with counted.of(costs.OTHER):
        for epoch in range(2):
            clock.now += 1
            with counted.of(costs.STEPS):
                clock.now += 5
            callback.on_epoch_end(epoch)
    return counted


def test_a_part_is_not_counted_to_the_one_around_it(clock):
    counted = spent(clock)
    assert {part: seconds["wall_seconds"] for part, seconds in counted.parts.items()} == {
        "other": 2.0, "steps": 10.0, "pictures": 6.0,
    }  # fmt: skip
    assert counted.parts["steps"]["cpu_seconds"] == 5.0
    assert counted.overhead == pytest.approx(0.8)  # (1 + 3) / 5 CPU-seconds
    clock.now += 50  # outside of the training
    assert counted.get_state() == counted.parts
    assert Costs().overhead is None


def test_a_training_that_is_resumed_sums_up(clock):
    first, second = spent(clock), Costs()
    second.set_state(json.loads(json.dumps(first.get_state())))
    with second.of(costs.STEPS):
        clock.now += 10
    assert second.parts["steps"]["wall_seconds"] == 20.0 and second.overhead == pytest.approx(0.4)
    assert first.parts["steps"]["wall_seconds"] == 10.0


class Log:
    """In place of a run."""

    def __init__(self, path):
        self.path, self.lines = path, []

    def log(self, line: str):
        self.lines.append(line)


def test_the_line_ends_in_a_share_where_the_steps_are_most_of_it(clock, tmp_path):
    """The file holds the number in any case."""
    run = Log(tmp_path)
    long, short = spent(clock), Costs()
    with short.of(costs.STEPS):
        clock.now += 0.2
    with short.of("pictures"):
        clock.now += 6
    for counted, share in ((long, 0.8), (short, 30.0)):
        counted.write(run)
        assert json.loads((tmp_path / "costs.json").read_text())["overhead"] == pytest.approx(share)
    assert run.lines == [
        "CPU time: steps 5.0 s, pictures 3.0 s, other 1.0 s; beside steps and compilation 80% of the steps",
        "CPU time: steps 0.1 s, pictures 3.0 s; beside steps and compilation more than the steps",
    ]
