"""Mean outcomes of segments that were never seen, or of any others, from the draws of a pooled model."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import narwhals.stable.v2 as nw
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import expit

from bayesuplift.data.frames import collect, translated
from bayesuplift.data.grid import segments_of
from bayesuplift.data.labels import label_among, segment_label
from bayesuplift.data.opening import opened
from bayesuplift.data.validation import diagnose, key_faults
from bayesuplift.dims import (
    ARM,
    CHAIN,
    DRAW,
    LEVEL,
    MEAN_OUTCOME,
    OTHER,
    POSTERIOR,
    SEGMENT,
    TERM,
    TREATMENT,
)
from bayesuplift.errors import ColumnNotFoundError, DataError, PosteriorError, check_whole, listed
from bayesuplift.posterior.factors import as_called, factors_of, levels_of
from bayesuplift.posterior.schema import assemble, validate

Array = NDArray[np.float64]


def _rate(draws: xr.Dataset, predictors: Mapping[str, Array]) -> Array:  # noqa: ARG001
    return expit(predictors[""])


def _rate_of_events(draws: xr.Dataset, predictors: Mapping[str, Array]) -> Array:  # noqa: ARG001
    return np.exp(predictors[""])


def _mean(draws: xr.Dataset, predictors: Mapping[str, Array]) -> Array:  # noqa: ARG001
    return predictors[""]


def _revenue(draws: xr.Dataset, predictors: Mapping[str, Array]) -> Array:
    log_sd = draws["log_sd"].transpose(CHAIN, DRAW, ARM).to_numpy()[:, :, None, :]
    return expit(predictors["buying_"]) * np.exp(predictors["amount_"] + log_sd**2 / 2.0)


_MEANS: Final[Mapping[str, tuple[tuple[str, ...], Callable[[xr.Dataset, Mapping[str, Array]], Array]]]] = {
    "partial_pooling_binary": (("",), _rate),
    "partial_pooling_count": (("",), _rate_of_events),
    "partial_pooling_normal": (("",), _mean),
    "partial_pooling_revenue": (("buying_", "amount_"), _revenue),
}
"""By model: its predictors, by the part of their sites' names, and the mean outcome from them."""


@translated("the segments")
def predict(posterior: xr.DataTree, segments: Any, *, seed: int) -> xr.DataTree:
    """Mean outcome under each arm in the segments of a table, seen in training or not.

    A segment that the model was fitted on has the very draws of the fit. Else its own deviation is drawn from the
    population of segments, Normal(0, s^2); a level that no segment had, from that of its factor: about the mean of the L
    levels that were there, Normal(0, s^2 (1 + 1 / L)). Effects alike, correlated between arms as the fit found. One new
    level in two rows is one level. Gelman and Hill (2007), Data Analysis Using Regression and Multilevel/Hierarchical
    Models, section 12.8.

    Parameters
    ----------
    posterior
        From a partially pooled model.
    segments
        A path to a CSV, TSV or Parquet file, or any dataframe that narwhals knows: one column a factor, levels compared as
        text; rows of the same segment count once, other columns are not looked at.
    seed
        Seed of the draws of what is new, from 0.

    Returns
    -------
    xarray.DataTree
        A posterior over these segments, without observed data; average it with `population=`.

    Raises
    ------
    PosteriorError
        The posterior is from another model, or lacks draws of its sites.
    ColumnNotFoundError, DataError
        A factor has no column, a level is missing, or there is no row.
    """
    validate(posterior)
    model = str(posterior.attrs.get("model"))
    if model not in _MEANS:
        raise PosteriorError(
            f"new segments are predicted by partially pooled models, {listed(_MEANS)}; this posterior is from '{model}'"
        )
    check_whole("seed", seed, 0)
    draws = posterior[POSTERIOR].to_dataset()
    fitted = levels_of(draws[MEAN_OUTCOME], factors_of(draws[MEAN_OUTCOME]))
    levels = _levels(segments, fitted)
    parts, mean = _MEANS[model]
    generator = np.random.Generator(np.random.PCG64(seed))
    found = mean(
        draws, {part: _predictor(draws, part, levels, posterior.attrs["control"], generator) for part in parts}
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
    told = {"predicted_segments": len(labels), "new_segments": int((seen < 0).sum()), "prediction_seed": int(seed)}
    return assemble({POSTERIOR: group}, {str(name): value for name, value in posterior.attrs.items()} | told)


def _levels(segments: Any, known: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Levels of the distinct segments of the table, (segment,) for each factor, in natural order."""
    columns = {factor: as_called(factor) for factor in known}
    try:
        frame, schema = opened(segments, {}, tuple(columns.values()))
    except ColumnNotFoundError as error:
        raise ColumnNotFoundError(f"the segments are told by {listed(columns.values())}: {error}") from error
    diagnose(frame, [fault for column in columns.values() for fault in key_faults(column, "factor", schema[column])])
    keys = {f"k{place}": nw.col(column) for place, column in enumerate(columns.values())}
    table = list(collect(frame.select(**keys).unique()).values())
    if not len(table[0]):
        raise DataError("the table of segments has no row")
    found = {
        factor: [label_among(value, set(labels)) for value in column]
        for (factor, labels), column in zip(known.items(), table, strict=True)
    }
    return segments_of(found, len(table[0]))[0]


def _places(names: Sequence[Any], known: Sequence[Any]) -> NDArray[np.intp]:
    """Position of each name among those of the fit, -1 where it is new."""
    place = {name: position for position, name in enumerate(known)}
    return np.array([place.get(name, -1) for name in names], dtype=np.intp)


def _rows(levels: Mapping[str, list[str]]) -> list[tuple[str, ...]]:
    """Segments as tuples of their levels."""
    return list(zip(*levels.values(), strict=True))


def _predictor(
    draws: xr.Dataset, part: str, levels: Mapping[str, list[str]], control: str, generator: np.random.Generator
) -> Array:
    """Linear predictor (chain, draw, segment, arm)."""
    fitted = levels_of(draws[MEAN_OUTCOME], levels)
    needed = [f"{part}{site}" for site in ("base", "average_effect", "prognostic_scale", "effect_scale")]
    absent = [site for site in needed if site not in draws]
    if absent:
        raise PosteriorError(f"the posterior lacks draws of {listed(absent)}, of which new segments are made")
    drawn = _Drawn(draws, part, generator)
    count = len(next(iter(levels.values())))
    prognosis = np.repeat(drawn.values("base")[..., None], count, axis=-1)
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
