"""Past experiments by their results: what is read from any engine, and what is refused."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bayesuplift.data.effect_tables import read_effects
from bayesuplift.data.effects import Effects
from bayesuplift.errors import ArgumentError, ColumnNotFoundError, DataError
from tests.support.engines import ENGINES, in_engine

TABLE = pd.DataFrame({"name": ["b", "a", "c"], "lift": [0.01, -0.02, 0.03], "se": [0.01, 0.02, 0.015]})


def read(table: Any, **options: Any) -> Effects:
    return read_effects(
        table, **({"estimate": "lift", "standard_error": "se", "experiment": "name", "scale": "log_ratio"} | options)
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_gives_the_same_effects(engine: str, tmp_path: Path) -> None:
    found = read(in_engine(TABLE, engine, tmp_path))
    assert found == read(TABLE)
    assert found.experiment == ("a", "b", "c")
    assert found.estimates.tolist() == [-0.02, 0.01, 0.03]
    assert found.standard_errors.tolist() == [0.02, 0.01, 0.015]
    assert (found.outcome, len(found), found.typical_standard_error) == ("lift", 3, 0.015)


def test_experiments_without_names_are_numbered() -> None:
    assert read(TABLE, experiment=None).experiment == ("1", "2", "3")


def test_every_experiment_is_a_segment_of_two_arms() -> None:
    statistics = read(TABLE).statistics
    assert dict(statistics.sizes) == {"segment": 3, "arm": 2}
    assert statistics["experiment"].values.tolist() == ["a", "b", "c"]
    assert read(TABLE).design.arms == ("control", "treatment")


def test_arrays_are_read_only_and_copies_are_equal() -> None:
    found = read(TABLE)
    with pytest.raises(ValueError, match="read-only"):
        found.estimates[0] = 1.0
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301 -- our own
    assert hash(found) == hash(read(TABLE))


@pytest.mark.parametrize(
    "changed",
    [{"scale": "difference"}, {"outcome": "visits"}, {"estimate": "se", "standard_error": "lift"}],
)
def test_other_effects_have_another_fingerprint(changed: dict[str, str]) -> None:
    table = TABLE.assign(lift=abs(TABLE["lift"]))
    assert read(table, **changed).fingerprint != read(table).fingerprint


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("se", [0.01, 0.0, 0.02], "not above 0 in 1 of 3"),
        ("se", [0.01, -1.0, 0.02], "not above 0"),
        ("se", [0.01, None, 0.02], "is (missing|NaN)"),
        ("lift", [0.01, float("inf"), 0.02], "infinite"),
        ("lift", ["0.1", "many", "0.2"], "not a number"),
        ("name", ["a", "b", "a"], "repeat an experiment: a"),
        ("name", ["a", "", "c"], "empty"),
    ],
)
def test_a_row_at_fault_is_refused(column: str, values: list[Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(TABLE.assign(**{column: values}))


def test_a_column_that_is_not_there_or_has_two_roles_is_refused() -> None:
    with pytest.raises(ColumnNotFoundError, match="Did you mean 'lift'"):
        read(TABLE, estimate="lifts")
    with pytest.raises(ArgumentError, match="one role"):
        read(TABLE, standard_error="lift")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scale": "ratio"}, "scale of effects"),
        ({"outcome": ""}, "outcome"),
    ],
)
def test_an_argument_outside_its_words_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        Effects(["a"], [0.1], [0.1], **({"scale": "difference"} | options))


@pytest.mark.parametrize(
    ("experiment", "estimate", "error", "said"),
    [
        ([], [], [], "not a single"),
        (["a"], [0.1, 0.2], [0.1], "shape"),
        (["a"], [np.nan], [0.1], "missing or infinite estimate"),
        (["a"], [0.1], [np.inf], "missing or infinite standard_error"),
        (["a", "b"], [0.1, 0.2], [0.1, 0.0], "not above 0: b"),
        (["a", "a"], [0.1, 0.2], [0.1, 0.1], "repeat"),
        ([" "], [0.1], [0.1], "called ' '"),
        (["a"], ["x"], [0.1], "not a number"),
    ],
)
def test_effects_that_contradict_themselves_are_refused(experiment: Any, estimate: Any, error: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        Effects(experiment, estimate, error, "difference")
