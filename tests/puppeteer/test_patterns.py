"""Patterns are documents, and what is read out of replies is typed."""

import pytest

from glasslipper.kernel.errors import NotFound
from glasslipper.puppeteer.patterns import (
    Conclusion,
    Exchange,
    FileWanted,
    Note,
    Program,
    Seen,
    Steps,
    ToolWanted,
    Verdict,
    book,
    messages,
    pattern,
    read,
)

WANTED = {
    "reason", "plan", "decompose", "critique", "reflect", "refine", "question", "summarise",
    "modify", "conclude", "python", "file", "tool", "verify",
}  # fmt: skip


def test_every_pattern_is_there_with_a_version_and_a_purpose() -> None:
    assert set(book()) == WANTED
    for name, one in book().items():
        assert one.id == f"{name}.{one.version}"
        assert one.purpose.endswith(".")
        assert "{task}" in one.prompt
    with pytest.raises(NotFound, match="no pattern"):
        pattern("levitate")


def test_a_prompt_shows_what_its_pattern_reads_and_no_more() -> None:
    seen = Seen(task="2+2? {leading}", leading="5", history=[("smol", "I say 5")])
    alone = messages(pattern("conclude"), seen)
    assert [one.role for one in alone] == ["system", "user"]
    assert alone[-1].text == "2+2? {leading}"
    critique = messages(pattern("critique"), seen)[-1].text
    assert "2+2? {leading}" in critique
    assert "5" in critique
    assert "I say" not in critique
    assert "[smol]\nI say 5" in messages(pattern("summarise"), seen)[-1].text


@pytest.mark.parametrize(
    ("name", "reply", "wanted"),
    [
        ("conclude", " 42 ", Conclusion(answer="42")),
        ("reason", "6*7=42\n**Answer:** 42", Conclusion(answer="42", thinking="6*7=42")),
        ("reason", "Answer: 1\nAnswer: 2", Conclusion(answer="2", thinking="Answer: 1")),
        ("python", "Sure!\n```python\nprint(1)\n```\nDone", Program(code="print(1)")),
        ("python", "```\nprint(1)", Program(code="print(1)")),
        ("python", "print(1)", Program(code="print(1)")),
        ("python", "I cannot.", Program(code="")),
        ("plan", "Steps:\n- add\n2. multiply", Steps(steps=("add", "multiply"))),
        ("question", "Question: How?\nAnswer: So.", Exchange(question="How?", answer="So.")),
        ("critique", "Verdict: wrong\nIt is 4.", Verdict(right=False, fault="It is 4")),
        ("verify", "Verdict: right", Verdict(right=True)),
        ("verify", "I like it", Verdict(right=None, fault="I like it")),
        ("reflect", " Hm. ", Note(text="Hm.")),
        ("file", "`notes.txt`\n", FileWanted(name="notes.txt")),
        ("tool", 'So {"name": "a", "arguments": {}}', ToolWanted(name="a", arguments={})),
        ("tool", "none needed", ToolWanted(name="", arguments={})),
    ],
)  # fmt: skip
def test_replies_are_read_as_what_they_are(name: str, reply: str, wanted: object) -> None:
    assert read(pattern(name), reply) == wanted
