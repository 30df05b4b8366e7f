"""models.config in the served folder: labels and version policies, as TF Serving's --model_config_file has them."""

from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from kgen.errors import UserError

FILE = "models.config"


@dataclass(frozen=True)
class ModelConfig:
    """What the file says of one model.

    Args:
        latest: how many of the newest versions serve; 0 for all.
        specific: if any are named, these serve and no others.
        labels: names of versions.
    """

    latest: int = 1
    specific: frozenset[int] = frozenset()
    labels: dict[str, int] = field(default_factory=dict)

    def wanted(self, versions: set[int]) -> set[int]:
        """Those of the versions on the disk that shall serve."""
        if self.specific:
            return versions & self.specific
        return set(sorted(versions)[-self.latest :])


def read(root: Path) -> dict[str, tuple[str, ModelConfig]]:
    """Of each model of the file: the name of its folder, and its configuration; empty without a file.

    Base paths are those of the machine that the file was written for (a container): their last part counts.

    Raises:
        UserError: it is no ModelServerConfig.
    """
    return {model.name: (Path(model.base_path).name or model.name, _of(model)) for model in _models(root)}


def base_paths(root: Path) -> list[Path]:
    """The base paths as the file has them."""
    return [Path(model.base_path) for model in _models(root)]


def _models(root: Path) -> list:
    """The ModelConfig messages of the file."""
    path = root / FILE
    try:
        text = path.read_text(encoding="utf-8")
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise UserError(f"{path} is no ModelServerConfig ({error}); put it right or take it away") from error
    return [*config.model_config_list.config]


def _of(model) -> ModelConfig:
    policy = model.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    return ModelConfig(
        latest=0 if kind == "all" else max(1, policy.latest.num_versions),
        specific=frozenset(policy.specific.versions) if kind == "specific" else frozenset(),
        labels=dict(model.version_labels),
    )
