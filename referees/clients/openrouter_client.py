"""OpenRouter's SDK: its generated models are strict about every answer."""

import httpx
from checks import ADMIN_KEY, CITY, HOST, KEY, LOCAL, MOCK, arguments, run, same, true
from openrouter import OpenRouter, errors

client = OpenRouter(server_url=f"http://{HOST}/api/v1", api_key=KEY)
admin = OpenRouter(server_url=f"http://{HOST}/api/v1", api_key=ADMIN_KEY)
HELLO = [{"role": "user", "content": "Say hello."}]
WEATHER = [{"role": "user", "content": "What is the weather in Rom?"}]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": CITY}}]


def it_answers():
    answer = client.chat.send(model=LOCAL, messages=HELLO, max_tokens=12)
    true(answer.choices[0].message.content, "the text")


def it_streams():
    text = ""
    with client.chat.send(model=LOCAL, messages=HELLO, max_tokens=12, stream=True) as stream:
        for chunk in stream:
            for choice in chunk.choices:
                text += choice.delta.content or ""
    true(text, "the text")


def a_local_model_calls_a_tool():
    answer = client.chat.send(
        model=LOCAL, messages=WEATHER, tools=TOOLS, tool_choice="required", max_tokens=60
    )
    arguments(answer.choices[0].message.tool_calls[0].function.arguments)


def a_fallback_serves():
    answer = client.chat.send(
        model="openai/gpt-4o", models=[MOCK], messages=HELLO, provider={"sort": "price"}
    )
    true(answer.choices[0].message.content, "the text")


def responses_answer():
    answer = client.beta.responses.send(model=LOCAL, input="Say hello.", max_output_tokens=16)
    true(answer.output, "the output")


def models_are_listed():
    answer = client.models.list()
    models = answer.result.data if hasattr(answer, "result") else answer.data
    true(LOCAL in [model.id for model in models], "the local model")


def endpoints_are_listed():
    author, slug = LOCAL.split("/")
    true(client.endpoints.list(author=author, slug=slug).data.endpoints, "the endpoints")


def providers_are_listed():
    true(client.providers.list().data, "the providers")


def a_generation_is_shown():
    """Ask past the SDK, so that this does not hang on how it reads answers of models."""
    asking = {"model": LOCAL, "messages": HELLO, "max_tokens": 4}
    answer = httpx.post(
        f"http://{HOST}/api/v1/chat/completions",
        json=asking,
        headers={"authorization": f"Bearer {KEY}"},
        timeout=60,
    )
    made = answer.json()["id"]
    same(client.generations.get_generation(id=made).data.id, made, "the id")


def credits_are_shown():
    true(admin.credits.get_credits().data.total_usage >= 0, "the usage")


def the_key_is_shown():
    true(client.api_keys.get_current_key_metadata().data.label, "the label")


def embeddings_are_vectors():
    answer = client.embeddings.generate(model="local/static-256", input=["a cat"])
    same(len(answer.data[0].embedding), 256, "the length")


def keys_are_made_and_unmade():
    made = admin.api_keys.create(name="referee", limit=1.0)
    same(made.data.name, "referee", "the name")
    true(made.data.hash in [one.hash for one in admin.api_keys.list().data], "the key in the list")
    admin.api_keys.update(hash=made.data.hash, disabled=True)
    same(admin.api_keys.get(hash=made.data.hash).data.disabled, True, "whether it is disabled")
    admin.api_keys.delete(hash=made.data.hash)


def an_unknown_model_is_an_error():
    try:
        client.chat.send(model="no/such", messages=HELLO)
    except errors.OpenRouterError:
        return
    raise AssertionError("no error")


run(
    it_answers,
    it_streams,
    a_local_model_calls_a_tool,
    a_fallback_serves,
    responses_answer,
    models_are_listed,
    endpoints_are_listed,
    providers_are_listed,
    a_generation_is_shown,
    credits_are_shown,
    the_key_is_shown,
    embeddings_are_vectors,
    keys_are_made_and_unmade,
    an_unknown_model_is_an_error,
)
