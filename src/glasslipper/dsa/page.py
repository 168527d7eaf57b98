"""The report on a retrofit as one page with pictures: plain HTML with inline SVG, no scripts.

Knows the data that `evaluate` returns, and nothing of how it was measured.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

Report = Mapping[str, Any]  # data as `evaluate` returns it
Line = Sequence[tuple[float, float]]

_COLOURS = ("#1f6feb", "#d1570a", "#2da44e", "#8250df", "#bf3989", "#6e7781", "#9a6700", "#0a7ea4")
_WIDTH, _HEIGHT, _LEFT, _BELOW = 640, 260, 56, 36
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .7rem;text-align:right}
th:first-child,td:first-child{text-align:left}tr{border-bottom:1px solid #d0d7de}
html{color:#1f2328}
figure{margin:1rem 0}figcaption{color:#59636e;font-size:.9rem}svg{max-width:100%;height:auto}
.note{color:#59636e}
"""


def render(report: Report) -> str:
    """Return the page."""
    parts = [
        _head(report),
        *(_perplexity(name, found) for name, found in report["perplexity"].items()),
        *(_recall(name, found) for name, found in report["recall"].items()),
        _needles(report["needles"]),
        _speed(report["speed"]),
        _plan(report),
    ]
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>"
        f"<title>Sparse attention: report</title><style>{_STYLE}</style></head><body>"
        + "".join(parts)
        + "</body></html>\n"
    )


def chart(lines: Mapping[str, Line], *, title: str, x: str, y: str) -> str:
    """Return lines as an SVG figure with a legend; an axis begins at the least value there is."""
    points = [point for line in lines.values() for point in line]
    if not points:
        return ""
    low_x, high_x = min(p[0] for p in points), max(p[0] for p in points)
    low_y, high_y = min(p[1] for p in points), max(p[1] for p in points)
    wide, high = (high_x - low_x) or 1, (high_y - low_y) or 1

    def place(point: tuple[float, float]) -> str:
        across = _LEFT + (point[0] - low_x) / wide * (_WIDTH - _LEFT - 12)
        down = 12 + (high_y - point[1]) / high * (_HEIGHT - _BELOW - 12)
        return f"{across:.1f},{down:.1f}"

    drawn = "".join(
        f"<polyline fill='none' stroke='{_COLOURS[n % len(_COLOURS)]}' stroke-width='2' "
        f"points='{' '.join(map(place, line))}'/>"
        for n, line in enumerate(lines.values())
    )
    ticks = "".join(
        f"<text x='{_LEFT - 6}' y='{12 + (1 - f) * (_HEIGHT - _BELOW - 12) + 4:.0f}' "
        f"text-anchor='end'>{_number(low_y + f * high)}</text>"
        for f in (0, 0.5, 1)
    ) + "".join(
        f"<text x='{_LEFT + f * (_WIDTH - _LEFT - 12):.0f}' y='{_HEIGHT - _BELOW + 16}' "
        f"text-anchor='middle'>{_number(low_x + f * wide)}</text>"
        for f in (0, 0.5, 1)
    )
    legend = "".join(
        f"<tspan fill='{_COLOURS[n % len(_COLOURS)]}'>■ {html.escape(name)}  </tspan>"
        for n, name in enumerate(lines)
    )
    return (
        f"<figure><svg viewBox='0 0 {_WIDTH} {_HEIGHT + 20}' role='img' font-size='12' "
        f"font-family='system-ui' aria-label='{html.escape(title, quote=True)}'>{drawn}{ticks}"
        f"<text x='{_LEFT}' y='{_HEIGHT + 12}'>{legend}</text></svg>"
        f"<figcaption>{html.escape(title)}. Across: {html.escape(x)}; up: {html.escape(y)}."
        "</figcaption></figure>"
    )


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an HTML table."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in headings)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _head(report: Report) -> str:
    made = report["made_with"]
    texts = ", ".join(f"{name} ({count} sequences)" for name, count in report["texts"].items())
    return (
        "<h1>Sparse attention on your model</h1>"
        f"<p>Fitted in {made.get('seconds', '?')} s on {made.get('sequences', '?')} sequences of "
        f"{made.get('length', '?')} tokens, for a mean budget of {made.get('k', '?')} tokens. "
        f"It adds {report['extra_params_share']:.2%} to the model's parameters and "
        f"{report['extra_kv_share']:.2%} to the bytes of its keys and values.</p>"
        f"<p class='note'>Judged on {html.escape(texts)}.</p>"
    )


def _perplexity(name: str, found: Report) -> str:
    rows = [
        [
            way,
            f"{ratio:.4f}",
            f"{found['all'][way]:.4f}",
            f"{found['greedy_agreement'][way]:.1%}",
        ]
        for way, ratio in found["later_half"].items()
    ]
    lines = {
        way: [(at, difference) for at, difference in points]
        for way, points in found["by_position"].items()
        if way != "dense"
    }
    return (
        f"<h2>Perplexity: {html.escape(name)}</h2>"
        + table(["attention", "over dense, later half", "over dense, all", "same next token"], rows)
        + chart(
            lines,
            title=f"What selecting costs, {name}",
            x="position",
            y="nats a token more than dense",
        )
    )


def _recall(name: str, found: Report) -> str:
    budgets, layers = found["budgets"], found["layers"]
    if not layers:
        return ""
    at = budgets.index(256) if 256 in budgets else len(budgets) // 2
    by_layer = {
        who: [(int(layer), rows[at][n]) for layer, rows in layers.items()]
        for n, who in enumerate(("oracle", "indexer", "window"))
    }
    by_budget = {
        who: [
            (k, sum(rows[i][n] for rows in layers.values()) / len(layers))
            for i, k in enumerate(budgets)
        ]
        for n, who in enumerate(("oracle", "indexer", "window"))
    }
    return (
        f"<h2>Attention kept: {html.escape(name)}</h2>"
        + chart(by_layer, title=f"By layer, {budgets[at]} tokens", x="layer", y="share kept")
        + chart(by_budget, title="By budget, mean of the layers", x="budget", y="share kept")
    )


def _needles(found: Report) -> str:
    grid = found["found"]
    rows = [
        [way, str(length), *(f"{share:.0%}" for share in by_depth.values())]
        for way, by_length in grid.items()
        for length, by_depth in by_length.items()
    ]
    depths = next(iter(next(iter(grid.values())).values()))
    good = found["good_cells"]
    means = ", ".join(
        f"{way} {share:.1%}" for way, share in good.items() if way != "cells" and share is not None
    )
    return (
        "<h2>Needles</h2>"
        + table(["attention", "tokens", *(f"{depth} %" for depth in depths)], rows)
        + f"<p>{found['count']} texts a row, a needle at each depth. Where the dense model finds "
        f"90 % or more ({good['cells']} cells): {html.escape(means) or 'nowhere'}.</p>"
    )


def _speed(found: Report) -> str:
    lines = {
        way: [(int(length), times[way]) for length, times in found["ms"].items()]
        for way in ("dense", "sparse")
    }
    rows = [
        [
            f"{int(length):,}",
            *(f"{times[way]:.2f}" for way in lines),
            f"{times['dense'] / times['sparse']:.1f} \N{MULTIPLICATION SIGN}",
        ]
        for length, times in found["ms"].items()
    ]
    return (
        "<h2>Speed</h2>"
        + chart(
            lines,
            title=f"Attention of one token in one layer, {found['k']} tokens kept",
            x="tokens seen",
            y="ms",
        )
        + table(["tokens", "dense, ms", "sparse, ms", "faster"], rows)
        + f"<p class='note'>On this machine's CPU, {found['threads']} threads, bfloat16; choosing "
        "is part of the sparse time.</p>"
    )


def _plan(report: Report) -> str:
    rows = [
        [
            str(layer["layer"]),
            layer["kind"],
            str(layer["k"] or "all"),
            layer["why"] or (f"as layer {layer['source']}" if layer["kind"] == "shared" else ""),
        ]
        for layer in report["plan"]
    ]
    return "<h2>The plan</h2>" + table(["layer", "kind", "tokens", "why"], rows)


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
