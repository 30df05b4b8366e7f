"""Faults in data and numbers: each ends with a message that says what to do, and a run that can be resumed."""

import json
import os

import keras
import numpy as np
import pytest
from PIL import Image

import kgen
from kgen import checkpoints
from kgen.cli import train as train_command
from kgen.config import override
from kgen.errors import TrainingFailed, UserError
from kgen.models.vae import VAE
from kgen.train import defaults, resume, train

SMALL = {
    "model": "vae", "train.epochs": 3, "train.batch_size": 4, "train.jit_compile": False, "model_args.hidden": [4],
    "model_args.latent_dim": 2, "data.validation_fraction": 0.0, "train.steps_per_execution": 1,
}  # fmt: skip


def config_of(path, **settings) -> kgen.RunConfig:
    return override(kgen.RunConfig(), SMALL | {"data.dataset": str(path)} | settings)


def draw(path, seed: int = 0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8), np.uint8)).save(path)


@pytest.fixture
def pictures(tmp_path):
    """A folder of 16 pictures."""
    for number in range(16):
        draw(tmp_path / "set" / f"{number:02}.png", number)
    return tmp_path / "set"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KGEN_CACHE_DIR", str(tmp_path / "cache"))


class Between(keras.callbacks.Callback):
    """Does something once, after an epoch."""

    def __init__(self, act, epoch: int = 0):
        super().__init__()
        self.act, self.epoch = act, epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            self.act()


def after_an_epoch(monkeypatch, act):
    """Has every training do something after its first epoch."""
    from kgen.train import trainer

    fit = trainer.GenerativeModel.fit

    def fit_and_act(self, *args, callbacks=(), **kwargs):
        return fit(self, *args, callbacks=[Between(act), *callbacks], **kwargs)

    monkeypatch.setattr(trainer.GenerativeModel, "fit", fit_and_act)


@pytest.mark.slow
def test_a_reader_of_the_output_that_goes_interrupts(pictures, tmp_path, monkeypatch):
    """`kgen-train … | head`; the run is called interrupted, and goes on."""

    def closed():
        raise BrokenPipeError

    with monkeypatch.context() as patched:
        after_an_epoch(patched, closed)
        with pytest.raises(BrokenPipeError):
            train(config_of(pictures), run_dir=str(tmp_path / "run"))
    said = (tmp_path / "run" / "FAILED").read_text()
    assert said.startswith("interrupted") and f"kgen-train --resume {tmp_path / 'run'}" in said
    assert len(resume(tmp_path / "run").metrics()) == 3


# Images that disappear ----------------------------------------------------------------------------------------------


def spoil(how: str, path):
    if how == "deleted":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:40])


@pytest.mark.slow
@pytest.mark.parametrize("how", ["deleted", "cut"])
def test_an_image_that_is_lost_stops_the_training_and_it_goes_on_when_it_is_back(tmp_path, pictures, monkeypatch, how):
    lost = pictures / "03.png"
    whole, status = lost.read_bytes(), lost.stat()
    with monkeypatch.context() as patch:
        after_an_epoch(patch, lambda: spoil(how, lost))
        config = config_of(pictures, **{"data.cache": "none", "train.epochs": 12, "train.checkpoint_steps": 4})
        with pytest.raises(TrainingFailed, match=r"image 03\.png.*--resume"):
            train(config, run_dir=str(tmp_path / "run"))
    run = kgen.Run.open(tmp_path / "run")
    assert "03.png" in (run.path / "FAILED").read_text() and not (run.path / "DONE").exists()
    before = len(run.metrics())
    assert before >= 1 and all(np.isfinite(w).all() for w in run.load_model("last").get_weights())
    with pytest.raises(UserError, match=r"15 train images.*16.*bring"):
        resume(run.path)
    lost.write_bytes(whole)
    os.utime(lost, ns=(status.st_atime_ns, status.st_mtime_ns))
    done = resume(run.path)
    assert [row["epoch"] for row in done.metrics()] == list(range(1, 13))
    assert (run.path / "DONE").exists() and not (run.path / "FAILED").exists()


@pytest.mark.slow
def test_the_command_says_so_in_one_line(tmp_path, pictures, monkeypatch, capsys):
    after_an_epoch(monkeypatch, lambda: spoil("deleted", pictures / "03.png"))
    flags = [f"--set={key}={json.dumps(value)}" for key, value in SMALL.items() if key != "model"]
    argv = ["--model=vae", f"--dataset={pictures}", "--cache=none", "--epochs=12", f"--run_dir={tmp_path / 'run'}"]
    assert train_command.main([*flags, *argv]) == 1
    err = capsys.readouterr().err
    assert "Traceback" not in err and "03.png" in err and f"--resume {tmp_path / 'run'}" in err


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_kept_images_do_not_need_their_files(tmp_path, pictures, monkeypatch, cache):
    after_an_epoch(monkeypatch, lambda: spoil("deleted", pictures / "03.png"))
    run = train(config_of(pictures, **{"data.cache": cache}), run_dir=str(tmp_path / "run"))
    assert len(run.metrics()) == 3


def test_other_images_are_refused_on_resume(tmp_path, pictures, no_steps):
    run = train(config_of(pictures), run_dir=str(tmp_path / "run"))
    draw(pictures / "03.png", 99)
    with pytest.raises(UserError, match=r"split 'train' has the content hash [0-9a-f]{16}"):
        resume(run.path, {"train.epochs": 4})


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["none", "disk"])
def test_broken_files_are_left_out_and_named(tmp_path, pictures, cache):
    spoil("cut", pictures / "03.png")
    (pictures / "04.png").write_text("words")
    (pictures / "link.png").symlink_to(pictures / "nowhere.png")
    run = train(config_of(pictures, **{"data.cache": cache}), run_dir=str(tmp_path / "run"))
    log = (run.path / "log.txt").read_text()
    assert run.spec.examples == {"train": 14} and len(run.metrics()) == 3
    assert "3 of 17 files" in log and all(name in log for name in ("03.png", "04.png", "link.png"))


@pytest.mark.slow
def test_names_that_are_no_utf8(tmp_path, pictures):
    for number in range(8):
        draw(tmp_path / "named" / os.fsdecode(b"caf\xe9" if number % 2 else b"tea") / f"{number}.png", number)
    run = train(config_of(tmp_path / "named", model="cvae"), run_dir=str(tmp_path / "run"))
    assert kgen.Run.open(run.path).spec == run.spec and run.spec.num_classes == 2
    from kgen.report import write_report

    assert write_report(run).stat().st_size


# Few images, odd labels ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "fraction", "cache"),
    [(1, 0.5, "none"), (1, 0.0, "disk"), (2, 0.5, "none"), (2, 0.0, "memory"), (2, 0.5, "disk")],
)
def test_one_and_two_images(tmp_path, count, fraction, cache):
    for number in range(count):
        draw(tmp_path / "set" / f"{number}.png", number)
    settings = {"data.cache": cache, "data.validation_fraction": fraction, "train.batch_size": None}
    run = train(config_of(tmp_path / "set", **settings), run_dir=str(tmp_path / "run"))
    held = 1 if fraction and count == 2 else 0
    assert run.spec.examples == {"train": count - held, **({"validation": 1} if held else {})}
    assert len(run.metrics()) == 3 and kgen.generate(kgen.open_sampler(run.path), 2).images.shape == (2, 8, 8, 1)


@pytest.mark.slow
def test_one_class_only(tmp_path, pictures):
    np.savez(tmp_path / "one.npz", images=np.zeros((8, 8, 8), np.uint8), labels=np.full(8, 7))
    run = train(config_of(tmp_path / "one.npz", model="cvae"), run_dir=str(tmp_path / "run"))
    assert run.spec.num_classes == 1 and run.spec.class_names == ("7",)
    assert kgen.generate(kgen.open_sampler(run.path), 2, labels="7").labels.tolist() == [0, 0]
    (tmp_path / "top").mkdir()
    pictures.rename(tmp_path / "top" / "cats")
    with pytest.raises(UserError, match="needs labels"):  # one folder is no class
        train(config_of(tmp_path / "top", model="cvae"), run_dir=str(tmp_path / "other"))
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.arange(7), "each of the 8"),
        (np.linspace(0, 1, 8), "each of the 8"),
        (np.full(8, np.nan), "each of the 8"),
        (np.zeros((8, 2), int), r"\(8, 2\) holds no single label per image"),
    ],
    ids=["too few", "fractions", "nan", "two columns"],
)
def test_wrong_labels_are_refused(tmp_path, labels, words):
    np.savez(tmp_path / "set.npz", images=np.zeros((8, 8, 8), np.uint8), labels=labels)
    with pytest.raises(UserError, match=rf"set\.npz.*'labels'.*{words}"):
        train(config_of(tmp_path / "set.npz", model="cvae"), run_dir=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_class_that_the_training_images_lack(tmp_path):
    x = np.zeros((8, 8, 8), np.uint8)
    np.savez(tmp_path / "set.npz", x_train=x, y_train=np.arange(8) % 2, x_test=x, y_test=np.full(8, -5))
    run = train(config_of(tmp_path / "set.npz", model="cvae"), run_dir=str(tmp_path / "run"))
    assert run.spec.class_names == ("-5", "0", "1") and np.isfinite(run.metrics()[-1]["test_loss"])


# A loss that is not finite ------------------------------------------------------------------------------------------


def poison(monkeypatch, when):
    """Makes the loss NaN where `when(step)` of the model's step is true."""
    terms = VAE.phases

    def phases(self):
        import dataclasses

        def poisoned(phase):
            def spoilt(*args, **kwargs):
                found = dict(phase.terms(*args, **kwargs))
                bad = keras.ops.cast(when(self), found["loss"].dtype)
                found["loss"] = found["loss"] + keras.ops.where(bad > 0, np.nan, 0.0)
                return found

            return dataclasses.replace(phase, terms=spoilt)

        return tuple(poisoned(phase) for phase in terms(self))

    monkeypatch.setattr(VAE, "phases", phases)


@pytest.fixture
def once(monkeypatch):
    """A NaN at step 6, but not after the learning rate was halved."""
    poison(monkeypatch, lambda model: (model.step == 6) & (rate_of(model) > 0.0009))


def rate_of(model):
    (optimizer,) = model.phase_optimizers.values()
    return optimizer.learning_rate


def slow(path, **settings):
    given = {"train.learning_rate": 1e-3, "train.schedule": "constant", "train.checkpoint_steps": 2}
    return config_of(path, **given, **settings)


@pytest.mark.slow
def test_without_rollback_a_nan_stops(tmp_path, pictures, once):
    with pytest.raises(TrainingFailed, match=r"not finite at step \d+ .*--learning_rate"):
        train(slow(pictures), run_dir=str(tmp_path / "run"))
    assert "rolling back" not in (tmp_path / "run" / "log.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("halflife", [0, 50], ids=["weights", "averages"])
def test_rollback_goes_on_with_half_the_rate(tmp_path, pictures, once, monkeypatch, halflife):
    settings = {"train.on_nan": "rollback", "train.ema_halflife_images": halflife}
    run = train(slow(pictures, **settings), run_dir=str(tmp_path / "run"))
    log = (run.path / "log.txt").read_text()
    assert log.count("rolling back to the last checkpoint, with half the learning rate") == 1
    assert [row["epoch"] for row in run.metrics()] == [1, 2, 3] and run.metrics()[-1]["step"] == 12
    assert (run.path / "DONE").exists() and not (run.path / "FAILED").exists()
    assert all(np.isfinite(w).all() for w in run.load_model("last").get_weights())
    assert checkpoints.read(run.checkpoint("last")).state["rollbacks"] == 1
    # It stays halved: with the whole rate the poisoned step would fail, were it met again.
    factors, made = [], defaults.phase_optimizers

    def phase_optimizers(config, steps, factor):
        factors.append(factor)
        return made(config, steps, factor)

    monkeypatch.setattr(defaults, "phase_optimizers", phase_optimizers)
    assert len(resume(run.path, {"train.epochs": 4}).metrics()) == 4
    assert factors == [0.5]


@pytest.mark.slow
def test_a_second_nan_stops(tmp_path, pictures, monkeypatch):
    poison(monkeypatch, lambda model: model.step >= 6)
    with pytest.raises(TrainingFailed, match="not finite at step"):
        train(slow(pictures, **{"train.on_nan": "rollback"}), run_dir=str(tmp_path / "run"))
    run = kgen.Run.open(tmp_path / "run")
    assert (run.path / "log.txt").read_text().count("rolling back") == 1
    assert "not finite" in (run.path / "FAILED").read_text()
    assert all(np.isfinite(w).all() for w in run.load_model("last").get_weights())


@pytest.mark.slow
def test_a_nan_at_the_first_step_stops_after_one_rollback(tmp_path, pictures, monkeypatch):
    poison(monkeypatch, lambda model: model.step >= 0)
    with pytest.raises(TrainingFailed, match="not finite at step"):
        train(slow(pictures, **{"train.on_nan": "rollback"}), run_dir=str(tmp_path / "run"))
    assert (tmp_path / "run" / "FAILED").is_file()
