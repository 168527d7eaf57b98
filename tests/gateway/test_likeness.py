"""What the ledger keeps of a request besides numbers: nothing that gives its words away."""

from __future__ import annotations

from pathlib import Path

from glasslipper.gateway.likeness import likeness, salt_of
from glasslipper.kernel.messages import Message, Request, TextPart, Tool
from glasslipper.ledger.read import LedgerHistory
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served


def request(system: str | None, *users: str, tools: int = 0) -> Request:
    said = [Message(role="user", parts=(TextPart(text=one),)) for one in users]
    first = [Message(role="system", parts=(TextPart(text=system),))] if system is not None else []
    return Request(
        model="m",
        messages=(*first, *said),
        tools=tuple(Tool(name=f"t{number}") for number in range(tools)),
    )


def test_the_same_system_prompt_has_the_same_print_whatever_the_date_and_what_follows() -> None:
    salt = b"s" * 32
    words = "You are a careful assistant. " * 60
    one = likeness(request(f"Today is 2026-11-01. {words} first document", "hi"), salt)
    two = likeness(request(f"Today is 2026-11-26. {words} second document", "hi", "again"), salt)
    assert one.system_print == two.system_print
    assert (one.turns, two.turns) == (1, 2)
    assert likeness(request("Another prompt.", "hi"), salt).system_print != one.system_print
    assert likeness(request(f"Today is 2026-11-01. {words}", "hi"), b"x" * 32) != one


def test_no_system_prompt_has_no_print() -> None:
    for system in (None, ""):
        assert likeness(request(system, "hi"), b"s").system_print is None


def test_each_home_has_a_salt_of_its_own_that_stays(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    assert salt_of(one) == salt_of(one)
    assert len(salt_of(one)) == 32
    assert salt_of(one) != salt_of(two)
    assert (one / "salt").stat().st_mode & 0o077 == 0


def test_a_served_exchange_is_recorded_with_its_likeness_and_without_its_words(
    tmp_path: Path,
) -> None:
    with FakeUpstream() as upstream, Served(tmp_path / "home") as served:
        served.add_model("fake/plain", upstream.url, upstream_model="fake")
        key = served.make_key("k")
        body = {
            "model": "fake/plain",
            "messages": [
                {"role": "system", "content": "a secret instruction"},
                {"role": "user", "content": "one"},
                {"role": "assistant", "content": "two"},
                {"role": "user", "content": "three"},
            ],
            "tools": [{"type": "function", "function": {"name": "look", "parameters": {}}}],
        }
        status, answer = served.call("POST", "/v1/chat/completions", body, key=key)
        assert status == 200
        (record,) = [LedgerHistory(served.home).generation(answer["id"])]
        assert record is not None
        assert (record.turns, record.tools_offered, record.tools_called) == (2, 1, 0)
        assert record.system_print is not None
        assert len(record.system_print) == 16
    for path in (tmp_path / "home").rglob("*.ndjson"):
        assert b"secret instruction" not in path.read_bytes()
