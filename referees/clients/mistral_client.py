"""Mistral's SDK: chat, streams, tools, embeddings."""

from checks import CITY, HOST, KEY, LOCAL, MOCK, arguments, run, same, true

try:
    from mistralai.client import Mistral
except ImportError:
    from mistralai import Mistral

client = Mistral(server_url=f"http://{HOST}", api_key=KEY)
HELLO = [{"role": "user", "content": "Say hello."}]
WEATHER = [{"role": "user", "content": "What is the weather in Rom?"}]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": CITY}}]


def it_answers():
    answer = client.chat.complete(model=LOCAL, messages=HELLO, max_tokens=12)
    true(answer.choices[0].message.content, "the text")


def it_streams():
    text = ""
    for event in client.chat.stream(model=LOCAL, messages=HELLO, max_tokens=12):
        for choice in event.data.choices:
            text += choice.delta.content or ""
    true(text, "the text")


def a_local_model_calls_a_tool():
    answer = client.chat.complete(
        model=LOCAL, messages=WEATHER, tools=TOOLS, tool_choice="any", max_tokens=60
    )
    arguments(answer.choices[0].message.tool_calls[0].function.arguments)


def a_tool_loop_ends():
    said = list(WEATHER)
    first = client.chat.complete(model=MOCK, messages=said, tools=TOOLS)
    message = first.choices[0].message
    said.append(message.model_dump(exclude_none=True))
    call = message.tool_calls[0]
    said.append({"role": "tool", "tool_call_id": call.id, "name": "weather", "content": "sunny"})
    last = client.chat.complete(model=MOCK, messages=said, tools=TOOLS)
    true(last.choices[0].message.content, "the text after the tool's result")


def embeddings_are_vectors():
    answer = client.embeddings.create(model="local/static-256", inputs=["a cat", "a dog"])
    same([len(one.embedding) for one in answer.data], [256, 256], "the lengths")


run(
    it_answers,
    it_streams,
    a_local_model_calls_a_tool,
    a_tool_loop_ends,
    embeddings_are_vectors,
)
