"""P(best), expected loss and contrasts of independent Beta posteriors by quadrature: no draws, bit-identical reruns.

With f_k, F_k and S_k = 1 - F_k the density and the two tails of arm k,

    P(best_k) = int f_k prod_{j != k} F_j,
    loss_k    = E[max_j rate_j - rate_k] = int F_k (1 - prod_{j != k} F_j) d rate,

where 1 - prod F_j is accumulated from the S_j as a sum of positive terms, so that a tiny loss keeps its relative accuracy.
Every integral runs over the panels of all arms' tables together (`beta_table`), Gauss-Legendre in each.
"""

import math

import numpy as np
from numba import njit

from bayesuplift.decisions.beta_table import DEGREE, PANELS, clenshaw_many, panel_of, sort, tabulate, tail

_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(10)
_GAP_PANELS = 16  # where no arm has mass: only probabilities below 1e-17 come from there
_WIDEST = 1.2  # logits a panel
_FARTHEST_LOGIT = 60.0  # nearer to 0 or 1 than this a rate moves no sum


@njit(cache=True)
def tables_of(alpha: np.ndarray, beta: np.ndarray) -> tuple:
    """Tabulate every arm: (edges, density, integral, below, above, log_total)."""
    arms = alpha.size
    edges = np.empty((arms, PANELS + 1))
    density = np.empty((arms, PANELS, DEGREE))
    integral = np.empty((arms, PANELS, DEGREE + 1))
    below = np.empty((arms, PANELS))
    above = np.empty((arms, PANELS))
    log_total = np.empty(arms)
    for k in range(arms):
        log_total[k] = tabulate(alpha[k], beta[k], edges[k], density[k], integral[k], below[k], above[k])
    return edges, density, integral, below, above, log_total


@njit(cache=True)
def _union_edges(edges: np.ndarray) -> np.ndarray:
    """All arms' panel edges in one ascending list.

    Cut further are stretches without any arm's mass, and panels so wide that d rate / d logit is not smooth on them.
    """
    merged = edges.ravel().copy()
    sort(merged)
    pieces = np.empty(merged.size, dtype=np.int64)
    count = 0
    for i in range(merged.size - 1):
        middle = 0.5 * (merged[i] + merged[i + 1])
        pieces[i] = _GAP_PANELS
        for k in range(edges.shape[0]):
            if edges[k, 0] <= middle <= edges[k, -1]:
                pieces[i] = 1 + int(min((merged[i + 1] - merged[i]) / _WIDEST, _GAP_PANELS))
                break
        count += pieces[i]
    out = np.empty(count + 1)
    place = 0
    for i in range(merged.size - 1):
        for j in range(pieces[i]):
            out[place] = merged[i] + (merged[i + 1] - merged[i]) * j / pieces[i]
            place += 1
    out[place] = merged[-1]
    return out


@njit(cache=True)
def compare(
    tables: tuple,
    alpha: np.ndarray,
    beta: np.ndarray,
    control: int,
    lower_is_better: bool,
    best: np.ndarray,
    loss: np.ndarray,
    beats: np.ndarray,
) -> None:
    """Fill P(best), expected loss and P(better than the control) of one experiment, each (arm,).

    Where lower is better the two tails change places: P(best_k) = int f_k prod S_j, loss_k = int S_k (1 - prod S_j).
    """
    arms = alpha.size
    edges, density, integral, below, above, log_total = tables
    union = _union_edges(edges)
    place = np.zeros(arms, dtype=np.int64)
    points = _POINTS.size
    f = np.empty((arms, points))
    F = np.empty((arms, points))
    S = np.empty((arms, points))
    mass = np.empty(points)
    suffix = np.empty(arms + 1)
    suffix_missing = np.empty(arms + 1)
    best[:] = 0.0
    loss[:] = 0.0
    beats[:] = 0.0
    for panel in range(union.size - 1):
        half = 0.5 * (union[panel + 1] - union[panel])
        if half <= 0.0:
            continue
        middle = 0.5 * (union[panel + 1] + union[panel])
        for k in range(arms):
            if middle < edges[k, 0] or middle > edges[k, PANELS]:
                to_the_left = middle < edges[k, 0]
                for i in range(points):
                    f[k, i], beyond = tail(alpha[k], beta[k], log_total[k], middle + half * _POINTS[i])
                    F[k, i] = beyond if to_the_left else 1.0 - beyond
                    S[k, i] = 1.0 - beyond if to_the_left else beyond
                continue
            while middle > edges[k, place[k] + 1]:
                place[k] += 1
            own = place[k]
            own_half = 0.5 * (edges[k, own + 1] - edges[k, own])
            shift = (middle - 0.5 * (edges[k, own + 1] + edges[k, own])) / own_half
            scale = half / own_half
            clenshaw_many(density[k, own], shift, scale, _POINTS, f[k])
            clenshaw_many(integral[k, own], shift, scale, _POINTS, mass)
            for i in range(points):
                F[k, i] = below[k, own] + mass[i]
                # at the right end of the last panel the difference of equal masses may round below zero
                S[k, i] = max(above[k, own] - mass[i], 0.0)
        if lower_is_better:
            F, S = S, F
        for i in range(points):
            odds = math.exp(-abs(middle + half * _POINTS[i]))
            weight = half * _WEIGHTS[i]
            rate_weight = weight * odds / ((1.0 + odds) * (1.0 + odds))
            suffix[arms] = 1.0
            suffix_missing[arms] = 0.0
            for k in range(arms - 1, -1, -1):
                suffix[k] = suffix[k + 1] * F[k, i]
                suffix_missing[k] = suffix_missing[k + 1] + suffix[k + 1] * S[k, i]
            prefix = 1.0
            prefix_missing = 0.0
            for k in range(arms):
                best[k] += weight * f[k, i] * prefix * suffix[k + 1]
                loss[k] += rate_weight * F[k, i] * (prefix_missing + prefix * suffix_missing[k + 1])
                beats[k] += weight * f[k, i] * F[control, i]
                prefix_missing += prefix * S[k, i]
                prefix *= F[k, i]
        if lower_is_better:
            F, S = S, F
    beats[control] = 0.0


@njit(cache=True)
def _mass_below(tables: tuple, k: int, rate: float) -> float:
    """P(arm k's rate <= rate)."""
    edges, _, integral, below, _, _ = tables
    if rate <= 0.0:
        return 0.0
    x = math.log(rate / (1.0 - rate)) if rate < 1.0 else math.inf
    if x <= edges[k, 0]:
        return 0.0
    if x >= edges[k, PANELS]:
        return 1.0
    own = panel_of(edges[k], x)
    own_half = 0.5 * (edges[k, own + 1] - edges[k, own])
    mass = np.empty(1)
    clenshaw_many(integral[k, own], (x - 0.5 * (edges[k, own + 1] + edges[k, own])) / own_half, 0.0, _POINTS[:1], mass)
    return below[k, own] + mass[0]


@njit(cache=True)
def _edges_within(edges: np.ndarray, width: float) -> np.ndarray:
    """All arms' panel edges, and the same carried up by the width, in pieces of at most `_WIDEST` logits; ascending.

    Pieces of the arm that is carried, too: where its rate nears 0, its distribution function has a kink or is steep.
    """
    fine = np.empty(edges.size + edges.shape[0] * (1 + int(2.0 * _FARTHEST_LOGIT / _WIDEST)))
    count = 0
    for k in range(edges.shape[0]):
        for panel in range(PANELS + 1):
            x = min(max(edges[k, panel], -_FARTHEST_LOGIT), _FARTHEST_LOGIT)
            before = x if panel == 0 else min(max(edges[k, panel - 1], -_FARTHEST_LOGIT), _FARTHEST_LOGIT)
            pieces = 1 + int((x - before) / _WIDEST)
            for piece in range(1, pieces + 1):
                fine[count] = before + (x - before) * piece / pieces
                count += 1
    every = np.empty(2 * count + edges.size)
    place = 0
    for k in range(edges.shape[0]):  # beyond the farthest logit, too, a posterior may have mass
        for panel in range(PANELS + 1):
            every[place] = edges[k, panel]
            place += 1
    for x in fine[:count]:
        every[place] = x
        place += 1
        rate, complement = 1.0 / (1.0 + math.exp(-x)) + width, 1.0 / (1.0 + math.exp(x)) - width
        if complement > 0.0:
            every[place] = math.log(rate / complement)
            place += 1
    every = every[:place]
    sort(every)
    return every


@njit(cache=True)
def all_within(tables: tuple, width: float) -> float:
    """P(highest rate - lowest rate <= width) = sum_k int f_k(t) prod_{j != k} (F_j(t) - F_j(t - width)) dt."""
    edges, density, _, _, _, _ = tables
    arms = edges.shape[0]
    merged = _edges_within(edges, width)
    f = np.empty(_POINTS.size)
    total = 0.0
    for k in range(arms):
        for panel in range(merged.size - 1):
            half = 0.5 * (merged[panel + 1] - merged[panel])
            middle = 0.5 * (merged[panel + 1] + merged[panel])
            if half <= 0.0 or middle < edges[k, 0] or middle > edges[k, PANELS]:
                continue
            own = panel_of(edges[k], middle)
            own_half = 0.5 * (edges[k, own + 1] - edges[k, own])
            shift = (middle - 0.5 * (edges[k, own + 1] + edges[k, own])) / own_half
            clenshaw_many(density[k, own], shift, half / own_half, _POINTS, f)
            for i in range(_POINTS.size):
                rate = 1.0 / (1.0 + math.exp(-(middle + half * _POINTS[i])))
                product = half * _WEIGHTS[i] * f[i]
                for j in range(arms):
                    if j != k:
                        product *= _mass_below(tables, j, rate) - _mass_below(tables, j, rate - width)
                total += product
    return min(total, 1.0)
