"""Files of samples: their names, what made them, and the same picture again.

A name that kgen chooses states the model, the class and the seed, and never stands for another model, class or seed:
what a file holds is read from the file itself (`kgen.provenance`).
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kgen import images, provenance
from kgen.content_credentials import Sign
from kgen.errors import UserError
from kgen.io import write_aside
from kgen.provenance import read_tag
from kgen.sampling.exported import version_number
from kgen.sampling.sampler import Sampler, Samples, generate
from kgen.spec import WHOLE_NUMBER, DataSpec
from kgen.tables import counted

UNSAFE = r"[^\w.-]+"
"""Characters that file names do without."""
MAX_CLASS_ROWS = 20
"""Classes that have a row each in a grid of all of them."""
SAME = ("model", "weights_hash", "prior", "seed", "label", "temperature", "all_classes")
"""What two files have in common of which one may take the other's place."""
NUMBERED = re.compile(r"\d{5,}(-.+)?\.png")
"""Names of the files of `--format png-files`."""


def generator_name(path: str | Path) -> str:
    """A name of a generator for file names: of runs/00000-cvae-digits its folder's, of exports/cvae/2 "cvae-2"."""
    if "/models/" in str(path):
        name = str(path).rstrip("/").rpartition("/models/")[2]
    else:
        path = Path(path).resolve()
        folder, stem = (path.parent, path.stem) if path.is_file() else (path, "model")
        version = version_number(folder.name) is not None
        name = f"{folder.parent.name}-{folder.name}" if version else folder.name if stem == "model" else ""
        name = "-".join(part for part in (name, stem if stem != "model" else "") if part)
    return re.sub(UNSAFE, "_", name.replace("/", "-")) or "model"


def made_by(
    sampler: Sampler, path: str | Path, command: str, *, seed: int, label: str | None, temperature: float, **more: Any
) -> dict[str, Any]:
    """What made a picture; see `kgen.provenance`.

    Args:
        sampler: that decoded it.
        path: that it was opened from.
        command: that wrote it.
        seed, label, temperature: of the samples; a label of None stands for all classes in turn, or for no classes.
        more: whatever else draws it again; None is left out.
    """
    return provenance.made_by(
        command,
        model=generator_name(path),
        weights_hash=sampler.weights_hash,
        prior=sampler.prior,
        path=str(path),
        seed=int(seed),
        label=label,
        temperature=float(temperature),
        all_classes=sampler.conditional and label is None,
        **{name: value for name, value in more.items() if value is not None},
    )


def write(
    samples: Samples,
    spec: DataSpec,
    made: Mapping[str, Any],
    form: str,
    out: str | None,
    scale: int | None,
    sign: Sign | None = None,
) -> list[str]:
    """Writes samples, and says what was written, in sentences.

    Args:
        samples: of `generate`.
        spec: of their data.
        made: see `made_by`.
        form: "png" for one grid, "png-files" for a file per image, "npz" for arrays.
        out: a file, or a folder for "png-files"; None takes a name of the model, the class and the seed.
        scale: see `images.grid`; None chooses.
        sign: of pictures, see `images.save_png`.

    Raises:
        UserError: `out` is a folder with samples of another model, class or seed.
    """
    count, removed = len(samples.images), 0
    if form == "png":
        made = {**made, "picture": "grid", "count": count, "scale": scale or images.view_scale(spec.image_shape)}
        path = images.save_png(out or _free(made, ".png", read_tag), _grid(samples, spec, made), made, sign)
    elif form == "png-files":
        path = Path(out or _free(made, "", _tag_in))
        removed = _write_files(path, samples, spec, {**made, "picture": "image", "scale": scale or 1}, sign)
    else:
        made = {**made, "count": count}
        path = _write_arrays(Path(out or _free(made, ".npz", read_tag)), samples, spec, made)
    classes = "all classes in turn, " if made["all_classes"] else f"class {made['label']}, " if made["label"] else ""
    heat = "" if made["temperature"] == 1 else f", temperature {made['temperature']:g}"
    lines = [f"wrote {path}: {counted(count, 'sample')} of {made['path']}, {classes}seed {made['seed']}{heat}"]
    return [*lines, f"removed {counted(removed, 'file')} of an earlier, larger count"] if removed else lines


def redraw(sampler: Sampler, made: Mapping[str, Any]) -> np.ndarray:
    """The picture that `made` describes, [H, W, C] uint8; the images of an .npz file, [N, H, W, C]."""
    index = made.get("index", 0)
    if made.get("seed") is None:
        raise UserError("its latent point was moved by hand: it has no seed that draws it again")
    request = {"labels": made.get("label"), "seed": made["seed"], "temperature": made["temperature"]}
    if made.get("picture") == "grid":
        return _grid(generate(sampler, made["count"], **request), sampler.spec, made)
    if "picture" not in made and "count" in made:
        return generate(sampler, made["count"], **request).pixels
    samples = generate(sampler, index + 1, **request)
    return images.enlarged(samples.pixels[index], made.get("scale", 1))


def _grid(samples: Samples, spec: DataSpec, made: Mapping[str, Any]) -> np.ndarray:
    if not made["all_classes"] or spec.num_classes > MAX_CLASS_ROWS:
        return images.grid(samples.pixels, scale=made["scale"])
    names = [spec.class_name(label) for label in range(spec.num_classes)]
    return images.class_grid(samples.pixels, names, scale=made["scale"])


def _write_files(folder: Path, samples: Samples, spec: DataSpec, made: Mapping[str, Any], sign: Sign | None) -> int:
    """Writes a file per image; removes files of the same samples beyond them, and returns how many."""
    if (known := _tag_in(folder)) is not None and not _same(known, made):
        raise UserError(f"{folder} holds samples of another model, class or seed; name another folder with --out")
    classes = [None] * len(samples.images)
    if samples.labels is not None:
        classes = [spec.class_name(label) for label in samples.labels]
    names = [f"{i:05d}{_class_part(name)}" for i, name in enumerate(classes)]
    tags = [{**made, "index": i, "label": name} for i, name in enumerate(classes)]
    written = images.save_pngs(folder, images.enlarged(samples.pixels, made["scale"]), names, tags, sign)
    stale = {path for path in _numbered(folder) if _same(read_tag(path) or {}, made)} - {*written}
    for path in stale:
        path.unlink()
    return len(stale)


def _write_arrays(path: Path, samples: Samples, spec: DataSpec, made: Mapping[str, Any]) -> Path:
    arrays = {"images": samples.pixels, "z": samples.z, "seed": samples.seed, "made": json.dumps(made, sort_keys=True)}
    if samples.labels is not None:
        arrays["labels"] = spec.numbers(samples.labels)

    def save(aside: Path):
        with open(aside, "wb") as file:
            np.savez_compressed(file, **arrays)

    return write_aside(path, save)


# Names ----------------------------------------------------------------------------------------------------------------


def _free(made: Mapping[str, Any], ending: str, tag: Callable[[Path], Mapping | None]) -> Path:
    """A name in the current folder that is free, or stands for the same samples."""
    heat = "" if made["temperature"] == 1 else f"-temperature{made['temperature']:g}"
    stem = f"samples-{made['model']}{_class_part(made['label'])}-seed{made['seed']}{heat}"
    names = (Path(f"{stem}{f'-{n}' if n > 1 else ''}{ending}") for n in range(1, 1_000_000))
    return next(path for path in names if not path.exists() or _same(tag(path) or {}, made))


def _class_part(name: str | None) -> str:
    if name is None:
        return ""
    return f"-label{name}" if WHOLE_NUMBER.fullmatch(name) else f"-{re.sub(UNSAFE, '_', name)}"


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two files hold the same samples, more or fewer of them."""
    keys = [key for key in SAME if key != "label" or not other["all_classes"]]
    return all(key in one and one[key] == other[key] for key in keys)


def _numbered(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.png") if NUMBERED.fullmatch(path.name))


def _tag_in(folder: Path) -> Mapping[str, Any] | None:
    """What made the numbered files of a folder: of one that differs from the first, {}; None without such files."""
    tags = [read_tag(path) or {} for path in _numbered(folder)]
    if not tags:
        return None
    return tags[0] if tags[0] and all(_same(tag, tags[0]) for tag in tags) else {}
