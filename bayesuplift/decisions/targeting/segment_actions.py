"""Where to expand, to hold and to reduce a treatment: segments by the probability that treating them gains."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import xarray as xr

from bayesuplift.decisions import wording
from bayesuplift.dims import ARM, SEGMENT, N
from bayesuplift.errors import ArgumentError, is_finite_number
from bayesuplift.estimands.conditional import cate, gate
from bayesuplift.estimands.summary import summarize
from bayesuplift.estimands.value import Economics

EXPAND: Final = "expand"
HOLD: Final = "hold"
REDUCE: Final = "reduce"
_ERRORS_TO_SPARE: Final = 2.0  # Monte Carlo errors that a probability has to be beyond a limit by


def segment_actions(
    posterior: xr.DataTree,
    economics: Economics,
    *,
    by: str | Iterable[str] | None = None,
    prob: float = 0.95,
    sure: float = 0.9,
    population: Any = None,
    weight: str = N,
) -> xr.Dataset:
    """What to do about each treatment in each segment, (segment, arm), by P(net gain > 0), which is P(effect > breakeven).

        expand   P(net gain > 0) >= sure
        reduce   P(net gain > 0) <= 1 - sure
        hold     otherwise

    both with two Monte Carlo errors to spare.

    Parameters
    ----------
    posterior
        Over segments, or over units with factors.
    economics
        What outcomes are worth and arms cost.
    by
        Factors to group by; segments one by one if left out. Of units it is needed.
    prob
        Mass of the equal-tailed intervals.
    sure
        How sure one has to be, from above 1/2 to below 1.
    population, weight
        As in `gate`, where `by` is given.

    Returns
    -------
    xarray.Dataset
        `effect`, `effect_lower`, `effect_upper` (outcome units), `net_gain`, `net_gain_lower`, `net_gain_upper` (money per
        unit), `prob_gain`, each with `_mcse`; `expected_net_gain`, of treating the whole segment, money, where its units
        are known; `share` of all units; `action` and `reason` (text). Coordinate `n`. Attributes `breakeven`: text by arm.

    Raises
    ------
    ArgumentError
        `sure` is outside its range, units without `by`, or a population without `by`.
    PosteriorError, FactorNotFoundError, ArmNotFoundError, DataError, ColumnNotFoundError
        As `gate`, `cate` and `Economics.net_gain`.
    """
    if not is_finite_number(sure) or not 0.5 < sure < 1.0:  # noqa: PLR2004 -- at one half both actions would hold
        raise ArgumentError(f"sure = {sure!r}; give a probability above 0.5 and below 1, such as 0.9")
    if by is None and population is not None:
        raise ArgumentError("a population re-weighs segments within groups; name the factors to group by: by=...")
    effect = cate(posterior) if by is None else gate(posterior, by=by, population=population, weight=weight)
    if SEGMENT not in effect.dims:
        raise ArgumentError("the posterior is over units; name the factors that make segments of them: by='channel'")
    gain = economics.net_gain(effect)
    told, worth = summarize(effect, prob=prob), summarize(gain, prob=prob)
    chance, error = worth["prob_positive"], worth["prob_positive_mcse"]
    table = xr.Dataset(
        {
            **{new: told[old] for old, new in _named("effect")},
            **{new: worth[old] for old, new in _named("net_gain")},
            "prob_gain": chance,
            "prob_gain_mcse": error,
        }
    )
    if N in effect.coords:
        table["expected_net_gain"] = worth["mean"] * effect[N]
        table["share"] = effect[N] / effect[N].sum()
    spare = _ERRORS_TO_SPARE * error
    surely = [chance - spare >= sure, chance + spare <= 1.0 - sure]
    action = chance.copy(data=np.select([one.to_numpy() for one in surely], [EXPAND, REDUCE], HOLD))
    table["action"] = action
    table["reason"] = xr.apply_ufunc(np.vectorize(_reason), action, chance, error, worth["mean"], sure)
    limits = economics.breakeven(posterior)
    kind = posterior.attrs.get("kind", "continuous")
    table.attrs = {
        "economics": str(economics),
        "prob": prob,
        "sure": sure,
        "outcome": str(effect.attrs["outcome"]),
        "control": str(effect.attrs["control"]),
        "breakeven": "; ".join(
            f"{arm}: {wording.stated(float(limit), kind)}"
            for arm, limit in zip(limits[ARM].to_numpy(), limits, strict=True)
        ),
    }
    return table


def _named(what: str) -> list[tuple[str, str]]:
    """Columns of a summary, and what they are called here."""
    ends = ("lower", "lower_mcse", "upper", "upper_mcse")
    return [("mean", what), ("mcse", f"{what}_mcse"), *((end, f"{what}_{end}") for end in ends)]


def _reason(action: str, chance: float, error: float, gain: float, sure: float) -> str:
    """Why, in a sentence."""
    told = wording.probability(chance, error)
    if action == EXPAND:
        return f"treating gains with probability {told}, {gain:.3g} a unit on average"
    if action == REDUCE:
        return f"treating gains with probability {told} only; it loses {-gain:.3g} a unit on average"
    return f"treating gains with probability {told}: {sure:.0%} sure neither of a gain nor of a loss; a test would tell"
