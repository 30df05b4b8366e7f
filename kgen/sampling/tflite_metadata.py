"""What a .tflite file says of itself: a JSON text in a Metadata buffer of its own, as the format has them.

The buffer changes no output; any reader of the format finds it by its name.
"""

import json
from pathlib import Path
from typing import Any

from kgen.errors import UserError

NAME = "kgen"


def with_metadata(model: bytes, values: dict[str, Any]) -> bytes:
    """A .tflite file with `values` in it."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    content = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(model), 0))
    buffer, metadata = schema.BufferT(), schema.MetadataT()
    buffer.data = list(json.dumps(values, ensure_ascii=False).encode())
    content.buffers.append(buffer)
    metadata.name, metadata.buffer = NAME, len(content.buffers) - 1
    content.metadata = [*(content.metadata or []), metadata]
    builder = flatbuffers.Builder(len(model) + len(buffer.data))
    builder.Finish(content.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What `with_metadata` put into a file.

    Raises:
        UserError: the file has none.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAsModel(bytearray(Path(path).read_bytes()), 0)
    for i in range(model.MetadataLength()):
        metadata = model.Metadata(i)
        if metadata.Name() == NAME.encode():
            return json.loads(model.Buffers(metadata.Buffer()).DataAsNumpy().tobytes())
    raise UserError(f"{path} says nothing of itself: it was not written by kgen-export, or by an old one; export again")
