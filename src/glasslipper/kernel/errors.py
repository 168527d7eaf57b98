"""Everything that can go wrong and is worth a sentence to the user.

    GlasslipperError
    ├── InvalidRequest            the client sent something that cannot be served
    │   ├── BadJSON
    │   ├── PayloadTooLarge
    │   ├── SlowBody
    │   ├── WrongMethod
    │   ├── ContextTooLong
    │   └── Unsupported
    ├── NotAuthenticated
    │   ├── KeyMissing
    │   ├── KeyUnknown
    │   ├── KeyExpired
    │   └── KeyDisabled
    ├── NotPermitted
    ├── NotFound
    │   ├── ModelUnknown
    │   └── GenerationUnknown
    ├── BudgetExhausted
    ├── PriceUnknown
    ├── UpstreamFailed            a provider or engine did not do its part
    │   ├── UpstreamRefused
    │   ├── UpstreamRateLimited
    │   ├── UpstreamUnreachable
    │   ├── UpstreamTimeout
    │   ├── StreamBroken
    │   ├── EngineBusy
    │   ├── EngineCrashed
    │   └── NoEndpointLeft
    ├── StoreFailed
    │   ├── DiskFull
    │   ├── StoreBusy
    │   └── StoreNewer
    ├── Draining
    ├── DownloadFailed
    │   └── HashMismatch
    └── SetupMissing              something must be installed or configured first

Each class has a slug that never changes, the HTTP status it deserves and a hint that says what
to do next. Dialects render them; this module knows no wire format.
"""

from __future__ import annotations

from typing import ClassVar


class GlasslipperError(Exception):
    """The root: a sentence, and the hint that goes with it."""

    slug: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    default_hint: ClassVar[str] = "This is a fault in Glasslipper; please report it."

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        param: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        """Say what happened.

        `param` is the JSON path of the field at fault, such as `$.messages[2].role`;
        `retry_after_s` how long a client should wait before it tries again.
        """
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint
        self.param = param
        self.retry_after_s = retry_after_s


class InvalidRequest(GlasslipperError):
    """The client sent something that cannot be served as it stands."""

    slug = "invalid_request"
    status = 400
    default_hint = "Correct the field that `param` names and send the request again."


class BadJSON(InvalidRequest):
    """The body is not JSON."""

    slug = "bad_json"
    default_hint = "Send a JSON object, encoded as UTF-8."


class PayloadTooLarge(InvalidRequest):
    """The body is larger than the server accepts."""

    slug = "payload_too_large"
    status = 413
    default_hint = "Send less, or raise `max_body_bytes` in the settings."


class SlowBody(InvalidRequest):
    """The body did not arrive in time."""

    slug = "request_timeout"
    status = 408
    default_hint = "Send the whole request within the time that `body_timeout_s` allows."


class WrongMethod(InvalidRequest):
    """The address takes other methods."""

    slug = "method_not_allowed"
    status = 405
    default_hint = "Use a method that the header Allow names."

    def __init__(self, message: str, *, allowed: tuple[str, ...]) -> None:
        """Name the methods that the address takes."""
        super().__init__(message)
        self.allowed = allowed


class ContextTooLong(InvalidRequest):
    """The prompt does not fit into the model's context."""

    slug = "context_length_exceeded"
    default_hint = "Shorten the prompt, or choose a model with a longer context."


class Unsupported(InvalidRequest):
    """The request is well formed but asks for what this model cannot do."""

    slug = "unsupported"
    default_hint = "Leave the feature out, or choose another model."


class NotAuthenticated(GlasslipperError):
    """Nobody, or nobody known, is asking."""

    slug = "not_authenticated"
    status = 401
    default_hint = "Send `Authorization: Bearer <key>`; `glasslipper keys create` makes a key."


class KeyMissing(NotAuthenticated):
    """The request carries no key."""

    slug = "key_missing"


class KeyUnknown(NotAuthenticated):
    """No such key."""

    slug = "key_unknown"


class KeyExpired(NotAuthenticated):
    """The key was good once."""

    slug = "key_expired"
    default_hint = "Make a new key with `glasslipper keys create`."


class KeyDisabled(NotAuthenticated):
    """The key has been switched off."""

    slug = "key_disabled"
    default_hint = "Ask whoever manages the keys to enable it, or make a new one."


class NotPermitted(GlasslipperError):
    """The key is good, but not for this."""

    slug = "not_permitted"
    status = 403
    default_hint = "Use a management key; `glasslipper keys create --management` makes one."


class NotFound(GlasslipperError):
    """There is nothing by that name."""

    slug = "not_found"
    status = 404
    default_hint = "Check the address and the id."


class ModelUnknown(NotFound):
    """No such model is offered."""

    slug = "model_not_found"
    default_hint = "`glasslipper models` (or GET /api/v1/models) lists what is offered."


class GenerationUnknown(NotFound):
    """No generation of this key has that id."""

    slug = "generation_not_found"
    default_hint = "Ask with the key that made the call, and the id from its answer."


class BudgetExhausted(GlasslipperError):
    """The budget does not cover the most that the request may cost."""

    slug = "budget_exhausted"
    status = 402
    default_hint = "Ask for less (`max_tokens`), raise the key's limit, or wait for its reset."

    def __init__(self, message: str, *, left_nanousd: int, hint: str | None = None) -> None:
        """Say which budget is short, and that `left_nanousd` of it is left."""
        super().__init__(message, hint=hint)
        self.left_nanousd = left_nanousd


class PriceUnknown(GlasslipperError):
    """A budget applies, but nobody knows what the model costs."""

    slug = "price_unknown"
    status = 402
    default_hint = "State the price with `glasslipper models add --price-in … --price-out …`."


class UpstreamFailed(GlasslipperError):
    """A provider or engine did not do its part."""

    slug = "provider_unavailable"
    status = 502
    default_hint = "Try again; if it goes on, look at the provider's status page."


class UpstreamRefused(UpstreamFailed):
    """The provider answered with an error of its own; `upstream_status` is its HTTP status."""

    slug = "provider_refused"

    def __init__(
        self,
        message: str,
        *,
        upstream_status: int,
        hint: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        """Repeat the provider's words and its HTTP status."""
        super().__init__(message, hint=hint, retry_after_s=retry_after_s)
        self.upstream_status = upstream_status


class UpstreamRateLimited(UpstreamFailed):
    """The provider asks for a pause."""

    slug = "rate_limit_exceeded"
    status = 429
    default_hint = "Wait as long as Retry-After says, then try again."


class UpstreamUnreachable(UpstreamFailed):
    """No connection, or it broke before an answer began."""

    slug = "provider_unreachable"


class UpstreamTimeout(UpstreamFailed):
    """The provider did not answer in time."""

    slug = "timeout"
    status = 504


class StreamBroken(UpstreamFailed):
    """The provider's stream ended before the answer did."""

    slug = "stream_broken"


class EngineBusy(UpstreamFailed):
    """The local engine's queue is full."""

    slug = "engine_busy"
    status = 429
    default_hint = "Wait as long as Retry-After says, then try again."


class EngineCrashed(UpstreamFailed):
    """The local engine's process died; it starts again with the next call."""

    slug = "engine_crashed"


class NoEndpointLeft(UpstreamFailed):
    """Every endpoint that may serve the model failed or is ruled out."""

    slug = "no_endpoint_left"
    status = 503


class StoreFailed(GlasslipperError):
    """The database could not do what it was asked."""

    slug = "store_failed"
    status = 503
    default_hint = "Look at the server's log; `glasslipper doctor` checks the store."


class DiskFull(StoreFailed):
    """There is no room to record anything, so nothing is served."""

    slug = "disk_full"
    default_hint = "Free some space where GLASSLIPPER_HOME lies; service resumes by itself."


class StoreBusy(StoreFailed):
    """Another process owns what only one may own."""

    slug = "store_busy"
    default_hint = "Stop the other process, or give this one another GLASSLIPPER_HOME."


class StoreNewer(StoreFailed):
    """The files were written by a newer version."""

    slug = "store_newer"
    default_hint = "Install that version or a later one; the files are untouched."


class Draining(GlasslipperError):
    """The server is shutting down and takes no new requests."""

    slug = "draining"
    status = 503
    default_hint = "Try again in a moment, or at another instance."


class DownloadFailed(GlasslipperError):
    """Something could not be fetched; what was fetched so far is kept for the next try."""

    slug = "download_failed"
    status = 502
    default_hint = "Check the network and run the command again: it resumes where it stopped."


class HashMismatch(DownloadFailed):
    """What was fetched is not what was published; nothing of it is kept."""

    slug = "hash_mismatch"
    default_hint = "The file was damaged or replaced on its way. Try again; do not use it."


class SetupMissing(GlasslipperError):
    """Something must be installed or configured first; the hint says how."""

    slug = "setup_missing"
    status = 501
    default_hint = "`glasslipper doctor` says what is missing and how to get it."
