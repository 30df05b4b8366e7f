"""kgen-report: a run as one page, report.html."""

from collections.abc import Sequence
from pathlib import Path

from kgen.cli.command import Command

EXAMPLES = (
    ("kgen-report runs/00000-cvae-digits", "report.html in the run, with what was evaluated and explored since"),
    ("kgen-report runs/00000-cvae-digits --out cvae.html", "one file to share; it needs no other file and no network"),
)


def command() -> Command:
    """The command line."""
    summary = "write a run as one page: samples over time, curves, metrics with their protocols, configuration."
    cmd = Command("kgen-report", summary, EXAMPLES, ("RUN",))
    cmd.flag("Output", "string", "out", None, "File to write.", auto="report.html in the run", metavar="FILE")
    return cmd


def main(argv: Sequence[str] | None = None) -> int:
    cmd = command()

    def body(path: str):
        from kgen.io import check_writable
        from kgen.report import write_report
        from kgen.run import Run

        run = Run.open(path)
        check_writable(Path(cmd["out"]).parent if cmd["out"] else run.path, f"the report of {path}")
        out = write_report(run, cmd["out"])
        print(f"wrote {out} ({out.stat().st_size / 1e6:.2f} MB)")

    return cmd.run(body, argv)
