"""Rules: what a place's net gain must show for it to be treated, as frozen values that limits can be added to."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bayesuplift.decisions.targeting.gain_statistics import MEAN, PROB_POSITIVE, Statistic, Values
from bayesuplift.errors import ArgumentError, is_finite_number
from bayesuplift.estimands.summary import equal_tails

if TYPE_CHECKING:
    from bayesuplift.decisions.targeting.limits import Limit


class Rule(ABC):
    """Scores every place and treatment by its net gain's draws; a place gets the treatment of highest score above 0."""

    @property
    @abstractmethod
    def statistics(self) -> tuple[Statistic, ...]:
        """What it looks at."""

    @abstractmethod
    def score(self, values: Mapping[Statistic, Values]) -> Values:
        """Score (place, treatment), money per unit; minus infinity where a treatment is ruled out.

        Raises
        ------
        ArgumentError
            The draws are such that the rule has no meaning.
        """

    @property
    def limits(self) -> tuple["Limit", ...]:
        """What restricts who may be treated."""
        return ()

    @property
    def fills(self) -> float | None:
        """Share of the units that are to be treated whether that gains or not; None where gain decides."""
        return None

    @property
    def budget(self) -> float | None:
        """Money that may be spent on treatments, more than the control costs; None where it does not matter."""
        return None

    def subject_to(self, *limits: "Limit") -> "Rule":
        """Return this rule under limits, such as `AtMost(share=0.2)` and `Never({"channel": "Web"})`."""
        return Limited(self, limits) if limits else self


@dataclass(frozen=True)
class BestArm(Rule):
    """The treatment of highest posterior mean net gain, if that is above 0: what maximises expected profit."""

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """The mean."""
        return (MEAN,)

    def score(self, values: Mapping[Statistic, Values]) -> Values:
        """The mean net gain."""
        return values[MEAN]


@dataclass(frozen=True)
class RiskAdjusted(Rule):
    """The treatment of highest certainty equivalent, if that is above 0.

        CE = (1 - lambda) mean(g) + lambda q(g),     q the (1 - prob) / 2 quantile of the net gain g of a unit there

    Parameters
    ----------
    risk_aversion
        lambda, from 0 (the mean decides) to 1 (the lower bound does). More of it never treats more places.
    prob
        Mass of the interval whose lower end counts.

    Raises
    ------
    ArgumentError
        One of them is outside its range.

    Notes
    -----
    It is cautious about every place by itself; what the sum of gains over all places may be lies in `policy_value`.
    """

    risk_aversion: float
    prob: float = 0.95

    def __post_init__(self) -> None:
        if not is_finite_number(self.risk_aversion) or not 0.0 <= self.risk_aversion <= 1.0:
            raise ArgumentError(
                f"risk_aversion = {self.risk_aversion!r}; give a number from 0 (the mean decides) to 1 (the lower bound)"
            )
        equal_tails(self.prob)

    @property
    def _lower(self) -> Statistic:
        return Statistic("quantile", equal_tails(self.prob)[0])

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """The mean and the lower bound."""
        return (MEAN, self._lower) if self.risk_aversion > 0 else (MEAN,)

    def score(self, values: Mapping[Statistic, Values]) -> Values:
        """The certainty equivalent."""
        mean = values[MEAN]
        if self.risk_aversion == 0:
            return mean
        lower = values[self._lower]
        above = int((lower > mean).sum())
        if above:
            raise ArgumentError(
                f"prob = {self.prob:g}: the {self._lower.at:.3g} quantile of the net gain is above its mean for {above:,} "
                f"of {mean.size:,} places and treatments, so that risk would count as gain; give a larger prob"
            )
        return (1.0 - self.risk_aversion) * mean + self.risk_aversion * lower


@dataclass(frozen=True)
class CredibleBound(RiskAdjusted):
    """The treatment of highest lower bound of the net gain, if that is above 0: `RiskAdjusted` with a risk aversion of 1.

    Parameters
    ----------
    prob
        Mass of the equal-tailed interval whose lower end decides.
    """

    risk_aversion: float = field(default=1.0, init=False)


@dataclass(frozen=True)
class CVaR(Rule):
    """The treatment of highest mean net gain in the worst share alpha of the draws, if that is above 0.

    Parameters
    ----------
    alpha
        The share, above 0 and below 1; with more of it, less risk counts.
    """

    alpha: float = 0.05

    def __post_init__(self) -> None:
        _check_share("alpha", self.alpha, "of the draws that count as bad")

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """The mean of the worst draws."""
        return (Statistic("tail_mean", self.alpha),)

    def score(self, values: Mapping[Statistic, Values]) -> Values:
        """That mean."""
        return values[Statistic("tail_mean", self.alpha)]


@dataclass(frozen=True)
class Threshold(Rule):
    """Of the treatments with P(net gain > 0) of at least `prob`, the one of highest mean net gain, if that is above 0.

    Parameters
    ----------
    prob
        How sure of a gain one has to be, above 0 and below 1.
    """

    prob: float = 0.5

    def __post_init__(self) -> None:
        _check_share("prob", self.prob, "that a gain must have as its probability")

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """The mean and P(net gain > 0)."""
        return (MEAN, PROB_POSITIVE)

    def score(self, values: Mapping[Statistic, Values]) -> Values:
        """The mean net gain where a gain is sure enough."""
        return np.where(values[PROB_POSITIVE] >= self.prob, values[MEAN], -np.inf)


class _Around(Rule):
    """A rule that restricts another and leaves the scores to it."""

    by: Rule

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """What the other looks at."""
        return self.by.statistics

    @property
    def limits(self) -> tuple["Limit", ...]:
        """The other's limits."""
        return self.by.limits

    @property
    def fills(self) -> float | None:
        """The share that the other fills."""
        return self.by.fills

    @property
    def budget(self) -> float | None:
        """The other's budget."""
        return self.by.budget

    def score(self, values: Mapping[Statistic, Values]) -> Values:
        """The other's score."""
        return self.by.score(values)


@dataclass(frozen=True)
class TopShare(_Around):
    """The share of units of highest score by another rule, each with its best treatment, also where that loses.

    Parameters
    ----------
    share
        Share of the units, above 0 and at most 1; fewer are treated only where limits rule the others out. To treat nobody
        at a loss, and no more than a share, add a limit instead: `BestArm().subject_to(AtMost(share=0.2))`.
    by
        The rule that scores.
    """

    share: float
    by: Rule = field(default_factory=BestArm)

    def __post_init__(self) -> None:
        if self.share != 1:
            _check_share("share", self.share, "of the units to treat")

    def __str__(self) -> str:
        return f"TopShare({self.share:g}) by {self.by}"

    @property
    def fills(self) -> float:
        """The share."""
        return self.share if self.by.fills is None else min(self.share, self.by.fills)


@dataclass(frozen=True)
class Budget(_Around):
    """The most score that an amount of money buys, over all units and treatments.

    A place whose score grows by less than another's for the same money has to wait: Sverdrup, Wu, Athey and Wager (2025),
    Qini curves for multi-armed treatment rules, Journal of Computational and Graphical Statistics, section 2.

    Parameters
    ----------
    amount
        Money, 0 or more, for what treating costs more than the control.
    by
        The rule that scores.
    """

    amount: float
    by: Rule = field(default_factory=BestArm)

    def __post_init__(self) -> None:
        if not is_finite_number(self.amount) or self.amount < 0:
            raise ArgumentError(f"amount = {self.amount!r}; give the money that may be spent, 0 or more")

    def __str__(self) -> str:
        return f"Budget({self.amount:,g}) by {self.by}"

    @property
    def budget(self) -> float:
        """The amount, or the other's where that is less."""
        return self.amount if self.by.budget is None else min(self.amount, self.by.budget)


@dataclass(frozen=True)
class Limited(_Around):
    """A rule under limits: what `Rule.subject_to` returns.

    Parameters
    ----------
    by
        The rule.
    added
        Its limits, beside those that it has already.
    """

    by: Rule
    added: tuple["Limit", ...]

    def __str__(self) -> str:
        return f"{self.by}, {', '.join(map(str, self.added))}"

    @property
    def limits(self) -> tuple["Limit", ...]:
        """All limits."""
        return (*self.by.limits, *self.added)


def _check_share(name: str, value: object, what: str) -> None:
    if not is_finite_number(value) or not 0.0 < value < 1.0:  # type: ignore[operator]
        raise ArgumentError(f"{name} = {value!r}; give the share {what}, above 0 and below 1")
