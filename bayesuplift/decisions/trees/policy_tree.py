"""A shallow tree that says who gets which arm, chosen for what it earns at the least on units that it was not grown on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.decisions.targeting.evaluation import summarize_value, totals, valued
from bayesuplift.decisions.targeting.gain_statistics import MEAN, gain_statistics
from bayesuplift.decisions.targeting.policy import Policy, labelled_shares, with_control
from bayesuplift.decisions.targeting.rules import RiskAdjusted
from bayesuplift.decisions.trees.decision_tree import DecisionTree, decision_tree
from bayesuplift.decisions.trees.nodes import FoundTree, Take
from bayesuplift.decisions.trees.questions import Branch, Leaf
from bayesuplift.decisions.trees.search import search_tree
from bayesuplift.decisions.trees.split_columns import SplitColumn, split_columns, split_matrix
from bayesuplift.dims import ARM, CHAIN, COVARIATE, DRAW, UNIT, N
from bayesuplift.errors import ArgumentError, check_whole, is_finite_number
from bayesuplift.estimands.places import Places, unit_costs
from bayesuplift.estimands.summary import equal_tails
from bayesuplift.estimands.unit_covariates import known_of
from bayesuplift.estimands.unit_effects import UnitEffects
from bayesuplift.estimands.value import Economics
from bayesuplift.posterior.factors import as_called, chosen_factors, levels_of

CANDIDATE: Final = "candidate"
_TWENTIETH: Final = 20
_FEWEST: Final = 2  # units in each half
_DRAW: Final = "draw"
_STEPS: Final = (5e8, 1e8)  # of a search, and of one on a single draw, of which there are many

Values = NDArray[np.float64]
Columns = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, eq=False)
class PolicyTree:
    """A tree, the policy that it is on the places at hand, and what it was chosen from.

    Parameters
    ----------
    tree
        Questions and arms: printed, applied (`arm_of`), and exported (`sql`, `python`, `to_json`).
    policy
        Its arms on the places of the posterior.
    value
        `policy_value` of it there, with the references "nobody" and "each place its best": over (policy, chain, draw).
    candidates
        Over (candidate,), what grew it: `lower`, `mean`, the lower quantile and the mean of profit on the places, or draws,
        that did not grow it, money per unit. Attribute `chosen`.
    roots
        How often each covariate was asked first by trees grown on single draws, (covariate,), as a share of these; "none"
        of those that asked nothing.
    method
        How trees were searched for.
    """

    tree: DecisionTree
    policy: Policy
    value: xr.Dataset
    candidates: xr.Dataset
    roots: xr.DataArray
    method: str

    def __str__(self) -> str:
        told = summarize_value(self.value, prob=float(self.candidates.attrs["prob"]))
        mine = told.sel(policy="tree")
        best = float(told["profit"].sel(policy="each place its best"))
        low, high = (float(mine[f"profit_{end}"]) for end in ("lower", "upper"))
        mass = f"{100.0 * float(self.candidates.attrs['prob']):g}%"
        earned = f"profit {float(mine['profit']):,.6g} ({mass}: {low:,.6g} to {high:,.6g})"
        of_best = f"of {best:,.6g} with an arm for each {self.policy.dim}; chosen: {self.candidates.attrs['chosen']}"
        lines = [str(self.tree), f"{earned}, {of_best}"]
        first = self.roots.sortby(self.roots, ascending=False)
        shares = ", ".join(
            f"{name} {float(share):.0%}" for name, share in zip(first[COVARIATE].values, first, strict=True)
        )
        return "\n".join([*lines, f"asked first in trees of single draws: {shares}"])


def policy_tree(
    posterior: xr.DataTree,
    economics: Economics,
    units: Any = None,
    *,
    covariates: str | Iterable[str] | None = None,
    depth: int = 2,
    least_units: float | None = None,
    risk_aversions: Sequence[float] = (0.0, 0.3, 0.7, 1.0),
    draws: int = 20,
    prob: float = 0.8,
    seed: int,
    unit: str | None = None,
    population: Any = None,
    weight: str = N,
) -> PolicyTree:
    """Grow trees that maximise reward, and choose the one that earns most at the least.

        reward of an arm at a place: n_i CE_{i,a}(lambda), or n_i g_{s,i,a} of one draw s; 0 of the control
        chosen: the largest (1 - prob) / 2 quantile of sum_i n_i g_{s,i,tree(i)} over the draws s

    A tree that maximises the mean reward maximises the mean profit (value is linear in reward). Summed lower bounds of
    units are no bound of the sum: so trees for several risk aversions and for single draws are candidates, and the
    quantile of their profit on other places decides. Of units one half, drawn at random, grows the trees, and the other
    half judges; segments, of which there are few, grow them with half of each chain's draws and judge with the other.

    Parameters
    ----------
    posterior
        Over units, or over segments made of factors.
    economics
        What outcomes are worth and arms cost.
    units
        Of units: the experiment or a table with their covariates, in the posterior's order, as of `effect_tree`. Of
        segments nothing: their factors are the covariates.
    covariates
        Names of the covariates that may be asked; all that there are if left out.
    depth
        Questions on the longest way, 1 to 3.
    least_units
        Units that each leaf needs; a twentieth of all if left out.
    risk_aversions
        Candidates' lambda.
    draws
        Number of single draws, evenly spread, that grow a tree each: candidates, and what `roots` is about.
    prob
        Mass of the interval whose lower end is to be large.
    seed
        Of the halves.
    unit
        Column of a table that names the unit, to be compared with the posterior's.
    population, weight
        As in `target`, of segments.

    Returns
    -------
    PolicyTree
        Splits that do not change an arm are pruned. Exact where `method` says so; a coarser search says how.

    Raises
    ------
    ArgumentError
        An option is outside its range; there are no covariates, or units that are not the posterior's.
    PosteriorError, ArmNotFoundError, DataError, ColumnNotFoundError
        As `target` and `effect_tree`.

    References
    ----------
    Zhou, Athey and Wager (2023), Offline multi-action policy learning: generalization and optimization, Operations Research
    71(1), section 5.
    """
    _check_options(depth, least_units, risk_aversions, draws)
    check_whole("seed", seed, 0)
    places = Places.of(posterior, population, weight=weight)
    columns = _columns(posterior, places, units, covariates, unit)
    coded = split_columns(columns)
    if not coded:
        raise ArgumentError("no covariate differs between the places: there is nothing that a tree could ask")
    x = split_matrix(coded, columns)
    least = places.weight.sum() / _TWENTIETH if least_units is None else float(least_units)
    halves = _Halves.of(places, seed)
    rewards = _rewards(places, economics, risk_aversions, draws, halves)
    rows = halves.growing
    grown = {
        name: search_tree(
            x[rows],
            with_control(places, reward, 0.0)[rows] * places.weight[rows, None],
            depth=depth,
            units=places.weight[rows],
            least_units=least * places.weight[rows].sum() / places.weight.sum(),
            most_steps=_STEPS[name.startswith(_DRAW)],
        )
        for name, reward in rewards.items()
    }
    trees = {name: decision_tree(one.root, coded, places.arms) for name, one in grown.items()}
    plans = {name: _plan(tree, columns, places) for name, tree in trees.items()}
    candidates = _judged(places, economics, plans, halves, prob)
    chosen = str(candidates.attrs["chosen"])
    best = _best_each(places, economics)
    value = valued(
        places, economics, [np.zeros_like(best), plans[chosen], best], ["nobody", "tree", "each place its best"]
    )
    shares = with_control(places, plans[chosen], 1.0 - plans[chosen].sum(axis=1))
    return PolicyTree(
        tree=_counted(trees[chosen], columns, places),
        policy=Policy(labelled_shares(places, shares), places.control, places.outcome, economics=economics),
        value=value,
        candidates=candidates,
        roots=_roots([grown[name] for name in grown if name.startswith(_DRAW)], coded),
        method=grown[chosen].method,
    )


@dataclass(frozen=True, eq=False)
class _Halves:
    """What grows trees, and what judges them.

    Parameters
    ----------
    growing, judging
        Places (place,) whose rewards grow trees, and whose profit judges them.
    grown_by, judged_by
        The places with the draws that count.
    """

    growing: NDArray[np.bool_]
    judging: NDArray[np.bool_]
    grown_by: Places
    judged_by: Places

    @classmethod
    def of(cls, places: Places, seed: int) -> "_Halves":
        every = np.ones(len(places), dtype=bool)
        if places.dim != UNIT:
            middle = places.draws[1] // 2
            parts = [
                replace(places, means=places.means.isel({DRAW: half}))
                for half in (slice(0, middle), slice(middle, None))
            ]
            return cls(every, every, parts[0], parts[1])
        if len(places) < 2 * _FEWEST:
            raise ArgumentError(
                f"{len(places)} units cannot be halved, to grow trees on and to judge them on; give more"
            )
        growing = np.zeros(len(places), dtype=bool)
        growing[np.random.default_rng(seed).permutation(len(places))[: len(places) // 2]] = True
        return cls(growing, ~growing, places, places)


def _check_options(depth: int, least_units: float | None, risk_aversions: Sequence[float], draws: int) -> None:
    check_whole("depth", depth, 1)
    check_whole("draws", draws, 1)
    if least_units is not None and (not is_finite_number(least_units) or least_units < 0):
        raise ArgumentError(f"least_units = {least_units!r}; give the units that a leaf needs, 0 or more")
    if not len(risk_aversions):
        raise ArgumentError("risk_aversions is empty; give numbers from 0 to 1, such as (0, 0.5, 1)")


def _columns(
    posterior: xr.DataTree, places: Places, units: Any, covariates: str | Iterable[str] | None, unit: str | None
) -> Columns:
    """Covariates (place,) of the places, by name."""
    if places.dim == UNIT:
        if units is None:
            raise ArgumentError("units is missing: give the experiment, or a table with the covariates of these units")
        known = known_of(UnitEffects.of(posterior, places.treatments[0]), units, covariates, unit=unit)
        return {one.name: one.values[one.code] for one in known.covariates}
    if units is not None:
        raise ArgumentError("units is given, and the posterior is over segments: their factors are the covariates")
    named = chosen_factors(covariates, places.factors) if covariates is not None else list(places.factors)
    return {as_called(name): np.array(levels) for name, levels in levels_of(places.means, named).items()}


def _rewards(
    places: Places, economics: Economics, risk_aversions: Sequence[float], draws: int, halves: _Halves
) -> dict[str, Values]:
    """Rewards (place, treatment) a unit that grow a tree each, by what they are."""
    rules = {f"risk aversion {one:g}": RiskAdjusted(float(one)) for one in risk_aversions}
    values = gain_statistics(
        halves.grown_by, economics, [needed for rule in rules.values() for needed in rule.statistics]
    )
    found = {name: rule.score(values) for name, rule in rules.items()}
    means, cost = halves.grown_by.means, unit_costs(places, economics)
    chains, each = halves.grown_by.draws
    for number in np.unique(np.linspace(0, chains * each - 1, draws).round().astype(int)):
        one = means.isel({CHAIN: number // each, DRAW: number % each}).transpose(places.dim, ARM)
        effect = one.sel({ARM: list(places.treatments)}) - one.sel({ARM: places.control}, drop=True)
        gain = economics.value_per_outcome * effect.to_numpy().astype(np.float64) - cost
        found[f"{_DRAW} {number + 1}"] = gain
    return found


def _plan(tree: DecisionTree, columns: Columns, places: Places) -> Values:
    """Shares (place, treatment) under a tree."""
    arm = tree.arm_of(columns) if tree.asked else np.full(len(places), tree.arms[0])
    return np.stack([arm == treatment for treatment in places.treatments], axis=1).astype(np.float64)


def _judged(places: Places, economics: Economics, plans: dict[str, Values], halves: _Halves, prob: float) -> xr.Dataset:
    """Profit of every candidate on the places, or draws, that did not grow it, money per unit."""
    judged = [plan * halves.judging[:, None] for plan in plans.values()]
    units = float(places.weight[halves.judging].sum())
    cost = np.array([places.weight @ plan @ unit_costs(places, economics) for plan in judged])
    effect = totals(halves.judged_by, judged).effect.reshape(len(judged), -1)
    profit = (economics.value_per_outcome * effect - cost[:, None]) / units
    lower = np.quantile(profit, equal_tails(prob)[0], axis=1)
    names = list(plans)
    table = xr.Dataset(
        {"lower": (CANDIDATE, lower), "mean": (CANDIDATE, profit.mean(axis=1))}, coords={CANDIDATE: names}
    )
    table.attrs = {"chosen": names[int(lower.argmax())], "prob": prob, "units": "money per unit"}
    return table


def _best_each(places: Places, economics: Economics) -> Values:
    """The arm of highest mean gain at every place, as shares (place, treatment)."""
    gain = gain_statistics(places, economics, [MEAN])[MEAN]
    return np.eye(gain.shape[1])[gain.argmax(axis=1)] * (gain.max(axis=1) > 0)[:, None]


def _counted(tree: DecisionTree, columns: Columns, places: Places) -> DecisionTree:
    """The tree with the units of all places in its leaves."""

    def count(node: Branch | Leaf, here: NDArray[np.bool_]) -> Branch | Leaf:
        if isinstance(node, Leaf):
            return replace(node, units=float(places.weight[here].sum()))
        yes = node.question.yes(columns[node.question.covariate])
        return replace(node, yes=count(node.yes, here & yes), no=count(node.no, here & ~yes))

    return DecisionTree(count(tree.root, np.ones(len(places), dtype=bool)))


def _roots(grown: Sequence[FoundTree], coded: Sequence[SplitColumn]) -> xr.DataArray:
    """Share of the trees that ask each covariate first."""
    first = ["none" if isinstance(one.root, Take) else coded[one.root.column].covariate for one in grown]
    names = [*dict.fromkeys(column.covariate for column in coded), *(["none"] if "none" in first else [])]
    shares = [first.count(name) / len(first) for name in names]
    return xr.DataArray(shares, dims=COVARIATE, coords={COVARIATE: names}, name="share_of_draws")
