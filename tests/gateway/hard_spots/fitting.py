"""The words of the catalogue, and whether a value is what one of its pages expects.

An expected object may leave members out; what it names must be there. The tags: `!something` is
any value but null, `!absent` is no such member, `!json` is text that holds this JSON,
`!contains` is text with these words in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct


class Something(Struct, frozen=True):
    """Any value but null."""


class Absent(Struct, frozen=True):
    """No such member."""


class Json(Struct, frozen=True):
    """Text that holds this JSON."""

    value: Any


class Contains(Struct, frozen=True):
    """Text with these words in it."""

    words: str


class _Loader(yaml.SafeLoader):
    pass


def _json(loader: _Loader, node: yaml.Node) -> Json:
    if isinstance(node, yaml.MappingNode):
        return Json(loader.construct_mapping(node, deep=True))
    return Json(loader.construct_sequence(node, deep=True))


_Loader.add_constructor("!something", lambda _loader, _node: Something())
_Loader.add_constructor("!absent", lambda _loader, _node: Absent())
_Loader.add_constructor("!contains", lambda loader, node: Contains(loader.construct_scalar(node)))
_Loader.add_constructor("!json", _json)


def pages(path: Path) -> list[dict[str, Any]]:
    """Return the spots that a file of the catalogue tells of."""
    return yaml.load(path.read_text(encoding="utf-8"), _Loader)


def misfits(expected: Any, actual: Any, path: str = "$") -> Iterator[str]:
    """Yield where an actual value is not what was expected."""
    match expected:
        case Something():
            if actual is None:
                yield f"{path}: there is nothing"
        case Json() | Contains():
            yield from _misfits_of_text(expected, actual, path)
        case dict():
            yield from _misfits_of_members(expected, actual, path)
        case list():
            if not isinstance(actual, list) or len(actual) != len(expected):
                yield f"{path}: expected {len(expected)} items, not {actual!r}"
            else:
                for index, (one, other) in enumerate(zip(expected, actual, strict=True)):
                    yield from misfits(one, other, f"{path}[{index}]")
        case _:
            if expected != actual or isinstance(expected, bool) != isinstance(actual, bool):
                yield f"{path}: expected {expected!r}, not {actual!r}"


def _misfits_of_text(expected: Json | Contains, actual: Any, path: str) -> Iterator[str]:
    if isinstance(expected, Contains):
        if not isinstance(actual, str) or expected.words not in actual:
            yield f"{path}: {expected.words!r} is not in {actual!r}"
        return
    try:
        yield from misfits(expected.value, json.loads(actual), f"{path} as JSON")
    except (TypeError, ValueError):
        yield f"{path}: {actual!r} is no JSON"


def _misfits_of_members(expected: dict[str, Any], actual: Any, path: str) -> Iterator[str]:
    if not isinstance(actual, dict):
        yield f"{path}: expected an object, not {actual!r}"
        return
    for name, value in expected.items():
        where = f"{path}.{name}"
        if isinstance(value, Absent):
            if name in actual:
                yield f"{where}: {actual[name]!r} should not be there"
        elif name not in actual:
            yield f"{where}: is not there, among {sorted(actual)}"
        else:
            yield from misfits(value, actual[name], where)
