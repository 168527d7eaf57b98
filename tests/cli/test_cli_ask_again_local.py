"""Stored prompts asked again of the real local model, up to the rule that lets it answer."""

import json
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glasslipper.ledger.read.scan import Lake
from glasslipper.report.sections.overpaying import FEWEST
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served

pytestmark = pytest.mark.timeout(900)
"""Forty answers of a real model, on a machine that may be busy with other tests."""

SYSTEM = "You answer with a small JSON object."
FEW = 4


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory,
    smol_path: Path,
    vector_paths: tuple[Path, Path],
    upstream: FakeUpstream,
    cli_at: Any,
) -> Iterator[Served]:
    """A gateway with `local/smol` and a dear model that answers in prose, whatever is asked for."""
    home = tmp_path_factory.mktemp("again") / "home"
    assert vector_paths[0].parent == smol_path.parent
    environ = cli_at(home, smol_path.parent).environ | {
        "GLASSLIPPER_CLASSIFY": "true",
        "GLASSLIPPER_KEEP_PROMPTS": "1",
    }
    with Served(home, environ=environ) as served:
        prose = "fake?text=There are four of them."
        served.add_model(
            "lab/dear", upstream.url, upstream_model=prose, price_in="10", price_out="30"
        )
        yield served


@pytest.fixture
def there(gateway: Served, smol_path: Path, cli_at: Any) -> Any:
    return cli_at(gateway.home, smol_path.parent)


def ask(gateway: Served, number: int, **more: object) -> dict[str, Any]:
    text = f'How many wheels have {number} bicycles? Answer like {{"wheels": 4}}'
    turns = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
    body = {"model": "lab/dear", "messages": turns, "max_tokens": 32, **more}
    status, answer = gateway.call("POST", "/api/v1/chat/completions", body, key=gateway.key)
    assert status == 200, answer
    return answer


def workload_of(gateway: Served, kept: int, *, has_system_prompt: bool) -> str:
    """Return the workload of one sort, once so many of its prompts are kept."""
    deadline = time.monotonic() + 120
    while True:
        with Lake(gateway.home) as lake:
            found = lake.rows(
                "SELECT g.workload, count(*) FROM late_facts AS f JOIN generations AS g"
                " ON f.generation_id = g.id WHERE f.kind = 'prompt' AND g.app IS NULL"
                " AND g.model_used = 'lab/dear' GROUP BY g.workload"
            )
        for named, count in found:
            if str(named).endswith("/") != has_system_prompt and count >= kept:
                return str(named)
        assert time.monotonic() < deadline
        time.sleep(0.2)


def ask_again(there: Any, workload: str, *more: str) -> dict[str, Any]:
    line = there.command("report", "ask-again", "--workload", workload, "--json", *more)
    done = subprocess.run(line, capture_output=True, env=there.environ, timeout=800, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_the_local_model_suffices_where_it_does_what_was_asked_and_then_answers(
    gateway: Served, there: Any
) -> None:
    for number in range(1, FEWEST + 1):
        ask(gateway, number, response_format={"type": "json_object"})
    workload = workload_of(gateway, FEWEST, has_system_prompt=True)

    few = ask_again(there, workload, "--to", "local/smol", "--sample", str(FEW))
    assert (few["asked"], few["suffices"], few["command"]) == (FEW, False, "")

    rest = ask_again(there, workload, "--to", "local/smol")
    assert (rest["main"], few["asked"] + rest["asked"]) == ("lab/dear", FEWEST)
    assert rest["better"] > rest["asked"] * 0.9  # it writes JSON; the dear one never does
    behind = rest["verdict"]["behind"]
    assert -1 <= behind["low"] < behind["value"] <= behind["high"] <= 1
    assert behind["low"] > 0
    assert not rest["suffices"], "this run alone is too small to say; the report counts both"

    told = there.json("report")
    overpaying = next(one for one in told["sections"] if one["id"] == "overpaying")
    assert "local/smol" in str(overpaying["findings"]["found"])
    program, *command = shlex.split(overpaying["command"])
    assert (program, command[:2]) == ("glasslipper", ["route", "add"])
    there.json(*command)
    answer = ask(gateway, 3, response_format={"type": "json_object"})
    assert answer["model"] == "local/smol"
    assert "wheels" in json.loads(answer["choices"][0]["message"]["content"])


def test_without_a_judge_the_local_model_is_behind_where_its_words_differ(
    gateway: Served, there: Any
) -> None:
    model = "lab/dear"
    for number in range(1, FEW + 1):
        ask(gateway, number, model=model, messages=[{"role": "user", "content": f"Hi {number}"}])
    workload = workload_of(gateway, FEW, has_system_prompt=False)
    found = ask_again(there, workload, "--to", "local/smol")
    assert (found["asked"], found["worse"]) == (FEW, FEW)
    assert found["verdict"]["behind"]["value"] == -1
    assert not found["suffices"]
