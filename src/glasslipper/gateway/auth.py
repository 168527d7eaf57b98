"""Who is asking: from a bearer key to the account it speaks for.

Keys are looked up by their hash and remembered for `REMEMBER_MS`. A key that is disabled stops
working at once, in every process: they share a count of the changes made to keys and accounts,
and what was remembered before the last one is looked up anew. Nothing is remembered about keys
that are not known, and nobody learns from the time it takes which keys are.
"""

from __future__ import annotations

from glasslipper.kernel.clock import Clock, iso
from glasslipper.kernel.errors import KeyDisabled, KeyExpired, KeyMissing, KeyUnknown, NotPermitted
from glasslipper.kernel.record import Account
from glasslipper.ledger.read import Accounts, KeyRecord
from glasslipper.ledger.secret import hash_of
from glasslipper.store.cells import Cells

REMEMBER_MS = 1_000
MOST_REMEMBERED = 10_000


class Caller:
    """A key that has been accepted."""

    __slots__ = ("account", "as_of", "key")

    def __init__(self, key: KeyRecord, as_of: int = 0) -> None:
        self.key = key
        self.as_of = as_of
        self.account = Account(
            path=key.path,
            key_id=key.id,
            budgets=key.budgets,
            management=key.management,
            labels=key.labels,
        )


class Gatekeeper:
    """Accepts or refuses keys."""

    def __init__(self, accounts: Accounts, clock: Clock, changes: Cells) -> None:
        """Look keys up in `accounts`; the first cell of `changes` counts what changed there."""
        self._changes = changes.values
        self._accounts = accounts
        self._clock = clock
        self._known: dict[str, tuple[float, Caller]] = {}

    def admit(self, authorization: str | None) -> Caller:
        """Return whom an Authorization header speaks for.

        Raises:
            KeyMissing: There is no bearer key in it.
            KeyUnknown: There is no such key.
            KeyExpired: It was good once.
            KeyDisabled: It is switched off.
        """
        if not authorization:
            raise KeyMissing("The request carries no key.")
        known = self._known.get(authorization)
        fresh = known is not None and known[0] > self._clock.ticks_ms() and self.knows(known[1])
        caller = known[1] if known and fresh else self._look_up(authorization)
        key = caller.key
        if key.disabled or key.disabled_above:
            raise KeyDisabled(f"The key {key.hint} is disabled.")
        ends_ms = key.usable_until_ms
        if ends_ms is not None and ends_ms <= self._clock.now_ms():
            raise KeyExpired(f"The key {key.hint} expired at {iso(ends_ms)}.")
        return caller

    def admit_manager(self, authorization: str | None) -> Caller:
        """Return whom a management key speaks for.

        Raises:
            NotPermitted: The key is good, but does not manage.
        """
        caller = self.admit(authorization)
        if not caller.key.management:
            raise NotPermitted(f"The key {caller.key.hint} may not manage.")
        return caller

    def _look_up(self, authorization: str) -> Caller:
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise KeyMissing("The Authorization header holds no bearer key.")
        as_of = self._changes[0]
        key = self._accounts.key_by_hash(hash_of(secret.strip()))
        if key is None:
            raise KeyUnknown("There is no such key.")
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        caller = Caller(key, as_of)
        self._known[authorization] = (self._clock.ticks_ms() + REMEMBER_MS, caller)
        return caller

    def knows(self, caller: Caller) -> bool:
        """Whether no key and no account has changed since a caller was looked up."""
        return caller.as_of == self._changes[0]

    def note_change(self) -> None:
        """Let all processes look every key up anew: something that they know has changed.

        Two at once may count one change between them; whoever sees the count then looks up after
        both were written.
        """
        self._changes[0] += 1
