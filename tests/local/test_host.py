"""An engine under load: queues, cancellation, slow readers, crashes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
from asking import answered, asked, attempted, used

from glasslipper.kernel.errors import EngineBusy, EngineCrashed
from glasslipper.kernel.events import TextDelta, fold
from glasslipper.kernel.ports import Attempted
from glasslipper.local import LocalModels

T = TypeVar("T")
Runner = Callable[[Coroutine[Any, Any, T]], T]

LONG = "Write a very long story about the sea."


def long_story(tokens: int = 900) -> Attempted:
    return attempted(asked(LONG, sampling={"max_tokens": tokens}))


async def read_words(models: LocalModels, attempt: Attempted, words: int) -> None:
    """Read so many pieces of the answer, then close it."""
    async with aclosing(models.send(attempt)) as events:
        async for event in events:
            words -= isinstance(event, TextDelta)
            if words == 0:
                return


async def until(is_so: Callable[[], bool]) -> None:
    """Let others work until something is so."""
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.005)


def test_closing_a_stream_stops_the_work_and_tells_what_it_took(
    either: LocalModels, run: Runner[None]
) -> None:
    attempt = long_story()
    run(read_words(either, attempt, 3))
    usage = used(attempt)
    assert 3 <= usage.output < 60
    assert usage.cpu_us > 1000


def test_a_cancelled_task_stops_even_while_the_prompt_is_read(
    either: LocalModels, run: Runner[None]
) -> None:
    attempt = attempted(asked("word " * 900))

    async def cancel() -> None:
        await answered(either, asked("Hi"))
        reading = asyncio.ensure_future(read_words(either, attempt, 1))
        await asyncio.sleep(0.05)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    run(cancel())
    usage = used(attempt)
    assert usage.output == 0
    assert usage.input < 600


def test_answers_made_at_once_are_those_made_one_after_another(
    either: LocalModels, run: Runner[Any]
) -> None:
    questions = ["Name a river.", "Name a city."]

    async def both() -> list[str]:
        found = await asyncio.gather(*(answered(either, asked(q)) for q in questions))
        return [answer.text for answer in found]

    assert run(both()) == [run(answered(either, asked(q))).text for q in questions]


def test_a_full_queue_turns_callers_away_with_an_honest_wait(
    models: LocalModels, run: Runner[None]
) -> None:
    async def crowd() -> None:
        running = [long_story(), long_story()]
        queued = long_story()
        tasks = [asyncio.ensure_future(read_words(models, a, 900)) for a in (*running, queued)]
        await asyncio.sleep(0)
        with pytest.raises(EngineBusy) as caught:
            await answered(models, asked("Hi"))
        assert caught.value.status == 429
        assert (caught.value.retry_after_s or 0) >= 1
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert queued.usage is None

    run(crowd())
    assert run(answered(models, asked("Hi"))).text


def test_who_is_cancelled_in_the_queue_leaves_the_slot_to_the_next(
    smol_path: Path, run: Runner[None]
) -> None:
    async def queue() -> None:
        models = LocalModels(folder=smol_path.parent, slots=1, context_tokens=256)
        first = asyncio.ensure_future(read_words(models, long_story(), 10))
        gone = asyncio.ensure_future(answered(models, asked("Hi")))
        last = asyncio.ensure_future(answered(models, asked("Hi")))
        await asyncio.sleep(0)
        gone.cancel()
        await first
        assert (await last).text
        assert gone.cancelled()
        await models.close()

    run(queue())


def test_many_first_callers_load_the_model_once(smol_path: Path, run: Runner[None]) -> None:
    async def crowd() -> None:
        models = LocalModels(folder=smol_path.parent, engine="process", slots=4, context_tokens=128)
        found = await asyncio.gather(*(answered(models, asked("Hi")) for _ in range(4)))
        assert len({answer.text for answer in found}) == 1
        assert len(_children()) == before + 1
        await models.close()
        assert len(_children()) == before

    before = len(_children())
    run(crowd())


def test_a_slow_reader_keeps_nobody_waiting_and_misses_nothing(
    smol_path: Path, run: Runner[None]
) -> None:
    async def read_slowly() -> None:
        models = LocalModels(folder=smol_path.parent, slots=1, context_tokens=256)
        whole = await answered(models, long_story(30).request)
        slow = models.send(long_story(30))
        seen = [await anext(slow)]
        assert (await answered(models, asked("Hi"))).text
        seen += [event async for event in slow]
        assert fold(seen).text == whole.text
        await models.close()

    run(read_slowly())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_crash_costs_the_answers_in_flight_and_nothing_else(
    smol_path: Path, run: Runner[None], how: signal.Signals
) -> None:
    async def crash() -> None:
        before = _children()
        models = LocalModels(folder=smol_path.parent, engine="process", slots=2, context_tokens=256)
        events = models.send(long_story())
        await anext(events)
        (child,) = _children() - before
        os.kill(child, how)
        with pytest.raises(EngineCrashed, match=how.name):
            async for _ in events:
                pass
        assert (await answered(models, asked("Hi"))).text
        await models.close()
        assert _children() == before

    run(crash())


def test_the_child_dies_with_its_parent(smol_path: Path) -> None:
    program = f"""
import asyncio, os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from asking import answered, asked
from glasslipper.local import LocalModels
models = LocalModels(folder=Path({str(smol_path.parent)!r}), engine="process", context_tokens=256)
asyncio.run(answered(models, asked("Hi")))
children = Path(f"/proc/self/task/{{os.getpid()}}/children").read_text()
print(children, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", timeout=60
    )
    (child,) = done.stdout.split()
    asyncio.run(until(lambda: not _lives(int(child))))


def test_nothing_listens_on_the_network(models: LocalModels, run: Runner[Any]) -> None:
    run(answered(models, asked("Hi")))
    ours = {str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()}
    listening = {
        f"socket:[{line.split()[9]}]"
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text(encoding="ascii").splitlines()[1:]
        if line.split()[3] == "0A"
    }
    assert not ours & listening


def test_a_closed_engine_ends_its_answers(smol_path: Path, run: Runner[None]) -> None:
    async def close() -> None:
        models = LocalModels(folder=smol_path.parent, slots=1, context_tokens=256)
        attempt = long_story()
        events = models.send(attempt)
        await anext(events)
        await models.close()
        async for _ in events:
            pass
        assert used(attempt).output < 200

    run(close())


def _children() -> set[int]:
    """Return the processes that this one has started and that have not ended."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has ended meanwhile
            found |= {int(pid) for pid in (task / "children").read_text("ascii").split()}
    return found


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
