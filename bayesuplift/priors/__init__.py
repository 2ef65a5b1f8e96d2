"""Prior families, in the units of the outcome.

Every family answers two questions about data: `resolved` fills in what was left open from the data's pooled scale, never
from a difference between arms; `alternatives` are the priors that a sensitivity table sets beside the stated one.
"""

from bayesuplift.priors.amounts import HurdlePrior, LogAmountPrior
from bayesuplift.priors.counts import CountPrior
from bayesuplift.priors.forest import ForestPrior, ForestShape
from bayesuplift.priors.horseshoe import HorseshoePrior
from bayesuplift.priors.means import NormalPrior, RegressionPrior
from bayesuplift.priors.pooling import (
    AmountPoolingPrior,
    BinaryPoolingPrior,
    CountPoolingPrior,
    NormalPoolingPrior,
    RevenuePoolingPrior,
)
from bayesuplift.priors.portfolio import PortfolioPrior
from bayesuplift.priors.rates import ExchangeableRatesPrior, RatePrior

__all__ = [
    "AmountPoolingPrior",
    "BinaryPoolingPrior",
    "CountPoolingPrior",
    "CountPrior",
    "ExchangeableRatesPrior",
    "ForestPrior",
    "ForestShape",
    "HorseshoePrior",
    "HurdlePrior",
    "LogAmountPrior",
    "NormalPoolingPrior",
    "NormalPrior",
    "PortfolioPrior",
    "RatePrior",
    "RegressionPrior",
    "RevenuePoolingPrior",
]
