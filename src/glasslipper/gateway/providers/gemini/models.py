"""What the generations of Google's models take, read off their names.

Up to 2.5 thinking is a budget of tokens, and some models cannot think at all; from 3 on it is a
level, and a function call in the history must carry the signature of the thinking behind it. A
name that tells nothing counts as new.

Source: https://ai.google.dev/gemini-api/docs/thinking and
https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

import re

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.kernel.messages import Reasoning

_NAME = re.compile(r"(?:(?P<kind>models|tunedModels)/)?(?P<name>[0-9A-Za-z_-][0-9A-Za-z._-]*)")
_THOUGHTLESS = re.compile(r"gemini-(?:1|2\.0|pro|ultra)|gemma|learnlm")
_BUDGETED = re.compile(r"gemini-2\.5")

_BUDGETS = {
    "minimal": 1024,
    "low": 1024,
    "medium": 8192,
    "high": 24_576,
    "xhigh": 24_576,
    "max": 24_576,
}
"""Tokens for thinking that Google itself gives to a word of effort."""

_LEVELS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_MAX_BUDGET, _MAX_PRO_BUDGET = 24_576, 32_768
_MIN_PRO_BUDGET, _MIN_LITE_BUDGET = 128, 512


def resource(model: str) -> str:
    """Return a model's name as it stands in an address: `models/…`.

    Raises:
        InvalidRequest: No model of Google's can have this name.
    """
    found = _NAME.fullmatch(model)
    if found is None:
        raise InvalidRequest(f"Google has no models with names like {model!r}.", param="$.model")
    return f"{found['kind'] or 'models'}/{found['name']}"


def wants_signatures(model: str) -> bool:
    """Return whether a model refuses function calls in the history that nobody signed."""
    return _is("gemini", model) and not _is(_THOUGHTLESS, model) and not _is(_BUDGETED, model)


def thinking_config(wish: Reasoning | None, model: str) -> dict[str, object]:
    """Return the `thinkingConfig` that comes closest to a wish; empty if there is nothing to say.

    A model that always thinks is told to think least where thinking is not wanted.
    """
    if wish is None or _is(_THOUGHTLESS, model) or not _is("gemini", model):
        return {}
    is_off = wish.enabled is False or wish.effort == "none"
    config: dict[str, object] = {}
    if wish.max_tokens is not None and not is_off:
        config["thinkingBudget"] = _budget(wish.max_tokens, model)
    elif _is(_BUDGETED, model):
        if is_off:
            config["thinkingBudget"] = _MIN_PRO_BUDGET if "pro" in model else 0
        elif wish.effort is not None:
            config["thinkingBudget"] = _BUDGETS[wish.effort]
        elif wish.enabled:
            config["thinkingBudget"] = -1
    elif is_off or wish.effort is not None:
        config["thinkingLevel"] = _level("none" if is_off else wish.effort or "none", model)
    if not is_off and not wish.exclude:
        config["includeThoughts"] = True
    return config


def _level(effort: str, model: str) -> str:
    return _LEVELS.get(effort, "minimal" if "flash" in model else "low")


def _budget(tokens: int, model: str) -> int:
    if "pro" in model:
        return max(_MIN_PRO_BUDGET, min(tokens, _MAX_PRO_BUDGET))
    return max(_MIN_LITE_BUDGET if "lite" in model else 1, min(tokens, _MAX_BUDGET))


def _is(names: str | re.Pattern[str], model: str) -> bool:
    return re.match(names, model.rpartition("/")[2]) is not None
