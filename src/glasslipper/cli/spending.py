"""Spending as the admin API answers it, and as lines of a table."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from glasslipper.cli.reading import read_answer
from glasslipper.kernel.money import usd_text


class Group(Struct, frozen=True, kw_only=True):
    """What a group of generations consumed (tokens) and was charged (nano-USD)."""

    name: str
    generations: int
    prompt_tokens: int
    completion_tokens: int
    charged_nanousd: int


def read(answer: object) -> list[Group]:
    """Return the groups of an answer."""
    return read_answer(answer, list[Group])


def total(groups: Sequence[Group]) -> Group:
    """Return all groups as one."""
    return Group(
        name="all",
        generations=sum(group.generations for group in groups),
        prompt_tokens=sum(group.prompt_tokens for group in groups),
        completion_tokens=sum(group.completion_tokens for group in groups),
        charged_nanousd=sum(group.charged_nanousd for group in groups),
    )


def line(group: Group) -> tuple[str, ...]:
    """Return a group as a line of the table."""
    return (
        group.name or "none",
        f"{group.generations:,}",
        f"{group.prompt_tokens:,}",
        f"{group.completion_tokens:,}",
        usd_text(group.charged_nanousd),
    )
