"""`glasslipper route`, on a home that no server serves."""

import json
from typing import Any

import pytest

AT = "http://127.0.0.1:9/v1"


@pytest.fixture
def key_id(cli: Any) -> str:
    cli.ok("models", "add", "lab/big", AT, "--price-in", "3", "--price-out", "9")
    cli.ok("models", "add", "lab/small", AT, "--price-in", "0.1", "--price-out", "0.2")
    return cli.json("keys", "create", "ci")["data"]["id"]


def test_rules_are_added_shown_and_removed(cli: Any, key_id: str) -> None:
    named = ["--workload", f"{key_id}/shop/0a1b", "--workload", f"{key_id}//"]
    made = cli.ok("route", "add", *named, "--from", "lab/big", "--to", "lab/small").split()
    assert len(made) == 2
    shown = cli.ok("route", "list")
    assert f"{key_id}/shop/0a1b" in shown
    assert "lab/small" in shown
    assert cli.ok("route", "remove", *made).count("no rule any more") == 2
    assert cli.json("route", "list")["data"] == []


def test_a_second_rule_about_the_same_takes_the_place_of_the_first(cli: Any, key_id: str) -> None:
    for to in ("lab/small", "lab/big"):
        cli.ok("route", "add", "--workload", f"{key_id}//", "--to", to)
    rules = cli.json("route", "list")["data"]
    assert [rule["to"] for rule in rules] == ["lab/big"]


def test_what_cannot_be_is_said_in_plain_words(cli: Any, key_id: str) -> None:
    wish = ("route", "add", "--to", "lab/small", "--workload")
    assert "keys list" in cli.error(*wish, "key-none//")["hint"]
    assert "KEY/APP/SYSTEM-PROMPT" in cli.error(*wish, key_id)["hint"]
    assert cli.error("route", "add", "--to", "lab/none", "--workload", f"{key_id}//")["message"]
    assert "route list" in cli.error("route", "remove", "route-none")["hint"]
    assert json.loads(cli.ok("route", "list", "--json"))["data"] == []
