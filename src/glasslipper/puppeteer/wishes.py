"""What a client may wish of an episode: the object `auto` of a request, and the model's own name.

`glasslipper/auto` is a dial at 5, `:fast` at 1 with one call, `:best` at 9; `@VERSION` names a
policy. All bounds are hard.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct, structs

from glasslipper.kernel.errors import InvalidRequest, ModelUnknown
from glasslipper.kernel.messages import Request
from glasslipper.kernel.money import nanousd

FAMILY = "glasslipper/auto"
FIELD = "auto"
MOST_CALLS = 12
_DIALS = {"": 5.0, "fast": 1.0, "best": 9.0}


class Wishes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is wished for.

    Attributes:
        max_cost_usd: The most that all calls together are charged, or billed to brought keys.
        max_calls: The most calls.
        max_latency_ms: When the time is up, the leading answer is given, or an error.
        allow: Globs of the models that may be called; empty: all.
        deny: Globs of those that may not.
        pin: Keep to one model: `turn` for the whole of this request, `session` until unpinned.
        dry_run: Only say what would be done, and what it may cost.
        seed: Makes draws of the policy repeatable; the seed of the models too, if none is given.
        dial: From 0, as cheap as can be, to 10, as good as can be.
        steps: Tell of each step in the stream, as events of their own, where it is one of events.
    """

    max_cost_usd: Annotated[float, Meta(ge=0)] | None = None
    max_calls: Annotated[int, Meta(ge=1, le=MOST_CALLS)] | None = None
    max_latency_ms: Annotated[int, Meta(ge=1)] | None = None
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    pin: Literal["turn", "session", "none"] | None = None
    dry_run: bool = False
    seed: int | None = None
    dial: Annotated[float, Meta(ge=0, le=10)] | None = None
    steps: bool = False

    @property
    def max_nanousd(self) -> int | None:
        """The most that may be charged, in nano-USD."""
        return None if self.max_cost_usd is None else nanousd(repr(self.max_cost_usd))

    def allows(self, model: str) -> bool:
        """Whether a model may be called."""
        if any(fnmatchcase(model, glob) for glob in self.deny):
            return False
        return not self.allow or any(fnmatchcase(model, glob) for glob in self.allow)


class Asked(Struct, frozen=True, kw_only=True):
    """A request to conduct: its wishes, the policy that it names, and the rest of it."""

    request: Request
    wishes: Wishes
    version: str | None
    dial: float
    calls: int


_decoder = msgspec.json.Decoder(Wishes)


def conducts(model: str) -> bool:
    """Whether a model's name is of this family."""
    return model == FAMILY or model.startswith((f"{FAMILY}:", f"{FAMILY}@"))


def asked(request: Request) -> Asked:
    """Return what a request wishes.

    Raises:
        InvalidRequest: A wish is not one; the message says which.
        ModelUnknown: There is no such variant.
    """
    raw = request.extra.get(FIELD, Raw(b"{}"))
    try:
        wishes = _decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"`{FIELD}`: {error}", param=f"$.{FIELD}") from None
    name, _, variant = request.model.removeprefix(FAMILY).partition(":")
    version = name.removeprefix("@") or None
    if variant not in _DIALS:
        raise ModelUnknown(
            f"There is no {request.model!r}.",
            hint=f"There are {FAMILY}, {FAMILY}:fast and {FAMILY}:best.",
        )
    calls = wishes.max_calls or (1 if variant == "fast" else 4 if variant == "" else 6)
    extra = {key: value for key, value in request.extra.items() if key != FIELD}
    sampling = request.sampling
    if sampling.seed is None:
        sampling = structs.replace(sampling, seed=wishes.seed)
    return Asked(
        request=structs.replace(request, extra=extra, models=(), sampling=sampling),
        wishes=wishes,
        version=version,
        dial=_DIALS[variant] if wishes.dial is None else wishes.dial,
        calls=1 if wishes.pin == "turn" else calls,
    )
