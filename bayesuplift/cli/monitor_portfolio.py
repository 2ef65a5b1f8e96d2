"""Commands of many experiments under one plan, and of the shares that the next units of one are dealt with."""

import csv
import sys
from collections import Counter
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

import click

from bayesuplift.cli.monitor_options import CONFLICT, ledger_option, progress_on_terminal
from bayesuplift.cli.output import aligned, as_json_option, print_json
from bayesuplift.errors import ArgumentError

_MOST_REASONS: Final = 20  # on standard error; the rows have all


@click.command()
@click.argument("plan", type=click.Path(path_type=Path))
@click.argument("table", type=click.Path(path_type=Path))
@ledger_option
@click.option("--at", required=True, help="When the table was taken: a day or a time, ISO 8601.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write one row for each experiment (CSV) here.")
@as_json_option
def portfolio(*, plan: Path, table: Path, ledger: str, at: str, output: Path | None, as_json: bool) -> None:
    """Count many experiments under one plan, each with everything so far; a bad one stops no other.

    TABLE (CSV, JSON or Parquet) has the columns of a cumulative batch (see update) and `experiment`. Each experiment is
    kept in the ledger as NAME OF THE PLAN/EXPERIMENT, and started when it is new. The same table at the same time changes
    nothing.

    Exit codes: 0 done, whatever the verdicts, and also where some experiments were refused or had ended before: their
    number stands on standard error, their reasons in the rows; 2 the plan, the table or the ledger cannot be read; 3 every
    experiment was refused.
    """
    from bayesuplift.monitor.ledger.opening import open_ledger  # noqa: PLC0415 -- --help must not wait for it
    from bayesuplift.monitor.plan_file import read_plan  # noqa: PLC0415 -- the same
    from bayesuplift.monitor.portfolio import run_portfolio  # noqa: PLC0415 -- the same

    read = read_plan(plan)
    click.echo(f"bayesuplift: seed {read.rule.seed}", err=True)
    told = run_portfolio(open_ledger(ledger), read, table, at=at, progress=progress_on_terminal())
    if output is not None:
        _write(output, told.rows)
        click.echo(f"bayesuplift: wrote {output}", err=True)
    if as_json:
        print_json(told.as_facts())
    else:
        _print(told, rows=output is None)
    if told.ended:
        click.echo(f"bayesuplift: {told.ended:,} of {len(told.rows):,} experiments had ended before", err=True)
    if told.refused:
        click.echo(f"bayesuplift: {told.refused:,} of {len(told.rows):,} experiments were refused", err=True)
    for row in [row for row in told.rows if row.error is not None and not row.ended][:_MOST_REASONS]:
        click.echo(f"bayesuplift: {row.experiment or 'no name'}: {row.error}", err=True)
    sys.exit(CONFLICT if told.rows and told.refused == len(told.rows) else 0)


@click.command()
@click.argument("experiment")
@ledger_option
@click.option("--top-two", is_flag=True, help="Shares of top-two Thompson sampling, which finds the best arm sooner.")
@click.option("--beta", type=float, default=0.5, show_default=True, help="With --top-two: share for the leader.")
@click.option("--at-least", type=float, default=0.0, show_default=True, help="Share that every arm keeps.")
@as_json_option
def weights(*, experiment: str, ledger: str, top_two: bool, beta: float, at_least: float, as_json: bool) -> None:
    """Shares of the next units by arm, from P(best) at the last look: Thompson sampling in closed form.

    The checks and promises of an experiment rest on the split of its plan. One whose units are dealt by these shares leaves
    it: its sample-ratio check will say so, and its promise no longer holds.
    """
    from bayesuplift.monitor.ledger.opening import open_ledger  # noqa: PLC0415 -- --help must not wait for it
    from bayesuplift.monitor.running import last_look  # noqa: PLC0415 -- the same
    from bayesuplift.monitor.weights import thompson_weights, top_two_weights  # noqa: PLC0415 -- the same

    look = last_look(open_ledger(ledger, create=False), experiment)
    if look is None:
        raise ArgumentError(f"experiment {experiment!r} has no batch yet; until then its plan's split is all there is")
    best = [row["prob_best"] for row in look["arms"]]
    shares = top_two_weights(best, beta, at_least=at_least) if top_two else thompson_weights(best, at_least=at_least)
    verdict = look["verdict"]
    if verdict["name"] != "CONTINUE":
        ended = f"{verdict['name']} {verdict['arm'] or ''}".rstrip()
        click.echo(f"bayesuplift: warning: experiment {experiment!r} has ended with {ended}", err=True)
    rows = [
        {"arm": row["arm"], "prob_best": row["prob_best"], "share": float(share)}
        for row, share in zip(look["arms"], shares, strict=True)
    ]
    if as_json:
        told = {"experiment": experiment, "batch": look["batch"], "at": look["at"], "units": look["units"]}
        rule = {"rule": "top-two", "beta": beta} if top_two else {"rule": "thompson"}
        print_json(told | rule | {"at_least": at_least, "arms": rows})
        return
    cells = [["arm", "P(best)", "share"], *([r["arm"], f"{r['prob_best']:.2%}", f"{r['share']:.2%}"] for r in rows)]
    for line in aligned(cells):
        click.echo(line)


def _write(path: Path, rows: Any) -> None:
    """One row for each experiment, as CSV."""
    from bayesuplift.files import whole_or_nothing  # noqa: PLC0415 -- only where a file is asked for
    from bayesuplift.monitor.portfolio import PortfolioRow  # noqa: PLC0415 -- the same

    with whole_or_nothing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [one.name for one in fields(PortfolioRow)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def _print(told: Any, *, rows: bool) -> None:
    """The experiments, where no file takes them, and how many came to which verdict."""
    if rows:
        cells = [["experiment", "units", "treatment", "P(best)", "lift", "relative loss", "verdict"]]
        cells += [_cells(row) for row in told.rows]
        for line in aligned(cells):
            click.echo(line)
        click.echo()
    verdicts = Counter(row.verdict or "refused" for row in told.rows)
    counts = "; ".join(f"{number:,} {name}" for name, number in verdicts.most_common())
    click.echo(f"{len(told.rows):,} experiments{': ' if counts else ''}{counts}")
    if told.remark:
        click.echo(told.remark)


def _cells(row: Any) -> list[str]:
    verdict = "refused" if row.verdict is None else f"{row.verdict} {row.arm or ''}".rstrip()
    figures = (
        "-" if row.prob_best is None else f"{row.prob_best:.1%}",
        "-" if row.lift is None else f"{row.lift:+.1%}",
        "-" if row.relative_loss is None else f"{row.relative_loss:.3%}",
    )
    return [
        row.experiment or "-",
        "-" if row.units is None else f"{row.units:,}",
        row.treatment or "-",
        *figures,
        verdict,
    ]
