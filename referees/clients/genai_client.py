"""Google's Gen AI SDK: generate, stream, functions, automatic function calling, embeddings."""

from checks import CITY, HOST, KEY, LOCAL, MOCK, arguments, run, same, true
from google import genai
from google.genai import errors, types

client = genai.Client(api_key=KEY, http_options={"base_url": f"http://{HOST}"})
BRIEF = types.GenerateContentConfig(max_output_tokens=12)
FORCED = types.GenerateContentConfig(
    max_output_tokens=60,
    tools=[{"function_declarations": [{"name": "weather", "parameters_json_schema": CITY}]}],
    tool_config={"function_calling_config": {"mode": "ANY"}},
)


def it_answers():
    answer = client.models.generate_content(model=LOCAL, contents="Say hello.", config=BRIEF)
    true(answer.text, "the text")
    true(answer.usage_metadata.candidates_token_count, "the usage")


def it_streams():
    parts = list(
        client.models.generate_content_stream(model=LOCAL, contents="Say hello.", config=BRIEF)
    )
    true("".join(part.text or "" for part in parts), "the text")
    true(parts[-1].candidates[0].finish_reason, "the finish reason")


def a_local_model_calls_a_function():
    answer = client.models.generate_content(model=LOCAL, contents="Rom?", config=FORCED)
    arguments(answer.function_calls[0].args)


def a_local_model_calls_a_function_in_a_stream():
    calls = [
        call
        for part in client.models.generate_content_stream(
            model=LOCAL, contents="Rom?", config=FORCED
        )
        for call in part.function_calls or ()
    ]
    arguments(calls[0].args)


def functions_are_called_automatically():
    asked = []

    def weather(city: str) -> str:
        """Tell the weather of a city."""
        asked.append(city)
        return "sunny"

    config = types.GenerateContentConfig(tools=[weather])
    answer = client.models.generate_content(
        model=MOCK, contents="What is the weather?", config=config
    )
    same(len(asked), 1, "the number of calls")
    true(answer.text, "the text after the function's result")


def a_chat_remembers():
    chat = client.chats.create(model=LOCAL, config=BRIEF)
    chat.send_message("My name is Alice.")
    true(chat.send_message("What is my name?").text, "the text")
    same(len(chat.get_history()), 4, "the turns")


def tokens_are_counted():
    true(client.models.count_tokens(model=LOCAL, contents="Hello.").total_tokens, "the tokens")


def embeddings_are_vectors():
    answer = client.models.embed_content(model="local/static-256", contents=["a cat", "a dog"])
    same([len(one.values) for one in answer.embeddings], [256, 256], "the lengths")


def an_unknown_model_is_not_found():
    try:
        client.models.generate_content(model="no/such", contents="Hello.")
    except errors.ClientError as error:
        same(error.code, 404, "the code")
        return
    raise AssertionError("no error")


run(
    it_answers,
    it_streams,
    a_local_model_calls_a_function,
    a_local_model_calls_a_function_in_a_stream,
    functions_are_called_automatically,
    a_chat_remembers,
    tokens_are_counted,
    embeddings_are_vectors,
    an_unknown_model_is_not_found,
)
