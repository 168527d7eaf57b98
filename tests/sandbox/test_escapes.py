"""Hostile code is let do nothing: each test is an attempt."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from glasslipper.kernel.errors import InvalidRequest, SetupMissing
from glasslipper.kernel.ports import Job, Limits, Outcome
from glasslipper.sandbox import UNPROTECTED, open_sandbox, run_python

SMALL = Limits(wall_s=5, memory_bytes=256 << 20, processes=12, work_bytes=4 << 20, cpu_s=4)


def python(code: str, limits: Limits = SMALL) -> Outcome:
    return asyncio.run(run_python(open_sandbox("bubblewrap"), code, limits=limits))


def run(job: Job) -> Outcome:
    return asyncio.run(open_sandbox("bubblewrap").run(job))


def test_what_it_prints_and_reads_comes_through() -> None:
    outcome = asyncio.run(
        run_python(open_sandbox(), "print(input() + '!')", stdin="grüß".encode(), limits=SMALL)
    )
    assert outcome.ok
    assert outcome.stdout.decode() == "grüß!\n"


def test_an_exit_code_and_a_signal_are_told() -> None:
    assert python("raise SystemExit(7)").exit_code == 7
    killed = python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert killed.exit_code == -11
    assert not killed.ok


def test_the_network_is_not_there_not_even_this_machines_own() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        outcome = python(
            f"""
import socket
for address in (("1.1.1.1", 53), ("127.0.0.1", {port}), ("169.254.169.254", 80)):
    try:
        socket.create_connection(address, 1)
        print("REACHED", address)
    except OSError:
        pass
try:
    print("RESOLVED", socket.getaddrinfo("example.com", 443))
except OSError:
    pass
print("done")
"""
        )
    assert outcome.stdout == b"done\n"


def test_sockets_of_this_machines_services_are_not_there(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as server:
        name = "\0glasslipper-test-of-abstract-names"
        server.bind(name)
        server.listen()
        outcome = python(f"import socket; socket.socket(socket.AF_UNIX).connect({name!r})")
    assert b"ConnectionRefusedError" in outcome.stderr


def test_secrets_of_the_home_and_of_the_machine_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("hunter2", encoding="utf-8")
    secret.chmod(0o644)
    monkeypatch.setenv("SOME_API_KEY", "sk-very-secret")
    outcome = python(
        f"""
import os, pathlib
for place in ({str(secret)!r}, "/etc/shadow", "/etc/passwd", os.path.expanduser("~/.ssh"),
              {str(Path.home())!r} + "/.bashrc", "/proc/1/root/etc/shadow", "/proc/1/environ",
              "/home", "/var", "/opt", "/run", "/sys", "/boot", "/proc/kcore"):
    try:
        found = os.listdir(place) if os.path.isdir(place) else pathlib.Path(place).read_bytes()
        if found and not (place == "/proc/1/environ"):
            print("READ", place, found[:80])
        if b"sk-very-secret" in bytes(str(found), "utf-8"):
            print("LEAK", place)
    except OSError:
        pass
print("SOME_API_KEY" in os.environ)
"""
    )
    assert outcome.stdout == b"False\n", outcome


def test_nothing_outside_its_folder_can_be_written(tmp_path: Path) -> None:
    outcome = python(
        f"""
import os
for place in ("/x", "/usr/x", "/usr/bin/sh", "/etc/x", "/dev/x", "/proc/sys/kernel/hostname",
              {str(tmp_path / "x")!r}, os.path.dirname(os.__file__) + "/x.py",
              "/proc/self/oom_score_adj_x"):
    try:
        open(place, "w").write("x")
        print("WROTE", place)
    except OSError:
        pass
open("mine", "w").write("x"); open("/tmp/mine2", "w").write("x")
print(sorted(os.listdir(".")))
"""
    )
    assert outcome.stdout == b"['main.py', 'mine', 'mine2']\n", outcome
    assert not (tmp_path / "x").exists()


def test_links_and_dots_in_the_names_of_files_lead_nowhere() -> None:
    for name in ("../x", "/etc/x", "a/../../x", ""):
        with pytest.raises(InvalidRequest):
            run(Job(argv=("true",), files={name: b"x"}))
    outcome = python(
        "import os; os.symlink('/etc/shadow', 's'); print(os.path.exists('s'), os.path.islink('s'))"
    )
    assert outcome.stdout == b"False True\n"


def test_it_has_no_capabilities_and_cannot_get_any() -> None:
    outcome = python(
        """
import ctypes, os, re
status = open("/proc/self/status").read()
print(len(re.findall(r"Cap(?:Eff|Prm|Bnd|Amb):\\t0+$", status, re.M)))
print("NoNewPrivs:\\t1" in status)
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x00020000
print(libc.unshare(CLONE_NEWUSER), libc.unshare(CLONE_NEWNS))
print(libc.mount(b"none", b"/work", b"tmpfs", 0, None), libc.chroot(b"/usr"), libc.umount(b"/usr"))
print(libc.sethostname(b"x", 1))
try:
    os.setuid(0); print("ROOT")
except OSError:
    pass
try:
    os.mknod("disk", 0o60666, os.makedev(8, 0)); print("DEVICE")
except OSError:
    pass
"""
    )
    assert outcome.stdout.split() == b"4 True -1 -1 -1 -1 -1 -1".split(), outcome


def test_other_processes_cannot_be_seen_signalled_or_traced() -> None:
    outcome = python(
        f"""
import os, signal
pids = [name for name in os.listdir("/proc") if name.isdigit()]
print(len(pids) < 8)
try:
    os.kill({os.getpid()}, signal.SIGTERM); print("SIGNALLED")
except OSError:
    pass
try:
    open("/proc/{os.getpid()}/mem", "rb").read(1); print("READ")
except OSError:
    pass
"""
    )
    assert outcome.stdout == b"True\n"


def test_no_file_that_is_open_here_is_open_there(tmp_path: Path) -> None:
    with (tmp_path / "secret").open("w+", encoding="utf-8") as file:
        os.set_inheritable(file.fileno(), True)
        job = Job(
            argv=("python3", "given.py"),
            files={
                "given.py": b"import os\n"
                b"for name in sorted(os.listdir('/proc/self/fd')):\n"
                b"    try: print(name, os.readlink('/proc/self/fd/' + name).split(':')[0])\n"
                b"    except OSError: pass\n"
            },
            limits=SMALL,
        )
        outcome = run(job)
    assert outcome.ok, outcome
    assert outcome.stdout.split(b"\n")[:3] == [b"0 pipe", b"1 pipe", b"2 pipe"]
    assert outcome.stdout.count(b"\n") == 3


def test_settings_and_switches_of_the_kernel_cannot_be_touched() -> None:
    outcome = python(
        """
names = ("sys/kernel/core_pattern", "sys/kernel/hostname", "sys/vm/drop_caches", "sysrq-trigger",
         "1/mem", "kcore")
for name in names:
    for mode in ("r+b", "wb", "ab"):
        try:
            with open("/proc/" + name, mode, buffering=0) as file:
                file.write(b"1")
            print("WROTE", name)
        except OSError:
            pass
print("done")
"""
    )
    assert outcome.stdout == b"done\n"


def test_memory_shared_by_key_or_by_name_is_its_own(tmp_path: Path) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    key = 0x61000000 | os.getpid()
    ours = libc.shmget(key, 4096, 0o1666)  # below 0 where the kernel has none: nothing to find
    name = Path("/dev/shm", f"glasslipper-{os.getpid()}")
    try:
        name.write_text("secret", encoding="utf-8")
        name.chmod(0o666)
        outcome = python(
            f"""
import ctypes, os
print(ctypes.CDLL(None).shmget({key}, 4096, 0), os.path.exists({str(name)!r}))
"""
        )
    finally:
        if ours >= 0:
            libc.shmctl(ours, 0, None)
        name.unlink(missing_ok=True)
    assert outcome.stdout == b"-1 False\n"


def test_a_fork_bomb_is_held_and_the_machine_lives() -> None:
    outcome = python(
        """
import os
made = 0
while True:
    try:
        if os.fork() == 0:
            while True: pass
        made += 1
    except OSError:
        print(made, flush=True)
        break
while True: pass
""",
        Limits(wall_s=2, processes=12, cpu_s=60),
    )
    assert outcome.status in ("time", "processes")
    assert int(outcome.stdout or b"0") <= 12


def test_memory_is_bounded_for_one_process_and_for_all_together() -> None:
    assert b"MemoryError" in python("x = bytearray(2 << 30)").stderr
    together = python(
        """
import os, time
for _ in range(6):
    if os.fork() == 0:
        x = bytearray(b"x") * (100 << 20)
        time.sleep(20)
time.sleep(20)
"""
    )
    assert together.status == "memory"


def test_disk_and_files_are_bounded() -> None:
    outcome = python(
        """
try:
    with open("big", "wb") as file:
        for _ in range(100): file.write(b"x" * (1 << 20))
except OSError as error:
    print(error.errno)
try:
    with open("/dev/shm/big", "wb") as file:
        for _ in range(100): file.write(b"x" * (1 << 20))
except OSError as error:
    print(error.errno)
"""
    )
    assert outcome.stdout == b"28\n28\n"
    too_large = python("open('f', 'wb').write(b'x' * (3 << 20))", Limits(file_bytes=1 << 20))
    assert not too_large.ok


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_huge_output_is_cut_and_ends_the_job(stream: str) -> None:
    outcome = python(f"import sys\nwhile True: sys.{stream}.write('x' * 10000)")
    assert outcome.status == "output"
    assert len(getattr(outcome, stream)) == SMALL.output_bytes
    assert outcome.wall_s < 3


def test_time_ends_the_job_even_if_it_ignores_every_signal() -> None:
    outcome = python(
        """
import signal, time
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True: time.sleep(1)
""",
        Limits(wall_s=0.5),
    )
    assert outcome.status == "time"
    assert outcome.exit_code is None
    assert outcome.wall_s < 3


def test_children_that_try_to_survive_are_gone_with_the_job() -> None:
    mark = f"survivor-{os.getpid()}-{time.time_ns()}"
    outcome = python(
        f"""
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for fd in (0, 1, 2): os.close(fd)
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)", {mark!r}])
    os._exit(0)
print("left")
"""
    )
    assert outcome.stdout == b"left\n"
    until_s = time.monotonic() + 5  # the kernel ends them with the job's first process
    while [line for line in _command_lines() if mark in line] and time.monotonic() < until_s:
        time.sleep(0.02)
    assert not [line for line in _command_lines() if mark in line]


def test_a_cancelled_job_leaves_nothing_behind() -> None:
    mark = f"cancelled-{os.getpid()}-{time.time_ns()}"

    async def go() -> None:
        task = asyncio.create_task(
            open_sandbox("bubblewrap").run(
                Job(argv=("/bin/sh", "-c", f"sleep 60; echo {mark}"), limits=SMALL)
            )
        )
        while not [line for line in _command_lines() if mark in line]:
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(go(), 20))
    assert not [line for line in _command_lines() if mark in line]


def test_folders_that_are_shown_can_be_read_but_written_only_if_that_is_wanted(
    tmp_path: Path,
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("seen", encoding="utf-8")
    (tmp_path / "out").mkdir()
    reading = run(
        Job(
            argv=("/bin/sh", "-c", "cat /data/file; echo x > /data/new"),
            read={"/data": str(tmp_path / "data")},
        )
    )
    assert reading.stdout == b"seen"
    assert not (tmp_path / "data" / "new").exists()
    writing = run(
        Job(argv=("/bin/sh", "-c", "echo x > /out/new"), write={"/out": str(tmp_path / "out")})
    )
    assert writing.ok, writing
    assert (tmp_path / "out" / "new").read_text(encoding="utf-8") == "x\n"


def test_without_anything_to_keep_it_in_code_is_refused_unless_it_is_said_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("glasslipper.sandbox.choose.find_bubblewrap", lambda: None)
    with pytest.raises(SetupMissing, match="keep hostile code in") as refused:
        open_sandbox()
    assert UNPROTECTED in refused.value.hint
    for words in ("yes", "unprotected", "none"):
        with pytest.raises(InvalidRequest):
            open_sandbox(words)
    monkeypatch.setenv("GLASSLIPPER_SANDBOX", UNPROTECTED)
    outcome = asyncio.run(run_python(open_sandbox(), "print(1)", limits=SMALL))
    assert outcome.stdout == b"1\n"


def test_a_start_costs_little() -> None:
    sandbox = open_sandbox("bubblewrap")

    async def fastest() -> float:
        return min(
            [(await sandbox.run(Job(argv=("true",), limits=SMALL))).wall_s for _ in range(10)]
        )

    assert asyncio.run(fastest()) < 0.25


def _command_lines() -> list[str]:
    lines: list[str] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                lines.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except (OSError, UnicodeDecodeError):
                continue
    return lines
