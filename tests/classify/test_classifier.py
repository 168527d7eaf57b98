"""What requests are said to be about."""

from __future__ import annotations

import pytest

from glasslipper.classify import SURE, TAGS, TOPICS, Classifier
from glasslipper.kernel.messages import Message, Request, Role, TextPart, Tool, ToolCall


def said(*turns: tuple[Role, str], tools: tuple[Tool, ...] = ()) -> Request:
    messages = tuple(Message(role=role, parts=(TextPart(text=text),)) for role, text in turns)
    return Request(model="any", messages=messages, tools=tools)


PLAIN = {
    "Fix my Python function, it raises a TypeError: def f(a): return a + '1'": "programming",
    "Write a short story about a dragon who is afraid of the dark.": "roleplay",
    "Translate this sentence to French: the train is late again.": "translation",
    "My landlord wants to break our lease contract, is that legal?": "legal",
    "Solve the equation 4x + 7 = 31 and show each step.": "math",
    "I have had a fever and a cough for three days, which medicine helps?": "health",
    "How do compound interest and dividends grow an investment portfolio?": "finance",
    "Suggest long-tail keywords and a meta description for better Google ranking.": "seo",
    "hello!": "other",
}


@pytest.mark.parametrize(("text", "topic"), PLAIN.items())
def test_a_plain_prompt_gets_the_topic_that_anybody_would_give_it(
    classifier: Classifier, text: str, topic: str
) -> None:
    assert classifier.label(said(("user", text))).task == topic


def test_the_system_prompt_does_not_make_a_request_roleplay(classifier: Classifier) -> None:
    persona = "Act as a wizard in a fantasy kingdom. Stay in character and write stories."
    question = "Solve the equation 4x + 7 = 31 and show each step."
    with_persona = classifier.label(said(("system", persona), ("user", question)))
    assert with_persona == classifier.label(said(("user", question)))


def test_what_the_model_said_is_not_looked_at(classifier: Classifier) -> None:
    question = ("user", "Write a short story about a dragon who is afraid of the dark.")
    code: tuple[Role, str] = ("assistant", "def f(x):\n    return x\n" * 20)
    assert classifier.label(said(question, code)) == classifier.label(said(question))


def test_a_short_last_turn_is_read_with_the_turns_before_it(classifier: Classifier) -> None:
    request = said(
        ("user", "Translate this sentence to French: the train is late again."),
        ("assistant", "Le train est encore en retard."),
        ("user", "now more formal please"),
    )
    assert classifier.label(request).task == "translation"


def test_a_request_without_a_users_word_gets_no_topic(classifier: Classifier) -> None:
    label = classifier.label(said(("system", "You translate.")))
    assert label.task is None
    assert label.language is None


def test_nonsense_gets_no_topic(classifier: Classifier) -> None:
    label = classifier.label(said(("user", "qzx vrumpf 0 blorb tikk")))
    assert label.task is None
    assert label.confidence < SURE


def test_the_tools_that_an_agent_calls_tell_its_task(classifier: Classifier) -> None:
    def after_calling(name: str) -> str | None:
        call = Message(role="assistant", tool_calls=(ToolCall(id="1", name=name, arguments="{}"),))
        request = said(("user", "go on"))
        messages = (*request.messages, call, Message(role="tool", tool_call_id="1"))
        return classifier.label(Request(model="any", messages=messages)).tag

    assert after_calling("bash") == "code.shell_execution"
    assert after_calling("read_file") == "code.file_read_write"
    assert after_calling("web_search") == "agent.web_search"


def test_labels_are_of_the_two_published_lists(classifier: Classifier) -> None:
    seen = classifier.look("Fix my SQL query")
    assert {guess.label for guess in seen.topics} == set(TOPICS)
    assert {guess.label for guess in seen.tags} == set(TAGS)
    assert len(TAGS) == 30
    assert sum(guess.probability for guess in seen.topics) == pytest.approx(1, abs=1e-5)


def test_the_label_of_a_huge_prompt_depends_on_its_two_ends(classifier: Classifier) -> None:
    start = "Translate the following text to German.\n" + "word " * 300
    one = classifier.label(said(("user", start + "blah " * 100_000 + "the end " * 60)))
    other = classifier.label(said(("user", start + "rumble " * 100_000 + "the end " * 60)))
    assert one == other


@pytest.mark.parametrize("text", ["", " ", "\x00", "\ud800", "🙂" * 500, "(" * 5_000, "`" * 4_000])
def test_odd_texts_are_labelled_like_any_other(classifier: Classifier, text: str) -> None:
    assert classifier.label(said(("user", text))).classifier == classifier.name
