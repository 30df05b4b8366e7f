"""Monitors the quality of samples while a model trains, against images that no report uses."""

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence

from kgen import data
from kgen.config import EVALUATIONS, RunConfig, TrainConfig
from kgen.data.reference import load_reference, real_images
from kgen.errors import UserError
from kgen.evaluate.evaluator import EvalConfig, Evaluator
from kgen.evaluate.registry import check, directions, parse_metrics
from kgen.evaluate.target import check_room
from kgen.features import (
    COLOUR,
    EXTRACTORS,
    check_for_training,
    default_extractor,
    default_for_evaluation,
    installed,
)
from kgen.features.extractors import Extractor
from kgen.models.presets import PRESETS
from kgen.pretrained import INSTALL
from kgen.registry import nearest
from kgen.run import trained_with
from kgen.sampling import Sampler
from kgen.tables import counted

NUM_REAL = 10_000
SHARE_OF_TIME = 1 / 15
"""Of `train.minutes`, what `best_by="auto"` may take for evaluations."""
LEAST_EVALUATIONS = 4
"""Fewer choose little."""
CLASSIFIER_IMAGES = 1_000
"""Training images from which on `best_by="auto"` goes by a classifier that is trained on them. One of 112 photographs
had a smaller distance for gray noise than for what one could name."""


class Monitor:
    """Computes the metrics that `config.train.metrics` names on samples of the model in training.

    The real images are those of the run's validation split (of the training split where that has few images), never of
    the test split: a checkpoint that was chosen by test images could not be reported on them.

    Args:
        config: of the run; its `train` part names the metrics.
        dataset: that it trains on.
        seen: extractors that its initial weights were trained with; those that it is trained with are in `config`.

    Attributes:
        split: of the real images.
        better: name of a value (`MetricChoice.label`) -> "lower", "higher" or "".
        main: the names to look at first: what the best checkpoint is chosen by, and the first value of each metric.

    Raises:
        UserError: an unknown metric, features that the model is trained with or that need a file, or a `best_by` that
            is not among their values.
    """

    def __init__(self, config: RunConfig, dataset: data.Dataset, seen: Sequence[str] = ()):
        self.split, self._dataset, self._seen = dataset.spec.monitor_split, dataset, seen
        self.better = self.measured(config, dataset)
        unseen = {"validation", "test"} & {*dataset.splits}
        self._common = load_reference(config.data, seed=config.seed, dataset=dataset, split=None if unseen else "train")
        real = real_images(dataset, self.split).some(NUM_REAL)
        self._reference = dataclasses.replace(
            self._common, real=real, read_train=lambda: real_images(dataset, "train"), read_other=None, limit=None,
            read_trained_on=None,
        )  # fmt: skip
        self._open(config, {})

    def completed(self, config: RunConfig) -> "Monitor":
        """The same training's with other settings: real images are not read again, nor are extractors opened.

        Args:
            config: other in settings of `train` alone.

        Raises:
            UserError: as of the class.
        """
        found = copy.copy(self)
        found.better = self.measured(config, self._dataset)
        found._open(config, self._evaluator.extractors)
        return found

    def _open(self, config: RunConfig, extractors: Mapping[str, Extractor]):
        """Opens those of the extractors of `config.train` that are not open yet."""
        train = config.train
        first = [next(iter(directions([metric]))) for metric in train.metrics]
        self.main = tuple(dict.fromkeys([train.best_by] * (train.best_by != "loss") + first))
        features = train.eval_features or default_extractor(self._dataset.spec.num_classes)
        self._evaluator = Evaluator(
            self._reference,
            EvalConfig(train.metrics, features=features, count=train.eval_count, repeats=1),
            classifier_reference=self._common,  # the classifier of kgen-eval
            trained_with=_trained_with(config, self._seen),
            mirrored=train.flip == "on",
            extractors=extractors,
        )
        self._seed = config.seed

    @staticmethod
    def measured(config: RunConfig, dataset: data.Dataset) -> dict[str, str]:
        """Name of each value that would be measured -> "lower", "higher" or "": which is better. Computes nothing.

        Raises:
            UserError: an unknown metric, or one that the model or the data cannot give, more samples than fit into
                memory, features that need a file, or a `best_by` that is not among the values.
        """
        train, preset, spec = config.train, PRESETS[config.model], dataset.spec
        better = directions(train.metrics, unseen=spec.monitor_split != "train")
        if train.best_by not in ("loss", "auto") and not better.get(train.best_by):
            known = ["loss", *(name for name, which in better.items() if which)]
            raise UserError(f"train.best_by: {train.best_by!r} is not measured; {nearest(train.best_by, known)}")
        check(
            train.metrics, num_classes=spec.num_classes, labelled_fakes=preset.conditional, encodes=preset.has_encoder,
            likelihood=preset.has_likelihood,
        )  # fmt: skip
        choices = parse_metrics(train.metrics)
        if any(choice.metric.of_samples for choice in choices):
            check_room(train.eval_count, spec, "--eval_count")
        named = [choice.features for choice in choices if choice.features]
        check_for_training([train.eval_features or default_extractor(spec.num_classes), *named])
        return better

    @classmethod
    def decided(
        cls, config: RunConfig, dataset: data.Dataset, seen: Sequence[str] = ()
    ) -> tuple[TrainConfig, str, "Monitor | None"]:
        """What `best_by="auto"` stands for.

        An adversarial model's best checkpoint is chosen by the first of `train.metrics`, where its features see shapes:
        those of `train.eval_features`; else in colour COLOUR, with labels or without, if it is installed; else those of
        the classifier of at least CLASSIFIER_IMAGES. In a training of `train.minutes` it is measured as often as takes
        a fifteenth of them, at most ten times. Else the best checkpoint is the last.

        Args:
            config: of a training, with its epochs where it has `train.minutes`.
            dataset: that it trains on.
            seen: as of the class.

        Returns:
            The settings, complete in `best_by`, `metrics`, `eval_features` and `eval_every`; a line for the log; and a
            monitor whose `completed` is that of the training, where one was needed to decide.
        """
        train, spec = config.train, dataset.spec
        by_loss = dataclasses.replace(train, best_by="loss")
        if not PRESETS[config.model].adversarial:
            return by_loss, "best_by auto: loss", None
        used = _trained_with(config, seen)
        asked, images = parse_metrics(train.metrics), spec.examples["train"]
        default = train.eval_features or default_for_evaluation(0, spec.image_shape[2], used)
        if not train.eval_features and not EXTRACTORS[default].sees_shapes and images >= CLASSIFIER_IMAGES:
            default = default_for_evaluation(spec.num_classes, spec.image_shape[2], used)
        usual = [c for c in asked if not c.metric.default_below or images < c.metric.default_below]
        choices = usual or asked
        features = choices[0].features or default
        if not EXTRACTORS[features].sees_shapes:
            colour = spec.image_shape[2] == 3 and not used
            hint = f"; {COLOUR} does: {INSTALL}" * (colour and not installed(COLOUR))
            few = f"; a classifier does from {CLASSIFIER_IMAGES:,} images on" * (spec.num_classes > 1)
            line = f"best_by auto: the last checkpoint, as features {features!r} see no shapes{few}{hint}"
            return by_loss, line, None
        metrics = tuple(map(str, choices))
        left = "".join(
            f"; without {c}, which is for fewer than {c.metric.default_below:,} images"
            for c in asked
            if c not in choices
        )
        first = next(iter(directions(metrics[:1])))
        train = dataclasses.replace(train, best_by=first, metrics=metrics, eval_features=default)
        if train.minutes is None or train.eval_every:
            return train, f"best_by auto: {first} by features {features!r}{left}", None
        monitor = cls(dataclasses.replace(config, train=train), dataset, seen)
        at_first, each = monitor.seconds()
        share = SHARE_OF_TIME * 60 * train.minutes
        times = min(EVALUATIONS, int((share - at_first) / each))
        if times < LEAST_EVALUATIONS:
            least = math.ceil((at_first + LEAST_EVALUATIONS * each) / SHARE_OF_TIME / 60)
            line = f"best_by auto: the last checkpoint; by {first} of features {features!r} from --minutes {least} on"
            return by_loss, line, monitor
        every = -(-train.epochs // times)
        words = f"every {counted(every, 'epoch')}" if every > 1 else "every epoch"
        train = dataclasses.replace(train, eval_every=every)
        return train, f"best_by auto: {first} by features {features!r}, {words}{left}", monitor

    def seconds(self) -> tuple[float, float]:
        """(for the features of the real images, for those of each evaluation): estimated, seconds."""
        per_image = self._evaluator.seconds_per_image()
        return per_image * self._evaluator.real_images(), per_image * self._evaluator.config.count

    def values(self, sampler: Sampler) -> dict[str, float | None]:
        """Name of a value -> its value; of the same latent points every time."""
        values = self._evaluator.values(sampler, self._seed)
        return {name: value for name, value in values.items() if name in self.better}


def _trained_with(config: RunConfig, seen: Sequence[str]) -> list[str]:
    """The extractors that a training looks at, and those that what it starts from has seen."""
    return trained_with(config.model_args, {"trained_with": seen})
