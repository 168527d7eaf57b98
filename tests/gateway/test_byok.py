"""Providers' keys that accounts bring along: a real gateway, a scripted provider, real stores."""

import base64
import http.client
import http.server
import json
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from glasslipper.gateway.vault import Vault
from glasslipper.kernel.errors import SetupMissing, StoreFailed
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served
from glasslipper.testing.upstream import key_mark

HOUSE, MINE, THEIRS = "sk-house-0123456789", "sk-mine-abcdefghijkl", "sk-theirs-mnopqrstuv"
MODEL = "mistralai/mistral-small"
BYOK = "/api/v1/byok"


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream(tokens=4) as fake:
        yield fake


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory, upstream: FakeUpstream) -> dict[str, str]:
    return {
        "GLASSLIPPER_MODELS": str(tmp_path_factory.mktemp("models")),
        "GLASSLIPPER_GROQ_BASE_URL": upstream.url,
        "GLASSLIPPER_MISTRAL_BASE_URL": upstream.url,
        "MISTRAL_API_KEY": "",
        "GROQ_API_KEY": HOUSE,
    }


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, environ: dict[str, str]) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("home"), environ=environ) as served:
        yield served


@pytest.fixture(autouse=True)
def no_keys_left(gateway: Served) -> Iterator[None]:
    yield
    for key in gateway.call("GET", BYOK)[1]["data"]:
        assert gateway.call("DELETE", f"{BYOK}/{key['id']}")[0] == 200


def bring(gateway: Served, key: str, **more: object) -> dict[str, Any]:
    body = {"provider": "mistral", "key": key, **more}
    status, answer = gateway.call("POST", BYOK, body)
    assert status == 201, answer
    return answer["data"]


def ask(gateway: Served, model: str = MODEL, *, key: str | None = None) -> tuple[int, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    return gateway.call("POST", "/api/v1/chat/completions", body, key=key or gateway.key)


def row(gateway: Served, answer: dict[str, Any]) -> dict[str, Any]:
    status, found = gateway.call("GET", f"/api/v1/generation?id={answer['id']}")
    assert status == 200
    return found["data"]


def id_of(gateway: Served, secret: str) -> str:
    return gateway.call("GET", "/api/v1/key", key=secret)[1]["data"]["id"]


def some_model(gateway: Served, provider: str) -> str:
    models = gateway.call("GET", "/api/v1/models")[1]["data"]
    return next(
        one["id"]
        for one in models
        if one["endpoints"] == [f"{one['id']}@{provider}"]
        and one["architecture"]["output_modalities"] == ["text"]
    )


def used(upstream: FakeUpstream) -> str:
    return upstream.calls()[-1]["key"]


def test_a_brought_key_makes_a_provider_usable_and_no_budget_pays_for_it(
    gateway: Served, upstream: FakeUpstream
) -> None:
    assert ask(gateway)[0] == 404
    shown = bring(gateway, MINE, name="ours")
    assert (shown["label"], shown["provider"]) == ("…ijkl", "mistral")
    status, answer = ask(gateway)
    assert status == 200, answer
    assert used(upstream) == key_mark(MINE.encode())
    assert answer["usage"]["is_byok"] is True
    assert answer["usage"]["cost"] == 0
    kept = row(gateway, answer)
    assert kept["is_byok"] is True
    assert kept["charged_nanousd"] == 0
    assert kept["billed_nanousd"] > 0
    assert kept["endpoint"] == f"{MODEL}@mistral#{shown['id']}"
    assert kept["price_id"]


def test_a_brought_key_serves_even_where_a_budget_is_used_up(gateway: Served) -> None:
    poor = gateway.make_key("poor", limit=0)
    bring(gateway, MINE)
    status, answer = ask(gateway, key=poor)
    assert status == 200, answer
    assert gateway.call("GET", "/api/v1/key", key=poor)[1]["data"]["usage_nanousd"] == 0


def test_a_key_that_counts_is_charged_to_budgets(gateway: Served) -> None:
    poor, rich = gateway.make_key("poor", limit=0), gateway.make_key("rich", limit=5)
    bring(gateway, MINE, include_byok_in_limit=True)
    assert ask(gateway, key=poor)[0] == 402
    kept = row(gateway, ask(gateway, key=rich)[1])
    assert kept["charged_nanousd"] == kept["billed_nanousd"] > 0
    assert kept["is_byok"] is True


def test_the_nearest_accounts_key_wins_and_nobody_else_uses_it(
    gateway: Served, upstream: FakeUpstream
) -> None:
    near, far = gateway.make_key("near"), gateway.make_key("far")
    bring(gateway, THEIRS, account=id_of(gateway, near))
    assert ask(gateway, key=near)[0] == 200
    assert used(upstream) == key_mark(THEIRS.encode())
    status, refused = ask(gateway, key=far)
    assert status == 404
    assert "byok" in refused["error"]["message"] + json.dumps(refused["error"]["metadata"])
    bring(gateway, MINE, account="org-default")
    assert ask(gateway, key=far)[0] == 200
    assert used(upstream) == key_mark(MINE.encode())
    assert ask(gateway, key=near)[0] == 200
    assert used(upstream) == key_mark(THEIRS.encode())


def test_a_brought_key_stands_in_for_the_houses_own(
    gateway: Served, upstream: FakeUpstream
) -> None:
    model = some_model(gateway, "groq")
    assert ask(gateway, model)[0] == 200
    assert used(upstream) == key_mark(HOUSE.encode())
    shown = bring(gateway, MINE, provider="groq")
    assert ask(gateway, model)[0] == 200
    assert used(upstream) == key_mark(MINE.encode())
    assert gateway.call("PATCH", f"{BYOK}/{shown['id']}", {"disabled": True})[0] == 200
    assert ask(gateway, model)[0] == 200
    assert used(upstream) == key_mark(HOUSE.encode())


def test_a_key_is_used_only_for_the_models_that_it_is_allowed(
    gateway: Served, upstream: FakeUpstream
) -> None:
    shown = bring(gateway, MINE, allowed_models=["mistral/another"])
    assert ask(gateway)[0] == 404
    change = {"allowed_models": [MODEL]}
    assert gateway.call("PATCH", f"{BYOK}/{shown['id']}", change)[0] == 200
    assert ask(gateway)[0] == 200
    assert used(upstream) == key_mark(MINE.encode())


def test_a_replaced_key_is_used_from_the_next_call_on(
    gateway: Served, upstream: FakeUpstream
) -> None:
    shown = bring(gateway, MINE)
    assert ask(gateway)[0] == 200
    status, changed = gateway.call("PATCH", f"{BYOK}/{shown['id']}", {"key": THEIRS})
    assert (status, changed["data"]["label"]) == (200, "…stuv")
    assert ask(gateway)[0] == 200
    assert used(upstream) == key_mark(THEIRS.encode())
    assert gateway.call("DELETE", f"{BYOK}/{shown['id']}")[0] == 200
    assert ask(gateway)[0] == 404
    assert MODEL not in [one["id"] for one in gateway.call("GET", "/v1/models")[1]["data"]]


def test_endpoints_that_an_own_key_opens_are_tried_before_all_others(
    gateway: Served, upstream: FakeUpstream
) -> None:
    gateway.add_model(MODEL, upstream.url, upstream_model="fake", price_in="0", price_out="0")
    bring(gateway, MINE)
    try:
        for _ in range(8):
            kept = row(gateway, ask(gateway)[1])
            assert used(upstream) == key_mark(MINE.encode())
            odds = {one["endpoint"].partition("@")[2]: one for one in kept["candidates"]}
            assert odds.pop("custom")["propensity"] == 0.0
            assert [one["propensity"] for one in odds.values()] == [1.0]
    finally:
        gateway.call("DELETE", f"/api/v1/admin/models/{MODEL}")


def test_a_crash_in_the_middle_of_an_uncharged_call_charges_nothing(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    home = tmp_path / "home"
    with FakeUpstream(gap_ms=20_000) as slow:
        there = environ | {"GLASSLIPPER_MISTRAL_BASE_URL": slow.url}
        with Served(home, environ=there) as served:
            bring(served, MINE)
            spender = served.make_key("spender", limit=5)
            body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "x"}]}
            connection = http.client.HTTPConnection(served.host, timeout=30)
            headers = {"Authorization": f"Bearer {spender}"}
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            identity = connection.getresponse().headers["x-generation-id"]
            served.kill()
            connection.close()
    with Served(home, environ=environ) as served:
        kept = row(served, {"id": identity})
        assert (kept["status"], kept["is_byok"]) == ("unknown", True)
        assert kept["billed_nanousd"] > 0
        assert kept["charged_nanousd"] == 0


def test_embeddings_use_a_brought_key_too(gateway: Served, upstream: FakeUpstream) -> None:
    bring(gateway, MINE)
    body = {"model": "mistralai/mistral-embed", "input": ["a"]}
    status, answer = gateway.call("POST", "/v1/embeddings", body, key=gateway.key)
    assert status == 200, answer
    assert used(upstream) == key_mark(MINE.encode())


def test_no_answer_no_log_and_no_file_holds_a_brought_key(
    gateway: Served, upstream: FakeUpstream
) -> None:
    shown = bring(gateway, MINE)
    ask(gateway)
    for path in (BYOK, f"{BYOK}/{shown['id']}"):
        assert MINE not in json.dumps(gateway.call("GET", path)[1])
    assert shown["label"] in json.dumps(gateway.call("GET", BYOK)[1], ensure_ascii=False)
    files = [path for path in gateway.home.rglob("*") if path.is_file()]
    assert any(path.name == "master.key" for path in files)
    assert not [path for path in files if MINE.encode() in path.read_bytes()]
    assert stat.S_IMODE((gateway.home / "master.key").stat().st_mode) == 0o600


def test_a_key_cannot_be_sent_elsewhere_by_whoever_does_not_know_it(gateway: Served) -> None:
    shown = bring(gateway, MINE)
    elsewhere = {"base_url": "http://127.0.0.1:9/v1"}
    status, refused = gateway.call("PATCH", f"{BYOK}/{shown['id']}", elsewhere)
    assert (status, refused["error"]["param"]) == (400, "$.key")
    anew = elsewhere | {"key": MINE}
    assert gateway.call("PATCH", f"{BYOK}/{shown['id']}", anew)[0] == 200


@pytest.mark.parametrize(
    ("wish", "param"),
    [
        ({"provider": "nobody"}, "$.provider"),
        ({"provider": "custom"}, "$.base_url"),
        ({"key": "two\nlines"}, "$.key"),
        ({"key": ""}, "$.key"),
        ({"account": "org-none"}, "$.account"),
        ({"base_url": "ftp://x"}, None),
        ({"base_url": "http://a:b@x/v1"}, None),
        ({"allowed_api_key_hashes": ["00"]}, "$.allowed_api_key_hashes"),
        ({"is_fallback": True}, "$.is_fallback"),
    ],
)
def test_what_cannot_be_kept_as_meant_is_refused(
    gateway: Served, wish: dict[str, object], param: str | None
) -> None:
    status, answer = gateway.call("POST", BYOK, {"provider": "mistral", "key": MINE} | wish)
    assert status in (400, 404)
    assert answer["error"]["param"] == param
    assert gateway.call("GET", BYOK)[1]["total_count"] == 0


def test_only_managers_bring_keys(gateway: Served) -> None:
    body = {"provider": "mistral", "key": MINE}
    assert gateway.call("POST", BYOK, body, key=gateway.key)[0] == 403
    assert gateway.call("GET", BYOK, key=gateway.key)[0] == 403
    assert gateway.call("POST", f"{BYOK}/rotate", key=gateway.key)[0] == 403


def test_a_new_master_key_opens_what_the_old_one_sealed(
    gateway: Served, upstream: FakeUpstream
) -> None:
    bring(gateway, MINE)
    before = sealed(gateway.home)
    status, answer = gateway.call("POST", f"{BYOK}/rotate")
    assert (status, answer["data"]["sealed"]) == (200, 1)
    after = sealed(gateway.home)
    assert after != before
    assert after[0][1:5].hex() == answer["data"]["master_key"] != before[0][1:5].hex()
    assert ask(gateway)[0] == 200
    assert used(upstream) == key_mark(MINE.encode())


def sealed(home: Path) -> list[bytes]:
    store = sqlite3.connect(f"file:{home / 'state.sqlite'}?mode=ro", uri=True)
    try:
        return [bytes(one) for (one,) in store.execute("SELECT sealed FROM byok ORDER BY id")]
    finally:
        store.close()


def test_a_lost_master_key_is_told_and_putting_it_back_heals_all(
    tmp_path: Path, environ: dict[str, str], upstream: FakeUpstream
) -> None:
    home = tmp_path / "home"
    with Served(home, environ=environ) as served:
        bring(served, MINE)
        user = served.key
    aside = (home / "master.key").rename(tmp_path / "aside")
    with Served(home, environ=environ) as served:
        served.key = user
        status, answer = ask(served)
        assert (status, answer["error"]["code"]) == (501, "setup_missing")
        assert "GLASSLIPPER_MASTER_KEY" in json.dumps(answer)
        assert served.call("POST", BYOK, {"provider": "mistral", "key": THEIRS})[0] == 501
        assert served.call("POST", f"{BYOK}/rotate")[0] == 501
        assert not (home / "master.key").exists()
        aside.rename(home / "master.key")
        assert ask(served)[0] == 200
        assert used(upstream) == key_mark(MINE.encode())
        assert served.call("GET", BYOK)[1]["total_count"] == 1


def test_the_master_key_may_come_from_the_environment(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    first, second = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    home = tmp_path / "home"
    with Served(home, environ=environ | {"GLASSLIPPER_MASTER_KEY": first}) as served:
        bring(served, MINE)
        user = served.key
    assert not (home / "master.key").exists()
    both = {"GLASSLIPPER_MASTER_KEY": f"{second},{first}"}
    with Served(home, environ=environ | both) as served:
        assert served.call("POST", f"{BYOK}/rotate")[1]["data"]["sealed"] == 1
    with Served(home, environ=environ | {"GLASSLIPPER_MASTER_KEY": second}) as served:
        served.key = user
        assert ask(served)[0] == 200


def test_a_seal_is_bound_to_its_place_and_to_every_bit(tmp_path: Path) -> None:
    vault = Vault(tmp_path, {})
    kept = vault.seal(MINE, place="here", may_make_key=True)
    assert vault.seal(MINE, place="here", may_make_key=False) != kept
    assert vault.open(kept, place="here") == MINE
    assert MINE.encode() not in kept
    with pytest.raises(StoreFailed):
        vault.open(kept, place="there")
    for bit in range(40, len(kept) * 8, 7):
        damaged = bytearray(kept)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(StoreFailed):
            vault.open(bytes(damaged), place="here")
    for size in range(len(kept)):
        with pytest.raises((StoreFailed, SetupMissing)):
            vault.open(kept[:size], place="here")


@pytest.mark.parametrize("content", ["", "short", "!" * 44, "ü"])
def test_a_file_that_is_no_master_key_is_told_and_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / "master.key").write_text(content, encoding="utf-8")
    with pytest.raises(SetupMissing):
        Vault(tmp_path, {}).seal(MINE, place="here", may_make_key=True)
    assert (tmp_path / "master.key").read_text(encoding="utf-8") == content


class Claude(http.server.BaseHTTPRequestHandler):
    """Answers Messages with one word and notes the key that it was shown."""

    seen: ClassVar[list[str | None]]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.seen.append(self.headers["x-api-key"])
        answer = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude",
            "content": [{"type": "text", "text": "hello"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 3, "output_tokens": 1},
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def claude() -> Iterator[tuple[str, list[str | None]]]:
    class Peer(Claude):
        seen: ClassVar[list[str | None]] = []

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Peer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", Peer.seen
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def test_anthropic_is_called_in_its_own_words_with_the_houses_or_a_brought_key(
    tmp_path: Path, environ: dict[str, str], claude: tuple[str, list[str | None]]
) -> None:
    url, seen = claude
    more = {"ANTHROPIC_API_KEY": HOUSE, "GLASSLIPPER_ANTHROPIC_BASE_URL": url}
    with Served(tmp_path / "home", environ=environ | more) as served:
        model = some_model(served, "anthropic")
        status, answer = ask(served, model)
        assert status == 200, answer
        assert answer["choices"][0]["message"]["content"] == "hello"
        bring(served, MINE, provider="anthropic")
        assert ask(served, model)[0] == 200
    assert seen == [HOUSE, MINE]
