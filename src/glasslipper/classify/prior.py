"""What the heads believe before they have seen data: hints count for the topic that they hint at.

Training pulls weights towards these and not towards zero, so that a signal that a corpus says
nothing about keeps its plain meaning. The numbers are round on purpose: only their order of size
was thought about, and none was fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from glasslipper.classify.features import SIGNALS_AT, WIDTH
from glasslipper.classify.signals import NAMES
from glasslipper.classify.taxonomy import TAGS, TOPICS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LEVEL, _SHARE, _PIECE = 3.0, 8.0, 3.0

TOPIC_HINTS: Mapping[str, str] = {
    "programming": "lines_of_code:3 fence:2 names_code:2 makes_code:3 mends_code:2 error:1 path:2 "
    "marks_of_code:1 task:sql:1 task:shell:1 task:frontend:1 task:devops:1 many_names:1 calls:1 "
    "trace:2 shell:1 files:1 tags:1 query:2 assignments:1 languages:2",
    "math": "latex:3 formula:2 task:solve:1 digits:1",
    "roleplay": "stage:3 persona:2 fiction:4 task:pretend:1",
    "translation": "task:translate:5 last:translate:2",
    "finance": "money:1 task:order:1",
    "legal": "citation:1",
    "academia": "citation:1 task:report:1",
    "trivia": "task:asks:1 question:1",
    "other": "task:summarize:2 task:classify:1 task:extract:1 task:greet:3",
}
"""By topic: signals and by how much each raises the topic's score."""

TAG_HINTS: Mapping[str, str] = {
    "code.general_impl": "makes_code:3 lines_of_code:1 names_code:1 fence:1",
    "code.debugging": "task:fix:3 error:3 last:fix:1 lines_of_code:1 trace:2",
    "code.review_security": "task:review:3 last:review:1",
    "code.repo_scan": "task:repo:3",
    "code.file_read_write": "task:files:2 path:3",
    "code.shell_execution": "task:shell:4",
    "code.frontend_ui": "task:frontend:4",
    "code.sql_database": "task:sql:4",
    "code.devops_config": "task:devops:4",
    "agent.multi_step_planning": "task:plan:2",
    "agent.tool_dispatch": "task:call:1",
    "agent.web_search": "task:find:1",
    "agent.memory_extraction": "task:remember:4",
    "data.extraction": "task:extract:3",
    "data.transformation": "task:transform:3",
    "general.classification_tagging": "task:classify:3",
    "general.content_writing": "task:write:1 share:marketing:3 share:seo:3",
    "general.qa_knowledge": "task:explain:2 question:1 share:trivia:3 share:science:3 "
    "share:health:3 share:technology:2",
    "general.conversational_reply": "task:greet:4 few_words:1",
    "general.roleplay_fiction": "stage:3 persona:2 fiction:4 share:roleplay:5",
    "general.customer_support": "task:order:3 first_person:1",
    "general.summarization": "task:summarize:5",
    "general.research_report": "task:report:3 citation:2 share:academia:4",
    "general.finance_trading": "share:finance:5",
    "general.translation": "task:translate:5 share:translation:5",
    "general.math": "latex:3 formula:2 share:math:5",
    "general.security_audit": "task:review:1",
    "general.devops": "task:devops:2",
    "general.image_prompting": "task:image:4",
}
"""By tag, as above."""


def topic_prior() -> NDArray[np.float32]:
    """Return the weights, shape (`WIDTH`, topics)."""
    weights = _filled(TOPICS, TOPIC_HINTS)
    at = {name: SIGNALS_AT + position for position, name in enumerate(NAMES)}
    for column, topic in enumerate(TOPICS):
        weights[at[f"topic:{topic}"], column] += _LEVEL
        weights[at[f"share:{topic}"], column] += _SHARE
        if f"piece:{topic}" in at:
            weights[at[f"piece:{topic}"], column] += _PIECE
    return weights


def tag_prior() -> NDArray[np.float32]:
    """Return the weights, shape (`WIDTH`, tags)."""
    return _filled(TAGS, TAG_HINTS)


def _filled(labels: tuple[str, ...], hints: Mapping[str, str]) -> NDArray[np.float32]:
    import numpy as np

    at = {name: SIGNALS_AT + position for position, name in enumerate(NAMES)}
    weights = np.zeros((WIDTH, len(labels)), dtype=np.float32)
    for label, text in hints.items():
        for hint in text.split():
            name, _, size = hint.rpartition(":")
            weights[at[name], labels.index(label)] += float(size)
    return weights
