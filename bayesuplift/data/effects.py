"""Past experiments by their results: one effect estimate and its standard error each."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, cast, get_args

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from bayesuplift.data.design import Design
from bayesuplift.data.fingerprints import ten_digits_of
from bayesuplift.dims import ARM, SEGMENT, Kind
from bayesuplift.errors import ArgumentError, DataError, did_you_mean, listed

EffectScale = Literal["difference", "log_ratio", "log_odds"]
EFFECT_SCALES: Final[tuple[EffectScale, ...]] = get_args(EffectScale)
EXPERIMENT: Final = "experiment"
ARMS: Final = ("control", "treatment")


@dataclass(frozen=True, eq=False)
class Effects:
    """Effect estimates of past experiments, treatment against control, with known standard errors.

    Parameters
    ----------
    experiment
        Name of each experiment, (J,), all different. An experiment with several treatments is given one row for each, and
        its errors are then not independent (see the model's card).
    estimate
        Estimated effect, (J,), on `scale`.
    standard_error
        Its standard error, (J,), on `scale`, positive.
    scale
        What the effect is: the "difference" of mean outcomes (outcome units), the "log_ratio" of mean outcomes (0.05 is 5
        percent up), or the "log_odds" ratio of rates.
    outcome
        Name of the outcome.

    Raises
    ------
    DataError
        Lengths differ, there is no experiment, a name comes twice or is empty, an estimate is not finite, or a standard
        error is not positive.
    ArgumentError
        The scale is none of the three.
    """

    experiment: Sequence[str]
    estimate: ArrayLike
    standard_error: ArrayLike
    scale: EffectScale
    outcome: str = "outcome"

    def __post_init__(self) -> None:
        """Validate once, and make every array read-only."""
        if self.scale not in EFFECT_SCALES:
            raise ArgumentError(
                f"no scale of effects named {self.scale!r}. Scales: {listed(EFFECT_SCALES)}."
                f"{did_you_mean(self.scale, EFFECT_SCALES)}"
            )
        if not isinstance(self.outcome, str) or not self.outcome.strip():
            raise ArgumentError(f"outcome is {self.outcome!r}; give the outcome's name as text.")
        names = tuple(self.experiment)
        _check_names(names)
        for name in ("estimate", "standard_error"):
            object.__setattr__(self, name, _numbers(getattr(self, name), name, names))
        _refuse(~(self.standard_errors > 0), names, "a standard error that is not above 0", "Drop these experiments.")
        object.__setattr__(self, "experiment", names)

    def __eq__(self, other: object) -> bool:
        """Whether both say the same, to the digits of the fingerprint."""
        return self.fingerprint == other.fingerprint if isinstance(other, Effects) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __len__(self) -> int:
        """Return the number of experiments J."""
        return len(self.experiment)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle through the constructor: a copy is validated and read-only, too."""
        return type(self), tuple(getattr(self, part.name) for part in fields(self))

    @property
    def estimates(self) -> NDArray[np.float64]:
        """The estimates as an array (J,), on `scale`, read-only."""
        return cast("NDArray[np.float64]", self.estimate)

    @property
    def standard_errors(self) -> NDArray[np.float64]:
        """The standard errors as an array (J,), on `scale`, read-only."""
        return cast("NDArray[np.float64]", self.standard_error)

    @property
    def design(self) -> Design:
        """Two arms, "control" and "treatment": what each experiment compared."""
        return Design(arms=ARMS, control=ARMS[0])

    @property
    def kind(self) -> Kind:
        """Effects are "continuous", whatever the outcome was."""
        return "continuous"

    @property
    def typical_standard_error(self) -> float:
        """Median of the standard errors: the unit of a default prior, which so looks at no estimate."""
        return float(np.median(self.standard_errors))

    @property
    def statistics(self) -> xr.Dataset:
        """`estimate` and `standard_error` (segment,): every experiment is a segment of two arms."""
        labels = list(self.experiment)
        return xr.Dataset(
            {"estimate": (SEGMENT, self.estimates), "standard_error": (SEGMENT, self.standard_errors)},
            coords={SEGMENT: labels, ARM: list(self.design.arms), EXPERIMENT: (SEGMENT, labels)},
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the experiments say, in hexadecimal; numbers count to ten significant digits."""
        facts = {
            "outcome": self.outcome,
            "scale": self.scale,
            "experiment": list(self.experiment),
            "estimate": ten_digits_of(self.estimates),
            "standard_error": ten_digits_of(self.standard_errors),
        }
        canonical = json.dumps(facts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def _check_names(names: tuple[str, ...]) -> None:
    """Refuse names that are none, empty, or not all different."""
    if not names:
        raise DataError("there is not a single past experiment; at least one is needed.")
    wrong = [name for name in names if not isinstance(name, str) or not name.strip()]
    if wrong:
        raise DataError(f"{len(wrong)} experiments are called {wrong[0]!r}; give each a name as text.")
    if len(set(names)) < len(names):
        seen: set[str] = set()
        twice = [name for name in names if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
        raise DataError(
            f"{len(twice)} rows repeat an experiment: {listed(dict.fromkeys(twice), 3)}. Expected one row an experiment: "
            "name repeats apart (one row for each treatment), or pool them first."
        )


def _numbers(values: Any, name: str, experiments: tuple[str, ...]) -> NDArray[np.float64]:
    """A read-only copy (J,), finite."""
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} holds something that is not a number ({error}); expected one number each.") from error
    if array.shape != (len(experiments),):
        raise DataError(
            f"{name} has the shape {array.shape}; expected one number for each of {len(experiments)} names."
        )
    _refuse(~np.isfinite(array), experiments, f"a missing or infinite {name}", "Drop these experiments.")
    array.flags.writeable = False
    return array


def _refuse(faulty: NDArray[np.bool_], experiments: tuple[str, ...], what: str, advice: str) -> None:
    if faulty.any():
        first = listed([experiments[place] for place in np.flatnonzero(faulty)], 3)
        raise DataError(f"{int(faulty.sum())} of {faulty.size} experiments have {what}: {first}. {advice}")
