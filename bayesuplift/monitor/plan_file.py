"""Plans from TOML and from plain values. Unknown keys are errors."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from datetime import date, datetime
from pathlib import Path
from typing import Any

from bayesuplift.data.design import design_of
from bayesuplift.dims import Kind
from bayesuplift.errors import BayesupliftError, MissingFileError, PlanError, did_you_mean, listed
from bayesuplift.monitor.effect_law import EffectLaw
from bayesuplift.monitor.plan import Costs, Guardrail, Looks, Metric, Plan, Rule

_KEYS = ("name", "arms", "control", "split", "start", "segments", "attribution_days", "sample_ratio_level")
_SECTIONS = ("metric", "prior", "looks", "rule", "guardrail", "costs")
_NEEDED = ("name", "arms", "control", "start", "metric", "prior", "looks", "rule")
_PRIORS = {
    "flat": (),
    "normal": ("mean", "sd"),
    "mixture": ("weights", "means", "sds", "source"),
    "learned": ("posterior", "name"),
}
_OPTIONAL = ("mean", "source", "name")


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """Read a plan (TOML).

    A prior of kind "learned" names a stored posterior of the model `portfolio`, relative to the plan; what it says is
    taken into the plan, so that the file may change afterwards and the plan does not.

    Raises
    ------
    MissingFileError
        There is no such file.
    PlanError
        It is not TOML, a key is unknown, missing or of the wrong type, or its parts do not fit one another.
    """
    source = Path(path)
    if not source.is_file():
        raise MissingFileError(f"no plan {source}")
    try:
        content = tomllib.loads(source.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"{source} is not TOML: {error}") from error
    return plan_from(content, folder=source.parent)


def plan_from(content: Mapping[str, Any], *, folder: Path | None = None) -> Plan:
    """Make a plan from plain values: those of a TOML file, or of `Plan.as_facts`.

    Parameters
    ----------
    content
        Keys and sections as in the file.
    folder
        Folder that the path of a learned prior is relative to.

    Raises
    ------
    PlanError
        As in `read_plan`.
    """
    if not isinstance(content, Mapping):
        raise PlanError(f"a plan is a table of keys; found {type(content).__name__}")
    _known("plan", content, (*_KEYS, *_SECTIONS))
    absent = [key for key in _NEEDED if key not in content]
    if absent:
        raise PlanError(f"plan: {listed(absent)} missing")
    law, source = _prior(content["prior"], content["metric"], folder or Path())
    costs = content.get("costs")
    rest = {key: content[key] for key in ("attribution_days", "sample_ratio_level") if key in content}
    return Plan(
        name=content["name"],
        design=_design(content),
        start=_day(content["start"]),
        metric=_filled("[metric]", Metric, content["metric"]),
        prior=law,
        prior_source=source,
        looks=_filled("[looks]", Looks, content["looks"]),
        rule=_filled("[rule]", Rule, content["rule"]),
        guardrails=tuple(
            _guardrail(f"[[guardrail]] {i + 1}", one) for i, one in enumerate(_list("guardrail", content))
        ),
        segments=tuple(_list("segments", content)),
        costs=None if costs is None else _filled("[costs]", Costs, costs),
        **rest,
    )


def _design(content: Mapping[str, Any]) -> Any:
    arms = content["arms"]
    if not isinstance(arms, list) or not all(isinstance(arm, str) for arm in arms):
        raise PlanError(f"plan: arms = {arms!r}; expected a list of texts")
    if len(set(arms)) < len(arms):
        raise PlanError(f"plan: an arm stands twice among {listed(arms)}")
    split = content.get("split", dict.fromkeys(arms, 1))
    try:
        return design_of(arms, control=content["control"], intended_split=split)
    except BayesupliftError as error:
        raise PlanError(f"plan: {error}") from error


def _prior(section: Any, metric: Any, folder: Path) -> tuple[EffectLaw | None, str]:
    """The law of effects, and where it is from."""
    kind = section.get("kind") if isinstance(section, Mapping) else None
    if kind not in _PRIORS:
        hint = did_you_mean(kind, _PRIORS)
        raise PlanError(f"[prior]: kind = {kind!r}; state one of {listed(_PRIORS)}.{hint}")
    _known("[prior]", section, ("kind", *_PRIORS[kind]))
    absent = [key for key in _PRIORS[kind] if key not in section and key not in _OPTIONAL]
    if absent:
        raise PlanError(f"[prior]: {listed(absent)} missing, of a prior of kind {kind!r}")
    if kind == "flat":
        return None, ""
    if kind == "learned":
        return _learned(folder / str(section["posterior"]), section.get("name"), metric)
    try:
        if kind == "normal":
            return EffectLaw.normal(section.get("mean", 0.0), section["sd"]), ""
        return EffectLaw(section["weights"], section["means"], section["sds"]), str(section.get("source", ""))
    except (BayesupliftError, TypeError, ValueError) as error:
        raise PlanError(f"[prior]: {error}") from error


def _learned(path: Path, name: str | None, metric: Any) -> tuple[EffectLaw, str]:
    from bayesuplift.decisions.learned_prior import EffectPrior  # noqa: PLC0415 -- only here, and it loads xarray
    from bayesuplift.posterior.storage import load  # noqa: PLC0415 -- the same

    learned = EffectPrior.learned_from(load(path, name))
    kind: Kind | None = metric.get("kind") if isinstance(metric, Mapping) else None
    expected = {"binary": "log_odds", "continuous": "difference"}.get(str(kind), "log_ratio")
    if learned.effect_scale != expected:
        raise PlanError(
            f"[prior]: {path} holds effects as {learned.effect_scale!r}; a {kind} outcome is decided on {expected!r}: "
            "learn from past experiments on that scale"
        )
    return EffectLaw.learned(learned), str(learned)


def _guardrail(where: str, content: Any) -> Guardrail:
    """A guardrail's section holds its metric's keys beside its own."""
    if not isinstance(content, Mapping):
        raise PlanError(f"{where} is {type(content).__name__}; expected a table of keys")
    own = {key: content[key] for key in ("margin", "level") if key in content}
    if "margin" not in own:
        raise PlanError(f"{where}: margin missing: the relative worsening that is still borne")
    rest = {key: value for key, value in content.items() if key not in own}
    return Guardrail(metric=_filled(where, Metric, rest), **own)


def _filled(where: str, kind: type, content: Any) -> Any:
    if not isinstance(content, Mapping):
        raise PlanError(f"{where} is {type(content).__name__}; expected a table of keys")
    allowed = {one.name: one for one in fields(kind)}
    _known(where, content, tuple(allowed))
    absent = [key for key, one in allowed.items() if one.default is MISSING and key not in content]
    if absent:
        raise PlanError(f"{where}: {listed(absent)} missing")
    return kind(**content)


def _known(where: str, content: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    for key in content:
        if key not in keys:
            raise PlanError(f"{where}: unknown key {key!r}. Keys: {listed(keys, 20)}.{did_you_mean(key, keys)}")


def _list(key: str, content: Mapping[str, Any]) -> list[Any]:
    value = content.get(key, [])
    if not isinstance(value, list) or (key == "segments" and not all(isinstance(one, str) for one in value)):
        raise PlanError(f"plan: {key} = {value!r}; expected a list")
    return value


def _day(value: Any) -> date:
    if isinstance(value, datetime) or not isinstance(value, date | str):
        raise PlanError(f"plan: start = {value!r}; expected a day, such as 2026-01-05")
    try:
        return value if isinstance(value, date) else date.fromisoformat(value)
    except ValueError as error:
        raise PlanError(f"plan: start = {value!r}; expected a day, such as 2026-01-05") from error
