"""Requests in four dialects, one for each hard spot of translation between them."""

from __future__ import annotations

from typing import Any

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    "awAAAABJRU5ErkJggg=="
)
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
ARGUMENTS = '{"city": "Rom"}'
LOOK = "Looks at the sky of a city."


def _chat() -> dict[str, dict[str, Any]]:
    def user(text: str) -> dict[str, Any]:
        return {"role": "user", "content": text}

    function = {"name": "look", "description": LOOK, "parameters": SCHEMA}
    tools = [{"type": "function", "function": function}]
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": ARGUMENTS}}
    other = {"id": "c2", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    return {
        "words": {"messages": [{"role": "system", "content": "Be brief."}, user("Hello.")]},
        "turns": {
            "messages": [user("A."), {"role": "assistant", "content": "B."}, user("C."), user("D.")]
        },
        "tools": {"messages": [user("Rom?")], "tools": tools, "tool_choice": "required"},
        "results": {
            "messages": [
                user("Rom?"),
                {"role": "assistant", "content": None, "tool_calls": [call, other]},
                {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
                {"role": "tool", "tool_call_id": "c2", "content": "dark"},
            ],
            "tools": tools,
        },
        "picture": {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "What?"}, picture]},
            ]
        },
        "settings": {
            "messages": [user("Hello.")],
            "max_tokens": 40,
            "temperature": 0.5,
            "top_p": 0.9,
            "stop": ["END"],
        },
        "schema": {
            "messages": [user("Rom?")],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "place", "schema": SCHEMA, "strict": True},
            },
        },
    }


def _responses() -> dict[str, dict[str, Any]]:
    tools = [
        {
            "type": "function",
            "name": "look",
            "description": LOOK,
            "parameters": SCHEMA,
            "strict": False,
        }
    ]
    call = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": ARGUMENTS}
    other = {"type": "function_call", "call_id": "c2", "name": "look", "arguments": "{}"}
    picture = {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}
    said = [{"type": "input_text", "text": "What?"}, picture]
    schema = {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}
    return {
        "words": {"instructions": "Be brief.", "input": "Hello."},
        "turns": {
            "input": [
                {"role": "user", "content": "A."},
                {"role": "assistant", "content": "B."},
                {"role": "user", "content": "C."},
            ]
        },
        "tools": {"input": "Rom?", "tools": tools, "tool_choice": "required"},
        "results": {
            "input": [
                {"role": "user", "content": "Rom?"},
                call,
                other,
                {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
                {"type": "function_call_output", "call_id": "c2", "output": "dark"},
            ],
            "tools": tools,
        },
        "picture": {"input": [{"role": "user", "content": said}]},
        "settings": {"input": "Hello.", "max_output_tokens": 40, "temperature": 0.5, "top_p": 0.9},
        "schema": {"input": "Rom?", "text": {"format": schema}},
    }


def _messages() -> dict[str, dict[str, Any]]:
    tools = [{"name": "look", "description": LOOK, "input_schema": SCHEMA}]
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    bodies: dict[str, dict[str, Any]] = {
        "words": {"system": "Be brief.", "messages": [{"role": "user", "content": "Hello."}]},
        "turns": {
            "messages": [
                {"role": "user", "content": "A."},
                {"role": "assistant", "content": "B."},
                {"role": "user", "content": "C."},
            ]
        },
        "tools": {
            "messages": [{"role": "user", "content": "Rom?"}],
            "tools": tools,
            "tool_choice": {"type": "any"},
        },
        "results": {
            "messages": [
                {"role": "user", "content": "Rom?"},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "text", "text": "I look."},
                        {"type": "tool_use", "id": "c1", "name": "look", "input": {"city": "Rom"}},
                        {"type": "tool_use", "id": "c2", "name": "look", "input": {}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "c1", "content": "sunny"},
                        {"type": "tool_result", "tool_use_id": "c2", "content": "dark"},
                        {"type": "text", "text": "Well?"},
                    ],
                },
            ],
            "tools": tools,
        },
        "picture": {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What?"},
                        {"type": "image", "source": source},
                    ],
                }
            ]
        },
        "settings": {
            "messages": [{"role": "user", "content": "Hello."}],
            "temperature": 0.5,
            "top_p": 0.9,
            "stop_sequences": ["END"],
        },
    }
    return {name: {"max_tokens": 40, **body} for name, body in bodies.items()}


def _gemini() -> dict[str, dict[str, Any]]:
    def turn(role: str, *parts: dict[str, Any]) -> dict[str, Any]:
        return {"role": role, "parts": list(parts)}

    hello = {"contents": [turn("user", {"text": "Hello."})]}
    declared = [{"name": "look", "description": LOOK, "parametersJsonSchema": SCHEMA}]
    tools = [{"functionDeclarations": declared}]
    answer = {"functionResponse": {"name": "look", "response": {"result": "sunny"}}}
    return {
        "words": {"systemInstruction": {"parts": [{"text": "Be brief."}]}, **hello},
        "turns": {
            "contents": [
                turn("user", {"text": "A."}),
                turn("model", {"text": "B."}),
                turn("user", {"text": "C."}),
            ]
        },
        "tools": {
            **hello,
            "tools": tools,
            "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        },
        "results": {
            "contents": [
                turn("user", {"text": "Rom?"}),
                turn("model", {"functionCall": {"name": "look", "args": {"city": "Rom"}}}),
                turn("user", answer),
            ],
            "tools": tools,
        },
        "picture": {
            "contents": [
                turn(
                    "user",
                    {"text": "What?"},
                    {"inlineData": {"mimeType": "image/png", "data": PIXEL}},
                )
            ]
        },
        "settings": {
            **hello,
            "generationConfig": {
                "maxOutputTokens": 40,
                "temperature": 0.5,
                "topP": 0.9,
                "stopSequences": ["END"],
            },
        },
        "schema": {
            **hello,
            "generationConfig": {
                "responseMimeType": "application/json",
                "responseJsonSchema": SCHEMA,
            },
        },
    }


FIXTURES = {
    "chat": _chat(),
    "responses": _responses(),
    "messages": _messages(),
    "gemini": _gemini(),
}
"""Bodies by dialect and hard spot, without the model and without `stream`."""
