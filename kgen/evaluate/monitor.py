"""Monitors the quality of samples while a model trains, against images that no report uses."""

import dataclasses

from kgen import data
from kgen.config import RunConfig
from kgen.data.reference import load_reference, real_images
from kgen.errors import UserError
from kgen.evaluate.evaluator import EvalConfig, Evaluator
from kgen.evaluate.registry import check, directions
from kgen.features import default_extractor
from kgen.models.presets import PRESETS
from kgen.registry import nearest
from kgen.run import trained_with
from kgen.sampling import Sampler

NUM_REAL = 10_000


class Monitor:
    """Computes the metrics that `config.train.metrics` names on samples of the model in training.

    The real images are those of the run's validation split (of the training split where that has few images), never of
    the test split: a checkpoint that was chosen by test images could not be reported on them.

    Args:
        config: of the run; its `train` part names the metrics.
        dataset: that it trains on.

    Attributes:
        split: of the real images.
        better: name of a value (`MetricChoice.label`) -> "lower", "higher" or "".
        main: the names to look at first: what the best checkpoint is chosen by, and the first value of each metric.

    Raises:
        UserError: an unknown metric, features that the model is trained with, or a `best_by` that is not among their
            values.
    """

    def __init__(self, config: RunConfig, dataset: data.Dataset):
        train = config.train
        self.split = dataset.spec.monitor_split
        self.better = directions(train.metrics, unseen=self.split != "train")
        first = [next(iter(directions([metric]))) for metric in train.metrics]
        self.main = tuple(dict.fromkeys([train.best_by] * (train.best_by != "loss") + first))
        if train.best_by != "loss" and not self.better.get(train.best_by):
            known = ["loss", *(name for name, better in self.better.items() if better)]
            raise UserError(f"train.best_by: {train.best_by!r} is not measured; {nearest(train.best_by, known)}")
        preset, classes = PRESETS[config.model], dataset.spec.num_classes
        check(
            train.metrics, num_classes=classes, labelled_fakes=preset.conditional, encodes=preset.has_encoder,
            likelihood=preset.has_likelihood,
        )  # fmt: skip
        unseen = {"validation", "test"} & {*dataset.splits}
        common = load_reference(config.data, seed=config.seed, dataset=dataset, split=None if unseen else "train")
        real = real_images(dataset, self.split).some(NUM_REAL)
        features = train.eval_features or default_extractor(classes)
        self._evaluator = Evaluator(
            dataclasses.replace(common, real=real, read_train=lambda: real_images(dataset, "train"), read_other=None),
            EvalConfig(train.metrics, features=features, count=train.eval_count, repeats=1),
            classifier_reference=common,  # the classifier of kgen-eval
            trained_with=trained_with(config.model_args),
        )
        self._seed = config.seed

    def values(self, sampler: Sampler) -> dict[str, float | None]:
        """Name of a value -> its value; of the same latent points every time."""
        values = self._evaluator.values(sampler, self._seed)
        return {name: value for name, value in values.items() if name in self.better}
