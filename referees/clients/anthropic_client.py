"""The Anthropic SDK: messages, streams, tools, counting, errors."""

import anthropic
from checks import CITY, HOST, KEY, LOCAL, MOCK, arguments, run, same, true

client = anthropic.Anthropic(base_url=f"http://{HOST}", api_key=KEY, max_retries=0, timeout=120)
HELLO = [{"role": "user", "content": "Say hello."}]
WEATHER = [{"role": "user", "content": "What is the weather in Rom?"}]
TOOLS = [{"name": "weather", "description": "Tells the weather.", "input_schema": CITY}]


def it_answers():
    answer = client.messages.create(model=LOCAL, max_tokens=12, messages=HELLO, system="Be brief.")
    true(answer.content[0].text, "the text")
    true(answer.usage.output_tokens, "the usage")


def it_streams():
    with client.messages.stream(model=LOCAL, max_tokens=12, messages=HELLO) as stream:
        text = "".join(stream.text_stream)
        last = stream.get_final_message()
    same(last.content[0].text, text, "the text")
    true(last.stop_reason in ("end_turn", "max_tokens"), last.stop_reason)


def a_local_model_calls_a_tool():
    answer = client.messages.create(
        model=LOCAL, max_tokens=60, messages=WEATHER, tools=TOOLS, tool_choice={"type": "any"}
    )
    same(answer.stop_reason, "tool_use", "the stop reason")
    arguments(next(block for block in answer.content if block.type == "tool_use").input)


def a_local_model_calls_a_tool_in_a_stream():
    with client.messages.stream(
        model=LOCAL, max_tokens=60, messages=WEATHER, tools=TOOLS,
        tool_choice={"type": "tool", "name": "weather"},
    ) as stream:  # fmt: skip
        last = stream.get_final_message()
    arguments(next(block for block in last.content if block.type == "tool_use").input)


def a_tool_loop_ends():
    said = list(WEATHER)
    first = client.messages.create(model=MOCK, max_tokens=90, messages=said, tools=TOOLS)
    call = next(block for block in first.content if block.type == "tool_use")
    said.append({"role": "assistant", "content": [b.model_dump() for b in first.content]})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    said.append({"role": "user", "content": [result]})
    last = client.messages.create(model=MOCK, max_tokens=90, messages=said, tools=TOOLS)
    true(last.content[0].text, "the text after the tool's result")


def tokens_are_counted():
    true(client.messages.count_tokens(model=LOCAL, messages=HELLO).input_tokens, "the tokens")


def an_unknown_model_is_not_found():
    try:
        client.messages.create(model="no/such", max_tokens=9, messages=HELLO)
    except anthropic.NotFoundError:
        return
    raise AssertionError("no error")


def a_wrong_key_is_refused():
    try:
        client.with_options(api_key="sk-wrong").messages.create(
            model=LOCAL, max_tokens=9, messages=HELLO
        )
    except anthropic.AuthenticationError:
        return
    raise AssertionError("no error")


run(
    it_answers,
    it_streams,
    a_local_model_calls_a_tool,
    a_local_model_calls_a_tool_in_a_stream,
    a_tool_loop_ends,
    tokens_are_counted,
    an_unknown_model_is_not_found,
    a_wrong_key_is_refused,
)
