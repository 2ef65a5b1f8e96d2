"""Our side of the comparison of arms; makes the file that the rivals read, too.

Prints one JSON object on stdout. Run from the project's root:

    .venv/bin/python benchmarks/exact_comparison.py --make          writes benchmarks/files/experiments.json
    .venv/bin/python benchmarks/exact_comparison.py --with-intervals
    .venv/bin/python benchmarks/exact_comparison.py --cases FILE    answers for a file of posteriors
"""

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from bayesuplift.decisions.proportions import compare_betas, compare_proportions

EXPERIMENTS = Path(__file__).parent / "files" / "experiments.json"
SEED = 20250114


def make(count: int) -> None:
    """Three arms of 500 to 50,000 units, rates of 1 to 30%, lifts of some percent."""
    generator = np.random.default_rng(SEED)
    trials = generator.integers(500, 50_000, (count, 3))
    rates = generator.uniform(0.01, 0.3, (count, 1)) * np.exp(generator.normal(0.0, 0.05, (count, 3)))
    successes = generator.binomial(trials, rates)
    EXPERIMENTS.parent.mkdir(exist_ok=True)
    EXPERIMENTS.write_text(json.dumps({"successes": successes.tolist(), "trials": trials.tolist()}))


def timed(*, intervals: bool) -> dict[str, Any]:
    data = json.loads(EXPERIMENTS.read_text())
    successes, trials = np.array(data["successes"]), np.array(data["trials"])
    prob = 0.95 if intervals else None
    start = time.perf_counter()
    compare_proportions(successes[:2], trials[:2], prob=prob)
    first = time.perf_counter() - start
    start = time.perf_counter()
    compare_proportions(successes, trials, prob=prob)
    return {
        "experiments": len(successes),
        "seconds": time.perf_counter() - start,
        "first_call_seconds": first,
        "versions": {name: version(name) for name in ("bayesuplift", "numba", "numpy", "xarray")},
    }


def answers(file: Path) -> dict[str, Any]:
    """What we say about posteriors given as alpha and beta."""
    found = []
    for case in json.loads(file.read_text())["cases"]:
        result = compare_betas(
            np.array(case["alpha"], float),
            np.array(case["beta"], float),
            control=0,
            higher_is_better=True,
            rope=None,
            prob=None,
        )
        found.append({name: result[name].tolist() for name in ("prob_best", "prob_beats_control", "expected_loss")})
    return {"answers": found}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--make", type=int, nargs="?", const=10_000)
    parser.add_argument("--with-intervals", action="store_true")
    parser.add_argument("--cases", type=Path)
    options = parser.parse_args()
    if options.make:
        make(options.make)
    elif options.cases:
        print(json.dumps(answers(options.cases)))
    else:
        print(json.dumps(timed(intervals=options.with_intervals)))


if __name__ == "__main__":
    main()
