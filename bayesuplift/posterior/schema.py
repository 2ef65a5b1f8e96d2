"""The one layout of a posterior, and the one place that checks it.

    posterior/mean_outcome       (chain, draw, [segment | unit], arm)   E[Y(arm) | x, theta]; required
    sample_stats/diverging       (chain, draw)                          of a sampler that reports it
    observed_data/n, total, ...  ([segment], arm)                       the cells that were conditioned on
    constant_data/intended_split (arm)                                  shares the arms were meant to have
    closed_form/alpha, beta      (prior, [segment], arm)                where the posterior is exact
    prior_sensitivity/log_weight (prior, chain, draw)                   log p_alternative - log p_stated at each draw

Root attributes: `control`, `outcome`, `kind`, `assignment`, `method`, and provenance (`storage`). A tree made elsewhere
needs the first group and the attribute `control`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayesuplift.dims import ARM, CHAIN, CLOSED_FORM, DRAW, MEAN_OUTCOME, POSTERIOR, SEGMENT, UNIT
from bayesuplift.errors import PosteriorError, did_you_mean, listed

VERSION = 1
STATED = "stated"


def assemble(groups: Mapping[str, xr.Dataset], attributes: Mapping[str, Any]) -> xr.DataTree:
    """Build a posterior from its groups and root attributes, and check it."""
    tree = xr.DataTree.from_dict(dict(groups))
    tree.attrs = {"schema_version": VERSION, **{k: v for k, v in attributes.items() if v is not None}}
    return validate(tree)


def validate(tree: xr.DataTree) -> xr.DataTree:
    """Return the tree if it is a posterior.

    Raises
    ------
    PosteriorError
        It lacks `posterior/mean_outcome`, a dimension, arm labels or the control, or holds no draw, or one that is not a
        finite number.
    """
    if not isinstance(tree, xr.DataTree):
        raise PosteriorError(f"a posterior is an xarray.DataTree; this is {type(tree).__name__}")
    version = tree.attrs.get("schema_version", VERSION)
    if not isinstance(version, int | np.integer) or version > VERSION:
        raise PosteriorError(
            f"the posterior follows schema {version}; this release reads up to {VERSION}: upgrade bayesuplift"
        )
    if POSTERIOR not in tree.children:
        raise PosteriorError(f"no group 'posterior'. Groups: {listed(tree.children) or 'none'}")
    variables = tree[POSTERIOR].data_vars
    if MEAN_OUTCOME not in variables:
        raise PosteriorError(
            f"group 'posterior' has no variable 'mean_outcome', the mean outcome under each arm. "
            f"Variables: {listed(variables)}."
        )
    draws = tree[POSTERIOR].to_dataset()[MEAN_OUTCOME]
    missing = {CHAIN, DRAW, ARM} - set(draws.dims)
    unknown = set(draws.dims) - {CHAIN, DRAW, ARM, SEGMENT, UNIT}
    if missing or unknown or {SEGMENT, UNIT} <= set(draws.dims):
        raise PosteriorError(
            f"mean_outcome has dimensions {listed(draws.dims)}; expected chain, draw, [segment or unit], arm"
        )
    if ARM not in draws.coords or not all(isinstance(label, str) for label in draws[ARM].to_numpy().tolist()):
        raise PosteriorError("mean_outcome has no labels for its arms: give the dimension 'arm' a coordinate of texts")
    labels = arms(tree)
    if len(labels) < 2 or len(set(labels)) < len(labels):  # noqa: PLR2004
        raise PosteriorError(f"arms {listed(labels)}: expected at least two different labels")
    control = tree.attrs.get("control")
    if control not in labels:
        raise PosteriorError(
            f"attribute 'control' is {control!r}; expected one of the arms: {listed(labels)}."
            f"{did_you_mean(control, labels)}"
        )
    _check_values(draws)
    return tree


def _check_values(draws: xr.DataArray) -> None:
    """Refuse draws that are not finite numbers, or none at all."""
    if draws.dtype.kind not in "fiu" or draws.size == 0:
        raise PosteriorError(f"mean_outcome holds {draws.size} values of {draws.dtype}; expected draws as numbers")
    bad = int((~np.isfinite(draws)).sum())
    if bad:
        raise PosteriorError(f"mean_outcome holds {bad} missing or infinite draws of {draws.size}")


def group(tree: xr.DataTree, name: str) -> xr.Dataset | None:
    """Return one group as a dataset, or None where the posterior has no such group."""
    return tree.children[name].to_dataset() if name in tree.children else None


def arms(tree: xr.DataTree) -> tuple[str, ...]:
    """Labels of the arms, in the posterior's order."""
    return tuple(str(label) for label in tree[POSTERIOR].to_dataset()[MEAN_OUTCOME][ARM].to_numpy())


def mean_outcome(tree: xr.DataTree) -> xr.DataArray:
    """Draws of the mean outcome, dims (chain, draw, [segment | unit], arm)."""
    return tree[POSTERIOR].to_dataset()[MEAN_OUTCOME].transpose(CHAIN, DRAW, ..., ARM)


def is_closed_form(tree: xr.DataTree) -> bool:
    """Whether the posterior is exact: independent Beta rates whose parameters the tree holds."""
    return CLOSED_FORM in tree.children
