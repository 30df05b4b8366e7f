"""Evaluates a generator: samples from it, computes metrics, and writes every value with the protocol behind it."""

import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import kgen
from kgen import images
from kgen.cache import cached_json
from kgen.config import EvalConfig
from kgen.data.reference import RealImages, Reference, load_reference
from kgen.data.sources.resolve import check_name
from kgen.environment import environment
from kgen.errors import UserError
from kgen.evaluate.compute import Inputs, LikelihoodInputs, MetricValue
from kgen.evaluate.registry import METRICS, SHARES, MetricChoice, check, parse_metrics
from kgen.evaluate.results import FORMAT, merge_results, read_results
from kgen.evaluate.target import Target, open_target
from kgen.features import EXTRACTORS, check_impartial, default_for_evaluation
from kgen.features.extractors import Extractor, open_extractor
from kgen.features.imageset import ImageSet
from kgen.gpu import full_float32
from kgen.io import check_writable
from kgen.metrics.conditioning import wilson_interval
from kgen.provenance import drawn_by
from kgen.run import check_space
from kgen.sampling import Sampler

BASELINE_VERSION = 1
"""Incremented with anything that changes the baseline of a metric."""


def evaluate(
    path: str | Path,
    config: EvalConfig | None = None,
    *,
    dataset: str | None = None,
    data_settings: Mapping[str, Any] | None = None,
    checkpoint: str = "best",
    prior: str | None = None,
    out: str | Path | None = None,
) -> tuple[list[dict[str, Any]], Path | None]:
    """Evaluates a generator and writes the results.

    Args:
        path: a run, an export, a .tflite file, a server's address, or a folder of images.
        config: how; None takes the defaults.
        dataset: the real images, also those of the run in another place; None takes the data that it was trained on.
        data_settings: how they are read, e.g. {"data.image_size": [64, 64]}; see DataConfig.
        checkpoint: of a run: "best" or "last".
        prior: what z is sampled from; None takes what the run or export was made with.
        out: a .jsonl file; None takes eval/ of the run or of the export, or else eval/ in the current folder.

    Returns:
        The results (see `kgen.evaluate.results`), and the file that they were written to; pictures are beside it. None
        in place of the file, and a warning, where eval/ of a run cannot be written.

    Raises:
        UserError: the path, the data set or a metric will not do, or `out` cannot be written.
    """
    config = config or EvalConfig()
    parse_metrics(config.metrics)  # an unknown name is an error before anything is opened
    if dataset is not None:
        check_name(dataset)
    if out is not None:
        check_space(Path(out), "--out")
        check_writable(Path(out).parent, f"--out {out}")
    target = open_target(path, checkpoint=checkpoint, prior=prior, dataset=dataset)
    real, own = target.real_images(dataset, data_settings)
    as_trained = dataset is None and not data_settings
    reference = load_reference(
        real, split=config.split, num_real=config.num_real, seed=target.seed, spec=target.spec, own=own,
        content=target.content if as_trained else None,
    )  # fmt: skip
    if own and "dataset" in target.about:  # a folder that was renamed holds the same data
        reference = replace(reference, spec=replace(reference.spec, name=target.about["dataset"]))
    if as_trained:
        target.check_unchanged(reference)
    path = Path(out or target.out)
    if path.exists():
        read_results(path)  # a file that cannot be extended is an error before anything is computed
    evaluator = Evaluator(
        reference, config, trained_with=target.trained_with, mirrored=target.mirrored, who=str(target.path)
    )
    results = evaluator.results(target)
    try:
        merge_results(path, results)
        for name, picture in evaluator.pictures.items():
            made = drawn_by("kgen-eval", path=str(target.path), picture=name)
            images.save_png(path.with_name(f"{path.stem}-{name}.png"), picture, made)
    except OSError as error:
        if out is not None:
            raise
        reason = f"{error.filename or path}: {error.strerror or error}"
        print(f"warning: the results are not stored ({reason}); --out FILE stores them elsewhere", file=sys.stderr)
        return results, None
    return results, path


class Evaluator:
    """Measures generators against one reference.

    Args:
        reference: the real images.
        config: how.
        classifier_reference: whose training images the classifier learns from; None: those of the reference.
        trained_with: extractors that the generators were trained with: no defaults, and refused without `anyway`.
        mirrored: whether the generators were trained on mirrored images, too (`train.flip`).
        who: the generator, for messages; None: a model in training.
        extractors: those that are open already, by name; of the same references.

    Attributes:
        pictures: what the metrics of the last generator left to look at, name -> [H, W, C] uint8.
    """

    def __init__(
        self,
        reference: Reference,
        config: EvalConfig,
        classifier_reference: Reference | None = None,
        *,
        trained_with: Sequence[str] = (),
        mirrored: bool = False,
        who: str | None = None,
        extractors: Mapping[str, Extractor] | None = None,
    ):
        self._trained_with, self._mirrored = trained_with, mirrored
        self.reference, self.config, self.pictures = reference, config, {}
        self._classifier_reference = classifier_reference or reference
        self._features = config.features or default_for_evaluation(
            reference.spec.num_classes, reference.spec.image_shape[2], trained_with
        )
        if not config.anyway:
            check_impartial(self._extractor_names(), trained_with, who)
        self._extractors: dict[str, Extractor] = dict(extractors or {})
        self._open_extractors()
        self._sets: dict[tuple, ImageSet] = {}
        self._environment = environment()

    @full_float32()
    def results(self, target: Target) -> list[dict[str, Any]]:
        """One result per value; see `kgen.evaluate.results`.

        Raises:
            UserError: a metric that the target cannot give.
        """
        config, sampler = self.config, target.sampler
        target.check_classes(self.reference)
        choices = self._choices(sampler, labelled=sampler is None or sampler.conditional)
        sampled, likelihood, fake = _of_samples(choices), self._likelihood(sampler), None
        repeats = config.repeats if sampled and target.repeatable else 1
        values: dict[tuple[MetricChoice, str], list[MetricValue]] = {}
        self.pictures = {}
        with self._bar(target, repeats, choices) as bar:
            for repeat in range(repeats):
                seed = config.seed + repeat
                if sampled:
                    pixels, labels = target.sample(self.reference, config.count, seed, bar.update)
                    if sampler is None:
                        choices = self._choices(None, labelled=labels is not None)
                    fake = ImageSet(pixels, labels)
                for choice in choices:
                    bar.set_postfix_str(str(choice))
                    if repeat == 0 or not choice.metric.once:
                        for name, value in self._values_of(choice, fake, seed, sampler, likelihood).items():
                            values.setdefault((choice, name), []).append(value)
                    bar.update(config.count)
        count = len(fake) if sampled else 0
        baselines = {choice: self._baseline(choice, count) for choice in choices}
        return [
            self._result(target, choice, name, found, baselines[choice], count)
            for (choice, name), found in values.items()
        ]

    @full_float32()
    def values(self, sampler: Sampler, seed: int) -> dict[str, float | None]:
        """One repeat without baselines and protocols, as it is monitored while a model trains.

        Returns:
            name of a value (`MetricChoice.label`) -> value; None where it cannot be computed.
        """
        target = Target("", "run", sampler, None, 0, Path())
        choices, fake = self._choices(sampler, labelled=sampler.conditional), None
        if _of_samples(choices):
            fake = ImageSet(*target.sample(self.reference, self.config.count, seed))
        likelihood = self._likelihood(sampler)
        return {
            choice.label(name): value.value
            for choice in choices
            for name, value in choice.metric(self._inputs(choice, fake, seed, sampler, likelihood)).items()
        }

    @property
    def extractors(self) -> Mapping[str, Extractor]:
        """Those that are open, by name."""
        return self._extractors

    def seconds_per_image(self) -> float:
        """For the features of an image by all extractors: measured on a batch of each, after one that compiles."""
        seconds = 0.0
        for extractor in self._extractors.values():
            pixels = np.zeros((extractor.batch_size, *self.reference.spec.image_shape), np.uint8)
            extractor(pixels)
            started = time.monotonic()
            extractor(pixels)
            seconds += (time.monotonic() - started) / len(pixels)
        return seconds

    def real_images(self) -> int:
        """How many real images the metrics look at."""
        looks_at_train = any(choice.metric.looks_at_train for choice in parse_metrics(self.config.metrics))
        trained = self.reference.trained_on.count * (1 + self._mirrored) if looks_at_train else 0
        return self.reference.real.count + trained

    def _choices(self, sampler: Sampler | None, *, labelled: bool) -> list[MetricChoice]:
        """The metrics to compute; those that were asked for are checked."""
        encodes, likelihood = sampler is not None and sampler.encodes, self._likelihood(sampler)
        num_classes = self.reference.spec.num_classes
        if self.config.metrics:
            check(
                self.config.metrics, num_classes=num_classes, labelled_fakes=labelled, encodes=encodes,
                likelihood=likelihood is not None,
            )  # fmt: skip
            return parse_metrics(self.config.metrics)
        possible = {
            "features": True,
            "logits": num_classes > 1,
            "classifier": num_classes > 1,
            "labels": num_classes > 1 and labelled,
            "encoder": encodes,
            "posterior": likelihood is not None,
            "likelihood": likelihood is not None and likelihood.is_likelihood,
        }
        trained_on = math.inf if self.reference.real.split == "train" else self.reference.num_trained_on
        return [
            MetricChoice(name)
            for name, metric in METRICS.items()
            if metric.default
            and all(possible[need] for need in metric.needs)
            and (metric.default_below is None or trained_on < metric.default_below)
        ]

    def _bar(self, target: Target, repeats: int, choices: Sequence[MetricChoice]):
        from tqdm import tqdm

        total = repeats * self.config.count * (len(choices) + _of_samples(choices))
        form = "{desc} {percentage:3.0f}% |{bar:20}| {elapsed} elapsed, {remaining} left {postfix}"
        name = f"evaluating {target.about['name']}"
        return tqdm(total=total, desc=name, delay=1, leave=False, disable=None, bar_format=form)

    # Extractors and inputs --------------------------------------------------------------------------------------------

    def _open_extractors(self):
        """Opens the extractors that the metrics name, before anything is sampled."""
        choices, names = parse_metrics(self.config.metrics), self._extractor_names()
        weights = self.config.feature_weights
        takers = [name for name in names if EXTRACTORS[name].takes_weights]
        if weights is not None and not takers:
            able = " or ".join(f"--features {name}" for name in sorted(EXTRACTORS) if EXTRACTORS[name].takes_weights)
            raise UserError(
                f"--feature_weights was given, but the features are {' and '.join(names) or 'none'}; add {able}, or "
                "name it with a metric: --metrics fid@inception"
            )
        if weights is not None and len(takers) > 1:
            raise UserError(
                f"--feature_weights is the file of one extractor, but {' and '.join(takers)} take one; evaluate twice"
            )
        for name in names:
            self._extractor(name)
        if self.reference.spec.num_classes > 1 and any("classifier" in choice.metric.needs for choice in choices):
            self._extractor("classifier")

    def _extractor_names(self) -> list[str]:
        """Those that the metrics name, each once."""
        choices = parse_metrics(self.config.metrics)
        names = [self._extractor_name(choice) for choice in choices if choice.metric.takes_features]
        return list(dict.fromkeys(names if choices else [self._features]))

    def _extractor_name(self, choice: MetricChoice) -> str:
        return choice.features or self._features

    def _extractor(self, name: str) -> Extractor:
        """The extractor of this name, opened once."""
        if name not in self._extractors:
            weights = self.config.feature_weights if EXTRACTORS[name].takes_weights else None
            self._extractors[name] = open_extractor(name, self._classifier_reference, weights)
        return self._extractors[name]

    def _extractors_of(self, choice: MetricChoice) -> tuple[Extractor | None, Extractor | None]:
        """(extractor, classifier of the data set) of a metric, where it asks for them; may train the classifier."""
        needs = choice.metric.needs
        extractor = self._extractor(self._extractor_name(choice)) if choice.metric.takes_features else None
        wanted = "classifier" in needs or ("logits" in needs and not extractor.num_classes)
        labelled = self.reference.spec.num_classes > 1
        return extractor, self._extractor("classifier") if wanted and labelled else None

    def _image_set(self, real: RealImages, *, mirrored: bool = False) -> ImageSet:
        """The set of real images, made once."""
        key = (real.hash, real.split, real.part, mirrored)
        if key not in self._sets:
            self._sets[key] = self._image_set(real).mirrored() if mirrored else ImageSet.real(real)
        return self._sets[key]

    def _likelihood(self, sampler: Sampler | None) -> LikelihoodInputs | None:
        """The model whose likelihood can be computed, if the sampler has one in this process."""
        model = getattr(sampler, "model", None)
        if model is None or not model.has_likelihood:
            return None
        reference, config = self.reference, self.config
        return LikelihoodInputs(
            model, sampler.density, reference.real, reference.binarization, config.nll_samples, config.nll_images
        )

    def _inputs(
        self,
        choice: MetricChoice,
        fake: ImageSet | None,
        seed: int,
        sampler: Sampler | None = None,
        likelihood: LikelihoodInputs | None = None,
    ) -> Inputs:
        extractor, classifier = self._extractors_of(choice)
        train = self.reference.trained_on if choice.metric.looks_at_train else None
        return Inputs(
            real=self._image_set(self.reference.real),
            fake=fake,
            train=self._image_set(train) if train else None,
            mirrored=self._image_set(train, mirrored=True) if train and self._mirrored else None,
            extractor=extractor,
            classifier=classifier,
            num_classes=self.reference.spec.num_classes,
            class_names=self.reference.spec.class_names,
            seed=seed,
            anyway=self.config.anyway,
            reconstruct=sampler.reconstruct if sampler is not None and sampler.encodes else None,
            likelihood=likelihood,
        )

    def _values_of(self, choice: MetricChoice, *given) -> dict[str, MetricValue]:
        """The values of a metric, and its pictures; none of training images that are not there any more.

        Args:
            choice: the metric.
            given: as of `_inputs`.
        """
        if choice.metric.looks_at_train and self.reference.changed:
            return {name: MetricValue(None, note=self.reference.changed) for name in choice.metric.values}
        inputs = self._inputs(choice, *given)
        found = choice.metric(inputs)
        self.pictures = inputs.pictures | self.pictures
        return found

    def _baseline(self, choice: MetricChoice, count: int) -> tuple[dict[str, float | None], int | None]:
        """The values of a metric for at most `count` real images in place of generated ones, and how many these are."""
        kind, real = choice.metric.baseline, self.reference.real
        if kind is None or (kind == "other" and self.reference.read_other is None):
            return {}, None
        if choice.metric.looks_at_train and (
            self.reference.changed or real.split == "train" or real.hash == self.reference.trained_on.hash
        ):
            return {}, None  # training images are copies of themselves
        stand_in = (self.reference.other if kind == "other" else real).some(count)
        looked_at = [real, stand_in, *([self.reference.trained_on] if choice.metric.looks_at_train else [])]
        key = {
            "version": BASELINE_VERSION,
            "metric": choice.name,
            "values": sorted(choice.metric.values),
            "extractors": [extractor and extractor.hash for extractor in self._extractors_of(choice)],
            "sets": [[part.hash, part.split, part.part] for part in looked_at],
            "seed": self.config.seed,
            "anyway": self.config.anyway,
        }
        key |= {"mirrored": True} if choice.metric.looks_at_train and self._mirrored else {}

        def make():
            values = choice.metric(self._inputs(choice, self._image_set(stand_in), self.config.seed))
            return {name: value.value for name, value in values.items()}

        return cached_json("baselines", key, make), stand_in.count

    # Results ----------------------------------------------------------------------------------------------------------

    def _result(
        self, target: Target, choice: MetricChoice, name: str, values: list[MetricValue], baseline, num_fake: int
    ) -> dict[str, Any]:
        numbers, first = [value.value for value in values], values[0]
        baseline_values, baseline_count = baseline
        known = None not in numbers
        return {
            "format": FORMAT,
            "metric": name,
            "value": float(np.mean(numbers)) if known else None,
            "stddev": float(np.std(numbers, ddof=1)) if known and len(numbers) > 1 else None,
            "values": numbers,
            "interval": _interval(values, name in SHARES) if known else None,
            "baseline": baseline_values.get(name),
            "baseline_count": baseline_count,
            "better": choice.metric.values[name].better,
            "note": self._note(choice, first),
            "protocol": self._protocol(target, choice, first, num_fake, len(numbers)),
            "target": dict(target.about),
            "environment": self._environment,
            "kgen": kgen.__version__,
        }

    def _note(self, choice: MetricChoice, value: MetricValue) -> str:
        """The metric's own, and that the generator was trained with the features."""
        takes = choice.metric.takes_features and self._extractor_name(choice) in self._trained_with
        return "; ".join(filter(None, [value.note, "trained with these features" if takes else ""]))

    def _protocol(
        self, target: Target, choice: MetricChoice, value: MetricValue, num_fake: int, repeats: int
    ) -> dict[str, Any]:
        metric, real = choice.metric, self.reference.real
        extractor, classifier = self._extractors_of(choice)
        extractor = classifier or extractor  # a metric that asks for the classifier takes nothing else
        height, width, channels = self.reference.spec.image_shape
        return {
            "features": extractor.name if extractor else "none",
            "extractor_hash": extractor.hash if extractor else None,
            "dimension": extractor.dimension if extractor else None,
            "resizer": extractor.resizer if extractor else "none",
            "value_range": extractor.value_range if extractor else "uint8 / 255",
            "data": self.reference.spec.name,
            "data_hash": real.hash,
            "image_shape": [height, width, channels],
            "fakes_resized_from": target.about.get("resized_from"),
            "split": real.split,
            "num_real": value.count or real.count,
            "num_fake": (value.count or num_fake) if metric.of_samples else 0,
            "settings": value.settings,
            "prior": target.sampler.prior if {"posterior", "likelihood"} & {*metric.needs} else None,
            "seed": self.config.seed,
            "repeats": repeats,
            "weights_hash": target.sampler.weights_hash if target.sampler else target.about.get("content_hash"),
        }


def _of_samples(choices: Sequence[MetricChoice]) -> bool:
    """Whether any of these metrics looks at generated images."""
    return any(choice.metric.of_samples for choice in choices)


def _interval(values: list[MetricValue], share: bool) -> list[float] | None:
    """95 %: Wilson's of a share, Student's over the repeats, or the metric's own when there is one repeat."""
    if all(value.hits for value in values):
        hits, trials = np.sum([value.hits for value in values], axis=0)
        return list(wilson_interval(int(hits), int(trials)))
    if len(values) == 1:
        return list(values[0].interval) if values[0].interval else None
    from scipy.special import stdtrit

    numbers = np.array([value.value for value in values])
    half = stdtrit(len(numbers) - 1, 0.975) * numbers.std(ddof=1) / np.sqrt(len(numbers))
    low, high = float(numbers.mean() - half), float(numbers.mean() + half)
    return [max(low, 0.0), min(high, 1.0)] if share else [low, high]
