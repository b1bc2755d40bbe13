"""Plots of a run, as SVG that needs nothing but a browser; pure.

Scales are logarithmic: what is compared differs by factors. A dot is a median, the line through it
goes from the lowest round to the highest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from figures import Spread, shown, spread
from run import Run

PLOTS = {
    "request": "CPU for a request of 2 KB, us",
    "event": "CPU for an event of a spaced stream, us",
    "latency": "latency added at 50 requests a second, ms",
    "idle": "idle memory, MB",
    "connections": "CPU for a request by connections, us",
    "bodies": "CPU for a request by bytes of its body, us",
    "routes": "CPU for a request by routes, us",
}
_DOTS = {
    "request": "unary.cpu_us",
    "event": "spaced.event_us",
    "latency": "added.50",
    "idle": "idle.rss_mb",
}
_WIDTH, _LEFT, _RIGHT, _ROW, _TOP, _HEIGHT = 720, 130, 90, 24, 44, 320
_COLOURS = ("#0b62a8", "#d9541e", "#2a8a4a", "#8a4fb0", "#b8860b", "#5f6b73", "#c2185b", "#00838f")
_OURS = _COLOURS[0]


def draw(run: Run) -> Mapping[str, str]:
    """Draw all for which there are figures: name -> SVG."""
    plan = run.plan
    steps: Mapping[str, tuple[str, Sequence[int]]] = {
        "connections": ("connections.{}.cpu_us", plan.connections),
        "bodies": ("body.{}.cpu_us", plan.bodies),
        "routes": ("routes.{}.cpu_us", plan.routes),
    }
    drawn = {}
    for name, title in PLOTS.items():
        if name in _DOTS:
            dots = {who: found for who in run.names if (found := _above_0(run, _DOTS[name], who))}
            if len(dots) > 1:
                drawn[name] = _dots(title, dots, run.base)
            continue
        metric, at = steps[name]
        lines = {
            who: [
                (step, found.median)
                for step in at
                if (found := _above_0(run, metric.format(step), who))
            ]
            for who in run.names
        }
        lines = {who: points for who, points in lines.items() if len(points) > 1}
        if lines:
            drawn[name] = _lines(title, lines)
    return drawn


def _above_0(run: Run, metric: str, name: str) -> Spread | None:
    """Give a figure that has a place on a logarithmic scale."""
    found = spread(run.rounds(metric, name))
    return found if found is not None and found.low > 0 else None


def _dots(title: str, dots: Mapping[str, Spread], base: str) -> str:
    low, high = (
        min(one.low for one in dots.values()) / 1.3,
        max(one.high for one in dots.values()) * 1.3,
    )
    height = _TOP + _ROW * len(dots) + 12
    parts = list(_frame(title, height))
    parts += _ticks(low, high, _TOP - 6, height - 8)
    for row, (name, one) in enumerate(sorted(dots.items(), key=lambda pair: pair[1].median)):
        y = _TOP + _ROW * row + _ROW / 2
        colour = _OURS if name == base else "#5f6b73"
        left, middle, right = (
            _place(value, low, high) for value in (one.low, one.median, one.high)
        )
        parts += [
            _text(_LEFT - 10, y + 4, name, anchor="end", bold=name == base),
            _line(left, y, right, y, colour=colour, width=2),
            f'<circle cx="{middle:.1f}" cy="{y}" r="5" fill="{colour}"/>',
            _text(max(right, middle + 5) + 8, y + 4, shown(one.median)),
        ]
    return _whole(parts)


def _lines(title: str, lines: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    values = [value for points in lines.values() for _, value in points]
    steps = sorted({step for points in lines.values() for step, _ in points})
    low, high = min(values) / 1.3, max(values) * 1.3
    bottom = _HEIGHT - 30
    parts = list(_frame(title, _HEIGHT))
    for value in _powers(low, high):
        y = _scaled(value, low, high, bottom, _TOP)
        parts += [_rule(_LEFT, y, _WIDTH - _RIGHT, y), _text(_LEFT - 8, y + 4, shown(value), "end")]
    for step in steps:
        x = _place(step, steps[0], steps[-1])
        parts += [_rule(x, _TOP, x, bottom), _text(x, bottom + 18, f"{step:,}", "middle")]
    labels = []
    for number, (name, points) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        placed = [
            (_place(step, steps[0], steps[-1]), _scaled(value, low, high, bottom, _TOP))
            for step, value in points
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed]
        labels.append((placed[-1][1], name, colour))
    taken = 0.0
    for wanted, name, colour in sorted(labels):
        taken = max(wanted + 4, taken + 13)
        parts.append(_text(_WIDTH - _RIGHT + 6, taken, name, colour=colour))
    return _whole(parts)


def _frame(title: str, height: float) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}"'
        f' width="{_WIDTH}" height="{height:.0f}" font-family="sans-serif" font-size="12">'
    )
    yield f"<title>{escape(title)}</title>"
    yield f'<rect width="{_WIDTH}" height="{height:.0f}" rx="6" fill="#ffffff"/>'
    yield _text(12, 20, title, bold=True)


def _whole(parts: Sequence[str]) -> str:
    return "\n".join([*parts, "</svg>"]) + "\n"


def _ticks(low: float, high: float, top: float, bottom: float) -> Iterator[str]:
    for value in _powers(low, high):
        x = _place(value, low, high)
        yield _rule(x, top, x, bottom)
        yield _text(x, top - 2, shown(value), "middle", colour="#8a949b")


def _powers(low: float, high: float) -> Sequence[float]:
    """List the powers of ten between the two."""
    return [10.0**n for n in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]


def _place(value: float, low: float, high: float) -> float:
    return _scaled(value, low, high, _LEFT, _WIDTH - _RIGHT)


def _scaled(value: float, low: float, high: float, at_low: float, at_high: float) -> float:
    share = math.log(value / low) / math.log(high / low)
    return at_low + share * (at_high - at_low)


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return _line(x1, y1, x2, y2, colour="#e3e7ea", width=1)


def _line(x1: float, y1: float, x2: float, y2: float, *, colour: str, width: int) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"'
        f' stroke-width="{width}"/>'
    )


def _text(
    x: float,
    y: float,
    words: str,
    anchor: str = "start",
    *,
    colour: str = "#24313a",
    bold: bool = False,
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{weight}>'
        f"{escape(words)}</text>"
    )
