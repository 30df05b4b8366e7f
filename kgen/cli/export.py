"""kgen-export: writes a trained model as a SavedModel and .tflite files, and measures every one."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from kgen.cli.command import Command
from kgen.config import PriorName
from kgen.errors import UserError

EXAMPLES = (
    ("kgen-export runs/00000-cvae-digits --to exports/cvae", "writes exports/cvae/1, then /2, ..."),
    ("kgen-export runs/00000-cvae-digits --to exports/cvae --checkpoint last", "the last weights, not the best"),
    ("kgen-export runs/00000-cvae-digits --to exports/cvae --quantize float16,int8", "smaller .tflite files as well"),
    ("kgen-export --verify exports/cvae", "compares the files with their golden batch again, anywhere"),
)


def command() -> Command:
    """The command line."""
    cmd = Command("kgen-export", "write a run as files that need no kgen, compared with the model.", EXAMPLES, ("RUN",))
    cmd.flag("Export", "enum", "checkpoint", "best", "Which weights.", enum_values=["best", "last"])
    cmd.flag("Export", "enum", "prior", None, "What z is drawn from unless a reader says otherwise; else as the run "
             "was trained. Every mixture that the run has stored goes along.",
             enum_values=get_args(PriorName))  # fmt: skip
    cmd.flag("Export", "list", "quantize", [], "Smaller .tflite files, one per signature: "
             "float16, dynamic (8-bit weights), int8 (8 bits throughout).")  # fmt: skip
    cmd.flag("Output", "string", "to", None, "exports/NAME; the next version is written under it.")
    cmd.flag(
        "Output", "boolean", "verify", False, "RUN is an export: compares it with its golden batch, writes nothing."
    )
    return cmd


def main(argv: Sequence[str] | None = None) -> int:
    cmd = command()

    def body(path: str):
        if cmd["verify"]:
            from kgen.export import verify

            folder, measured = verify(path)
            print(f"{folder} agrees with the model that was trained:")
            return _show(measured)
        if not cmd["to"]:
            raise UserError("--to is missing: name where to export, e.g. --to exports/cvae")
        from kgen.export import export
        from kgen.sampling.exported import read_manifest

        options = {name: cmd[name] for name in ("checkpoint", "prior", "quantize")}
        version = export(path, cmd["to"], **options)
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
        told = "" if psnr is None else f", PSNR {psnr:5.1f} dB, {pixels} of {found['values']} uint8 pixels differ"
        if pixels and pixels == found["uint8_pixels_different_at_a_border"]:
            told += " (by one level, rounded at the border of two)"
        alone = f" (row by row {found['row_by_row']['max_abs_difference']:.1e})" if "row_by_row" in found else ""
        latency = f", {found['latency_ms']:.2f} ms per row" if "latency_ms" in found else ""
        print(f"  {artefact:{width}}  largest difference {found['max_abs_difference']:.1e}{alone}{told}{latency}")
