#!/usr/bin/env python3
"""Writes statistics.txt: 200 small tables of paired values and what SciPy says of them.

Keys: tableI.x, .y: the values of two arms; .results: mean, deviation of x; t interval (95 %) of x - y; p of the paired t
test; p of the exact sign flips; Pearson's correlation; detectable difference at level 0.05 and power 0.8; pairs needed for
the observed difference (0: above a million). .bca: interval of mean(x - y) from 200,000 draws, and its own error (the
deviation of its ends over 8 repetitions of 20,000 draws). quantiles: normal and t at some probabilities. holm.
"""
import contextlib
import itertools
import pathlib

import numpy as np
from scipy import integrate, optimize, stats


def power(effect, n, level):
    """By quadrature over the deviation's distribution: SciPy's noncentral t is NaN at some of these."""
    nu = n - 1
    critical, shift = stats.t.ppf(1 - level / 2, nu), abs(effect) * np.sqrt(n)

    def integrand(u):
        tails = stats.norm.sf(critical * u - shift) + stats.norm.cdf(-critical * u - shift)
        return stats.chi.pdf(u * np.sqrt(nu), nu) * np.sqrt(nu) * tails

    end = 1 + 12 / np.sqrt(nu)
    return integrate.quad(integrand, 0, end, points=[0.5, 1, min(1.5, end)], epsabs=1e-13, epsrel=1e-12, limit=400)[0]


def detectable(deviation, n):
    return deviation * optimize.brentq(lambda e: power(e, n, 0.05) - 0.8, 1e-6, 60, xtol=1e-13, rtol=1e-13)


def pairs_needed(difference, deviation):
    low, high = 1, 2
    while power(difference / deviation, high, 0.05) < 0.8:
        low, high = high, high * 2
        if high > 1000000:
            return 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if power(difference / deviation, middle, 0.05) < 0.8 else (low, middle)
    return high


def sign_flips(d):
    sums = np.array([abs(np.dot(s, d)) for s in itertools.product((1, -1), repeat=len(d))])
    return np.mean(sums >= abs(d.sum()) - 1e-12 * abs(d).sum())


def bca(d, draws, seed):
    result = stats.bootstrap((d,), np.mean, n_resamples=draws, method="BCa", rng=np.random.default_rng(seed), batch=5000)
    return np.array(result.confidence_interval)


def emit(key, values):
    values = np.atleast_1d(values)
    print(key, len(values), *(f"{v:.17g}" for v in values))


def main():
    rng = np.random.default_rng(11)
    for i in range(200):
        n = int(rng.integers(2, 13))
        base = rng.normal(70, 0.4, n)
        x, y = base + rng.normal(rng.choice((0, 0.3, 1.0)), 0.3, n), base + rng.normal(0, 0.3, n)
        if i % 10 == 0:
            x, y = np.round(x, 1), np.round(y, 1)  # ties
        d = x - y
        t = stats.ttest_rel(x, y)
        interval = t.confidence_interval(0.95)
        emit(f"table{i}.x", x)
        emit(f"table{i}.y", y)
        s = d.std(ddof=1)
        emit(f"table{i}.results", [x.mean(), x.std(ddof=1), interval.low, interval.high, t.pvalue, sign_flips(d),
                                   stats.pearsonr(x, y).statistic, detectable(s, n), pairs_needed(d.mean(), s)])
        if i % 20 == 1 and n >= 5:
            ends = np.array([bca(d, 20000, 100 + r) for r in range(8)])
            emit(f"table{i}.bca", np.concatenate([bca(d, 200000, i), ends.std(0, ddof=1)]))
    probabilities = [1e-12, 1e-4, 0.025, 0.2, 0.5, 0.6, 0.95, 0.975, 0.9999]
    emit("probabilities", probabilities)
    emit("normal", stats.norm.ppf(probabilities))
    for nu in (1, 2, 3, 7, 30, 1000):
        emit(f"t{nu}", stats.t.ppf(probabilities, nu))
    p = np.array([0.01, 0.04, 0.03, 0.005, 0.5, 0.01])
    order = np.argsort(p, kind="stable")
    adjusted = np.minimum(1, np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))))
    holm = np.empty_like(p)
    holm[order] = adjusted
    emit("holm.p", p)
    emit("holm", holm)


if __name__ == "__main__":
    with open(pathlib.Path(__file__).with_name("statistics.txt"), "w") as out, contextlib.redirect_stdout(out):
        main()
