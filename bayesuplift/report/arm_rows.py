"""One row of facts an arm: every variable of a comparison, beside the raw figures."""

from typing import Any

import xarray as xr

from bayesuplift.dims import ARM, EXPOSURE, SEGMENT, TOTAL, Kind, N
from bayesuplift.posterior.schema import observed_cells
from bayesuplift.report.plain import plain
from bayesuplift.report.shown import shown


def observed_by_arm(posterior: xr.DataTree, beside: xr.Dataset | None = None) -> xr.Dataset | None:
    """Units and totals by arm, over all segments, where the posterior holds them, or where they are known beside it."""
    found = observed_cells(posterior)
    found = beside if found is None or TOTAL not in found else found
    if found is None:
        return None
    data = counted_columns(found)
    return data.sum(SEGMENT) if SEGMENT in data.dims else data


def counted_columns(observed: xr.Dataset) -> xr.Dataset:
    """What raw figures are made of."""
    return observed[[name for name in (N, TOTAL, EXPOSURE) if name in observed]]


def unit_words(posterior: xr.DataTree) -> str:
    """What a mean outcome is told in."""
    observed = observed_by_arm(posterior)
    exposed = observed is not None and EXPOSURE in observed and not bool((observed[EXPOSURE] == observed[N]).all())
    return "per unit of exposure" if exposed else "outcome units"


def arm_rows(table: xr.Dataset, observed: xr.Dataset | None, control: str, kind: Kind) -> list[dict[str, Any]]:
    """One row an arm: every variable of the comparison, beside the raw figures."""
    rows = []
    for arm in [str(label) for label in table[ARM].values]:
        row: dict[str, Any] = {"arm": arm, "is_control": arm == control}
        if observed is not None:
            row |= _raw(observed, arm, control)
        of_arm = table.sel({ARM: arm})
        row |= {
            str(name): plain(values)
            for name, values in of_arm.data_vars.items()
            if values.ndim == 0 and not str(name).startswith("prob_all")
        }
        row["shown"] = shown(row, kind)
        rows.append(row)
    return rows


def _raw(observed: xr.Dataset, arm: str, control: str) -> dict[str, Any]:
    """Units, total and mean outcome as observed; of counts the mean is per unit of exposure, as the model's is."""
    per = observed[EXPOSURE if EXPOSURE in observed else N]
    means = {}
    for name in (arm, control):
        whole = float(per.sel({ARM: name}))
        means[name] = float(observed[TOTAL].sel({ARM: name})) / whole if whole else None
    mean, reference = means[arm], means[control]
    row = {"n": int(observed[N].sel({ARM: arm})), "total": plain(observed[TOTAL].sel({ARM: arm})), "raw_mean": mean}
    if mean is not None and reference is not None:
        row["raw_difference"] = mean - reference
        if reference > 0:
            row["raw_relative_lift"] = mean / reference - 1.0
    return row
