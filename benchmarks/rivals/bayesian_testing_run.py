"""bayesian-testing's binary test on the same experiments: 20,000 draws, its default, under the flat prior.

Runs in .venv-bench, started by run.py.
"""

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bayesian_testing.experiments import BinaryDataTest  # type: ignore[import-not-found]

SEED = 52


def evaluated(successes: list[int], trials: list[int], prior: float = 1.0) -> list[dict[str, Any]]:
    test = BinaryDataTest()
    for arm, (y, n) in enumerate(zip(successes, trials, strict=True)):
        test.add_variant_data_agg(str(arm), totals=n, positives=y, a_prior=prior, b_prior=prior)
    return list(test.evaluate(seed=SEED))


def timed(file: Path, count: int) -> dict[str, Any]:
    data = json.loads(file.read_text())
    experiments = list(zip(data["successes"], data["trials"], strict=True))[:count]
    evaluated(*experiments[0])
    start = time.perf_counter()
    for successes, trials in experiments:
        evaluated(successes, trials)
    return {
        "experiments": len(experiments),
        "seconds": time.perf_counter() - start,
        "versions": {name: version(name) for name in ("bayesian-testing", "numpy")},
    }


def answers(file: Path) -> dict[str, Any]:
    """The counts behind each posterior, under the flat prior or under Jeffreys'."""
    found = []
    for case in json.loads(file.read_text())["cases"]:
        prior = 1.0 if float(case["alpha"][0]).is_integer() else 0.5
        successes = [int(a - prior) for a in case["alpha"]]
        trials = [y + int(b - prior) for y, b in zip(successes, case["beta"], strict=True)]
        arms = evaluated(successes, trials, prior)
        found.append(
            {
                "prob_best": [float(arm["prob_being_best"]) for arm in arms],
                "expected_loss": [float(arm["expected_loss"]) for arm in arms],
            }
        )
    return {"answers": found}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--count", type=int)
    options = parser.parse_args()
    print(json.dumps(timed(options.file, options.count) if options.count else answers(options.file)))
