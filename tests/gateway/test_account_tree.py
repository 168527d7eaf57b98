"""The account tree over HTTP: every budget above a key binds it, and all are taken together."""

from collections.abc import Iterator
from typing import Any

import pytest

from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served

ACCOUNTS = "/api/v1/admin/accounts"
ASK = {"model": "fake/dime", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}
DIME = 10**8


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    environ = {"GLASSLIPPER_MODELS": str(tmp_path_factory.mktemp("models"))}
    with (
        FakeUpstream(tokens=100, prompt_tokens=0) as upstream,
        Served(tmp_path_factory.mktemp("home"), environ=environ) as served,
    ):
        served.add_model(
            "fake/dime", upstream.url, upstream_model="fake", price_in="0", price_out="1000"
        )
        yield served


def make(gateway: Served, kind: str, **more: Any) -> dict[str, Any]:
    status, answer = gateway.call("POST", ACCOUNTS, {"kind": kind, "name": kind, **more})
    assert status == 201, answer
    return answer["data"]


def ask(gateway: Served, key: str) -> int:
    return gateway.call("POST", "/api/v1/chat/completions", ASK, key=key)[0]


def shown(gateway: Served, account: str) -> dict[str, Any]:
    return gateway.call("GET", f"{ACCOUNTS}/{account}")[1]["data"]


def test_each_account_above_a_key_may_be_the_one_that_binds(gateway: Served) -> None:
    workspace = make(gateway, "workspace", limit=0.3)
    project = make(gateway, "project", parent=workspace["id"], limit=0.2)
    other = make(gateway, "project", parent=workspace["id"])
    key = gateway.make_key("one", parent=project["id"], limit=1)
    assert [ask(gateway, key) for _ in range(3)] == [200, 200, 402]
    second = gateway.make_key("two", parent=other["id"])
    assert [ask(gateway, second) for _ in range(2)] == [200, 402]
    found = shown(gateway, workspace["id"])
    assert (found["usage_nanousd"], found["limit_remaining_nanousd"]) == (3 * DIME, 0)
    assert found["held_nanousd"] == 0
    assert shown(gateway, project["id"])["generations"] == 2


def test_a_budget_can_be_raised_and_taken_away(gateway: Served) -> None:
    project = make(gateway, "project", limit_nanousd=0, limit_reset="daily")
    assert project["limit_reset"] == "daily"
    key = gateway.make_key("one", parent=project["id"])
    assert ask(gateway, key) == 402
    path = f"{ACCOUNTS}/{project['id']}"
    assert gateway.call("PATCH", path, {"limit": 0.1})[1]["data"]["limit"] == 0.1
    assert [ask(gateway, key) for _ in range(2)] == [200, 402]
    status, answer = gateway.call("PATCH", path, {"limit": None, "name": "free"})
    assert (status, answer["data"]["limit"], answer["data"]["name"]) == (200, None, "free")
    assert ask(gateway, key) == 200


def test_the_tree_is_listed_and_bad_wishes_are_explained(gateway: Served) -> None:
    kinds = [one["kind"] for one in gateway.call("GET", ACCOUNTS)[1]["data"]]
    assert {"organisation", "workspace", "project"} <= set(kinds)
    wish = {"kind": "project", "name": "p", "parent": "org-default"}
    assert gateway.call("POST", ACCOUNTS, wish)[0] == 400
    assert gateway.call("POST", ACCOUNTS, {**wish, "parent": "no"})[0] == 404
    assert gateway.call("GET", f"{ACCOUNTS}/no")[0] == 404
    assert gateway.call("PATCH", f"{ACCOUNTS}/no", {"name": "x"})[0] == 404
    assert gateway.call("GET", ACCOUNTS, key=gateway.key)[0] == 403
