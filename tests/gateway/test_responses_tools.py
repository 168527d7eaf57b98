"""Tools of the Responses format that are no functions: translated, left out, refused if forced."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.dialects.responses import EventEncoder, decode, encode_answer
from glasslipper.kernel.errors import InvalidRequest, Unsupported
from glasslipper.kernel.events import Answer, Finished, ToolCallDelta
from glasslipper.kernel.messages import ToolCall, ToolChoice
from glasslipper.kernel.usage import Usage
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served
from sdk_clients import openai_client

HEAD = Head(id="gen-01abc", model="maker/model", created_s=1_790_000_000, provider="fake")
BILL = Bill(usage=Usage(input=3, output=4), cost_nanousd=5)
EVENT = TypeAdapter[Any](ResponseStreamEvent)
MORE: dict[str, Any] = {"type": "object", "properties": {"q": {"type": "string"}}}
SEARCH = {"type": "function", "name": "search", "parameters": MORE, "strict": False}
PATCH = {
    "type": "custom",
    "name": "patch",
    "description": "Changes files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
}
MAIL = {"type": "namespace", "name": "mail", "description": "Letters.", "tools": [SEARCH, PATCH]}
WEB = {"type": "web_search", "external_web_access": True}


def asked(*tools: dict[str, Any], **more: Any) -> bytes:
    body = {"model": "maker/model", "input": "Hi", "tools": tools} | more
    return json.dumps(body).encode()


def test_every_tool_that_can_be_had_is_a_function_with_a_name_of_its_own() -> None:
    ask = decode(asked(SEARCH, PATCH, MAIL, WEB))
    assert [tool.name for tool in ask.request.tools] == [
        "search",
        "patch",
        "mail__search",
        "mail__patch",
    ]
    assert ask.request.tools[2].parameters == MORE
    text = ask.request.tools[1].parameters["properties"]
    assert text == {
        "input": {"type": "string", "description": "Text by this lark grammar:\nstart: /.+/"}
    }
    assert ask.tools_left_out == ("web_search",)


def test_a_name_that_is_too_long_is_cut_and_still_one_of_its_own() -> None:
    names = [f"{'long_' * 14}{end}" for end in ("a", "b")]
    tools = [{"type": "function", "name": name} for name in names]
    space = {"type": "namespace", "name": "space", "tools": tools}
    made = [tool.name for tool in decode(asked(space)).request.tools]
    assert len(set(made)) == 2
    assert {len(name) for name in made} == {64}
    call = Answer(tool_calls=(ToolCall(id="call_1", name=made[1], arguments="{}"),), finish="stop")
    (item,) = told(call, space)["output"]
    assert (item["name"], item["namespace"]) == (names[1], "space")


def told(answer: Answer, *tools: dict[str, Any]) -> dict[str, Any]:
    response = json.loads(encode_answer(answer, HEAD, BILL, decode(asked(*tools)).echo))
    Response.model_validate(response, strict=True)
    return response


def test_a_call_comes_back_in_the_form_in_which_the_client_knows_the_tool() -> None:
    calls = (
        ToolCall(id="call_1", name="search", arguments='{"q":"x"}'),
        ToolCall(id="call_2", name="mail__search", arguments='{"q":"y"}'),
        ToolCall(id="call_3", name="patch", arguments='{"input":"*** begin\\n"}'),
        ToolCall(id="call_4", name="mail__patch", arguments="no JSON"),
    )
    response = told(Answer(tool_calls=calls, finish="tool_calls"), SEARCH, PATCH, MAIL, WEB)
    first, second, third, fourth = response["output"]
    assert (first["type"], first["name"]) == ("function_call", "search")
    assert "namespace" not in first
    assert (second["name"], second["namespace"]) == ("search", "mail")
    assert second["arguments"] == '{"q":"y"}'
    assert third == {
        "type": "custom_tool_call",
        "id": "ctc_01abc_2",
        "call_id": "call_3",
        "name": "patch",
        "input": "*** begin\n",
    }
    assert (fourth["namespace"], fourth["input"]) == ("mail", "no JSON")
    assert [tool["type"] for tool in response["tools"]] == ["function", "custom", "namespace"]
    assert response["tools"][1] == PATCH


def test_a_stream_tells_a_text_for_a_tool_once_it_is_whole() -> None:
    encoder = EventEncoder(HEAD, decode(asked(PATCH, MAIL)).echo)
    frames = encoder.encode(ToolCallDelta(index=0, id="call_1", name="mail__patch"))
    for piece in ('{"inp', 'ut":"one', ' two"}'):
        frames += encoder.encode(ToolCallDelta(index=0, arguments=piece))
    frames += encoder.encode(Finished(reason="tool_calls")) + encoder.finish(BILL)
    events = [
        json.loads(line.removeprefix(b"data: "))
        for line in frames.split(b"\n")
        if line.startswith(b"data: {")
    ]
    for event in events:
        EVENT.validate_python(event)
    by_type = {event["type"]: event for event in events}
    assert by_type["response.custom_tool_call_input.delta"]["delta"] == "one two"
    assert by_type["response.custom_tool_call_input.done"]["input"] == "one two"
    assert "response.function_call_arguments.delta" not in by_type
    item = by_type["response.output_item.done"]["item"]
    assert (item["type"], item["namespace"], item["input"]) == (
        "custom_tool_call",
        "mail",
        "one two",
    )
    assert by_type["response.output_item.added"]["item"]["id"] == item["id"]


def test_earlier_calls_are_shown_to_the_model_by_the_names_it_has_for_them() -> None:
    history = [
        {"type": "function_call", "call_id": "a", "name": "search", "namespace": "mail",
         "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "b", "name": "patch", "input": 'say "hi"'},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "function_call_output", "call_id": "a", "output": "found"},
        {"type": "custom_tool_call_output", "call_id": "b", "output": "done"},
    ]  # fmt: skip
    messages = decode(asked(PATCH, MAIL, input=history)).request.messages
    assert [(call.name, call.arguments) for call in messages[0].tool_calls] == [
        ("mail__search", "{}"),
        ("patch", '{"input":"say \\"hi\\""}'),
    ]
    assert [(one.tool_call_id, one.text) for one in messages[1:]] == [("a", "found"), ("b", "done")]


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ({"type": "custom", "name": "patch"}, ToolChoice(mode="required", name="patch")),
        (
            {"type": "function", "name": "search", "namespace": "mail"},
            ToolChoice(mode="required", name="mail__search"),
        ),
        ("required", ToolChoice(mode="required")),
        ("auto", ToolChoice()),
    ],
)
def test_one_tool_may_be_chosen_in_its_own_form(choice: Any, wanted: ToolChoice) -> None:
    assert decode(asked(PATCH, MAIL, WEB, tool_choice=choice)).request.tool_choice == wanted


def test_only_some_tools_may_be_allowed() -> None:
    named = [{"type": "namespace", "name": "mail"}, {"type": "web_search"}]
    choice = {"type": "allowed_tools", "mode": "auto", "tools": named}
    request = decode(asked(SEARCH, MAIL, WEB, tool_choice=choice)).request
    assert [tool.name for tool in request.tools] == ["mail__search", "mail__patch"]


@pytest.mark.parametrize(
    ("tools", "choice"),
    [
        ([SEARCH, WEB], {"type": "web_search"}),
        ([WEB], "required"),
        (
            [SEARCH, WEB],
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}]},
        ),
    ],
)
def test_a_tool_that_cannot_be_had_is_refused_only_where_its_call_is_forced(
    tools: list[dict[str, Any]], choice: Any
) -> None:
    with pytest.raises(Unsupported) as caught:
        decode(asked(*tools, tool_choice=choice))
    assert (caught.value.param or "").startswith("$.tool_choice")
    assert not decode(asked(WEB)).request.tools


def test_a_choice_of_nothing_that_is_there_is_an_error() -> None:
    for choice in ({"type": "custom", "name": "no"}, {"type": "allowed_tools", "tools": [WEB, {}]}):
        with pytest.raises(InvalidRequest):
            decode(asked(PATCH, tool_choice=choice))


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: FakeUpstream) -> Iterator[Served]:
    environ = {"GLASSLIPPER_MODELS": str(tmp_path_factory.mktemp("models"))}
    with Served(tmp_path_factory.mktemp("home"), environ=environ) as served:
        yield served


def test_a_conversation_with_such_tools_is_continued_by_its_id(
    gateway: Served, upstream: FakeUpstream
) -> None:
    gateway.add_model(
        "fake/tool", upstream.url, upstream_model="fake?tool=mail__search&arguments={}"
    )
    gateway.add_model("fake/words", upstream.url, upstream_model="fake?text=done")
    path = "/api/v1/responses"
    body = {"model": "fake/tool", "input": "Hi", "tools": [MAIL, WEB]}
    status, first = gateway.call("POST", path, body, key=gateway.key)
    assert status == 200, first
    (item,) = first["output"]
    assert (item["name"], item["namespace"]) == ("search", "mail")
    ours = openai_client(gateway)
    raw = ours.responses.with_raw_response.create(model="fake/tool", input="Hi", tools=[WEB])
    assert raw.headers["x-tools-left-out"] == "web_search"
    result = {"type": "function_call_output", "call_id": item["call_id"], "output": "none"}
    more = {"model": "fake/words", "input": [result], "previous_response_id": first["id"]}
    status, second = gateway.call("POST", path, {**body, **more}, key=gateway.key)
    assert status == 200, second
    assert second["output"][0]["content"][0]["text"] == "done"
