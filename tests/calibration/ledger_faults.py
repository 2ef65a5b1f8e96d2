"""What a ledger holds after its writers were killed, met each other, or found the disk full.

A child applies batches without pause and is killed (SIGKILL) at a random time; every tenth is killed while it makes the
ledger. The ledger must then hold the batches that were acknowledged, in order, each counted once, and at most the one in
flight, whole. Two writers apply the same batches, and two apply their own. A child that may not write past some size of a
file finds its disk full. Faults are planted in between: a run that does not see each of them has failed.

A kill of the process leaves what the system has in its memory; that a commit reaches the disk is not seen here.

Run from the project's root: python -m tests.calibration.ledger_faults --kills 200
"""

import argparse
import hashlib
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

from sqlalchemy import insert, update

from bayesuplift.errors import ArgumentError, BayesupliftError, LedgerError
from bayesuplift.monitor.ledger.ledger import Ledger
from bayesuplift.monitor.ledger.opening import open_ledger
from bayesuplift.monitor.ledger.records import Entry, entry_seal, now, text_hash
from bayesuplift.monitor.ledger.tables import entries, experiments
from bayesuplift.monitor.ledger.transactions import writing

NAME: Final = "checkout"
FIRST: Final = json.dumps({"batches": 0, "total": 0, "trail": ""})
BEFORE_KILL: Final = 5.0  # in the time of a batch, at most
IN_BIRTH: Final = 2.0
AGAIN: Final = 2  # batches that a new child sends once more
NEW_LEDGER_EVERY: Final = 10
PADDING: Final = 3000
ROOM: Final = 200_000  # bytes that the full disk has left
SEED: Final = 20261122

Apply = Callable[[Ledger, int], bool]
"""Apply a batch by its number; whether it had been there."""


class ViolationError(AssertionError):
    """The ledger is not what it must be."""


def step(state: str, batch: str) -> tuple[str, str]:
    """Count the batch, add its number, and hash it to the trail of all before."""
    known, number = json.loads(state), json.loads(batch)["n"]
    trail = hashlib.sha256(f"{known['trail']} {number}".encode()).hexdigest()
    new = {"batches": known["batches"] + 1, "total": known["total"] + number, "trail": trail}
    return json.dumps(new), json.dumps({"total": new["total"]})


def again(state: str, entry: Entry) -> tuple[str, str]:
    """The same step, of an entry."""
    return step(state, entry.batch_json)


def batch(number: int) -> dict[str, str]:
    """Arguments of `apply` for a batch."""
    text = json.dumps({"n": number, "padding": "x" * PADDING})
    return {"batch_id": f"b{number}", "batch_hash": text_hash(text), "batch_json": text}


def sound(ledger: Ledger, number: int) -> bool:
    """As it is."""
    return ledger.apply(NAME, **batch(number), step=step).repeated


def state_first(ledger: Ledger, number: int) -> bool:
    """Planted: the state is committed before the entry, each in a transaction of its own."""
    before = ledger.read(NAME)
    if _there(ledger, number):
        return True
    state, entry = _next(before.state_json, before.entries, number)
    with writing(ledger.engine, ledger.url) as connection:
        connection.execute(update(experiments).values(state_json=state, state_hash=text_hash(state)))
    with writing(ledger.engine, ledger.url) as connection:
        connection.execute(insert(entries).values(experiment_id=1, seal=entry_seal(NAME, entry), **vars(entry)))
    return False


def unlocked(ledger: Ledger, number: int) -> bool:
    """Planted: the state is read before the lock is taken, so that two writers may start from the same."""
    if _there(ledger, number):
        return True
    before = ledger.read(NAME)
    state, _ = step(before.state_json, batch(number)["batch_json"])
    with writing(ledger.engine, ledger.url) as connection:
        _, entry = _next(before.state_json, ledger.read(NAME).entries, number)
        connection.execute(insert(entries).values(experiment_id=1, seal=entry_seal(NAME, entry), **vars(entry)))
        connection.execute(update(experiments).values(state_json=state, state_hash=text_hash(state)))
    return False


def _there(ledger: Ledger, number: int) -> bool:
    return f"b{number}" in {one.batch_id for one in ledger.entries(NAME)}


def _next(state: str, there: int, number: int) -> tuple[str, Entry]:
    content = batch(number)
    new, look = step(state, content["batch_json"])
    return new, Entry(number=there + 1, **content, look_json=look, state_hash=text_hash(new), recorded_at=now())


def start(path: str | Path) -> Ledger:
    """A ledger with the one experiment."""
    ledger = open_ledger(path)
    ledger.start(NAME, plan_json="{}", plan_hash="plan", state_json=FIRST)
    return ledger


def counted(path: Path) -> list[int]:
    """Numbers of the batches that a ledger holds, in order, after all of it was held against them.

    Raises
    ------
    ViolationError
        It cannot be read, a batch is there twice, or state and looks are not what its batches lead to.
    """
    try:
        ledger = open_ledger(path)
        found, stored = list(ledger.entries(NAME)), ledger.read(NAME)
    except ArgumentError:
        return []  # killed before the experiment was entered
    except BayesupliftError as error:
        raise ViolationError(str(error)) from error
    numbers = [int(json.loads(one.batch_json)["n"]) for one in found]
    state = FIRST
    for number, one in zip(numbers, found, strict=True):
        state, look = step(state, one.batch_json)
        if (one.batch_id, one.look_json) != (f"b{number}", look):
            raise ViolationError(f"entry {one.number} is {one.batch_id}, {one.look_json}; expected b{number}, {look}")
    if stored.state_json != state or len(set(numbers)) < len(numbers):
        raise ViolationError(f"the state {stored.state_json} is not that of the batches {numbers}: {state}")
    return numbers


@dataclass
class Child:
    """A process forked from this one, and the end of its pipe."""

    pid: int
    pipe: int
    told: str = ""

    def begun(self) -> None:
        """Wait until it tells something."""
        self.told = os.read(self.pipe, 1).decode()

    def ended(self) -> str:
        """Wait for its end; what it told."""
        os.waitpid(self.pid, 0)
        with os.fdopen(self.pipe, "rb") as pipe:
            told = self.told + pipe.read().decode()
        if "!" in told:
            raise ViolationError(f"a writer failed: {told[told.index('!') + 1 :]}")
        return told


def forked(work: Callable[[Callable[[str], None]], None]) -> Child:
    """Run in a child, which starts in a millisecond since all is imported."""
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        return Child(pid, read)
    try:
        work(lambda text: _told(write, text))
    except BaseException as error:  # noqa: BLE001 -- the child must never return into the parent's code
        _told(write, f"!{type(error).__name__}: {error}")
    os._exit(0)


def _told(pipe: int, text: str) -> None:
    os.write(pipe, text.encode())


def kill(folder: Path, kills: int, apply: Apply, *, early: bool = False) -> dict[str, int]:
    """Kill children that apply batches; `early` plants one that acknowledges a batch before it applies it."""
    random_times = random.Random(SEED)  # noqa: S311 -- times of kills are no secrets
    told = dict.fromkeys(("kills", "in a batch", "in a new ledger", "acknowledged", "in flight, kept", "logs left"), 0)
    path, held = folder / "0.db", 0
    pace = _pace(folder)
    for number in range(kills):
        birth = number % NEW_LEDGER_EVERY == 0
        if birth:
            path, held = folder / f"{number}.db", 0
        begin = max(0, held - AGAIN)

        def work(tell: Callable[[str], None], path: Path = path, begin: int = begin) -> None:
            ledger = start(path)
            for one in count(begin):
                tell(".(" if early else "(")
                apply(ledger, one)
                tell(")" if early else ".)")

        child = forked(work)
        if not birth:
            child.begun()
        time.sleep(random_times.uniform(0.0, IN_BIRTH if birth else BEFORE_KILL) * pace)
        os.kill(child.pid, signal.SIGKILL)
        out = child.ended()
        log = path.with_name(f"{path.name}-wal")
        told["logs left"] += log.exists() and log.stat().st_size > 0
        acknowledged = max(held, begin + out.count(".")) if "." in out else held
        found = counted(path)
        if found != list(range(len(found))) or len(found) - acknowledged not in {0, 1}:
            raise ViolationError(f"{acknowledged} batches were acknowledged, and the ledger holds {found}")
        told["kills"] += 1
        told["in a batch"] += out.count("(") > out.count(")")
        told["in a new ledger"] += birth and not out
        told["acknowledged"] += acknowledged - held
        told["in flight, kept"] += len(found) - acknowledged
        held = len(found)
    return told


def _pace(folder: Path) -> float:
    """Seconds that a batch takes here."""
    ledger = start(folder / "pace.db")
    began = time.perf_counter()
    for number in range(5):
        sound(ledger, number)
    return (time.perf_counter() - began) / 5


def meet(path: Path, lists: list[list[int]], apply: Apply) -> dict[str, int]:
    """Let writers apply their lists to one ledger at once, which the first to come makes."""
    begin = time.monotonic() + 0.05

    def work(tell: Callable[[str], None], numbers: Iterable[int]) -> None:
        time.sleep(max(0.0, begin - time.monotonic()))
        ledger = start(path)
        tell(f"{sum(not apply(ledger, one) for one in numbers)}")

    children = [forked(lambda tell, numbers=numbers: work(tell, numbers)) for numbers in lists]  # type: ignore[misc]
    new = [int(child.ended()) for child in children]
    found, expected = counted(path), {one for numbers in lists for one in numbers}
    if set(found) != expected or sum(new) != len(expected):
        raise ViolationError(f"of {len(expected)} batches the ledger holds {len(found)}; {new} were said to be new")
    return {"writers": len(lists), "batches": len(expected), "sent": sum(map(len, lists))}


def fill(path: Path) -> dict[str, Any]:
    """Apply batches until the disk is full, and go on when it is not."""
    start(path)

    def work(tell: Callable[[str], None]) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))
        ledger = open_ledger(path)
        for number in count():
            try:
                sound(ledger, number)
            except LedgerError as error:
                tell(f" {error}")
                return
            tell(".")

    told = forked(work).ended()
    acknowledged, found = told.count(".", 0, told.index(" ")), counted(path)
    if len(found) - acknowledged not in {0, 1}:
        raise ViolationError(f"{acknowledged} batches were acknowledged, and the ledger holds {found}")
    ledger = open_ledger(path)
    again = [sound(ledger, number) for number in range(acknowledged + 3)]
    if counted(path) != list(range(acknowledged + 3)) or sum(again) != len(found):
        raise ViolationError("the ledger did not go on where the full disk had stopped it")
    return {"acknowledged": acknowledged, "kept": len(found), "went on to": len(again), "refusal": told.strip(". ")}


def seen(run: Callable[[], object]) -> str:
    """What gave a planted fault away, or nothing."""
    try:
        run()
    except ViolationError as violation:
        return str(violation).splitlines()[0][:160]
    return ""


def faults(folder: Path, kills: int, batches: int) -> dict[str, Any]:
    """Run all of it, in a folder of its own each; a violation of the ledger itself is raised."""
    places = {}
    for place in ("kill", "full", "state first", "early"):
        places[place] = folder / place
        places[place].mkdir()
    numbers = list(range(batches))
    halves = [numbers[: batches // 2], numbers[batches // 2 :]]
    return {
        "killed": kill(places["kill"], kills, sound),
        "same batches": meet(folder / "same.db", [numbers, numbers], sound),
        "other batches": meet(folder / "other.db", halves, sound),
        "full disk": fill(places["full"] / "full.db"),
        "planted": {
            "state before entry": seen(lambda: kill(places["state first"], 40, state_first)),
            "acknowledged before it is applied": seen(lambda: kill(places["early"], 40, sound, early=True)),
            "state read before the lock": seen(lambda: meet(folder / "unlocked.db", halves, unlocked)),
        },
    }


def main(arguments: list[str]) -> int:
    """Print the counts; the exit code says whether the ledger was always whole and every planted fault was seen."""
    parser = argparse.ArgumentParser(description="Kill, crowd and starve a ledger's writers.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--batches", type=int, default=100)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bayesuplift.") as folder:
        told = faults(Path(folder), options.kills, options.batches)
    print(json.dumps(told, indent=2))  # noqa: T201
    return 0 if all(told["planted"].values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
