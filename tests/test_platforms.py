"""Files for platforms: they are valid by the platforms' schemas, and describe a cluster that kgen reads."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kgen.train.distribution import cluster_of

FOLDER = Path(__file__).parents[1] / "tools" / "platforms"
MANIFESTS = ("kubernetes-job.yaml", "kubeflow-trainjob.yaml")
sys.path.insert(0, str(FOLDER))
from train_and_export import hand_over, is_chief, mounted, tf_config, training_flags  # noqa: E402


def objects(name: str) -> list[dict]:
    yaml = pytest.importorskip("yaml")
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


def executable(path: Path, text: str):
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def called(tmp_path, monkeypatch):
    """Stand-ins for commands, which write what they were called with; gives what a name was called with."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    log = tmp_path / "called"
    executable(tmp_path / "bin" / "kgen-train", f'echo "$TF_CONFIG" > {log}; echo "$@" >> {log}')
    return log


def trained(log: Path) -> tuple[tuple[int, tuple[str, ...]], str]:
    """((index, addresses) of the cluster, the flags) that kgen-train was called with."""
    config, flags = log.read_text().splitlines()
    return cluster_of(config), flags


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_command_of_a_pod_knows_its_cluster(name, called):
    found = objects(name)[-1]
    spec = found["spec"]
    container = spec["trainer"] if found["kind"] == "TrainJob" else spec["template"]["spec"]["containers"][0]
    values = {"JOB_COMPLETION_INDEX": "2"} | {each["name"]: each["value"] for each in container["env"]}
    subprocess.run([*container["command"], *container["args"]], env=os.environ | values, check=True)
    (index, addresses), flags = trained(called)
    assert index == 2 and len(addresses) == len({*addresses}) == int(values["WORKERS"])
    assert (
        addresses[2]
        == {"Job": "kgen-train-2.kgen-train:2222", "TrainJob": "photos-node-0-2.photos:2222"}[found["kind"]]
    )
    assert "--strategy multi_worker --run_dir" in flags
    workers = spec["trainer"]["numNodes"] if found["kind"] == "TrainJob" else spec["completions"]
    assert int(values["WORKERS"]) == workers


def test_the_manifests_are_valid():
    validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    for each in objects(MANIFESTS[0]):
        validate.validate(each, "1.37", strict=True)


def test_the_slurm_script_knows_its_cluster(called, tmp_path):
    executable(tmp_path / "bin" / "scontrol", "echo node1; echo node2")
    executable(tmp_path / "bin" / "srun", 'SLURM_PROCID=1 exec "$@"')
    subprocess.run(["bash", FOLDER / "slurm.sh"], env=os.environ | {"SLURM_JOB_NODELIST": "node[1-2]"}, check=True)
    (index, addresses), flags = trained(called)
    assert (index, addresses) == (1, ("node1:12345", "node2:12345")) and "--restarts 20" in flags


SAGEMAKER = {
    "SM_CHANNEL_TRAINING": "/opt/ml/input/data/training", "SM_MODEL_DIR": "/opt/ml/model",
    "SM_HOSTS": '["algo-1", "algo-2"]', "SM_CURRENT_HOST": "algo-2",
}  # fmt: skip
VERTEX = {
    "AIP_CHECKPOINT_DIR": "gs://bucket/checkpoints", "AIP_MODEL_DIR": "gs://bucket/model",
    "AIP_TENSORBOARD_LOG_DIR": "gs://bucket/logs",
}  # fmt: skip


def test_sagemaker_names_data_hosts_and_the_run():
    assert cluster_of(tf_config(SAGEMAKER)) == (1, ("algo-1:2222", "algo-2:2222"))
    assert training_flags(SAGEMAKER, ["--model", "vae"]) == [
        "--model", "vae", "--dataset", "/opt/ml/input/data/training", "--run_dir", "/opt/ml/checkpoints/run",
        "--strategy", "multi_worker",
    ]  # fmt: skip
    alone = SAGEMAKER | {"SM_HOSTS": '["algo-1"]', "SM_CURRENT_HOST": "algo-1"}
    assert tf_config(alone) is None
    assert training_flags(alone, ["--dataset=mnist", "--run_dir", "x"]) == ["--dataset=mnist", "--run_dir", "x"]


def test_vertex_names_the_places_and_the_chief():
    cluster = {"chief": ["a:2222"], "worker": ["b:2222"]}
    config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 0}})
    assert tf_config({"TF_CONFIG": config}) == config and not is_chief(config)
    assert is_chief(json.dumps({"cluster": cluster, "task": {"type": "chief", "index": 0}})) and is_chief(None)
    alone = json.dumps({"cluster": {"chief": ["a:2222"]}, "task": {"type": "chief", "index": 0}})
    assert tf_config({"TF_CONFIG": alone}) is None
    assert training_flags(VERTEX, [])[-2:] == ["--run_dir", "/gcs/bucket/checkpoints/run"]
    assert mounted("gs://bucket/model") == "/gcs/bucket/model"


def test_the_model_is_left_where_the_platform_looks_for_it(called, tmp_path):
    executable(tmp_path / "bin" / "kgen-export", 'mkdir -p "$3/1" && echo "$1" > "$3/1/saved_model.pb"')
    run = tmp_path / "run"
    (run / "tensorboard").mkdir(parents=True)
    (run / "tensorboard" / "events").touch()
    places = {"SM_MODEL_DIR": "sagemaker", "AIP_MODEL_DIR": "vertex", "AIP_TENSORBOARD_LOG_DIR": "logs"}
    hand_over(str(run), {name: str(tmp_path / place) for name, place in places.items()})
    for file in ("sagemaker/kgen/1/saved_model.pb", "vertex/saved_model.pb"):
        assert (tmp_path / file).read_text() == f"{run}\n"
    assert (tmp_path / "logs" / "events").exists()
