"""The joint distribution of a causal forest's unknowns and data, simulated in two ways. Geweke (2004), JASA 99, 799-804.

Data drawn anew from the model before every sweep leave the prior as the law of what sweeps visit, if sweeps are right.
The prior's moments are known: values of a forest at a row are normal whatever the trees, and everything is independent.
Sizes of trees are compared with sweeps of the same program over data of weight 0.

Run from the project's root: python -m tests.calibration.forests
"""

import functools
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import invgamma
from scipy.stats import t as student_t

from bayesuplift.inference.forest import gibbs, kernel
from bayesuplift.inference.forest import groups as terms
from bayesuplift.inference.forest.kernel import Shape
from tests.support.mcse import assert_within_mcse
from tests.support.worlds import seed_of

ROWS: Final = 20
NONE: Final = 4  # rows at the end that are none
CHAINS: Final = 64
SWEEPS: Final = 4000
KEPT_EVERY: Final = 4
BEFORE: Final = 200
PROGNOSTIC: Final = Shape(trees=4, depth=4, base=0.8, power=1.0, least_rows=2)
EFFECT: Final = Shape(trees=3, depth=3, base=0.5, power=1.0, least_rows=2)
PROGNOSTIC_SD: Final = 1.0
EFFECT_SD: Final = 0.7
SDS: Final = np.array([0.8, 0.6, 0.5, 1.0, 1.0])
LEAF: Final = (8.0, 7.0 * np.array([PROGNOSTIC_SD**2 / PROGNOSTIC.trees, *[EFFECT_SD**2 / EFFECT.trees] * 2]))
LEAF_MOST: Final = np.array([np.inf, *[1.1 * EFFECT_SD**2 / EFFECT.trees] * 2])
GROUP_SDS: Final = np.array([0.6, 0.4])
GROUP_DEGREES: Final = 10.0
NOISE: Final = (4.0, 3.0)
DEGREES: Final = 5.0
OFFSET: Final = -0.6
RIGHT: Final = "as it is"
LEAVES: Final = ("leaves of mu", "leaves of t")

Sweep = Callable[[gibbs.Data, gibbs.Prior, gibbs.State, gibbs.Flags], gibbs.State]


@dataclass(frozen=True)
class World:
    """A model without outcomes, its forests before any sweep, and what a sweep of it does."""

    data: gibbs.Data
    prior: gibbs.Prior
    trees: tuple[kernel.Trees, kernel.Trees]
    flags: gibbs.Flags


def world(
    *,
    expanded: bool = False,
    weight: np.ndarray | None = None,
    effect_weight: np.ndarray | None = None,
    most: np.ndarray = LEAF_MOST,
    **flags: bool,
) -> World:
    """Return a world of few rows, three arms and two terms of groups; the weights plant others in the forests."""
    generator = np.random.default_rng(seed_of("rows of a joint distribution"))
    bins = np.stack([generator.permutation(ROWS), generator.integers(0, 2, ROWS)]).astype(np.uint8)
    cuts = np.array([ROWS - NONE - 1, 1])
    own = generator.uniform(0.3, 3.0, ROWS)
    coding = np.tile([[-0.3, 0.7, -0.3], [-0.4, -0.4, 0.6]], ROWS)[:, :ROWS]
    bins[0] = np.minimum(bins[0], ROWS - NONE - 1)
    own[-NONE:] = coding[:, -NONE:] = 0.0
    weight = own if weight is None else weight
    effect_weight = own * coding**2 if effect_weight is None else effect_weight
    prognostic, first = planted(bins, cuts, PROGNOSTIC, weight, PROGNOSTIC_SD)
    several = [planted(bins, cuts, EFFECT, one, EFFECT_SD) for one in effect_weight]
    effect, second = jax.tree.map(lambda *parts: jnp.stack(parts), *several)
    outcome, times, precisions = (jnp.asarray(one, jnp.float32) for one in (np.zeros(ROWS), coding, own))
    grouped = groups_of(own, coding)
    data = gibbs.Data(outcome, precisions, times, prognostic, effect, jnp.float32(DEGREES), jnp.float32(0.0), grouped)
    precision = jnp.asarray(SDS**-2.0, jnp.float32)
    shape, rate, leaf_shape, leaf_rate = (jnp.asarray(one, jnp.float32) for one in (*NOISE, *LEAF))
    of_groups = terms.GroupPrior(jnp.asarray(GROUP_SDS, jnp.float32), jnp.float32(GROUP_DEGREES))
    of_leaves = leaf_shape, leaf_rate, jnp.asarray(most, jnp.float32)
    prior = gibbs.Prior(jnp.zeros(len(SDS), jnp.float32), precision, shape, rate, *of_leaves, of_groups)
    return World(data, prior, (first, second), gibbs.Flags(expanded=expanded, **flags))


def planted(bins: np.ndarray, cuts: np.ndarray, shape: Shape, weight: np.ndarray, sd: float) -> Any:
    return kernel.plant(bins, cuts, shape, weights=weight, leaf_sd=sd / np.sqrt(shape.trees), padding=NONE)


def groups_of(weight: np.ndarray, coding: np.ndarray) -> terms.Groups:
    """A term of three levels and one of two, which cross the arms."""
    place = np.stack([np.arange(ROWS) // 2 % 3, np.arange(ROWS) // 5 % 2])
    design = np.vstack([np.ones(ROWS), coding])
    products = np.einsum("n,in,jn->nij", weight, design, design)
    sums = np.stack([[products[one == level].sum(axis=0) for level in range(3)] for one in place])
    there = np.array([[1, 1, 1], [1, 1, 0]])
    return terms.Groups(jnp.asarray(place, jnp.int32), jnp.asarray(there, jnp.float32), jnp.asarray(sums, jnp.float32))


def measured(state: gibbs.State) -> Mapping[str, Any]:
    """Quantities whose prior mean is known, or found from sweeps over nothing (`LEAVES`)."""
    intercept, average, second = state.coefficients[:3]
    scale = state.coefficients[3]
    level, deviation = state.level[0], state.deviation[0, 0]
    assert state.levels is not None
    values, spreads = terms.values(state.levels), terms.scales(state.levels)
    return {
        "intercept": intercept,
        "average": average,
        "mu": level,
        "t": deviation,
        "precision": state.precision,
        "intercept^2": intercept**2,
        "average^2": average**2,
        "second average^2": second**2,
        "mu^2": level**2,
        "t^2": deviation**2,
        "second t^2": state.deviation[1, 0] ** 2,
        "precision^2": state.precision**2,
        "intercept average": intercept * average,
        "average second average": average * second,
        "intercept mu": intercept * level,
        "average t": average * deviation,
        "mu t": level * deviation,
        "t second t": deviation * state.deviation[1, 0],
        "scale^2": scale**2,
        "scale t": scale * deviation,
        "mu^2 precision": level**2 * state.precision,
        "leaf variance": 1.0 / state.leaf_precision[0],
        "leaf precision": state.leaf_precision[0],
        "effect leaf precision": state.leaf_precision[1],
        "u": values[0, 0, 0],
        "v": values[1, 1, 2],
        "u^2": values[0, 0, 0] ** 2,
        "v^2": values[1, 1, 1] ** 2,
        "omega": spreads[0, 0],
        "psi": spreads[1, 1],
        "intercept u": intercept * values[0, 1, 0],
        "average v": average * values[0, 1, 1],
        "v second v": values[0, 0, 1] * values[0, 0, 2],
        LEAVES[0]: _leaves(state.prognostic),
        LEAVES[1]: _leaves(state.effect),
    }


def _leaves(trees: kernel.Trees) -> Any:
    return (trees.split > 0).sum().astype(jnp.float32) + np.prod(trees.split.shape[:-1])


def known(flags: gibbs.Flags) -> Mapping[str, float]:
    """Prior means of what is measured, but for the sizes of trees."""
    shape, rate = NOISE
    leaf_shape, leaf_rate = LEAF
    zeros: tuple[str, ...] = (
        "intercept",
        "average",
        "mu",
        "t",
        "intercept average",
        "average second average",
        "intercept mu",
        "average t",
    )
    zeros += ("mu t", "t second t", "scale t", "u", "v", "intercept u", "average v", "v second v")
    found = dict.fromkeys(zeros, 0.0)
    leaf_variance = leaf_rate[0] / (leaf_shape - 1.0)
    effect_variance, effect_precision = of_cut_off_leaves(leaf_shape, leaf_rate[1], LEAF_MOST[1])
    of_forests = np.array([PROGNOSTIC.trees * leaf_variance, *[EFFECT.trees * effect_variance] * 2])
    squares = np.append(SDS[:3] ** 2, of_forests)
    names = ("intercept^2", "average^2", "second average^2", "mu^2", "t^2", "second t^2")
    found |= dict(zip(names, squares.tolist(), strict=True))
    found |= {"precision": shape / rate, "precision^2": shape * (shape + 1.0) / rate**2, "scale^2": float(SDS[3] ** 2)}
    found |= {"mu^2 precision": found["mu^2"] * shape / rate}
    found |= {"leaf variance": leaf_variance, "leaf precision": leaf_shape / leaf_rate[0]}
    found["effect leaf precision"] = effect_precision
    found |= dict(zip(("omega", "psi"), half_t_means(), strict=True))
    of_levels = GROUP_SDS**2 * GROUP_DEGREES / (GROUP_DEGREES - 2.0)
    found |= dict(zip(("u^2", "v^2"), of_levels.tolist(), strict=True))
    if not flags.expanded:
        del found["scale t"]
        found["scale^2"] = 1.0
    return found


def of_cut_off_leaves(shape: float, rate: float, most: float) -> tuple[float, float]:
    """Means of a variance that is inverse gamma below its most, and of its inverse."""
    law = invgamma(shape, scale=rate)
    variance, precision = (law.expect(one, ub=most) / law.cdf(most) for one in (lambda v: v, lambda v: 1.0 / v))
    return float(variance), float(precision)


def half_t_means() -> list[float]:
    """Means of the half-t laws of groups' scales: twice the mean of the positive half."""
    return [2.0 * float(student_t(GROUP_DEGREES, scale=one).expect(lambda value: value, lb=0.0)) for one in GROUP_SDS]


def whole_sweep(data: gibbs.Data, prior: gibbs.Prior, state: gibbs.State, flags: gibbs.Flags) -> gibbs.State:
    """The sweep as it is run, with the sums over trees made anew."""
    return gibbs.summed(data, gibbs.sweep(data, prior, state, flags)[0])


def offset_ignored(data: gibbs.Data, prior: gibbs.Prior, state: gibbs.State, flags: gibbs.Flags) -> gibbs.State:
    """A fault: the threshold is put where the offset is not."""
    return whole_sweep(data._replace(offset=jnp.float32(0.0)), prior, state, flags)


def outcome_as_it_is(data: gibbs.Data, prior: gibbs.Prior, state: gibbs.State, flags: gibbs.Flags) -> gibbs.State:
    """A fault: 0 and 1 are taken for the values behind them."""
    found = whole_sweep(data, prior, state, flags._replace(binary=False))
    return found._replace(precision=state.precision)


def noise_kept(data: gibbs.Data, prior: gibbs.Prior, state: gibbs.State, flags: gibbs.Flags) -> gibbs.State:
    """A fault: the precision is drawn once."""
    return whole_sweep(data, prior, state, flags)._replace(precision=state.precision)


def leaves_kept(data: gibbs.Data, prior: gibbs.Prior, state: gibbs.State, flags: gibbs.Flags) -> gibbs.State:
    """A fault: the leaves' precision moves half of the way that it should."""
    found = whole_sweep(data, prior, state, flags)
    return found._replace(leaf_precision=(found.leaf_precision + state.leaf_precision) / 2.0)


def scales_kept(data: gibbs.Data, prior: gibbs.Prior, state: gibbs.State, flags: gibbs.Flags) -> gibbs.State:
    """A fault: what multiplies the levels of groups is never drawn."""
    found = whole_sweep(data, prior, state, flags)
    assert data.groups is not None
    assert found.levels is not None
    assert state.levels is not None
    levels = found.levels._replace(alpha=state.levels.alpha)
    return found._replace(levels=levels, grouped=terms.at_rows(data.groups, levels))


def line_halved(data: gibbs.Data, prior: gibbs.Prior, state: gibbs.State, flags: gibbs.Flags) -> gibbs.State:
    """A fault: the average effect moves half of the way that it should."""
    found = whole_sweep(data, prior, state, flags)
    middle = (found.coefficients[1] + state.coefficients[1]) / 2.0
    return found._replace(coefficients=found.coefficients.at[1].set(middle))


@functools.partial(jax.jit, static_argnames=("sweep", "simulate", "flags"))
def simulated(
    data: gibbs.Data,
    prior: gibbs.Prior,
    states: gibbs.State,
    truth: gibbs.Data,
    *,
    sweep: Sweep,
    simulate: bool,
    flags: gibbs.Flags,
) -> Mapping[str, Any]:
    """Alternate data and sweeps; `truth` makes the data, `data` is what the sweeps are told.

    A binary outcome is whether the normal value behind it, whose precision is 1, is above 0.
    """

    def chain(state: gibbs.State) -> Mapping[str, Any]:
        def one(state: gibbs.State, _: None) -> tuple[gibbs.State, None]:
            given = data
            if simulate:
                to_noise, to_squares = jax.random.split(jax.random.fold_in(gibbs.random_key(state), 1))
                mean = truth.outcome - gibbs.residual(truth, state)
                noise = jax.random.normal(to_noise, (ROWS,), jnp.float32)
                squares = 2.0 * jax.random.gamma(to_squares, truth.degrees / 2.0, dtype=jnp.float32) / state.precision
                outcome = mean + noise * jnp.where(
                    truth.weight > 0.0, jax.lax.rsqrt(state.precision * truth.weight), 0.0
                )
                if flags.binary:
                    outcome = (truth.offset + mean + noise > 0.0).astype(jnp.float32)
                given = data._replace(outcome=outcome, squares=squares)
            return sweep(given, prior, state, flags), None

        def kept(state: gibbs.State, _: None) -> tuple[gibbs.State, Mapping[str, Any]]:
            state, _ = jax.lax.scan(one, state, None, KEPT_EVERY)
            return state, measured(state)

        state, _ = jax.lax.scan(one, state, None, BEFORE)
        return jax.lax.scan(kept, state, None, SWEEPS // KEPT_EVERY)[1]

    return jax.vmap(chain)(states)


def draws(given: World, *, sweep: Sweep = whole_sweep, truth: World | None = None, simulate: bool = True) -> Any:
    """Return what is measured, (chain, draw), by name."""
    data, prior, (prognostic, effect) = given.data, given.prior, given.trees
    keys = np.random.default_rng(seed_of("a joint distribution")).integers(0, 2**32, (CHAINS, 2))
    states = jax.device_put(gibbs.first(keys, data, prognostic, effect))
    options = {"sweep": sweep, "simulate": simulate, "flags": given.flags}
    found = simulated(data, prior, states, data if truth is None else truth.data, **options)
    return {name: np.asarray(one, dtype=np.float64) for name, one in found.items()}


@functools.cache
def sizes() -> Mapping[str, tuple[float, float]]:
    """Mean number of leaves under the prior, and its Monte Carlo error, from sweeps over rows of weight 0."""
    nothing = np.zeros(ROWS)
    found = draws(world(weight=nothing, effect_weight=np.zeros((2, ROWS))), simulate=False)
    by_chain = {name: found[name].mean(axis=1) for name in LEAVES}
    return {name: (one.mean(), one.std(ddof=1) / np.sqrt(CHAINS)) for name, one in by_chain.items()}


def binary_world() -> World:
    """The same of a binary outcome of units, with an offset."""
    coding = np.asarray(world().data.coding)
    weight = (coding[0] != 0.0).astype(np.float64)
    found = world(weight=weight, effect_weight=weight * coding**2, binary=True)
    data = found.data._replace(
        weight=jnp.asarray(weight, jnp.float32), offset=jnp.float32(OFFSET), groups=groups_of(weight, coding)
    )
    return replace(found, data=data)


def rejected(found: Mapping[str, np.ndarray], flags: gibbs.Flags) -> list[str]:
    """Quantities whose mean is not the prior's."""
    expected = {name: (value, 0.0) for name, value in known(flags).items()} | dict(sizes())
    if flags.binary:  # whose noise is known
        expected = {name: one for name, one in expected.items() if name != "mu^2 precision" and name[:9] != "precision"}
    wrong = []
    for name, (mean, error) in expected.items():
        try:
            assert_within_mcse(found[name], mean, error, comparisons=len(expected))
        except AssertionError as said:
            wrong.append(f"{name}: {said}")
    return wrong


def faults() -> Mapping[str, Mapping[str, Any]]:
    """By name, what is done wrong: arguments of `draws`."""
    right = world(expanded=True)
    coding, own = np.asarray(right.data.coding), np.asarray(right.data.weight)
    treated = (coding > 0).astype(np.float64)
    there = (own > 0).astype(np.float64)
    other = right.data._replace(groups=groups_of(there, coding))
    return {
        "noise drawn once": {"given": right, "sweep": noise_kept},
        "leaves' variance moved by halves": {"given": right, "sweep": leaves_kept},
        "leaves' variance without its limit": {"given": world(expanded=True, most=np.full(3, np.inf))},
        "average moved by halves": {"given": right, "sweep": line_halved},
        "scales of groups kept": {"given": right, "sweep": scales_kept},
        "levels without weights": {"given": replace(right, data=other), "truth": right},
        "effect forests see z, not c(z)": {"given": world(expanded=True, effect_weight=own * treated**2)},
        "effect forests see each other's c": {"given": world(expanded=True, effect_weight=own * coding[::-1] ** 2)},
        "prognostic forest without weights": {"given": world(expanded=True, weight=there)},
        "noise without weights": {
            "given": replace(right, data=right.data._replace(weight=jnp.asarray(there, jnp.float32))),
            "truth": right,
        },
    }


def cases() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Settings and what is done in each: its name, and the arguments of `draws`."""
    yield "scales 1", RIGHT, {"given": world()}
    yield "scales drawn", RIGHT, {"given": world(expanded=True)}
    for name, options in faults().items():
        yield "scales drawn", name, options
    right = binary_world()
    for name, sweep in ((RIGHT, whole_sweep), ("offset ignored", offset_ignored), ("0 and 1", outcome_as_it_is)):
        yield "binary", name, {"given": right, "sweep": sweep}


def main() -> int:
    """Print what was rejected and how long it took; say by the exit code whether all is as it should be."""
    passed = True
    with jax.enable_x64(False):  # noqa: FBT003 -- JAX's own signature
        for setting, name, options in cases():
            began = time.monotonic()
            wrong = rejected(draws(**options), options["given"].flags)
            passed &= bool(wrong) == (name != RIGHT)
            seconds = time.monotonic() - began
            print(f"{setting}, {name}: {len(wrong)} rejected, {seconds:.0f} s", flush=True)  # noqa: T201
            for one in wrong[:3] if name != RIGHT else wrong:
                print(f"    {one}", flush=True)  # noqa: T201
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
