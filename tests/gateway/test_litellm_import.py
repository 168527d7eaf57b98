"""What of a LiteLLM proxy's configuration is taken, what is not, and what is refused."""

import contextlib
import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from glasslipper.gateway.added import AddedModel
from glasslipper.gateway.litellm import Plan, Planned, plan
from glasslipper.gateway.litellm.document import MAX_BYTES, read_document
from glasslipper.gateway.providers import table
from glasslipper.kernel.errors import InvalidRequest

SECRET = "sk-literal-0123456789abcdef"


def read(*entries: object, environ: dict[str, str] | None = None, **sections: object) -> Plan:
    text = yaml.safe_dump({"model_list": list(entries), **sections})
    return plan(text.encode(), environ or {})


def entry(name: str = "mine", *, info: dict[str, Any] | None = None, **params: object) -> Any:
    made = {"model_name": name, "litellm_params": params}
    return made if info is None else made | {"model_info": info}


def only(*entries: object, environ: dict[str, str] | None = None) -> Planned:
    (planned,) = read(*entries, environ=environ).models
    return planned


def model_of(planned: Planned) -> AddedModel:
    assert planned.model is not None, planned.ignored
    return planned.model


@pytest.mark.parametrize(
    ("name", "slug", "upstream"),
    [
        ("openai/gpt-4o", "openai", "gpt-4o"),
        ("gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("claude-3-5-sonnet-20241022", "anthropic", "claude-3-5-sonnet-20241022"),
        ("anthropic/claude-3-haiku-20240307", "anthropic", "claude-3-haiku-20240307"),
        ("gemini/gemini-2.5-pro", "google", "gemini-2.5-pro"),
        ("together_ai/meta-llama/Llama-3-8b", "together", "meta-llama/Llama-3-8b"),
        ("fireworks_ai/accounts/fireworks/models/x", "fireworks", "accounts/fireworks/models/x"),
        ("dashscope/qwen-max", "qwen", "qwen-max"),
        ("openrouter/openai/gpt-4o", "openrouter", "openai/gpt-4o"),
        ("ollama/llama3:8b", "ollama", "llama3:8b"),
    ],
)
def test_a_name_means_a_provider_and_what_it_calls_the_model(
    name: str, slug: str, upstream: str
) -> None:
    model = model_of(only(entry(model=name)))
    assert (model.speaks, model.upstream_model, model.endpoint) == (slug, upstream, f"mine@{slug}")
    assert table.provider(slug) is not None


def test_keys_of_the_environment_stay_there() -> None:
    planned = only(entry(model="openai/gpt-4o", api_key="os.environ/THEIR_KEY"))
    assert model_of(planned).key_env == "THEIR_KEY"
    assert planned.key is None
    usual = only(entry(model="mistral/mistral-small-latest"), environ={"MISTRAL_API_KEY": "k"})
    assert model_of(usual).key_env is None
    assert "its key is read from MISTRAL_API_KEY" in usual.taken


def test_a_key_in_the_file_is_told_to_nobody_but_whoever_seals_it() -> None:
    made = read(
        entry(model="openai/gpt-4o", api_key=SECRET, extra_headers={"x": SECRET}),
        entry(model="openai/gpt-4o", api_base=f"https://u:{SECRET}@host/v1"),
        general_settings={"master_key": SECRET, "database_url": SECRET},
        environment_variables={"OPENAI_API_KEY": SECRET},
        litellm_settings={"cache_params": {"password": SECRET}},
    )
    assert made.models[0].key is not None
    assert made.models[0].key.text == SECRET
    assert SECRET not in repr(made)
    assert made.models[1].model is None
    assert {note.what for note in made.settings} == {
        "general_settings.master_key",
        "general_settings.database_url",
        "environment_variables",
        "litellm_settings.cache_params",
    }


def test_several_entries_of_one_name_are_several_endpoints() -> None:
    made = read(
        entry("gpt", model="openai/gpt-4o", api_key="os.environ/ONE"),
        entry("gpt", model="openai/gpt-4o", api_key="os.environ/TWO"),
        entry("gpt", model="groq/llama-3.3-70b-versatile"),
    )
    models = [model_of(one) for one in made.models]
    assert {model.id for model in models} == {"gpt"}
    assert [model.provider for model in models] == ["openai", "openai-2", "groq"]
    assert len({model.place for model in models}) == 3
    assert models[1].server().max_tokens_field == "max_completion_tokens"


def test_what_only_speaks_like_openai_is_no_openai() -> None:
    there = model_of(only(entry(model="openai/some-model", api_base="http://10.0.0.7:8000/v1/")))
    assert (there.speaks, there.url) == (None, "http://10.0.0.7:8000/v1")
    europe = model_of(only(entry(model="gpt-4o", api_base="https://eu.api.openai.com/v1")))
    assert europe.speaks == "openai"
    trick = model_of(only(entry(model="gpt-4o", api_base="https://openai.com.evil.example/v1")))
    assert trick.speaks is None


def test_no_usual_key_is_sent_to_an_address_that_the_file_says() -> None:
    planned = only(
        entry(model="openai/gpt-4o", api_base="http://10.0.0.7:8000/v1"),
        environ={"OPENAI_API_KEY": "k"},
    )
    assert model_of(planned).key_env is None
    assert "it is shown no key" in planned.taken


def test_the_address_of_ollama_is_where_it_speaks_openais_language() -> None:
    bare = entry(model="ollama_chat/llama3", api_base="http://localhost:11434")
    assert model_of(only(bare)).url == "http://localhost:11434/v1"
    named = entry(model="ollama/llama3", api_base="os.environ/THERE")
    assert model_of(only(named, environ={"THERE": "http://box:1/v1"})).url == "http://box:1/v1"
    assert "THERE" in only(named).ignored[0].why


def test_prices_are_taken_exactly_from_either_place() -> None:
    planned = only(
        entry(
            model="openai/gpt-4o",
            input_cost_per_token=1.5e-7,
            output_cost_per_token="6e-07",
            info={
                "input_cost_per_token": 9,
                "cache_read_input_token_cost": 0.000000075,
                "max_input_tokens": 128_000,
                "max_output_tokens": 16_384,
            },
        )
    )
    model = model_of(planned)
    assert (model.price_in, model.price_out) == ("0.15", "0.6")
    assert model.prices == {"cache_read": "0.075"}
    assert (model.context_tokens, model.max_output_tokens) == (128_000, 16_384)
    tariff = model.tariff(as_of="2026-11-23")
    assert tariff is not None
    assert tariff.versions[0].price.input == 150_000_000


@pytest.mark.parametrize("cost", ["much", float("nan"), float("inf"), -1, True, [1], 1e9])
def test_a_price_that_is_none_takes_the_entry_away_and_says_so(cost: object) -> None:
    planned = only(entry(model="openai/gpt-4o", input_cost_per_token=cost))
    assert planned.model is None
    assert "amount of dollars" in planned.ignored[0].why


@pytest.mark.parametrize(
    "one",
    [
        entry(model="azure/gpt-4o"),
        entry(model="bedrock/anthropic.claude-v2"),
        entry(model="nobody-knows"),
        entry(model=7),
        entry(),
        entry("*", model="openai/*"),
        entry("x" * 300, model="openai/gpt-4o"),
        entry(model="openai/gpt-4o", api_key="os.environ/GLASSLIPPER_MASTER_KEY"),
        entry(model="llamafile/x"),
        "no mapping",
        None,
        {"model_name": "x", "litellm_params": []},
    ],
)
def test_an_entry_that_cannot_be_offered_says_why_and_leaves_the_others(one: object) -> None:
    made = read(one, entry("fine", model="openai/gpt-4o"))
    assert made.models[0].model is None
    assert made.models[0].ignored[0].why
    assert model_of(made.models[1]).id == "fine"


def test_every_member_that_is_not_taken_is_named() -> None:
    planned = only(
        {
            **entry(model="openai/gpt-4o", rpm=5, timeout=3, unheard_of=1, info={"tier": "x"}),
            "more": 1,
        }
    )
    assert {note.what for note in planned.ignored} == {
        "litellm_params.rpm",
        "litellm_params.timeout",
        "litellm_params.unheard_of",
        "model_info.tier",
        "more",
    }
    assert all(note.why for note in planned.ignored)


def test_anchors_and_merges_are_understood() -> None:
    text = b"""
x-common: &common {api_key: os.environ/ONE}
model_list:
  - model_name: a
    litellm_params: {<<: *common, model: openai/gpt-4o}
"""
    assert model_of(plan(text, {}).models[0]).key_env == "ONE"


LAUGHS = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {k: v}\n" + "".join(
    f"{new}: &{new} {{<<: [{','.join([f'*{old}'] * 9)}]}}\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "content",
    [
        LAUGHS.encode(),
        MERGES.encode(),
        b"a: &a [*a]",
        b"a: *nobody",
        b"[" * 100_000,
        b"{a: " * 50_000,
        b"- " * 100_000,
        b"? " * 10_000,
        b"a: !!python/object/apply:os.system ['true']",
        b"a: !!python/name:os.system",
        b"a: " + b"9" * 50_000,
        b"a: 9999-99-99",
        b"x" * (MAX_BYTES + 1),
        b"\xff\xfe",
        b"a: [",
        b"",
        b"7",
        b"model_list: 7",
        b"--- a\n--- b",
    ],
)
def test_a_hostile_file_is_refused_at_once(content: bytes) -> None:
    began_s = time.process_time()
    with pytest.raises(InvalidRequest):
        plan(content, {})
    assert time.process_time() - began_s < 5


def test_what_is_wrong_with_a_file_is_told_without_quoting_it() -> None:
    with pytest.raises(InvalidRequest) as told:
        plan(f"model_list: [\napi_key: {SECRET}: {SECRET}".encode(), {})
    assert SECRET not in told.value.message
    assert "line" in told.value.message


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
PARAMS = st.dictionaries(
    st.sampled_from(["model", "api_key", "api_base", "input_cost_per_token", "rpm"]),
    VALUES | st.sampled_from(["openai/gpt-4o", "ollama/x", "http://h/v1", "os.environ/X"]),
)


@given(st.lists(st.fixed_dictionaries({"model_name": VALUES, "litellm_params": PARAMS}) | VALUES))
def test_every_entry_is_answered_whatever_it_holds(entries: list[object]) -> None:
    made = read(*entries)
    assert [one.entry for one in made.models] == list(range(1, len(entries) + 1))
    assert all(one.model is not None or one.ignored for one in made.models)


@given(st.binary(max_size=400) | st.text(alphabet="&*a:[]{}-? \n|>!%@`'\"<", max_size=60))
def test_no_text_breaks_the_reader(content: bytes | str) -> None:
    with contextlib.suppress(InvalidRequest):
        read_document(content.encode() if isinstance(content, str) else content)
