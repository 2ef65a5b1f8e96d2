"""Numbers as a reader meets them in a sentence: in the outcome's units, with the digits they support."""

import math

from bayesuplift.dims import Kind

_MOST_DIGITS = 4
_FEWEST_RATE_DIGITS = 2
_LARGE_LIFT = 10.0  # from here on tenths of a percent say nothing
_HUGE_LIFT = 1000.0


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

    >>> level(0.18276, "binary"), level(1.42262, "revenue", error=0.03), level(3.2e-8, "binary")
    ('18.28%', '1.4', '3.20e-06%')
    """
    if kind == "binary":
        least = _FEWEST_RATE_DIGITS if error == 0.0 else 0
        return f"{_number(100.0 * value, 100.0 * error, least=least)}%"
    return _number(value, error)


def amount(value: float, kind: Kind, error: float = 0.0) -> str:
    """Write a difference: of rates in percentage points, of anything else in outcome units.

    >>> amount(0.0766, "binary"), amount(-0.00102, "binary"), amount(3e-9, "binary")
    ('7.66 pp', '-0.102 pp', '3.00e-07 pp')
    >>> amount(11996384.0, "continuous", error=2000.0)
    '11,996,000'
    """
    return f"{_number(100.0 * value, 100.0 * error)} pp" if kind == "binary" else _number(value, error)


def loss(value: float, kind: Kind, error: float = 0.0) -> str:
    """Write an expected loss, which is never negative: as `amount`, or as a bound where it is too small to show.

    The bound is three Monte Carlo errors at least: draws that show no loss do not say that there is none.

    >>> loss(0.00102, "binary"), loss(3e-9, "binary"), loss(0.0, "binary", error=2e-6)
    ('0.102 pp', '< 0.0001 pp', '< 0.0006 pp')
    """
    scale, unit = (100.0, " pp") if kind == "binary" else (1.0, "")
    bound = max(10.0**-_MOST_DIGITS, 3.0 * scale * error)
    if scale * value < bound and (value > 0.0 or error > 0.0):
        return f"< {_one_digit(bound)}{unit}"
    return amount(value, kind, error)


def stated(value: float, kind: Kind) -> str:
    """Write a difference that the reader set, such as a threshold, as it was set.

    >>> stated(0.001, "binary"), stated(0.25, "revenue")
    ('0.1 pp', '0.25')
    """
    return f"{100.0 * value:g} pp" if kind == "binary" else f"{value:g}"


def lift(value: float, error: float = 0.0) -> str:
    """Write a relative lift with its sign.

    >>> lift(0.7213), lift(-0.02), lift(math.inf), lift(8.04e16), lift(12.345)
    ('+72.1%', '-2.0%', 'unbounded', '+8.04e+18%', '+1,234%')
    """
    if math.isinf(value):
        return "unbounded"
    if abs(value) >= _HUGE_LIFT:
        return f"{100.0 * value:+.2e}%"
    digits = min(_supported(100.0 * error), 1 if abs(value) < _LARGE_LIFT else 0)
    return f"{round(100.0 * value, digits):+,.{max(digits, 0)}f}%"


def plus_minus(error: float) -> str:
    """Write a Monte Carlo error with one digit.

    >>> plus_minus(0.00213), plus_minus(2345.0)
    ('± 0.002', '± 2,000')
    """
    return f"± {_one_digit(error)}"


def _one_digit(value: float) -> str:
    """One leading digit, with thousands apart and no exponent above 1."""
    return f"{round(value, -math.floor(math.log10(value))):,.0f}" if value >= 1.0 else f"{value:.1g}"


def _number(value: float, error: float, *, least: int = 0) -> str:
    """Three leading digits of an exact value, and all before the point; of another those that its error supports."""
    if value != 0.0 and abs(value) < 10.0**-_MOST_DIGITS and error == 0.0:
        return f"{value:.2e}"
    leading = 2 if value == 0.0 else 2 - math.floor(math.log10(abs(value)))
    digits = min(max(leading, least, 0), _MOST_DIGITS)
    if error > 0.0:
        digits = min(digits, _supported(error))
    return f"{round(value, digits) + 0.0:,.{max(digits, 0)}f}"  # + 0.0: what rounds to nothing has no sign


def _supported(error: float) -> int:
    """Decimals of which the last is of the order of twice the Monte Carlo error; negative where tens are not."""
    if error <= 0.0:
        return _MOST_DIGITS
    decimals = math.ceil(-math.log10(2.0 * error) - 0.3)
    return min(decimals if decimals >= 0 else max(decimals, -math.floor(math.log10(error))), _MOST_DIGITS)
