"""Exports as people have them: odd codings, separators and numbers lose no row and no cent."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from pathlib import Path

import pytest

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.kernel.money import NANO
from glasslipper.ledger.imports import FORMATS
from glasslipper.ledger.read.scan import Lake
from glasslipper.ledger.write.importing import take_over

CALL = {
    "request_id": "r1",
    "model": "gpt-5",
    "custom_llm_provider": "openai",
    "startTime": "2026-11-20T10:00:00Z",
    "spend": "0.5",
    "prompt_tokens": "1000",
}


def taken(tmp_path: Path, content: bytes, source: str = "litellm") -> list[tuple[object, ...]]:
    """Import a file with this content; return ids, tokens, money and moments of what is there."""
    path = tmp_path / "export"
    path.write_bytes(content)
    os.utime(path, (1_830_297_600, 1_830_297_600))  # after all that is in it
    take_over(tmp_path / "home", source, FORMATS[source](path, lambda *_: None))
    with Lake(tmp_path / "home", threads=1) as lake:
        return lake.rows(
            "SELECT id, usage_input, billed_nanousd, created_ms FROM generations ORDER BY id"
        )


def table(*rows: dict[str, str], delimiter: str = ",", end: str = "\r\n") -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


@pytest.mark.parametrize(
    ("spend", "nanousd"),
    [
        ("1,234.50", 1_234_500_000_000),
        ("$1.25", 1_250_000_000),
        ("2,5", 2_500_000_000),
        ("1e-06", 1_000),
        ("", 0),
        ("\\N", 0),
        ("n/a", 0),
    ],
)
def test_amounts_are_read_as_people_write_them(tmp_path: Path, spend: str, nanousd: int) -> None:
    ((_, tokens, billed, _),) = taken(
        tmp_path, table(CALL | {"spend": spend, "prompt_tokens": "12,000"}).encode()
    )
    assert (tokens, billed) == (12_000, nanousd)


@pytest.mark.parametrize(
    ("name", "value"),
    [("spend", "12 EUR"), ("spend", "1e12"), ("prompt_tokens", "many"), ("prompt_tokens", "1e30")],
)
def test_what_is_no_such_number_is_refused_and_never_taken_for_nothing(
    tmp_path: Path, name: str, value: str
) -> None:
    with pytest.raises(InvalidRequest) as told:
        taken(tmp_path, table(CALL | {name: value}).encode())
    assert told.value.param == name


@pytest.mark.parametrize(
    "moment", ["1e30", "9999-12-31T00:00:00Z", "0001-01-01T00:00:00Z", "-5", "NaN", "yesterday"]
)
def test_a_moment_that_cannot_be_is_refused(tmp_path: Path, moment: str) -> None:
    with pytest.raises(InvalidRequest, match="moment"):
        taken(tmp_path, table(CALL | {"startTime": moment}).encode())


@pytest.mark.parametrize(
    "moment",
    [
        "2026-11-20T15:30:00+05:30",
        "2026-11-20 10:00:00 UTC",
        "2026-11-20 10:00:00",
        "1795168800",
        "1795168800000",
        "1795168800000000",
        "1795168800000000000",
    ],
)
def test_moments_of_every_kind_are_the_same_moment(tmp_path: Path, moment: str) -> None:
    ((*_, at_ms),) = taken(tmp_path, table(CALL | {"startTime": moment}).encode())
    assert at_ms == 1_795_168_800_000


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + table(CALL),
        "\n\n" + table(CALL, end="\n"),
        table(CALL | {"spend": "0,5"}, delimiter=";"),
        table(CALL, delimiter="\t"),
        json.dumps({"data": [CALL], "meta": {"page": 1}}) + "\n",
        json.dumps({"logs": [CALL]}),
        json.dumps(CALL | {"messages": "x" * 9_000}) + "\r\n",
        json.dumps({"data": [CALL]}) + "\n" + json.dumps({"data": []}) + "\n",
        json.dumps([{"data": [CALL]}]),
    ],
    ids=["bom", "blank", "semicolon", "tab", "page", "logs", "long-line", "pages", "list"],
)
@pytest.mark.parametrize("coding", ["utf-8", "utf-16", "gzip"])
def test_a_file_is_read_in_whatever_form_it_comes(
    tmp_path: Path, content: str, coding: str
) -> None:
    packed = gzip.compress(content.encode()) if coding == "gzip" else content.encode(coding)
    assert taken(tmp_path, packed) == [("litellm-r1", 1000, NANO // 2, 1_795_168_800_000)]


def test_a_cell_may_hold_a_whole_conversation(tmp_path: Path) -> None:
    rows = [CALL | {"request_id": f"r{n}", "messages": "word " * 60_000} for n in (1, 2)]
    assert len(taken(tmp_path, table(*rows).encode())) == 2


def test_half_a_character_loses_no_row(tmp_path: Path) -> None:
    lines = json.dumps(CALL | {"end_user": "a\ud800"}) + "\n" + json.dumps(CALL | {"id": "x"})
    assert len(taken(tmp_path, lines.encode())) == 1


def test_a_file_that_is_nested_too_deeply_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="deeply"):
        taken(tmp_path, b"[" * 100_000)


def test_one_bucket_alone_keeps_its_time(tmp_path: Path) -> None:
    bucket = {
        "object": "bucket",
        "start_time": 1_795_168_800,
        "end_time": 1_795_255_200,
        "results": [{"model": "gpt-5", "num_model_requests": 1, "input_tokens": 7}],
    }
    ((_, tokens, _, at_ms),) = taken(tmp_path, json.dumps(bucket).encode(), "openai")
    assert (tokens, at_ms) == (7, 1_795_168_800_000)


def test_fewer_tokens_than_none_are_none(tmp_path: Path) -> None:
    content = table({**CALL, "prompt_tokens": "-5"}).encode()
    assert taken(tmp_path, content)[0][1] == 0


OWN = {
    "id": "gen-1",
    "created_ms": 1_790_000_000_000,
    "key_id": "k",
    "accounts": ["k"],
    "model": "a/m",
    "dialect": "chat",
    "status": "ok",
}


@pytest.mark.parametrize(
    "odd",
    [
        {"created_ms": 9 * 10**15},
        {"created_ms": -1},
        {"turns": 2**40},
        {"usage": {"input": 2**62, "output": 2**62}},
        {"usage": {"output": -1}},
        {"billed_nanousd": 2**63 - 1, "charged_nanousd": -1},
        {
            "attempts": [
                {
                    "id": "a",
                    "endpoint": "e",
                    "provider": "p",
                    "model": "m",
                    "started_ms": 10**17,
                    "status": "ok",
                }
            ]
        },
    ],
    ids=str,
)
def test_a_row_that_no_study_could_sum_is_refused_by_name(
    tmp_path: Path, odd: dict[str, object]
) -> None:
    lines = [OWN, {**OWN, "id": "gen-2", **odd}]
    content = "\n".join(json.dumps({"generation": line}) for line in lines).encode()
    with pytest.raises(InvalidRequest, match="gen-2 cannot be"):
        taken(tmp_path, content, "glasslipper")
    assert len(taken(tmp_path, json.dumps(OWN).encode(), "glasslipper")) == 1


def test_a_reward_that_is_no_number_is_no_reward_and_stops_no_study(tmp_path: Path) -> None:
    facts = [
        {"id": f"f{n}", "kind": kind, "noted_ms": 1, "key_id": "k", "generation_id": "gen-1"}
        | {"body": body}
        for n, (kind, body) in enumerate(
            [
                ("feedback", {"reward": "good"}),
                ("feedback", {"reward": True}),
                ("feedback", {"reward": 0.5}),
                ("judged", {"task": "legal", "confidence": "high"}),
            ]
        )
    ]
    records = [{"generation": OWN}, *({"fact": fact} for fact in facts)]
    taken(tmp_path, "\n".join(map(json.dumps, records)).encode(), "glasslipper")
    with Lake(tmp_path / "home", threads=1) as lake:
        assert lake.rows("SELECT reward FROM feedback ORDER BY id") == [(None,), (None,), (0.5,)]
        assert lake.rows("SELECT task, task_confidence FROM topics") == [("legal", None)]
