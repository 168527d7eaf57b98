"""Reads what other products and providers export about calls, as generations. Pure; writes nothing.

    own         our own export: the lines of journals
    openrouter  the activity CSV
    litellm     spend logs, as JSON, JSON lines or CSV
    langfuse    observations, as JSON, JSON lines or CSV
    openai      the usage export, as JSON or CSV: buckets of requests
    anthropic   the usage export, as JSON or CSV: buckets of tokens
    costs       what generations of this ledger really cost, as CSV, JSON or JSON lines
    rows        how a file of any of these becomes rows, and values become numbers and moments

The same row gets the same id each time, so that importing twice adds nothing. Keys get the
names that they have there, below the name of the format. Nothing is made up: what an export does
not say stays unknown, and what is shared out evenly is marked as an estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from glasslipper.kernel.record import Generation, LateFact
from glasslipper.ledger.imports import anthropic, costs, langfuse, litellm, openai, openrouter, own
from glasslipper.ledger.imports.bucket import Unfinished
from glasslipper.ledger.imports.rows import Priced

Reader = Callable[[Path, Priced], Iterator[Generation | LateFact | Unfinished]]

FORMATS: dict[str, Reader] = {
    "glasslipper": own.read,
    "openrouter": openrouter.read,
    "litellm": litellm.read,
    "langfuse": langfuse.read,
    "openai": openai.read,
    "anthropic": anthropic.read,
    "costs": costs.read,
}
"""What reads a file, by the name of its format."""
