"""`glasslipper/auto` at its bounds: short money, tools that hang, policies that fail."""

from __future__ import annotations

import json
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

from glasslipper.puppeteer import versions
from glasslipper.puppeteer.linear import FEATURES, Card, Linear
from glasslipper.puppeteer.turns import Puppet
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served
from sdk_clients import openai_client

HANGS = "import time; time.sleep(600)"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("home")
    command = json.dumps([sys.executable, "-c", HANGS])
    (home / "settings.toml").write_text(f"[tools.it]\ncommand = {command}\n", encoding="utf-8")
    environ = {"GLASSLIPPER_MODELS": str(home / "none")}
    with FakeUpstream() as upstream, Served(home, environ=environ) as served:
        for name, words, price in (("good/cheap", "7", "1"), ("good/dear", "7", "10")):
            served.add_model(
                name,
                upstream.url,
                upstream_model=f"fake?text={words}",
                price_in=price,
                price_out=price,
            )
        status, _ = served.call(
            "POST",
            "/api/v1/admin/models",
            {"id": "new/unpriced", "url": upstream.url, "upstream_model": "fake?text=8"},
        )
        assert status == 201
        yield served


def ask(
    gateway: Served, key: str | None = None, model: str = "glasslipper/auto", **auto: Any
) -> Any:
    return openai_client(gateway, key).chat.completions.create(
        model="glasslipper/auto",
        messages=[{"role": "user", "content": "What is 3 + 4?"}],
        extra_body={"auto": auto},
    )


def policies(gateway: Served) -> Path:
    return gateway.home / "puppeteer"


def taught(gateway: Served, name: str, *puppets: Puppet) -> None:
    weights = np.zeros((len(puppets) + 1, len(FEATURES)))
    weights[:, 0] = [len(puppets) - place for place in range(len(puppets))] + [-9.0]
    policy = Linear(puppets, weights, card=Card(policy=name), most_turns=9)
    policy.save(policies(gateway) / f"{name}.json")
    versions.promote(policies(gateway), f"{name}.json")
    time.sleep(0.7)  # servers look twice a second


@pytest.fixture(autouse=True)
def _untaught(gateway: Served) -> Iterator[None]:
    yield
    (policies(gateway) / versions.FILE).unlink(missing_ok=True)
    time.sleep(0.7)


@pytest.mark.parametrize("allow", [["good/*"], ["*"]])
def test_short_money_goes_to_whom_it_pays_for(gateway: Served, allow: list[str]) -> None:
    answer = ask(gateway, allow=allow, dial=10, max_calls=1, max_cost_usd=0.0002)
    assert answer.model == "good/cheap"
    assert answer.choices[0].finish_reason == "stop"
    with pytest.raises(openai.APIStatusError, match="does not pay") as told:
        ask(gateway, allow=["good/*"], max_cost_usd=0.000001)
    assert told.value.status_code == 402
    with pytest.raises(openai.APIStatusError, match="price"):
        ask(gateway, allow=["new/*"], max_cost_usd=1)


def test_a_budget_below_the_cap_shortens_the_answer_as_it_does_without_a_cap(
    gateway: Served,
) -> None:
    key = gateway.make_key("pocket money", limit=0.0005)
    assert ask(gateway, key, allow=["good/cheap"], max_cost_usd=0.01).model == "good/cheap"


def test_tools_that_hang_take_no_more_than_the_time_there_is(gateway: Served) -> None:
    taught(
        gateway, "toolish", Puppet(model="good/cheap", pattern="tool"), Puppet(model="good/dear")
    )
    began_s = time.monotonic()
    answer = ask(gateway, allow=["good/*"], max_latency_ms=20_000)
    assert time.monotonic() - began_s < 30
    assert answer.choices[0].message.content == "7"


def test_a_file_that_is_no_policy_costs_nobody_an_answer(gateway: Served) -> None:
    folder = policies(gateway)
    folder.mkdir(exist_ok=True)
    np.savez_compressed(folder / "cut.npz", about=np.array("{}"), some=np.arange(9999))
    damaged = bytearray((folder / "cut.npz").read_bytes())
    damaged[80:200] = b"\xff" * 120
    (folder / "cut.npz").write_bytes(bytes(damaged))
    np.savez(folder / "pickled.npz", about=np.array([{"a": 1}], dtype=object))
    with zipfile.ZipFile(folder / "huge.npz", "w") as file:
        shape = b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d,), }\n" % 10**15
        file.writestr("about.npy", b"\x93NUMPY\x01\x00" + len(shape).to_bytes(2, "little") + shape)
    (folder / "deep.json").write_text("[" * 200_000, encoding="utf-8")
    (folder / "ragged.json").write_text('{"kind":"linear"}', encoding="utf-8")
    for text in ('{"format":99,"running":"cut.npz"}', '{"running":"cut.npz"}', "nothing"):
        (folder / versions.FILE).write_text(text, encoding="utf-8")
        time.sleep(0.7)
        assert ask(gateway, allow=["good/cheap"]).model_extra["glasslipper"]["policy"] == "ladder.1"
    for path in folder.iterdir():
        path.unlink()


def test_where_a_policy_has_nobody_to_ask_the_rule_serves(gateway: Served) -> None:
    taught(gateway, "lost", Puppet(model="good/dear"))
    told = ask(gateway, allow=["good/*"], max_cost_usd=0.0002).model_extra["glasslipper"]
    assert (told["model"], told["policy"]) == ("good/cheap", "ladder.1")
