"""What `gpu_check.py` measures. It starts this file, once for each group of measurements: `gpu_parts.py kgen|peers`.

On standard input comes one line of JSON, a Group; on standard output goes one line per measurement, "@@" and JSON, in
the order of the group, each as soon as it is known. A measurement that ends the process takes none before it along.
"""

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MARK = "@@"
ROOT = Path(__file__).resolve().parent.parent
STEPS = 20
"""SGD steps of the parts a and b."""
TOLERANCE = {"a": 1e-4, "b": 1e-5}
"""Largest difference of a weight, over the largest of its tensor (at least 1e-3); of a metric, over the metric."""


@dataclass(frozen=True)
class Group:
    """Measurements of one process.

    Attributes:
        part: a letter of `gpu_check.PARTS`, or "about".
        names: of the measurements.
        gpu: on a GPU in full size; False: on the CPU, small.
        folder: for the files that are kept.
        seconds: the time that all of them may take.
    """

    part: str
    names: list[str]
    gpu: bool
    folder: str
    seconds: float

    @property
    def device(self) -> str:
        return "/GPU:0" if self.gpu else "/CPU:0"


# The machine ----------------------------------------------------------------------------------------------------------


def about(name: str, group: Group) -> dict:
    """The card, its driver and memory, and CUDA and cuDNN as TensorFlow sees them."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    found = {"gpu": bool(gpus), "gpus": len(gpus), "cores": len(os.sched_getaffinity(0))}
    found["versions"] = {name: version(name) for name in ("tensorflow", "keras", "numpy", "torch", "jax", "optax")}
    build = tf.sysconfig.get_build_info()
    found["built_for"] = {key: build.get(key) for key in ("cuda_version", "cudnn_version")}
    if not gpus:
        return found | {"text": "no GPU: a self-check on the CPU, in small sizes; nothing here says how a GPU does"}
    details = tf.config.experimental.get_device_details(gpus[0])
    found["card"], capability = details.get("device_name", "?"), details.get("compute_capability", ())
    query = ["nvidia-smi", "--query-gpu=driver_version,memory.total", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()[0]
        found["driver"], found["memory"] = map(str.strip, said.split(","))
    found["text"] = (
        f"{len(gpus)} × {found['card']}, compute capability {'.'.join(map(str, capability))}, "
        f"{found.get('memory', 'memory unknown')}, driver {found.get('driver', 'unknown')}; TensorFlow "
        f"{tf.__version__} built for CUDA {build.get('cuda_version')}, cuDNN {build.get('cudnn_version')}"
    )
    return found


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


# a: the same as on the CPU --------------------------------------------------------------------------------------------


RATES = {"elbo": 1e-4, "discriminator": 1e-3, "generator": 1e-3}
"""Learning rates of SGD: weights move by 1e-3 to 1e-2 of themselves, and rounding does not grow to more than that."""
CRITIC_RATE = 1e-5
"""Of a discriminator with a gradient penalty: by RATES it would move by as much as itself, and a ReLU on the other side
of its kink turns the slopes that the penalty is of."""
SMALL = {"hidden": (32,), "filters": (8, 16), "latent_dim": 4}
TRIAL = "trial of XLA"
_ON_CPU: dict[str, tuple] = {}


def parity(name: str, group: Group) -> dict:
    """A preset, and how it is computed: 20 SGD steps here against the same, operation by operation, on the CPU.

    The name TRIAL stands for the trial that decides whether kgen uses XLA on a GPU.
    """
    if name == TRIAL:
        from kgen.train import xla

        failure = xla.trial()
        return {"ok": not failure, "text": failure or "a child process compiled and ran the small program"}
    preset, _, how = name.partition(" ")
    if preset not in _ON_CPU:
        _ON_CPU[preset] = by_sgd(preset, group, "/CPU:0", "eager")
    start, reference, expected = _ON_CPU[preset]
    _, weights, metrics = by_sgd(preset, group, group.device, how or "graph", start)
    found = compared(weights, reference, metrics, expected)
    rounded = how == "TF32" or "mixed" in how  # it is told how far; only finite it must be
    return found | {"told": rounded, "ok": found["finite"] if rounded else found["ok"]}


def by_sgd(preset: str, group: Group, device: str, how: str, start: list | None = None) -> tuple:
    """(initial weights, weights after 20 steps, metrics) of a preset.

    Args:
        preset: its name.
        group: of the measurement.
        device: TensorFlow's name.
        how: "eager", "graph", "XLA", "TF32", or a dtype policy of mixed precision.
        start: initial weights; None takes those that the model is built with, away from zero.
    """
    import keras
    import tensorflow as tf

    import kgen

    keras.mixed_precision.set_global_policy(how if "mixed" in how else "float32")
    tf.config.experimental.enable_tensor_float_32_execution(how == "TF32")
    spec = kgen.DataSpec("made", (28, 28, 1) if group.gpu else (12, 10, 1), num_classes=10)
    images, labels = made(40 if group.gpu else 10, spec.image_shape)
    with tf.device(device):
        model = kgen.build_model(preset, spec, seed=0, **({} if group.gpu else small_arguments(preset)))
        model.compile(optimizers(model))
        if start is None:
            leave_zero(model)
        else:
            model.set_weights(start)
        start = [weight.numpy() for weight in model.weights]
        batch = tf.constant(images), tf.constant(labels)

        def step():
            model.train_step(batch)

        if how != "eager":
            step = tf.function(step, jit_compile=how == "XLA", autograph=False)
        for _ in range(STEPS):
            step()
    return start, *state_of(model)


def optimizers(model) -> dict:
    """SGD for each of its networks."""
    import keras

    rates = RATES | ({"discriminator": CRITIC_RATE} if model.model_args().get("gradient_penalty") else {})
    return {phase.name: keras.optimizers.SGD(rates[phase.name]) for phase in model.phases()}


def leave_zero(model):
    """Gives biases that are all zero values of about 0.1.

    Where rounding decides on which side of its kink a ReLU is, a bias moves by some 1e-7: not to be held against
    values that are no larger than the steps taken.
    """
    rng = np.random.default_rng(0)
    for weight in model.trainable_variables:
        if not weight.numpy().any():
            weight.assign(rng.normal(0, 0.1, weight.shape))


def state_of(model) -> tuple[dict, dict]:
    """(path of each weight -> its value, name of each metric -> its value)."""
    weights = {weight.path: weight.numpy() for weight in model.weights if "float" in weight.dtype}
    return weights, {key: float(tracker.result()) for key, tracker in model.trackers.items()}


def small_arguments(preset: str) -> dict:
    """Those of SMALL that a preset's model takes."""
    from kgen.models import resolve_model_args

    known = resolve_model_args(preset, {})
    return {key: value for key, value in SMALL.items() if key in known}


def made(count: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(images [count, H, W, C] float32 in [0, 1], smooth; labels [count] int32)."""
    rng = np.random.default_rng(0)
    coarse = rng.random((count, 4, 4, shape[-1]), dtype=np.float32)
    rows, columns = (np.linspace(0, 3, side).round().astype(int) for side in shape[:2])
    return coarse[:, rows][:, :, columns], np.arange(count, dtype=np.int32) % 10


def compared(weights: dict, reference: dict, metrics: dict, expected: dict, tolerance: float = TOLERANCE["a"]) -> dict:
    """The largest relative differences of weights and metrics."""
    finite = all(np.isfinite(w).all() for w in weights.values()) and np.isfinite([*metrics.values()]).all()
    apart = {
        path: float(np.abs(weights[path] - w).max(initial=0.0) / max(np.abs(w).max(initial=0.0), 1e-3))
        for path, w in reference.items()
    }
    path = max(apart, key=apart.get)
    far = max(abs(metrics[key] - value) / max(abs(value), 1e-2) for key, value in expected.items())
    return {
        "ok": bool(finite and max(apart[path], far) <= tolerance),
        "finite": bool(finite),
        "weights": apart[path],
        "metrics": far,
        "text": f"weights within {apart[path]:.1e} ({path}), metrics within {far:.1e}"
        + ("" if finite else "; NOT FINITE"),
    }


# b: replicas ----------------------------------------------------------------------------------------------------------


def mirrored(name: str, group: Group) -> dict:
    """A preset: 20 SGD steps on all GPUs, or on two halves of the only one, against the same on one device.

    Each replica gets the same images and the same noise: then batch normalization sees on each what it sees on one.
    """
    import tensorflow as tf

    import kgen
    from kgen.train.distribution import devices_of

    tf.config.experimental.enable_tensor_float_32_execution(False)
    devices, spec = devices_of("mirrored"), kgen.DataSpec("made", (28, 28, 1), num_classes=10)
    found = []
    for strategy in (tf.distribute.get_strategy(), devices.strategy):
        with strategy.scope(), tf.device(group.device) if not found else contextlib.nullcontext():
            model = same_noise(kgen.build_model(name, spec, seed=0, **({} if group.gpu else small_arguments(name))))
            leave_zero(model)
            model.compile(optimizers(model))
        shares = max(phase.repeats for phase in model.phases())
        block = [np.concatenate([part] * devices.replicas * shares) for part in made(4, spec.image_shape)]
        data = tf.data.Dataset.from_tensors(tuple(block)).repeat(STEPS)
        model.fit(data, verbose=0)
        found.append(state_of(model))
    (reference, expected), (weights, metrics) = found
    result = compared(weights, reference, metrics, expected, TOLERANCE["b"])
    return result | {"text": f"{devices}: {result['text']}"}


def split_devices(group: Group):
    """Makes two logical devices of the only one; before TensorFlow computes anything."""
    import tensorflow as tf

    kind = "GPU" if group.gpu else "CPU"
    if len(physical := tf.config.list_physical_devices(kind)) == 1:
        half = tf.config.LogicalDeviceConfiguration(memory_limit=8 * 1024 if group.gpu else None)
        tf.config.set_logical_device_configuration(physical[0], [half] * 2)


def same_noise(model):
    """Replaces the model's noise by one fixed row for every example, replica and step."""
    import tensorflow as tf

    def noise(shape, *names, training=True):
        row = tf.random.stateless_normal(shape[1:], [len("".join(names)), 1], alg="philox")
        return tf.broadcast_to(row, shape)

    model.noise = noise
    model.uniform = lambda shape, *names, training=True: tf.fill(shape, 0.3)
    return model


# c: speed -------------------------------------------------------------------------------------------------------------


SECONDS = 1.5
"""Each contestant is timed for about so long, after what compiles."""
TURNS = {"vae": 500, "conv_vae": 300, "wgan_gp": 50, "dcgan": 100, "dcgan128": 50}
"""Steps per turn of the loops of PyTorch and JAX on a GPU."""
PRECISIONS = ("float32", "TF32", "mixed_bfloat16")


def speed(name: str, group: Group) -> dict:
    """Images per second: "dcgan/kgen/XLA/32/TF32/pipeline", "dcgan/torch.compile/TF32"."""
    import bench_train

    job_name, contestant, *how = name.split("/")
    job = bench_train.JOBS[job_name]
    if group.gpu:
        job = dataclasses.replace(job, steps=TURNS[job_name], images=min(job.images, 10_000))
    else:
        job = dataclasses.replace(job, steps=4, images=4 * job.batch)
    path = Path(tempfile.gettempdir()) / f"gpu_check-{job_name}-{job.images}.npz"
    if not path.exists():
        aside = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(aside, images=bench_train.pictures(job))
        aside.replace(path)
    turn = jax_turn if contestant == bench_train.JAX else kgen_turn if "kgen" in contestant else torch_turn
    found = turn(str(path), job, group, contestant, *how)
    each = found.pop("seconds_per_step")
    found |= {"images_per_second": job.batch / each, "milliseconds": 1000 * each}
    peak = f", at most {found['peak_mib']:,.0f} MiB" if found.get("peak_mib") else ""
    return found | {"text": f"{job.batch / each:,.0f} images/s, {1000 * each:.3f} ms a step{peak}"}


def kgen_turn(path, job, group: Group, _, how: str, steps: str, precision: str, feed: str) -> dict:
    """Seconds per step of kgen's training function.

    Args:
        how: "plain", "XLA", or "XLA-loop" (a program takes all the steps of a call).
        steps: per call.
        precision: of PRECISIONS.
        feed: "pipeline"; "resident", rows of images in the device's memory; "fixed", the same batch at each step:
            beside it the pipeline shows how long the device waits for data.
    """
    import keras
    import tensorflow as tf

    import kgen

    keras.mixed_precision.set_global_policy(precision if "mixed" in precision else "float32")
    tf.config.experimental.enable_tensor_float_32_execution(precision != "float32")
    if group.gpu:
        tf.config.experimental.reset_memory_stats("GPU:0")
    count = int(steps)
    dataset = kgen.data.load(kgen.DataConfig(dataset=path, validation_fraction=0.0))
    model = kgen.build_model(job.model, dataset.spec, **job.model_args)
    loop = {"steps_per_graph": count} if how == "XLA-loop" else {}
    model.compile(steps_per_execution=count, jit_compile=how != "plain", **loop)
    batches = dataset.batches("train", batch_size=job.batch, repeat=True, as_uint8=True)
    if feed != "pipeline":
        pixels = np.load(path)["images"]
        with tf.device(group.device):
            resident, step = tf.constant(pixels), model.train_step
        if feed == "resident":
            model.train_step = lambda rows: step((tf.gather(resident, rows), None))
            order = tf.data.Dataset.range(len(pixels), output_type=tf.int32)
            batches = order.shuffle(len(pixels)).repeat().batch(job.batch, drop_remainder=True)
        else:
            model.train_step = lambda _: step((resident[: job.batch], None))
            batches = tf.data.Dataset.from_tensors(0).repeat()
    model.make_train_function()
    iterator, calls = iter(batches), 0
    for _ in range(3):  # compiles, and finds its pace
        model.train_function(iterator)
    model.step.numpy()  # waits for the device
    started = time.perf_counter()
    while not calls or time.perf_counter() - started < (SECONDS if group.gpu else 0.3):
        model.train_function(iterator)
        calls += 1
    model.step.numpy()
    found = {"seconds_per_step": (time.perf_counter() - started) / (calls * count)}
    if group.gpu:
        found["peak_mib"] = tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
    return found


def torch_turn(path, job, group: Group, contestant: str, precision: str) -> dict:
    """Seconds per step of a loop of `torch_loops`."""
    import torch
    import torch_loops

    if group.gpu:
        torch.set_default_device("cuda")
        torch.cuda.reset_peak_memory_stats()
        torch.backends.cudnn.benchmark = True  # it tries algorithms, as XLA does
    torch.set_float32_matmul_precision("highest" if precision == "float32" else "high")
    torch.backends.cudnn.allow_tf32 = precision != "float32"
    mixed = torch.autocast("cuda", torch.bfloat16) if "mixed" in precision else contextlib.nullcontext()
    with mixed:
        turns = torch_loops.LOOPS[job.model](path, job, torch_loops.OPTIONS[contestant])
        found = {"seconds_per_step": timed(turns, job)}
    if group.gpu:
        found["peak_mib"] = torch.cuda.max_memory_allocated() / 2**20
    return found


def jax_turn(path, job, group: Group, _, precision: str) -> dict:
    """Seconds per step of a loop of `jax_loops`."""
    import jax
    import jax_loops

    jax.config.update("jax_default_matmul_precision", "highest" if precision == "float32" else "tensorfloat32")
    return {"seconds_per_step": timed(jax_loops.LOOPS[job.model](path, job), job)}


def timed(turns, job) -> float:
    """Seconds per step, the median turn; the first one warms up."""
    next(turns)
    seconds, started = [], time.perf_counter()
    while not seconds or time.perf_counter() - started < SECONDS:
        before = time.perf_counter()
        next(turns)
        seconds.append(time.perf_counter() - before)
    return statistics.median(seconds) / job.steps


# d: resuming ----------------------------------------------------------------------------------------------------------


def resuming(name: str, group: Group) -> dict:
    """A model, and "XLA" or "": trained twice, and killed and resumed; all of it must be the same to the bit."""
    import kill_and_resume

    model, _, how = name.partition(" ")
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0") if group.gpu else "-1"
    settings = kill_and_resume.settings_of(model) | {"train.deterministic": True, "train.jit_compile": how == "XLA"}
    if not group.gpu:
        settings |= {"data.limit": 200, "train.epochs": 3}
    with tempfile.TemporaryDirectory() as base:
        folder, differ = Path(base), {}
        try:
            done, _ = kill_and_resume.kills_of(model, 2 if group.gpu else 1, folder, settings=settings)
            text = f"killed {done} times and resumed: the same bits"
        except kill_and_resume.Differs as error:
            text, differ["resumed"] = f"killed and resumed: {error}", far(folder, model, "killed")
        again = folder / f"{model}-again"
        kill_and_resume.finish(again, settings)
        if kill_and_resume.outcome(again) == kill_and_resume.outcome(folder / f"{model}-undisturbed"):
            text += "; the same seed twice: the same bits"
        else:
            differ["again"] = far(folder, model, "again")
            text += "; the same seed twice: not the same bits"
    if differ:
        text += f"; weights differ by {max(differ.values()):.1e} of themselves"
    return {"ok": not differ, "text": text, **differ}


def far(folder: Path, model: str, other: str) -> float:
    """The largest relative difference between the last checkpoints of a training and the undisturbed one."""
    from kgen import checkpoints

    arrays = []
    for name in ("undisturbed", other):
        newest = max((folder / f"{model}-{name}" / "checkpoints").glob("step-*.npz"))
        arrays.append({k: v for k, v in checkpoints.read(newest).arrays.items() if k.startswith("model/")})
    one, two = arrays
    return max(float(np.abs(one[k] - two[k]).max(initial=0) / max(np.abs(one[k]).max(initial=0), 1e-3)) for k in one)


# e: a recipe ----------------------------------------------------------------------------------------------------------


def recipe(name: str, group: Group) -> dict:
    """Trains the recipe own-pictures on made pictures in the time that is left; keeps samples, figures and the run."""
    import bench_train

    import kgen
    from kgen.cli.train import main as kgen_train

    started, folder, job = time.monotonic(), Path(group.folder), bench_train.JOBS["dcgan"]
    pixels = bench_train.pictures(dataclasses.replace(job, images=10_000 if group.gpu else 64))
    inks = np.random.default_rng(1).uniform(0.3, 1.0, (len(pixels), 1, 1, 3))
    with tempfile.TemporaryDirectory() as base:
        path, run = Path(base) / "digits64.npz", Path(base) / "dcgan-run"
        np.savez(path, images=(pixels * inks).astype(np.uint8))
        arguments = ["--recipe", "own-pictures", "--dataset", str(path), "--run_dir", str(run), "--logger", "none"]
        if group.gpu:
            arguments += ["--minutes", f"{max(0.25, (group.seconds - 45) / 60):.2f}"]
            figures = kgen.EvalConfig(metrics=("fid",), features="random", count=2000, repeats=1)
        else:
            arguments += ["--epochs", "1", "--image_size", "16", "--set", "model_args.filters=[8,16]", "--set"]
            arguments += ["model_args.latent_dim=8", "--samples_every", "1"]
            figures = kgen.EvalConfig(metrics=("kid",), features="random", count=8, repeats=1)
        if code := kgen_train(arguments):
            raise RuntimeError(f"kgen-train ended with {code}")
        trained = time.monotonic() - started
        results, _ = kgen.evaluate.evaluate(run, figures)
        value = results[0]["value"]
        (folder / "dcgan-samples.png").write_bytes((run / "samples" / "final.png").read_bytes())
        exported = "not exported here (LiteRT is not installed)"
        if version("ai-edge-litert"):
            from kgen.export import export

            exported = f"exported and verified: {export(run, Path(base) / 'dcgan').name}"
        with tarfile.open(folder / "dcgan-run.tar.gz", "w:gz") as archive:
            archive.add(run, "dcgan-run", filter=without_states)
    measured = f"{results[0]['metric']} {value:.4g}"
    return {"value": value, "trained_seconds": trained, "text": f"trained {trained:.0f} s, {measured}; {exported}"}


def without_states(member):
    """Leaves out of an archive of a run what is only there to resume it."""
    return None if "/step-" in member.name or "/tensorboard" in member.name else member


# f: inference ---------------------------------------------------------------------------------------------------------


def inference(name: str, group: Group) -> dict:
    """ "serve", or a SavedModel: of exports/cvae-mnist, or of a DCGAN of 64x64 with its first weights."""
    return serving(group) if name == "serve" else generating(name, group)


def generating(name: str, group: Group) -> dict:
    """Milliseconds per call of the signature `generate`, at each batch size."""
    import tensorflow as tf

    import kgen
    from kgen.export.saved_model import write_saved_model
    from kgen.export.signatures import signatures
    from kgen.sampling.priors import StandardNormal

    with tempfile.TemporaryDirectory() as base:
        path = ROOT / "exports" / "cvae-mnist" / "1"
        if name == "dcgan":
            path = Path(base) / "dcgan"
            model = kgen.build_model("dcgan", kgen.DataSpec("made", (64, 64, 3)), seed=0)
            write_saved_model(
                {"generate": signatures(model, StandardNormal(model.latent_shape))["generate"]}, path, endpoints=False
            )
        generate, found = tf.saved_model.load(str(path)).signatures["generate"], {}
        for size in (1, 64, 1024) if group.gpu else (1, 64):
            given = {"seed": tf.range(size), "temperature": tf.ones(size)}
            if "label" in generate.structured_input_signature[1]:
                given["label"] = tf.range(size) % 10
            seconds = []
            for _ in range(23):
                started = time.perf_counter()
                generate(**given)["images"].numpy()
                seconds.append(time.perf_counter() - started)
            found[str(size)] = 1000 * statistics.median(seconds[3:])
    words = ", ".join(f"{k}: {ms:.2f} ms ({1000 * int(k) / ms:,.0f} images/s)" for k, ms in found.items())
    return {"milliseconds": found, "text": f"batch {words}"}


def serving(group: Group) -> dict:
    """Requests per second of kgen-serve with 64 clients, each for one PNG."""
    if not version("starlette"):
        return {"ok": None, "text": "left out: kgen[serve] is not installed"}
    import shutil

    import bench_serve

    source, name, count = ROOT / "exports" / "cvae-mnist" / "1", "cvae-mnist", 4000 if group.gpu else 200
    manifest = json.loads((source / "manifest.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as base:
        shutil.copytree(source, Path(base) / name / "1")
        with bench_serve.server(Path(base)) as (_, port):
            bench_serve.load(port, name, manifest, 64, count // 4)
            started = time.perf_counter()
            wrong = bench_serve.load(port, name, manifest, 64, count)
            seconds = time.perf_counter() - started
    return {"ok": not wrong, "requests_per_second": count / seconds,
            "text": f"64 clients, {count / seconds:,.0f} requests/s for one PNG each, {len(wrong)} failed"}  # fmt: skip


# The process ----------------------------------------------------------------------------------------------------------


MEASURES = {"about": about, "a": parity, "b": mirrored, "c": speed, "d": resuming, "e": recipe, "f": inference}


def main():
    if sys.argv[1] == "kgen":  # while others measure
        import tensorflow  # noqa: F401

        import kgen.train  # noqa: F401
    line = sys.stdin.readline()
    if not line:
        return
    group = Group(**json.loads(line))
    until = time.monotonic() + group.seconds
    if not group.gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    if group.part == "b":
        split_devices(group)
    for name in group.names:
        started = time.monotonic()
        if started > until:
            return
        try:
            found = MEASURES[group.part](name, dataclasses.replace(group, seconds=until - started))
        except ModuleNotFoundError as error:
            found = {"ok": None, "text": f"left out: {error}"}
        except Exception as error:
            found = {"ok": False, "text": f"FAILED: {type(error).__name__}: {' '.join(str(error).split())[:400]}"}
        found = {"part": group.part, "name": name, "ok": True, "seconds": round(time.monotonic() - started, 1)} | found
        print(f"{MARK}{json.dumps(found)}", flush=True)


if __name__ == "__main__":
    main()
