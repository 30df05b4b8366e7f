"""Every preset: class, arguments and optimizers are those of the table, and a step of training moves every weight."""

import keras
import numpy as np
import pytest
from model_case import SPEC, Case, train, values

from kgen.errors import UserError
from kgen.models import build_model, model_class, resolve_model_args
from kgen.models.presets import FAMILIES, PRESETS
from kgen.nn.cpu_kernels import Adam
from kgen.options import defaults_of, schema_of
from kgen.spec import DataSpec

SMALL = {
    "latent_dim": 3, "hidden": [8], "filters": [4, 5], "width": 4, "layers": 2, "conditioned_layers": 1, "condition": 3,
}  # fmt: skip
"""Of these each preset takes those that it has."""


def small(name: str) -> Case:
    schema = schema_of(model_class(name))
    return Case(name, SPEC, {key: value for key, value in SMALL.items() if key in schema})


@pytest.mark.parametrize("name", PRESETS)
def test_the_arguments_are_those_of_the_table(name):
    preset, cls = PRESETS[name], model_class(name)
    assert cls.__name__ == preset.family and {*preset.args} <= {*schema_of(cls)}
    found = resolve_model_args(name, {})
    assert found == defaults_of(cls) | preset.args
    assert resolve_model_args(name, found) == found
    assert (cls.has_encoder, cls.has_likelihood) == (preset.has_encoder, preset.has_likelihood)


@pytest.mark.parametrize("name", PRESETS)
def test_a_training_step_moves_every_weight(name):
    """With the optimizers of the table."""
    preset, case = PRESETS[name], small(name)
    model = case.build()
    assert (model.name, model.conditional) == (name, preset.conditional)
    model.compile()
    assert {*model.phase_optimizers} == {*preset.learning_rates}
    for phase, optimizer in model.phase_optimizers.items():
        assert float(optimizer.learning_rate) == pytest.approx(preset.learning_rates[phase])
        assert type(optimizer) is {"adam": Adam, "rmsprop": keras.optimizers.RMSprop}[preset.optimizer]
        if preset.optimizer == "adam":
            assert (optimizer.beta_1, optimizer.beta_2) == (preset.beta_1, preset.beta_2)
    before = values(model.trainable_variables)
    train(model, *case.examples(10), size=10)
    still = [w.path for w, old in zip(model.trainable_variables, before, strict=True) if (w.numpy() == old).all()]
    assert not still, f"one step leaves {still} unchanged"
    assert all(np.isfinite(v).all() for v in values(model.weights))


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.conditional])
def test_a_conditional_preset_refuses_unlabelled_data(name):
    plain = PRESETS[name].unconditional
    assert not PRESETS[plain].conditional and PRESETS[plain].family == PRESETS[name].family
    differs = {
        key for key, value in resolve_model_args(name, {}).items() if value != resolve_model_args(plain, {})[key]
    }
    assert differs <= {"latent_dim"}, "the label takes its part of what z has to hold; nothing else changes"
    with pytest.raises(UserError, match=f"'{name}'.*--model {plain}"):
        build_model(name, DataSpec("faces", (12, 10, 3)))


def test_a_table_to_be_read():
    """One line of summary; a paper where there is one; every class is used."""
    for name, preset in PRESETS.items():
        assert preset.summary and "\n" not in preset.summary and not preset.summary.endswith("."), name
        assert not preset.paper or "https://" in preset.paper, name
    assert {preset.family for preset in PRESETS.values()} == {*FAMILIES}
