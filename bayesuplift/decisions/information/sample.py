"""Whether to run a further test before deciding: what it is worth, what it costs, and the size of the highest net value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.decisions import wording
from bayesuplift.decisions.information import preposterior_beta
from bayesuplift.decisions.information.planned_test import Counts, PlannedTest, checked_sizes
from bayesuplift.decisions.information.preposterior import worth_of_tests
from bayesuplift.decisions.information.standing_decision import (
    DRAWS,
    Figure,
    StandingDecision,
    averaged,
    number_of_units,
    times,
    with_errors,
)
from bayesuplift.dims import ARM, CHAIN, DRAW, N
from bayesuplift.errors import ArgumentError, check_whole, is_finite_number
from bayesuplift.estimands.value import Economics

SIZE: Final = "units_per_arm"

Values = NDArray[np.float64]


def sample_information(
    posterior: xr.DataTree,
    economics: Economics,
    *,
    units_per_arm: Sequence[int],
    population_size: float,
    seed: int,
    cost_per_unit_of_test: float = 0.0,
    fixed_cost: float = 0.0,
    from_population: bool = True,
    allocation: Mapping[str, float] | None = None,
    outcome_sd: Mapping[str, float] | float | None = None,
    population: Any = None,
    weight: str = N,
) -> xr.Dataset:
    """What a further randomized test is worth before one arm is chosen for everybody, what it costs, and what is left.

        evsi      = m (E_x[max_a E[g_a | x]] - max_a E[g_a]),     x the test's outcomes, m the units decided for after it
        cost      = fixed_cost + cost_per_unit_of_test sum_a n_a
        forgone   = sum_a n_a (max_b E[g_b] - E[g_a])
        net_value = evsi - cost - forgone

    Deciding now earns `population_size` times max_a E[g_a]. A test of n_a units in arm a, drawn from that population,
    leaves m = population_size - sum_a n_a to decide for, and its own units earn what their arms earn: the net value is the
    difference between both courses.

    Parameters
    ----------
    posterior
        A tree in the schema of `bayesuplift.posterior.schema`: what is known before the test. Its segments, or units, are
        averaged over the population.
    economics
        What an outcome is worth and what arms cost, in the test, too.
    units_per_arm
        Sizes of the test, rising (for counts with exposure, units of exposure).
    population_size
        Units for whom the decision can still be taken, the test's among them.
    seed
        Seed of the simulated outcomes; where the posterior is exact nothing is simulated.
    cost_per_unit_of_test, fixed_cost
        Money for every unit tested, whatever its arm, and for the test itself; 0 or more. Arms' costs are in the gains.
    from_population
        True: as above. False: the test is held elsewhere. Then m = population_size, the outcomes of the test's units are
        worth nothing, and `forgone` is what their arms cost more than the control.
    allocation
        Units of an arm for one in `units_per_arm`: 1 if left out; 0 leaves an arm out of the test.
    outcome_sd
        Standard deviation of one unit's outcome, a number or one an arm: averages of arms are then normal. If left out,
        sums are binomial where the outcome is binary; elsewhere the spread is that of the units that the posterior holds.
    population, weight
        As in `ate`.

    Returns
    -------
    xarray.Dataset
        Over (units_per_arm,): `evsi`, `forgone` and `net_value`, money; `evsi_per_unit`. Each has its Monte Carlo error
        `_mcse`, 0 where the posterior is exact. Known are `cost`, `units_in_test` and `units` (units_per_arm, arm). `evpi`
        with its error, (): the value of perfect information for `population_size` units. Attributes: `arm`, best now;
        `best_units_per_arm`, the size of the highest net value, 0 where none is above 0; `method`, "exact" or "draws";
        `sentence`.

    Raises
    ------
    PosteriorError, DataError, ColumnNotFoundError
        The tree does not follow the schema, or its segments cannot be weighed.
    ArgumentError
        An argument is outside its range, a test is larger than its population, or one unit's spread is not known.
    ArmNotFoundError
        A cost, an allocation or a spread names an arm that there is not.

    Notes
    -----
    Howard Raiffa and Robert Schlaifer (1961), Applied Statistical Decision Theory, chapters 4 and 5. The net value is
    the expected net gain of Willan and Pinto (2005), The value of information and optimal clinical trial design, Statistics
    in Medicine 24. Of independent rates in closed form the value is a sum over all outcomes (`preposterior_beta`); of other
    posteriors it is that of a rule which sees simulated outcomes only (`preposterior`). The test is read by its averages,
    without strata or covariates, which would tell more. Whoever passes by while it runs is not in `population_size`.
    """
    per_arm = checked_sizes(units_per_arm)
    check_whole("seed", seed, 0)
    everybody = number_of_units("population_size", population_size)
    for name, price in (("cost_per_unit_of_test", cost_per_unit_of_test), ("fixed_cost", fixed_cost)):
        if not is_finite_number(price) or price < 0:
            raise ArgumentError(f"{name} = {price!r}; give money, 0 or more")
    if not isinstance(from_population, bool | np.bool_):
        raise ArgumentError(f"from_population = {from_population!r}; give True or False")
    decision = StandingDecision.of(posterior, economics, population, weight=weight)
    test = PlannedTest.of(posterior, allocation=allocation, outcome_sd=outcome_sd, population=population, weight=weight)
    units = np.stack([test.units(size) for size in per_arm])
    tested = units.sum(axis=1)
    if from_population and tested[-1] > everybody:
        raise ArgumentError(
            f"a test of {per_arm[-1]:,} units an arm takes {tested[-1]:,} units, and there are {everybody:,.6g}; give "
            "smaller sizes, or from_population=False for a test that is held elsewhere"
        )
    after = everybody - tested if from_population else np.full(len(per_arm), everybody)
    price = fixed_cost + cost_per_unit_of_test * tested.astype(np.float64)
    sizes = _Sizes(test, per_arm, units, after, price, bool(from_population))
    exact = decision.betas is not None and test.sd is None
    figures = _exactly(decision, sizes) if exact else _from_draws(decision, sizes, seed)
    table = with_errors(figures, (SIZE,)).assign_coords({SIZE: per_arm, ARM: list(test.arms)})
    table = table.assign(cost=(SIZE, price), units_in_test=(SIZE, tested), units=((SIZE, ARM), units))
    table = table.merge(with_errors({"evpi": times(decision.perfect()["evpi"], everybody)}))
    net = table["net_value"].to_numpy()
    table.attrs = {
        "arm": decision.arm,
        "best_units_per_arm": per_arm[int(net.argmax())] if net.max() > 0 else 0,
        "population_size": everybody,
        "from_population": int(from_population),
        "seed": int(seed),
        "method": decision.method if exact else DRAWS,
        "economics": str(economics),
        "units": "money",
    }
    return table.assign_attrs(sentence=_sentence(table))


@dataclass(frozen=True, eq=False)
class _Sizes:
    """Tests of rising sizes.

    Parameters
    ----------
    test
        What is held.
    per_arm
        Sizes.
    units
        Of every arm, (size, arm).
    after
        Units that are decided for after the test, (size,).
    price
        Of testing, beside what the arms earn and cost, (size,), money.
    within
        Whether the test's units are part of the population.
    """

    test: PlannedTest
    per_arm: list[int]
    units: Counts
    after: Values
    price: Values
    within: bool


def _exactly(decision: StandingDecision, sizes: _Sizes) -> dict[str, Figure]:
    """The table of a posterior of independent rates in closed form, without errors."""
    assert decision.betas is not None, "the posterior is exact"
    worth = np.array(
        [preposterior_beta.after_test(*decision.betas, units, decision.value, decision.cost) for units in sizes.units]
    )
    lost = decision.expected.max() - decision.expected if sizes.within else decision.cost
    forgone, learnt = sizes.units @ lost, sizes.after * worth
    values = {
        "evsi": learnt,
        "evsi_per_unit": worth,
        "forgone": forgone,
        "net_value": learnt - sizes.price - forgone,
    }
    return {name: (one, np.zeros(len(one))) for name, one in values.items()}


def _from_draws(decision: StandingDecision, sizes: _Sizes, seed: int) -> dict[str, Figure]:
    """The table of any other posterior, by simulated outcomes."""
    chains, draws = decision.gain.sizes[CHAIN], decision.gain.sizes[DRAW]
    means, gain = (
        one.transpose(CHAIN, DRAW, ARM).to_numpy().reshape(chains * draws, -1)
        for one in (sizes.test.means, decision.gain)
    )
    generator = np.random.Generator(np.random.PCG64(seed))
    found = worth_of_tests(sizes.test, sizes.per_arm, means=means, gain=gain, now=decision.best, generator=generator)
    worth = xr.DataArray(found.reshape(-1, chains, draws), dims=(SIZE, CHAIN, DRAW))
    by_size = {name: xr.DataArray(one, dims=SIZE) for name, one in (("after", sizes.after), ("price", sizes.price))}
    lost = decision.lost.drop_vars(ARM) if sizes.within else xr.DataArray(decision.cost, dims=ARM)
    forgone = xr.dot(xr.DataArray(sizes.units.astype(np.float64), dims=(SIZE, ARM)), lost, dim=ARM)
    learnt = by_size["after"] * worth
    # of every draw, since what is learnt and what is forgone rest on the same ones
    net = learnt - by_size["price"] - forgone
    return {
        "evsi": averaged(learnt, by_size["after"] * decision.unseen),
        "evsi_per_unit": averaged(worth, decision.unseen),
        "forgone": averaged(forgone.broadcast_like(net), 0.0),
        "net_value": averaged(net, by_size["after"] * decision.unseen),
    }


def _sentence(table: xr.Dataset) -> str:
    """What the table says, in words."""
    now = f"Deciding now, everybody gets {table.attrs['arm']}."
    best, per_arm = int(table.attrs["best_units_per_arm"]), table[SIZE].to_numpy()
    row = table.sel({SIZE: best}) if best else table.isel({SIZE: int(table["net_value"].to_numpy().argmax())})
    worth, net = (_money(row, name) for name in ("evsi", "net_value"))
    price = wording.amount(float(row["cost"] + row["forgone"]), "continuous", float(row["forgone_mcse"]))
    figures = f"it is worth {worth} in expectation and costs {price}: net {net}"
    if not best:
        return f"{now} No test of these sizes is worth its price; of {int(row[SIZE]):,} units an arm, {figures}."
    if len(per_arm) > 1 and best == per_arm[-1]:
        figures += ", and a larger one may be worth more"
    return f"{now} A test of {best:,} units an arm first is the best of these sizes: {figures}."


def _money(row: xr.Dataset, name: str) -> str:
    return wording.amount(float(row[name]), "continuous", float(row[f"{name}_mcse"]))
