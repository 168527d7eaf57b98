"""Sparse attention as commands use it: finds model and adapter, and says errors in our words.

Loads torch, which is an extra, only inside functions.
"""

# pyright: reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple, cast

from glasslipper.cli.output import console, mention
from glasslipper.kernel.errors import (
    ContextTooLong,
    GlasslipperError,
    InvalidRequest,
    SetupMissing,
    Unsupported,
    UpstreamFailed,
)

if TYPE_CHECKING:
    from glasslipper.dsa.adapter import Adapter
    from glasslipper.dsa.engine import SparseEngine, Told
    from glasslipper.dsa.host import Host
    from glasslipper.dsa.models import Opened

_GPUS = ("/dev/nvidiactl", "/dev/kfd")

HOW_TO_GET = (
    "Install it: pip install 'glasslipper[dsa]'. For a small build without CUDA, first: "
    "pip install torch --index-url of PyTorch's CPU builds (see docs/DSA.md)."
)


class Loaded(NamedTuple):
    """A model ready to run, and who has hold of its attention."""

    opened: Opened
    host: Host


def require() -> None:
    """Make sure that the extra is installed.

    Raises:
        SetupMissing: It is not.
    """
    # Threads that wait by spinning take the processor from whoever works.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if not any(map(os.path.exists, _GPUS)):
        # torch imports Triton where it is there, which is slow, and prints its leaks at the end.
        sys.modules.setdefault("triton", cast(ModuleType, None))
    try:
        from glasslipper.dsa import models
    except ImportError as error:
        raise SetupMissing(f"Sparse attention needs {error.name}.", hint=HOW_TO_GET) from error
    models.be_quiet()


@contextmanager
def our_words() -> Generator[None]:
    """Raise errors of sparse attention as errors of ours."""
    require()
    from glasslipper.dsa.errors import DsaError

    try:
        yield
    except DsaError as error:
        raise explain(error) or error from error


def explain(error: Exception) -> GlasslipperError | None:
    """Return what an error of sparse attention is in our words."""
    from glasslipper.dsa import errors
    from glasslipper.dsa.engine import UnsupportedChoice

    if not isinstance(error, errors.DsaError):
        return None
    kinds: list[tuple[type[errors.DsaError], type[GlasslipperError]]] = [
        (errors.ContextExceeded, ContextTooLong),
        (UnsupportedChoice, Unsupported),
        (errors.NotANumber, UpstreamFailed),
        (errors.DsaError, InvalidRequest),
    ]
    ours = next(ours for theirs, ours in kinds if isinstance(error, theirs))
    return ours(str(error), hint=error.hint or None)


def find_model(name: str, *, quiet: bool) -> Path:
    """Return where a model lies: a folder, a file, or one of the catalogue, fetched if need be.

    Raises:
        InvalidRequest: There is nothing by that name.
    """
    from glasslipper.cli.fetching import pull
    from glasslipper.local import MODELS

    if name in MODELS:
        return pull(name, quiet=quiet).paths[0]
    path = Path(name)
    if not path.exists():
        raise InvalidRequest(
            f"There is no model at {name}.",
            hint="Give a folder in Hugging Face's form, a GGUF file, or local/smol.",
        )
    return path


def beside(model: Path) -> Path:
    """Return the folder of a model's adapter: `dsa` inside its folder, or `NAME.dsa` beside it."""
    return model / "dsa" if model.is_dir() else model.with_suffix(".dsa")


def load(model: Path, *, threads: int | None, dtype: str, device: str = "cpu") -> Loaded:
    """Open a model and take hold of its attention."""
    from glasslipper.dsa.host import Host
    from glasslipper.dsa.models import open_model

    opened = open_model(model, dtype=dtype, threads=threads, device=device)
    return Loaded(opened, Host(opened.model))


def load_adapter(loaded: Loaded, folder: Path) -> Adapter:
    """Read the adapter that belongs to a loaded model."""
    from glasslipper.dsa import adapter

    known = loaded.opened.fingerprint
    return adapter.load(folder, fingerprint=known, device=loaded.host.device)


def open_engine(
    model: Path,
    adapter: Path,
    *,
    threads: int | None,
    device: str = "cpu",
    is_sparse: bool = True,
    context_tokens: int | None = None,
    budget: int | None = None,
    threshold: float | None = None,
    block: int = 0,
    candidates: int = 0,
    mass: float | None = None,
    on_end: Callable[[Told], None] = lambda told: None,
) -> SparseEngine:
    """Open the model with its adapter as an engine."""
    from glasslipper.dsa.engine import THRESHOLD, SparseEngine

    with our_words():
        loaded = load(model, threads=threads, dtype="bfloat16", device=device)
        return SparseEngine(
            loaded.opened,
            loaded.host,
            load_adapter(loaded, adapter),
            context_tokens=context_tokens,
            budget=budget,
            is_sparse=is_sparse,
            threshold=THRESHOLD if threshold is None else threshold,
            block=block,
            candidates=candidates,
            mass=mass,
            on_end=on_end,
        )


@contextmanager
def resumable() -> Generator[None]:
    """Tell whoever stops the work that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        mention("Stopped; the same command goes on where it was.")
        raise


@contextmanager
def progress(*, quiet: bool) -> Generator[Callable[[str, int, int], None]]:
    """Give long work something to report to: bars on a terminal, else a line now and then."""
    if quiet:
        yield lambda what, done, total: None
        return
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=console(errors=True)) as bar:
        tasks = dict[str, int]()

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)  # type: ignore[arg-type]

        yield tell


class _Lines:
    """Progress for a log: a line when something begins or ends, and every half minute."""

    def __init__(self) -> None:
        self._told_s = 0.0
        self._began_s = time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        now_s = time.monotonic()
        if done in {1, total} or now_s - self._told_s > 30:
            self._told_s = now_s
            mention(f"{now_s - self._began_s:7.0f} s  {what}: {done} of {total}")
