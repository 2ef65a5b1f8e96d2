"""The same decision under other priors."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import xarray as xr

from bayesuplift.decisions.comparison import compare_closed_form, compare_draws, compare_weighted
from bayesuplift.decisions.verdict import leading
from bayesuplift.dims import ALTERNATIVES, CHAIN, CLOSED_FORM, DRAW, MEAN_OUTCOME, PRIOR, PRIOR_SENSITIVITY
from bayesuplift.errors import listed
from bayesuplift.posterior.closed_form import draw_rates
from bayesuplift.posterior.diagnostics import SMALLEST_ESS_PER_CHAIN, effective_draws
from bayesuplift.posterior.importance import LARGEST_PARETO_K, smoothed
from bayesuplift.posterior.schema import STATED, group, is_closed_form, mean_outcome

UNLEARNED = "unlearned"


def prior_sensitivity(
    posterior: xr.DataTree,
    overall: xr.Dataset,
    averaged: Callable[[xr.DataArray], xr.DataArray],
    *,
    exact: bool,
    threshold: float,
    control: int,
    higher_is_better: bool,
    rope: float | None,
    prob: float,
    learned: tuple[str, xr.Dataset] | None = None,
) -> xr.Dataset:
    """P(best), expected loss and the verdict's name under the stated prior and each alternative.

    Exact for a closed form; for its segments' average, and for models that are drawn from directly, from fresh draws under
    each prior; for a Markov chain's draws, by Pareto smoothed importance weights.

    Parameters
    ----------
    posterior
        The tree; `closed_form`, `alternatives` or `prior_sensitivity` holds the alternatives.
    overall
        The table under the stated prior.
    averaged
        Population average of draws.
    exact
        Whether `overall` is in closed form.
    threshold, control, higher_is_better, rope, prob
        As in `choose_arm`.
    learned
        Description of a prior learned from past experiments, and the table under it: the stated one, then; what the
        posterior states by itself becomes the row "unlearned".

    Returns
    -------
    xarray.Dataset
        `prob_best`, `expected_loss` (prior, arm), from draws with `_mcse`, `best`, `verdict`, `description` (prior).
        Attributes: `sentence`, what a reader must know (empty where priors agree), and `left_out`.
    """
    tables = {STATED: overall}
    descriptions = {STATED: str(posterior.attrs.get("prior", "stated by the posterior's maker"))}
    if learned is not None:
        tables = {STATED: learned[1], UNLEARNED: overall}
        descriptions = {STATED: learned[0], UNLEARNED: descriptions[STATED]}
    left_out = []
    found = (group(posterior, name) for name in (CLOSED_FORM, ALTERNATIVES, PRIOR_SENSITIVITY))
    alternatives = next((one for one in found if one is not None), None)
    if alternatives is None:
        left_out.append("the posterior carries no alternative priors")
        alternatives = xr.Dataset(coords={PRIOR: [STATED]})
    for name in [str(label) for label in alternatives[PRIOR].to_numpy() if label != STATED]:
        of_prior = alternatives.sel({PRIOR: name})
        descriptions[name] = str(of_prior["description"].item())
        if exact:
            tables[name] = compare_closed_form(
                posterior, control=control, higher_is_better=higher_is_better, rope=rope, prob=prob, prior=name
            )
        elif is_closed_form(posterior):
            stated = mean_outcome(posterior)
            seed = int(posterior.attrs.get("seed", 0))  # a posterior made elsewhere may not say
            again = draw_rates(
                alternatives, prior=name, chains=stated.sizes[CHAIN], draws=stated.sizes[DRAW], seed=seed
            )
            tables[name] = compare_draws(
                averaged(again), control=control, higher_is_better=higher_is_better, rope=rope, prob=prob
            )
        elif MEAN_OUTCOME in of_prior:
            tables[name] = compare_draws(
                averaged(of_prior[MEAN_OUTCOME].drop_vars(PRIOR)),
                control=control,
                higher_is_better=higher_is_better,
                rope=rope,
                prob=prob,
            )
        else:
            draws = averaged(mean_outcome(posterior))
            weights, support = weighed(draws, of_prior["log_weight"])
            if not support.enough:
                left_out.append(f"{name}, {descriptions[name]}: too far from the draws to be weighed ({support.why})")
                continue
            tables[name] = compare_weighted(
                draws, weights, control=control, higher_is_better=higher_is_better, rope=rope, prob=prob
            )
    verdicts = {name: leading(table, threshold=threshold, rope=rope) for name, table in tables.items()}
    result = xr.concat(
        [_kept(table).reset_coords(drop=True) for table in tables.values()],
        dim=xr.DataArray(list(tables), dims=PRIOR, name=PRIOR),
        coords="minimal",
        compat="override",
        join="exact",
    )
    result["best"] = (PRIOR, [best for best, _ in verdicts.values()])
    result["verdict"] = (PRIOR, [name for _, name in verdicts.values()])
    result["description"] = (PRIOR, [descriptions[name] for name in tables])
    result.attrs = {"sentence": _sentence(verdicts, descriptions, left_out), "left_out": "; ".join(left_out)}
    return result


def _kept(table: xr.Dataset) -> xr.Dataset:
    """The quantities shown, with their Monte Carlo errors where they have any."""
    kept = ("prob_best", "expected_loss", "prob_best_mcse", "expected_loss_mcse")
    return table[[name for name in kept if name in table]]


class Support(NamedTuple):
    """How well weighted draws stand for a distribution: what they are worth, what is needed, and Pareto k."""

    effective: float
    needed: float
    pareto_k: float

    @property
    def enough(self) -> bool:
        """Whether averages over them can be trusted."""
        return self.pareto_k <= LARGEST_PARETO_K and self.effective >= self.needed

    @property
    def why(self) -> str:
        """What is wrong, where they cannot."""
        if self.pareto_k > LARGEST_PARETO_K:
            return f"Pareto k {self.pareto_k:.2f}"
        return f"{self.effective:.0f} effective draws would carry the weight, {self.needed:.0f} are needed"


def weighed(draws: xr.DataArray, log_weight: xr.DataArray) -> tuple[xr.DataArray, Support]:
    """Weights (chain, draw) of draws that sum to one, and how many independent draws the weighted are worth."""
    weights, pareto_k = smoothed(log_weight)
    independent = float(effective_draws(draws).min()) / weights.size
    effective = independent / float((weights**2).sum()) if pareto_k <= LARGEST_PARETO_K else 0.0
    return weights, Support(effective, float(SMALLEST_ESS_PER_CHAIN * weights.sizes[CHAIN]), pareto_k)


def _of(verdict: str, best: str) -> str:
    return {"CHOOSE": f" {best}", "CONTINUE": f", with {best} in the lead"}.get(verdict, "")


def _sentence(verdicts: Mapping[str, tuple[str, str]], descriptions: dict[str, str], left_out: list[str]) -> str:
    stated = verdicts[STATED]
    differing = [
        f"under {descriptions[name]} ({name}) the verdict would be {verdict}{_of(verdict, best)}"
        for name, (best, verdict) in verdicts.items()
        if (verdict, best if verdict == "CHOOSE" else "") != (stated[1], stated[0] if stated[1] == "CHOOSE" else "")
    ]
    parts = []
    if differing:
        parts.append(f"The prior matters here: {listed(differing)}.")
    if left_out:
        parts.append(f"Prior sensitivity is incomplete: {'; '.join(left_out)}.")
    return " ".join(parts)
