"""Laws of the shared words."""

import doctest
import importlib
import inspect
import pkgutil
import re
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

import glasslipper
from glasslipper.kernel import errors, events, ids
from glasslipper.kernel.money import PER, USAGE_CLASSES, Price, amount_nanousd, nanousd, usd_text
from glasslipper.kernel.usage import Usage

RATES = st.integers(0, 10**12)
UNITS = st.integers(0, 10**9)
PRICES = st.builds(Price, **{name: RATES for name in USAGE_CLASSES})
USAGES = st.builds(Usage, **{name: UNITS for name in USAGE_CLASSES})


@given(usage=USAGES, price=PRICES)
def test_an_amount_is_the_exact_sum_rounded_up_once(usage: Usage, price: Price) -> None:
    exact = sum(getattr(usage, name) * getattr(price, name) for name in USAGE_CLASSES)
    amount = amount_nanousd(usage, price)
    assert amount * PER >= exact > (amount - 1) * PER


@given(one=USAGES, other=USAGES, price=PRICES)
def test_more_usage_never_costs_less_and_splitting_costs_at_most_one_more(
    one: Usage, other: Usage, price: Price
) -> None:
    together = amount_nanousd(one + other, price)
    apart = amount_nanousd(one, price) + amount_nanousd(other, price)
    assert together <= apart <= together + 1


def test_a_class_without_a_price_costs_what_it_is_a_kind_of() -> None:
    price = Price(input=7, output=9, cache_read=0)
    assert price.rate("cache_write") == 7
    assert price.rate("cache_read") == 0
    assert price.rate("reasoning") == 9
    assert price.rate("requests") == 0


@given(amount=st.integers(-(10**15), 10**15))
def test_dollars_for_people_read_back_exactly(amount: int) -> None:
    text = usd_text(amount)
    assert nanousd(text.replace("$", "")) == amount


@pytest.mark.parametrize("text", ["", "five", "nan", "inf", "1e999999999"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        nanousd(text)


@given(times=st.lists(st.integers(0, 2**47), min_size=2, max_size=20))
def test_ids_sort_by_time_and_tell_it(times: list[int]) -> None:
    made = [ids.new_id("gen", at_ms) for at_ms in times]
    assert [ids.made_at_ms(one) for one in made] == times
    assert len(set(made)) == len(made)
    by_time = sorted(zip(times, made, strict=True))
    assert [one[:14] for _, one in by_time] == sorted(one[:14] for one in made)


PIECES = st.lists(
    st.one_of(
        st.builds(events.TextDelta, text=st.text()),
        st.builds(events.ReasoningDelta, text=st.text()),
        st.builds(
            events.ToolCallDelta,
            index=st.integers(0, 2),
            id=st.none() | st.just("call"),
            name=st.none() | st.just("tool"),
            arguments=st.text(),
        ),
    )
)


@given(pieces=PIECES)
def test_folding_loses_no_letter(pieces: list[events.Event]) -> None:
    answer = events.fold(pieces)
    texts = [piece.text for piece in pieces if isinstance(piece, events.TextDelta)]
    assert answer.text == "".join(texts)
    arguments = [piece for piece in pieces if isinstance(piece, events.ToolCallDelta)]
    assert sorted("".join(call.arguments for call in answer.tool_calls)) == sorted(
        "".join(piece.arguments for piece in arguments)
    )
    assert answer.finish is None


def every_error() -> list[type[errors.GlasslipperError]]:
    found = [errors.GlasslipperError]
    for one in found:
        found += one.__subclasses__()
    return found


def test_the_drawn_tree_of_errors_is_the_tree_of_errors() -> None:
    drawing = re.findall(r"^    ([│├└─ ]*)(\w+)", errors.__doc__ or "", re.MULTILINE)
    parents: list[str] = []
    drawn: dict[str, str] = {}
    for indent, name in drawing:
        depth = len(indent) // 4
        drawn[name] = parents[depth - 1] if depth else "Exception"
        parents[depth:] = [name]
    ours = [one for one in every_error() if one.__module__ == errors.__name__]
    assert drawn == {one.__name__: one.__bases__[0].__name__ for one in ours}


def test_every_error_has_a_slug_of_its_own_and_says_what_to_do() -> None:
    concrete = every_error()
    slugs = [one.slug for one in concrete if "slug" in vars(one)]
    assert len(slugs) == len(set(slugs))
    for one in concrete:
        assert one.default_hint
        assert 400 <= one.status < 600


def modules() -> list[str]:
    found = pkgutil.walk_packages(glasslipper.__path__, "glasslipper.")
    return [one.name for one in found if not one.name.endswith("__main__")]


def load(name: str) -> ModuleType:
    """Import a module; one that needs an extra is left out where that is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name in EXTRAS:
            pytest.skip(f"{name} needs {missing.name}, which is an extra")
        raise


EXTRAS = ("torch", "transformers", "safetensors", "triton")


@pytest.mark.parametrize("name", modules())
def test_every_module_says_what_it_is_and_its_examples_are_true(name: str) -> None:
    module = load(name)
    assert (module.__doc__ or "").strip(), f"{name} has no docstring"
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("name", [one for one in modules() if ".dsa" not in one])
def test_public_functions_take_no_more_than_a_few_positional_arguments(name: str) -> None:
    # Sparse attention takes its tensors by position, as torch does.
    module = load(name)
    for function in vars(module).values():
        if not inspect.isfunction(function) or function.__module__ != name:
            continue
        if function.__name__.startswith("_"):
            continue
        positional = [
            one
            for one in inspect.signature(function).parameters.values()
            if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
        ]
        assert len(positional) <= 4, f"{name}.{function.__name__}"
