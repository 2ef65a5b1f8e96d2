"""Ten million rows of Parquet to cells: ours against the bare group-by in the same engine, time and peak memory.

Prints a JSON list of {task, engine, seconds_median, bare_seconds_median, ratio, peak_memory_mb, bare_peak_memory_mb}
on stdout. Every repetition runs in a process of its own, ours and bare in turn, so that neither peak memory nor a
warm cache is shared. Seconds are those of the query, without the imports.

Run from the project's root: python benchmarks/cells.py [--rows N] [--repetitions N]
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

FILE = Path(__file__).parent / "files" / "cells_{rows}.parquet"
TASKS = ("binary", "continuous")
ENGINES = ("duckdb", "polars lazy")
KEYS = ["plan", "region", "arm"]


def make_file(rows: int) -> Path:
    """Three arms, two factors of three and four levels, a binary outcome and an amount; seeded."""
    path = Path(str(FILE).format(rows=rows))
    if path.exists():
        return path
    import numpy as np  # noqa: PLC0415 - kept out of the processes that are measured
    import polars as pl  # noqa: PLC0415 - the same

    generator = np.random.default_rng(20080320)

    def drawn(levels: list[str]) -> "pl.Series":
        return pl.Series(levels, dtype=pl.String).gather(generator.integers(0, len(levels), rows))

    table = pl.DataFrame(
        {
            "arm": drawn(["control", "offer", "reminder"]),
            "plan": drawn(["basic", "plus", "family"]),
            "region": drawn(["north", "east", "south", "west"]),
            "bought": (generator.random(rows) < 0.1).astype(np.int8),
            "amount": generator.normal(50.0, 12.0, rows),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    table.write_parquet(path)
    return path


def ours(task: str, engine: str, path: Path) -> float:
    """Seconds of read_cells."""
    from bayesuplift.data.readers import read_cells  # noqa: PLC0415 - imports are not timed

    source: object = str(path)
    if engine == "polars lazy":
        import polars as pl  # noqa: PLC0415 - only where it is measured

        source = pl.scan_parquet(path)
    start = time.perf_counter()
    cells = read_cells(
        source,
        arm="arm",
        control="control",
        outcome="bought" if task == "binary" else "amount",
        kind=task,
        segments=["plan", "region"],
    )
    seconds = time.perf_counter() - start
    assert cells.n.size == 36
    return seconds


def bare(task: str, engine: str, path: Path) -> float:
    """Seconds of the same figures by hand, nothing checked."""
    run = bare_duckdb if engine == "duckdb" else bare_polars
    query = run(task, path)
    start = time.perf_counter()
    rows = query()
    seconds = time.perf_counter() - start
    assert rows == 36
    return seconds


def bare_duckdb(task: str, path: Path) -> Callable[[], int]:
    import duckdb  # noqa: PLC0415 - only where it is measured

    facts = "sum(bought)" if task == "binary" else "sum(amount), var_pop(amount)"
    text = f"select {', '.join(KEYS)}, count(*), {facts} from '{path}' group by all"  # noqa: S608 - our own words
    return lambda: len(duckdb.connect().execute(text).fetchall())


def bare_polars(task: str, path: Path) -> Callable[[], int]:
    import polars as pl  # noqa: PLC0415 - only where it is measured

    amount = pl.col("amount")
    facts = [pl.col("bought").sum()] if task == "binary" else [amount.sum(), amount.var(ddof=0).alias("var")]
    query = pl.scan_parquet(path).group_by(KEYS).agg(pl.len(), *facts)
    return lambda: query.collect(engine="streaming").height


def measured(who: str, task: str, engine: str, path: Path) -> tuple[float, float]:
    """(seconds, peak memory in MB) of one run in a fresh process."""
    command = [sys.executable, __file__, "--one", who, task, engine, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, peak = json.loads(done.stdout)
    return float(seconds), float(peak)


def main() -> None:
    parser = argparse.ArgumentParser(description="Cells from ten million rows against the bare group-by.")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--one", nargs=4, metavar=("WHO", "TASK", "ENGINE", "PATH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        who, task, engine, path = options.one
        seconds = (ours if who == "ours" else bare)(task, engine, Path(path))
        print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
        return
    # Made in a process of its own: a child starts with the peak memory of its parent.
    made = subprocess.run(
        [sys.executable, "-c", f"import cells; print(cells.make_file({options.rows}))"],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    file = Path(made.stdout.strip())
    rows = []
    for task in TASKS:
        for engine in ENGINES:
            runs: dict[str, list[tuple[float, float]]] = {"ours": [], "bare": []}
            for _ in range(options.repetitions):
                for who, results in runs.items():
                    results.append(measured(who, task, engine, file))
            medians = {who: statistics.median(run[0] for run in results) for who, results in runs.items()}
            rows.append(
                {
                    "task": task,
                    "engine": engine,
                    "seconds_median": round(medians["ours"], 4),
                    "bare_seconds_median": round(medians["bare"], 4),
                    "ratio": round(medians["ours"] / medians["bare"], 3),
                    "peak_memory_mb": round(max(run[1] for run in runs["ours"]), 1),
                    "bare_peak_memory_mb": round(max(run[1] for run in runs["bare"]), 1),
                }
            )
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
