"""A decision tree answers alike in every language, tells missing values from low ones, and refuses what it cannot read."""

import json
import pickle
from typing import Any

import duckdb
import numpy as np
import pytest

from bayesuplift.decisions.trees.decision_tree import DecisionTree, decision_tree
from bayesuplift.decisions.trees.nodes import Cut, Take
from bayesuplift.decisions.trees.questions import Branch, Leaf, Question
from bayesuplift.decisions.trees.split_columns import SplitColumn, split_columns, split_matrix
from bayesuplift.errors import ArgumentError, ColumnNotFoundError, DataError

TREE = DecisionTree(
    Branch(
        Question("age", below=40.0),
        Branch(Question("channel", level="Web"), Leaf("Mens E-Mail", 1200.0), Leaf("No E-Mail", 800.0)),
        Branch(
            Question("age", below=52.5),
            Leaf("Womens E-Mail", 1500.0),
            Branch(Question("channel", level="Phone"), Leaf("No E-Mail", 200.0), Leaf("Mens E-Mail", 300.0)),
        ),
    )
)
FLAT = DecisionTree(Leaf("No E-Mail", 3.0))
COLUMNS = {
    "age": np.array([39, 39, 40, 52, 53, 60, 60]),
    "channel": np.array(["Web", "Fax", "Web", "Phone", "Phone", "Web", "Fax"]),
}
ARMS = ["Mens E-Mail", "No E-Mail", "Womens E-Mail", "Womens E-Mail", "No E-Mail", "Mens E-Mail", "Mens E-Mail"]


def sql_answer(expression: str, select: str) -> list[Any]:
    with duckdb.connect() as connection:
        return [row[0] for row in connection.execute(f"SELECT {expression} FROM ({select})").fetchall()]  # noqa: S608


def python_arm(tree: DecisionTree) -> Any:
    scope: dict[str, Any] = {"__builtins__": {"isinstance": isinstance, "str": str, "float": float}}
    scope["__builtins__"] |= {"TypeError": TypeError, "ValueError": ValueError}
    exec(tree.python(), scope)  # noqa: S102 -- the source is what is tested; it may import nothing
    return scope["arm"]


def test_every_unit_gets_the_arm_of_its_leaf_and_a_new_level_is_not_the_level() -> None:
    assert TREE.arm_of(COLUMNS).tolist() == ARMS
    assert TREE.arm_of({name: column.astype(object) for name, column in COLUMNS.items()}).tolist() == ARMS
    assert TREE.arm_of(COLUMNS | {"other": np.zeros(2)}).tolist() == ARMS
    assert FLAT.arm_of(COLUMNS).tolist() == ["No E-Mail"] * 7
    assert TREE.arm_of({name: column[:0] for name, column in COLUMNS.items()}).tolist() == []


def test_the_python_function_needs_nothing_and_answers_alike() -> None:
    arm = python_arm(TREE)
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
    assert [arm(row) for row in rows] == ARMS
    assert python_arm(FLAT)({}) == "No E-Mail"
    for name, value in (
        ("age", None),
        ("age", "39"),
        ("age", np.nan),
        ("age", np.inf),
        ("channel", None),
        ("channel", 1),
    ):
        with pytest.raises(ValueError, match=rf"{name}: .*; expected"):
            arm({"age": 39, "channel": "Web"} | {name: value})


@pytest.mark.parametrize("kind", ["TINYINT", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL(9, 2)", "HUGEINT"])
def test_sql_answers_alike_for_every_type_of_number(kind: str) -> None:
    rows = ", ".join(f"({age}::{kind}, '{channel}')" for age, channel in zip(*COLUMNS.values(), strict=True))
    assert sql_answer(TREE.sql(), f"FROM (VALUES {rows}) t(age, channel)") == ARMS
    assert sql_answer(FLAT.sql(), "SELECT 1 AS age") == ["No E-Mail"]


def test_sql_takes_a_truth_value_for_a_number_as_arrays_do() -> None:
    tree = DecisionTree(Branch(Question("new", below=0.5), Leaf("a"), Leaf("b")))
    assert tree.arm_of({"new": np.array([False, True])}).tolist() == ["a", "b"]
    assert sql_answer(tree.sql(), "SELECT unnest([false, true]) AS new") == ["a", "b"]


@pytest.mark.parametrize("age", ["NULL::DOUBLE", "'nan'::DOUBLE", "'inf'::DOUBLE", "'-inf'::FLOAT", "NULL::INTEGER"])
def test_sql_gives_no_arm_where_a_number_is_missing(age: str) -> None:
    assert sql_answer(TREE.sql(), f"SELECT {age} AS age, 'Web' AS channel") == [None]


@pytest.mark.parametrize("channel", ["NULL", "''", "NULL::VARCHAR"])
def test_sql_gives_no_arm_where_text_is_missing_even_where_it_would_not_be_asked(channel: str) -> None:
    assert sql_answer(TREE.sql(), f"SELECT 45 AS age, {channel} AS channel") == [None]


def test_sql_compares_with_the_very_threshold() -> None:
    """A threshold above the float32 next to 0.1 by less than half of its last bit: in float32 the two are equal."""
    threshold = 0.100000003
    tree = DecisionTree(Branch(Question("x", below=threshold), Leaf("below"), Leaf("above")))
    value = np.array([0.1], dtype=np.float32)
    assert float(value[0]) < threshold
    assert np.float32(threshold) == value[0]
    select = "SELECT 0.1::FLOAT AS x"
    assert sql_answer(tree.sql(), select) == tree.arm_of({"x": value}).tolist() == ["below"]
    # the planted fault: the numbers as they stand
    plain = f"CASE WHEN x < {threshold!r} THEN 'below' ELSE 'above' END"
    assert sql_answer(plain, select) == ["above"]


@pytest.mark.parametrize(
    ("columns", "error", "found"),
    [
        (
            {"age": np.array([1.0, np.nan, np.inf])},
            DataError,
            r"'age' is missing or infinite in 2 of 3 rows \(from 0: 1, 2\)",
        ),
        ({"age": np.array([1, None, 2], dtype=object)}, DataError, r"'age' is missing .* in 1 of 3 rows \(from 0: 1\)"),
        ({"age": np.array(["1", "2", "3"])}, DataError, "'age' holds <U1; expected numbers"),
        ({"age": np.array([1, "2", 3], dtype=object)}, DataError, "'age' holds object; expected numbers"),
        ({"channel": np.array(["Web", "", "Web"])}, DataError, r"'channel' is missing in 1 of 3 rows \(from 0: 1\)"),
        ({"channel": np.array(["Web", None, 3], dtype=object)}, DataError, r"no text in 2 of 3 rows \(from 0: 1, 2\)"),
        ({"channel": np.arange(3)}, DataError, "'channel' holds int64; expected text"),
        ({"age": np.ones(2)}, ArgumentError, "columns of one length .*; found age: 2, channel: 3"),
    ],
)
def test_units_of_which_something_is_missing_are_refused(columns: Any, error: type[Exception], found: str) -> None:
    with pytest.raises(error, match=found):
        TREE.arm_of({"age": np.ones(3), "channel": np.array(["Web"] * 3)} | columns)


def test_columns_that_are_not_there_are_refused() -> None:
    with pytest.raises(
        ColumnNotFoundError, match=r"no column named 'channel'. Columns: age, chanel. Did you mean 'chanel'"
    ):
        TREE.arm_of({"age": np.ones(3), "chanel": np.ones(3)})
    with pytest.raises(ArgumentError, match=r"columns of one length are needed.*found none"):
        FLAT.arm_of({})


def test_the_tree_prints_its_questions_and_leaves() -> None:
    assert str(TREE).splitlines() == [
        "age < 40",
        "    channel = Web: Mens E-Mail, 1,200 units (30%)",
        "    channel ≠ Web: No E-Mail, 800 units (20%)",
        "age ≥ 40",
        "    age < 52.5: Womens E-Mail, 1,500 units (38%)",
        "    age ≥ 52.5",
        "        channel = Phone: No E-Mail, 200 units (5%)",
        "        channel ≠ Phone: Mens E-Mail, 300 units (8%)",
    ]
    assert str(FLAT) == "every unit: No E-Mail, 3 units (100%)"
    assert str(DecisionTree(Leaf("a"))) == "every unit: a"


def test_rules_tell_all_answers_to_a_covariate_together() -> None:
    assert [(rule.words, rule.arm, rule.units) for rule in TREE.rules()] == [
        ("age < 40 and channel = Web", "Mens E-Mail", 1200.0),
        ("age < 40 and channel ≠ Web", "No E-Mail", 800.0),
        ("40 ≤ age < 52.5", "Womens E-Mail", 1500.0),
        ("age ≥ 52.5 and channel = Phone", "No E-Mail", 200.0),
        ("age ≥ 52.5 and channel ≠ Phone", "Mens E-Mail", 300.0),
    ]
    neither = Branch(Question("c", level="a"), Leaf("x"), Branch(Question("c", level="b"), Leaf("y"), Leaf("z")))
    assert [rule.words for rule in DecisionTree(neither).rules()] == ["c = a", "c = b", "c not in {a, b}"]
    assert [rule.words for rule in FLAT.rules()] == ["every unit"]
    assert TREE.arms == ("Mens E-Mail", "No E-Mail", "Womens E-Mail")
    assert TREE.asked == {"age": False, "channel": True}


@pytest.mark.parametrize("threshold", [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -1e-9, 2.0**53])
def test_a_tree_is_read_as_it_was_written_to_the_last_bit(threshold: float) -> None:
    tree = DecisionTree(Branch(Question("x", below=threshold), Leaf("a"), Leaf("b", 0.1)))
    assert DecisionTree.from_json(tree.to_json()) == tree
    assert pickle.loads(pickle.dumps(tree)) == tree  # noqa: S301 -- written here
    assert hash(DecisionTree.from_json(tree.to_json())) == hash(tree)


def of_json(root: object) -> str:
    return json.dumps({"format": "bayesuplift decision tree 1", "root": root})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", "not JSON"),
        ("[1]", "not a decision tree; expected JSON with the format"),
        ('{"format": "another"}', "not a decision tree"),
        (of_json(None), "a node of the tree is None; expected an object"),
        (of_json({"arm": 1}), r"a node of the tree has \['arm'\]"),
        (of_json({"arm": "a", "units": "many"}), r"a node of the tree has \['arm', 'units'\]"),
        (of_json({"covariate": "x", "yes": {"arm": "a"}, "no": {"arm": "b"}}), "needs a threshold .* or a level"),
        (of_json({"covariate": "x", "below": 1, "level": "a"}), "a question to 'x' needs"),
        (of_json({"covariate": "x", "below": "1"}), "below = '1'; give a finite threshold of 'x'"),
        (of_json({"covariate": "x", "below": 1, "yes": {"arm": "a"}}), "a node of the tree is None"),
    ],
)
def test_what_is_no_tree_is_refused(text: str, found: str) -> None:
    with pytest.raises(ArgumentError, match=found):
        DecisionTree.from_json(text)


def test_a_covariate_is_a_number_or_text() -> None:
    below = Branch(Question("x", level="a"), Leaf("a"), Leaf("b"))
    with pytest.raises(ArgumentError, match="'x' is asked for a number and for text"):
        DecisionTree(Branch(Question("x", below=1.0), Leaf("a"), below))


def test_a_zero_character_is_refused_by_sql() -> None:
    with pytest.raises(ArgumentError, match="zero character"):
        DecisionTree(Leaf("a\0b")).sql()


def test_columns_are_made_of_covariates_that_differ() -> None:
    covariates = {
        "age": np.array([30, 40, 50, 30]),
        "same": np.ones(4),
        "new": np.array([False, True, True, False]),
        "channel": np.array(["Web", "Phone", "Fax", "Web"]),
        "half": np.array(["b", "a", "b", "a"], dtype=object),
        "only": np.array(["a"] * 4),
    }
    columns = split_columns(covariates)
    assert columns == (
        SplitColumn("age"),
        SplitColumn("new"),
        *(SplitColumn("channel", level) for level in ("Fax", "Phone", "Web")),
        SplitColumn("half", "a"),
    )
    expected = [[30, 0, 0, 0, 1, 0], [40, 1, 0, 1, 0, 1], [50, 1, 1, 0, 0, 0], [30, 0, 0, 0, 1, 1]]
    assert split_matrix(columns, covariates).tolist() == expected
    assert split_matrix((), covariates).shape == (4, 0)
    with pytest.raises(DataError, match=r"'age' is missing or infinite in 1 of 4 rows \(from 0: 3\)"):
        split_matrix(columns, covariates | {"age": np.array([30, 40, 50, np.nan])})


def test_cuts_are_asked_at_the_shortest_number_between_two_values() -> None:
    """Left of a column of a level is every other level; a threshold is told with as few digits as tell the values apart."""
    found = Cut(0, 31.7, 48.2, Cut(1, 0.0, 1.0, Take(0, 5.0), Take(1, 6.0)), Take(2, 7.0))
    tree = decision_tree(found, (SplitColumn("age"), SplitColumn("channel", "Web")), ["control", "call", "write"])
    assert tree.root == Branch(
        Question("age", below=40.0),
        Branch(Question("channel", level="Web"), Leaf("call", 6.0), Leaf("control", 5.0)),
        Leaf("write", 7.0),
    )
