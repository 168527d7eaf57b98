"""Runs a piece of Python in a sandbox, apart from whatever is installed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from glasslipper.kernel.ports import Job, Limits, Outcome, Sandbox


async def run_python(
    sandbox: Sandbox, code: str, *, stdin: bytes = b"", limits: Limits | None = None
) -> Outcome:
    """Run `code` as a script, with the standard library only."""
    job = Job(
        argv=(_program(sandbox), "-I", "-S", "-B", "-X", "utf8", "main.py"),
        files={"main.py": code.encode("utf-8", "replace")},
        stdin=stdin,
        limits=limits or Limits(),
    )
    return await sandbox.run(job)


def _program(sandbox: Sandbox) -> str:
    """Return the Python that there is inside."""
    if type(sandbox).__name__ == "Container":
        return "python3"
    base = Path(sys.base_prefix, "bin", "python3")
    return str(base) if base.is_file() else shutil.which("python3") or sys.executable
