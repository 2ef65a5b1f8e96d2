"""Who gets what: shares of groups of units under every arm, by policy, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesuplift.data.labels import natural_order
from bayesuplift.decisions.targeting.policy import Policy
from bayesuplift.dims import ARM, SEGMENT
from bayesuplift.estimands.places import Places
from bayesuplift.posterior.factors import as_called, levels_of
from bayesuplift.report.facets import segment_name
from bayesuplift.report.responder_words import share_of
from bayesuplift.report.responders import MOST_LEVELS, MOST_ROWS


@dataclass(frozen=True, eq=False)
class Group:
    """Places that are told together.

    Parameters
    ----------
    label
        What they are called.
    members
        Which places they are, (place,).
    """

    label: str
    members: NDArray[np.bool_]


def groups_of(places: Places) -> list[Group]:
    """Segments one by one, the largest first, where they are few; else levels of every factor; else everybody.

    Groups without units are left out, and so are levels beyond a factor's 20 largest.
    """
    columns = {factor: np.array(column) for factor, column in levels_of(places.means, places.factors).items()}
    if places.dim == SEGMENT and len(places) <= MOST_ROWS:
        called = [as_called(factor) for factor in columns]
        found = []
        for place in np.argsort(-places.weight, kind="stable"):
            held = [str(column[place]) for column in columns.values()] or [str(places.labels[place])]
            found.append(Group(segment_name(called, held), np.arange(len(places)) == place))
    elif columns:
        found = [one for factor, column in columns.items() for one in _levels(factor, column, places)]
    else:
        found = [Group("everybody", np.ones(len(places), dtype=bool))]
    return [one for one in found if places.weight[one.members].sum() > 0]


def _levels(factor: str, column: NDArray[np.str_], places: Places) -> list[Group]:
    """Levels of a factor, in their order: the largest ones."""
    every = [Group(f"{as_called(factor)}: {level}", column == level) for level in natural_order(column.tolist())]
    largest = sorted(every, key=lambda one: -places.weight[one.members].sum())[:MOST_LEVELS]
    return [one for one in every if any(one is kept for kept in largest)]


def receivers(policies: Mapping[str, Policy], places: Places) -> dict[str, Any] | None:
    """Who gets what under several policies; None where everybody is one place.

    Returns
    -------
    dict or None
        `arms`, the control among them; `groups`, each with `label`, `n`, `share` (of all units) and `share_text`;
        `policies`, each with its `name` and `shares`, one list of shares by arm for every group.
    """
    if len(places) == 1 or not policies:
        return None
    groups, units = groups_of(places), float(places.weight.sum())
    told = []
    for one in groups:
        n = float(places.weight[one.members].sum())
        told.append({"label": one.label, "n": n, "share": n / units, "share_text": share_of(n / units)})
    return {
        "arms": list(places.arms),
        "groups": told,
        "policies": [{"name": name, "shares": _shares(policy, groups, places)} for name, policy in policies.items()],
    }


def _shares(policy: Policy, groups: Sequence[Group], places: Places) -> list[list[float]]:
    """Share of each group's units under every arm, (group, arm)."""
    share = policy.share.sel({ARM: list(places.arms)}).to_numpy()
    weights = [np.where(one.members, places.weight, 0.0) for one in groups]
    return [(weight @ share / weight.sum()).tolist() for weight in weights]
