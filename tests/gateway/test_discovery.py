"""Model servers that already run: found, offered at no cost, and no more once they are gone."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasslipper.gateway.discovery import Found, find, read_list
from glasslipper.gateway.transport import Transport
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served

LIST = {"object": "list", "data": [{"id": "llama3.2:3b", "object": "model"}]}


class Peer(http.server.BaseHTTPRequestHandler):
    """Answers every GET with `body`, and notes what it was shown."""

    body = b""
    seen: list[str | None]
    waits_for: threading.Event | None = None

    def do_GET(self) -> None:
        self.seen.append(self.headers["authorization"])
        if self.waits_for is not None:
            self.waits_for.wait(20)
        self.send_response(200)
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(
    body: bytes, *, waits_for: threading.Event | None = None
) -> Iterator[tuple[int, list[str | None]]]:
    seen: list[str | None] = []
    handler = type("One", (Peer,), {"body": body, "seen": seen, "waits_for": waits_for})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, seen
    finally:
        if waits_for is not None:
            waits_for.set()
        server.shutdown()
        thread.join(10)
        server.server_close()


def found_at(
    run: Callable[..., Any], port: int, *, not_ports: tuple[int, ...] = (), **environ: str
) -> Found:
    async def look() -> list[Found]:
        transport = Transport()
        try:
            named = {"GLASSLIPPER_OLLAMA_BASE_URL": f"http://127.0.0.1:{port}/v1", **environ}
            return await find(transport, named, beyond_named=False, not_ports=not_ports)
        finally:
            await transport.close()

    (found,) = run(look())
    return found


def offered(gateway: Served) -> list[dict[str, Any]]:
    """Return the models that are offered, but those that stand for many."""
    found = gateway.call("GET", "/v1/models")[1]["data"]
    return [model for model in found if "policy" not in model]


def test_a_running_server_is_offered_used_for_nothing_and_then_gone(
    tmp_path: Path,
) -> None:
    with FakeUpstream(tokens=2) as fake:
        environ = {
            "GLASSLIPPER_MODELS": str(tmp_path / "models"),
            "GLASSLIPPER_OLLAMA_BASE_URL": fake.url,
        }
        with Served(tmp_path / "home", environ=environ) as gateway:
            status, answer = gateway.call("POST", "/api/v1/admin/models/refresh")
            assert (status, answer["data"]["models"]) == (200, 1)
            (model,) = offered(gateway)
            assert model["id"] == "ollama/fake"
            assert model["endpoints"] == ["ollama/fake@ollama"]
            assert model["pricing"]["prompt"] == "0"
            assert model["price_source"].startswith("local server")
            poor = gateway.make_key("poor", limit=0)
            body = {"model": "ollama/fake", "messages": [{"role": "user", "content": "hi"}]}
            status, answer = gateway.call("POST", "/v1/chat/completions", body, key=poor)
            assert status == 200, answer
            assert answer["usage"]["cost_nanousd"] == 0
            assert fake.calls()[-1]["model"] == "fake"
            fake.stop()
            gateway.call("POST", "/api/v1/admin/models/refresh")
            assert offered(gateway) == []


def test_looking_does_not_delay_readiness(tmp_path: Path) -> None:
    never = threading.Event()
    with serving(b"", waits_for=never) as (port, seen):
        environ = {
            "GLASSLIPPER_MODELS": str(tmp_path / "models"),
            "GLASSLIPPER_VLLM_BASE_URL": f"http://127.0.0.1:{port}/v1",
        }
        with Served(tmp_path / "home", environ=environ) as gateway:
            assert gateway.call("GET", "/readyz")[0] == 200
            assert not never.is_set()
        assert len(seen) <= 1


def test_a_server_that_is_slow_to_answer_is_not_taken_for_gone(run: Callable[..., Any]) -> None:
    with serving(b"", waits_for=threading.Event()) as (port, _):
        assert found_at(run, port).models is None


def test_our_own_port_is_not_asked(run: Callable[..., Any]) -> None:
    with serving(json.dumps(LIST).encode()) as (port, seen):
        assert found_at(run, port, not_ports=(port,)).models == {}
        assert seen == []
        assert found_at(run, port).models == {"ollama/llama3.2:3b": "llama3.2:3b"}


def test_a_key_is_shown_only_to_a_server_that_the_user_named(run: Callable[..., Any]) -> None:
    with serving(json.dumps(LIST).encode()) as (port, seen):
        found_at(run, port, OLLAMA_API_KEY="sk-theirs")
        assert seen == ["Bearer sk-theirs"]


def test_another_glasslipper_is_not_offered(tmp_path: Path, run: Callable[..., Any]) -> None:
    with FakeUpstream() as fake:
        environ = {"GLASSLIPPER_MODELS": str(tmp_path / "models")}
        with Served(tmp_path / "home", environ=environ) as gateway:
            gateway.add_model("fake/plain", fake.url)
            port = int(gateway.host.rpartition(":")[2])
            assert found_at(run, port).models == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>not a model in sight</html>",
        b"[]",
        b'{"data": []}',
        b'{"object": "list", "data": null}',
        b'{"object": "list", "data": [{"name": "x"}]}',
        b'{"object": "list", "data": [{"id": ""}, {"id": "a b"}, {"id": "\\u001b[2J"}]}',
        b'{"object": "list", "data": [{"id": "' + b"x" * 181 + b'"}]}',
        b"[" * 100_000,
        b"x" * (2 << 20),
    ],
)
def test_what_is_no_list_of_models_offers_nothing(run: Callable[..., Any], body: bytes) -> None:
    with serving(body) as (port, _):
        assert found_at(run, port).models == {}


def test_a_model_named_by_its_file_is_called_by_the_files_name() -> None:
    body = json.dumps({"object": "list", "data": [{"id": "/srv/models/q.gguf"}]}).encode()
    assert read_list(body, "llama.cpp") == {"llama.cpp/q.gguf": "/srv/models/q.gguf"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["object", "data", "id", "price_source"]), inner)
    ),
)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_answer_breaks_the_reading_of_lists(body: bytes) -> None:
    assert isinstance(read_list(body, "vllm"), dict)
