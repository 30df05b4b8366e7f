"""GenerativeModel and Phase: what every model shares, written once.

A model is a game of phases. A VAE has one (minimize the negative ELBO), a GAN has two. Each phase has the networks
whose weights it may change, an optimizer and its metrics. A subclass defines `phases` and `generate`, and `encode` if
it can; compilation, the training step, its random streams and exact resuming are here.
"""

import contextlib
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kgen import images as pixels
from kgen.errors import UserError
from kgen.models import train_function
from kgen.models.ema import WeightAverages
from kgen.models.optimizers import preset_optimizers
from kgen.models.presets import PRESETS
from kgen.random import replica_seed, stateless_normal, stateless_uniform
from kgen.registry import nearest
from kgen.spec import DataSpec

GRADIENT = "_gradient"
"""Suffix of the name of a metric that is the norm of a phase's gradient."""


@dataclass(frozen=True)
class Phase:
    """One player's move: a loss, and the networks that minimize it.

    Attributes:
        name: names its optimizer and (when there are several phases) prefixes its metrics.
        terms: (images, labels, training) -> {"loss": [B], ...}: per-example terms; "loss" is minimized.
        networks: layers and models; their weights are the only ones that this phase may change.
        reports: the keys of the terms, in the order of display.
        repeats: moves per training step; each sees real images of its own.
    """

    name: str
    terms: Callable[..., Mapping[str, Any]]
    networks: tuple[keras.layers.Layer, ...]
    reports: tuple[str, ...] = ("loss",)
    repeats: int = 1

    @property
    def weights(self) -> list:
        """The trainable weights that this phase may change."""
        return [w for network in self.networks for w in network.trainable_variables]


class GenerativeModel(keras.Model):
    """Base of all models.

    A subclass builds its networks in `__init__` (whose keyword arguments are the schema of `model_args`), and defines
    its game in `phases`, its images in `generate`, and, if it can, its encoding in `encode`.

    Args:
        spec: of the data; sizes the networks.
        conditional: `generate` and `encode` need labels.
        seed: root of the initial weights and of the training noise.
        name: of the preset that it was built from, e.g. "wgan_gp"; see `kgen.models.build_model`.

    Attributes:
        latent_shape: of z without the batch.
        prior: distribution of z: "standard_normal".
        conditional: `generate` and `encode` need labels.
        code_dim: length of what is encoded: the leading entries of z. Where z also holds the noise of every pixel, that
            noise follows.
        has_encoder: it has `encode` and `posterior`.
        has_likelihood: it has `nll`, so that its likelihood can be measured.
        levels: number of values of a pixel where `nll` is a probability (with respect to the counting measure); None
            where it is a density of pixels in [0, 1], and in models without a likelihood.
        rounds: `nll` rounds pixels to those levels, and so is a probability for any image.
        latent_network: name of the attribute with the network that takes z: "decoder" or "generator".
        step: number of training steps taken; a weight, so that noise and schedules resume where they stopped.
        failed_step: the first step whose loss was not finite, or -1.
        tracks_gradients: the norm of each phase's gradient is a metric of the training.
        stop_asked: () -> whether `fit` should return as soon as it can.
        steps_taken: is called with the number of steps that were taken, every second or so.
        agreed: value of this worker -> the largest of all workers.
        averages: exponential moving averages of weights, if compiled with `ema_momentum`.
    """

    has_encoder = False
    has_likelihood = False
    levels: int | None = None
    rounds = False
    code_dim: int
    latent_network: str
    tracks_gradients = False
    prior = "standard_normal"
    latent_shape: tuple[int, ...] = ()

    def __init__(self, spec: DataSpec, *, conditional: bool = False, seed: int = 0, name: str | None = None):
        super().__init__(name=name)
        if conditional and not spec.num_classes:
            known = PRESETS.get(self.name)
            unconditional = f"--model {known.unconditional} or " if known and known.conditional else ""
            raise UserError(
                f"model {self.name!r} needs labels, but data set {spec.name!r} has num_classes=0; "
                f"use {unconditional}a labelled data set"
            )
        self.conditional = conditional
        self.spec = spec
        self.seed = seed
        self.built = True  # networks are built in __init__
        self.step = self._counter("step", 0)
        self.failed_step = self._counter("failed_step", -1)
        self.phase_optimizers: dict[str, keras.optimizers.Optimizer] = {}
        self.trackers: dict[str, keras.metrics.Mean] = {}
        self.averages: WeightAverages | None = None
        self.steps_per_graph = 1
        self._repeat, self._evaluates = 0, False
        self._jit_steps, self._jit_replicas, self.evaluation_step = False, False, None
        self._epoch_steps, self._epoch_taken, self._skipped = None, 0, 0
        self.stop_asked, self.agreed = lambda: False, lambda value: value
        self.timed, self.steps_taken = contextlib.nullcontext, lambda count: None

    def _counter(self, name: str, start: int):
        return self.add_weight(
            shape=(), dtype="int64", initializer=keras.initializers.Constant(start), trainable=False, name=name,
            autocast=False, aggregation="only_first_replica",
        )  # fmt: skip

    # To define in a subclass ----------------------------------------------------------------------------------------

    @classmethod
    def default_args(cls, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """Defaults that follow from other arguments, for those that were not given.

        Args:
            args: those given, and the defaults of preset and signature for the others.
        """
        return {}

    @classmethod
    def decided_args(cls, args: Mapping[str, Any], spec: DataSpec) -> Mapping[str, Any]:
        """The arguments with a value in place of each "auto".

        Args:
            args: all of them.
            spec: of the data.
        """
        return args

    def phases(self) -> tuple[Phase, ...]:
        """The moves of one training step, in order."""
        raise NotImplementedError(f"{type(self).__name__} must define phases()")

    def generate(self, z, labels=None):
        """Images from latent points; pure: all randomness is in z.

        Args:
            z: [B, *latent_shape] float32.
            labels: [B] int32, for a conditional model.

        Returns:
            [B, H, W, C] float32 in [0, 1].
        """
        raise NotImplementedError(f"{type(self).__name__} must define generate()")

    # Networks -------------------------------------------------------------------------------------------------------

    @property
    def networks(self) -> list[keras.layers.Layer]:
        """Every network of every phase, once."""
        return list(dict.fromkeys(network for phase in self.phases() for network in phase.networks))

    def frozen_networks(self) -> list[keras.layers.Layer]:
        """Networks whose weights no step changes, built without these weights, so that their parameters are counted."""
        return []

    @property
    def averaged_networks(self) -> list[keras.layers.Layer]:
        """Networks whose weights are averaged (EMA): those that sampling and evaluation use."""
        return self.networks

    @property
    def parameters(self) -> int:
        """Number of weights of its networks."""
        return sum(self.network_parameters.values())

    @property
    def network_parameters(self) -> dict[str, int]:
        """Name of each network -> number of its weights."""
        return {network.name: network.count_params() for network in self.networks}

    def weights_hash(self) -> str:
        """16 hex digits of the weights of its networks: the same for a run, its checkpoint and its exports."""
        digest = hashlib.blake2b(digest_size=8)
        for weight in (w for network in self.networks for w in network.weights):
            values = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
            digest.update(f"{values.dtype} {values.shape};".encode() + values.tobytes())
        return digest.hexdigest()

    def with_labels(self, x, labels):
        """The input of a network: x, or [x, labels] in a conditional model."""
        if not self.conditional:
            return x
        if labels is None:
            raise UserError(f"model {self.name!r} is conditional: give labels, one per image")
        return [tf.convert_to_tensor(x), tf.convert_to_tensor(labels)]

    # Randomness -----------------------------------------------------------------------------------------------------

    def noise(self, shape, *names: str, training: bool = True):
        """Standard normal noise that differs for every step, repeat of a phase, name and replica.

        In an evaluation it depends on the position of the batch alone, so that two evaluations of the same weights
        agree exactly.

        Args:
            shape: of the noise.
            names: of the random stream; part of its seed, so a renamed stream changes every number.
            training: False in an evaluation.
        """
        return tf.cast(stateless_normal(shape, self._stream(names, training)), keras.config.floatx())

    def uniform(self, shape, *names: str, training: bool = True):
        """Noise from U(0, 1); otherwise as `noise`."""
        return tf.cast(stateless_uniform(shape, self._stream(names, training)), keras.config.floatx())

    def _stream(self, names: tuple[str, ...], training: bool):
        """The seed of one call."""
        place = self.step if training else next((t.count for t in self.trackers.values()), 0)
        stream = "noise" if training else "evaluation noise"
        repeat = (self._repeat,) if self._repeat else ()
        return replica_seed(self.seed, tf.convert_to_tensor(place), stream, *names, *repeat)

    # Compiling ------------------------------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: keras.optimizers.Optimizer | Mapping[str, keras.optimizers.Optimizer] | None = None,
        *,
        steps_per_execution: int = 1,
        jit_compile: bool = False,
        steps_per_graph: int | None = None,
        ema_momentum: float | None = None,
        ema_rampup: float | None = None,
        **kwargs,
    ):
        """Assigns an optimizer to each phase.

        Args:
            optimizer: a dict from phase to optimizer; one optimizer for a model of one phase; None takes those of the
                preset that the model is named by.
            steps_per_execution: training steps per Python call.
            jit_compile: compile the step with XLA. Of several replicas each compiles its gradients alone: TensorFlow
                2.21 refuses a whole step ("Trying to access resource … located in device … CPU:1 from device … CPU:0").
                A model with batch normalization, spectral normalization or dropout, whose variables the replicas change
                together, is then not compiled.
            steps_per_graph: with `jit_compile`, most steps that one XLA program loops over; more than one is faster
                where a step is of small matrix products, and far slower with convolutions.
            ema_momentum: of the averages of the weights of `averaged_networks`; None: no averages.
            ema_rampup: their half-life is at most this share of the steps so far; None: no such limit.

        Raises:
            UserError: a phase without an optimizer, or an optimizer without a phase.
        """
        phases = {phase.name: phase for phase in self.phases()}
        if optimizer is None:
            optimizer = preset_optimizers(self.name)
        if not isinstance(optimizer, Mapping):
            optimizer = dict.fromkeys(list(phases)[:1], optimizer)
        for name in {*phases} ^ {*optimizer}:
            what = "no optimizer for phase" if name in phases else "an optimizer for unknown phase"
            raise UserError(f"compile got {what} {name!r} of {type(self).__name__}: {nearest(name, phases)}")
        # Grappler's dependency optimizer loses the order of an update and the next read: in a fifth of the graphs of a
        # convolutional critic without oneDNN (TensorFlow 2.21), its second step computed with weights of its first.
        tf.config.optimizer.set_experimental_options({"dependency_optimization": False})
        super().compile(optimizer=None, steps_per_execution=steps_per_execution, jit_compile=False, **kwargs)
        with self.distribute_strategy.scope():
            self.phase_optimizers = {name: self._prepared(optimizer[name], phase) for name, phase in phases.items()}
            keys = [key for phase in phases.values() for key in self._report_keys(phase)]
            keys += [f"{name}{GRADIENT}" for name in phases if self.tracks_gradients]
            self.trackers = {key: keras.metrics.Mean(name=key) for key in keys}
            averaged = [w for network in self.averaged_networks for w in network.weights]
            if ema_momentum is None:
                self.averages = None
            elif self.averages is None:
                self.averages = WeightAverages(averaged, ema_momentum, ema_rampup)
            else:  # Keras would go on to count replaced ones among the weights of the model
                self.averages.start(ema_momentum, ema_rampup)
        self._jit_steps = jit_compile and self.distribute_strategy.num_replicas_in_sync == 1
        self._jit_replicas = jit_compile and not self._jit_steps and self.changes_weights_alone
        self.evaluation_step = self.replica_sums = None
        self.steps_per_graph = steps_per_graph or 1

    @property
    def uses_xla(self) -> bool:
        """Whether the training step, or each replica's part of it, is compiled with XLA."""
        return self._jit_steps or self._jit_replicas

    @property
    def changes_weights_alone(self) -> bool:
        """Whether a step changes no other variable of networks and losses, as batch normalization and dropout do."""
        own = {id(v) for v in (self.step, self.failed_step, *(self.averages.weights if self.averages else ()))}
        return all(id(variable) in own for variable in self.non_trainable_variables)

    def _prepared(self, optimizer, phase: Phase):
        if self.dtype_policy.name == "mixed_float16" and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        if not optimizer.built:
            optimizer.build(phase.weights)
        if self.distribute_strategy.num_replicas_in_sync > 1:  # it gets sums: see `_move`
            getattr(optimizer, "inner_optimizer", optimizer)._all_reduce_sum_gradients = list
        return optimizer

    def _report_keys(self, phase: Phase) -> dict[str, str]:
        """Metric name -> key of the phase's terms."""
        prefix = "" if len(self.phases()) == 1 else f"{phase.name}_"
        return {f"{prefix}{key}": key for key in phase.reports}

    @property
    def metrics(self) -> list:
        """The metrics of a training; in an evaluation without the norms of gradients."""
        return [tracker for key, tracker in self.trackers.items() if not (self._evaluates and key.endswith(GRADIENT))]

    @property
    def metric_variables(self) -> list:
        """Total and count of each metric, in their order."""
        return [variable for tracker in self.trackers.values() for variable in (tracker.total, tracker.count)]

    def metric_sums(self) -> list[np.ndarray]:
        """The values of `metric_variables` over all replicas; every worker must call this, outside of graphs.

        Read one by one, each would take a message between workers.
        """
        if self.distribute_strategy.num_replicas_in_sync == 1:
            return [variable.numpy() for variable in self.metric_variables]
        with self.distribute_strategy.scope():
            self.replica_sums = self.replica_sums or tf.function(self._sums_over_replicas)
            return [*self.replica_sums().numpy()]

    def _sums_over_replicas(self):
        own = self.distribute_strategy.run(lambda: tf.stack([variable.value for variable in self.metric_variables]))
        return self.distribute_strategy.reduce("SUM", own, axis=None)

    def get_metrics_result(self) -> dict[str, Any]:
        """Keras' result; outside of graphs, where `fit` asks twice per call, without an operation for each value."""
        replica = tf.distribute.get_replica_context()
        if not tf.executing_eagerly() or (replica and replica.num_replicas_in_sync > 1):
            return super().get_metrics_result()
        sums, shown = self.metric_sums(), {metric.name for metric in self.metrics}
        found = zip(self.trackers, sums[::2], sums[1::2], strict=True)
        return {key: total / count if count else count for key, total, count in found if key in shown}

    # Steps ----------------------------------------------------------------------------------------------------------

    def train_step(self, data):
        """One move of every phase on one batch; a phase with several repeats gets a share of the batch for each."""
        images, labels = unpack(data)
        phases = self.phases()
        shares = max(phase.repeats for phase in phases)
        for phase in phases:
            for repeat in range(phase.repeats):
                self._repeat = repeat
                self._move(phase, *(share(x, repeat, shares) for x in (images, labels)))
            self._repeat = 0
        if self.averages is not None:
            self.averages.update(self.step.value)
        self.step.assign_add(1)
        return self.get_metrics_result()

    def _move(self, phase: Phase, images, labels):
        optimizer, weights = self.phase_optimizers[phase.name], phase.weights
        # Gradients are summed over replicas: each contributes its share of the mean over all examples.
        examples = self._over_replicas(tf.cast(tf.shape(images)[0], keras.config.floatx()))
        gradients = self._gradients
        if self._jit_replicas:  # replicas may not meet inside a compiled function, and each has variables of its own
            gradients = tf.function(gradients, jit_compile=True, autograph=False)
        loss, gradients, terms = gradients(phase, images, labels, examples)
        # One exchange between the replicas: for the optimizer, which would sum by itself, the norm, and the loss.
        loss, *gradients = self._over_replicas([loss, *gradients])
        if self.tracks_gradients:
            norm = tf.linalg.global_norm(gradients) / getattr(optimizer, "dynamic_scale", 1.0)
            finite = tf.math.is_finite(norm)  # a step that overflows float16 is not taken
            weight = tf.cast(finite, norm.dtype) / self.distribute_strategy.num_replicas_in_sync  # all have this norm
            self.trackers[f"{phase.name}{GRADIENT}"].update_state(tf.where(finite, norm, 0.0), weight)
        optimizer.apply_gradients(zip(gradients, weights, strict=True))
        self._track(phase, terms)
        failed = tf.logical_and(self.failed_step < 0, tf.logical_not(tf.math.is_finite(loss)))
        self.failed_step.assign(tf.where(failed, self.step.value, self.failed_step.value))

    def _gradients(self, phase: Phase, images, labels, examples):
        """This replica's share of the loss, of its gradients (times the optimizer's scale), and its terms."""
        optimizer, values = self.phase_optimizers[phase.name], [w.value for w in phase.weights]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            terms = self._terms(phase, images, labels, training=True)
            loss = tf.reduce_sum(terms["loss"]) / examples
            scaled = optimizer.scale_loss(loss)
        # Zeros, and no None, where a term that is not due in this step is all that reaches a weight.
        return loss, tape.gradient(scaled, values, unconnected_gradients="zero"), dict(terms)

    def _over_replicas(self, tensors):
        """The sum over all replicas of a tensor, or of each tensor of a list."""
        if self.distribute_strategy.num_replicas_in_sync == 1:
            return tensors
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tensors)

    def test_step(self, data):
        """The terms of every phase on one batch, without training."""
        images, labels = unpack(data)
        for phase, terms in [(p, self._terms(p, images, labels, training=False)) for p in self.phases()]:
            self._track(phase, terms)
        return self.get_metrics_result()

    def evaluate(self, *args, **kwargs):
        """Keras' `evaluate`, with the metrics of an evaluation."""
        with self.evaluating():
            return super().evaluate(*args, **kwargs)

    @contextlib.contextmanager
    def evaluating(self):
        """The metrics are meanwhile those of an evaluation."""
        self._evaluates = True
        try:
            yield
        finally:
            self._evaluates = False

    def _terms(self, phase: Phase, images, labels, training: bool) -> Mapping[str, Any]:
        """The phase's terms, also for the empty share that a replica may get of a short batch.

        With oneDNN a convolution of zero images has another output shape than one of some. An empty share is therefore
        padded with one image, whose terms are cut off.
        """
        if self.distribute_strategy.num_replicas_in_sync == 1:
            return phase.terms(images, labels, training=training)
        count = tf.shape(images)[0]
        missing = tf.cast(tf.equal(count, 0), tf.int32)

        def padded(x):
            return tf.concat([x, tf.zeros(tf.concat([[missing], tf.shape(x)[1:]], axis=0), x.dtype)], axis=0)

        terms = phase.terms(padded(images), padded(labels), training=training)
        return {key: term[:count] for key, term in terms.items()}

    def _track(self, phase: Phase, terms: Mapping[str, Any]):
        for name, key in self._report_keys(phase).items():
            self.trackers[name].update_state(terms[key])  # per example: right also for a short last batch

    def make_train_function(self, force: bool = False):
        if self.train_function is None or force:
            self.train_function = train_function.train_function(self)

    def make_test_function(self, force: bool = False):
        if not self.distribute_strategy.extended._in_multi_worker_mode():
            super().make_test_function(force)
        elif self.test_function is None or force:
            self.test_function = train_function.test_function(self)

    def fit(self, x=None, *args, steps_per_epoch: int | None = None, initial_step: int = 0, **kwargs):
        """Keras' `fit`; exact also when steps_per_execution does not divide steps_per_epoch.

        Args:
            initial_step: steps of the first epoch that were already taken; `x` begins after them.
        """
        kwargs.setdefault("shuffle", not hasattr(x, "element_spec"))  # Keras warns that it does not shuffle data sets
        self._epoch_steps, self._epoch_taken, self._skipped = steps_per_epoch, 0, initial_step
        return super().fit(x, *args, steps_per_epoch=steps_per_epoch, **kwargs)

    @property
    def taken_in_epoch(self) -> int:
        """Steps taken in the current epoch, in `fit` with steps_per_epoch."""
        return self._epoch_taken

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Nothing: a model is built in `__init__`. Keras' own fails on a batch that replicas cannot share equally."""

    # Saving ---------------------------------------------------------------------------------------------------------

    def model_args(self) -> dict[str, Any]:
        """The keyword arguments that build this model again (with `spec` and `seed`)."""
        raise NotImplementedError(f"{type(self).__name__} must define model_args()")

    def get_config(self):
        own = {"spec": self.spec.to_json(), "conditional": self.conditional, "seed": self.seed, "name": self.name}
        return own | self.model_args()

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**{**config, "spec": DataSpec.from_json(config["spec"])})

    def get_compile_config(self):
        return None  # a loaded model is compiled by its user: optimizers come with `load_weights`


def unpack(data):
    """(images, labels) of a batch: uint8 images are taken to [0, 1], labels of None become zeros."""
    images, labels = data if isinstance(data, (tuple, list)) else (data, None)
    images = tf.convert_to_tensor(images)
    if images.dtype == tf.uint8:
        images = pixels.to_unit(tf.cast(images, tf.float32))
    if labels is None:
        labels = tf.zeros(tf.shape(images)[:1], tf.int32)
    return images, labels


def share(batch, index: int, shares: int):
    """The `index`-th of `shares` equal parts of a batch: every `shares`-th example, so that half a batch gives halves.

    A batch with fewer examples than shares gives one example to each, repeated in turn.
    """
    if shares == 1:
        return batch
    examples = tf.shape(batch)[0]
    start, size = index % tf.maximum(examples, 1), tf.maximum(examples // shares, 1)
    return tf.gather(batch, tf.range(start, start + (size - 1) * shares + 1, shares))


def check_at_least(least: float, **values: float):
    """Raises UserError for the first value under `least`."""
    for name, value in values.items():
        if not value >= least:
            raise UserError(f"model_args.{name} must be at least {least}. Received: {value}")
