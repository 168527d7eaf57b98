from __future__ import annotations

import pytest
from openai_peer import row

from glasslipper.gateway.providers.openai import OpenAICompatible
from glasslipper.gateway.providers.table import PROVIDERS, Provider, enabled, provider
from glasslipper.gateway.transport import Transport


def test_a_provider_is_enabled_by_its_key() -> None:
    assert enabled({}) == []
    environ = {"MISTRAL_API_KEY": " k ", "OPENAI_API_KEY": "", "GROQ_API_KEY": "g"}
    assert [each.slug for each in enabled(environ)] == ["mistral", "groq"]
    assert row("mistral").key(environ) == "k"


def test_a_local_server_is_enabled_by_its_address_and_an_address_may_move() -> None:
    environ = {
        "GLASSLIPPER_LLAMA_CPP_BASE_URL": "http://box:1/v1",
        "OLLAMA_API_KEY": "k",
        "GLASSLIPPER_OPENAI_BASE_URL": "http://proxy/v1",
    }
    assert [each.slug for each in enabled(environ)] == ["llama.cpp"]
    assert row("llama.cpp").address(environ) == "http://box:1/v1"
    assert row("openai").address(environ) == "http://proxy/v1"
    assert row("openai").address({}) == "https://api.openai.com/v1"


@pytest.mark.parametrize("known", PROVIDERS, ids=lambda each: each.slug)
def test_every_row_can_be_called(known: Provider) -> None:
    assert provider(known.slug) is known
    base_url = known.base_url or "http://127.0.0.1:1/v1"
    assert OpenAICompatible(Transport(), known, key=None, base_url=base_url).provider is known
