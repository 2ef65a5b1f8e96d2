"""Numbers in sentences: no more digits than the Monte Carlo error supports, and no bound that the draws do not give."""

import math

import pytest

from bayesuplift.decisions.wording import amount, level, lift, probability, stated


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.5, 0.0, "50.00%"),
        (0.98732, 0.0, "98.73%"),
        (1.0, 0.0, "> 99.99%"),
        (0.0, 0.0, "< 0.01%"),
        (0.97312, 0.01, "97%"),
        (0.97312, 0.0005, "97.3%"),
        (0.5, 0.2, "50%"),
    ],
)
def test_a_probability_shows_the_digits_it_has(value: float, error: float, text: str) -> None:
    assert probability(value, error) == text


@pytest.mark.parametrize("draws", [100, 400, 4000, 100_000])
def test_draws_that_all_agree_bound_a_probability_by_three_in_as_many(draws: int) -> None:
    # With no event in n draws, P < 3/n is the 95% bound ("rule of three"); the error given is 1/n.
    above, below = probability(1.0, 1 / draws), probability(0.0, 1 / draws)
    assert above.startswith("> ")
    assert float(above[2:-1]) <= 100 * (1 - 3 / draws)
    assert below.startswith("< ")
    assert float(below[2:-1]) >= 100 * 3 / draws


@pytest.mark.parametrize(
    ("value", "kind", "error", "text"),
    [
        (0.0766, "binary", 0.0, "7.66 pp"),
        (-0.0766, "binary", 0.0, "-7.66 pp"),
        (0.0, "binary", 0.0, "0.00 pp"),
        (3e-9, "binary", 0.0, "3.00e-07 pp"),
        (-3e-9, "binary", 0.0, "-3.00e-07 pp"),
        (0.0026, "binary", 0.001, "0.3 pp"),  # and not "< 0.3 pp": the end of an interval has a sign
        (12.3456, "revenue", 0.0, "12.3"),
        (12.3456, "revenue", 0.4, "12"),
        (1234.5, "count", 0.0, "1,234"),
        (11996384.0, "continuous", 2000.0, "11,996,000"),
    ],
)
def test_a_difference_is_in_the_units_of_its_outcome(value: float, kind: str, error: float, text: str) -> None:
    assert amount(value, kind, error) == text  # type: ignore[arg-type]  # parametrised text


def test_a_level_of_a_rate_is_a_percentage_and_of_anything_else_a_number() -> None:
    assert level(0.18276, "binary") == "18.28%"
    assert level(0.18276, "binary", error=0.002) == "18.3%"
    assert level(1.42262, "revenue") == "1.42"


def test_a_lift_has_its_sign_and_may_be_unbounded() -> None:
    assert [lift(0.7213), lift(-0.02), lift(0.0), lift(math.inf)] == ["+72.1%", "-2.0%", "+0.0%", "unbounded"]
    assert lift(0.7213, error=0.05) == "+72%"


def test_what_the_reader_set_is_written_as_it_was_set() -> None:
    assert [stated(0.001, "binary"), stated(0.0, "binary"), stated(0.25, "revenue")] == ["0.1 pp", "0 pp", "0.25"]
