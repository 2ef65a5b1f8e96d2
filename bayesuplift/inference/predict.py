"""Mean outcomes of segments, or units, that were never seen, from the draws of a fit."""

from typing import Any, Final

import xarray as xr

from bayesuplift.data.frames import translated
from bayesuplift.dims import POSTERIOR
from bayesuplift.errors import ArgumentError, PosteriorError, check_whole, listed
from bayesuplift.inference.predict_segments import POOLED_MEANS, predicted_segments
from bayesuplift.inference.predict_units import line_predictor
from bayesuplift.inference.regression_coordinates import REGRESSIONS
from bayesuplift.inference.unit_predictor import UnitPredictor
from bayesuplift.posterior.schema import assemble, validate

_OF_TREES: Final = ("bayesian_causal_forest",)
"""Models whose posteriors hold their trees; the register, which knows them too, is not filled where a posterior is read."""


@translated("the table")
def predict(posterior: xr.DataTree, rows: Any, *, seed: int, unit: str | None = None) -> xr.DataTree:
    """Mean outcome under each arm of the rows of a table, seen in training or not.

    Of a partially pooled model the rows are segments. One that the model was fitted on has the very draws of the fit. Else
    its own deviation is drawn from the population of segments, Normal(0, s^2); a level that no segment had, from that of
    its factor: about the mean of the L levels that were there, Normal(0, s^2 (1 + 1 / L)). Effects alike, correlated
    between arms as the fit found. One new level in two rows is one level. Gelman and Hill (2007), Data Analysis Using
    Regression and Multilevel/Hierarchical Models, section 12.8.

    Where levels follow the propensity, a new segment's does, too, by how far the logit of its `propensity` lies from the
    mean of the fit. A segment that was seen keeps its own fitted propensity and the draws of the fit, whatever the table
    says: its level is known from its own units, and does not change because it is treated more often elsewhere.

    Of a model of units the rows are units, each with the line, or the leaves, of its covariates. A level of text that no
    unit had is 0 in every column of its covariate: of two levels it counts as the first. Where a forest has terms of
    segments, the rows have their factors, too; a level that no unit had is drawn from its term's population, one level in
    two rows being one.

    Parameters
    ----------
    posterior
        From a model of segments or of units.
    rows
        A path to a CSV, TSV or Parquet file, or any dataframe that narwhals knows: one column a factor, levels compared as
        text, rows of the same segment counting once; or one column a covariate, and a factor. Units may be an
        `Experiment`, too.
        For a fit with a propensity also a column `propensity`, P(treatment) in the segment or of the unit, strictly between
        0 and 1; for one of more than two arms a column for each treatment, such as `propensity_offer` for the arm "offer".
        Other columns are not looked at.
    seed
        Seed of the draws of what is new, from 0.
    unit
        Column that names the unit, for models of units; a unit that comes twice is refused.

    Returns
    -------
    xarray.DataTree
        A posterior over these segments or units, without observed data; average segments with `population=`.

    Raises
    ------
    PosteriorError
        The posterior is from another model, or lacks draws of its sites, the propensities of its fit, or how its
        covariates were coded.
    ColumnNotFoundError, DataError
        A factor, a covariate or the propensity has no column, a value is missing, rows of one segment differ in their
        propensity, those of a unit add up to 1, or there is no row.
    ArgumentError
        A factor is called "propensity", too; segments are given a `unit`; or the draws of so many units would not fit.
    """
    validate(posterior)
    model = posterior.attrs.get("model")
    check_whole("seed", seed, 0)
    if model not in (known := [*POOLED_MEANS, *sorted(REGRESSIONS), *_OF_TREES]):
        raise PosteriorError(f"new segments and units are predicted by {listed(known)}; {_origin(posterior)}")
    told: dict[str, Any]
    if model in POOLED_MEANS:
        if unit is not None:
            raise ArgumentError(f"unit = {unit!r}; model {model!r} predicts segments, which have no names of their own")
        group, told = predicted_segments(posterior, rows, seed=seed)
    else:
        predictor = unit_predictor(posterior)
        given = predictor.read(rows, unit=unit)
        group, told = predictor.at(given, seed), {"predicted_units": len(given.labels)}
    told |= {"prediction_seed": int(seed)}
    return assemble({POSTERIOR: group}, {str(name): value for name, value in posterior.attrs.items()} | told)


def unit_predictor(posterior: xr.DataTree) -> UnitPredictor:
    """What predicts units from a valid posterior.

    Raises
    ------
    PosteriorError
        The posterior is of no model of units, or lacks what these are predicted from.
    """
    model = posterior.attrs.get("model")
    if model in REGRESSIONS:
        return line_predictor(posterior)
    if model in _OF_TREES:
        from bayesuplift.inference import causal_forest  # noqa: PLC0415 -- its kernel is slow to import

        return causal_forest.tree_predictor(posterior)
    known = [*sorted(REGRESSIONS), *_OF_TREES]
    raise PosteriorError(f"units are predicted by {listed(known)}; {_origin(posterior)}")


def _origin(posterior: xr.DataTree) -> str:
    model = posterior.attrs.get("model")
    return "this posterior was not made here" if model is None else f"this posterior is from '{model}'"
