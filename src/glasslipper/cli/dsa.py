"""`glasslipper dsa`: sparse attention for a model that was trained without it."""

from __future__ import annotations

import click

from glasslipper.cli import options
from glasslipper.cli.lazy import LazyGroup

COMMANDS = {
    "fit": "glasslipper.cli.dsafit:fit",
    "eval": "glasslipper.cli.dsafit:evaluate",
    "bench": "glasslipper.cli.dsabench:bench",
    "serve": "glasslipper.cli.dsaserve:serve",
}


@options.example(
    "glasslipper dsa bench --model local/smol",
    "glasslipper dsa fit --model local/smol --text notes/ --text manual.txt",
    "glasslipper dsa serve --model local/smol",
)
@click.group(cls=LazyGroup, commands_at=COMMANDS)
def dsa() -> None:
    """Give a model you have DeepSeek Sparse Attention."""
