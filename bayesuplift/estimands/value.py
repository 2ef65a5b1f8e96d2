"""Effects in money: what an outcome is worth, what treating a unit costs, and what is left."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import xarray as xr

from bayesuplift.dims import ARM
from bayesuplift.errors import ArgumentError, ArmNotFoundError, did_you_mean, is_finite_number, listed
from bayesuplift.posterior.schema import arms as arms_of
from bayesuplift.posterior.schema import validate


@dataclass(frozen=True)
class Economics:
    """What an outcome is worth and what each arm costs, in one currency.

    Net gain of treating a unit with arm a instead of the control:

        g_a = value (mu_a - mu_0) - (cost_a - cost_0)

    Parameters
    ----------
    value_per_outcome
        Money per unit of outcome, not 0. Negative where an outcome costs (a complaint, a return): then an effect must be
        *below* its breakeven, and P(net gain > 0) is still the question that has one answer for both signs.
    cost_per_unit
        Money per unit treated, by arm; arms left out cost 0, and the control may have a cost of its own; less than 0 is a
        saving. One number is the cost of every arm but the control. For counts with exposure, whose effects are per unit
        of exposure, costs are per unit of exposure too.

    Raises
    ------
    ArgumentError
        A value or a cost is not a finite number, or the value is 0.

    Examples
    --------
    >>> print(Economics(value_per_outcome=4.0, cost_per_unit={"Mens E-Mail": 0.10}))
    an outcome is worth 4; a unit costs 0.1 under Mens E-Mail, 0 otherwise
    """

    value_per_outcome: float
    cost_per_unit: Mapping[str, float] | float

    def __post_init__(self) -> None:
        """Validate once, and keep costs that nobody can change."""
        if not is_finite_number(self.value_per_outcome) or self.value_per_outcome == 0:
            raise ArgumentError(
                f"value_per_outcome = {self.value_per_outcome!r}; give the money that a unit of outcome is worth, not 0"
            )
        object.__setattr__(self, "value_per_outcome", float(self.value_per_outcome))
        if not isinstance(self.cost_per_unit, Mapping):
            object.__setattr__(self, "cost_per_unit", _cost(self.cost_per_unit, "cost_per_unit"))
            return
        for arm in self.cost_per_unit:
            if not isinstance(arm, str):
                raise ArgumentError(f"cost_per_unit names the arm {arm!r}; expected labels as text, such as '{arm}'")
        costs = {arm: _cost(cost, f"cost_per_unit of '{arm}'") for arm, cost in self.cost_per_unit.items()}
        object.__setattr__(self, "cost_per_unit", MappingProxyType(costs))

    def __hash__(self) -> int:
        costs = self.cost_per_unit
        return hash((self.value_per_outcome, frozenset(costs.items()) if isinstance(costs, Mapping) else costs))

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle through the constructor: a read-only view cannot be pickled."""
        costs = self.cost_per_unit
        return type(self), (self.value_per_outcome, dict(costs) if isinstance(costs, Mapping) else costs)

    def __str__(self) -> str:
        worth = f"an outcome {'is worth' if self.value_per_outcome > 0 else 'costs'} {abs(self.value_per_outcome):g}"
        if not isinstance(self.cost_per_unit, Mapping):
            return f"{worth}; a unit costs {self.cost_per_unit:g} under every arm but the control"
        each = ", ".join(f"{cost:g} under {arm}" for arm, cost in self.cost_per_unit.items())
        return f"{worth}; a unit costs {each}, 0 otherwise" if each else f"{worth}; no arm costs anything"

    def costs(self, arms: Iterable[str], control: str) -> xr.DataArray:
        """Cost of a unit under each arm (arm,), money.

        Raises
        ------
        ArmNotFoundError
            A cost is given for an arm that there is not, or the control is none of the arms.
        """
        labels = [str(arm) for arm in arms]
        given = self.cost_per_unit
        by_arm = given if isinstance(given, Mapping) else {arm: given for arm in labels if arm != control}
        for name, what in (*((arm, "cost_per_unit has a cost for it") for arm in by_arm), (control, "the control")):
            if name not in labels:
                raise ArmNotFoundError(
                    f"no arm named '{name}' ({what}). Arms: {listed(labels)}.{did_you_mean(name, labels)}"
                )
        values = [float(by_arm.get(arm, 0.0)) for arm in labels]
        return xr.DataArray(values, dims=ARM, coords={ARM: labels}, name="cost_per_unit")

    def breakeven(self, arms: xr.DataTree | Iterable[str], control: str | None = None) -> xr.DataArray:
        """Effect at which an arm neither gains nor loses, (arm,), all but the control: (cost_a - cost_0) / value.

        Parameters
        ----------
        arms
            A posterior, or labels of all arms.
        control
            The control's label; a posterior knows its own.

        Returns
        -------
        xarray.DataArray
            Outcome units. The attribute `gain` says on which side of it an arm gains: "above", or "below" where an outcome
            has a negative value.

        Raises
        ------
        ArgumentError
            Labels without the control's.
        ArmNotFoundError
            As `costs`.
        """
        if isinstance(arms, xr.DataTree):
            validate(arms)
            labels, control = list(arms_of(arms)), str(arms.attrs["control"])
        else:
            labels = [arms] if isinstance(arms, str) else [str(arm) for arm in arms]
        if control is None:
            raise ArgumentError("control is missing: name the arm that costs are compared with")
        more = self._more_than_control(labels, control)
        effect = (more / self.value_per_outcome).rename("breakeven")
        effect.attrs = {"gain": "above" if self.value_per_outcome > 0 else "below", "control": control}
        return effect

    def net_gain(self, effect: xr.DataArray) -> xr.DataArray:
        """Net gain of a unit under each arm instead of the control, of every draw: value effect_a - (cost_a - cost_0).

        Parameters
        ----------
        effect
            Of `ate`, `gate` or `cate` on the scale "difference", (chain, draw, ..., arm), or one arm of it.

        Returns
        -------
        xarray.DataArray
            The effect's dimensions and coordinates, in money per unit; `summarize` of it gives P(net gain > 0) as
            `prob_positive`, right for values of both signs.

        Raises
        ------
        ArgumentError
            The effect is on another scale, or does not say on which.
        ArmNotFoundError
            As `costs`.
        """
        if not isinstance(effect, xr.DataArray) or ARM not in effect.coords:
            raise ArgumentError("net gain is of an effect by arm, as ate, gate and cate return; this has no arms")
        scale, control = effect.attrs.get("scale"), effect.attrs.get("control")
        if scale != "difference" or not isinstance(control, str):
            found = (
                "does not say its scale and control" if scale is None or control is None else f"has the scale '{scale}'"
            )
            raise ArgumentError(
                f"the effect {found}; net gain needs differences of mean outcomes, such as ate(posterior) "
                "with its attributes"
            )
        shown = [str(arm) for arm in effect[ARM].to_numpy().ravel()]
        # an effect that was narrowed to some arms remembers them all: a cost of another is no mistake then
        labels = [str(arm) for arm in effect.attrs.get("arms", [*shown, control])]
        more = self._more_than_control(labels, control).sel({ARM: effect[ARM]}).reset_coords(drop=True)
        gain = (self.value_per_outcome * effect - more).transpose(*effect.dims).rename("net_gain")
        gain.attrs = {**effect.attrs, "scale": "net_gain", "units": "money per unit", "economics": str(self)}
        return gain

    def _more_than_control(self, arms: list[str], control: str) -> xr.DataArray:
        """Cost of each arm less the control's, (arm,), all but the control."""
        costs = self.costs(arms, control)
        return costs.sel({ARM: [arm for arm in arms if arm != control]}) - float(costs.sel({ARM: control}))


def _cost(value: object, name: str) -> float:
    if not is_finite_number(value):
        raise ArgumentError(f"{name} = {value!r}; give the money that a unit costs, or one number for each arm")
    return float(value)  # type: ignore[arg-type]
