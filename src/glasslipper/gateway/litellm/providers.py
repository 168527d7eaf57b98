"""Whom a LiteLLM model name means: the prefix before the first slash, or how the name begins."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from glasslipper.gateway.added import CUSTOM

KNOWN = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gemini": "google",
    "mistral": "mistral",
    "deepseek": "deepseek",
    "dashscope": "qwen",
    "moonshot": "moonshot",
    "xai": "xai",
    "groq": "groq",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "cerebras": "cerebras",
    "openrouter": "openrouter",
    "ollama": "ollama",
    "ollama_chat": "ollama",
    "hosted_vllm": "vllm",
    "vllm": "vllm",
    "lm_studio": "lmstudio",
    "llamafile": CUSTOM,
    "openai_like": CUSTOM,
    "custom_openai": CUSTOM,
    "litellm_proxy": CUSTOM,
}
"""LiteLLM's prefixes with our slugs."""

OTHERS = frozenset(
    {
        "ai21", "aiml", "anyscale", "azure", "azure_ai", "azure_text", "bedrock", "bytez",
        "clarifai", "cloudflare", "codestral", "cohere", "cohere_chat", "databricks", "datarobot",
        "deepinfra", "featherless_ai", "friendliai", "galadriel", "github", "github_copilot",
        "huggingface", "infinity", "jina_ai", "lambda_ai", "meta_llama", "morph", "nebius",
        "nlp_cloud", "novita", "nscale", "nvidia_nim", "oci", "perplexity", "petals", "predibase",
        "recraft", "replicate", "sagemaker", "sagemaker_chat", "sambanova", "snowflake",
        "text-completion-openai", "topaz", "triton", "v0", "vertex_ai", "vertex_ai_beta",
        "volcengine", "voyage", "watsonx", "watsonx_text", "xinference",
    }
)  # fmt: skip
"""Prefixes of services that cannot be called here."""

_BEGINNINGS = {
    "gpt-": "openai",
    "chatgpt-": "openai",
    "o1": "openai",
    "o3": "openai",
    "o4": "openai",
    "text-embedding-": "openai",
    "claude-": "anthropic",
    "gemini-": "google",
}


class Meant(NamedTuple):
    """Our slug of a provider, and what it calls the model."""

    slug: str
    model: str


def meant_by(name: str) -> Meant | str:
    """Return whom and what a model name means, or why it means nothing here."""
    prefix, slash, rest = name.partition("/")
    if slash and rest and prefix in KNOWN:
        return Meant(KNOWN[prefix], rest)
    if slash and prefix in OTHERS:
        return f"{prefix} cannot be called from here yet"
    for beginning, slug in _BEGINNINGS.items():
        if name.startswith(beginning):
            return Meant(slug, name)
    return "its name does not say which provider is meant"


def address(slug: str, base_url: str) -> str:
    """Return where our codec finds the API that LiteLLM reaches at `base_url`."""
    bare = base_url.rstrip("/")
    if slug == "ollama" and not bare.endswith("/v1"):
        return f"{bare}/v1"
    return bare


def language(slug: str, base_url: str | None) -> str:
    """Return whose language is spoken there: what only looks like OpenAI is no OpenAI."""
    if slug != "openai" or base_url is None:
        return slug
    host = urlsplit(base_url).hostname or ""
    return slug if host == "openai.com" or host.endswith(".openai.com") else CUSTOM
