"""kgen-compare: one table and one page over many generators."""

from collections.abc import Sequence

from kgen.cli.command import Command
from kgen.io import check_writable
from kgen.progress import width

EXAMPLES = (
    ("kgen-compare runs/", "the runs inside: a table here, compare/compare.html with sample grids, curves.png"),
    ("kgen-compare runs/* --metrics fid,kid --sort fid", "two metrics, the best run first"),
    ("kgen-compare runs/00000-cvae-digits exports/cvae --out pages/cvae", "a run beside an export"),
    ("kgen-compare runs/* --anyway --out=", "values of different protocols in separate columns; writes nothing"),
)


def command() -> Command:
    """The command line."""
    summary = "compare runs, exports, folders with eval/ in them and .jsonl files of evaluation results."
    cmd = Command("kgen-compare", summary, EXAMPLES, ("PATH...",))
    cmd.flag("Table", "string", "metrics", None, "Metrics to show: NAME or NAME@FEATURES.", auto="all")
    cmd.flag("Table", "string", "sort", None, "Metric, or training_seconds, parameters, ..., to sort by, best first.")
    cmd.flag(
        "Table",
        "boolean",
        "anyway",
        False,
        "Show values that are not comparable in separate columns, instead of refusing them.",
    )
    cmd.flag("Output", "string", "out", "compare", "Folder for compare.csv and compare.html; empty: write neither.")
    return cmd


def main(argv: Sequence[str] | None = None) -> int:
    cmd = command()

    def body(*paths: str):
        from kgen.evaluate.compare import compare, open_targets
        from kgen.evaluate.compare_page import write

        if cmd["out"] and cmd.given("out"):
            check_writable(cmd["out"], f"--out {cmd['out']}")
        metrics = None if cmd["metrics"] is None else [word.strip() for word in cmd["metrics"].split(",")]
        compared = compare(open_targets(paths), metrics=metrics, sort=cmd["sort"], anyway=cmd["anyway"])
        print(text(compared), end="")
        if cmd["out"]:
            if not cmd.given("out"):  # the table is shown all the same
                check_writable(cmd["out"], "the comparison")
            print("".join(f"wrote {path}\n" for path in write(compared, cmd["out"])), end="")

    return cmd.run(body, argv)


def text(compared) -> str:
    """The table, who is better, what its marks mean, notes on the targets, and the protocols.

    A terminal that it does not fit shows no intervals, then letters in the table and the names above it.
    """
    from kgen.tables import render_table, wrapped

    headers, rows, marks = compared.by_measure()
    columns, names, more = width(0) or None, "", []

    def fits() -> bool:
        return not columns or max(map(len, render_table(headers, rows, marks=marks).splitlines())) <= columns

    if not fits():
        whole, (_, rows, _) = rows, compared.by_measure(intervals=False)
        more = ["The 95 % intervals beside values need a wider terminal, or a pipe."] if rows != whole else []
    if not fits():
        letters = [_letters(i) for i in range(len(compared.targets))]
        names = "".join(f"{letter}: {one.name}\n" for letter, one in zip(letters, compared.targets, strict=True)) + "\n"
        headers = [headers[0], *letters, *headers[1 + len(letters) :]]
    named = [("Note on ", compared.notes()), ("Protocol of ", compared.protocols())]
    lines = [
        *filter(None, [compared.verdict()]),
        *compared.legend(),
        *more,
        *(f"{what}{name}: {words}" for what, pairs in named for name, words in pairs),
    ]
    return names + render_table(headers, rows, marks=marks, width=columns) + "\n" + wrapped(lines, columns)


def _letters(number: int) -> str:
    """A, B, ..., Z, AA, AB, ..."""
    return (_letters(number // 26 - 1) if number >= 26 else "") + chr(ord("A") + number % 26)
