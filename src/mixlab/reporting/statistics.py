"""Statistics of a controlled comparison: runs paired by seed; one run is one observation.

The headline is a t-interval on the paired differences: with three seeds, a 95 % bootstrap covers
70 %, the t-interval 95 %. Pairing removes the variation that both arms share, which the
correlation across seeds shows; it does not guarantee power.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from scipy import stats

LEVEL, ALPHA = 0.95, 0.05  # of every interval, and of every test
CLAIM = 6  # pairs from which a two-sided sign-flip test can reach 5 %: 2 / 2**6
EXACT = 2**14  # sign flips: all of them up to here, else as many drawn
NAN = math.nan


@dataclass(frozen=True)
class ArmSummary:
    """Runs of one arm."""

    n: int
    mean: float = NAN
    sd: float = NAN  # with n - 1; NaN for a single run


@dataclass(frozen=True)
class Difference:
    """An arm minus its baseline over the `n` seeds that both have; NaN if `n` is too small."""

    n: int
    mean: float = NAN
    sd: float = NAN
    low: float = NAN  # ends of the t-interval
    high: float = NAN
    p: float = NAN  # two-sided paired t-test
    p_sign_flip: float = NAN  # two-sided, of the mean
    correlation: float = NAN  # of the two arms across seeds
    detectable: float = NAN  # difference that this n and sd detect 8 times in 10
    is_equivalent: bool = False  # within the margin asked about


def summarize(values: Sequence[float]) -> ArmSummary:
    """Mean and standard deviation over runs."""
    if not len(values):
        return ArmSummary(0)
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else NAN
    return ArmSummary(len(values), float(np.mean(values)), sd)


def paired_difference(
    arm: Sequence[float], baseline: Sequence[float], margin: float | None = None
) -> Difference:
    """Compare two arms; the i-th values of both are of one seed.

    Args:
        margin: a difference within +-margin counts as equivalent, in the values' own unit.
    """
    x, y = np.asarray(arm, dtype=float), np.asarray(baseline, dtype=float)
    deltas = x - y
    n = len(deltas)
    if n < 2:
        return Difference(n, mean=float(deltas[0]) if n else NAN)
    mean, sd = float(deltas.mean()), float(deltas.std(ddof=1))
    if sd <= 1e-12 * max(np.abs(x).max(), np.abs(y).max(), 1e-300):
        return Difference(n, mean, 0.0, mean, mean)  # no spread: nothing to test it against
    test = stats.ttest_rel(x, y)
    low, high = test.confidence_interval(LEVEL)
    return Difference(
        n=n, mean=mean, sd=sd, low=float(low), high=float(high), p=float(test.pvalue),
        p_sign_flip=sign_flip(deltas),
        correlation=correlate(x, y),
        detectable=detectable_effect(n) * sd,
        is_equivalent=margin is not None and is_equivalent(x, y, margin),
    )  # fmt: skip


def sign_flip(deltas: np.ndarray) -> float:
    """Two-sided p of the mean, if the sign of each difference were random.

    Equal to scipy's `permutation_test`, whose signs are drawn once for all arms with n pairs.
    """
    signs, observed = drawn_signs(len(deltas)), deltas.mean()
    means = np.mean(signs * deltas, axis=-1)
    slack = 100 * np.finfo(float).eps * abs(observed)  # for sums in another order
    below = np.count_nonzero(means <= observed + slack)
    above = np.count_nonzero(means >= observed - slack)
    own = int(len(signs) < 2.0 ** len(deltas))  # the observed signs count where not all are tried
    return min(1.0, 2 * (min(below, above) + own) / (len(signs) + own))


@lru_cache(maxsize=8)
def drawn_signs(n: int) -> np.ndarray:
    """Signs of n differences in each try, as scipy draws them, (tries, n)."""
    drawn: list[np.ndarray] = []

    def noted(x: np.ndarray, axis: int) -> Any:
        drawn.append(np.sign(x).astype(np.int8))
        return np.mean(x, axis=axis)

    stats.permutation_test(
        (np.ones(n),), noted, permutation_type="samples", vectorized=True, n_resamples=EXACT,
        rng=np.random.default_rng(n),
    )  # fmt: skip
    return np.concatenate(drawn[1:])  # the first are those observed


def correlate(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's correlation; NaN below three pairs or if one side does not vary."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return NAN
    return float(np.corrcoef(x, y)[0, 1])


@cache
def detectable_effect(n: int, power: float = 0.8) -> float:
    """The true difference, in standard deviations, that n pairs detect with this power."""
    from statsmodels.stats.power import TTestPower

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about harmless steps of the solver
        found = TTestPower().solve_power(nobs=n, alpha=ALPHA, power=power)
    return float(np.squeeze(found))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjustment over the arms of a comparison; NaN stays NaN and does not count.

    Equal to statsmodels' `multipletests`, which takes 0.1 s more in each call (a `gc.collect`).
    """
    p = np.array(p_values, dtype=float)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN sorts last
    steps = p[order] * np.arange(len(order), 0, -1)
    p[order] = np.maximum.accumulate(steps).clip(max=1)
    return p.tolist()


def is_equivalent(x: np.ndarray, y: np.ndarray, margin: float) -> bool:
    """Two one-sided paired t-tests at 5 %: whether the true difference lies within +-margin."""
    from statsmodels.stats.weightstats import ttost_paired

    return bool(ttost_paired(x, y, -margin, margin)[0] < ALPHA)


def verdict(difference: Difference, p: float, *, higher_is_better: bool) -> str:
    """The verdict on a difference and its adjusted p; below `CLAIM` pairs it claims nothing."""
    if difference.n < 2:
        return "one pair" if difference.n else "no pairs"
    is_claim = difference.n >= CLAIM
    if difference.sd == 0:
        exact = "no spread" if difference.mean else "no difference"
        return exact if is_claim else "too few pairs"
    if p < ALPHA:
        word = "better" if (difference.mean > 0) == higher_is_better else "worse"
        return word if is_claim else f"leans {word}"
    if not is_claim:
        return "unclear"
    return "equivalent" if difference.is_equivalent else "no evidence"
