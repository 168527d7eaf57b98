"""A bucket of usage, and the generations that it stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from glasslipper.kernel.money import USAGE_CLASSES, amount_nanousd
from glasslipper.kernel.record import Generation
from glasslipper.kernel.usage import Usage
from glasslipper.ledger.imports import rows
from glasslipper.ledger.imports.rows import Priced


class Bucket(Struct, frozen=True, kw_only=True):
    """What one key did with one model from one moment to another (Unix ms).

    `prompt_tokens` is how long a prompt was, for prices that depend on it; `None` is an even share.
    """

    source: str
    began_ms: int
    ended_ms: int
    model: str
    key: str | None
    user: str | None
    labels: Mapping[str, str]
    requests: int
    usage: Usage
    prompt_tokens: int | None = None


class Unfinished(Struct, frozen=True, kw_only=True):
    """A bucket that had not ended when its file was written: more will be in it.

    It is left out, for a part of it could not be told from the whole when that is imported.
    """

    ended_ms: int


def had_ended(ended_ms: int, path: Path) -> bool:
    """Tell whether a bucket had ended when its file was written."""
    return ended_ms <= path.stat().st_mtime * 1000


def spread(bucket: Bucket, priced: Priced) -> Iterator[Generation]:
    """Yield as many generations as there were requests, each with an even share of the units."""
    count = bucket.requests or (1 if bucket.usage.prompt_tokens else 0)
    key = rows.key_of(bucket.source, bucket.key)
    model = rows.authored(bucket.model, bucket.source)
    identity = rows.identity(
        bucket.source,
        bucket.began_ms,
        bucket.ended_ms,
        bucket.model,
        bucket.key,
        bucket.user,
        sorted(bucket.labels.items()),
    )
    span_ms = max(bucket.ended_ms - bucket.began_ms, 1)
    for number in range(count):
        units = {
            name: rows.shared_out(getattr(bucket.usage, name), count, number)
            for name in USAGE_CLASSES
        }
        usage = Usage(**{**units, "requests": 1})
        at_ms = bucket.began_ms + span_ms * number // count
        size = usage.prompt_tokens if bucket.prompt_tokens is None else bucket.prompt_tokens
        price = priced(bucket.source, bucket.model, at_ms, size)
        billed = amount_nanousd(usage, price) if price else 0
        yield Generation(
            id=f"{identity}-{number}",
            created_ms=at_ms,
            key_id=key,
            accounts=(key,),
            model=model,
            dialect="chat",
            status="ok",
            model_served=model,
            endpoint=f"{model}@{bucket.source}",
            provider=bucket.source,
            usage=usage,
            estimated=True,
            billed_nanousd=billed,
            charged_nanousd=billed,
            user=bucket.user,
            labels=bucket.labels,
        )
