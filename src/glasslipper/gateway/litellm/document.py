"""Reads YAML that nobody vouches for: plain values only, of a bounded size, also when expanded.

The events of the document are counted before any value is made, with every alias counted as
large and as deep as what it stands for, so that a small text cannot become a huge value.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import yaml

from glasslipper.kernel.errors import InvalidRequest

MAX_BYTES = 1 << 20
MOST_VALUES = 50_000
MOST_LEVELS = 40


class _Size:
    """How many values a node has become, and how many levels."""

    __slots__ = ("anchor", "levels", "values")

    def __init__(self, anchor: str | None) -> None:
        self.anchor = anchor
        self.values = 1
        self.levels = 1

    def hold(self, inner: _Size) -> None:
        self.values += inner.values
        self.levels = max(self.levels, inner.levels + 1)
        if self.values > MOST_VALUES or self.levels > MOST_LEVELS:
            raise InvalidRequest(f"The file holds more than {MOST_VALUES:,} values, or too deep.")


def read_document(content: bytes) -> dict[str, object]:
    """Return the mapping that a YAML file holds; keys that are no text are left out.

    Raises:
        InvalidRequest: It is no YAML, no mapping, too large, or holds more than plain values.
    """
    if len(content) > MAX_BYTES:
        raise InvalidRequest(f"The file has more than {MAX_BYTES >> 20} MB.")
    try:
        text = content.decode("utf-8-sig")
        _weigh(text)
        value: object = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise InvalidRequest("The file is not text in UTF-8.") from error
    except yaml.YAMLError as error:
        raise InvalidRequest(f"The file is not plain YAML: {_where(error)}.") from error
    except (ValueError, RecursionError, OverflowError) as error:
        raise InvalidRequest("The file holds a value that cannot be read.") from error
    return mapping(value)


def mapping(value: object) -> dict[str, object]:
    """Return a value as a mapping by text.

    Raises:
        InvalidRequest: It is none.
    """
    if not isinstance(value, dict):
        raise InvalidRequest("There should be a mapping, of names to values.")
    members: dict[object, object] = value  # pyright: ignore[reportUnknownVariableType]
    return {name: member for name, member in members.items() if isinstance(name, str)}


def items(value: object) -> list[object]:
    """Return a value as a list; what is none has no items."""
    if not isinstance(value, list):
        return []
    members: list[object] = value  # pyright: ignore[reportUnknownVariableType]
    return members


def _weigh(text: str) -> None:
    """Refuse a document whose values would be too many or too deep once aliases are expanded."""
    open_nodes = [_Size(None)]
    known: dict[str, _Size] = {}
    events = cast("Iterable[object]", yaml.parse(text, Loader=yaml.SafeLoader))  # pyright: ignore[reportUnknownMemberType]
    for event in events:
        match event:
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                open_nodes.append(_Size(event.anchor))
                if len(open_nodes) > MOST_LEVELS:
                    raise InvalidRequest("The file is nested too deeply.")
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                _close(open_nodes.pop(), open_nodes[-1], known)
            case yaml.ScalarEvent():
                _close(_Size(event.anchor), open_nodes[-1], known)
            case yaml.AliasEvent():
                meant = known.get(event.anchor or "")
                if meant is None:
                    raise InvalidRequest("An alias in the file stands for nothing before it.")
                open_nodes[-1].hold(meant)
            case _:
                pass


def _close(node: _Size, outer: _Size, known: dict[str, _Size]) -> None:
    if node.anchor is not None:
        known[node.anchor] = node
    outer.hold(node)


def _where(error: yaml.YAMLError) -> str:
    """Return what is wrong and in which line, without quoting the file, which may hold secrets."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1} cannot be understood"
    return "it cannot be understood"
