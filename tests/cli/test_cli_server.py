"""Commands that talk to a real server, which a real model or a scripted provider serves."""

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served

WAIT_S = 30


@pytest.fixture(scope="module")
def fake(served_cli: Any, upstream: FakeUpstream) -> Any:
    """Offer scripted models: `fake(script)` is the id of a model that keeps to the script."""

    def offer(script: str) -> str:
        model = f"fake/{script}"
        prices = ["--price-in", "1", "--price-out", "2", "--upstream-model", f"fake?{script}"]
        served_cli.ok("models", "add", model, upstream.url, *prices)
        return model

    return offer


def test_a_question_is_answered_with_what_it_cost_beside_it(served_cli: Any) -> None:
    done = served_cli.run("ask", "Say hello.", "--max-tokens", "12", "--temperature", "0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    model, tokens, cost, generation = done.stderr.strip().split(" · ")[:4]
    assert (model, generation[:4]) == ("local/smol", "gen-")
    assert tokens.endswith("tokens")
    assert cost.startswith("$0.0")


def test_a_whole_answer_is_one_json_object(served_cli: Any) -> None:
    asked = ["ask", "Say", "hello.", "--max-tokens", "5", "--system", "Be brief."]
    answer = served_cli.json(*asked)
    assert answer["answer"]
    assert answer["finish_reason"] in ("stop", "length")
    assert 0 < answer["completion_tokens"] <= 5
    assert answer["cost_nanousd"] > 0
    assert answer["cost_usd"] == pytest.approx(answer["cost_nanousd"] / 1e9)


def test_what_is_piped_in_goes_to_the_model_too(served_cli: Any, fake: Any) -> None:
    plain, model = served_cli.json("ask", "Summarise.", "--max-tokens", "1"), fake("tokens=2")
    piped = ["ask", "Summarise.", "--max-tokens", "1", "--json"]
    longer = json.loads(served_cli.ok(*piped, piped="Many notes, and then some more.\n"))
    assert longer["prompt_tokens"] > plain["prompt_tokens"]
    assert served_cli.ok("ask", "-m", model, piped="Only this.") == "t0 t1 \n"


def test_binary_input_is_refused(served_cli: Any) -> None:
    done = served_cli.run("ask", "what is it?", "--max-tokens", "4", piped=b"\xff\xfe\x00")
    assert done.returncode == 1
    assert "UTF-8" in done.stderr


def test_words_are_shown_as_they_come_until_ctrl_c(served_cli: Any, fake: Any) -> None:
    model = fake("tokens=3&gap_ms=25000")
    with asking(served_cli, model) as process:
        readable, _, _ = select.select([process.stdout], [], [], 15)
        assert readable, "the first word waits for the second"
        assert process.stdout.read(3) == b"t0 "
        assert interrupted(process) == 130
        assert process.stderr.read().strip() == b""


def interrupted(process: subprocess.Popen[bytes]) -> int:
    """Press Ctrl-C, and again if it came in the instant before a wait, as people do."""
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(5)
    raise AssertionError("Ctrl-C has no effect")


def test_an_answer_cannot_command_the_terminal(served_cli: Any, fake: Any) -> None:
    model = fake("text=%1b[31mred%07 %c2%9b2Jgreen&tokens=1")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        served_cli.command("ask", "hi", "-m", model),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env=served_cli.environ,
    )
    os.close(theirs)
    assert process.wait(WAIT_S) == 0
    shown = os.read(ours, 4096)
    os.close(ours)
    assert shown.decode().strip() == "[31mred 2Jgreen"


def test_a_stream_that_breaks_off_is_told_below_what_came(served_cli: Any, fake: Any) -> None:
    done = served_cli.run("ask", "hi", "-m", fake("tokens=8&fault=cut&after=3"))
    assert done.returncode == 1
    assert done.stdout == "t0 t1 t2 \n"
    assert len(done.stderr.splitlines()) == 2


def test_an_unknown_model_is_told_with_where_to_look(served_cli: Any) -> None:
    error = served_cli.error("ask", "hi", "-m", "nobody/nothing")
    assert error["code"] == "model_not_found"
    assert "glasslipper models" in error["hint"]
    assert error["hint"] not in error["message"]


def test_prices_are_charged_to_the_nano_dollar(served_cli: Any, fake: Any) -> None:
    model = fake("tokens=4&prompt_tokens=1000003")
    answer = served_cli.json("ask", "hi", "-m", model)
    assert answer["cost_nanousd"] == 1_000_003 * 1_000 + 4 * 2_000
    (group,) = [
        group
        for group in served_cli.json("spend", "--by", "model", "--since", "1h")["data"]
        if group["charged_nanousd"] == answer["cost_nanousd"]
    ]
    assert (group["generations"], group["prompt_tokens"]) == (1, 1_000_003)
    assert "$1.000011" in served_cli.ok("spend", "--by", "model")


def test_a_budget_that_is_too_small_refuses_before_it_is_spent(served_cli: Any, fake: Any) -> None:
    model = fake("tokens=2")
    key = served_cli.ok("keys", "create", "poor", "--limit", "0.000001").strip()
    error = served_cli.error("ask", "hi", "-m", model, "--key", key)
    assert error["code"] == "budget_exhausted"


def test_a_disabled_key_is_refused(served_cli: Any, fake: Any) -> None:
    model = fake("tokens=2")
    key = served_cli.ok("keys", "create", "off").strip()
    served_cli.ok("ask", "hi", "-m", model, "--key", key)
    served_cli.ok("keys", "disable", "off")
    assert served_cli.error("ask", "hi", "-m", model, "--key", key)["code"] == "key_disabled"


def test_a_key_that_does_not_manage_may_not_list_keys(served_cli: Any) -> None:
    key = served_cli.ok("keys", "create", "plain").strip()
    done = served_cli.run("keys", "list", "--json", environ={"GLASSLIPPER_API_KEY": key})
    assert json.loads(done.stderr)["error"]["code"] == "not_permitted"


def test_a_model_pulled_beside_a_server_is_offered_at_once(cli: Any) -> None:
    with Served(cli.home, environ=cli.environ):
        assert cli.json("models", "list", "static")["data"][0]["fetched"] is False
        done = cli.run("models", "pull", "local/static-256")
        assert done.returncode == 0, done.stderr
        assert "Fetching local/static-256: 19 MB" in done.stderr
        (model,) = cli.json("models", "list", "static")["data"]
        assert (model["fetched"], model["endpoints"]) == (True, ["local/static-256@local"])
        assert cli.json("models", "pull", "local/static-256")["fetched"] is False


def test_a_server_and_the_bare_store_give_the_same_output(cli: Any, upstream: FakeUpstream) -> None:
    commands = [["keys", "list"], ["models"], *(["spend", "--by", by] for by in ("day", "key"))]
    with Served(cli.home, environ=cli.environ):
        cli.ok("models", "add", "lab/x", upstream.url, "--price-in", "1", "--price-out", "1")
        cli.ok("keys", "create", "ci", "--limit", "5", "--reset", "weekly")
        cli.ok("ask", "hi", "-m", "lab/x", "--max-tokens", "3")
        served = [cli.json(*command) for command in commands]
        assert "ok  server" in cli.run("doctor").stdout
    bare = [cli.json(*command) for command in commands]
    assert "none is running" in cli.run("doctor").stdout
    assert bare == served
    assert any(group["charged_nanousd"] for group in bare[-1]["data"])


def test_what_a_killed_server_left_open_is_closed_and_counted(
    cli: Any, upstream: FakeUpstream
) -> None:
    served = Served(cli.home, environ=cli.environ).start()
    try:
        place = ["lab/slow", upstream.url, "--upstream-model", "fake?tokens=3&gap_ms=20000"]
        cli.ok("models", "add", *place, "--price-in", "1", "--price-out", "1")
        with asking(cli, "lab/slow") as process:
            assert process.stdout.read(3) == b"t0 "
            served.kill()
            assert process.wait(WAIT_S) == 1
    finally:
        served.kill()
    (group,) = cli.json("spend", "--by", "status")["data"]
    assert (group["group"], group["generations"]) == ("unknown", 1)
    assert list((cli.home / "servers").iterdir()) == []


def test_a_live_process_that_is_no_server_is_not_taken_for_one(cli: Any) -> None:
    notes = cli.home / "servers"
    notes.mkdir(parents=True)
    lies = {
        "1.json": {"url": "http://127.0.0.1:9", "pid": os.getpid()},
        "2.json": {"url": "file:///etc/passwd", "pid": os.getpid()},
        "3.json": {"url": "http://127.0.0.1:9", "pid": -1},
        "4.json": ["not", "a", "note"],
    }
    for name, content in lies.items():
        (notes / name).write_text(json.dumps(content), encoding="utf-8")
    (notes / "5.json").write_bytes(b"\xff{")
    assert cli.json("keys", "list")["data"] == []
    assert cli.error("ask", "hi")["code"] == "setup_missing"


def test_the_key_of_this_home_is_not_shown_to_strangers(
    served_cli: Any, stranger: tuple[str, list[str | None]]
) -> None:
    url, shown = stranger
    assert served_cli.error("keys", "list", "--url", url)["code"] == "unexpected_answer"
    assert served_cli.error("keys", "list", "--url", url, "--key", "k-1")["message"]
    assert shown == [None, "Bearer k-1"]
    (note,) = (served_cli.home / "servers").iterdir()
    ours = json.loads(note.read_text(encoding="utf-8"))["url"]
    assert served_cli.json("keys", "list", "--url", f"{ours}/api/v1/")["data"]


@pytest.fixture
def stranger() -> Iterator[tuple[str, list[str | None]]]:
    """A server of somebody else, and the keys that it was shown."""
    shown: list[str | None] = []

    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", shown
        finally:
            server.shutdown()
            thread.join()


class asking:
    """`glasslipper ask` while it runs; ended with the block."""

    def __init__(self, cli: Any, model: str) -> None:
        self._process = subprocess.Popen(
            cli.command("ask", "hi", "-m", model),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=cli.environ,
        )

    def __enter__(self) -> Any:
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
