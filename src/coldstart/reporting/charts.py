"""Geometry of the report's charts: data in, strings for SVG attributes out.

Drawn by ``pages/charts.html``, coloured by its style sheet, so that a chart follows the reader's
light or dark theme. All numbers are rounded here: the same data always gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT = 400.0, 280.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 92.0, 12.0, 40.0
_LABEL_GAP = 15.0
STYLES = ("rest", "best", "reference", "rival2", "rival1", "hero")
"""How a line is drawn, from the quietest to the loudest, which lies on top."""


@dataclass(frozen=True)
class Line:
    """One method: ``y`` at each x, optionally with an interval, and how loud it is drawn."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    style: str = "rest"


@dataclass(frozen=True)
class Drawn:
    """A line as SVG."""

    name: str
    style: str
    path: str
    band: str
    dots: list[tuple[str, str]]
    label_y: str


@dataclass(frozen=True)
class Tick:
    """A labelled position on an axis."""

    at: str
    text: str


@dataclass(frozen=True)
class Chart:
    """Everything that the template draws."""

    title: str
    note: str
    x_label: str
    lines: list[Drawn]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    zero: str = ""
    diagonal: str = ""
    ident: str = ""
    width: str = f"{WIDTH:g}"
    height: str = f"{HEIGHT:g}"
    left: str = f"{LEFT:g}"
    right: str = f"{WIDTH - RIGHT:g}"
    top: str = f"{TOP:g}"
    bottom: str = f"{HEIGHT - BOTTOM:g}"
    label_x: str = f"{WIDTH - RIGHT + 8:g}"
    middle: str = f"{(LEFT + WIDTH - RIGHT) / 2:g}"
    plot_width: str = f"{WIDTH - LEFT - RIGHT:g}"
    plot_height: str = f"{HEIGHT - TOP - BOTTOM:g}"
    axis_y: str = f"{HEIGHT - 6:g}"
    tick_y: str = f"{HEIGHT - BOTTOM + 16:g}"


@dataclass(frozen=True)
class Frame:
    """Maps data to the drawing; ``x`` is spaced by its square root where ``root``."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    root: bool = False
    text: dict[str, str] = field(default_factory=dict)

    def x(self, value: float) -> float:
        """Horizontal position."""
        scale = math.sqrt if self.root else float
        low, high = scale(self.x_low), scale(self.x_high)
        share = (scale(value) - low) / ((high - low) or 1)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Vertical position, downwards."""
        share = (value - self.y_low) / ((self.y_high - self.y_low) or 1)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def points(self, xs: Sequence[float], ys: Sequence[float]) -> str:
        """``x,y`` pairs."""
        return " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in zip(xs, ys, strict=True))


def sweep(title: str, note: str, lines: Sequence[Line], *, zero: bool = False) -> Chart:
    """Curves over the number of shots; the range is that of the loud lines, others are clipped."""
    shots = sorted({x for line in lines for x in line.x})
    loud = [line for line in lines if line.style != "rest"] or list(lines)
    values = [v for line in loud for v in line.y]
    values += [v for line in loud if zero for v in (*line.low, *line.high)] + [0.0] * zero
    low, high = min(values), max(values)
    pad = 0.12 * (high - low) or 0.1
    frame = Frame(shots[0], shots[-1], low - pad, high + pad, root=True)
    order = sorted(lines, key=lambda line: STYLES.index(line.style))
    labels = _spread({line.name: frame.y(line.y[-1]) for line in loud})
    return Chart(
        title=title,
        note=note,
        x_label="K, ratings known of the new user",
        lines=[_draw(line, frame, labels.get(line.name)) for line in order],
        x_ticks=[Tick(f"{frame.x(k):.1f}", f"{k:g}") for k in shots],
        y_ticks=[Tick(f"{frame.y(v):.1f}", text) for v, text in ticks(low - pad, high + pad)],
        zero=f"{frame.y(0):.1f}" if zero else "",
        ident=_ident(title),
    )


def reliability(title: str, note: str, lines: Sequence[Line]) -> Chart:
    """Observed coverage against the nominal level; the diagonal is perfect calibration."""
    frame = Frame(0.4, 1.0, 0.4, 1.0)
    labels = _spread({line.name: frame.y(line.y[-1]) for line in lines})
    shares = (0.5, 0.8, 0.95)
    return Chart(
        title=title,
        note=note,
        x_label="nominal level of the interval",
        lines=[_draw(line, frame, labels[line.name]) for line in lines],
        x_ticks=[Tick(f"{frame.x(s):.1f}", f"{s:.0%}") for s in shares],
        y_ticks=[Tick(f"{frame.y(s):.1f}", f"{s:.0%}") for s in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)],
        diagonal=frame.points((0.4, 1.0), (0.4, 1.0)),
        ident=_ident(title),
    )


def _draw(line: Line, frame: Frame, label_y: float | None) -> Drawn:
    band = ""
    if line.low:
        upper = frame.points(line.x, line.high)
        back = list(reversed(line.x)), list(reversed(line.low))
        band = f"{upper} {frame.points(*back)}"
    return Drawn(
        name=line.name,
        style=line.style,
        path=frame.points(line.x, line.y),
        band=band,
        dots=[
            (f"{frame.x(x):.1f}", f"{frame.y(y):.1f}") for x, y in zip(line.x, line.y, strict=True)
        ],
        label_y="" if label_y is None else f"{label_y:.1f}",
    )


def _spread(wanted: dict[str, float]) -> dict[str, float]:
    """Move labels apart until none overlap, keeping their order and staying inside the plot."""
    names = sorted(wanted, key=lambda name: (wanted[name], name))
    placed: list[float] = []
    for name in names:
        top = placed[-1] + _LABEL_GAP if placed else TOP + 4
        placed.append(max(wanted[name], top))
    limit = HEIGHT - BOTTOM
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], limit)
        limit = placed[i] - _LABEL_GAP
    return dict(zip(names, placed, strict=True))


def ticks(low: float, high: float, about: int = 5) -> list[tuple[float, str]]:
    """Round values in a range, with just the digits that tell them apart."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= raw)
    digits = max(0, -math.floor(math.log10(step) + 1e-9) + (step / power == 2.5))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [(i * step, f"{i * step:.{digits}f}".replace("-", "−")) for i in range(first, last + 1)]


def _ident(title: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in title.lower())
