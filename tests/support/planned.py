"""Posteriors of a few arms for planned tests: exact, by draws, and over segments."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import ndtri

LEVEL = 1e-4
"""Probability that a family of comparisons rejects figures that are right."""


def of_draws(means: Any, arms: Sequence[str] | None = None, **attributes: Any) -> xr.DataTree:
    """A tree of these mean outcomes, (draw, arm) or (chain, draw, [segment], arm); the first arm is the control."""
    values = np.asarray(means, dtype=np.float64)
    values = values.reshape(4, -1, values.shape[-1]) if values.ndim == 2 else values
    labels = list("cxyzuvw"[: values.shape[-1]]) if arms is None else list(arms)
    dims = ("chain", "draw", "arm") if values.ndim == 3 else ("chain", "draw", "segment", "arm")
    coords: dict[str, Any] = {"arm": labels}
    if values.ndim == 4:
        coords["segment"] = [f"s{place}" for place in range(values.shape[2])]
    draws = xr.DataArray(values, dims=dims, coords=coords, name="mean_outcome")
    tree = xr.DataTree.from_dict({"posterior": draws.to_dataset()})
    tree.attrs = {"control": labels[0], **attributes}
    return tree


def of_betas(alpha: Any, beta: Any, *, draws: int = 4000, seed: int = 1, exact: bool = True) -> xr.DataTree:
    """Independent rates Beta(alpha, beta), with or without their closed form."""
    alpha, beta = (np.asarray(one, dtype=np.float64) for one in (alpha, beta))
    tree = of_draws(np.random.default_rng(seed).beta(alpha, beta, (draws, len(alpha))), kind="binary")
    if exact:
        arm = {"prior": ["stated"], "arm": tree["posterior"]["arm"].to_numpy()}
        values = {"alpha": (("prior", "arm"), alpha[None]), "beta": (("prior", "arm"), beta[None])}
        tree["closed_form"] = xr.DataTree(xr.Dataset({**values, "description": ("prior", ["stated"])}, coords=arm))
    return tree


def errors_apart(found: Any, error: Any, expected: Any) -> float:
    """The largest distance between figures and what they should be, in Monte Carlo errors."""
    found, error, expected = (np.asarray(one, dtype=np.float64) for one in (found, error, expected))
    assert (error > 0).all(), "a figure from draws has an error"
    return float(np.abs((found - expected) / error).max())


def limit(comparisons: int) -> float:
    """Errors that right figures keep within, all of so many together (Sidak)."""
    return float(-ndtri(-np.expm1(np.log1p(-LEVEL) / comparisons) / 2.0))
