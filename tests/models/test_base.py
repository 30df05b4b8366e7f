"""Phases: a toy game of two players whose every move can be worked out by hand."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from model_case import Case, fit, state_of, train, two_replicas

from kgen.errors import UserError
from kgen.models import PRESETS, GenerativeModel, Phase, build_model
from kgen.models.base import share
from kgen.models.train_function import evaluation_function
from kgen.spec import DataSpec
from kgen.train.distribution import Devices

SPEC = DataSpec("toy", (1, 1, 1), num_classes=2)


class Scalar(keras.layers.Layer):
    """One weight."""

    def __init__(self, name):
        super().__init__(name=name)
        self.value = self.add_weight(shape=(), initializer="zeros", name="value")
        self.built = True


class Game(GenerativeModel):
    """`critic` follows the images (loss -c x, gradient -mean(x)), `generator` the critic (loss -g c, gradient -c)."""

    latent_shape = (1,)

    def __init__(self, spec, *, critic_repeats: int = 3, **kwargs):
        super().__init__(spec, **kwargs)
        self.critic, self.generator = Scalar("critic"), Scalar("generator")
        self.critic_repeats = critic_repeats

    def phases(self):
        return (
            Phase("critic", self.critic_terms, (self.critic,), ("loss", "pixel"), self.critic_repeats),
            Phase("generator", self.generator_terms, (self.generator,)),
        )

    def critic_terms(self, images, labels, training=False):
        pixel = tf.reshape(images, [-1])
        return {"loss": -self.critic.value * pixel, "pixel": pixel}

    def generator_terms(self, images, labels, training=False):
        return {"loss": -self.generator.value * self.critic.value * tf.ones(tf.shape(images)[:1])}


def compiled(critic: float = 1.0, generator: float = 1.0, **kwargs) -> Game:
    arguments = {k: kwargs.pop(k) for k in ("critic_repeats",) if k in kwargs}
    model = Game(SPEC, **arguments)
    model.compile({"critic": keras.optimizers.SGD(critic), "generator": keras.optimizers.SGD(generator)}, **kwargs)
    return model


def pixels(*numbers) -> tuple[np.ndarray, np.ndarray]:
    return np.reshape(np.float32(numbers), (-1, 1, 1, 1)), np.zeros(len(numbers), np.int32)


def test_repeats_see_disjoint_shares_and_each_phase_moves_its_own():
    model = compiled()
    train(model, *pixels(1, 10, 100, 2, 20, 200), size=6)
    # Three moves of the critic, by the means of its shares: 1.5 + 15 + 150; then one of the generator, by the critic.
    assert float(model.critic.value.numpy()) == 166.5
    assert float(model.generator.value.numpy()) == 166.5
    assert int(model.step.numpy()) == 1
    train(model, *pixels(0, 0, 0, 0, 0, 0), size=6)
    assert (float(model.critic.value.numpy()), float(model.generator.value.numpy())) == (166.5, 333.0)


def test_a_learning_rate_of_zero_holds_only_its_phase():
    for rates, expected in (((1.0, 0.0), (166.5, 0.0)), ((0.0, 1.0), (0.0, 0.0))):
        model = compiled(*rates)
        train(model, *pixels(1, 10, 100, 2, 20, 200), size=6)
        assert (float(model.critic.value.numpy()), float(model.generator.value.numpy())) == expected


def test_metrics_carry_their_phase_and_count_every_repeat():
    model = compiled()
    assert [metric.name for metric in model.metrics] == ["critic_loss", "critic_pixel", "generator_loss"]
    train(model, *pixels(1, 10, 100, 2, 20, 200), size=6)
    # critic_loss: 0 x (1, 2); -1.5 x (10, 20); -16.5 x (100, 200) -> -(45 + 4950) / 6
    results = {metric.name: float(metric.result()) for metric in model.metrics}
    assert results == {"critic_loss": -832.5, "critic_pixel": 55.5, "generator_loss": 0.0}
    found = model.evaluate(*pixels(1, 2, 6), batch_size=2, verbose=0, return_dict=True)
    assert found["critic_pixel"] == 3.0 and found["critic_loss"] == pytest.approx(-166.5 * 3)


@pytest.mark.parametrize("how", [{}, {"steps_per_execution": 2}, {"steps_per_execution": 2, "jit_compile": True}])
def test_fit_plays_the_same_game(how):
    model = compiled(**how)
    batches = tf.data.Dataset.from_tensor_slices(pixels(1, 2, 10, 20, 100, 200, 1, 2, 3)).batch(6)
    fit(model, batches)  # the second batch, of three, gives each repeat one image
    assert float(model.critic.value.numpy()) == 172.5
    assert float(model.generator.value.numpy()) == 166.5 + 172.5


def test_a_batch_of_fewer_images_than_repeats_goes_round():
    model = compiled()
    train(model, *pixels(3, 5))  # 3, 5, 3
    assert float(model.critic.value.numpy()) == 11.0
    assert int(model.failed_step.numpy()) == -1


@pytest.mark.slow
@pytest.mark.parametrize("how", [{}, {"jit_compile": True}])
def test_replicas_play_the_same_game(how):
    with two_replicas().scope():
        model = compiled(**how)
    batches = tf.data.Dataset.from_tensor_slices(pixels(1, 10, 100, 2, 20, 200)).batch(6)
    fit(model, batches)  # the first replica's shares are 1, 10, 100, the second's 2, 20, 200
    assert float(model.critic.value.numpy()) == 166.5
    assert float(model.generator.value.numpy()) == 166.5


def test_replicas_meet_twice_per_move_and_a_norm_is_clipped_over_all_of_them():
    """For the number of examples, and for the gradients with the loss; Keras' optimizer would sum them once more."""
    strategy = two_replicas()
    with strategy.scope():
        model = Game(SPEC, critic_repeats=1)
        model.tracks_gradients = True
        sgd = {"critic": keras.optimizers.SGD(1.0, global_clipnorm=1.0), "generator": keras.optimizers.SGD(1.0)}
        model.compile(sgd)
    fit(model, tf.data.Dataset.from_tensor_slices(pixels(1, 3)).batch(2))  # the mean is 2; 1 / 2 + min(1, 3 / 2) = 1.5
    assert float(model.critic.value.numpy()) == 1.0
    batch = strategy.experimental_distribute_values_from_function(lambda _: tuple(map(tf.constant, pixels(1))))
    step = tf.function(lambda: strategy.run(model.train_step, args=(batch,)), autograph=False)
    sums = [op for op in step.get_concrete_function().graph.get_operations() if op.type.startswith("CollectiveReduce")]
    assert len(sums) == 2 * 2 * 2  # replicas, moves, and each time two


@pytest.mark.slow
def test_replicas_compile_their_gradients():
    """Each with its own noise; without XLA the weights are the same within 1e-5."""
    case, strategy, found = Case("vae", model_args={"hidden": [4], "latent_dim": 2}), two_replicas(), {}
    for jit in (False, True):
        with strategy.scope():
            model = case.compiled(1e-2, optimizer=keras.optimizers.SGD, jit_compile=jit)
        fit(model, case.batches(4, size=8))
        graphs = [function.attr for function in programs_of(model, strategy, case)]
        assert any(attributes["_XlaMustCompile"].b for attributes in graphs) is jit
        shares = [[part.numpy() for part in weight._value.values] for weight in model.trainable_variables]
        assert all((one == other).all() for one, other in shares)
        found[jit] = state_of(model)
    for name, values in found[False].items():
        np.testing.assert_allclose(found[True][name], values, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(("model", "compiles"), [("vae", True), ("gan", False), ("dcgan", False)])
def test_replicas_that_change_state_together_do_without_xla(model, compiles):
    with two_replicas().scope():
        assert Case(model).compiled(jit_compile=True).uses_xla is compiles


def programs_of(model, strategy, case):
    """The functions that a training step on replicas calls."""
    batch = strategy.experimental_distribute_values_from_function(lambda _: tuple(map(tf.constant, case.examples(4))))
    step = tf.function(lambda: strategy.run(model.train_step, args=(batch,)), autograph=False)
    return step.get_concrete_function().graph.as_graph_def().library.function


def test_replicas_evaluate_every_image_once():
    with two_replicas().scope():
        model = compiled()
    model.critic.value.assign(2.0)
    numbers = (1, 2, 6, 7, 9)  # batches of 3 and 2: 2 + 1, then 1 + 1
    found = model.evaluate(*pixels(*numbers), batch_size=3, verbose=0, return_dict=True)
    assert found == {"critic_loss": -10.0, "critic_pixel": 5.0, "generator_loss": 0.0}
    batches = tf.data.Dataset.from_tensor_slices(pixels(*numbers)).batch(4)  # 2 + 2, then 1 + none
    assert model.evaluate(batches, verbose=0, return_dict=True) == found


@pytest.mark.parametrize("strategy", [tf.distribute.get_strategy, two_replicas])
def test_an_iterator_goes_round_for_every_evaluation(strategy):
    with strategy().scope():
        model = compiled()
    model.critic.value.assign(2.0)
    for size in (3, 4):  # 2 + 1, then 1 + 1; 2 + 2, then 1 + none
        batches = tf.data.Dataset.from_tensor_slices(pixels(1, 2, 6, 7, 9)).batch(size)
        endless = batches.repeat()
        dataset = SimpleNamespace(batches=lambda split, endless=endless, **options: endless)
        evaluate = evaluation_function(model, Devices(strategy()).batches(dataset, "test", repeat=True), steps=2)
        expected = model.evaluate(batches, verbose=0, return_dict=True)
        assert expected == {"critic_loss": -10.0, "critic_pixel": 5.0, "generator_loss": 0.0}
        assert evaluate() == expected == evaluate() == evaluate()


def test_a_failure_on_any_replica_is_remembered():
    with two_replicas().scope():
        model = compiled(critic_repeats=1)
    batches = tf.data.Dataset.from_tensor_slices(pixels(1, 1, 1, 1, 1, np.nan, 1, 1)).batch(2)
    fit(model, batches)  # the second replica's image of step 2
    assert int(model.failed_step.numpy()) == 2


def test_short_batches_weigh_by_their_images():
    """Of three images two are on one replica and one on the other; of one image, none is on the other."""
    with two_replicas().scope():
        model = compiled(critic_repeats=1)
    fit(model, tf.data.Dataset.from_tensor_slices(pixels(1, 2, 9, 5)).batch(3))
    assert float(model.critic.value.numpy()) == (1 + 2 + 9) / 3 + 5
    assert int(model.failed_step.numpy()) == -1


def test_metrics_outside_of_graphs_are_those_of_keras():
    model = compiled()
    fit(model, tf.data.Dataset.from_tensors(pixels(*range(1, 10))))
    found, expected = model.get_metrics_result(), keras.Model.get_metrics_result(model)
    assert found.keys() == expected.keys() and all(found[key] == float(expected[key]) for key in found)
    model.reset_metrics()
    assert not any(model.get_metrics_result().values())  # divided by no images, as `divide_no_nan`


def test_share_takes_equal_disjoint_parts():
    batch = tf.range(7)
    assert [share(batch, i, 3).numpy().tolist() for i in range(3)] == [[0, 3], [1, 4], [2, 5]]
    halves = [share(half, 1, 3).numpy().tolist() for half in (batch[:3], batch[3:6])]
    assert halves == [[1], [4]]  # two replicas together see what one sees
    assert share(batch, 0, 1) is batch


def test_resumes_with_each_optimizer_its_own(tmp_path):
    def with_momentum():
        model = Game(SPEC)
        rates = {"critic": 1.0, "generator": 0.5}
        model.compile({name: keras.optimizers.SGD(rate, momentum=0.5) for name, rate in rates.items()})
        return model

    batch = pixels(1, 2, 3)
    whole, half, resumed = (with_momentum() for _ in range(3))
    for _ in range(4):
        train(whole, *batch)
    for _ in range(2):
        train(half, *batch)
    half.save_weights(tmp_path / "half.weights.h5")
    resumed.load_weights(tmp_path / "half.weights.h5")
    for _ in range(2):
        train(resumed, *batch)
    assert [float(w.numpy()) for w in resumed.weights] == [float(w.numpy()) for w in whole.weights]


def test_a_conditional_model_that_has_no_other_form_names_none():
    with pytest.raises(UserError, match=r"'game' needs labels.*num_classes=0"):
        Game(DataSpec("plain", (1, 1, 1)), conditional=True, name="game")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"critic": 1}, "no optimizer for phase 'generator' of Game"),
        (
            {"critic": 1, "generator": 1, "critc": 1},
            "an optimizer for unknown phase 'critc' of Game: did you mean 'critic'",
        ),
        (None, "no optimizer for phase 'generator' of Game"),
    ],
)
def test_every_phase_needs_its_optimizer(given, words):
    optimizer = keras.optimizers.SGD() if given is None else {name: keras.optimizers.SGD() for name in given}
    with pytest.raises(UserError, match=words):
        Game(SPEC).compile(optimizer)


def test_compile_without_an_optimizer_takes_the_registered_rates():
    model = build_model("vae", DataSpec("toy", (4, 4, 1)), hidden=[4])
    model.compile()
    optimizer = model.phase_optimizers["elbo"]
    assert isinstance(optimizer, keras.optimizers.Adam)
    rate = PRESETS["vae"].learning_rates["elbo"]
    assert float(optimizer.learning_rate.numpy()) == pytest.approx(rate) and rate == 1e-3


def test_updates_and_reads_keep_their_order_in_graphs():
    """Compiled models trace without the pass of Grappler that loses it; what it does to a critic's second step shows in
    `check_sgd_step_equal_on_replicas`, in some graphs only."""
    tf.config.optimizer.set_experimental_options({"dependency_optimization": True})
    build_model("gan", SPEC).compile()
    assert tf.config.optimizer.get_experimental_options()["dependency_optimization"] is False


def test_images_alone_are_a_batch():
    """Data without labels: labels become zeros."""
    model = build_model("vae", DataSpec("toy", (4, 4, 1)), hidden=[4], latent_dim=2)
    model.compile()
    images = np.full((4, 4, 4, 1), 0.5, np.float32)
    fit(model, tf.data.Dataset.from_tensor_slices(images).batch(2))
    assert int(model.step.numpy()) == 2


def test_bytes_are_the_same_images():
    """uint8 images of 0 to 255 are taken to [0, 1] in the step."""
    found = []
    for images in (np.uint8([51, 255, 0]), np.float32([0.2, 1.0, 0.0])):
        model = compiled()
        train(model, images.reshape(3, 1, 1, 1), np.zeros(3, np.int32))
        found.append([w.numpy() for w in model.trainable_variables])
    np.testing.assert_array_equal(*found)
    assert found[0][0] == pytest.approx(1.2)  # three moves, each of one image: 0.2 + 1 + 0


def test_unknown_models_name_the_nearest():
    with pytest.raises(UserError, match=r"'cvea'.*'cvae'"):
        build_model("cvea", SPEC)


def test_a_model_says_what_it_leaves_out():
    bare = GenerativeModel(SPEC)
    for call in (bare.phases, bare.model_args, lambda: bare.generate(None)):
        with pytest.raises(NotImplementedError, match="GenerativeModel must define"):
            call()
