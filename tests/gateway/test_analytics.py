"""Activity and analytics, asked of a real server over what it served and what is sealed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from glasslipper.ledger.write import seal
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served

MANY = {"metrics": ["request_count", "tokens_total", "total_usage", "error_rate"]}


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, str]]:
    """A server that has answered three calls, one of them sealed, and failed once."""
    home = tmp_path_factory.mktemp("analytics") / "home"
    with FakeUpstream() as upstream, Served(home) as served:
        served.add_model("fake/plain", upstream.url, upstream_model="fake")
        served.add_model("other/plain", upstream.url, upstream_model="fake")
        served.add_model("fake/broken", upstream.url, upstream_model="fake?status=500")
        key = served.make_key("team key")

        def call(model: str) -> int:
            body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
            return served.call("POST", "/v1/chat/completions", body, key=key)[0]

        assert call("fake/plain") == 200
        served.call("GET", "/v1/admin/spend")  # copies it
        (made,) = seal.seal(home, seal.NOW)
        assert made.manifest.files["generations"].rows == 1
        assert [call("fake/plain"), call("other/plain")] == [200, 200]
        assert call("fake/broken") >= 500
        yield served, key


def ask(served: Served, **question: object) -> dict:
    status, answer = served.call("POST", "/v1/analytics/query", question)
    assert status == 200, answer
    return answer["data"]


def test_totals_count_sealed_and_fresh_rows(busy: tuple[Served, str]) -> None:
    (row,) = ask(busy[0], **MANY)["data"]
    assert row["request_count"] == "4"
    assert int(row["tokens_total"]) > 0
    assert row["error_rate"] == 0.25


def test_any_number_of_dimensions_and_filters_may_be_combined(busy: tuple[Served, str]) -> None:
    found = ask(
        busy[0],
        metrics=["request_count"],
        dimensions=["api_key_id", "author", "model", "status", "finish_reason"],
        granularity="day",
        filters=[
            {"field": "status", "operator": "in", "value": ["ok"]},
            {"field": "model", "operator": "neq", "value": "other/plain"},
        ],
    )
    (row,) = found["data"]
    assert row["date__day"] == datetime.now(UTC).strftime("%Y-%m-%d")
    assert (row["api_key_id"], row["model"], row["author"]) == ("team key", "fake/plain", "fake")
    assert (row["request_count"], row["status"]) == ("2", "ok")
    assert found["metadata"]["row_count"] == 1


@pytest.mark.parametrize(
    ("operator", "value", "count"),
    [
        ("eq", "team key", "4"),
        ("neq", "team key", "0"),
        ("in", ["team key", "other"], "4"),
        ("not_in", ["team key"], "0"),
        ("eq", "nobody's", "0"),
    ],
)
def test_a_key_is_asked_for_by_the_name_that_rows_show(
    busy: tuple[Served, str], operator: str, value: object, count: str
) -> None:
    by_name = [{"field": "api_key_id", "operator": operator, "value": value}]
    (row,) = ask(busy[0], metrics=["request_count"], filters=by_name)["data"]
    assert row["request_count"] == count


def test_rows_are_sorted_cut_and_said_to_be_cut(busy: tuple[Served, str]) -> None:
    question = {
        "metrics": ["request_count"],
        "dimensions": ["model"],
        "order_by": {"field": "request_count", "direction": "desc"},
    }
    whole = ask(busy[0], **question)
    assert [row["request_count"] for row in whole["data"]] == ["2", "1", "1"]
    assert not whole["metadata"]["truncated"]
    cut = ask(busy[0], **question, limit=1)
    assert (cut["data"], cut["metadata"]["truncated"]) == (whole["data"][:1], True)
    each = ask(busy[0], **{**question, "dimensions": ["status", "model"]}, group_limit=1)
    assert len(each["data"]) == 3


def test_a_span_of_years_is_allowed_and_an_empty_one_is_empty(busy: tuple[Served, str]) -> None:
    years = {"start": "2000-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"}
    assert ask(busy[0], **MANY, time_range=years)["data"][0]["request_count"] == "4"
    past = {"start": "2000-01-01T00:00:00Z", "end": "2001-01-01T00:00:00Z"}
    assert ask(busy[0], **MANY, time_range=past)["data"][0]["request_count"] == "0"


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"metrics": []}, "at least one metric"),
        ({"metrics": ["beauty"]}, "beauty"),
        ({"metrics": ["request_count"], "dimensions": ["x; DROP TABLE"]}, "DROP TABLE"),
        ({"metrics": ["request_count"], "order_by": {"field": "model"}}, "sorted"),
        ({"metrics": ["request_count"], "limit": 0}, "limit"),
        (
            {
                "metrics": ["request_count"],
                "filters": [{"field": "model", "operator": "in", "value": "a"}],
            },
            "list",
        ),
        (
            {
                "metrics": ["request_count"],
                "time_range": {"start": "2026-02-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"},
            },
            "before",
        ),
    ],
)
def test_a_question_that_cannot_be_understood_is_told_why(
    busy: tuple[Served, str], question: dict, words: str
) -> None:
    status, answer = busy[0].call("POST", "/v1/analytics/query", question)
    assert status == 400
    assert words in answer["error"]["message"]


def test_a_value_is_never_taken_for_sql(busy: tuple[Served, str]) -> None:
    hostile = {"field": "model", "operator": "eq", "value": "x' OR '1'='1"}
    assert ask(busy[0], metrics=["request_count"], filters=[hostile])["data"] == [
        {"request_count": "0"}
    ]


def test_every_word_of_the_meta_answer_can_be_asked(busy: tuple[Served, str]) -> None:
    status, answer = busy[0].call("GET", "/v1/analytics/meta")
    assert status == 200
    words = answer["data"]
    metrics = [one["name"] for one in words["metrics"]]
    for dimension in words["dimensions"]:
        for granularity in (None, words["granularities"][-1]["name"]):
            found = ask(
                busy[0], metrics=metrics, dimensions=[dimension["name"]], granularity=granularity
            )
            assert found["data"]


def test_activity_adds_up_by_day_and_endpoint(busy: tuple[Served, str]) -> None:
    served, _ = busy
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    status, answer = served.call("GET", f"/v1/activity?date={today}")
    assert status == 200
    requests = {(row["model_permaslug"], row["requests"]) for row in answer["data"]}
    assert requests >= {("fake/plain", 2), ("other/plain", 1)}
    assert {row["date"] for row in answer["data"]} == {today}
    assert served.call("GET", "/v1/activity?date=2001-01-01")[1] == {"data": []}
    assert served.call("GET", "/v1/activity?date=yesterday")[0] == 400


def test_only_managers_may_ask(busy: tuple[Served, str]) -> None:
    served, key = busy
    assert served.call("GET", "/v1/activity", key=key)[0] in {401, 403}
    assert served.call("POST", "/v1/analytics/query", MANY, key=key)[0] in {401, 403}
    assert served.call("GET", "/v1/analytics/meta", key=key)[0] in {401, 403}
