"""What a request's shape tells about the task: tools on offer, tools called, who spoke last.

Agents say what they do by the tools that they call, not by words. The result is a nudge for some
tags, in natural-log units, that is added to the head's scores. Knows tool *names* only: arguments
and results stay unread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from glasslipper.kernel.messages import Request

_STRONG = 6.0
_MILD = 1.5

_CALLED: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (tag, re.compile(pattern, re.IGNORECASE))
    for tag, pattern in (
        ("code.shell_execution", r"bash|shell|terminal|exec|command|run_tests?"),
        (
            "code.file_read_write",
            r"(?:read|write|edit|create|patch|view|open)_?(?:file)?$|str_replace",
        ),
        (
            "code.repo_scan",
            r"grep|glob|list_?(?:files|dir)|find_?files|search_?(?:code|files)|tree",
        ),
        ("code.sql_database", r"sql|query_?db|database"),
        ("agent.web_search", r"web|browse|search|fetch|crawl"),
        ("agent.memory_extraction", r"memor|remember"),
    )
)


def nudges(request: Request) -> Mapping[str, float]:
    """Return by how much each tag's score is to be raised."""
    found: dict[str, float] = {}
    called = [call.name for message in request.messages[-4:] for call in message.tool_calls]
    if called:
        found[_tag_of(called[-1]) or "agent.workflow_execution"] = _STRONG
        return found
    if request.tools:
        found["agent.tool_dispatch"] = _MILD
        if len(request.tools) == 1:
            tag = _tag_of(request.tools[0].name)
            if tag is not None:
                found[tag] = _MILD
    if request.response_format.kind == "json_schema":
        found["data.extraction"] = _MILD
        found["general.classification_tagging"] = _MILD
    return found


def _tag_of(tool: str) -> str | None:
    return next((tag for tag, pattern in _CALLED if pattern.search(tool)), None)
