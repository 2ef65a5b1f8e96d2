"""Mean outcomes of units that were never seen, from the draws of a linear model of units."""

import numpy as np
import xarray as xr

from bayesuplift.data.coding import Coding
from bayesuplift.data.unit_table import CodedUnits
from bayesuplift.dims import ARM, CHAIN, CONSTANT_DATA, COVARIATE, DRAW, MEAN_OUTCOME, POSTERIOR, TREATMENT, UNIT
from bayesuplift.errors import PosteriorError, listed
from bayesuplift.inference.regression_coordinates import REGRESSIONS
from bayesuplift.inference.thinning import check_fits
from bayesuplift.inference.unit_predictor import UnitPredictor
from bayesuplift.posterior.schema import group


def line_predictor(posterior: xr.DataTree) -> UnitPredictor:
    """What predicts units from a model of `REGRESSIONS`, each from its own line.

    It refuses so many units that their draws would take more than 2 GB (ArgumentError).

    Raises
    ------
    PosteriorError
        The posterior lacks draws of its coefficients, or how covariates were coded.
    """
    assert posterior.attrs["model"] in REGRESSIONS
    draws, constants = posterior[POSTERIOR].to_dataset(), group(posterior, CONSTANT_DATA)
    absent = [site for site in ("base", "prognostic", "average_effect", "interaction") if site not in draws]
    if absent or constants is None or "covariate_mean" not in constants or "coding" not in posterior.attrs:
        raise PosteriorError(
            f"the posterior lacks {listed(absent) if absent else 'how its covariates were coded'}, of which predictions "
            f"are made"
        )
    coded = constants["covariate_mean"].to_numpy(), constants["covariate_sd"].to_numpy()

    def at(given: CodedUnits, seed: int) -> xr.Dataset:  # noqa: ARG001 -- nothing of a line is drawn anew
        arms = draws[ARM].to_numpy()
        check_fits(len(given.labels), draws.sizes[CHAIN] * draws.sizes[DRAW] * len(arms))
        standardised = (given.columns - coded[0]) / coded[1]
        own = draws["prognostic"].transpose(CHAIN, DRAW, COVARIATE).to_numpy()
        changed = draws["interaction"].transpose(CHAIN, DRAW, TREATMENT, COVARIATE).to_numpy()
        average = draws["average_effect"].transpose(CHAIN, DRAW, TREATMENT).to_numpy()
        level = draws["base"].to_numpy()[..., None] + own @ standardised.T
        found = np.repeat(level[..., None], len(arms), axis=-1)
        for k in range(draws.sizes[TREATMENT]):  # the control stands first among the arms of a fit
            found[..., k + 1] += average[..., k, None] + changed[:, :, k] @ standardised.T
        coords = {**{name: draws[name] for name in (CHAIN, DRAW, ARM)}, UNIT: given.labels}
        return xr.Dataset({MEAN_OUTCOME: ((CHAIN, DRAW, UNIT, ARM), found)}, coords=coords)

    return UnitPredictor(Coding.from_json(posterior.attrs["coding"]), at)
