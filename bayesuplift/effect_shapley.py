"""Why a unit's effect is what the model says: what each covariate adds, by predictions at units half its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.data.frames import translated
from bayesuplift.data.propensity import PROPENSITY
from bayesuplift.data.unit_table import CodedUnits
from bayesuplift.dims import ARM, CHAIN, COVARIATE, DRAW, MEAN_OUTCOME, UNIT
from bayesuplift.errors import ArgumentError, BayesupliftError, check_whole
from bayesuplift.estimands.shapley import SAMPLING_ERROR, EffectShapley, Orders, shapley
from bayesuplift.estimands.summary import equal_tails, summarize
from bayesuplift.estimands.unit_effects import UnitEffects
from bayesuplift.inference.predict import unit_predictor
from bayesuplift.inference.unit_predictor import UnitPredictor

_FEWEST: Final = 10  # samples, of which a standard error is taken
_AT_ONCE: Final = 2**25  # mean outcomes predicted at once
_LARGEST: Final = 2**25  # numbers of the answer, 256 MB; their summary takes several times as much


def shapley_values(
    posterior: xr.DataTree,
    units: Any,
    *,
    background: Any,
    arm: str | None = None,
    unit: str | None = None,
    samples: int = 500,
    prob: float = 0.95,
    seed: int,
) -> EffectShapley:
    """Shapley values of the effect of some units, (chain, draw, unit, covariate), outcome units.

        phi_j(x) = sum_{S without j} |S|! (p - |S| - 1)! / p! (v(S and j) - v(S)),     v(S) = E[tau(x_S, X_rest)]

    v(S) is the average effect of units with the covariates S of x and all others of a unit X of the background. So
    phi_1 + ... + phi_p = tau(x) - E[tau(X)], in every draw: the values tell how the unit's effect comes to differ from the
    average, by the model's function of covariates. They are no effects of changing a covariate, and where covariates go
    together, v asks the model about units that do not exist.

    Sampled: `samples` orders of the covariates, in each of which these become the unit's own one after the other, and in
    reverse, from a unit of the background drawn for it. The same orders serve all units. It takes 2 p predictions a sample
    and unit, fewer where units have few values.

    Parameters
    ----------
    posterior
        A fit of `bayesian_causal_forest` or `interaction_horseshoe`, made here: it is asked for effects at new units.
    units
        The units to explain: an `Experiment`; or a path or any dataframe, as `predict` takes it.
    background
        The units whose average effect they are compared with, likewise; mostly the experiment that was fitted.
    arm
        The treatment; may be left out where there is one.
    unit
        Column of `units` that names them, where these are no experiment.
    samples
        Orders drawn.
    prob
        Mass of the equal-tailed intervals.
    seed
        Seed of the orders, of the units drawn from the background, and of levels of segments that no unit had.

    Returns
    -------
    EffectShapley
        Printable as text. A covariate of text is one player, however many columns it is coded by; so are segment factors,
        and the propensity, of all treatments together, where the fit had one.

    Raises
    ------
    PosteriorError
        The posterior is of no model of units, or lacks what these are predicted from.
    ArgumentError
        The posterior is not over units, an option is out of its range, the answer would not fit, or an experiment has no
        propensities, or other treatments', where the fit had some.
    ArmNotFoundError, ColumnNotFoundError, DataError, FrameTypeError, MissingFileError, UnreadableFileError
        As `predict`, of `units` or of `background`; the message begins with which.

    Warns
    -----
    DataWarning
        Text has a level that no unit of the fit had. A new level of a factor is drawn without a word, as by `predict`.

    Notes
    -----
    Shapley (1953), A value for n-person games, Contributions to the Theory of Games II, 307-317. Orders drawn beside units
    of a background: Strumbelj and Kononenko (2014), Explaining prediction models and individual predictions with feature
    contributions, Knowledge and Information Systems 41, 647-665. Their reverses: Mitchell, Cooper, Frank and Holmes (2022),
    Sampling permutations for Shapley value estimation, Journal of Machine Learning Research 23(43), 1-46.
    """
    effects = UnitEffects.of(posterior, arm)
    equal_tails(prob)
    check_whole("samples", samples, _FEWEST)
    check_whole("seed", seed, 0)
    predictor = unit_predictor(posterior)
    others, own = _read(predictor, background, "background"), _read(predictor, units, "units", unit)
    game = _Game(effects, predictor, _players(predictor), others, int(seed))
    size = len(own.labels) * len(game.players) * int(np.prod(effects.draws))
    if size > _LARGEST:
        raise ArgumentError(
            f"{len(own.labels):,} units x {len(game.players)} covariates x {int(np.prod(effects.draws)):,} draws are "
            f"{size:,} numbers; expected at most {_LARGEST:,}. Explain fewer units at a time"
        )
    orders = Orders.drawn(
        int(samples),
        background=len(others.labels),
        players=len(game.players),
        generator=np.random.Generator(np.random.PCG64(seed)),
    )
    return _explained(game, own, orders, prob)


@dataclass(frozen=True, eq=False)
class _Game:
    """Effects of an arm at units of which some covariates are a unit's own, and the others those of the background.

    Parameters
    ----------
    effects
        Those of the fit: which arm, which draws.
    predictor
        What the mean outcomes are from.
    players
        Names of covariates, factors, and the propensity where there is one.
    background
        The units whose covariates the others are.
    seed
        Seed of levels that no unit had.
    """

    effects: UnitEffects
    predictor: UnitPredictor
    players: tuple[str, ...]
    background: CodedUnits
    seed: int

    def at(
        self, own: CodedUnits, place: int, coalition: NDArray[np.bool_], others: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Effects (chain, draw, k) at the different ones of mixed units, and which (row,) each is; see `Mixed`."""
        takes = dict(zip(self.players, coalition.T, strict=True))
        of_column = [self.players.index(column.covariate) for column in self.predictor.coding.columns]
        columns = np.where(coalition[:, of_column], own.columns[place], self.background.columns[others])
        parts: list[NDArray[Any]] = [columns]
        chance = None
        if own.propensity is not None and self.background.propensity is not None:
            chance = np.where(takes[PROPENSITY][:, None], own.propensity[place], self.background.propensity[others])
            parts.append(chance)
        levels = {
            name: np.where(takes[name], own.levels[name][place], there[others])
            for name, there in self.background.levels.items()
        }
        parts += [pd.factorize(there)[0][:, None] for there in levels.values()]
        # mixed units of few levels are often the same
        _, first, which = np.unique(np.column_stack(parts), axis=0, return_index=True, return_inverse=True)
        different = CodedUnits(
            np.arange(len(first)),
            columns[first],
            None if chance is None else chance[first],
            {name: there[first] for name, there in levels.items()},
        )
        means = self.predictor.at(different, self.seed)[MEAN_OUTCOME]
        treated, control = (
            means.sel({ARM: arm}).transpose(CHAIN, DRAW, UNIT).to_numpy().astype(np.float64)
            for arm in (self.effects.arm, self.effects.control)
        )
        return treated - control, which.reshape(-1)

    def blocks(self, orders: Orders) -> Iterator[Orders]:
        """Orders so many at a time that their predictions fit."""
        each = 2 * len(self.players) * int(np.prod(self.effects.draws)) * self.effects.means.sizes[ARM]
        size = max(_AT_ONCE // each, 1)
        for low in range(0, len(orders.background), size):
            among = slice(low, low + size)
            yield Orders(orders.background[among], orders.place[among])

    def values(self, own: CodedUnits) -> NDArray[np.object_]:
        """The players' values (unit, player), numbers or text."""
        found = np.empty((len(own.labels), len(self.players)), dtype=object)
        for k, name in enumerate(self.players):
            if name in own.covariates:
                found[:, k] = own.covariates[name].tolist()
            elif name in own.levels:
                found[:, k] = own.levels[name].tolist()
            else:
                assert own.propensity is not None
                several = own.propensity.shape[1] > 1
                found[:, k] = [", ".join(f"{q:.4g}" for q in p) if several else float(p[0]) for p in own.propensity]
        return found


def _explained(game: _Game, own: CodedUnits, orders: Orders, prob: float) -> EffectShapley:
    effects, samples, names = game.effects, len(orders.background), list(game.players)
    base, of_sample = np.zeros(effects.draws), []
    for block in game.blocks(orders):
        number = len(block.background)
        of_others, which = game.at(own, 0, np.zeros((number, len(names)), dtype=np.bool_), block.background)
        base += of_others @ (np.bincount(which, minlength=of_others.shape[-1]) / samples)
        of_sample.append(of_others.mean(axis=(0, 1))[which])
    found = np.empty((*effects.draws, len(own.labels), len(names)))
    error = np.empty((len(own.labels), len(names)))
    for place in range(len(own.labels)):
        sums, by_sample = np.zeros((*effects.draws, len(names))), []
        for block in game.blocks(orders):
            values, each = shapley(lambda *mixed, place=place: game.at(own, place, *mixed), block)
            sums += values * (len(each) / samples)
            by_sample.append(each)
        found[:, :, place] = sums
        error[place] = np.concatenate(by_sample).std(axis=0, ddof=1) / np.sqrt(samples)
    index = {name: effects.means[name] for name in (CHAIN, DRAW) if name in effects.means.coords}
    attributes = effects.attributes | {"scale": "part of the effect"}
    coords = {UNIT: own.labels, COVARIATE: names}
    draws = xr.DataArray(
        found, dims=(CHAIN, DRAW, UNIT, COVARIATE), coords=index | {ARM: effects.arm} | coords, attrs=attributes
    )
    table = summarize(draws, prob=prob).drop_vars(["prob_better", "prob_better_mcse"])
    table = table.assign(
        {
            SAMPLING_ERROR: ((UNIT, COVARIATE), error),
            f"base_{SAMPLING_ERROR}": np.concatenate(of_sample).std(ddof=1) / np.sqrt(samples),
        }
    )
    table.attrs |= {"samples": samples, "seed": game.seed}
    return EffectShapley(
        draws,
        xr.DataArray(base, dims=(CHAIN, DRAW), coords=index | {ARM: effects.arm}, attrs=effects.attributes),
        table,
        xr.DataArray(game.values(own), dims=(UNIT, COVARIATE), coords=coords),
    )


def _players(predictor: UnitPredictor) -> tuple[str, ...]:
    """What becomes a unit's own at once: a covariate with all its columns, and with the factor of its name."""
    covariates = (column.covariate for column in predictor.coding.columns)
    return tuple(dict.fromkeys([*covariates, *predictor.factors, *([PROPENSITY] if predictor.treatments else [])]))


def _read(predictor: UnitPredictor, source: Any, role: str, unit: str | None = None) -> CodedUnits:
    """Units of an experiment or a table, coded; what is refused says of which it is."""
    try:
        with translated("the table"):
            return predictor.read(source, unit=unit)
    except BayesupliftError as error:
        raise type(error)(f"{role}: {error}") from error
