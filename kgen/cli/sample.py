"""kgen-sample: samples images from a run, an export, a .tflite or .onnx file or a server."""

from collections.abc import Sequence
from pathlib import Path

from kgen.cli import flags
from kgen.cli.command import Command
from kgen.errors import UserError
from kgen.progress import show

EXAMPLES = (
    ("kgen-sample runs/00000-cvae-digits", "a grid of 64, all classes in turn"),
    ("kgen-sample runs/00000-cvae-digits --count 64 --label 7 --seed 1", "64 sevens, the same whenever the seed is 1"),
    ("kgen-sample runs/00001-vae-digits --prior gaussian_mixture", "from a mixture fitted to the encodings"),
    ("kgen-sample exports/cvae --format npz --out sevens.npz", "images, labels and latent points as arrays"),
    ("kgen-sample exports/cvae/1/model.tflite --format png-files --out samples/", "a file per image"),
    ("kgen-sample exports/cvae/1/decode.onnx --label 7", "by ONNX Runtime, of kgen-export --format onnx"),
    ("kgen-sample exports/cvae --count 10 --scale 4", "each pixel four times as wide and high"),
    ("kgen-sample --describe sevens.png", "what made a picture: model, weights, seed, class"),
    ("kgen-sample --again sevens.png exports/cvae", "draws it again, and compares the pixels"),
    ("kgen-sample http://localhost:8501/v1/models/cvae --label 7", "from a server; grpc://localhost:8500/... as well"),
)
FORMATS = ("png", "png-files", "npz")


def command() -> Command:
    """The command line."""
    summary = "sample images from a run, an export, a .tflite or .onnx file or a server."
    cmd = Command("kgen-sample", summary, EXAMPLES, ("[PATH]",))
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
        auto="samples-MODEL-LABEL-seedN in the current folder",
        metavar="PATH",
    )
    cmd.flag(
        "Output",
        "integer",
        "scale",
        None,
        "Whole factor by which images are enlarged; the nearest pixel is repeated.",
        auto="1; in a grid, what makes small images 48 pixels large",
        lower_bound=1,
    )
    cmd.flag(
        "Output",
        "string",
        "c2pa",
        None,
        "Sign the pictures as made by a trained model (C2PA content credentials), with a PEM certificate and its key.",
        auto="not signed",
        metavar="CERT,KEY",
    )
    cmd.flag("A picture of kgen", "string", "describe", None, "Print what made it, and end.", metavar="PNG")
    cmd.flag(
        "A picture of kgen",
        "string",
        "again",
        None,
        "Draw it again, from PATH or from where it was drawn before, and say whether the pixels are equal; --out keeps "
        "what was drawn.",
        metavar="PNG",
    )
    return cmd


def main(argv: Sequence[str] | None = None) -> int:
    cmd = command()

    def body(path: str | None = None):
        if cmd["describe"]:
            show("\n".join(f"{name}: {value}" for name, value in tag_of(cmd["describe"]).items()))
        elif cmd["again"]:
            draw_again(cmd, path)
        elif path is None:
            raise UserError("takes PATH. Received: nothing; see kgen-sample --help")
        else:
            sample(cmd, path)

    return cmd.run(body, argv)


def sample(cmd: Command, path: str):
    """Writes what the flags ask for, and says what it was."""
    from kgen.content_credentials import signer_of
    from kgen.io import check_writable
    from kgen.mirror import local_path
    from kgen.sampling import certified_file, check_request, described, generate, is_url, made_by
    from kgen.sampling.files import write

    form, out = cmd["format"], Path(cmd["out"] or ".")
    if form == "npz" and cmd["c2pa"]:
        raise UserError("--c2pa signs pictures, and arrays are none; leave it out")
    sign = signer_of(cmd["c2pa"]) if cmd["c2pa"] else None
    if form == "npz" and cmd["scale"]:
        raise UserError("--scale enlarges pictures, and arrays hold images at their size; leave it out")
    check_writable(out if form == "png-files" or not cmd["out"] else out.parent, "the samples")
    request = {"labels": cmd["label"], "seed": cmd["seed"], "temperature": cmd["temperature"]}
    if (generator := described(path)) is not None:
        check_request(generator, cmd["count"], **request)
    file = certified_file(path)
    sampler = _open(cmd, file or path, **flags.generator_choice(cmd))
    samples = generate(sampler, cmd["count"], **request)
    asked = None if cmd["label"] is None else sampler.spec.class_name(samples.labels[0])
    checkpoint = cmd["checkpoint"] if not is_url(path) and (local_path(path) / "config.json").is_file() else None
    made = made_by(
        sampler, file or path, "kgen-sample",
        seed=cmd["seed"], label=asked, temperature=cmd["temperature"], checkpoint=checkpoint,
    )  # fmt: skip
    show("\n".join(write(samples, sampler.spec, made, form, cmd["out"], cmd["scale"], sign)))


def _open(cmd: Command, path, **choice):
    from kgen.sampling import open_sampler, read_token

    token = read_token(cmd["token_file"]) if cmd["token_file"] else None
    return open_sampler(path, dataset=cmd["dataset"], token=token, **choice)


def tag_of(picture: str) -> dict:
    """What made a picture; a UserError where it does not say."""
    from kgen.provenance import read_tag

    if not Path(picture).is_file():
        raise UserError(f"{picture} does not exist; give a PNG, GIF or .npz file that kgen wrote")
    made = read_tag(picture)
    if made is None:
        raise UserError(f"{picture} does not say what made it: kgen did not write it, or another program saved it")
    return made


def draw_again(cmd: Command, path: str | None):
    """Draws a picture again as it says that it was made, and says whether the pixels are equal."""
    import zipfile

    import numpy as np
    from PIL import Image

    from kgen.sampling import certified_file
    from kgen.sampling.files import redraw

    picture, made = cmd["again"], tag_of(cmd["again"])
    arrays = zipfile.is_zipfile(picture)
    if arrays and cmd["out"]:
        raise UserError(f"--out keeps a picture, and {picture} holds arrays; leave it out")
    if "call" in made:
        raise UserError(f"{picture} is a sheet of {made['command']}, which draws it again: {made['call']}")
    if made.get("prior") is None:
        raise UserError(
            f"{picture} was drawn by {made.get('command')} and shows no samples alone; it is not drawn again"
        )
    if made["command"] == "kgen-train":
        raise UserError(f"{picture} was drawn by a training of {made['model']}; kgen-sample RUN draws samples of it")
    path = path or made.get("path")
    if not path:
        raise UserError(f"{picture} does not say where its model is; name the run or the export after it")
    choice = {"prior": made.get("prior"), "checkpoint": made.get("checkpoint") or cmd["checkpoint"]}
    sampler = _open(cmd, certified_file(path) or path, **choice)
    known, found = made.get("weights_hash"), sampler.weights_hash
    if known and found and known != found:
        raise UserError(
            f"{picture} was drawn with weights {known}, and {path} has {found}; name the run or the export of "
            f"{made.get('model')} that has them"
        )
    again = redraw(sampler, made)
    if cmd["out"]:
        from kgen import images

        images.save_png(cmd["out"], again, made)
    if arrays:
        with np.load(picture) as file:
            pixels = file["images"]
    else:
        with Image.open(picture) as file:
            pixels = np.asarray(file)
        pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.shape != again.shape:
        show(f"{picture} differs from the picture drawn again from {path}: it has another size")
    elif np.array_equal(pixels, again):
        show(f"{picture} drawn again from {path}: all pixels are equal")
    else:
        apart = np.abs(pixels.astype(int) - again)
        words = f"{(apart > 0).sum()} of {apart.size} values, by at most {apart.max()} of 255"
        show(f"{picture} differs from the picture drawn again from {path}: {words}")
    if not (known and found):
        show("whether the weights are the same is not known: a server does not tell their hash")
