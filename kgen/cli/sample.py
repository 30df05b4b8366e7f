"""kgen-sample: samples images from a run, an export, a .tflite or .onnx file or a server."""

import re
from collections.abc import Sequence
from pathlib import Path

from kgen.cli import flags
from kgen.cli.command import Command
from kgen.spec import WHOLE_NUMBER

EXAMPLES = (
    ("kgen-sample runs/00000-cvae-digits", "a grid of 64, all classes in turn"),
    ("kgen-sample runs/00000-cvae-digits --count 64 --label 7 --seed 1", "64 sevens, the same whenever the seed is 1"),
    ("kgen-sample runs/00001-vae-digits --prior gaussian_mixture", "from a mixture fitted to the encodings"),
    ("kgen-sample exports/cvae --format npz --out sevens.npz", "images, labels and latent points as arrays"),
    ("kgen-sample exports/cvae/1/model.tflite --format png-files --out samples/", "a file per image"),
    ("kgen-sample exports/cvae/1/decode.onnx --label 7", "by ONNX Runtime, of kgen-export --format onnx"),
    ("kgen-sample http://localhost:8501/v1/models/cvae --label 7", "from a server; grpc://localhost:8500/... as well"),
)
UNSAFE = r"[^\w.-]"
"""Characters of class names that file names do without."""
FORMATS = ("png", "png-files", "npz")


def command() -> Command:
    """The command line."""
    cmd = Command(
        "kgen-sample", "sample images from a run, an export, a .tflite or .onnx file or a server.", EXAMPLES, ("PATH",)
    )
    cmd.flag("Sampling", "integer", "count", 64, "Number of images.", lower_bound=1)
    cmd.flag("Sampling", "string", "label", None, "Class name or number.", auto="all classes in turn")
    cmd.flag("Sampling", "integer", "seed", 0, "The same seed gives the same samples.")
    cmd.flag("Sampling", "float", "temperature", 1.0, "Factor of the latent standard deviation; below 1: more typical.")
    flags.define_generator(cmd, "Sampling")
    cmd.flag(
        "Sampling",
        "string",
        "token_file",
        None,
        "File with the bearer token that a server asks for in its first line.",
        auto="the variable KGEN_TOKEN, or none",
        metavar="PATH",
    )
    flags.define_moved_data(cmd, "Sampling")
    cmd.flag(
        "Output", "enum", "format", "png", "One PNG grid, one PNG per image, or NumPy arrays.", enum_values=FORMATS
    )
    cmd.flag(
        "Output",
        "string",
        "out",
        None,
        "File, or folder for png-files.",
        auto="samples-seedN in the current folder",
        metavar="PATH",
    )
    return cmd


def main(argv: Sequence[str] | None = None) -> int:
    cmd = command()

    def body(path: str):
        from kgen.io import check_writable
        from kgen.sampling import certified_file, check_request, described, generate, open_sampler, read_token

        out = Path(cmd["out"] or ".")
        check_writable(out if cmd["format"] == "png-files" or not cmd["out"] else out.parent, "the samples")
        request = {"labels": cmd["label"], "seed": cmd["seed"], "temperature": cmd["temperature"]}
        if (generator := described(path)) is not None:
            check_request(generator, cmd["count"], **request)
        file = certified_file(path)
        token = read_token(cmd["token_file"]) if cmd["token_file"] else None
        sampler = open_sampler(file or path, dataset=cmd["dataset"], token=token, **flags.generator_choice(cmd))
        samples = generate(sampler, cmd["count"], **request)
        columns = sampler.spec.num_classes if samples.labels is not None and cmd["label"] is None else None
        by = f" by {file}" if file else ""
        print(f"wrote {write(samples, cmd['format'], cmd['out'], columns, sampler.spec)}{by}")

    return cmd.run(body, argv)


def write(samples, form: str, out: str | None, columns: int | None, spec) -> Path:
    """Writes samples in one of FORMATS; classes have names in file names, and numbers in arrays. Returns where."""
    import numpy as np

    from kgen import images
    from kgen.io import write_aside

    stem = f"samples-seed{samples.seed}"
    if form == "png":
        return images.save_png(out or f"{stem}.png", images.grid(samples.pixels, columns))
    if form == "png-files":
        names = [""] * len(samples.pixels)
        if samples.labels is not None:
            classes = (spec.class_name(label) for label in samples.labels)
            names = [f"-label{c}" if WHOLE_NUMBER.fullmatch(c) else f"-{re.sub(UNSAFE, '_', c)}" for c in classes]
        images.save_pngs(out or stem, samples.pixels, [f"{i:05d}{name}" for i, name in enumerate(names)])
        return Path(out or stem)
    arrays = {"images": samples.pixels, "z": samples.z, "seed": samples.seed}
    if samples.labels is not None:
        arrays["labels"] = spec.numbers(samples.labels)

    def save(aside: Path):
        with open(aside, "wb") as file:
            np.savez_compressed(file, **arrays)

    return write_aside(out or f"{stem}.npz", save)
