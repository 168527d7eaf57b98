"""`glasslipper dsa bench`: how much time sparse attention saves on this machine."""

# pyright: reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from glasslipper.cli import options
from glasslipper.cli.output import mention, print_json, print_table

if TYPE_CHECKING:
    from glasslipper.cli.sparse import Loaded
    from glasslipper.dsa.adapter import Adapter

_BUDGET = 256
_TIMES = "\N{MULTIPLICATION SIGN}"


@options.example(
    "glasslipper dsa bench --model local/smol",
    "glasslipper dsa bench --model ./Qwen3-8B --length 8192 --length 32000 --budget 2048",
)
@click.command()
@click.option("--model", required=True, help="A folder, a GGUF file, or local/smol.")
@click.option("--adapter", type=click.Path(path_type=Path), help="Its folder.  [beside the model]")
@click.option("--budget", type=click.IntRange(1), help="Mean tokens kept.  [as fitted, or 256]")
@click.option(
    "--length",
    "lengths",
    type=click.IntRange(128),
    multiple=True,
    help="Tokens of a prompt for the whole model.  [1024 and 4096]",
)
@click.option("--tokens", type=click.IntRange(2), default=16, help="Tokens to say.  [16]")
@click.option(
    "--prefill-block",
    "block",
    type=click.IntRange(0, 256),
    default=0,
    help="So many neighbouring tokens of a prompt share one choice.  [0]",
)
@click.option("--device", default="cpu", help="Where to compute: cpu or cuda.  [cpu]")
@click.option("--threads", type=click.IntRange(1), help="Threads to compute with.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@options.as_json
def bench(
    *,
    model: str,
    adapter: Path | None,
    budget: int | None,
    lengths: tuple[int, ...],
    tokens: int,
    block: int,
    threads: int | None,
    device: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Time sparse attention beside dense: one layer, then the whole model.

    A model need not be fitted: what a fit learns changes what is chosen, not how long that takes.
    """
    from glasslipper.cli import sparse

    with sparse.our_words(), sparse.progress(quiet=quiet) as tell:
        from glasslipper.dsa import speed

        path = sparse.find_model(model, quiet=quiet)
        loaded = sparse.load(path, threads=threads, dtype="bfloat16", device=device)
        found, is_fitted = _adapter(loaded, adapter, sparse.beside(path), budget)
        planned = [layer.k for layer in found.plan if layer.kind != "dense"]
        mean = budget or (round(sum(planned) / len(planned)) if planned else _BUDGET)
        told: dict[str, Any] = {
            "fitted": is_fitted,
            "layer": speed.measure(
                found,
                k=mean,
                device=loaded.host.device,
                on_progress=lambda done, total: tell("one layer", done, total),
            ),
            "model": speed.whole(
                loaded.opened,
                loaded.host,
                found,
                lengths=lengths or _usual(loaded.opened.context_tokens - tokens),
                tokens=tokens,
                budget=budget,
                block=block,
                on_progress=lambda done, total: tell("the whole model", done, total),
            ),
        }
    _tell(told, as_json=as_json)


def _adapter(
    loaded: Loaded, given: Path | None, beside: Path, budget: int | None
) -> tuple[Adapter, bool]:
    """Return the adapter to time, and whether somebody fitted it."""
    from glasslipper.cli import sparse
    from glasslipper.dsa import speed
    from glasslipper.dsa.adapter import FILE

    if given is None and not (beside / FILE).exists():
        return speed.untaught(loaded.opened, loaded.host, k=budget or _BUDGET), False
    return sparse.load_adapter(loaded, given or beside), True


def _usual(most: int) -> tuple[int, ...]:
    return tuple(sorted({min(most, length) for length in (1024, 4096)}))


def _tell(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(told)
        return
    layer = told["layer"]
    print_table(
        ["tokens seen#", "dense, ms#", "sparse, ms#", "faster#"],
        [
            [
                f"{int(length):,}",
                *(f"{times[way]:.2f}" for way in ("dense", "sparse")),
                f"{times['dense'] / times['sparse']:.1f} {_TIMES}",
            ]
            for length, times in layer["ms"].items()
        ],
    )
    mention(
        f"Attention of one token in one layer, {layer['k']} tokens kept, "
        f"{layer['threads']} threads; choosing is part of the sparse time."
    )
    click.echo()
    print_table(
        ["prompt#", "reads, dense#", "sparse#", "faster#", "says, dense#", "sparse#", "faster#"],
        [_row(ways) for ways in told["model"].values()],
    )
    mention("Tokens a second of the whole model.")
    if not told["fitted"]:
        mention(
            "Timed as if it were fitted. Fit it: glasslipper dsa fit --model MODEL --text FILES"
        )


def _row(ways: dict[str, dict[str, float]]) -> list[str]:
    dense, sparse = ways["dense"], ways["sparse"]
    cells = [f"{int(dense['prompt_tokens']):,}"]
    for rate in ("read_per_s", "said_per_s"):
        cells += [f"{dense[rate]:.1f}", f"{sparse[rate]:.1f}"]
        cells.append(f"{sparse[rate] / dense[rate]:.2f} {_TIMES}")
    return cells
