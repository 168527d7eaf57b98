"""Whether a model's tool calls, and answers that are to be JSON, can be used.

A call has a known name; a call's arguments, and such an answer, are JSON and as the schema says.

The schema is judged by the keywords that say most (types, required and allowed members, enums,
bounds); any other keyword, references among them, lets everything pass: a model is not blamed
for what cannot be judged here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, cast

import msgspec

from glasslipper.kernel.events import ToolCallDelta
from glasslipper.kernel.messages import HostedTool, ResponseFormat, Tool

FormFault = Literal["InvalidJson", "SchemaMismatch"]
ToolFault = Literal["UnknownName"] | FormFault

MOST_DEPTH = 32
MOST_STEPS = 20_000
"""What lies deeper, or comes after so many comparisons, is not judged."""

MOST_BYTES = 262_144
"""Longer arguments are not judged."""

Json = Mapping[str, object]


class ToolWatch:
    """Watches the tool calls of one answer."""

    def __init__(self, tools: Sequence[Tool], hosted: Sequence[HostedTool] = ()) -> None:
        """Judge calls of `tools`; those of `hosted`, whose shape nobody told, are all well."""
        self._tools = {tool.name: tool for tool in tools}
        self._hosted = {tool.name for tool in hosted}
        self._names: dict[int, str] = {}
        self._pieces: dict[int, list[str]] = {}

    def add(self, delta: ToolCallDelta) -> None:
        """Take in the next piece of a call."""
        if delta.name:
            self._names[delta.index] = delta.name
        self._pieces.setdefault(delta.index, []).append(delta.arguments)

    @property
    def calls(self) -> int:
        """How many calls there have been so far."""
        return len(self._pieces)

    def fault(self) -> ToolFault | None:
        """Return what is wrong with the first faulty call, or `None`."""
        for index, pieces in self._pieces.items():
            name = self._names.get(index, "")
            if name in self._hosted:
                continue
            found = judge(self._tools, name, "".join(pieces))
            if found is not None:
                return found
        return None


class FormWatch:
    """Watches whether one answer has the shape that was asked for."""

    def __init__(self, wanted: ResponseFormat) -> None:
        """Judge by the shape `wanted`, which is not free text."""
        self._schema: object = wanted.schema if wanted.kind == "json_schema" else {"type": "object"}
        self._pieces: list[str] = []

    def add(self, text: str) -> None:
        """Take in the next words."""
        self._pieces.append(text)

    def fault(self) -> FormFault | None:
        """Return what is wrong with the words as a whole, or `None`."""
        return _fault("".join(self._pieces), self._schema)


def judge(tools: Mapping[str, Tool], name: str, arguments: str) -> ToolFault | None:
    """Return what is wrong with one call, or `None`."""
    tool = tools.get(name)
    if tool is None:
        return "UnknownName"
    return _fault(arguments or "{}", {"allOf": [{"type": "object"}, tool.parameters]})


def _fault(text: str, schema: object) -> FormFault | None:
    if len(text) > MOST_BYTES:
        return None
    try:
        value: object = msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return "InvalidJson"
    return None if fits(value, schema) else "SchemaMismatch"


def fits(value: object, schema: object) -> bool:
    """Tell whether a JSON value is as a JSON Schema (draft 7) says, as far as can be judged."""
    return _Judge().fits(value, schema, 0)


class _Judge:
    """Compares one value with one schema, within bounds."""

    def __init__(self) -> None:
        self._steps = MOST_STEPS

    def fits(self, value: object, schema: object, depth: int) -> bool:
        if schema is False:
            return False
        self._steps -= 1
        if not isinstance(schema, Mapping) or depth > MOST_DEPTH or self._steps < 0:
            return True
        rules = cast("Json", schema)
        if "$ref" in rules:
            return True
        return (
            _has_type(value, rules.get("type"))
            and _is_listed(value, rules)
            and _is_within(value, rules)
            and self._has_members(value, rules, depth)
            and self._has_items(value, rules, depth)
            and self._is_combined(value, rules, depth)
        )

    def _has_members(self, value: object, rules: Json, depth: int) -> bool:
        if not isinstance(value, dict):
            return True
        members = cast("dict[str, object]", value)
        required = rules.get("required")
        names = cast("list[object]", required) if isinstance(required, list) else []
        if any(isinstance(name, str) and name not in members for name in names):
            return False
        properties = rules.get("properties")
        known: Json = cast("Json", properties) if isinstance(properties, Mapping) else {}
        others = True if "patternProperties" in rules else rules.get("additionalProperties", True)
        return all(
            self.fits(one, known.get(name, others), depth + 1) for name, one in members.items()
        )

    def _has_items(self, value: object, rules: Json, depth: int) -> bool:
        items = rules.get("items")
        if not isinstance(value, list) or not isinstance(items, Mapping):
            return True
        listed = cast("list[object]", value)
        return all(self.fits(one, cast("Json", items), depth + 1) for one in listed)

    def _is_combined(self, value: object, rules: Json, depth: int) -> bool:
        for keyword, enough in (("allOf", all), ("anyOf", any), ("oneOf", any)):
            listed = rules.get(keyword)
            if isinstance(listed, list) and not enough(
                self.fits(value, one, depth + 1) for one in cast("list[object]", listed)
            ):
                return False
        return True


_TYPES: dict[str, Callable[[object], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: (
        (isinstance(value, int) and not isinstance(value, bool))
        or (isinstance(value, float) and value.is_integer())
    ),
}


def _has_type(value: object, named: object) -> bool:
    names = cast("list[object]", named) if isinstance(named, list) else [named]
    checks = [_TYPES.get(name) for name in names if isinstance(name, str)]
    return not checks or any(check is None or check(value) for check in checks)


def _is_listed(value: object, rules: Json) -> bool:
    enum = rules.get("enum")
    if isinstance(enum, list) and not any(_equal(value, one) for one in cast("list[object]", enum)):
        return False
    return "const" not in rules or _equal(value, rules["const"])


def _equal(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _is_within(value: object, rules: Json) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    least, most = rules.get("minimum"), rules.get("maximum")
    return not (
        (isinstance(least, int | float) and value < least)
        or (isinstance(most, int | float) and value > most)
    )
