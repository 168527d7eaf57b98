"""Runs a job with nothing around it but limits: only for who has asked for it in words.

The code can read what the user can read and reach the network. Time, memory, processes and
output are still bounded, and what leaves the process group is stopped by its place in the tree.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.kernel.ports import Job, Outcome
from glasslipper.sandbox.watch import Command, supervise


class Unprotected:
    """A `kernel.ports.Sandbox` that is none."""

    async def run(self, job: Job) -> Outcome:
        """Run the job in a folder of its own, which goes with it."""
        if not job.argv:
            raise InvalidRequest("The job has no command.", param="$.argv")
        with tempfile.TemporaryDirectory(prefix="glasslipper-") as folder:
            _put(job, Path(folder))
            env = {
                "PATH": f"{Path(sys.prefix) / 'bin'}:{os.defpath}",
                "HOME": folder,
                "LANG": "C.UTF-8",
                **job.env,
            }
            return await supervise(Command(argv=job.argv, cwd=folder, env=env), job)


def _put(job: Job, folder: Path) -> None:
    for name, content in job.files.items():
        place = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InvalidRequest(f"{name!r} is not the name of a file inside.", param="$.files")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
