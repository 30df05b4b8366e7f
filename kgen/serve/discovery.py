"""What is to be served from a folder: its models, their versions, and models.config with labels and version policies.

NAME/VERSION/, as TF Serving's model base paths; models.config is what TF Serving takes as --model_config_file. Nothing
here needs TensorFlow.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR, S_ISLNK

from google.protobuf import text_format
from google.protobuf.message import Message
from tensorflow_serving.config import model_server_config_pb2

from kgen.errors import UserError
from kgen.sampling.exported import LARGEST_VERSION, version_number
from kgen.sampling.manifest import MANIFEST

MODEL_CONFIG_FILE = "models.config"
EXAMPLE = "name the folder that holds exports, e.g. kgen-serve exports/"
MOUNTED = Path("/models")
"""Where the exports are in the container that kgen-export writes models.config for; here it is the served folder."""
PLATFORM = "tensorflow"
USED = {"name", "base_path", "model_type", "model_platform", "model_version_policy", "version_labels"}
"""The fields of an entry of models.config that kgen-serve goes by."""
MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt", "model.tflite")
"""What makes a folder a version that can be loaded."""


def _to_stderr(message: str):
    print(f"kgen-serve: {message}", file=sys.stderr, flush=True)


class Notices:
    """Says what is wrong once, and once more when it is over."""

    def __init__(self, write: Callable[[str], None] = _to_stderr):
        self._write = write
        self.current: dict[tuple, str] = {}

    def tell(self, key: tuple, message: str):
        """Writes a message unless it is the last one of this key."""
        if self.current.get(key) != message:
            self.current[key] = message
            self._write(message)

    def over(self, key: tuple, message: str = ""):
        """Forgets the message of a key; writes this one if there was one."""
        if self.current.pop(key, None) and message:
            self._write(message)


# models.config --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelConfig:
    """The entry of a model in models.config.

    Args:
        latest: how many of the newest versions are served; 0 for all.
        specific: versions to serve; None for those of `latest`.
        labels: label -> version.
        unused: fields that kgen-serve makes nothing of, by name.
    """

    latest: int = 1
    specific: frozenset[int] | None = None
    labels: dict[str, int] = field(default_factory=dict)
    unused: dict[str, Message] = field(default_factory=dict)

    def select(self, versions: set[int]) -> set[int]:
        """The versions to serve, of those on the disk."""
        if self.specific is not None:
            return versions & self.specific
        return set(sorted(versions)[-self.latest :])


def read_model_config(root: Path) -> dict[str, tuple[Path, ModelConfig]] | None:
    """Name of a model -> (its base path, its entry) in models.config; None where the file sets nothing.

    A relative base path is below `root` (TF Serving's --model_config_list_root_dir). So is one below /models, the
    folder of TF Serving's container, unless this machine has it. Others are taken as they are.

    Raises:
        FileNotFoundError: there is no models.config.
        UserError: it is not a ModelServerConfig, or TF Serving would refuse it; the message names the entry.
    """
    path = root / MODEL_CONFIG_FILE
    try:
        text = path.read_text(encoding="utf-8")
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise UserError(f"{path} is not a ModelServerConfig ({error}); correct or remove it") from error
    kind = config.WhichOneof("config")
    if kind is None:
        return None
    if kind != "model_config_list":
        raise UserError(f"{path}: {kind} is not supported; list the models in model_config_list")
    models = {}
    for number, model in enumerate(config.model_config_list.config, 1):
        entry = f"{path}: entry {number} (name '{model.name}', base_path '{model.base_path}')"
        if problem := _problem(model, {*models}):
            raise UserError(f"{entry} {problem}")
        models[model.name] = (base_path(root, model.base_path), _entry(model))
    return models


def _problem(model, names: set[str]) -> str | None:
    """Why TF Serving refuses an entry."""
    tensorflow = model_server_config_pb2.ModelType.TENSORFLOW
    if not model.name:
        return "has no name, so that no request can name it; give it one"
    if model.name in names:
        return "has the name of an entry before it; each model is listed once"
    if not model.base_path:
        return "has no base_path; name the folder that holds its versions"
    if model.model_type and model.model_platform:
        return "sets both model_platform and the deprecated model_type; leave out model_type"
    if not model.model_platform and model.model_type != tensorflow:
        return f'has no model_platform; write model_platform: "{PLATFORM}"'
    if model.model_platform not in ("", PLATFORM):
        return f"has model_platform '{model.model_platform}'; only '{PLATFORM}' can be served"
    versions = [*model.model_version_policy.specific.versions, *model.version_labels.values()]
    if wrong := [version for version in versions if version < 0]:
        return f"names version {wrong[0]}; versions are from 0 to {LARGEST_VERSION}"
    return None


def base_path(root: Path, text: str) -> Path:
    """The folder of a base path in a models.config."""
    path = Path(text.removeprefix("file://"))
    if path.is_absolute() and path.is_relative_to(MOUNTED) and not path.is_dir():
        path = path.relative_to(MOUNTED)
    return root / path  # an absolute path stays as it is


def base_paths(root: Path) -> list[Path]:
    """The base paths in models.config, as they stand there."""
    config = text_format.Parse(
        (root / MODEL_CONFIG_FILE).read_text("utf-8"), model_server_config_pb2.ModelServerConfig()
    )
    return [Path(model.base_path) for model in config.model_config_list.config]


def _entry(model) -> ModelConfig:
    policy = model.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    return ModelConfig(
        latest=0 if kind == "all" else max(1, policy.latest.num_versions),
        specific=frozenset(policy.specific.versions) if kind == "specific" else None,
        labels=dict(model.version_labels),
        unused={set_.name: value for set_, value in model.ListFields() if set_.name not in USED},
    )


# Models and versions --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FoundModel:
    """A model that is to be served.

    Args:
        base: its base path.
        versions: the folders of its versions; None while the base path cannot be listed.
        config: its entry in models.config.
    """

    base: Path
    versions: dict[int, Path] | None
    config: ModelConfig = field(default_factory=ModelConfig)


def check_folder(root: Path):
    """Raises UserError unless the folder holds a model, or a models.config that lists some."""
    if not root.is_dir():
        raise UserError(f"no folder {root}; name the one that holds exports, e.g. kgen-serve exports/")
    if any((root / name).is_file() for name in MODEL_FILES):
        base = root.resolve().parent
        raise UserError(f"{root} is one version of a model; name the folder of its model, {base}, or the one above")
    if not ServedFolder(root, Notices(lambda message: None)).look():
        message = f"{root} holds no model (NAME/VERSION/saved_model.pb)"
        raise UserError(f"{message}; write one with kgen-export, or {EXAMPLE}")


class ServedFolder:
    """The models to serve from a folder, looked at again and again.

    As with TF Serving, what cannot be listed or read changes nothing: a folder that is gone for a while (a remount, a
    rename) keeps its models, and a models.config that is gone or wrong keeps what it said.

    Args:
        root: the folder.
        notices: say what is wrong.
    """

    def __init__(self, root: Path, notices: Notices):
        self.root, self._notices = root, notices
        self._listed: dict[str, tuple[Path, ModelConfig]] | None = None  # by models.config
        self._bases: dict[str, Path] = {}  # without it
        self._single = False  # whether the folder is the base path of one model

    def look(self) -> dict[str, FoundModel]:
        """The models by name.

        Raises:
            UserError: models.config is wrong, and was not read before.
        """
        try:
            children = [entry.name for entry in os.scandir(self.root) if not entry.name.startswith(".")]
            self._notices.over(("root",), f"{self.root} is back")
        except OSError as error:
            reason = error.strerror or error
            self._notices.tell(("root",), f"{self.root} cannot be listed ({reason}); what is loaded keeps serving")
            children = None
        models = self._configured(children is not None)
        if models is None:
            models = self._discovered(children)
        elif children is not None:
            self._tell_unlisted(children, models)
        return {name: self._found(name, *model, root_logged=children is None) for name, model in models.items()}

    def _configured(self, listed: bool) -> dict[str, tuple[Path, ModelConfig]] | None:
        """What models.config says, or said last; None if there was never one."""
        path, key = self.root / MODEL_CONFIG_FILE, ("config",)
        first = self._listed is None and not self._bases
        try:
            read = read_model_config(self.root)
            if read is None:
                raise UserError(f"{path} lists nothing; write a model_config_list, or remove it")
        except FileNotFoundError:
            if self._listed is not None and listed:
                self._notices.tell(key, f"{path} is gone; what it said holds until kgen-serve is started again")
        except UserError as error:
            if first:
                raise
            self._notices.tell(key, f"{error}; what is loaded keeps serving")
        else:
            self._notices.over(key, f"{path} can be read again")
            for name in {**(self._listed or {}), **self._bases}:
                if name not in read:
                    self._notices.tell(("removed", name), f"{path} does not list '{name}': it is not served any more")
            for name in read:
                self._notices.over(("removed", name))
            self._listed, self._bases = read, {}
        return self._listed

    def _discovered(self, children: list[str] | None) -> dict[str, tuple[Path, ModelConfig]]:
        """Every folder with versions, or the folder itself if it has versions that can be loaded."""
        if children is not None and not self._bases:
            own = _versions(self.root)
            self._single = any((path / name).is_file() for path in own for name in MODEL_FILES)
            if self._single:
                self._bases = {self.root.resolve().name: self.root}
        if not self._single:
            for name in sorted(children or []):
                if name not in self._bases and _versions(self.root / name):
                    self._bases[name] = self.root / name
        return {name: (base, ModelConfig()) for name, base in self._bases.items()}

    def _tell_unlisted(self, children: list[str], models: dict[str, tuple[Path, ModelConfig]]):
        """Names folders with versions that models.config does not list."""
        bases = {os.path.realpath(base) for base, _ in models.values()}
        for name in sorted(children):
            key, path = ("unlisted", name), self.root / name
            if os.path.realpath(path) not in bases and _versions(path):
                self._notices.tell(key, f"{path} is not served: {self.root / MODEL_CONFIG_FILE} does not list it")
            else:
                self._notices.over(key)

    def _found(self, name: str, base: Path, config: ModelConfig, root_logged: bool) -> FoundModel:
        key = ("base", name)
        try:
            folders = version_folders(base)
            self._notices.over(key, f"{base}, the base path of '{name}', is back")
            self._tell_doubles(name, folders)
            versions = {number: paths[-1] for number, paths in folders.items()}
        except OSError as error:
            if not root_logged or not base.is_relative_to(self.root):
                message = f"{base}, the base path of '{name}', cannot be listed ({error.strerror or error})"
                self._notices.tell(key, f"{message}; what is loaded of it keeps serving")
            versions = None
        return FoundModel(base, versions, config)

    def _tell_doubles(self, name: str, folders: dict[int, list[Path]]):
        """Names folders of one version, of which one is served."""
        doubles = {("double", name, number): paths for number, paths in folders.items() if len(paths) > 1}
        for key in [key for key in self._notices.current if key[:2] == ("double", name) and key not in doubles]:
            self._notices.over(key)
        for key, (*others, served) in doubles.items():
            ignored = ", ".join(path.name for path in others)
            message = f"{served} is version {key[2]} of '{name}'; {ignored} beside it is the same number and ignored"
            self._notices.tell(key, message)


def version_folders(base: Path) -> dict[int, list[Path]]:
    """Version -> the folders below a model base path whose name is that number; of `01` and `1` the last is served.

    Raises:
        OSError: it cannot be listed.
    """
    found: dict[int, list[Path]] = {}
    for name in sorted(entry.name for entry in os.scandir(base)):
        if (number := version_number(name)) is not None and not _is_file(base / name):
            found.setdefault(number, []).append(base / name)
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()  # a link to what is gone is none
    except OSError:
        return False


def _versions(base: Path) -> list[Path]:
    """The folders of versions below a folder; none where it is a file, or gone."""
    try:
        return [path for paths in version_folders(base).values() for path in paths]
    except OSError:
        return []


# One version ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Inspection:
    """The files of a version as they were at one moment.

    Args:
        fingerprint: their names, sizes and times: differs when one of them has changed.
        age_seconds: since the last change of any of them.
        missing: what the manifest lists and is not there, or "" if all is there; None if no manifest lists files.
    """

    fingerprint: tuple
    age_seconds: float
    missing: str | None


def inspect(path: Path) -> Inspection:
    """Looks at the files of a version. A link that leads nowhere is a change, and a missing file.

    Raises:
        OSError: one is removed at this moment, or cannot be looked at.
    """
    folders, files = [path.stat()], {}
    for part in sorted(path.rglob("*")):
        try:
            stat = part.stat()
        except OSError:
            stat = part.lstat()  # fails where it is no link
        if S_ISDIR(stat.st_mode):
            folders.append(stat)
        else:
            files[part.relative_to(path).as_posix()] = stat
    times = [when for stat in files.values() for when in (stat.st_mtime, stat.st_ctime)]
    changed = max(times + [stat.st_mtime for stat in folders])  # their ctime changes when the version is renamed
    fingerprint = tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in files.items())
    sizes = {name: stat.st_size for name, stat in files.items() if not S_ISLNK(stat.st_mode)}
    return Inspection(fingerprint, time.time() - changed, _missing(path, sizes))


def _missing(path: Path, sizes: dict[str, int]) -> str | None:
    if not (path / MANIFEST).is_file():
        return None
    try:
        files = json.loads((path / MANIFEST).read_text(encoding="utf-8"))["files"]
        expected = {name: int(about["bytes"]) for name, about in files.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    for name, size in expected.items():
        if name not in sizes and not (path / name).is_file():  # it may lie behind a link to a folder
            return f"{name} is missing"
        found = sizes.get(name, size)
        if found != size:
            return f"{name} has {found} of {size} bytes"
    return ""
