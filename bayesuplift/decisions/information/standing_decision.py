"""One arm for everybody as it would be decided now: what it earns, and what being wrong about it costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.decisions.choice import compared
from bayesuplift.decisions.information import preposterior_beta
from bayesuplift.dims import ARM, CHAIN, DRAW, SEGMENT, N
from bayesuplift.errors import ArgumentError, is_finite_number
from bayesuplift.estimands.population import population_mean
from bayesuplift.estimands.value import Economics
from bayesuplift.posterior.closed_form import parameters
from bayesuplift.posterior.diagnostics import effective_draws, event_error, monte_carlo_error
from bayesuplift.posterior.schema import is_closed_form, mean_outcome, validate

EXACT: Final = "exact"
DRAWS: Final = "draws"

Values = NDArray[np.float64]
Figure = tuple[Values, Values]
"""Values and their Monte Carlo errors, 0 of what is exact."""


@dataclass(frozen=True, eq=False)
class StandingDecision:
    """One arm for everybody.

    Parameters
    ----------
    gain
        Net gain per unit of every arm against the control, 0 of the control, (chain, draw, arm), money.
    expected
        Its mean (arm,); exact where the posterior is.
    value
        Of an outcome, money.
    cost
        Of a unit under each arm more than under the control, (arm,), money.
    betas
        Alpha and beta of every arm's rate (arm,) where these are independent and known; None of other posteriors.
    """

    gain: xr.DataArray
    expected: Values
    value: float
    cost: Values
    betas: tuple[Values, Values] | None

    @classmethod
    def of(
        cls, posterior: xr.DataTree, economics: Economics, population: Any = None, *, weight: str = N
    ) -> "StandingDecision":
        """The decision by a posterior; `population` and `weight` as in `ate`.

        Raises
        ------
        PosteriorError, ArgumentError, DataError, ColumnNotFoundError, ArmNotFoundError
            As `target`.
        """
        if not isinstance(economics, Economics):
            raise ArgumentError(
                f"economics is {type(economics).__name__}; give Economics(value_per_outcome=..., cost_per_unit=...)"
            )
        validate(posterior)
        means = population_mean(posterior, compared(posterior), population, weight=weight).transpose(CHAIN, DRAW, ARM)
        labels, control = [str(arm) for arm in means[ARM].to_numpy()], str(posterior.attrs["control"])
        costs = economics.costs(labels, control)
        cost = (costs - costs.sel({ARM: control}, drop=True)).to_numpy()
        value = economics.value_per_outcome
        gain = value * (means - means.sel({ARM: control}, drop=True)) - xr.DataArray(cost, dims=ARM)
        expected, betas = gain.mean((CHAIN, DRAW)).to_numpy(), None
        if is_closed_form(posterior) and SEGMENT not in mean_outcome(posterior).dims:
            betas = parameters(posterior)
            rate = betas[0] / (betas[0] + betas[1])
            expected = value * (rate - rate[labels.index(control)]) - cost
        return cls(gain, expected, value, cost, betas)

    @property
    def method(self) -> str:
        """Whether what is said of it is exact, or from draws."""
        return DRAWS if self.betas is None else EXACT

    @property
    def best(self) -> int:
        """Position of the arm of the highest expected gain."""
        return int(self.expected.argmax())

    @property
    def arm(self) -> str:
        """Its label."""
        return str(self.gain[ARM].to_numpy()[self.best])

    @property
    def lost(self) -> xr.DataArray:
        """What each arm earns less than the best, per unit, (chain, draw, arm)."""
        return self.gain.isel({ARM: self.best}, drop=True) - self.gain

    @property
    def unseen(self) -> float:
        """What one draw that is still missing would weigh in a mean of regrets: an sd by the number of effective draws."""
        spread = float(self.gain.std((CHAIN, DRAW)).max())
        return spread / float(effective_draws(self.gain).min())

    def expected_gain(self) -> Figure:
        """What the best arm earns per unit beyond the control."""
        gain = self.gain.isel({ARM: self.best})
        error = np.zeros(()) if self.betas is not None else monte_carlo_error(gain).to_numpy()
        return np.asarray(self.expected[self.best]), error

    def perfect(self) -> Mapping[str, Figure]:
        """`evpi`, the expected regret per unit, and `prob_wrong`, P(the best arm is another one)."""
        if self.betas is not None:
            exact = preposterior_beta.perfect(*self.betas, self.value, self.cost)
            return {
                name: (np.asarray(one), np.zeros(())) for name, one in zip(("evpi", "prob_wrong"), exact, strict=True)
            }
        regret = (-self.lost).max(ARM)
        wrong = (regret > 0).astype(np.float64)
        return {
            "evpi": averaged(regret, self.unseen),
            "prob_wrong": averaged(wrong, 1.0 / float(effective_draws(self.gain).min())),
        }


def averaged(draws: xr.DataArray, unseen: xr.DataArray | float) -> Figure:
    """Mean over the draws with its Monte Carlo error; `unseen` where all draws agree, as in `event_error`."""
    return draws.mean((CHAIN, DRAW)).to_numpy(), event_error(draws, unseen).to_numpy()


def with_errors(figures: Mapping[str, Figure], dims: tuple[str, ...] = ()) -> xr.Dataset:
    """Figures as variables, each with `<name>_mcse`."""
    table = xr.Dataset()
    for name, (value, error) in figures.items():
        table[name] = dims, np.broadcast_to(value, np.shape(value))
        table[f"{name}_mcse"] = dims, np.broadcast_to(error, np.shape(value))
    return table


def times(figure: Figure, factor: float) -> Figure:
    """A figure in other units."""
    value, error = figure
    return value * factor, error * factor


def number_of_units(name: str, value: object) -> float:
    """A number of units, above 0, which need not be whole: exposure is none.

    Raises
    ------
    ArgumentError
        It is not.
    """
    if not is_finite_number(value) or value <= 0:  # type: ignore[operator]
        raise ArgumentError(f"{name} = {value!r}; give a number of units above 0")
    return float(value)  # type: ignore[arg-type]
