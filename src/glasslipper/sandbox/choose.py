"""Which of the ways to keep code in this machine has, and which the user wants."""

from __future__ import annotations

import os

from glasslipper.kernel.errors import InvalidRequest, SetupMissing
from glasslipper.kernel.ports import Sandbox
from glasslipper.sandbox.bubblewrap import Bubblewrap, find_bubblewrap, why_not
from glasslipper.sandbox.container import Container, find_engine
from glasslipper.sandbox.unprotected import Unprotected

ENGINES = ("auto", "bubblewrap", "docker", "podman")
UNPROTECTED = "run hostile code unprotected"
"""What a user has to say, in these words, to have code run without anything around it."""

VARIABLE = "GLASSLIPPER_SANDBOX"


def open_sandbox(choice: str | None = None) -> Sandbox:
    """Return a sandbox: `choice`, or what GLASSLIPPER_SANDBOX says, or the best that works here.

    Raises:
        SetupMissing: There is none; the hint says how to get one.
        InvalidRequest: There is no such choice.
    """
    wanted = choice or os.environ.get(VARIABLE) or "auto"
    if wanted == UNPROTECTED:
        return Unprotected()
    if wanted not in ENGINES:
        raise InvalidRequest(
            f"There is no sandbox {wanted!r}.", hint=f"Choose one of {', '.join(ENGINES)}."
        )
    reasons: list[str] = []
    if wanted in ("auto", "bubblewrap"):
        path = find_bubblewrap()
        reason = why_not(path)
        if path is not None and reason is None:
            return Bubblewrap(path)
        reasons.append(f"bubblewrap: {reason}")
    if wanted != "bubblewrap":
        for name in ("podman", "docker") if wanted == "auto" else (wanted,):
            engine = find_engine(name)
            if engine is not None:
                return Container(engine)
            reasons.append(f"{name}: no engine that answers, or not the image")
    raise SetupMissing(
        f"Nothing here can keep hostile code in ({'; '.join(reasons)}).",
        hint=(
            "Install `bubblewrap` (Debian, Fedora) or Podman. To run such code with nothing "
            f"around it, set {VARIABLE}='{UNPROTECTED}'."
        ),
    )
