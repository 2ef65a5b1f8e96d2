"""Make beta_comparison.json: P(best), expected loss and P(beats control) of Beta posteriors in 40-digit arithmetic.

An integration of its own, not the package's: panels of a fixed share of the narrowest posterior's standard deviation,
normalising constants from mpmath's loggamma, 24-node Gauss-Legendre collocation. Run from the project's root:

    .venv/bin/python tests/golden/make_beta_comparison.py
"""

import json
import sys
from itertools import pairwise
from pathlib import Path

from mpmath import exp, log, log1p, loggamma, mp, mpf, sqrt

mp.dps = 40
ORDER = 24

CASES: dict[str, tuple[list[float], list[float]]] = {
    "one user against many, flat": ([1, 301], [2, 701]),
    "one user against many, Jeffreys": ([0.5, 300.5], [1.5, 700.5]),
    "zero conversions in one arm": ([1, 8], [1001, 994]),
    "zero conversions in both arms": ([1, 1], [201, 301]),
    "all converted in one arm": ([51, 41], [1, 11]),
    "small and even": ([13, 18], [39, 34]),
    "ten thousand an arm": ([1001, 1051], [9001, 8951]),
    "Hillstrom visits": ([2263, 3895, 3239], [19045, 17414, 18150]),
    "Hillstrom conversions": ([123, 268, 190], [21185, 21041, 21199]),
    "very unequal n": ([32, 2001, 100501], [270, 18001, 899501]),
    "two hundred million, rate .5": ([100000001, 100010001], [100000001, 99990001]),
    "two hundred million, rate 1e-6": ([201, 241], [199999801, 199999761]),
    "ten arms of 1e7 successes": ([10000000 + 400 * k for k in range(10)], [10000000 - 300 * k for k in range(10)]),
    "a loss near 1e-8": ([1001, 1231], [9001, 8771]),
    "fifty arms of 5,000": ([475 + (7 * k) % 50 for k in range(50)], [4525 - (7 * k) % 50 for k in range(50)]),
}


def legendre(order: int) -> tuple[list, list]:
    """Nodes and weights on [-1, 1]."""
    nodes, weights = [], []
    for i in range(order):
        x = mp.cos(mp.pi * (i + mpf(3) / 4) / (order + mpf(1) / 2))
        for _ in range(100):
            p0, p1 = mpf(1), x
            for k in range(2, order + 1):
                p0, p1 = p1, ((2 * k - 1) * x * p1 - (k - 1) * p0) / k
            derivative = order * (x * p1 - p0) / (x * x - 1)
            step = p1 / derivative
            x -= step
            if abs(step) < mpf(10) ** (-mp.dps + 2):
                break
        nodes.append(x)
        weights.append(2 / ((1 - x * x) * derivative**2))
    return nodes, weights


NODES, WEIGHTS = legendre(ORDER)


def collocation() -> list[list]:
    """A[i][j]: integral of the j-th Lagrange polynomial from -1 to node i, by way of Legendre series."""

    def legendre_values(x: mpf) -> list:
        values = [mpf(1), x]
        for k in range(2, ORDER + 1):
            values.append(((2 * k - 1) * x * values[-1] - (k - 1) * values[-2]) / k)
        return values

    at = [legendre_values(x) for x in NODES]
    rows = []
    for i in range(ORDER):
        integrals = [NODES[i] + 1] + [(at[i][k + 1] - at[i][k - 1]) / (2 * k + 1) for k in range(1, ORDER)]
        rows.append(
            [WEIGHTS[j] * sum((k + mpf(1) / 2) * at[j][k] * integrals[k] for k in range(ORDER)) for j in range(ORDER)]
        )
    return rows


COLLOCATION = collocation()


def log_density(a: mpf, b: mpf, constant: mpf, x: mpf) -> mpf:
    softplus = x + log1p(exp(-x)) if x > 0 else log1p(exp(x))
    return a * x - (a + b) * softplus + constant


def panel_edges(arms: list[tuple]) -> list:
    """From where every density is below 1e-36 of its mode to the same on the right, in steps of each arm's own scale."""
    every = set()
    for a, b, constant in arms:
        mode = log(a / b)
        peak = log_density(a, b, constant, mode)
        scale = sqrt((a + b) / (a * b))
        for sign in (-1, 1):
            x, width = mode, scale / 2
            every.add(x)
            while log_density(a, b, constant, x) > peak - 85:
                x += sign * width
                every.add(x)
    merged = sorted(every)
    kept = [merged[0]]
    narrowest = min(sqrt((a + b) / (a * b)) for a, b, _ in arms)
    for x in merged[1:]:
        if x - kept[-1] > narrowest / 4:
            kept.append(x)
    return kept


def compare(alpha: list[float], beta: list[float]) -> dict[str, list[str]]:
    arms = []
    for a, b in zip(map(mpf, alpha), map(mpf, beta), strict=True):
        arms.append((a, b, loggamma(a + b) - loggamma(a) - loggamma(b)))
    count = len(arms)
    edges = panel_edges(arms)
    values = []  # [panel][arm][node]
    for left, right in pairwise(edges):
        half = (right - left) / 2
        positions = [left + half * (1 + s) for s in NODES]
        values.append((half, positions, [[exp(log_density(*arm, x)) for x in positions] for arm in arms]))
    masses = [
        [half * sum(w * f for w, f in zip(WEIGHTS, density[k], strict=True)) for k in range(count)]
        for half, _, density in values
    ]
    above = [[mpf(0)] * count for _ in range(len(values) + 1)]
    for i in range(len(values) - 1, -1, -1):
        above[i] = [above[i + 1][k] + masses[i][k] for k in range(count)]
    below = [mpf(0)] * count
    best, loss, beats = [mpf(0)] * count, [mpf(0)] * count, [mpf(0)] * count
    for i, (half, positions, density) in enumerate(values):
        cumulative = [
            [half * sum(row[j] * density[k][j] for j in range(ORDER)) for row in COLLOCATION] for k in range(count)
        ]
        for node, x in enumerate(positions):
            F = [below[k] + cumulative[k][node] for k in range(count)]
            S = [above[i][k] - cumulative[k][node] for k in range(count)]
            w = half * WEIGHTS[node]
            d_rate = exp(-abs(x)) / (1 + exp(-abs(x))) ** 2
            for k in range(count):
                product, missing = mpf(1), mpf(0)
                for j in range(count):
                    if j != k:
                        missing += product * S[j]
                        product *= F[j]
                best[k] += w * density[k][node] * product
                loss[k] += w * d_rate * F[k] * missing
                beats[k] += w * density[k][node] * F[0]
        below = [below[k] + masses[i][k] for k in range(count)]
    total_error = max(abs(1 - mass) for mass in above[0])
    if total_error > mpf(10) ** -25 or abs(sum(best) - 1) > mpf(10) ** -25:
        message = (
            f"not converged: masses off by {mp.nstr(total_error, 3)}, P(best) sums to 1 {mp.nstr(sum(best) - 1, 3)}"
        )
        raise ArithmeticError(message)
    beats[0] = mpf(0)
    return {
        name: [mp.nstr(v, 25) for v in column]
        for name, column in (("prob_best", best), ("expected_loss", loss), ("prob_beats_control", beats))
    }


if __name__ == "__main__":
    target = Path(__file__).with_name("beta_comparison.json")
    results = []
    for name, (alpha, beta) in CASES.items():
        sys.stderr.write(f"{name}\n")
        results.append({"name": name, "alpha": alpha, "beta": beta, **compare(alpha, beta)})
    target.write_text(
        json.dumps({"source": "40-digit arithmetic, tests/golden/make_beta_comparison.py", "cases": results}, indent=1)
        + "\n"
    )
