"""Many devices: replicas and worker processes train as one device does, and a lost worker ends a training clearly."""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from launch_workers import configs, start
from model_case import two_replicas

import kgen
from kgen import checkpoints
from kgen.cache import digest
from kgen.config import override
from kgen.errors import TrainingFailed, UserError, WorkerLost
from kgen.models import GenerativeModel
from kgen.train import distribution, train

ROOT = Path(kgen.__file__).parents[1]
LAUNCH = ROOT / "tools" / "launch_workers.py"
SETTINGS = {
    "data.limit": 61, "train.epochs": 2, "train.batch_size": 6, "train.optimizer": "sgd", "train.learning_rate": 1e-3,
    "train.jit_compile": False, "train.validate_every": 2, "model_args.hidden": [8], "model_args.latent_dim": 3,
}  # fmt: skip
MODELS = {"vae": {}, "gan": {"model_args.dropout": 0.0}}
STEPS = 20
WORKER = """
import json, os, sys
import numpy as np
import tensorflow as tf
tests, tools = os.path.dirname(sys.argv[1]), os.path.dirname(sys.argv[3])
sys.path[:0] = [sys.argv[1], tests, tools]
from test_distribution import MODELS, exchanged_bytes, newest, same_noise_for_all, settings_of
from kgen.models import GenerativeModel
from kgen.train import train
from kgen.train.distribution import devices_of

same_noise_for_all(GenerativeModel)
exchanged = {}
number = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
devices = devices_of("multi_worker")
for model in MODELS:
    run = train(settings_of(model, "multi_worker"), run_dir=f"{sys.argv[2]}/{model}")
    np.savez(f"{sys.argv[2]}/{model}-{number}.npz", **newest(run.path))
    exchanged[model] = exchanged_bytes(settings_of(model, "multi_worker"), devices.strategy)
with open(f"{sys.argv[2]}/exchanged-{number}.json", "w") as file:
    json.dump(exchanged, file)
train(settings_of("vae", "multi_worker"), run_dir=f"{sys.argv[2]}/two-then-one", pause_after=1)
train(settings_of("vae", "multi_worker"), run_dir=f"{sys.argv[2]}/one-then-two")
from kgen.data import load
config = settings_of("vae", "multi_worker")
batches = iter(devices.batches(load(config.data, seed=0), "train", batch_size=7, seed=0, repeat=True))
local = devices.strategy.experimental_local_results
seen = [local(next(batches)[0])[0].numpy() for _ in range(8)]
np.savez(f"{sys.argv[2]}/seen-{number}.npz", *seen)
"""


def settings_of(model: str, name: str) -> kgen.RunConfig:
    return override(kgen.RunConfig(), {"model": model, "train.strategy": name, **SETTINGS, **MODELS[model]})


def same_noise_for_all(model_class, patch=setattr):
    """Fixed noise, the same row for every example: replicas draw their own otherwise."""

    def noise(self, shape, *names, training=True):
        row = tf.random.stateless_normal(shape[1:], [len("".join(names)), 1], alg="philox")
        return tf.broadcast_to(row, shape)

    patch(model_class, "noise", noise)
    patch(model_class, "uniform", lambda self, shape, *names, training=True: tf.fill(shape, 0.3))


def exchanged_bytes(config: kgen.RunConfig, strategy) -> dict[str, int]:
    """What each worker gives to the others in a training step: bytes of all operations, and of the trained weights."""
    from kgen import build_model, data

    with strategy.scope():
        model = build_model(config.model, data.load(config.data, seed=0).spec, seed=0, **config.model_args)
        model.compile({phase.name: keras.optimizers.Adam() for phase in model.phases()})
    batch = tf.zeros((3, *model.spec.image_shape)), tf.zeros(3, tf.int32)
    step = tf.function(lambda: strategy.run(model.train_step, args=(batch,)), autograph=False)
    graph = step.get_concrete_function().graph
    sent = [op.inputs[0] for op in graph.get_operations() if op.type.startswith("Collective") and op.inputs]
    return {
        "all": sum(tensor.dtype.size * tensor.shape.num_elements() for tensor in sent),
        "weights": sum(4 * int(np.prod(w.shape)) for w in model.trainable_variables),
        "operations": [f"{op.type} {op.inputs[0].shape}" for op in graph.get_operations() if "ollective" in op.type],
    }


def newest(path: Path) -> dict[str, np.ndarray]:
    """The variables of a run's last checkpoint."""
    return checkpoints.read(max((path / "checkpoints").glob("step-*.npz"))).arrays


def assert_close(one: dict[str, np.ndarray], other: dict[str, np.ndarray]):
    """Weights, optimizers, averages and sums of metrics."""
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """model -> its run on one device."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        same_noise_for_all(GenerativeModel, patch.setattr)
        train(settings_of("vae", "one"), run_dir=str(folder / "one-then-two"), pause_after=1)
        return {model: train(settings_of(model, "one"), run_dir=str(folder / model)) for model in MODELS}


@pytest.fixture(scope="module")
def together(tmp_path_factory, alone):
    """What two workers left: runs of each model, one that they began and one that they ended, and what each saw."""
    folder = tmp_path_factory.mktemp("together")
    shutil.copytree(alone["vae"].path.with_name("one-then-two"), folder / "one-then-two")
    command = [sys.executable, LAUNCH, "2", "--", sys.executable, "-c", WORKER, Path(__file__).parent, folder, LAUNCH]
    ended = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=500, cwd=ROOT)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-1000:]
    return folder, ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_two_replicas_train_as_one(tmp_path, monkeypatch, alone, model):
    asked = []
    monkeypatch.setattr(distribution, "_mirrored", lambda devices: asked.append(devices) or two_replicas())
    same_noise_for_all(GenerativeModel, monkeypatch.setattr)
    run = train(settings_of(model, "mirrored"), run_dir=str(tmp_path / "two"))
    assert asked == [("CPU:0", "CPU:1")]
    assert "2 replicas" in (run.path / "log.txt").read_text()
    assert_close(newest(alone[model].path), newest(run.path))


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_two_workers_train_as_one_process(alone, together, model):
    ends = []
    for number in (0, 1):
        with np.load(together[0] / f"{model}-{number}.npz") as found:
            ends.append(dict(found))
    assert alone[model].metrics()[-1]["step"] == STEPS
    assert ends[0]["model/0"].size and all(np.array_equal(ends[0][name], ends[1][name]) for name in ends[0])
    expected = newest(alone[model].path)
    assert_close(expected, ends[0])
    last_rows = [run.metrics()[-1] for run in (alone[model], kgen.run.Run.open(together[0] / model))]
    for key, value in last_rows[0].items():
        if key.endswith(("_loss", "_rate", "_distortion", "_gradient")):  # evaluated on 61: a short last share
            assert last_rows[1][key] == pytest.approx(value, rel=1e-5), key


@pytest.mark.slow
def test_as_many_workers_go_on_as_there_are(alone, together, monkeypatch):
    same_noise_for_all(GenerativeModel, monkeypatch.setattr)
    one_then_two, two_then_one = together[0] / "one-then-two", together[0] / "two-then-one"
    train(settings_of("vae", "one"), run_dir=str(two_then_one))
    assert "2 workers, 2 replicas" in (two_then_one / "log.txt").read_text()
    for run in (one_then_two, two_then_one):
        assert f"resumes in epoch 2 of 2, after step {STEPS // 2}" in (run / "log.txt").read_text()
        assert_close(newest(alone["vae"].path), newest(run))


@pytest.mark.parametrize("model", MODELS)
def test_gradients_are_exchanged_once(together, model):
    for number in (0, 1):
        found = json.loads((together[0] / f"exchanged-{number}.json").read_text())[model]
        assert 0 < found["all"] - found["weights"] <= 64, found  # beside them the loss and the number of examples


def test_workers_share_each_batch_and_see_no_image_twice(together):
    parts = []
    for number in (0, 1):
        with np.load(together[0] / f"seen-{number}.npz") as found:
            parts.append([found[name] for name in found.files])
    dataset = kgen.data.load(settings_of("vae", "one").data, seed=0)
    whole = list(dataset.batches("train", batch_size=7, seed=0, repeat=True).take(8).as_numpy_iterator())
    assert len(parts[0]) == len(parts[1]) == len(whole)
    for (images, _), *shares in zip(whole, *parts, strict=True):
        assert sorted(map(len, shares)) == [3, 4] and np.array_equal(np.concatenate(shares), images)
    seen = {image.tobytes() for part in parts for images in part for image in images}
    assert len(seen) == len({image.tobytes() for images, _ in whole for image in images}) > 50


def test_the_chief_alone_writes_and_speaks(together):
    folder, said = together
    assert not [line for line in said.splitlines() if line.startswith("[1]") and ("run " in line or "done" in line)]
    assert "2 workers" in said and (folder / "vae" / "DONE").is_file()
    rows = (folder / "vae" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["epoch"] for row in rows] == [1, 2]
    assert (folder / "vae" / "log.txt").read_text().count("done in") == 1


def begin(*arguments, count: int = 2) -> list[subprocess.Popen]:
    """kgen-train by the first of two workers, or by both."""
    code = "import sys; from kgen.cli.train import main; sys.exit(main())"
    return [start([sys.executable, "-c", code, *map(str, arguments)], config) for config in configs(2)[:count]]


@contextlib.contextmanager
def two_that_train(path: Path, *arguments):
    """Workers of a training that does not end, after its first epoch."""
    small = ["--limit", 32, "--batch_size", 8, "--set", "model_args.hidden=[8]", "--nojit_compile", "--epochs", 9999]
    workers = begin("--model", "vae", "--strategy", "multi_worker", "--run_dir", path, *small, *arguments)
    try:
        until = time.monotonic() + 100
        while not (path / "metrics.jsonl").is_file():
            assert time.monotonic() < until and workers[0].poll() is None, workers[0].communicate()[0]
            time.sleep(0.05)
        yield workers
    finally:
        for worker in workers:
            worker.kill()


@pytest.mark.slow
def test_sigterm_to_one_worker_ends_both_with_a_checkpoint(tmp_path):
    path = tmp_path / "run"
    with two_that_train(path, "--checkpoint_seconds", 1000) as workers:
        workers[1].terminate()
        said = [worker.communicate(timeout=60)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [130, 130], said
    assert f"interrupted; resume with: kgen-train --resume {path}" in (path / "log.txt").read_text()
    written = max(int(file.stem[5:]) for file in (path / "checkpoints").glob("step-*.npz"))
    assert written >= kgen.run.Run.open(path).metrics()[-1]["step"] > 0


@pytest.mark.slow
def test_ctrl_c_ends_a_worker_that_waits_for_the_others(tmp_path):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a child would ignore what is ignored here
    (worker,) = begin("--model", "vae", "--strategy", "multi_worker", "--run_dir", tmp_path / "run", count=1)
    signal.signal(signal.SIGINT, before)
    try:
        assert any(line.startswith("waiting for 1 other worker") for line in worker.stdout)
        time.sleep(2)
        worker.send_signal(signal.SIGINT)
        assert worker.wait(60) in (-signal.SIGINT, 130)  # TensorFlow waits for ten minutes
    finally:
        worker.kill()


@pytest.mark.slow
def test_a_killed_worker_ends_the_training_and_resume_goes_on(tmp_path):
    path = tmp_path / "run"
    with two_that_train(path, "--checkpoint_steps", 1) as workers:
        workers[1].kill()
        killed = time.monotonic()
        said, _ = workers[0].communicate(timeout=60)
        assert time.monotonic() - killed < 60 and workers[0].returncode == WorkerLost.exit_code, said
    assert "kgen-train: worker 0 of 2 stops: another worker is gone or does not answer" in said
    assert f"kgen-train --resume {path}" in said and "Traceback" not in said
    reached = max(int(file.stem[5:]) for file in (path / "checkpoints").glob("step-*.npz"))
    epochs = reached // 4 + 2
    ends = [worker.communicate(timeout=100)[0] for worker in begin("--resume", path, "--epochs", epochs)]
    assert (path / "DONE").is_file(), ends
    log = (path / "log.txt").read_text()
    assert f" of {epochs}, after step {reached:,}\n" in log
    assert [row["epoch"] for row in kgen.run.Run.open(path).metrics()][-1] == epochs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "TF_CONFIG is not set"),
        ("", "TF_CONFIG is not set"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"cluster": {"worker": ["a:1"]}}', "cannot be read"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "cannot be read"),
        ('{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}', "no cluster of workers"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": -1}}', "no cluster of workers"),
        ('{"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}', "names a:1 twice"),
        ('{"cluster": {"ps": ["a:1"], "worker": ["b:1"]}, "task": {"type": "worker", "index": 0}}', "a job 'ps'"),
    ],
)
def test_a_wrong_tf_config_is_explained(text, message):
    with pytest.raises(UserError, match=message) as error:
        distribution.cluster_of(text)
    assert distribution.EXAMPLE in str(error.value)


def test_the_chief_comes_first():
    cluster = {"chief": ["c:1"], "worker": ["a:1", "b:1"]}
    found = [
        distribution.cluster_of(json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}}))
        for kind, index in (("chief", 0), ("worker", 0), ("worker", 1))
    ]
    assert found == [(number, ("c:1", "a:1", "b:1")) for number in range(3)]


def test_without_gpus_auto_is_one_device_and_there_is_no_tpu(monkeypatch):
    for name in ("auto", "one"):
        devices = distribution.devices_of(name)
        assert devices.replicas == 1 and devices.is_chief and devices.agreed(3) == 3 and str(devices) == "1 replica"

    def nowhere():
        raise ValueError("Please provide a TPU Name to connect to.")

    monkeypatch.setattr(tf.distribute.cluster_resolver.TPUClusterResolver, "connect", nowhere)
    with pytest.raises(UserError, match=r"finds no TPU .* use --strategy auto"):
        distribution.devices_of("tpu")


def test_one_device_needs_no_strategy(monkeypatch):
    """A whole step under XLA, as a single GPU takes it, cannot change the counters of a MirroredStrategy."""
    monkeypatch.setenv("TF_CONFIG", distribution.EXAMPLE.replace(', "host1:2222"', ""))
    assert distribution.devices_of("multi_worker").strategy is tf.distribute.get_strategy()
    listed = [tf.config.LogicalDevice("/device:GPU:0", "GPU")]
    monkeypatch.setattr(distribution.gpu, "visible", lambda: ["GPU"])
    monkeypatch.setattr(distribution.tf.config, "list_logical_devices", lambda kind: listed)
    for name in ("mirrored", "auto", "one"):
        assert distribution.devices_of(name).strategy is tf.distribute.get_strategy()
    listed.append(tf.config.LogicalDevice("/device:GPU:1", "GPU"))
    monkeypatch.setattr(distribution, "_mirrored", lambda devices: devices)
    monkeypatch.setattr(distribution, "Devices", list)
    assert distribution.devices_of("mirrored") == ["GPU:0", "GPU:1"]


def test_a_worker_that_dies_while_all_wait_for_each_other_is_a_lost_one(monkeypatch):
    def fails():
        raise tf.errors.UnavailableError(None, None, "Barrier failed: /job:worker/replica:0/task:1 is gone")

    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", fails)
    with pytest.raises(WorkerLost, match=r"worker 0 of 2 stops: .*task:1 is gone.* Start every worker again"):
        distribution._multi_worker(0, ("nowhere:1", "nowhere:2"))


def test_workers_that_read_in_other_orders_are_refused(monkeypatch):
    """Each is told, by the largest and the smallest of a number that stands for the order."""
    numbers = {order: int(digest(order)[:6], 16) for order in ("image by image", "by 9 parts, 4 of them mixed")}
    assert all(int(np.float32(number)) == number for number in numbers.values())
    for number, (own, value) in enumerate(numbers.items()):
        devices = distribution.Devices(tf.distribute.get_strategy(), number, ("a:1", "b:1"))
        other = next(each for each in numbers.values() if each != value)
        monkeypatch.setattr(devices, "agreed", lambda mine, other=other: max(mine, other if mine > 0 else -other))
        with pytest.raises(UserError, match=f"worker {number} {own}: .*the same --remote and --cache"):
            devices.check_order(own)
        monkeypatch.setattr(devices, "agreed", lambda mine: mine)
        devices.check_order(own)


def test_what_follows_from_a_death_is_the_loss_of_a_worker():
    devices = distribution.Devices(tf.distribute.get_strategy(), 1, ("a:1", "b:1"))
    with pytest.raises(RuntimeError, match="own"), devices.errors_converted():
        raise RuntimeError("its own")
    devices._dead = "worker 0 (a:1) has died"
    with pytest.raises(WorkerLost, match=r"\(worker 0 \(a:1\) has died\)"), devices.errors_converted():
        raise RuntimeError("iterator was cancelled")


def test_a_worker_that_runs_out_of_memory_says_so_and_the_others_that_it_is_gone():
    devices = distribution.Devices(tf.distribute.get_strategy(), 1, ("a:1", "b:1"))
    with pytest.raises(tf.errors.ResourceExhaustedError), devices.errors_converted():
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[9]")
    with pytest.raises(WorkerLost, match="OOM when"), devices.errors_converted():
        raise tf.errors.ResourceExhaustedError(None, None, "Collective ops is aborted by: OOM when allocating tensor")


def test_an_error_of_one_process_stays_what_it_is():
    error = tf.errors.UnavailableError(None, None, "Collective ops is aborted by: peer is gone\nmore")
    with (
        pytest.raises(tf.errors.UnavailableError),
        distribution.Devices(tf.distribute.get_strategy()).errors_converted(),
    ):
        raise error
    told = "NCCL operation ncclGetUniqueId(&id) failed: unhandled system error"
    two = r"2 replicas cannot exchange their gradients by NCCL \(NCCL operation .* error\); .*--strategy one"
    with pytest.raises(TrainingFailed, match=two), distribution.Devices(two_replicas()).errors_converted():
        raise tf.errors.UnknownError(None, None, told)
    with pytest.raises(tf.errors.ResourceExhaustedError), distribution.Devices(two_replicas()).errors_converted():
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor [[{{node NcclAllReduce}}]]")
    message = r"UnavailableError: peer is gone\).*kgen-train --resume RUN"
    second = distribution.Devices(tf.distribute.get_strategy(), 1, ("a:1", "b:1"))
    with pytest.raises(TrainingFailed, match=message), second.errors_converted():
        raise error
