"""What effects depend on, as a sum of curves: one of each covariate, of every draw, with the share that they tell."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr

from bayesuplift.dims import COVARIATE, N
from bayesuplift.errors import check_whole
from bayesuplift.estimands.additive_basis import Basis, Term
from bayesuplift.estimands.explained import r_squared, summarize_r_squared, summary_attributes
from bayesuplift.estimands.explained_words import fidelity, figure, heading
from bayesuplift.estimands.summary import equal_tails, summarize
from bayesuplift.estimands.unit_covariates import known_of
from bayesuplift.estimands.unit_effects import UnitEffects, explainable

POINT: Final = "point"
POSITION: Final = "position"

_FEWEST_KNOTS: Final = 2


@dataclass(frozen=True, eq=False)
class EffectCurves:
    """A summary of effects by unit: their average and a sum of curves, one of each covariate.

    Parameters
    ----------
    draws
        Curves at their points, (chain, draw, point), outcome units; coordinates `curve` (its covariate), `value` (the
        point as text) and `position` (the point of a number, NaN of text). Between points of a number a curve is a straight
        line. Over the units each curve averages 0 in every draw.
    average
        Average effect (chain, draw), which the curves are added to.
    r_squared
        R² of the summary (chain, draw); NaN where all effects are equal, in as many draws as the attribute
        `undefined_draws` says.
    shares
        Parts of R² by covariate, (chain, draw, covariate); they add up to it.
    table
        Over (point,): `n`, units that stand nearest to the point; `mean`, `mcse`, `sd`, `lower`, `upper`, `prob_positive`,
        P(the curve is above 0, the average), and their errors as of `summarize`. Over (covariate,): `share` with its error
        and interval. Beside them `r_squared` with its error and interval. The bands are pointwise: each has its mass at
        one point, not along the whole curve.
    left_out
        Covariates without a curve, and why.
    """

    draws: xr.DataArray
    average: xr.DataArray
    r_squared: xr.DataArray
    shares: xr.DataArray
    table: xr.Dataset
    left_out: dict[str, str]

    def to_dataset(self) -> xr.Dataset:
        """The points of the curves, over (point,), the covariates' shares, over (covariate,), and R²."""
        return self.table.copy()

    def __str__(self) -> str:
        average = summarize(self.average, prob=self.table.attrs["prob"])
        lines = [
            f"Effect of {heading(self.draws, self.table)}",
            f"average: {figure(average)}; curves are deviations from it",
        ]
        order = np.argsort(-self.table["share"].to_numpy(), kind="stable")
        for name in self.table[COVARIATE].to_numpy()[order].tolist():
            share = self.table.sel({COVARIATE: name})
            lines.append(
                f"{name} ({float(share['share']):.1%} ± {100.0 * float(share['share_mcse']):.1g}% of the differences)"
            )
            points = self.table.isel({POINT: np.flatnonzero(self.table["curve"].to_numpy() == name)})
            lines += [
                f"    {points['value'].to_numpy()[i]}: {figure(points.isel({POINT: i}))}"
                for i in range(points.sizes[POINT])
            ]
        lines += [f"{name}: no curve, {why}" for name, why in self.left_out.items()]
        return "\n".join([*lines, "Intervals are pointwise.", fidelity(self.table, "The sum of the curves")])


def effect_curves(
    posterior: xr.DataTree,
    units: Any,
    *,
    arm: str | None = None,
    covariates: str | Iterable[str] | None = None,
    knots: int = 7,
    prob: float = 0.95,
    unit: str | None = None,
) -> EffectCurves:
    """Summarize effects by unit as an average and a sum of curves, one of each covariate.

        gamma_i = mean tau + sum_j f_j(x_ij),     sum_i f_j(x_ij) = 0,     sum_i (tau_i - gamma_i)^2 least, in every draw

    A curve f_j of a number is a straight line between knots, which lie at quantiles of the units; of few distinct values
    every one is a knot. A curve of text has one value a level; of more than 20 levels the rare ones share one. Least
    squares without a penalty: a curve is what the covariate adds beside the others. Where effects depend on covariates
    jointly, R² is low, and the curves are averages that may hold for no unit.

    The part of R² that is a covariate's is cov(f_j, tau) / var(tau) over the units. Parts add up to R²; where covariates
    are correlated a part may be negative, and says little by itself.

    Parameters
    ----------
    posterior
        A tree over units, made here or elsewhere.
    units
        Its units in its order: the `Experiment` that was fitted; or a path or any dataframe with their covariates.
    arm
        The treatment to explain; may be left out where there is one.
    covariates
        Names of the covariates to draw curves of; a curve that the others tell to more than 99.9% is refused. None for all
        covariates and segment factors of an experiment, and for those that the model was fitted on of a dataframe; a curve
        that the others tell is then left out, and named in `left_out`.
    knots
        Knots of a number, at most.
    prob
        Mass of the equal-tailed pointwise bands.
    unit
        Column of a dataframe that names the unit, to be compared with the posterior's.

    Returns
    -------
    EffectCurves
        Printable as text.

    Raises
    ------
    PosteriorError
        The tree of draws does not follow the schema.
    ArgumentError
        As `effect_tree`; or curves of covariates that were named cannot be told from each other.
    ArmNotFoundError, ColumnNotFoundError, DataError
        No such arm or covariate, or a covariate with a missing value.

    Notes
    -----
    Woody, Carvalho and Murray (2021), Model interpretation through lower-dimensional posterior summarization, Journal of
    Computational and Graphical Statistics 30(1), 144-161. Parts of R²: Pratt (1987), Dividing the indivisible: using
    simple symmetry to partition variance explained, Proceedings of the Second International Tampere Conference in
    Statistics, 245-260; those of a covariate's columns are added up.
    """
    check_whole("knots", knots, _FEWEST_KNOTS)
    equal_tails(prob)
    effects = explainable(posterior, arm)
    known = known_of(effects, units, covariates, unit=unit)
    basis = Basis.of([Term.of(one, int(knots)) for one in known.covariates], named=covariates is not None)
    return _projected(effects, basis, dict(known.left_out) | dict(basis.left_out), prob)


def _projected(effects: UnitEffects, basis: Basis, left_out: dict[str, str], prob: float) -> EffectCurves:
    """Project every draw onto the basis, and take the projection apart by term."""
    along = effects.projected(basis.orthonormal)
    rows = along.reshape(-1, along.shape[-1])
    coefficients = np.linalg.solve(basis.triangular, rows.T).T.reshape(along.shape)
    # sum_i f_j gamma_i = c_j' (R_j' R c) = c_j' R_j' (Q' tau): the inner products of the columns are those of R's
    inner = (along @ basis.triangular) * coefficients
    ends = np.cumsum([len(term.points) - 1 for term in basis.terms])
    starts = ends - [len(term.points) - 1 for term in basis.terms]
    names = [term.covariate for term in basis.terms]
    shares = r_squared(effects, np.add.reduceat(inner, starts, axis=-1), COVARIATE, {COVARIATE: names})
    told = r_squared(effects, (along**2).sum(axis=-1))
    curves = [coefficients[..., a:b] @ term.at_points().T for term, a, b in zip(basis.terms, starts, ends, strict=True)]
    draws = effects.labelled(
        np.concatenate(curves, axis=-1),
        POINT,
        {
            "curve": (POINT, [term.covariate for term in basis.terms for _ in term.points]),
            "value": (POINT, [point for term in basis.terms for point in term.points]),
            POSITION: (POINT, np.concatenate([term.position for term in basis.terms])),
        },
        scale="deviation from the average effect",
    )
    table = summarize(draws, prob=prob).drop_vars(["prob_better", "prob_better_mcse"])
    by_covariate = {k.replace("r_squared", "share"): v for k, v in summarize_r_squared(shares, prob=prob).items()}
    table = table.assign(
        {N: (POINT, np.concatenate([term.nearest for term in basis.terms]))}
        | by_covariate
        | summarize_r_squared(told, prob=prob)
    )
    table.attrs = summary_attributes(draws, told, prob) | {"bands": "pointwise"}
    average = effects.labelled(effects.moments.average)
    return EffectCurves(draws, average, told, shares, table, left_out)
