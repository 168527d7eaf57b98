"""The short way of plain chat requests: it does what the usual way does, only sooner.

`USUAL` is a header that asks for nothing and makes a request take the usual way.
"""

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Self

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from glasslipper.gateway.dialects import chat
from glasslipper.gateway.dialects.chat.agent import decode_ask, request_of
from glasslipper.gateway.dialects.chat.plain import decode_plain
from glasslipper.gateway.endpoints import input_ceiling
from glasslipper.gateway.express.lane import most_units
from glasslipper.gateway.providers.openai.plain import write_plain
from glasslipper.gateway.providers.openai.request import encode_request
from glasslipper.gateway.providers.table import PROVIDERS, Provider
from glasslipper.ledger import lines
from glasslipper.ledger.read.verify import verify
from glasslipper.ledger.write import seal
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served

SAY_HI = [{"role": "system", "content": "Be ters\u00e9."}, {"role": "user", "content": 'say "hi"'}]
USUAL = {"X-OpenRouter-Metadata": "none"}
PATH = "/api/v1/chat/completions"


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def other() -> Iterator[FakeUpstream]:
    with FakeUpstream(tokens=3) as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: FakeUpstream) -> Iterator[Served]:
    environ = {
        "GLASSLIPPER_MODELS": str(tmp_path_factory.mktemp("models")),
        "GLASSLIPPER_BETWEEN_BYTES_TIMEOUT_S": "2",
    }
    with Served(tmp_path_factory.mktemp("home"), environ=environ) as served:
        served.add_model("fake/plain", upstream.url, upstream_model="fake")
        yield served


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, upstream: FakeUpstream) -> Iterator[Served]:
    """A gateway whose records survive the end of the power."""
    with Served(tmp_path_factory.mktemp("home"), "--durability", "power") as served:
        served.add_model("fake/plain", upstream.url, upstream_model="fake")
        yield served


class Client:
    """One connection to the gateway, kept over all that is asked."""

    def __init__(self, gateway: Served, key: str | None = None) -> None:
        self.gateway = gateway
        self.key = key or gateway.key
        self.connection = http.client.HTTPConnection(gateway.host, timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def ask(
        self, model: str, headers: dict[str, str] | None = None, **more: object
    ) -> tuple[int, dict[str, str], bytes]:
        body = json.dumps({"model": model, "messages": SAY_HI, "max_tokens": 64, **more})
        self.connection.request("POST", PATH, body, self.headers | (headers or {}))
        reply = self.connection.getresponse()
        return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()

    @property
    def headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.key}",
            "User-Agent": "test/1",
            "X-Title": "Slippers",
        }


@pytest.fixture
def client(gateway: Served) -> Iterator[Client]:
    """A client whose connection, and whose provider's, have been used before."""
    with Client(gateway) as one:
        for _ in range(3):
            one.ask("fake/plain")
        yield one


def offer(gateway: Served, upstream: FakeUpstream, script: str) -> str:
    model = f"fake/{script}"
    gateway.add_model(model, upstream.url, upstream_model=f"fake?{script}")
    return model


def record(gateway: Served, generation_id: str) -> dict[str, Any]:
    status, answer = gateway.call("GET", f"/api/v1/generation?id={generation_id}")
    assert status == 200, answer
    return answer["data"]


def eventually(check: Callable[[], Any], within_s: float = 10.0) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := check()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


TIMES = ("_ms", "_at", "created", "latency", "_time", "id", "date", "key")


def without_times(value: Any) -> Any:
    """Leave out what differs between any two exchanges: ids and times."""
    if isinstance(value, dict):
        return {
            name: without_times(one)
            for name, one in value.items()
            if not name.endswith(TIMES) and name != "n"
        }
    return [without_times(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "script",
    [
        "tokens=5",
        "tokens=0",
        "text=a%20%22quoted%22%20%5Cword",
        "completion_tokens=5000&tokens=4",
        "prompt_tokens=4611686018427387904&completion_tokens=4611686018427387904",
        "cached_tokens=4",
        "reasoning_tokens=3",
        "cost=0.5",
        "usage=missing",
        "tool=look",
        "status=500",
        "status=404",
        "fault=malformed_json",
        "fault=wrong_length",
        "fault=end",
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_answer_and_record_are_those_of_the_usual_way(
    gateway: Served, upstream: FakeUpstream, client: Client, script: str, stream: bool
) -> None:
    model = offer(gateway, upstream, script)
    asked = {"user": "u-1", "temperature": 0.5, "stop": ["x"], "stream": stream}
    before = len(upstream.calls())
    status, headers, said = client.ask(model, **asked)
    usual_status, usual_headers, usual_said = client.ask(model, USUAL, **asked)
    sent, usually_sent = (upstream.calls()[before], upstream.calls()[-1])
    assert without_times(sent) == without_times(usually_sent)
    assert status == usual_status
    assert set(headers) == set(usual_headers) - {"x-route"}
    assert [without_times(one) for one in objects(said)] == [
        without_times(one) for one in objects(usual_said)
    ]
    if status == 200:
        assert without_times(record(gateway, headers["x-generation-id"])) == without_times(
            record(gateway, usual_headers["x-generation-id"])
        )


def test_a_provider_that_lies_about_its_tokens_stops_neither_the_books_nor_the_studies(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    with Served(tmp_path / "home") as served, Client(served) as client:
        lie = "prompt_tokens=9223372036854775807&completion_tokens=9223372036854775807"
        for price in ("2", "1000000000"):
            served.add_model(
                f"fake/{price}", upstream.url, upstream_model=f"fake?{lie}", price_out=price
            )
            for stream in (False, True):
                assert client.ask(f"fake/{price}", stream=stream)[0] == 200
                assert client.ask(f"fake/{price}", USUAL, stream=stream)[0] == 200
        status, told = served.call("GET", "/api/v1/activity")
        assert status == 200, told
        assert sum(one["requests"] for one in told["data"]) == 8
        assert max(one["usage"] for one in told["data"]) <= 4 * 1_000_000
        served.call("GET", "/api/v1/admin/spend")  # copies them
        (made,) = seal.seal(tmp_path / "home", seal.NOW)
        assert made.manifest.files["generations"].rows == 8
        assert verify(tmp_path / "home").holds


LOOK = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Look som\u00e9where.",
        "parameters": {
            "type": "object",
            "properties": {"at": {"type": "string"}, "n": {"type": "integer", "minimum": 0.5}},
            "required": ["at"],
        },
    },
}
STOP = {"type": "function", "function": {"name": "stop", "strict": True}}
LOOKED = [
    *SAY_HI,
    {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [
            {
                "id": "call-1",
                "type": "function",
                "function": {"name": "look", "arguments": '{"at": "h\u00e9re"}'},
            }
        ],
    },
    {
        "role": "tool",
        "tool_call_id": "call-1",
        "content": [{"type": "text", "text": "a l\u00e4mp"}, {"type": "text", "text": "."}],
    },
    {"role": "assistant", "content": "I see a lamp."},
    {"role": "user", "content": [{"type": "text", "text": "And there?"}]},
]


@pytest.mark.parametrize(
    "script",
    [
        "tokens=5",
        "text=a%20%22quoted%22%20word",
        "tool=look&arguments=%7B%22at%22:%22there%22%7D",
        "tool=look&arguments=%7B%22where%22:1%7D",
        "tool=look&arguments=broken",
        "tool=nobody",
        "cached_tokens=4",
        "usage=missing",
        "status=500",
        "fault=malformed_json",
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_requests_with_tools_are_answered_and_recorded_as_on_the_usual_way(
    gateway: Served, upstream: FakeUpstream, client: Client, script: str, stream: bool
) -> None:
    model = offer(gateway, upstream, script)
    asked = {
        "messages": LOOKED,
        "tools": [LOOK, STOP],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "stream": stream,
        "user": "u-1",
    }
    client.ask(model, **asked)  # finds the lane
    before = len(upstream.calls())
    status, headers, said = client.ask(model, **asked)
    usual_status, usual_headers, usual_said = client.ask(model, USUAL, **asked)
    sent, usually_sent = (upstream.calls()[before], upstream.calls()[-1])
    assert without_times(sent) == without_times(usually_sent)
    assert status == usual_status
    assert [without_times(one) for one in objects(said)] == [
        without_times(one) for one in objects(usual_said)
    ]
    if status == 200:
        assert "x-route" not in headers
        short, usual = (
            eventually(lambda identity=one["x-generation-id"]: journal_of(gateway, identity))
            for one in (headers, usual_headers)
        )
        assert without_times(short) == without_times(usual)
        assert short[-1]["tools_offered"] == 2
        assert ("tools_called" in short[-1]) == script.startswith("tool=")


def journal_of(gateway: Served, generation_id: str) -> list[Any] | None:
    """Return an exchange's records in the journal: its intent and its generation."""
    kept = [
        line
        for path in gateway.home.glob("journal/*/*.ndjson")
        for line in path.read_bytes().rstrip(b"\0").splitlines()
        if generation_id.encode() in line
    ]
    if len(kept) != 2:
        return None
    intent = structs.replace(lines.decode_intent(kept[0][len(lines.INTENT) : -1]), cell=0)
    records = (intent, lines.decode_generation(kept[1]))
    return [json.loads(msgspec.json.encode(one)) for one in records]


def test_requests_with_tools_take_the_short_way(gateway: Served, client: Client) -> None:
    for _ in range(2):
        _, headers, _ = client.ask("fake/plain", messages=LOOKED, tools=[LOOK, STOP])
    assert list(headers) == ["date", "content-type", "content-length", "x-generation-id"]
    assert client.ask("fake/plain", USUAL, messages=LOOKED, tools=[LOOK])[0] == 200


@pytest.mark.parametrize("stream", [False, True])
def test_an_endpoint_that_fails_with_tools_is_invisible_while_another_is_left(
    gateway: Served, client: Client, upstream: FakeUpstream, other: FakeUpstream, stream: bool
) -> None:
    model = f"fake/tools-{stream}"
    gateway.add_model(model, upstream.url, upstream_model="fake?status=500", provider="bad")
    gateway.add_model(model, other.url, upstream_model="fake?tool=look", provider="good")
    for _ in range(4):
        status, headers, said = client.ask(model, messages=LOOKED, tools=[LOOK], stream=stream)
        assert status == 200
        assert b'"look"' in said
        kept = record(gateway, headers["x-generation-id"])
        assert kept["attempts"][-1]["provider"] == "good"


@pytest.mark.parametrize("script", ["tokens=5", "tool=look", "cost=0.5", "status=500", "fault=end"])
@pytest.mark.parametrize("stream", [False, True])
def test_what_must_survive_the_power_is_answered_and_recorded_alike_too(
    strict: Served, upstream: FakeUpstream, script: str, stream: bool
) -> None:
    model = offer(strict, upstream, script)
    asked = {"messages": LOOKED, "tools": [LOOK], "stream": stream}
    with Client(strict, strict.make_key("strict", limit_nanousd=10**12)) as client:
        for _ in range(2):
            client.ask(model, **asked)
        status, headers, said = client.ask(model, **asked)
        usual_status, usual_headers, usual_said = client.ask(model, USUAL, **asked)
    assert status == usual_status
    assert [without_times(one) for one in objects(said)] == [
        without_times(one) for one in objects(usual_said)
    ]
    if status == 200:
        short, usual = (
            eventually(lambda identity=one["x-generation-id"]: journal_of(strict, identity))
            for one in (headers, usual_headers)
        )
        assert without_times(short) == without_times(usual)
    if status == 200 and not stream:  # the order of its head tells the short way
        assert list(headers)[-1] == "x-generation-id"


def test_many_at_once_share_the_syncs_and_each_is_recorded_once(strict: Served) -> None:
    key = strict.make_key("many", limit_nanousd=10**12)

    def some() -> list[str]:
        with Client(strict, key) as client:
            return [client.ask("fake/plain")[1]["x-generation-id"] for _ in range(10)]

    with ThreadPoolExecutor(16) as pool:
        told = [name for names in pool.map(lambda _: some(), range(16)) for name in names]
    assert len(set(told)) == 160
    assert all(journal_of(strict, name) for name in told)  # each is there when it is told


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_while_its_record_is_synced_leaves_nothing_behind(
    strict: Served, stream: bool
) -> None:
    with Client(strict) as client:
        for _ in range(2):
            client.ask("fake/plain")
        for wait_ms in range(0, 30, 2):
            body = json.dumps({"model": "fake/plain", "messages": SAY_HI, "stream": stream})
            connection = http.client.HTTPConnection(strict.host, timeout=10)
            connection.request("POST", PATH, body, client.headers)
            time.sleep(wait_ms / 1000)
            connection.close()
        eventually(lambda: strict.call("GET", "/healthz")[1]["running"] == 0)
        assert client.ask("fake/plain")[0] == 200


def objects(body: bytes) -> list[Any]:
    """Return the JSON of an answer, or of each frame of a stream."""
    if not body.startswith(b"data: "):
        return [json.loads(body)]
    frames = body.decode().split("\n\n")
    assert frames.pop() == ""
    return [frame if frame == "data: [DONE]" else json.loads(frame[6:]) for frame in frames]


def test_the_short_way_is_taken(gateway: Served, client: Client) -> None:
    """What both ways do alike is proved above; that there are two is seen in the head's order."""
    _, headers, _ = client.ask("fake/plain")
    _, usual, _ = client.ask("fake/plain", USUAL)
    assert list(headers) == ["date", "content-type", "content-length", "x-generation-id"]
    assert "x-route" not in usual
    connection = client.connection.sock
    lean = raw_request(client, b"x" * 3)
    heavy = raw_request(client, b"x" * 3, b"X-OpenRouter-Metadata: none\r\n")
    for request in (lean, heavy):
        connection.sendall(request)
        assert answer_of(connection)["choices"]


def one_of(lines: BinaryIO) -> dict[str, Any]:
    """Read one answer of several that follow each other."""
    size = 0
    while (line := lines.readline().rstrip()) != b"":
        name, _, value = line.lower().partition(b": ")
        size = int(value) if name == b"content-length" else size
    return json.loads(lines.read(size))


def raw_request(client: Client, words: bytes, more: bytes = b"", member: bytes = b"") -> bytes:
    body = b'{"model":"fake/plain","messages":[{"role":"user","content":"%b"}]%b}' % (words, member)
    return (
        b"POST %b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n%bContent-Length: %d\r\n\r\n%b"
        % (PATH.encode(), client.key.encode(), more, len(body), body)
    )


def answer_of(connection: socket.socket) -> dict[str, Any]:
    """Read one answer and no byte more: the next one may have come with it."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        assert byte, "the connection was closed"
        head += byte
    _, _, rest = head.lower().partition(b"content-length:")
    left, body = int(rest.partition(b"\r\n")[0]), b""
    while len(body) < left:
        body += connection.recv(left - len(body))
    return json.loads(body)


def connect(gateway: Served) -> socket.socket:
    host, _, port = gateway.host.partition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def test_requests_that_come_together_are_answered_in_their_order(
    gateway: Served, client: Client, upstream: FakeUpstream
) -> None:
    with connect(gateway) as connection:
        for _ in range(3):
            connection.sendall(raw_request(client, b"warm"))
            answer_of(connection)
        before = len(upstream.calls())
        users = ["one", "twoo", "three" * 40, "four"]
        requests = [
            raw_request(client, b"hi", member=b',"user":"%b"' % user.encode()) for user in users
        ]
        connection.sendall(b"".join(requests))
        with connection.makefile("rb") as lines:
            bodies = [one_of(lines) for _ in users]
    assert len({one["id"] for one in bodies}) == len(users)
    assert [call["user"] for call in upstream.calls()[before:]] == users


def test_a_request_in_pieces_is_served_wherever_it_is_cut(gateway: Served, client: Client) -> None:
    request = raw_request(client, b"piecemeal")
    with connect(gateway) as connection:
        for _ in range(2):
            connection.sendall(request)
            answer_of(connection)
        for cut in range(1, len(request), 29):
            connection.sendall(request[:cut])
            time.sleep(0.002)
            connection.sendall(request[cut:])
            assert answer_of(connection)["object"] == "chat.completion"


def test_what_is_sent_before_the_answer_waits_for_it(
    gateway: Served, client: Client, upstream: FakeUpstream
) -> None:
    slow = offer(gateway, upstream, "delay_ms=300")
    body = json.dumps({"model": slow, "messages": SAY_HI}).encode()
    head = raw_request(client, b"").partition(b"Content-Length")[0]
    first = head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    with connect(gateway) as connection:
        for _ in range(2):
            connection.sendall(first)
            answer_of(connection)
        connection.sendall(first)
        time.sleep(0.05)
        connection.sendall(raw_request(client, b"later"))
        assert answer_of(connection)["model"] == slow
        assert answer_of(connection)["model"] == "fake/plain"


def test_each_request_is_charged_to_its_own_key_over_one_connection(gateway: Served) -> None:
    keys = [gateway.make_key(name, limit_nanousd=10**12) for name in ("one", "two")]
    with (
        connect(gateway) as connection,
        Client(gateway, keys[0]) as a,
        Client(gateway, keys[1]) as b,
    ):
        clients = (a, b)
        for client in (clients[0], clients[0], clients[1], clients[0], clients[1], clients[1]):
            connection.sendall(raw_request(client, b"mine"))
            assert answer_of(connection)["usage"]["cost_nanousd"] == 42_000
    spent = [gateway.call("GET", "/v1/key", key=key)[1]["data"]["usage_nanousd"] for key in keys]
    assert spent == [3 * 42_000, 3 * 42_000]


def test_a_key_that_is_disabled_stops_working_at_once_on_a_connection_that_is_known(
    gateway: Served,
) -> None:
    key = gateway.make_key("soon gone", limit_nanousd=10**12)
    with Client(gateway, key) as client:
        for _ in range(3):
            assert client.ask("fake/plain")[0] == 200
        identity = gateway.call("GET", "/v1/key", key=key)[1]["data"]["id"]
        gateway.call("PATCH", f"/api/v1/keys/{identity}", {"disabled": True})
        status, _, said = client.ask("fake/plain")
        assert (status, json.loads(said)["error"]["code"]) == (401, "key_disabled")
        gateway.call("PATCH", f"/api/v1/keys/{identity}", {"disabled": False})
        assert client.ask("fake/plain")[0] == 200


def test_a_budget_that_is_used_up_refuses_as_on_the_usual_way(gateway: Served) -> None:
    with Client(gateway, gateway.make_key("poor", limit_nanousd=200_000)) as client:
        answers = [client.ask("fake/plain", max_tokens=16) for _ in range(8)]
    assert [status for status, _, _ in answers].count(200) >= 2
    status, _, said = answers[-1]
    assert (status, json.loads(said)["error"]["code"]) == (402, "budget_exhausted")


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_ends_the_call_and_is_recorded(
    gateway: Served, client: Client, upstream: FakeUpstream, stream: bool
) -> None:
    model = offer(gateway, upstream, f"tokens=400&gap_ms=20&first_ms={0 if stream else 3000}")
    before = len(upstream.calls())
    body = json.dumps({"model": model, "messages": SAY_HI, "stream": stream})
    connection = http.client.HTTPConnection(gateway.host, timeout=10)
    connection.request("POST", PATH, body, client.headers)
    if stream:
        with connection.getresponse() as reply:
            reply.read(200)
    else:
        time.sleep(0.3)
    connection.close()
    number = eventually(lambda: len(upstream.calls()) > before and upstream.calls()[before]["n"])
    eventually(lambda: number in upstream.gone())
    eventually(lambda: gateway.call("GET", "/healthz")[1]["running"] == 0)


@pytest.mark.parametrize("stream", [False, True])
def test_a_first_endpoint_that_fails_is_invisible_while_another_is_left(
    gateway: Served, client: Client, upstream: FakeUpstream, other: FakeUpstream, stream: bool
) -> None:
    model = f"fake/two-{stream}"
    for script in ("status=500", "fault=refuse", "fault=malformed_json&after=0"):
        gateway.add_model(model, upstream.url, upstream_model=f"fake?{script}", provider="bad")
        gateway.add_model(model, other.url, upstream_model="fake", provider="good")
        for _ in range(4):
            status, headers, said = client.ask(model, stream=stream)
            assert status == 200
            words = "".join(
                choice["delta" if stream else "message"].get("content") or ""
                for one in objects(said)
                if isinstance(one, dict)
                for choice in one["choices"]
            )
            assert words == "t0 t1 t2 "
            kept = record(gateway, headers["x-generation-id"])
            assert kept["attempts"][-1]["provider"] == "good"
            assert sum(one["propensity"] for one in kept["candidates"]) == pytest.approx(1)


def test_a_client_that_does_not_read_slows_the_provider_down(
    gateway: Served, client: Client, upstream: FakeUpstream
) -> None:
    model = offer(gateway, upstream, "fault=huge_frame&huge_bytes=600000&tokens=4000")
    body = json.dumps({"model": model, "messages": SAY_HI, "stream": True}).encode()
    head = raw_request(client, b"").partition(b"Content-Length")[0]
    with connect(gateway) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        time.sleep(0.5)
        with http.client.HTTPResponse(connection) as reply:
            reply.begin()
            said = objects(reply.read())
    assert said[-1] == "data: [DONE]"
    words = "".join(
        choice["delta"].get("content") or "" for one in said[:-1] for choice in one["choices"]
    )
    assert len(words) > 600_000


PLAIN = st.fixed_dictionaries(
    {
        "model": st.text(min_size=1, max_size=9).filter(lambda name: ":" not in name),
        "messages": st.lists(
            st.fixed_dictionaries(
                {
                    "role": st.sampled_from(["system", "user", "assistant"]),
                    "content": st.text(max_size=20),
                }
            ),
            min_size=1,
            max_size=4,
        ),
    },
    optional={
        "stream": st.none() | st.booleans(),
        "max_tokens": st.none() | st.integers(1, 10_000),
        "max_completion_tokens": st.none() | st.integers(1, 10_000),
        "temperature": st.none() | st.floats(0, 2) | st.integers(0, 2),
        "top_p": st.floats(0, 1),
        "frequency_penalty": st.floats(-2, 2),
        "presence_penalty": st.floats(-2, 2),
        "stop": st.none() | st.text(min_size=1) | st.lists(st.text(min_size=1), max_size=3),
        "user": st.none() | st.text(max_size=5),
        "stream_options": st.just({"include_usage": True}),
    },
)


@given(body=PLAIN, provider=st.sampled_from([one for one in PROVIDERS if one.speaks == "chat"]))
def test_a_plain_body_means_and_sends_what_the_usual_reading_does(
    body: dict[str, Any], provider: Provider
) -> None:
    data = json.dumps(body).encode()
    ask = decode_plain(data)
    if ask is None:
        assert body.get("max_tokens")
        assert body.get("max_completion_tokens")
        return
    request = chat.decode(data)
    assert request_of(ask) == structs.replace(request, heard_as="chat")
    assert most_units(ask) == input_ceiling(request)
    usual = encode_request(request, provider=provider, upstream_model="m")
    short = write_plain(ask, provider=provider, upstream_model="m")
    assert short is not None
    assert json.loads(short) == json.loads(usual)


def called(**more: object) -> dict[str, Any]:
    return {"id": "c-1", "function": {"name": "look", "arguments": "{}"}, **more}


GOOD_TURNS: list[dict[str, Any]] = [
    {"role": "system", "content": "Be ters\u00e9 1."},
    {"role": "user", "content": ""},
    {"role": "user", "content": "two\n", "refusal": None, "reasoning": None},
    {"role": "user", "content": [{"type": "text", "text": "h\u00e9"}]},
    {"role": "assistant", "content": [{"text": "a", "type": "text"}, {"type": "text", "text": ""}]},
    {"role": "assistant", "content": None},
    {"role": "assistant", "content": None, "tool_calls": [called(type="function")]},
    {"role": "assistant", "content": "so", "tool_calls": [called(), called(id="c-2")]},
    {"role": "tool", "tool_call_id": "c-1", "content": "\u00fc"},
    {"role": "tool", "tool_call_id": "c-2", "content": [{"type": "text", "text": "it"}]},
]
ODD_TURNS: list[dict[str, Any]] = [
    {"role": "developer", "content": "x"},
    {"role": "user", "content": None},
    {"role": "user", "content": []},
    {"role": "user", "content": "x", "name": "n"},
    {"role": "user", "content": "x", "tool_call_id": "c"},
    {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": None}]},
    {"role": "tool", "content": "x"},
    {"role": "tool", "content": "x", "tool_call_id": ""},
    {"role": "assistant"},
    {"role": "assistant", "content": "x", "tool_calls": []},
    {"role": "assistant", "content": "x", "tool_calls": [called(index=0)]},
    {"role": "assistant", "content": None, "function_call": {"name": "look"}},
    *(
        {"role": "assistant", "content": None, "tool_calls": [called(function=function)]}
        for function in (
            {"name": "", "arguments": "{}"},
            {"name": "look"},
            {"name": "look", "arguments": ""},
            {"name": "look", "arguments": " {}"},
        )
    ),
]
TOOLS: list[dict[str, Any]] = [
    LOOK,
    STOP,
    {"type": "function", "function": {"name": "n", "description": None, "parameters": None}},
    {"type": "function", "function": {"name": "\u00e9", "strict": None, "more": 1}, "x": 2},
    {
        "type": "function",
        "function": {"name": "n", "parameters": {"": [0.5, -1, 1e9, True, None, {"\u00e9": '"'}]}},
    },
]


@given(
    turns=st.lists(st.sampled_from(GOOD_TURNS), min_size=1, max_size=4),
    odd=st.none() | st.none() | st.none() | st.sampled_from(ODD_TURNS),
    more=st.fixed_dictionaries(
        {},
        optional={
            "tools": st.lists(st.sampled_from(TOOLS), min_size=1, max_size=3),
            "tool_choice": st.sampled_from(["auto", "none", "required", None]),
            "parallel_tool_calls": st.sampled_from([None, True, False]),
            "stream": st.booleans(),
            "max_tokens": st.integers(1, 9),
            "stop": st.sampled_from(["x", ["x", "y"]]),
        },
    ),
    provider=st.sampled_from([one for one in PROVIDERS if one.speaks == "chat"]),
)
def test_a_body_with_tools_means_and_sends_what_the_usual_reading_does(
    turns: list[Any], odd: dict[str, Any] | None, more: dict[str, Any], provider: Provider
) -> None:
    body = {"model": "m", **more, "messages": [*turns, *([] if odd is None else [odd])]}
    data = json.dumps(body).encode()
    ask = decode_ask(data)
    if odd is None and ("tools" in more or not more.get("tool_choice")):
        assert ask is not None
    if ask is None:
        return
    assert odd is None
    request = chat.decode(data)
    assert request_of(ask) == structs.replace(request, heard_as="chat")
    assert most_units(ask) == input_ceiling(request)
    usual = encode_request(request, provider=provider, upstream_model="m")
    short = write_plain(ask, provider=provider, upstream_model="m")
    assert short is not None
    assert json.loads(short) == json.loads(usual)


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"type": "web_search"}]},
        {"tools": [LOOK, {"type": "function"}]},
        {"tools": [LOOK], "tool_choice": {"type": "function", "function": {"name": "look"}}},
        {"tools": [LOOK], "tool_choice": "any"},
        {"tool_choice": "required"},
        {"tools": None},
        {"tools": [LOOK], "response_format": {"type": "json_object"}},
        {"tools": [LOOK], "messages": [{"role": "developer", "content": "x"}]},
        {"tools": [LOOK], "messages": [{"role": "tool", "content": "x"}]},
        {"tools": [LOOK], "messages": [{"role": "user", "content": None}]},
        {"tools": [LOOK], "messages": [{"role": "user", "content": [{"type": "text"}]}]},
        {"tools": [LOOK], "messages": [{"role": "user", "content": "x", "tool_call_id": "1"}]},
        {"tools": [{"type": "function", "function": {"name": "n" * 70_000}}]},
    ],
)
def test_a_body_with_more_than_tools_takes_the_usual_way(more: dict[str, Any]) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **more}
    assert decode_ask(json.dumps(body).encode()) is None


@pytest.mark.parametrize(
    "more",
    [{"tools": []}, {"models": ["x"]}, {"seed": 1}, {"n": 1}, {"x": 1}, {"reasoning": {}}],
)
def test_a_body_that_says_more_is_not_plain(more: dict[str, Any]) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **more}
    assert decode_ask(json.dumps(body).encode()) is None


def test_the_record_survives_a_kill_between_the_intent_and_the_answer(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    with Served(tmp_path / "home") as served:
        served.add_model("fake/slow", upstream.url, upstream_model="fake?delay_ms=5000")
        served.add_model("fake/plain", upstream.url, upstream_model="fake")
        key = served.make_key("held", limit_nanousd=10**9)
        with Client(served, key) as client:
            client.ask("fake/plain")
            body = json.dumps({"model": "fake/slow", "messages": SAY_HI, "max_tokens": 9})
            client.connection.request("POST", PATH, body, client.headers)
            time.sleep(0.5)
            served.kill()
        served.start()
        spend = eventually(
            lambda: [
                row
                for row in served.call("GET", "/api/v1/admin/spend?by=status")[1]["data"]
                if row["group"] == "unknown"
            ]
        )
        assert spend[0]["generations"] == 1
