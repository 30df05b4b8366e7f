"""kgen-explore: pictures of samples of a model, of its latent space, of its training."""

from collections.abc import Sequence
from typing import get_args

from kgen.cli import data_flags
from kgen.cli.command import Command
from kgen.config import PriorName
from kgen.errors import UserError

EXAMPLES = (
    ("kgen-explore runs/00000-cvae-digits", "every picture that the model can give, in explore/ of the run"),
    ("kgen-explore runs/00000-cvae-digits --what samples,style --seed 3", "the chosen ones, of other latent points"),
    ("kgen-explore runs/00000-cvae-digits --what interpolation --between 3,17", "between two test images"),
    ("kgen-explore runs/00000-cvae-digits --what reconstructions --images mine/ --label 3", "images of your own"),
    ("kgen-explore runs/00000-cvae-digits --what page", "one HTML file that runs the decoder in a browser"),
    ("kgen-explore exports/cvae-mnist --dataset mnist --what scatter", "from an export, with real images"),
)
CHOICES = ("seed", "label", "temperature", "steps", "between", "images", "classes", "projection", "features",
           "milliseconds")  # fmt: skip


def command() -> Command:
    """The command line."""
    from kgen.explore.kinds import KINDS, PAGE

    cmd = Command("kgen-explore", "pictures of a run, an export or a server.", EXAMPLES, ("PATH",))
    cmd.flag("What", "list", "what", [], f"{', '.join([*KINDS, PAGE])}; else all pictures that the model "
             "can give (page only when it is named).")  # fmt: skip
    cmd.flag("What", "integer", "seed", 0, "The same seed gives the same pictures.", lower_bound=0)
    cmd.flag("What", "string", "label", None, "Class name or number; else all classes.")
    cmd.flag("What", "float", "temperature", 1.0, "Spread of drawn latent points.", lower_bound=0.0)
    cmd.flag("What", "enum", "prior", None, "What z is drawn from; else as the run was trained or exported.",
             enum_values=get_args(PriorName))  # fmt: skip
    cmd.flag("What", "enum", "checkpoint", "best", "Of a run.", enum_values=["best", "last"])
    cmd.flag("Pictures", "integer", "steps", 11, "Pictures of a strip.", lower_bound=2, upper_bound=100)
    cmd.flag("Pictures", "string", "between", None, "interpolation: two real images by number, 3,17, or two files.")
    cmd.flag("Pictures", "string", "images", None, "reconstructions: a folder, .zip or image file of your own.")
    cmd.flag("Pictures", "string", "classes", None, "attributes: two classes, A,B.")
    cmd.flag("Pictures", "list", "dims", [], "traversal: two latent dimensions of the plane, 0,1; else the most used.")
    cmd.flag("Pictures", "enum", "projection", "pca", "scatter: how more than two dimensions become two.",
             enum_values=["pca", "tsne"])  # fmt: skip
    cmd.flag("Pictures", "enum", "features", None, "features, neighbours: what images are compared by; else random "
             "and pixels.", enum_values=["random", "pixels", "classifier"])  # fmt: skip
    cmd.flag("Pictures", "integer", "milliseconds", 120, "A frame of a GIF.", lower_bound=20)
    cmd.flag("Data", "string", "dataset", None, "The real images; else those that the model was trained on.")
    data_flags.define(cmd, dataset=False, choice=False)
    cmd.flag("Output", "string", "out", None, "A folder; else explore/ of the run, or explore-NAME beside you.")
    return cmd


def main(argv: Sequence[str] | None = None) -> int:
    cmd = command()

    def body(path: str):
        from kgen.explore import Options, explore, explore_page
        from kgen.explore.kinds import PAGE

        options = Options(**{name: cmd[name] for name in CHOICES}, dims=_dims(cmd["dims"]))
        settings = {k: v for k, v in data_flags.settings(cmd).items() if k != "data.dataset"}
        what = [name for name in cmd["what"] if name != PAGE]
        if what or PAGE not in cmd["what"]:
            for file, picture in explore(
                path, what=what, out=cmd["out"], options=options, checkpoint=cmd["checkpoint"], prior=cmd["prior"],
                dataset=cmd["dataset"], data_settings=settings, log=print,
            ):  # fmt: skip
                print(f"wrote {file}: {picture.caption}", flush=True)
        if PAGE in cmd["what"]:
            file = explore_page(path, out=cmd["out"], checkpoint=cmd["checkpoint"], prior=cmd["prior"])
            print(f"wrote {file}: open it in a browser; it needs no server and no network")

    return cmd.run(body, argv)


def _dims(given: list[str]) -> tuple[int, int] | None:
    if not given:
        return None
    if len(given) != 2 or not all(part.strip().isdigit() for part in given):
        raise UserError(f"--dims takes two numbers, 0,1. Received: {','.join(given)!r}")
    return int(given[0]), int(given[1])
