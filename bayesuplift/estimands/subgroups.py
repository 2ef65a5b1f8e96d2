"""Which groups of units benefit more than the rest: a search among many, each told with its uncertainty."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr

from bayesuplift.dims import CHAIN, DRAW, N
from bayesuplift.errors import ArgumentError, check_whole, is_finite_number
from bayesuplift.estimands.explained_words import chance, figure, heading
from bayesuplift.estimands.subgroup_candidates import Candidates
from bayesuplift.estimands.summary import equal_tails, summarize
from bayesuplift.estimands.unit_covariates import known_of
from bayesuplift.estimands.unit_effects import explainable
from bayesuplift.posterior.diagnostics import effective_draws, event_error, monte_carlo_error

SUBGROUP: Final = "subgroup"

_TENTH: Final = 0.1


@dataclass(frozen=True, eq=False)
class Subgroups:
    """Groups of units whose average effect differs most from that of the rest.

    Parameters
    ----------
    draws
        Average effect in the subgroup less that in the rest, (chain, draw, subgroup), outcome units.
    table
        Over (subgroup,), from the largest mean difference to the smallest: `rule` in words; `n`, its units, and `share` of
        all; `mean`, `mcse`, `sd`, `lower`, `upper`, `prob_positive`, P(difference > 0), and their errors as of `summarize`;
        `prob_beyond`, P(|difference| > negligible), and `prob_largest`, P(no listed subgroup has a larger difference), with
        their errors; `effect`, the average effect in the subgroup, with its error and interval. Beside them
        `expected_largest`, E[largest difference of those listed] with its error, and `considered`, from how many these
        were chosen.
    left_out
        Covariates that were not asked for, and why.
    """

    draws: xr.DataArray
    table: xr.Dataset
    left_out: dict[str, str]

    def to_dataset(self) -> xr.Dataset:
        """The subgroups, over (subgroup,)."""
        return self.table.copy()

    def __str__(self) -> str:
        table = self.table
        lines = [f"Effect of {heading(self.draws, table)}", "Average effect in the subgroup less that in the rest:"]
        for place in range(table.sizes[SUBGROUP]):
            row = table.isel({SUBGROUP: place})
            lines.append(
                f"{row['rule'].item()}: {figure(row)}, P(> 0) {_chance(row, 'prob_positive')}, P(beyond negligible) "
                f"{_chance(row, 'prob_beyond')}, {int(row[N]):,} units ({float(row['share']):.0%})"
            )
        first = table.isel({SUBGROUP: 0})
        lines.append(
            f"{table.sizes[SUBGROUP]} of {int(table['considered']):,} subgroups. The first has the largest difference of "
            f"these with probability {_chance(first, 'prob_largest')}; the largest, whichever it is, is expected to be "
            f"{float(table['expected_largest']):.3g} ± {float(table['expected_largest_mcse']):.1g}."
        )
        return "\n".join(lines)


def subgroups(
    posterior: xr.DataTree,
    units: Any,
    *,
    arm: str | None = None,
    covariates: str | Iterable[str] | None = None,
    pairs: bool = True,
    least_units: int | None = None,
    most: int = 20,
    overlap: float = 0.9,
    negligible: float | None = None,
    prob: float = 0.95,
    unit: str | None = None,
) -> Subgroups:
    """Search for groups of units whose average effect differs from that of the rest.

        d_g = sum_{i in g} tau_i / n_g - sum_{i not in g} tau_i / (n - n_g),     of every draw

    Candidates are the levels of text covariates and segment factors, halves and thirds of numbers, and what two of these,
    of different covariates, have in common. Those with the largest posterior mean difference, in either direction, are
    kept, less those that are nearly the same units as one that is kept, or nearly all others, and less those of two
    conditions of which one alone has as large a difference.

    Every figure is a statement of one joint posterior. To look at many of them, and to pick the largest, changes none of
    them: given the data and the prior, the mean of the first row is what is expected of that very subgroup, although it
    was picked for being large. What holds it back is the prior alone. Where the model shrinks differences by as much as
    the data ask for, the picked one is not too large on average; under a flat prior, or one that lets effects differ more
    than they do, it is, as the largest of many raw differences would be.

    What this does not cover: that the first is the largest in truth, of which `prob_largest` and `expected_largest` speak
    (the largest, whichever it is, is expected to be larger than the first); that several rows hold at once, since each has
    a probability of its own; groups that were no candidates; and why they differ. Units of a group differ from the rest in
    more than its rule, and to change what the rule names need not change the effect. A finding that much rests on is
    checked on units that were not used to fit.

    Parameters
    ----------
    posterior
        A tree over units, made here or elsewhere.
    units
        Its units in its order: the `Experiment` that was fitted; or a path or any dataframe with their covariates.
    arm
        The treatment to explain; may be left out where there is one.
    covariates
        As of `effect_tree`.
    pairs
        Whether two conditions together make a candidate, too.
    least_units
        Units that a subgroup needs, and the rest; a twentieth of all where none are given.
    most
        Subgroups to list, at most.
    overlap
        From which share of units in common, of those in either, two groups are nearly the same: above 0, at most 1.
    negligible
        Difference, in outcome units, that is too small to matter. None for a tenth of the average effect, |mean tau| / 10,
        of each draw, as of `heterogeneity`.
    prob
        Mass of the equal-tailed credible intervals.
    unit
        Column of a dataframe that names the unit, to be compared with the posterior's.

    Returns
    -------
    Subgroups
        Printable as text.

    Raises
    ------
    PosteriorError
        The tree of draws does not follow the schema.
    ArgumentError
        As `effect_tree`; or no group has enough units.
    ArmNotFoundError, ColumnNotFoundError, DataError
        No such arm or covariate, or a covariate with a missing value.

    Notes
    -----
    Selection and posteriors: Dawid (1994), Selection paradoxes of Bayesian inference, IMS Lecture Notes 24, 211-220; Senn
    (2008), A note concerning a selection "paradox" of Dawid's, The American Statistician 62(3), 206-210. Shrinkage in
    place of corrections: Gelman, Hill and Yajima (2012), Why we (usually) don't have to worry about multiple comparisons,
    Journal of Research on Educational Effectiveness 5(2), 189-211.
    """
    _check_options(pairs, least_units, most, overlap, negligible)
    equal_tails(prob)
    effects = explainable(posterior, arm)
    known = known_of(effects, units, covariates, unit=unit)
    least = effects.least(least_units)
    found = Candidates.of(
        known.covariates,
        effects.moments.mean,
        least_units=least,
        pairs=bool(pairs),
        overlap=float(overlap),
        most=int(most),
    )
    if not found.groups:
        raise ArgumentError(
            f"no level, half, third or pair of these has {least:,} units, and the rest as many, of {len(effects):,}; lower "
            f"least_units"
        )
    n = np.array([int(group.members.sum()) for group in found.groups])
    inside = effects.projected(np.stack([group.members / k for group, k in zip(found.groups, n, strict=True)], axis=1))
    average = effects.moments.average[..., None]
    # the average of all is the weighted one of both sides: d = (inside - average) n / (n - n_g)
    values = (inside - average) * (len(effects) / (len(effects) - n))
    order = np.argsort(-values.mean(axis=(0, 1)), kind="stable")
    rules, n = [found.groups[i].rule for i in order], n[order]
    draws = effects.labelled(values[..., order], SUBGROUP, {SUBGROUP: rules}, scale="difference between units")
    within = effects.labelled(inside[..., order], SUBGROUP, {SUBGROUP: rules})
    limit = _TENTH * abs(effects.labelled(effects.moments.average)) if negligible is None else float(negligible)
    table = summarize(draws, prob=prob).drop_vars(["prob_better", "prob_better_mcse"])
    table = table.assign({"rule": (SUBGROUP, rules), N: (SUBGROUP, n), "share": (SUBGROUP, n / len(effects))})
    table = table.assign(_events(draws, limit)).assign(_effect(within, prob))
    table["considered"] = found.considered
    table.attrs = {
        **draws.attrs,
        "prob": prob,
        "negligible": "a tenth of the average effect" if negligible is None else float(negligible),
    }
    return Subgroups(draws, table, dict(known.left_out))


def _chance(row: xr.Dataset, name: str) -> str:
    return chance(float(row[name]), float(row[f"{name}_mcse"]))


def _events(draws: xr.DataArray, limit: xr.DataArray | float) -> dict[str, xr.DataArray]:
    """Probabilities that a difference matters and that it is the largest; and the largest that is expected."""
    largest = draws.max(SUBGROUP)
    unseen = 1.0 / effective_draws(draws)
    found = {"expected_largest": largest.mean((CHAIN, DRAW)), "expected_largest_mcse": monte_carlo_error(largest)}
    for name, event in (("prob_beyond", abs(draws) > limit), ("prob_largest", draws >= largest)):
        found[name] = event.mean((CHAIN, DRAW))
        found[f"{name}_mcse"] = event_error(event.astype(np.float64), unseen)
    return {name: values.drop_attrs() for name, values in found.items()}


def _effect(within: xr.DataArray, prob: float) -> dict[str, xr.DataArray]:
    """The average effect in each subgroup."""
    table = summarize(within, prob=prob)
    names = {"mean": "effect", "mcse": "effect_mcse"}
    names |= {name: f"effect_{name}" for name in ("lower", "lower_mcse", "upper", "upper_mcse")}
    return {new: table[old] for old, new in names.items()}


def _check_options(pairs: object, least_units: object, most: object, overlap: object, negligible: object) -> None:
    if not isinstance(pairs, bool | np.bool_):
        raise ArgumentError(f"pairs = {pairs!r}; give True or False")
    if least_units is not None:
        check_whole("least_units", least_units, 1)
    check_whole("most", most, 1)
    if not is_finite_number(overlap) or not 0.0 < overlap <= 1.0:  # type: ignore[operator]
        raise ArgumentError(
            f"overlap = {overlap!r}; give a share of units in common, above 0 and at most 1, such as 0.9"
        )
    if negligible is not None and not (is_finite_number(negligible) and negligible >= 0):  # type: ignore[operator]
        raise ArgumentError(f"negligible = {negligible!r}; give a difference in outcome units, 0 or more, or None")
