"""Comparisons of answers: noted beside the record, by whoever may see it."""

from collections.abc import Iterator
from typing import Any

import pytest

from glasslipper.ledger.read.scan import Lake
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served

PATH = "/api/v1/generation/comparison"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    environ = {"GLASSLIPPER_MODELS": str(tmp_path_factory.mktemp("models"))}
    home = tmp_path_factory.mktemp("home")
    with FakeUpstream() as upstream, Served(home, environ=environ) as served:
        served.add_model("lab/one", upstream.url, upstream_model="fake")
        yield served


@pytest.fixture(scope="module")
def generation(gateway: Served) -> str:
    body = {"model": "lab/one", "messages": [{"role": "user", "content": "hi"}]}
    status, answer = gateway.call("POST", "/api/v1/chat/completions", body, key=gateway.key)
    assert status == 200
    return answer["id"]


def test_a_comparison_is_a_row_of_its_own(gateway: Served, generation: str) -> None:
    said = {"generation_id": generation, "model": "lab/two", "better": "other", "judged_by": "me"}
    assert gateway.call("POST", PATH, said, key=gateway.key)[0] == 201
    with Lake(gateway.home) as lake:
        rows = lake.rows("SELECT generation_id, other, better, judged_by FROM comparisons")
        rewards = lake.rows("SELECT count(*) FROM feedback")
    assert rows == [(generation, "lab/two", "other", "me")]
    assert rewards == [(0,)]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"better": "both"}, 400),
        ({"model": ""}, 400),
        ({"model": "x" * 300}, 400),
        ({"generation_id": "gen-none"}, 404),
    ],
)
def test_what_says_nothing_is_refused(
    gateway: Served, generation: str, change: dict[str, Any], status: int
) -> None:
    said = {"generation_id": generation, "model": "lab/two", "better": "this"} | change
    assert gateway.call("POST", PATH, said, key=gateway.key)[0] == status


def test_another_key_may_not_compare(gateway: Served, generation: str) -> None:
    said = {"generation_id": generation, "model": "lab/two", "better": "this"}
    assert gateway.call("POST", PATH, said, key=gateway.make_key("other"))[0] == 404
