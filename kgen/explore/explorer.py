"""`explore` writes the pictures that a model can give, `explore_page` the page with its decoder."""

import importlib
import shlex
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from kgen.data.sources.resolve import check_name
from kgen.errors import UserError
from kgen.explore.context import Context, check_dims, label_of
from kgen.explore.figures import Picture
from kgen.explore.kinds import KINDS, PAGE, Options
from kgen.explore.page import check_run, write_page
from kgen.io import check_writable
from kgen.mirror import local_path
from kgen.progress import Bar
from kgen.run import Run
from kgen.sampling import described, is_url, latest_version, made_by

FOLDER = "explore"


def explore(
    path: str | Path,
    *,
    what: Sequence[str] = (),
    out: str | Path | None = None,
    options: Options | None = None,
    checkpoint: str = "best",
    prior: str | None = None,
    dataset: str | None = None,
    data_settings: dict[str, Any] | None = None,
    log: Callable[[str], None] = lambda message: None,
) -> Iterator[tuple[Path, Picture]]:
    """Writes pictures, one after the other.

    Args:
        path: a run, an export, a .tflite file or the address of a server.
        what: names of KINDS; none for all that the model can give.
        out: a folder; None takes `explore/` of the run, or explore-NAME in the working directory.
        options: see there.
        checkpoint, prior: see `open_sampler`.
        dataset: real images; None takes those that the model was trained on.
        data_settings: settings of `data` that differ.
        log: called with what is left out, and why, when nothing was asked for by name.

    Yields:
        (file, Picture), as they are written.

    Raises:
        UserError: an unknown name, a picture asked for by name that the model cannot give, or a folder that cannot be
            written.
    """
    for name in what:
        KINDS[name]
    options = options or Options()
    check_options(path, options, what or KINDS)
    if dataset is not None:
        check_name(dataset)
    if out is not None:
        check_writable(out, f"the pictures of {path}")
    context = Context(path, options, checkpoint=checkpoint, prior=prior, dataset=dataset,
                      data_settings=data_settings)  # fmt: skip
    folder = Path(out) if out else default_folder(context)
    if out is None:
        check_writable(folder, f"the pictures of {path}")
    reasons = {name: missing(context, name) for name in dict.fromkeys(what or KINDS)}
    wanted = [name for name, reason in reasons.items() if not reason]
    for name, reason in reasons.items() if what else ():
        if reason:
            raise UserError(f"--what {name}: {reason}")
    for reason in dict.fromkeys(filter(None, reasons.values())):
        log(f"left out {', '.join(name for name in reasons if reasons[name] == reason)}: {reason}")
    with Bar(len(wanted), "drawing") as bar:
        for name in wanted:
            bar.name = f"drawing {name}"
            bar.advance(0)
            for picture in drawing_function(name)(context):
                yield picture.save(folder, context.options.milliseconds, _made_by(context, path, name)), picture
            bar.advance(1)


def _made_by(context: Context, path: str | Path, name: str) -> dict[str, Any]:
    """What makes the pictures of a kind; `call` draws them again, but for options that are not named here."""
    options = context.options
    given = {"seed": options.seed, "label": options.label, "temperature": options.temperature}
    default = Options()
    flags = [f"--{key} {shlex.quote(str(value))}" for key, value in given.items() if value != getattr(default, key)]
    call = " ".join(["kgen-explore", shlex.quote(str(path)), f"--what {name}", *flags])
    return made_by(context.sampler, path, "kgen-explore", picture=name, call=call, **given)


def check_options(path: str | Path, options: Options, what: Collection[str]):
    """Raises UserError for a class or dimensions that a generator does not have, as its files describe it."""
    if (generator := described(path)) is not None:
        label_of(options, generator)
        if "traversal" in what and (generator.code_dim or 0) > 1:
            check_dims(options, generator.code_dim)


def drawing_function(name: str) -> Callable[[Context], Iterator[Picture]]:
    """The function that draws a kind of picture."""
    return getattr(importlib.import_module(f"kgen.explore.{KINDS[name].module}"), name)


def missing(context: Context, name: str) -> str:
    """Why a model cannot give a kind of picture; "" if it can."""
    reasons = (getattr(context, f"no_{need}") for need in KINDS[name].needs)
    return next(filter(None, reasons), "")


def default_folder(context: Context) -> Path:
    """Where pictures are written without `out`."""
    return context.run.path / FOLDER if context.run else Path(f"{FOLDER}-{context.name.replace('/', '-')}")


def explore_page(
    path: str | Path,
    *,
    out: str | Path | None = None,
    checkpoint: str = "best",
    prior: str | None = None,
    dataset: str | None = None,
) -> Path:
    """Writes one HTML file that runs the decoder in a browser.

    Args:
        path: a run, which is exported for it, or an export.
        out: a folder; as of `explore`.
        checkpoint, prior: of a run.
        dataset: the place that its data were moved to; for a prior that has to be fitted.

    Raises:
        UserError: neither a run nor an export, or a decoder that no page can hold.
    """
    path, file = Path(path) if is_url(path) else local_path(path), f"{PAGE}.html"
    if (path / "config.json").is_file():
        check_writable(out or path / FOLDER, f"the page of {path}")
        run = Run.open(path)
        check_run(run, checkpoint)
        from kgen.export import export  # imports TensorFlow

        with tempfile.TemporaryDirectory() as folder:
            if dataset is not None and run.training_data.missing:
                run.move_data(dataset)
            version = export(run, Path(folder) / path.resolve().name, checkpoint=checkpoint, prior=prior)
            return write_page(version, Path(out or path / FOLDER) / file, source=str(path))
    version = path if (path / "saved_model.pb").is_file() else latest_version(path)
    if version is None:
        raise UserError(f"--what {PAGE} takes a run or an export. Received: {path}")
    check_writable(out or Path(), f"the page of {path}")
    name = f"{version.resolve().parent.name}-{version.name}"
    return write_page(version, Path(out or f"{FOLDER}-{name}") / file, source=str(path))
