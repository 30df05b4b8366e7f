"""The configurations: `RunConfig` is everything that a training is made of, as frozen dataclasses <-> JSON.

Each option is one line here; flags, `--help`, `--set key=value` and the tables of the guides derive from it (see
`kgen.options`).
"""

import dataclasses
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from kgen.errors import UserError
from kgen.options import (
    SETTINGS_GUIDE,
    check_ranges,
    coerce,
    defaults_of,
    documented,
    load_name,
    lookup,
    markdown_table,
    option,
    parse_count,
    parse_pair,
    parse_size,
    schema_of,
)
from kgen.registry import nearest

PriorName = Literal["standard_normal", "gaussian_mixture"]


@documented
@dataclass(frozen=True)
class DataConfig:
    """Which images, and how they are brought to one shape."""

    dataset: str = option(
        "digits",
        "Images to train on: digits (embedded), a TFDS name (tfds:NAME), or a path (folder, shards, .zip, .mat, .npz).",
        more="Also its address, gs://, s3:// or https://.",
        metavar="DATASET",
    )
    image_size: tuple[int, int] | None = option(
        None,
        "Size in pixels: 64, or height x width, 48x64.",
        auto="the size of the data",
        at_least=1,
        parse=parse_size,
        metavar="SIZE",
        takes="pixels, 64 or 48x64",
    )
    fit: Literal["crop", "pad"] = option(
        "crop", "What happens when the aspect ratio changes: crop the centre, or pad with white."
    )
    grayscale: bool = option(False, "Convert colour images to one channel.", more="ITU-R 601 luma.")
    binarize: Literal["none", "threshold", "sample"] = option(
        "none",
        "Make pixels black or white: by a threshold at 0.5, or sampled again each time an image is used.",
        more="`sample` takes a pixel's brightness as its probability of being white.",
    )
    limit: int | None = option(
        None, "Largest number of images per split.", auto="all", at_least=1, more="The seed decides which."
    )
    validation_fraction: float = option(
        0.1,
        "Share of the training images set aside when the data have no validation split.",
        at_least=0,
        below=1,
    )
    strict: bool = option(
        False,
        "Refuse data with an unreadable image instead of skipping the image.",
        more="Also data with files that look like images and are of a kind that is not read.",
    )
    max_bad_records: float = option(
        1.0,
        "Largest share of the images that may be left out because they cannot be read.",
        at_least=0,
        at_most=1,
        more="Where there are more, it ends with an error that names them.",
    )
    remote: Literal["auto", "copy", "stream"] = option(
        "auto",
        "How a set at an address is read: copied to this disk once, or streamed without a copy (shards only).",
        more="`auto` copies what fits on the disk, and streams shards that do not.",
    )
    cache: Literal["auto", "memory", "disk", "none"] = option(
        "auto",
        "Where decoded images are kept.",
        more="`none` decodes them again each epoch; `auto` takes memory where they fit.",
    )
    cache_gib: float = option(
        50.0, "Largest size of all decoded images on disk, in GiB; the oldest sets go first.", above=0
    )
    value_range: tuple[float, float] | None = option(
        None,
        "Values of black and white in the files, e.g. 0,1 or 0,255 or 0,4095 or -1,1.",
        auto="decided once for the whole set, from its types and values",
        parse=parse_pair,
        metavar="LOW,HIGH",
        takes="the values of black and white, 0,255",
        more="What lies outside is clipped; more than a few such values are refused.",
    )
    layout: str | None = option(
        None,
        "Meaning of the folders above the images, from the top down: split, class, folder (none), e.g. split/class.",
        auto="found by their names",
        metavar="PATTERN",
        takes="words with slashes between them",
    )
    labels: str | None = option(
        None,
        "File of labels, FILE or FILE:COLUMN: .csv, .tsv, .txt, .jsonl, .json, .npz or .npy; none reads none.",
        more="`:COLUMN` names a column or a JSON key of shards.",
        auto="found beside the images",
        metavar="FILE",
    )
    mat_key: str | None = option(
        None, "Variable of a .mat or .npz file that holds the images.", auto="found by its name or shape"
    )
    mat_orientation: Literal["auto", "columns", "rows", "columns_transposed", "rows_transposed"] = option(
        "auto",
        "Axis of the images in an array: the last (columns) or the first (rows); transposed: turned upright.",
        more="The transposed ones turn pictures that lie on their side. What auto takes is in the log.",
    )
    mat_image_shape: tuple[int, ...] | None = option(
        None,
        "Shape of a flattened image in a .mat or .npz file, 64x48, 64x64x3 or 3x64x64.",
        auto="a square",
        parse=parse_size,
        metavar="SIZE",
        takes="pixels, 64x64 or 64x64x3",
    )

    def __post_init__(self):
        check_ranges(self, "data.")
        if self.value_range is not None and not self.value_range[0] < self.value_range[1]:
            raise UserError(
                "data.value_range takes the value of black and the greater value of white, for example 0,255. "
                f"Received: {self.value_range}"
            )
        words = (self.layout or "split/class").split("/")
        if not all(map(re.compile("[a-z]+").fullmatch, words)) or max(words.count("split"), words.count("class")) > 1:
            raise UserError(
                "data.layout takes the meaning of the folders above the images, from the top down, with a slash "
                "between: split, class, or folder for one that means nothing, for example split/class. "
                f"Received: {self.layout!r}"
            )


SHARING_STRATEGIES = ("mirrored", "multi_worker", "tpu")
"""Those of `train.strategy` whose replicas share a batch, on CPUs too."""


EPOCHS_BELOW = 2**31
MINUTES_OF_A_YEAR = 365 * 24 * 60

EVALUATIONS = 10
"""Of the samples of a training that chooses its best checkpoint by them."""


@documented
@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained: duration, optimizer, evaluation on the way, devices, checkpoints."""

    epochs: int | None = option(
        None,
        "Passes over the training images.",
        auto="those that take --minutes, or about 4000 steps",
        above=0,
        below=EPOCHS_BELOW,
    )
    minutes: float | None = option(
        None,
        "Time that the training may take, in place of epochs: some steps are measured first.",
        auto="no limit",
        above=0,
        at_most=MINUTES_OF_A_YEAR,
        more="Schedule and averages fit themselves to the epochs that result, which config.json keeps.",
    )
    batch_size: int | Literal["auto"] | None = option(
        None,
        "Images per step, over all replicas; auto: the default, halved until a step fits into memory.",
        auto="128; less for small data sets",
        above=0,
        more="A small data set gets at least 16 images per step, so that an epoch has about 40 steps.",
        parse=parse_count,
        metavar="N|auto",
        takes="int, or auto",
    )
    learning_rate: float | None = option(
        None,
        "Learning rate; of an adversarial model, the generator's.",
        auto="the model's own; 0.001 for VAEs",
        above=0,
    )
    discriminator_learning_rate: float | None = option(
        None,
        "Learning rate of the discriminator.",
        auto="in the model's own ratio to the generator's",
        above=0,
    )
    optimizer: Literal["adam", "rmsprop", "sgd"] | None = option(
        None, "Optimizer of every network.", auto="the model's own; adam for most"
    )
    beta_1: float | None = option(
        None, "Adam: decay rate of the mean gradient.", auto="the model's own", at_least=0, below=1
    )
    beta_2: float | None = option(
        None, "Adam: decay rate of the mean squared gradient.", auto="the model's own", at_least=0, below=1
    )
    schedule: Literal["constant", "cosine"] = option(
        "constant",
        "Schedule of the learning rate; cosine falls to 0 at the end of the training.",
        more="Loshchilov & Hutter 2017.",
    )
    ema_halflife_images: float | None = option(
        None,
        "Half-life, in images, of an exponential moving average of the weights; 0: no average.",
        auto="1/20 of the training, at most 50000, for adversarial models; 0 for others",
        at_least=0,
        more="The averaged weights are those that are evaluated, sampled from and kept in checkpoints.",
    )
    ema_rampup: float | None = option(
        None,
        "Largest half-life of the average as a share of the images so far, e.g. 0.05.",
        auto="no such limit",
        above=0,
        at_most=1,
        more="Early samples are then as young as the training; Karras et al. 2020.",
    )
    validate_every: int | None = option(
        None,
        "Epochs between two evaluations of the loss on validation images.",
        auto="1; in long trainings about 200 evaluations in all",
        above=0,
        more="The last epoch is always evaluated. Test images are evaluated about ten times, and after the last epoch.",
    )
    patience: int = option(
        0,
        "Stop early after this many evaluations in a row without an improvement; 0: never.",
        at_least=0,
        more="What must improve is the validation loss, or the metric of `best_by`.",
    )

    eval_every: int | None = option(
        None,
        "Epochs between two evaluations of samples.",
        auto="ten evaluations in all where --best_by names a metric, else none",
        above=0,
        group="Evaluation",
    )
    metrics: tuple[str, ...] = option(
        ("fid",),
        "Metrics to compute then, as in kgen-eval: NAME or NAME@FEATURES.",
        group="Evaluation",
        table="kgen.evaluate.registry:METRICS",
        takes="names with commas between them",
    )
    eval_features: str | None = option(
        None,
        "Features that images are compared by, as in kgen-eval.",
        auto="classifier for data with labels, random for others",
        more="All but squeezenet: a training takes no file of weights.",
        group="Evaluation",
        flag="features",
        table="kgen.features:EXTRACTORS",
    )
    eval_count: int = option(2_000, "Samples per evaluation.", at_least=2, group="Evaluation")
    best_by: str = option(
        "loss",
        "What the best checkpoint is chosen by: loss, one of --metrics, on validation images, or auto.",
        group="Evaluation",
        more="The losses of an adversarial model choose nothing: with `loss` its best checkpoint is its last. `auto` "
        "chooses it by the first of --metrics, where features that see shapes are at hand; else it is `loss`.",
    )
    samples_every: int | None = option(
        None, "Epochs between two sample grids.", auto="about 20 grids in all", above=0, group="Evaluation"
    )
    prior: PriorName = option(
        "standard_normal",
        "What z is sampled from after the training; gaussian_mixture is fitted to the encodings.",
        group="Evaluation",
        more="A mixture needs a model with an encoder. During the training, z is sampled from the standard normal.",
    )

    strategy: Literal["auto", "one", "mirrored", "multi_worker", "tpu"] = option(
        "auto",
        "Devices that share each batch: all GPUs of this machine, else one device; or the machines of TF_CONFIG.",
        group="Performance",
        more="`mirrored`: all devices of this machine; `multi_worker`: those of all machines that TF_CONFIG names.",
    )
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = option(
        "float32", "Precision of the arithmetic.", group="Performance"
    )
    jit_compile: bool | None = option(
        None,
        "Compile the training step with XLA; --nojit_compile: never.",
        auto="on a GPU if it works there; on a CPU for all but short trainings of MLP VAEs",
        group="Performance",
    )
    steps_per_execution: int | None = option(
        None, "Optimizer steps per Python call.", auto="64, at most an epoch", above=0, group="Performance"
    )
    deterministic: bool = option(
        False,
        "Use deterministic operators, which are slower: the same command gives the same bits.",
        group="Performance",
        more="On a CPU results are mostly the same bits without it.",
    )
    logger: tuple[str, ...] = option(
        ("tensorboard",),
        "Where losses, metrics and pictures are recorded, beside the run directory.",
        group="Output",
        table="kgen.train.loggers:LOGGERS",
        takes="names with commas between them",
    )
    profile: bool = option(False, "Trace some steps for TensorBoard.", group="Performance")

    flip: Literal["off", "on", "auto"] = option(
        "off",
        "Mirror training images left to right with probability 1/2; auto: if the data set is symmetric.",
        group="Model",
        more="For small data sets. The symmetry is measured: energy distance to the mirrored images; where few images "
        "leave it open, none is mirrored.",
    )
    class_balance: float = option(
        0.0,
        "How evenly classes are drawn: 0 in proportion to their images, 1 all equally often.",
        at_least=0,
        at_most=1,
        group="Model",
        more="A class of n images is drawn in proportion to n^(1 - class_balance): 0.5 is the square root. Kang et al. "
        "2020. Needs labels, and images that are kept decoded or read in any order.",
    )
    init_from: str | None = option(
        None,
        "Run or export to start from: its architecture, and its weights where they fit.",
        metavar="RUN|EXPORT",
        group="Model",
    )
    init_discriminator: bool = option(
        False, "Also start the discriminator of a vae_gan from the encoder of that VAE.", group="Model"
    )
    freeze_layers: int = option(
        0,
        "First layers of the discriminator that stay as --init_from brings them (FreezeD).",
        at_least=0,
        group="Model",
        more="Mo et al. 2020. Of its layers with weights; their batch normalization stays, too.",
    )
    checkpoint_seconds: float = option(
        60.0, "Seconds between two checkpoints for resuming, also within an epoch.", above=0, group="Resuming"
    )
    checkpoint_steps: int | None = option(
        None, "Steps between two checkpoints for resuming.", auto="by time alone", above=0, group="Resuming"
    )
    keep: int = option(
        2,
        "Number of checkpoints for resuming that are kept.",
        at_least=2,
        group="Resuming",
        more="At least 2: an older one is there when the newest is damaged.",
    )
    on_nan: Literal["stop", "rollback"] = option(
        "stop",
        "When the loss is not finite: stop, or return once to the last checkpoint with half the learning rate.",
        group="Resuming",
    )

    def __post_init__(self):
        check_ranges(self, "train.")
        if (self.measures_samples or self.best_by == "auto") and not self.metrics:
            raise UserError(
                "train.metrics names nothing to measure; give e.g. --metrics fid, or leave out --eval_every and "
                "--best_by"
            )

    @property
    def measures_samples(self) -> bool:
        """Whether samples are evaluated during the training."""
        return self.eval_every is not None or self.best_by not in ("loss", "auto")

    def evaluated_every(self, epochs: int) -> int | None:
        """Epochs between two evaluations of samples, in a training of so many; None: there is none."""
        if self.eval_every is not None or not self.measures_samples:
            return self.eval_every
        return -(-epochs // EVALUATIONS)


@documented
@dataclass(frozen=True)
class RunConfig:
    """One training, whole: what `config.json` of a run directory holds, next to the data spec and the versions.

    `model_args` are keyword arguments of the model, whose `__init__` signature is their schema; `recipe` is the recipe
    that the settings started from (see `kgen.recipes`); `data` and `train` are configurations of their own.
    """

    model: str = option("cvae", "Model to train.", group="Model", table="kgen.models.presets:PRESETS", takes="a name")
    model_args: Mapping[str, Any] = field(default_factory=dict)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    seed: int = option(0, "Root of every random stream.", at_least=0, below=2**31, group="Training")
    recipe: str | None = None

    def __post_init__(self):
        check_ranges(self)

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types; `from_json` is its inverse."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "RunConfig":
        """Raises UserError for an unknown key or a value of another type."""
        values = dict(values)
        data = _build(DataConfig, "data", values.pop("data", {}))
        train = _build(TrainConfig, "train", values.pop("train", {}))
        return _build(cls, "", values, data=data, train=train)


FEATURE_WEIGHTS = "Weights of inception (a TF-Hub SavedModel, or pytorch-fid's .npz or .pth) or squeezenet (.h5)."
"""Help of --feature_weights."""


@documented
@dataclass(frozen=True)
class EvalConfig:
    """How a generator is evaluated. Names of metrics are checked against `kgen.evaluate.METRICS` when it is used."""

    metrics: tuple[str, ...] = option(
        (),
        "Metrics to compute: NAME, or NAME@FEATURES for other features than those of --features.",
        auto="those marked * in --help, as far as data and generator allow",
        group="Evaluation",
        table="kgen.evaluate.registry:METRICS",
        takes="names with commas between them",
    )
    features: str | None = option(
        None,
        "Features that images are compared by.",
        auto="classifier for data with labels; else efficientnet-lite0 in colour if installed, or random",
        group="Evaluation",
        table="kgen.features:EXTRACTORS",
    )
    feature_weights: str | None = option(None, FEATURE_WEIGHTS, metavar="PATH", group="Evaluation")
    split: Literal["test", "validation", "train"] | None = option(
        None,
        "Split of the real images.",
        auto="test, or else the validation split of the run; all images of a --dataset without splits of its own",
    )
    count: int = option(10_000, "Generated images per repeat.", at_least=2)
    num_real: int = option(10_000, "Largest number of real images.")
    nll_samples: int = option(
        5_000, "Importance samples per image for the metric nll.", at_least=1, more="K in the literature."
    )
    nll_images: int = option(
        1_000, "Largest number of real images for the metric nll.", at_least=2, more="A fixed random choice."
    )
    repeats: int = option(
        3,
        "Sets of images to generate, for a standard deviation.",
        at_least=1,
        more="With the seeds seed, seed + 1, ...",
    )
    seed: int = option(0, "Seed of the latent points and of random subsets.", at_least=0)
    anyway: bool = option(
        False,
        "Also report misleading values (FID of fewer images than dimensions, a cross-entropy of grey pixels).",
        more="And values by features that the model was trained with.",
    )

    def __post_init__(self):
        check_ranges(self, "--")
        if self.seed + self.repeats > 2**31:
            raise UserError(f"--seed, with the --repeats added to it, must lie in [0, 2^31). Received: {self.seed}")


@documented
@dataclass(frozen=True)
class DivergenceConfig:
    """What `kgen-divergence` estimates, and how its critics are trained."""

    estimator: Literal["jsd", "wasserstein", "both", "density"] = option("both", "What to estimate.", group="Estimate")
    density: Literal["tanh", "bimodal"] = option("tanh", "Toy density, with --estimator density.", group="Estimate")
    optimizer: Literal["adam", "sgd"] = option("adam", "Optimizer of the critics.")
    steps: int | None = option(
        None, "Training steps.", auto="250 for toy distributions, 1000 for samples, 2000 for a density", at_least=1
    )
    penalty: float = option(100.0, "Weight of the critic's gradient penalty.", at_least=1e-3)
    seed: int = option(0, "The same seed gives the same results.")

    def __post_init__(self):
        check_ranges(self, "--")


@documented
@dataclass(frozen=True)
class RequestLimits:
    """Limits of a request to `kgen-serve`."""

    max_body_bytes: int = option(16 * 2**20, "Largest body of a request, and largest tensor in it.", at_least=1)
    max_rows: int = option(1024, "Largest batch of a request.", at_least=1)
    max_depth: int = option(16, "Deepest nesting of JSON lists and objects.", at_least=1)
    max_concurrent: int = option(256, "Predictions in progress at the same time; further requests get 429.", at_least=1)
    max_seconds: float = option(60.0, "Longest time from request to answer; then 504.", at_least=0.001)
    max_header_bytes: int = option(2**15, "Largest header of a request; then 431.", at_least=64)
    header_seconds: float = option(10.0, "Longest time for a header, and for a TLS handshake; then 408.", at_least=0.01)
    idle_seconds: float = option(30.0, "Longest time between two requests of a connection.", at_least=0.01)
    max_connections: int = option(
        256, "HTTP connections of one address; a further one closes one without a request.", at_least=1
    )

    def __post_init__(self):
        check_ranges(self, "--")


@documented
@dataclass(frozen=True)
class ServeConfig:
    """Where `kgen-serve` listens, and how it joins requests into batches."""

    host: str = option("127.0.0.1", "Address to listen on; 0.0.0.0 accepts other machines.", group="Address")
    port: int = option(8501, "Port of REST; 0: any free one.", at_least=0, at_most=65535, group="Address")
    grpc_port: int = option(8500, "Port of gRPC; 0: any free one.", at_least=0, at_most=65535, group="Address")
    rest_socket_path: str | None = option(
        None, "Unix socket that REST listens on instead of a port.", group="Address", takes="a path"
    )
    grpc_socket_path: str | None = option(
        None, "Unix socket that gRPC listens on instead of a port.", group="Address", takes="a path"
    )
    ssl_certificate: str | None = option(
        None, "Certificate chain (PEM) for TLS on both ports.", group="Access", takes="a file"
    )
    ssl_key: str | None = option(None, "Its private key (PEM, not encrypted).", group="Access", takes="a file")
    token_file: str | None = option(
        None, "File of tokens, one per line; a call must show one as a bearer token.", group="Access", takes="a file"
    )
    allow_origin: tuple[str, ...] = option(
        (),
        "Origins whose web pages may call the server (CORS), e.g. https://example.org; *: all.",
        group="Access",
        takes="origins with commas between them",
    )
    allow_host: tuple[str, ...] = option(
        (),
        "Names by which the server may be called, in the header Host; *: any.",
        auto="localhost with a loopback --host, else any",
        group="Access",
        takes="names with commas between them",
    )
    poll_seconds: float = option(1.0, "Time between two looks for new versions.", at_least=0.01, group="Models")
    settle_seconds: float = option(
        3.0, "Time without a change after which a version whose manifest lists no files is whole.", at_least=0,
        group="Models",
    )  # fmt: skip
    max_batch_size: int = option(64, "Rows of a call that joins several requests; 1: join none.", at_least=1)
    batch_timeout_ms: float = option(2.0, "Longest time that a request waits for others to join.", at_least=0)
    threads: int = option(2, "Threads that run TensorFlow.", at_least=1)

    def __post_init__(self):
        check_ranges(self, "--")
        if bool(self.ssl_certificate) != bool(self.ssl_key):
            raise UserError("--ssl_certificate and --ssl_key are given together")


def _build(cls, prefix: str, values: Mapping[str, Any], **ready: Any):
    if not isinstance(values, Mapping):
        raise UserError(f"setting {prefix!r} takes an object of settings. Received: {values!r}")
    schema = schema_of(cls)
    names = {k: f"{prefix}.{k}" if prefix else k for k in values}
    return cls(**{k: coerce(names[k], v, lookup(schema, names[k], k)) for k, v in values.items()}, **ready)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names: `{"train": {"epochs": 3}}` -> `{"train.epochs": 3}`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        found |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return found


def parse_sets(pairs: Sequence[str]) -> dict[str, Any]:
    """`["model_args.beta=4"]` -> `{"model_args.beta": 4}`; values are JSON, or else words or lists of words."""
    parsed = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise UserError(f"--set takes key=value, for example --set model_args.latent_dim=2. Received: {pair!r}")
        parsed[key.strip()] = parse_value(text.strip())
    return parsed


def parse_value(text: str) -> Any:
    """JSON, or else a word or a list of words: of ["a", "b"] the shell leaves [a, b]."""
    try:
        return json.loads({"True": "true", "False": "false", "None": "null"}.get(text, text))
    except json.JSONDecodeError:
        inner = text[1:-1]
        if f"[{inner}]" != text or "[" in inner:
            return text
        return [parse_value(part.strip().strip("'")) for part in inner.split(",")]


def override(config: RunConfig, settings: Mapping[str, Any]) -> RunConfig:
    """A copy of `config` with dotted settings replaced, e.g. `{"train.epochs": 3, "model_args.beta": 4.0}`.

    Raises:
        UserError: an unknown setting, or a wrong type; model arguments are checked by `kgen.models.resolve_model_args`.
    """
    values = config.to_json()
    for setting, value in settings.items():
        section, dot, key = setting.partition(".")
        if section == "model_args" and dot:
            values["model_args"][key] = value
        elif section in ("data", "train") and dot:
            lookup(values[section], setting, key)
            values[section][key] = value
        elif setting in ("model", "seed"):
            values[setting] = value
        else:
            known = ["model", "seed", *(f"{part}.{k}" for part in ("data", "train") for k in values[part])]
            found = [name for name in known if name.partition(".")[2] == setting]
            own = found[0] if found else f"model_args.{setting.rpartition('.')[2]}"
            what = "the setting is" if found else "an argument of the model is"
            listed = f"{what} --set {own}={json.dumps(value)}; all others are listed in {SETTINGS_GUIDE}"
            raise UserError(f"unknown setting {setting!r}: {nearest(setting, found or known, listed)}")
    return RunConfig.from_json(values)


def resolve_arguments(
    model: Callable, model_args: Mapping[str, Any], preset: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """All arguments of a model's class: those given, checked against its `__init__`, and the defaults of the others.

    Args:
        model: the class.
        model_args: what was given.
        preset: defaults in place of those of the signature; those of the model's `default_args`, where it has one (see
            GenerativeModel), come before them.

    Raises:
        UserError: an unknown argument (with the nearest names), or a wrong type.
    """
    schema = schema_of(model)
    given = {k: coerce(f"model_args.{k}", v, lookup(schema, f"model_args.{k}", k)) for k, v in model_args.items()}
    args = defaults_of(model) | dict(preset or {}) | given
    following = model.default_args(args) if hasattr(model, "default_args") else {}
    return args | dict(following) | given


# Tables of the guides -------------------------------------------------------------------------------------------------

SECTIONS = {
    "run": "kgen.config:RunConfig",
    "data": "kgen.config:DataConfig",
    "train": "kgen.config:TrainConfig",
    "eval": "kgen.config:EvalConfig",
    "explore": "kgen.explore.kinds:Options",
    "serve": "kgen.config:ServeConfig",
    "limits": "kgen.config:RequestLimits",
    "divergence": "kgen.config:DivergenceConfig",
}
"""Name of a table -> the configuration that it shows, "module:name"."""


def settings_table(section: str) -> str:
    """The options of one of SECTIONS as a Markdown table; of "data" and "train" with the names that `--set` takes.

    `tools/make_guides.py` writes them into the guides.
    """
    return markdown_table(load_name(SECTIONS[section]), section if section in ("data", "train") else "")
