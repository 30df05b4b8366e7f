"""How many threads a linear algebra of NumPy and SciPy takes: those of BLAS wait for each other in a loop."""

from contextlib import AbstractContextManager, nullcontext

from threadpoolctl import threadpool_limits

ONE_THREAD = threadpool_limits.wrap(limits=1, user_api="blas")
"""Decorator: a function whose linear algebra takes one thread."""
SMALL = 2**28
"""Multiplications of a product below which other threads wait longer than they compute: about 10 ms of one."""


def threads_for(multiplications: float) -> AbstractContextManager:
    """A context in which linear algebra takes one thread if its largest product is small, else as many as it likes.

    Args:
        multiplications: N * M * D of the largest product [N, D] x [D, M].
    """
    return threadpool_limits(limits=1, user_api="blas") if multiplications < SMALL else nullcontext()
