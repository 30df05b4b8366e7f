"""The threads of linear algebra: one for small products, as many as there were for large ones."""

import numpy as np  # noqa: F401  loads BLAS
from threadpoolctl import threadpool_info

from kgen.blas import SMALL, threads_for


def threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_small_products_take_one_thread_and_large_ones_as_many_as_before():
    before = threads()
    with threads_for(SMALL - 1):
        assert set(threads()) == {1}
    with threads_for(SMALL):
        assert threads() == before
    assert threads() == before
