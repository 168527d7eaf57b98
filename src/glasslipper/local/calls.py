"""Turns the pieces of a bound answer into events: words, or a tool call with its arguments.

Relies on the shape that `constrain` enforces, so that a few characters decide and arguments
stream as they come. Holds back only what may turn out not to belong to them.
"""

from __future__ import annotations

import json
import re

import msgspec

from glasslipper.kernel.errors import UpstreamFailed
from glasslipper.kernel.events import Event, TextDelta, TokenLogprob, ToolCallDelta
from glasslipper.kernel.ids import new_id
from glasslipper.local.constrain import CALL_MARK, Constraint
from glasslipper.local.engine import Piece

_HEAD = re.compile(r'\{"name": ("(?:[^"\\]|\\.)*"), "arguments": ')


class Reader:
    """Reads one answer."""

    def __init__(self, constraint: Constraint) -> None:
        self._constraint = constraint
        self._undecided = bool(constraint.tools)
        self._is_call = False
        self._held = ""
        self._held_logprobs: tuple[TokenLogprob, ...] = ()
        self._has_head = False
        self._arguments: list[str] = []
        self._words: list[str] = []

    def read(self, piece: Piece) -> list[Event]:
        """Return the events that the next piece brings, if any."""
        if not self._undecided and not self._is_call:
            return [self._say(piece.text, piece.logprobs)]
        self._held += piece.text
        if self._undecided:
            self._held_logprobs += piece.logprobs
            self._decide()
            if self._undecided:
                return []
            if not self._is_call:
                return self._let_go()
        return self._read_call()

    def end(self) -> list[Event]:
        """Return the events for what was still held back when the answer ended."""
        if self._undecided:
            self._undecided = False
            return self._let_go() if self._held else []
        if not self._has_head or not self._held or self.is_whole_call:
            return []
        return [self._more(self._held)]

    @property
    def is_whole_call(self) -> bool:
        """Whether a tool call came, with all of its arguments."""
        if not self._has_head or self._held != "}":
            return False
        try:
            msgspec.json.decode("".join(self._arguments))
        except msgspec.DecodeError:
            return False
        return True

    def check_json(self) -> None:
        """Make sure of what the grammar promises of an answer in JSON.

        Raises:
            UpstreamFailed: The engine did not keep to it.
        """
        if self._has_head:
            return
        try:
            msgspec.json.decode("".join(self._words))
        except msgspec.DecodeError as error:
            raise UpstreamFailed("The engine left the JSON that it was bound to.") from error

    def _say(self, text: str, logprobs: tuple[TokenLogprob, ...]) -> TextDelta:
        if self._constraint.is_json:
            self._words.append(text)
        return TextDelta(text=text, logprobs=logprobs)

    def _decide(self) -> None:
        """Settle whether this is a call, as soon as what has come allows."""
        held = self._held
        if held.startswith(CALL_MARK):
            self._held = held.removeprefix(CALL_MARK)
            self._is_call, self._undecided = True, False
        elif held.startswith("{") and not self._constraint.is_json:
            self._is_call, self._undecided = True, False
        elif not CALL_MARK.startswith(held):
            self._undecided = False

    def _let_go(self) -> list[Event]:
        text, logprobs = self._held, self._held_logprobs
        self._held, self._held_logprobs = "", ()
        return [self._say(text, logprobs)]

    def _read_call(self) -> list[Event]:
        events: list[Event] = []
        if not self._has_head:
            head = _HEAD.match(self._held)
            if head is None:
                return events
            self._has_head = True
            self._held = self._held[head.end() :]
            name: str = json.loads(head[1])
            call_id = new_id("call").replace("-", "_")
            events.append(ToolCallDelta(index=0, id=call_id, name=name))
        if len(self._held) > 1:
            more, self._held = self._held[:-1], self._held[-1]
            events.append(self._more(more))
        return events

    def _more(self, text: str) -> ToolCallDelta:
        self._arguments.append(text)
        return ToolCallDelta(index=0, arguments=text)
