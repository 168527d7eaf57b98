"""llama.cpp as an engine: the only module that knows the inference runtime.

The runtime is imported when a model is loaded. It insists on an HTTP listener; it gets a socket
in a private folder and a random key, so nothing listens on the network, and we use it ourselves
to count tokens. Generation goes through function calls: one thread per answer waits inside the
runtime with the interpreter lock released, and the runtime batches the answers that run at once.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from glasslipper.kernel.errors import (
    ContextTooLong,
    GlasslipperError,
    InvalidRequest,
    UpstreamFailed,
)
from glasslipper.kernel.events import TokenLogprob
from glasslipper.local.constrain import SENTINEL, guarded
from glasslipper.local.engine import Choices, Options, Piece, Prompt, Run
from glasslipper.local.meter import Meter, ThreadsClock, native_threads

_KNOWN_GRAMMARS = 256
_COUNT_LIMIT_S = 60

_RENAMED = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "stop": "stop",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "repetition_penalty": "repeat_penalty",
    "logit_bias": "logit_bias",
    "max_tokens": "max_tokens",
    "grammar": "grammar",
}

_LOADING = threading.Lock()
"""Held while a model loads, so that the threads that appear meanwhile are its own."""

Chunk = dict[str, Any]
"""What the runtime says: JSON of the chat dialect. It is checked where it is read."""


class _Server(Protocol):
    """What we use of the runtime."""

    listening_address: str

    def handle_chat_completions(
        self, body: Mapping[str, object], on_chunk: Callable[[Chunk], bool]
    ) -> object: ...

    def handle_completions(
        self, body: Mapping[str, object], on_chunk: Callable[[Chunk], bool]
    ) -> object: ...

    def handle_embeddings(self, body: Mapping[str, object]) -> object: ...


class LlamaEngine:
    """One loaded model."""

    def __init__(self, options: Options, *, meter: Meter | None = None) -> None:
        """Load the model file, which takes from half a second to several.

        `meter` counts the CPU time of this whole process where there is nothing else in it; by
        default only that of the threads that loading starts is counted.

        Raises:
            UpstreamFailed: The runtime does not take the file.
        """
        self._options = options
        self._key = secrets.token_urlsafe(32)
        self._listener = Path(options.folder) / f"{secrets.token_hex(4)}.sock"
        try:
            with _LOADING:
                before = native_threads()
                server = _load(options, self._key, self._listener)
                started = native_threads() - before
        except (RuntimeError, ValueError) as error:
            raise UpstreamFailed(
                f"The engine cannot load {options.path}.",
                hint="Check that the file is a whole GGUF model and that memory suffices.",
            ) from error
        self._server: _Server | None = server
        self._counts_callers = meter is not None
        self._meter = meter or Meter(ThreadsClock(started))
        self._runs: set[Run] = set()
        self._is_enforceable = functools.lru_cache(_KNOWN_GRAMMARS)(self._try_grammar)

    def generate(self, prompt: Prompt, sampling: Choices) -> Run:
        """Start an answer; it is worked on in a thread of its own."""
        run = Run()
        self._runs.add(run)
        work = threading.Thread(
            target=self._work, args=(run, prompt, sampling), name="glasslipper-run", daemon=True
        )
        work.start()
        return run

    def count(self, prompt: Prompt) -> int:
        """Return how many tokens the prompt has, roles and all.

        Raises:
            InvalidRequest: The model's template does not take such a prompt.
        """
        text = self._ask("/apply-template", {"messages": list(prompt)})["prompt"]
        body = {"content": text, "add_special": True, "parse_special": True}
        return len(cast("list[int]", self._ask("/tokenize", body)["tokens"]))

    def close(self) -> None:
        """Stop the answers that run and give the memory back."""
        for run in tuple(self._runs):
            run.close()
        self._server = None
        self._listener.unlink(missing_ok=True)

    def _work(self, run: Run, prompt: Prompt, sampling: Choices) -> None:
        error: Exception | None = None
        ticket = self._meter.join()
        try:
            self._answer(run, prompt, sampling)
        except (GlasslipperError, ValueError, RuntimeError) as caught:
            error = _explained(caught)
        finally:
            own_us = 0 if self._counts_callers else time.thread_time_ns() // 1000
            run.tally.cpu_us = self._meter.leave(ticket) + own_us
            self._runs.discard(run)
            run.end(error)

    def _answer(self, run: Run, prompt: Prompt, sampling: Choices) -> None:
        server = self._loaded()
        grammar = sampling.get("grammar")
        if isinstance(grammar, str) and not self._is_enforceable(grammar):
            raise InvalidRequest(
                "The JSON Schema uses something that this engine cannot enforce.",
                hint="Leave out remote references, look-around patterns and unknown formats.",
                param=str(sampling.get("grammar_param", "$")),
            )
        top = sampling.get("top_logprobs")
        ear = _Ear(run, top=top if isinstance(top, int) else 0)
        server.handle_chat_completions(_body(prompt, sampling), ear.hear)
        if ear.error is not None:
            raise ear.error
        if run.tally.finish is None and not run.is_unwanted:
            raise UpstreamFailed("The engine ended the answer without a reason.")

    def _try_grammar(self, grammar: str) -> bool:
        """Tell whether the runtime understands a grammar, which it does not say by itself.

        It ignores one that it cannot compile. So it is asked for one token under the grammar
        with an unlikely word put before it: only an obeyed grammar makes it say that word.
        """
        said: list[Chunk] = []

        def hear(chunk: Chunk) -> bool:
            said.append(chunk)
            return False

        body = {"prompt": "a", "max_tokens": 1, "stream": True, "cache_prompt": False}
        body |= {"grammar": guarded(grammar), "temperature": 0}
        self._loaded().handle_completions(body, hear)
        for chunk in said:
            if "error" in chunk:
                raise _refusal(chunk["error"])
        text = "".join(choice["text"] for chunk in said for choice in chunk["choices"])
        return bool(text) and SENTINEL.startswith(text)

    def _loaded(self) -> _Server:
        if self._server is None:
            raise UpstreamFailed("The engine has been closed.")
        return self._server

    def _ask(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        self._loaded()
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        with contextlib.closing(_Local(self._listener)) as line:
            line.request("POST", path, json.dumps(body), headers)
            answer = line.getresponse()
            found = json.loads(answer.read())
            if answer.status != http.client.OK:
                raise InvalidRequest(str(found.get("error", {}).get("message", "no reason")))
            return found


class LlamaStates:
    """A loaded chat model that is asked what it makes of texts, not for answers."""

    def __init__(self, options: Options) -> None:
        """Load the model file.

        Raises:
            UpstreamFailed: The runtime does not take the file.
        """
        self._listener = Path(options.folder) / f"{secrets.token_hex(4)}.sock"
        try:
            with _LOADING:
                self._server = _load(
                    options, secrets.token_urlsafe(32), self._listener, gives_states=True
                )
        except (RuntimeError, ValueError) as error:
            raise UpstreamFailed(f"The engine cannot load {options.path}.") from error

    def mean(self, text: str) -> list[float]:
        """Return the mean of the last layer's states over a text's tokens, scaled to length one.

        Raises:
            UpstreamFailed: The runtime does not do it, for one because the text is too long.
        """
        answer = cast("Chunk", self._server.handle_embeddings({"input": text}))
        if "data" not in answer:
            raise UpstreamFailed(f"The engine reports: {answer.get('error', answer)}")
        return cast("list[float]", answer["data"][0]["embedding"])


class _Local(http.client.HTTPConnection):
    """HTTP to the runtime's socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_COUNT_LIMIT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _Ear:
    """Listens to one answer; what it raised inside the runtime would be lost, so it keeps it."""

    def __init__(self, run: Run, *, top: int) -> None:
        self.error: Exception | None = None
        self._run = run
        self._top = top

    def hear(self, chunk: Chunk) -> bool:
        """Take in a chunk and return whether to stop."""
        try:
            if "error" in chunk:
                self.error = _refusal(chunk["error"])
            else:
                self._take(chunk)
        except (KeyError, TypeError, ValueError) as error:
            self.error = error
        return self._run.is_unwanted or self.error is not None

    def _take(self, chunk: Chunk) -> None:
        tally = self._run.tally
        if times := chunk.get("timings"):
            tally.prompt_tokens = times["prompt_n"]
            tally.cached_tokens = times["cache_n"]
            tally.output_tokens = times["predicted_n"]
        for choice in cast("list[Chunk]", chunk["choices"]):
            text = choice["delta"].get("content") or ""
            logprobs = self._logprobs(choice)
            if text or logprobs:
                self._run.put(Piece(text=text, logprobs=logprobs))
            if choice["finish_reason"]:
                tally.finish = "length" if choice["finish_reason"] == "length" else "stop"

    def _logprobs(self, choice: Chunk) -> tuple[TokenLogprob, ...]:
        found = cast("Chunk | None", choice.get("logprobs"))
        entries = cast("list[Chunk]", (found or {}).get("content") or [])
        return tuple(_logprob(entry, top=self._top) for entry in entries)


def _load(options: Options, key: str, listener: Path, *, gives_states: bool = False) -> _Server:
    import xllamacpp  # a hundred megabytes that only this function needs

    runtime = cast("Any", xllamacpp)  # it has no types
    params = runtime.CommonParams()
    params.model.path = options.path
    params.n_ctx = options.context_tokens * options.slots
    params.n_parallel = options.slots
    params.kv_unified = False
    params.n_batch = params.n_ubatch = options.batch_tokens
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads
    params.n_threads_http = 1
    params.hostnames = [str(listener)]
    params.api_keys = [key]
    params.offline = True
    params.ui = False
    params.endpoint_slots = False
    params.cache_ram_mib = 0
    params.force_pure_content_parser = True
    params.verbosity = -1
    if gives_states:
        params.embedding = True
        params.pooling_type = runtime.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    return cast("_Server", runtime.Server(params))


def _body(prompt: Prompt, sampling: Choices) -> dict[str, object]:
    body: dict[str, object] = {
        "messages": list(prompt),
        "stream": True,
        "stream_options": {"include_usage": True},
        "timings_per_token": True,
        "return_progress": True,
        "cache_prompt": bool(sampling.get("reuse_prompt")),
    }
    for name, theirs in _RENAMED.items():
        value = sampling.get(name)
        if value is not None:
            body[theirs] = value
    top = sampling.get("top_logprobs")
    if isinstance(top, int):
        body |= {"logprobs": True, "top_logprobs": max(1, top)}  # with 0 it gives none at all
    return body


def _logprob(entry: Chunk, *, top: int) -> TokenLogprob:
    likeliest = cast("list[Chunk]", entry.get("top_logprobs") or [])
    return TokenLogprob(
        token=entry["token"],
        logprob=entry["logprob"],
        raw=tuple(entry["bytes"]),
        top=tuple(_logprob(other, top=0) for other in likeliest[:top]),
    )


def _refusal(error: Chunk) -> GlasslipperError:
    """Return the error that the runtime's own error stands for."""
    if error.get("type") == "exceed_context_size_error":
        return ContextTooLong(
            f"The prompt has {error['n_prompt_tokens']} tokens, and the model's context takes "
            f"{error['n_ctx']}.",
            param="$.messages",
        )
    if error.get("type") == "invalid_request_error":
        return InvalidRequest(str(error.get("message")))
    return UpstreamFailed(f"The engine reports: {error.get('message')}")


def _explained(error: Exception) -> GlasslipperError:
    if isinstance(error, GlasslipperError):
        return error
    if isinstance(error, ValueError):
        return InvalidRequest(f"The engine does not take the request: {error}")
    return UpstreamFailed(f"The engine failed: {error}")
