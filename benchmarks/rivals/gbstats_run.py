"""gbstats' Bayesian effect test on the same experiments: each treatment against the control, absolute difference.

It puts a normal distribution on the difference, with a flat prior by default. Runs in .venv-bench, started by run.py.
"""

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gbstats.bayesian.tests import EffectBayesianABTest, EffectBayesianConfig  # type: ignore[import-not-found]
from gbstats.models.statistics import ProportionStatistic  # type: ignore[import-not-found]


def pairwise(successes: list[int], trials: list[int]) -> list[Any]:
    config = EffectBayesianConfig(difference_type="absolute")
    control = ProportionStatistic(n=trials[0], sum=successes[0])
    return [
        EffectBayesianABTest(control, ProportionStatistic(n=n, sum=y), config).compute_result()
        for y, n in zip(successes[1:], trials[1:], strict=True)
    ]


def timed(file: Path, count: int) -> dict[str, Any]:
    data = json.loads(file.read_text())
    experiments = list(zip(data["successes"], data["trials"], strict=True))[:count]
    pairwise(*experiments[0])
    start = time.perf_counter()
    for successes, trials in experiments:
        pairwise(successes, trials)
    return {
        "experiments": len(experiments),
        "seconds": time.perf_counter() - start,
        "versions": {name: version(name) for name in ("gbstats", "numpy", "scipy")},
    }


def answers(file: Path) -> dict[str, Any]:
    """The counts behind each posterior, under the flat prior or under Jeffreys'."""
    found = []
    for case in json.loads(file.read_text())["cases"]:
        prior = 1.0 if float(case["alpha"][0]).is_integer() else 0.5
        successes = [int(a - prior) for a in case["alpha"]]
        trials = [y + int(b - prior) for y, b in zip(successes, case["beta"], strict=True)]
        results = pairwise(successes, trials)
        entry: dict[str, list[float]] = {"prob_beats_control": [0.0] + [float(r.chance_to_win) for r in results]}
        if len(results) == 1:  # with more arms its risk is against the control alone
            entry["expected_loss"] = [float(risk) for risk in results[0].risk]
            entry["prob_best"] = [1.0 - float(results[0].chance_to_win), float(results[0].chance_to_win)]
        found.append(entry)
    return {"answers": found}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--count", type=int)
    options = parser.parse_args()
    print(json.dumps(timed(options.file, options.count) if options.count else answers(options.file)))
