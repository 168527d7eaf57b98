"""Records carried out of the ledger and into it: nothing is lost, and nothing counts twice."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path

import pytest
from recording import NOON_MS, bare, fact, make_key, note, plain, record, rescued

from glasslipper.kernel.errors import InvalidRequest, StoreBusy
from glasslipper.kernel.money import Price
from glasslipper.ledger.imports import FORMATS
from glasslipper.ledger.read import LedgerHistory
from glasslipper.ledger.read.export import Span, write_lines, write_parquet
from glasslipper.ledger.read.scan import Lake
from glasslipper.ledger.read.verify import verify
from glasslipper.ledger.write import Ledger, seal
from glasslipper.ledger.write.importing import take_over
from glasslipper.store.database import Database
from glasslipper.store.duck import Duck

LATER_S = 1_830_297_600
"""When the files were written, in Unix seconds: after all that is in them."""
TOPIC = {"task": "legal", "language": "de", "confidence": 0.5, "classifier": "c/1"}
PRICES = {"gpt-5": Price(input=1_000_000, output=2_000_000, cache_read=500_000)}


def priced(provider: str, model: str, when_ms: int, prompt_tokens: int) -> Price | None:
    del provider, when_ms, prompt_tokens
    return PRICES.get(model)


def bring(home: Path, source: str, content: str | bytes, name: str = "export") -> tuple[int, int]:
    """Import a file with this content; return how many rows were read and how many added."""
    path = home.parent / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    os.utime(path, (LATER_S, LATER_S))
    done = take_over(home, source, FORMATS[source](path, priced))
    return done.read, done.added


def asked(home: Path, sql: str) -> list[tuple[object, ...]]:
    with Lake(home, threads=1) as lake:
        return lake.rows(sql)


def test_what_is_exported_and_imported_is_the_same_ledger(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with Ledger(here) as ledger:
        account = make_key(ledger)
        made = [plain(account), rescued(account), bare(account)]
        record(ledger, *made[:2])
        note(ledger, fact(made[0], "topic", TOPIC), fact(made[1], "feedback", {"reward": 0.5}))
        seal.seal(here, seal.NOW)
        record(ledger, made[2])
    lines = tmp_path / "calls.jsonl"
    with lines.open("wb") as out:
        done = write_lines(here, out, Span())
    assert (done.generations, done.late_facts) == (3, 2)
    packed = gzip.compress(lines.read_bytes())
    for _ in range(2):
        bring(there, "glasslipper", packed)
    history = LedgerHistory(there)
    assert sorted(history.generations(), key=lambda one: one.id) == sorted(
        made, key=lambda one: one.id
    )
    history.close()
    for sql in (
        "SELECT id, task, language, classifier, task_confidence FROM generations ORDER BY id",
        "SELECT id, reward FROM feedback ORDER BY id",
        "SELECT * FROM attempts ORDER BY id",
        "SELECT task, sum(requests), sum(charged_nanousd) FROM usage_daily GROUP BY 1 ORDER BY 1",
    ):
        assert asked(there, sql) == asked(here, sql)
    again = tmp_path / "again.jsonl"
    with again.open("wb") as out:
        write_lines(there, out, Span())
    assert sorted(again.read_bytes().split()) == sorted(lines.read_bytes().split())
    assert verify(there).holds


def test_an_export_can_be_of_a_span(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Ledger(home) as ledger:
        account = make_key(ledger)
        record(ledger, plain(account), plain(account, created_ms=NOON_MS + 10_000))
    path = tmp_path / "calls.jsonl"
    with path.open("wb") as out:
        assert write_lines(home, out, Span(since_ms=NOON_MS + 1)).generations == 1


def test_parquet_files_hold_what_studies_see(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Ledger(home) as ledger:
        account = make_key(ledger)
        about = plain(account)
        record(ledger, about, rescued(account))
        said = {"generation_id": None, "session_id": "ses-1"}
        note(ledger, fact(about, "feedback", {"reward": 1.0}, **said))
        seal.seal(home, seal.NOW)
        record(ledger, bare(account))
    done = write_parquet(home, tmp_path / "out", Span())
    assert (done.generations, done.late_facts) == (3, 1)
    with Duck(threads=1) as duck:
        for table, rows in (("generations", 3), ("attempts", 3), ("candidates", 4)):
            path = tmp_path / "out" / f"{table}.parquet"
            assert duck.rows(f"SELECT count(*) FROM '{path}'") == [(rows,)]
            assert duck.names(f"SELECT * FROM '{path}'") == _names(home, table)


def _names(home: Path, table: str) -> list[str]:
    with Lake(home, threads=1) as lake:
        return lake.names(f"SELECT * FROM {table}")


OPENROUTER = """\
generation_id,created_at,cost_total,byok_usage_inference,tokens_prompt,tokens_completion,\
tokens_reasoning,tokens_cached,model_permaslug,provider_name,variant,cancelled,streamed,user,\
finish_reason_raw,finish_reason_normalized,generation_time_ms,time_to_first_token_ms,app_name,\
api_key_name
gen-1,2026-11-20 02:37:51.271,0.0123456789,0,1000,200,50,400,openai/gpt-5,OpenAI,standard,false,\
true,u1,tool_use,tool_calls,2000,300,ide,team key
gen-2,2026-11-20 03:00:00.000,0,0.5,10,0,0,0,openai/gpt-5,OpenAI,free,true,false,,,,100,,ide,
"""


def test_an_openrouter_activity_export_is_taken_over_to_the_nano_dollar(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert bring(home, "openrouter", OPENROUTER) == (2, 2)
    assert bring(home, "openrouter", OPENROUTER) == (2, 0)
    assert asked(
        home,
        """SELECT created_ms, key_id, model, provider, status, finish_reason, first_token_ms,
            duration_ms, usage_input, usage_cache_read, usage_output, usage_reasoning,
            charged_nanousd, billed_nanousd, app, "user", streamed, is_byok
        FROM generations ORDER BY id""",
    ) == [
        (1763606271271 + 365 * 86_400_000, "openrouter/team key", "openai/gpt-5", "OpenAI", "ok",
         "tool_calls", 300, 2000, 600, 400, 150, 50, 12_345_679, 12_345_679, "ide", "u1", True,
         False),
        (1763607600000 + 365 * 86_400_000, "openrouter", "openai/gpt-5:free", "OpenAI",
         "cancelled", None, None, 100, 10, 0, 0, 0, 0, 500_000_000, "ide", None, False, True),
    ]  # fmt: skip


def test_overlapping_exports_count_each_call_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    lines = OPENROUTER.splitlines(keepends=True)
    assert bring(home, "openrouter", "".join(lines[:2])) == (1, 1)
    assert bring(home, "openrouter", OPENROUTER + lines[1]) == (3, 1)
    assert asked(home, "SELECT count(*), sum(requests) FROM usage_daily") == [(2, 2)]
    assert verify(home).holds


LITELLM = [
    {
        "request_id": "chatcmpl-1",
        "call_type": "acompletion",
        "api_key": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05",
        "spend": 0.000041,
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "startTime": "2026-11-20T02:00:00.500000Z",
        "endTime": "2026-11-20T02:00:02.500000Z",
        "completionStartTime": "2026-11-20T02:00:01.000000Z",
        "model": "gpt-5",
        "model_group": "smart",
        "custom_llm_provider": "openai",
        "end_user": "u",
        "status": "success",
        "metadata": {
            "user_api_key_alias": "ci",
            "user_api_key_team_alias": "search",
            "additional_usage_values": {"prompt_tokens_details": {"cached_tokens": 30}},
        },
    },
    {
        "request_id": "failed-1",
        "call_type": "aembedding",
        "api_key": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05",
        "spend": 0,
        "startTime": "2026-11-20T02:00:00",
        "endTime": "2026-11-20T02:00:01",
        "model": "azure/ada",
        "status": "failure",
        "metadata": "{}",
    },
]


def test_litellm_spend_logs_are_taken_over_in_every_form(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps(one) for one in LITELLM)
    found = []
    for number, content in enumerate((json.dumps(LITELLM), lines, json.dumps({"data": LITELLM}))):
        home = tmp_path / f"home{number}"
        assert bring(home, "litellm", content) == (2, 2)
        assert bring(home, "litellm", content) == (2, 0)
        found.append(
            asked(
                home,
                """SELECT key_id, model, model_served, dialect, status, first_token_ms, duration_ms,
                    usage_input, usage_cache_read, usage_output, charged_nanousd, "user", labels
                FROM generations ORDER BY id""",
            )
        )
    assert found[0] == found[1] == found[2]
    assert found[0] == [
        ("litellm/ci", "smart", "openai/gpt-5", "chat", "ok", 500, 2000, 70, 30, 20, 41_000, "u",
         '{"team":"search"}'),
        ("litellm/88dc28d0f030", "azure/ada", "azure/ada", "embeddings", "error", None, 1000, 0, 0,
         0, 0, None, "{}"),
    ]  # fmt: skip


def test_langfuse_observations_are_taken_over_in_both_spellings(tmp_path: Path) -> None:
    camel = {
        "id": "obs-1",
        "type": "GENERATION",
        "traceId": "t1",
        "name": "answer",
        "startTime": "2026-11-20T02:00:00.000Z",
        "endTime": "2026-11-20T02:00:03.000Z",
        "completionStartTime": "2026-11-20T02:00:01.000Z",
        "model": "claude-sonnet-4-5",
        "usageDetails": {"input": 100, "input_cached_tokens": 40, "output": 7, "total": 147},
        "costDetails": {"input": 0.001, "total": 0.0015},
        "level": "DEFAULT",
        "metadata": {"ls_provider": "anthropic"},
    }
    snake = {
        "id": "obs-2",
        "type": "GENERATION",
        "trace_id": "t1",
        "start_time": "2026-11-20 02:00:00.000",
        "end_time": "2026-11-20 02:00:03.000",
        "provided_model_name": "gpt-5",
        "usage_details": json.dumps({"input": 9, "output": 1}),
        "total_cost": "0.25",
        "level": "ERROR",
    }
    span = {"id": "obs-3", "type": "SPAN", "startTime": "2026-11-20T02:00:00.000Z"}
    home = tmp_path / "home"
    assert bring(home, "langfuse", json.dumps({"data": [camel, span, snake]})) == (2, 2)
    assert asked(
        home,
        """SELECT model, status, session_id, first_token_ms, duration_ms, usage_input,
            usage_cache_read, usage_output, charged_nanousd FROM generations ORDER BY id""",
    ) == [
        ("anthropic/claude-sonnet-4-5", "ok", "t1", 1000, 3000, 100, 40, 7, 1_500_000),
        ("gpt-5", "error", "t1", None, 3000, 9, 0, 1, 250_000_000),
    ]


def test_costs_that_are_told_in_parts_only_are_summed(tmp_path: Path) -> None:
    parts = {
        "id": "obs-1",
        "startTime": "2026-11-20T02:00:00Z",
        "model": "gpt-5",
        "costDetails": {"input": 0.1, "output": "0.2"},
    }
    home = tmp_path / "home"
    assert bring(home, "langfuse", json.dumps([parts])) == (1, 1)
    assert asked(home, "SELECT billed_nanousd FROM generations") == [(300_000_000,)]


def test_buckets_that_differ_in_where_they_were_served_are_all_taken_over(tmp_path: Path) -> None:
    bucket = {"starting_at": "2026-11-20T00:00:00Z", "ending_at": "2026-11-21T00:00:00Z"}
    results = [
        {"model": "m", "uncached_input_tokens": 10, **more}
        for more in ({"inference_geo": "us"}, {"inference_geo": "eu"}, {"speed": "fast"})
    ]
    home = tmp_path / "home"
    content = json.dumps({"data": [{**bucket, "results": results}]})
    assert bring(home, "anthropic", content) == (3, 3)
    assert asked(home, "SELECT sum(usage_input)::BIGINT FROM generations") == [(30,)]


def test_an_openai_usage_export_counts_its_requests_and_shares_its_tokens_out(
    tmp_path: Path,
) -> None:
    result = {
        "input_tokens": 1000,
        "output_tokens": 500,
        "input_cached_tokens": 801,
        "num_model_requests": 3,
        "api_key_id": "key_1",
        "model": "gpt-5",
    }
    bucket = {"object": "bucket", "start_time": 1795132800, "end_time": 1795219200}
    page = {"object": "page", "data": [{**bucket, "results": [result]}], "has_more": False}
    home = tmp_path / "home"
    assert bring(home, "openai", json.dumps(page)) == (3, 3)
    assert bring(home, "openai", json.dumps(page)) == (3, 0)
    assert asked(
        home,
        """SELECT count(*), sum(usage_input), sum(usage_cache_read), sum(usage_output),
            min(estimated), min(model), min(key_id), min(created_ms), max(created_ms)
        FROM generations""",
    ) == [(3, 199, 801, 500, True, "openai/gpt-5", "openai/key_1", 1795132800000, 1795190400000)]
    ((charged,),) = asked(home, "SELECT sum(charged_nanousd) FROM generations")
    exact = (199 * 1_000_000 + 801 * 500_000 + 500 * 2_000_000) // 1_000_000
    assert exact <= charged <= exact + 3  # each request is rounded up, as it would have been


ANTHROPIC = """\
usage_date_utc,model_version,api_key,workspace,usage_type,context_window,\
usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,\
usage_input_tokens_cache_read,usage_output_tokens,web_search_count
2026-11-20,claude-sonnet-4-5,ci,Default,standard,≤ 200k,100,20,10,40,7,2
"""


def test_an_anthropic_usage_export_is_read_as_csv_and_as_json(tmp_path: Path) -> None:
    result = {
        "uncached_input_tokens": 100,
        "cache_creation": {"ephemeral_1h_input_tokens": 10, "ephemeral_5m_input_tokens": 20},
        "cache_read_input_tokens": 40,
        "output_tokens": 7,
        "server_tool_use": {"web_search_requests": 2},
        "api_key_id": "ci",
        "model": "claude-sonnet-4-5",
    }
    bucket = {"starting_at": "2026-11-20T00:00:00Z", "ending_at": "2026-11-21T00:00:00Z"}
    found = []
    for name, content in (
        ("csv", ANTHROPIC),
        ("json", json.dumps({"data": [{**bucket, "results": [result]}]})),
    ):
        home = tmp_path / name
        assert bring(home, "anthropic", content, f"export.{name}") == (1, 1)
        found.append(
            asked(
                home,
                """SELECT created_ms, key_id, model, usage_input, usage_cache_write,
                    usage_cache_write_1h, usage_cache_read, usage_output, usage_searches, estimated
                FROM generations""",
            )
        )
    assert found[0] == found[1]
    assert found[0][0][1:] == (
        "anthropic/ci", "anthropic/claude-sonnet-4-5", 100, 20, 10, 40, 7, 2, True,
    )  # fmt: skip


@pytest.mark.parametrize("source", ["openai", "anthropic"])
def test_a_day_that_is_not_over_is_taken_over_when_it_is(tmp_path: Path, source: str) -> None:
    home, path = tmp_path / "home", tmp_path / "usage.json"

    def day(number: int, tokens: int) -> dict[str, object]:
        began = f"2026-11-{number:02d}T00:00:00Z"
        return {
            "start_time_iso": began, "end_time_iso": f"2026-11-{number + 1:02d}T00:00:00Z",
            "starting_at": began, "ending_at": f"2026-11-{number + 1:02d}T00:00:00Z",
            "results": [{
                "model": "m", "num_model_requests": tokens // 10, "input_tokens": tokens,
                "uncached_input_tokens": tokens,
            }],
        }  # fmt: skip

    def brought(written: str, *days: dict[str, object]) -> tuple[int, list[tuple[object, ...]]]:
        path.write_text(json.dumps({"data": days}), encoding="utf-8")
        at_s = datetime.fromisoformat(written).timestamp()
        os.utime(path, (at_s, at_s))
        left = take_over(home, source, FORMATS[source](path, priced)).unfinished
        return left, asked(home, "SELECT day, sum(usage_input) FROM generations GROUP BY day")

    noon = brought("2026-11-21T12:00:00+00:00", day(20, 100), day(21, 30))
    assert noon == (1, [(date(2026, 11, 20), 100)])
    left, sums = brought("2026-11-22T00:00:00+00:00", day(20, 100), day(21, 70))
    assert left == 0
    assert sorted(sums, key=str) == [(date(2026, 11, 20), 100), (date(2026, 11, 21), 70)]


def test_imported_calls_change_no_budget_and_are_no_difference(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Ledger(home) as ledger:
        record(ledger, plain(make_key(ledger)))
    bring(home, "openrouter", OPENROUTER)
    verdict = verify(home)
    assert verdict.holds
    assert verdict.generations == 3


def test_an_imported_segment_that_is_gone_is_missed_until_it_is_imported_again(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    bring(home, "openrouter", OPENROUTER)
    with contextlib.closing(Database(home / "state.sqlite")) as state:
        state.change("DELETE FROM imported")  # as if it had died before it came to this
    bring(home, "openrouter", OPENROUTER)
    assert verify(home).holds
    (made,) = (home / "lake").glob("import-openrouter/*")
    shutil.rmtree(made)
    (damage,) = verify(home).damages
    assert damage.segment == f"import-openrouter/{made.name}"
    assert "2 imported rows" in damage.why
    bring(home, "openrouter", OPENROUTER)
    assert verify(home).holds


_SLOW = """
import sys, time
from pathlib import Path
from glasslipper.ledger.write.importing import take_over

def slowly():
    print("begun", flush=True)
    time.sleep(600)
    yield

take_over(Path(sys.argv[1]), "openrouter", slowly())
"""


def test_one_imports_at_a_time_and_one_that_is_killed_stands_in_nobodys_way(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    command = [sys.executable, "-c", _SLOW, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "begun\n"
        with pytest.raises(StoreBusy, match="importing"):
            bring(home, "openrouter", OPENROUTER)
        other.kill()
    assert bring(home, "openrouter", OPENROUTER) == (2, 2)


@pytest.mark.parametrize("source", sorted(FORMATS))
@pytest.mark.parametrize(
    "content",
    ["", "hello", '{"a": 1}', "[1, 2]", '{"data": [{"a": ', "a,b\n1,2\n", b"\xff\xfe\x00"],
    ids=["empty", "prose", "strange", "numbers", "torn", "other", "bytes"],
)
def test_a_file_that_is_no_such_export_is_refused_in_words(
    tmp_path: Path, source: str, content: str | bytes
) -> None:
    home = tmp_path / "home"
    with pytest.raises(InvalidRequest) as told:
        bring(home, source, content)
    assert len(told.value.message) > 10
    assert asked(home, "SELECT count(*) FROM generations") == [(0,)]
