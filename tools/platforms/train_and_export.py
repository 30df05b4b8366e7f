"""Trains and exports where Vertex AI or SageMaker has started this process, as their environment variables say.

    python tools/platforms/train_and_export.py --model dcgan --image_size 64 [other flags of kgen-train]

| variable | of | use |
|---|---|---|
| SM_CHANNEL_TRAINING, SM_CHANNEL_TRAIN | SageMaker | --dataset, where none is given |
| SM_HOSTS, SM_CURRENT_HOST | SageMaker | TF_CONFIG of several hosts |
| SM_MODEL_DIR | SageMaker | the export, as kgen/1, which its TensorFlow Serving image takes |
| CLUSTER_SPEC, TF_CONFIG | Vertex AI | several workers; TF_CONFIG is used as it is |
| AIP_CHECKPOINT_DIR | Vertex AI | the run directory |
| AIP_MODEL_DIR | Vertex AI | the export: saved_model.pb in it, which its prediction image takes |
| AIP_TENSORBOARD_LOG_DIR | Vertex AI | a copy of the run's tensorboard/ |

gs:// places of Vertex AI are used as its mounted folders, /gcs/BUCKET. SageMaker copies /opt/ml/checkpoints, the run
directory there, to its bucket while a spot machine trains, and brings it back. Every flag that is given wins.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

SAGEMAKER_CHECKPOINTS = "/opt/ml/checkpoints"
PORT = 2222


def mounted(place: str) -> str:
    """gs://BUCKET/x -> /gcs/BUCKET/x."""
    return place.replace("gs://", "/gcs/", 1)


def tf_config(environ: Mapping[str, str]) -> str | None:
    """TF_CONFIG of this process; None where it trains alone."""
    if "TF_CONFIG" in environ:
        cluster = json.loads(environ["TF_CONFIG"]).get("cluster", {})
        return environ["TF_CONFIG"] if sum(map(len, cluster.values())) > 1 else None
    hosts = json.loads(environ.get("SM_HOSTS", "[]"))
    if len(hosts) < 2:
        return None
    cluster = {"worker": [f"{host}:{PORT}" for host in hosts]}
    task = {"type": "worker", "index": hosts.index(environ["SM_CURRENT_HOST"])}
    return json.dumps({"cluster": cluster, "task": task})


def training_flags(environ: Mapping[str, str], given: Sequence[str]) -> list[str]:
    """The flags of kgen-train: those that are given, and what the platform says about the others."""
    named = {word.partition("=")[0] for word in given}
    channel = environ.get("SM_CHANNEL_TRAINING") or environ.get("SM_CHANNEL_TRAIN")
    checkpoints = mounted(environ["AIP_CHECKPOINT_DIR"]) if "AIP_CHECKPOINT_DIR" in environ else SAGEMAKER_CHECKPOINTS
    wanted = {
        "--dataset": channel,
        "--run_dir": str(Path(checkpoints) / "run"),
        "--strategy": "multi_worker" if tf_config(environ) else None,
    }
    return [*given, *(word for flag, value in wanted.items() if value and flag not in named for word in (flag, value))]


def is_chief(config: str | None) -> bool:
    if config is None:
        return True
    task, cluster = (json.loads(config)[key] for key in ("task", "cluster"))
    return task["index"] == 0 and (task["type"] == "chief" or "chief" not in cluster)


def hand_over(run: str, environ: Mapping[str, str]):
    """Exports a run to where the platform looks for the model, and copies its TensorBoard files."""
    if (place := environ.get("AIP_TENSORBOARD_LOG_DIR")) and (Path(run) / "tensorboard").is_dir():
        shutil.copytree(Path(run) / "tensorboard", mounted(place), dirs_exist_ok=True)
    if place := environ.get("SM_MODEL_DIR"):
        _call("kgen-export", run, "--to", str(Path(place) / "kgen"))
    if place := environ.get("AIP_MODEL_DIR"):
        exported = Path(run) / "export"
        _call("kgen-export", run, "--to", str(exported))
        newest = max((each for each in exported.iterdir() if each.name.isdigit()), key=lambda each: int(each.name))
        shutil.copytree(newest, mounted(place), dirs_exist_ok=True)


def _call(*command: str, **kwargs) -> None:
    ended = subprocess.run(command, **kwargs)
    if ended.returncode:
        sys.exit(ended.returncode)


def main():
    flags, config = training_flags(os.environ, sys.argv[1:]), tf_config(os.environ)
    environment = {key: value for key, value in os.environ.items() if key != "TF_CONFIG"}
    _call("kgen-train", *flags, env=environment | ({"TF_CONFIG": config} if config else {}))
    if is_chief(config):
        hand_over(next(flags[i + 1] for i, word in enumerate(flags) if word == "--run_dir"), os.environ)


if __name__ == "__main__":
    main()
