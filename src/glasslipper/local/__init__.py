"""Small language models and embeddings that run on this machine.

`LocalModels` serves them as an upstream; `fetch` brings the catalogued ones here and `fetch_hf`
any other. The inference runtime is loaded with the first model, so importing this room is cheap.
Knows nothing of the gateway, of keys or of money.
"""

from __future__ import annotations

from glasslipper.local.catalogue import DEFAULT, EMBEDDINGS, MODELS, Model, ModelFile
from glasslipper.local.guest import GuestEngine
from glasslipper.local.hub import fetch_hf
from glasslipper.local.obtain import Progress, fetch, is_present
from glasslipper.local.upstream import LocalModels, Offered

__all__ = [
    "DEFAULT",
    "EMBEDDINGS",
    "MODELS",
    "GuestEngine",
    "LocalModels",
    "Model",
    "ModelFile",
    "Offered",
    "Progress",
    "fetch",
    "fetch_hf",
    "is_present",
]
