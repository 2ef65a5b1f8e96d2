"""Parts of the units that a model is checked in: like predictions, like effects, like covariates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from bayesuplift.data.experiment import Experiment
from bayesuplift.data.labels import natural_order, segment_label
from bayesuplift.data.propensity import columns_asked_for

Array = NDArray[np.float64]

LEAST: Final = 20
"""Units that a part is meant to have of every arm."""

_MOST: Final = 10
_NONE: Final = -1


@dataclass(frozen=True, eq=False)
class Parts:
    """A division of the units, or of some.

    Parameters
    ----------
    family
        What units of a part have in common: "prediction", "effect" or "covariate".
    by
        What they are divided by, in words.
    names
        What each part is called.
    code
        Part (unit,) of each unit; -1 of those that are in none.
    """

    family: str
    by: str
    names: tuple[str, ...]
    code: NDArray[np.intp]


def parts_of(experiment: Experiment, mean: Array) -> list[Parts]:
    """Divide units by what is predicted and what is known of them.

    Parameters
    ----------
    experiment
        The units.
    mean
        Posterior mean (unit, arm) of the mean outcome, arms in the order of the design.

    Returns
    -------
    list of Parts
        By prediction: units of each arm sorted by what is predicted of them, in at most ten parts. By effect: units of
        a treatment and of the control sorted by the effect that is predicted, one division a treatment. By covariate:
        at most ten intervals of every number, the propensity among them, and the levels of every text and segment factor;
        levels of fewer than 20 units are one part. What is the same for all units divides none.
    """
    arm, arms = experiment.arm, experiment.design.arms
    control = arms.index(experiment.design.control)
    found = [_by_prediction(arm, mean[np.arange(len(arm)), arm], len(arms))]
    for place, treatment in enumerate(arms):
        if place == control:
            continue
        asked = (arm == place) | (arm == control)
        of_pair = min(int((arm == place).sum()), int((arm == control).sum()))
        code = np.full(len(arm), _NONE, dtype=np.intp)
        code[asked] = _intervals(mean[asked, place] - mean[asked, control], of_pair // LEAST)
        found.append(_numbered("effect", f"predicted effect of {treatment}", code))
    found += [_by_covariate(name, column, len(arms)) for name, column in _known(experiment).items()]
    return [one for one in found if one.family == "prediction" or len(one.names) > 1]


def membership(parts: Sequence[Parts], arm: NDArray[np.intp], arms: int) -> csr_array:
    """Matrix (cell, unit) of ones: which units are in which cell, cells being parts by arm, arm fastest."""
    rows, columns, first = [], [], 0
    for one in parts:
        inside = np.flatnonzero(one.code != _NONE)
        rows.append(first + one.code[inside] * arms + arm[inside])
        columns.append(inside)
        first += len(one.names) * arms
    places = np.concatenate(rows), np.concatenate(columns)
    # float32 holds ones, and products with float64 are float64
    return csr_array((np.ones(len(places[0]), dtype=np.float32), places), shape=(first, len(arm)))


def _by_prediction(arm: NDArray[np.intp], own: Array, arms: int) -> Parts:
    """Each arm has parts of its own, of like sizes."""
    code = np.zeros(len(arm), dtype=np.intp)
    for place in range(arms):
        inside = arm == place
        code[inside] = _intervals(own[inside], int(inside.sum()) // LEAST)
    return _numbered("prediction", "prediction", code)


def _numbered(family: str, by: str, code: NDArray[np.intp]) -> Parts:
    """Parts without names of their own."""
    count = int(code.max()) + 1
    return Parts(family, by, tuple(f"part {k + 1} of {count} by {by}" for k in range(count)), code)


def _by_covariate(name: str, column: NDArray[np.generic], arms: int) -> Parts:
    if np.issubdtype(column.dtype, np.number):
        values = column.astype(np.float64)
        code = _intervals(values, len(values) // (LEAST * arms))
        bounds = pd.Series(values).groupby(code).agg(["min", "max"]).to_numpy()
        names = [f"{name}={low:.4g}" if low == high else f"{name} {low:.4g} to {high:.4g}" for low, high in bounds]
        return Parts("covariate", name, tuple(names), code)
    found, levels = pd.factorize(column.astype(object))
    often = np.bincount(found, minlength=len(levels)) >= LEAST
    ordered = natural_order(str(level) for level, one in zip(levels, often, strict=True) if one)
    place = {level: k for k, level in enumerate(ordered)}
    names = [segment_label({name: level}) for level in ordered]
    if not often.all():
        names.append(f"other levels of {name}")
    code = np.array([place.get(str(level), len(ordered)) for level in levels], dtype=np.intp)[found]
    return Parts("covariate", name, tuple(names), code)


def _known(experiment: Experiment) -> Mapping[str, NDArray[np.generic]]:
    """Covariates, propensities and segment factors by name; a factor takes the place of the covariate that it is."""
    chances: dict[str, NDArray[np.generic]] = {}
    if experiment.propensity is not None:
        names = columns_asked_for(experiment.design.treatments)
        columns = experiment.propensity.reshape(len(experiment), -1).T
        chances = dict(zip(names, columns, strict=True))
    return {**chances, **experiment.covariates, **experiment.segments}


def _intervals(values: Array, most: int) -> NDArray[np.intp]:
    """Place (unit,) among at most `most` intervals, and at most ten, of like numbers of units; equal values share one."""
    count = min(max(most, 1), _MOST)
    edges: Array = np.unique(np.quantile(values, np.arange(1, count) / count, method="inverted_cdf"))
    _, code = np.unique(np.searchsorted(edges, values, side="left"), return_inverse=True)
    return code.reshape(-1).astype(np.intp)
