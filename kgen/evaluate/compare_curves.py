"""How the samples of several runs became better while they trained: one panel a figure, one line a run."""

import json
from collections.abc import Sequence
from pathlib import Path

from kgen.evaluate.compared import Compared
from kgen.run import Run
from kgen.svg_curves import Line, Panel


def qualities(subjects: Sequence[Compared]) -> list[dict[str, dict[str, list[tuple[float, float]]]]]:
    """Figures that two runs or more measured in the same way while they trained.

    Returns:
        For every way to measure: {figure: {name of a run: [(seconds of training, value), ...]}}.
    """
    runs: dict[Path, str] = {}
    for subject in subjects:  # a run may be several: its checkpoints and priors
        if (subject.path / "config.json").is_file():
            runs.setdefault(subject.path.resolve(), subject.name)
    ways: dict[str, dict[str, dict[str, list]]] = {}
    for run, name in ((Run.open(path), name) for path, name in runs.items()):
        for figure, points in _points(run).items():
            ways.setdefault(_way(run), {}).setdefault(figure, {})[name] = points
    shared = [{figure: lines for figure, lines in way.items() if len(lines) > 1} for way in ways.values()]
    return [figures for figures in shared if figures]


def _way(run: Run) -> str:
    """What must be the same, that figures of two runs compare."""
    train = run.config.train
    return json.dumps([run.spec.name, run.data_hashes, train.eval_features, train.eval_count], sort_keys=True)


def _points(run: Run) -> dict[str, list[tuple[float, float]]]:
    """Figures of samples: what has no counterpart in training, as the terms of a loss have."""
    try:
        rows = run.metrics()
    except ValueError:  # a line that is still being written
        return {}
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for key, value in row.items():
            split, _, figure = key.partition("_")
            if split == "validation" and f"train_{figure}" not in row and value is not None:
                found.setdefault(figure, []).append((row["elapsed_seconds"], value))
    return found


def panels(subjects: Sequence[Compared]) -> list[tuple[str, list[Panel]]]:
    """(a sentence, a panel a figure) of every way to measure; a run has one colour in all of them."""
    found = []
    for figures in qualities(subjects):
        names = list(dict.fromkeys(name for lines in figures.values() for name in lines))
        drawn = [
            Panel(
                figure.replace("_", " "),
                [Line(name, sorted(points), names.index(name)) for name, points in lines.items()],
                x_name="seconds",
                whole_x=False,
            )
            for figure, lines in figures.items()
        ]
        found.append((f"{', '.join(figures)} of {', '.join(names)} over the seconds of training", drawn))
    return found
