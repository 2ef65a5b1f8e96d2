"""The commands from analysis to policy, and the program that all of them belong to."""

import shutil
import sys
import warnings
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from bayesuplift.cli.monitor import design, monitor
from bayesuplift.cli.monitor_portfolio import portfolio, weights
from bayesuplift.cli.output import aligned, as_json_option, print_json
from bayesuplift.errors import BayesupliftError

_BAD_INPUT = 2
_NO_DECISION = 3


class _Program(click.Group):
    """Refusals become one line on standard error and exit code 2; warnings one line each."""

    def invoke(self, ctx: click.Context) -> Any:
        warnings.showwarning = _show_warning
        try:
            return super().invoke(ctx)
        except BayesupliftError as error:
            click.echo(f"bayesuplift: {error}", err=True)
            ctx.exit(_BAD_INPUT)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Write a warning in one line, as errors are: a path inside this package says nothing to a shell's user."""
    click.echo(f"bayesuplift: warning: {message}", err=True)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="bayesuplift")
def main() -> None:
    """From experiment data to a decision, with posterior uncertainty carried to the end.

    Exit codes: 0 done; 2 bad input or usage; 3 no decision, because a check of the data or of the model failed.
    """


@main.command()
@click.argument("analysis", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Folder of the results [out/<name of the analysis>]."
)
@as_json_option
def analyze(analysis: Path, output: Path | None, *, as_json: bool) -> None:
    """Read, check, fit, decide and report, as the analysis file (TOML) says.

    Writes posterior.nc, result.json, report.md and report.html.
    """
    _analyze(analysis, output, as_json=as_json)


@main.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder of the results [out/demo].")
@as_json_option
def demo(output: Path | None, *, as_json: bool) -> None:
    """Analyze a real e-mail test of 64,000 customers, from the bundled counts."""
    with as_file(files("bayesuplift.data") / "bundled") as folder:
        _analyze(folder / "hillstrom.toml", output, as_json=as_json)


@main.command()
@click.argument("analysis", type=click.Path(path_type=Path))
@as_json_option
def check(analysis: Path, *, as_json: bool) -> None:
    """Read the data of an analysis file and check them; fit nothing."""
    from bayesuplift.workflow import check as run  # noqa: PLC0415 -- --help must not wait for JAX

    results = run(analysis)
    if as_json:
        print_json([{"name": one.name, "passed": one.passed, "sentence": one.sentence} for one in results])
    for one in [] if as_json else results:
        click.echo(f"{'passed' if one.passed else 'FAILED'}  {one.sentence}")
    sys.exit(0 if all(one.passed for one in results) else _NO_DECISION)


@main.command()
@click.argument("posterior", type=click.Path(path_type=Path))
@click.option("--threshold", type=float, required=True, help="Threshold of caring: expected loss in outcome units.")
@click.option("--rope", type=float, help="Half-width of the region of practical equivalence, in outcome units.")
@click.option("--lower-is-better", is_flag=True, help="Less of the outcome is better.")
@click.option("--name", help="Which posterior, in a file that holds several.")
@click.option("--report", type=click.Path(path_type=Path), help="Also write a report: .html, .md or .json.")
@as_json_option
def choose(
    posterior: Path,
    threshold: float,
    rope: float | None,
    name: str | None,
    report: Path | None,
    *,
    lower_is_better: bool,
    as_json: bool,
) -> None:
    """Choose an arm from a stored posterior (netCDF), whoever made it."""
    from bayesuplift.decisions.choice import choose_arm  # noqa: PLC0415 -- --help must not wait for xarray
    from bayesuplift.posterior.storage import load  # noqa: PLC0415 -- the same
    from bayesuplift.report.content import Report  # noqa: PLC0415 -- the same
    from bayesuplift.report.render import write_report  # noqa: PLC0415 -- the same

    tree = load(posterior, name)
    choice = choose_arm(tree, threshold_of_caring=threshold, rope=rope, higher_is_better=not lower_is_better)
    written = Report.of(tree, choice)
    if report is not None:
        write_report(report, written)
    _finish(written.facts(), as_json=as_json)


@main.command()
@click.argument("policy", type=click.Path(path_type=Path))
@click.argument("units", required=False, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--posterior", type=click.Path(path_type=Path), help="Score the units by this posterior (netCDF).")
@click.option("--name", help="Which posterior, in a file that holds several.")
@click.option("--seed", type=int, help="Seed of what the posterior does not know [the seed of its fit].")
@click.option("--unit", help="Column that names the unit.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    default="-",
    help="File of the arms: .csv, .csv.gz or .parquet [CSV on standard output].",
)
@click.option(
    "--sql", "table", metavar="TABLE", help="Only print the SELECT that gives the arms of this table's units."
)
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON; the arms need a file then.")
def target(
    *,
    policy: Path,
    units: Path | None,
    posterior: Path | None,
    name: str | None,
    seed: int | None,
    unit: str | None,
    output: Path,
    table: str | None,
    as_json: bool,
) -> None:
    """Give every unit of a table its arm, by a policy that was saved (policy.json).

    UNITS is a CSV, TSV or Parquet file with one row a unit, or - for CSV on standard input. A policy over segments asks for
    their factors, one by a tree for its covariates; one by scores for these, or for what the posterior predicts them from.
    """
    from bayesuplift.decisions.deployment.policy_file import load_policy  # noqa: PLC0415 -- --help must not wait for pandas

    loaded = load_policy(policy)
    if table is not None:
        if units is not None or posterior is not None or str(output) != "-" or as_json:
            raise click.UsageError("--sql prints a statement, for --unit if that is given; leave out what reads units.")
        click.echo(f"{loaded.sql(table, unit=unit)};")
        return
    if units is None:
        raise click.UsageError("Name the file of UNITS, or - for standard input; or a table, with --sql.")
    if posterior is None and (name is not None or seed is not None):
        raise click.UsageError("--name and --seed are of a posterior; name its file, with --posterior.")
    if as_json and str(output) == "-":
        raise click.UsageError("--json prints the counts on standard output; name a file for the arms, with -o.")
    predict = None if posterior is None else _predictor(posterior, name, seed, unit)
    told = _target(loaded, units, output, unit, predict)
    click.echo(f"bayesuplift: {told}", err=True)
    if str(output) != "-":
        click.echo(f"bayesuplift: wrote {output}", err=True)
    if as_json:
        print_json({"units": told.units, "arms": dict(told.by_arm), "unknown": told.unknown, "output": str(output)})


@main.command()
@as_json_option
def models(*, as_json: bool) -> None:
    """List the models with the question that each answers."""
    from bayesuplift.models import questions  # noqa: PLC0415 -- --help must not wait for JAX

    every = questions()
    if as_json:
        print_json(every)
    for name, question in {} if as_json else every.items():
        click.echo(f"{name}  {question}")


def _analyze(path: Path, output: Path | None, *, as_json: bool) -> None:
    from bayesuplift.workflow import analyze as run  # noqa: PLC0415 -- --help must not wait for JAX
    from bayesuplift.workflow import output_folder, seed_of, write_results  # noqa: PLC0415 -- the same

    click.echo(f"bayesuplift: seed {seed_of(path)}", err=True)
    report = run(path)
    written = write_results(output or output_folder(path), report)
    for one in written:
        click.echo(f"bayesuplift: wrote {one}", err=True)
    _finish(report.facts(), as_json=as_json)


def _predictor(path: Path, name: str | None, seed: int | None, unit: str | None) -> Any:
    """A function from rows of units to a posterior over them."""
    from bayesuplift.inference.predict import predict  # noqa: PLC0415 -- --help must not wait for JAX
    from bayesuplift.posterior.storage import load  # noqa: PLC0415 -- the same

    tree = load(path, name)
    own = int(tree.attrs.get("seed", 0)) if seed is None else seed
    click.echo(f"bayesuplift: seed {own}", err=True)
    return lambda rows: predict(tree, rows, seed=own, unit=unit)


def _target(policy: Any, units: Path, output: Path, unit: str | None, predict: Any) -> Any:
    """Write the arms of units, either of which may be a pipe; how many get which."""
    from bayesuplift.decisions.deployment.batches import write_arms  # noqa: PLC0415 -- --help must not wait for pandas

    with TemporaryDirectory(prefix="bayesuplift.") as folder:
        source, target = Path(folder) / "units.csv", Path(folder) / "arms.csv"
        if str(units) == "-":
            with source.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        told = write_arms(
            policy,
            source if str(units) == "-" else units,
            target if str(output) == "-" else output,
            unit=unit,
            predict=predict,
        )
        if str(output) == "-":
            with target.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
    return told


def _finish(facts: dict[str, Any], *, as_json: bool) -> None:
    """Print the decision, and exit by it."""
    if as_json:
        print_json(facts)
    else:
        _print_tables(facts)
    invalid = any(one["verdict"]["name"] == "INVALID" for one in facts["outcomes"])
    sys.exit(_NO_DECISION if invalid else 0)


_COLUMNS: tuple[tuple[str, Callable[[dict[str, Any]], str]], ...] = (
    ("arm", lambda row: row["arm"] + (" (control)" if row["is_control"] else "")),
    ("units", lambda row: row["shown"]["n"]),
    ("raw", lambda row: row["shown"]["raw_mean"]),
    ("posterior", lambda row: row["shown"]["mean_outcome"]),
    ("lift", lambda row: row["shown"]["relative_lift"]),
    ("P(best)", lambda row: row["shown"]["prob_best"]),
    ("expected loss", lambda row: row["shown"]["expected_loss"]),
)


def _print_tables(facts: dict[str, Any]) -> None:
    from bayesuplift.report.targeting_sections import policies_text  # noqa: PLC0415 -- --help must not wait for plotly

    for outcome in facts["outcomes"]:
        verdict = outcome["verdict"]
        click.echo(f"{outcome['name']} ({outcome['role']}): {verdict['name']} {verdict['arm'] or ''}".rstrip())
        click.echo(verdict["sentence"])
        cells = [[name for name, _ in _COLUMNS], *([show(row) for _, show in _COLUMNS] for row in outcome["arms"])]
        for line in aligned(cells):
            click.echo(f"  {line}")
        if text := policies_text(outcome):
            click.echo(text)
        click.echo()


monitor.add_command(portfolio)
monitor.add_command(weights)
main.add_command(monitor)
main.add_command(design)
