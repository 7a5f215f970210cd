"""Paired differences of a few subjects -> whether they are zero, and what so few could show at all."""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ncfdtr, stdtr, stdtrit

MOST_SUBJECTS = 16
"""Beyond, the exact sign-flip test would take too long: 2**n sums."""
LEVEL, POWER = 0.05, 0.8
"""Of a two-sided test: how often it may see what is not there, and how often it is to see what is."""


def paired_t_test(differences: NDArray[np.float64]) -> float:
    """Two-sided p of Student's t-test that the mean difference is zero; NaN for one or for equal differences."""
    n = len(differences)
    if n < 2 or np.ptp(differences) == 0:
        return math.nan
    t = differences.mean() / (differences.std(ddof=1) / math.sqrt(n))
    return float(2 * stdtr(n - 1, -abs(t)))


def sign_flip_test(differences: NDArray[np.float64]) -> float:
    """Two-sided p of the exact permutation test over all signs of the differences; NaN beyond `MOST_SUBJECTS`.

    No distribution is assumed. With n subjects no p is below `least_sign_flip(n)`.
    """
    n = len(differences)
    if n > MOST_SUBJECTS:
        return math.nan
    sums = np.abs(np.array(list(itertools.product((1.0, -1.0), repeat=n))) @ differences)
    observed = abs(differences.sum())
    return float(np.mean(sums >= observed * (1 - 1e-12)))


def least_sign_flip(n: int) -> float:
    """Smallest p that the sign-flip test can give for n subjects, all of one sign: 0.125 for four, 0.0078 for eight."""
    return 2.0 ** (1 - n)


def shown_difference(differences: NDArray[np.float64]) -> float:
    """Smallest true mean difference that `paired_t_test` would find with probability `POWER` at `LEVEL`.

    For so many subjects, whose differences are normal and scatter as these do; in the unit of the differences. NaN for
    one or for equal differences, as the test is, and where a difference is not finite.
    """
    if len(differences) < 2 or not np.isfinite(differences).all() or np.ptp(differences) == 0:
        return math.nan
    return float(shown_effect(len(differences)) * differences.std(ddof=1))


@cache
def shown_effect(n: int) -> float:
    """The same in standard deviations of the differences (Cohen's d_z), for n >= 2 subjects: 2.13 for four, 1.16 for 8.

    References
    ----------
    Cohen, Statistical Power Analysis for the Behavioral Sciences, 2nd edition 1988, chapter 2.
    """
    # Its sides are 0.05 and 1 for every n: with two subjects, the fewest, the root is at 16.3.
    return float(brentq(lambda shift: t_test_power(shift / math.sqrt(n), n) - POWER, 0, 20) / math.sqrt(n))


def t_test_power(effect: float, n: int) -> float:
    """Probability that the two-sided paired t-test at `LEVEL` finds an effect (Cohen's d_z) in n >= 2 subjects."""
    # T is noncentral t and its square noncentral F, whose distribution SciPy computes without NaN in the far tail.
    critical = stdtrit(n - 1, 1 - LEVEL / 2)
    return float(1 - ncfdtr(1, n - 1, n * effect**2, critical**2))
