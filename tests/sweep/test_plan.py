"""What a sweep varies, and how long its trials train."""

import pytest

from kgen.cli.sweep import main
from kgen.config import RunConfig, override
from kgen.errors import UserError
from kgen.sweep.plan import Plan, Rung
from kgen.sweep.space import Interval, Values, parse_space

BASE = override(RunConfig(), {"model": "vae", "train.epochs": 20})


def plan(*vary, trials=None, factor=3, **settings):
    return Plan.of(override(BASE, {k.replace("__", "."): v for k, v in settings.items()}), vary, trials, factor)


@pytest.mark.parametrize(
    ("text", "setting", "one"),
    [
        ("learning_rate=1e-4..1e-2:log", "train.learning_rate", Interval(1e-4, 1e-2, True)),
        ("model_args.latent_dim=2..32", "model_args.latent_dim", Interval(2, 32, False)),
        ("train.beta_1=0..0.9", "train.beta_1", Interval(0, 0.9, False)),
        ("optimizer=adam,sgd", "train.optimizer", Values(("adam", "sgd"))),
        ("model_args.hidden=[400],[400,200]", "model_args.hidden", Values(([400], [400, 200]))),
        ("model_args.augment=[color],[color,cutout]", "model_args.augment", Values((["color"], ["color", "cutout"]))),
        ("model_args.batch_norm=True,false", "model_args.batch_norm", Values((True, False))),
        ("image_size=16,32x24", "data.image_size", Values(([16, 16], [32, 24]))),
        ("features=pixels,random", "train.eval_features", Values(("pixels", "random"))),
        ("model=vae,vae,cvae", "model", Values(("vae", "cvae"))),
    ],
)
def test_values_and_ranges_are_read(text, setting, one):
    assert parse_space([text]) == {setting: one}


@pytest.mark.parametrize(
    ("vary", "settings", "words"),
    [
        (["learning_rate"], {}, "--vary takes SETTING=A,B"),
        (["learning_rate=1..x"], {}, "two numbers. Received: 'learning_rate=1..x'"),
        (["learning_rate=2..1"], {}, "LOW is below HIGH"),
        (["learning_rate=0..1:log"], {}, "above 0"),
        (["seed=1,2", "seed=3"], {}, "--vary gives seed twice"),
        ([], {}, "--vary names no setting"),
        (["epochs=1,2"], {}, "--epochs is that of the best trials"),
        (["learning_rate=-1,1"], {}, "train.learning_rate must be greater than 0"),
        (["learning_rat=1,2"], {}, "did you mean 'train.learning_rate'"),
        (["latent_dim=2,4"], {}, "an argument of the model is --vary model_args.latent_dim=2;"),
        (["seed=1,2"], {"train.epochs": None}, "kgen-sweep needs --epochs"),
        (["seed=1,2"], {"model": "dcgan"}, "add --eval_every 1 --metrics fid --best_by fid"),
        (["model=vae,gan"], {}, "the losses of 'gan' choose none"),
        (["seed=1,2"], {"train.eval_every": 1, "train.best_by": "kid"}, "train.best_by: 'kid' is not measured"),
    ],
)
def test_mistakes_are_told(vary, settings, words):
    with pytest.raises(UserError) as told:
        Plan.of(override(BASE, settings), vary, None, 3)
    assert words in str(told.value)


def test_a_grid_is_whole_and_a_range_has_twelve_trials():
    assert plan("seed=1,2,3", "optimizer=adam,sgd").trials == 6
    assert plan("seed=1,2,3", trials=9).trials == 3 and plan("seed=1,2,3", trials=2).trials == 2
    assert plan("seed=1,2,3", "beta_1=0..0.5").trials == 12


@pytest.mark.parametrize(
    ("trials", "factor", "settings", "rungs"),
    [
        # 20 / 9 = 2.2 -> 3 and 20 / 3 = 6.7 -> 7 epochs, of 12, 12 // 3 = 4 and 12 // 9 = 1 trials.
        (12, 3, {}, [(3, 12), (7, 4), (20, 1)]),
        (12, 1, {}, [(20, 12)]),
        (2, 3, {}, [(20, 2)]),
        (8, 2, {"train.epochs": 4}, [(1, 8), (2, 4), (4, 2)]),  # half an epoch would be the next
        (12, 3, {"train.validate_every": 5}, [(5, 12), (10, 4), (20, 1)]),
        (9, 3, {"train.epochs": 900}, [(100, 9), (300, 3), (900, 1)]),  # measured every 5 epochs
        (9, 3, {"train.eval_every": 8, "train.best_by": "fid"}, [(8, 9), (20, 3)]),
    ],
)
def test_rungs_end_where_the_metric_is_measured(trials, factor, settings, rungs):
    found = Plan.of(override(BASE, settings), ["beta_1=0..0.5"], trials, factor)
    assert found.rungs() == [Rung(*rung) for rung in rungs]
    before = [0, *(epochs for epochs, _ in rungs)]
    assert found.epochs() == sum(n * (end - start) for (end, n), start in zip(rungs, before, strict=False))


def test_without_optuna_it_says_what_to_install(monkeypatch, capsys):
    from kgen.cli import sweep

    monkeypatch.setattr(sweep.importlib.util, "find_spec", lambda name: None)
    assert main(["--model", "vae", "--vary", "seed=1,2", "--epochs", "2"]) == 2
    assert capsys.readouterr().err == "kgen-sweep: needs optuna; install it with: pip install 'kgen[sweep]'\n"
