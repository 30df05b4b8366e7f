"""What lies in the served folder: models and their versions."""

from dataclasses import dataclass, field
from pathlib import Path

from kgen.errors import UserError
from kgen.serve import model_config
from kgen.serve.model_config import ModelConfig

HOW = "name the folder that holds exports, e.g. kgen-serve exports/"


@dataclass(frozen=True)
class Found:
    """A model on the disk."""

    versions: dict[int, Path]
    config: ModelConfig = field(default_factory=ModelConfig)


def find_models(root: Path) -> dict[str, Found]:
    """The models of a folder by name: NAME/VERSION/ below it, or VERSION/ if the folder is one model.

    Raises:
        UserError: models.config cannot be read.
    """
    configured = model_config.read(root)
    named = {folder: (name, config) for name, (folder, config) in configured.items()}
    if own := versions_of(root):
        folders = {root.resolve().name: own}
    else:
        children = [path for path in _folders(root) if not path.name.startswith(".")]
        folders = {path.name: versions for path in children if (versions := versions_of(path))}
    models = {}
    for folder, versions in folders.items():
        name, config = named.get(folder, (folder, ModelConfig()))
        models[name] = Found(versions, config)
    return models


def versions_of(base: Path) -> dict[int, Path]:
    """The folders below a model base path whose names are numbers."""
    return {int(path.name): path for path in _folders(base) if path.name.isascii() and path.name.isdigit()}


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(child for child in path.iterdir() if child.is_dir())
    except OSError:  # gone while we looked
        return []


def check_folder(root: Path):
    """Raises a UserError unless there is something to serve."""
    if not root.is_dir():
        raise UserError(f"no folder {root}; {HOW}")
    if (root / "saved_model.pb").is_file():
        base = root.resolve().parent
        raise UserError(f"{root} is one version of a model; name the folder of its model, {base}, or the one above")
    if not find_models(root):
        raise UserError(f"{root} holds no model (NAME/VERSION/saved_model.pb); write one with kgen-export, or {HOW}")


def fingerprint(path: Path) -> tuple:
    """Changes when a file of the folder does."""
    stats = [(file, file.stat()) for file in sorted(path.rglob("*")) if file.is_file()]
    return tuple((str(file.relative_to(path)), stat.st_size, stat.st_mtime_ns) for file, stat in stats)
