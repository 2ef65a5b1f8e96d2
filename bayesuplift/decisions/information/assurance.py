"""How likely a planned test is to end in a decision: assurance, its power averaged over what is believed of the effects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.decisions import wording
from bayesuplift.decisions.information.claims import Criterion, Success
from bayesuplift.decisions.information.planned_test import PlannedTest, checked_sizes
from bayesuplift.decisions.information.standing_decision import Figure, averaged, with_errors
from bayesuplift.dims import ARM, CHAIN, DRAW, N
from bayesuplift.errors import ArgumentError, check_whole, is_finite_number
from bayesuplift.posterior.diagnostics import effective_draws
from bayesuplift.priors import RatePrior

SIZE: Final = "units_per_arm"
_SIMULATED: Final = 2**16  # tests of one size, over all draws
_EXACT: Final = 2000  # arms of those among them that are also read exactly
_CLOSE: Final = 1.02  # the size that is needed is told to two percent

Values = NDArray[np.float64]


def assurance(
    prior: xr.DataTree,
    *,
    units_per_arm: Sequence[int],
    seed: int,
    success: Success = "beats_control",
    prob: float = 0.95,
    threshold_of_caring: float | None = None,
    wanted: float = 0.8,
    higher_is_better: bool = True,
    analysis_prior: RatePrior = RatePrior(1, 1),  # noqa: B008 -- frozen, and the signature shows it
    allocation: Mapping[str, float] | None = None,
    outcome_sd: Mapping[str, float] | float | None = None,
    population: Any = None,
    weight: str = N,
) -> xr.Dataset:
    """Probability that a test of each size succeeds, averaged over what is believed of the arms (assurance).

        assurance(n) = E_mu[P(success | mu, n)],     power(n) = P(success | E[mu], n)

    Power takes the mean effect for the truth, and promises more than assurance wherever the effect may be smaller.

    Parameters
    ----------
    prior
        What is believed before the test, the design prior: a posterior of earlier data, or `draw_prior` of a model. Its
        segments, or units, are averaged over the population.
    units_per_arm
        Sizes of the test, rising.
    seed
        Seed of the simulated outcomes, from 0.
    success
        "beats_control": the credible interval of some arm's effect lies on the better side of 0. "interval_excludes_zero":
        on either side. "expected_loss": the expected loss of the best arm, which may be the control, is at most
        `threshold_of_caring`.
    prob
        Mass of the equal-tailed interval of an effect.
    threshold_of_caring
        Expected loss, in outcome units, small enough to stop for.
    wanted
        Assurance that is aimed at.
    higher_is_better
        Whether a higher outcome is the better one.
    analysis_prior
        Prior of every arm's rate when the test of a binary outcome is read. Other outcomes' means have a flat one. The test
        is read by itself: what is believed before it decides what it will show, and not how it is read.
    allocation
        Units of an arm for one in `units_per_arm`, 1 if left out.
    outcome_sd
        Standard deviation of one unit's outcome, as in `sample_information`.
    population, weight
        As in `ate`.

    Returns
    -------
    xarray.Dataset
        Over (units_per_arm,): `assurance` and `power`; `claimed` (units_per_arm, arm), the probability that this arm is
        among those claimed, for "expected_loss" that it is chosen; `ceiling`, (): what assurance comes to as tests grow,
        the probability that some arm is better than the control, or 1. Each has its Monte Carlo error `_mcse`. `units`
        (units_per_arm, arm). Attributes: `needed_units_per_arm`, the smallest size whose assurance is as `wanted`, to 2%, 0
        where none up to the largest given has it; `sentence`.

    Raises
    ------
    PosteriorError, DataError, ColumnNotFoundError
        The tree does not follow the schema, or its segments cannot be weighed.
    ArgumentError
        An option is outside its range, an arm is left out of the test, or one unit's spread is not known.
    ArmNotFoundError
        An allocation or a spread names an arm that there is not.

    Notes
    -----
    Anthony O'Hagan, John Stevens and Michael Campbell (2005), Assurance in clinical trial design, Pharmaceutical Statistics
    4. Intervals of several arms are not widened for being several. Conversions are read exactly, by Beta posteriors: some
    65,000 simulated tests by normal approximation, a thousand of two arms among them in both ways, and the difference
    corrects the average. It may then pass 0 or 1 by less than its error, and is put back.
    """
    sizes = checked_sizes(units_per_arm)
    check_whole("seed", seed, 0)
    if not is_finite_number(wanted) or not 0.0 < wanted < 1.0:
        raise ArgumentError(f"wanted = {wanted!r}; give a probability between 0 and 1, such as 0.8")
    test = PlannedTest.of(prior, allocation=allocation, outcome_sd=outcome_sd, population=population, weight=weight)
    if (test.relative == 0).any():
        raise ArgumentError(
            "allocation leaves an arm without units: a test shows nothing of it; leave it out of the prior"
        )
    control = test.arms.index(test.control)
    criterion = Criterion(success, prob, threshold_of_caring, higher_is_better, control, analysis_prior)
    believed = _Trials(test, test.means, criterion, int(seed))
    middle = _Trials(test, _repeated(test.means), criterion, int(seed))
    chances, powers = ([trials.chances(size) for size in sizes] for trials in (believed, middle))
    table = with_errors({"assurance": _stacked(chances, 0), "power": _stacked(powers, 0)}, (SIZE,))
    table = table.merge(with_errors({"claimed": _stacked(chances, 1)}, (SIZE, ARM)))
    table = table.merge(with_errors({"ceiling": believed.ceiling()}))
    table = table.assign_coords({SIZE: sizes, ARM: list(test.arms)})
    table["units"] = (SIZE, ARM), np.stack([test.units(size) for size in sizes])
    table.attrs = {
        "needed_units_per_arm": _needed(believed, table, wanted),
        "wanted": wanted,
        "success": str(criterion),
        "seed": int(seed),
        "analysis_prior": str(analysis_prior) if test.sd is None else "flat",
    }
    return table.assign_attrs(sentence=_sentence(table))


@dataclass(frozen=True, eq=False)
class _Trials:
    """Tests simulated under draws of the population's means, and read.

    Parameters
    ----------
    test
        What is held.
    means
        Taken for the truth in turn, (chain, draw, arm).
    criterion
        What counts as a success.
    seed
        Of the outcomes, the same for every size.
    """

    test: PlannedTest
    means: xr.DataArray
    criterion: Criterion
    seed: int

    def chances(self, per_arm: int) -> tuple[Figure, Figure]:
        """P(success), (), and P(an arm is claimed), (arm,), of tests of one size, with their Monte Carlo errors."""
        units = self.test.units(per_arm)
        truth = self.means.transpose(CHAIN, DRAW, ARM).to_numpy()
        chains, draws, arms = truth.shape
        replicates = max(_SIMULATED // (chains * draws), 1)
        truth = np.broadcast_to(truth[:, :, None, :], (chains, draws, replicates, arms))
        totals = self.test.totals(truth, units, np.random.Generator(np.random.PCG64(self.seed)))
        claims = _with_any(self.criterion.claimed(totals, units, self.test.sd))
        shares = xr.DataArray(claims.mean(axis=2), dims=(CHAIN, DRAW, ARM))
        chance, error = averaged(shares, self.unseen)
        if self.test.sd is None:
            more, of_more = self._correction(totals.reshape(-1, arms), claims.reshape(-1, arms + 1), units)
            chance, error = np.clip(chance + more, 0.0, 1.0), np.hypot(error, of_more)
        if self.criterion.success != "expected_loss":  # the control is never claimed, which is known
            error[1 + self.criterion.control] = 0.0
        return (chance[0], error[0]), (chance[1:], error[1:])

    def _correction(self, totals: Values, claims: NDArray[np.bool_], units: NDArray[np.int64]) -> Figure:
        """What exact reading adds to the probabilities (1 + arm,), from some of the tests."""
        some = np.linspace(0, len(totals) - 1, min(_EXACT // totals.shape[-1], len(totals))).astype(int)
        exact = _with_any(self.criterion.claimed_exactly(totals[some], units))
        apart = exact.astype(np.float64) - claims[some]
        # where the two never differ, one in so many may still
        error = np.maximum(apart.std(axis=0) / np.sqrt(len(some)), 1.0 / len(some))
        return apart.mean(axis=0), error

    @cached_property
    def unseen(self) -> float:
        """Probability of what one more draw may show, where all that there are agree."""
        return 1.0 / float(effective_draws(self.means).min())

    def ceiling(self) -> Figure:
        """What the probability of success comes to as tests grow."""
        control = self.means.sel({ARM: self.test.control})
        apart = (self.means - control).drop_sel({ARM: self.test.control})
        if self.criterion.success == "expected_loss":
            return np.ones(()), np.zeros(())
        signed = apart if self.criterion.higher_is_better else -apart
        shown = signed > 0 if self.criterion.success == "beats_control" else signed != 0
        return averaged(shown.any(ARM).astype(np.float64), self.unseen)


def _with_any(claims: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether any arm is claimed, and which, (..., 1 + arm)."""
    return np.concatenate([claims.any(axis=-1, keepdims=True), claims], axis=-1)


def _repeated(means: xr.DataArray) -> xr.DataArray:
    """The mean of the draws in the place of each of many."""
    middle = means.mean((CHAIN, DRAW)).to_numpy()
    shape = (1, _SIMULATED, len(middle))
    return xr.DataArray(np.broadcast_to(middle, shape), dims=(CHAIN, DRAW, ARM), coords={ARM: means[ARM].to_numpy()})


def _stacked(pairs: list[tuple[Figure, Figure]], which: int) -> Figure:
    """One figure of every size, along a first dimension."""
    return np.stack([pair[which][0] for pair in pairs]), np.stack([pair[which][1] for pair in pairs])


def _needed(trials: _Trials, table: xr.Dataset, wanted: float) -> int:
    """The smallest size of that assurance, between those of the table; 0 where none has it."""
    reached = np.flatnonzero(table["assurance"].to_numpy() >= wanted)
    if not len(reached):
        return 0
    sizes, first = table[SIZE].to_numpy().tolist(), int(reached[0])
    low, high = (sizes[first - 1] if first else 0), sizes[first]
    while high - low > 1 and high > _CLOSE * low:
        middle = min(max(round(float(np.sqrt(max(low, 1) * high))), low + 1), high - 1)
        (chance, _), _ = trials.chances(middle)
        low, high = (low, middle) if chance >= wanted else (middle, high)
    return int(high)


def _sentence(table: xr.Dataset) -> str:
    """What the table says, in words."""
    wanted, needed = f"{100 * table.attrs['wanted']:g}%", int(table.attrs["needed_units_per_arm"])
    last = table.isel({SIZE: -1})
    goal = f"Success: {table.attrs['success']}."
    if needed:
        return (
            f"{goal} A test of {needed:,} units an arm succeeds with probability {wanted}, over all that is believed."
        )
    ceiling = wording.probability(float(last["ceiling"]), float(last["ceiling_mcse"]))
    if float(last["ceiling"]) < table.attrs["wanted"]:
        return (
            f"{goal} No test, however large, succeeds with probability {wanted}: some arm is better than the control with "
            f"probability {ceiling}."
        )
    largest = wording.probability(float(last["assurance"]), float(last["assurance_mcse"]))
    return (
        f"{goal} The largest of these tests, of {int(last[SIZE]):,} units an arm, succeeds with probability {largest}; "
        f"{wanted} takes more."
    )
