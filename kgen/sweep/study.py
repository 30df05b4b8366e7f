"""The trials of a sweep, in a study of Optuna: their settings, what they reached at each rung, and which train on.

The study is a file of the sweep's folder that is appended to, so a sweep that was killed goes on where it was.
"""

import itertools
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import GridSampler, RandomSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from kgen.sweep.plan import Plan, lower_is_better
from kgen.sweep.space import Interval

NAME = "sweep"
FILE = "optuna.log"
REASON = "reason"
"""Attribute of a failed trial: what it failed by."""


class Halving(optuna.pruners.BasePruner):
    """Prunes all but the best trials of a rung, once all of them have reached it.

    Optuna's own SuccessiveHalvingPruner decides as soon as a trial reports, by those that were there before: the first
    trial always trains to the end, and a trial that was pruned is never taken up again. Here a trial is paused until
    its rung is complete, and resumed exactly.

    Args:
        survivors: epochs of a rung -> how many of its trials train on.
    """

    def __init__(self, survivors: dict[int, int]):
        self.survivors = survivors

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        epochs, sign = trial.last_step, 1 if study.direction == optuna.study.StudyDirection.MINIMIZE else -1
        reached = [t for t in study.get_trials(deepcopy=False) if epochs in t.intermediate_values]
        ranked = sorted(reached, key=lambda t: (sign * t.intermediate_values[epochs], t.number))
        return trial.number not in [t.number for t in ranked[: self.survivors[epochs]]]


def open_study(plan: Plan, folder: Path | None) -> optuna.Study:
    """The study of a sweep with all its trials, drawn by the seed of the base configuration.

    Args:
        plan: of the sweep.
        folder: that it is kept in; None: nowhere.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(str(folder / FILE))) if folder else optuna.storages.InMemoryStorage()
    rungs = plan.rungs()
    survivors = {rung.epochs: after.trials for rung, after in itertools.pairwise(rungs)}
    direction = "minimize" if lower_is_better(plan.base) else "maximize"
    space, seed = plan.space, plan.base.seed
    if any(isinstance(one, Interval) for one in space.values()):
        sampler = RandomSampler(seed)
    else:
        sampler = GridSampler({setting: list(one.names()) for setting, one in space.items()}, seed)
    drawn = optuna.create_study(
        storage=storage, sampler=sampler, study_name=NAME, direction=direction, load_if_exists=True
    )
    for number in range(plan.trials):
        known = len(drawn.get_trials(deepcopy=False)) > number
        trial = None if known else drawn.ask()
        for setting, one in space.items() if trial else ():
            _suggest(trial, setting, one)
    return optuna.load_study(study_name=NAME, storage=storage, sampler=RandomSampler(seed), pruner=Halving(survivors))


def _suggest(trial: Trial, setting: str, one) -> Any:
    if not isinstance(one, Interval):
        return trial.suggest_categorical(setting, list(one.names()))
    suggest = trial.suggest_int if one.whole else trial.suggest_float
    return suggest(setting, one.low, one.high, log=one.log)


def report(study: optuna.Study, trial: FrozenTrial, epochs: int, value: float):
    """Records what a trial reached at a rung."""
    Trial(study, trial._trial_id).report(value, epochs)


def fail(study: optuna.Study, trial: FrozenTrial, reason: str):
    """Marks a trial as failed."""
    Trial(study, trial._trial_id).set_user_attr(REASON, reason)
    study.tell(trial.number, state=TrialState.FAIL)


def close_rung(study: optuna.Study, epochs: int, *, last: bool):
    """Prunes the trials of a rung that do not train on, or completes those of the last rung."""
    for trial in study.get_trials(states=[TrialState.RUNNING]):
        if trial.last_step != epochs:  # it has trained on, before the sweep was interrupted
            continue
        if last:
            study.tell(trial.number, trial.intermediate_values[epochs])
        elif Trial(study, trial._trial_id).should_prune():
            study.tell(trial.number, state=TrialState.PRUNED)
