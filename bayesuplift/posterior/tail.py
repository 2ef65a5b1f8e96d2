"""Does the mean outcome rest on a tail that the data contradict? Of revenue with log-normal amounts."""

from itertools import combinations
from typing import Any, Final, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.data.checks import Check
from bayesuplift.dims import ARM, CHAIN, DRAW, POSTERIOR, SEGMENT, TOTAL, N
from bayesuplift.errors import listed
from bayesuplift.posterior.amounts import Sums, conditional_sums
from bayesuplift.posterior.schema import mean_outcome, observed_cells

Array = NDArray[np.float64]

# Half of .01 for the means of the arms, half for their differences.
_LEVEL: Final = 0.005
_STATISTICS: Final = (N, TOTAL, "positives", "total_log", "sum_squared_log_deviations")
_MEAN_OFF: Final = 0.10
_DIFFERENCE_OFF: Final = 0.02
_SDS_OFF: Final = 0.5


class _Gap(NamedTuple):
    """How far a mean that the model implies is from the data's.

    Parameters
    ----------
    where
        The arm, or the two arms of a difference.
    implied, raw
        Mean amount of buyers, or difference of mean outcomes per unit.
    off
        Implied less raw, as a share of the raw mean.
    p
        Two-sided, adjusted for the number compared.
    in_sds
        Implied less raw, in posterior standard deviations of the mean outcome, or of the difference.
    """

    where: str
    implied: float
    raw: float
    off: float
    p: float
    in_sds: float

    def matters(self, largest_off: float) -> bool:
        """Whether the data contradict it, and it is off by enough."""
        return self.p < _LEVEL and abs(self.off) > largest_off and abs(self.in_sds) > _SDS_OFF


class _Amounts(NamedTuple):
    """Labels of the arms; buyers, units, totals and implied totals (arm,); draws of means (sample, arm); replications."""

    arms: list[str]
    k: Array
    n: Array
    total: Array
    implied: Array
    outcome: Array
    sums: Sums


def tail_check(posterior: xr.DataTree) -> Check | None:
    """Whether the mean amounts that log-normal amounts imply agree with the raw ones.

    The model learns from the logarithms of amounts, and its mean outcome, P(buy) exp(log_mean + log_sd^2 / 2), follows
    from their spread. Amounts with a longer or a shorter tail have another mean, and the posterior does not know.

    Parameters
    ----------
    posterior
        A posterior with draws of `log_mean` and `log_sd`, and the statistics of revenue in `observed_data`.

    Returns
    -------
    Check or None
        None for posteriors without these, and where nobody bought. "amount_tail" fails where the data contradict the
        model and it matters: an arm's raw mean amount has a p-value below .005 (two-sided, Bonferroni over arms), and
        what the model implies in its place moves the arm's mean outcome by more than a tenth; or the raw difference of
        two arms' mean outcomes has one below .005 (Bonferroni over pairs), and it moves by more than 2% of their mean
        outcome. Either also by more than half of its posterior standard deviation.

    Notes
    -----
    The p-value is that of a mean among log-normal samples whose logarithms have the observed mean and spread: the
    conditional p-value of Bayarri and Berger (2000, P values for composite null models, JASA 95, section 2), free of
    parameters. One from posterior predictive replications would be blunt, because raw and implied means rise and fall
    together.

    A p-value alone would not do: with many buyers it finds a misfit that is harmless. A misfit that the arms share
    scales every mean alike and leaves their order; an expected loss in money then is off by as much, and a tenth is
    what a threshold of caring can bear. One that differs between arms is a bias of their difference; below 2% of the
    mean outcome it is less than tests of revenue look for. Below half a posterior standard deviation, either drowns in
    what the posterior says that it does not know.
    """
    found = _amounts(posterior)
    if found is None:
        return None
    bought = [arm for arm in range(len(found.arms)) if found.k[arm] > 0]
    means = [_mean_gap(found, arm, comparisons=len(bought)) for arm in bought]
    pairs = list(combinations(bought, 2))
    differences = [_difference_gap(found, pair, comparisons=len(pairs)) for pair in pairs]
    wrong = [gap for gap in means if gap.matters(_MEAN_OFF)]
    apart = [gap for gap in differences if gap.matters(_DIFFERENCE_OFF)]
    facts: dict[str, Any] = {
        "means": [gap._asdict() for gap in means],
        "differences": [gap._asdict() for gap in differences],
        "level": _LEVEL,
        "largest_off": {"mean": _MEAN_OFF, "difference": _DIFFERENCE_OFF, "posterior_sds": _SDS_OFF},
    }
    return Check(name="amount_tail", passed=not (wrong or apart), facts=facts, sentence=_sentence(means, wrong, apart))


def _amounts(posterior: xr.DataTree) -> _Amounts | None:
    """What is compared, where the posterior holds it and somebody bought."""
    sites, observed = posterior[POSTERIOR].to_dataset(), observed_cells(posterior)
    if observed is None or not {"log_mean", "log_sd"} <= set(sites) or not set(_STATISTICS) <= set(observed):
        return None
    cell = {SEGMENT, ARM} & set(observed[N].dims)
    log_mean, log_sd = sites["log_mean"], sites["log_sd"]
    # segments of an arm may share their spread; other dimensions are another program's sites of these names
    if set(log_mean.dims) != {CHAIN, DRAW, *cell} or not {CHAIN, DRAW, ARM} <= set(log_sd.dims) <= set(log_mean.dims):
        return None
    counts = observed[list(_STATISTICS)]
    mean_amount = xr.apply_ufunc(np.exp, log_mean + log_sd**2 / 2.0)
    implied = counts["positives"] * mean_amount.mean((CHAIN, DRAW))
    units = counts[N].sum(SEGMENT) if SEGMENT in cell else counts[N]
    outcome = mean_outcome(posterior) * counts[N] / units.where(units > 0, 1.0)
    outcome = outcome.sum(SEGMENT) if SEGMENT in cell else outcome
    outcome = outcome.sel({ARM: counts[ARM]}).transpose(CHAIN, DRAW, ARM)
    counts = counts.assign(implied=implied)
    if SEGMENT not in cell:
        counts = counts.expand_dims(SEGMENT)
    parts = {str(name): values.transpose(SEGMENT, ARM).to_numpy() for name, values in counts.data_vars.items()}
    k = parts["positives"].astype(np.int64)
    if k.sum() == 0:
        return None
    generator = np.random.Generator(np.random.PCG64(_seed(posterior)))
    sums = conditional_sums(k, parts["total_log"], parts["sum_squared_log_deviations"], generator)
    by_arm = {name: values.astype(np.float64).sum(axis=0) for name, values in parts.items()}
    labels = [str(arm) for arm in counts[ARM].to_numpy()]
    return _Amounts(
        labels,
        by_arm["positives"],
        by_arm[N],
        by_arm[TOTAL],
        by_arm["implied"],
        outcome.to_numpy().reshape(-1, len(labels)),
        sums,
    )


def _seed(posterior: xr.DataTree) -> int:
    """Seed of the posterior; one made elsewhere may have none."""
    seed = posterior.attrs.get("seed", 0)
    return int(seed) if isinstance(seed, int | np.integer) and seed >= 0 else 0


def _mean_gap(found: _Amounts, arm: int, *, comparisons: int) -> _Gap:
    weights = np.zeros(len(found.arms))
    weights[arm] = 1.0 / found.k[arm]
    raw, implied = float(found.total @ weights), float(found.implied @ weights)
    p = _two_sided(found.sums.tails(weights, raw), comparisons)
    per_unit = (implied - raw) * found.k[arm] / found.n[arm]
    return _Gap(found.arms[arm], implied, raw, implied / raw - 1.0, p, _in_sds(per_unit, found.outcome[:, arm]))


def _difference_gap(found: _Amounts, pair: tuple[int, int], *, comparisons: int) -> _Gap:
    weights = np.zeros(len(found.arms))
    for arm, sign in zip(pair, (-1.0, 1.0), strict=True):
        weights[arm] = sign / found.n[arm]
    raw, implied = float(found.total @ weights), float(found.implied @ weights)
    p = _two_sided(found.sums.tails(weights, raw), comparisons)
    level = float(found.total @ np.abs(weights)) / 2.0
    where = f"{found.arms[pair[1]]} less {found.arms[pair[0]]}"
    difference = found.outcome[:, pair[1]] - found.outcome[:, pair[0]]
    return _Gap(where, implied, raw, (implied - raw) / level, p, _in_sds(implied - raw, difference))


def _in_sds(gap: float, draws: Array) -> float:
    sd = float(draws.std())
    return gap / sd if sd > 0 else float(np.copysign(np.inf, gap)) if gap else 0.0


def _two_sided(tails: tuple[float, float], comparisons: int) -> float:
    return min(2.0 * min(tails) * comparisons, 1.0)


def _sentence(means: list[_Gap], wrong: list[_Gap], apart: list[_Gap]) -> str:
    parts = [
        f"{gap.where} {gap.implied:,.4g} against {gap.raw:,.4g} ({gap.off:+.0%}, {_shown(gap.p)})" for gap in wrong
    ]
    parts += [f"{gap.where} {gap.implied:,.3g} against {gap.raw:,.3g} per unit ({_shown(gap.p)})" for gap in apart]
    if parts:
        return (
            f"The tail of the amounts is not log-normal, and the means that the model implies are not the data's: "
            f"{listed(parts, 4)}. Fit the model 'normal', or cap the amounts at a value stated beforehand."
        )
    worst = max(means, key=lambda gap: abs(gap.off))
    return (
        f"The mean amounts that log-normal amounts imply agree with the raw ones (furthest off: {worst.where} "
        f"{worst.off:+.1%}, {_shown(min(gap.p for gap in means))})."
    )


def _shown(p: float) -> str:
    return f"p {p:.2g}" if p >= 1e-6 else "p < 1e-6"  # noqa: PLR2004 -- replications carry no more digits
