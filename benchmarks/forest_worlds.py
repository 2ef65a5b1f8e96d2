"""Worlds whose unit effects are known, for the benchmark of causal forests: simulated ones, and two public sets.

A world is a function of its name, a replication and a stream of seeds. FINAL is the stream of the tables, and nobody tunes
on it; for everything else there is TUNING. The public sets have as many replications as files, and no seeds.
"""

import io
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, ndtr, ndtri

FINAL: Final = 20261122
TUNING: Final = 7
ISSUE: Final = 5

HERE: Final = Path(__file__).resolve().parent
IHDP: Final = Path(os.environ.get("BAYESUPLIFT_DATA", HERE.parents[1] / "shared" / "data")) / "ihdp"
ACIC: Final = HERE / "files" / "causallib-0.10.0-py3-none-any.whl"
_IN_ACIC: Final = "causallib/datasets/data/acic_challenge_2016/"

Array = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """What contestants see, and the truth.

    Parameters
    ----------
    x
        Covariates (unit, covariate).
    z, y
        Treatment, 0 or 1, and outcome (unit,).
    propensity
        P(treatment | covariates) (unit,), the same numbers for every contestant; one number where units are randomised.
    level, effect
        Mean outcome without treatment and what treatment adds to it (unit,), outcome units.
    """

    x: Array
    z: Array
    y: Array
    propensity: Array
    level: Array
    effect: Array

    def __post_init__(self) -> None:
        """Refuse a world without overlap, or whose probabilities are none."""
        assert all(one.shape == self.y.shape for one in (self.z, self.propensity, self.level, self.effect))
        assert np.isfinite(self.x).all()
        assert ((self.propensity > 0) & (self.propensity < 1)).all()
        if self.binary:
            assert all(((rate > 0) & (rate < 1)).all() for rate in (self.level, self.level + self.effect))

    @property
    def binary(self) -> bool:
        return bool(np.isin(self.y, (0.0, 1.0)).all())

    @property
    def randomised(self) -> bool:
        return bool((self.propensity == self.propensity[0]).all())


def hahn(generator: np.random.Generator, units: int, *, linear: bool, homogeneous: bool) -> World:
    """Hahn, Murray and Carvalho (2020), Bayesian Analysis 15(3), section 6.1.

    mu = 1 + g(x4) + x1 x3, or -6 + g(x4) + 6 |x3 - 1|, with g = 2, -1, -4 at the levels 1, 2, 3; tau = 3, or 1 + 2 x2 x5;
    pi = 0.8 Phi(3 mu / s - x1 / 2) + 0.05 + u / 10, with s the sample's standard deviation of mu and u uniform. As in
    stochtree's vignette levels are numbers for everybody, and the propensity is the true one.
    """
    normal = generator.normal(size=(units, 3))
    group, binary = generator.integers(1, 4, units), generator.integers(0, 2, units)
    x = np.column_stack([normal, group, binary]).astype(np.float64)
    start = np.array([2.0, -1.0, -4.0])[group - 1]
    level = 1.0 + start + x[:, 0] * x[:, 2] if linear else -6.0 + start + 6.0 * np.abs(x[:, 2] - 1.0)
    effect = np.full(units, 3.0) if homogeneous else 1.0 + 2.0 * x[:, 1] * binary
    lean: Array = ndtr(3.0 * level / level.std() - 0.5 * x[:, 0])
    propensity = 0.8 * lean + 0.05 + generator.random(units) / 10.0
    return _observed(generator, x, propensity, level, effect)


def all_of_six(generator: np.random.Generator, units: int) -> World:
    """An effect of 4 where six covariates, of ten, are all above -0.9 (29% of units), else of 1; a trial.

    No sum of trees with fewer than six decisions on a path, seven levels, equals it: it has a six-way interaction.
    """
    x = generator.normal(size=(units, 10))
    effect = np.where((x[:, :6] > -0.9).all(axis=1), 4.0, 1.0)
    return _observed(generator, x, np.full(units, 0.5), x[:, 0] + np.abs(x[:, 7]), effect)


def lattice(generator: np.random.Generator, units: int) -> World:
    """Effects drawn apart, Normal(1, 1.5), in the 81 cells of four covariates cut at their terciles; a trial.

    The draws are the same in every replication. They have four-way interactions, which trees need four decisions on a path
    for: five levels.
    """
    x = generator.normal(size=(units, 8))
    cell = np.digitize(x[:, :4], ndtri([1 / 3, 2 / 3])) @ 3 ** np.arange(4)
    effect = np.random.default_rng(81).normal(1.0, 1.5, 81)[cell]
    return _observed(generator, x, np.full(units, 0.5), x[:, 0] + np.abs(x[:, 5]), effect)


def _observed(generator: np.random.Generator, x: Array, propensity: Array, level: Array, effect: Array) -> World:
    """Treatments by propensity, and outcomes with standard normal noise."""
    z = (generator.random(len(x)) < propensity).astype(np.float64)
    return World(x, z, level + effect * z + generator.normal(size=len(x)), propensity, level, effect)


def marketing(generator: np.random.Generator, units: int) -> World:
    """A trial of half and half: visits of about 15% without treatment, and effects of -0.5 to 8 points.

    Truth on the probability scale: of six covariates, months since the last purchase, money spent and being new decide on
    the effect.
    """
    recency, history = generator.integers(1, 13, units), generator.gamma(2.0, 1.0, units)
    new, channel = generator.integers(0, 2, units), generator.integers(0, 3, units)
    age, visits = generator.normal(45.0, 12.0, units), generator.poisson(2.0, units)
    x = np.column_stack([recency, history, new, channel, age, visits]).astype(np.float64)
    lean = 0.15 * np.minimum(visits, 6) - 0.06 * recency + 0.25 * np.minimum(history, 5.0) - 0.3 * new
    level = expit(-2.1 + lean + 0.2 * (channel == 1) - 0.01 * (age - 45.0))
    effect = 0.02 + 0.06 * (recency <= 4) * expit(2.0 * (history - 2.0)) - 0.025 * new * (recency > 4)
    z = generator.integers(0, 2, units).astype(np.float64)
    y = (generator.random(units) < level + effect * z).astype(np.float64)
    return World(x, z, y, np.full(units, 0.5), level, effect)


def ihdp(replication: int) -> World:
    """Hill (2011), JCGS 20(1), section 4: covariates and treatments of a study, simulated outcomes; from the study files.

    The propensity is not known; everybody gets the one that `estimated_propensity` finds.
    """
    covariates = pd.read_parquet(IHDP / "covariates.parquet").set_index("unit")
    outcomes = pd.read_parquet(IHDP / "outcomes.parquet")
    one = outcomes[outcomes["rep"] == replication + 1].set_index("unit").loc[covariates.index]
    return _with_estimated_propensity(covariates.to_numpy(np.float64), one["treatment"], one["y_factual"], one)


def acic(replication: int) -> World:
    """Dorie et al. (2019), Statistical Science 34(1): one data set of each of ten of the challenge's 77 laws.

    From the files in causallib's wheel; a text covariate becomes one column a level. The propensity as of `ihdp`.
    """
    with zipfile.ZipFile(ACIC) as wheel:
        covariates, one = (
            pd.read_csv(io.BytesIO(wheel.read(f"{_IN_ACIC}{name}.csv"))) for name in ("x", f"zymu_{replication + 1}")
        )
    x = pd.get_dummies(covariates, dtype=float).to_numpy(np.float64)
    return _with_estimated_propensity(x, one["z"], one["y1"].where(one["z"] == 1, one["y0"]), one)


def _with_estimated_propensity(x: Array, z: pd.Series, y: pd.Series, truth: pd.DataFrame) -> World:
    treated, level, other = (one.to_numpy(np.float64) for one in (z, truth["mu0"], truth["mu1"]))
    return World(x, treated, y.to_numpy(np.float64), estimated_propensity(x, treated), level, other - level)


def estimated_propensity(x: Array, z: Array) -> Array:
    """P(treatment | covariates) (unit,) by a logistic regression on standardised covariates, slopes Normal(0, 1) a priori.

    Its posterior mode, by Newton's method.
    """
    varying = x[:, x.std(axis=0) > 0]
    design = np.column_stack([np.ones(len(z)), (varying - varying.mean(axis=0)) / varying.std(axis=0)])
    precision = np.diag([0.0, *np.ones(varying.shape[1])])
    slopes = np.zeros(design.shape[1])
    for _ in range(50):
        fitted = expit(design @ slopes)
        gradient = design.T @ (z - fitted) - precision @ slopes
        step = np.linalg.solve((design.T * (fitted * (1 - fitted))) @ design + precision, gradient)
        slopes = slopes + step
        if np.abs(step).max() < 1e-10:
            return expit(design @ slopes)
    raise AssertionError("Newton's method did not converge")


Maker = Callable[[np.random.Generator], World]

MU: Final[Mapping[str, bool]] = {"linear": True, "nonlinear": False}
TAU: Final[Mapping[str, bool]] = {"homogeneous": True, "heterogeneous": False}
SIMULATED: Final[Mapping[str, Maker]] = {
    **{
        f"hahn-{units}-{mu}-{tau}": partial(hahn, units=units, linear=MU[mu], homogeneous=TAU[tau])
        for units in (250, 500, 5000)
        for mu in MU
        for tau in TAU
    },
    "deep-six": partial(all_of_six, units=5000),
    "deep-lattice": partial(lattice, units=5000),
    "marketing-8000": partial(marketing, units=8000),
    "marketing-64000": partial(marketing, units=64_000),
}
PUBLIC: Final[Mapping[str, tuple[Callable[[int], World], Path, int]]] = {
    "ihdp": (ihdp, IHDP, 25),
    "acic": (acic, ACIC, 10),
}
WORLDS: Final = (*SIMULATED, *PUBLIC)


def most_replications(name: str) -> int | None:
    """Return how many replications a world of files has; nothing where it is simulated."""
    return PUBLIC[name][2] if name in PUBLIC else None


@cache
def absent(name: str) -> str | None:
    """Say why a world of files is not here; nothing where it is."""
    if name in PUBLIC and not PUBLIC[name][1].exists():
        asked = "`make bench-forests` downloads it" if name == "acic" else "name its parent by BAYESUPLIFT_DATA"
        return f"{name} is left out: no {PUBLIC[name][1].name}; {asked}"
    return None


def seeds(name: str, replication: int, stream: int) -> np.random.SeedSequence:
    """Return the seeds of a replication, for the world and, from its first child, for those who fit it."""
    return np.random.SeedSequence([stream, ISSUE, zlib.crc32(name.encode()), replication])


def world(name: str, replication: int, stream: int) -> World:
    """Return the world of that name, a function of its arguments alone."""
    if name in PUBLIC:
        return PUBLIC[name][0](replication)
    return SIMULATED[name](np.random.default_rng(seeds(name, replication, stream)))
