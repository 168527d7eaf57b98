"""Which folder holds what.

`GLASSLIPPER_HOME` moves everything, `GLASSLIPPER_MODELS` only the model files; without them
the platform's own folders are used. Creates nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

APP = "glasslipper"


def home() -> Path:
    """Return the folder of the ledger, the settings and the secrets."""
    chosen = os.environ.get("GLASSLIPPER_HOME")
    return Path(chosen).expanduser() if chosen else platformdirs.user_data_path(APP)


def models() -> Path:
    """Return the folder of the model files: a cache, which may be deleted at any time."""
    chosen = os.environ.get("GLASSLIPPER_MODELS")
    if chosen:
        return Path(chosen).expanduser()
    if os.environ.get("GLASSLIPPER_HOME"):
        return home() / "models"
    return platformdirs.user_cache_path(APP) / "models"


def policies() -> Path:
    """Return the folder of the policies that `glasslipper/auto` may follow."""
    return home() / "puppeteer"
