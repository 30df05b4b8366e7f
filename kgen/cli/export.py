"""kgen-export: writes a trained model as a SavedModel and .tflite files, and measures every one."""

from collections.abc import Mapping, Sequence
from typing import Any

from kgen.cli import flags
from kgen.cli.command import Command
from kgen.errors import UserError
from kgen.export import QUANTIZATIONS

EXAMPLES = (
    ("kgen-export runs/00000-cvae-digits --to exports/cvae", "writes exports/cvae/1, then /2, ..."),
    ("kgen-export runs/00000-cvae-digits --to exports/cvae --checkpoint last", "the last weights, not the best"),
    ("kgen-export runs/00000-cvae-digits --to exports/cvae --quantize float16,int8", "smaller .tflite files as well"),
    ("kgen-export --verify exports/cvae", "compare the files with their golden batch again, on any machine"),
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
    cmd.flag("Output", "string", "to", None, "exports/NAME; the next version is written in it.")
    cmd.flag("Output", "boolean", "verify", False, "Only compare an export, given as RUN, with its golden batch.")
    return cmd


def quantization_names() -> dict[str, str]:
    """Name of a quantization -> what it does."""
    return {name: kind.help for name, kind in QUANTIZATIONS.items()}


def main(argv: Sequence[str] | None = None) -> int:
    cmd = command()

    def body(path: str):
        from kgen.export.place import check_to, find_version

        if cmd["verify"]:
            find_version(path)
            from kgen.export import verify_export

            folder, measured = verify_export(path)
            print(f"{folder} agrees with the model that was trained:")
            return _show(measured)
        if not cmd["to"]:
            raise UserError("--to is missing: name where to export, e.g. --to exports/cvae")
        for name in cmd["quantize"]:
            QUANTIZATIONS[name]
        from kgen.run import Run
        from kgen.sampling import check_generator

        run = Run.open(path)
        if cmd["dataset"] is not None:
            run.move_data(cmd["dataset"])
        check_generator(run, **flags.generator_choice(cmd))
        check_to(cmd["to"])
        from kgen.export import export  # imports TensorFlow
        from kgen.sampling.exported import read_manifest

        version = export(run, cmd["to"], quantize=cmd["quantize"], **flags.generator_choice(cmd))
        manifest = read_manifest(version)
        print(f"wrote {version}: {', '.join([*manifest['files'], 'manifest.json'])}")
        _show(manifest["measured"])
        print(f"next:  kgen-sample {cmd['to']} --count 64")

    return cmd.run(body, argv)


def _show(measured: Mapping[str, Mapping[str, Any]]):
    """A line per artefact."""
    width = max(map(len, measured))
    for artefact, found in measured.items():
        psnr, pixels = found["psnr_db"], found["uint8_pixels_different"]
        images = "" if psnr is None else f", PSNR {psnr:5.1f} dB, {pixels} of {found['values']} uint8 pixels differ"
        if pixels and pixels == found["uint8_pixels_different_at_a_border"]:
            images += " (by one level, rounded at the border of two)"
        alone = f" (row by row {found['row_by_row']['max_abs_difference']:.1e})" if "row_by_row" in found else ""
        latency = f", {found['latency_ms']:.2f} ms per row" if "latency_ms" in found else ""
        print(f"  {artefact:{width}}  largest difference {found['max_abs_difference']:.1e}{alone}{images}{latency}")
