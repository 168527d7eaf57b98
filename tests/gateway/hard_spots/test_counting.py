"""A prompt's tokens are counted by whoever will read it, asked for in any client's words."""

from __future__ import annotations

import json
from typing import Any

import as_provider
import pytest

from glasslipper.testing.parrot import Lesson, Parrot
from glasslipper.testing.served import Served

TELLS = {"messages": {"input_tokens": 77}, "gemini": {"totalTokens": 77}}
PATHS = {"messages": "/v1/messages/count_tokens", "gemini": ":countTokens"}


def count(gateway: Served, client: str, model: str) -> tuple[int, Any]:
    if client == "messages":
        turns = [{"role": "user", "content": "Hi"}]
        body: Any = {"model": model, "system": "Be brief.", "messages": turns}
        status, told = gateway.call("POST", "/v1/messages/count_tokens", body, key=gateway.key)
        return status, told.get("input_tokens", told)
    asked = {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
    }
    path, body = f"/v1beta/models/{model}:countTokens", {"generateContentRequest": asked}
    status, told = gateway.call("POST", path, body, key=gateway.key)
    return status, told.get("totalTokens", told)


@pytest.mark.parametrize("client", ["messages", "gemini"])
@pytest.mark.parametrize("dialect", TELLS)
def test_the_provider_counts(gateway: Served, parrot: Parrot, dialect: str, client: str) -> None:
    lesson = Lesson(whole=json.dumps(TELLS[dialect]).encode())
    parrot.teach(as_provider.MODELS[dialect], lesson)
    assert count(gateway, client, f"hard/{dialect}") == (200, 77)
    asked = parrot.asked()[-1]
    assert asked["path"].endswith(PATHS[dialect])
    body = asked["body"]
    if dialect == "gemini":
        inner = body["generateContentRequest"]
        assert inner["model"] == f"models/{as_provider.MODELS['gemini']}"
        assert inner["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    else:
        assert body["system"] == [{"type": "text", "text": "Be brief."}]
        assert "max_tokens" not in body


@pytest.mark.parametrize("client", ["messages", "gemini"])
def test_where_nobody_counts_an_estimate_is_told(gateway: Served, client: str) -> None:
    status, tokens = count(gateway, client, "hard/chat")
    assert status == 200
    assert 1 <= tokens <= 40
