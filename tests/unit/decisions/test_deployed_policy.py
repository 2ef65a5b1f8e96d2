"""A policy for the field: Python, SQL and partitions give every unit the same arm."""

import hashlib
import pickle
from itertools import product
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import bayesuplift as bu
from bayesuplift.data.labels import label
from bayesuplift.decisions.deployment.deploy import deploy
from bayesuplift.decisions.deployment.deployed_policy import DeployedPolicy
from bayesuplift.decisions.deployment.levels import spellings
from bayesuplift.decisions.deployment.scores import ScoreThresholds
from bayesuplift.decisions.trees.decision_tree import DecisionTree
from bayesuplift.decisions.trees.policy_tree import PolicyTree, policy_tree
from bayesuplift.decisions.trees.questions import Branch, Leaf, Question
from bayesuplift.errors import ArgumentError, ColumnNotFoundError, DataError, DataWarning
from tests.support.deployed import AWKWARD, TYPES, arms_by_sql, over_segments, random_tree
from tests.support.engines import in_dask
from tests.support.factored import factored, rates
from tests.support.over_units import noisy, over_units
from tests.support.worlds import foreign, seed_of

UNIT = 'the "unit"'
ECONOMICS = bu.Economics(2.0, {"men": 0.3, "women": 0.1, "control": 0.05})
MEANS = np.random.default_rng(seed_of("deployed")).normal(0.0, 0.5, (300, 3))
UNITS = over_units(noisy(MEANS, sd=0.3, seed=7, draws=25), factors={"channel": ["Web", "Phone", "Fax"] * 100})
TREATED = ("men", "women")


def names_of(count: int, *, text: bool) -> list[Any]:
    return [f"é'{i}" for i in range(count)] if text else list(range(10**17, 10**17 + count))


@pytest.mark.filterwarnings("ignore::bayesuplift.errors.DataWarning")
@pytest.mark.parametrize("case", range(20))
def test_segments_are_the_same_in_python_in_sql_and_by_hand(case: int) -> None:
    """Levels of every type are put to policies whose levels came from columns of any other."""
    rng = np.random.default_rng([case, seed_of("segments agree")])
    columns = [str(one) for one in rng.choice(list(TYPES), rng.integers(1, 4), replace=False)]
    sources = {column: TYPES[column if rng.random() < 0.6 else str(rng.choice(list(TYPES)))] for column in columns}
    known = {column: list(dict.fromkeys(label(one) for one in values)) for column, values in sources.items()}
    every = [row for row in product(*known.values()) if rng.random() < 0.7] or [tuple(one[0] for one in known.values())]
    share = rng.dirichlet(np.ones(4), len(every)) * (rng.random((len(every), 4)) < 0.5)
    share[share.sum(axis=1) == 0, 0] = 1.0
    share /= share.sum(axis=1, keepdims=True)
    policy = over_segments(share, dict(zip(columns, zip(*every, strict=True), strict=True)))
    deployed = deploy(policy, salt="pepper's")
    table = pd.DataFrame({column: rng.choice(np.array(TYPES[column]), 100) for column in columns})
    table[UNIT] = names_of(100, text=case % 2 == 0)
    found = deployed.arm_of(table, unit=UNIT)
    assert found.tolist() == arms_by_sql(deployed, table, unit=UNIT)
    assert deployed.arm_of(pl.from_pandas(table), unit=UNIT).tolist() == found.tolist()
    meant = {
        column: {text: level for level, texts in spellings(levels).items() for text in texts}
        for column, levels in known.items()
    }
    for row, arm in zip(table.to_dict("records"), found, strict=True):
        key = tuple(meant[column].get(label(row[column]), "no level") for column in columns)
        assert arm == (by_hand(share[every.index(key)], str(row[UNIT])) if key in every else "control")


def by_hand(share: np.ndarray, name: str) -> str:
    """The arm that a hash gives, treatments first."""
    part = int(hashlib.md5(f"pepper's{name}".encode(), usedforsecurity=False).hexdigest()[:8], 16) / 2**32
    for arm in (1, 2, 3, 0):
        part -= share[arm]
        if part < 0 and share[arm] > 0:
            return AWKWARD[arm]
    raise AssertionError(name)


def test_a_part_of_a_segment_is_treated_by_chance_and_stays_treated_when_the_part_grows() -> None:
    table = pd.DataFrame({"customer": np.arange(20_000)})
    treated = {}
    for share, salt in ((0.3, "a"), (0.45, "a"), (0.3, "b")):
        policy = deploy(over_segments([[1.0 - share, share]], {}, arms=("control", "men")), salt=salt)
        treated[share, salt] = policy.arm_of(table, unit="customer").to_numpy() == "men"
        sd = np.sqrt(share * (1.0 - share) / len(table))
        assert abs(treated[share, salt].mean() - share) < 4 * sd
    assert treated[0.45, "a"][treated[0.3, "a"]].all()
    both = (treated[0.3, "a"] & treated[0.3, "b"]).mean()
    assert abs(both - 0.09) < 4 * np.sqrt(0.09 * 0.91 / len(table))  # another salt deals independently


def test_a_unit_whose_hash_is_the_share_is_not_treated_and_one_below_it_is() -> None:
    table = pd.DataFrame({"id": [f"unit {i}" for i in range(20)]})
    for name in table["id"]:
        number = int(hashlib.md5(f"s{name}".encode(), usedforsecurity=False).hexdigest()[:8], 16)
        for more, arm in ((0, "control"), (1, "men")):
            share = (number + more) / 2**32
            policy = deploy(over_segments([[1.0 - share, share]], {}, arms=("control", "men")), salt="s")
            assert policy.arm_of(table[table["id"] == name], unit="id").tolist() == [arm]
            assert arms_by_sql(policy, table[table["id"] == name], unit="id") == [arm]


def test_a_segment_that_is_not_known_gets_the_control_and_is_told_or_refused() -> None:
    given = over_segments([[0, 1], [1, 0]], {"channel": ["Web", "Phone"]}, arms=("control", "men"))
    table = pd.DataFrame({"channel": ["Web", "Fax", "Phone", "Fax"], "id": [1, 2, 3, 4]})
    policy = deploy(given)
    with pytest.warns(DataWarning, match=r"2 of 4 units are in segments that the policy does not know \(channel=Fax\)"):
        assert policy.arm_of(table).tolist() == ["men", "control", "control", "control"]
    arms, unknown = policy.counted(table)
    assert (arms.tolist(), unknown) == (["men", "control", "control", "control"], 2)
    strict = deploy(given, unknown="refuse")
    with pytest.raises(DataError, match=r"does not know \(channel=Fax\), and it refuses them"):
        strict.arm_of(table)
    assert arms_by_sql(strict, table, unit="id") == ["men", None, "control", None]


def test_sql_answers_null_where_python_refuses_a_missing_value() -> None:
    given = over_segments([[0.5, 0.5], [1, 0]], {"channel": ["Web", "Phone"]}, arms=("control", "men"))
    policy = deploy(given)
    table = pd.DataFrame({"channel": ["Phone", None, "Phone"], "id": ["a", "b", "c"]})
    with pytest.raises(DataError, match=r"'channel' \(level\) is missing in 1 of 3 rows, first in data row 2"):
        policy.arm_of(table, unit="id")
    assert arms_by_sql(policy, table, unit="id") == ["control", None, "control"]
    scored = deploy(bu.target(UNITS, ECONOMICS, rule=bu.TopShare(0.3).subject_to(bu.Never({"channel": "Web"}))))
    scores = pd.DataFrame(
        {
            "score_men": [1e6, np.nan, 1e6, -np.inf, 1e6, np.inf],
            "score_women": [0.0, 1e6, 0.0, -np.inf, 0.0, 0.0],
            "channel": ["Fax", "Fax", None, "Fax", "Web", "Fax"],
            "id": list("abcdef"),
        }
    )
    assert arms_by_sql(scored, scores, unit="id") == ["men", None, None, "control", "control", None]
    for row in (1, 2, 5):
        with pytest.raises(DataError, match=r"is missing|is infinite"):
            scored.arm_of(scores.iloc[[row]])
    assert scored.arm_of(scores.iloc[[0, 3, 4]]).tolist() == ["men", "control", "control"]


RULES = (
    bu.BestArm(),
    bu.RiskAdjusted(0.4, prob=0.8),
    bu.Threshold(0.8),
    bu.TopShare(0.3),
    bu.Budget(9.0, by=bu.CVaR(0.3)),
    bu.BestArm().subject_to(bu.AtMost(share=0.2)),
    bu.BestArm().subject_to(bu.AtMost(units=20, arm="men"), bu.Never({"channel": ["Web", "Fax"]}, arm="women")),
    bu.BestArm().subject_to(bu.AtMost(share=0.0, arm="men")),
    bu.Budget(0.0),
)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_thresholds_give_the_units_that_they_were_made_from_the_arms_of_the_policy(rule: Any) -> None:
    policy = bu.target(UNITS, ECONOMICS, rule=rule)
    assert policy.score is not None
    deployed = deploy(policy)
    scores = deployed.scores(UNITS)
    known = policy.score.sel(arm=list(TREATED)).to_numpy()
    np.testing.assert_array_equal(scores.to_numpy()[np.isfinite(known)], known[np.isfinite(known)])
    table = scores.assign(channel=UNITS["posterior"]["channel"].to_numpy(), id=np.arange(300))
    found = deployed.arm_of(table)
    assert found.tolist() == arms_by_sql(deployed, table, unit="id")
    differs = int((found.to_numpy() != policy.arm.to_numpy()).sum())
    # of the unit that a budget pays in part `target` makes a whole one, with another arm if that is paid for
    assert differs == deployed.origin.differs <= (rule.budget is not None)
    assert min(thresholds_of(deployed)) >= 0.0


def thresholds_of(policy: DeployedPolicy) -> tuple[float, ...]:
    assert isinstance(policy.by, ScoreThresholds)
    return policy.by.thresholds


def test_several_limits_have_prices_at_which_units_choose_what_they_have() -> None:
    rule = bu.Budget(12.0).subject_to(bu.AtMost(share=0.35), bu.AtMost(units=60, arm="men"))
    policy = bu.target(UNITS, ECONOMICS, rule=rule)
    assert policy.prices is not None
    prices = np.array([policy.prices.budget, policy.prices.cap])
    assert (prices > 0).all()
    deployed = deploy(policy)
    scores = deployed.scores(UNITS)
    assert deployed.arm_of(scores).tolist() == policy.arm.to_numpy().tolist()
    assert deployed.origin.differs == 0
    # the prices themselves stand where units are indifferent: rounding would decide on two of them
    at_prices = scores.to_numpy() - (prices[0] * np.array([0.25, 0.05]) + prices[1])
    assert np.abs(np.sort(np.abs(at_prices.max(axis=1)))[0]) < 1e-12


@pytest.mark.parametrize("case", range(10))
def test_scores_of_any_size_are_the_same_in_python_in_sql_and_by_hand(case: int) -> None:
    rng = np.random.default_rng([case, seed_of("scores agree")])
    policy = bu.target(UNITS, ECONOMICS, rule=RULES[case % len(RULES)])
    deployed = deploy(policy, columns={"men": 'a "score"', "women": "it's %"})
    thresholds = np.array(thresholds_of(deployed))
    values = rng.normal(thresholds, 0.5, (400, 2))
    values[:40] = thresholds  # just at the threshold nobody is treated
    values[40:80] = thresholds + np.nextafter(np.abs(thresholds), np.inf) - np.abs(thresholds)
    values[80:120] = rng.choice([0.1, 0.3, -np.inf, 1e300, -1e300, 5e-324], (40, 2))
    values[120:160, 1] = values[120:160, 0] - thresholds[0] + thresholds[1]
    table = pd.DataFrame(values, columns=['a "score"', "it's %"])
    table["channel"] = rng.choice(["Web", "Phone", "Fax", "another"], 400)
    table["id"] = names_of(400, text=True)
    found = deployed.arm_of(table)
    assert found.tolist() == arms_by_sql(deployed, table, unit="id")
    assert deployed.rule is not None
    never = "never" in str(deployed.rule)
    closed = set(TREATED) if deployed.rule.budget == 0 else {"men"} if "at most 0%" in str(deployed.rule) else set()
    for row, margin, arm in zip(table.to_dict("records"), values - thresholds, found, strict=True):
        best, chosen = 0.0, "control"
        for treatment, one in zip(TREATED, margin.tolist(), strict=True):
            banned = (never and treatment == "women" and row["channel"] in ("Web", "Fax")) or treatment in closed
            if one > best and not banned:
                best, chosen = one, treatment
        assert arm == chosen


@pytest.mark.parametrize("case", range(8))
def test_trees_are_the_same_in_python_in_sql_and_by_their_own_code(case: int) -> None:
    rng = np.random.default_rng([case, seed_of("trees agree")])
    tree = random_tree(rng)
    deployed = deploy(tree, control="control")
    table = pd.DataFrame(
        {
            'the "age"': rng.choice([0.1, 40.0, 39.999999999999996, 1e-7, -1e300, 3.0], 200),
            "channel": rng.choice(["Web", "o'Clock", "ß", "another"], 200),
            "id": names_of(200, text=True),
        }
    )
    found = deployed.arm_of(table).tolist()
    assert found == arms_by_sql(deployed, table, unit="id")
    (own_sql,) = zip(*duckdb.from_df(table).project(tree.sql()).fetchall(), strict=True)
    assert found == list(own_sql)
    own: dict[str, Any] = {}
    exec(tree.python(), own)  # noqa: S102 -- the exported function is what is compared
    assert found == [own["arm"](row) for row in table.to_dict("records")]


def test_sql_answers_null_where_a_tree_refuses() -> None:
    root = Branch(
        Question("x", below=0.0), Leaf("men"), Branch(Question("text", level="a"), Leaf("control"), Leaf("men"))
    )
    policy = deploy(DecisionTree(root), control="control")
    rows = [(-1.0, "b"), (1.0, "a"), (1.0, ""), (-1.0, ""), (np.nan, "a"), (np.inf, "a"), (-1.0, None)]
    table = pd.DataFrame(rows, columns=["x", "text"]).assign(id=range(7))
    assert arms_by_sql(policy, table, unit="id") == ["men", "control", None, None, None, None, None]
    assert policy.arm_of(table[:2]).tolist() == ["men", "control"]
    for row in range(2, 7):
        with pytest.raises(DataError, match=r"is missing|is infinite"):
            policy.arm_of(table[row : row + 1])


def test_a_tree_made_of_segments_asks_for_levels_whatever_type_a_table_has_them_in() -> None:
    policy = a_tree()
    deployed = deploy(policy)
    assert deployed.economics == policy.policy.economics
    assert dict(deployed.origin.units) == dict(
        zip(policy.policy.units["arm"].values.tolist(), policy.policy.units.values.tolist(), strict=True)
    )
    segments = {name: policy.policy.share[name].to_numpy() for name in ("newbie", "channel")}
    table = pd.DataFrame({**segments, "id": np.arange(4)})
    assert deployed.arm_of(table).tolist() == policy.policy.arm.values.tolist()
    assert len(set(policy.policy.arm.values.tolist())) > 1
    for kind in ("int64", "float64"):
        typed = table.assign(newbie=table["newbie"].astype("int64").astype(kind))
        assert deployed.arm_of(typed).tolist() == policy.policy.arm.values.tolist()
        assert arms_by_sql(deployed, typed, unit="id") == policy.policy.arm.values.tolist()


def a_tree() -> PolicyTree:
    """A tree over segments made of newbie and channel."""
    means = np.array([[0.0, 0.9, 0.2], [0.0, 0.9, 0.1], [0.0, -0.5, -0.1], [0.0, -0.5, 0.4]])
    draws = means + np.random.default_rng(1).normal(0.0, 0.05, (2, 50, 4, 3))
    return policy_tree(factored(draws), bu.Economics(1.0, 0.1), depth=2, least_units=0.0, draws=3, seed=1)


def three_kinds() -> dict[str, tuple[DeployedPolicy, pd.DataFrame]]:
    """A policy of each kind, with units."""
    rng = np.random.default_rng(5)
    table = pd.DataFrame(
        {
            "channel": rng.choice(["Web", "Phone"], 1000),
            'the "age"': rng.normal(0.0, 1.0, 1000),
            "score_men": rng.normal(size=1000),
            "score_women": rng.normal(size=1000),
            "customer": np.arange(1000),
        },
        index=rng.permutation(1000),
    )
    split = over_segments([[0.5, 0.25, 0.25], [0, 1, 0]], {"channel": ["Web", "Phone"]}, arms=("control", *TREATED))
    return {
        "segments": (deploy(split), table),
        "scores": (deploy(bu.target(UNITS, ECONOMICS, rule=bu.TopShare(0.3))), table),
        "tree": (deploy(random_tree(rng), control="control"), table),
    }


@pytest.mark.parametrize("kind", ["segments", "scores", "tree"])
def test_batches_and_partitions_are_the_whole(kind: str) -> None:
    policy, table = three_kinds()[kind]
    assert policy.kind == kind
    whole = policy.arm_of(table, unit="customer")
    assert whole.index.equals(table.index)
    assert len(set(whole)) > 1
    rows = 1000 if kind == "segments" else 200
    parts = [policy.arm_of(table[begin : min(begin + 7, rows)], unit="customer") for begin in range(0, rows, 7)]
    pd.testing.assert_series_equal(pd.concat(parts), whole[:rows])
    assert pickle.loads(pickle.dumps(policy)) == policy  # noqa: S301 -- our own
    lazily = in_dask(table, partitions=4)
    meta = policy.arm_of(table[:0], unit="customer")
    found = lazily.map_partitions(policy.arm_of, unit="customer", meta=meta).compute()
    pd.testing.assert_series_equal(found, whole)
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    assert policy.arm_of(arrow, unit="customer").tolist() == whole.tolist()
    shuffled = table.sample(frac=1.0, random_state=1)
    pd.testing.assert_series_equal(policy.arm_of(shuffled, unit="customer"), whole[shuffled.index])


def test_new_units_are_scored_through_a_posterior_by_the_rule_of_the_policy() -> None:
    fitted = over_units(UNITS["posterior"]["mean_outcome"].to_numpy(), data_fingerprint="of these", seed=1)
    deployed = deploy(bu.target(fitted, ECONOMICS, rule=bu.Budget(9.0, by=bu.RiskAdjusted(0.3))), posterior=fitted)
    assert dict(deployed.origin.posterior) == {"seed": 1, "data_fingerprint": "of these"}
    new = noisy([[0.0, 0.5, 0.2], [0.1, 0.3, 0.9]], sd=0.1, seed=4, draws=50)
    order = [1, 0, 2]  # another order of the arms
    predicted = over_units(new[..., order], arms=("men", "control", "women"), data_fingerprint="of these")
    predicted.attrs["control"] = "control"
    gain = 2.0 * (new[..., 1:] - new[..., :1]) - np.array([0.25, 0.05])
    expected = 0.7 * gain.mean(axis=(0, 1)) + 0.3 * np.quantile(gain, 0.025, axis=(0, 1))
    found = deployed.scores(predicted)[["score_men", "score_women"]]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    predicted.attrs["data_fingerprint"] = "of others"
    with pytest.warns(DataWarning, match="fitted on other data"):
        deployed.scores(predicted)


def test_the_price_of_a_limit_stands_between_the_last_that_is_treated_and_the_first_that_is_not() -> None:
    policy = bu.target(UNITS, ECONOMICS, rule=bu.TopShare(0.2))
    assert policy.score is not None
    best = np.sort(policy.score.sel(arm=list(TREATED)).max("arm").to_numpy())[::-1]
    np.testing.assert_allclose(thresholds_of(deploy(policy)), (best[59] + best[60]) / 2.0, rtol=1e-12)
    assert thresholds_of(deploy(bu.target(UNITS, ECONOMICS))) == (0.0, 0.0)


def test_a_posterior_by_arm_alone_gives_everybody_one_arm() -> None:
    draws = np.random.default_rng(3).normal([0.0, 0.5], 0.1, (2, 100, 2))
    policy = deploy(bu.target(foreign(draws, arms=("a", "b")), bu.Economics(1.0, 0.1)))
    table = pd.DataFrame({"id": [1, 2, 3]})
    assert policy.arm_of(table).tolist() == ["b", "b", "b"] == arms_by_sql(policy, table, unit="id")


def test_segments_without_factors_go_by_their_names() -> None:
    share = bu.assign(
        foreign(rates(seed=2, segments=2), arms=("a", "b", "c"), segments={"x": [1, 1, 1], "y": [1, 1, 1]}), "b"
    )
    assert deploy(share).by.asked(None).texts == ("segment",)


REFUSED: tuple[tuple[Any, type[Exception], str], ...] = (
    (lambda: deploy(bu.assign(UNITS, "men")), ArgumentError, "was not chosen by a rule"),
    (
        lambda: deploy("best"),  # type: ignore[arg-type]
        ArgumentError,
        "policy is str",
    ),
    (lambda: deploy(bu.target(UNITS, ECONOMICS), salt="a"), ArgumentError, "salt: of no meaning"),
    (
        lambda: deploy(bu.target(UNITS, ECONOMICS), columns={"mens": "a"}),
        ArgumentError,
        "the treatments are men, women",
    ),
    (lambda: deploy(bu.target(UNITS, ECONOMICS), columns={"men": "score_women"}), ArgumentError, "a column of its own"),
    (lambda: deploy(random_tree(np.random.default_rng(1))), ArgumentError, "which arm is the control"),
    (
        lambda: split().arm_of({"channel": ["Web"]}, unit="id"),
        TypeError,
        "expected a path to a CSV or Parquet file, or a dataframe",
    ),
    (lambda: split().arm_of(pd.DataFrame({"channel": ["Web"]})), ArgumentError, "the column that names the unit"),
    (lambda: split().sql("t"), ArgumentError, "the column that names the unit"),
    (lambda: split().sql("t", unit="arm"), ArgumentError, "both called 'arm'"),
    (lambda: split().sql((), unit="id"), ArgumentError, "table names nothing"),
    (lambda: split().sql("", unit="id"), ArgumentError, "no name that SQL can hold"),
    (lambda: put({"chanel": ["Web"], "id": [1]}), ColumnNotFoundError, "Did you mean 'chanel'"),
    (lambda: put({"channel": ["Web"], "id": [1.5]}), DataError, "expected text or whole numbers"),
    (
        lambda: put({"channel": np.array([1.0], dtype=np.float32), "id": [1]}),
        DataError,
        "engines write as different texts",
    ),
    (lambda: put({"channel": pd.to_datetime(["2024-01-01"], utc=True), "id": [1]}), DataError, "different texts"),
    (lambda: put({"channel": ["Web"], "id": [None]}), DataError, "is missing"),
    (lambda: split().scores(UNITS), ArgumentError, "goes by segments, not by scores"),
    (lambda: scored().scores(factored(rates(seed=1))), ArgumentError, "expected one over units"),
    (lambda: scored().arm_of(pd.DataFrame({"score_men": [1.0]})), ColumnNotFoundError, "no column named 'score_women'"),
    (
        lambda: scored().arm_of(pd.DataFrame({"score_men": ["high"], "score_women": [1.0]})),
        DataError,
        "is not a number",
    ),
    (
        lambda: deploy(random_tree(np.random.default_rng(1)), control="control").arm_of(
            pd.DataFrame({'the "age"': [1.0], "channel": [""]})
        ),
        DataError,
        "'channel' is missing",
    ),
    (lambda: deploy(a_tree(), control="offer"), ArgumentError, "whose control is known"),
    (lambda: deploy(random_tree(np.random.default_rng(1)), posterior=UNITS), ArgumentError, "the tree gives the arms"),
)


def split() -> DeployedPolicy:
    return deploy(over_segments([[0.5, 0.5]], {"channel": ["Web"]}, arms=("control", "men")))


def scored() -> DeployedPolicy:
    return deploy(bu.target(UNITS, ECONOMICS))


def put(columns: dict[str, Any]) -> pd.Series:
    return split().arm_of(pd.DataFrame(columns), unit="id")


@pytest.mark.parametrize(("call", "error", "words"), REFUSED, ids=[words for _, _, words in REFUSED])
def test_what_is_refused_says_what_to_do(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words.replace("(", "\\(").replace(")", "\\)")):
        call()
