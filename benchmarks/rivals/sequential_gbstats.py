"""gbstats' sequential test at every look of simulated experiments, for monitoring.py. In .venv-bench.

The test is two-sided. An experiment stops at the first look whose p-value is below alpha; it ships the treatment where the
estimate is above 0 there, and keeps the control else.

Started by monitoring.py: python sequential_gbstats.py FILE TARGET --alpha A --tuning N --looks K --count C
"""

import argparse
import json
import time
from importlib.metadata import version
from typing import Any

import numpy as np
from gbstats.frequentist.tests import SequentialConfig, SequentialTwoSidedTTest  # type: ignore[import-not-found]
from gbstats.models.statistics import ProportionStatistic  # type: ignore[import-not-found]


def stopped(n: Any, total: Any, config: Any) -> tuple[int, int]:
    """Looks until the stop, or all, of counts (look, arm); and 1, -1 or 0: ships, keeps the control, undecided."""
    for look, (units, successes) in enumerate(zip(n.tolist(), total.tolist(), strict=True), start=1):
        control, treatment = (ProportionStatistic(n=u, sum=y) for u, y in zip(units, successes, strict=True))
        result = SequentialTwoSidedTTest(control, treatment, config).compute_result()
        if result.p_value < config.alpha:
            return look, 1 if result.expected > 0.0 else -1
    return len(n), 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("target")
    parser.add_argument("--alpha", type=float, required=True)
    parser.add_argument("--tuning", type=float, required=True)
    parser.add_argument("--looks", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    options = parser.parse_args()
    with np.load(options.file) as held:
        n, total = (held[name][: options.count, : options.looks] for name in ("n", "total"))
    config = SequentialConfig(
        difference_type="relative", alpha=options.alpha, sequential_tuning_parameter=options.tuning
    )
    began = time.perf_counter()
    ends = np.array([stopped(*one, config) for one in zip(n, total, strict=True)])
    np.savez(options.target, looks=ends[:, 0], code=ends[:, 1])
    print(json.dumps({"seconds": time.perf_counter() - began, "gbstats": version("gbstats")}))


if __name__ == "__main__":
    main()
