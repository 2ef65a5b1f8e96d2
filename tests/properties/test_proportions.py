"""Laws of the exact comparison, for any counts."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesuplift.decisions.proportions import compare_betas, compare_proportions

few = settings(max_examples=25, deadline=None, derandomize=True, database=None)
trials_of_an_arm = st.integers(1, 10).map(lambda e: int(10 ** (e * 0.7)))
arm_counts = trials_of_an_arm.flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
experiments = st.lists(arm_counts, min_size=2, max_size=6)


def split(experiment: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    successes, trials = zip(*experiment, strict=True)
    return np.array(successes), np.array(trials)


@few
@given(experiments)
def test_the_chances_of_being_best_sum_to_one(experiment: list[tuple[int, int]]) -> None:
    result = compare_proportions(*split(experiment), prob=None)
    assert abs(float(result.prob_best.sum()) - 1) <= 1e-12


@few
@given(experiments, st.randoms(use_true_random=False))
def test_relabelling_the_arms_permutes_the_results(experiment: list[tuple[int, int]], random: object) -> None:
    successes, trials = split(experiment)
    order = list(range(len(experiment)))
    random.shuffle(order)  # type: ignore[attr-defined]
    plain = compare_proportions(successes, trials, prob=0.9)
    moved = compare_proportions(successes[order], trials[order], control=order.index(0), prob=0.9)
    np.testing.assert_allclose(moved.prob_best, plain.prob_best[order], rtol=0, atol=1e-13)
    np.testing.assert_allclose(moved.expected_loss, plain.expected_loss[order], rtol=1e-12)
    np.testing.assert_array_equal(moved.difference_lower, plain.difference_lower[order])
    np.testing.assert_array_equal(moved.relative_lift_upper, plain.relative_lift_upper[order])


@few
@given(experiments)
def test_beating_the_control_and_being_beaten_by_it_sum_to_one(experiment: list[tuple[int, int]]) -> None:
    successes, trials = split(experiment[:2])
    there = float(compare_proportions(successes, trials, control=0, prob=None).prob_beats_control[1])
    back = float(compare_proportions(successes, trials, control=1, prob=None).prob_beats_control[0])
    assert abs(there + back - 1) <= 1e-12


@few
@given(experiments)
def test_losses_are_positive_and_differ_by_the_difference_of_means(experiment: list[tuple[int, int]]) -> None:
    result = compare_proportions(*split(experiment), prob=None)
    assert (result.expected_loss >= 0).all()
    np.testing.assert_allclose(result.expected_loss[0] - result.expected_loss, result.difference, rtol=0, atol=1e-11)
    smallest = int(np.argmin(result.expected_loss.values))
    assert abs(float(result.difference.max() - result.difference[smallest])) <= 1e-11


@few
@given(experiments)
def test_an_arm_that_is_surely_worse_changes_nothing(experiment: list[tuple[int, int]]) -> None:
    successes, trials = split([(y + 5 + n // 10, n + 5 + n // 10) for y, n in experiment])
    before = compare_proportions(successes, trials, prob=0.9)
    after = compare_proportions(np.append(successes, 0), np.append(trials, 10**8), prob=0.9)
    for name in ("prob_best", "expected_loss", "prob_beats_control", "difference_lower", "relative_lift_upper"):
        np.testing.assert_allclose(after[name][:-1], before[name], rtol=0, atol=1e-9)


@few
@given(arm_counts, arm_counts)
def test_one_more_success_never_makes_an_arm_look_worse(control: tuple[int, int], arm: tuple[int, int]) -> None:
    successes, trials = split([control, (min(arm[0], arm[1] - 1), arm[1])])
    before = compare_proportions(successes, trials, prob=0.9)
    after = compare_proportions(successes + np.array([0, 1]), trials, prob=0.9)
    for name in ("prob_best", "prob_beats_control", "difference_lower", "difference_upper", "relative_lift_upper"):
        slack = 1e-7 * abs(float(before[name][1])) + 1e-12
        assert float(after[name][1]) >= float(before[name][1]) - slack
    assert float(after.expected_loss[1]) <= float(before.expected_loss[1]) + 1e-12


@few
@given(st.tuples(*[st.floats(0.5, 1e6)] * 4), st.sampled_from([0.001, 0.02, 0.3]))
def test_two_arms_are_equivalent_when_their_difference_lies_in_the_rope(
    values: tuple[float, float, float, float], rope: float
) -> None:
    alpha, beta = np.array(values[:2]), np.array(values[2:])
    result = compare_betas(alpha, beta, control=0, higher_is_better=True, rope=rope, prob=None)
    assert abs(float(result["prob_all_equivalent"]) - result["prob_rope"][1]) <= 1e-9
