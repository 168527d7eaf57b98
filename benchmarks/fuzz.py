"""Throws hostile bodies at every endpoint, and cuts streams on both sides, at random places.

    make fuzz
    make fuzz ARGS="--quick"        # 1,500 bodies and 300 cuts
    make fuzz ARGS="--seed 7"

A real gateway process answers, in front of a fake provider that speaks OpenAI's API, and of a
second gateway that speaks Anthropic's and Google's, so that every dialect is translated into
every other. Keys of the last line:

    bodies           requests with a body of which something was ruined
    cuts             answers broken off: by the provider in ten ways, by the wire, by the client
    status_500       answers that say 500
    broken_frames    frames that are not what their dialect says, answers that do not parse, and
                     streams that end like whole ones although they were cut
    early_cuts       cuts that fell before the end of what the provider said
    still_running    requests that the gateway believed running after everybody had left
    lives            whether both gateways were still the same processes at the end
    tracebacks       exceptions in the logs of both gateways
    statuses         how many answers had which status
    faults           the first faults, each with the request that showed it
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import socket
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec import Struct, field
from referees import frames
from referees.asking import DIALECTS, body_of, path_of

from fuzz_bodies import Door, bodies, doors
from fuzz_cuts import Wire
from glasslipper.gateway.providers.table import PROVIDERS
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served
from outcome import Progress, conclude, mention

BODIES, BODIES_QUICK = 10_000, 1_500
CUTS, CUTS_QUICK = 2_400, 300
MOST_FAULTS = 20
CALM_S = 10.0
SILENCE_S = 0.5
FIRST_BYTE_S = 5.0

ANTHROPIC, GOOGLE = "anthropic/claude-opus-4.5", "google/gemini-2.5-flash"
FAULTS = ("cut", "end", "error_event", "huge_frame", "malformed_http", "malformed_json",
          "no_done", "refuse", "reset", "stall", "wrong_length")  # fmt: skip
HARMLESS = frozenset({"huge_frame", "no_done"})
"""Faults after which an answer may still be whole."""


class Tally(Struct):
    """What has been seen."""

    bodies: int = 0
    cuts: int = 0
    early_cuts: int = 0
    status_500: int = 0
    broken_frames: int = 0
    statuses: Counter[str] = field(default_factory=Counter[str])
    faults: list[str] = field(default_factory=list)

    def blame(self, why: str, asked: str) -> None:
        """Count a broken frame."""
        self.broken_frames += 1
        self._say(f"{why} <- {asked}")

    def server_error(self, said: bytes, asked: str) -> None:
        """Count an answer that says 500."""
        self.status_500 += 1
        self._say(f"500 {said[:200]!r} <- {asked}")

    def _say(self, text: str) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(text)
            mention(text[:1500])


class Gate:
    """The gateway under fire, and one connection to it that is opened again when it ends."""

    def __init__(self, served: Served, key: str, tally: Tally) -> None:
        """Ask with `key`, and count in `tally`."""
        self.host, self.key, self.tally = served.host, key, tally
        self._connection: http.client.HTTPConnection | None = None

    def send(
        self, method: str, path: str, body: bytes, *, dialect: str = "", was_cut: bool = False
    ) -> frames.Reading | None:
        """Ask, judge the answer, and return how it reads; `None` if nobody answered."""
        asked = f"{method} {path} {body[:600]!r}"
        try:
            status, kind, said, whole = self._exchange(method, path, body)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            self.tally.statuses["none"] += 1
            self.tally.blame(f"no answer: {error!r}", asked)
            return None
        self.tally.statuses[str(status)] += 1
        if status == 500:
            self.tally.server_error(said, asked)
        reading = _read(kind, said, dialect)
        for fault in reading.faults:
            self.tally.blame(fault, asked)
        if not whole or (reading.ending == "cut" and not reading.faults):
            self.tally.blame(f"{status} ends without an end: {said[-200:]!r}", asked)
        if status >= 400 and not reading.faults and reading.error is None:
            self.tally.blame(f"{status} without an error: {said[:200]!r}", asked)
        return reading

    def _exchange(self, method: str, path: str, body: bytes) -> tuple[int, str, bytes, bool]:
        while True:
            is_new = self._connection is None
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self.host, timeout=30)
            try:
                self._connection.request(method, path, body, self._headers())
                answer = self._connection.getresponse()
                said, whole = _all_of(answer)
            except (ConnectionError, http.client.RemoteDisconnected):
                self.close()
                if is_new:
                    raise
            else:
                if answer.will_close or not whole:
                    self.close()
                return answer.status, answer.getheader("content-type", ""), said, whole

    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}", "content-type": "application/json"}

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _all_of(answer: http.client.HTTPResponse) -> tuple[bytes, bool]:
    try:
        return answer.read(), True
    except http.client.IncompleteRead as error:
        return error.partial, False


def _read(kind: str, said: bytes, dialect: str) -> frames.Reading:
    if kind.startswith("text/event-stream"):
        return frames.read_stream(dialect or "chat", said)
    if said.startswith(b"["):
        return frames.read_array(said)
    return frames.read_whole(said)


# bodies


def throw_bodies(gate: Gate, *, count: int, seed: int) -> None:
    """Ask with ruined bodies, taking turns between endpoints and providers."""
    models = st.sampled_from(["fuzz/first", "fuzz/first", ANTHROPIC, GOOGLE, "fuzz/none"])
    every = [door for model in ("fuzz/first", ANTHROPIC, GOOGLE) for door in doors(model)]
    share = -(-count // len(every))
    progress = Progress("bodies", share * len(every))
    for number, door in enumerate(every):
        _throw(gate, door, models, count=share, seed=seed + number, progress=progress)


def _throw(
    gate: Gate,
    door: Door,
    models: st.SearchStrategy[str],
    *,
    count: int,
    seed: int,
    progress: Progress,
) -> None:
    @hypothesis.seed(seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(bodies(door, models))
    def one(body: bytes) -> None:
        gate.tally.bodies += 1
        gate.send(door.method, door.path, body, dialect=door.dialect)
        progress.step()

    one()


# cuts


def cut_by_provider(
    gate: Gate, served: Served, url: str, *, count: int, chance: random.Random
) -> None:
    """Let the provider fail at random places, in every way that the fake knows."""
    progress = Progress("cuts by the provider", count)
    for number in range(count):
        fault, tokens = chance.choice(FAULTS), chance.randint(1, 12)
        after, gap_ms = chance.randint(0, tokens - 1), chance.choice((0, 0, 1))
        script = f"fake?tokens={tokens}&fault={fault}&after={after}&gap_ms={gap_ms}"
        model = f"cut/{number // 3 % 400}-{fault}"
        served.add_model(model, url, upstream_model=script)
        gate.tally.early_cuts += fault not in HARMLESS
        _ask_and_judge(
            gate, model, f"{fault} after {after} of {tokens}", fault not in HARMLESS, chance
        )
        progress.step()


def cut_by_wire(gate: Gate, wires: dict[str, Wire], *, count: int, chance: random.Random) -> None:
    """Let the wire to the provider break after a random number of bytes."""
    progress = Progress("cuts on the wire", count)
    for _ in range(count):
        model = chance.choice(list(wires))
        size = int(chance.choice((300, 1_500, 4_000)) * chance.random())
        wires[model].break_after(size, resets=chance.random() < 0.5)
        _ask_and_judge(gate, model, f"broken after {size} bytes", wires[model], chance)
        progress.step()


def _ask_and_judge(
    gate: Gate, model: str, how: str, cut: bool | Wire, chance: random.Random
) -> None:
    dialect, stream = chance.choice(DIALECTS), chance.random() < 0.75
    body = json.dumps(body_of(dialect, model, text="Go on.", stream=stream, tool=False)).encode()
    gate.tally.cuts += 1
    reading = gate.send("POST", path_of(dialect, model, stream=stream), body, dialect=dialect)
    is_early = cut.broke_early() if isinstance(cut, Wire) else cut
    if isinstance(cut, Wire):
        gate.tally.early_cuts += is_early
    if is_early and reading is not None and reading.ending == "whole":
        gate.tally.blame(f"whole, although {how}", f"{dialect} {model} stream={stream}")


def cut_by_client(gate: Gate, *, count: int, chance: random.Random) -> None:
    """Leave at random: within the request, or within the answer."""
    progress = Progress("cuts by the client", count)
    host, _, port = gate.host.partition(":")
    for _ in range(count):
        dialect = chance.choice(DIALECTS)
        model = chance.choice(("fuzz/slow", "fuzz/slow", ANTHROPIC, GOOGLE))
        body = json.dumps(body_of(dialect, model, text="Go on.", stream=True, tool=False)).encode()
        head = f"POST {path_of(dialect, model, stream=True)} HTTP/1.1\r\nhost: {gate.host}\r\n"
        head += f"authorization: Bearer {gate.key}\r\ncontent-type: application/json\r\n"
        whole = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
        with socket.create_connection((host, int(port)), timeout=10) as link:
            if chance.random() < 0.4:
                link.sendall(whole[: chance.randint(0, len(whole) - 1)])
            else:
                link.sendall(whole)
                link.recv(chance.randint(1, 2_000))
            if chance.random() < 0.5:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gate.tally.cuts += 1
        gate.tally.early_cuts += 1
        progress.step()


# the stand


def run(*, count: int, cuts: int, seed: int) -> dict[str, object]:
    """Run everything and return the figures."""
    chance, tally = random.Random(seed), Tally()
    with ExitStack() as stack:
        upstream = stack.enter_context(FakeUpstream(tokens=6))
        inner = stack.enter_context(_gateway(stack, {}))
        for name in ("claude-opus-4-5", "gemini-2.5-flash"):
            inner.add_model(name, upstream.url, upstream_model="fake?tokens=6&gap_ms=1")
        wire = stack.enter_context(Wire(int(inner.host.rpartition(":")[2])))
        wired = stack.enter_context(Wire(upstream.port))
        outer = stack.enter_context(_gateway(stack, _environ(inner, wire)))
        outer.add_model("fuzz/first", upstream.url, upstream_model="fake?tokens=4")
        outer.add_model("fuzz/second", upstream.url, upstream_model="fake?tokens=4")
        outer.add_model("fuzz/slow", upstream.url, upstream_model="fake?tokens=40&gap_ms=2")
        pids = outer.pid, inner.pid
        gate = Gate(outer, outer.make_key("fuzz", management=True), tally)
        throw_bodies(gate, count=count, seed=seed)
        cut_by_provider(gate, outer, upstream.url, count=cuts // 2, chance=chance)
        wires = dict(_wired_models(outer, wired, wire))
        cut_by_wire(gate, wires, count=cuts // 4, chance=chance)
        cut_by_client(gate, count=cuts // 4, chance=chance)
        gate.close()
        running = _still_running(outer)
        logged = [(one.home / "log").read_text(encoding="utf-8") for one in (outer, inner)]
        lives = pids == (outer.pid, inner.pid) and all(_is_alive(pid) for pid in pids)
    return {
        "bodies": tally.bodies,
        "cuts": tally.cuts,
        "status_500": tally.status_500,
        "broken_frames": tally.broken_frames,
        "early_cuts": tally.early_cuts,
        "still_running": running,
        "lives": lives,
        "tracebacks": sum(text.count("Traceback") for text in logged),
        "statuses": dict(sorted(tally.statuses.items())),
        "faults": [*tally.faults, *_tracebacks(logged)],
    }


def _gateway(stack: ExitStack, environ: dict[str, str]) -> Served:
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="glasslipper-fuzz-")))
    blank = {name: "" for provider in PROVIDERS for name in provider.key_env}
    patience = {
        "GLASSLIPPER_BETWEEN_BYTES_TIMEOUT_S": str(SILENCE_S),
        "GLASSLIPPER_FIRST_BYTE_TIMEOUT_S": str(FIRST_BYTE_S),
    }
    return Served(home, environ={**blank, **patience, **environ}, log=home / "log")


def _environ(inner: Served, wire: Wire) -> dict[str, str]:
    return {
        "ANTHROPIC_API_KEY": inner.key,
        "GLASSLIPPER_ANTHROPIC_BASE_URL": f"http://127.0.0.1:{wire.port}",
        "GEMINI_API_KEY": inner.key,
        "GLASSLIPPER_GOOGLE_BASE_URL": f"http://127.0.0.1:{wire.port}/v1beta",
    }


def _wired_models(outer: Served, wired: Wire, wire: Wire) -> Iterator[tuple[str, Wire]]:
    """Offer many models over the wire, for each endpoint's breaker opens in time."""
    for number in range(60):
        url = f"http://127.0.0.1:{wired.port}/v1"
        outer.add_model(f"wire/{number}", url, upstream_model="fake?tokens=10")
        yield f"wire/{number}", wired
    _, answer = outer.call("GET", "/v1/models")
    for model in answer["data"]:
        if model["id"] in (ANTHROPIC, GOOGLE):
            yield model["id"], wire


def _still_running(served: Served) -> int:
    give_up = time.monotonic() + CALM_S
    while True:
        _, health = served.call("GET", "/healthz")
        if not health["running"] or time.monotonic() > give_up:
            return health["running"]
        time.sleep(0.1)


def _tracebacks(logged: list[str]) -> list[str]:
    """Return the different exceptions that were logged, each with what came before it."""
    found = [text.splitlines() for text in logged]
    heads = [
        (next((text for text in lines[at + 1 :] if text[:1].strip()), ""), lines, at)
        for lines in found
        for at, line in enumerate(lines)
        if line.startswith("Traceback")
    ]
    different = {last: "\n".join(lines[max(at - 1, 0) : at + 40]) for last, lines, at in heads}
    return list(different.values())


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--quick", action="store_true", help="a part, in less than a minute")
    parser.add_argument("--seed", type=int, default=20261123)
    chosen = parser.parse_args()
    figures: dict[str, Any] = run(
        count=BODIES_QUICK if chosen.quick else BODIES,
        cuts=CUTS_QUICK if chosen.quick else CUTS,
        seed=chosen.seed,
    )
    conclude(figures)


if __name__ == "__main__":
    main()
