"""The script of a nightly job: it acts on every exit code, and can be run again."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from bayesuplift.cli import main

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SCRIPT = NOTEBOOKS / "watch_a_test.sh"
PLAN = (NOTEBOOKS / "landing_page.toml").read_text(encoding="utf-8")


@pytest.mark.real_data
def test_the_nightly_script_goes_on_then_keeps_the_control(real_data: Path, tmp_path: Path) -> None:
    """Two files of eleven days, for time, named by their last days, and a rest that is not sent."""
    daily = pd.read_parquet(real_data / "ab_daily.parquet").rename(columns={"group": "arm"})
    daily["day"] = daily["day"].astype(str).str[:10]
    (tmp_path / "days").mkdir()
    start, paths, days = 0, [], sorted(set(daily["day"]))
    for last, end in {"2017-01-12": 11, "2017-01-23": 22, "2017-01-24": 23}.items():
        rows = daily[daily["day"].isin(days[start:end])].groupby("arm", as_index=False)[["n", "conversions"]].sum()
        paths.append(tmp_path / "days" / f"{last}.csv")
        rows.to_csv(paths[-1], index=False)
        start = end
    plan = re.sub(r"number = .*\nunits = .*\ndays = .*", "number = 2\nunits = 140_000\ndays = 11", PLAN)
    (tmp_path / "plan.toml").write_text(f"{plan}experiments = 2000\n", encoding="utf-8")
    rest = [path.rename(path.with_suffix(".later")) for path in paths[1:]]

    first = nightly(tmp_path / "plan.toml", tmp_path / "days", tmp_path / "script.db")
    assert first.returncode == 0, first.stderr
    assert re.fullmatch(r"2017-01-12   0  Go on\. control leads with P\(best\) = \S+ .*\n", first.stdout)
    for path in rest:
        path.rename(path.with_suffix(".csv"))
    second = nightly(tmp_path / "plan.toml", tmp_path / "days", tmp_path / "script.db")
    assert second.returncode == 11, second.stderr
    told = second.stdout.splitlines(keepends=True)
    assert told[0] == first.stdout
    assert [line[:20] for line in told] == ["2017-01-12   0  Go o", "2017-01-23  11  Keep"]
    assert second.stderr.endswith("watch_a_test: landing page ends: everybody gets the control\n")
    assert second.stderr.count("counted before; nothing was changed") == 1
    replay = CliRunner().invoke(
        main, ["monitor", "replay", "landing page", "--ledger", str(tmp_path / "script.db"), "--json"]
    )
    looks = json.loads(replay.stdout)
    assert [(look["batch"], look["look"]) for look in looks] == [("2017-01-12", 1), ("2017-01-23", 2)]
    assert looks[-1]["deviations"] == []
    assert looks[-1]["units"] == daily.loc[daily["day"] <= "2017-01-23", "n"].sum()


def nightly(plan: Path, folder: Path, ledger: Path, program: str = "bayesuplift") -> subprocess.CompletedProcess[str]:
    """The script, with the package's program first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", str(SCRIPT), str(plan), str(folder), str(ledger)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": path, "BAYESUPLIFT": program},
    )


@pytest.mark.parametrize(
    ("codes", "told", "act"),
    [
        ((0, 0), (0, 0), ""),
        ((0, 10, 0), (0, 10), "e ends: everybody gets the treatment"),
        ((11, 0), (11,), "e ends: everybody gets the control"),
        ((12,), (12,), "e ends: any arm will do"),
        ((0, 20, 0), (0, 20), "help needed: stop e and look for the fault. So it is."),
        ((2, 0), (), "2026-01-01.csv cannot be counted"),
        ((0, 3, 0), (0,), "2026-01-02.csv does not fit"),
        ((137,), (), "ended with 137 on"),
        ((), (), ""),
    ],
)
def test_the_script_acts_on_every_exit_code(
    tmp_path: Path, codes: tuple[int, ...], told: tuple[int, ...], act: str
) -> None:
    days = tmp_path / "days"
    days.mkdir()
    for k, code in enumerate(codes, start=1):
        (days / f"2026-01-{k:02d}.csv").write_text(f"{code}\n", encoding="utf-8")
    (days / "notes.csv").write_text("137\n", encoding="utf-8")  # no day
    done = nightly(tmp_path / "plan.toml", days, tmp_path / "any.db", standing_in(tmp_path, start=0))
    assert done.returncode == next((code for code in codes if code), 0)
    lines = [f"2026-01-{k:02d}  {code:2d}  So it is." for k, code in enumerate(told, start=1)]
    assert done.stdout.splitlines() == lines
    assert done.stderr.count("watch_a_test: ") == bool(act)
    assert act in done.stderr


def test_the_script_ends_where_the_plan_is_not_started(tmp_path: Path) -> None:
    for code in (2, 3):
        done = nightly(tmp_path / "plan.toml", tmp_path, tmp_path / "any.db", standing_in(tmp_path, start=code))
        assert (done.returncode, done.stdout) == (code, "")
        assert f"was not started, code {code}" in done.stderr


def standing_in(folder: Path, *, start: int) -> str:
    """A program that ends an update with the code that its file holds, and tells a look where there is a verdict."""
    look = {"sample_ratio": {"sentence": "As intended."}, "verdict": {"name": "?", "sentence": "So it is."}}
    (folder / "look.json").write_text(json.dumps(look, indent=1), encoding="utf-8")
    (folder / "started.json").write_text(json.dumps({"experiment": "e", "new": True}, indent=1), encoding="utf-8")
    program = folder / "stand-in"
    program.write_text(
        f"""#!/usr/bin/env bash
if [ "$2" = start ]; then
    cat "{folder}/started.json"
    exit {start}
fi
[ "$3" = e ] || exit 99
code=$(cat "$4")
case $code in 2 | 3 | 137) ;; *) cat "{folder}/look.json" ;; esac
exit "$code"
""",
        encoding="utf-8",
    )
    program.chmod(0o755)
    return str(program)
