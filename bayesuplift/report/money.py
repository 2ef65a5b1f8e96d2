"""Money, returns and numbers of units as a reader meets them, with the digits that Monte Carlo error supports."""

from typing import Final

from bayesuplift.decisions import wording

_FEWEST_COUNTED: Final = 10.0  # from here on a part of a unit is not worth a digit


def money(value: float, error: float = 0.0) -> str:
    """Write an amount, in the currency that the reader stated values and costs in.

    >>> money(1234.56), money(1234.56, error=30.0), money(0.0325), money(-2.5), money(0.0)
    ('1,235', '1,230', '0.0325', '-2.50', '0')
    """
    if value == 0.0 and error == 0.0:
        return "0"
    return wording.amount(value, "revenue", error)


def return_on_cost(value: float, error: float = 0.0) -> str:
    """Write a profit by its cost.

    >>> return_on_cost(1.2512, error=0.004), return_on_cost(-0.75, error=0.01)
    ('125%', '-75%')
    """
    return wording.level(value, "binary", error)


def counted(units: float) -> str:
    """Write a number of units: whole, but for parts of a few.

    >>> counted(21306.4), counted(0.0), counted(0.5)
    ('21,306', '0', '0.5')
    """
    return f"{units:,.0f}" if units >= _FEWEST_COUNTED else f"{units:.3g}"
