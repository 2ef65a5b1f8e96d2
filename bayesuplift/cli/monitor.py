"""Commands of running experiments: every exit code is a verdict."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from bayesuplift.cli.monitor_options import CONFLICT, ledger_option, progress_on_terminal
from bayesuplift.cli.output import aligned, as_json_option, print_json
from bayesuplift.errors import LedgerConflictError, StateError

_EXIT: Final = {"CONTINUE": 0, "EQUIVALENT": 12, "INVALID": 20}
_CHOOSE_TREATMENT: Final = 10
_CHOOSE_CONTROL: Final = 11


class _Monitor(click.Group):
    """A conflict with what is stored exits with 3: the input may be sound, and sending it again will not help."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (LedgerConflictError, StateError) as error:
            click.echo(f"bayesuplift: {error}", err=True)
            ctx.exit(CONFLICT)


@click.group(cls=_Monitor)
def monitor() -> None:
    """Look at a running experiment again and again, under a promise that holds.

    Exit codes of update, status and replay: 0 CONTINUE; 10 CHOOSE a treatment; 11 CHOOSE the control; 12 EQUIVALENT; 20
    INVALID (sample-ratio mismatch, or a guardrail). Of all: 2 bad input or usage; 3 a conflict with what is stored.
    """


_experiments = click.option("--experiments", type=int, default=10_000, show_default=True, help="Simulated experiments.")
_seed = click.option("--seed", type=int, default=1, show_default=True, help="Seed of the simulation.")
_effect = click.option(
    "--effect",
    "effects",
    type=float,
    multiple=True,
    help="Relative effect of every treatment, such as 0.05. Repeatable.",
)


@monitor.command()
@click.argument("plan", type=click.Path(path_type=Path))
@ledger_option
@as_json_option
def start(*, plan: Path, ledger: str, as_json: bool) -> None:
    """Freeze a plan (TOML) in the ledger. Under "calibrated" this simulates its threshold."""
    from bayesuplift.monitor.ledger.opening import open_ledger  # noqa: PLC0415 -- --help must not wait for it
    from bayesuplift.monitor.plan_file import read_plan  # noqa: PLC0415 -- the same
    from bayesuplift.monitor.running import start as run  # noqa: PLC0415 -- the same

    read = read_plan(plan)
    click.echo(f"bayesuplift: seed {read.rule.seed}", err=True)
    state, new = run(open_ledger(ledger), read)
    if as_json:
        print_json({"experiment": read.name, "new": new, "plan_hash": read.hash, "state_hash": state.hash})
        return
    click.echo(f"{read.name}: {'started' if new else 'was started before, with this plan'}; plan {read.hash[:12]}")
    if state.threshold is not None:
        click.echo(f"threshold {state.threshold.value:.4g} of the log Bayes factor of benefit against harm")


@monitor.command()
@click.argument("experiment")
@click.argument("batch", type=click.Path(path_type=Path, allow_dash=True))
@ledger_option
@click.option("--batch-id", help="Name of the batch, such as its day: sent again, it is counted once.")
@click.option("--cumulative", is_flag=True, help="The batch holds everything since the start.")
@click.option("--at", help="When it was taken: a day or a time, ISO 8601 [now].")
@click.option("--after-stop", is_flag=True, help="Count a batch after the end, as a deviation; the verdict stays.")
@click.option("--segment-alarm", is_flag=True, help="Fit the pooled model by segment and tell which seem to be harmed.")
@click.option(
    "--report", type=click.Path(path_type=Path), help="Also write the experiment's page: .html, .md or .json."
)
@as_json_option
def update(
    *,
    experiment: str,
    batch: Path,
    ledger: str,
    batch_id: str | None,
    cumulative: bool,
    at: str | None,
    after_stop: bool,
    segment_alarm: bool,
    report: Path | None,
    as_json: bool,
) -> None:
    """Count a batch (CSV, JSON or Parquet; - for CSV on standard input) and look.

    Columns: arm, n (units), <metric> (sum of its outcomes), <metric>_squares (sum of their squares; not of binary ones),
    and the plan's segments; `enrolled` where the plan counts outcomes within a window.
    """
    from bayesuplift.monitor.batch_table import parsed  # noqa: PLC0415 -- --help must not wait for it
    from bayesuplift.monitor.ledger.opening import open_ledger  # noqa: PLC0415 -- the same
    from bayesuplift.monitor.running import record  # noqa: PLC0415 -- the same

    if batch_id is None and not cumulative:
        raise click.UsageError("Name the batch, with --batch-id, or say that it is --cumulative.")
    piped = str(batch) == "-"
    table: Any = parsed(sys.stdin.read(), ".csv") if piped else batch
    opened = open_ledger(ledger, create=False)
    recorded = record(
        opened,
        experiment,
        table,
        id=batch_id,
        at=at,
        cumulative=cumulative,
        alarm=_alarm() if segment_alarm else None,
        after_stop=after_stop,
    )
    if recorded.repeated:
        click.echo("bayesuplift: this batch was counted before; nothing was changed", err=True)
    if report is not None:
        _write_page(opened, experiment, report)
    _finish(recorded.look, as_json=as_json)


@monitor.command()
@click.argument("experiment", required=False)
@ledger_option
@click.option(
    "--report", type=click.Path(path_type=Path), help="Also write the experiment's page: .html, .md or .json."
)
@as_json_option
def status(*, experiment: str | None, ledger: str, report: Path | None, as_json: bool) -> None:
    """Tell the last look of an experiment, or list all experiments."""
    from bayesuplift.monitor.ledger.opening import open_ledger  # noqa: PLC0415 -- --help must not wait for it
    from bayesuplift.monitor.running import last_look  # noqa: PLC0415 -- the same

    opened = open_ledger(ledger, create=False)
    if experiment is None:
        _list(opened, as_json=as_json)
        return
    look = last_look(opened, experiment)
    if report is not None:
        _write_page(opened, experiment, report)
    if look is None:
        click.echo(f"{experiment}: no batch yet") if not as_json else print_json(None)
        return
    _finish(look, as_json=as_json)


@monitor.command()
@click.argument("experiment")
@ledger_option
@click.option(
    "--rebuild", "again", is_flag=True, help="First make the stored state again, where it was cut off or altered."
)
@as_json_option
def replay(*, experiment: str, ledger: str, again: bool, as_json: bool) -> None:
    """Make every look again from the plan and the batches, and check it against the recorded one, bit for bit."""
    from bayesuplift.monitor.ledger.opening import open_ledger  # noqa: PLC0415 -- --help must not wait for it
    from bayesuplift.monitor.running import rebuild  # noqa: PLC0415 -- the same
    from bayesuplift.monitor.running import replay as run  # noqa: PLC0415 -- the same

    opened = open_ledger(ledger, create=False)
    if again:
        state = rebuild(opened, experiment)
        click.echo(f"bayesuplift: the state was made again from {state.batches} batches", err=True)
    looks = run(opened, experiment)
    if as_json:
        print_json(looks)
    else:
        click.echo(f"{experiment}: {len(looks)} looks replayed, each as it was recorded")
        rows = [["batch", "units", "leading", "P(best)", "verdict"], *map(_row, looks)]
        for line in aligned(rows) if looks else []:
            click.echo(f"  {line}")
    sys.exit(_exit_code(looks[-1]) if looks else 0)


@monitor.command()
@click.argument("plan", type=click.Path(path_type=Path))
@_effect
@_experiments
@_seed
@as_json_option
def simulate(*, plan: Path, effects: tuple[float, ...], experiments: int, seed: int, as_json: bool) -> None:
    """Simulate a plan before it starts: error rates, power, expected loss, duration.

    Without --effect: no effect, 5% and 10%, and effects drawn from the plan's prior.
    """
    from bayesuplift.monitor.operating.characteristics import simulate_all  # noqa: PLC0415 -- --help must not wait for it
    from bayesuplift.monitor.plan_file import read_plan  # noqa: PLC0415 -- the same

    click.echo(f"bayesuplift: seed {seed}", err=True)
    _show(
        simulate_all(
            read_plan(plan), effects=effects, experiments=experiments, seed=seed, progress=progress_on_terminal()
        ),
        as_json=as_json,
    )


@click.command()
@click.argument("plan", type=click.Path(path_type=Path))
@click.option("--units", "units", type=int, multiple=True, help="Units from look to look, all arms. Repeatable.")
@_effect
@_experiments
@_seed
@as_json_option
def design(
    *, plan: Path, units: tuple[int, ...], effects: tuple[float, ...], experiments: int, seed: int, as_json: bool
) -> None:
    """Compare sizes of a planned experiment: power, assurance, duration and expected loss, by simulation.

    Without --units: half the plan's, the plan's, and twice as many.
    """
    from bayesuplift.monitor.operating.design import EFFECTS  # noqa: PLC0415 -- --help must not wait for it
    from bayesuplift.monitor.operating.design import design as run  # noqa: PLC0415 -- the same
    from bayesuplift.monitor.plan_file import read_plan  # noqa: PLC0415 -- the same

    read = read_plan(plan)
    click.echo(f"bayesuplift: seed {seed}", err=True)
    sizes = units or (max(2, read.looks.units // 2), read.looks.units, 2 * read.looks.units)
    _show(
        run(
            read,
            units_per_look=sizes,
            relative_effects=effects or EFFECTS,
            experiments=experiments,
            seed=seed,
            progress=progress_on_terminal(),
        ),
        as_json=as_json,
    )


def _show(told: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(told.as_facts())
    else:
        click.echo(str(told))


def _alarm() -> Callable[..., Any]:
    from bayesuplift.segment_alarm import segment_alarm  # noqa: PLC0415 -- loads JAX, which an update without it does not need

    return segment_alarm


def _write_page(ledger: Any, experiment: str, path: Path) -> None:
    from bayesuplift.report.monitor_page import write_monitor_page  # noqa: PLC0415 -- loads the figures

    write_monitor_page(path, ledger, experiment)
    click.echo(f"bayesuplift: wrote {path}", err=True)


def _list(ledger: Any, *, as_json: bool) -> None:
    every = ledger.experiments()
    if as_json:
        print_json([{"experiment": one.name, "batches": one.entries, "last_batch": one.last_batch_id} for one in every])
        return
    rows = [
        ["experiment", "batches", "last"],
        *([one.name, str(one.entries), one.last_batch_id or "-"] for one in every),
    ]
    for line in aligned(rows):
        click.echo(line)


def _finish(look: dict[str, Any], *, as_json: bool) -> None:
    """Print a look, and exit by its verdict."""
    if as_json:
        print_json(look)
    else:
        _print_look(look)
    sys.exit(_exit_code(look))


def _exit_code(look: dict[str, Any]) -> int:
    verdict = look["verdict"]
    if verdict["name"] != "CHOOSE":
        return _EXIT[verdict["name"]]
    return _CHOOSE_CONTROL if verdict["arm"] == look["arms"][0]["arm"] else _CHOOSE_TREATMENT


def _print_look(look: dict[str, Any]) -> None:
    verdict = look["verdict"]
    of = "" if look["look"] is None else f", look {look['look']}" + (f" of {look['looks']}" if look["looks"] else "")
    click.echo(f"{look['experiment']}{of}: {verdict['name']} {verdict['arm'] or ''}".rstrip())
    click.echo(verdict["sentence"])
    click.echo(f"Promise: {verdict['promise_sentence']}")
    rows = [["arm", "units", "mean", "lift", "95% interval", "P(best)", "relative loss", "log10 e-value"]]
    rows += [_arm_row(row) for row in look["arms"]]
    for line in aligned(rows):
        click.echo(f"  {line}")
    for one in (look["sample_ratio"], *look["guardrails"], *look["segment_alarms"]):
        click.echo(one["sentence"])
    new = [text for text in look["deviations"] if text.startswith(f"batch {look['batch']}:")]
    for text in (*new, *look["warnings"]):
        click.echo(f"bayesuplift: warning: {text}", err=True)


def _arm_row(row: dict[str, Any]) -> list[str]:
    def percent(value: float | None, digits: int = 1) -> str:
        return "-" if value is None else f"{value:+.{digits}%}"

    bounds = "-" if row["lift_lower"] is None else f"[{percent(row['lift_lower'])}, {percent(row['lift_upper'])}]"
    return [
        row["arm"] + (" (control)" if row["is_control"] else ""),
        f"{row['n']:,}",
        "-" if row["mean"] is None else f"{row['mean']:.5g}",
        percent(row["lift"]),
        bounds,
        f"{row['prob_best']:.1%}",
        f"{row['relative_loss']:.3%}",
        "-" if row["log10_e_value"] is None else f"{row['log10_e_value']:.2f}",
    ]


def _row(look: dict[str, Any]) -> list[str]:
    leading = max(look["arms"], key=lambda row: row["prob_best"])
    verdict = look["verdict"]
    return [
        look["batch"],
        f"{look['units']:,}",
        leading["arm"],
        f"{leading['prob_best']:.1%}",
        f"{verdict['name']} {verdict['arm'] or ''}".rstrip(),
    ]
