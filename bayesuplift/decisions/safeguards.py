"""What a posterior itself says against a verdict: how its units came into their arms, and what its priors alone decide."""

import xarray as xr

from bayesuplift.data.checks import Check, randomization, sample_ratio
from bayesuplift.dims import (
    ARM,
    CHAIN,
    CONSTANT_DATA,
    DRAW,
    EXPOSURE,
    MEAN_OUTCOME,
    POSTERIOR,
    SEGMENT,
    TOTAL,
    UNIT,
    N,
)
from bayesuplift.errors import listed
from bayesuplift.estimands.population import population_mean
from bayesuplift.posterior.schema import group, mean_outcome, observed_cells
from bayesuplift.posterior.tail import tail_check

# Beside an effect's own uncertainty a push of this many of its standard deviations can turn a verdict.
_LARGEST_PUSH = 0.5


def own_checks(posterior: xr.DataTree) -> list[Check]:
    """What the posterior itself says of how the units came into their arms, and of the tail that its means rest on."""
    found = []
    if posterior.attrs.get("assignment") == "observational":
        found.append(randomization("observational"))
    observed = observed_cells(posterior)
    if observed is None:
        return found
    n = observed[N].transpose(..., ARM)
    units = n.sum([dim for dim in n.dims if dim != ARM])
    found += _empty_cells(n, units, pooled=_borrows(posterior))
    if not found:
        found += _drawn_apart(posterior, observed)
    if "positives" in observed and float(observed["positives"].sum()) == 0:
        sentence = "Nobody bought anything in any arm: all amounts are the prior's."
        found.append(Check(name="amounts", passed=False, facts={"buyers": 0}, sentence=sentence))
    tail = tail_check(posterior)
    if tail is not None:
        found.append(tail)
    constant = group(posterior, CONSTANT_DATA)
    if constant is not None and "intended_split" in constant and float(units.sum()) > 0:
        shares = constant["intended_split"]
        found.append(
            sample_ratio(
                {str(arm): int(units.sel({ARM: arm})) for arm in units[ARM].to_numpy()},
                {str(arm): float(shares.sel({ARM: arm})) for arm in shares[ARM].to_numpy()},
            )
        )
    return found


def _borrows(posterior: xr.DataTree) -> bool:
    """Whether segments borrow from each other: pooled ones do, and averages of units whose effects are regularised."""
    pooled = posterior.attrs.get("pooled")
    return pooled == SEGMENT or (pooled == UNIT and "grouped_by" in posterior.attrs)


def _drawn_apart(posterior: xr.DataTree, observed: xr.Dataset) -> list[Check]:
    """Arms that the priors of many small cells move by unlike amounts, in an average over segments that are not pooled.

    A prior worth a unit or two a cell weighs more in an arm with few units a cell than in one with many: the average of
    rates over segments then differs between arms that the data find alike. Fails above half a posterior standard deviation.
    """
    dims = posterior[POSTERIOR].to_dataset()[MEAN_OUTCOME].dims
    if SEGMENT not in dims or "model" not in posterior.attrs or _borrows(posterior):
        return []
    if not {SEGMENT, ARM} <= set(observed[N].dims) or TOTAL not in observed:
        return []
    draws = mean_outcome(posterior)
    per = observed[EXPOSURE if EXPOSURE in observed else N]
    share = per.sum(ARM) / per.sum()
    of_data = (share * observed[TOTAL] / per).sum(SEGMENT)
    averaged = population_mean(posterior, draws)
    gap = (averaged.mean((CHAIN, DRAW)) - of_data.sel({ARM: averaged[ARM]})).transpose(ARM)
    up, down = str(gap.idxmax(ARM).item()), str(gap.idxmin(ARM).item())
    apart = float(gap.max() - gap.min())
    width = float((averaged.sel({ARM: up}) - averaged.sel({ARM: down})).std())
    if apart <= _LARGEST_PUSH * width:
        return []
    sentence = (
        f"The priors of {draws.sizes[SEGMENT]} segments move {up} and {down} apart by {apart:.3g}, {apart / width:.1f} "
        "posterior standard deviations of their difference: cells are too small to be averaged one by one. Compare the "
        "arms without segments, or with a model that pools them."
    )
    return [Check(name="segment_priors", passed=False, facts={"apart": apart, "sd": width}, sentence=sentence)]


def _empty_cells(n: xr.DataArray, units: xr.DataArray, *, pooled: bool) -> list[Check]:
    """An arm, or an arm within a segment, that nobody is in: its rate is the prior's, and no data speak for it.

    A model that pools segments answers for an empty cell from the other segments, with the width that this has: only an arm
    that is empty everywhere has nobody to learn from.
    """
    empty = [str(arm) for arm in units[ARM].to_numpy() if float(units.sel({ARM: arm})) == 0]
    if empty:
        sentence = f"No unit is in {listed(empty)}: its figures are the prior's alone."
        return [Check(name="units", passed=False, facts={"empty_arms": empty}, sentence=sentence)]
    if pooled or SEGMENT not in n.dims:
        return []
    lacking = [str(label) for label in n[SEGMENT].to_numpy() if bool((n.sel({SEGMENT: label}) == 0).any())]
    if not lacking:
        return []
    sentence = (
        f"An arm has no unit in {listed(lacking, 3)}: an average over segments would rest on the prior there. Compare the "
        "arms without segments, leave these out, or fit a model that pools segments."
    )
    return [Check(name="units", passed=False, facts={"segments_without_an_arm": lacking}, sentence=sentence)]
