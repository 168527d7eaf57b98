"""One spelling for requests that mean the same, so that only differences of meaning are left.

Text alone or as a list of one part, turns of one role in a row or joined, Google's REST spelling
or that of its Python SDK.
"""

from __future__ import annotations

import re
from typing import Any

Json = dict[str, Any]

_TOP = ("tools", "toolConfig", "safetySettings", "systemInstruction")
_VERBATIM = ("args", "response", "parametersJsonSchema", "responseJsonSchema", "input_schema")


def canonical(target: str, body: Json) -> Json:
    """Return a request to `target`, a name of llm-rosetta's, in its one spelling."""
    if target == "google":
        return _google(body)
    made = {name: value for name, value in body.items() if name != "model"}
    made["messages"] = _joined([_message(turn) for turn in body.get("messages", ())], "content")
    if isinstance(made.get("stop"), str):
        made["stop"] = [made["stop"]]
    if isinstance(made.get("system"), str):
        made["system"] = _parts(made["system"])
    return made


def _message(turn: Json) -> Json:
    made = {**turn, "content": _parts(turn.get("content"))}
    for part in made["content"]:
        if part.get("type") == "tool_result":
            part["content"] = _parts(part.get("content"))
    return made


def _parts(content: object) -> list[Json]:
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [dict(part) for part in content] if isinstance(content, list) else []


def _joined(turns: list[Json], member: str) -> list[Json]:
    made: list[Json] = []
    for turn in turns:
        joins = turn.get("role") in ("user", "model") and set(turn) == {"role", member}
        if joins and made and made[-1].get("role") == turn["role"]:
            made[-1] = {**made[-1], member: [*made[-1][member], *turn[member]]}
        else:
            made.append(turn)
    return made


def _google(body: Json) -> Json:
    plain = _camel({name: value for name, value in body.items() if name not in ("config", "model")})
    settings = _camel(body.get("config", {}))
    for name in _TOP:
        if name in settings:
            plain[name] = settings.pop(name)
    if settings:
        plain["generationConfig"] = {**plain.get("generationConfig", {}), **settings}
    plain["contents"] = _joined(plain.get("contents", []), "parts")
    return plain


def _camel(value: Any) -> Any:
    if isinstance(value, list):
        return [_camel(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    made: Json = {}
    for name, inner in value.items():
        new = re.sub(r"_(\w)", lambda found: found[1].upper(), name)
        if new in ("parameters", "responseSchema"):
            new = {"parameters": "parametersJsonSchema", "responseSchema": "responseJsonSchema"}[
                new
            ]
        made[new] = _lower(inner) if new in _VERBATIM else _camel(inner)
    return made


def _lower(schema: Any) -> Any:
    """Return a schema with the names of types as JSON Schema spells them."""
    if isinstance(schema, list):
        return [_lower(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: inner.lower() if name == "type" and isinstance(inner, str) else _lower(inner)
        for name, inner in schema.items()
    }
