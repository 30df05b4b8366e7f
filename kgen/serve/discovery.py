"""The served folder: its models, their versions, and models.config with their labels and version policies.

NAME/VERSION/saved_model.pb, as TF Serving's model base paths; models.config is what TF Serving takes as
--model_config_file. Nothing here needs TensorFlow.
"""

from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from kgen.errors import UserError

MODEL_CONFIG_FILE = "models.config"
EXAMPLE = "name the folder that holds exports, e.g. kgen-serve exports/"


@dataclass(frozen=True)
class ModelConfig:
    """The entry of a model in models.config.

    Args:
        latest: how many of the newest versions are served; 0 for all.
        specific: versions to serve; empty for those of `latest`.
        labels: label -> version.
    """

    latest: int = 1
    specific: frozenset[int] = frozenset()
    labels: dict[str, int] = field(default_factory=dict)

    def select(self, versions: set[int]) -> set[int]:
        """The versions to serve, of those on the disk."""
        if self.specific:
            return versions & self.specific
        return set(sorted(versions)[-self.latest :])


@dataclass(frozen=True)
class FoundModel:
    """A model on the disk: the folders of its versions, and its configuration."""

    versions: dict[int, Path]
    config: ModelConfig = field(default_factory=ModelConfig)


def check_folder(root: Path):
    """Raises UserError unless the folder holds a model."""
    if not root.is_dir():
        raise UserError(f"no folder {root}; name the one that holds exports, e.g. kgen-serve exports/")
    if (root / "saved_model.pb").is_file():
        base = root.resolve().parent
        raise UserError(f"{root} is one version of a model; name the folder of its model, {base}, or the one above")
    if not find_models(root):
        message = f"{root} holds no model (NAME/VERSION/saved_model.pb)"
        raise UserError(f"{message}; write one with kgen-export, or {EXAMPLE}")


def find_models(root: Path) -> dict[str, FoundModel]:
    """The models of a folder by name: NAME/VERSION/ below it, or VERSION/ if the folder is one model.

    Raises:
        UserError: models.config cannot be read.
    """
    configured = read_model_config(root)
    by_folder = {folder: (name, config) for name, (folder, config) in configured.items()}
    if own := find_versions(root):
        folders = {root.resolve().name: own}
    else:
        children = [path for path in _subfolders(root) if not path.name.startswith(".")]
        folders = {path.name: versions for path in children if (versions := find_versions(path))}
    models = {}
    for folder, versions in folders.items():
        name, config = by_folder.get(folder, (folder, ModelConfig()))
        models[name] = FoundModel(versions, config)
    return models


def find_versions(base: Path) -> dict[int, Path]:
    """The folders below a model base path whose names are numbers."""
    return {int(path.name): path for path in _subfolders(base) if path.name.isascii() and path.name.isdigit()}


def fingerprint(path: Path) -> tuple:
    """Names, sizes and times of the files below a folder: differs when one of them has changed."""
    stats = [(file, file.stat()) for file in sorted(path.rglob("*")) if file.is_file()]
    return tuple((str(file.relative_to(path)), stat.st_size, stat.st_mtime_ns) for file, stat in stats)


def _subfolders(path: Path) -> list[Path]:
    try:
        return sorted(child for child in path.iterdir() if child.is_dir())
    except OSError:  # removed in the meantime
        return []


def read_model_config(root: Path) -> dict[str, tuple[str, ModelConfig]]:
    """Name of a model -> (name of its folder, its entry) in models.config; empty without the file.

    Base paths are those of the machine that the file was written for (a container): only their last part is used.

    Raises:
        UserError: it is not a ModelServerConfig.
    """
    return {model.name: (Path(model.base_path).name or model.name, _entry(model)) for model in _entries(root)}


def base_paths(root: Path) -> list[Path]:
    """The base paths in models.config."""
    return [Path(model.base_path) for model in _entries(root)]


def _entries(root: Path) -> list:
    """The ModelConfig messages of models.config."""
    path = root / MODEL_CONFIG_FILE
    try:
        text = path.read_text(encoding="utf-8")
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise UserError(f"{path} is not a ModelServerConfig ({error}); correct or remove it") from error
    return [*config.model_config_list.config]


def _entry(model) -> ModelConfig:
    policy = model.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    return ModelConfig(
        latest=0 if kind == "all" else max(1, policy.latest.num_versions),
        specific=frozenset(policy.specific.versions) if kind == "specific" else frozenset(),
        labels=dict(model.version_labels),
    )
