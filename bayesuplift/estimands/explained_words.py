"""Summaries of effects as text."""

import math

import xarray as xr

from bayesuplift.estimands.explained import UNDEFINED


def figure(row: xr.Dataset) -> str:
    """Mean with its Monte Carlo error and interval, of one row of a table: "0.0210 ± 0.0003 [0.013, 0.029]"."""
    mean, lower, upper = (
        _supported(float(row[name]), float(row[error]))
        for name, error in (("mean", "mcse"), ("lower", "lower_mcse"), ("upper", "upper_mcse"))
    )
    return f"{mean} ± {float(row['mcse']):.1g} [{lower}, {upper}]"


def chance(probability: float, error: float) -> str:
    """A probability in percent with its Monte Carlo error; where all draws agree, a bound three errors away.

    >>> chance(0.9712, 0.004), chance(1.0, 0.0002), chance(0.0, 0.0002)
    ('97.1% ± 0.4%', '> 99.94%', '< 0.06%')
    """
    if probability in {0.0, 1.0}:
        bound = 100.0 * 3.0 * error
        return f"< {bound:.2f}%" if probability == 0.0 else f"> {100.0 - bound:.2f}%"
    return f"{100.0 * probability:.1f}% ± {100.0 * error:.1g}%"


def _supported(value: float, error: float) -> str:
    """A number with the decimals of which the last is of the order of its error."""
    if error <= 0.0:
        return f"{value:.4g}"
    decimals = math.ceil(-math.log10(2.0 * error) - 0.3)
    return f"{round(value, decimals) + 0.0:.{max(decimals, 0)}f}"


def heading(draws: xr.DataArray, table: xr.Dataset) -> str:
    """What a table is of: "offer on visit, against control; mean ± Monte Carlo error [95% equal-tailed interval]"."""
    told = draws.attrs
    return (
        f"{draws['arm'].item()} on {told['outcome']}, against {told['control']} ({told['units']}): mean ± Monte Carlo "
        f"error [{100.0 * table.attrs['prob']:g}% equal-tailed interval]"
    )


def fidelity(table: xr.Dataset, name: str) -> str:
    """How much of the differences between effects a summary tells, in a sentence."""
    mean, error, lower, upper = (float(table[f"r_squared{part}"]) for part in ("", "_mcse", "_lower", "_upper"))
    text = f"{name} tells {mean:.1%} ± {100.0 * error:.1g}% [{lower:.1%}, {upper:.1%}] of the differences (R²)"
    undefined = int(table.attrs[UNDEFINED])
    if undefined:
        text += (
            f"; R² is not defined in {undefined:,} of {int(table.attrs['draws']):,} draws, whose effects are all equal, "
            f"and is told of the others"
        )
    return f"{text}."
