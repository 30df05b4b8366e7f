"""Small shards for tests: WebDataset tars, and Parquet files as the Hugging Face hub has them."""

import io
import json
import tarfile

import pytest
from PIL import Image


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_tar(path, samples):
    """A shard of samples {field: content} called 0000, 0001 ..."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for number, fields in enumerate(samples):
            for field, content in fields.items():
                member = tarfile.TarInfo(f"{number:04d}.{field}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


def write_parquet(path, rows, names=("cat", "dog"), label="label", group=3):
    """A shard of rows (pixels, label), with the metadata of the hub."""
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    features = {"image": {"_type": "Image"}, label: {"names": list(names), "_type": "ClassLabel"}}
    kind = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    schema = arrow.schema(
        [("image", kind), (label, arrow.int64())], {"huggingface": json.dumps({"info": {"features": features}})}
    )
    images = [{"bytes": png(x), "path": None} for x, _ in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    table = arrow.table({"image": images, label: [y for _, y in rows]}, schema)
    parquet.write_table(table, path, row_group_size=group)
    return path
