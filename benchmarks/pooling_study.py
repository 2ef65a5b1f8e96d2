"""Do intervals of segments' effects cover, and do pooled effects beat raw ones? Simulated worlds of Hillstrom's cells.

In every world the 237 segments keep the units that they have in Hillstrom's test. A segment's rate under control is

    logit p[s, 0] = logit(0.15) + sum over the six factors of a_f[level of s] + b[s],

a_f ~ Normal(0, 0.2), b ~ Normal(0, 0.1), and its rates under the two treatments p[s, a] = p[s, 0] + t_a + d[s, a],
t = 0.06 and 0.03, cut off at 0.5% and 99.5%. The deviations d are drawn segment by segment and arm by arm, in
probability, from a law of mean 0 and a stated standard deviation: the model, additive in logits, is told neither the
scale nor the law.

Run from the project's root: python -m benchmarks.pooling_study [--worlds N] [--only SCENARIO ...] [--write]
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

import bayesuplift as bu
from bayesuplift.data.cells import Cells
from benchmarks.hillstrom import FACTORS, visits
from benchmarks.tables import put, table

Array = NDArray[np.float64]
Law = Callable[[np.random.Generator, tuple[int, ...]], Array]

BASE, LEVEL_SD, SEGMENT_SD = 0.15, 0.2, 0.1
AVERAGE = np.array([0.06, 0.03])
LEAST = 0.005
SPIKES = 0.1
DRAWS = 75
SEED = 20080320
DIAGNOSED = 10
"""Every so many worlds the draws are diagnosed, which takes longer than to draw them."""
MASSES = (0.5, 0.9)


def spikes(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Nine in ten are 0, the tenth is plus or minus the same size."""
    sign = generator.choice([-1.0, 1.0], shape)
    return np.where(generator.random(shape) < SPIKES, sign / np.sqrt(SPIKES), 0.0)


LAWS: Final[Mapping[str, Law]] = {
    "normal": lambda generator, shape: generator.standard_normal(shape),
    "Student t of 3 degrees": lambda generator, shape: generator.standard_t(3.0, shape) / np.sqrt(3.0),
    "spikes": spikes,
}
"""Laws of mean 0 and standard deviation 1."""


@dataclass(frozen=True)
class Scenario:
    law: str
    sd: float
    in_logits: bool = False

    def __str__(self) -> str:
        if self.in_logits:
            return f"{self.law}, in logits ({100 * self.sd:g} points at 15%)"
        return f"{self.law}, {100 * self.sd:g} points"


SCENARIOS: Final = {
    "normal": Scenario("normal", 0.03),
    "t3": Scenario("Student t of 3 degrees", 0.03),
    "spikes": Scenario("spikes", 0.03),
    "small": Scenario("normal", 0.0025),
    "logit": Scenario("normal", 0.03, in_logits=True),
}


def rates(scenario: Scenario, design: Cells, generator: np.random.Generator) -> Array:
    """True rates (segment, arm), the control first."""
    segments = len(design.n)
    logit = np.log(BASE / (1.0 - BASE)) + SEGMENT_SD * generator.standard_normal(segments)
    for factor in FACTORS:
        levels, code = np.unique(design.statistics[factor].to_numpy(), return_inverse=True)
        logit += (LEVEL_SD * generator.standard_normal(len(levels)))[code]
    control = (1.0 / (1.0 + np.exp(-logit)))[:, None]
    away = AVERAGE + scenario.sd * LAWS[scenario.law](generator, (segments, len(AVERAGE)))
    if scenario.in_logits:
        treated = 1.0 / (1.0 + np.exp(-logit[:, None] - away / (BASE * (1.0 - BASE))))
    else:
        treated = np.clip(control + away, LEAST, 1.0 - LEAST)
    return np.concatenate([control, treated], axis=1)


def world(scenario: Scenario, design: Cells, number: int, draws: int) -> dict[str, float]:
    """What one world says: coverage, errors, and whether the draws can be trusted."""
    generator = np.random.default_rng([SEED, number])
    treatments = [k for k, arm in enumerate(design.design.arms) if arm != design.design.control]
    order = [design.design.arms.index(design.design.control), *treatments]
    truth = np.empty(design.n.shape)
    truth[:, order] = rates(scenario, design, generator)
    total = generator.binomial(design.n, truth)
    statistics_ = design.statistics.assign(total=(design.statistics["total"].dims, total.astype(np.float64)))
    tree = bu.fit(
        "partial_pooling_binary",
        replace(design, statistics=statistics_),
        seed=number,
        engine="hmc",
        draws=draws,
        sensitivity=False,
        progress=False,
    )

    def effects(values: Array) -> Array:
        return values[..., treatments] - values[..., order[:1]]

    effect = effects(truth)
    drawn = effects(tree["posterior"]["mean_outcome"].to_numpy())
    drawn = drawn.reshape(-1, *effect.shape)
    raw, pooled = effects(total / design.n) - effect, drawn.mean(0) - effect
    units = np.minimum(design.n[:, treatments], design.n[:, order[:1]])
    found = {
        "rmse": float(np.sqrt((pooled**2).mean())),
        "raw": float(np.sqrt((raw**2).mean())),
        "weighted_rmse": float(np.sqrt(np.average(pooled**2, weights=units))),
        "weighted_raw": float(np.sqrt(np.average(raw**2, weights=units))),
        "cut": float(np.isin(truth, [LEAST, 1.0 - LEAST]).mean()),
        "scale": float(tree["posterior"]["effect_scale"].to_numpy()[..., -1].mean()) * BASE * (1.0 - BASE),
    }
    for mass in MASSES:
        low, high = np.quantile(drawn, [(1.0 - mass) / 2.0, (1.0 + mass) / 2.0], axis=0)
        found[f"cover_{mass}"] = float(((low <= effect) & (effect <= high)).mean())
    found["divergences"] = float(tree["sample_stats"]["diverging"].sum())
    for check in bu.diagnose(tree) if number % DIAGNOSED == 0 else ():
        found |= {"r_hat": check.facts["largest"]} if check.name == "r_hat" else {}
    return found


def told(values: list[float], scale: float, digits: int) -> str:
    """Mean over worlds with its Monte Carlo error."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{scale * statistics.mean(values):.{digits}f} ± {scale * error:.{digits}f}"


def row(scenario: Scenario, found: list[dict[str, float]]) -> list[str]:
    columns = {name: [one[name] for one in found if name in one] for name in found[0]}
    ratio = [one["rmse"] / one["raw"] for one in found]
    weighted = [one["weighted_rmse"] / one["weighted_raw"] for one in found]
    return [
        str(scenario),
        str(len(found)),
        *[told(columns[f"cover_{mass}"], 100.0, 1) for mass in MASSES],
        told(columns["rmse"], 100.0, 2),
        told(columns["raw"], 100.0, 2),
        told(ratio, 1.0, 3),
        told(weighted, 1.0, 3),
        told(columns["scale"], 100.0, 2),
        f"{statistics.median(columns['r_hat']):.4f}, {max(columns['r_hat']):.4f}",
        f"{sum(columns['divergences']):.0f}",
    ]


HEADER: Final = (
    "law and sd of true deviations",
    "worlds",
    "50% intervals cover, %",
    "90% intervals cover, %",
    "RMSE pooled, points",
    "RMSE raw, points",
    "ratio",
    "ratio, weighted by units",
    "segments' effect sd, posterior mean, points",
    "R-hat, median and largest",
    "divergent",
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Coverage and error of pooled effects in simulated worlds.")
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--draws", type=int, default=DRAWS, help="draws of each of 32 chains")
    parser.add_argument("--write", action="store_true", help="write the table into benchmarks/README.md")
    options = parser.parse_args()
    design = visits()
    rows = []
    for name in options.only:
        start = time.perf_counter()
        rows.append(
            row(SCENARIOS[name], [world(SCENARIOS[name], design, k, options.draws) for k in range(options.worlds)])
        )
        seconds = (time.perf_counter() - start) / options.worlds
        print(f"{name}: {seconds:.2f} s a world", rows[-1], flush=True)
    text = table(HEADER, rows)
    print(text)
    if options.write:
        put("pooling study", text)


if __name__ == "__main__":
    main()
