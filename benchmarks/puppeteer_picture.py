"""Draws how a training went: small panels of one line each, as SVG."""

from __future__ import annotations

from collections.abc import Sequence

from glasslipper.puppeteer.graph import measure
from glasslipper.puppeteer.reinforce import Round

WIDTH, HEIGHT, GAP = 300, 150, 46


def draw_rounds(rounds: Sequence[Round]) -> str:
    graphs = [measure(one.paths) for one in rounds]
    models = [measure([[n.partition("#")[0] for n in p] for p in one.paths]) for one in rounds]
    panels = [
        ("reward", [one.reward for one in rounds]),
        ("right answers", [one.right for one in rounds]),
        ("CPU seconds a task", [one.cost for one in rounds]),
        ("tokens a task", [one.tokens for one in rounds]),
        ("calls a task", [one.calls for one in rounds]),
        ("graph of puppets: edges a node", [one.density for one in graphs]),
        ("graph of models: edges a node", [one.density for one in models]),
        ("cycles of two models, an episode", [one.cycles for one in models]),
    ]
    across = 4
    down = -(-len(panels) // across)
    pieces = [
        f'<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="12" '
        f'viewBox="0 0 {across * (WIDTH + GAP) + GAP} {down * (HEIGHT + GAP) + GAP}" role="img" '
        f'aria-label="How the training went, by round">'
        '<rect width="100%" height="100%" fill="white"/>'
    ]
    for place, (title, values) in enumerate(panels):
        x = GAP + (place % across) * (WIDTH + GAP)
        y = GAP + (place // across) * (HEIGHT + GAP)
        pieces.append(_panel(title, values, x, y))
    return "".join([*pieces, "</svg>\n"])


def _panel(title: str, values: Sequence[float], x: int, y: int) -> str:
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    step = WIDTH / max(len(values) - 1, 1)
    points = " ".join(
        f"{x + i * step:.1f},{y + HEIGHT * (1 - (value - low) / span):.1f}"
        for i, value in enumerate(values)
    )
    return (
        f'<text x="{x}" y="{y - 8}">{title}</text>'
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#ccc"/>'
        f'<text x="{x - 4}" y="{y + 10}" text-anchor="end" fill="#666">{high:.3g}</text>'
        f'<text x="{x - 4}" y="{y + HEIGHT}" text-anchor="end" fill="#666">{low:.3g}</text>'
        f'<polyline points="{points}" fill="none" stroke="#2a6fb0" stroke-width="1.5"/>'
    )
