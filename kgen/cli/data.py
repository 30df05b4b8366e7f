"""kgen-data: examines a data set; reports and shows what a training would see."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from kgen.cli import flags
from kgen.cli.command import Command
from kgen.config import DataConfig, RunConfig
from kgen.errors import UserError
from kgen.progress import show, width

EXAMPLES = (
    ("kgen-data mnist", "the 70,000 digits of TFDS; pictures and report.json in data-mnist/"),
    ("kgen-data photos/", "a folder of your own images, also of different sizes"),
    ("kgen-data photos/ --image_size 64 --near 0.3", "near copies by a larger distance"),
    ("kgen-data --cache", "list the decoded images that are kept on disk; kgen-data --cache clear removes them"),
    ("kgen-data shard photos/ --to shards/ --image_size 64", "write it as shards, resized once; --format tar for tars"),
    ("kgen-data faces.mat --mat_orientation rows --out look/", "check whether a .mat file was read as columns or rows"),
)


def command() -> Command:
    """The command line."""
    cmd = DataCommand(
        "kgen-data",
        "examine a data set: what a training would see, and what is wrong with it.",
        EXAMPLES,
        ("[shard]", "DATASET"),
    )
    flags.define_data(cmd, dataset=False)
    cmd.flag(
        "Data", "integer", "seed", RunConfig().seed, "Seed of the validation split and of --limit, as in kgen-train."
    )
    cmd.flag(
        "Copies",
        "float",
        "near",
        None,
        "Largest distance between near copies, in units of contrast; 0: do not search.",
        auto="0.1 for gray images, 0.2 for colour",
    )
    cmd.flag("Copies", "boolean", "near_anyway", False, "Search for near copies also among more than 200,000 images.")
    cmd.flag(
        "Output",
        "string",
        "out",
        None,
        "Folder for report.json and the pictures.",
        auto="data-NAME in the current folder",
        metavar="FOLDER",
    )
    cmd.flag(
        "Shards",
        "string",
        "to",
        None,
        "New folder, or address, for the shards of kgen-data shard DATASET.",
        metavar="FOLDER",
    )
    cmd.flag(
        "Shards",
        "enum",
        "format",
        "tfrecord",
        "TFRecord files with the description of TFDS, or tars of WebDataset.",
        enum_values=list(FORMATS),
    )
    cmd.flag("Shards", "integer", "per_shard", None, "Images per shard.", auto="those of about 128 MiB", lower_bound=1)
    return cmd


class DataCommand(Command):
    """A command line that `--cache`, `--cache list` or `--cache clear` alone make one about the cache of images."""

    def parse(self, argv: Sequence[str]) -> list[str]:
        words = " ".join(argv).replace("=", " ")
        return [words] if words in CACHE_ANSWERS else super().parse(argv)


def list_cache() -> str:
    """What is kept on disk."""
    from kgen.data import image_cache

    return image_cache.report(DataConfig().cache_gib)


def clear_cache() -> str:
    """Removes the decoded images that are kept on disk; says what was removed."""
    from kgen.data import image_cache

    return f"{image_cache.clear()}\n"


FORMATS = {"tfrecord": "TfrecordShards", "tar": "TarShards"}
"""Format of shards -> its class in `kgen.data.write_shards`."""
NOT_FOR_SHARDS = ("binarize", "validation_fraction", "cache", "cache_gib", "near", "near_anyway", "out")
"""Flags that change nothing in what shards hold."""

CACHE_ANSWERS = {"--cache": list_cache, "--cache list": list_cache, "--cache clear": clear_cache}
"""What is answered to them."""


def main(argv: Sequence[str] | None = None) -> int:
    cmd = command()

    def body(*words: str):
        dataset = words[-1]
        if len(words) > 1 or cmd["to"]:
            write_shards(cmd, words)
            return
        if dataset in CACHE_ANSWERS:
            print(CACHE_ANSWERS[dataset](), end="")
            return
        from kgen.cli.suggest import training_command
        from kgen.data.audit.report import audit_dataset, load_for_audit
        from kgen.io import check_writable

        if cmd["out"]:
            check_writable(cmd["out"], f"--out {cmd['out']}")
        config = flags.data_config(cmd, DataConfig(dataset))
        loaded, notes = load_for_audit(config, seed=cmd["seed"])
        report = audit_dataset(loaded, near=cmd["near"], anyway=cmd["near_anyway"], notes=notes)
        show("\n".join(report.lines(width(0) or None)))
        folder = Path(cmd["out"] or f"data-{report.name}")
        check_writable(folder, "the report and the pictures")
        written = write(loaded, report, folder)
        show(f"\nwrote {', '.join(map(str, written))}")
        print(f"next: {training_command(cmd, dataset, report)}")

    return cmd.run(body, argv)


def write_shards(cmd: Command, words: Sequence[str]):
    """kgen-data shard DATASET --to FOLDER.

    Raises:
        UserError: the command line says something else, or the shards cannot be written.
    """
    if len(words) < 2 or words[0] != "shard":
        raise UserError(f"takes one DATASET, or: kgen-data shard DATASET --to FOLDER. Received: {' '.join(words)}")
    if not cmd["to"]:
        raise UserError("kgen-data shard takes --to FOLDER, a new folder for the shards")
    for name in NOT_FOR_SHARDS:
        if cmd.given(name):
            raise UserError(f"--{name} changes nothing in shards; give it when they are read")
    from kgen.data import write_shards
    from kgen.file_systems import is_address
    from kgen.io import check_writable

    if not is_address(cmd["to"]):
        check_writable(cmd["to"], f"--to {cmd['to']}", "name another place")
    config = flags.data_config(cmd, DataConfig(words[1]))
    kind = getattr(write_shards, FORMATS[cmd["format"]])
    for note in write_shards.write_shards(config, cmd["to"], kind, images_per_shard=cmd["per_shard"], seed=cmd["seed"]):
        show(note)
    print(f"next: {shlex.join(['kgen-data', cmd['to']])}")


def write(dataset, report, folder: Path) -> list[Path]:
    """Writes the report and the pictures; returns where. Pictures of copies that are no longer there are removed."""
    from kgen.data.audit.contact_sheet import contact_sheet, pairs_sheet
    from kgen.images import save_png
    from kgen.io import write_json
    from kgen.provenance import drawn_by

    made = drawn_by("kgen-data", dataset=report.name)
    written = [
        write_json(folder / "report.json", report.to_json()),
        save_png(folder / "contact-sheet.png", contact_sheet(dataset), made | {"picture": "contact-sheet"}),
    ]
    pairs = pairs_sheet(dataset, report)
    if pairs is None:
        (folder / "duplicates.png").unlink(missing_ok=True)
    else:
        written.append(save_png(folder / "duplicates.png", pairs, made | {"picture": "duplicates"}))
    return written
