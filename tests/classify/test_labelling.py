"""A real gateway that labels what it serves, with a scripted provider or the real small model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from glasslipper.gateway.labelling import drawn
from glasslipper.kernel.record import LateFact
from glasslipper.ledger.read import LedgerHistory
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served

SECRET = "zanzibar"
ASK = f"Translate this sentence to French: the {SECRET} ferry is late again."


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


def eventually(check: Callable[[], Any], within_s: float = 20.0) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := check()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


def ask(served: Served, model: str, text: str = ASK) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 4}
    status, answer = served.call("POST", "/api/v1/chat/completions", body, key=served.key)
    assert status == 200, answer
    return answer["id"]


def facts(served: Served, generation_id: str) -> dict[str, LateFact]:
    history = LedgerHistory(served.home)
    try:
        return {fact.kind: fact for fact in history.late_facts(generation_id=generation_id)}
    finally:
        history.close()


def everything_on_disk(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


@pytest.fixture
def serving(
    tmp_path: Path, vector_paths: tuple[Path, Path], upstream: FakeUpstream
) -> Callable[..., Served]:
    """Make a gateway with settings, which offers the fake; the caller starts it."""

    def make(**settings: str) -> Served:
        environ = {f"GLASSLIPPER_{name.upper()}": value for name, value in settings.items()}
        environ["GLASSLIPPER_MODELS"] = str(vector_paths[0].parent)
        return Served(tmp_path / "home", environ=environ)

    return make


def test_every_request_is_labelled_where_the_user_switches_it_on(
    serving: Callable[..., Served], upstream: FakeUpstream
) -> None:
    with serving(classify="true") as served:
        served.add_model("fake/one", upstream.url, upstream_model="fake")
        generation = ask(served, "fake/one")
        fact = eventually(lambda: facts(served, generation).get("topic"))
        assert fact.body["task"] == "translation"
        assert fact.body["language"] == "en"
        assert str(fact.body["classifier"]).startswith("classify:")
        assert fact.key_id.startswith("key-")
    assert SECRET.encode() not in everything_on_disk(served.home)


def test_nothing_is_labelled_unless_it_is_switched_on(
    serving: Callable[..., Served], upstream: FakeUpstream
) -> None:
    with serving() as served:
        served.add_model("fake/one", upstream.url, upstream_model="fake")
        generation = ask(served, "fake/one")
        time.sleep(0.5)
        assert facts(served, generation) == {}


def test_labels_that_wait_are_written_before_the_server_ends(
    serving: Callable[..., Served], upstream: FakeUpstream
) -> None:
    with serving(classify="true") as served:
        served.add_model("fake/one", upstream.url, upstream_model="fake")
        generations = [ask(served, "fake/one") for _ in range(30)]
    assert all("topic" in facts(served, one) for one in generations)


def test_words_are_kept_only_where_the_user_says_so(
    serving: Callable[..., Served], upstream: FakeUpstream
) -> None:
    with serving(classify="true", keep_prompts="1") as served:
        served.add_model("fake/one", upstream.url, upstream_model="fake")
        generation = ask(served, "fake/one")
        kept = eventually(lambda: facts(served, generation).get("prompt")).body
        assert kept["text"] == ASK
        assert kept["messages"] == [{"role": "user", "content": ASK}]


def test_of_a_prompt_that_could_not_be_asked_again_only_the_words_are_kept(
    serving: Callable[..., Served], upstream: FakeUpstream
) -> None:
    tool = {"type": "function", "function": {"name": "ferries", "parameters": {}}}
    with serving(classify="true", keep_prompts="1") as served:
        served.add_model("fake/one", upstream.url, upstream_model="fake")
        turns = [{"role": "user", "content": ASK}]
        body = {"model": "fake/one", "messages": turns, "tools": [tool]}
        status, answer = served.call("POST", "/api/v1/chat/completions", body, key=served.key)
        assert status == 200, answer
        kept = eventually(lambda: facts(served, answer["id"]).get("prompt")).body
        assert kept == {"text": ASK}


def test_a_real_model_judges_a_sample_on_the_key_that_pays(
    serving: Callable[..., Served], upstream: FakeUpstream, smol_path: Path
) -> None:
    del smol_path
    with serving() as served:
        status, made = served.call("POST", "/api/v1/keys", {"name": "judge", "limit": 1})
        assert status in {200, 201}, made
        key = served.key
    judged = serving(classify="true", judge_model="local/smol", judge_share="1", judge_key="judge")
    judged.key = key
    with judged as served:
        served.add_model("fake/one", upstream.url, upstream_model="fake")
        generation = ask(served, "fake/one")
        verdict = eventually(lambda: facts(served, generation).get("judged"), within_s=60)
        assert verdict.body["classifier"].startswith("judge:local/smol")
        assert verdict.body["task"]
        status, spend = served.call("GET", "/api/v1/admin/spend?by=key")
        assert status == 200
        history = LedgerHistory(served.home)
        (own,) = [one for one in history.generations() if one.app == "glasslipper judge"]
        history.close()
        by_key = {row["group"]: row for row in spend["data"]}
        assert by_key[own.key_id]["generations"] == 1
        assert by_key[own.key_id]["charged_nanousd"] == own.charged_nanousd > 0
        time.sleep(0.5)
        assert facts(served, own.id) == {}


def test_a_judge_that_nobody_pays_for_is_refused_at_the_start(
    serving: Callable[..., Served], tmp_path: Path
) -> None:
    served = serving(classify="true", judge_model="local/smol", judge_key="key-unknown")
    with pytest.raises(RuntimeError, match="ended with status 1"):
        served.start()


def test_a_sample_is_of_the_size_that_was_asked_for_and_always_the_same() -> None:
    ids = [f"gen-{number}" for number in range(20_000)]
    chosen = {one for one in ids if drawn(one, "judged", 0.05)}
    assert chosen == {one for one in ids if drawn(one, "judged", 0.05)}
    assert 900 < len(chosen) < 1_100
    assert not any(drawn(one, "judged", 0.0) for one in ids)
    assert all(drawn(one, "judged", 1.0) for one in ids)
    assert chosen != {one for one in ids if drawn(one, "prompt", 0.05)}
