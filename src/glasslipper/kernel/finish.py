"""Why an answer ended, in the five words that every dialect can be mapped to and from."""

from __future__ import annotations

from typing import Literal

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "error"]

Status = Literal["ok", "error", "cancelled", "truncated", "unknown"]
"""How an exchange or attempt ended for the ledger.

`cancelled`: the client left. `truncated`: the upstream broke off after output had been relayed.
`unknown`: a crash hid the end.
"""
