"""Mean outcomes of segments that were never seen, or of any others, from the draws of a pooled model."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import narwhals.stable.v2 as nw
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import expit, logit

from bayesuplift.data.frames import collect
from bayesuplift.data.grid import segments_of
from bayesuplift.data.labels import label_among, segment_label
from bayesuplift.data.opening import opened
from bayesuplift.data.propensity import by_segment, propensity_faults
from bayesuplift.data.validation import check_numeric, check_roles, diagnose, key_faults, number_of
from bayesuplift.dims import (
    ARM,
    CHAIN,
    DRAW,
    LEVEL,
    LOG_ODDS_TOTAL,
    MEAN_OUTCOME,
    OTHER,
    POSTERIOR,
    SEGMENT,
    TERM,
    TREATMENT,
    N,
)
from bayesuplift.errors import ColumnNotFoundError, DataError, PosteriorError, listed
from bayesuplift.posterior.factors import as_called, factors_of, levels_of
from bayesuplift.posterior.schema import observed_cells

Array = NDArray[np.float64]

_PROPENSITY: Final = "propensity"
_SLOPE: Final = "propensity_slope"


def _rate(draws: xr.Dataset, predictors: Mapping[str, Array]) -> Array:  # noqa: ARG001
    return expit(predictors[""])


def _rate_of_events(draws: xr.Dataset, predictors: Mapping[str, Array]) -> Array:  # noqa: ARG001
    return np.exp(predictors[""])


def _mean(draws: xr.Dataset, predictors: Mapping[str, Array]) -> Array:  # noqa: ARG001
    return predictors[""]


def _revenue(draws: xr.Dataset, predictors: Mapping[str, Array]) -> Array:
    log_sd = draws["log_sd"].transpose(CHAIN, DRAW, ARM).to_numpy()[:, :, None, :]
    return expit(predictors["buying_"]) * np.exp(predictors["amount_"] + log_sd**2 / 2.0)


POOLED_MEANS: Final[Mapping[str, tuple[tuple[str, ...], Callable[[xr.Dataset, Mapping[str, Array]], Array]]]] = {
    "partial_pooling_binary": (("",), _rate),
    "partial_pooling_count": (("",), _rate_of_events),
    "partial_pooling_normal": (("",), _mean),
    "partial_pooling_revenue": (("buying_", "amount_"), _revenue),
}
"""By model: its predictors, by the part of their sites' names, and the mean outcome from them."""


def predicted_segments(posterior: xr.DataTree, segments: Any, *, seed: int) -> tuple[xr.Dataset, dict[str, int]]:
    """Mean outcome (chain, draw, segment, arm) of the distinct segments of a table, and how many of them are new.

    Parameters
    ----------
    posterior
        From a model of `POOLED_MEANS`.
    segments, seed
        As for `predict`.

    Raises
    ------
    PosteriorError, ColumnNotFoundError, DataError, ArgumentError
        As for `predict`.
    """
    draws = posterior[POSTERIOR].to_dataset()
    fitted = levels_of(draws[MEAN_OUTCOME], factors_of(draws[MEAN_OUTCOME]))
    parts, mean = POOLED_MEANS[str(posterior.attrs["model"])]
    sloped = any(f"{part}{_SLOPE}" in draws for part in parts)
    levels, log_odds = _segments(segments, fitted, _centre(posterior) if sloped else None)
    generator, control = np.random.Generator(np.random.PCG64(seed)), posterior.attrs["control"]
    found = mean(
        draws, {part: _predictor(draws, part, levels, control, generator, log_odds=log_odds) for part in parts}
    )
    seen = _places(_rows(levels), _rows(fitted))
    known = draws[MEAN_OUTCOME].transpose(CHAIN, DRAW, SEGMENT, ARM).to_numpy()
    found[:, :, seen >= 0] = known[:, :, seen[seen >= 0]]  # the very draws, not their logits' exponentials
    rows = range(len(seen))
    labels = [segment_label({factor: column[row] for factor, column in levels.items()}) for row in rows]
    coords = {
        **{name: draws[name] for name in (CHAIN, DRAW, ARM)},
        SEGMENT: labels,
        **{factor: (SEGMENT, column) for factor, column in levels.items()},
    }
    group = xr.Dataset({MEAN_OUTCOME: ((CHAIN, DRAW, SEGMENT, ARM), found)}, coords=coords)
    return group, {"predicted_segments": len(labels), "new_segments": int((seen < 0).sum())}


def _centre(posterior: xr.DataTree) -> float:
    """Mean log odds of treatment of the units of the fit."""
    cells = observed_cells(posterior)
    if cells is None or LOG_ODDS_TOTAL not in cells:
        raise PosteriorError(
            f"levels follow the propensity here, about the mean of the fitted units; the posterior lacks "
            f"observed_data/{LOG_ODDS_TOTAL}, which tells it"
        )
    return by_segment(*(cells[name].transpose(..., ARM).to_numpy() for name in (N, LOG_ODDS_TOTAL)))[1]


def _segments(
    segments: Any, known: Mapping[str, list[str]], centre: float | None
) -> tuple[dict[str, list[str]], Array | None]:
    """The distinct segments of the table, in natural order.

    Returns
    -------
    levels
        Levels (segment,) for each factor.
    log_odds
        The logit of each one's propensity less `centre` (segment,); None where there is no centre.
    """
    columns = {factor: as_called(factor) for factor in known}
    named = {} if centre is None else {_PROPENSITY: _PROPENSITY}
    check_roles({"factor": list(columns.values())} | {role: [column] for role, column in named.items()})
    try:
        frame, schema = opened(segments, named, tuple(columns.values()))
    except ColumnNotFoundError as error:
        raise ColumnNotFoundError(f"the segments are told by {listed([*columns.values(), *named])}: {error}") from error
    faults = [fault for column in columns.values() for fault in key_faults(column, "factor", schema[column])]
    numbers = {}
    if named:
        check_numeric(frame, _PROPENSITY, _PROPENSITY, schema[_PROPENSITY])
        faults += propensity_faults(_PROPENSITY, schema[_PROPENSITY])
        numbers["p"] = number_of(_PROPENSITY, schema[_PROPENSITY])
    diagnose(frame, faults)
    keys = {f"k{place}": nw.col(column) for place, column in enumerate(columns.values())}
    table = collect(frame.select(**keys, **numbers).unique())
    rows = len(table["k0"])
    if not rows:
        raise DataError("the table of segments has no row")
    found = {
        factor: [label_among(value, set(labels)) for value in table[key]]
        for (factor, labels), key in zip(known.items(), keys, strict=True)
    }
    levels, place = segments_of(found, rows)
    if centre is None:
        return levels, None
    return levels, logit(_one_each(np.array(table["p"], dtype=np.float64), place, levels)) - centre


def _one_each(values: Array, place: NDArray[np.intp], levels: Mapping[str, list[str]]) -> Array:
    """The propensity (segment,) that all rows of a segment have."""
    least, most = np.full((2, int(place.max()) + 1), [[np.inf], [-np.inf]])
    np.minimum.at(least, place, values)
    np.maximum.at(most, place, values)
    if (apart := np.flatnonzero(least < most)).size:
        row = apart[0]
        name = segment_label({factor: column[row] for factor, column in levels.items()})
        raise DataError(
            f"rows of one segment differ in their propensity: '{name}' has {least[row]:.6g} and {most[row]:.6g}. A segment "
            f"has one, such as the mean of its units."
        )
    return least


def _places(names: Sequence[Any], known: Sequence[Any]) -> NDArray[np.intp]:
    """Position of each name among those of the fit, -1 where it is new."""
    place = {name: position for position, name in enumerate(known)}
    return np.array([place.get(name, -1) for name in names], dtype=np.intp)


def _rows(levels: Mapping[str, list[str]]) -> list[tuple[str, ...]]:
    """Segments as tuples of their levels."""
    return list(zip(*levels.values(), strict=True))


def _predictor(
    draws: xr.Dataset,
    part: str,
    levels: Mapping[str, list[str]],
    control: str,
    generator: np.random.Generator,
    *,
    log_odds: Array | None = None,
) -> Array:
    """Linear predictor (chain, draw, segment, arm)."""
    fitted = levels_of(draws[MEAN_OUTCOME], levels)
    of_propensity = () if log_odds is None else (_SLOPE,)
    sites = ("base", "average_effect", "prognostic_scale", "effect_scale", *of_propensity)
    needed = [f"{part}{site}" for site in sites]
    absent = [site for site in needed if site not in draws]
    if absent:
        raise PosteriorError(f"the posterior lacks draws of {listed(absent)}, of which new segments are made")
    drawn = _Drawn(draws, part, generator)
    count = len(next(iter(levels.values())))
    prognosis = np.repeat(drawn.values("base")[..., None], count, axis=-1)
    if log_odds is not None:
        prognosis += drawn.values(_SLOPE)[..., None] * log_odds
    effect = np.repeat(drawn.values("average_effect", TREATMENT)[:, :, None, :], count, axis=2)
    for factor, column in levels.items():
        names, known = [f"{factor}={level}" for level in column], list(map(str, draws[LEVEL].to_numpy()))
        spread = 1.0 + 1.0 / len(set(fitted[factor]))
        own, treated = drawn.deviations(LEVEL, names, _places(names, known), factor, spread=spread)
        prognosis += own
        effect += treated
    if SEGMENT in draws[TERM].to_numpy():
        rows = _rows(levels)
        own, treated = drawn.deviations(SEGMENT, rows, _places(rows, _rows(fitted)), SEGMENT, spread=1.0)
        prognosis += own
        effect += treated
    full = np.repeat(prognosis[..., None], draws.sizes[ARM], axis=-1)
    treatments = [k for k, arm in enumerate(draws[ARM].to_numpy()) if str(arm) != control]
    full[..., treatments] += effect
    return full


class _Drawn:
    """Sites of one predictor, and draws of what they leave open."""

    def __init__(self, draws: xr.Dataset, part: str, generator: np.random.Generator) -> None:
        self._draws, self._part, self._generator = draws, part, generator
        treatments = draws.sizes[TREATMENT]
        alone = np.ones((1, 1, 1, 1))
        self._cholesky = alone if treatments == 1 else self.values("effect_cholesky", TREATMENT, OTHER)

    def values(self, site: str, *dims: str) -> Array:
        """Draws of a site (chain, draw, ...)."""
        return np.asarray(self._draws[f"{self._part}{site}"].transpose(CHAIN, DRAW, *dims).to_numpy(), dtype=np.float64)

    def deviations(
        self, over: str, names: list[Any], places: NDArray[np.intp], term: str, *, spread: float
    ) -> tuple[Array, Array]:
        """Prognostic (chain, draw, row) and effect deviations (chain, draw, row, treatment) of the rows.

        Parameters
        ----------
        over
            The dimension: levels or segments.
        names, places
            Name of what each row has, and its position among those of the fit, -1 where it is new.
        term
            Whose scale new ones have.
        spread
            Their variance, in units of that scale squared.
        """
        position = list(map(str, self._draws[TERM].to_numpy())).index(term)
        of_prognosis = self.values("prognostic_scale", TERM)[..., position] * np.sqrt(spread)
        of_effect = self.values("effect_scale", TERM)[..., position] * np.sqrt(spread)
        shape = of_prognosis.shape
        treatments = self._draws.sizes[TREATMENT]
        own, treated = np.empty((*shape, len(names))), np.empty((*shape, len(names), treatments))
        known = places >= 0
        if known.any():
            own[..., known] = self.values(f"prognostic_{over}", over)[..., places[known]]
            treated[:, :, known] = self.values(f"effect_{over}", over, TREATMENT)[:, :, places[known]]
        for name in dict.fromkeys(name for name, old in zip(names, known, strict=True) if not old):
            rows = [row for row, one in enumerate(names) if one == name and not known[row]]
            own[..., rows] = (of_prognosis * self._generator.standard_normal(shape))[..., None]
            noise = self._generator.standard_normal((*shape, treatments, 1))
            moved = of_effect[..., None] * np.matmul(self._cholesky, noise)[..., 0]
            treated[:, :, rows] = moved[:, :, None, :]
        return own, treated
