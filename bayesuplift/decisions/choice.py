"""Which arm for everybody: P(best), expected loss and a verdict, from any posterior."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Required, TypedDict

import numpy as np
import xarray as xr

from bayesuplift.data.checks import Check
from bayesuplift.decisions.comparison import Contrast, compare_closed_form, compare_draws, compare_weighted
from bayesuplift.decisions.learned_prior import FLAT, EffectPrior, reweighted
from bayesuplift.decisions.proportions import check_options
from bayesuplift.decisions.safeguards import own_checks
from bayesuplift.decisions.sensitivity import prior_sensitivity
from bayesuplift.decisions.verdict import Verdict, decide
from bayesuplift.dims import ARM, CHAIN, DRAW, KINDS, MEAN_OUTCOME, POSTERIOR, SEGMENT, UNIT, Kind
from bayesuplift.errors import ArgumentError, PosteriorError, did_you_mean, is_finite_number, listed
from bayesuplift.estimands.population import population_mean
from bayesuplift.posterior.diagnostics import convergence
from bayesuplift.posterior.schema import arms, is_closed_form, mean_outcome, validate


class Standards(TypedDict, total=False):
    """By which standards an arm is chosen: the options of `choose_arm`."""

    threshold_of_caring: Required[float]
    rope: float | None
    higher_is_better: bool
    prob: float


@dataclass(frozen=True, eq=False)
class Choice:
    """A comparison of arms with its verdict.

    Parameters
    ----------
    table
        Over ([segment], arm); see `comparison`. Quantities from draws carry `<name>_mcse`; exact ones have none.
    overall
        Over (arm,): the same for the whole population, segments weighted by their units. Equal to `table` where the
        posterior has no segments. The verdict is about this.
    sensitivity
        Over prior: `prob_best`, `expected_loss` (prior, arm), `best` and `verdict` (prior), `description` (prior). Under
        one prior only where the posterior says nothing of others; attribute `left_out` then says why.
    verdict
        What to do.
    checks
        Every check that the verdict rests on.
    exact
        Whether `overall` is in closed form.
    standards
        The options that it was made with.
    weights
        Weights (chain, draw) that bring the draws under the prior learned from past experiments, where one was given.
    """

    table: xr.Dataset
    overall: xr.Dataset
    sensitivity: xr.Dataset
    verdict: Verdict
    checks: tuple[Check, ...]
    exact: bool
    standards: Standards
    weights: xr.DataArray | None = None

    @property
    def prob_best(self) -> xr.DataArray:
        """P(arm is best), ([segment], arm)."""
        return self.table["prob_best"]

    @property
    def expected_loss(self) -> xr.DataArray:
        """Mean regret of choosing the arm, ([segment], arm), outcome units."""
        return self.table["expected_loss"]

    @property
    def prob_beats_control(self) -> xr.DataArray:
        """P(arm is better than the control), ([segment], arm); 0 for the control."""
        return self.table["prob_beats_control"]


def choose_arm(
    posterior: xr.DataTree,
    *,
    threshold_of_caring: float,
    rope: float | None = None,
    higher_is_better: bool = True,
    prob: float = 0.95,
    checks: Sequence[Check] = (),
    effect_prior: EffectPrior | None = None,
) -> Choice:
    """Choose one arm for everybody, or say why not.

    Parameters
    ----------
    posterior
        A tree in the schema of `bayesuplift.posterior.schema`, fitted here or made elsewhere.
    threshold_of_caring
        Expected loss, in outcome units, small enough to stop for (0.001 is 0.1 percentage points of a rate).
    rope
        Half-width of the region of practical equivalence, in outcome units, or none.
    higher_is_better
        Whether a higher outcome is the better one.
    prob
        Mass of the equal-tailed credible intervals.
    checks
        Checks of the data beside those the posterior itself allows (sample ratio, randomization, convergence).
    effect_prior
        What past experiments taught of effects (`EffectPrior.learned_from`). The posterior's own prior must be vague. All
        figures are then under both, from draws, and the posterior by itself is the row "unlearned" of the sensitivity
        table. Where too few draws lie where the learned prior does, the verdict is INVALID.

    Returns
    -------
    Choice
        Exact where the posterior is closed-form and has no segments to average over; otherwise from draws, with Monte
        Carlo errors.

    Raises
    ------
    PosteriorError
        The tree does not follow the schema.
    ArgumentError
        An option is outside its range.

    Notes
    -----
    The verdict's rules, in order: INVALID if any check fails; EQUIVALENT if P(every arm within the ROPE of the best) is at
    least .95; CHOOSE if the smallest expected loss is at most the threshold, from draws with two Monte Carlo errors to
    spare; else CONTINUE.
    """
    validate(posterior)
    check_options(rope=rope, prob=prob, higher_is_better=higher_is_better)
    if not is_finite_number(threshold_of_caring) or threshold_of_caring < 0:
        raise ArgumentError(
            f"threshold_of_caring = {threshold_of_caring!r}; give an expected loss in outcome units, 0 or more"
        )
    if effect_prior is not None and not isinstance(effect_prior, EffectPrior):
        raise ArgumentError(
            f"effect_prior is {type(effect_prior).__name__}; give what a posterior of 'portfolio' teaches: "
            "EffectPrior.learned_from(posterior)"
        )
    control = arms(posterior).index(str(posterior.attrs["control"]))
    draws = compared(posterior)
    exact = is_closed_form(posterior) and SEGMENT not in draws.dims
    options = Contrast(control=control, higher_is_better=higher_is_better, rope=rope, prob=prob)
    overall = (
        compare_closed_form(posterior, **options)
        if exact
        else compare_draws(population_mean(posterior, draws), **options)
    )
    if SEGMENT not in draws.dims:
        table = overall
    elif is_closed_form(posterior):
        table = compare_closed_form(posterior, **options)
    else:
        table = compare_draws(draws, **options)
    # the verdict is on everybody: chains that still differ about single units may agree about their average
    every = (*checks, *own_checks(posterior), *convergence(posterior))
    unlearned, learned, weights = overall, None, None
    if effect_prior is not None:
        averaged = population_mean(posterior, draws)
        weights, check = reweighted(
            averaged, effect_prior, control=str(posterior.attrs["control"]), flat_in=_flat_in(posterior)
        )
        every = (*every, check)
        if weights is not None:
            overall = compare_weighted(averaged, weights, **options)
            table = compare_weighted(draws, weights, **options) if SEGMENT in draws.dims else overall
            learned = (str(effect_prior), overall)
    sensitivity = prior_sensitivity(
        posterior,
        unlearned,
        lambda other: population_mean(posterior, other),
        exact=exact,
        threshold=threshold_of_caring,
        learned=learned,
        **options,
    )
    kind = _kind(posterior)
    verdict = decide(
        overall,
        outcome=str(posterior.attrs.get("outcome", "the outcome")),
        kind=kind,
        checks=every,
        threshold=threshold_of_caring,
        rope=rope,
    )
    if verdict.name == "INVALID":  # under any prior: no arm is named anywhere
        names = sensitivity["verdict"]
        invalid, nobody = (names.copy(data=np.full(names.shape, word)) for word in ("INVALID", ""))
        sensitivity = sensitivity.assign(verdict=invalid, best=nobody)
        sensitivity.attrs["sentence"] = ""
    elif sensitivity.attrs["sentence"]:
        verdict = Verdict(verdict.name, verdict.arm, f"{verdict.sentence} {sensitivity.attrs['sentence']}")
    standards = Standards(
        threshold_of_caring=threshold_of_caring, rope=rope, higher_is_better=bool(higher_is_better), prob=prob
    )
    return Choice(
        table=table,
        overall=overall,
        sensitivity=sensitivity,
        verdict=verdict,
        checks=every,
        exact=exact and learned is None,
        standards=standards,
        weights=weights,
    )


def compared(posterior: xr.DataTree) -> xr.DataArray:
    """Draws of the mean outcome, (chain, draw, [segment], arm): of units their average is all that a decision needs."""
    held = posterior[POSTERIOR].to_dataset()[MEAN_OUTCOME]
    if UNIT not in held.dims:
        return mean_outcome(posterior)
    # added up in float64, one number at a time: a copy of the draws of all units would be twice as large as they are
    return held.mean(UNIT, skipna=False, dtype=np.float64).transpose(CHAIN, DRAW, ARM)


def _flat_in(posterior: xr.DataTree) -> str:
    """In what the posterior's own prior is flat, so that a learned one can take its place."""
    if "model" in posterior.attrs and "flat_in" not in posterior.attrs:
        raise ArgumentError(
            f"the prior of model {posterior.attrs['model']!r} is flat neither in the mean outcome nor in its logarithm: a "
            "prior learned from past experiments cannot take its place; decide without it, or fit another model"
        )
    return str(posterior.attrs.get("flat_in", FLAT))


def _kind(posterior: xr.DataTree) -> Kind:
    kind = posterior.attrs.get("kind", "continuous")
    if kind not in KINDS:
        raise PosteriorError(
            f"attribute 'kind' is {kind!r}; expected one of {listed(KINDS)}.{did_you_mean(kind, KINDS)}"
        )
    return kind
