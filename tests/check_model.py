"""What every model must do, whatever it is: one function a promise, over GenerativeModel and Phase alone.

A model's test is `check_model("vae", spec=...)`, or, to see failures apart, one test for each of CHECKS:

    @pytest.mark.parametrize("check", CHECKS, ids=check_name)
    def test_vae(check): check(Case("vae", spec))
"""

import pytest
from check_model_gpu import check_steps_have_gpu_kernels
from check_model_results import (
    check_exports_agree,
    check_generate_is_pure,
    check_keras_file_round_trips,
    check_label_reaches_the_images,
    check_no_stray_optimizer,
    check_resumes_exactly,
    check_wrong_use_is_explained,
)
from check_model_training import (
    check_failed_step_is_exact,
    check_fit_equals_eager_steps,
    check_metrics_exact_with_short_batch,
    check_mixed_precision_trains,
    check_phases_move_their_own_weights,
    check_replicas_draw_different_noise,
    check_same_seed_same_training,
    check_sgd_fit_equal_on_replicas,
    check_sgd_step_equal_on_replicas,
    check_xla_fit_equals_eager_steps,
)
from model_case import SPEC, Case

from kgen.spec import DataSpec

__all__ = ["CHECKS", "NETWORK", "QUICK", "SLOW", "Case", "check_model", "check_name", "parameters"]


def check_model(name: str, *, spec: DataSpec = SPEC, **model_args):
    """Every check of one model."""
    for check in CHECKS:
        check(Case(name, spec, model_args))


def check_name(check) -> str:
    """Its id in a list of tests."""
    return check.__name__.removeprefix("check_")


CHECKS = (
    check_sgd_step_equal_on_replicas,
    check_sgd_fit_equal_on_replicas,
    check_replicas_draw_different_noise,
    check_resumes_exactly,
    check_keras_file_round_trips,
    check_no_stray_optimizer,
    check_generate_is_pure,
    check_label_reaches_the_images,
    check_phases_move_their_own_weights,
    check_mixed_precision_trains,
    check_steps_have_gpu_kernels,
    check_metrics_exact_with_short_batch,
    check_same_seed_same_training,
    check_wrong_use_is_explained,
    check_fit_equals_eager_steps,
    check_xla_fit_equals_eager_steps,
    check_failed_step_is_exact,
    check_exports_agree,
)
"""Every check, each a function of a Case."""

SLOW = (
    check_sgd_fit_equal_on_replicas,
    check_fit_equals_eager_steps,
    check_xla_fit_equals_eager_steps,
    check_failed_step_is_exact,
)
"""Those that trace several graphs: once per class and kind of game."""

QUICK = tuple(check for check in CHECKS if check not in SLOW)

NETWORK = (
    check_sgd_step_equal_on_replicas,
    check_generate_is_pure,
    check_label_reaches_the_images,
    check_phases_move_their_own_weights,
    check_mixed_precision_trains,
    check_steps_have_gpu_kernels,
    check_exports_agree,
)
"""Those that depend on the networks: for another network of a class that passes all of CHECKS."""


EAGER = (
    check_replicas_draw_different_noise,
    check_keras_file_round_trips,
    check_no_stray_optimizer,
    check_generate_is_pure,
    check_label_reaches_the_images,
    check_phases_move_their_own_weights,
    check_same_seed_same_training,
    check_wrong_use_is_explained,
)
"""Those that take about a second or less; the others have the marker slow."""


def parameters(table):
    """{id: (case, checks)} -> the parameters (case, check) of a test."""
    return [
        pytest.param(case, check, id=f"{name}-{check_name(check)}", marks=() if check in EAGER else pytest.mark.slow)
        for name, (case, checks) in table.items()
        for check in checks
    ]
