"""A standing rule that another model answers a workload, as the state file keeps it."""

from __future__ import annotations

from msgspec import Struct, convert

from glasslipper.store.database import Database


class Reroute(Struct, frozen=True, kw_only=True):
    """One rule. A workload is a key, an app and the fingerprint of a system prompt.

    Attributes:
        id: Its name here, `route-…`.
        key_id: The key of the workload.
        app: Its app; empty where its requests name none.
        system_print: Its system prompt's fingerprint; empty where there is no system prompt.
        asked: The model that clients ask for; empty: any.
        to: The model that answers instead.
        created_ms: When the rule was made.
    """

    id: str
    key_id: str
    app: str
    system_print: str
    asked: str
    to: str
    created_ms: int

    @property
    def workload(self) -> str:
        """The workload as studies name it."""
        return f"{self.key_id}/{self.app}/{self.system_print}"


def parts_of(workload: str) -> tuple[str, str, str] | None:
    """Return key, app and fingerprint of a workload's name; `None` where it is none.

    >>> parts_of("key-1/an/app/0a1b")
    ('key-1', 'an/app', '0a1b')
    """
    key_id, slash, rest = workload.partition("/")
    app, second, system_print = rest.rpartition("/")
    if not (key_id and slash and second):
        return None
    return key_id, app, system_print


_FIELDS = Reroute.__struct_fields__
_SELECT = ", ".join(f'"{name}"' for name in _FIELDS)


def read_all(db: Database) -> list[Reroute]:
    """Return every rule, the oldest first."""
    rows = db.rows(f"SELECT {_SELECT} FROM reroutes ORDER BY created_ms, id")  # noqa: S608
    return [convert(dict(zip(_FIELDS, row, strict=True)), Reroute) for row in rows]
