"""`bayesuplift target`: a policy file and units in, arms out, by files and by pipes."""

import io
import json
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

import bayesuplift as bu
from bayesuplift.cli import main
from bayesuplift.decisions.deployment.policy_file import load_policy, save_policy
from tests.support.deployed import linear_posterior, over_segments

ECONOMICS = bu.Economics(2.0, {"men": 0.3, "women": 0.1})


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["target", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a policy over segments, and units."""
    share = [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    save_policy(over_segments(share, {"channel": ["Web", "01"]}, arms=("control", "men", "women")), tmp_path / "p.json")
    rng = np.random.default_rng(2)
    units = pd.DataFrame({"customer": np.arange(100) * 7, "channel": rng.choice(["Web", "01", "Fax"], 100)})
    units.to_csv(tmp_path / "units.csv", index=False)
    return tmp_path


def test_arms_go_to_a_file_and_counts_to_standard_error_and_json(folder: Path) -> None:
    done = run(folder / "p.json", folder / "units.csv", "--unit", "customer", "-o", folder / "arms.parquet", "--json")
    assert done.exit_code == 0, done.stderr
    arms = duckdb.read_parquet(str(folder / "arms.parquet")).df()
    units = pd.read_csv(folder / "units.csv", dtype={"channel": "str"})
    expected, unknown = load_policy(folder / "p.json").counted(units, unit="customer")
    assert arms["arm"].tolist() == expected.tolist()
    assert arms["customer"].tolist() == [str(name) for name in units["customer"]]  # as they are written in a CSV file
    told = json.loads(done.stdout)
    counts = {arm: int((expected == arm).sum()) for arm in ("control", "men", "women")}
    assert told == {"units": 100, "arms": counts, "unknown": unknown, "output": str(folder / "arms.parquet")}
    assert f"bayesuplift: 100 units: {counts['control']} get control" in done.stderr
    assert f"{unknown} are in segments that the policy does not know" in done.stderr


def test_units_and_arms_go_through_pipes(folder: Path) -> None:
    text = (folder / "units.csv").read_bytes()
    done = CliRunner().invoke(main, ["target", str(folder / "p.json"), "-", "--unit", "customer"], input=text)
    assert done.exit_code == 0, done.stderr
    run(folder / "p.json", folder / "units.csv", "--unit", "customer", "-o", folder / "arms.csv")
    assert done.stdout_bytes == (folder / "arms.csv").read_bytes()
    assert done.stdout.startswith("customer,arm\n0,")
    assert "wrote" not in done.stderr


def test_the_statement_gives_what_the_command_gives(folder: Path) -> None:
    done = run(folder / "p.json", "--sql", "main.units", "--unit", "customer")
    assert done.exit_code == 0, done.stderr
    connection = duckdb.connect()
    connection.register("rows", pd.read_csv(folder / "units.csv", dtype={"channel": "str"}))
    connection.execute("CREATE TABLE units AS SELECT * FROM rows")
    found = connection.execute(done.stdout).fetchall()
    arms = pd.read_csv(io.StringIO(run(folder / "p.json", folder / "units.csv", "--unit", "customer").stdout))
    assert dict(found) == dict(zip(arms["customer"], arms["arm"], strict=True))


def test_units_are_scored_by_a_posterior_from_a_file(tmp_path: Path) -> None:
    posterior = linear_posterior(seed=11)
    train = pd.DataFrame({"x": np.linspace(-2.0, 2.0, 60), "channel": ["Web", "Phone"] * 30})
    chosen = bu.target(bu.predict(posterior, train, seed=1), ECONOMICS, rule=bu.TopShare(0.4, by=bu.RiskAdjusted(0.2)))
    policy = save_policy(chosen, tmp_path / "p.json", posterior=posterior)
    bu.save({"spend": posterior, "visit": posterior}, tmp_path / "posterior.nc")
    new = pd.DataFrame(
        {"id": [f"u{i}" for i in range(50)], "x": np.linspace(-1.5, 2.5, 50), "channel": ["Phone", "Web"] * 25}
    )
    new.to_csv(tmp_path / "new.csv", index=False)
    done = run(
        *(tmp_path / "p.json", tmp_path / "new.csv", "--posterior", tmp_path / "posterior.nc", "--name", "spend"),
        *("--unit", "id", "-o", tmp_path / "arms.parquet"),
    )
    assert done.exit_code == 0, done.stderr
    assert "bayesuplift: seed 3\n" in done.stderr
    arms = duckdb.read_parquet(str(tmp_path / "arms.parquet")).df()
    scores = policy.scores(bu.predict(posterior, new, seed=3))
    np.testing.assert_array_equal(arms[["score_men", "score_women"]], scores)
    assert arms["arm"].tolist() == policy.arm_of(scores).tolist()
    assert len(set(arms["arm"])) == 3
    # the scores that were written are decided on in a warehouse
    found = duckdb.connect().execute(policy.sql("arms", unit="id").replace('"arms"', f"'{tmp_path / 'arms.parquet'}'"))
    assert dict(found.fetchall()) == dict(zip(arms["id"], arms["arm"], strict=True))


REFUSED = (
    (("p.json",), "Name the file of UNITS"),
    (("p.json", "units.csv"), "give the column that names the unit"),
    (("p.json", "none.csv", "--unit", "customer"), "no file at"),
    (("none.json", "units.csv"), "no file"),
    (("units.csv", "units.csv"), "is not a policy"),
    (("p.json", "units.csv", "--unit", "customer", "-o", "arms.txt"), "a file that ends in"),
    (("p.json", "units.csv", "--unit", "customer", "--json"), "name a file for the arms"),
    (("p.json", "units.csv", "--unit", "customer", "--seed", "1"), "--name and --seed are of a posterior"),
    (("p.json", "units.csv", "--sql", "t"), "--sql prints a statement"),
    (("p.json", "units.csv", "--unit", "customer", "--posterior", "none.nc"), "no file"),
)


@pytest.mark.parametrize(("arguments", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_bad_input_exits_with_2_and_writes_nothing(
    arguments: tuple[str, ...], words: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    done = run(*arguments)
    assert done.exit_code == 2
    assert words in done.stderr
    assert done.stdout == ""
    assert sorted(one.name for one in folder.iterdir()) == ["p.json", "units.csv"]
