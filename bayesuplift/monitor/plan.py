"""The plan of a monitored experiment: what is measured, when it is looked at, and which promise stops it."""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bayesuplift.data.design import Design
from bayesuplift.dims import KINDS, Kind
from bayesuplift.errors import PlanError, did_you_mean, is_finite_number, listed
from bayesuplift.monitor.effect_law import EffectLaw

Promise = Literal["calibrated", "anytime", "decision"]
PROMISES: Final[tuple[Promise, ...]] = get_args(Promise)

_FEWEST_EXPERIMENTS: Final = 1000


@dataclass(frozen=True)
class Metric:
    """An outcome of every unit, and what is believed of it beforehand.

    Parameters
    ----------
    name
        Name, and column of its totals in a batch; `<name>_squares` is that of the sums of squares.
    kind
        "binary", "count", "continuous" or "revenue".
    baseline
        Mean outcome that is expected without treatment, outcome units: simulations start from it, relative effects of a
        continuous outcome are shares of it, and e-values are sharpest near it. They hold wherever it really lies.
    sd
        Standard deviation of one unit's outcome that is expected, outcome units; of all kinds but "binary".
    lower_is_better
        Whether less of the outcome is better.
    resolution
        Smallest step of the outcome, such as 0.01 for cents: sums are then kept as whole numbers, and any split of the data
        into batches gives the same bits. Counts have 1.
    buyers
        Share of units with an outcome above 0 that is expected; of "revenue".
    """

    name: str
    kind: Kind
    baseline: float
    sd: float | None = None
    lower_is_better: bool = False
    resolution: float | None = None
    buyers: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is no outcome."""
        where = f"metric {self.name!r}"
        _text(where, "name", self.name)
        if self.kind not in KINDS:
            raise PlanError(f"{where}: kind = {self.kind!r}. Kinds: {listed(KINDS)}.{did_you_mean(self.kind, KINDS)}")
        _flag(where, "lower_is_better", self.lower_is_better)
        highest = 1.0 if self.kind == "binary" else math.inf
        lowest = -math.inf if self.kind == "continuous" else 0.0
        _number(self, where, "baseline", lowest, highest)
        if self.baseline == 0.0:
            raise PlanError(f"{where}: baseline = 0; relative effects are shares of it: give the mean that is expected")
        if self.kind == "binary":
            _absent(where, "binary", sd=self.sd, resolution=self.resolution)
        else:
            _number(self, where, "sd", 0.0, math.inf)
        if self.kind == "count" and self.resolution is None:
            object.__setattr__(self, "resolution", 1.0)
        if self.resolution is not None:
            _number(self, where, "resolution", 0.0, math.inf)
        if self.kind == "revenue":
            _number(self, where, "buyers", 0.0, 1.0)
            assert self.sd is not None
            assert self.buyers is not None
            if self.sd**2 <= self.baseline**2 * (1.0 - self.buyers) / self.buyers:
                raise PlanError(
                    f"{where}: sd = {self.sd:g} is no more than {self.buyers:g} buyers who all spend the same would show; "
                    "give the standard deviation of all units, buyers or not"
                )
        else:
            _absent(where, self.kind, buyers=self.buyers)

    @property
    def sign(self) -> float:
        """1 where more is better, else -1."""
        return -1.0 if self.lower_is_better else 1.0

    @property
    def spread(self) -> float:
        """Standard deviation of one unit's outcome at the baseline, outcome units."""
        return math.sqrt(self.baseline * (1.0 - self.baseline)) if self.sd is None else self.sd


@dataclass(frozen=True)
class Guardrail:
    """An outcome that must not get worse by more than a margin.

    Parameters
    ----------
    metric
        The outcome.
    margin
        Relative worsening that is still borne, such as 0.02.
    level
        Probability that the guardrail ever stops an experiment whose treatments change nothing.
    """

    metric: Metric
    margin: float
    level: float = 0.01

    def __post_init__(self) -> None:
        """Refuse a margin or a level outside its range."""
        _number(self, f"guardrail {self.metric.name!r}", "margin", 0.0, math.inf, least_too=True)
        _number(self, f"guardrail {self.metric.name!r}", "level", 0.0, 1.0)


@dataclass(frozen=True)
class Looks:
    """When the data are looked at.

    Parameters
    ----------
    number
        Number of looks.
    units
        Units that arrive from one look to the next, all arms together.
    days
        Days from one look to the next.
    """

    number: int
    units: int
    days: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what is no schedule."""
        _whole("looks", "number", self.number, 1)
        _whole("looks", "units", self.units, 2)
        _number(self, "looks", "days", 0.0, math.inf)


@dataclass(frozen=True)
class Rule:
    """By which promise, and at which thresholds, the experiment stops.

    Parameters
    ----------
    promise
        "calibrated": at the declared looks, at most `alpha` of experiments without any effect ship a treatment, by
        simulation of this very plan. "anytime": the same for any looking at all, by e-values. "decision": under the stated
        prior, probabilities and losses at the stop are what they say.
    alpha
        Share of experiments without any effect that may end with a treatment shipped; of the first two promises.
    relative_loss
        A treatment is shipped only if its expected loss, relative to the control's mean, is at most this; "anytime" does
        not ask for it, nor does the last look of "calibrated" where there are several treatments.
    control_loss
        The control is kept if its relative expected loss is at most this, after the minimum days: futility.
    minimum_days, minimum_units
        Days, and units of all arms, before which no treatment is shipped.
    rope
        Half-width of the region of practical equivalence, as a relative effect; none without it.
    experiments, seed
        Number of simulated experiments behind the threshold of "calibrated", and their seed.
    """

    promise: Promise
    alpha: float = 0.05
    relative_loss: float = 0.002
    control_loss: float = 0.001
    minimum_days: float = 7.0
    minimum_units: int = 0
    rope: float | None = None
    experiments: int = 50_000
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse thresholds outside their range."""
        if self.promise not in PROMISES:
            hint = did_you_mean(self.promise, PROMISES)
            raise PlanError(f"rule: promise = {self.promise!r}. Promises: {listed(PROMISES)}.{hint}")
        _number(self, "rule", "alpha", 0.0, 0.5)
        _number(self, "rule", "relative_loss", 0.0, math.inf)
        _number(self, "rule", "control_loss", 0.0, math.inf, least_too=True)
        _number(self, "rule", "minimum_days", 0.0, math.inf, least_too=True)
        _whole("rule", "minimum_units", self.minimum_units, 0)
        if self.rope is not None:
            _number(self, "rule", "rope", 0.0, math.inf)
        _whole("rule", "experiments", self.experiments, _FEWEST_EXPERIMENTS)
        _whole("rule", "seed", self.seed, 0)


@dataclass(frozen=True)
class Costs:
    """What an outcome is worth and what its arms cost.

    Parameters
    ----------
    value_per_outcome
        Money for one unit of the outcome.
    cost_per_unit
        Money by arm and unit; 0 for arms left out.
    """

    value_per_outcome: float
    cost_per_unit: Mapping[str, float]

    def __post_init__(self) -> None:
        """Refuse what is no money."""
        _number(self, "costs", "value_per_outcome", 0.0, math.inf)
        if not isinstance(self.cost_per_unit, Mapping):
            raise PlanError(f"costs: cost_per_unit = {self.cost_per_unit!r}; give money by arm")
        for arm, cost in self.cost_per_unit.items():
            if not is_finite_number(cost):
                raise PlanError(f"costs: cost_per_unit of {arm!r} = {cost!r}; expected money")
        object.__setattr__(self, "cost_per_unit", {arm: float(cost) for arm, cost in self.cost_per_unit.items()})


@dataclass(frozen=True)
class Plan:
    """A plan, frozen when the experiment starts.

    Parameters
    ----------
    name
        Name of the experiment.
    design
        Arms, the control first, and the split that was intended.
    start
        First day of the experiment.
    metric
        The outcome that decides.
    prior
        Prior of every treatment's effect, on the scale of log odds (binary), logarithms (count, revenue) or the outcome
        itself (continuous); none: flat.
    looks, rule
        When it is looked at, and what stops it.
    prior_source
        Where a learned prior is from, in words.
    guardrails
        Outcomes that must not get worse.
    segments
        Columns of a batch by which tallies are kept apart.
    attribution_days
        Days after its enrolment within which a unit's outcome counts: a unit is reported when they are over.
    costs
        What outcomes are worth and arms cost; without them a treatment is better where its outcome is.
    sample_ratio_level
        Probability that a split as intended is ever called a mismatch.
    """

    name: str
    design: Design
    start: date
    metric: Metric
    prior: EffectLaw | None
    looks: Looks
    rule: Rule
    prior_source: str = ""
    guardrails: tuple[Guardrail, ...] = ()
    segments: tuple[str, ...] = ()
    attribution_days: int = 0
    costs: Costs | None = None
    sample_ratio_level: float = 0.001

    def __post_init__(self) -> None:
        """Refuse a plan whose parts do not fit one another."""
        _text("plan", "name", self.name)
        if self.design.intended_split is None:
            raise PlanError("plan: no split is intended; give the shares of units by arm")
        if not isinstance(self.start, date):
            raise PlanError(f"plan: start = {self.start!r}; give the first day, such as 2026-01-05")
        _whole("plan", "attribution_days", self.attribution_days, 0)
        _number(self, "plan", "sample_ratio_level", 0.0, 1.0)
        columns = ["arm", "n", "enrolled", *self.segments]
        for metric in self.metrics:
            columns += [metric.name] if metric.kind == "binary" else [metric.name, f"{metric.name}_squares"]
        twice = sorted({one for one in columns if columns.count(one) > 1})
        if twice:
            raise PlanError(
                f"plan: the column {listed(twice)} of a batch would have two meanings; rename a metric or segment"
            )
        if self.costs is not None:
            self._check_costs(self.costs)

    def _check_costs(self, costs: Costs) -> None:
        for arm in costs.cost_per_unit:
            if arm not in self.design.arms:
                hint = did_you_mean(arm, self.design.arms)
                raise PlanError(f"costs: no arm named {arm!r}. Arms: {listed(self.design.arms)}.{hint}")
        if self.prior is None:
            raise PlanError("costs: with a flat prior they are not weighed; state a prior, or leave [costs] out")
        if self.rule.promise == "anytime":
            raise PlanError(
                "costs: an e-value tests that a treatment changes nothing, not that it is worth its cost; promise "
                "'calibrated' or 'decision', or leave [costs] out"
            )

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Plan":
        """Read a plan (TOML): see `plan_file.read_plan`."""
        from bayesuplift.monitor.plan_file import read_plan  # noqa: PLC0415 -- the reader makes plans, and knows this class

        return read_plan(path)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The deciding outcome, then the guardrails'."""
        return (self.metric, *(one.metric for one in self.guardrails))

    @cached_property
    def split(self) -> NDArray[np.float64]:
        """Intended shares (arm,), to 15 digits: a plan that was stored and read again has the same bits."""
        assert self.design.intended_split is not None
        return np.array([float(f"{share:.15g}") for share in self.design.intended_split])

    @cached_property
    def breakeven(self) -> NDArray[np.float64]:
        """Relative effect (arm,) in the better direction that pays for the arm's extra cost; 0 for the control."""
        if self.costs is None:
            return np.zeros(len(self.design.arms))
        cost = np.array([self.costs.cost_per_unit.get(arm, 0.0) for arm in self.design.arms])
        return (cost - cost[0]) / (self.costs.value_per_outcome * abs(self.metric.baseline))

    @property
    def prior_text(self) -> str:
        """The prior as a reader writes it."""
        if self.prior is None:
            return "flat"
        return self.prior_source or f"effect ~ {self.prior}"

    def as_facts(self) -> dict[str, Any]:
        """Plain values that `plan_from` takes back."""
        facts: dict[str, Any] = {
            "name": self.name,
            "arms": list(self.design.arms),
            "control": self.design.control,
            "split": dict(zip(self.design.arms, self.split.tolist(), strict=True)),
            "start": self.start.isoformat(),
            "metric": asdict(self.metric),
            "prior": {"kind": "flat"} if self.prior is None else self._prior_facts(self.prior),
            "looks": asdict(self.looks),
            "rule": asdict(self.rule),
            "guardrail": [asdict(one.metric) | {"margin": one.margin, "level": one.level} for one in self.guardrails],
            "segments": list(self.segments),
            "attribution_days": self.attribution_days,
            "sample_ratio_level": self.sample_ratio_level,
        }
        if self.costs is not None:
            facts["costs"] = {
                "value_per_outcome": self.costs.value_per_outcome,
                "cost_per_unit": dict(self.costs.cost_per_unit),
            }
        return facts

    def _prior_facts(self, law: EffectLaw) -> dict[str, Any]:
        numbers = {"weights": law.weights.tolist(), "means": law.means.tolist(), "sds": law.sds.tolist()}
        return {"kind": "mixture", **numbers, "source": self.prior_source}

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the plan's facts."""
        return digest(self.as_facts())


def canonical(facts: Any) -> str:
    """JSON of plain values in one form: the same values give the same text."""
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(facts: Any) -> str:
    """SHA-256 of plain values."""
    return hashlib.sha256(canonical(facts).encode()).hexdigest()


def _text(where: str, key: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise PlanError(f"{where}: {key} = {value!r}; expected text")


def _flag(where: str, key: str, value: object) -> None:
    if not isinstance(value, bool):
        raise PlanError(f"{where}: {key} = {value!r}; expected true or false")


def _whole(where: str, key: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63:
        raise PlanError(f"{where}: {key} = {value!r}; expected a whole number from {least}")


def _number(part: Any, where: str, key: str, low: float, high: float, *, least_too: bool = False) -> None:
    """Refuse what is no number of its range; make a float of it, so that 1 and 1.0 are one plan."""
    value = getattr(part, key)
    if value is None:
        raise PlanError(f"{where}: {key} is missing; give a number")
    if not is_finite_number(value) or not (low < value < high or (least_too and value == low)):
        bounds = [f"{'of at least' if least_too else 'above'} {low:g}"] if low > -math.inf else []
        bounds += [f"below {high:g}"] if high < math.inf else []
        raise PlanError(f"{where}: {key} = {value!r}; expected a number {' and '.join(bounds)}".rstrip())
    object.__setattr__(part, key, float(value))


def _absent(where: str, kind: str, **given: object) -> None:
    for key, value in given.items():
        if value is not None:
            raise PlanError(f"{where}: {key} = {value!r}, which a {kind} outcome does not have; leave it out")
