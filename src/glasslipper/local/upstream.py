"""Local models as an upstream: what the gateway and the command line see of this room.

Brings together the catalogue, a host for each model in use, the prompt, the constraint and the
reader of answers. Fetches nothing by itself: a model that is not here is an error that says
which command brings it.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from glasslipper.kernel.errors import (
    InvalidRequest,
    ModelUnknown,
    SetupMissing,
    Unsupported,
)
from glasslipper.kernel.events import Event, Finished, Spent, Started
from glasslipper.kernel.finish import FinishReason
from glasslipper.kernel.messages import Request
from glasslipper.kernel.ports import Attempted, EmbeddingResult
from glasslipper.local import catalogue, gguf, obtain
from glasslipper.local.calls import Reader
from glasslipper.local.catalogue import Kind
from glasslipper.local.choices import choices
from glasslipper.local.constrain import plan
from glasslipper.local.embed import StaticVectors
from glasslipper.local.engine import LocalEngine, Options, Tally
from glasslipper.local.host import Host
from glasslipper.local.llama import LlamaEngine
from glasslipper.local.prompt import ceiling_tokens, prompt
from glasslipper.local.remote import RemoteEngine

DEFAULT_CONTEXT_TOKENS = 4096
"""The context of one answer, where nothing else is asked for: memory grows with it."""

_CONTEXT_STEP = 256
"""The engine rounds contexts up to a multiple of this, so that is what we say."""

_AT_ONCE_CHARACTERS = 20_000
_LONGEST_PATH = 60
"""Sockets lie in the temporary folder unless its path leaves too little room for their names."""


class Offered(Struct, frozen=True, kw_only=True):
    """A model that can be used here, or could be once it is fetched."""

    id: str
    kind: Kind
    context_tokens: int
    is_present: bool
    family: str = ""
    parameters: int = 0
    licence: str = ""
    download_bytes: int = 0


class LocalModels:
    """Every local model, each loaded when it is first used."""

    def __init__(
        self,
        *,
        folder: Path,
        engine: Literal["thread", "process"] = "thread",
        threads: int = 1,
        slots: int = 4,
        queue: int = 32,
        context_tokens: int | None = None,
        files: Mapping[str, Path] | None = None,
        shared_at: str | None = None,
    ) -> None:
        """Serve the models in `folder`, and the GGUF files in `files` by their ids.

        `engine` says where models run: in this process or in a child of it for each; with
        `shared_at`, in a process that several share, at that Unix socket. `threads` on a
        model; `slots` answers are made at once, each with a context of `context_tokens`, and
        `queue` more may wait.
        """
        self._folder = folder
        self._is_remote = engine == "process" or shared_at is not None
        self._shared_at = shared_at
        self._threads = threads
        self._slots = slots
        self._queue = queue
        self._context_tokens = context_tokens
        self._files: dict[str, Path] = {}
        self._guests: dict[str, Offered] = {}
        self._hosts: dict[str, Host] = {}
        self._vectors: StaticVectors | None = None
        self._lock = threading.Lock()
        self._private: Path | None = None
        for model_id, path in (files or {}).items():
            self.add(model_id, path)

    def add(self, model_id: str, path: Path) -> None:
        """Offer a GGUF file of the user's under an id of its own.

        Raises:
            InvalidRequest: It is no GGUF file, or the catalogue has that id.
        """
        if model_id in catalogue.MODELS:
            raise InvalidRequest(f"{model_id} is the id of a model of the catalogue.")
        gguf.check(path)
        self._files[model_id] = path

    def add_engine(
        self, model_id: str, open_engine: Callable[[], LocalEngine], *, context_tokens: int
    ) -> None:
        """Offer what another engine answers; it is opened when it is first used.

        Raises:
            InvalidRequest: There is a model of that id.
        """
        if model_id in catalogue.MODELS or model_id in self._files:
            raise InvalidRequest(f"There is a model {model_id} already.")
        self._guests[model_id] = Offered(
            id=model_id, kind="chat", context_tokens=context_tokens, is_present=True
        )
        self._hosts[model_id] = Host(open_engine, slots=1, queue=self._queue)

    async def remove(self, model_id: str) -> None:
        """Offer a file of the user's no longer; the file stays where it is.

        Raises:
            ModelUnknown: No file was added under that id.
        """
        if self._files.pop(model_id, None) is None:
            raise ModelUnknown(f"No file was added as {model_id!r}.")
        host = self._hosts.pop(model_id, None)
        if host is not None:
            await host.close()

    def offered(self) -> list[Offered]:
        """Return all models of the catalogue and the user's own."""
        ours = [
            Offered(
                id=model.id,
                kind=model.kind,
                context_tokens=self.context_tokens(model.id),
                is_present=self.present(model.id),
                family=model.family,
                parameters=model.parameters,
                licence=model.licence,
                download_bytes=model.download_bytes,
            )
            for model in catalogue.MODELS.values()
        ]
        theirs = [
            Offered(
                id=model_id,
                kind="chat",
                context_tokens=self.context_tokens(model_id),
                is_present=path.is_file(),
                family=path.name,
            )
            for model_id, path in self._files.items()
        ]
        return [*ours, *theirs, *self._guests.values()]

    def present(self, model_id: str) -> bool:
        """Tell whether the model's files are on this machine."""
        if model_id in self._guests:
            return True
        if model_id in self._files:
            return self._files[model_id].is_file()
        return obtain.is_present(catalogue.find(model_id), self._folder)

    def context_tokens(self, model_id: str) -> int:
        """Return how many tokens prompt and answer may have together.

        Raises:
            ModelUnknown: There is no such model.
        """
        if model_id in self._guests:
            return self._guests[model_id].context_tokens
        path = self._files.get(model_id)
        if path is not None:
            most = gguf.context_tokens(path) or DEFAULT_CONTEXT_TOKENS
        else:
            model = catalogue.find(model_id)
            most = model.context_tokens
            if model.kind == "embeddings":
                return most
        wanted = min(self._context_tokens or DEFAULT_CONTEXT_TOKENS, most)
        return -(-wanted // _CONTEXT_STEP) * _CONTEXT_STEP

    def input_ceiling(self, request: Request) -> int:
        """Return more tokens than the request's prompt can have, without a tokenizer.

        Raises:
            InvalidRequest: The request cannot be served at all.
        """
        return ceiling_tokens(prompt(request, plan(request)))

    async def count_tokens(self, request: Request, model_id: str) -> int:
        """Return how many tokens the request's prompt has; loads the model if need be."""
        engine = await self._host(model_id).engine()
        return await asyncio.to_thread(engine.count, prompt(request, plan(request)))

    async def send(self, attempt: Attempted) -> AsyncGenerator[Event]:
        """Answer; closing the iterator stops the work within a token or a batch of prompt.

        Raises:
            ModelUnknown: There is no such model.
            SetupMissing: It has not been fetched.
            InvalidRequest: The request cannot be served.
            UpstreamFailed: The engine is busy, or failed.
        """
        request = attempt.request
        constraint = plan(request)
        known = catalogue.MODELS.get(attempt.upstream_model)
        turns = prompt(request, constraint)
        sampling = choices(request, constraint, usual=known.sampling if known else None)
        stream = await self._host(attempt.upstream_model).start(turns, sampling)
        answer = Reader(constraint)
        try:
            started = Started(model=attempt.upstream_model, upstream_id=attempt.id)
            async for piece in stream:
                for event in answer.read(piece):
                    if started is not None:
                        yield started
                        started = None
                    yield event
        finally:
            await stream.aclose()
            attempt.usage = stream.tally.usage()
            attempt.details = stream.tally.details or None
        tally = stream.tally
        if tally.finish is None:
            return
        if started is not None:
            yield started
        for event in answer.end():
            yield event
        if constraint.is_json and tally.finish == "stop" and not request.sampling.stop:
            answer.check_json()
        yield Finished(reason=_reason(answer, tally), native=tally.finish)
        yield Spent(usage=tally.usage())

    async def embed(
        self, model: str, texts: Sequence[str], dimensions: int | None
    ) -> EmbeddingResult:
        """Return a vector of length one for each text, with 64, 128 or 256 components.

        Raises:
            ModelUnknown: There is no such model.
            SetupMissing: It has not been fetched.
            InvalidRequest: A text is empty, or there are no vectors of that length.
        """
        entry = catalogue.find(model)
        if entry.kind != "embeddings":
            raise Unsupported(f"{model} makes no embeddings.", param="$.model")
        if self._vectors is None:
            self._require(model)
        elif sum(map(len, texts)) <= _AT_ONCE_CHARACTERS:
            return self._embed(model, texts, dimensions)
        return await asyncio.to_thread(self._embed, model, texts, dimensions)

    async def close(self) -> None:
        """End what runs and give all memory back."""
        hosts = list(self._hosts.values())
        self._hosts.clear()
        self._vectors = None
        for host in hosts:
            await host.close()
        if self._private is not None:
            shutil.rmtree(self._private, ignore_errors=True)

    def _embed(self, model: str, texts: Sequence[str], dimensions: int | None) -> EmbeddingResult:
        vectors = self._open_vectors(model)
        began_ns = time.thread_time_ns()
        found = vectors.embed(texts, dimensions)
        rows: list[list[float]] = found.vectors.tolist()
        cpu_us = (time.thread_time_ns() - began_ns) // 1000
        return EmbeddingResult(vectors=rows, tokens=found.tokens, cpu_us=cpu_us)

    def _open_vectors(self, model: str) -> StaticVectors:
        with self._lock:
            if self._vectors is None:
                weights, tokenizer = obtain.paths(catalogue.find(model), self._folder)
                self._vectors = StaticVectors(weights=weights, tokenizer=tokenizer)
            return self._vectors

    def _host(self, model_id: str) -> Host:
        """Return what serves a chat model."""
        with self._lock:
            host = self._hosts.get(model_id)
            if host is None:
                options = self._options(model_id)
                host = Host(lambda: self._open(options), slots=self._slots, queue=self._queue)
                self._hosts[model_id] = host
            return host

    def _open(self, options: Options) -> LocalEngine:
        if self._is_remote:
            return RemoteEngine(options, shared_at=self._shared_at)
        return LlamaEngine(options)

    def _options(self, model_id: str) -> Options:
        if model_id not in self._files and catalogue.find(model_id).kind != "chat":
            raise Unsupported(f"{model_id} makes embeddings, not answers.", param="$.model")
        self._require(model_id)
        path = self._files.get(model_id)
        if path is None:
            (path,) = obtain.paths(catalogue.find(model_id), self._folder)
        return Options(
            path=str(path),
            folder=str(self._private_folder()),
            context_tokens=self.context_tokens(model_id),
            slots=self._slots,
            threads=self._threads,
        )

    def _private_folder(self) -> Path:
        """Return a folder that nobody else can enter; it goes with this object."""
        if self._private is None or not self._private.is_dir():
            roomy = len(tempfile.gettempdir()) <= _LONGEST_PATH
            made = tempfile.mkdtemp(prefix="glasslipper-", dir=None if roomy else "/tmp")  # noqa: S108
            weakref.finalize(self, shutil.rmtree, made, ignore_errors=True)
            self._private = Path(made)
        return self._private

    def _require(self, model_id: str) -> None:
        if not self.present(model_id):
            raise SetupMissing(
                f"The model {model_id} is not on this machine.",
                hint=f"Run `glasslipper models pull {model_id}`.",
            )


def _reason(answer: Reader, tally: Tally) -> FinishReason:
    if answer.is_whole_call:
        return "tool_calls"
    return tally.finish or "error"
