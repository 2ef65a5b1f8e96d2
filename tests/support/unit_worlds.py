"""Posteriors over units with effects that a test decides, as plain draws."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesuplift.data.design import Design
from bayesuplift.data.experiment import Experiment


def of_units(
    effects: Any,
    *,
    arms: Sequence[str] = ("control", "offer"),
    units: Any = None,
    dtype: Any = np.float64,
    **attributes: Any,
) -> xr.DataTree:
    """A tree whose effects are these, (chain, draw, unit) or (chain, draw, unit, treatment), about a control that varies.

    Parameters
    ----------
    effects
        The effects of every draw.
    arms
        Labels; the first is the control.
    units
        Names of the units, where they have any.
    dtype
        Type that mean outcomes are stored in.
    **attributes
        Root attributes beside `control`.
    """
    found = np.asarray(effects, dtype=np.float64)
    found = found[..., None] if found.ndim == 3 else found
    level = np.random.default_rng(99).uniform(0.5, 1.0, found.shape[:3])[..., None]
    means = np.concatenate([level, level + found], axis=-1).astype(dtype)
    coords: dict[str, Any] = {"arm": list(arms)} | ({} if units is None else {"unit": units})
    tree = xr.DataTree.from_dict(
        {"posterior": xr.Dataset({"mean_outcome": (("chain", "draw", "unit", "arm"), means)}, coords=coords)}
    )
    tree.attrs = {"control": arms[0], **attributes}
    return tree


def drawn(
    mean: Any, *, seed: int, sd: float = 0.1, common: float = 0.1, chains: int = 4, draws: int = 50
) -> np.ndarray:
    """Draws (chain, draw, unit) about mean effects (unit,): an error of each unit, and one that all share."""
    rng, centre = np.random.default_rng(seed), np.asarray(mean, dtype=np.float64)
    shared = common * rng.standard_normal((chains, draws, 1))
    return centre + shared + sd * rng.standard_normal((chains, draws, len(centre)))


def customers(count: int, *, seed: int) -> pd.DataFrame:
    """Units with two numbers, a truth value, and text of three levels."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.uniform(18.0, 80.0, count),
            "spend": np.round(rng.lognormal(3.0, 1.0, count) * (rng.random(count) > 0.3), 2),
            "newbie": rng.integers(0, 2, count).astype(float),
            "channel": rng.choice(["Mail", "Phone", "Web"], count),
        }
    )


def experiment_of(frame: pd.DataFrame, *, unit: Any = None, segments: Sequence[str] = ()) -> Experiment:
    """An experiment with these covariates, whose outcomes say nothing."""
    return Experiment(
        design=Design(arms=("control", "offer"), control="control"),
        kind="continuous",
        outcome_name="sales",
        arm=np.arange(len(frame)) % 2,
        outcome=np.linspace(0.0, 1.0, len(frame)),
        unit=unit,
        covariates={str(name): frame[name].to_numpy() for name in frame if name not in segments},
        segments={name: frame[name].to_numpy() for name in segments},
    )
