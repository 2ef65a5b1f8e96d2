"""What simulated experiments came to: shares by their end, duration, loss, and stated against real at the stop."""

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.monitor.operating.ends import Ends, Estimate, estimated
from bayesuplift.monitor.operating.worlds import Values
from bayesuplift.monitor.rules import EQUIVALENT

FEWEST: Final = 2
"""Values that have a standard deviation."""

_ROUNDING: Final = 1e-12  # a gain within it is none: effects that are exactly worth their cost leave such rests


@dataclass(frozen=True)
class Calibration:
    """What was stated at the stop against what was so, with effects drawn from the prior.

    Parameters
    ----------
    wrong_sign_stated, wrong_sign_real
        Of treatments shipped: the mean posterior probability, and the share, of those worth less than the control; none
        where fewer than two were shipped.
    loss_stated, loss_real
        Of arms chosen, the control too: mean posterior and true loss, relative to the control's mean.
    """

    wrong_sign_stated: Estimate | None
    wrong_sign_real: Estimate | None
    loss_stated: Estimate | None
    loss_real: Estimate | None


@dataclass(frozen=True)
class OperatingCharacteristics:
    """Shares of simulated experiments by their end, and how long they took.

    Parameters
    ----------
    experiments
        Number of simulated experiments.
    effect
        True effects, in words.
    threshold
        Of the evidence; none but under "calibrated".
    ships, ships_wrong
        Share that ships any treatment, and one worth less than the control.
    control, equivalent, undecided
        Shares that keep the control, call the arms equivalent, and have not stopped at the last declared look.
    days, units
        Mean until the stop; to the last look where there is none.
    median_days, median_units
        Medians of the same.
    loss
        Mean loss of what is done, relative to the control's mean, against the best arm; what is not shipped leaves the
        control in place.
    calibration
        Where effects were drawn from the prior.
    """

    experiments: int
    effect: str
    threshold: float | None
    ships: Estimate
    ships_wrong: Estimate
    control: Estimate
    equivalent: Estimate
    undecided: Estimate
    days: Estimate
    units: Estimate
    median_days: float
    median_units: float
    loss: Estimate
    calibration: Calibration | None = None

    def __str__(self) -> str:
        """Return the table that a reader sees."""
        at = "" if self.threshold is None else f", threshold of evidence {self.threshold:.3f}"
        lines = [
            f"{self.experiments:,} simulated experiments, {self.effect}{at}",
            f"  ships a treatment      {self.ships.percent()}",
            f"    worse than control   {self.ships_wrong.percent()}",
            f"  keeps the control      {self.control.percent()}",
            f"  equivalent             {self.equivalent.percent()}",
            f"  undecided              {self.undecided.percent()}",
            f"  days to the stop       {self.days.value:.1f} ± {self.days.mcse:.1f}, median {self.median_days:g}",
            f"  units to the stop      {self.units.value:,.0f} ± {self.units.mcse:,.0f}, median {self.median_units:,.0f}",
            f"  loss of what is done   {self.loss.percent(3)} of the control's mean",
        ]
        if self.calibration is not None:
            one = self.calibration
            lines += [
                f"  {name:<23}{_told(stated, digits)} stated, {_told(real, digits)} real"
                for name, stated, real, digits in (
                    ("wrong sign, shipped", one.wrong_sign_stated, one.wrong_sign_real, 1),
                    ("loss at the choice", one.loss_stated, one.loss_real, 3),
                )
            ]
        return "\n".join(lines)

    def as_facts(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def summarised(ends: Ends, told: str, threshold: float | None, *, from_prior: bool) -> OperatingCharacteristics:
    """The characteristics of experiments with such effects, in words."""
    ships = ends.code > 0
    return OperatingCharacteristics(
        experiments=ends.code.size,
        effect=told,
        threshold=threshold,
        ships=estimated(ships),
        ships_wrong=estimated(ships & (ends.gain < -_ROUNDING)),
        control=estimated(ends.code == 0),
        equivalent=estimated(ends.code == EQUIVALENT),
        undecided=estimated((ends.code < 0) & (ends.code != EQUIVALENT)),
        days=estimated(ends.days),
        units=estimated(ends.units),
        median_days=float(np.median(ends.days)),
        median_units=float(np.median(ends.units)),
        loss=estimated(ends.best - ends.gain),
        calibration=calibration_of(ends) if from_prior else None,
    )


def calibration_of(ends: Ends) -> Calibration:
    """What was stated at the stop, and what was so."""
    ships, chosen = ends.code > 0, ends.code >= 0

    def of(values: Values | NDArray[np.bool_], which: NDArray[np.bool_]) -> Estimate | None:
        return estimated(values[which]) if which.sum() >= FEWEST else None

    return Calibration(
        wrong_sign_stated=of(ends.wrong_sign, ships),
        wrong_sign_real=of(ends.gain < 0.0, ships),
        loss_stated=of(ends.loss, chosen),
        loss_real=of(ends.best - ends.gain, chosen),
    )


def _told(one: Estimate | None, digits: int) -> str:
    return "too few" if one is None else one.percent(digits)
