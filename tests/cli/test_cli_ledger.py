"""`glasslipper ledger`, with a server on the home and without one."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from glasslipper.ledger.write.seal import When
from glasslipper.ledger.write.sealing import Sealing
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served

CSV = """\
generation_id,created_at,cost_total,tokens_prompt,tokens_completion,model_permaslug,provider_name
gen-1,2026-11-20 02:37:51.271,0.25,1000,200,openai/gpt-5,OpenAI
gen-2,2026-11-20 02:38:51.271,0.5,1000,200,openai/gpt-5,OpenAI
"""


def test_an_empty_home_verifies_seals_and_exports_nothing(cli: Any) -> None:
    assert cli.json("ledger", "verify")["holds"] is True
    assert cli.json("ledger", "seal") == {"data": []}
    assert cli.ok("ledger", "export", "-") == ""


def test_calls_are_imported_once_shown_and_exported_again(cli: Any, tmp_path: Path) -> None:
    file = tmp_path / "activity.csv"
    file.write_text(CSV, encoding="utf-8")
    assert cli.json("ledger", "import", "openrouter", str(file)) == {
        "read": 2,
        "added": 2,
        "late_facts_added": 0,
        "unfinished": 0,
    }
    assert cli.json("ledger", "import", "openrouter", str(file))["added"] == 0
    spent = cli.json("spend", "--by", "model")["data"]
    assert [(one["group"], one["charged_nanousd"]) for one in spent] == [
        ("openai/gpt-5", 750_000_000)
    ]
    lines = cli.ok("ledger", "export", "-").splitlines()
    assert [json.loads(line)["generation"]["id"] for line in lines] == [
        "openrouter-gen-1",
        "openrouter-gen-2",
    ]
    out = tmp_path / "out"
    assert cli.json("ledger", "export", "--parquet", str(out))["generations"] == 2
    assert sorted(path.name for path in out.iterdir()) == [
        "attempts.parquet",
        "candidates.parquet",
        "generations.parquet",
        "late_facts.parquet",
    ]


def test_what_cannot_be_read_or_written_is_told(cli: Any, tmp_path: Path) -> None:
    missing = cli.error("ledger", "import", "litellm", str(tmp_path / "none.json"))
    assert "is not there" in missing["message"]
    (tmp_path / "no").write_text("folder", encoding="utf-8")
    told = cli.error("ledger", "export", str(tmp_path / "no" / "f"))["message"]
    assert "failed: [Errno" in told
    assert cli.run("ledger", "import", "word", "x").returncode == 2

    torn = tmp_path / "torn.jsonl"
    torn.write_text('{"generation":', encoding="utf-8")
    found = cli.error("ledger", "import", "glasslipper", str(torn))
    assert "torn.jsonl, line 1" in found["message"]
    assert "what `glasslipper` means" in found["hint"]
    parquet = cli.error("ledger", "export", str(tmp_path / "calls.parquet"))
    assert "--parquet" in parquet["hint"]


def test_sealing_under_a_running_server_changes_nothing_that_can_be_read(
    cli_at: Any, tmp_path: Path
) -> None:
    with FakeUpstream() as upstream, Served(tmp_path / "home") as served:
        cli = cli_at(tmp_path / "home", tmp_path / "models")
        served.add_model("fake/plain", upstream.url, upstream_model="fake")
        key = served.make_key("k")
        body = {"model": "fake/plain", "messages": [{"role": "user", "content": "hi"}]}
        ids = [served.call("POST", "/v1/chat/completions", body, key=key)[1]["id"] for _ in "abc"]

        def seen() -> tuple[object, ...]:
            shown = [served.call("GET", f"/v1/generation?id={one}", key=key) for one in ids]
            judged = {"generation_id": ids[0], "reward": 1.0}
            status, _ = served.call("POST", "/v1/generation/feedback", judged, key=key)
            return shown, status, cli.json("spend", "--by", "key")

        before = seen()
        (made,) = cli.json("ledger", "seal")["data"]
        assert made["generations"] == 3
        assert seen() == before
        verdict = cli.json("ledger", "verify")
        assert (verdict["holds"], verdict["generations"], verdict["segments"]) == (True, 3, 1)
        ids += [served.call("POST", "/v1/chat/completions", body, key=key)[1]["id"]]
        assert cli.json("ledger", "verify")["generations"] == 4
    assert len(cli.json("ledger", "seal")["data"]) == 1
    assert cli.json("ledger", "verify")["holds"] is True


def test_verify_ends_with_status_1_where_something_differs(cli: Any, tmp_path: Path) -> None:
    file = tmp_path / "activity.csv"
    file.write_text(CSV, encoding="utf-8")
    cli.ok("ledger", "import", "openrouter", str(file))
    (rows,) = cli.home.glob("lake/*/*/generations.parquet")
    rows.write_bytes(rows.read_bytes()[:-1] + b"x")
    done = cli.run("ledger", "verify")
    assert done.returncode == 1
    assert "has other bytes than were sealed" in done.stdout
    assert "not everything adds up" in done.stderr


@pytest.mark.timeout(60)
def test_a_server_has_finished_windows_sealed_by_itself(cli_at: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with FakeUpstream() as upstream, Served(home) as served:
        served.add_model("fake/plain", upstream.url, upstream_model="fake")
        key = served.make_key("k")
        body = {"model": "fake/plain", "messages": [{"role": "user", "content": "hi"}]}
        assert served.call("POST", "/v1/chat/completions", body, key=key)[0] == 200
        # A second server on the same home, with less patience than one has by default.
        with Sealing(home, when=When(rows=1, after_ms=0, leave_ms=0), every_s=0.1):
            until = time.monotonic() + 30
            while not list(home.glob("lake/*/*/manifest.json")):
                assert time.monotonic() < until
                time.sleep(0.05)
        cli = cli_at(home, tmp_path / "models")
        assert cli.json("spend", "--by", "model")["data"][0]["generations"] == 1
        assert cli.json("ledger", "verify")["holds"] is True


def billed(cli: Any, tmp_path: Path, source: str, result: dict[str, object]) -> int:
    """Import one day's usage into a home of its own; return what it is taken to have cost."""
    began = {"start_time": 1_763_596_800, "starting_at": "2025-11-20T00:00:00Z"}
    file = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
    file.write_text(json.dumps({"data": [{**began, "results": [result]}]}), encoding="utf-8")
    alone = {"GLASSLIPPER_HOME": str(file.with_suffix(""))}
    assert cli.run("ledger", "import", source, str(file), environ=alone).returncode == 0
    exported = cli.run("ledger", "export", "-", environ=alone).stdout
    return json.loads(exported)["generation"].get("billed_nanousd", 0)


def test_a_dated_version_of_a_model_costs_what_the_model_costs(cli: Any, tmp_path: Path) -> None:
    one = {"num_model_requests": 1, "input_tokens": 1_000_000, "output_tokens": 1_000}
    plain, dated = (
        billed(cli, tmp_path, "openai", {**one, "model": model})
        for model in ("gpt-5", "gpt-5-2025-08-07")
    )
    assert plain == dated > 0


def test_a_day_of_short_prompts_is_not_priced_as_one_long_prompt(cli: Any, tmp_path: Path) -> None:
    day = {"model": "claude-sonnet-4-5-20250929", "output_tokens": 0}

    def costs(tokens: int, window: str | None) -> int:
        told = {**day, "uncached_input_tokens": tokens, "context_window": window}
        return billed(cli, tmp_path, "anthropic", told)

    short, day_of_short = costs(1_000, "0-200k"), costs(1_000_000, "0-200k")
    assert costs(1_000_000, None) == day_of_short == 1_000 * short
    assert costs(1_000_000, "200k-1M") == costs(1_000_000, "> 200k") > day_of_short
