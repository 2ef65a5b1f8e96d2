"""Figures of the effects of single units, drawn from the facts alone."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bayesuplift.report.facets import INK, Drawn, facets, falling, finished
from bayesuplift.report.figures import colours, scale_of

Facts = Mapping[str, Any]

_COLUMNS: Final = 3  # arms side by side; more are drawn in another figure
_SORTED_PIXELS: Final = 360


def unit_figures(outcome: Facts) -> list[Drawn]:
    """Figures of an outcome's `units`, in reading order; none where there are none."""
    facts = outcome["units"]
    if facts is None:
        return []
    blocks = [facts["arms"][i : i + _COLUMNS] for i in range(0, len(facts["arms"]), _COLUMNS)]
    return [*(_sorted(outcome, block) for block in blocks), _paying(outcome), _best(outcome)]


def _sorted(outcome: Facts, rows: Sequence[Facts]) -> Drawn:
    """Units sorted by their expected effect, with the intervals that are usual among neighbours."""
    (factor, _, unit), facts, paint = scale_of(outcome), outcome["units"], colours(outcome)
    averages = {row["arm"]: row["difference"] for row in facts["average"]}
    figure = facets([row["arm"] for row in rows], shared_xaxes=True)
    for column, row in enumerate(rows, start=1):
        colour, bins = paint[row["arm"]], row["bins"]
        x = _middles(len(bins["mean"]))
        for part, opacity in (("", 0.18), ("half_", 0.4)):
            ends = [[factor * value for value in bins[f"{part}{end}"]] for end in ("lower", "upper")]
            figure.add_scatter(
                x=[*x, *reversed(x)],
                y=[*ends[0], *reversed(ends[1])],
                mode="lines",
                line={"width": 0},
                fill="toself",
                fillcolor=_faint(colour, opacity),
                hoverinfo="skip",
                showlegend=False,
                row=1,
                col=column,
            )
        figure.add_scatter(
            x=x,
            y=[factor * value for value in bins["mean"]],
            mode="lines",
            line={"color": colour, "width": 2.5},
            hovertemplate="%{x:.0%} of the units: %{y:.3g}<extra></extra>",
            showlegend=False,
            row=1,
            col=column,
        )
        for value, dash, width in ((averages[row["arm"]], "dash", 1.0), (facts["breakeven"][row["arm"]], "dot", 1.5)):
            figure.add_hline(y=factor * value, line={"color": INK, "dash": dash, "width": width}, row=1, col=column)
    finished(figure, x="share of the units", height=_SORTED_PIXELS)
    figure.update_xaxes(range=[0.0, 1.0], tickvals=[0.0, 0.5, 1.0], tickformat=".0%")
    figure.update_yaxes(title_text=f"effect ({unit})", col=1)
    breakeven = "breakeven" if facts["economics"] else "no effect"
    caption = (
        f"Effect on {outcome['name']} of every unit, against {outcome['control']}, the largest first, sorted for each arm "
        f"apart. Line: posterior mean. Bands: 50% and {outcome['interval']} credible intervals of single units. Of each "
        f"the median among neighbours is shown. Dashed line: average effect. Dotted line: {breakeven}."
    )
    said = " ".join(
        f"{row['arm']}: from {row['groups'][0]['shown']['effect']} on the first of {len(row['groups'])} groups of units to "
        f"{row['groups'][-1]['shown']['effect']} on the last."
        for row in rows
    )
    return Drawn(caption, f"Falling curves of effects with bands, one panel an arm. {said}", figure)


def _paying(outcome: Facts) -> Drawn:
    facts = outcome["units"]
    curves = {row["arm"]: _steps(row["bins"]["prob_gain"]) for row in facts["arms"]}
    figure = falling(outcome, curves, x="share of the units, the highest probability first", y=facts["question"])
    caption = f"For how many it pays: {facts['question']} of every unit, sorted for each arm apart. Dotted line: 95%."
    words = [one for one in facts["sentences"] if facts["question"] in one]
    return Drawn(caption, f"Falling steps, one line an arm. {' '.join(words)}", figure)


def _best(outcome: Facts) -> Drawn:
    facts = outcome["units"]
    curves = {row["arm"]: _steps(row["bins"]) for row in facts["best"]}
    figure = falling(outcome, curves, x="share of the units, the highest probability first", y="P(best)")
    money = " by net gain" if facts["economics"] else ""
    caption = (
        f"Which arm is best for how many: P(best){money} of every arm for every unit, sorted for each arm apart. The area "
        "under a line is the share of the units that its arm is expected to be best for. Dotted line: 95%."
    )
    words = [one for one in facts["sentences"] if one.startswith("The best arm")]
    return Drawn(caption, f"Falling steps, one line an arm. {' '.join(words)}", figure)


def _middles(count: int) -> list[float]:
    """Middles of so many bins of one width between 0 and 1."""
    return [(place + 0.5) / count for place in range(count)]


def _steps(values: Sequence[float]) -> tuple[list[float], list[float]]:
    """Ends of steps of one width between 0 and 1, and their heights, the first one twice."""
    return [place / len(values) for place in range(len(values) + 1)], [values[0], *values]


def _faint(colour: str, opacity: float) -> str:
    """A colour, #rrggbb, that lets through what is behind it."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
