"""Laws of a choice between arms, whatever the draws."""

from typing import Any

import numpy as np
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bayesuplift as bu
from bayesuplift.decisions.comparison import compare_draws
from bayesuplift.posterior.schema import mean_outcome
from tests.support.worlds import binary_cells, foreign

# No clock and no store: an example is the same on every machine and every run.
few = settings(
    max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
PROBABILITIES = ("prob_best", "prob_beats_control", "prob_rope", "prob_all_equivalent")
IN_OUTCOME_UNITS = ("expected_loss", "difference", "difference_lower", "difference_upper")


@st.composite
def draws(draw: Any) -> np.ndarray:
    """Draws (chain, draw, arm) of two to five arms, on a grid so that ties come up and sums are exact."""
    arms = draw(st.integers(2, 5))
    levels = draw(st.lists(st.integers(-8, 8), min_size=arms, max_size=arms))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([1, 4, 64]))
    return np.array(levels) / 4 + generator.integers(-16, 17, (2, 50, arms)) / spread


def compared(values: np.ndarray, *, higher_is_better: bool = True, rope: float = 0.25) -> xr.Dataset:
    return compare_draws(
        mean_outcome(foreign(values)), control=0, higher_is_better=higher_is_better, rope=rope, prob=0.9
    )


def close(found: Any, expected: Any, name: str = "", atol: float = 1e-12) -> None:
    """Equal but for rounding: the laws hold in real arithmetic, and each side adds and subtracts draws its own way."""
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-9, atol=atol, err_msg=name)


@few
@given(draws())
def test_probabilities_of_being_best_sum_to_one_and_no_loss_is_negative(values: np.ndarray) -> None:
    table = compared(values)
    close(table["prob_best"].sum(), 1.0)
    assert (table["expected_loss"] >= 0).all()
    for name in PROBABILITIES:
        assert ((table[name] >= 0) & (table[name] <= 1)).all()


@few
@given(draws(), st.randoms(use_true_random=False))
def test_treatments_in_another_order_have_the_same_answers_in_that_order(values: np.ndarray, shuffled: Any) -> None:
    order = list(range(1, values.shape[-1]))
    shuffled.shuffle(order)
    order = [0, *order]
    given_table, turned = compared(values), compared(values[..., order])
    assert set(map(str, turned)) == set(map(str, given_table))
    for name, part in given_table.items():
        expected = part.values[order] if part.ndim else part.values
        close(turned[name].values, expected, str(name))


@few
@given(draws(), st.sampled_from([0.25, 2.0, 1024.0]))
def test_outcomes_on_another_scale_scale_losses_and_leave_probabilities(values: np.ndarray, factor: float) -> None:
    before, after = compared(values, rope=0.25), compared(values * factor, rope=0.25 * factor)
    for name in PROBABILITIES:
        np.testing.assert_array_equal(before[name], after[name])
    for name in IN_OUTCOME_UNITS:
        close(before[name] * factor, after[name])


@few
@given(draws(), st.sampled_from([-64.0, 0.5, 16.0]))
def test_a_constant_added_to_every_outcome_leaves_all_but_levels_and_lifts(values: np.ndarray, constant: float) -> None:
    before, after = compared(values), compared(values + constant)
    for name in (*PROBABILITIES, *IN_OUTCOME_UNITS):
        close(before[name], after[name])
    close(before["mean_outcome"] + constant, after["mean_outcome"])


@few
@given(draws())
def test_outcomes_turned_over_with_the_lower_one_better_have_the_same_answers(values: np.ndarray) -> None:
    before, after = compared(values), compared(-values, higher_is_better=False)
    for name in ("prob_best", "expected_loss", "prob_beats_control", "prob_rope", "prob_all_equivalent"):
        close(before[name], after[name])
    close(before["difference"], -after["difference"])


@few
@given(draws())
def test_losses_differ_by_as_much_as_means_do(values: np.ndarray) -> None:
    # E[max - mu_a] - E[max - mu_b] = E[mu_b] - E[mu_a]
    table = compared(values)
    total = table["expected_loss"] + table["mean_outcome"]
    close(total, total[0])


@few
@given(draws())
def test_the_control_does_not_beat_itself_and_is_within_its_own_rope(values: np.ndarray) -> None:
    control = compared(values).isel(arm=0)
    assert [float(control[name]) for name in ("prob_beats_control", "prob_rope", "difference")] == [0.0, 1.0, 0.0]


counts = st.lists(
    st.integers(1, 3000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), min_size=2, max_size=4
)


@few
@given(counts, st.floats(1e-5, 0.2))
def test_an_exact_choice_obeys_the_same_laws(rows: list[tuple[int, int]], threshold: float) -> None:
    cells = binary_cells([n for n, _ in rows], [y for _, y in rows])
    choice = bu.choose_arm(bu.fit("beta_binomial", cells, seed=1, chains=1, draws=4), threshold_of_caring=threshold)
    close(choice.prob_best.sum(), 1.0, atol=1e-9)
    total = choice.expected_loss + choice.table["mean_outcome"]
    close(total, total[0], atol=1e-9)
    assert choice.verdict.name == ("CHOOSE" if float(choice.expected_loss.min()) <= threshold else "CONTINUE")
