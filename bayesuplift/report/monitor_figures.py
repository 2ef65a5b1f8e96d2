"""Figures of a monitored experiment over time, drawn from the facts of its page."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from bayesuplift.report.facets import INK, TITLE_PIXELS, Drawn, escaped
from bayesuplift.report.figures import CONTROL_COLOUR, RAW, colours, laid_out

Facts = Mapping[str, Any]
Values = Sequence[float | None]

_PIXELS: Final = 300
_PANEL_PIXELS: Final = 190
_FRAME_PIXELS: Final = 90
_LEGEND_PIXELS: Final = 16
_LEGEND_IN_A_ROW: Final = 3
_MOST_MARKERS: Final = 60  # more of them run into one another
_ROOM: Final = 0.35  # beyond the later half of the looks, as a share of their range
_LEAST_LOSS: Final = 1e-6  # on an axis of logarithms nothing is 0
_DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_TWO_SIDED: Final = 1.96
_BAND_OPACITY: Final = 0.25
_SHORT: Final = {"log_evidence": "log Bayes factor", "log10_e_value": "log10 of the e-value"}


def lift_figure(facts: Facts) -> Drawn:
    """Posterior of every treatment's lift, look by look, a panel each."""
    figure = _panels(list(facts["lift"]))
    paint, x = colours(facts), facts["axis"]["values"]
    low, high, cut = _range(facts["lift"])
    for row, (arm, lifts) in enumerate(facts["lift"].items(), start=1):
        at, middle, lower, upper = _known(x, lifts["lift"], lifts["lift_lower"], lifts["lift_upper"])
        for ends, fill in ((lower, None), (upper, "tonexty")):
            figure.add_scatter(
                x=at,
                y=[100.0 * end for end in ends],
                mode="lines",
                line={"width": 0},
                fill=fill,
                fillcolor=_faint(paint[arm]),
                hoverinfo="skip",
                row=row,
                col=1,
            )
        _line(figure, at, [100.0 * one for one in middle], arm, paint[arm], row=row)
        raw_at, raw = _known(x, lifts["raw_lift"])
        figure.add_scatter(
            x=raw_at,
            y=[100.0 * one for one in raw],
            mode="markers",
            marker=RAW | {"size": 5, "line": {"width": 1, "color": INK}},
            hovertemplate="raw %{y:+.2f}%<extra></extra>",
            row=row,
            col=1,
        )
        figure.add_hline(y=0.0, line={"color": CONTROL_COLOUR, "dash": "dot", "width": 1}, row=row, col=1)
    figure.update_yaxes(range=[100.0 * low, 100.0 * high], title_text="lift (%)")
    _timed(figure, facts, rows=len(facts["lift"]))
    beyond = " Early figures that lie far apart run out of the frame." if cut else ""
    caption = (
        f"Lift of {facts['metric']} against {facts['control']} after each look: posterior mean, and 95% credible interval "
        f"(band). Crosses: raw figures.{beyond}"
    )
    return Drawn(
        _captioned(facts, caption), f"Lift over time, a panel for each treatment. {_last_words(facts)}", figure
    )


def evidence_figure(facts: Facts) -> Drawn:
    """Evidence of every treatment beside its threshold."""
    told, paint, x = facts["evidence"], colours(facts), facts["axis"]["values"]
    figure = go.Figure()
    for arm, values in told["arms"].items():
        at, known = _known(x, values)
        _line(figure, at, known, escaped(arm), paint[arm])
    for arm, values in (told["harm"] or {}).items():
        at, known = _known(x, values)
        _line(figure, at, known, f"{escaped(arm)}, harm", paint[arm], dash="dot", markers=False)
    _bar(figure, x, told["threshold"], "threshold")
    if told["quantity"] == "log_evidence":
        _bar(figure, x, [-one for one in told["threshold"]], "contrary", dash="dot")
        meaning = "Above the dashed line a treatment may be shipped; below the dotted one the evidence is against it."
    else:
        meaning = (
            "Above the dashed line a treatment is shown to do good, whenever one looks. Dotted lines: evidence that it "
            "does harm."
        )
    _timed(figure, facts, legend=True)
    figure.update_yaxes(title_text=_SHORT[told["quantity"]])
    caption = f"Evidence after each look: {told['name']}. {meaning}"
    return Drawn(_captioned(facts, caption), f"Evidence over time against its threshold. {_last_words(facts)}", figure)


def loss_figure(facts: Facts) -> Drawn:
    """Expected losses beside the thresholds that stop the experiment."""
    told, paint, x = facts["loss"], colours(facts), facts["axis"]["values"]
    figure = go.Figure()
    for arm, values in told["arms"].items():
        at, known = _known(x, values)
        _line(figure, at, [100.0 * max(one, _LEAST_LOSS) for one in known], escaped(arm), paint[arm])
    said = []
    for key, name, dash in (
        ("relative_loss", "threshold of a treatment", "dash"),
        ("control_loss", "threshold of the control", "dot"),
    ):
        if told[key]:
            _bar(figure, x, [100.0 * told[key]] * len(x), name, dash=dash)
            said.append(f"{name}: {100.0 * told[key]:g}%")
    _timed(figure, facts, legend=True)
    figure.update_yaxes(type="log", tickformat="~g", title_text="relative loss (%)")
    small = any(one is not None and one < _LEAST_LOSS for values in told["arms"].values() for one in values)
    floor = f" Losses below {100.0 * _LEAST_LOSS:.4f}% are drawn there." if small else ""
    caption = (
        f"Expected loss of choosing each arm, as a share of {facts['control']}'s mean, on an axis of logarithms; "
        f"{'; '.join(said) or 'no threshold of it stops this experiment'}.{floor}"
    )
    return Drawn(_captioned(facts, caption), f"Expected loss over time. {_last_words(facts)}", figure)


def sample_ratio_figure(facts: Facts) -> Drawn:
    """Evidence that units are not dealt as intended."""
    told, x = facts["sample_ratio"], facts["axis"]["values"]
    figure = go.Figure()
    _line(figure, x, told["log10_e_value"], "evidence of a mismatch", INK)
    _bar(figure, x, [told["bar"]] * len(x), "bar")
    _timed(figure, facts, legend=True)
    figure.update_yaxes(title_text="log10 of the e-value")
    caption = (
        "Evidence that the split is not as intended. At the dashed line the experiment is invalid, whenever one looks."
    )
    return Drawn(
        _captioned(facts, caption), f"Evidence of a sample-ratio mismatch over time. {told['sentence']}", figure
    )


def guardrail_figure(facts: Facts) -> Drawn:
    """Evidence of harm to every guardrail."""
    x, figure = facts["axis"]["values"], go.Figure()
    bars = {one["bar"] for one in facts["guardrails"]}
    for i, one in enumerate(facts["guardrails"]):
        _line(figure, x, one["log10_e_value"], escaped(one["name"]), INK, dash=_DASHES[i % len(_DASHES)])
    for bar in sorted(bars):
        names = ", ".join(one["name"] for one in facts["guardrails"] if one["bar"] == bar)
        _bar(figure, x, [bar] * len(x), "bar" if len(bars) == 1 else f"bar of {escaped(names)}")
    _timed(figure, facts, legend=True)
    figure.update_yaxes(title_text="log10 of the e-value")
    caption = "Evidence that a treatment harms a guardrail, the strongest of the treatments, beside the bar."
    words = " ".join(one["sentence"] for one in facts["guardrails"])
    return Drawn(_captioned(facts, caption), f"Evidence of harm to guardrails over time. {words}", figure)


def trend_figure(facts: Facts) -> Drawn:
    """Effects period by period, with the line through them, a panel each."""
    told = [one for one in facts["trend"]["arms"] if one["slope"] is not None]
    figure, paint = _panels([one["arm"] for one in told]), colours(facts)
    for row, one in enumerate(told, start=1):
        figure.add_scatter(
            x=one["day"],
            y=one["effect"],
            mode="markers",
            marker={"size": 7, "color": paint[one["arm"]]},
            error_y={"type": "data", "array": [_TWO_SIDED * se for se in one["se"]], "thickness": 1, "width": 2},
            hovertemplate="day %{x:.3g}: %{y:+.3g}<extra></extra>",
            row=row,
            col=1,
        )
        figure.add_scatter(
            x=[one["day"][0], one["day"][-1]],
            y=[one["first"], one["last"]],
            mode="lines",
            line={"color": INK, "width": 2},
            hoverinfo="skip",
            row=row,
            col=1,
        )
        figure.add_hline(y=0.0, line={"color": CONTROL_COLOUR, "dash": "dot", "width": 1}, row=row, col=1)
    scale = told[0]["scale"]
    _finished(figure, x="days since the start", rows=len(told))
    figure.update_yaxes(title_text=scale)
    caption = (
        f"Effect in each period ({scale}), without a prior, with 1.96 standard errors either way, and the line through "
        "the periods."
    )
    return Drawn(caption, f"Effects by period. {' '.join(one['sentence'] for one in told)}", figure)


def _panels(arms: Sequence[str]) -> go.Figure:
    """A panel below another for each treatment, on one scale of time."""
    titles = [escaped(arm) for arm in arms]
    return make_subplots(
        rows=len(arms), cols=1, shared_xaxes=True, subplot_titles=titles, vertical_spacing=0.12 / len(arms)
    )


def _line(
    figure: go.Figure,
    x: Sequence[float],
    y: Sequence[float],
    name: str,
    colour: str,
    *,
    dash: str = "solid",
    markers: bool = True,
    row: int | None = None,
) -> None:
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines+markers" if markers and len(x) <= _MOST_MARKERS else "lines",
        name=name,
        line={"color": colour, "width": 2, "dash": dash},
        marker={"size": 5, "color": colour},
        hovertemplate=f"{name}: %{{y:.3g}}<extra></extra>",
        row=row,
        col=None if row is None else 1,
    )


def _bar(figure: go.Figure, x: Sequence[float], y: Sequence[float], name: str, *, dash: str = "dash") -> None:
    """A threshold as a line of its own, so that the axis reaches it."""
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        name=name,
        line={"color": INK, "width": 1.5, "dash": dash, "shape": "hvh"},
        hovertemplate=f"{name}: %{{y:.3g}}<extra></extra>",
    )


def _timed(figure: go.Figure, facts: Facts, *, rows: int = 0, legend: bool = False) -> None:
    """The axis of time, with a mark at the look that ended the experiment where others came after it."""
    x = facts["axis"]["values"]
    _finished(figure, x=facts["axis"]["name"], rows=rows, legend=legend)
    ended = _ended(facts)
    if ended is not None:
        figure.add_vline(x=x[ended], line={"color": CONTROL_COLOUR, "width": 1})


def _ended(facts: Facts) -> int | None:
    """Place of the look that ended the experiment, where others came after it."""
    ended = [place for place, look in enumerate(facts["looks"]) if look["verdict"] != "CONTINUE"]
    return ended[0] if len(ended) > 1 else None


def _captioned(facts: Facts, caption: str) -> str:
    """A caption that also says what the mark of the end is."""
    return caption if _ended(facts) is None else f"{caption} Grey line: the look that ended the experiment."


def _finished(figure: go.Figure, *, x: str, rows: int, legend: bool = False) -> None:
    lines = max(0, len(figure.data) - _LEGEND_IN_A_ROW) if legend else 0  # each its own row where a screen is narrow
    height = _FRAME_PIXELS + _PANEL_PIXELS * rows if rows > 1 else _PIXELS + _LEGEND_PIXELS * lines
    laid_out(figure, x=x, height=height, legend=legend)
    if rows:
        figure.update_layout(margin={"t": TITLE_PIXELS + 8})
        figure.update_annotations(font={"size": 13, "color": INK})
        figure.update_xaxes(title_text="")
        figure.update_xaxes(title_text=x, row=rows, col=1)


def _faint(colour: str) -> str:
    """A colour through which the grid is seen."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {_BAND_OPACITY})"


def _known(x: Sequence[float], *series: Values) -> tuple[list[float], ...]:
    """Abscissas and values of the looks at which all of them are known."""
    rows = [row for row in zip(x, *series, strict=True) if None not in row]
    return tuple([float(row[i]) for row in rows] for i in range(1 + len(series)))


def _range(lifts: Mapping[str, Mapping[str, Values]]) -> tuple[float, float, bool]:
    """Ends of an axis that shows the later half of the looks whole, and whether something lies beyond them."""
    every: list[float] = []
    late = [0.0]
    for one in lifts.values():
        for series in one.values():
            every += [value for value in series if value is not None]
            late += [value for value in series[len(series) // 2 :] if value is not None]
    room = _ROOM * (max(late) - min(late) or 0.01)
    low, high = min(late) - room, max(late) + room
    return low, high, any(not low <= value <= high for value in every)


def _last_words(facts: Facts) -> str:
    return str(facts["verdict"]["sentence"])
