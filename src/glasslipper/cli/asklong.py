"""`glasslipper ask --file … --sparse/--dense`: one long text, answered here, and its work drawn.

The model runs in this process, so that what each token cost is known exactly.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from glasslipper.cli.output import mention, print_json, printable

if TYPE_CHECKING:
    from glasslipper.dsa.engine import SparseEngine, Told
    from glasslipper.dsa.paged import Work

_ROWS = 12
_BAR = " ▁▂▃▄▅▆▇█"


class Way(NamedTuple):
    """An answer by one way of attending, and what it took."""

    name: str
    text: str
    told: Told
    work: Sequence[Work]


def ask_long(
    file: Path,
    question: str,
    *,
    model: str,
    system: str | None,
    sparse: bool,
    dense: bool,
    max_tokens: int | None,
    temperature: float | None,
    as_json: bool,
) -> None:
    """Answer a question about a file, sparsely, densely or both, and draw the work."""
    from glasslipper.cli import sparse as room

    path = room.find_model(model, quiet=as_json)
    turns = [{"role": "system", "content": system}] if system else []
    with room.our_words():
        from glasslipper.dsa import texts

        words = texts.read(file)
        prompt = [*turns, {"role": "user", "content": f"{words}\n\n{question}".strip()}]
        sampling = {"max_tokens": max_tokens or 128, "temperature": temperature or 0.0}
        ways: list[Way] = []
        for name, wanted in (("sparse", sparse), ("dense", dense)):
            if wanted:
                engine = room.open_engine(
                    path, room.beside(path), threads=None, is_sparse=name == "sparse"
                )
                ways.append(_ask(name, engine, prompt, sampling, quiet=as_json))
    if as_json:
        print_json({way.name: _as_json(way) for way in ways})
        return
    click.echo()
    click.echo(draw(ways))


def _ask(
    name: str,
    engine: SparseEngine,
    prompt: Sequence[dict[str, str]],
    sampling: dict[str, float],
    *,
    quiet: bool,
) -> Way:
    answer = engine.generate(prompt, sampling)
    said: list[str] = []
    if not quiet:
        mention(f"{name}: {answer.told.prompt_tokens} tokens to read")
    for token in answer:
        said.append(token.text)
        if not quiet:
            click.echo(printable(token.text), nl=False)
    told = answer.told
    if not quiet:
        click.echo()
        missed = "" if told.missed is None else f", missed {told.missed:.1%} of the attention"
        if told.fell_back_at is not None:
            missed += f", dense from token {told.fell_back_at} on"
        mention(
            f"{name}: read in {told.prompt_s:.1f} s, said {told.output_tokens} tokens in "
            f"{told.output_s:.1f} s{missed}"
        )
    return Way(name, "".join(said), told, answer.work)


def per_token(work: Sequence[Work]) -> list[tuple[int, float]]:
    """Return the position and the multiply-adds of attention of a token there, by chunk."""
    return [
        (chunk.first + chunk.tokens // 2, (chunk.attention + chunk.index) / chunk.tokens)
        for chunk in work
    ]


def draw(ways: Sequence[Way], *, width: int | None = None) -> str:
    """Return a picture of the work of each token of the text, for the ways that were asked."""
    columns = min(width or shutil.get_terminal_size().columns, 100) - 12
    curves = {way.name: per_token(way.work) for way in ways}
    last = max((at for curve in curves.values() for at, _ in curve), default=1) or 1
    most = max((cost for curve in curves.values() for _, cost in curve), default=1.0) or 1.0
    lines = [f"Work of each token ({most / 1e6:,.0f} million multiply-adds at the top)"]
    for name, curve in curves.items():
        heights = [_at(curve, (n + 0.5) * last / columns) / most for n in range(columns)]
        lines.append("")
        for row in range(_ROWS // len(curves), 0, -1):
            share = [h * (_ROWS // len(curves)) - (row - 1) for h in heights]
            bar = "".join(_BAR[max(0, min(8, round(s * 8)))] for s in share)
            lines.append(f"{name if row == 1 else '':>8} │{bar}")
        lines.append(f"{'':>8} └{'─' * columns}")
    lines.append(f"{'':>10}token 0{f'token {last}':>{columns - 7}}")
    totals = {way.name: sum(w.attention + w.index for w in way.work) for way in ways}
    told = ", ".join(f"{name} {total / 1e9:,.1f}" for name, total in totals.items())
    lines.append(f"In all, in thousand million: {told}")
    return "\n".join(lines)


def _at(curve: Sequence[tuple[int, float]], position: float) -> float:
    return next((cost for at, cost in curve if at >= position), curve[-1][1] if curve else 0.0)


def _as_json(way: Way) -> dict[str, object]:
    told = way.told
    return {
        "text": way.text,
        "prompt_tokens": told.prompt_tokens,
        "output_tokens": told.output_tokens,
        "prompt_s": round(told.prompt_s, 3),
        "output_s": round(told.output_s, 3),
        "missed": told.missed,
        "missed_at_most": told.missed_at_most,
        "dense_from": told.fell_back_at,
        "work": per_token(way.work),
    }
