"""A reader of posteriors needs neither JAX nor NumPyro: with both blocked, a saved posterior is loaded and decided on."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bayesuplift as bu
from bayesuplift.inference.fit import Engine
from tests.support.catalogue import fitted
from tests.support.factored import UNITS, factored, rates
from tests.support.worlds import hillstrom_visits

BLOCKED = """
import sys

class Blind:
    # a finder that does not see JAX, as where it is not installed: other libraries look it up and go on without it
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in {"jax", "jaxlib", "numpyro"}
        return None if hidden else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Blind(finder) for finder in sys.meta_path]
"""

DECIDE = """
import json
import bayesuplift as bu

posterior = bu.load(sys.argv[1])
choice = bu.choose_arm(posterior, threshold_of_caring=0.001, rope=0.005)
for ending in ("html", "md", "json"):
    bu.write_report(f"{sys.argv[2]}/report.{ending}", bu.Report.of(posterior, choice))
print(json.dumps({
    "verdict": choice.verdict.name,
    "arm": choice.verdict.arm,
    "sentence": choice.verdict.sentence,
    "prob_best": choice.prob_best.values.tolist(),
    "checks": [check.name for check in bu.diagnose(posterior)],
    "imported": sorted({name.partition(".")[0] for name in sys.modules} & {"jax", "jaxlib", "numpyro", "pymc"}),
}))
"""


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", BLOCKED + script, *arguments], check=False, capture_output=True, text=True
    )


@pytest.mark.parametrize("engine", ["closed_form", "nuts"])
def test_a_saved_posterior_is_loaded_and_decided_on_without_jax(engine: Engine, tmp_path: Path) -> None:
    tree = fitted("beta_binomial", engine)
    bu.save(tree, tmp_path / "visits.nc")
    done = run(DECIDE, str(tmp_path / "visits.nc"), str(tmp_path))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    here = bu.choose_arm(tree, threshold_of_caring=0.001, rope=0.005)
    assert told["imported"] == []
    assert (told["verdict"], told["arm"], told["sentence"]) == (
        here.verdict.name,
        here.verdict.arm,
        here.verdict.sentence,
    )
    assert told["prob_best"] == here.prob_best.values.tolist()


def test_rates_are_compared_and_cells_are_read_without_jax(tmp_path: Path) -> None:
    cells = hillstrom_visits()
    cells.statistics.to_dataframe().reset_index().to_csv(tmp_path / "cells.csv", index=False)
    script = (
        "import bayesuplift as bu\n"
        "cells = bu.read_counts(sys.argv[1], arm='arm', control='No E-Mail', trials='n', successes='total')\n"
        "print(float(bu.compare_proportions(cells.total, cells.n).prob_best[1]))\n"
    )
    done = run(script, str(tmp_path / "cells.csv"))
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0.999


ASK = """
import bayesuplift as bu

posterior = bu.load(sys.argv[1])
effect, average = bu.cate(posterior), bu.ate(posterior, population=sys.argv[2])
economics = bu.Economics(4.0, {"men": 0.1})
tables = [
    bu.summarize(economics.net_gain(bu.gate(posterior, by="channel"))),
    bu.summarize(average, above=economics.breakeven(posterior)),
    bu.pairwise(effect),
    bu.heterogeneity(posterior),
    bu.unit_loo(posterior),
]
print(sum(len(table) for table in tables) > 0, {"jax", "numpyro"} & set(sys.modules))
"""


def test_estimands_are_read_from_a_saved_posterior_without_jax(tmp_path: Path) -> None:
    total = [[n // 3 for n in row] for row in UNITS]
    bu.save(factored(rates(seed=1), observed={"n": UNITS, "total": total}, kind="binary"), tmp_path / "visits.nc")
    (tmp_path / "people.csv").write_text("newbie,channel,n\n0,Phone,3\n1,Web,5\n")
    done = run(ASK, str(tmp_path / "visits.nc"), str(tmp_path / "people.csv"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(maxsplit=1) == ["True", "set()\n"]


def test_the_block_works_a_fit_is_what_needs_jax() -> None:
    done = run("import bayesuplift as bu\nbu.fit\n")
    assert done.returncode != 0
    assert re.search("No module named '(jax|numpyro)'", done.stderr)
