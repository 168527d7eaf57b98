"""One row for each provider: where it is, which language it speaks, what it wants.

A row holds only what its documentation says. The environment names the key and may move the
address: `GLASSLIPPER_<SLUG>_BASE_URL`. Nothing here calls anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from glasslipper.gateway.parameters import NOT_AT_OPENAI, NOT_IN_GEMINI, NOT_IN_MESSAGES


class Provider(Struct, frozen=True, kw_only=True):
    """A provider and its quirks.

    Attributes:
        slug: Its name in endpoints and records.
        name: Its name for people.
        base_url: Where its API begins; empty if only the user knows.
        key_env: The variables that may hold the key, in order.
        is_local: It runs on the user's machines and needs no key.
        max_tokens_field: What it calls the limit of an answer.
        seed_field: What it calls the seed.
        takes_stream_options: It accepts `stream_options.include_usage`; others tell usage anyway.
        knows_developer: It tells the developer role from the system role.
        speaks_openrouter: It takes OpenRouter's members: routing, `reasoning`, `cache_control`.
        reasoning: How it is told how much to think: by the word of `reasoning_effort`, by that
            and the switch `thinking`, by `enable_thinking` with a `thinking_budget`, or by
            OpenRouter's `reasoning` object.
        thinking: How it wants to see an assistant's earlier thinking, if at all: OpenRouter's
            `reasoning_details`, or one text in `reasoning_content`.
        lacks: The parameters that it does not take, in OpenRouter's words, whatever the model.
        caches_unasked: It keeps prompts that come again, without being told where they end.
        speaks: OpenAI's chat completions, as most do, Anthropic's Messages or Google's Gemini;
            of the last two, what their codecs know does not stand in the row.
    """

    slug: str
    name: str
    base_url: str
    key_env: tuple[str, ...] = ()
    is_local: bool = False
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    seed_field: Literal["seed", "random_seed"] = "seed"
    takes_stream_options: bool = True
    knows_developer: bool = False
    speaks_openrouter: bool = False
    reasoning: Literal["effort", "switch", "budget", "object"] = "effort"
    thinking: Literal["details", "content"] | None = None
    lacks: frozenset[str] = frozenset()
    caches_unasked: bool = False
    speaks: Literal["chat", "messages", "gemini"] = "chat"

    @property
    def base_url_env(self) -> str:
        """The variable that moves the address."""
        plain = "".join(letter if letter.isalnum() else "_" for letter in self.slug)
        return f"GLASSLIPPER_{plain.upper()}_BASE_URL"

    def key(self, environ: Mapping[str, str]) -> str | None:
        """Return the key that the environment holds, or `None`."""
        for variable in self.key_env:
            key = environ.get(variable, "").strip()
            if key:
                return key
        return None

    def address(self, environ: Mapping[str, str]) -> str:
        """Return the base URL: the environment's, or the provider's own; may be empty."""
        return environ.get(self.base_url_env, "").strip() or self.base_url


PROVIDERS: tuple[Provider, ...] = (
    Provider(
        slug="openai",
        name="OpenAI",
        base_url="https://api.openai.com/v1",
        key_env=("OPENAI_API_KEY",),
        max_tokens_field="max_completion_tokens",
        knows_developer=True,
        lacks=NOT_AT_OPENAI,
        caches_unasked=True,
    ),
    Provider(
        slug="anthropic",
        name="Anthropic",
        base_url="https://api.anthropic.com",
        key_env=("ANTHROPIC_API_KEY",),
        speaks="messages",
        lacks=NOT_IN_MESSAGES,
    ),
    Provider(
        slug="google",
        name="Google",
        base_url="https://generativelanguage.googleapis.com/v1beta",
        key_env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        speaks="gemini",
        lacks=NOT_IN_GEMINI,
        caches_unasked=True,
    ),
    Provider(
        slug="openrouter",
        name="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        key_env=("OPENROUTER_API_KEY",),
        knows_developer=True,
        speaks_openrouter=True,
        reasoning="object",
        thinking="details",
    ),
    Provider(
        slug="mistral",
        name="Mistral",
        base_url="https://api.mistral.ai/v1",
        key_env=("MISTRAL_API_KEY",),
        seed_field="random_seed",
        takes_stream_options=False,
    ),
    Provider(
        slug="deepseek",
        name="DeepSeek",
        base_url="https://api.deepseek.com/v1",
        key_env=("DEEPSEEK_API_KEY",),
        reasoning="switch",
        thinking="content",
        caches_unasked=True,
    ),
    Provider(
        slug="qwen",
        name="Qwen",
        base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        key_env=("DASHSCOPE_API_KEY",),
        reasoning="budget",
    ),
    Provider(
        slug="moonshot",
        name="Moonshot AI",
        base_url="https://api.moonshot.ai/v1",
        key_env=("MOONSHOT_API_KEY",),
        reasoning="switch",
        thinking="content",
        caches_unasked=True,
    ),
    Provider(
        slug="xai",
        name="xAI",
        base_url="https://api.x.ai/v1",
        key_env=("XAI_API_KEY",),
        caches_unasked=True,
    ),
    Provider(
        slug="groq",
        name="Groq",
        base_url="https://api.groq.com/openai/v1",
        key_env=("GROQ_API_KEY",),
        max_tokens_field="max_completion_tokens",
    ),
    Provider(
        slug="together",
        name="Together",
        base_url="https://api.together.xyz/v1",
        key_env=("TOGETHER_API_KEY",),
    ),
    Provider(
        slug="fireworks",
        name="Fireworks",
        base_url="https://api.fireworks.ai/inference/v1",
        key_env=("FIREWORKS_API_KEY",),
    ),
    Provider(
        slug="cerebras",
        name="Cerebras",
        base_url="https://api.cerebras.ai/v1",
        key_env=("CEREBRAS_API_KEY",),
        max_tokens_field="max_completion_tokens",
    ),
    Provider(
        slug="ollama",
        name="Ollama",
        base_url="http://127.0.0.1:11434/v1",
        key_env=("OLLAMA_API_KEY",),
        is_local=True,
    ),
    Provider(
        slug="llama.cpp",
        name="llama.cpp",
        base_url="http://127.0.0.1:8080/v1",
        key_env=("LLAMA_API_KEY",),
        is_local=True,
        thinking="content",
    ),
    Provider(
        slug="vllm",
        name="vLLM",
        base_url="http://127.0.0.1:8000/v1",
        key_env=("VLLM_API_KEY",),
        is_local=True,
    ),
    Provider(
        slug="lmstudio",
        name="LM Studio",
        base_url="http://127.0.0.1:1234/v1",
        is_local=True,
    ),
    Provider(
        slug="sglang",
        name="SGLang",
        base_url="http://127.0.0.1:30000/v1",
        key_env=("SGLANG_API_KEY",),
        is_local=True,
    ),
    Provider(
        slug="custom",
        name="Custom",
        base_url="",
        key_env=("GLASSLIPPER_CUSTOM_API_KEY",),
        is_local=True,
        speaks_openrouter=True,
        reasoning="object",
        thinking="details",
    ),
)
"""Every provider that is known, in the order in which they are shown."""

_BY_SLUG = {provider.slug: provider for provider in PROVIDERS}


def provider(slug: str) -> Provider | None:
    """Return the row of a slug, or `None`."""
    return _BY_SLUG.get(slug)


def enabled(environ: Mapping[str, str]) -> list[Provider]:
    """Return the providers that the environment makes usable, in the order of the table.

    A provider is usable with its key. One that needs no key is usable once the environment says
    where it is: a key alone, which may be meant for its cloud, does not say that.
    """
    return [row for row in PROVIDERS if _is_usable(row, environ)]


def _is_usable(row: Provider, environ: Mapping[str, str]) -> bool:
    if row.is_local:
        return bool(environ.get(row.base_url_env, "").strip())
    return row.key(environ) is not None
