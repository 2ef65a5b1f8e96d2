"""Names of dimensions, groups and variables: the words that every layer shares."""

from typing import Final, Literal, get_args

CHAIN: Final = "chain"
DRAW: Final = "draw"
ARM: Final = "arm"
SEGMENT: Final = "segment"
UNIT: Final = "unit"
PRIOR: Final = "prior"
TERM: Final = "term"
LEVEL: Final = "level"
CONTRAST: Final = "contrast"
TREATMENT: Final = "treatment"
OTHER: Final = "other_treatment"
COVARIATE: Final = "covariate"
COMPONENT: Final = "component"

POSTERIOR: Final = "posterior"
SAMPLE_STATS: Final = "sample_stats"
OBSERVED_DATA: Final = "observed_data"
CONSTANT_DATA: Final = "constant_data"
CLOSED_FORM: Final = "closed_form"
PRIOR_SENSITIVITY: Final = "prior_sensitivity"
ALTERNATIVES: Final = "alternatives"
FORESTS: Final = "forests"
POSITION: Final = "position"

MEAN_OUTCOME: Final = "mean_outcome"
N: Final = "n"
TOTAL: Final = "total"
EXPOSURE: Final = "exposure"
LOG_ODDS_TOTAL: Final = "propensity_log_odds_total"

Kind = Literal["binary", "count", "continuous", "revenue"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

Assignment = Literal["randomized", "observational"]
ASSIGNMENTS: Final[tuple[Assignment, ...]] = get_args(Assignment)

RESERVED: Final = frozenset(
    {
        *(CHAIN, DRAW, ARM, SEGMENT, UNIT, PRIOR, N, TOTAL, MEAN_OUTCOME, "prob"),
        *(TERM, LEVEL, CONTRAST, TREATMENT, OTHER, COVARIATE, COMPONENT),
        *("sum_squared_deviations", "exposure", "positives", "total_log", "sum_squared_log_deviations", "maximum"),
        *("covariate_total", "covariate_sum_squared_deviations", "sum_codeviations", LOG_ODDS_TOTAL),
    }
)


def factor_name(column: str) -> str:
    """Name of the coordinate that holds a user's factor: prefixed where it would hide one of ours.

    >>> factor_name("channel"), factor_name("segment"), factor_name("maximum")
    ('channel', 'factor_segment', 'factor_maximum')
    """
    return f"factor_{column}" if column in RESERVED else column
