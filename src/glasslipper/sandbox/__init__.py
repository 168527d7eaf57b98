"""Runs hostile code: what a model wrote may do anything, so it is let do nothing.

`open_sandbox` finds what this machine has to keep it in: bubblewrap, else a container engine. A
job sees the machine's programs and Python, read-only, and a working folder that goes with it; no
network, no home, no other process. It is stopped with everything it started when it goes past
any limit. Knows nothing of models and of what the code is for.
"""

from __future__ import annotations

from glasslipper.sandbox.choose import ENGINES, UNPROTECTED, open_sandbox
from glasslipper.sandbox.python import run_python

__all__ = ["ENGINES", "UNPROTECTED", "open_sandbox", "run_python"]
