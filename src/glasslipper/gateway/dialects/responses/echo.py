"""What a response repeats from its request, with the defaults of what the request left out."""

from __future__ import annotations

from typing import TypeVar

from msgspec import UNSET, Struct, UnsetType, field, structs

from glasslipper.gateway.dialects.responses import wire
from glasslipper.gateway.dialects.responses.tools import HOSTED, Origin, flat_name

T = TypeVar("T")


class FormatEcho(Struct, frozen=True):
    """The shape that was asked for."""

    type: str
    name: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    schema: dict[str, object] | UnsetType = UNSET
    strict: bool | UnsetType | None = UNSET


class TextEcho(Struct, frozen=True):
    """What the words were to be like."""

    format: FormatEcho = FormatEcho("text")
    verbosity: str | UnsetType = UNSET


class ReasoningEcho(Struct, frozen=True):
    """How much thinking was asked for; `exclude` where it was not to be shown."""

    effort: str | None = None
    summary: str | None = None
    exclude: bool | UnsetType = UNSET


class ToolEcho(Struct, frozen=True, tag="function", tag_field="type"):
    """A function that was offered."""

    name: str
    description: str | None
    parameters: dict[str, object] | None
    strict: bool | None


class CustomEcho(Struct, frozen=True, tag="custom", tag_field="type"):
    """A tool that takes text, and was offered."""

    name: str
    description: str | UnsetType = UNSET
    format: wire.TextFormat | UnsetType = UNSET


class NamespaceEcho(Struct, frozen=True, tag="namespace", tag_field="type"):
    """Tools that were offered together."""

    name: str
    description: str
    tools: list[ToolEcho | CustomEcho]


AnyToolEcho = ToolEcho | CustomEcho | NamespaceEcho


class Echo(Struct, frozen=True, kw_only=True):
    """What a response repeats from its request; members that were left out have their default.

    `store` says whether the response is kept: whoever does not keep it should say so here.
    `tools` are those that the model was shown, without those that cannot be had.
    """

    background: bool = False
    frequency_penalty: float = 0
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    parallel_tool_calls: bool = True
    presence_penalty: float = 0
    previous_response_id: str | None = None
    prompt_cache_key: str | None = None
    reasoning: ReasoningEcho = ReasoningEcho()
    safety_identifier: str | None = None
    store: bool = True
    temperature: float = 1
    text: TextEcho = TextEcho()
    tool_choice: wire.Mode | wire.Choice = "auto"
    tools: list[AnyToolEcho] = field(default_factory=list[AnyToolEcho])
    top_logprobs: int = 0
    top_p: float = 1
    truncation: str = "disabled"
    user: str | None = None

    @property
    def origins(self) -> dict[str, Origin]:
        """What the functions were, by name, that the client knows in another form."""
        found: dict[str, Origin] = {}
        for tool in self.tools:
            space = tool.name if isinstance(tool, NamespaceEcho) else None
            for one in tool.tools if isinstance(tool, NamespaceEcho) else (tool,):
                kind = "custom" if isinstance(one, CustomEcho) else "function"
                if space is not None or kind == "custom":
                    found[flat_name(one.name, space)] = Origin(kind, one.name, space)
        return found

    @property
    def shows_thoughts(self) -> bool:
        """Whether the client wants to see the thinking."""
        return self.reasoning.exclude is not True


def echo_of(ask: wire.ResponsesRequest) -> Echo:
    """Return what the response to a request repeats."""
    usual = Echo()
    return Echo(
        frequency_penalty=_given(ask.frequency_penalty, usual.frequency_penalty),
        instructions=ask.instructions,
        max_output_tokens=ask.max_output_tokens,
        max_tool_calls=ask.max_tool_calls,
        metadata=_given(ask.metadata, usual.metadata),
        parallel_tool_calls=_given(ask.parallel_tool_calls, usual.parallel_tool_calls),
        presence_penalty=_given(ask.presence_penalty, usual.presence_penalty),
        previous_response_id=ask.previous_response_id,
        prompt_cache_key=ask.prompt_cache_key,
        reasoning=_reasoning(ask.reasoning or wire.Reasoning()),
        safety_identifier=ask.safety_identifier,
        store=_given(ask.store, usual.store),
        temperature=_given(ask.temperature, usual.temperature),
        text=_text(ask.text or wire.Text()),
        tool_choice=_choice(_given(ask.tool_choice, usual.tool_choice)),
        tools=[_tool(tool) for tool in ask.tools or () if tool.type not in HOSTED],
        top_logprobs=_given(ask.top_logprobs, usual.top_logprobs),
        top_p=_given(ask.top_p, usual.top_p),
        truncation=_given(ask.truncation, usual.truncation),
        user=ask.user,
    )


def _given(value: T | None, usual: T) -> T:
    return usual if value is None else value


def _reasoning(wish: wire.Reasoning) -> ReasoningEcho:
    return ReasoningEcho(
        effort=wish.effort,
        summary=wish.summary or wish.generate_summary,
        exclude=True if wish.exclude else UNSET,
    )


def _choice(choice: wire.Mode | wire.Choice) -> wire.Mode | wire.Choice:
    if isinstance(choice, wire.Choice) and choice.type == "allowed_tools" and choice.mode is None:
        return structs.replace(choice, mode="auto")
    return choice


def _tool(tool: wire.Tool) -> AnyToolEcho:
    if tool.type != "namespace":
        return _single(tool)
    members = [_single(one) for one in tool.tools or () if one.type not in HOSTED]
    return NamespaceEcho(tool.name or "", tool.description or "", members)


def _single(tool: wire.Tool) -> ToolEcho | CustomEcho:
    if tool.type == "custom":
        return CustomEcho(tool.name or "", tool.description or UNSET, tool.format or UNSET)
    return ToolEcho(tool.name or "", tool.description, tool.parameters, tool.strict)


def _text(text: wire.Text) -> TextEcho:
    asked = text.format or wire.Format("text")
    form = FormatEcho(asked.type)
    if asked.type == "json_schema":
        form = FormatEcho(
            asked.type,
            name=asked.name or UNSET,
            description=asked.description,
            schema=asked.schema or {},
            strict=asked.strict,
        )
    return TextEcho(form, text.verbosity or UNSET)
