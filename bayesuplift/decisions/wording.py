"""Numbers as a reader meets them in a sentence: in the outcome's units, with the digits they support."""

import math

from bayesuplift.dims import Kind

_MOST_DIGITS = 4
_FEWEST_DIGITS = 1


def probability(value: float, error: float = 0.0) -> str:
    """Write a probability as a percentage; one that rounds to 0 or 100 is written as a bound.

    The bound is at least three Monte Carlo errors away: 4,000 draws that all agree do not say 99.99%.

    >>> probability(0.98732), probability(1.0 - 1e-9), probability(2e-30), probability(0.97312, error=0.004)
    ('98.73%', '> 99.99%', '< 0.01%', '97%')
    >>> probability(1.0, error=0.00025), probability(0.0, error=0.00025)
    ('> 99.9%', '< 0.1%')
    """
    digits = max(min(_supported(100.0 * error), 2), 0)
    least = 10.0**-digits / 100.0
    if least <= value <= 1.0 - least:
        return f"{100.0 * value:.{digits}f}%"
    while digits > 0 and 10.0**-digits < 300.0 * error:
        digits -= 1
    bound = max(10.0**-digits, math.ceil(300.0 * error) if digits == 0 else 0.0)
    return f"< {bound:.{digits}f}%" if value < least else f"> {100.0 - bound:.{digits}f}%"


def level(value: float, kind: Kind, error: float = 0.0) -> str:
    """Write a mean outcome: a rate in percent, anything else in outcome units.

    >>> level(0.18276, "binary"), level(1.42262, "revenue", error=0.03)
    ('18.28%', '1.4')
    """
    if kind == "binary":
        return f"{100.0 * value:.{_rate_digits(value, error)}f}%"
    return f"{value:.{_plain_digits(value, error)}f}"


def amount(value: float, kind: Kind, error: float = 0.0) -> str:
    """Write a difference or a loss: of rates in percentage points, of anything else in outcome units.

    >>> amount(0.0766, "binary"), amount(0.00102, "binary"), amount(3e-9, "binary")
    ('7.66 pp', '0.102 pp', '< 0.0001 pp')
    """
    scaled, unit = (100.0 * value, " pp") if kind == "binary" else (value, "")
    scaled_error = 100.0 * error if kind == "binary" else error
    smallest = max(10.0**-_MOST_DIGITS, 3.0 * scaled_error)
    if value != 0.0 or error > 0.0:
        if 0.0 <= scaled < smallest:
            return f"< {smallest:.1g}{unit}"
        if -smallest < scaled < 0.0:
            return f"> -{smallest:.1g}{unit}"
    return f"{scaled:.{_plain_digits(scaled, scaled_error)}f}{unit}"


def stated(value: float, kind: Kind) -> str:
    """Write a difference that the reader set, such as a threshold, as it was set.

    >>> stated(0.001, "binary"), stated(0.25, "revenue")
    ('0.1 pp', '0.25')
    """
    return f"{100.0 * value:g} pp" if kind == "binary" else f"{value:g}"


def lift(value: float, error: float = 0.0) -> str:
    """Write a relative lift with its sign.

    >>> lift(0.7213), lift(-0.02), lift(math.inf)
    ('+72.1%', '-2.0%', 'unbounded')
    """
    if math.isinf(value):
        return "unbounded"
    return f"{100.0 * value:+.{max(min(_supported(100.0 * error), 1), 0)}f}%"


def _supported(error: float) -> int:
    """Decimals of which the last is of the order of twice the Monte Carlo error."""
    return _MOST_DIGITS if error <= 0.0 else math.ceil(-math.log10(2.0 * error) - 0.3)


def _plain_digits(value: float, error: float) -> int:
    """Three leading digits, fewer where the error says so."""
    leading = 2 if value == 0.0 else 2 - math.floor(math.log10(abs(value)))
    return max(min(leading, _MOST_DIGITS, _supported(error)), 0)


def _rate_digits(value: float, error: float) -> int:
    return max(min(max(_plain_digits(100.0 * value, 0.0), 2), _supported(100.0 * error)), _FEWEST_DIGITS)
