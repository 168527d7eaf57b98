"""Google's own kind of schema, a selection of OpenAPI's, put into JSON Schema.

Type names become lower case, `nullable` a type, limits written as text numbers. What JSON Schema
calls the same is kept as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from glasslipper.gateway.dialects.body import invalid
from glasslipper.gateway.dialects.gemini.wire import member

MAX_LEVELS = 64

_LIMITS = frozenset(
    {
        "maxItems",
        "maxLength",
        "maxProperties",
        "minItems",
        "minLength",
        "minProperties",
    }
)
_RENAMED = {"defs": "$defs", "ref": "$ref"}
_SPELLED = frozenset({"any_of", "property_ordering", "additional_properties"}) | {
    f"{limit[:3]}_{limit[3:].lower()}" for limit in _LIMITS
}


def json_schema(schema: Mapping[str, object], path: str, *, level: int = 0) -> dict[str, object]:
    """Return the JSON Schema that means the same.

    Raises:
        InvalidRequest: It is nested more than `MAX_LEVELS` deep, or a limit is no number.
    """
    if level > MAX_LEVELS:
        raise invalid(path, "is nested too deeply")
    result: dict[str, object] = {}
    for given, value in schema.items():
        name = member(given) if given in _SPELLED else _RENAMED.get(given, given)
        if name != "nullable":
            result[name] = _value(name, value, f"{path}.{given}", level=level + 1)
    return _with_null(result) if schema.get("nullable") is True else result


def _value(name: str, value: object, path: str, *, level: int) -> object:
    if name == "type" and isinstance(value, str):
        return value.lower()
    if name in _LIMITS and isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            raise invalid(path, "is not a number") from None
    if name in ("properties", "$defs") and isinstance(value, dict):
        named = cast("dict[str, object]", value)
        return {key: _inner(each, f"{path}.{key}", level=level) for key, each in named.items()}
    if name in ("anyOf", "prefixItems") and isinstance(value, list):
        items = cast("list[object]", value)
        return [_inner(each, f"{path}[{at}]", level=level) for at, each in enumerate(items)]
    if name in ("items", "additionalProperties"):
        return _inner(value, path, level=level)
    return value


def _inner(value: object, path: str, *, level: int) -> object:
    if isinstance(value, dict):
        return json_schema(cast("dict[str, object]", value), path, level=level)
    return value


def _with_null(schema: dict[str, object]) -> dict[str, object]:
    kind, choices = schema.get("type"), schema.get("enum")
    if isinstance(kind, str) and kind != "null":
        schema["type"] = [kind, "null"]
    if isinstance(choices, list) and None not in choices:
        schema["enum"] = [*cast("list[object]", choices), None]
    if isinstance(schema.get("anyOf"), list) and kind is None:
        schema["anyOf"] = [*cast("list[object]", schema["anyOf"]), {"type": "null"}]
    return schema
