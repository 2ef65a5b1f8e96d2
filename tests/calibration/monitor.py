"""The promises of monitored experiments, by simulation: each kept on fresh experiments, and seen broken by planted faults.

Run from the project's root: python -m tests.calibration.monitor [calibrated] [power] [anytime] [decision]
"""

import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from bayesuplift.monitor import plan_from
from bayesuplift.monitor.evaluation import log_e_values
from bayesuplift.monitor.operating.characteristics import simulate
from bayesuplift.monitor.operating.ends import Ends, run
from bayesuplift.monitor.operating.summary import calibration_of
from bayesuplift.monitor.operating.threshold import BINDS_BELOW, Threshold, calibrate
from bayesuplift.monitor.operating.worlds import draw, effects_of_prior
from bayesuplift.monitor.plan import Plan
from bayesuplift.monitor.schedule import declared
from tests.support.worlds import seed_of

FRESH: Final = 20_000
STOPPED: Final = 60_000  # so many that the error of a loss is a few per cent of it
ANY_LOOKS: Final = 100
ERRORS: Final = 3.0
ALPHA: Final = 0.05
BINARY: Final = {"name": "conversion", "kind": "binary", "baseline": 0.05}
TIME: Final = {"name": "time", "kind": "continuous", "baseline": 10.0, "sd": 20.0}
SPEND: Final = {"name": "spend", "kind": "revenue", "baseline": 2.5, "sd": 20.0, "buyers": 0.05}
VISITS: Final = {"name": "visits", "kind": "count", "baseline": 0.5, "sd": 1.0}
_LINE: Final = "{:<11} {:<34} {:<72} {:>5} s  {}"


@dataclass(frozen=True)
class Finding:
    """What one promise came to on one plan."""

    promise: str
    plan: str
    told: str
    kept: bool


def planned(arms: int = 2, looks: int = 30, units: int | None = None, **sections: Any) -> Plan:
    """2,000 units an arm a day, a look every day, effects of a few per cent."""
    rule = {"promise": "calibrated", **sections.pop("rule", {})}
    metric = sections.pop("metric", BINARY)
    # An effect of the amount itself, where that is the scale: 5% of the mean, as on the scales of logarithms.
    sd = 0.05 * metric["baseline"] if metric["kind"] == "continuous" else 0.05
    return plan_from(
        {
            "name": "calibration",
            "arms": list("ABCDEFGH"[:arms]),
            "control": "A",
            "start": "2026-01-05",
            "metric": metric,
            "prior": {"kind": "normal", "sd": sd},
            "looks": {"number": looks, "units": 2000 * arms if units is None else units},
            "rule": rule,
        }
        | sections
    )


def error(share: float, experiments: int) -> float:
    return math.sqrt(share * (1.0 - share) / experiments)


def kept_rate(name: str, plan: Plan, found: Threshold) -> Finding:
    """Fresh experiments without effect: at most alpha + 3 errors, and .8 alpha at least, or a gate is named."""
    fresh = simulate(plan, threshold=found.value, experiments=FRESH, seed=seed_of(f"fresh {name}"))
    share, mcse = fresh.ships.value, error(ALPHA, FRESH)
    low = found.binding is not None or share >= BINDS_BELOW * ALPHA
    told = f"ships {fresh.ships.percent(2)}, threshold {found.value:.3f}, {fresh.days.value:.1f} days"
    told += f", binds: {found.binding}" if found.binding else ""
    return Finding("calibrated", name, told, share <= ALPHA + ERRORS * mcse and low)


def calibrated() -> Iterator[Finding]:
    """The rate of `calibrated`, and three ways to lose it."""
    plans = {f"binary .05, {looks} looks": planned(looks=looks) for looks in (14, 30)}
    plans |= {f"binary {p}, 30 looks": planned(metric=BINARY | {"baseline": p}) for p in (0.005, 0.5)}
    plans |= {
        f"{metric['kind']}, {looks} looks": planned(looks=looks, metric=metric)
        for metric in (TIME, SPEND, VISITS)
        for looks in (14, 30)
    }
    plans |= {f"binary .05, K = 4, {looks} looks": planned(4, looks) for looks in (14,)}
    plans |= {"continuous, K = 4, 30 looks": planned(4, metric=TIME)}
    for name, plan in plans.items():
        yield kept_rate(name, plan, calibrate(plan))
    plan = planned(metric=TIME)
    flat = replace(plan, prior=None)
    at_95 = Threshold(math.log(0.95 / 0.05), ALPHA, 0.0, 0)
    once = calibrate(plan, coming=declared(plan)[-1:])
    for name, wrong, threshold in (
        ("fault: flat prior, P > .95", flat, at_95),
        ("fault: peeking ignored", plan, once),
    ):
        # Nothing but the evidence stops these: gates would hide that their thresholds are wrong.
        bare = replace(wrong, rule=replace(wrong.rule, relative_loss=1e6, control_loss=0.0, minimum_days=0.0))
        yield broken(kept_rate(name, bare, threshold))


def broken(finding: Finding) -> Finding:
    """A fault's finding: right if the promise is not kept."""
    return replace(finding, kept=not finding.kept)


def crossing(boundary: float, looks: int, drift: float = 0.0) -> float:
    """P(W(k / looks) + drift k / looks ever reaches the boundary), by integration from look to look.

    Armitage, McPherson and Rowe (1969), JRSS A 132, 235-244.
    """
    grid = np.linspace(boundary - 10.0, boundary, 2001)
    step = grid[1] - grid[0]
    weight = np.full(grid.size, step)
    weight[[0, -1]] *= 0.5
    sd, mean = math.sqrt(1.0 / looks), drift / looks
    density = norm.pdf(grid, mean, sd)
    crossed = float(norm.sf(boundary, mean, sd))
    kernel = norm.pdf(grid[:, None] - grid[None, :], mean, sd) * weight[None, :]
    reach = norm.sf(boundary - grid, mean, sd) * weight
    for _ in range(looks - 1):
        crossed += float(reach @ density)
        density = kernel @ density
    return crossed


def obrien_fleming(plan: Plan, alpha: float, effect: float, experiments: int) -> float:
    """Power of the one-sided design on the plan's own simulated units: z_k sqrt(k / looks) at a boundary of this alpha."""
    looks = plan.looks.number
    boundary = float(brentq(lambda c: crossing(c, looks) - alpha, 0.5, 6.0, xtol=1e-6))
    generator = np.random.default_rng(seed_of(f"group sequential {effect}"))
    reached = 0
    for _ in range(experiments // 1000):
        n, total, _ = draw(plan, declared(plan), np.broadcast_to([0.0, effect], (1000, 2)), generator)
        rate, pooled = total / n, total.sum(axis=-1) / n.sum(axis=-1)
        z = (rate[..., 1] - rate[..., 0]) / np.sqrt(pooled * (1.0 - pooled) * (1.0 / n).sum(axis=-1))
        reached += int((z * np.sqrt(np.arange(1, looks + 1) / looks) >= boundary).any(axis=-1).sum())
    return reached / experiments


def power() -> Iterator[Finding]:
    """Within 5 points of O'Brien and Fleming at the same attained alpha and looks at +10%; told at +5%."""
    for looks in (14, 30):
        plan = planned(looks=looks)
        found = calibrate(plan)
        null = obrien_fleming(plan, found.attained, 0.0, FRESH)
        for effect in (0.05, 0.1):
            own = simulate(plan, relative_effect=effect, threshold=found.value, experiments=FRESH, seed=3)
            other = obrien_fleming(plan, found.attained, effect, FRESH)
            told = f"{own.ships.percent()} against {100 * other:.1f}% at {100 * null:.2f}%, {own.days.value:.1f} days"
            margin = ERRORS * math.hypot(own.ships.mcse, error(other, FRESH))
            kept = effect < 0.1 or own.ships.value > other - 0.05 - margin
            yield Finding("power", f"+{100 * effect:.0f}%, {looks} looks", told, kept)


def ever(plan: Plan, bar: Callable[..., np.ndarray], experiments: int = 10_000, **options: Any) -> float:
    """Share of experiments without effect in which some treatment's figure ever reaches 0."""
    generator = np.random.default_rng(seed_of(f"any looking {plan.hash}"))
    none = np.zeros((250, len(plan.design.arms)))
    reached = 0
    for _ in range(experiments // 250):
        statistics = draw(plan, declared(plan), none, generator)
        reached += int((bar(plan, *statistics, **options)[..., 1:] >= 0.0).any(axis=(1, 2)).sum())
    return reached / experiments


def e_value(plan: Plan, *statistics: np.ndarray, harm: bool = False) -> np.ndarray:
    return log_e_values(plan, plan.metric, *statistics, harm=harm) - math.log(len(plan.design.treatments) / ALPHA)


def score(plan: Plan, n: np.ndarray, total: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """A planted fault: the z of one look at its one-sided quantile, K - 1 of them as Bonferroni has it."""
    counts = np.maximum(n, 1.0)
    mean = total / counts
    variance = np.maximum(squares / counts - mean**2, 1e-300) / counts
    z = (mean - mean[..., :1]) / np.sqrt(variance + variance[..., :1])
    return z * (n >= 1000).all(axis=-1, keepdims=True) - norm.isf(ALPHA / len(plan.design.treatments))


def anytime() -> Iterator[Finding]:
    """At most alpha for a look after each of 100 batches, of benefit and of harm."""
    few = {"A": 9, "B": 1, "C": 1, "D": 1}
    for arms in (2, 4):
        for split in ({}, {arm: few[arm] for arm in "ABCD"[:arms]}):
            for p in (0.001, 0.05, 0.5):
                metric = BINARY | {"baseline": p}
                rule = {"promise": "anytime"}
                plan = planned(
                    arms, ANY_LOOKS, 500 * arms, metric=metric, rule=rule, **({"split": split} if split else {})
                )
                yield kept_anytime(f"binary {p}, K = {arms}, {'9:1' if split else '1:1'}", plan)
    for metric in (TIME, SPEND, VISITS):
        plan = planned(2, ANY_LOOKS, 1000, metric=metric, rule={"promise": "anytime"}, split={"A": 9, "B": 1})
        yield kept_anytime(f"{metric['kind']}, 9:1", plan)
    plan = planned(2, ANY_LOOKS, 1000, rule={"promise": "anytime"})
    share = ever(plan, score)
    yield Finding("anytime", "fault: z at every look", f"ships {100 * share:.2f}%", share > ALPHA)


def kept_anytime(name: str, plan: Plan) -> Finding:
    benefit, harm = ever(plan, e_value), ever(plan, e_value, harm=True)
    told = f"claims benefit {100 * benefit:.2f}%, harm {100 * harm:.2f}%"
    return Finding("anytime", name, told, max(benefit, harm) <= ALPHA + ERRORS * error(ALPHA, 10_000))


def stated(name: str, plan: Plan, informed: Plan, experiments: int = STOPPED) -> Finding:
    """Wrong sign within a point and loss within 10%, effects from the informed plan's prior; Monte Carlo errors on top."""
    ends: Ends = run(
        plan, lambda generator, size: effects_of_prior(informed, generator, size), experiments, seed_of(f"prior {name}")
    )
    one = calibration_of(ends)
    assert one.wrong_sign_stated is not None
    assert one.wrong_sign_real is not None
    assert one.loss_stated is not None
    assert one.loss_real is not None
    sign = abs(one.wrong_sign_stated.value - one.wrong_sign_real.value)
    loss = abs(one.loss_stated.value - one.loss_real.value)
    told = f"wrong sign {100 * one.wrong_sign_stated.value:.2f}% is {one.wrong_sign_real.percent(2)}; "
    told += f"loss {100 * one.loss_stated.value:.4f}% is {one.loss_real.percent(4)}"
    kept = sign <= 0.01 + ERRORS * one.wrong_sign_real.mcse
    kept &= loss <= 0.1 * one.loss_stated.value + ERRORS * one.loss_real.mcse
    return Finding("decision", name, told, kept)


def decision() -> Iterator[Finding]:
    """What is stated at the stop is so under the matched prior; a flat one, and one too wide, are seen."""
    rule = {"promise": "decision"}
    plans = {
        "binary": planned(rule=rule),
        "binary, loss < .4%": planned(rule=rule | {"relative_loss": 0.004, "control_loss": 0.004}),
        "continuous": planned(rule=rule, metric=TIME),
        "revenue": planned(rule=rule, metric=SPEND),
        "count": planned(rule=rule, metric=VISITS),
    }
    for name, plan in plans.items():
        yield stated(name, plan, plan)
    several = planned(4, 14, rule=rule | {"relative_loss": 0.004, "control_loss": 0.004})
    yield stated("binary, K = 4", several, several, 16_000)
    plan = planned(rule=rule, metric=SPEND)
    yield broken(stated("fault: flat prior", replace(plan, prior=None), plan))
    narrow = planned(rule=rule, metric=SPEND, prior={"kind": "normal", "sd": 0.02})
    yield broken(stated("fault: prior too wide", plan, narrow))


SECTIONS: Final[dict[str, Callable[[], Iterator[Finding]]]] = {
    one.__name__: one for one in (calibrated, power, anytime, decision)
}


def main(names: list[str]) -> int:
    """Print a line for every finding, and say by the exit code whether all is as it should be."""
    right = True
    for name in names or list(SECTIONS):
        began = time.monotonic()
        for finding in SECTIONS[name]():
            verdict = "as it should be" if finding.kept else "REJECTED"
            seconds = f"{time.monotonic() - began:.0f}"
            print(_LINE.format(finding.promise, finding.plan, finding.told, seconds, verdict), flush=True)  # noqa: T201
            right &= finding.kept
            began = time.monotonic()
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
