"""The one layout of a posterior, and the one place that checks it.

    posterior/mean_outcome       (chain, draw, [segment | unit], arm)   E[Y(arm) | x, theta]; required
    sample_stats/diverging       (chain, draw)                          of a sampler that reports it
    observed_data/n, total, ...  ([segment], arm)                       the cells that were conditioned on
    constant_data/intended_split (arm)                                  shares the arms were meant to have
    closed_form/alpha, beta      (prior, [segment], arm)                where the posterior is exact
    prior_sensitivity/log_weight (prior, chain, draw)                   log p_alternative - log p_stated at each draw
    alternatives/mean_outcome    (prior, chain, draw, [segment], arm)   draws under other priors, where they were drawn too

Root attributes: `control`, `outcome`, `kind`, `assignment`, `method`, and provenance (`storage`); of a model fitted here
also `pooled`, the dimension that it pools over, `flat_in`, in what its prior is flat, and `effect_scale` of past
experiments; where draws are by many short chains `superchains`, how many groups of them started at one point each, and
where the engine's draws were not trusted `fallback`, why. A tree made elsewhere needs the first group and the attribute
`control`.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import xarray as xr

from bayesuplift.dims import (
    ALTERNATIVES,
    ARM,
    ASSIGNMENTS,
    CHAIN,
    CLOSED_FORM,
    DRAW,
    MEAN_OUTCOME,
    OBSERVED_DATA,
    POSTERIOR,
    PRIOR,
    PRIOR_SENSITIVITY,
    SEGMENT,
    UNIT,
    N,
)
from bayesuplift.errors import PosteriorError, did_you_mean, listed

_BLOCK: Final = 2**22  # draws that are looked at together

VERSION = 1
READ_LATER: Final = "read_later"
"""Root attribute of a posterior whose numbers are still in its file."""
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
    if not isinstance(control, str) or control not in labels:
        raise PosteriorError(
            f"attribute 'control' is {control!r}; expected one of the arms: {listed(labels)}."
            f"{did_you_mean(control, labels)}"
        )
    assignment = tree.attrs.get("assignment", ASSIGNMENTS[0])
    if assignment not in ASSIGNMENTS:
        raise PosteriorError(f"attribute 'assignment' is {assignment!r}; expected one of {listed(ASSIGNMENTS)}")
    _check_values(draws, now=READ_LATER not in tree.attrs)
    _check_alternatives(tree, labels)
    observed_cells(tree)
    return tree


def _check_alternatives(tree: xr.DataTree, labels: tuple[str, ...]) -> None:
    """Refuse a closed form or prior weights that lack what a decision reads from them."""
    exact, weights = group(tree, CLOSED_FORM), group(tree, PRIOR_SENSITIVITY)
    for name, found, needed, dims in (
        (CLOSED_FORM, exact, ("alpha", "beta", "description"), {PRIOR, ARM}),
        (PRIOR_SENSITIVITY, weights, ("log_weight", "description"), {PRIOR, CHAIN, DRAW}),
        (ALTERNATIVES, group(tree, ALTERNATIVES), (MEAN_OUTCOME, "description"), {PRIOR, CHAIN, DRAW, ARM}),
    ):
        if found is None:
            continue
        absent = [variable for variable in needed if variable not in found]
        if absent or not dims <= set(found[needed[0]].dims) or PRIOR not in found.coords:
            raise PosteriorError(
                f"group '{name}' needs {listed(needed)}, the first over ({listed(sorted(dims))}), and labels of the "
                f"priors; it has {listed(found.data_vars) or 'nothing'}"
            )
    if exact is not None:
        found_arms = tuple(map(str, exact[ARM].to_numpy())) if ARM in exact.coords else ()
        positive = bool(((exact["alpha"] > 0) & (exact["beta"] > 0)).all())
        if STATED not in exact[PRIOR].to_numpy() or found_arms != labels or not positive:
            raise PosteriorError(
                f"group 'closed_form' needs positive alpha and beta of the arms {listed(labels)} under the prior '{STATED}'"
            )
    drawn = group(tree, ALTERNATIVES)
    if drawn is not None and tuple(map(str, drawn[ARM].to_numpy())) != labels:
        raise PosteriorError(f"group 'alternatives' has other arms than mean_outcome: {listed(drawn[ARM].to_numpy())}")
    if drawn is not None and not bool(np.isfinite(drawn[MEAN_OUTCOME]).all()):
        raise PosteriorError("group 'alternatives' holds draws that are missing or infinite")
    # minus infinity is a draw that the alternative rules out
    if weights is not None and not bool((weights["log_weight"] < np.inf).all()):
        raise PosteriorError("group 'prior_sensitivity' holds log weights that are missing or infinite")


def observed_cells(tree: xr.DataTree) -> xr.Dataset | None:
    """Return `observed_data` where it holds units `n` by ([segment], arm); another program's raw data are not that.

    Raises
    ------
    PosteriorError
        Units are negative, missing or infinite.
    """
    found = group(tree, OBSERVED_DATA)
    if found is None or N not in found or ARM not in found[N].dims or not set(found[N].dims) <= {SEGMENT, ARM}:
        return None
    if ARM not in found.coords or set(map(str, found[ARM].to_numpy())) != set(arms(tree)):
        return None
    if not bool((np.isfinite(found[N]) & (found[N] >= 0)).all()):
        raise PosteriorError("observed_data/n holds units that are negative, missing or infinite")
    return found


def _check_values(draws: xr.DataArray, *, now: bool) -> None:
    """Refuse draws that are not finite numbers, or none at all; those that are read later are looked at then."""
    if draws.dtype.kind not in "fiu" or draws.size == 0:
        raise PosteriorError(f"mean_outcome holds {draws.size} values of {draws.dtype}; expected draws as numbers")
    if not now:
        return
    flat = np.ravel(draws.to_numpy(), order="K")
    # in blocks: truth values of all draws at once would take as much again as some draws do
    bad = sum(
        block.size - np.count_nonzero(np.isfinite(block)) for block in np.split(flat, range(_BLOCK, flat.size, _BLOCK))
    )
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
    # float64 whatever came: sums of float32 drift, and differences of unsigned integers wrap around
    return tree[POSTERIOR].to_dataset()[MEAN_OUTCOME].transpose(CHAIN, DRAW, ..., ARM).astype(np.float64)


def is_closed_form(tree: xr.DataTree) -> bool:
    """Whether the posterior is exact: independent Beta rates whose parameters the tree holds."""
    return CLOSED_FORM in tree.children
