"""What `glasslipper doctor` looks at. Every check only reads, and says what it found.

A finding is `ok`, `missing` (needed and not there, or broken) or `optional` (not there, and
fine without).
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from glasslipper import __version__
from glasslipper.cli.servers import running
from glasslipper.gateway import settings as settings_file
from glasslipper.gateway.providers import table
from glasslipper.gateway.suppliers import AddedModel
from glasslipper.kernel.errors import GlasslipperError
from glasslipper.ledger import tables
from glasslipper.ledger.read import Accounts
from glasslipper.local import DEFAULT, EMBEDDINGS, MODELS, Model, ModelFile
from glasslipper.store import places
from glasslipper.store.database import Database

NEEDED_BYTES = 200_000_000
"""Room without which nothing should be started: a journal, a state file and some days of rows."""


class Finding(NamedTuple):
    """What a check found, and what to do about it."""

    name: str
    state: Literal["ok", "missing", "optional"]
    text: str
    hint: str = ""


def check_all(*, deep: bool) -> list[Finding]:
    """Return what every check found; `deep` reads whole files."""
    home = places.home()
    return [
        Finding("python", "ok", f"{platform.python_version()}, Glasslipper {__version__}"),
        _runtime(),
        _folder("home", home),
        _settings(home),
        *_stores(home, deep=deep),
        _room(home),
        *_models(deep=deep),
        *_added(home),
        _providers(),
        _server(home),
        _hub(),
    ]


def _runtime() -> Finding:
    if importlib.util.find_spec("xllamacpp") is not None:
        return Finding("engine", "ok", "xllamacpp is installed")
    return Finding(
        "engine",
        "missing",
        "xllamacpp is not installed",
        "Run `pip install --upgrade glasslipper`.",
    )


def _folder(name: str, folder: Path) -> Finding:
    nearest = _nearest(folder)
    if not os.access(nearest, os.W_OK | os.X_OK):
        hint = "Make it yours, or set GLASSLIPPER_HOME to a folder that is."
        return Finding(name, "missing", f"{nearest} cannot be written", hint)
    made = "" if folder.exists() else " (made when first used)"
    return Finding(name, "ok", f"{folder}{made}")


def _nearest(path: Path) -> Path:
    """Return the path, or what exists of it."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _settings(home: Path) -> Finding:
    try:
        settings = settings_file.load(home)
    except GlasslipperError as error:
        return Finding("settings", "missing", error.message, error.hint)
    return Finding("settings", "ok", f"durability {settings.durability}, engine {settings.engine}")


def _stores(home: Path, *, deep: bool) -> Iterator[Finding]:
    """Look at the state file and at the rows of every journal."""
    state = home / "state.sqlite"
    if not state.exists():
        yield Finding("store", "ok", "nothing recorded yet")
        return
    yield _store("store", state, known=len(tables.STATE), deep=deep)
    for rows in sorted((home / "journal").glob("*/rows.sqlite")):
        yield _store("records", rows, known=len(tables.ROWS), deep=deep)


def _store(name: str, path: Path, *, known: int, deep: bool) -> Finding:
    try:
        with closing(Database(path, read_only=True)) as file:
            row = file.row("PRAGMA user_version")
            version = int(row[0] or 0) if row else 0
            trouble = _trouble(file) if deep else ""
    except GlasslipperError as error:
        return Finding(name, "missing", error.message, "Put a copy of the file in its place.")
    if trouble:
        hint = "Stop the server and put a copy of the file in its place."
        return Finding(name, "missing", f"{path} is damaged: {trouble}", hint)
    if version > known:
        hint = "Run `pip install --upgrade glasslipper`; the file is untouched."
        return Finding(name, "missing", f"{path} has format {version}, newer than {known}", hint)
    older = "" if version == known else f", brought to {known} when next opened"
    return Finding(name, "ok", f"{path}, format {version}{older}")


def _trouble(file: Database) -> str:
    """Return the first thing wrong inside a file, if anything is."""
    row = file.row("PRAGMA integrity_check(1)")
    return "" if row and row[0] == "ok" else str(row[0] if row else "no answer")


def _room(home: Path) -> Finding:
    nearest = _nearest(home)
    free_bytes = shutil.disk_usage(nearest).free
    text = f"{free_bytes / 1e9:,.1f} GB free at {nearest}"
    if free_bytes >= NEEDED_BYTES:
        return Finding("disk", "ok", text)
    hint = f"Free {NEEDED_BYTES / 1e6:,.0f} MB, or set GLASSLIPPER_HOME to a folder with more room."
    return Finding("disk", "missing", text, hint)


def _models(*, deep: bool) -> Iterator[Finding]:
    """Look at the default chat and embedding models, and at whatever else was fetched."""
    has_provider = bool(table.enabled(os.environ))
    for model in MODELS.values():
        is_default = model.id in (DEFAULT, EMBEDDINGS)
        folder = places.models()
        wrong = [_wrong(folder / file.name, file, deep=deep) for file in model.files]
        if not any(wrong):
            how = "right by hash" if deep else "right by size"
            yield Finding(model.id, "ok", f"{folder / model.files[0].name}, {how}")
        elif is_default or any(word not in ("", "not fetched") for word in wrong):
            needed = model.id == DEFAULT and not has_provider
            yield _absent(model, next(filter(None, wrong)), needed=needed)


def _absent(model: Model, wrong: str, *, needed: bool) -> Finding:
    broken = wrong != "not fetched"
    hint = f"Run `glasslipper models pull {model.id}` ({model.download_bytes / 1e6:,.0f} MB)."
    if broken:
        hint = f"Delete it and run `glasslipper models pull {model.id}`."
    return Finding(model.id, "missing" if needed or broken else "optional", wrong, hint)


def _wrong(path: Path, file: ModelFile, *, deep: bool) -> str:
    """Return what is wrong with a model's file, or nothing."""
    try:
        size_bytes = path.stat().st_size
    except OSError:
        return "not fetched"
    if size_bytes != file.size_bytes:
        return f"{path} has {size_bytes:,} bytes, not {file.size_bytes:,}"
    if deep:
        with path.open("rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() != file.sha256:
                return f"{path} has the right size and the wrong content"
    return ""


def _added(home: Path) -> Iterator[Finding]:
    """Look for the files that users added as models."""
    try:
        with closing(Accounts(home)) as accounts:
            bodies = accounts.models().values()
    except GlasslipperError:
        return  # without a state file nothing was added; a broken one is told elsewhere
    for body in bodies:
        model = msgspec.json.decode(body, type=AddedModel)
        if model.path is not None and not Path(model.path).is_file():
            hint = f"Put it back, or run `glasslipper models remove {model.id}`."
            yield Finding(model.id, "missing", f"{model.path} is gone", hint)


def _providers() -> Finding:
    found = [
        f"{provider.name} ({variable})"
        for provider in table.enabled(os.environ)
        for variable in (*provider.key_env, provider.base_url_env)
        if os.environ.get(variable, "").strip()
    ]
    if found:
        return Finding("providers", "ok", ", ".join(found))
    hint = "Set OPENAI_API_KEY, MISTRAL_API_KEY or the like before `glasslipper up`."
    return Finding("providers", "optional", "no key in the environment", hint)


def _server(home: Path) -> Finding:
    notes = list(running(home))
    if notes:
        text = ", ".join(f"{note.url} (process {note.pid})" for note in notes)
        return Finding("server", "ok", text)
    return Finding("server", "optional", "none is running", "Start one with `glasslipper up`.")


def _hub() -> Finding:
    if importlib.util.find_spec("huggingface_hub") is not None:
        return Finding("hf", "ok", "models can be pulled from the Hugging Face hub")
    hint = "Run `pip install 'glasslipper[hf]'` to pull models from the Hugging Face hub."
    return Finding("hf", "optional", "huggingface-hub is not installed", hint)
