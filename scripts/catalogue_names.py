"""Finds the `author/slug` of what a provider calls by a name of its own.

OpenRouter's names are the reference: where one of them means the same model, it is taken. Where
none does, the name is made of the author and the provider's name. Knows nothing of prices.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

AUTHORS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "google",
    "mistral": "mistralai",
    "deepseek": "deepseek",
    "qwen": "qwen",
    "moonshot": "moonshotai",
    "xai": "x-ai",
}
"""Providers that run only models of their own, and their names as authors."""

RENAMED = {
    "deepseek-ai": "deepseek",
    "meta-models": "meta",
    "minimaxai": "minimax",
    "zai-org": "z-ai",
}
"""Authors whose names elsewhere differ from OpenRouter's."""

FAMILIES = (
    (r"(meta-)?llama|codellama", "meta-llama"),
    (r"qwen|qwq|qvq", "qwen"),
    (r"gemma|gemini", "google"),
    (r"mi[sx]tral|ministral|codestral|devstral|magistral|pixtral|voxtral", "mistralai"),
    (r"deepseek", "deepseek"),
    (r"kimi", "moonshotai"),
    (r"(zai-)?glm", "z-ai"),
    (r"gpt-|whisper", "openai"),
    (r"minimax", "minimax"),
    (r"nemotron", "nvidia"),
)
"""Who made a model, by how its name begins."""

DATE = re.compile(r"[-@](\d{8}|\d{4}-\d{2}-\d{2})$")
SAME = re.compile(r"(-latest|-0|[-@]\d{8}|-\d{4}-\d{2}-\d{2})$")
"""What a name may end in that tells only which snapshot is meant."""

HOSTED = re.compile(r"(-turbo|-versatile|-instant|-fp8|-lite|-tput|-hf|-8192|-\d+b-\d+e)$")
"""What a host appends to the name of someone else's model."""

NOT_OFFERED = re.compile(
    r"^ft:|-$|\s|\.ft-|:(batch|beta)$"
    r"|tts|whisper|realtime|transcribe|voice|moderation|gpt-image|gpt-live|gemini-.*live|lyria"
    r"|(^|-)(ada|babbage|curie|davinci)\b"
)
"""Names that stand for rules or batches, and kinds of models that no API of ours serves."""

VALID = re.compile(r"^~?[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._:+-]*$")
"""What an id looks like."""


def dateless(name: str) -> str:
    """Return a name without the day of its snapshot."""
    return DATE.sub("", name)


class Names:
    """The names that OpenRouter uses."""

    def __init__(self, known: Iterable[str]) -> None:
        self._ids = {
            (author, _letters(slug)): f"{author}/{slug}"
            for author, _, slug in (name.partition("/") for name in sorted(known, reverse=True))
            if slug and ":" not in slug and not author.startswith("~")
        }

    def id_of(self, provider: str, upstream: str, siblings: Collection[str]) -> str:
        """Return the id of what a provider calls `upstream`, next to `siblings`.

        A name that OpenRouter does not know may be a snapshot of one of the siblings.
        """
        author, slug = _author_of(provider, upstream.lower())
        forms = list(_forms(slug, hosted=author != AUTHORS.get(provider)))
        for form in forms:
            found = self._ids.get((author, _letters(form)))
            if found is not None:
                return found
        return next(
            (f"{author}/{form}" for form in forms[1:] if form in siblings), f"{author}/{slug}"
        )


class Snapshots:
    """OpenRouter's own names: which of them are days of which other, in whatever word order."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = {_words(name): name for name in names if dateless(name) == name}

    def id_of(self, name: str) -> str:
        """Return the name without its day, if that is a name too, or else the name."""
        return name if dateless(name) == name else self._names.get(_words(dateless(name)), name)


def _words(name: str) -> tuple[str, ...]:
    return tuple(sorted(re.split(r"[-./]", name)))


def plain_id(provider: str, upstream: str) -> str:
    """Return the id that is made of nothing but the author and the provider's name."""
    author, slug = _author_of(provider, upstream.lower())
    return f"{author}/{slug}"


def _author_of(provider: str, name: str) -> tuple[str, str]:
    if provider == "fireworks":
        name = re.sub(r"(?<=\d)p(?=\d)", ".", name.rpartition("/")[2])
    if provider == "anthropic":
        name = re.sub(r"(?<=-\d)-(?=[1-9]$)", ".", name)
    given, _, slug = name.rpartition("/")
    slug = re.sub(r"[^a-z0-9._:+-]", "-", slug)
    if given:
        return RENAMED.get(given, given), slug
    for family, author in FAMILIES:
        if re.match(family, slug):
            return author, slug
    return AUTHORS.get(provider, provider), slug


def _forms(slug: str, *, hosted: bool) -> Iterable[str]:
    """Yield ever looser readings of a name."""
    yield slug
    while (shorter := SAME.sub("", slug)) != slug:
        slug = shorter
        yield slug
    if hosted:
        yield from _hosted_forms(re.sub(r"^(meta-|zai-)", "", slug))


def _hosted_forms(slug: str) -> Iterable[str]:
    yield from (slug, f"{slug}-instruct")
    while (shorter := HOSTED.sub("", slug)) != slug:
        slug = shorter
        yield from (slug, f"{slug}-instruct")
    bare = slug.replace("-instruct", "")
    yield from (bare, HOSTED.sub("", bare))


def _letters(slug: str) -> str:
    return re.sub(r"[^a-z0-9]", "", slug)
