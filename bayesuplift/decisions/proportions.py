"""Exact comparison of conversion rates, for one experiment or for thousands in one array."""

import math
from typing import Any

import numpy as np
import xarray as xr
from numba import njit
from scipy.special import ndtri

from bayesuplift.decisions.beta_contrasts import contrast_cdf, contrast_quantile, contrast_tables
from bayesuplift.decisions.beta_integrals import all_within, compare, tables_of
from bayesuplift.dims import ARM
from bayesuplift.errors import ArgumentError, ArmNotFoundError, NumericalError, did_you_mean, is_finite_number, listed
from bayesuplift.priors import RatePrior

_WIDEST = 1.0 - 1e-9  # an interval beyond which the quadrature's own error is as large as a tail
_LARGEST_COUNT = 2**53  # the last integer below which float64 holds them all
_FEWEST_ARMS = 2
_IS_RATIO = np.array([False, True])  # difference, then ratio; read at run time, as numba compiles a literal apart


@njit(cache=True)
def _compare_all(
    alpha: np.ndarray,
    beta: np.ndarray,
    control: int,
    lower_is_better: bool,
    tail: float,
    z: float,
    rope: float,
    out: np.ndarray,
    together: np.ndarray,
) -> None:
    """Fill out[quantity, experiment, arm]; quantities in the order of `_QUANTITIES`. A rope of 0 asks for none."""
    for e in range(alpha.shape[0]):
        tables = tables_of(alpha[e], beta[e])
        compare(tables, alpha[e], beta[e], control, lower_is_better, out[0, e], out[1, e], out[2, e])
        if tail > 0.0 or rope > 0.0:
            _contrast_all(contrast_tables(tables), alpha[e], beta[e], control, tail, z, rope, out[3:, e])
        if rope > 0.0:
            together[e] = all_within(tables, rope)


@njit(cache=True)
def _contrast_all(
    tables: tuple,
    alpha: np.ndarray,
    beta: np.ndarray,
    control: int,
    tail: float,
    z: float,
    rope: float,
    out: np.ndarray,
) -> None:
    """Fill one experiment's out[quantity, arm], from `difference_lower` on; the control's own entries are exact."""
    for k in range(alpha.size):
        if k == control:
            out[0:4, k] = 0.0
            out[4, k] = 1.0
            continue
        if tail > 0.0:
            for kind in range(2):
                ratio = _IS_RATIO[kind]
                for end in range(2):
                    q, start = (tail, z) if end == 0 else (1.0 - tail, -z)
                    value = contrast_quantile(tables, alpha, beta, k, control, ratio, q, start)
                    out[2 * kind + end, k] = math.expm1(value) if ratio else value
        if rope > 0.0:
            upper = contrast_cdf(tables, k, control, _IS_RATIO[0], rope)[0]
            out[4, k] = max(upper - contrast_cdf(tables, k, control, _IS_RATIO[0], -rope)[0], 0.0)


_QUANTITIES = (
    "prob_best",
    "expected_loss",
    "prob_beats_control",
    "difference_lower",
    "difference_upper",
    "relative_lift_lower",
    "relative_lift_upper",
    "prob_rope",
)
_INTERVALS = _QUANTITIES[3:7]


def compare_betas(
    alpha: np.ndarray,
    beta: np.ndarray,
    *,
    control: int,
    higher_is_better: bool,
    rope: float | None,
    prob: float | None,
) -> dict[str, np.ndarray]:
    """Compare independent Beta posteriors.

    Parameters
    ----------
    alpha, beta
        (..., arm), positive.
    control
        Position of the control.
    higher_is_better
        Whether a higher rate is the better one.
    rope
        Half-width of the region of practical equivalence, in rates, or none.
    prob
        Mass of the equal-tailed intervals; with none, intervals are left out, which takes two thirds of the time.

    Returns
    -------
    dict
        The variables of `compare_proportions`, each (..., arm), and with a ROPE `prob_all_equivalent` (...): the
        probability that all arms lie within it of the best.
    """
    shape = alpha.shape
    flat_alpha = np.ascontiguousarray(alpha, dtype=np.float64).reshape(-1, shape[-1])
    flat_beta = np.ascontiguousarray(beta, dtype=np.float64).reshape(-1, shape[-1])
    out = np.zeros((len(_QUANTITIES), *flat_alpha.shape))
    together = np.zeros(flat_alpha.shape[0])
    tail = 0.0 if prob is None else (1.0 - prob) / 2.0
    z = 0.0 if prob is None else float(ndtri(tail))
    _compare_all(flat_alpha, flat_beta, control, not higher_is_better, tail, z, rope or 0.0, out, together)
    if not np.isfinite(out).all():
        where = np.argwhere(~np.isfinite(out))[0]
        raise NumericalError(
            f"{_QUANTITIES[where[0]]} of arm {where[2]} did not converge at Beta({flat_alpha[where[1], where[2]]:g}, "
            f"{flat_beta[where[1], where[2]]:g}) against Beta({flat_alpha[where[1], control]:g}, "
            f"{flat_beta[where[1], control]:g}); give a prior that is less extreme"
        )
    result = {name: column.reshape(shape) for name, column in zip(_QUANTITIES, out, strict=True)}
    if rope is None:
        del result["prob_rope"]
    else:
        result["prob_all_equivalent"] = together.reshape(shape[:-1])
    if prob is None:
        for name in _INTERVALS:
            del result[name]
    mean = alpha / (alpha + beta)
    result["difference"] = mean - mean[..., [control]]
    result["relative_lift"] = _mean_relative_lift(alpha, beta, mean, control)
    return result


def _mean_relative_lift(alpha: np.ndarray, beta: np.ndarray, mean: np.ndarray, control: int) -> np.ndarray:
    """E[rate_a] E[1 / rate_c] - 1 for independent rates; infinite where the control's alpha is at most 1."""
    control_alpha = alpha[..., [control]]
    finite = control_alpha > 1.0
    inverse = np.where(
        finite, (control_alpha + beta[..., [control]] - 1.0) / np.where(finite, control_alpha - 1.0, 1.0), np.inf
    )
    lift = mean * inverse - 1.0
    lift[..., control] = 0.0
    return lift


def compare_proportions(
    successes: Any,
    trials: Any,
    *,
    prior: RatePrior = RatePrior(),  # noqa: B008 -- frozen, and the signature shows it
    control: int | str = 0,
    higher_is_better: bool = True,
    rope: float | None = None,
    prob: float | None = 0.95,
) -> xr.Dataset:
    """Compare conversion rates exactly: Beta posteriors by quadrature, no draws.

    Parameters
    ----------
    successes, trials
        (..., arm) counts of conversions and of units, of one shape. Plain arrays, or `xarray.DataArray` with a dimension
        `arm`, whose coordinates are kept.
    prior
        Prior of every arm's rate.
    control
        The reference arm: its label, or its position where arms have no labels.
    higher_is_better
        Whether a higher rate is the better one. Turns P(best), P(beats control) and expected loss; differences and lifts
        stay treatment against control.
    rope
        Half-width of the region of practical equivalence, in rates (0.001 is 0.1 percentage points).
    prob
        Mass of the equal-tailed credible intervals; `None` leaves them out.

    Returns
    -------
    xarray.Dataset
        Over (..., arm): `prob_best`, `expected_loss` (in rates), `prob_beats_control` (0 for the control itself),
        `difference` and `relative_lift` (posterior means; the mean lift is infinite where the control's posterior has
        alpha <= 1) with `_lower` and `_upper`, and with a ROPE `prob_rope`, P(abs(rate - control's rate) <= rope), and
        `prob_all_equivalent` over (...), P(all arms within the ROPE of the best). Probabilities are exact to 1e-10,
        losses of 1e-8 and more to 8 digits, interval ends to 1e-9 of mass, up to 2e8 units and 50 arms and under
        priors with parameters of at least 1/2. With a parameter of 0.1 probabilities are exact to 1e-9.

    Raises
    ------
    ArgumentError
        Shapes that differ, fewer than two arms, counts that are negative, fractional, missing or infinite, conversions
        above trials, an experiment without a single trial, or an option outside its range.
    ArmNotFoundError
        No such control.

    Notes
    -----
    P(best_k) = int f_k prod_{j!=k} F_j and loss_k = int F_k (1 - prod_{j!=k} F_j): Chris Stucchio (2015),
    Bayesian A/B Testing at VWO, sections 4 and 5, for two arms; here for any number, with the product taken tail by tail.

    Examples
    --------
    >>> exact = compare_proportions([120, 151], [1000, 1000])
    >>> round(float(exact.prob_best[1]), 4)
    0.9785
    """
    if not isinstance(prior, RatePrior):
        raise ArgumentError(f"prior = {prior!r}; give a RatePrior, such as RatePrior(1, 1)")
    y, n, template = _counts(successes, trials)
    check_options(rope=rope, prob=prob, higher_is_better=higher_is_better)
    position = _position(control, template)
    result = compare_betas(
        prior.alpha + y, prior.beta + (n - y), control=position, higher_is_better=higher_is_better, rope=rope, prob=prob
    )
    every = template.dims
    dataset = xr.Dataset(
        {name: (every if values.ndim == len(every) else every[:-1], values) for name, values in result.items()},
        coords=template.coords,
        attrs={"prior": str(prior), "method": "closed form, by quadrature", "higher_is_better": int(higher_is_better)},
    )
    if prob is not None:
        dataset.attrs["prob"] = prob
    if rope is not None:
        dataset.attrs["rope"] = rope
    return dataset


def check_options(*, rope: float | None, prob: float | None, higher_is_better: bool) -> None:
    """Refuse a ROPE or an interval's mass outside its range."""
    if rope is not None and not (is_finite_number(rope) and rope > 0.0):
        raise ArgumentError(f"rope = {rope!r}; give a positive half-width in outcome units, or None for no ROPE")
    if not isinstance(higher_is_better, bool | np.bool_):
        raise ArgumentError(f"higher_is_better = {higher_is_better!r}; give True or False")
    if prob is not None and not (is_finite_number(prob) and 0.0 < prob <= _WIDEST):
        raise ArgumentError(f"prob = {prob!r}; give the interval's mass, between 0 and 1, such as 0.95")


def _counts(successes: Any, trials: Any) -> tuple[np.ndarray, np.ndarray, xr.DataArray]:
    """Both counts as float arrays (..., arm), and an array with their dims and coordinates."""
    if isinstance(successes, xr.DataArray) and isinstance(trials, xr.DataArray):
        y, n, template = _labelled(successes, trials)
    elif isinstance(successes, xr.DataArray) or isinstance(trials, xr.DataArray):
        raise ArgumentError("successes and trials must both be plain arrays, or both xarray.DataArray")
    else:
        y, n = _as_array("successes", successes), _as_array("trials", trials)
        template = None
    if y.shape != n.shape:
        raise ArgumentError(f"successes has shape {y.shape} and trials {n.shape}; give one of each an arm")
    if y.ndim == 0 or y.shape[-1] < _FEWEST_ARMS:
        raise ArgumentError(f"shape {y.shape}: give at least two arms in the last dimension")
    if template is None:
        leading = ["experiment"] if y.ndim == 2 else [f"experiment_{i}" for i in range(y.ndim - 1)]  # noqa: PLR2004
        template = xr.DataArray(y, dims=[*leading, ARM])
    if ARM not in template.coords:
        template = template.assign_coords({ARM: np.arange(y.shape[-1])})
    y, n = y.astype(np.float64), n.astype(np.float64)
    _refuse_what_is_no_count(y, n)
    return y, n, template


def _labelled(successes: xr.DataArray, trials: xr.DataArray) -> tuple[np.ndarray, np.ndarray, xr.DataArray]:
    for name, given in (("successes", successes), ("trials", trials)):
        if ARM not in given.dims:
            raise ArgumentError(f"{name} has dimensions {listed(given.dims)}; one must be called 'arm'")
    if set(successes.dims) != set(trials.dims):
        raise ArgumentError(
            f"successes has dimensions {listed(successes.dims)} and trials {listed(trials.dims)}; give both the same"
        )
    try:
        successes, trials = xr.align(successes, trials, join="exact")
    except ValueError as error:
        raise ArgumentError(f"successes and trials have different coordinates: {error}") from error
    template = successes.transpose(..., ARM)
    if ARM in template.coords:
        labels = template.coords[ARM].values.tolist()
        twice = [label for i, label in enumerate(labels) if label in labels[:i]]
        if twice:
            raise ArgumentError(f"arm {twice[0]!r} stands twice among {listed(labels)}; give each arm one label")
    y, n = template.values, trials.transpose(*template.dims).values
    return _as_array("successes", y), _as_array("trials", n), template


def _refuse_what_is_no_count(y: np.ndarray, n: np.ndarray) -> None:
    for name, values in (("successes", y), ("trials", n)):
        _refuse(~np.isfinite(values), values, f"{name} is missing or infinite")
        _refuse(values < 0, values, f"{name} is negative")
        _refuse(values != np.floor(values), values, f"{name} is not a whole number")
        _refuse(values > _LARGEST_COUNT, values, f"{name} is above 2^53, beyond which counts are not exact")
    _refuse(y > n, y, "successes exceeds trials")
    _refuse(n.sum(axis=-1) == 0, n.sum(axis=-1), "an experiment has no trial in any arm")


def _as_array(name: str, given: Any) -> np.ndarray:
    try:
        values = np.asarray(given)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{name} is not a rectangular array: {error}") from error
    if values.dtype.kind not in "biuf":
        raise ArgumentError(f"{name} holds {values.dtype}; give counts")
    return values


def _refuse(bad: np.ndarray, values: np.ndarray, fault: str) -> None:
    if bad.any():
        places = np.argwhere(bad)
        shown = listed((f"{tuple(int(i) for i in place)}: {values[tuple(place)]:g}" for place in places[:3]), limit=3)
        raise ArgumentError(f"{fault} at {len(places)} place(s); first {shown}")


def _position(control: int | str, template: xr.DataArray) -> int:
    labels = template.coords[ARM].values.tolist()
    if control in labels and not isinstance(control, bool):
        return int(labels.index(control))
    raise ArmNotFoundError(f"no arm {control!r}. Arms: {listed(labels)}.{did_you_mean(control, labels)}")
