"""Evaluates a generator: draws from it, measures, and stamps every figure with how it was measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import kgen
from kgen import images
from kgen.cache import cached_json
from kgen.config import DataConfig, EvalConfig, RunConfig, override
from kgen.data.reference import RealImages, Reference, load_reference
from kgen.environment import environment
from kgen.errors import UserError
from kgen.evaluate.registry import (
    METRICS,
    SHARES,
    Inputs,
    MetricValue,
    Modelled,
    check,
    is_likelihood,
    of_samples,
)
from kgen.evaluate.results import merge_rows, read_rows
from kgen.evaluate.target import Target, open_target
from kgen.features.extractors import Extractor, open_extractor
from kgen.features.imageset import ImageSet
from kgen.metrics.conditioning import wilson_interval
from kgen.run import check_space
from kgen.sampling import Sampler

ALWAYS = ("fid", "kid", "prdc")
FLOOR = 1
"""Changed with anything that changes what a floor is."""


def evaluate(
    path: str | Path,
    config: EvalConfig | None = None,
    *,
    dataset: str | None = None,
    data_settings: Mapping[str, Any] | None = None,
    checkpoint: str = "best",
    prior: str | None = None,
    out: str | Path | None = None,
) -> tuple[list[dict[str, Any]], Path]:
    """Measures a generator and writes its figures.

    Args:
        path: a run, an export, a .tflite file, a server's address, or a folder of images.
        config: how; None takes the defaults.
        dataset: the real images; None takes the data that the run was trained on.
        data_settings: how they are read, e.g. {"data.image_size": [64, 64]}; see DataConfig.
        checkpoint: of a run: "best" or "last".
        prior: what z is drawn from; None takes what the run or export was made with.
        out: a .jsonl file; None takes eval/ of the run or of the export, or else eval/ in the current folder.

    Returns:
        The rows (see `kgen.evaluate.results`), and the file that they were written to; pictures are beside it.

    Raises:
        UserError: the path, the data set or a metric will not do.
    """
    config = config or EvalConfig()
    for name in config.metrics:
        METRICS[name]  # an unknown name ends here, before anything is opened
    subject = open_target(path, checkpoint=checkpoint, prior=prior)
    reference = load_reference(
        _data_config(subject, dataset, data_settings), split=config.split, num_real=config.num_real, seed=subject.seed,
        spec=subject.spec,
    )  # fmt: skip
    if dataset is None and not data_settings:
        _check_unchanged(subject, reference)
    path = Path(out or subject.out)
    check_space(path, "--out")
    if path.exists():
        read_rows(path)  # a file that cannot be added to is better known before the measuring
    evaluator = Evaluator(reference, config)
    rows = evaluator.rows(subject)
    merge_rows(path, rows)
    for name, picture in evaluator.pictures.items():
        images.save_png(path.with_name(f"{path.stem}-{name}.png"), picture)
    return rows, path


def _data_config(subject: Target, dataset: str | None, settings: Mapping[str, Any] | None) -> DataConfig:
    base = subject.config
    if dataset is not None and (base is None or base.dataset != dataset):
        chosen: dict[str, Any] = {"data.dataset": dataset}
        if subject.spec is not None:
            height, width, channels = subject.spec.image_shape
            chosen |= {"data.image_size": [height, width], "data.grayscale": channels == 1}
        base = override(RunConfig(), chosen).data
    if base is None:
        raise UserError(f"{subject.path} does not say what it was trained on; name the real images with --dataset")
    return override(RunConfig(data=base), settings or {}).data


def _check_unchanged(subject: Target, reference: Reference):
    """Raises UserError when the real images are not those that there were when the run was trained."""
    split = reference.real.split
    was = subject.data_hashes.get(split)
    if split != "train" and was not in (None, reference.real.hash):
        raise UserError(
            f"the {split} images of {reference.spec.name!r} have changed since {subject.path} was trained (content "
            f"hash {was}, now {reference.real.hash}); put them back, or name the data to judge it on with --dataset"
        )


class Evaluator:
    """Measures generators against one reference.

    Args:
        reference: the real images.
        config: how.
        taught_by: whose training images the classifier has learned from; None: those of the reference.

    Attributes:
        pictures: what the measures of the last generator left to look at, name -> [H, W, C] uint8.
    """

    def __init__(self, reference: Reference, config: EvalConfig, taught_by: Reference | None = None):
        self.reference, self.config, self.pictures = reference, config, {}
        for name in config.metrics:
            METRICS[name]
        self._taught_by = taught_by or reference
        self.extractor: Extractor | None = None
        self._classifier: Extractor | None = None
        if not config.metrics or of_samples(config.metrics):
            name = config.features or ("classifier" if reference.spec.num_classes > 1 else "random")
            self.extractor = open_extractor(name, self._taught_by, config.inception_weights)
            self._classifier = self.extractor if name == "classifier" else None
        self._sets: dict[tuple, ImageSet] = {}
        self._environment = environment()

    def rows(self, subject: Target) -> list[dict[str, Any]]:
        """One row per figure; see `kgen.evaluate.results`.

        Raises:
            UserError: a metric that the subject cannot give.
        """
        config, sampler = self.config, subject.sampler
        subject.check_classes(self.reference)
        names = self._names(sampler, labelled=sampler is None or sampler.conditional)
        drawn, modelled, fake = of_samples(names), self._modelled(sampler), None
        repeats = config.repeats if drawn and subject.repeatable else 1
        figures: dict[tuple[str, str], list[MetricValue]] = {}
        self.pictures = {}
        with self._bar(subject, repeats, names) as bar:
            for repeat in range(repeats):
                seed = config.seed + repeat
                if drawn:
                    pixels, labels = subject.draw(self.reference, config.count, seed, bar.update)
                    if sampler is None:
                        names = self._names(None, labelled=labels is not None)
                    fake = ImageSet(pixels, labels, self.extractor, self._classifier_for(names))
                for name in names:
                    bar.set_postfix_str(name)
                    if repeat == 0 or not METRICS.defaults(name).get("once"):
                        sets = self._with(fake, seed, sampler, modelled)
                        found = METRICS[name](sets)
                        self.pictures = sets.pictures | self.pictures
                        for key, figure in found.items():
                            figures.setdefault((name, key), []).append(figure)
                    bar.update(config.count)
        count = len(fake) if drawn else 0
        floors = {name: self._floor(name, count) for name in names}
        return [self._row(subject, name, key, found, floors[name], count) for (name, key), found in figures.items()]

    def figures(self, sampler: Sampler, seed: int) -> dict[str, float | None]:
        """One drawing without floors and protocols: what is followed while a model trains.

        Returns:
            name of a figure -> value; None where it cannot be told.
        """
        subject = Target("", "run", sampler, None, 0, Path())
        names, fake = self._names(sampler, labelled=sampler.conditional), None
        if of_samples(names):
            pixels, labels = subject.draw(self.reference, self.config.count, seed)
            fake = ImageSet(pixels, labels, self.extractor, self._classifier_for(names))
        sets = self._with(fake, seed, sampler, self._modelled(sampler))
        return {key: figure.value for name in names for key, figure in METRICS[name](sets).items()}

    def _names(self, sampler: Sampler | None, *, labelled: bool) -> list[str]:
        """The metrics to take; those asked for are checked."""
        encodes, modelled = sampler is not None and sampler.encodes, self._modelled(sampler)
        num_classes = self.reference.spec.num_classes
        if self.config.metrics:
            check(
                self.config.metrics, num_classes=num_classes, labelled_fakes=labelled, encodes=encodes,
                likelihood=modelled is not None,
            )  # fmt: skip
            return list(dict.fromkeys(self.config.metrics))
        names = list(ALWAYS)
        if num_classes > 1:
            names += ["is", *(["label_agreement"] if labelled else []), "coverage"]
        names += ["reconstruction"] if encodes else []
        names += ["elbo"] if modelled and is_likelihood(modelled) else []
        return names + (["active_units"] if modelled else [])

    def _bar(self, subject: Target, repeats: int, names: Sequence[str]):
        from tqdm import tqdm

        total = repeats * self.config.count * (len(names) + of_samples(names))
        form = "{desc} {percentage:3.0f}% |{bar:20}| {elapsed} elapsed, {remaining} left {postfix}"
        name = f"evaluating {subject.about['name']}"
        return tqdm(total=total, desc=name, delay=1, leave=False, disable=None, bar_format=form)

    # Sets -----------------------------------------------------------------------------------------------------------

    def _classifier_for(self, names: Sequence[str]) -> Extractor | None:
        """The classifier of the data set, if a metric asks for it: it may have to be trained."""
        needed = {need for name in names for need in METRICS.defaults(name)["needs"]}
        wanted = "classifier" in needed or ("logits" in needed and not self.extractor.num_classes)
        if self._classifier is None and wanted and self.reference.spec.num_classes > 1:
            self._classifier = open_extractor("classifier", self._taught_by)
        return self._classifier

    def _real(self, real: RealImages) -> ImageSet:
        """The set of real images, made once."""
        key = (real.hash, real.split, real.part)
        if key not in self._sets:
            self._sets[key] = ImageSet.real(real, self.extractor, self._classifier)
        self._sets[key].classifier = self._classifier
        return self._sets[key]

    def _modelled(self, sampler: Sampler | None) -> Modelled | None:
        """The model whose likelihood can be measured, if the sampler has one in this process."""
        model = getattr(sampler, "model", None)
        if model is None or not model.has_likelihood:
            return None
        reference, config = self.reference, self.config
        return Modelled(
            model, sampler.density, reference.real, reference.binarization, config.nll_samples, config.nll_images
        )

    def _with(
        self, fake: ImageSet | None, seed: int, sampler: Sampler | None = None, modelled: Modelled | None = None
    ) -> Inputs:
        return Inputs(
            real=self._real(self.reference.real),
            fake=fake,
            train=self._real(self.reference.train),
            num_classes=self.reference.spec.num_classes,
            seed=seed,
            anyway=self.config.anyway,
            reconstruct=sampler.reconstruct if sampler is not None and sampler.encodes else None,
            modelled=modelled,
        )

    def _floor(self, name: str, count: int) -> tuple[dict[str, float | None], int | None]:
        """The figures of a metric for at most `count` real images in place of generated ones; how many these are."""
        kind = METRICS.defaults(name)["floor"]
        if kind is None or (kind == "other" and self.reference.floor is None):
            return {}, None
        stand_in = (self.reference.floor if kind == "other" else self.reference.real).some(count)
        real, train = self.reference.real, self.reference.train
        key = {
            "floor": FLOOR,
            "metric": name,
            "figures": sorted(METRICS.defaults(name)["figures"]),
            "extractor": [self.extractor.hash, self._classifier.hash if self._classifier else None],
            "sets": [[s.hash, s.split, s.part] for s in (real, stand_in, train)],
            "seed": self.config.seed,
            "anyway": self.config.anyway,
        }

        def make():
            figures = METRICS[name](self._with(self._real(stand_in), self.config.seed))
            return {key: figure.value for key, figure in figures.items()}

        return cached_json("floors", key, make), stand_in.count

    # Rows -----------------------------------------------------------------------------------------------------------

    def _row(
        self, subject: Target, name: str, key: str, figures: list[MetricValue], floor, num_fake: int
    ) -> dict[str, Any]:
        values, first = [figure.value for figure in figures], figures[0]
        floors, floor_count = floor
        known = None not in values
        return {
            "measure": key,
            "value": float(np.mean(values)) if known else None,
            "stddev": float(np.std(values, ddof=1)) if known and len(values) > 1 else None,
            "values": values,
            "interval": _interval(figures, key in SHARES) if known else None,
            "floor": floors.get(key),
            "floor_count": floor_count,
            "better": METRICS.defaults(name)["figures"][key],
            "note": first.note,
            "protocol": self._protocol(subject, name, first, num_fake, len(values)),
            "subject": dict(subject.about),
            "environment": self._environment,
            "kgen": kgen.__version__,
        }

    def _protocol(self, subject: Target, name: str, figure: MetricValue, num_fake: int, repeats: int) -> dict[str, Any]:
        needs, real = METRICS.defaults(name)["needs"], self.reference.real
        extractor: Extractor | None = self.extractor
        if "classifier" in needs or ("logits" in needs and not self.extractor.num_classes):
            extractor = self._classifier
        elif "features" not in needs and "logits" not in needs:
            extractor = None
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
            "fakes_resized_from": subject.about.get("resized_from"),
            "split": real.split,
            "num_real": figure.count or real.count,
            "num_fake": (figure.count or num_fake) if of_samples([name]) else 0,
            "settings": figure.settings,
            "prior": subject.sampler.prior if "likelihood" in needs else None,
            "seed": self.config.seed,
            "repeats": repeats,
            "weights_hash": subject.sampler.weights_hash if subject.sampler else subject.about.get("content_hash"),
        }


def _interval(figures: list[MetricValue], share: bool) -> list[float] | None:
    """95 %: Wilson's of a share, Student's over the repeats, or the measure's own when there is one repeat."""
    if all(figure.hits for figure in figures):
        hits, trials = np.sum([figure.hits for figure in figures], axis=0)
        return list(wilson_interval(int(hits), int(trials)))
    if len(figures) == 1:
        return list(figures[0].interval) if figures[0].interval else None
    from scipy.stats import t

    values = np.array([figure.value for figure in figures])
    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    low, high = float(values.mean() - half), float(values.mean() + half)
    return [max(low, 0.0), min(high, 1.0)] if share else [low, high]
