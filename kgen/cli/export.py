"""kgen-export: writes a trained model as a SavedModel and a .tflite file, and measures both."""

import json
from collections.abc import Sequence
from typing import get_args

from kgen.cli.command import Command
from kgen.config import PriorName
from kgen.errors import UserError

EXAMPLES = (
    ("kgen-export runs/00000-cvae-digits --to exports/cvae", "writes exports/cvae/1, then /2, ..."),
    ("kgen-export runs/00000-cvae-digits --to exports/cvae --checkpoint last", "the last weights, not the best"),
)


def command() -> Command:
    """The command line."""
    cmd = Command("kgen-export", "write a run as files that need no kgen, compared with the model.", EXAMPLES, ("RUN",))
    cmd.flag("Export", "enum", "checkpoint", "best", "Which weights.", enum_values=["best", "last"])
    cmd.flag("Export", "enum", "prior", None, "What z is drawn from unless a reader says otherwise; else as the run "
             "was trained. Every mixture that the run has stored goes along.",
             enum_values=get_args(PriorName))  # fmt: skip
    cmd.flag("Output", "string", "to", None, "exports/NAME; the next version is written under it.")
    return cmd


def main(argv: Sequence[str] | None = None) -> int:
    cmd = command()

    def body(run: str):
        if not cmd["to"]:
            raise UserError("--to is missing: name where to export, e.g. --to exports/cvae")
        from kgen.export import export

        path = export(run, cmd["to"], checkpoint=cmd["checkpoint"], prior=cmd["prior"])
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        priors = "".join(f", {file.name}" for file in sorted(path.glob("prior-*.npz")))
        print(f"wrote {path}: saved_model.pb, model.tflite, manifest.json{priors}")
        for artefact, agreement in manifest["measured"].items():
            pixels = agreement["uint8_pixels_different"]
            told = "" if pixels is None else f", {pixels} of {agreement['values']} uint8 pixels differ"
            told += " (by one level, rounded at the border of two)" if pixels else ""
            print(f"  {artefact}: largest difference {agreement['max_abs_difference']:.2g}{told}")
        print(f"next:  kgen-sample {cmd['to']} --count 64")

    return cmd.run(body, argv)
