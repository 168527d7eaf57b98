"""An engine: answers chats with a retrofitted model, token by token.

Speaks plain dictionaries, as `kernel.ports.Engine` has it, so that it needs none of our types.
Prompts that begin alike share pages. One answer is worked on at a time. When the meter's upper
limit of what attention misses exceeds the threshold, the rest of the answer attends densely:
the pages hold everything.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from glasslipper.dsa.adapter import Adapter
from glasslipper.dsa.cache import Layout, Store
from glasslipper.dsa.errors import ContextExceeded, DsaError, NotANumber
from glasslipper.dsa.host import Host
from glasslipper.dsa.models import Opened
from glasslipper.dsa.paged import Paged, Work
from glasslipper.dsa.pages import PAGE, Book, Lease

CHUNK = 256
"""Tokens of a prompt between two looks at whether the answer is still wanted."""

THRESHOLD = 0.2
"""The share of attention whose loss is accepted."""

_DEFAULT_TOKENS = 512
_UNSUPPORTED = ("grammar", "logprobs", "top_logprobs", "logit_bias")
_NEUTRAL = {"frequency_penalty": 0, "presence_penalty": 0, "repetition_penalty": 1}


class UnsupportedChoice(DsaError):
    """A way of choosing tokens that this engine does not have."""

    slug = "unsupported_choice"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of text; satisfies the port `Token`."""

    text: str
    logprob: float | None = None


@dataclass(slots=True)
class Told:
    """What is known of an answer; final when it has ended."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    finish: Literal["stop", "length"] | None = None
    missed: float | None = None
    missed_at_most: float = 1.0
    looks: int = 0
    fell_back_at: int | None = None
    """The position from which attention was dense, where the meter asked for it."""
    prompt_s: float = 0.0
    output_s: float = 0.0

    @property
    def details(self) -> dict[str, float]:
        """What the meter says, for whoever serves the answer."""
        if self.missed is None:
            return {}
        return {
            "attention_missed": round(self.missed, 4),
            "attention_missed_at_most": round(self.missed_at_most, 4),
            "attention_looks": self.looks,
            "dense_fallbacks": int(self.fell_back_at is not None),
        }


class Answer:
    """An answer on its way: iterate over it, close it, and read what is `told`."""

    def __init__(self, tokens: Iterator[Token], told: Told, work: list[Work]) -> None:
        """Carry the tokens of a generator."""
        self._tokens = tokens
        self.told = told
        self.work = work

    def __iter__(self) -> Iterator[Token]:
        """Return itself."""
        return self

    def __next__(self) -> Token:
        """Return the next piece."""
        return next(self._tokens)

    def close(self) -> None:
        """Stop the work."""
        close = getattr(self._tokens, "close", None)
        if close is not None:
            close()


class SparseEngine:
    """A model, its adapter, and the pages of its sequences."""

    def __init__(
        self,
        opened: Opened,
        host: Host,
        adapter: Adapter,
        *,
        context_tokens: int | None = None,
        budget: int | None = None,
        is_sparse: bool = True,
        threshold: float = THRESHOLD,
        block: int = 0,
        candidates: int = 0,
        mass: float | None = None,
        on_end: Callable[[Told], None] = lambda told: None,
    ) -> None:
        """Make room for two sequences of `context_tokens`.

        `budget` changes the plan's budgets in proportion, to that mean. With `block`, so many
        neighbouring tokens of a prompt share one choice; `candidates` is for long sequences, and
        `mass` makes budgets adaptive (see `Paged`). `on_end` hears about every answer when it has
        ended.

        Raises:
            ContextExceeded: The model was not trained for so much context.
        """
        most = opened.context_tokens
        self.context_tokens = context_tokens or most
        if self.context_tokens > most:
            raise ContextExceeded(
                f"The model was trained for {most} tokens, not for {self.context_tokens}.",
                hint=f"Give a context of {most} or less.",
            )
        planned = [layer.k for layer in adapter.plan if layer.kind != "dense"]
        mean = sum(planned) / len(planned) if planned else 1.0
        self._opened, self._host, self._adapter = opened, host, adapter
        host.tune(adapter.tuning)
        self._scale = budget / mean if budget else 1.0
        self._is_sparse = is_sparse
        self._threshold = threshold
        self._block, self._candidates, self._mass = block, candidates, mass
        self._on_end = on_end
        pages = 2 * -(-self.context_tokens // PAGE) + 1
        layout = Layout(
            key_heads=adapter.model.groups,
            head_dim=adapter.model.width,
            index_dim=adapter.index.width,
        )
        self._store = Store(layout, layers=adapter.model.layers, pages=pages, device=host.device)
        self._book = Book(pages)
        self._one_at_a_time = threading.Lock()

    @property
    def fitted_tokens(self) -> int:
        """The length of the sequences that its adapter was fitted on; 0 where that is not known."""
        return int(self._adapter.made_with.get("length", 0))

    def count(self, prompt: Sequence[Mapping[str, object]]) -> int:
        """Return how many tokens the prompt has, roles and all."""
        return len(self._ids(prompt))

    def generate(
        self, prompt: Sequence[Mapping[str, object]], sampling: Mapping[str, object]
    ) -> Answer:
        """Return an answer, which is worked on as it is iterated over.

        Raises:
            ContextExceeded: The prompt leaves no room for an answer.
            UnsupportedChoice: The sampling asks for what this engine cannot do.
        """
        for name in _UNSUPPORTED:
            if sampling.get(name):
                raise UnsupportedChoice(f"Sparse attention does not offer {name}.")
        for name, neutral in _NEUTRAL.items():
            if sampling.get(name, neutral) not in (neutral, None):
                raise UnsupportedChoice(f"Sparse attention does not offer {name}.")
        ids = self._ids(prompt)
        if len(ids) >= self.context_tokens:
            raise ContextExceeded(
                f"The prompt has {len(ids)} tokens; the context is {self.context_tokens}.",
                hint="Send less text.",
            )
        told = Told(prompt_tokens=len(ids))
        look = Paged(
            self._store,
            self._adapter,
            budget_scale=self._scale,
            is_sparse=self._is_sparse,
            block=self._block,
            candidates=self._candidates,
            mass=self._mass,
        )
        return Answer(self._run(ids, sampling, told, look), told, look.work)

    def close(self) -> None:
        """Wait for the answer in progress, then give the pages back."""
        with self._one_at_a_time:
            self._book = Book(1)

    def _ids(self, prompt: Sequence[Mapping[str, object]]) -> list[int]:
        tokenizer = self._opened.tokenizer
        turns = [{"role": turn["role"], "content": turn["content"]} for turn in prompt]
        if tokenizer.chat_template is None:
            text = "\n\n".join(str(turn["content"]) for turn in turns) + "\n"
            return list(tokenizer(text)["input_ids"])
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    def _run(
        self, ids: list[int], sampling: Mapping[str, object], told: Told, look: Paged
    ) -> Iterator[Token]:
        with self._one_at_a_time:
            salt = "sparse" if self._is_sparse else "dense"
            salt = f"{salt} {self._scale} {self._block} {self._mass}"
            reusable = ids if sampling.get("reuse_prompt", True) else []
            lease = self._book.open(reusable, salt=salt)
            try:
                yield from self._answer(ids, sampling, told, look, lease)
            finally:
                self._book.close(lease)
                told.missed, told.missed_at_most = look.meter.mean, look.meter.upper
                told.looks = look.meter.looks
                self._on_end(told)

    def _answer(
        self,
        ids: list[int],
        sampling: Mapping[str, object],
        told: Told,
        look: Paged,
        lease: Lease,
    ) -> Iterator[Token]:
        began_s = time.monotonic()
        told.cached_tokens = lease.reused
        last_M = torch.empty(0, device=self._host.device)
        for start in range(lease.reused, len(ids), CHUNK):
            last_M = self._forward(ids[start : start + CHUNK], look, lease)
            yield Token("")
        self._book.seal(lease)
        told.prompt_s = time.monotonic() - began_s
        self._judge(told, look, len(ids))
        began_s = time.monotonic()
        most = min(_int(sampling, "max_tokens", _DEFAULT_TOKENS), self.context_tokens - len(ids))
        pick = _Picker(sampling)
        words = _Words(self._opened.tokenizer, _stops(sampling))
        ends = set[int]() if sampling.get("ignore_end") else self._ends()
        while told.output_tokens < most:
            token = pick(self._logits(last_M))
            told.output_tokens += 1
            if token in ends:
                told.finish = "stop"
                break
            yield Token(words.add(token))
            if words.is_stopped:
                told.finish = "stop"
                break
            if told.output_tokens < most:
                last_M = self._forward([token], look, lease)
                self._judge(told, look, len(lease.tokens))
            told.output_s = time.monotonic() - began_s
        told.finish = told.finish or "length"
        told.output_s = time.monotonic() - began_s
        yield Token(words.rest())

    @torch.inference_mode()
    def _forward(self, new: Sequence[int], look: Paged, lease: Lease) -> Tensor:
        """Run the model over new tokens and return the last one's hidden state."""
        start = len(lease.tokens)
        self._book.append(lease, new)
        device = self._host.device
        look.table_P = torch.tensor(lease.pages, dtype=torch.int32, device=device)
        look.begin(start, len(new))
        with self._host.looking(look):
            places = torch.arange(start, start + len(new), device=device)[None]
            found = self._host.hidden(
                torch.tensor(new, device=device), use_cache=False, position_ids=places
            )
        return found.last_hidden_state[0, -1]

    @torch.inference_mode()
    def _logits(self, last_M: Tensor) -> Tensor:
        logits = self._host.logits(last_M[None])[0].cpu()
        if not bool(logits.isfinite().all()):
            raise NotANumber("The model's next token is not a number.", hint="Try dense attention.")
        return logits

    def _judge(self, told: Told, look: Paged, position: int) -> None:
        """Go on densely where more may be missed than is accepted."""
        if look.is_sparse and look.meter.looks and look.meter.upper > self._threshold:
            look.is_sparse = False
            told.fell_back_at = position

    def _ends(self) -> set[int]:
        ends = getattr(self._host.model.generation_config, "eos_token_id", None)
        found = set(ends) if isinstance(ends, list) else {ends}
        return {end for end in (*found, self._opened.tokenizer.eos_token_id) if end is not None}


class _Picker:
    """Chooses the next token."""

    def __init__(self, sampling: Mapping[str, object]) -> None:
        self._temperature = _float(sampling, "temperature", 1.0)
        self._top_p = _float(sampling, "top_p", 1.0)
        self._min_p = _float(sampling, "min_p", 0.0)
        self._top_k = _int(sampling, "top_k", 0)
        self._draw = torch.Generator("cpu")
        seed = sampling.get("seed")
        self._draw.manual_seed(seed) if isinstance(seed, int) else self._draw.seed()

    def __call__(self, logits_V: Tensor) -> int:
        if self._temperature == 0:
            return int(logits_V.argmax())
        shares, tokens = (logits_V / self._temperature).softmax(-1).sort(descending=True)
        keep = (shares.cumsum(-1) - shares < self._top_p) & (shares >= self._min_p * shares[0])
        if self._top_k:
            keep[self._top_k :] = False
        keep[0] = True
        shares = shares * keep
        return int(tokens[torch.multinomial(shares, 1, generator=self._draw)])


class _Words:
    """Turns tokens into text, whole characters at a time, and stops at stop texts."""

    def __init__(self, tokenizer: Any, stops: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._stops = stops
        self._tokens: list[int] = []
        self._said = ""
        self.is_stopped = False

    def add(self, token: int) -> str:
        self._tokens.append(token)
        text = self._text()
        for stop in self._stops:
            at = text.find(stop)
            if at >= 0:
                self.is_stopped = True
                text = text[:at]
        if not self.is_stopped:
            text = text[: len(text) - self._held(text)]
        return self._say(text)

    def rest(self) -> str:
        """Return what was held back."""
        return "" if self.is_stopped else self._say(self._text())

    def _text(self) -> str:
        return str(self._tokenizer.decode(self._tokens, skip_special_tokens=True))

    def _say(self, text: str) -> str:
        if len(text) <= len(self._said):
            return ""
        new, self._said = text[len(self._said) :], text
        return new

    def _held(self, text: str) -> int:
        """Return how many characters at the end may still change, or begin a stop text."""
        if text.endswith("\ufffd"):
            return 1
        return max(
            (n for stop in self._stops for n in range(1, len(stop)) if text.endswith(stop[:n])),
            default=0,
        )


def _float(sampling: Mapping[str, object], name: str, default: float) -> float:
    value = sampling.get(name)
    return float(value) if isinstance(value, int | float) else default


def _int(sampling: Mapping[str, object], name: str, default: int) -> int:
    value = sampling.get(name)
    return value if isinstance(value, int) else default


def _stops(sampling: Mapping[str, object]) -> list[str]:
    stops = sampling.get("stop")
    if isinstance(stops, str):
        return [stops]
    return [str(stop) for stop in stops] if isinstance(stops, list | tuple) else []
