"""The lines of a journal: one JSON object each, with a single field that says what it is.

Every line starts with the name of its kind, so that a reader can pick lines without parsing
them: `{"intent":…}`, `{"generation":…}`, `{"fact":…}`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from glasslipper.kernel.record import Generation, Intent, LateFact

INTENT = b'{"intent":'
GENERATION = b'{"generation":'
FACT = b'{"fact":'

_encoder = msgspec.json.Encoder()
_intents = msgspec.json.Decoder(Intent)
_generations = msgspec.json.Decoder(Generation)
_facts = msgspec.json.Decoder(LateFact)


def encode(record: Intent | Generation | LateFact) -> bytes:
    """Return the record as a line, without its newline."""
    match record:
        case Generation():
            start = GENERATION
        case Intent():
            start = INTENT
        case LateFact():
            start = FACT
    return start + _encoder.encode(record) + b"}"


def decode_intent(body: str | bytes) -> Intent:
    """Return the intent in a line's field."""
    return _intents.decode(body)


def decode_generation(line: bytes) -> Generation:
    """Return the generation in a whole line."""
    return _generations.decode(line[len(GENERATION) : -1])


def of_kind(lines: Iterable[bytes], kind: bytes) -> list[bytes]:
    """Return the records of one kind, as JSON."""
    start = len(kind)
    return [line[start:-1] for line in lines if line.startswith(kind)]


def array(records: Iterable[bytes]) -> str:
    """Return JSON values as one JSON array."""
    return (b"[" + b",".join(records) + b"]").decode()


def bodies(lines: Iterable[bytes], kind: bytes) -> str | None:
    """Return the records of one kind as one JSON array, or `None` if there are none."""
    chosen = of_kind(lines, kind)
    return array(chosen) if chosen else None
