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

from bayesuplift.inference.forest import gibbs, kernel
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
SDS: Final = np.array([0.8, 0.6, 1.0])
NOISE: Final = (4.0, 3.0)
DEGREES: Final = 5.0
OFFSET: Final = -0.6
RIGHT: Final = "as it is"
LEAVES: Final = ("leaves of mu", "leaves of t")

Sweep = Callable[[gibbs.Data, gibbs.Prior, gibbs.State], gibbs.State]


@dataclass(frozen=True)
class World:
    """A model without outcomes, and its forests before any sweep."""

    data: gibbs.Data
    prior: gibbs.Prior
    trees: tuple[kernel.Trees, kernel.Trees]


def world(*, expanded: bool, weight: np.ndarray | None = None, effect_weight: np.ndarray | None = None) -> World:
    """Return a world of few rows; `weight` and `effect_weight` plant other weights than the rows' own in the forests."""
    generator = np.random.default_rng(seed_of("rows of a joint distribution"))
    bins = np.stack([generator.permutation(ROWS), generator.integers(0, 2, ROWS)]).astype(np.uint8)
    cuts = np.array([ROWS - NONE - 1, 1])
    own, coding = generator.uniform(0.3, 3.0, ROWS), np.tile([-0.3, 0.7], ROWS // 2)
    bins[0] = np.minimum(bins[0], ROWS - NONE - 1)
    own[-NONE:] = coding[-NONE:] = 0.0
    weight = own if weight is None else weight
    effect_weight = own * coding**2 if effect_weight is None else effect_weight
    (prognostic, first), (effect, second) = (
        kernel.plant(bins, cuts, shape, weights=weights, leaf_sd=sd / np.sqrt(shape.trees), padding=NONE)
        for shape, weights, sd in ((PROGNOSTIC, weight, PROGNOSTIC_SD), (EFFECT, effect_weight, EFFECT_SD))
    )
    size = 3 if expanded else 2
    outcome, times, precisions = (jnp.asarray(one, jnp.float32) for one in (np.zeros(ROWS), coding, own))
    data = gibbs.Data(outcome, times, precisions, prognostic, effect, jnp.float32(DEGREES), jnp.float32(0.0))
    precision = jnp.asarray(SDS[:size] ** -2.0, jnp.float32)
    shape, rate = (jnp.float32(one) for one in NOISE)
    return World(data, gibbs.Prior(jnp.zeros(size, jnp.float32), precision, shape, rate), (first, second))


def measured(state: gibbs.State) -> Mapping[str, Any]:
    """Quantities whose prior mean is known, or found from sweeps over nothing (`LEAVES`)."""
    intercept, average, scale = state.coefficients
    level, deviation = state.level[0], state.deviation[0]
    return {
        "intercept": intercept,
        "average": average,
        "mu": level,
        "t": deviation,
        "precision": state.precision,
        "intercept^2": intercept**2,
        "average^2": average**2,
        "mu^2": level**2,
        "t^2": deviation**2,
        "precision^2": state.precision**2,
        "intercept average": intercept * average,
        "intercept mu": intercept * level,
        "average t": average * deviation,
        "mu t": level * deviation,
        "scale^2": scale**2,
        "scale t": scale * deviation,
        "mu^2 precision": level**2 * state.precision,
        LEAVES[0]: _leaves(state.prognostic),
        LEAVES[1]: _leaves(state.effect),
    }


def _leaves(trees: kernel.Trees) -> Any:
    return (trees.split > 0).sum().astype(jnp.float32) + trees.split.shape[0]


def known(*, expanded: bool) -> Mapping[str, float]:
    """Prior means of what is measured, but for the sizes of trees."""
    shape, rate = NOISE
    found = dict.fromkeys(("intercept", "average", "mu", "t", "intercept average", "intercept mu"), 0.0)
    found |= dict.fromkeys(("average t", "mu t", "scale t"), 0.0)
    squares = np.array([*SDS[:2], PROGNOSTIC_SD, EFFECT_SD]) ** 2
    found |= dict(zip(("intercept^2", "average^2", "mu^2", "t^2"), squares.tolist(), strict=True))
    found |= {"precision": shape / rate, "precision^2": shape * (shape + 1.0) / rate**2, "scale^2": float(SDS[2] ** 2)}
    found["mu^2 precision"] = PROGNOSTIC_SD**2 * shape / rate
    if not expanded:
        del found["scale t"]
    return found


def whole_sweep(data: gibbs.Data, prior: gibbs.Prior, state: gibbs.State) -> gibbs.State:
    """The sweep as it is run, with the sums over trees made anew."""
    state, _ = gibbs.sweep(data, prior, state, expanded=prior.mean.shape[0] > 2)
    return state


def binary_sweep(data: gibbs.Data, prior: gibbs.Prior, state: gibbs.State) -> gibbs.State:
    """The sweep of a binary outcome."""
    return gibbs.sweep(data, prior, state, expanded=False, binary=True)[0]


def offset_ignored(data: gibbs.Data, prior: gibbs.Prior, state: gibbs.State) -> gibbs.State:
    """A fault: the threshold is put where the offset is not."""
    return binary_sweep(data._replace(offset=jnp.float32(0.0)), prior, state)


def outcome_as_it_is(data: gibbs.Data, prior: gibbs.Prior, state: gibbs.State) -> gibbs.State:
    """A fault: 0 and 1 are taken for the values behind them."""
    return gibbs.sweep(data, prior, state, expanded=False)[0]._replace(precision=state.precision)


def noise_kept(data: gibbs.Data, prior: gibbs.Prior, state: gibbs.State) -> gibbs.State:
    """A fault: the precision is drawn once."""
    return whole_sweep(data, prior, state)._replace(precision=state.precision)


def line_halved(data: gibbs.Data, prior: gibbs.Prior, state: gibbs.State) -> gibbs.State:
    """A fault: the average effect moves half of the way that it should."""
    found = whole_sweep(data, prior, state)
    middle = (found.coefficients[1] + state.coefficients[1]) / 2.0
    return found._replace(coefficients=found.coefficients.at[1].set(middle))


@functools.partial(jax.jit, static_argnames=("sweep", "simulate", "binary"))
def simulated(
    data: gibbs.Data,
    prior: gibbs.Prior,
    states: gibbs.State,
    truth: gibbs.Data,
    *,
    sweep: Sweep,
    simulate: bool,
    binary: bool,
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
                if binary:
                    outcome = (truth.offset + mean + noise > 0.0).astype(jnp.float32)
                given = data._replace(outcome=outcome, squares=squares)
            return sweep(given, prior, state), None

        def kept(state: gibbs.State, _: None) -> tuple[gibbs.State, Mapping[str, Any]]:
            state, _ = jax.lax.scan(one, state, None, KEPT_EVERY)
            return state, measured(state)

        state, _ = jax.lax.scan(one, state, None, BEFORE)
        return jax.lax.scan(kept, state, None, SWEEPS // KEPT_EVERY)[1]

    return jax.vmap(chain)(states)


def draws(
    planted: World,
    *,
    sweep: Sweep = whole_sweep,
    truth: World | None = None,
    simulate: bool = True,
    binary: bool = False,
) -> Any:
    """Return what is measured, (chain, draw), by name."""
    data, prior, (prognostic, effect) = planted.data, planted.prior, planted.trees
    keys = np.random.default_rng(seed_of("a joint distribution")).integers(0, 2**32, (CHAINS, 2))
    states = jax.device_put(gibbs.first(keys, ROWS, prognostic, effect))
    options = {"sweep": sweep, "simulate": simulate, "binary": binary}
    found = simulated(data, prior, states, data if truth is None else truth.data, **options)
    return {name: np.asarray(one, dtype=np.float64) for name, one in found.items()}


@functools.cache
def sizes() -> Mapping[str, tuple[float, float]]:
    """Mean number of leaves under the prior, and its Monte Carlo error, from sweeps over rows of weight 0."""
    nothing = np.zeros(ROWS)
    found = draws(world(expanded=False, weight=nothing, effect_weight=nothing), simulate=False)
    by_chain = {name: found[name].mean(axis=1) for name in LEAVES}
    return {name: (one.mean(), one.std(ddof=1) / np.sqrt(CHAINS)) for name, one in by_chain.items()}


def binary_world() -> World:
    """The same of a binary outcome of units, with an offset."""
    coding = np.asarray(world(expanded=False).data.coding)
    weight = (coding != 0.0).astype(np.float64)
    found = world(expanded=False, weight=weight, effect_weight=weight * coding**2)
    data = found.data._replace(weight=jnp.asarray(weight, jnp.float32), offset=jnp.float32(OFFSET))
    return replace(found, data=data)


def rejected(found: Mapping[str, np.ndarray], *, expanded: bool, binary: bool = False) -> list[str]:
    """Quantities whose mean is not the prior's."""
    expected = {name: (value, 0.0) for name, value in known(expanded=expanded).items()} | dict(sizes())
    if binary:  # whose noise is known
        expected = {name: one for name, one in expected.items() if "precision" not in name}
    wrong = []
    for name, (mean, error) in expected.items():
        try:
            assert_within_mcse(found[name], mean, error, comparisons=len(expected))
        except AssertionError as said:
            wrong.append(f"{name}: {said}")
    return wrong


def faults(*, expanded: bool) -> Mapping[str, Mapping[str, Any]]:
    """By name, what is done wrong: arguments of `draws`."""
    right = world(expanded=expanded)
    coding = np.asarray(right.data.coding)
    own = np.asarray(right.data.weight)
    treated = (coding > 0).astype(np.float64)
    return {
        "noise drawn once": {"planted": right, "sweep": noise_kept},
        "average moved by halves": {"planted": right, "sweep": line_halved},
        "effect forest sees z, not c(z)": {"planted": world(expanded=expanded, effect_weight=own * treated**2)},
        "prognostic forest without weights": {"planted": world(expanded=expanded, weight=(own > 0).astype(np.float64))},
        "noise without weights": {
            "planted": World(
                right.data._replace(weight=(right.data.weight > 0).astype(jnp.float32)), right.prior, right.trees
            ),
            "truth": right,
        },
    }


def cases() -> Iterator[tuple[str, str, Mapping[str, Any], bool]]:
    """Settings and what is done in each: its name, the arguments of `draws`, and whether the scale is drawn."""
    for expanded in (False, True):
        setting = "scale drawn" if expanded else "scale 1"
        yield setting, RIGHT, {"planted": world(expanded=expanded)}, expanded
        for name, options in faults(expanded=expanded).items():
            yield setting, name, options, expanded
    right = binary_world()
    for name, sweep in ((RIGHT, binary_sweep), ("offset ignored", offset_ignored), ("0 and 1", outcome_as_it_is)):
        yield "binary", name, {"planted": right, "sweep": sweep, "binary": True}, False


def main() -> int:
    """Print what was rejected and how long it took; say by the exit code whether all is as it should be."""
    passed = True
    with jax.enable_x64(False):  # noqa: FBT003 -- JAX's own signature
        for setting, name, options, expanded in cases():
            began = time.monotonic()
            wrong = rejected(draws(**options), expanded=expanded, binary=setting == "binary")
            passed &= bool(wrong) == (name != RIGHT)
            seconds = time.monotonic() - began
            print(f"{setting}, {name}: {len(wrong)} rejected, {seconds:.0f} s", flush=True)  # noqa: T201
            for one in wrong[:3] if name != RIGHT else wrong:
                print(f"    {one}", flush=True)  # noqa: T201
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
