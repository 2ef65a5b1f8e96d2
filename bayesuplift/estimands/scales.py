"""Mean outcomes contrasted with the control's, on the scales that effects are told in."""

from typing import Final, Literal, get_args

import xarray as xr

from bayesuplift.dims import ARM, N
from bayesuplift.errors import ArgumentError, did_you_mean, listed
from bayesuplift.posterior.factors import place_of
from bayesuplift.posterior.schema import arms

Scale = Literal["difference", "relative", "mean_outcome"]
SCALES: Final[tuple[Scale, ...]] = get_args(Scale)

_UNITS: Final = {"binary": "probability", "count": "events per unit of exposure", "revenue": "amount per unit"}


def contrasted(posterior: xr.DataTree, means: xr.DataArray, scale: str) -> xr.DataArray:
    """Effects of every draw from its mean outcomes.

        difference   mu_a - mu_0            (all arms but the control)
        relative     mu_a / mu_0 - 1        (all arms but the control)
        mean_outcome mu_a                   (all arms; of a binary outcome the probability)

    Parameters
    ----------
    posterior
        The tree that the means are of; its attributes say which arm is the control.
    means
        Mean outcomes (chain, draw, ..., arm).
    scale
        One of these three.

    Returns
    -------
    xarray.DataArray
        (chain, draw, ..., arm) with the coordinates of the means; attributes `scale`, `outcome`, `kind`, `control`,
        `arms` (all of them, the control included), `units` and `pooled` (the dimension that the model pooled over, or "").

    Raises
    ------
    ArgumentError
        No such scale, or a relative effect where a control's mean outcome is not positive in some draw.
    """
    if scale not in SCALES:
        raise ArgumentError(
            f"scale = {scale!r}; expected one of {listed(SCALES)} (of a binary outcome, mean_outcome is the probability)."
            f"{did_you_mean(scale, SCALES)}"
        )
    control, every = str(posterior.attrs["control"]), arms(posterior)
    effect = means
    if scale != "mean_outcome":
        reference = means.sel({ARM: control}, drop=True)
        treated = means.sel({ARM: [arm for arm in every if arm != control]})
        effect = treated - reference
        if scale == "relative":
            _refuse_no_reference(reference)
            effect = treated / reference - 1.0
    effect = effect.rename(scale)
    kind = str(posterior.attrs.get("kind", ""))
    unit = _UNITS.get(kind, "outcome units")
    effect.attrs = {
        "scale": scale,
        "outcome": str(posterior.attrs.get("outcome", "the outcome")),
        "kind": kind,
        "control": control,
        "arms": list(every),
        "units": "share of the control's mean outcome" if scale == "relative" else unit,
        "pooled": str(posterior.attrs.get("pooled", "")),
    }
    return effect


def _refuse_no_reference(reference: xr.DataArray) -> None:
    """Refuse to divide by a control's mean outcome that may be 0 or less."""
    bad = reference <= 0
    count = int(bad.sum())
    if count == 0:
        return
    place = place_of(reference)
    where = ""
    if place is not None:
        names = reference[place].to_numpy()[bad.any([dim for dim in bad.dims if dim != place]).to_numpy()]
        where = f", in {place} {listed(names, 3)}"
    raise ArgumentError(
        f"a relative effect has no meaning here: the control's mean outcome is not positive in {count:,} of "
        f"{reference.size:,} draws{where}. Use scale='difference'"
    )


def weighted(effect: xr.DataArray, weights: xr.DataArray | None) -> xr.DataArray:
    """The effect with the coordinate `n`, the weight of each segment, where that is known."""
    if weights is None:
        return effect.drop_vars(N, errors="ignore")
    return effect.assign_coords({N: (weights.dims, weights.to_numpy())})
