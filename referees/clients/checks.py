"""Runs the checks of one client in the client's own environment, and prints what came of them.

Needs nothing but the standard library; the gateway's address, key and models come by environment.
"""

import asyncio
import inspect
import json
import os
import sys
import traceback
from pathlib import Path

HOST = os.environ["REFEREE_HOST"]
KEY = os.environ["REFEREE_KEY"]
ADMIN_KEY = os.environ["REFEREE_ADMIN_KEY"]
LOCAL = os.environ["REFEREE_LOCAL"]
"""A real model: small, so its words mean little, but its tool calls are held to their schema."""

MOCK = os.environ["REFEREE_MOCK"]
"""A model that behaves: it calls a tool it is offered, then answers."""

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Rom", "Paris"]}},
    "required": ["city"],
    "additionalProperties": False,
}


def run(*checks):
    """Run each check; print a JSON list of their names with why they failed, or null."""
    told = []
    for check in checks:
        try:
            made = check()
            if inspect.isawaitable(made):
                asyncio.run(made)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is why the check failed
            last = traceback.extract_tb(error.__traceback__)[-1]
            why = f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
            told.append([check.__name__, why[:600]])
            traceback.print_exc(file=sys.stderr)
        else:
            told.append([check.__name__, None])
    print(json.dumps(told))


def same(found, wanted, what="value"):
    """Fail unless they are equal."""
    if found != wanted:
        raise AssertionError(f"{what} is {found!r}, not {wanted!r}")


def true(found, what):
    """Fail unless it is so."""
    if not found:
        raise AssertionError(f"{what}: {found!r}")


def arguments(text):
    """Fail unless these are arguments that the schema of `CITY` allows."""
    value = json.loads(text) if isinstance(text, str) else dict(text)
    true(value.get("city") in ("Rom", "Paris"), f"the arguments are {value}")
