"""Error rate, power and duration of monitoring rules on the same simulated counts, and how long the monitor takes.

Started by `make bench-monitoring`, from the project's root:
    python -m benchmarks.monitoring [--quick] [--write]
"""

import argparse
import datetime as dt
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from bayesuplift.decisions.proportions import compare_betas
from bayesuplift.monitor import plan_from
from bayesuplift.monitor.evaluation import evaluate
from bayesuplift.monitor.operating.blocks import BLOCK, stops_of
from bayesuplift.monitor.operating.threshold import Threshold, calibrate
from bayesuplift.monitor.operating.worlds import draw
from bayesuplift.monitor.plan import Plan
from bayesuplift.monitor.rules import bars_of
from bayesuplift.monitor.schedule import declared
from benchmarks.monitoring_times import times
from benchmarks.tables import put, table

ROOT: Final = Path(__file__).resolve().parents[1]
FILES: Final = ROOT / "benchmarks" / "files" / "monitoring"
RIVALS: Final = str(ROOT / ".venv-bench" / "bin" / "python")
SEED: Final = 20261123
EFFECTS: Final = (0.0, 0.05, 0.1, -0.1)
HORIZONS: Final = (14, 30)
UNITS: Final = 4000  # a day, both arms
ALPHA: Final = 0.05
CERTAIN: Final = 0.95
DEFAULT_TUNING: Final = 5000

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Stops:
    """How a rule ended each experiment (experiment,).

    `days` to the stop, or to the last look; `code` is 1 where it ships, -1 where it keeps the control, else 0.
    """

    days: Array
    code: Array

    @property
    def ships(self) -> str:
        """Share that ships the treatment, with its Monte Carlo error."""
        return shown(self.code == 1)

    @property
    def claims(self) -> str:
        """Share that ends with a claim for either arm."""
        return shown(self.code != 0)

    @property
    def duration(self) -> str:
        """Mean days to the stop."""
        return f"{self.days.mean():.2f} ± {self.days.std(ddof=1) / math.sqrt(self.days.size):.2f}"


def shown(which: Array) -> str:
    """A share in percent with its Monte Carlo error; where none was seen, the bound of the rule of three."""
    share, size = float(which.mean()), which.size
    if share in {0.0, 1.0}:
        return f"{100 * share:.1f} (within {300 / size:.2f})"
    return f"{100 * share:.1f} ± {100 * math.sqrt(share * (1.0 - share) / size):.1f}"


def planned(promise: str, looks: int, experiments: int = 50_000) -> Plan:
    """Two arms, a baseline of 5%, 2,000 units an arm a day, a look every day, log odds ratios of N(0, .05)."""
    return plan_from(
        {
            "name": "benchmark",
            "arms": ["A", "B"],
            "control": "A",
            "start": "2026-01-05",
            "metric": {"name": "conversion", "kind": "binary", "baseline": 0.05},
            "prior": {"kind": "normal", "sd": 0.05},
            "looks": {"number": looks, "units": UNITS},
            "rule": {"promise": promise, "alpha": ALPHA, "experiments": experiments},
        }
    )


def counts(experiments: int) -> dict[float, Path]:
    """A file of cumulative counts (experiment, look, arm) for each true effect, which every rule reads."""
    FILES.mkdir(parents=True, exist_ok=True)
    plan = planned("decision", max(HORIZONS))
    made = {}
    for effect, seed in zip(EFFECTS, np.random.SeedSequence(SEED).spawn(len(EFFECTS)), strict=True):
        true = np.broadcast_to([0.0, effect], (experiments, 2))
        n, total, _ = draw(plan, declared(plan), true, np.random.default_rng(seed))
        made[effect] = FILES / f"counts_{effect:+.2f}.npz"
        np.savez(made[effect], n=n.astype(np.int64), total=total.astype(np.int64))
    return made


def ours(promise: str, thresholds: dict[int, Threshold]) -> Callable[[Path], dict[int, Stops]]:
    """The monitor's own look at every row of a file."""

    def ended(file: Path) -> dict[int, Stops]:
        n, total = read(file)
        blocks = np.array_split(np.arange(len(n)), max(1, len(n) // BLOCK))
        found = [evaluate(planned(promise, max(HORIZONS)), n[one], total[one], total[one]) for one in blocks]
        each = [(one.evidence, one.contrary, one.belief.relative_loss, one.prob_equivalent) for one in found]
        answers = [np.concatenate(parts) for parts in zip(*each, strict=True)]
        return {horizon: stops(horizon, [one[:, :horizon] for one in answers]) for horizon in HORIZONS}

    def stops(horizon: int, answers: list[Array]) -> Stops:
        plan = planned(promise, horizon)
        bars = bars_of(plan, thresholds[horizon].value if promise == "calibrated" else None)
        look, code = stops_of(declared(plan), bars, np.full(horizon, bars.threshold), *answers)
        return Stops(np.minimum(look + 1, horizon), np.where(code > 0, 1, np.where(code == 0, -1, 0)))

    return ended


def flat(file: Path) -> dict[int, Stops]:
    """P(B beats A) under flat priors of both rates, exactly, looked at every day: ships above .95, keeps A below .05."""
    n, total = read(file)
    alpha, beta = 1.0 + total, 1.0 + n - total
    probability = compare_betas(alpha, beta, control=0, higher_is_better=True, rope=None, prob=None)["prob_best"]
    better = np.asarray(probability)[..., 1]
    return {horizon: first(better[:, :horizon] > CERTAIN, better[:, :horizon] < 1.0 - CERTAIN) for horizon in HORIZONS}


def fixed(file: Path) -> dict[int, Stops]:
    """One z test of two proportions, pooled variance, one-sided at alpha, on the last day."""
    n, total = read(file)
    found = {}
    for horizon in HORIZONS:
        units, successes = n[:, horizon - 1], total[:, horizon - 1]
        rate, pooled = successes / units, successes.sum(axis=-1) / units.sum(axis=-1)
        z = (rate[:, 1] - rate[:, 0]) / np.sqrt(pooled * (1.0 - pooled) * (1.0 / units).sum(axis=-1))
        found[horizon] = Stops(np.full(len(z), horizon), (z > norm.isf(ALPHA)).astype(np.int64))
    return found


def first(ships: Array, keeps: Array) -> Stops:
    """The first look (experiment, look) at which a rule says either."""
    either = ships | keeps
    place = np.where(either.any(axis=1), either.argmax(axis=1), either.shape[1] - 1)
    each = np.arange(len(either))
    code = np.where(ships[each, place], 1, np.where(keeps[each, place], -1, 0))
    return Stops(place + 1, code)


def gbstats(alpha: float, tuning: int | None, count: int) -> Callable[[Path], dict[int, Stops]]:
    """gbstats' sequential test, tuned to all units of the horizon or to one number."""

    def ended(file: Path) -> dict[int, Stops]:
        return {horizon: asked(file, horizon) for horizon in HORIZONS}

    def asked(file: Path, horizon: int) -> Stops:
        target = FILES / "gbstats.npz"
        command = [RIVALS, str(ROOT / "benchmarks" / "rivals" / "sequential_gbstats.py"), str(file), str(target)]
        command += ["--alpha", str(alpha), "--tuning", str(tuning or horizon * UNITS)]
        command += ["--looks", str(horizon), "--count", str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        if done.returncode:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        with np.load(target) as held:
            return Stops(held["looks"], held["code"])

    return ended


def read(file: Path) -> tuple[Array, Array]:
    """Units and successes (experiment, look, arm)."""
    with np.load(file) as held:
        return held["n"].astype(np.float64), held["total"].astype(np.float64)


def rates(experiments: int, of_gbstats: int, simulated: int) -> str:
    """The table of rules, and what there is to say of it."""
    files = counts(experiments)
    thresholds = {horizon: calibrate(planned("calibrated", horizon, simulated)) for horizon in HORIZONS}
    rules: dict[str, Callable[[Path], dict[int, Stops]]] = {
        f"bayesuplift, {promise}": ours(promise, thresholds) for promise in ("calibrated", "anytime", "decision")
    }
    rules |= {
        "gbstats sequential, tuned to the last day's units": gbstats(ALPHA, None, of_gbstats),
        "the same at alpha .1, half of it for either side": gbstats(2 * ALPHA, None, of_gbstats),
        f"gbstats sequential, default tuning ({DEFAULT_TUNING:,})": gbstats(ALPHA, DEFAULT_TUNING, of_gbstats),
        "P(B beats A) > .95, flat priors, every day": flat,
        "z test on the last day, one-sided .05": fixed,
    }
    found = {}
    for name, rule in rules.items():
        found[name] = {effect: rule(file) for effect, file in files.items()}
        print(f"{name}: done", file=sys.stderr, flush=True)
    header = ["rule", "experiments", "A/A ships B, %", "A/A claims for A or B, %", "+5% ships B, %", "+10% ships B, %"]
    header += ["-10% ships B, %", "days to the stop at +10%"]
    parts = []
    for horizon in HORIZONS:
        rows = []
        for name, by_effect in found.items():
            null, small, large, harm = (by_effect[effect][horizon] for effect in EFFECTS)
            # Of ours "keeps A" is mostly that little is to be gained: no claim that B is worse.
            claims = "" if name.startswith(("bayesuplift", "z test")) else null.claims
            shares = [null.ships, claims, small.ships, large.ships, harm.ships]
            rows.append([name, f"{null.days.size:,}", *shares, large.duration])
        own = thresholds[horizon]
        parts += [
            f"#### {horizon} days",
            table(header, rows),
            f"Calibrated: threshold {own.value:.3f}, {100 * own.attained:.2f} ± {100 * own.mcse:.2f}% of "
            f"{own.experiments:,} other simulated experiments"
            + (f"; held below by {own.binding}." if own.binding else "."),
        ]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few experiments, one round: whether it runs")
    parser.add_argument("--only", choices=("rates", "times"), help="one of the two parts, printed")
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    options = parser.parse_args()
    if options.write and (options.only or options.quick):
        parser.error("--write puts the whole run into README.md: leave out --only and --quick")
    parts = []
    if options.only != "times":
        parts.append(rates(500, 200, 5000) if options.quick else rates(10_000, 5000, 50_000))
    if options.only != "rates":
        parts += ["#### Time", times(1 if options.quick else 3)]
    rivals = json.loads(
        subprocess.run(
            [RIVALS, "-c", "import json, importlib.metadata as m; print(json.dumps(m.version('gbstats')))"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    parts.insert(
        0,
        f"Run on {dt.datetime.now(dt.UTC):%Y-%m-%d} by `make bench-monitoring`: Python {platform.python_version()}, "
        f"{os.cpu_count()} cores, bayesuplift {version('bayesuplift')}, numba {version('numba')}, numpy {np.__version__}, "
        f"gbstats {rivals}.",
    )
    told = "\n\n".join(parts)
    print(told)
    if options.write:
        put("monitoring", told)


if __name__ == "__main__":
    main()
