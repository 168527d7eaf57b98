"""What a real local model answers to every sort of request."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from asking import CLOCK, SMOL, WEATHER, answered, asked, attempted, said, used
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glasslipper.kernel.errors import (
    ContextTooLong,
    GlasslipperError,
    InvalidRequest,
    ModelUnknown,
    SetupMissing,
    Unsupported,
)
from glasslipper.kernel.events import Answer, Finished, Spent, Started, TextDelta, ToolCallDelta
from glasslipper.kernel.messages import (
    AudioPart,
    ImagePart,
    Message,
    ResponseFormat,
    TextPart,
    ToolCall,
    ToolChoice,
)
from glasslipper.local import LocalModels

T = TypeVar("T")
Runner = Callable[[Coroutine[Any, Any, T]], T]

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def test_an_answer_starts_streams_finishes_and_says_what_it_took(
    either: LocalModels, run: Runner[list[Any]]
) -> None:
    attempt = attempted(asked("Say hello."))

    async def events() -> list[Any]:
        return [event async for event in either.send(attempt)]

    found = run(events())
    assert isinstance(found[0], Started)
    assert all(isinstance(event, TextDelta) for event in found[1:-2])
    assert found[-2] == Finished(reason="length", native="length")
    assert found[-1] == Spent(usage=used(attempt))
    usage = used(attempt)
    assert (usage.output, usage.requests, usage.cache_read) == (12, 1, 0)
    assert usage.input > 5
    assert 1_000 < usage.cpu_us < 60_000_000


def test_with_a_seed_and_no_temperature_the_answer_repeats_exactly(
    models: LocalModels, run: Runner[Any]
) -> None:
    first = run(answered(models, asked("Name a river.")))
    assert first.text
    assert run(answered(models, asked("Name a river."))).text == first.text


def test_both_engines_give_the_same_answer(
    thread_engine: LocalModels, process_engine: LocalModels, run: Runner[Any]
) -> None:
    here = run(answered(thread_engine, asked("Name a colour.")))
    there = run(answered(process_engine, asked("Name a colour.")))
    assert here.text == there.text != ""


def test_an_answer_that_is_done_stops_by_itself(models: LocalModels, run: Runner[Any]) -> None:
    found = run(answered(models, asked("Say only: hello", sampling={"max_tokens": 200})))
    assert found.finish == "stop"


def test_a_stop_text_ends_the_answer_before_it(models: LocalModels, run: Runner[Any]) -> None:
    whole = run(answered(models, asked("Say hello."))).text
    stop = whole.split()[2]
    found = run(answered(models, asked("Say hello.", sampling={"stop": (stop,)})))
    assert found.finish == "stop"
    assert found.text == whole[: whole.index(stop)]


def test_a_bias_bans_a_token(models: LocalModels, run: Runner[Any]) -> None:
    ask = {"logprobs": True, "max_tokens": 1}
    first = run(answered(models, asked("Say hello.", sampling=ask)))
    ban = {"logit_bias": {str(number): -100.0 for number in range(19_000, 20_000)}}
    other = run(answered(models, asked("Say hello.", sampling=ask | ban)))
    assert first.logprobs[0].token == "Hello"
    assert other.logprobs[0].token != "Hello"


def test_logprobs_come_with_the_alternatives_asked_for(
    either: LocalModels, run: Runner[Any]
) -> None:
    sampling = {"logprobs": True, "top_logprobs": 3, "max_tokens": 4}
    found = run(answered(either, asked("Say hello.", sampling=sampling)))
    assert "".join(token.token for token in found.logprobs) == found.text
    for token in found.logprobs:
        assert token.logprob <= 0
        assert [len(token.top), token.top[0].token] == [3, token.token]
        assert bytes(token.raw or ()).decode() == token.token


def test_logprobs_without_alternatives_have_none(models: LocalModels, run: Runner[Any]) -> None:
    sampling = {"logprobs": True, "max_tokens": 2}
    found = run(answered(models, asked("Say hello.", sampling=sampling)))
    assert [token.top for token in found.logprobs] == [(), ()]


def test_a_prompt_said_again_is_read_from_the_cache(models: LocalModels, run: Runner[Any]) -> None:
    text = "Tell me about the sea and the sky. " * 8
    request = asked(text, sampling={"seed": None, "max_tokens": 2})
    run(answered(models, request))
    again = run(answered(models, request))
    assert again.usage.cache_read > 40
    assert again.usage.input < 40


def test_a_json_schema_is_always_obeyed(either: LocalModels, run: Runner[Any]) -> None:
    form = ResponseFormat(kind="json_schema", name="person", schema=PERSON)
    request = asked("Bob is 42.", response_format=form, sampling={"max_tokens": 24})
    found = run(answered(either, request))
    person = json.loads(found.text)
    assert found.finish == "stop"
    assert set(person) == {"name", "age"}
    assert isinstance(person["age"], int)


def test_a_json_object_cut_short_says_so(models: LocalModels, run: Runner[Any]) -> None:
    form = ResponseFormat(kind="json_object")
    found = run(answered(models, asked("A person, please.", response_format=form)))
    assert found.text.startswith("{")
    assert found.finish == "length"


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "https://example.org/person.json"},
        {"$ref": "#/$defs/nothing"},
        {"type": "whatever"},
        {"type": "string", "pattern": "^(?=x)a$"},
    ],
)
def test_a_schema_that_cannot_be_enforced_is_refused_not_ignored(
    models: LocalModels, run: Runner[Any], schema: dict[str, object]
) -> None:
    form = ResponseFormat(kind="json_schema", schema=schema)
    with pytest.raises(InvalidRequest, match="enforce") as caught:
        run(answered(models, asked("Go.", response_format=form)))
    assert caught.value.param == "$.response_format"


def test_a_schema_of_monstrous_depth_harms_nobody(models: LocalModels, run: Runner[Any]) -> None:
    schema: dict[str, object] = {"type": "string"}
    for _ in range(300):
        schema = {"type": "array", "items": schema}
    form = ResponseFormat(kind="json_schema", schema=schema)
    with pytest.raises(InvalidRequest):
        run(answered(models, asked("Go.", response_format=form)))
    assert run(answered(models, asked("Say hello."))).text


def test_a_required_tool_is_called_with_arguments_that_fit_its_schema(
    models: LocalModels, run: Runner[Any]
) -> None:
    request = asked(
        "How is the weather in Rome?",
        tools=(CLOCK, WEATHER),
        tool_choice=ToolChoice(mode="required", name="get_weather"),
        sampling={"max_tokens": 40},
    )
    found = run(answered(models, request))
    (call,) = found.tool_calls
    arguments = json.loads(call.arguments)
    assert found.finish == "tool_calls"
    assert (found.text, call.name, call.id[:5]) == ("", "get_weather", "call_")
    assert set(arguments) == {"city", "days"}
    assert arguments["days"] in (1, 2, 3)


def test_arguments_stream_after_the_name_and_the_id(
    models: LocalModels, run: Runner[list[ToolCallDelta]]
) -> None:
    request = asked(
        "Weather in Rome?",
        tools=(WEATHER,),
        tool_choice=ToolChoice(mode="required"),
        sampling={"max_tokens": 40},
    )

    async def deltas() -> list[ToolCallDelta]:
        events = models.send(attempted(request))
        return [event async for event in events if isinstance(event, ToolCallDelta)]

    first, *rest = run(deltas())
    assert (first.name, first.arguments) == ("get_weather", "")
    assert first.id is not None
    assert len(rest) > 3
    assert all(delta.id is None and delta.name is None for delta in rest)


def test_a_tool_call_cut_short_says_so(models: LocalModels, run: Runner[Any]) -> None:
    request = asked("Rome?", tools=(WEATHER,), tool_choice=ToolChoice(mode="required"))
    found = run(answered(models, request))
    assert found.finish == "length"
    assert found.tool_calls[0].name == "get_weather"


def test_with_tools_a_model_may_still_answer_in_words(
    models: LocalModels, run: Runner[Any]
) -> None:
    found = run(answered(models, asked("Write a poem about the sea.", tools=(CLOCK,))))
    assert len(found.text.split()) > 3
    assert found.tool_calls == ()


def test_a_model_that_wants_to_call_a_tool_does_so_among_words(
    models: LocalModels, run: Runner[Any]
) -> None:
    called = Message(
        role="assistant", tool_calls=(ToolCall(id="call_1", name="what_time", arguments="{}"),)
    )
    messages = (said("You call tools.", "system"), *(said("time?"), called) * 2, said("time?"))
    request = asked(messages, tools=(CLOCK,), sampling={"max_tokens": 24})
    found = run(answered(models, request))
    assert [call.name for call in found.tool_calls] == ["what_time"]
    assert (found.text, found.finish) == ("", "tool_calls")


def test_tools_are_not_called_when_none_is_chosen(models: LocalModels, run: Runner[Any]) -> None:
    request = asked("Weather in Rome?", tools=(WEATHER,), tool_choice=ToolChoice(mode="none"))
    without = run(answered(models, asked("Weather in Rome?")))
    assert run(answered(models, request)).text == without.text


def test_a_developer_is_listened_to_like_a_system_prompt(
    models: LocalModels, run: Runner[Any]
) -> None:
    as_system = asked((said("Talk like a pirate.", "system"), said("Hello!")))
    as_developer = asked((said("Talk like a pirate.", "developer"), said("Hello!")))
    found = run(answered(models, as_system)).text
    assert run(answered(models, as_developer)).text == found
    assert run(answered(models, asked("Hello!"))).text != found


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"extra": {"n": msgspec.Raw(b"2")}}, "$.n"),
        ({"sampling": {"temperature": -1}}, "$.temperature"),
        ({"sampling": {"max_tokens": 0}}, "$.max_tokens"),
        ({"sampling": {"top_logprobs": 21}}, "$.top_logprobs"),
        ({"sampling": {"stop": ("",)}}, "$.stop"),
        ({"sampling": {"logit_bias": {"hello": 1.0}}}, "$.logit_bias"),
        ({"tool_choice": ToolChoice(mode="required", name="nothing")}, "$.tool_choice"),
        ({"tool_choice": ToolChoice(mode="required")}, "$.tool_choice"),
    ],
)
def test_what_cannot_be_served_names_the_field(
    models: LocalModels, run: Runner[Any], change: dict[str, Any], param: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        run(answered(models, asked("Hello!", **change)))
    assert caught.value.param == param


@pytest.mark.parametrize(
    "part", [ImagePart(url="data:image/png;base64,AA=="), AudioPart(data="AA==", format="wav")]
)
def test_pictures_and_sounds_are_refused(
    models: LocalModels, run: Runner[Any], part: ImagePart | AudioPart
) -> None:
    messages = (said("Hi"), Message(role="user", parts=(TextPart(text="See:"), part)))
    with pytest.raises(Unsupported) as caught:
        run(answered(models, asked(messages)))
    assert caught.value.param == "$.messages[1].content[1]"


def test_a_prompt_too_long_for_the_context_says_both_numbers(
    either: LocalModels, run: Runner[Any]
) -> None:
    with pytest.raises(ContextTooLong, match=r"20\d\d tokens.*1024"):
        run(answered(either, asked("word " * 2000)))


def test_an_answer_ends_where_the_context_does(smol_path: Path, run: Runner[Any]) -> None:
    small = LocalModels(folder=smol_path.parent, slots=1, context_tokens=200)

    async def use() -> Answer:
        form = ResponseFormat(kind="json_schema", schema={"type": "string", "minLength": 5000})
        request = asked("word " * 190, sampling={"max_tokens": None}, response_format=form)
        found = await answered(small, request)
        await small.close()
        return found

    found = run(use())
    assert found.finish == "length"
    assert found.usage is not None
    assert found.usage.prompt_tokens + found.usage.output == small.context_tokens(SMOL) == 256


def test_a_model_that_is_not_here_says_how_to_get_it(tmp_path: Path, run: Runner[Any]) -> None:
    empty = LocalModels(folder=tmp_path)
    with pytest.raises(SetupMissing) as caught:
        run(answered(empty, asked("Hi"), "local/coder-0.5b"))
    assert "glasslipper models pull local/coder-0.5b" in caught.value.hint


def test_an_unknown_model_is_unknown(models: LocalModels, run: Runner[Any]) -> None:
    with pytest.raises(ModelUnknown):
        run(answered(models, asked("Hi"), "local/nothing"))


def test_a_file_of_the_users_own_is_served_under_its_id(smol_path: Path, run: Runner[Any]) -> None:
    mine = LocalModels(folder=smol_path.parent, slots=1, context_tokens=256)
    mine.add("mine/best", smol_path)
    assert mine.context_tokens("mine/best") == 256
    assert [o.is_present for o in mine.offered() if o.id == "mine/best"] == [True]

    async def use() -> str:
        found = await answered(mine, asked("Hi"), "mine/best")
        await mine.remove("mine/best")
        await mine.close()
        return found.text

    assert run(use())
    with pytest.raises(ModelUnknown):
        mine.context_tokens("mine/best")


def test_a_file_that_is_no_model_is_not_accepted(tmp_path: Path) -> None:
    path = tmp_path / "page.gguf"
    path.write_bytes(b"<html>")
    with pytest.raises(InvalidRequest, match="not a GGUF file"):
        LocalModels(folder=tmp_path, files={"mine/page": path})


def _entry(key: bytes, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(key)) + key + struct.pack("<I", kind) + value


ENTRIES = st.lists(
    st.builds(
        _entry,
        st.sampled_from([b"llama.context_length", b"general.name", b"\xff"]),
        st.integers(0, 14),
        st.binary(max_size=40) | st.integers(0, 2**32 - 1).map(lambda n: struct.pack("<I", n)),
    ),
    max_size=4,
).map(b"".join)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(0, 2**64 - 1), entries=ENTRIES)
def test_a_hostile_file_head_never_breaks_the_list(
    tmp_path_factory: pytest.TempPathFactory, count: int, entries: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, count) + entries)
    models = LocalModels(folder=path.parent, files={"mine/bad": path})
    assert 0 < models.context_tokens("mine/bad") <= 4096
    assert "mine/bad" in [offered.id for offered in models.offered()]


def test_a_damaged_model_is_a_clear_error(
    tmp_path: Path, run: Runner[Any], smol_path: Path
) -> None:
    path = tmp_path / "half.gguf"
    with smol_path.open("rb") as whole:
        path.write_bytes(whole.read(3_000_000))
    for engine in ("thread", "process"):
        broken = LocalModels(folder=tmp_path, engine=engine, files={"mine/half": path})  # type: ignore[arg-type]
        with pytest.raises(GlasslipperError, match="cannot load"):
            run(answered(broken, asked("Hi"), "mine/half"))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(texts=st.lists(st.text(max_size=60), min_size=1, max_size=4))
def test_no_prompt_has_more_tokens_than_its_ceiling(models: LocalModels, texts: list[str]) -> None:
    request = asked(tuple(said(text) for text in texts), tools=(WEATHER,))
    tokens = asyncio.run(models.count_tokens(request, SMOL))
    assert 0 < tokens <= models.input_ceiling(request)


def test_counted_tokens_are_those_that_are_used(either: LocalModels, run: Runner[Any]) -> None:
    request = asked("Count these words: öäü 漢字 🙂", sampling={"max_tokens": 1})
    counted = run(either.count_tokens(request, SMOL))
    assert run(answered(either, request)).usage.input == counted
