"""Nearest training images against brute force and against samples whose answer is known."""

import numpy as np
import pytest
from check_metric import check_metric

from kgen.errors import UserError
from kgen.metrics.memorization import memorization, nearest_images

TRAIN = np.array([[0.0], [10.0], [20.0], [24.0]])
TEST = np.array([[2.0], [13.0]])  # 2 and 3 from the nearest: median 2.5
FIGURES = ("authenticity", "nearest_ratio", "near_copies", "copies")


def values(fake, train, test=TEST) -> dict[str, float]:
    found = memorization(fake, train, test)
    return {name: found[name] for name in FIGURES}


def test_identical_shifted_collapsed():
    """The nearest other training images are 10, 10, 4 and 4 away."""
    check_metric(
        values,
        identical=(TRAIN, TRAIN, {"authenticity": 0, "nearest_ratio": 0, "near_copies": 1, "copies": 1}),
        # The 1 % quantile of 10, 10, 4 and 4 is 4: a distance of 1.5 alone is below.
        # 5.5 -> 10 at 4.5 < 10; 15.5 -> 20 at 4.5 > 4; 25.5 -> 24 at 1.5; 29.5 -> 24 at 5.5 > 4. Median 4.5 / 2.5.
        shifted=(TRAIN + 5.5, TRAIN, {"authenticity": 0.5, "nearest_ratio": 1.8, "near_copies": 0.25, "copies": 0}),
        # All on 10.001: within a thousandth of 2.5, twice.
        collapsed=(
            np.full((7, 1), 10.001),
            TRAIN,
            {"authenticity": 0, "nearest_ratio": 0.0004, "near_copies": 1, "copies": 1},
        ),
    )


def test_where_the_nearest_are():
    found = memorization(np.array([[1.0], [10.0], [23.5], [40.0]]), TRAIN, TEST)
    assert found["index"].tolist() == [0, 1, 3, 3]
    assert found["distance"].tolist() == [1.0, 0.0, 0.5, 16.0]
    assert found["authenticity"] == 0.25  # 16 > 4 alone
    assert found["nearest_ratio"] == pytest.approx(0.75 / 2.5)
    assert found["copies"] == 0.25


def test_without_unseen_images_what_needs_none_has_a_value():
    fake = np.array([[1.0], [10.0], [23.5], [40.0]])
    known, found = memorization(fake, TRAIN, TEST), memorization(fake, TRAIN, None)
    assert found["nearest_ratio"] is None and found["copies"] is None
    assert found["authenticity"] == known["authenticity"] == 0.25
    assert found["near_copies"] == known["near_copies"] == 0.75  # 1, 0 and 0.5 are below 4


def test_fresh_draws_on_a_line():
    """The nearest neighbour of a random point on a line has it as its own nearest with probability 2/3."""
    generator = np.random.default_rng(0)
    found = memorization(*(generator.uniform(size=(count, 1)) for count in (4_000, 3_000, 3_500)))
    # Fakes share neighbours, so the 4,000 are not independent: 0.03 is 4 standard errors of 4,000 independent ones.
    assert found["authenticity"] == pytest.approx(1 / 3, abs=0.03)
    assert found["nearest_ratio"] == pytest.approx(1, abs=0.1)
    assert found["copies"] < 0.01
    assert found["near_copies"] == pytest.approx(0.01, abs=0.006)


@pytest.mark.parametrize("times", [2, 40], ids=["twins", "many times"])
def test_images_given_several_times_hide_no_copies(times):
    """2 of 100 images are there several times, with what rounding makes of features in another batch."""
    generator = np.random.default_rng(0)
    train, test, fresh = (generator.normal(size=(count, 20)) for count in (100, 50, 2_000))
    again = np.repeat(train[:2], times - 1, axis=0)
    given = np.concatenate([train, again + 1e-7 * generator.normal(size=again.shape)])
    for copied in (values(train, train, test), values(train, given, test)):
        assert copied["near_copies"] == 1 and copied["authenticity"] == 0
    known, found = values(fresh, train, test), values(fresh, given, test)
    assert found["near_copies"] == pytest.approx(known["near_copies"], abs=0.01)  # each time counts as an image
    assert found["authenticity"] == pytest.approx(known["authenticity"], abs=1e-9)


def test_mirrored_images_are_training_images():
    """Mirroring changes the sign. The nearest other ones of 1, 10, 20 and 24 are 9, 9, 4 and 4 away: no -1 of 1."""
    train = TRAIN + np.eye(4)[:, :1]
    fake = np.array([[-10.5], [-25.0], [15.5], [0.0]])  # 0.5 from -10, 1 from -24, 4.5 from 20, 1 from both 1 and -1
    found = memorization(fake, train, -TEST, -train)
    assert found["distance"].tolist() == [0.5, 1.0, 4.5, 1.0] and found["index"].tolist() == [1, 3, 2, 0]
    assert found["is_mirrored"].tolist()[:3] == [True, True, False]
    assert found["near_copies"] == 0.75 and found["authenticity"] == 0.25
    assert found["nearest_ratio"] == 1 / 2  # -2 is 1 from -1, -13 is 3 from -10
    plain = memorization(fake, train, -TEST)
    assert plain["near_copies"] == 0.25 and plain["authenticity"] == 0.75 and not plain["is_mirrored"].any()


@pytest.mark.parametrize("symmetric", [1.0, 1e-3], ids=["asymmetric", "nearly symmetric"])
def test_mirrored_copies_are_copies(symmetric):
    """Also where 2 of 100 images are there twice, or as their mirror images, and where all are nearly symmetric."""
    generator, flip = np.random.default_rng(0), np.array([-1.0] + [1.0] * 19)
    train, test, fresh = (
        generator.normal(size=(count, 20)) * np.array([symmetric] + [1.0] * 19) for count in (100, 50, 2_000)
    )
    known = memorization(fresh, train, test, train * flip)
    assert known["near_copies"] < 0.1 and known["authenticity"] > 0.3
    for again in (train[:0], train[:2], train[:2] * flip):
        given = np.concatenate([train, again + 1e-9 * generator.normal(size=again.shape)])
        for copied in (train, train * flip):
            found = memorization(copied, given, test, given * flip)
            assert found["near_copies"] == found["copies"] == 1 and found["authenticity"] == 0
        found = memorization(fresh, given, test, given * flip)
        assert found["near_copies"] == pytest.approx(known["near_copies"], abs=0.01)
        assert found["authenticity"] == pytest.approx(known["authenticity"], abs=1e-9)


def test_fresh_draws_of_a_mirrored_set():
    """As few are near as without: the threshold is that of the training images among both, too."""
    generator = np.random.default_rng(0)
    fake, train, test = (generator.uniform(-1, 1, (count, 2)) for count in (4_000, 3_000, 3_500))
    found = memorization(fake, train, test, train * [-1, 1])
    assert found["near_copies"] == pytest.approx(0.01, abs=0.006)
    assert found["nearest_ratio"] == pytest.approx(1, abs=0.1)


def test_one_image_alone():
    found = values(np.array([[0.0], [1.0]]), np.zeros((5, 1)))
    assert found["near_copies"] == 0 and found["copies"] == 0.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nearest_by_brute_force(dtype):
    generator = np.random.default_rng(0)
    query, base = generator.normal(size=(60, 9)).astype(dtype), generator.normal(size=(80, 9)).astype(dtype)
    exact = np.linalg.norm(query[:, None].astype(np.float64) - base, axis=-1)
    distance, index = nearest_images(query, base)
    assert distance.dtype == np.float64
    np.testing.assert_array_equal(index, exact.argmin(1))
    np.testing.assert_allclose(distance, exact.min(1), rtol=1e-13)


def test_nearest_other():
    generator = np.random.default_rng(1)
    base = generator.normal(size=(80, 3))
    base[[5, 17, 40]] = base[3]  # four copies
    exact = np.linalg.norm(base[:, None] - base, axis=-1)
    np.fill_diagonal(exact, np.inf)
    for query in (base, base.copy()):
        distance, index = nearest_images(query, base, exclude_self=True)
        np.testing.assert_allclose(distance, exact.min(1), rtol=1e-13)
        assert (index != np.arange(80)).all()
        np.testing.assert_allclose(exact[np.arange(80), index], distance, rtol=1e-13)


def test_mistakes_are_named():
    with pytest.raises(UserError, match=r"exclude_self.*Received: 2 and 4"):
        nearest_images(TEST, TRAIN, exclude_self=True)
    with pytest.raises(UserError, match="more than half of the test images are training images"):
        memorization(TEST, TRAIN, TRAIN)
    with pytest.raises(UserError, match="from one extractor"):
        nearest_images(np.zeros((2, 3)), TRAIN)
