"""`glasslipper ask --file … --sparse/--dense`: one long text, answered here, and its work drawn.

The model runs in this process, so that what each token cost is known exactly.
"""

from __future__ import annotations

import shutil
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from glasslipper.cli.output import mention, print_json, printable

if TYPE_CHECKING:
    from glasslipper.dsa.engine import SparseEngine, Told
    from glasslipper.dsa.paged import Work

_ROWS = 12
_MARGIN = 9
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
    adapter: Path | None,
    device: str,
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

        words = "\n\n".join(texts.words_in([file], most=None))
        asked = f"{words}\n\n{question}".strip()
        if not asked:
            raise click.UsageError(f"{file} is empty: say what to ask.")
        prompt = [*turns, {"role": "user", "content": asked}]
        sampling = {"max_tokens": max_tokens or 128, "temperature": temperature or 0.0}
        ways: list[Way] = []
        for name, wanted in (("sparse", sparse), ("dense", dense)):
            if wanted:
                engine = room.open_engine(
                    path,
                    adapter or room.beside(path),
                    threads=None,
                    device=device,
                    is_sparse=name == "sparse",
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
    columns = max(20, min(width or shutil.get_terminal_size().columns, 100) - _MARGIN - 1)
    curves = {way.name: per_token(way.work) for way in ways}
    totals = {way.name: sum(w.attention + w.index for w in way.work) for way in ways}
    last = max((at for curve in curves.values() for at, _ in curve), default=1) or 1
    most = max((cost for curve in curves.values() for _, cost in curve), default=1.0) or 1.0
    lines = ["Work of each token of attention, in million multiply-adds"]
    for name, curve in curves.items():
        heights = [_at(curve, (n + 0.5) * last / columns) / most for n in range(columns)]
        lines += ["", f"{'':{_MARGIN}}{name}: {_said(name, totals)}"]
        rows = _ROWS // len(curves)
        for row in range(rows, 0, -1):
            shares = [height * rows - (row - 1) for height in heights]
            bar = "".join(_BAR[max(0, min(8, round(share * 8)))] for share in shares)
            mark = f"{most / 1e6:,.3g} ┤" if row == rows else "│"
            lines.append(f"{mark:>{_MARGIN}}{bar}".rstrip())
        lines.append(f"{'0 └':>{_MARGIN}}{'─' * columns}")
    ends = f"{'0':<{columns // 3}}{f'token {last // 2:,}':^{columns // 3}}"
    lines.append(f"{'':{_MARGIN}}{ends}{f'{last:,}':>{columns - 2 * (columns // 3)}}")
    return "\n".join(lines)


def _said(name: str, totals: Mapping[str, int]) -> str:
    """Return what a way took in all, and how that compares."""
    told = f"{totals[name] / 1e9:,.1f} thousand million in all"
    dense = totals.get("dense", 0)
    if name == "dense" or not dense or not totals[name]:
        return told
    return f"{told}, {totals[name] / dense:.0%} of dense"


def _at(curve: Sequence[tuple[int, float]], position: float) -> float:
    """Return the cost at a position, on the line between the chunks around it."""
    places, costs = [at for at, _ in curve], [cost for _, cost in curve]
    after = bisect_left(places, position)
    if not 0 < after < len(places):
        return costs[min(after, len(costs) - 1)] if costs else 0.0
    share = (position - places[after - 1]) / (places[after] - places[after - 1])
    return costs[after - 1] + share * (costs[after] - costs[after - 1])


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
