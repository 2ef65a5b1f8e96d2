"""What the commands of running experiments share."""

import sys
from collections.abc import Callable
from typing import Final

import click

CONFLICT: Final = 3
"""Exit code where what is asked does not fit what is stored."""

ledger_option = click.option(
    "--ledger",
    envvar="BAYESUPLIFT_LEDGER",
    default="experiments.db",
    show_default=True,
    help="File of the ledger, or postgresql+psycopg://user@host/database. Also from BAYESUPLIFT_LEDGER.",
)


def progress_on_terminal() -> Callable[[int, int], None]:
    """Tells on a terminal how many experiments of how many are done."""

    def told(done: int, of: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\rbayesuplift: {done:,} of {of:,} experiments", err=True, nl=done >= of)

    return told
