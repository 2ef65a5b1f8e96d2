"""Whether units that are handed in are those that a posterior is of, in its order, as far as that can be told."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.data.coding import Coding
from bayesuplift.data.experiment import Experiment
from bayesuplift.data.labels import label
from bayesuplift.data.units import Units
from bayesuplift.dims import UNIT
from bayesuplift.errors import ArgumentError, listed
from bayesuplift.posterior.factors import as_called, factors_of, levels_of


def check_number(means: xr.DataArray, found: int, what: str) -> None:
    """Refuse another number of units than mean outcomes (..., unit, ...) are of; `what` is what holds them.

    Raises
    ------
    ArgumentError
        The numbers differ.
    """
    if means.sizes[UNIT] != found:
        raise ArgumentError(
            f"the posterior is of {means.sizes[UNIT]:,} units, and the {what} has {found:,}; give the very units that the "
            f"posterior is of, in its order"
        )


def check_experiment(posterior: xr.DataTree, means: xr.DataArray, experiment: Experiment) -> None:
    """Refuse an experiment whose units are not those of the posterior, as far as its names, factors or data tell.

    Raises
    ------
    ArgumentError
        They are not, or stand in another order.
    """
    if experiment.unit is not None:
        check_names(means, experiment.unit)
    check_factors(means, experiment.segments)
    attributes = posterior.attrs
    fitted_here = {"data_fingerprint", "coding", "model"} <= set(attributes) and "predicted_units" not in attributes
    if not fitted_here:
        return
    coding = Coding.from_json(attributes["coding"])
    if not {column.covariate for column in coding.columns} <= set(experiment.covariates):
        return  # other covariates are another view of the units, of which no fingerprint was taken
    if Units(experiment, coding).fingerprint != attributes["data_fingerprint"]:
        raise ArgumentError(
            "the posterior was fitted on other data than this experiment, with another propensity or precision, or on "
            "these units in another order (their fingerprints differ); give the experiment that was fitted, or a dataframe "
            "of covariates in its order"
        )


def check_names(means: xr.DataArray, names: NDArray[np.generic]) -> None:
    """Refuse units that are called otherwise than the posterior's.

    Raises
    ------
    ArgumentError
        They are, or stand in another order.
    """
    if UNIT not in means.coords:
        return
    ours, theirs = as_text(means[UNIT].to_numpy()), as_text(names)
    if np.array_equal(ours, theirs):
        return
    if set(ours.tolist()) == set(theirs.tolist()):
        first = int(np.flatnonzero(ours != theirs)[0])
        raise ArgumentError(
            f"the units are the posterior's in another order, first in row {first + 1}: '{theirs[first]}', where the "
            f"posterior has '{ours[first]}'. Sort them as the posterior's coordinate 'unit'"
        )
    places = [str(i) for i in range(means.sizes[UNIT])]
    if ours.tolist() != places:  # positions are no names, and say nothing
        known = set(ours.tolist())
        strangers = [name for name in theirs.tolist() if name not in known]
        raise ArgumentError(
            f"the posterior has no unit {listed(strangers, 3)}; give the units that it is of, in its order"
        )


def check_factors(means: xr.DataArray, columns: Mapping[str, NDArray[np.generic]]) -> None:
    """Refuse units whose segments are not those that the posterior holds of them.

    Raises
    ------
    ArgumentError
        A unit has another level of a factor.
    """
    held = {as_called(name): name for name in factors_of(means)}
    for name, column in columns.items():
        if name not in held:
            continue
        ours = np.array(levels_of(means, [held[name]])[held[name]])
        wrong = np.flatnonzero(ours != as_text(column))
        if len(wrong):
            first = int(wrong[0])
            raise ArgumentError(
                f"{len(wrong):,} units have another '{name}' than in the posterior, first in row {first + 1}: "
                f"'{column[first]}', where the posterior has '{ours[first]}'. Give the posterior's units in its order"
            )


def as_text(values: NDArray[np.generic]) -> NDArray[np.str_]:
    """Names, or levels, as the text that they are compared by."""
    if values.dtype.kind == "U":
        return values  # type: ignore[return-value]
    return np.array([label(value) for value in values.tolist()], dtype=np.str_)
