"""Official clients of a served gateway, closed at the end of the test that opened them.

A client forgotten in a cycle leaves its socket to the garbage collector, which warns of it in
whatever test runs by then.
"""

from __future__ import annotations

import contextlib

import anthropic
import openai

from glasslipper.testing.served import Served

_opened = contextlib.ExitStack()


def openai_client(gateway: Served, key: str | None = None) -> openai.OpenAI:
    client = openai.OpenAI(base_url=gateway.url, api_key=key or gateway.key, max_retries=0)
    return _opened.enter_context(client)


def anthropic_client(gateway: Served) -> anthropic.Anthropic:
    url = gateway.url.removesuffix("/v1")
    return _opened.enter_context(
        anthropic.Anthropic(base_url=url, api_key=gateway.key, max_retries=0)
    )


def close_all() -> None:
    """Close what was opened since the last time."""
    _opened.close()
