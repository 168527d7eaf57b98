from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import Response

from glasslipper.gateway.dialects.responses import Bill, Echo, Head, decode, encode_answer
from glasslipper.kernel.events import Answer, TokenLogprob
from glasslipper.kernel.finish import FinishReason
from glasslipper.kernel.messages import ReasoningPart, ToolCall
from glasslipper.kernel.money import Price
from glasslipper.kernel.usage import Usage

HEAD = Head(id="gen-01abc", model="maker/model", created_s=1_790_000_000, provider="local")
BILL = Bill(
    usage=Usage(input=3, cache_read=7, cache_write=2, output=4, reasoning=5),
    cost_nanousd=150_600,
    upstream_nanousd=100_000,
    price=Price(input=2_000_000_000, output=4_000_000_000),
)


class StoppedClock:
    """Always tells the same time."""

    def now_ms(self) -> int:
        return 1_790_000_009_999

    def ticks_ms(self) -> float:
        return 0.0


def told(answer: Answer, bill: Bill | None = BILL, **members: object) -> dict[str, Any]:
    asked = {"model": "maker/model", "input": "Hi"} | members
    echo = decode(json.dumps(asked).encode()).echo
    response = json.loads(encode_answer(answer, HEAD, bill, echo, clock=StoppedClock()))
    Response.model_validate(response, strict=True)
    return response


def test_an_answer_is_a_completed_response_with_usage_and_exact_cost() -> None:
    response = told(Answer(text="Hello", service_tier="flex", finish="stop"))
    assert (response["id"], response["object"]) == ("resp_01abc", "response")
    assert (response["created_at"], response["completed_at"]) == (1_790_000_000, 1_790_000_009)
    assert (response["status"], response["error"]) == ("completed", None)
    assert (response["model"], response["provider"]) == ("maker/model", "local")
    assert response["service_tier"] == "flex"
    assert response["output"] == [
        {
            "id": "msg_01abc_0",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [
                {"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}
            ],
        }
    ]
    assert response["usage"] == {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 7, "cache_write_tokens": 2},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 21,
        "cost": 0.0001506,
        "cost_nanousd": 150_600,
        "cost_details": {
            "upstream_inference_cost": 0.0001,
            "upstream_inference_input_cost": 0.00004,
            "upstream_inference_output_cost": 0.00006,
        },
        "is_byok": False,
    }


def test_what_was_asked_is_repeated() -> None:
    schema = {"type": "object"}
    asked: dict[str, Any] = {
        "instructions": "Be brief.",
        "tools": [
            {
                "type": "function",
                "name": "f",
                "description": None,
                "parameters": schema,
                "strict": True,
            }
        ],
        "tool_choice": {"type": "function", "name": "f"},
        "temperature": 0.5,
        "top_p": 0.25,
        "presence_penalty": 1.5,
        "frequency_penalty": -1.5,
        "top_logprobs": 3,
        "max_output_tokens": 9,
        "max_tool_calls": 2,
        "text": {
            "format": {
                "type": "json_schema",
                "name": "n",
                "description": "d",
                "schema": schema,
                "strict": False,
            },
            "verbosity": "low",
        },
        "reasoning": {"effort": "low", "summary": "concise"},
        "metadata": {"team": "red"},
        "store": False,
        "previous_response_id": "resp_0",
        "truncation": "auto",
        "parallel_tool_calls": False,
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "user": "me",
    }
    response = told(Answer(text="x", finish="stop"), **asked)
    assert {name: response[name] for name in asked} == asked
    assert response["background"] is False


def test_what_was_left_out_has_its_usual_value() -> None:
    response = told(Answer(text="x", finish="stop"))
    usual = {
        "temperature": 1,
        "top_p": 1,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "store": True,
        "truncation": "disabled",
        "parallel_tool_calls": True,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
    }
    assert {name: response[name] for name in usual} == usual


@pytest.mark.parametrize(
    "choice",
    [
        "none",
        "required",
        {"type": "allowed_tools", "tools": [{"type": "function", "name": "f"}]},
        {
            "type": "allowed_tools",
            "mode": "required",
            "tools": [{"type": "function", "name": "f"}],
        },
    ],
)
def test_every_choice_of_tools_can_be_repeated(choice: Any) -> None:
    response = told(
        Answer(text="x", finish="stop"),
        tools=[{"type": "function", "name": "f"}],
        tool_choice=choice,
    )
    assert response["tool_choice"] == (
        choice if isinstance(choice, str) else {"mode": "auto"} | choice
    )


def test_thinking_words_and_calls_are_items_in_this_order() -> None:
    answer = Answer(
        text="Hello",
        refusal="No.",
        reasoning=(
            ReasoningPart(text="hm"),
            ReasoningPart(text="short", kind="summary", encrypted="xyz"),
        ),
        tool_calls=(ToolCall(id="c1", name="f", arguments='{"a":1}'),),
        finish="tool_calls",
    )
    thought, summary, message, call = told(answer)["output"]
    assert (thought["type"], thought["id"], thought["summary"]) == ("reasoning", "rs_01abc_0", [])
    assert thought["content"] == [{"type": "reasoning_text", "text": "hm"}]
    assert summary["summary"] == [{"type": "summary_text", "text": "short"}]
    assert summary["encrypted_content"] == "xyz"
    assert [part["type"] for part in message["content"]] == ["output_text", "refusal"]
    assert call == {
        "type": "function_call",
        "id": "fc_01abc_3",
        "call_id": "c1",
        "name": "f",
        "arguments": '{"a":1}',
        "status": "completed",
    }


def test_whoever_does_not_want_the_thoughts_is_not_shown_them() -> None:
    answer = Answer(text="x", reasoning=(ReasoningPart(text="hm", signature="s"),), finish="stop")
    response = told(answer, reasoning={"exclude": True})
    assert [item["type"] for item in response["output"]] == ["message"]


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
        ("error", "failed", None),
        (None, "failed", None),
    ],
)
def test_how_it_ended_is_its_status(
    finish: FinishReason | None, status: str, reason: str | None
) -> None:
    response = told(Answer(text="x", finish=finish), bill=None)
    assert response["status"] == status
    assert response["incomplete_details"] == (None if reason is None else {"reason": reason})
    assert (response["error"] is None) == (status != "failed")
    assert (response["completed_at"] is None) == (status != "completed")
    assert response["usage"] is None
    item = "completed" if status == "completed" else "incomplete"
    assert response["output"][0]["status"] == item


def test_an_answer_of_nothing_is_an_empty_message() -> None:
    (message,) = told(Answer(finish="stop"))["output"]
    assert message["content"][0]["text"] == ""


def test_logprobs_have_bytes_even_where_nobody_told_them() -> None:
    other = TokenLogprob(token="ö", logprob=float("-inf"))
    token = TokenLogprob(token="a", logprob=-0.5, raw=(97,), top=(other,))
    (message,) = told(Answer(text="a", logprobs=(token,), finish="stop"))["output"]
    assert message["content"][0]["logprobs"] == [
        {
            "token": "a",
            "logprob": -0.5,
            "bytes": [97],
            "top_logprobs": [{"token": "ö", "logprob": -9999.0, "bytes": [0xC3, 0xB6]}],
        }
    ]


def test_the_time_is_the_machines_own_unless_told_otherwise() -> None:
    body = json.loads(encode_answer(Answer(text="x", finish="stop"), HEAD, None, Echo()))
    assert body["completed_at"] > 1_700_000_000
