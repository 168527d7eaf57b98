"""What is remembered of sessions, by several workers of one home."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from glasslipper.puppeteer import sessions
from glasslipper.puppeteer.sessions import Session, Sessions
from glasslipper.store.database import Database


@contextmanager
def opened(path: Path | None) -> Generator[Sessions]:
    one = Sessions(path)
    try:
        yield one
    finally:
        one.close()


def test_a_pin_that_one_worker_sets_holds_for_the_others(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    with opened(path) as one, opened(path) as other:
        assert other.get("key-1", "s") is None
        asyncio.run(one.put("key-1", "s", Session(model="a/b", pinned=True)))
        assert other.get("key-1", "s") == Session(model="a/b", pinned=True)
        asyncio.run(other.put("key-1", "s", Session(model="a/c")))
        assert one.get("key-1", "s") == Session(model="a/c")
        assert one.get("key-2", "s") is None, "another key's session of the same name"
    with opened(path) as later:
        assert later.get("key-1", "s") == Session(model="a/c"), "a restart forgets nothing"


@pytest.mark.parametrize("in_file", [True, False])
def test_the_sessions_answered_last_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_file: bool
) -> None:
    monkeypatch.setattr(sessions, "MOST", 5)
    monkeypatch.setattr(sessions, "_TRIM_EVERY", 1)

    async def answer(one: Sessions) -> None:
        for number in range(9):
            await one.put("key", str(number), Session(model="a/b"))
            await one.put("key", "busy", Session(model="a/b", pinned=True))

    with opened(tmp_path / "sessions.sqlite" if in_file else None) as one:
        asyncio.run(answer(one))
        known = [name for name in ("busy", *map(str, range(9))) if one.get("key", name)]
    assert known == ["busy", "5", "6", "7", "8"]


def test_where_the_file_cannot_be_written_a_worker_goes_on_from_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with opened(tmp_path / "file" / "sessions.sqlite") as one:
        asyncio.run(one.put("key", "s", Session(model="a/b", pinned=True)))
        assert one.get("key", "s") == Session(model="a/b", pinned=True)
    assert "one worker only" in caplog.text
    (tmp_path / "damaged.sqlite").write_bytes(b"no database" * 500)
    with opened(tmp_path / "damaged.sqlite") as one:
        asyncio.run(one.put("key", "s", Session(model="a/b")))
        assert one.get("key", "s") == Session(model="a/b")


def test_what_a_full_disk_keeps_out_of_the_file_is_remembered_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    with opened(path) as one:
        asyncio.run(one.put("key", "s", Session(model="a/b")))
    full = Database(path)
    full.change(
        "CREATE TRIGGER full BEFORE INSERT ON sessions BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    with opened(path) as one, opened(path) as other:
        asyncio.run(one.put("key", "s", Session(model="a/c", pinned=True)))
        assert one.get("key", "s") == Session(model="a/c", pinned=True)
        assert other.get("key", "s") == Session(model="a/b")
        full.change("DROP TRIGGER full")
        asyncio.run(one.put("key", "s", Session(model="a/d")))
        assert one.get("key", "s") == other.get("key", "s") == Session(model="a/d")
    full.close()
