"""A streamed answer as it comes together, and the line that says what it took."""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from glasslipper.kernel.errors import StreamBroken
from glasslipper.kernel.money import usd, usd_text


class _Delta(Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(Struct):
    delta: _Delta = field(default_factory=_Delta)
    finish_reason: str | None = None


class Usage(Struct):
    """What the answer took: tokens, and nano-USD."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_nanousd: int = 0


class _Chunk(Struct):
    id: str = ""
    model: str = ""
    provider: str = ""
    choices: list[_Choice] = field(default_factory=list[_Choice])
    usage: Usage | None = None


class Answer:
    """One answer. `add` the events of its stream in order."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._last = _Chunk()
        self._finish_reason: str | None = None
        self._usage = Usage()

    def add(self, event: dict[str, object]) -> str:
        """Take in an event and return the text that it brings.

        Raises:
            StreamBroken: It is not an event of an answer.
        """
        try:
            chunk = msgspec.convert(event, _Chunk)
        except msgspec.ValidationError as error:
            raise StreamBroken(f"The stream holds something that is no answer: {error}.") from error
        self._last = chunk
        self._usage = chunk.usage or self._usage
        words = ""
        for choice in chunk.choices:
            words += choice.delta.content or choice.delta.refusal or ""
            self._finish_reason = choice.finish_reason or self._finish_reason
        words = words.encode("utf-8", "replace").decode("utf-8")
        self._words.append(words)
        return words

    def as_json(self) -> dict[str, object]:
        """Return the whole answer for programs."""
        return {
            "answer": "".join(self._words),
            "model": self._last.model,
            "provider": self._last.provider,
            "finish_reason": self._finish_reason,
            "generation_id": self._last.id,
            "prompt_tokens": self._usage.prompt_tokens,
            "completion_tokens": self._usage.completion_tokens,
            "cost_usd": usd(self._usage.cost_nanousd),
            "cost_nanousd": self._usage.cost_nanousd,
        }

    def summary(self) -> str:
        """Return a line: model, tokens, cost, generation, and why an answer is not whole."""
        usage = self._usage
        parts = [
            self._last.model,
            f"{usage.prompt_tokens:,} + {usage.completion_tokens:,} tokens",
            usd_text(usage.cost_nanousd),
            self._last.id,
        ]
        if self._finish_reason == "length":
            parts.append("cut off at its longest")
        elif self._finish_reason not in ("stop", None):
            parts.append(f"ended by {self._finish_reason}")
        return " · ".join(parts)
