"""Sentences of a look: the verdict, and the promise that it rests on."""

from collections.abc import Sequence

import numpy as np

from bayesuplift.monitor.evaluation import Evaluated
from bayesuplift.monitor.rules import bars_of
from bayesuplift.monitor.safeguards import Safeguard
from bayesuplift.monitor.state import State, Stop


def promise_words(state: State) -> str:
    """What the promise says, and no more than that."""
    plan, rule = state.plan, state.plan.rule
    if rule.promise == "anytime":
        return (
            f"anytime: of experiments whose treatments change nothing, at most {rule.alpha:.1%} ever ship one, however "
            "often they are looked at."
        )
    if rule.promise == "decision":
        return (
            f"decision: if effects are drawn from the stated prior ({plan.prior_text}), probabilities and losses at the "
            "stop are right on average, however often the data are looked at. It bounds no error rate."
        )
    assert state.threshold is not None
    one = state.threshold
    bound = "" if one.binding is None else f"; less than asked for, because of {one.binding}"
    worth = "treatments are worth no more than they cost" if plan.costs is not None else "treatments change nothing"
    return (
        f"calibrated: of experiments whose {worth}, at most {rule.alpha:.1%} ship one at the declared looks "
        f"({one.attained:.2%} +- {one.mcse:.2%} of {one.experiments:,} simulated ones{bound})."
    )


def verdict_sentence(
    after: State, evaluated: Evaluated, guarded: Sequence[Safeguard], gates: list[str], *, before: State
) -> str:
    """The verdict in words."""
    plan, stop = after.plan, after.stop
    belief = evaluated.belief
    arms = plan.design.arms
    if before.stop is not None:
        return _ended(before.stop)
    if stop is None:
        leading = int(np.argmax(belief.prob_best))
        wait = f" For the best treatment to be shipped: {'; '.join(gates)}." if gates else ""
        return f"Go on. {arms[leading]} leads with P(best) = {_percent(belief.prob_best[leading])}.{wait}"
    if stop.name == "INVALID":
        return " ".join(one.sentence for one in guarded if not one.passed)
    if stop.name == "EQUIVALENT":
        assert plan.rule.rope is not None
        return (
            f"Any arm will do: with probability {_percent(evaluated.prob_equivalent)} all lie within {plan.rule.rope:.2%} "
            "of the best."
        )
    assert stop.arm is not None
    chosen = arms.index(stop.arm)
    loss = float(belief.relative_loss[chosen])
    told = f"P(best) = {_percent(belief.prob_best[chosen])}, relative expected loss {loss:.3%}"
    if chosen:
        return f"Ship {stop.arm}: {told}."
    why = ""
    if plan.rule.promise == "calibrated" and float(belief.relative_loss[0]) > plan.rule.control_loss:
        against = bool((evaluated.contrary[1:] >= _contrary_bar(after)).all())
        why = "" if against else "the last declared look has passed, and no treatment showed enough; "
    return f"Keep {stop.arm}: {why}{told}."


def _contrary_bar(state: State) -> float:
    bars = bars_of(state.plan, state.taken[-1].threshold)
    return max(bars.threshold, bars.least_contrary)


def _ended(stop: Stop) -> str:
    end = stop.name + (f" {stop.arm}" if stop.arm else "")
    return f"The experiment ended on {stop.at} with {end}; this batch came after that and changes nothing."


def _percent(value: float | np.ndarray) -> str:
    """A probability in percent; one that rounds to nought or one as a bound."""
    share = float(value)
    if share < 0.0005:  # noqa: PLR2004 -- half of the last digit shown
        return "<0.1%"
    return ">99.9%" if share > 0.9995 else f"{share:.1%}"  # noqa: PLR2004 -- the same
