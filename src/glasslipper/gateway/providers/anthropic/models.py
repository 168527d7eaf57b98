"""What Anthropic's models differ in, as far as the way to ask them goes: read off their names.

Models up to generation 4.5 think within a budget of tokens. From 4.6 on they decide themselves how
much to think, led by a word for the effort. From 4.7 on that is the only way, and how tokens are
chosen cannot be set any more. A name that is not Anthropic's is taken for the oldest kind, which
is what other services that speak Messages implement.
"""

from __future__ import annotations

import re
from functools import lru_cache

from msgspec import Struct

DEFAULT_MAX_TOKENS = 8192
"""The longest answer asked for where neither the request nor anybody else says."""

_SINCE_4 = re.compile(
    r"claude-(?P<line>[a-z]+)-(?P<major>\d{1,2})(?:[-.](?P<minor>\d{1,2})(?!\d))?"
)
_MYTHOS = re.compile(r"claude-mythos-preview")


class Traits(Struct, frozen=True, kw_only=True):
    """How a model wants to be asked.

    Attributes:
        is_adaptive: It decides how much to think.
        knows_xhigh: It knows the effort `xhigh`.
        is_fixed: It takes neither a budget for thinking nor a temperature.
    """

    is_adaptive: bool = False
    knows_xhigh: bool = False
    is_fixed: bool = False


_OLD = Traits()
_ADAPTIVE = Traits(is_adaptive=True)
_FIXED = Traits(is_adaptive=True, knows_xhigh=True, is_fixed=True)


@lru_cache(maxsize=1024)
def traits(model: str) -> Traits:
    """Return how the model of this name wants to be asked.

    >>> traits("claude-sonnet-4-5-20250929").is_adaptive, traits("claude-opus-5").is_fixed
    (False, True)
    """
    if _MYTHOS.search(model):
        return _FIXED
    found = _SINCE_4.search(model)
    if found is None:
        return _OLD
    version = int(found["major"]), int(found["minor"] or 0)
    if version >= (4, 7):
        return _FIXED
    return _ADAPTIVE if version >= (4, 6) else _OLD
