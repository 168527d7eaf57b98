"""Stored prompts asked again of a cheaper model, up to the rule that lets it answer."""

import http.server
import json
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from glasslipper.ledger.read.scan import Lake
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served

PROMPTS = 60
SYSTEM = "You answer customers of a bicycle shop."


class TasteServer(http.server.ThreadingHTTPServer):
    """A judge that knows what it likes: the answer that holds the word `good`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taste)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Taste(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = asked["messages"][-1]["content"]
        first = text[text.index("<answer-A>") : text.index("</answer-A>")]
        said = json.dumps({"better": "A" if "good" in first else "B"})
        choice = {"index": 0, "finish_reason": "stop"}
        choice["message"] = {"role": "assistant", "content": said}
        usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
        body = json.dumps(
            {"id": "x", "object": "chat.completion", "created": 1, "model": "taste",
             "choices": [choice], "usage": usage}
        ).encode()  # fmt: skip
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@pytest.fixture(scope="module")
def taste() -> Iterator[TasteServer]:
    with TasteServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory,
    vector_paths: tuple[Path, Path],
    upstream: FakeUpstream,
    taste: TasteServer,
    cli_at: Any,
) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("again") / "home"
    environ = cli_at(home, vector_paths[0].parent).environ | {
        "GLASSLIPPER_CLASSIFY": "true",
        "GLASSLIPPER_KEEP_PROMPTS": "1",
    }
    dear = {"price_in": "10", "price_out": "30"}
    cheap = {"price_in": "0.1", "price_out": "0.3"}
    with Served(home, environ=environ) as served:
        url = upstream.url
        served.add_model("lab/dear", url, upstream_model="fake?text=All good.", **dear)
        served.add_model("lab/same", url, upstream_model="fake?text=all good", **cheap)
        served.add_model("lab/poor", url, upstream_model="fake?text=No idea.", **cheap)
        served.add_model("lab/biased", url, upstream_model='fake?text={"better": "A"}')
        served.add_model("lab/mute", url, upstream_model="fake?text=Well, who knows.")
        served.add_model("lab/taste", taste.url)
        yield served


@pytest.fixture(scope="module")
def workload(gateway: Served) -> str:
    """A workload of which prompts are kept."""
    for number in range(PROMPTS):
        ask(gateway, f"Is my bicycle no. {number} ready?")
    deadline = time.monotonic() + 60
    while True:
        with Lake(gateway.home) as lake:
            kept = lake.rows("SELECT count(*) FROM late_facts WHERE kind = 'prompt'")[0][0]
            named = lake.rows("SELECT DISTINCT workload FROM generations")
        if kept == PROMPTS:
            break
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert len(named) == 1
    return str(named[0][0])


@pytest.fixture
def there(gateway: Served, tmp_path: Path, cli_at: Any) -> Any:
    return cli_at(gateway.home, tmp_path)


def ask(gateway: Served, text: str) -> dict[str, Any]:
    turns = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
    body = {"model": "lab/dear", "messages": turns}
    status, answer = gateway.call("POST", "/api/v1/chat/completions", body, key=gateway.key)
    assert status == 200, answer
    return answer


Again = Callable[..., Any]


@pytest.fixture
def again(there: Any, workload: str) -> Again:
    def run(*more: str) -> Any:
        return there.json("report", "ask-again", "--workload", workload, *more)

    return run


def test_a_model_that_says_the_same_suffices_and_one_command_lets_it_answer(
    gateway: Served, there: Any, again: Again, workload: str
) -> None:
    found = again("--to", "lab/same")
    assert (found["main"], found["asked"], found["worse"]) == ("lab/dear", PROMPTS, 0)
    told = there.json("report")
    overpaying = next(one for one in told["sections"] if one["id"] == "overpaying")
    assert overpaying["findings"]["found"].startswith("lab/dear/")
    assert overpaying["findings"]["found"].endswith("/lab/same")
    assert f"--workload {workload}" in overpaying["command"]
    program, *command = shlex.split(overpaying["command"])
    assert program == "glasslipper"
    rules = there.json(*command)["data"]
    try:
        answer = ask(gateway, "And the tyres?")
        assert answer["model"] == "lab/same"
        words = there.ok("explain", answer["id"])
        assert "lab/same, asked for as lab/dear" in words
        assert f"The rule {rules[0]['id']} sent it" in words
        assert rules[0]["id"] in there.ok("route", "list")
    finally:
        for rule in rules:
            there.ok("route", "remove", rule["id"])
    assert ask(gateway, "And the bell?")["model"] == "lab/dear"


def test_a_judge_is_asked_in_both_orders_and_decides(again: Again) -> None:
    found = again("--to", "lab/poor", "--judge", "lab/taste", "--sample", "12")
    assert (found["asked"], found["worse"], found["better"]) == (12, 12, 0)
    assert not found["suffices"]
    assert found["command"] == ""
    assert found["verdict"]["behind"]["high"] < 0
    assert found["cost_nanousd"] > 0


def test_a_judge_that_prefers_a_place_has_no_preference(again: Again) -> None:
    found = again("--to", "lab/mute", "--judge", "lab/biased", "--sample", "7")
    assert (found["asked"], found["worse"], found["better"]) == (7, 0, 0)


def test_a_judge_that_gives_no_verdict_is_not_counted_and_may_be_asked_again(again: Again) -> None:
    found = again("--to", "lab/biased", "--judge", "lab/poor", "--sample", "3")
    assert (found["asked"], found["undecided"]) == (0, 3)
    found = again("--to", "lab/biased", "--sample", "3")
    assert (found["asked"], found["worse"]) == (3, 3)  # without a judge, whoever differs is worse


def test_asking_again_goes_on_with_other_prompts(again: Again, gateway: Served) -> None:
    first = again("--to", "lab/mute", "--from", "lab/dear", "--sample", "5")
    second = again("--to", "lab/mute", "--from", "lab/dear", "--sample", "5")
    assert (first["asked"], second["asked"]) == (5, 5)
    with Lake(gateway.home) as lake:
        rows = lake.rows(
            "SELECT count(*), count(DISTINCT generation_id) FROM comparisons"
            " WHERE other = 'lab/mute'"
        )
    assert rows[0][0] == rows[0][1]


def test_where_nothing_is_stored_it_says_how_to_get_it(there: Any) -> None:
    error = there.error("report", "ask-again", "--workload", "a//b", "--to", "lab/same")
    assert error["code"] == "nothing_stored"
    assert "keep_prompts" in error["hint"]
