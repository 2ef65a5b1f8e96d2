"""The full calibration of every model and engine: prints a table, writes each result into models/<name>/reference.json.

Run from the project's root: python -m tests.calibration.full [model ...]
"""

import json
import platform
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

import numpy as np

from bayesuplift.inference.fit import Engine, engines
from tests.support.calibration import DRAWS, FAULTS, coverage, fitted_worlds, off, rank_table, rejected, simulated
from tests.support.catalogue import CATALOGUE, NAMES
from tests.support.index import INDEX, index_text
from tests.support.sbc import smallest_tail
from tests.support.worlds import seed_of

WORLDS: Final[dict[Engine, int]] = {"closed_form": 1000, "direct": 1000, "hmc": 1000, "nuts": 200}
_LINE: Final = "{:<20} {:<12} {:>6} {:>10} {:>14} {:>8} {:>8} {:>6}  {}"


def calibrated(name: str) -> dict[str, Any]:
    """Calibrate one model by each of its engines; print a line for each."""
    found: dict[str, Any] = {"date": datetime.now(UTC).date().isoformat(), "draws": DRAWS, "engines": []}
    for engine in engines(name):
        began, count = time.monotonic(), WORLDS[engine]
        worlds = simulated(name, count, seed_of(f"{name} by {engine}, calibrated"))
        draws = fitted_worlds(name, worlds, engine)
        wrong, intervals = rejected(worlds, draws), coverage(worlds, draws)
        tails = {quantity: smallest_tail(one, DRAWS) for quantity, one in rank_table(worlds, draws).items()}
        unseen = []
        if not found["engines"]:
            found["coverage"] = {
                level: float(np.mean([held / of for k, (held, of, _) in intervals.items() if k.startswith(level)]))
                for level in ("50%", "90%")
            }
            unseen = [
                fault for fault, make in FAULTS.items() if not rejected(worlds, make(name, worlds, engine, draws))
            ]
            found["faults_rejected"] = [fault for fault in FAULTS if fault not in unseen]
        result = {
            "engine": engine,
            "worlds": count,
            "quantities": len(tails),
            "smallest_pointwise_tail": min(tails.values()),
            "rejected": sorted(wrong),
            "intervals_off": off(intervals),
            "passed": not wrong and not off(intervals) and not unseen,
        }
        found["engines"].append(result)
        shares = [f"{100 * found['coverage'][level]:.1f}%" for level in ("50%", "90%")]
        verdict = "passed" if result["passed"] else f"REJECTED {wrong} {off(intervals)} unseen {unseen}"
        seconds = f"{time.monotonic() - began:.0f}"
        tail = f"{result['smallest_pointwise_tail']:.2g}"
        print(_LINE.format(name, engine, count, len(tails), tail, *shares, seconds, verdict), flush=True)  # noqa: T201
    found["versions"] = {"python": platform.python_version()} | {k: version(k) for k in ("numpy", "jax", "numpyro")}
    return found


def main(names: list[str]) -> int:
    """Calibrate, write, and say by the exit code whether everything passed."""
    header = ("model", "engine", "worlds", "quantities", "smallest tail", "50%", "90%", "s", "")
    print(_LINE.format(*header))  # noqa: T201
    passed = True
    for name in names or NAMES:
        result = calibrated(name)
        path = CATALOGUE / name / "reference.json"
        known = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(known | {"calibration": result}, indent=2) + "\n", encoding="utf-8")
        passed &= all(one["passed"] for one in result["engines"])
    INDEX.write_text(index_text(), encoding="utf-8")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
