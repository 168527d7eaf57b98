"""Keeps a job in a container of Docker or Podman, with no network and nothing but its files."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import secrets
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.kernel.ports import Job, Outcome
from glasslipper.sandbox.watch import Command, supervise

IMAGE = "GLASSLIPPER_SANDBOX_IMAGE"
_DEFAULT_IMAGE = "docker.io/library/python:3-slim"
WORK = "/work"


def image() -> str:
    """Return the image that jobs run in; it must be on the machine already."""
    return os.environ.get(IMAGE, _DEFAULT_IMAGE)


def find_engine(name: str) -> Path | None:
    """Return the engine's program if it answers and has the image; fetches nothing."""
    found = shutil.which(name)
    if found is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - the engine that was found
            [found, "image", "inspect", image()], capture_output=True, timeout=15, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Path(found) if done.returncode == 0 else None


class Container:
    """A `kernel.ports.Sandbox`."""

    def __init__(self, engine: Path) -> None:
        """Use the engine whose program is at `engine`."""
        self._engine = str(engine)

    async def run(self, job: Job) -> Outcome:
        """Run the job; see `kernel.ports.Sandbox`."""
        with tempfile.TemporaryDirectory(prefix="glasslipper-") as folder:
            name = f"glasslipper-{secrets.token_hex(8)}"
            try:
                return await supervise(self._command(job, name, Path(folder)), job)
            finally:
                await asyncio.shield(self._remove(name))

    def _command(self, job: Job, name: str, folder: Path) -> Command:
        if not job.argv:
            raise InvalidRequest("The job has no command.", param="$.argv")
        limits = job.limits
        archive = folder / "files.tar"
        archive.write_bytes(_tar(job))
        archive.chmod(0o644)
        folder.chmod(0o755)
        argv = [
            *(self._engine, "run", "--rm", "--interactive", "--init", "--pull", "never"),
            *("--name", name, "--hostname", "sandbox", "--user", "65534:65534"),
            *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *("--memory", str(limits.memory_bytes), "--memory-swap", str(limits.memory_bytes)),
            *("--pids-limit", str(limits.processes + 2)),
            *("--ulimit", f"fsize={limits.file_bytes}", "--ulimit", f"cpu={limits.cpu_s}"),
            *("--tmpfs", f"{WORK}:rw,exec,mode=1777,size={limits.work_bytes}", "--workdir", WORK),
            *("--volume", f"{archive}:/files.tar:ro", "--env", f"HOME={WORK}"),
        ]
        if not job.network:
            argv += ["--network", "none"]
        for inside, outside in job.read.items():
            argv += ["--volume", f"{outside}:{inside}:ro"]
        for inside, outside in job.write.items():
            argv += ["--volume", f"{outside}:{inside}"]
        for key, value in job.env.items():
            argv += ["--env", f"{key}={value}"]
        argv += [image(), "/bin/sh", "-c", 'tar -xf /files.tar -C . && exec "$@"', "sh", *job.argv]
        return Command(argv=argv)

    async def _remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            process = await asyncio.create_subprocess_exec(
                *(self._engine, "rm", "--force", name),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            await process.wait()


def _tar(job: Job) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in job.files.items():
            place = Path(name)
            if place.is_absolute() or ".." in place.parts or not place.parts:
                raise InvalidRequest(f"{name!r} is not the name of a file inside.", param="$.files")
            entry = tarfile.TarInfo(str(place))
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
