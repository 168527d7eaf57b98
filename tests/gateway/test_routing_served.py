"""Routing through a real gateway process, in front of two scripted providers of one model."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served

SAY_HI = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    environ = {"GLASSLIPPER_MODELS": str(tmp_path_factory.mktemp("models"))}
    with Served(tmp_path_factory.mktemp("home"), environ=environ) as served:
        yield served


@pytest.fixture(scope="module")
def cheap() -> Iterator[FakeUpstream]:
    with FakeUpstream(tokens=4) as fake:
        yield fake


@pytest.fixture(scope="module")
def dear() -> Iterator[FakeUpstream]:
    with FakeUpstream(tokens=4) as fake:
        yield fake


class Asker:
    """One connection that asks again and again."""

    def __init__(self, gateway: Served) -> None:
        self._gateway = gateway
        self._connection = http.client.HTTPConnection(gateway.host, timeout=30)

    def ask(self, model: str, **more: object) -> tuple[int, dict[str, Any]]:
        body = json.dumps({"model": model, "messages": SAY_HI, **more})
        headers = {"Authorization": f"Bearer {self._gateway.key}"}
        self._connection.request("POST", "/api/v1/chat/completions", body, headers)
        reply = self._connection.getresponse()
        return reply.status, json.loads(reply.read())

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def asker(gateway: Served) -> Iterator[Asker]:
    asker = Asker(gateway)
    yield asker
    asker.close()


def row(gateway: Served, generation_id: str) -> dict[str, Any]:
    status, answer = gateway.call("GET", f"/api/v1/generation?id={generation_id}")
    assert status == 200, answer
    return answer["data"]


def offer(
    gateway: Served,
    model: str,
    cheap: FakeUpstream,
    dear: FakeUpstream,
    *,
    cheap_script: str = "fake",
    dear_script: str = "fake",
    **more: object,
) -> None:
    """Offer one model at two providers, `cheap` at a third of the price of `dear`."""
    gateway.add_model(model, cheap.url, upstream_model=cheap_script, provider="cheap", **more)
    gateway.add_model(
        model,
        dear.url,
        upstream_model=dear_script,
        provider="dear",
        price_in="3",
        price_out="6",
        **more,
    )


def until(check: Callable[[], bool], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not check():
        if time.monotonic() > deadline:
            return False
    return True


def test_candidates_and_their_odds_are_in_every_row(
    gateway: Served, cheap: FakeUpstream, dear: FakeUpstream, asker: Asker
) -> None:
    offer(gateway, "fake/pair", cheap, dear)
    status, answer = asker.ask("fake/pair")
    assert status == 200
    candidates = row(gateway, answer["id"])["candidates"]
    odds = {one["endpoint"]: one["propensity"] for one in candidates}
    assert sorted(odds) == ["fake/pair@cheap", "fake/pair@dear"]
    assert sum(odds.values()) == pytest.approx(1, abs=1e-9)
    assert odds["fake/pair@cheap"] > 0.8
    assert all("price" in one["why"] for one in candidates)


def test_a_failing_endpoint_is_never_seen_then_avoided_then_tried_again(
    gateway: Served, dear: FakeUpstream, asker: Asker
) -> None:
    with FakeUpstream(tokens=4) as sick:
        gateway.add_model("fake/sick", sick.url, upstream_model="fake?status=500", provider="sick")
        gateway.add_model(
            "fake/sick", dear.url, upstream_model="fake", provider="well", price_in="3"
        )
        served = [asker.ask("fake/sick") for _ in range(60)]
        assert [status for status, _ in served] == [200] * 60
        met = len(sick.calls())
        assert 5 <= met <= 12, "the breaker opens after five failures in a row"
        avoided = row(gateway, served[-1][1]["id"])
        assert [one["provider"] for one in avoided["attempts"]] == ["well"]

        gateway.add_model("fake/sick", sick.url, upstream_model="fake", provider="sick")

        def is_back() -> bool:
            status, answer = asker.ask("fake/sick")
            assert status == 200
            return row(gateway, answer["id"])["provider_name"] == "sick"

        assert until(is_back, within_s=30), "it is never tried again"


def test_a_hidden_failure_is_an_attempt_of_the_same_row(
    gateway: Served, cheap: FakeUpstream, dear: FakeUpstream, asker: Asker
) -> None:
    offer(gateway, "fake/hidden", cheap, dear, cheap_script="fake?fault=cut")
    status, answer = asker.ask("fake/hidden", provider={"order": ["cheap"]})
    assert status == 200
    attempts = row(gateway, answer["id"])["attempts"]
    assert [(one["provider"], one["status"]) for one in attempts] == [
        ("cheap", "error"),
        ("dear", "ok"),
    ]


def test_what_the_request_itself_caused_is_not_tried_elsewhere(
    gateway: Served, cheap: FakeUpstream, dear: FakeUpstream, asker: Asker
) -> None:
    offer(gateway, "fake/bad", cheap, dear, cheap_script="fake?status=400")
    before = len(dear.calls())
    status, _ = asker.ask("fake/bad", provider={"order": ["cheap"]})
    assert status == 400
    assert len(dear.calls()) == before


def test_a_pause_is_kept_to_even_if_nobody_else_serves(
    gateway: Served, cheap: FakeUpstream, asker: Asker
) -> None:
    gateway.add_model(
        "fake/busy", cheap.url, upstream_model="fake?status=429&retry_after=30", provider="busy"
    )
    before = len(cheap.calls())
    assert asker.ask("fake/busy")[0] == 429
    assert asker.ask("fake/busy")[0] == 429
    assert len(cheap.calls()) == before + 1


def test_wishes_nobody_meets_are_a_404_that_says_who_failed_which(
    gateway: Served, cheap: FakeUpstream, dear: FakeUpstream, asker: Asker
) -> None:
    offer(gateway, "fake/wished", cheap, dear)
    wishes = {"ignore": ["cheap"], "max_price": {"prompt": 2}}
    status, answer = asker.ask("fake/wished", provider=wishes)
    assert status == 404
    words = answer["error"]["message"]
    assert "fake/wished@cheap: ignored by the request" in words
    assert "fake/wished@dear: its prompt price of $3 is above the cap of $2" in words


def test_the_next_model_of_the_list_serves_when_the_first_cannot(
    gateway: Served, cheap: FakeUpstream, dear: FakeUpstream, asker: Asker
) -> None:
    gateway.add_model("fake/first", cheap.url, upstream_model="fake?status=503", provider="one")
    gateway.add_model("fake/second", dear.url, upstream_model="fake", provider="two")
    status, answer = asker.ask("fake/first", models=["fake/nobody-has-it", "fake/second"])
    assert status == 200
    assert answer["model"] == "fake/second"
    why = {one["endpoint"]: one["why"] for one in row(gateway, answer["id"])["candidates"]}
    assert why["fake/nobody-has-it"] == "there is no such model"


def test_a_suffix_of_the_model_sorts(
    gateway: Served, cheap: FakeUpstream, dear: FakeUpstream, asker: Asker
) -> None:
    offer(gateway, "fake/sorted", cheap, dear)
    for _ in range(20):
        _, answer = asker.ask("fake/sorted:floor")
        assert answer["provider"] == "cheap"
    assert asker.ask("fake/sorted:free")[0] == 404


def test_a_session_stays_where_its_prompt_is_cached(
    gateway: Served, cheap: FakeUpstream, dear: FakeUpstream, asker: Asker
) -> None:
    script = "fake?cached_tokens=8"
    offer(gateway, "fake/cached", cheap, dear, cheap_script=script, dear_script=script)
    session = {"session_id": "tale"}
    asker.ask("fake/cached", provider={"only": ["dear"]}, **session)
    _, answer = asker.ask("fake/cached", **session)
    odds = {one["endpoint"]: one["propensity"] for one in row(gateway, answer["id"])["candidates"]}
    # The price says nothing about cached reads, so that going back there would save nothing.
    assert odds["fake/cached@dear"] < 0.5


def test_models_at_several_providers_come_back_after_a_restart_and_go_together(
    tmp_path: Path, cheap: FakeUpstream, dear: FakeUpstream
) -> None:
    environ = {"GLASSLIPPER_MODELS": str(tmp_path / "models")}
    with Served(tmp_path / "home", environ=environ) as gateway:
        offer(gateway, "fake/two", cheap, dear)
    with Served(tmp_path / "home", environ=environ) as gateway:
        _, listed = gateway.call("GET", "/api/v1/models")
        (model,) = [one for one in listed["data"] if one["id"] == "fake/two"]
        assert sorted(model["endpoints"]) == ["fake/two@cheap", "fake/two@dear"]
        status, _ = gateway.call("DELETE", f"/api/v1/admin/models/{quote('fake/two')}")
        assert status == 200
        _, listed = gateway.call("GET", "/api/v1/models")
        assert "fake/two" not in [one["id"] for one in listed["data"]]


def test_a_provider_may_not_be_called_local(gateway: Served, cheap: FakeUpstream) -> None:
    for name in ("local", "", "Up Stairs", "a/b/c"):
        body = {"id": "fake/name", "url": cheap.url, "provider": name}
        assert gateway.call("POST", "/api/v1/admin/models", body)[0] == 400
