"""Run directories as trainings leave them, made by hand."""

import json
import math

import numpy as np

from kgen import checkpoints, images
from kgen.config import RunConfig, TrainConfig
from kgen.run import Run
from kgen.spec import DataSpec

NASTY = "</script><script>document.title='taken'</script>"
PETS = DataSpec("pets", (6, 5, 3), 2, ("cat", NASTY), {"train": 100, "validation": 10, "test": 20})
PROTOCOL = {
    "features": "random", "extractor_hash": "ab" * 8, "data": "pets", "split": "test", "num_real": 20,
    "num_fake": 2000, "settings": {"k": 3}, "seed": 0, "repeats": 3, "weights_hash": "cd" * 8,
}  # fmt: skip
FIGURE = {
    "format": 2, "metric": "precision", "value": 0.625, "stddev": 0.004, "interval": [0.61, 0.64], "baseline": 0.875,
    "better": "higher", "note": "few images", "protocol": PROTOCOL,
    "target": {"kind": "run", "checkpoint": "best", "epoch": 2},
}  # fmt: skip


def made_run(folder, *, epochs: int = 4, spec: DataSpec = PETS, model: str = "cvae", ended: bool = True) -> Run:
    """A run with a grid every epoch, each of one grey, and validation every second epoch."""
    train = TrainConfig(epochs=epochs, batch_size=10, learning_rate=0.002)
    config = RunConfig(model, {"latent_dim": 2, "hidden": [400] * 30}, train=train, seed=5)
    run = Run.create(config, spec, data_hashes={"train": "0123456789abcdef"}, run_dir=str(folder))
    run.log(f"model {model}: 12,345 parameters; {epochs} epochs", show=False)
    for epoch in range(epochs + 1):
        draw(run, epoch, 40 * epoch % 256)
        if epoch:
            run.log_metrics(row(epoch, validated=epoch % 2 == 0))
    images.save_png(run.path / "samples" / "final.png", sheet(spec, 200))
    checkpoints.write(run.checkpoint("best"), {}, {"epoch": 2, "step": 20, "metrics": {"validation_loss": 152.25}})
    run.step_checkpoints.write(10 * epochs, {}, {"epoch": epochs, "step": 10 * epochs, "metrics": {}})
    if ended:
        run.finish()
        run.log("done in 83 seconds", show=False)
    return run


def row(epoch: int, *, validated: bool = True) -> dict:
    """Losses that can be told from each other: train_loss is 100 + 50 / epoch, validation_loss 127.25 + it."""
    loss = 100 + 50 / epoch
    about = {"epoch": epoch, "step": 10 * epoch, "elapsed_seconds": 2.0 * epoch, "train_loss": loss, "train_kl": 3.5}
    return about | ({"validation_loss": 27.25 + loss, "test_loss": math.nan} if validated else {})


def sheet(spec: DataSpec, grey: int) -> np.ndarray:
    """As training lays out samples of a model with labels."""
    names = [spec.class_name(label) for label in range(spec.num_classes)]
    samples = np.full((10 * spec.num_classes, *spec.image_shape), grey, np.uint8)
    return images.grid(samples, 10, names=names, scale=images.view_scale(spec.image_shape))


def draw(run: Run, epoch: int, grey: int):
    images.save_png(run.path / "samples" / f"epoch-{epoch:04d}.png", sheet(run.spec, grey))


def evaluated(run: Run, *rows: dict):
    """Puts evaluation results into the run."""
    (run.path / "eval").mkdir(exist_ok=True)
    (run.path / "eval" / "best.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows or (FIGURE,)))
