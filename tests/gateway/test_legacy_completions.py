from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import Completion

from glasslipper.gateway.dialects.chat import decode as decode_chat
from glasslipper.gateway.dialects.completions import (
    Bill,
    ChunkEncoder,
    Head,
    decode,
    encode_answer,
)
from glasslipper.kernel.errors import BadJSON, InvalidRequest, StreamBroken, Unsupported
from glasslipper.kernel.events import (
    Answer,
    Event,
    Finished,
    Folder,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    TokenLogprob,
)
from glasslipper.kernel.finish import FinishReason
from glasslipper.kernel.messages import Message, ReasoningPart, Request, Sampling, TextPart
from glasslipper.kernel.usage import Usage

HEAD = Head(id="gen-1", model="m", created_s=7, provider="p")
BILL = Bill(usage=Usage(input=3, output=2), cost_nanousd=1_500)


def ask(**more: Any) -> Request:
    return decode(json.dumps({"model": "m", "prompt": "Once"} | more).encode())


def refused(**more: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        ask(**more)
    return caught.value


def whole(answer: Answer, **more: Any) -> dict[str, Any]:
    body = encode_answer(answer, HEAD, BILL, **more)
    Completion.model_validate_json(body, strict=True)
    return json.loads(body)


def frames(*events: Event, **more: Any) -> list[dict[str, Any]]:
    encoder = ChunkEncoder(HEAD, **more)
    written = b"".join(map(encoder.encode, events)) + encoder.finish(BILL)
    *datas, done, end = written.decode().split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    return [json.loads(data.removeprefix("data: ")) for data in datas]


# Requests.


@pytest.mark.parametrize("prompt", ["Once", ["Once"]])
def test_a_prompt_is_one_message_of_the_user(prompt: Any) -> None:
    assert ask(prompt=prompt, stream=True) == Request(
        model="m",
        messages=(Message(role="user", parts=(TextPart(text="Once"),)),),
        stream=True,
    )


def test_everything_else_means_what_it_means_in_chat() -> None:
    members = {
        "model": "m",
        "models": ["n"],
        "max_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.5,
        "stop": ["a"],
        "seed": 3,
        "presence_penalty": 1,
        "frequency_penalty": 1,
        "logit_bias": {"1": 2},
        "user": "u",
        "n": 1,
        "reasoning": {"effort": "low"},
        "stream_options": {"include_usage": True},
        "verbosity": "low",
    }
    chat = json.dumps({**members, "messages": [{"role": "user", "content": "Once"}]}).encode()
    legacy = decode(json.dumps({**members, "prompt": "Once"}).encode())
    expected = decode_chat(chat)
    assert legacy.sampling == expected.sampling
    assert legacy.reasoning == expected.reasoning
    assert legacy.models == expected.models
    assert legacy.user == "u"
    assert legacy.extra.keys() == expected.extra.keys()
    assert bytes(legacy.extra["verbosity"]) == b'"low"'


def test_probabilities_are_asked_for_by_number() -> None:
    assert ask(logprobs=0).sampling == Sampling(logprobs=True, top_logprobs=0)
    assert ask(logprobs=5).sampling == Sampling(logprobs=True, top_logprobs=5)
    assert ask(logprobs=None).sampling == Sampling()
    assert refused(logprobs=True).param == "$.logprobs"
    assert refused(logprobs=-1).param == "$.logprobs"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"prompt": [1, 2]}, "$.prompt"),
        ({"prompt": [[1, 2]]}, "$.prompt"),
        ({"prompt": ["a", "b"]}, "$.prompt"),
        ({"suffix": "end"}, "$.suffix"),
        ({"echo": True}, "$.echo"),
        ({"best_of": 2}, "$.best_of"),
        ({"n": 2}, "$.n"),
        ({"tools": []}, "$.tools"),
        ({"messages": []}, "$.messages"),
    ],
)
def test_what_a_model_that_chats_cannot_do_is_refused_by_name(
    more: dict[str, Any], param: str
) -> None:
    error = refused(**more)
    assert isinstance(error, Unsupported)
    assert error.param == param


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"prompt": ""}, "$.prompt"),
        ({"prompt": []}, "$.prompt"),
        ({"prompt": None}, "$.prompt"),
        ({"temperature": 3}, "$.temperature"),
        ({"max_tokens": 0}, "$.max_tokens"),
    ],
)
def test_a_wrong_member_is_named_by_its_path(more: dict[str, Any], param: str) -> None:
    error = refused(**more)
    assert not isinstance(error, Unsupported)
    assert error.param == param


def test_members_that_ask_for_nothing_are_no_obstacle() -> None:
    assert ask(suffix=None, echo=False, best_of=1, tools=None, n=1).model == "m"


VALUES = st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=3)
MEMBERS = st.sampled_from("model prompt suffix echo best_of logprobs n stop stream user".split())


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=40),
        st.dictionaries(MEMBERS, VALUES | st.lists(VALUES, max_size=2)).map(
            lambda body: json.dumps(body).encode()
        ),
    )
)
def test_whatever_comes_in_the_only_error_is_an_invalid_request(body: bytes) -> None:
    with contextlib.suppress(InvalidRequest):
        decode(body)


def test_what_is_no_json_is_told_so() -> None:
    for body in (b"", b"{", b'{"model":"m","prompt":"\xff"}', b'{"model":"m","prompt":"\\ud800"}'):
        with pytest.raises(BadJSON):
            decode(body)
    with pytest.raises(InvalidRequest):
        decode(b'{"prompt":' + b"[" * 200_000)


# Answers.


def test_a_whole_answer_is_a_text_completion_with_usage_and_cost() -> None:
    answer = Answer(
        text=" upon",
        reasoning=(ReasoningPart(text="Hm"),),
        finish="stop",
        native_finish="end_turn",
    )
    told = whole(answer)
    usage = told.pop("usage")
    choice = {
        "text": " upon",
        "index": 0,
        "logprobs": None,
        "finish_reason": "stop",
        "native_finish_reason": "end_turn",
    }
    assert told == {
        "id": "gen-1",
        "object": "text_completion",
        "created": 7,
        "model": "m",
        "provider": "p",
        "choices": [choice | {"reasoning": "Hm"}],
    }
    assert (usage["total_tokens"], usage["cost_nanousd"]) == (5, 1500)
    assert whole(answer, shows_thoughts=False)["choices"] == [choice]
    assert "usage" not in json.loads(encode_answer(answer, HEAD, None))


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("tool_calls", "stop"),
    ],
)
def test_the_reason_is_one_of_the_three_old_words(reason: FinishReason, word: str) -> None:
    assert whole(Answer(text="a", finish=reason))["choices"][0]["finish_reason"] == word
    assert frames(Finished(reason=reason))[0]["choices"][0]["finish_reason"] == word


def test_an_answer_that_broke_off_says_error() -> None:
    body = json.loads(encode_answer(Answer(text="a"), HEAD, BILL))
    assert body["choices"][0]["finish_reason"] == "error"


TOKENS = (
    TokenLogprob(token="é", logprob=-0.5, top=(TokenLogprob(token="e", logprob=-1.0),)),
    TokenLogprob(token="s!", logprob=float("-inf")),
)


def test_probabilities_stand_in_parallel_lists_with_places_counted_in_characters() -> None:
    told = whole(Answer(text="és!", logprobs=TOKENS, finish="stop"))
    assert told["choices"][0]["logprobs"] == {
        "tokens": ["é", "s!"],
        "token_logprobs": [-0.5, -9999.0],
        "top_logprobs": [{"e": -1.0}, {}],
        "text_offset": [0, 1],
    }
    first, second, *_rest = frames(
        TextDelta(text="és!", logprobs=TOKENS),
        TextDelta(text="?", logprobs=(TokenLogprob(token="?", logprob=-1.0),)),
    )
    assert first["choices"][0]["logprobs"]["text_offset"] == [0, 1]
    assert second["choices"][0]["logprobs"]["text_offset"] == [3]
    assert second["choices"][0]["logprobs"]["top_logprobs"] is None


PIECES = st.one_of(
    st.builds(TextDelta, text=st.text(max_size=5)),
    st.builds(RefusalDelta, text=st.text(max_size=5)),
    st.builds(ReasoningDelta, text=st.text(max_size=5)),
    st.just(Started(model="x")),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES, max_size=6))
def test_the_pieces_of_a_stream_make_up_the_whole(events: list[Event]) -> None:
    folder = Folder()
    for event in events:
        folder.add(event)
    *pieces, closing = frames(*events, Finished(reason="stop"))
    assert closing["choices"] == []
    assert closing["usage"]["cost_nanousd"] == 1500
    assert all(piece["object"] == "text_completion" for piece in pieces)
    said = "".join(piece["choices"][0]["text"] for piece in pieces)
    assert sorted(said) == sorted(folder.answer().text + folder.answer().refusal)
    thought = "".join(piece["choices"][0].get("reasoning", "") for piece in pieces)
    assert thought == folder.answer().reasoning_text


def test_thoughts_are_left_out_of_a_stream_where_they_are_not_wanted() -> None:
    pieces = frames(ReasoningDelta(text="Hm"), TextDelta(text="a"), shows_thoughts=False)
    assert [piece["choices"] and piece["choices"][0]["text"] for piece in pieces] == ["a", []]


def test_a_stream_that_breaks_ends_with_the_error_and_without_the_end_mark() -> None:
    encoder = ChunkEncoder(HEAD)
    written = encoder.encode(TextDelta(text="a")) + encoder.error(StreamBroken("It broke."))
    _first, last, end = written.decode().split("\n\n")
    failure = json.loads(last.removeprefix("data: "))
    assert end == ""
    assert failure["error"]["code"] == "stream_broken"
    assert failure["choices"][0]["finish_reason"] == "error"
