"""kgen-export: writes a trained model as a SavedModel, .tflite and .onnx files, and measures every one."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kgen.cli import flags
from kgen.cli.command import Command
from kgen.errors import ExportFailed, UserError
from kgen.export import QUANTIZATIONS
from kgen.export.formats import DYNAMIC, FORMATS, OPSETS, batch_size, check_discriminator, check_formats
from kgen.progress import show
from kgen.tables import render_table

EXAMPLES = (
    ("kgen-export runs/00000-cvae-digits --to exports/cvae", "writes exports/cvae/1, then /2, ..."),
    ("kgen-export runs/00000-cvae-digits --to exports/cvae --checkpoint last", "the last weights, not the best"),
    ("kgen-export runs/00000-cvae-digits --to exports/cvae --quantize float16,int8", "smaller .tflite files as well"),
    ("kgen-export runs/00000-cvae-digits --to exports/cvae --format onnx", "for ONNX Runtime as well"),
    ("kgen-export --verify exports/cvae", "compare the files with their golden batch again, on any machine"),
    ("kgen-export runs/00000-cvae-digits --to exports/cvae --sign key.pem", "signed, so that others know the author"),
    ("kgen-export --verify exports/cvae --public_key key.pub", "and whether the owner of this key signed it"),
)


def command() -> Command:
    """The command line."""
    cmd = Command("kgen-export", "write a run as files that need no kgen, compared with the model.", EXAMPLES, ("RUN",))
    flags.define_generator(cmd, "Export")
    flags.define_moved_data(cmd, "Export")
    cmd.flag(
        "Export",
        "list",
        "quantize",
        [],
        "Also write smaller .tflite files, one per signature.",
        names=quantization_names,
    )
    cmd.flag(
        "Export", "string", "tflite_batch", None,
        f"Also write model.tflite for batches of this size, or of any size ({DYNAMIC}).", metavar=f"N|{DYNAMIC}",
    )  # fmt: skip
    cmd.flag("Export", "list", "format", [], "Also write these.", names=lambda: dict(FORMATS))
    cmd.flag(
        "Export", "integer", "onnx_opset", OPSETS[-1], "Version of the operators of .onnx files.",
        lower_bound=OPSETS[0], upper_bound=OPSETS[-1],
    )  # fmt: skip
    cmd.flag(
        "Export", "boolean", "with_discriminator", False,
        "Also write the discriminator, in float16, for --init_from of kgen-train.",
    )  # fmt: skip
    cmd.flag(
        "Export", "string", "attribution", None, "Whom to name for the training images, and their license.",
        metavar="TEXT",
    )  # fmt: skip
    cmd.flag("Output", "string", "to", None, "exports/NAME; the next version is written in it.")
    cmd.flag("Output", "boolean", "verify", False, "Only compare an export, given as RUN, with its golden batch.")
    cmd.flag("Output", "string", "sign", None, "Sign the manifest with this Ed25519 key.", metavar="PEM")
    cmd.flag("Output", "string", "public_key", None, "With --verify: who must have signed it.", metavar="PEM")
    return cmd


def quantization_names() -> dict[str, str]:
    """Name of a quantization -> what it does."""
    return {name: kind.help for name, kind in QUANTIZATIONS.items()}


def main(argv: Sequence[str] | None = None) -> int:
    cmd = command()

    def body(path: str):
        from kgen.export.place import check_to, find_version
        from kgen.sampling.manifest import private_key, public_key

        for flag, needed in (("public_key", True), ("sign", False)):
            if cmd[flag] is not None and cmd["verify"] is not needed:
                raise UserError(f"--{flag} goes {'with' if needed else 'without'} --verify")
        if cmd["verify"]:
            return _verify(find_version(path), None if cmd["public_key"] is None else public_key(cmd["public_key"]))
        if not cmd["to"]:
            raise UserError("--to is missing: name where to export, e.g. --to exports/cvae")
        for name in cmd["quantize"]:
            QUANTIZATIONS[name]
        check_formats(cmd["format"])
        if cmd["tflite_batch"] is not None:
            batch_size(cmd["tflite_batch"])
        from kgen.run import Run
        from kgen.sampling import check_generator

        run = Run.open(path)
        if cmd["with_discriminator"]:
            check_discriminator(run.config.model)
        if cmd["dataset"] is not None:
            run.move_data(cmd["dataset"])
        check_generator(run, **flags.generator_choice(cmd))
        check_to(cmd["to"])
        key = None if cmd["sign"] is None else private_key(cmd["sign"])
        from kgen.export import export  # imports TensorFlow
        from kgen.sampling.manifest import read_manifest

        version = export(
            run,
            cmd["to"],
            quantize=cmd["quantize"],
            formats=cmd["format"],
            opset=cmd["onnx_opset"],
            tflite_batch=cmd["tflite_batch"],
            with_discriminator=cmd["with_discriminator"],
            attribution=cmd["attribution"],
            key=key,
            **flags.generator_choice(cmd),
        )
        manifest = read_manifest(version)
        show(f"wrote {version}: {', '.join([*manifest['files'], 'manifest.json'])}")
        quantized = manifest.get("quantized", [])
        small = {found["file"] for found in quantized}
        _show({name: found for name, found in manifest["measured"].items() if name.partition(" ")[0] not in small})
        if quantized:
            show(f"\n{quantized_table(quantized)}")
        print(f"\nnext:  kgen-sample {shlex.quote(cmd['to'])} --count 64")
        if quantized and all(found["refused"] for found in quantized):
            raise ExportFailed(
                f"no file of --quantize {','.join(cmd['quantize'])} is near enough to the trained model; {version} has "
                "those that are not quantized"
            )

    return cmd.run(body, argv)


def _verify(folder: Path, key: Any):
    """Verifies a version, with its manifest and hashes before TensorFlow is imported, and says what it found."""
    from kgen.export.integrity import check_files
    from kgen.sampling.manifest import is_older, signing_key

    manifest = check_files(folder, key)
    if is_older(manifest):
        show(
            f"{folder}: its manifest is of an older form without a digest: files are checked against it, but whether "
            "it was changed itself is not known; export the run again"
        )
    if key is None and (author := signing_key(manifest)):
        show(f"{folder} is signed, by the owner of {author} as it states; check that with --public_key")
    from kgen.export import verify_export

    _, measured = verify_export(folder, key=key)
    if key is not None:
        show(f"{folder} was signed with the key {signing_key(manifest)}")
    show(f"{folder} agrees with the model that was trained:")
    _show(measured)


def quantized_table(quantized: Sequence[Mapping[str, Any]]) -> str:
    """A line per quantized file, and below them why files were refused."""
    headers = ["quantized file", "bytes", "size", "PSNR", "difference", ""]
    rows = [
        [
            found["file"],
            found["bytes"],
            f"{found['share_of_float32']:.1%}",
            "-" if found["psnr_db"] is None else f"{found['psnr_db']:.1f}",
            f"{found['max_abs_difference']:.1e}",
            "refused" if found["refused"] else "kept",
        ]
        for found in quantized
    ]
    lines = ["size: of the bytes in float32; PSNR in dB, and the largest difference, from the trained model."]
    lines += [f"refused {found['file']}: {found['refused']}" for found in quantized if found["refused"]]
    return render_table(headers, rows) + "\n".join(lines)


def _show(measured: Mapping[str, Mapping[str, Any]]):
    """A line per artefact, and below them what the columns are."""
    headers = ["compared with the model", "difference", "by rows", "PSNR", "uint8", "ms"]
    rows = [
        [
            artefact,
            f"{found['max_abs_difference']:.1e}",
            f"{found['row_by_row']['max_abs_difference']:.1e}" if "row_by_row" in found else "-",
            "-" if found["psnr_db"] is None else f"{found['psnr_db']:.1f}",
            "-" if found["psnr_db"] is None else found["uint8_pixels_different"],
            f"{found['latency_ms']:.2f}" if "latency_ms" in found else "-",
        ]
        for artefact, found in measured.items()
    ]
    different = [one for one in measured.values() if one["uint8_pixels_different"]]
    at_a_border = all(one["uint8_pixels_different"] == one["uint8_pixels_different_at_a_border"] for one in different)
    pixels = " (all by one level, rounded at the border of two)" if different and at_a_border else ""
    show(
        f"\n{render_table(headers, rows)}"
        "difference: the largest of a value; by rows: the same where each row is computed alone; PSNR in dB; uint8: "
        f"values that differ as uint8{pixels}; ms: milliseconds per row."
    )
