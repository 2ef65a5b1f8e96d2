"""A policy as a file: what is read is what was written, and what was tampered with is told or refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.decisions.deployment.batches import write_arms
from bayesuplift.decisions.deployment.deployed_policy import DeployedPolicy
from bayesuplift.decisions.deployment.policy_file import load_policy, save_policy
from bayesuplift.decisions.targeting.policy import Policy
from bayesuplift.decisions.targeting.rules import Rule
from bayesuplift.errors import (
    ArgumentError,
    BayesupliftError,
    ColumnNotFoundError,
    DataError,
    DataWarning,
    MissingFileError,
    UnreadableFileError,
)
from tests.support.deployed import over_segments, random_tree
from tests.support.factored import factored, rates
from tests.support.over_units import noisy, over_units
from tests.support.worlds import seed_of

ECONOMICS = bu.Economics(2.0, {"men": 0.1 + 0.2, "women": 0.1})
DRAWS = noisy(np.random.default_rng(9).normal(0.0, 0.5, (60, 3)), sd=0.3, seed=seed_of("filed"), draws=25)
UNITS = over_units(DRAWS, factors={"channel": ["Web", "Phone"] * 30}, seed=4, model="m\u00e9", coding="long")
RULES: tuple[Rule, ...] = (
    bu.BestArm(),
    bu.RiskAdjusted(1 / 3, prob=0.9),
    bu.CredibleBound(0.8),
    bu.CVaR(0.1 + 0.2),
    bu.Threshold(0.7),
    bu.TopShare(0.3, by=bu.CVaR(0.2)),
    bu.Budget(5, by=bu.TopShare(0.5, by=bu.RiskAdjusted(0.1))),
    bu.Budget(7.25).subject_to(bu.AtMost(share=0.4), bu.AtMost(units=11, arm="men")),
    bu.BestArm().subject_to(bu.Never({"channel": ["Web", "Phone"]}, arm="women")).subject_to(bu.AtMost(units=2.5)),
)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_policy_over_units_is_read_as_it_was_written_to_the_last_bit(rule: Rule, tmp_path: Path) -> None:
    saved = save_policy(bu.target(UNITS, ECONOMICS, rule=rule), tmp_path / "policy.json", posterior=UNITS)
    loaded = load_policy(tmp_path / "policy.json")
    assert loaded == saved
    assert loaded.rule == rule
    assert loaded.economics == ECONOMICS
    assert loaded.kind == "scores"
    assert loaded.outcome == "the outcome"
    assert dict(loaded.origin.posterior) == {"model": "mé", "seed": 4}
    assert "numpy" in loaded.origin.versions
    save_policy(loaded, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "policy.json").read_bytes()


def test_policies_over_segments_and_trees_are_read_as_they_were_written(tmp_path: Path) -> None:
    chosen = bu.target(factored(rates(seed=5)), bu.Economics(10.0, 0.01), rule=bu.TopShare(0.37))
    others = (over_segments([[1 / 3, 2 / 3, 0, 0]], {}), over_segments([[0, 0.1, 0.2, 0.7]] * 2, {'"a"': ["1", "ß\n"]}))
    for policy in (chosen, *others):
        saved = save_policy(policy, tmp_path / "policy.json", unknown="refuse", salt="s'")
        assert load_policy(tmp_path / "policy.json") == saved
        np.testing.assert_array_equal(
            load_policy(tmp_path / "policy.json").by.share,  # type: ignore[attr-defined]
            policy.share.transpose("segment", "arm"),
        )
    for seed in range(5):
        tree = random_tree(np.random.default_rng(seed))
        saved = save_policy(tree, tmp_path / "policy.json", control="control")
        assert load_policy(tmp_path / "policy.json") == saved
        assert saved.by.tree == tree  # type: ignore[attr-defined]
    with_posterior = save_policy(
        random_tree(np.random.default_rng(1), arms=("men", "control")), tmp_path / "p", posterior=UNITS
    )
    assert with_posterior.arms == ("control", "men", "women")


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> DeployedPolicy:
    """The policy after a part of its file was changed."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    return load_policy(path)


def test_a_changed_threshold_or_salt_changes_arms(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    policy = save_policy(bu.target(UNITS, ECONOMICS, rule=bu.TopShare(0.3)), path)
    scores = policy.scores(UNITS)
    before = policy.arm_of(scores)
    other = changed(
        path, lambda content: content["scores"]["thresholds"].update(men=content["scores"]["thresholds"]["men"] / 2)
    )
    assert (other.arm_of(scores) != before).any()
    units = pd.DataFrame({"id": np.arange(200)})
    split = save_policy(over_segments([[0.5, 0.5]], {}, arms=("control", "men")), path)
    same = changed(path, len)
    assert same.arm_of(units, unit="id").equals(split.arm_of(units, unit="id"))
    salted = changed(path, lambda content: content["segments"].update(salt="other"))
    assert 60 < (salted.arm_of(units, unit="id") != split.arm_of(units, unit="id")).sum() < 140


TAMPERED: tuple[tuple[Callable[[dict[str, Any]], object], str], ...] = (
    (lambda it: it.update(format="policy"), 'lacks "format"'),
    (lambda it: it.update(version=2), "has version 2; this release reads version 1"),
    (lambda it: it.update(version=True), "has version True"),
    (lambda it: it.update(kind="forest"), "its kind is 'forest'"),
    (lambda it: it.update(kind=["scores"]), "its kind is"),
    (lambda it: it.update(kind="tree"), "has a part 'scores'"),
    (lambda it: it.update(contrl="a"), "has a part 'contrl'; .* Did you mean 'control'"),
    (lambda it: it.pop("control"), "lacks control"),
    (lambda it: it.update(control="offer"), "the control 'offer'"),
    (lambda it: it.update(arms=["control", "control"]), "expected two or more"),
    (lambda it: it.update(arms=["control", 1]), "expected a list of texts"),
    (lambda it: it["scores"]["thresholds"].pop("men"), "thresholds lacks men"),
    (lambda it: it["scores"]["thresholds"].update(men="0.1"), "'men' is '0.1'; expected a number"),
    (lambda it: it["scores"]["thresholds"].update(men=True), "'men' is True; expected a number"),
    (lambda it: it["scores"]["columns"].update(men="score_women"), "a column of its own"),
    (lambda it: it["scores"]["bans"].append({"where": {}, "arms": ["control"]}), "banned, and no treatment"),
    (lambda it: it["scores"]["bans"].append({"where": {"channel": []}, "arms": ["men"]}), "give levels of each column"),
    (lambda it: it["rule"].update(rule="Best"), "is no rule: .* Did you mean 'BestArm'"),
    (lambda it: it["rule"].update(by=None), "'by' is None; expected an object"),
    (lambda it: it["rule"]["by"].update(risk_aversion=7), "risk_aversion = 7"),
    (lambda it: it["rule"]["by"].update(riskaversion=0.1), "Did you mean 'risk_aversion'"),
    (lambda it: it["rule"]["added"][0].update(limit="AtLeast"), "is no limit"),
    (lambda it: it["rule"]["added"][0].update(share=2.0), "share = 2.0"),
    (lambda it: it["economics"].update(value_per_outcome=0), "value_per_outcome = 0"),
    (lambda it: it["origin"].pop("why"), "origin lacks why"),
)


@pytest.mark.parametrize(("change", "words"), TAMPERED, ids=[words for _, words in TAMPERED])
def test_a_file_that_is_no_policy_is_refused_with_what_is_wrong(
    change: Callable[[dict[str, Any]], object], words: str, tmp_path: Path
) -> None:
    rule = bu.RiskAdjusted(0.3).subject_to(bu.AtMost(share=0.5))
    save_policy(bu.target(UNITS, ECONOMICS, rule=rule), tmp_path / "policy.json")
    with pytest.raises(UnreadableFileError, match=rf"policy.json is not a policy: .*{words}"):
        changed(tmp_path / "policy.json", change)


SEGMENTS: tuple[tuple[Callable[[dict[str, Any]], object], str], ...] = (
    (lambda it: it["rows"][0]["share"].update(men=0.9), "that sum to 1"),
    (lambda it: it["rows"][0]["share"].update(offer=0.0), "has a part 'offer'"),
    (lambda it: it["rows"].append(it["rows"][0]), "2 segments, 1 of them different"),
    (lambda it: it["rows"].clear(), "0 segments"),
    (lambda it: it["rows"][0].update(levels=["Web", "1"]), "give one of each"),
    (lambda it: it.update(factors=["channel", "channel"]), "a factor comes twice"),
    (lambda it: it.update(unknown="men"), "unknown = 'men'"),
    (lambda it: it.pop("salt"), "segments lacks salt"),
)


@pytest.mark.parametrize(("change", "words"), SEGMENTS, ids=[words for _, words in SEGMENTS])
def test_a_table_of_segments_that_is_none_is_refused(
    change: Callable[[dict[str, Any]], object], words: str, tmp_path: Path
) -> None:
    save_policy(over_segments([[0.5, 0.5]], {"channel": ["Web"]}, arms=("control", "men")), tmp_path / "policy.json")
    with pytest.raises(UnreadableFileError, match=words):
        changed(tmp_path / "policy.json", lambda content: change(content["segments"]))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        '{"format": "bayesuplift policy", "format": "bayesuplift policy"}',
        '{"a": NaN}',
        "[" * 100_000,
        "\xff",
    ],
    ids=["nothing", "a list", "twice", "NaN", "deep", "no text"],
)
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text(text, encoding="latin-1")
    with pytest.raises(UnreadableFileError, match="is not a policy"):
        load_policy(tmp_path / "policy.json")
    with pytest.raises(MissingFileError, match="no file"):
        load_policy(tmp_path / "none.json")


class Own(bu.BestArm):
    pass


def test_what_cannot_be_saved_is_refused_and_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    policy = save_policy(bu.target(UNITS, ECONOMICS), path)
    before = path.read_bytes()
    with pytest.raises(ArgumentError, match="a rule of your own"):
        save_policy(bu.target(UNITS, ECONOMICS, rule=Own()), path)
    with pytest.raises(ArgumentError, match="salt: the policy is deployed already"):
        save_policy(policy, path, salt="a")
    with pytest.raises(ArgumentError, match="it does not come from it"):
        save_policy(
            bu.target(UNITS, ECONOMICS),
            path,
            posterior=factored(rates(seed=1, arms=2), arms=("control", "b"), observed={}),
        )
    with pytest.raises(UnreadableFileError, match="cannot write"):
        save_policy(policy, path / "below.json")
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["policy.json"]


def a_split() -> Policy:
    share = [[0.5, 0.25, 0.25], [0, 1, 0]]
    return over_segments(share, {"channel": ["Web", "0123"]}, arms=("control", "men", "women"))


def a_table(rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "customer": [f'{i}, "{i}"\n' if i % 3 else f"{i}" for i in range(rows)],
            "channel": rng.choice(["Web", "0123", "Fax"], rows),
            "score_men": rng.normal(size=rows),
            "score_women": rng.choice([0.1, -np.inf, 0.30000000000000004], rows),
        }
    )


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
@pytest.mark.parametrize("kind", ["segments", "scores"])
def test_a_file_of_units_in_batches_of_any_size_is_the_whole(kind: str, suffix: str, tmp_path: Path) -> None:
    table, rows = a_table(140), 7 if suffix == ".csv" else 100
    table.to_csv(tmp_path / "units.csv", index=False)
    made = a_split() if kind == "segments" else bu.target(UNITS, ECONOMICS, rule=bu.TopShare(0.3))
    policy = save_policy(made, tmp_path / "policy.json")
    told = write_arms(policy, tmp_path / "units.csv", tmp_path / f"arms{suffix}", unit="customer", rows=rows)
    expected, unknown = policy.counted(table, unit="customer")
    reader = duckdb.read_parquet if suffix == ".parquet" else duckdb.read_csv
    found = reader(str(tmp_path / f"arms{suffix}")).df()
    assert found["customer"].tolist() == table["customer"].tolist()
    assert found["arm"].tolist() == expected.tolist()
    assert told.unknown == unknown == (table["channel"] == "Fax").sum() * (kind == "segments")
    assert dict(told.by_arm) == {arm: (expected == arm).sum() for arm in policy.arms}
    assert told.units == 140
    if kind == "scores":
        scores = ["score_men", "score_women"]
        np.testing.assert_array_equal(found[scores].astype(np.float64), table[scores])
        again = write_arms(policy, tmp_path / f"arms{suffix}", tmp_path / "again.parquet", unit="customer")
        assert again == told


def test_units_without_scores_get_them_from_a_function(tmp_path: Path) -> None:
    """The function sees numbers as numbers, also where the policy compares the column as text."""
    rule = bu.BestArm().subject_to(bu.Never({"newbie": "1"}, arm="men"))
    tree = over_units(DRAWS, factors={"newbie": ["0", "1"] * 30})
    policy = save_policy(bu.target(tree, ECONOMICS, rule=rule), tmp_path / "policy.json")
    table = pd.DataFrame({"newbie": np.arange(100) % 2, "x": np.linspace(-1.0, 1.0, 100)})
    table.to_csv(tmp_path / "units.csv", index=False)

    def predicted(rows: pd.DataFrame) -> xr.DataTree:
        assert rows["newbie"].dtype.kind == "i"
        x = rows["x"].to_numpy()
        return over_units(np.stack([0.0 * x, x, 0.5 * x + 0.2 * rows["newbie"]], axis=1)[None, None].repeat(4, axis=1))

    told = write_arms(policy, tmp_path / "units.csv", tmp_path / "arms.parquet", predict=predicted, rows=9)
    found = duckdb.read_parquet(str(tmp_path / "arms.parquet")).df()
    assert list(found) == ["row", "arm", "score_men", "score_women"]
    assert found["row"].tolist() == list(range(1, 101))
    x, new = table["x"].to_numpy(), table["newbie"].to_numpy() == 1
    men = np.where(new, -1.0, 2.0 * x - (0.1 + 0.2))
    women = 2.0 * (0.5 * x + 0.2 * new) - 0.1
    expected = np.where((men > 0) & (men >= women), "men", np.where(women > 0, "women", "control"))
    assert found["arm"].tolist() == expected.tolist()
    assert dict(told.by_arm)["men"] > 0


REFUSED: tuple[tuple[str, dict[str, Any], type[BayesupliftError], str], ...] = (
    ("arms.txt", {}, ArgumentError, "a file that ends in .csv, .csv.gz, .parquet"),
    ("arms.csv", {"unit": None}, ArgumentError, "the column that names the unit"),
    ("arms.csv", {"unit": "arm"}, ArgumentError, "the output has a column of that name"),
    ("arms.csv", {"unit": "custom"}, ColumnNotFoundError, "Did you mean 'customer'"),
    ("arms.csv", {"unit": "channel"}, DataError, "repeat a unit"),
    ("arms.csv", {"predict": lambda _: UNITS}, ArgumentError, "needs no posterior"),
    ("arms.csv", {"rows": 0}, ArgumentError, "rows = 0"),
    ("arms.csv", {"unknown": "refuse", "rows": 7}, DataError, "among the data rows 1 to 7, .* it refuses them"),
)


@pytest.mark.parametrize(("output", "options", "error", "words"), REFUSED, ids=[words for *_, words in REFUSED])
def test_what_is_refused_writes_nothing(
    output: str, options: dict[str, Any], error: type[BayesupliftError], words: str, tmp_path: Path
) -> None:
    a_table(30).to_csv(tmp_path / "units.csv", index=False)
    policy = save_policy(a_split(), tmp_path / "policy.json", unknown=options.pop("unknown", "control"))
    with pytest.raises(error, match=words):
        write_arms(policy, tmp_path / "units.csv", tmp_path / output, **{"unit": "customer", **options})
    assert sorted(one.name for one in tmp_path.iterdir()) == ["policy.json", "units.csv"]


def test_units_without_scores_rows_or_enough_predictions_are_refused(tmp_path: Path) -> None:
    policy = save_policy(bu.target(UNITS, ECONOMICS), tmp_path / "policy.json")
    (tmp_path / "units.csv").write_text("x\n1\n2\n")
    with pytest.raises(ColumnNotFoundError, match="or the posterior that units are scored by"):
        write_arms(policy, tmp_path / "units.csv", tmp_path / "arms.csv")
    with pytest.raises(ArgumentError, match="predict gave 60 units for 2 rows"):
        write_arms(policy, tmp_path / "units.csv", tmp_path / "arms.csv", predict=lambda _: UNITS)
    (tmp_path / "units.csv").write_text("score_men,score_women\n0.1,high\n")
    with pytest.raises(DataError, match="high"):
        write_arms(policy, tmp_path / "units.csv", tmp_path / "arms.csv")
    (tmp_path / "units.csv").write_text("score_men,score_women\n")
    with pytest.raises(DataError, match="no row"):
        write_arms(policy, tmp_path / "units.csv", tmp_path / "arms.csv")


def test_a_policy_tells_what_it_is(tmp_path: Path) -> None:
    policy = save_policy(bu.target(UNITS, ECONOMICS, rule=bu.TopShare(0.3)), tmp_path / "policy.json")
    assert str(policy).startswith(
        "Arms of 'the outcome' by scores: control, men, women, of which 'control' is the control."
    )
    assert "TopShare(0.3)" in str(policy)
    assert sum(count for _, count in policy.origin.units) == 60


def test_the_count_of_unknown_segments_is_no_warning_where_it_is_told(tmp_path: Path) -> None:
    a_table(30).to_csv(tmp_path / "units.csv", index=False)
    policy = save_policy(a_split(), tmp_path / "policy.json")
    told = write_arms(policy, tmp_path / "units.csv", tmp_path / "arms.csv", unit="customer")
    assert f"{told.unknown} are in segments that the policy does not know" in str(told)
    with pytest.warns(DataWarning, match=f"{told.unknown} of 30 units"):
        policy.arm_of(a_table(30), unit="customer")
