"""A posterior over segments or units as one over groups of them."""

from collections.abc import Iterable

import xarray as xr

from bayesuplift.dims import (
    ALTERNATIVES,
    CONSTANT_DATA,
    MEAN_OUTCOME,
    OBSERVED_DATA,
    POSTERIOR,
    PRIOR_SENSITIVITY,
    SAMPLE_STATS,
    SEGMENT,
    N,
)
from bayesuplift.estimands.conditional import gate
from bayesuplift.estimands.population import population_mean
from bayesuplift.posterior.schema import assemble, group

# What speaks of the draws as such, and so of any average of them.
_OF_THE_DRAWS = (PRIOR_SENSITIVITY, SAMPLE_STATS, CONSTANT_DATA)


def grouped(posterior: xr.DataTree, *, by: str | Iterable[str], observed: xr.Dataset) -> xr.DataTree:
    """Posterior over the levels of a factor, or of several crossed, each the average of its segments, or of its units.

    The draws are the same ones, so that what is said of a level agrees with what is said of its segments and of everybody.

    Parameters
    ----------
    posterior
        A tree over segments that are made of factors, averaged by their units; or over units that have factors.
    by
        The factor, or several.
    observed
        Statistics of the groups, (segment, arm), such as those of `cells.by(factor)`.

    Returns
    -------
    xarray.DataTree
        Its `mean_outcome` is over (chain, draw, segment, arm), the segments being the groups; root attributes are the
        posterior's, and `grouped_by` names the factors. Of draws under other priors it holds the averages of everybody.

    Raises
    ------
    FactorNotFoundError, PosteriorError
        As `gate`.
    """
    factors = [by] if isinstance(by, str) else list(by)
    means = gate(posterior, by=factors, scale=MEAN_OUTCOME)
    means = means.drop_vars(N).drop_attrs().rename(MEAN_OUTCOME)
    groups = {name: posterior[name].to_dataset() for name in _OF_THE_DRAWS if name in posterior.children}
    groups |= {POSTERIOR: means.to_dataset(), OBSERVED_DATA: observed}
    drawn = group(posterior, ALTERNATIVES)
    if drawn is not None:
        # a decision is about everybody under other priors too, however everybody is divided
        averages = population_mean(posterior, drawn[MEAN_OUTCOME])
        groups[ALTERNATIVES] = drawn.drop_dims(SEGMENT, errors="ignore").assign({MEAN_OUTCOME: averages})
    attributes = {str(name): value for name, value in posterior.attrs.items()}
    return assemble(groups, attributes | {"grouped_by": ", ".join(factors)})
