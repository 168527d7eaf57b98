"""The OpenAI SDK: chat, Responses, structured output, embeddings, errors."""

import openai
from checks import CITY, HOST, KEY, LOCAL, MOCK, arguments, run, same, true
from pydantic import BaseModel

client = openai.OpenAI(base_url=f"http://{HOST}/v1", api_key=KEY, max_retries=0, timeout=120)
HELLO = [{"role": "user", "content": "Say hello."}]
WEATHER = [{"role": "user", "content": "What is the weather in Rom?"}]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": CITY}}]
FLAT = [{"type": "function", "name": "weather", "parameters": CITY, "strict": True}]


class Place(BaseModel):
    """What a model is asked to say about a place."""

    city: str
    days: int


def chat_answers():
    answer = client.chat.completions.create(model=LOCAL, messages=HELLO, max_tokens=12)
    true(answer.choices[0].message.content, "the text")
    true(answer.usage.total_tokens, "the usage")


def chat_streams():
    text, usage, reason = "", None, None
    for chunk in client.chat.completions.create(
        model=LOCAL, messages=HELLO, max_tokens=12, stream=True,
        stream_options={"include_usage": True},
    ):  # fmt: skip
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
    true(text, "the text")
    true(usage and usage.completion_tokens, "the usage")
    true(reason in ("stop", "length"), f"the finish reason is {reason}")


def a_local_model_calls_a_tool():
    answer = client.chat.completions.create(
        model=LOCAL, messages=WEATHER, tools=TOOLS, tool_choice="required", max_tokens=60
    )
    same(answer.choices[0].finish_reason, "tool_calls", "the finish reason")
    arguments(answer.choices[0].message.tool_calls[0].function.arguments)


def a_local_model_calls_a_tool_in_a_stream():
    with client.chat.completions.stream(
        model=LOCAL, messages=WEATHER, tools=TOOLS, tool_choice="required", max_tokens=60
    ) as stream:
        stream.until_done()
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    arguments(call.function.arguments)


def a_tool_loop_ends():
    said = list(WEATHER)
    first = client.chat.completions.create(model=MOCK, messages=said, tools=TOOLS)
    call = first.choices[0].message.tool_calls[0]
    arguments(call.function.arguments)
    said.append(first.choices[0].message.model_dump(exclude_none=True))
    said.append({"role": "tool", "tool_call_id": call.id, "content": "sunny"})
    last = client.chat.completions.create(model=MOCK, messages=said, tools=TOOLS)
    true(last.choices[0].message.content, "the text after the tool's result")


def a_real_model_goes_on_after_a_tool():
    said = list(WEATHER)
    first = client.chat.completions.create(
        model=LOCAL, messages=said, tools=TOOLS, tool_choice="required", max_tokens=60
    )
    call = first.choices[0].message.tool_calls[0]
    said.append(first.choices[0].message.model_dump(exclude_none=True))
    said.append({"role": "tool", "tool_call_id": call.id, "content": "sunny, 21 degrees"})
    last = client.chat.completions.create(model=LOCAL, messages=said, max_tokens=16)
    true(last.choices[0].message.content, "the text after the tool's result")


def structured_output_parses():
    answer = client.chat.completions.parse(
        model=LOCAL, messages=WEATHER, response_format=Place, max_tokens=80
    )
    true(isinstance(answer.choices[0].message.parsed, Place), "the object")


def responses_answer():
    answer = client.responses.create(model=LOCAL, input="Say hello.", max_output_tokens=16)
    true(answer.output_text, "the text")
    true(answer.usage.output_tokens, "the usage")


def responses_stream():
    with client.responses.stream(model=LOCAL, input="Say hello.", max_output_tokens=16) as stream:
        kinds = [event.type for event in stream]
    true("response.output_text.delta" in kinds, kinds)
    true(kinds[-1] in ("response.completed", "response.incomplete"), kinds[-1])


def responses_call_a_tool():
    answer = client.responses.create(
        model=LOCAL, input="What is the weather in Rom?", tools=FLAT, tool_choice="required",
        max_output_tokens=60,
    )  # fmt: skip
    calls = [item for item in answer.output if item.type == "function_call"]
    arguments(calls[0].arguments)


def responses_remember():
    first = client.responses.create(model=MOCK, input="My name is Alice.")
    second = client.responses.create(
        model=MOCK, input="What is my name?", previous_response_id=first.id
    )
    same(second.previous_response_id, first.id, "the response before")
    same(client.responses.retrieve(second.id).id, second.id, "the kept response")
    client.responses.delete(second.id)


def responses_parse():
    answer = client.responses.parse(
        model=LOCAL, input="Weather in Rom?", text_format=Place, max_output_tokens=80
    )
    true(isinstance(answer.output_parsed, Place), "the object")


def legacy_completions_answer():
    answer = client.completions.create(model=LOCAL, prompt="Once upon", max_tokens=8)
    true(answer.choices[0].text, "the text")


def embeddings_are_vectors():
    answer = client.embeddings.create(model="local/static-256", input=["a cat", "a dog"])
    same([len(one.embedding) for one in answer.data], [256, 256], "the lengths")


def models_are_listed():
    true(LOCAL in [model.id for model in client.models.list()], "the local model")


def an_unknown_model_is_not_found():
    try:
        client.chat.completions.create(model="no/such", messages=HELLO)
    except openai.NotFoundError:
        return
    raise AssertionError("no error")


def a_wrong_key_is_refused():
    try:
        client.with_options(api_key="sk-wrong").models.list()
        client.with_options(api_key="sk-wrong").chat.completions.create(model=LOCAL, messages=HELLO)
    except openai.AuthenticationError:
        return
    raise AssertionError("no error")


run(
    chat_answers,
    chat_streams,
    a_local_model_calls_a_tool,
    a_local_model_calls_a_tool_in_a_stream,
    a_tool_loop_ends,
    a_real_model_goes_on_after_a_tool,
    structured_output_parses,
    responses_answer,
    responses_stream,
    responses_call_a_tool,
    responses_remember,
    responses_parse,
    legacy_completions_answer,
    embeddings_are_vectors,
    models_are_listed,
    an_unknown_model_is_not_found,
    a_wrong_key_is_refused,
)
