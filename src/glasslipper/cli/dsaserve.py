"""`glasslipper dsa serve`: the gateway, with a retrofitted model on offer beside all others."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from glasslipper.cli import options
from glasslipper.cli.output import mention

if TYPE_CHECKING:
    from glasslipper.dsa.engine import Told
    from glasslipper.local import LocalModels


@options.example("glasslipper dsa serve --model local/smol --budget 512")
@click.command()
@click.option("--model", required=True, help="A folder, a GGUF file, or local/smol.")
@click.option("--adapter", type=click.Path(path_type=Path), help="Its folder.  [beside the model]")
@click.option("--as", "model_id", help="What clients call it.  [local/NAME-sparse]")
@click.option("--budget", type=click.IntRange(1), help="Mean tokens kept.  [as fitted]")
@click.option(
    "--context", type=click.IntRange(64), help="Tokens.  [what the model was trained for]"
)
@click.option(
    "--mass",
    type=click.FloatRange(0.01, 1),
    help="Of the budget, keep for each token only what holds this share by the indexer's own "
    "guess: quicker where little matters.  [all of it]",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=0.2,
    help="Attend densely where more of the attention than this may be missed.  [0.2]",
)
@click.option(
    "--prefill-block",
    "block",
    type=click.IntRange(0, 256),
    default=0,
    help="So many neighbouring tokens of a prompt share one choice: quicker.  [0]",
)
@click.option(
    "--candidates",
    type=click.IntRange(0, 64),
    default=0,
    help="From 32,768 tokens on, look only into runs that hold so many times the budget: "
    "quicker, and misses more.  [0: into all]",
)
@click.option("--device", default="cpu", help="Where to compute: cpu or cuda.  [cpu]")
@click.option("--threads", type=click.IntRange(1), help="Threads to compute with.")
@click.option("--host", help="Address to listen on.  [127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 for any.  [7331]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line once ready.")
def serve(
    *,
    model: str,
    adapter: Path | None,
    model_id: str | None,
    budget: int | None,
    context: int | None,
    mass: float | None,
    threshold: float,
    block: int,
    candidates: int,
    threads: int | None,
    device: str,
    host: str | None,
    port: int | None,
    as_json: bool,
) -> None:
    """Serve a retrofitted model through the gateway.

    After each answer it says what share of the attention was missed, by estimate and at most.
    """
    from glasslipper.cli import sparse
    from glasslipper.cli.up import serve as serve_house
    from glasslipper.gateway import settings as settings_file
    from glasslipper.store import places

    home = places.home()
    settings = settings_file.load(home, host=host, port=port)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    path = sparse.find_model(model, quiet=as_json)
    name = model_id or f"local/{path.stem.lower()}-sparse"
    # Opened before anything is served: a wrong adapter is an error now, not at the first call.
    engine = sparse.open_engine(
        path,
        adapter or sparse.beside(path),
        threads=threads,
        device=device,
        context_tokens=context,
        budget=budget,
        threshold=threshold,
        block=block,
        candidates=candidates,
        mass=mass,
        on_end=_mention,
    )

    if 0 < engine.fitted_tokens < engine.context_tokens:
        mention(
            f"The adapter was fitted on {engine.fitted_tokens:,} tokens and serves "
            f"{engine.context_tokens:,}: beyond what it was fitted on, watch what the meter says."
        )

    def more(local: LocalModels) -> None:
        from glasslipper.local import GuestEngine

        local.add_engine(
            name,
            lambda: GuestEngine(engine, sparse.explain),
            context_tokens=engine.context_tokens,
        )

    serve_house(home, settings, as_json=as_json, more=more)


def _mention(told: Told) -> None:
    missed = "nothing" if told.missed is None else f"{told.missed:.1%}"
    dense = "" if told.fell_back_at is None else f"; dense from token {told.fell_back_at} on"
    mention(
        f"{told.prompt_tokens} + {told.output_tokens} tokens, attention missed: {missed} "
        f"(at most {told.missed_at_most:.1%}, {told.looks} looks){dense}"
    )
