"""What a user means by a PATH: a run, an export, a .tflite file, or the address of a server."""

from pathlib import Path

from kgen.errors import UserError
from kgen.run import Run
from kgen.sampling.exported import SavedModelSampler, TFLiteSampler
from kgen.sampling.sampler import ModelSampler, Sampler
from kgen.sampling.server import ServerSampler


def open_sampler(path: str | Path, *, checkpoint: str = "best") -> Sampler:
    """A sampler over whatever a kgen command wrote.

    Args:
        path: a run directory, an export (`exports/NAME` takes its latest version, or `exports/NAME/N`), a .tflite file,
            or the address of a server (`http://localhost:8501/v1/models/cvae`).
        checkpoint: of a run: "best" or "last".

    Raises:
        UserError: it is none of these.
    """
    if is_url(path):
        return ServerSampler(str(path))
    path = Path(path)
    if path.suffix == ".tflite" and path.is_file():
        return TFLiteSampler(path)
    if (path / "config.json").is_file():
        return ModelSampler(Run.open(path).load_model(checkpoint))
    if (path / "saved_model.pb").is_file():
        return SavedModelSampler(path)
    if export := latest_version(path):
        return SavedModelSampler(export)
    what = "is no run directory, export or .tflite file" if path.exists() else "does not exist"
    raise UserError(f"{path} {what}; give what kgen-train or kgen-export wrote, e.g. runs/00000-cvae-digits")


def is_url(path: str | Path) -> bool:
    """Whether this is an address and no path of a file."""
    return str(path).startswith(("http://", "https://"))


def latest_version(path: Path) -> Path | None:
    """The subdirectory of an export with the highest number, or None."""
    versions = [p for p in path.iterdir() if p.name.isdigit()] if path.is_dir() else []
    versions = [p for p in versions if (p / "saved_model.pb").is_file()]
    return max(versions, key=lambda p: int(p.name), default=None)
