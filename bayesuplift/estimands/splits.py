"""The split of some units in two by one covariate after which their effects differ least within the two."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.estimands.rules import Condition, Interval, Levels, between
from bayesuplift.estimands.unit_covariates import Covariate

_TIE: Final = 1e-9  # gains closer than this, relatively, differ by the order of a sum: the earlier covariate is kept


@dataclass(frozen=True)
class Split:
    """A question to a unit, with two answers.

    Parameters
    ----------
    covariate
        Name of the covariate that is asked for.
    left, right
        Which values go where.
    new_left
        Whether a level of text that no unit had goes left: where more units went.
    """

    covariate: str
    left: Condition
    right: Condition
    new_left: bool

    @property
    def is_text(self) -> bool:
        """Whether levels of text are asked for."""
        return isinstance(self.left, Levels)

    def goes_left(self, column: NDArray[np.generic]) -> NDArray[np.bool_]:
        """Whether units go left, (unit,), from their values of the covariate."""
        if isinstance(self.left, Interval):
            return np.asarray(column.astype(np.float64) < self.left.high)
        assert isinstance(self.right, Levels)
        stay = self.right.held if self.new_left else self.left.held
        held = np.isin(column.astype(np.str_), sorted(stay))
        return ~held if self.new_left else held


@dataclass(frozen=True)
class _Best:
    """The best split so far, by what it takes from the sum of squares."""

    gain: float
    covariate: Covariate
    left: NDArray[np.bool_]  # (value,): values that go left
    n: NDArray[np.intp]  # (value,): units


def best_split(
    covariates: Sequence[Covariate],
    effect: NDArray[np.float64],
    members: NDArray[np.intp],
    allowed: dict[str, Condition],
    *,
    least_units: int,
    least_gain: float,
) -> Split | None:
    """The split of the members that takes most from the sum of squares of their effects; None where none takes anything.

    With d_i the effects about the members' mean, a split into L and R takes

        |L| |R| / (|L| + |R|) (mean_L - mean_R)^2 = (sum_L d)^2 (1 / |L| + 1 / |R|)

    from it. Every threshold of a number is tried. Of text every subset of levels is covered: with levels sorted by their
    mean effect, the best subset is a first few of them (Fisher, 1958, On grouping for maximum homogeneity, Journal of the
    American Statistical Association 53; Breiman, Friedman, Olshen and Stone, 1984, Classification and Regression Trees,
    section 9.4).

    Parameters
    ----------
    covariates
        Covariates of all units.
    effect
        Effects (unit,).
    members
        Positions of the units to split.
    allowed
        What the splits above leave of each covariate.
    least_units
        Units that both sides need.
    least_gain
        What a split has to take more than.
    """
    about = effect[members] - effect[members].mean()
    best: _Best | None = None
    for covariate in covariates:
        code, values = covariate.code[members], len(covariate.values)
        n = np.bincount(code, minlength=values)
        total = np.bincount(code, weights=about, minlength=values)
        there = np.flatnonzero(n)
        order = there[np.argsort(total[there] / n[there], kind="stable")] if covariate.is_text else there
        left_n, left_total = n[order].cumsum()[:-1], total[order].cumsum()[:-1]
        right_n = len(members) - left_n
        fits = (left_n >= least_units) & (right_n >= least_units)
        if not fits.any():
            continue
        gain = np.where(fits, left_total**2 * (1.0 / left_n + 1.0 / right_n), 0.0)
        place = int(gain.argmax())
        if gain[place] > max(least_gain, 0.0 if best is None else best.gain * (1.0 + _TIE)):
            left = np.zeros(values, dtype=bool)
            left[order[: place + 1]] = True
            best = _Best(float(gain[place]), covariate, left, n)
    return None if best is None else _split(best, allowed)


def _split(best: _Best, allowed: dict[str, Condition]) -> Split:
    """The best split as a question, which every value that may come here has an answer to."""
    covariate, left, there = best.covariate, best.left, best.n > 0
    name, values = covariate.name, covariate.values
    new_left = bool(best.n[left].sum() > best.n[~left].sum())
    if not covariate.is_text:
        whole = allowed.get(name, Interval())
        assert isinstance(whole, Interval)
        numbers = values.astype(np.float64)
        threshold = between(float(numbers[left][-1]), float(numbers[there & ~left][0]))
        below = Interval.among(numbers, whole.low, threshold)
        return Split(name, below, Interval.among(numbers, threshold, whole.high), new_left)
    every = frozenset(str(level) for level in values)
    whole = allowed.get(name, Levels(every, every))
    assert isinstance(whole, Levels)
    # levels that none of these units has go where most units go, so that the two sides share out all that may come
    goes_left = frozenset(str(level) for level in values[left]) | (
        whole.held - frozenset(str(level) for level in values[there]) if new_left else frozenset()
    )
    return Split(name, Levels(goes_left, every), Levels(whole.held - goes_left, every), new_left)
