"""The ids of responses and of their items: all made from the id of the generation.

A response is named after its generation and an item after its response and its place in it, so
that whoever holds an item's id can tell which response it belongs to. Knows no store.
"""

from __future__ import annotations

import re

_ITEM = re.compile(r"(?:msg|rs|fc|ctc)_(?P<made>[0-9a-z]{1,64})_[0-9]{1,6}\Z")


def response_id(generation_id: str) -> str:
    """Return the id of the response that a generation gives.

    >>> response_id("gen-01jd3f")
    'resp_01jd3f'
    """
    return f"resp_{generation_id.rpartition('-')[2]}"


def item_id(kind: str, generation_id: str, place: int) -> str:
    """Return the id of the item at a place of the output; `kind` is `msg`, `rs`, `fc` or `ctc`.

    >>> item_id("msg", "gen-01jd3f", 0)
    'msg_01jd3f_0'
    """
    return f"{kind}_{generation_id.rpartition('-')[2]}_{place}"


def response_of(item: str) -> str | None:
    """Return the id of the response that an item belongs to, or `None` if it is none of ours.

    >>> response_of("msg_01jd3f_0"), response_of("msg_68af0c")
    ('resp_01jd3f', None)
    """
    found = _ITEM.match(item)
    return f"resp_{found['made']}" if found else None
