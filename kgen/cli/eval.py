"""kgen-eval: measures a generator, and stamps every figure with how it was measured."""

from collections.abc import Sequence
from typing import get_args

from kgen.cli import data_flags
from kgen.cli.command import Command
from kgen.config import PriorName

EXAMPLES = (
    ("kgen-eval runs/00000-cvae-digits", "all that the data and the model can give, with floors and intervals"),
    ("kgen-eval runs/00000-cvae-digits --metrics fid,kid,prdc --repeats 5", "the chosen metrics, drawn five times"),
    ("kgen-eval runs/00000-vae-mnist --metrics elbo,nll", "log-likelihood: the bound, and by importance sampling"),
    ("kgen-eval exports/cvae/1/model.tflite --metrics fid", "the same figures from what is shipped"),
    ("kgen-eval photos/ --dataset mnist", "any folder of images against real ones"),
    ("kgen-eval http://localhost:8501/v1/models/cvae --dataset digits", "a served model"),
    ("kgen-eval runs/00000-cvae-digits --features inception --inception_weights inception.npz", "the usual FID"),
)

CONFIG = (
    "features", "inception_weights", "count", "num_real", "nll_samples", "nll_images", "repeats", "seed", "split",
    "anyway",
)  # fmt: skip


def command() -> Command:
    """The command line."""
    summary = "measure a run, an export, a .tflite file, a served model or a folder of images."
    cmd = Command("kgen-eval", summary, EXAMPLES, ("PATH",))
    cmd.flag("What", "list", "metrics", [], "fid, fid_infinity, kid, prdc, swd, is, label_agreement, coverage (of the "
             "classes), gan_train, memorization, reconstruction, elbo, nll, active_units; else all quick ones that "
             "apply.")  # fmt: skip
    cmd.flag("What", "enum", "features", None, "What images are compared by; else classifier where the data has "
             "labels, or random.", enum_values=["classifier", "random", "pixels", "inception"])  # fmt: skip
    cmd.flag("What", "string", "inception_weights", None, "Weights of the Inception network: a TF-Hub SavedModel, or "
             "the state dict of pytorch-fid as .npz or .pth.")  # fmt: skip
    cmd.flag("What", "enum", "checkpoint", "best", "Of a run.", enum_values=["best", "last"])
    cmd.flag("What", "enum", "prior", None, "What z is drawn from; else as the run was trained or exported. "
             "Another prior makes another generator, with figures of its own.",
             enum_values=get_args(PriorName))  # fmt: skip
    cmd.flag("Protocol", "enum", "split", None, "Of the real images; else test, or validation where there is no test "
             "split.", enum_values=["test", "validation", "train"])  # fmt: skip
    cmd.flag("Protocol", "integer", "count", 10_000, "Generated images per repeat.")
    cmd.flag("Protocol", "integer", "num_real", 10_000, "At most so many real images.")
    cmd.flag("Protocol", "integer", "nll_samples", 5_000, "Draws an image, K, for metric nll.")
    cmd.flag("Protocol", "integer", "nll_images", 1_000, "At most so many real images for it.")
    cmd.flag("Protocol", "integer", "repeats", 3, "How often images are drawn anew, for a standard deviation.")
    cmd.flag("Protocol", "integer", "seed", 0, "The same seed gives the same figures.")
    cmd.flag("Protocol", "boolean", "anyway", False, "Also figures that mislead (FID of fewer images than dimensions, "
             "a cross-entropy of grey pixels).")  # fmt: skip
    cmd.flag("Data", "string", "dataset", None, "The real images; else those that the run was trained on.")
    data_flags.define(cmd, dataset=False, choice=False)
    cmd.flag("Output", "string", "out", None, "A .jsonl file; else in eval/ of the run or export, or beside you.")
    return cmd


def main(argv: Sequence[str] | None = None) -> int:
    cmd = command()

    def body(path: str):
        from kgen.evaluate import EvalConfig, evaluate
        from kgen.evaluate.tables import eval_table

        config = EvalConfig(
            metrics=tuple(cmd["metrics"]),
            **{name: cmd[name] for name in CONFIG},
        )
        settings = {k: v for k, v in data_flags.settings(cmd).items() if k != "data.dataset"}
        results, out = evaluate(
            path, config, dataset=cmd["dataset"], data_settings=settings, checkpoint=cmd["checkpoint"],
            prior=cmd["prior"], out=cmd["out"],
        )  # fmt: skip
        print(eval_table(results), end="")
        print(f"wrote {out}")

    return cmd.run(body, argv)
