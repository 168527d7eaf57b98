"""One task: what is asked, in which form the answer is wanted, and what would be right."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Kind = Literal["arithmetic", "gsm_hard", "extraction", "functions", "sentence"]
Form = Literal["number", "json", "code", "words"]
Split = Literal["train", "test"]


class Task(Struct, frozen=True, kw_only=True):
    """A task.

    `gold` is the right answer: a number, a JSON object, what a function returns for `probes`
    (as JSON), or the words that a sentence must hold. `example` is a check that the asker gives
    away in the text: a Python expression that is true of a right function.
    """

    id: str
    kind: Kind
    form: Form
    text: str
    gold: str
    function: str = ""
    probes: str = "[]"
    example: str = ""
