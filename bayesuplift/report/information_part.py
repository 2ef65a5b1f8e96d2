"""Whether to know more before deciding: facts, and what a page tells of them."""

from collections.abc import Mapping
from typing import Any, Final

import xarray as xr

from bayesuplift.decisions.information.perfect import perfect_information
from bayesuplift.decisions.information.sample import SIZE, sample_information
from bayesuplift.estimands.places import Places
from bayesuplift.estimands.value import Economics
from bayesuplift.report.money import counted, money
from bayesuplift.report.plain import plain
from bayesuplift.report.shown import as_text
from bayesuplift.report.tables import Table

Facts = Mapping[str, Any]

_SHARES: Final = (0.02, 0.05, 0.1, 0.2, 0.4)  # of the population, that a further test takes
_FEWEST: Final = 2.0  # units an arm of the smallest test


def information_facts(posterior: xr.DataTree, economics: Economics, *, seed: int) -> dict[str, Any] | None:
    """Value of perfect information, and of a further test, for as many units as were analysed; None where these are few.

    Returns
    -------
    dict
        `everybody` and `place`: `evpi` with its error, of the decision for all alike and of one for each place; `tests`,
        rows of `units_per_arm`, `units_in_test`, `evsi`, `forgone`, `net_value` with their errors; `sentence`;
        `population`, the units that are decided for.
    """
    places = Places.of(posterior)
    population = float(places.weight.sum())
    arms = len(places.arms)
    if population * _SHARES[0] / arms < _FEWEST:
        return None
    perfect = {
        "everybody": _row(perfect_information(posterior, economics), ("evpi",)),
        "place": _row(perfect_information(posterior, economics, by="place"), ("evpi",)),
    }
    table = sample_information(
        posterior,
        economics,
        units_per_arm=[int(share * population / arms) for share in _SHARES],
        population_size=population,
        seed=seed,
    )
    rows = []
    for size in table[SIZE].to_numpy().tolist():
        of_size = table.sel({SIZE: size})
        figures = _row(of_size, ("evsi", "forgone", "net_value"))
        shown = figures["shown"] | {"units_per_arm": counted(size), "units": counted(float(of_size["units_in_test"]))}
        rows.append(
            {"units_per_arm": int(size), "units_in_test": int(of_size["units_in_test"]), **figures, "shown": shown}
        )
    told = str(table.attrs["sentence"])
    return {**perfect, "tests": rows, "sentence": told, "population": population, "seed": int(seed)}


def information_sentences(outcome: Facts) -> tuple[str, ...]:
    """What is said of knowing more."""
    facts = outcome["targeting"]["information"]
    all_alike, each = (facts[name]["shown"]["evpi"] for name in ("everybody", "place"))
    dim, population = outcome["targeting"]["dim"], counted(facts["population"])
    known = (
        f"To know every effect before deciding would be worth {all_alike} if all are treated alike, and {each} if each "
        f"{dim} gets its own arm, for another {population} units like these: no test is worth more."
    )
    return known, f"{facts['sentence']} Its units are among these, and the price of running a test comes on top."


def information_table(outcome: Facts) -> Table:
    """One row a size of a further test."""
    return Table(
        name="further tests",
        caption=(
            "What a further test is worth before one arm is chosen for everybody: expected gain of the better decision, "
            "what units in worse arms forgo meanwhile, and what is left"
        ),
        head=("units an arm", "units in all", "worth", "forgone", "net"),
        rows=tuple(
            tuple(row["shown"][name] for name in ("units_per_arm", "units", "evsi", "forgone", "net_value"))
            for row in outcome["targeting"]["information"]["tests"]
        ),
        folded=False,
    )


def _row(table: xr.Dataset, names: tuple[str, ...]) -> dict[str, Any]:
    """Figures with their errors, and as text."""
    row = {one: plain(table[one]) for name in names for one in (name, f"{name}_mcse")}
    return row | {"shown": {name: as_text(row, name, money) for name in names}}
