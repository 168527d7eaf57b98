"""Rules that another model answers a workload: a real gateway, two scripted providers."""

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served

DEAR, CHEAP = "lab/dear", "lab/cheap"
RULES = "/api/v1/admin/routes"
SYSTEM = "Translate into German."


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream(tokens=4) as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: FakeUpstream) -> Iterator[Served]:
    environ = {"GLASSLIPPER_MODELS": str(tmp_path_factory.mktemp("models"))}
    with Served(tmp_path_factory.mktemp("home"), environ=environ) as served:
        served.add_model(DEAR, upstream.url, upstream_model="fake")
        served.add_model(CHEAP, upstream.url, upstream_model="fake-small")
        yield served


@pytest.fixture(autouse=True)
def no_rules_left(gateway: Served) -> Iterator[None]:
    yield
    for rule in gateway.call("GET", RULES)[1]["data"]:
        assert gateway.call("DELETE", f"{RULES}/{rule['id']}")[0] == 200


def ask(
    gateway: Served,
    *,
    key: str | None = None,
    system: str = SYSTEM,
    model: str = DEAR,
    headers: dict[str, str] | None = None,
    **more: object,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Ask for the dear model; return the generation's record and the answer's headers."""
    turns = [{"role": "system", "content": system}, {"role": "user", "content": "hi"}]
    body = {"model": model, "messages": turns, **more}
    connection = http.client.HTTPConnection(gateway.host, timeout=30)
    try:
        sent = {"Authorization": f"Bearer {key or gateway.key}", "X-Title": "shop"}
        connection.request(
            "POST", "/api/v1/chat/completions", json.dumps(body), sent | (headers or {})
        )
        reply = connection.getresponse()
        content = reply.read()
        assert reply.status == 200, content
        told = {name.lower(): value for name, value in reply.getheaders()}
    finally:
        connection.close()
    status, found = gateway.call("GET", f"/api/v1/generation?id={told['x-generation-id']}")
    assert status == 200
    return found["data"], told


def workload(gateway: Served, record: dict[str, Any]) -> str:
    """Return the workload of a generation, as a study would name it."""
    from glasslipper.ledger.read.scan import Lake

    with Lake(gateway.home) as lake:
        rows = lake.rows("SELECT workload FROM generations WHERE id = ?", (record["id"],))
    return str(rows[0][0])


def let(gateway: Served, of: str, *, to: str = CHEAP, **more: object) -> str:
    status, answer = gateway.call("POST", RULES, {"workloads": [of], "to": to, **more})
    assert status == 201, answer
    return answer["data"][0]["id"]


def test_a_rule_lets_another_model_answer_its_workload_and_says_so(gateway: Served) -> None:
    before, told = ask(gateway)
    assert (before["model"], "x-rerouted-by" in told) == (DEAR, False)
    rule = let(gateway, workload(gateway, before), **{"from": DEAR})
    after, told = ask(gateway)
    assert after["model"] == CHEAP
    assert after["model_requested"] == DEAR
    assert (told["x-rerouted-by"], told["x-rerouted-from"]) == (rule, DEAR)
    first = next(one for one in after["candidates"] if one["propensity"] == 1.0)
    assert rule in first["why"]
    assert DEAR in first["why"]


def test_a_rule_holds_for_streams_and_from_the_next_request_on(gateway: Served) -> None:
    for _ in range(3):
        before, _ = ask(gateway)  # whatever can be remembered about this client is
    rule = let(gateway, workload(gateway, before))
    assert ask(gateway)[0]["model"] == CHEAP
    assert ask(gateway, stream=True)[0]["model"] == CHEAP
    assert gateway.call("DELETE", f"{RULES}/{rule}")[0] == 200
    assert ask(gateway)[0]["model"] == DEAR


def test_other_system_prompts_other_apps_and_other_keys_are_left_alone(gateway: Served) -> None:
    other = gateway.make_key("other")
    before, _ = ask(gateway)
    let(gateway, workload(gateway, before))
    assert ask(gateway, system="Tell a joke.")[0]["model"] == DEAR
    assert ask(gateway, headers={"X-Title": "blog"})[0]["model"] == DEAR
    assert ask(gateway, key=other)[0]["model"] == DEAR
    assert ask(gateway)[0]["model"] == CHEAP


def test_a_client_may_opt_out_and_other_models_are_left_alone(
    gateway: Served, upstream: FakeUpstream
) -> None:
    gateway.add_model("lab/third", upstream.url, upstream_model="fake")
    before, _ = ask(gateway)
    let(gateway, workload(gateway, before), **{"from": DEAR})
    assert ask(gateway, headers={"X-Reroute": "off"})[0]["model"] == DEAR
    assert ask(gateway, model="lab/third")[0]["model"] == "lab/third"
    assert ask(gateway, model=f"{DEAR}:floor")[0]["model"] == CHEAP


def test_where_the_other_model_cannot_the_one_asked_for_answers(gateway: Served) -> None:
    before, _ = ask(gateway)
    gateway.add_model("lab/broken", "http://127.0.0.1:9/v1", upstream_model="fake")
    let(gateway, workload(gateway, before), to="lab/broken")
    record, told = ask(gateway)
    assert (record["model"], record["model_requested"]) == (DEAR, DEAR)
    assert [attempt["status"] for attempt in record["attempts"]] == ["error", "ok"]
    assert "x-rerouted-by" not in told
    assert gateway.call("DELETE", "/api/v1/admin/models/lab/broken")[0] == 200
    record, _ = ask(gateway)
    assert (record["model"], len(record["attempts"])) == (DEAR, 1)


def test_a_rule_is_kept_over_a_restart(
    tmp_path_factory: pytest.TempPathFactory, upstream: FakeUpstream
) -> None:
    home = tmp_path_factory.mktemp("again")
    environ = {"GLASSLIPPER_MODELS": str(tmp_path_factory.mktemp("models"))}
    served = Served(home, environ=environ)
    with served:
        served.add_model(DEAR, upstream.url, upstream_model="fake")
        served.add_model(CHEAP, upstream.url, upstream_model="fake-small")
        key = served.make_key("mine")
        record, _ = ask(served, key=key)
        let(served, workload(served, record))
    with served:
        assert ask(served, key=key)[0]["model"] == CHEAP


def test_every_worker_knows_of_a_new_rule_within_seconds(
    tmp_path_factory: pytest.TempPathFactory, upstream: FakeUpstream
) -> None:
    environ = {"GLASSLIPPER_MODELS": str(tmp_path_factory.mktemp("models"))}
    with Served(tmp_path_factory.mktemp("many"), "--workers", "2", environ=environ) as served:
        served.add_model(DEAR, upstream.url, upstream_model="fake")
        served.add_model(CHEAP, upstream.url, upstream_model="fake-small")
        record, _ = ask(served)
        let(served, workload(served, record))
        deadline = time.monotonic() + 30
        while {ask(served)[0]["model"] for _ in range(12)} != {CHEAP}:
            assert time.monotonic() < deadline, "a worker does not know the rule"


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"workloads": ["key-none//"], "to": CHEAP}, 404),
        ({"workloads": ["no workload"], "to": CHEAP}, 400),
        ({"workloads": [], "to": CHEAP}, 400),
        ({"workloads": ["a//b"], "to": "lab/nowhere"}, 404),
        ({"workloads": ["a//b"], "to": CHEAP, "from": CHEAP}, 400),
        ({"to": CHEAP}, 400),
    ],
)
def test_a_rule_that_could_never_work_is_refused(
    gateway: Served, wish: dict[str, Any], status: int
) -> None:
    assert gateway.call("POST", RULES, wish)[0] == status
    assert gateway.call("GET", RULES)[1]["data"] == []


def test_all_workloads_of_a_wish_are_rerouted_or_none(gateway: Served) -> None:
    before, _ = ask(gateway)
    wish = {"workloads": [workload(gateway, before), "key-none//"], "to": CHEAP}
    assert gateway.call("POST", RULES, wish)[0] == 404
    assert gateway.call("GET", RULES)[1]["data"] == []


def test_only_managers_make_rules(gateway: Served) -> None:
    plain = gateway.make_key("plain")
    assert gateway.call("GET", RULES, key=plain)[0] == 403
    assert gateway.call("POST", RULES, {"workloads": ["a//b"], "to": CHEAP}, key=plain)[0] == 403
