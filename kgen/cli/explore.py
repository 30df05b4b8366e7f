"""kgen-explore: pictures of samples of a model, of its latent space, of its training."""

from collections.abc import Sequence

from kgen.cli import flags
from kgen.cli.command import Command
from kgen.errors import UserError
from kgen.explore.kinds import KINDS, PAGE, PAGE_HELP, Options
from kgen.progress import show
from kgen.registry import nearest

EXAMPLES = (
    ("kgen-explore runs/00000-cvae-digits", "every picture that the model can give, in explore/ of the run"),
    ("kgen-explore runs/00000-cvae-digits --what samples,style --seed 3", "chosen kinds, of other latent points"),
    ("kgen-explore runs/00000-cvae-digits --what interpolation --between 3,17", "between two test images"),
    ("kgen-explore runs/00000-cvae-digits --what reconstructions --images mine/ --label 3", "images of your own"),
    ("kgen-explore runs/00000-cvae-digits --what page", "one HTML file that runs the decoder in a browser"),
    ("kgen-explore exports/cvae-mnist --dataset mnist --what scatter", "from an export, with real images"),
)


def command() -> Command:
    """The command line."""
    cmd = Command("kgen-explore", "pictures of a run, an export or a server.", EXAMPLES, ("PATH",))
    cmd.flag("Pictures", "list", "what", [], "Kinds of pictures.", auto="all that the model can give", names=kind_names)
    flags.define_generator(cmd, "Generator")
    cmd.options(Options, "Options")
    flags.define_real_images(cmd)
    cmd.flag(
        "Output",
        "string",
        "out",
        None,
        "Folder for the pictures.",
        auto="explore/ of the run, or explore-NAME in the current folder",
        metavar="FOLDER",
    )
    return cmd


def kind_names() -> dict[str, str]:
    """Name of a kind of pictures -> what it shows."""
    return {name: kind.help for name, kind in KINDS.items()} | {PAGE: PAGE_HELP}


def main(argv: Sequence[str] | None = None) -> int:
    cmd = command()

    def body(path: str):
        options, settings, generator = cmd.build(Options), flags.data_settings(cmd), flags.generator_choice(cmd)
        what = [name for name in cmd["what"] if name != PAGE]
        for name in what:
            if name not in KINDS:
                raise UserError(f"unknown picture {name!r}: {nearest(name, kind_names())}")
        from kgen.explore import explore, explore_page

        if what or PAGE not in cmd["what"]:
            for file, picture in explore(
                path,
                what=what,
                out=cmd["out"],
                options=options,
                dataset=cmd["dataset"],
                data_settings=settings,
                log=show,
                **generator,
            ):
                show(f"wrote {file}: {picture.caption}")
        if PAGE in cmd["what"]:
            file = explore_page(path, out=cmd["out"], dataset=cmd["dataset"], **generator)
            show(f"wrote {file}: open it in a browser; it needs no server and no network")

    return cmd.run(body, argv)
