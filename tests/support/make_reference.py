"""Make models/<name>/reference.json: a long, plain NUTS run of the twin on the model's example.

Run from the project's root; PyMC comes with the extra `pymc`:

    .venv/bin/python -m tests.support.make_reference normal hurdle_lognormal

A run that does not mix is refused, not written: divergent transitions, a site whose R-hat exceeds 1.001, or one with fewer
than 10,000 effective draws in its middle or its tails.
"""

import json
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

import numpy as np
from arviz_stats.base import array_stats
from numpy.typing import NDArray

from bayesuplift.dims import ARM, MEAN_OUTCOME, SEGMENT
from bayesuplift.inference.pooled_coordinates import POOLED
from bayesuplift.spec import registered
from tests.support.catalogue import CATALOGUE, draws_of, twin_model
from tests.support.examples import example
from tests.support.worlds import seed_of

Array = NDArray[np.float64]

MOST_R_HAT: Final = 1.001
LEAST_ESS: Final = 10_000
AXES: Final = {"chain_axis": 0, "draw_axis": 1}


@dataclass(frozen=True)
class Run:
    """How long, and how carefully, a twin is sampled."""

    draws: int = 25_000
    tune: int = 2_000
    chains: int = 4
    target_accept: float = 0.9
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the twin's `build`: a parametrisation that mixes, of the same model."""


RUNS: Final = {
    "exchangeable_rates": Run(target_accept=0.95, options={"centred": False}),
    "interaction_horseshoe": Run(target_accept=0.97, options={"centred": False}),
    **{name: Run(options={"centred": False}) for name in POOLED},
    "partial_pooling_binary": Run(target_accept=0.95, options={"centred": False}),
    "partial_pooling_count": Run(draws=12_000, target_accept=0.97, options={"centred": False}),
    "portfolio": Run(draws=50_000, target_accept=0.97, options={"centred": False}),
}
"""Models that need another run than the usual one."""

MEAN_OUTCOMES: Final[dict[str, Callable[[Mapping[str, Array]], Array]]] = {
    "beta_binomial": lambda sites: sites["rate"],
    "exchangeable_rates": lambda sites: sites["rate"],
    "hurdle_lognormal": lambda sites: sites["buying_rate"] * np.exp(sites["log_mean"] + sites["log_sd"] ** 2 / 2),
    "negative_binomial": lambda sites: sites["rate"],
    "normal": lambda sites: sites["mean"],
    "normal_adjusted": lambda sites: sites["mean"],
}
"""The mean outcome by each card's formula, from draws of the twin's sites; of others the twin makes it itself."""

SOURCES: Final = {
    "portfolio": "Rubin (1981), Estimation in parallel randomized experiments, J. Educational Statistics 6(4), table 1",
    "beta_binomial": (
        "Hillstrom, K. (2008), The MineThatData E-Mail Analytics and Data Mining Challenge: "
        "customers and visits within two weeks, by arm"
    ),
}
SIMULATED: Final = "simulated: tests.support.examples"


def main(names: list[str]) -> None:
    """Make the reference of every model named."""
    for name in names:
        made = reference_of(name, RUNS.get(name, Run()))
        target = CATALOGUE / name / "reference.json"
        if target.exists():
            kept = json.loads(target.read_text(encoding="utf-8"))
            made |= {"calibration": kept["calibration"]} if "calibration" in kept else {}
        target.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
        worst = worst_of(made["sites"])
        sys.stderr.write(f"{name}: R-hat at most {worst[0]:.5f}, at least {worst[1]:.0f} effective draws\n")


def reference_of(name: str, run: Run) -> dict[str, Any]:
    """Sample, summarise, and refuse what has not mixed."""
    import pymc as pm  # noqa: PLC0415 -- seconds, here only

    data, seed = example(name), seed_of(f"reference of {name}")
    latent = [str(site.name) for site in twin_model(name, data).free_RVs]  # of the plain model: sites, not coordinates
    with twin_model(name, data, **run.options):
        trace = pm.sample(
            draws=run.draws,
            tune=run.tune,
            chains=run.chains,
            target_accept=run.target_accept,
            cores=1,
            random_seed=seed,
            progressbar=False,
        )
    divergences = int(trace["sample_stats"]["diverging"].sum())
    sites = {site: draws_of(trace, site) for site in latent}
    found = {site: summary(draws) for site, draws in sites.items()}
    if name == "portfolio":
        found[MEAN_OUTCOME] = against_nothing(found["effect"])
    else:
        formula = MEAN_OUTCOMES.get(name)
        found[MEAN_OUTCOME] = summary(formula(sites) if formula else draws_of(trace, MEAN_OUTCOME))
    r_hat, ess = worst_of(found)
    if divergences or r_hat > MOST_R_HAT or ess < LEAST_ESS:
        raise SystemExit(
            f"{name}: {divergences} divergences, R-hat {r_hat:.4f}, {ess:.0f} effective draws: no reference"
        )
    return {
        "model": name,
        "prior": str(registered()[name].default_prior.resolved(data)),
        "data": {
            **{
                place: data.statistics[place].to_numpy().tolist()
                for place in (SEGMENT, ARM)
                if place in data.statistics.coords
            },
            **{str(key): part.to_numpy().tolist() for key, part in data.statistics.data_vars.items()},
            "source": SOURCES.get(name, SIMULATED),
        },
        "sampler": {
            "name": "PyMC NUTS",
            "chains": run.chains,
            "tune": run.tune,
            "draws": run.draws,
            "target_accept": run.target_accept,
            **({"options": dict(run.options)} if run.options else {}),
            "divergences": divergences,
        },
        "seed": seed,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in ("pymc", "pytensor", "numpy", "arviz-stats")},
        },
        "sites": found,
    }


def summary(draws: Array) -> dict[str, Any]:
    """Mean, standard deviation, their Monte Carlo errors and the diagnostics of draws (chain, draw, ...).

    An element that is the same in every draw, as the 0 and the 1 of a correlation matrix's factor, has nothing to mix: it
    has no spread, no error, and as many effective draws as there are.
    """
    constant = np.ptp(draws, axis=(0, 1)) == 0.0
    if np.any(constant):
        return _summary_beside(constant, draws)
    sd = draws.std((0, 1), ddof=1)
    squares = (draws - draws.mean((0, 1))) ** 2
    found = {
        "mean": draws.mean((0, 1)),
        "sd": sd,
        "mcse_mean": array_stats.mcse(draws, method="mean", **AXES),
        # WORKAROUND(arviz-stats<=0.8): its error of an sd counts effective draws of the draws, not of their squares. NUTS
        # gives more than one a draw of the first and less than half of one of the second: it comes out half as large
        "mcse_sd": array_stats.mcse(squares, method="mean", **AXES) / (2.0 * sd),
        "r_hat": array_stats.rhat(draws, **AXES),
        "ess_bulk": array_stats.ess(draws, method="bulk", **AXES),
        "ess_tail": array_stats.ess(draws, method="tail", prob=(0.05, 0.95), **AXES),
    }
    return {key: np.asarray(values).tolist() for key, values in found.items()}


def _summary_beside(constant: NDArray[np.bool_], draws: Array) -> dict[str, Any]:
    """Summary of draws of which some elements are constant."""
    every = float(draws.shape[0] * draws.shape[1])
    of_others = summary(draws[..., ~constant])
    still = {"mean": draws[0, 0], "r_hat": 1.0, "ess_bulk": every, "ess_tail": every}
    found = {key: np.array(np.broadcast_to(still.get(key, 0.0), constant.shape), dtype=float) for key in of_others}
    for key, values in of_others.items():
        found[key][~constant] = values
    return {key: values.tolist() for key, values in found.items()}


def against_nothing(effect: Mapping[str, Any]) -> dict[str, Any]:
    """The mean outcome of effects, ([...], arm): 0 under control, which no draw says how well it mixes, and the effect."""
    control = {"r_hat": 1.0, "ess_bulk": np.inf, "ess_tail": np.inf}
    return {
        key: np.stack(
            [
                np.full(np.shape(values), min(control.get(key, -np.inf), np.max(values)) if key in control else 0.0),
                values,
            ],
            axis=-1,
        ).tolist()
        for key, values in effect.items()
    }


def worst_of(sites: Mapping[str, Mapping[str, Any]]) -> tuple[float, float]:
    """Largest R-hat and smallest effective number of draws over all sites."""
    r_hat = max(float(np.max(site["r_hat"])) for site in sites.values())
    ess = min(float(np.min(site[kind])) for site in sites.values() for kind in ("ess_bulk", "ess_tail"))
    return r_hat, ess


if __name__ == "__main__":
    main(sys.argv[1:])
