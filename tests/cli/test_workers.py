"""Several workers on one port, with a keeper: real processes, killed for real."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served

ASK = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
CHAT = "/api/v1/chat/completions"


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream(tokens=2) as fake:
        yield fake


@pytest.fixture
def gateway(
    tmp_path: Path, upstream: FakeUpstream, smol_path: Path, models_folder: Path
) -> Iterator[Served]:
    assert smol_path.is_file()
    environ = {"GLASSLIPPER_MODELS": str(models_folder)}
    with Served(tmp_path / "home", "--workers", "2", environ=environ) as served:
        served.add_model("fake/one", upstream.url, upstream_model="fake")
        yield served


def children(pid: int) -> dict[int, str]:
    """Return the children of a process: worker, keeper, or what else."""
    found: dict[int, str] = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
        line = Path(f"/proc/{child}/cmdline").read_bytes()
        kind = "keeper" if b"cli.keeper" in line else "worker" if b"cli.worker" in line else "other"
        found[int(child)] = kind
    return found


def of(gateway: Served, kind: str) -> set[int]:
    return {pid for pid, found in children(gateway.pid).items() if found == kind}


def ask(gateway: Served, model: str = "fake/one") -> tuple[int, dict[str, Any]]:
    return gateway.call("POST", CHAT, {"model": model, **ASK}, key=gateway.key)


def eventually(check: Callable[[], Any], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").split()[2] == "Z"
    except FileNotFoundError:
        return True


def test_workers_share_the_port_the_books_and_one_engine(gateway: Served) -> None:
    assert len(of(gateway, "worker")) == 2
    assert len(of(gateway, "keeper")) == 1
    for _ in range(40):
        assert ask(gateway)[0] == 200
    _, key = gateway.call("GET", "/api/v1/key", key=gateway.key)
    eventually(
        lambda: gateway.call("GET", "/api/v1/key", key=gateway.key)[1]["data"]["generations"] == 40
    )
    assert key["data"]["id"]
    answers = [ask(gateway, "local/smol") for _ in range(4)]
    assert {status for status, _ in answers} == {200}
    assert all(answer["usage"]["completion_tokens"] for _, answer in answers)


def test_what_one_worker_is_told_of_all_of_them_know(
    gateway: Served, upstream: FakeUpstream
) -> None:
    gateway.add_model("fake/two", upstream.url, upstream_model="fake")
    assert {ask(gateway, "fake/two")[0] for _ in range(12)} == {200}
    assert gateway.call("DELETE", "/api/v1/admin/models/fake/two")[0] == 200
    eventually(lambda: {ask(gateway, "fake/two")[0] for _ in range(12)} == {404})


def test_a_key_that_one_worker_disables_works_with_none_of_them_from_then_on(
    gateway: Served,
) -> None:
    key = gateway.make_key("goes and comes")
    identity = gateway.call("GET", "/api/v1/key", key=key)[1]["data"]["id"]

    def statuses() -> set[int]:
        body = {"model": "fake/one", **ASK}
        return {gateway.call("POST", CHAT, body, key=key)[0] for _ in range(12)}

    for _ in range(3):
        assert statuses() == {200}
        gateway.call("PATCH", f"/api/v1/keys/{identity}", {"disabled": True})
        assert statuses() == {401}
        gateway.call("PATCH", f"/api/v1/keys/{identity}", {"disabled": False})


def test_a_worker_that_dies_is_started_again_and_another_serves_meanwhile(gateway: Served) -> None:
    before = of(gateway, "worker")
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: is_gone(victim))
    assert {ask(gateway)[0] for _ in range(10)} == {200}
    eventually(lambda: len(of(gateway, "worker")) == 2 and victim not in of(gateway, "worker"))
    assert before & of(gateway, "worker")


def test_a_keeper_that_dies_takes_no_worker_along_and_comes_back(gateway: Served) -> None:
    assert ask(gateway, "local/smol")[0] == 200
    workers = of(gateway, "worker")
    (keeper,) = of(gateway, "keeper")
    os.kill(keeper, signal.SIGKILL)
    eventually(lambda: of(gateway, "keeper") and keeper not in of(gateway, "keeper"))
    eventually(lambda: ask(gateway, "local/smol")[0] == 200)
    assert of(gateway, "worker") == workers


def test_all_of_them_end_in_good_order_when_told(gateway: Served) -> None:
    family = set(children(gateway.pid))
    assert ask(gateway)[0] == 200
    assert gateway.stop() == 0
    assert all(is_gone(pid) for pid in family)
    assert not list((gateway.home / "servers").glob("*.json"))


def test_nobody_outlives_the_one_who_started_them(gateway: Served) -> None:
    family = set(children(gateway.pid))
    assert len(family) == 3
    gateway.kill()
    eventually(lambda: all(is_gone(pid) for pid in family))
