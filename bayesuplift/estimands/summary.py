"""Effects in numbers that a reader takes away, each with its Monte Carlo error."""

import numpy as np
import xarray as xr

from bayesuplift.dims import ARM, CHAIN, DRAW
from bayesuplift.errors import ArgumentError, ArmNotFoundError, is_finite_number, listed
from bayesuplift.posterior.diagnostics import effective_draws, event_error, monte_carlo_error, quantile_error


def summarize(
    effect: xr.DataArray,
    *,
    prob: float = 0.95,
    above: float | xr.DataArray | None = None,
    higher_is_better: bool = True,
) -> xr.Dataset:
    """Posterior mean, spread and probabilities of an effect, over the dimensions beside chain and draw.

    Parameters
    ----------
    effect
        Draws (chain, draw, ...), as of `ate`, `gate`, `cate`, `effect_spread` or `Economics.net_gain`.
    prob
        Mass of the equal-tailed credible intervals.
    above
        A number in the effect's units, or one an arm (arm,) such as `Economics.breakeven`; labels are matched.
    higher_is_better
        Whether a higher outcome is the better one: decides what `prob_better` counts, and nothing else.

    Returns
    -------
    xarray.Dataset
        `mean`, `sd`, `lower`, `upper` in the effect's units; `prob_positive`, P(effect > 0); of a contrast `prob_better`,
        P(effect > 0), or P(effect < 0) where lower is better; with `above`, `prob_above`, P(effect > above). `mcse` is the
        error of the mean; every other but `sd` has `<name>_mcse`. Where all draws agree on a probability, its error is one
        in the effective number of draws: no event among the draws is not certainty.

    Raises
    ------
    ArgumentError
        What is given holds no draws of finite numbers, or an option is outside its range.
    ArmNotFoundError
        `above` lacks an arm of the effect.
    """
    check_draws(effect)
    lower, upper = equal_tails(prob)
    if not isinstance(higher_is_better, bool | np.bool_):
        raise ArgumentError(f"higher_is_better = {higher_is_better!r}; give True or False")
    events = {"prob_positive": effect > 0}
    if effect.attrs.get("scale") != "mean_outcome":
        events["prob_better"] = effect > 0 if higher_is_better else effect < 0
    if above is not None:
        events["prob_above"] = effect > _limits(above, effect)
    table = xr.Dataset(
        {"mean": effect.mean((CHAIN, DRAW)), "mcse": monte_carlo_error(effect), "sd": effect.std((CHAIN, DRAW), ddof=1)}
    )
    for name, q in (("lower", lower), ("upper", upper)):
        table[name] = effect.quantile(q, (CHAIN, DRAW)).drop_vars("quantile")
        table[f"{name}_mcse"] = quantile_error(effect, q)
    unseen = 1.0 / effective_draws(effect)
    for name, event in events.items():
        table[name] = event.mean((CHAIN, DRAW))
        table[f"{name}_mcse"] = event_error(event.astype(np.float64), unseen)
    for values in table.values():
        values.attrs = {}
    table.attrs = {**effect.attrs, "prob": prob, "higher_is_better": int(higher_is_better)}
    return table


def check_draws(effect: object) -> None:
    """Refuse what is not an array of draws.

    Raises
    ------
    ArgumentError
        It is no DataArray over chain and draw, has too few draws for a spread, or holds a missing or infinite number.
    """
    if not isinstance(effect, xr.DataArray):
        raise ArgumentError(
            f"an effect is an xarray.DataArray of draws, as ate, gate and cate return; this is {type(effect).__name__}"
        )
    if not {CHAIN, DRAW} <= set(effect.dims):
        raise ArgumentError(f"the effect has dimensions {listed(effect.dims) or 'none'}; expected chain, draw, …")
    if effect.dtype.kind != "f" or effect.sizes[CHAIN] * effect.sizes[DRAW] < 4:  # noqa: PLR2004 -- as fit's fewest
        raise ArgumentError(
            f"the effect holds {effect.size} values of {effect.dtype}; expected 4 draws of floats or more"
        )
    bad = int((~np.isfinite(effect)).sum())
    if bad:
        raise ArgumentError(f"the effect holds {bad:,} missing or infinite draws of {effect.size:,}")


def equal_tails(prob: object) -> tuple[float, float]:
    """Probabilities below the ends of an equal-tailed interval.

    >>> equal_tails(0.5)
    (0.25, 0.75)
    """
    if not is_finite_number(prob) or not 0.0 < prob < 1.0:  # type: ignore[operator]
        raise ArgumentError(f"prob = {prob!r}; give the interval's mass, between 0 and 1, such as 0.95")
    tail = (1.0 - float(prob)) / 2.0  # type: ignore[arg-type]
    return tail, 1.0 - tail


def _limits(above: object, effect: xr.DataArray) -> float | xr.DataArray:
    """What the effect is to exceed, for each of its labels."""
    if is_finite_number(above):
        return float(above)  # type: ignore[arg-type]
    if not isinstance(above, xr.DataArray) or not set(above.dims) <= set(effect.dims) - {CHAIN, DRAW}:
        shape = f" over {listed(above.dims)}" if isinstance(above, xr.DataArray) else ""
        raise ArgumentError(
            f"above is {type(above).__name__}{shape}; give a number, or a DataArray over dimensions of the effect beside "
            f"chain and draw: {listed(dim for dim in effect.dims if dim not in (CHAIN, DRAW)) or 'there are none'}"
        )
    if above.dtype.kind not in "fiu" or not bool(np.isfinite(above).all()):
        raise ArgumentError("above holds something that is not a finite number")
    for dim in above.dims:
        there, needed = (one[dim].to_numpy().tolist() for one in (above, effect))
        missing = [name for name in needed if name not in there]
        if missing:
            refusal = ArmNotFoundError if dim == ARM else ArgumentError
            raise refusal(f"above has no {dim} {listed(missing, 3)}, which the effect has; it has {listed(there)}")
        above = above.sel({dim: needed})
    return above.reset_coords(drop=True)
