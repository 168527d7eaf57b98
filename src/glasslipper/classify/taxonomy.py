"""The two lists of what a prompt can be about.

*Topics* are the twelve categories of the study "State of AI: An Empirical 100 Trillion Token
Study" (Aubakirova et al., 2025, arXiv 2601.10088), with `math` and `other` beside them. As there,
fiction counts as roleplay (the study's own sub-tags of roleplay are games and writers' resources).
*Tags* are the thirty of OpenRouter's task rankings of 2026, in their four groups. Every prompt has
one of each, or none where nobody can be sure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

VERSION = "2026-11"
"""Changes whenever a label is added, dropped or means something else."""

TopicName = Literal[
    "programming",
    "roleplay",
    "technology",
    "science",
    "translation",
    "health",
    "finance",
    "legal",
    "academia",
    "marketing",
    "seo",
    "trivia",
    "math",
    "other",
]

TOPICS: tuple[TopicName, ...] = get_args(TopicName)

STUDY_TOPICS: tuple[TopicName, ...] = TOPICS[:12]
"""The twelve that the study charts."""

TOPIC_MEANINGS: Mapping[TopicName, str] = {
    "programming": "write, fix, explain, review or run code, queries, commands or configuration",
    "roleplay": "play a character or a game, or write fiction, poems or lyrics",
    "technology": "devices, software, networks or AI as a subject, without writing code",
    "science": "natural or social science and engineering: explain or compute something",
    "translation": "put a text or phrase into another language",
    "health": "medicine, body, mind, food as nutrition, fitness",
    "finance": "money, banking, investing, accounting, economics",
    "legal": "law, contracts, rights and duties",
    "academia": "scholarship: papers, essays, teaching, philosophy, history",
    "marketing": "adverts, campaigns, brands, selling texts",
    "seo": "being found by search engines: keywords, rankings, metadata",
    "trivia": "facts that one looks up, riddles, quizzes",
    "math": "calculate, solve, prove",
    "other": "everyday letters, advice, small talk, and whatever fits none of these",
}

TAG_GROUPS: Mapping[str, tuple[str, ...]] = {
    "code": (
        "general_impl",
        "debugging",
        "review_security",
        "repo_scan",
        "file_read_write",
        "shell_execution",
        "frontend_ui",
        "sql_database",
        "devops_config",
    ),
    "agent": (
        "workflow_execution",
        "multi_step_planning",
        "tool_dispatch",
        "web_search",
        "memory_extraction",
    ),
    "data": ("extraction", "transformation"),
    "general": (
        "classification_tagging",
        "content_writing",
        "qa_knowledge",
        "conversational_reply",
        "roleplay_fiction",
        "customer_support",
        "summarization",
        "research_report",
        "finance_trading",
        "translation",
        "math",
        "security_audit",
        "devops",
        "image_prompting",
    ),
}

TAGS: tuple[str, ...] = tuple(f"{group}.{tag}" for group in TAG_GROUPS for tag in TAG_GROUPS[group])
"""Every tag with its group before it, such as `code.debugging`."""


def group_of(tag: str) -> str:
    """Return the group of a tag.

    >>> group_of("code.debugging")
    'code'
    """
    return tag.partition(".")[0]
