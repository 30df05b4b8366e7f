"""Generates an image with a .tflite file of kgen-export; needs numpy and ai-edge-litert alone, as on a Raspberry Pi.

python generate.py model.tflite --label 3 --seed 7 --out three.png
"""

import argparse
import json
import struct
import zlib
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.schema_py_generated import Model


def about(file):
    """The metadata of the file: signatures, ranges, class names and more."""
    model = Model.GetRootAsModel(Path(file).read_bytes(), 0)
    for metadata in map(model.Metadata, range(model.MetadataLength())):
        if metadata.Name() == b"kgen":
            return json.loads(model.Buffers(metadata.Buffer()).DataAsNumpy().tobytes())
    raise ValueError("it has no metadata: kgen-export did not write it")


def image(file, signature, **row):
    """The image of a signature, [H, W, C], for a row of its inputs: numbers or arrays."""
    interpreter = Interpreter(model_path=str(file), num_threads=1)  # refuses other and truncated files
    values = about(file)
    signatures, ranges = values["signatures"], values["ranges"]
    if signature not in signatures:
        raise ValueError(f"it has no {signature} but {', '.join(signatures)}; take model.tflite")
    for name in filter(ranges.get, signatures[signature]):
        low, high = ranges[name]
        if row.get(name) is None or not low <= row[name] <= high:
            raise ValueError(f"it needs --{name} from {low} to {high}. Received: {row.get(name)}")
    numbers = values.get("class_numbers", [])
    if "label" in signatures[signature] and numbers and row["label"] not in numbers:
        raise ValueError(f"it needs --label of {', '.join(map(str, numbers))}. Received: {row['label']}")
    runner = interpreter.get_signature_runner(signature)
    tensors = runner.get_input_details()
    return runner(**{name: np.full(t["shape"], row[name], t["dtype"]) for name, t in tensors.items()})["images"][0]


def png(pixels):
    """[H, W, 1 or 3] uint8 as a PNG file."""
    (height, width, channels), rows = pixels.shape, b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2}[channels], 0, 0, 0)
    chunks = (b"IHDR" + header, b"IDAT" + zlib.compress(rows), b"IEND")
    framed = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="exports/NAME/VERSION/model.tflite")
    parser.add_argument("--label", type=int, help="number of a class, where the model has classes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--out", default="picture.png")
    args = parser.parse_args()
    try:
        Path(args.out).write_bytes(png(image(args.model, "generate_u8", **vars(args))))
    except (OSError, ValueError) as error:
        parser.error(f"{args.model}: {error}")
    print(f"{args.out} written")
