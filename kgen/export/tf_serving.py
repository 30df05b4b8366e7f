"""Files for TF Serving: recorded requests in each version, and beside the exports what starts TF Serving on them all.

`kgen-serve --engine tf_serving` (kgen.serve.tf_serving) runs it on the same files.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from kgen.export.golden import Golden
from kgen.io import remove_leftovers, write_text
from kgen.sampling.exported import version_number

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
WARMUP_BATCH_SIZES = (1, 8)


def write_warmup(folder: Path, model_name: str, signatures: Sequence[str], golden: Golden):
    """Writes a recorded request for every signature and batch size.

    TF Serving (and kgen-serve) replays them before a version answers, so that no client waits for the first call.

    Args:
        folder: of the version.
        model_name: NAME in exports/NAME.
        signatures: their names.
        golden: the inputs.
    """
    from tensorflow_serving.apis import prediction_log_pb2

    (folder / WARMUP_FILE).parent.mkdir()
    with tf.io.TFRecordWriter(str(folder / WARMUP_FILE)) as writer:
        for signature in signatures:
            for size in WARMUP_BATCH_SIZES:
                log = prediction_log_pb2.PredictionLog()
                request = log.predict_log.request
                request.model_spec.name, request.model_spec.signature_name = model_name, signature
                for name, value in golden.inputs(signature).items():
                    request.inputs[name].CopyFrom(tf.make_tensor_proto(np.ascontiguousarray(value[:size])))
                writer.write(log.SerializeToString())


# Configuration --------------------------------------------------------------------------------------------------------

CONFIG = "models.config"
MOUNTED = "/models"
"""The folder inside the container of TF Serving."""

BATCHING = """\
max_batch_size { value: 64 }
batch_timeout_micros { value: 1000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 2 }
allowed_batch_sizes: 4
allowed_batch_sizes: 8
allowed_batch_sizes: 16
allowed_batch_sizes: 32
allowed_batch_sizes: 64
"""

MONITORING = """\
prometheus_config {
  enable: true
  path: "/monitoring/prometheus/metrics"
}
"""

COMPOSE = f"""\
# docker compose up: TF Serving on 8500 (gRPC) and 8501 (REST), for this machine alone
services:
  tf-serving:
    image: tensorflow/serving:2.20.0
    ports:
      - "127.0.0.1:8500:8500"
      - "127.0.0.1:8501:8501"
    volumes:
      - .:{MOUNTED}:ro
    command:
      - --model_config_file={MOUNTED}/{CONFIG}
      - --model_config_file_poll_wait_seconds=60
      - --enable_batching
      - --batching_parameters_file={MOUNTED}/batching.config
      - --monitoring_config_file={MOUNTED}/monitoring.config
"""

README = f"""\
# Exported models

Every folder here is a model as TF Serving polls it: NAME/VERSION/ is written by `kgen-export RUN --to exports/NAME`,
and appears whole. In a version:

- `saved_model.pb`, `variables/`: a SavedModel that needs neither kgen nor Keras. `manifest.json` names its signatures.
- `model.tflite`: the same in float32 for one row, for phones and browsers; `encoder.tflite` where there is an encoder;
  `SIGNATURE-float16.tflite`, `-dynamic`, `-int8`: smaller ones, from `--quantize`.
- `manifest.json`: what was exported, and how far every file deviates from the trained model. `golden.npz`: inputs, and
  the outputs of the model; `kgen-export --verify exports/NAME` compares again, on any machine.

To try: `kgen-sample exports/NAME`, or `kgen-serve exports/` (REST on 8501, gRPC on 8500, a page at http://localhost:8501).

The real TF Serving: `docker compose up` in this folder, or

    tensorflow_model_server --port=8500 --rest_api_port=8501 --model_config_file={CONFIG} \\
        --enable_batching --batching_parameters_file=batching.config --monitoring_config_file=monitoring.config

with the paths in {CONFIG} (those of the container) made your own.

    curl -d '{{"signature_name": "generate_png", "instances": [{{"label": 3, "seed": 7, "temperature": 1.0}}]}}' \\
        http://localhost:8501/v1/models/NAME:predict

A `label` is the number of a class: one of `class_numbers` in `manifest.json`, which are in the order of `class_names`
(0, 1, ... in an older manifest without them).
"""

OTHER_FILES = {
    "batching.config": BATCHING,
    "monitoring.config": MONITORING,
    "compose.yaml": COMPOSE,
    "README.md": README,
}


def exports_in(folder: Path) -> list[str]:
    """The names of the models in a folder of exports."""
    return sorted(path.name for path in folder.iterdir() if _is_export(path))


def write_server_files(folder: Path) -> bool:
    """Lists all exports of a folder in its models.config, and writes the other files where they are missing.

    Entries that were added or changed by hand (labels, version policies, other models) stay as they are. A folder that
    holds anything else is left alone, and so is a models.config that is none.

    Returns:
        Whether the files were written.
    """
    remove_leftovers(folder)
    ours = {CONFIG, *OTHER_FILES}
    if any(not (p.name.startswith(".") or p.name in ours or _is_export(p)) for p in folder.iterdir()):
        return False
    written = None
    while (text := _config_text(folder)) != written:  # another export may have appeared, and its file been written over
        write_text(folder / CONFIG, text)
        written = text
    for name, text in OTHER_FILES.items():
        if not (folder / name).exists():
            write_text(folder / name, text)
    return True


def _config_text(folder: Path) -> str:
    """What models.config should hold: an entry for each export, and what somebody else wrote there."""
    names = exports_in(folder)
    text = (folder / CONFIG).read_text(encoding="utf-8") if (folder / CONFIG).exists() else ""
    if GENERATED.fullmatch(text) or not text.strip():
        return f"model_config_list {{\n{''.join(map(_entry, names))}}}\n"
    missing = "".join(_entry(name) for name in names if name not in _listed(text))
    head, brace, tail = text.rpartition("}")
    extended = f"{head}{missing}{brace}{tail}"
    return extended if missing and {*names} <= _listed(extended) else text


def _entry(name: str) -> str:
    return (
        f'  config {{\n    name: "{name}"\n    base_path: "{MOUNTED}/{name}"\n    model_platform: "tensorflow"\n  }}\n'
    )


GENERATED = re.compile(r"model_config_list \{\n(?:" + re.escape(_entry("NAME")).replace("NAME", r'[^"\n]+') + r")*\}\n")
"""A models.config that no hand has changed."""


def _listed(text: str) -> set[str]:
    """The names of the models in the text of a models.config; none if it is not one."""
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    try:
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except text_format.ParseError:
        return set()
    return {model.name for model in config.model_config_list.config}


def _is_export(path: Path) -> bool:
    return path.is_dir() and any(
        version_number(p.name) is not None and (p / "saved_model.pb").is_file() for p in path.iterdir()
    )
