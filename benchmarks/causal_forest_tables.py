"""The tables of the benchmark of causal forests, from the lines that causal_forest.py wrote."""

import platform
import statistics
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatch
from typing import Any, Final

import numpy as np

from benchmarks.forest_worlds import WORLDS
from benchmarks.tables import table

OURS: Final = "ours"
EMPTY: Final = "ours, empty cache"
LARGEST: Final = "marketing-64000"
STOCHTREE: Final = "stochtree"
ONE_LEAF: Final = "ours, from one leaf"
FEW_SPLITS: Final = "ours, few splits of effects"
VARIANTS: Final = (*(f"ours, effect trees of {depth} levels" for depth in (4, 6, 8)), "ours, draws left open")
OTHERS: Final = ("bartz bcf", "causalml X-learner", "econml CausalForestDML")
PUBLISHED: Final = ("hahn-*", "ihdp")
LEAST_PAIRS: Final = 2
DIGITS: Final = 3

Lines = Mapping[int, Mapping[str, Any]]
"""One contestant's lines on one world, by replication."""
Found = Mapping[str, Mapping[str, Lines]]
"""Lines by world and contestant."""


def told(lines: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Every table for which there are lines, by its name, with a sentence about the run before it."""
    found: dict[str, dict[str, dict[int, Mapping[str, Any]]]] = {}
    for line in sorted(lines, key=lambda line: (WORLDS.index(line["world"]), line["replication"])):
        found.setdefault(line["world"], {}).setdefault(line["contestant"], {})[line["replication"]] = line
    made = {name: make(found) for name, make in TABLES.items()}
    return {name: text for name, text in made.items() if text}


def stochtree_beside(found: Found) -> str:
    """The published worlds with pairs of ours and stochtree's."""
    kept = {
        name: by_name
        for name, by_name in found.items()
        if any(fnmatch(name, one) for one in PUBLISHED) and paired(by_name, OURS, STOCHTREE)
    }
    return compared(kept)


def further_worlds(found: Found) -> str:
    """The worlds beside them."""
    return compared({name: of for name, of in found.items() if not any(fnmatch(name, one) for one in PUBLISHED)})


def compared(found: Found) -> str:
    """Pairs with stochtree, depths, times and memory; empty without lines."""
    if not found:
        return ""
    elsewhere = (*OTHERS, ONE_LEAF, FEW_SPLITS)
    without = {name: {one: of for one, of in by.items() if one not in elsewhere} for name, by in found.items()}
    against = {name: both for name, by_name in without.items() if (both := paired(by_name, OURS, STOCHTREE))}
    shown = [opening(without)]
    if against:
        shown += [against_stochtree(against), together(against)]
    deep = {name: by_name for name, by_name in without.items() if any(one in by_name for one in VARIANTS)}
    if deep:
        shown += ["Depth of the effects' trees, and length of the run:", variants(deep)]
    timed = {name: by for name, by in without.items() if any("total" in line for line in by.get(OURS, {}).values())}
    if timed:
        shown += ["Time and memory:", times(timed)]
    if OURS in without.get(LARGEST, {}):
        shown.append(largest(without[LARGEST][OURS]))
    return "\n\n".join(shown)


def starts(found: Found) -> str:
    """Chains that are grown from the root beside those from trees of one leaf."""
    return beside_variant(found, ONE_LEAF, ("grown", "from one leaf"))


def priors(found: Found) -> str:
    """Effects of the default prior beside those whose trees are more and hardly split."""
    return beside_variant(found, FEW_SPLITS, ("default", "few splits"))


def beside_variant(found: Found, variant: str, called: tuple[str, str]) -> str:
    """A row a world: ours beside a variant of it, on the same replications; empty without pairs."""
    kept = {name: both for name, by_name in found.items() if (both := paired(by_name, OURS, variant))}
    if not kept:
        return ""
    rows = []
    for name, both in kept.items():
        ratio, spread = with_error(log_ratio(*both))
        shown = [number(values(one, "pehe").mean()) for one in both]
        shown += [f"{np.exp(ratio):.3f} ± {np.exp(ratio) * spread:.3f}"]
        shown += [" / ".join(percent(values(one, "coverage").mean()) for one in both)]
        shown += [" / ".join(number(float(np.abs(values(one, "bias")).mean())) for one in both)]
        rows.append([name, str(len(both[0])), *shown])
    header = ["world", "replications", *(f"PEHE, {one}" for one in called), "ratio"]
    header += [f"95% intervals cover, %, {' / '.join(called)}", "mean absolute bias of the average effect"]
    lines = {name: dict(zip((OURS, variant), both, strict=True)) for name, both in kept.items()}
    return f"{opening(lines)}\n\n{table(header, rows)}"


def other_estimators(found: Found) -> str:
    """A row a world and estimator: error, coverage, bias and cost beside ours on the same replications."""
    rows: list[list[str]] = []
    kept: dict[str, dict[str, Lines]] = {}
    for name, by_name in found.items():
        for contestant in OTHERS:
            theirs, ours = (by_name.get(one, {}) for one in (contestant, OURS))
            both = sorted(set(ours) & set(theirs))
            if both:
                here, there = ({k: one[k] for k in both} for one in (ours, theirs))
                rows.append([name, contestant, str(len(both)), *beside(here, there)])
                kept.setdefault(name, {}).update({contestant: there, OURS: here})
    header = ["world", "estimator", "replications", "its PEHE", "ours", "ours by its", "its 95% intervals cover, %"]
    header += ["ours", "its mean absolute bias", "ours", "its time from start", "its peak memory"]
    return "\n\n".join([opening(kept), table(header, rows)]) if rows else ""


def beside(ours: Lines, theirs: Lines) -> list[str]:
    """PEHE, its ratio, coverage and bias of theirs and ours."""
    ratios, both = log_ratio(ours, theirs), (theirs, ours)
    shown = [number(values(one, "pehe").mean()) for one in both]
    if len(ratios) < LEAST_PAIRS:
        shown.append(f"{np.exp(ratios[0]):.2f}")
    else:
        mean, error = with_error(ratios)
        shown.append(f"{np.exp(mean):.2f} ± {np.exp(mean) * error:.2f}")
    shown += [percent(values(one, "coverage").mean()) for one in both]
    shown += [number(float(np.abs(values(one, "bias")).mean())) for one in both]
    return [*shown, seconds(theirs, "total"), memory(theirs)]


def opening(found: Found) -> str:
    """When and with what the lines were made, and how many of them are timed."""
    lines = [line for by_name in found.values() for of in by_name.values() for line in of.values()]
    versions = {name: number for line in lines for name, number in line["versions"].items()}
    dates, loads = sorted({line["date"] for line in lines}), [line["load"] for line in lines if "load" in line]
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    named = ", ".join(f"{name} {number}" for name, number in sorted(versions.items()))
    said = f"{len(lines):,} runs on {when} by `make bench-forests`: Python {platform.python_version()}, {named}."
    if loads:
        said += (
            f" {len(loads):,} were timed, alone on the machine; load average before them {min(loads):.1f} to "
            f"{max(loads):.1f}, the run before included."
        )
    return said


def paired(by_name: Mapping[str, Lines], one: str, other: str) -> tuple[Lines, Lines] | None:
    """Lines of two contestants on the replications that both had, if there are two or more."""
    both = sorted(set(by_name.get(one, {})) & set(by_name.get(other, {})))
    if len(both) < LEAST_PAIRS:
        return None
    first, second = by_name[one], by_name[other]
    return {k: first[k] for k in both}, {k: second[k] for k in both}


def values(lines: Lines, name: str) -> np.ndarray:
    """What the lines say, in their order."""
    return np.array([line[name] for line in lines.values()], dtype=np.float64)


def with_error(sample: np.ndarray) -> tuple[float, float]:
    """Mean, and its standard error."""
    return float(sample.mean()), float(sample.std(ddof=1) / np.sqrt(len(sample)))


def log_ratio(ours: Lines, theirs: Lines) -> np.ndarray:
    return np.log(values(ours, "pehe") / values(theirs, "pehe"))


def number(value: float) -> str:
    return f"{value:.{DIGITS}g}"


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def against_stochtree(found: Mapping[str, tuple[Lines, Lines]]) -> str:
    """A row a world: PEHE, coverage, bias and its coverage, ours against stochtree's on the same replications."""
    rows = []
    for name, (ours, theirs) in found.items():
        mean, error = with_error(values(ours, "pehe") - values(theirs, "pehe"))
        ratio, spread = with_error(log_ratio(ours, theirs))
        bias, other_bias = (np.abs(values(one, "bias")) for one in (ours, theirs))
        cells = [name, str(len(ours)), *(number(values(one, "pehe").mean()) for one in (ours, theirs))]
        cells += [f"{mean:+.2g} ± {error:.1g}", f"{np.exp(ratio):.3f} ± {np.exp(ratio) * spread:.3f}"]
        cells += [" / ".join(percent(values(one, "coverage").mean()) for one in (ours, theirs))]
        cells += [" / ".join(number(values(one, "width").mean()) for one in (ours, theirs))]
        cells += [f"{number(bias.mean())} / {number(other_bias.mean())}", ratio_of_means(bias, other_bias)]
        cells += [" / ".join(percent(values(one, "average_covers").mean()) for one in (ours, theirs))]
        rows.append(cells)
    header = ["world", "replications", "PEHE, ours", "PEHE, stochtree", "difference", "ratio"]
    header += ["95% intervals cover, %, ours / stochtree", "their width", "mean absolute bias of the average effect"]
    return table([*header, "ratio of the two", "its 95% interval covers, %"], rows)


def ratio_of_means(ours: np.ndarray, theirs: np.ndarray) -> str:
    """Ratio of two means of pairs, with its standard error by the delta method."""
    ratio = float(ours.mean() / theirs.mean())
    return f"{ratio:.2f} ± {with_error(ours - ratio * theirs)[1] / theirs.mean():.2f}"


def together(found: Mapping[str, tuple[Lines, Lines]]) -> str:
    """The same over worlds, each world once."""
    ratios = [with_error(log_ratio(*both)) for both in found.values()]
    mean = float(np.exp(np.mean([ratio for ratio, _ in ratios])))
    error = mean * float(np.sqrt(np.sum([spread**2 for _, spread in ratios]))) / len(ratios)
    above = [name for name, both in found.items() if exceeds(np.subtract(*(values(one, "pehe") for one in both)))]
    verdict = f"by more than two standard errors above: {', '.join(above) or 'nowhere'}"
    return f"PEHE over the {len(ratios)} worlds, ours by stochtree's: {mean:.3f} ± {error:.3f}; {verdict}."


def exceeds(difference: np.ndarray) -> bool:
    mean, error = with_error(difference)
    return mean > 2.0 * error


def variants(found: Found) -> str:
    """PEHE with other depths of the effects' trees, or a longer run, less PEHE of ours, on the same replications."""
    rows = []
    for name, by_name in found.items():
        for contestant in VARIANTS:
            both = paired(by_name, contestant, OURS)
            if both is None:
                continue
            mean, error = with_error(values(both[0], "pehe") - values(both[1], "pehe"))
            shown = [number(values(one, "pehe").mean()) for one in both]
            shown += [f"{mean:+.2g} ± {error:.1g}", " / ".join(percent(values(one, "coverage").mean()) for one in both)]
            rows.append([name, contestant, str(len(both[0])), *shown])
    header = ["world", "contestant", "replications", "PEHE", "PEHE of ours", "difference"]
    return table([*header, "95% intervals cover, %, it / ours"], rows)


def times(found: Found) -> str:
    """A row a timed world: seconds of ours and stochtree, from a process's start or of the fit alone, and their ratios."""
    rows = []
    for name, by_name in found.items():
        ours, one, two = (by_name.get(key, {}) for key in (OURS, STOCHTREE, "stochtree, two processes"))
        shown = [seconds(by_name.get(EMPTY, {}), "total"), seconds(ours, "total"), seconds(ours, "warm")]
        shown += [seconds(one, "total"), seconds(two, "total")]
        for theirs in (one, two):
            shown += [ratio(ours, theirs, "total", "total"), ratio(ours, theirs, "warm", "seconds")]
        processor = (seconds(ours, "cpu"), seconds(ours, "cpu_warm"), seconds(one, "cpu"))
        shown += [" / ".join(processor), " / ".join(memory(lines) for lines in (ours, one))]
        chains, burn_in, draws = next(iter(ours.values()))["length"]
        rows.append([name, f"{chains} x ({burn_in} + {draws})", *shown])
    header = [
        "world",
        "chains x (left out + kept)",
        "ours, empty cache",
        "ours, first fit",
        "ours, second fit",
        "stochtree",
    ]
    header += ["stochtree, two processes", "first fit, stochtree = 1", "second fit, stochtree = 1"]
    header += ["first fit, two processes = 1", "second fit, two processes = 1"]
    header += ["processor time, our first fit / our second / stochtree", "peak memory, ours / stochtree"]
    return table(header, rows)


def largest(lines: Lines) -> str:
    """The sentence about memory, of the world with the most units."""
    line = max(lines.values(), key=lambda line: line["peak"])
    chains, _, draws = line["length"]
    return (
        f"{line['units']:,} units under two arms, {chains * draws:,} draws of their mean outcomes kept: "
        f"{line['peak']:.2f} GB at most, all of the process."
    )


def seconds(lines: Lines, name: str) -> str:
    timed = [line[name] for line in lines.values() if name in line]
    return f"{statistics.median(timed):.1f} s" if timed else "not timed"


def memory(lines: Lines) -> str:
    return f"{max(line['peak'] for line in lines.values()):.2f} GB" if lines else "not run"


def ratio(ours: Lines, theirs: Lines, own: str, other: str) -> str:
    """Median of the ratios of the replications that were timed for both."""
    both = [k for k in set(ours) & set(theirs) if own in ours[k] and other in theirs[k]]
    return f"{statistics.median(ours[k][own] / theirs[k][other] for k in both):.2f}" if both else "not timed"


TABLES: Final[Mapping[str, Callable[[Found], str]]] = {
    "stochtree": stochtree_beside,
    "further worlds": further_worlds,
    "prior of effects": priors,
    "where chains begin": starts,
    "other estimators": other_estimators,
}
"""The tables by the names that places in README.md and `--write` have for them."""
