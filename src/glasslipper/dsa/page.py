"""The report on a retrofit as one page with pictures: plain HTML with inline SVG, no scripts.

Knows the data that `evaluate` returns, and nothing of how it was measured.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

Report = Mapping[str, Any]  # data as `evaluate` returns it
Line = Sequence[tuple[float, float]]

_COLOURS = {
    "plan": "--plan",
    "sparse": "--sparse",
    "indexer": "--sparse",
    "oracle": "--oracle",
    "window": "--window",
    "dense": "--dense",
}
"""What is drawn has one colour on the whole page; a second of its kind is dashed."""

_DASHES = ("", "6 4", "2 3")
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BELOW = 720, 280, 60, 16, 12, 42
_STYLE = """
:root{--ink:#1f2328;--soft:#59636e;--line:#d8dee4;--back:#fff;--plan:#1f6feb;--sparse:#8250df;
--oracle:#1a7f37;--window:#bc4c00;--dense:#6e7781;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9198a1;--line:#30363d;--back:#0d1117;
--plan:#58a6ff;--sparse:#bc8cff;--oracle:#3fb950;--window:#f0883e;--dense:#8b949e}}
body{font:16px/1.55 system-ui,sans-serif;max-width:46rem;margin:2.5rem auto;padding:0 1rem;
color:var(--ink);background:var(--back)}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .6rem}
h2{font-size:1.25rem;margin:2.6rem 0 .6rem;padding-top:1rem;border-top:1px solid var(--line)}
.note,figcaption{color:var(--soft);font-size:.9rem}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(8rem,1fr));gap:.8rem;
margin:1.4rem 0;padding:0}
.facts div{border:1px solid var(--line);border-radius:.5rem;padding:.7rem .9rem}
.facts dt{color:var(--soft);font-size:.85rem}.facts dd{margin:0;font-size:1.45rem;font-weight:600}
.wide{overflow-x:auto}
table{border-collapse:collapse;margin:.8rem 0;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.28rem .6rem;text-align:right;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:500;font-size:.85rem;vertical-align:bottom}
th:first-child,td:first-child{text-align:left;padding-left:0}
td.share{background:color-mix(in srgb,var(--oracle) calc(var(--share)*45%),transparent)}
table.words td:last-child,table.words th:last-child{text-align:left}
figure{margin:1.2rem 0}figcaption{font-weight:600;color:var(--ink);margin-bottom:.2rem}
svg{width:100%;height:auto;display:block;overflow:visible}
svg text{fill:var(--soft);font:12px system-ui,sans-serif}
svg .grid{stroke:var(--line)}svg polyline{fill:none;stroke-width:2;stroke-linejoin:round}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.1rem 1.1rem;margin:.3rem 0 0;padding:0;
font-size:.85rem;color:var(--soft)}
.legend svg{display:inline-block;width:1.6rem;height:.6rem;margin-right:.4rem}
details summary{cursor:pointer;color:var(--soft)}
@media print{body{margin:0;max-width:none}h2,figure,table{break-inside:avoid}}
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
        f"<title>Sparse attention: report</title><style>{_STYLE}</style></head><body><main>"
        + "".join(parts)
        + "</main></body></html>\n"
    )


def chart(
    lines: Mapping[str, Line], *, title: str, x: str, y: str, is_doubling: bool = False
) -> str:
    """Return lines as a figure with a legend; `is_doubling` draws x by its logarithm."""
    points = [point for line in lines.values() for point in line]
    if not points:
        return ""
    high_x = max(p[0] for p in points)
    low_x = min(p[0] for p in points)
    ups = _ticks(min(0.0, *(p[1] for p in points)), max(p[1] for p in points))
    if min(p[1] for p in points) > 0.5 * ups[-1]:
        ups = _ticks(min(p[1] for p in points), max(p[1] for p in points))
    low_y, high_y = ups[0], ups[-1]
    across = sorted({p[0] for p in points}) if is_doubling else _ticks(low_x, high_x)
    low_x, high_x = min(low_x, across[0]), max(high_x, across[-1])

    def place_x(value: float) -> float:
        at, low, high = (
            (map(math.log2, (value, low_x, high_x)))
            if is_doubling
            else (
                value,
                low_x,
                high_x,
            )
        )
        return _LEFT + (at - low) / ((high - low) or 1) * (_WIDTH - _LEFT - _RIGHT)

    def place_y(value: float) -> float:
        return _TOP + (high_y - value) / ((high_y - low_y) or 1) * (_HEIGHT - _BELOW - _TOP)

    grid = "".join(
        f"<line class='grid' x1='{_LEFT}' x2='{_WIDTH - _RIGHT}' y1='{place_y(v):.1f}' "
        f"y2='{place_y(v):.1f}'/><text x='{_LEFT - 8}' y='{place_y(v) + 4:.1f}' "
        f"text-anchor='end'>{_number(v)}</text>"
        for v in ups
    ) + "".join(
        f"<text x='{place_x(v):.1f}' y='{_HEIGHT - _BELOW + 18}' "
        f"text-anchor='middle'>{_number(v)}</text>"
        for v in across
    )
    drawn = "".join(
        f"<polyline style='stroke:var({colour})' stroke-dasharray='{dash}' points='"
        + " ".join(f"{place_x(a):.1f},{place_y(b):.1f}" for a, b in lines[name])
        + "'/>"
        for name, (colour, dash) in _looks(lines).items()
    )
    return (
        f"<figure><figcaption>{html.escape(title)}</figcaption>"
        f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' role='img' "
        f"aria-label='{html.escape(title, quote=True)}'>{grid}{drawn}"
        f"<text x='{(_LEFT + _WIDTH - _RIGHT) / 2}' y='{_HEIGHT - 4}' text-anchor='middle'>"
        f"{html.escape(x)}</text>"
        f"<text transform='translate(12 {(_HEIGHT - _BELOW) / 2}) rotate(-90)' "
        f"text-anchor='middle'>{html.escape(y)}</text></svg>{_legend(lines)}</figure>"
    )


def _looks(lines: Mapping[str, Line]) -> dict[str, tuple[str, str]]:
    """Return each line's colour and dashes, by what its name begins with."""
    seen: dict[str, int] = {}
    found: dict[str, tuple[str, str]] = {}
    for name in lines:
        colour = _COLOURS.get(name.split()[0].strip(","), "--ink")
        nth = seen[colour] = seen.get(colour, -1) + 1
        found[name] = (colour, _DASHES[nth % len(_DASHES)])
    return found


def _legend(lines: Mapping[str, Line]) -> str:
    items = "".join(
        "<li><svg viewBox='0 0 26 10' aria-hidden='true'><line x1='0' x2='26' y1='5' y2='5' "
        f"style='stroke:var({colour});stroke-width:2.5' stroke-dasharray='{dash}'/></svg>"
        f"{html.escape(name)}</li>"
        for name, (colour, dash) in _looks(lines).items()
    )
    return f"<ul class='legend'>{items}</ul>"


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers, about five of them, from below `low` to above `high`."""
    span = (high - low) or abs(high) or 1.0
    rough = span / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * n for n in (1, 2, 2.5, 5, 10) if unit * n >= rough)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [n * step for n in range(first, last + 1)]


def table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, ends_in_words: bool = False
) -> str:
    """Return an HTML table; numbers stand on the right, words that end a row on the left."""
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return _table(headings, body, kind=" class='words'" if ends_in_words else "")


def _table(headings: Sequence[str], body: str, *, kind: str = "") -> str:
    head = "".join(f"<th scope='col'>{html.escape(cell)}</th>" for cell in headings)
    return f"<div class='wide'><table{kind}><tr>{head}</tr>{body}</table></div>"


def _head(report: Report) -> str:
    made = report["made_with"]
    texts = ", ".join(f"{name} ({count} sequences)" for name, count in report["texts"].items())
    minutes = float(made.get("seconds", 0)) / 60
    ratios = [found["later_half"]["plan"] for found in report["perplexity"].values()]
    good = report["needles"]["good_cells"]
    kinds = [layer["kind"] for layer in report["plan"]]
    facts = {
        "perplexity, sparse over dense": f"{sum(ratios) / len(ratios):.3f}",
        "needles found, where dense finds 90 %": (
            "none to find" if good["plan"] is None else f"{good['plan']:.1%}"
        ),
        "layers sparse, shared, dense": " / ".join(
            str(kinds.count(kind)) for kind in ("full", "shared", "dense")
        ),
        "parameters added": f"{report['extra_params_share']:.1%}",
        "bytes added to keys and values": f"{report['extra_kv_share']:.1%}",
    }
    shown = "".join(
        f"<div><dt>{html.escape(what)}</dt><dd>{html.escape(value)}</dd></div>"
        for what, value in facts.items()
    )
    return (
        "<h1>Sparse attention on your model</h1>"
        f"<p>Fitted in {minutes:.1f} min on {made.get('sequences', '?')} sequences of "
        f"{made.get('length', '?')} tokens, for a mean budget of "
        f"{made.get('k', '?')} tokens. Judged on {html.escape(texts)}.</p>"
        f"<dl class='facts'>{shown}</dl>"
        "<p class='note'><b>Plan</b> is what is served: each layer with its own budget. "
        "<b>Sparse</b> gives all layers one budget. An <b>oracle</b> chooses by the dense "
        "attention itself, and a <b>window</b> takes the latest tokens.</p>"
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
            x="position in the text",
            y="nats a token above dense",
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
        + chart(by_budget, title="By budget, mean of the layers", x="tokens kept", y="share kept")
    )


def _needles(found: Report) -> str:
    grid = found["found"]
    rows = "".join(
        f"<tr><td>{html.escape(way)}</td><td>{length}</td>"
        + "".join(
            f"<td class='share' style='--share:{share:.2f}'>{share:.0%}</td>"
            for share in by_depth.values()
        )
        + "</tr>"
        for way, by_length in grid.items()
        for length, by_depth in by_length.items()
    )
    depths = next(iter(next(iter(grid.values())).values()))
    good = found["good_cells"]
    means = ", ".join(
        f"{way} {share:.1%}" for way, share in good.items() if way != "cells" and share is not None
    )
    return (
        "<h2>Needles</h2>"
        + _table(["attention", "tokens", *(f"{depth} %" for depth in depths)], rows)
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
            is_doubling=True,
        )
        + table(["tokens", "dense, ms", "sparse, ms", "faster"], rows)
        + f"<p class='note'>On this machine, {found['threads']} threads, bfloat16; choosing "
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
    return (
        "<h2>The plan</h2><details open><summary>All layers</summary>"
        + table(["layer", "kind", "tokens", "why"], rows, ends_in_words=True)
        + "</details>"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
