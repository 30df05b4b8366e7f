"""The served folder under its operators' hands: whatever happens to it, what is loaded serves on, and somebody is told.

Models are stand-ins here: no TensorFlow is loaded, a version is its file's text.
"""

import asyncio
import json
import shutil
from pathlib import Path

import httpx
import pytest
from tf_serving_cases import case

from kgen.config import RequestLimits, ServeConfig
from kgen.errors import UserError
from kgen.export.integrity import file_hashes
from kgen.sampling.manifest import write_manifest
from kgen.serve.app import application
from kgen.serve.discovery import MODEL_CONFIG_FILE, check_folder
from kgen.serve.metrics import Metrics
from kgen.serve.models import ModelStore, State, stated_values
from kgen.serve.predictor import Predictor
from kgen.serve.tf_serving import config_text
from kgen.serve.validation import ServingError


def add(base: Path, version: int | str = 1, text: str = "model", **manifest) -> Path:
    """A version that `Store` can load; `manifest` goes into manifest.json."""
    path = base / str(version)
    path.mkdir(parents=True, exist_ok=True)
    (path / "saved_model.pb").write_text(text)
    if manifest:
        (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def entry(base, name: str = "m", more: str = "") -> str:
    return f"config {{ name: '{name}' base_path: '{base}' model_platform: 'tensorflow' {more} }}\n"


def configure(root: Path, *entries: str):
    (root / MODEL_CONFIG_FILE).write_text(f"model_config_list {{ {' '.join(entries)} }}")


class Store(ModelStore):
    """A store in a loop of its own, whose models are texts; "bad" cannot be loaded."""

    def __init__(self, root, **settings):
        self.loads = []
        super().__init__(root, self.read, lambda name, text: text, Metrics(), **settings)

    def read(self, path: Path) -> str:
        self.loads.append(path)
        stated_values(path)
        text = (path / "saved_model.pb").read_text()
        if text == "bad":
            raise ValueError("a bad model")
        return text + ("" if (path / "manifest.json").exists() else " without manifest")

    def serving(self) -> dict[str, dict[int, str]]:
        """Name -> version -> what is loaded."""
        return {
            name: {number: self._models[name][number].servable for number in numbers}
            for name, numbers in self.available().items()
        }


def polled(store, times: int = 1):
    """What is served after so many polls."""

    async def run():
        for _ in range(times):
            await store.poll()
            await asyncio.gather(*store._retirements)
        return store.serving()

    store._polling = asyncio.Lock()
    return asyncio.run(run())


@pytest.fixture
def root(tmp_path):
    """exports/ with version 1 of the model `m`."""
    add(tmp_path / "exports" / "m")
    return tmp_path / "exports"


def lines(capsys) -> list[str]:
    return capsys.readouterr().err.splitlines()


ONE = {"m": {1: "model without manifest"}}

# -- what cannot be listed --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("configured", [False, True])
def test_the_folder_vanishes_for_a_while(root, capsys, configured):
    if configured:
        configure(root, entry("/models/m"))
    store, away = Store(root), root.with_name("away")
    assert polled(store) == ONE
    version = store.find("m")
    root.rename(away)
    assert polled(store, 3) == ONE
    assert lines(capsys) == [
        f"kgen-serve: {root} cannot be listed (No such file or directory); what is loaded keeps serving"
    ]
    root.mkdir()  # the empty mount point of a remount
    assert polled(store) == ONE
    root.rmdir()
    away.rename(root)
    assert polled(store) == ONE and store.find("m") is version and len(store.loads) == 1
    assert any("is back" in line for line in lines(capsys)) and not store.notices.current


def test_the_folder_of_one_model_vanishes(root, capsys):
    store = Store(root / "m")
    assert polled(store) == ONE
    (root / "m").rename(root / "away")
    assert polled(store, 2) == ONE and len(lines(capsys)) == 1
    (root / "away").rename(root / "m")
    assert polled(store) == ONE and len(store.loads) == 1


def test_the_folder_of_a_model_vanishes(root, capsys):
    add(root / "n", 5)
    store = Store(root)
    polled(store)
    (root / "m").rename(root.with_name("away"))
    add(root / "n", 6)
    assert polled(store, 2) == ONE | {"n": {6: "model without manifest"}}  # others go on as ever
    assert lines(capsys) == [
        f"kgen-serve: {root}/m, the base path of 'm', cannot be listed (No such file or directory); "
        "what is loaded of it keeps serving"
    ]


@case(
    "file_system_storage_path_source_test: ServableVersionDirRenamed",
)
def test_a_folder_that_is_emptied_ends_its_model(root, capsys):
    store = Store(root)
    polled(store)
    shutil.rmtree(root / "m" / "1")
    assert polled(store, 2) == {}
    assert lines(capsys) == [f"kgen-serve: {root}/m holds no version of 'm' to serve: it is unloaded"]
    add(root / "m")
    assert polled(store) == ONE


def test_a_number_beside_the_models_is_no_version_of_the_folder(root):
    store = Store(root)
    polled(store)
    add(root / "2024" / "x")
    (root / "7").mkdir()
    assert polled(store) == ONE


@pytest.mark.parametrize(
    "name", ["20260730120000123456789", str(2**63), "9" * 200, "-1", "1.0", "1e3", "٣", "v2", " 2"]
)
def test_names_that_are_no_version(root, name):
    (root / "m" / name).mkdir()
    store = Store(root)
    assert polled(store) == ONE
    assert [version.status().version for version in store.versions("m")] == [1]


@case(
    "file_system_storage_path_source_test: SpecificVersionsLeadingZeros",
    "file_system_storage_path_source_test: ParseTimestampedVersion",
    "file_system_storage_path_source_test: DuplicateVersions",
)
def test_names_that_are_versions(root, capsys):
    add(root / "m", "0012", "leading zeros")
    add(root / "m", "00012", "leading zeros")
    add(root / "m", 20170111173521, "a time stamp")
    add(root / "m", 2**63 - 1, "the largest")
    (root / "m" / "99").write_text("a file")
    configure(root, entry(root / "m", more="model_version_policy { all {} }"))
    assert {*polled(Store(root))["m"]} == {1, 12, 20170111173521, 2**63 - 1}
    configure(root, entry(root / "m", more="model_version_policy { specific { versions: 12 } }"))
    store = Store(root)
    assert polled(store, 2) == {"m": {12: "leading zeros without manifest"}}
    told = f"kgen-serve: {root}/m/0012 is version 12 of 'm'; 00012 beside it is the same number and ignored"
    assert lines(capsys) == [told, told]  # by each of the two stores once
    add(root / "m", 12, "the last in the order of names")
    assert polled(store, 2) == {"m": {12: "the last in the order of names without manifest"}}
    assert "m/12 is version 12 of 'm'; 00012, 0012 beside it" in lines(capsys)[0]
    for name in ("00012", "0012"):
        shutil.rmtree(root / "m" / name)
    polled(store)
    assert not store.notices.current


# -- models.config ----------------------------------------------------------------------------------------------------


def test_an_entry_with_nothing_to_serve_is_told(root, capsys):
    add(root / "n", 2)
    (root / "empty").mkdir()
    specific = "model_version_policy { specific { versions: 2 versions: 5 versions: 6 } }"
    add(root / "bad", 1, "bad")
    configure(
        root, entry(root / "m"), entry(root / "empty", "e"), entry(root / "n", "n", specific), entry(root / "bad", "b")
    )
    store = Store(root)
    assert polled(store, 2) == ONE | {"n": {2: "model without manifest"}}
    assert lines(capsys) == [
        f"kgen-serve: {root}/empty holds no version of 'e' to serve: nothing of it is served",
        f"kgen-serve: {root}/models.config asks for version 5, 6 of 'n', which {root}/n has not",
        "kgen-serve: b version 1 failed to load: a bad model",
    ]
    configure(root, entry(root / "m"))
    polled(store)
    assert not {("empty", "e"), ("absent", "n")} & {*store.notices.current}


def test_two_names_of_one_folder(root):
    configure(root, entry(root / "m", "a"), entry(root / "m", "b"))
    assert polled(Store(root)) == {"a": ONE["m"], "b": ONE["m"]}


@case(
    "server_core_test: AbsolutePathSucceeds",
    "server_core_test: RelativePathWithOptionsSucceeds",
    "server_core_test: AbsoluteAndRelativePathsWithOptionsSucceed",
    "file_system_storage_path_source_test: MultipleServables",
)
def test_two_folders_of_one_last_name(root, tmp_path):
    """Also outside of the served folder, in TF Serving's container, and relative (--model_config_list_root_dir)."""
    add(tmp_path / "other" / "m", 7, "other")
    add(root / "deep" / "m", 8, "deep")
    configure(root, entry("/models/m", "a"), entry(tmp_path / "other" / "m", "b"), entry("deep/m", "c"))
    served = {name: [*versions] for name, versions in polled(Store(root)).items()}
    assert served == {"a": [1], "b": [7], "c": [8]}


def test_a_base_path_that_does_not_exist(root, capsys):
    configure(root, entry("/nowhere/m", "m"), entry(root / "m", "n"))
    assert polled(Store(root), 2) == {"n": ONE["m"]}  # not the folder of the same last name
    assert "/nowhere/m, the base path of 'm', cannot be listed" in lines(capsys)[0]


def test_what_the_file_does_not_list_is_not_served(root, capsys):
    add(root / "n")
    store = Store(root)
    assert {*polled(store)} == {"m", "n"}
    configure(root, entry(root / "m"))
    assert {*polled(store, 2)} == {"m"}
    assert lines(capsys) == [
        f"kgen-serve: {root}/models.config does not list 'n': it is not served any more",
        f"kgen-serve: {root}/n is not served: {root}/models.config does not list it",
    ]
    with pytest.raises(ServingError):
        store.find("n")


@case(
    "server_core_test: CreateWaitsTillModelsAvailable",
    "server_core_test: ReloadConfigWaitsTillModelsAvailable",
    "server_core_test: ReloadConfigUnloadsModels",
    "server_core_test: ReloadConfigHandlesLoadingAPreviouslyUnloadedModel",
    "file_system_storage_path_source_test: ChangeSetOfServables",
    "tensorflow_model_server_test: testModelConfigReload",
)
def test_a_model_removed_from_the_file_and_listed_again(root):
    add(root / "n")
    configure(root, entry(root / "m"), entry(root / "n", "n"))
    store = Store(root)
    assert {*polled(store)} == {"m", "n"}
    configure(root, entry(root / "m"))
    assert {*polled(store)} == {"m"}
    configure(root, entry(root / "m"), entry(root / "n", "n"))
    assert {*polled(store)} == {"m", "n"}


@case(
    "server_core_test: ReloadConfigChangeModelBasePath",
)
def test_another_base_path(root, tmp_path):
    add(tmp_path / "other", 1, "other")
    configure(root, entry(root / "m"))
    store = Store(root)
    polled(store)
    configure(root, entry(tmp_path / "other"))
    assert polled(store) == {"m": {1: "other without manifest"}}


WRONG = {
    "no config": "is not a ModelServerConfig",
    "": "lists nothing",
    "custom_model_config {}": "custom_model_config is not supported",
    entry("/a", ""): "entry 1 (name '', base_path '/a') has no name",
    entry("/a") + entry("/b"): "entry 2 (name 'm', base_path '/b') has the name of an entry before it",
    entry(""): "entry 1 (name 'm', base_path '') has no base_path",
    "config { name: 'm' base_path: '/a' }": "(name 'm', base_path '/a') has no model_platform",
    "config { name: 'm' base_path: '/a' model_platform: 'x' }": "has model_platform 'x'; only 'tensorflow'",
    entry("/a", more="model_type: TENSORFLOW"): "sets both model_platform and the deprecated model_type",
    entry("/a", more="version_labels { key: 'l' value: -1 }"): "names version -1",
}


@case(
    "server_core_test: AbsolutePathWithEmptyPathFails",
    "server_core_test: IllegalReconfigurationToCustomConfig",
    "server_core_test: IllegalConfigModelTypeAndPlatformSet",
    "server_core_test: DuplicateModelNameInConfig",
    "server_core_test: UnknownModelPlatform",
    "tensorflow_model_server_test: testBadModelConfig",
)
@pytest.mark.parametrize(("text", "message"), WRONG.items(), ids=WRONG.values())
def test_a_file_that_tf_serving_refuses(root, capsys, text, message):
    """At the start a message; later the message, and what serves goes on."""
    file = root / MODEL_CONFIG_FILE
    good = f"model_config_list {{ {entry(root / 'm')} }}"
    file.write_text(good)
    store = Store(root)
    polled(store)
    file.write_text(f"model_config_list {{ {text} }}" if text.startswith("config {") else text)
    with pytest.raises(UserError) as raised:
        check_folder(root)
    assert message in str(raised.value)
    assert polled(store, 2) == ONE
    (line,) = lines(capsys)
    assert message in line and line.endswith("what is loaded keeps serving")
    file.write_text(good)
    assert polled(store) == ONE and lines(capsys) == [f"kgen-serve: {file} can be read again"]


def test_a_file_that_is_removed_holds(root, capsys):
    add(root / "n")
    configure(root, entry(root / "m"))
    store = Store(root)
    polled(store)
    (root / MODEL_CONFIG_FILE).unlink()
    capsys.readouterr()
    assert polled(store, 2) == ONE
    assert lines(capsys) == [
        f"kgen-serve: {root}/models.config is gone; what it said holds until kgen-serve is started again"
    ]


@case(
    "file_system_storage_path_source_test: MultipleVersionsAtTheSameTime",
    "file_system_storage_path_source_test: NLatestVersions",
    "file_system_storage_path_source_test: SpecificVersions",
    "file_system_storage_path_source_test: SpecificVersionsEmpty",
    "file_system_storage_path_source_test: DefaultVersionPolicy",
    "file_system_storage_path_source_test: DefaultNumLatestVersions",
)
@pytest.mark.parametrize(
    ("policy", "served"),
    [
        ("", [4]),
        ("latest {}", [4]),
        ("latest { num_versions: 2 }", [3, 4]),
        ("all {}", [1, 2, 3, 4]),
        ("specific { versions: 2 versions: 3 versions: 9 }", [2, 3]),
        ("specific {}", []),
    ],
)
def test_policies(root, policy, served):
    for number in (2, 3, 4):
        add(root / "m", number)
    configure(root, entry(root / "m", more=f"model_version_policy {{ {policy} }}" if policy else ""))
    assert [*polled(Store(root)).get("m", {})] == served


@case(
    "server_core_test: AssignLabelToUnavailableVersionAllowed",
    "server_core_test: AssignExistingLabelToUnavailableVersionDisallowed",
)
def test_labels_follow_versions_that_are_available(root, capsys):
    """A label of a version that is not loaded is refused to requests; one in use does not move to such a version."""
    policy = "model_version_policy { all {} }"

    def label(number):
        configure(root, entry(root / "m", more=f"{policy} version_labels {{ key: 'live' value: {number} }}"))

    label(2)
    store = Store(root)
    polled(store)
    assert lines(capsys) == ["kgen-serve: label 'live' of model 'm' is version 2, which is not available"]
    with pytest.raises(ServingError, match="version 2 of model 'm' is not available"):
        store.find("m", label="live")
    add(root / "m", 2)
    polled(store)
    assert store.find("m", label="live").number == 2
    add(root / "m", 3, "bad")
    label(3)
    polled(store, 2)
    assert store.find("m", label="live").number == 2
    stays = "kgen-serve: label 'live' of model 'm' stays on version 2: version 3 is not available"
    assert lines(capsys).count(stays) == 1
    add(root / "m", 3, "good now")
    polled(store)
    assert store.find("m", label="live").number == 3


def test_fields_that_are_ignored_are_named(root, capsys):
    logged = "logging_config { sampling_config { sampling_rate: 1 } }"
    configure(root, entry(root / "m", more=logged), entry(root / "m", "n"))
    store = Store(root)
    assert polled(store, 2) == {"m": ONE["m"], "n": ONE["m"]}
    assert lines(capsys) == [
        f"kgen-serve: {root}/models.config: the entry of 'm' sets logging_config, which kgen-serve ignores"
    ]
    assert "sampling_rate: 1" in config_text(store._folder.look())  # TF Serving, which is started on it, does not
    configure(root, entry(root / "m"))
    polled(store)
    assert not [key for key in store.notices.current if key[0] == "unused"]


@case(
    "server_core_test: DeprecatedModelTypeConfig",
    "server_core_test: RequestLoggingOff",
)
def test_the_deprecated_type_of_a_model(root):
    configure(root, f"config {{ name: 'm' base_path: '{root}/m' model_type: TENSORFLOW }}")
    assert polled(Store(root)) == ONE


@case(
    "file_system_storage_path_source_test: FilesAppearAfterStartup",
    "file_system_storage_path_source_test: MultipleVersions",
    "file_system_storage_path_source_test: ChangeVersionPolicy",
)
def test_versions_and_policies_change(root):
    shutil.rmtree(root / "m" / "1")
    configure(root, entry(root / "m"))
    store = Store(root)
    assert polled(store) == {}
    add(root / "m", 42)
    assert [*polled(store)["m"]] == [42]
    add(root / "m", 17)
    assert [*polled(store)["m"]] == [42]
    configure(root, entry(root / "m", more="model_version_policy { specific { versions: 17 } }"))
    assert [*polled(store)["m"]] == [17]


# -- whole versions ---------------------------------------------------------------------------------------------------


def whole(path: Path, **more):
    """Its manifest as kgen-export writes it."""
    files = {p.name: {"bytes": p.stat().st_size} for p in path.iterdir() if p.name != "manifest.json"}
    (path / "manifest.json").write_text(json.dumps({"files": files} | more))


def test_a_manifest_that_arrives_late(root, capsys):
    """The version is loaded without its checks, and again with them."""
    store = Store(root)
    assert polled(store) == ONE
    whole(root / "m" / "1")
    assert polled(store, 2) == {"m": {1: "model"}} and len(store.loads) == 2
    assert lines(capsys) == ["kgen-serve: m version 1 has changed and is loaded again"]


def test_files_that_arrive_after_the_manifest(root, capsys):
    new = add(root / "m", 2, "the second", files={"saved_model.pb": {"bytes": 10}, "variables": {"bytes": 3}})
    store = Store(root)
    assert polled(store, 2) == ONE
    states = {version.number: version.status() for version in store.versions("m")}
    assert states[2].state == State.START and "variables is missing" in states[2].status.error_message
    assert lines(capsys) == [
        "kgen-serve: version 2 of 'm' is not complete: variables is missing (see its manifest.json); it has to wait"
    ]
    (new / "variables").write_text("12")
    assert polled(store) == ONE and "variables has 2 of 3 bytes" in lines(capsys)[0]
    (new / "variables").write_text("123")
    assert polled(store) == {"m": {2: "the second"}}


def test_links_are_followed(root, tmp_path):
    """To a version, and to a folder in it; a link whose target is gone for a while changes nothing."""
    store_of_files = tmp_path / "store"
    version = add(store_of_files, "linked", "linked", files={"variables/index": {"bytes": 2}})
    (store_of_files / "variables").mkdir()
    (store_of_files / "variables" / "index").write_text("12")
    (version / "variables").symlink_to(store_of_files / "variables")
    (root / "m" / "2").symlink_to(version)
    store = Store(root)
    assert polled(store) == {"m": {2: "linked"}}
    store_of_files.rename(tmp_path / "away")
    assert polled(store, 2) == {"m": {2: "linked"}} and len(store.loads) == 1


def test_a_link_that_leads_nowhere(root, tmp_path, capsys):
    """In a version it is a file that is not there; in place of a version somebody is told."""
    new = add(root / "m", 2, "the second")
    (new / "unused").symlink_to("/nowhere")
    (new / "circle").symlink_to("circle")
    store = Store(root)
    assert polled(store, 2) == {"m": {2: "the second without manifest"}} and not lines(capsys)
    needed = tmp_path / "needed"
    needed.write_text("123")
    new = add(root / "m", 3, "the third", files={"saved_model.pb": {"bytes": 9}, "variables": {"bytes": 3}})
    (new / "variables").symlink_to(needed)
    needed.rename(tmp_path / "away")
    assert {*polled(store)["m"]} == {2} and "variables is missing" in lines(capsys)[0]
    (tmp_path / "away").rename(needed)
    assert polled(store) == {"m": {3: "the third"}} and not store.notices.current
    needed.rename(tmp_path / "away")  # while it serves
    assert polled(store, 2) == {"m": {3: "the third"}} and len(lines(capsys)) == 1
    (tmp_path / "away").rename(needed)
    assert polled(store) == {"m": {3: "the third"}} and not store.notices.current
    (root / "m" / "4").symlink_to("/nowhere")
    assert polled(store, 3) == {"m": {3: "the third"}}
    assert lines(capsys) == [
        "kgen-serve: version 4 of 'm' cannot be looked at ([Errno 2] No such file or directory: "
        f"'{root}/m/4'); it has to wait"
    ]
    assert "cannot be looked at" in store.versions("m", 4)[0].status().status.error_message
    (root / "m" / "4").unlink()
    polled(store)
    assert not store.notices.current


def test_what_was_told_of_a_version_goes_with_it(root):
    add(root / "m", 2, "bad")
    add(root / "m", 3, files={"variables": {"bytes": 3}})
    configure(root, entry(root / "m", more="model_version_policy { all {} }"))
    store = Store(root)
    assert polled(store) == ONE and {key[0] for key in store.notices.current} == {"load", "incomplete"}
    for number in (2, 3):
        shutil.rmtree(root / "m" / str(number))
    assert polled(store) == ONE and not store.notices.current


def test_an_older_version_serves_where_none_does(root):
    """At a start with a newest version that is not whole, or cannot be loaded."""
    add(root / "m", 3, "bad")
    add(root / "m", 4, files={"variables": {"bytes": 3}})
    store = Store(root)
    assert polled(store, 2) == ONE and len(store.loads) == 2
    add(root / "m", 3, "mended")
    add(root / "m", 2)
    assert polled(store) == ONE  # version 4 is the one to serve, when it is there
    whole(add(root / "m", 4, "the fourth"))
    assert polled(store) == {"m": {4: "the fourth"}}


def test_without_a_manifest_files_must_stand_still(root, monkeypatch):
    now = 1000.0
    monkeypatch.setattr("kgen.serve.models.time.monotonic", lambda: now)
    store = Store(root, settle_seconds=60)
    assert polled(store, 2) == {} and store.settling
    now += 59
    (root / "m" / "1" / "more").write_text("it is still copied")
    assert polled(store) == {}
    now += 59
    assert polled(store) == {} and store.settling
    now += 2
    assert polled(store) == ONE and not store.settling
    whole(add(root / "m", 2))  # says itself that it is whole
    assert polled(store) == {"m": {2: "model"}}


def test_a_change_that_cannot_be_loaded_leaves_the_old(root, capsys):
    store = Store(root)
    polled(store)
    version = store.find("m")
    add(root / "m", 1, "bad")
    assert polled(store, 3) == ONE and store.find("m") is version and len(store.loads) == 2
    assert lines(capsys) == ["kgen-serve: m version 1 has changed and failed to load, the old one serves: a bad model"]
    add(root / "m", 1, "mended")
    assert polled(store) == {"m": {1: "mended without manifest"}}
    add(root / "m", 1, "files that vanish while it serves")
    (root / "m" / "1" / "saved_model.pb").unlink()
    assert polled(store) == {"m": {1: "mended without manifest"}}


def test_a_manifest_that_has_changed_is_not_served(root, capsys):
    """Its digest is checked: one line names the version, and the old one serves."""
    new = add(root / "m", 2, "the second")
    file = write_manifest(new, {"files": file_hashes(new), "ranges": {"label": [0, 9]}})
    sealed = file.read_bytes()
    file.write_bytes(sealed.replace(b"9", b"8"))
    store = Store(root)
    assert polled(store, 3) == ONE
    (line,) = lines(capsys)
    assert line.startswith(f"kgen-serve: m version 2 failed to load: {file} has changed since the export was written")
    assert "digest is another" in store.versions("m", 2)[0].status().status.error_message
    file.write_bytes(sealed)
    assert polled(store) == {"m": {2: "the second"}} and lines(capsys) == ["kgen-serve: m version 2 is loaded"]
    file.write_bytes(sealed[:-9])  # while it serves
    assert polled(store, 3) == {"m": {2: "the second"}}
    (line,) = lines(capsys)
    assert "m version 2 has changed and failed to load, the old one serves:" in line and "is damaged" in line


@case(
    "server_core_test: ErroringModel",
)
def test_a_load_that_failed_is_tried_again(root, monkeypatch):
    """As by TF Serving: five times, a minute apart; and at once when its files change."""
    now = 1000.0
    monkeypatch.setattr("kgen.serve.models.time.monotonic", lambda: now)
    add(root / "m", 1, "bad")
    store = Store(root)
    polled(store, 3)
    assert len(store.loads) == 1
    for _ in range(10):
        now += 61
        polled(store)
    assert len(store.loads) == 6
    add(root / "m", 1, "better")
    assert polled(store) == {"m": {1: "better without manifest"}}


# -- liveness and readiness -------------------------------------------------------------------------------------------


def test_ready_is_not_alive(root):
    store = Store(root)
    transport = httpx.ASGITransport(application(Predictor(store, RequestLimits(), store._metrics), ServeConfig(), ()))

    def get(path):
        async def asked():
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.get(path)

        return asyncio.run(asked())

    def answers():
        return {path: get(path).status_code for path in ("/readyz", "/healthz", "/livez")}

    assert answers() == {"/readyz": 503, "/healthz": 503, "/livez": 200}
    assert get("/readyz").json() == {"status": "not ready", "models": {}}
    polled(store)
    assert answers() == {"/readyz": 200, "/healthz": 200, "/livez": 200}
    assert get("/readyz").json() == {"status": "ok", "models": {"m": [1]}}
    root.rename(root.with_name("away"))
    polled(store)
    assert answers()["/readyz"] == 200  # it serves on
    assert "kgen_serve_problems 1.0" in get("/metrics").text
    root.with_name("away").rename(root)
    shutil.rmtree(root / "m" / "1")
    polled(store)
    assert answers() == {"/readyz": 503, "/healthz": 503, "/livez": 200}


def test_the_health_service_names_services_and_models(root, monkeypatch):
    from kgen.serve import server as server_module

    monkeypatch.setattr(server_module.Server, "_load", lambda self, path: path)
    monkeypatch.setattr(server_module, "Servable", lambda name, loaded, **settings: loaded)

    async def run():
        server = server_module.Server(root, ServeConfig(settle_seconds=0), RequestLimits())
        found = []
        for change in (lambda: None, lambda: add(root / "n"), lambda: shutil.rmtree(root / "m" / "1")):
            change()
            await server.store.poll()
            found.append(dict(server._health._server_status))
        return found

    serving, other = 1, 2
    services = ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")
    first, second, third = asyncio.run(run())
    assert {name: first[name] for name in (*services, "m")} == dict.fromkeys((*services, "m"), serving)
    assert second["n"] == serving and second["m"] == serving
    assert third["m"] == other and third["n"] == third[""] == serving
