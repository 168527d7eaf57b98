"""Remembers on disk what long work has found, so that work that was stopped goes on.

Knows JSON values by name. What makes a value different must be part of its name or its folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Memo:
    """Values in a folder; without a folder nothing is remembered."""

    def __init__(self, folder: Path | None = None) -> None:
        """Remember in `folder`."""
        self._folder = folder

    def __call__(self, name: str, find: Callable[[], Any]) -> Any:  # any JSON value
        """Return what is known by that name, or find it and remember it."""
        if self._folder is None:
            return find()
        file = self._folder / (re.sub(r"[^\w.]+", "-", name) + ".json")
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            pass
        value = find()
        self._folder.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(".new")
        new.write_text(json.dumps(value), encoding="utf-8")
        new.replace(file)
        return value
