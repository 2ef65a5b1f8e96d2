"""The errors a caller can meet: one root, each also the built-in that it stands for."""

import difflib
import math
import numbers
from collections.abc import Iterable


class BayesupliftError(Exception):
    """Root of every refusal at a public entry."""

    def __str__(self) -> str:
        """Return the sentence itself: KeyError, a base of some refusals, would show its repr."""
        return str(self.args[0]) if self.args else ""


class ArgumentError(BayesupliftError, ValueError):
    """An argument is outside what the function can answer for."""


class DataError(BayesupliftError, ValueError):
    """The data hold a fault that no model may be fitted on."""


class FrameTypeError(BayesupliftError, TypeError):
    """The object handed in is not a dataframe, a table or a path."""


class ColumnNotFoundError(BayesupliftError, KeyError):
    """A named column is not in the table."""


class ArmNotFoundError(BayesupliftError, KeyError):
    """A named arm is not in the data."""


class FactorNotFoundError(BayesupliftError, KeyError):
    """A named segment factor is not in the data."""


class ModelNotFoundError(BayesupliftError, KeyError):
    """A named model is not registered."""


class MissingFileError(BayesupliftError, FileNotFoundError):
    """A named file does not exist."""


class UnreadableFileError(BayesupliftError, OSError):
    """A file exists and cannot be read as what its name says, or written."""


class PosteriorError(BayesupliftError, ValueError):
    """A tree does not follow the posterior's schema."""


class AnalysisError(BayesupliftError, ValueError):
    """An analysis file is not one."""


class PlanError(BayesupliftError, ValueError):
    """A plan of a monitored experiment is not one, or asks for what cannot be promised."""


class BatchError(BayesupliftError, ValueError):
    """A batch of a monitored experiment holds a fault; nothing of it is kept."""


class StateError(BayesupliftError, ValueError):
    """What is stored of a monitored experiment is not what was written, or does not allow what is asked."""


class LedgerConflictError(BayesupliftError, ValueError):
    """The ledger holds another plan, or another batch, under the name given."""


class LedgerError(BayesupliftError, OSError):
    """A ledger cannot be opened or written, or the database is not one."""


class NumericalError(BayesupliftError, ArithmeticError):
    """A computation did not reach its stated accuracy; nothing is returned in its place."""


class MissingExtraError(BayesupliftError, ImportError):
    """A package that only an extra installs is not there."""


class DataWarning(UserWarning):
    """The data can be fitted, and hold something that the reader should know."""


def check_whole(name: str, value: object, least: int) -> None:
    """Refuse an argument that is no whole number, Python's or NumPy's, from `least` to the largest that 63 bits hold.

    Raises
    ------
    ArgumentError
        It is not; True is none.
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or not least <= value < 2**63:  # type: ignore[operator]
        raise ArgumentError(f"{name} = {value!r}; give a whole number from {least}")


def is_finite_number(value: object) -> bool:
    """Whether an argument is a real number, Python's or NumPy's, and neither missing nor infinite; True is none.

    >>> is_finite_number(0.5), is_finite_number(True), is_finite_number("0.5"), is_finite_number(float("nan"))
    (True, False, False, False)
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False


def listed(names: Iterable[object], limit: int = 12) -> str:
    """Join names for a sentence, cut after `limit` of them.

    >>> listed(["control", "offer"])
    'control, offer'
    """
    every = [str(name) for name in names]
    rest = len(every) - limit
    return ", ".join(every[:limit]) + (f" and {rest} more" if rest > 0 else "")


def did_you_mean(name: object, options: Iterable[object]) -> str:
    """Return " Did you mean '…'?" when an option is close to the name, else nothing.

    >>> did_you_mean("contol", ["control", "offer"])
    " Did you mean 'control'?"
    """
    close = difflib.get_close_matches(str(name), [str(option) for option in options], n=1)
    return f" Did you mean '{close[0]}'?" if close else ""
