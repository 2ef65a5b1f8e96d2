"""`bayesian_causal_forest` beside its rivals: error and coverage of unit effects, time, memory, on worlds of known truth.

Contestants take turns on a world, every one in a process of its own that reads the same file. Each turn is one line of a
file, so that a run can be stopped and goes on where it was; the tables are made from that file. Those of README.md are kept
in benchmarks/results: later runs add to them.

Started by `make bench-forests`, from the project's root: python -m benchmarks.causal_forest [--final] [--write [TABLE ...]]
    [--only WORLD ...] [--contestants NAME ...] [--replications N] [--length CHAINS BURN_IN DRAWS] [--tables]
    [--side-by-side TURNS]

Errors and coverage do not depend on what else a machine does, times do: turns side by side leave times out.
"""

import argparse
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.causal_forest_tables import TABLES, told
from benchmarks.forest_worlds import FINAL, TUNING, WORLDS, World, absent, most_replications, seeds, world
from benchmarks.tables import put

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / "benchmarks" / "files" / "forests"
KEPT: Final = ROOT / "benchmarks" / "results" / "causal_forest.jsonl"
RIVALS: Final = str(ROOT / ".venv-forests" / "bin" / "python")
OURS: Final = (sys.executable, "-m", "benchmarks.causal_forest_ours")

Length = tuple[int, int, int]
Turn = tuple["Contestant", str, int, Length]
DEFAULT_LENGTH: Final[Length] = (4, 500, 500)
LENGTHS: Final[Mapping[str, Length]] = {"marketing-64000": (4, 250, 250)}
"""Chains, draws left out of each and draws kept, where another number would take hours."""

ALL: Final = {"ihdp": 25, "marketing-64000": 3, "*": 20}
FEW: Final = {"marketing-64000": 1, "*": 3}
SLOW: Final = {"hahn-250-*": 3, "hahn-500-*": 3, "hahn-5000-nonlinear-*": 1}
BOOTSTRAPPED: Final = {"hahn-5000-*": 5, "deep-*": 5, "marketing-8000": 3, "marketing-64000": 0, "acic": 3, "*": 20}
"""Replications by pattern of a world's name, the first that fits; none where no pattern does."""


@dataclass(frozen=True)
class Contestant:
    """A command, in how many processes the chains are dealt, and how many replications of a world it gets.

    `replications` is by pattern of the world's name, the first that fits; `cache` names the folder of compiled programs
    among those of a world, emptied before the run where `empty`.
    """

    name: str
    command: tuple[str, ...]
    replications: Mapping[str, int] = field(default_factory=lambda: ALL)
    processes: int = 1
    runs: int = 1
    cache: str | None = None
    empty: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    def turns(self, name: str) -> int:
        """Return how many replications of a world it gets."""
        count = next((count for pattern, count in self.replications.items() if fnmatch(name, pattern)), 0)
        most = most_replications(name)
        return count if most is None else min(count, most)


def rival(module: str, python: str = RIVALS) -> tuple[str, ...]:
    return (python, "-m", f"benchmarks.rivals.forest_{module}")


def at_depth(depth: int) -> Contestant:
    environment = {"BAYESUPLIFT_EFFECT_DEPTH": str(depth)}
    name = f"ours, effect trees of {depth} levels"
    return Contestant(name, OURS, {"deep-*": 20}, cache=f"depth-{depth}", environment=environment)


CONTESTANTS: Final = (
    Contestant("ours, empty cache", OURS, {"*": 1}, cache="ours", empty=True),
    Contestant("ours", OURS, runs=2, cache="ours"),
    at_depth(4),
    at_depth(6),
    at_depth(8),
    Contestant("ours, few splits of effects", OURS, cache="few-splits", environment={"BAYESUPLIFT_FEW_SPLITS": "1"}),
    Contestant(
        "ours, draws left open", OURS, {"deep-*": 20}, cache="ours", environment={"BAYESUPLIFT_OPEN_DRAWS": "1"}
    ),
    Contestant("ours, from one leaf", OURS, cache="ours", environment={"BAYESUPLIFT_ONE_LEAF": "1"}),
    Contestant("stochtree", rival("stochtree")),
    Contestant("stochtree, two processes", rival("stochtree"), FEW, processes=2),
    Contestant("bartz bcf", rival("bartz", sys.executable), SLOW),
    Contestant("causalml X-learner", rival("causalml"), BOOTSTRAPPED),
    Contestant("econml CausalForestDML", rival("econml")),
)


TIMES: Final = ("total", "seconds", "cpu", "load", "warm", "cpu_warm")
"""What a line says of time, where its turn was the only one."""


class ContestantError(Exception):
    """A contestant's process ended with an error."""


def processes(
    contestant: Contestant, file: Path, seed: int, length: Length, caches: Path | None
) -> list[dict[str, Any]]:
    """What the contestant's processes say, started at once, with seconds from their start to their draws."""
    environment = os.environ | contestant.environment
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    if caches is not None:
        environment["XDG_CACHE_HOME"] = str(caches)
    chains, *others = length
    shares = [len(part) for part in np.array_split(np.arange(chains), contestant.processes)]
    started = []
    for k, share in enumerate(shares):
        said = [str(file), str(found_by(file, k)), "--seed", str(seed + 1000 * k), "--runs", str(contestant.runs)]
        command = [*contestant.command, *said, "--length", *map(str, (share, *others))]
        begun = time.monotonic()
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append((begun, subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)))  # type: ignore[call-overload]
    answers = []
    for begun, process in started:
        out, error = process.communicate()
        if process.returncode:
            raise ContestantError(f"{contestant.name} ended with {process.returncode}:\n{error[-2000:]}")
        answer = json.loads(out.splitlines()[-1])
        answers.append(answer | {"total": answer["ready"] - begun})
    return answers


def found_by(file: Path, process: int) -> Path:
    return file.with_name(f"found-{process}.npz")


def scored(truth: World, found: Mapping[str, Any]) -> dict[str, float]:
    """How far unit effects and their average are from the truth, and whether 95% bounds hold it."""
    effect, lower, upper = (found[name] for name in ("effect", "lower", "upper"))
    average, low, high = found["average"].tolist()
    real = float(truth.effect.mean())
    scores = {
        "pehe": np.sqrt(np.mean((effect - truth.effect) ** 2)),
        "coverage": np.mean((lower <= truth.effect) & (truth.effect <= upper)),
        "width": np.mean(upper - lower),
        "bias": average - real,
        "average_covers": low <= real <= high,
        "average_width": high - low,
    }
    return {name: float(value) for name, value in scores.items()}


def turn(contestant: Contestant, name: str, truth: World, seed: int, length: Length) -> dict[str, Any]:
    """One line: what a contestant found and took on a world."""
    caches = None if contestant.cache is None else FOLDER / "caches" / name / contestant.cache
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "world.npz"
        np.savez(file, x=truth.x, z=truth.z, y=truth.y, propensity=truth.propensity)
        if caches is not None and contestant.empty and caches.exists():
            shutil.rmtree(caches)
        if caches is not None and not contestant.empty and not caches.exists():
            processes(contestant, file, seed, length, caches)
        load = os.getloadavg()[0]
        answers = processes(contestant, file, seed, length, caches)
        line: dict[str, Any] = {
            "total": max(answer["total"] for answer in answers),
            "seconds": max(answer["seconds"] for answer in answers),
            "cpu": sum(answer["cpu"] for answer in answers),
            "peak": sum(answer["peak"] for answer in answers),
            "load": load,
            "versions": answers[0]["versions"],
        }
        line |= {key: answers[0][key] for key in ("warm", "cpu_warm") if key in answers[0]}
        if contestant.processes > 1:
            return line  # bounds of all draws are not known from those of the parts
        with np.load(found_by(file, 0)) as found:
            return line | scored(truth, found)


def missing(options: argparse.Namespace, done: set[tuple[Any, ...]], names: list[str]) -> Iterator[Turn]:
    """Turns not taken yet; a first replication of every world before the second of any."""
    entered = [one for one in CONTESTANTS if not options.contestants or one.name in options.contestants]
    for replication in range(max(one.turns(name) for one in CONTESTANTS for name in names)):
        for name in names:
            length = length_of(name, options)
            for one in entered:
                due = replication < min(one.turns(name), options.replications or one.turns(name))
                if due and (name, replication, one.name, length) not in done:
                    yield one, name, replication, length


def taken(one: Contestant, name: str, replication: int, length: Length, stream: int) -> dict[str, Any]:
    """The line of a turn that is due."""
    truth = world(name, replication, stream)
    seed = int(seeds(name, replication, stream).spawn(1)[0].generate_state(1)[0]) % 2**30
    line = {"world": name, "replication": replication, "contestant": one.name, "length": length}
    line |= turn(one, name, truth, seed, length)
    return line | {"units": len(truth.y), "date": str(dt.datetime.now(tz=dt.UTC).date())}


def run(turns: Iterable[Turn], stream: int, results: Path, side_by_side: int) -> int:
    """Take turns, add a line of each to the file of results, and return how many failed."""
    failed = 0
    pool = ThreadPoolExecutor(side_by_side)
    try:
        if side_by_side > 1:  # a second run is there for its time
            turns = [(replace(one[0], runs=1), *one[1:]) for one in turns]
        awaited = {pool.submit(taken, *one, stream): one for one in turns}
        for done in as_completed(awaited):
            one, name, replication, _ = awaited[done]
            try:
                line = done.result()
            except ContestantError as reason:
                failed += 1
                print(f"{name} {replication}: {reason}", file=sys.stderr, flush=True)
                continue
            took = f"{line['total']:.1f} s"
            if side_by_side > 1:
                line = {key: value for key, value in line.items() if key not in TIMES}
            with results.open("a") as file:
                file.write(f"{json.dumps(line)}\n")
            pehe = f"PEHE {line['pehe']:.3g}, " if "pehe" in line else ""
            print(f"{name} {replication}, {one.name}: {pehe}{took}", file=sys.stderr, flush=True)
    finally:
        pool.shutdown(cancel_futures=True)  # stopped by hand, it does not take the turns that wait
    return failed


def length_of(name: str, options: argparse.Namespace) -> Length:
    return tuple(options.length) if options.length else LENGTHS.get(name, DEFAULT_LENGTH)


def key(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return line["world"], line["replication"], line["contestant"], tuple(line["length"])


def read(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description="Causal forests side by side.")
    parser.add_argument("--final", action="store_true", help="the stream of seeds that nobody tunes on")
    parser.add_argument("--write", nargs="*", choices=[*TABLES], help="put the tables, all or these, into README.md")
    parser.add_argument("--tables", action="store_true", help="run nothing, make the tables of what is there")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="WORLD", help="worlds, by name or pattern")
    parser.add_argument("--contestants", nargs="+", choices=[one.name for one in CONTESTANTS])
    parser.add_argument("--replications", type=int, help="at most so many of each world")
    parser.add_argument("--length", type=int, nargs=3, metavar=("CHAINS", "BURN_IN", "DRAWS"))
    parser.add_argument("--side-by-side", type=int, default=1, metavar="TURNS", help="so many at once, and no times")
    parser.add_argument("--results", type=Path, help="another file of results")
    options = parser.parse_args()
    stream = FINAL if options.final else TUNING
    results: Path = options.results or (KEPT if options.final else FOLDER / "tuning.jsonl")
    results.parent.mkdir(parents=True, exist_ok=True)
    names = [name for name in WORLDS if any(fnmatch(name, pattern) for pattern in options.only)]
    for reason in filter(None, map(absent, names)):
        print(reason, file=sys.stderr)
    names = [name for name in names if absent(name) is None]
    done = {key(line) for line in read(results)}
    turns = [] if options.tables else missing(options, done, names)
    failed = run(turns, stream, results, options.side_by_side)
    made = told([line for line in read(results) if tuple(line["length"]) == length_of(line["world"], options)])
    for name, text in made.items():
        print(f"{name}\n\n{text}\n")
        if options.write is not None and name in (options.write or TABLES):
            put(f"causal forests, {name}", text)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
