"""What is piped into a command, as text."""

from __future__ import annotations

import sys

from glasslipper.kernel.errors import InvalidRequest, PayloadTooLarge

MOST_PIPED_BYTES = 16 << 20


def piped() -> str:
    """Return all that is piped in, without the white space around it.

    Raises:
        PayloadTooLarge: It is more than `MOST_PIPED_BYTES`.
        InvalidRequest: It is not text in UTF-8.
    """
    content = sys.stdin.buffer.read(MOST_PIPED_BYTES + 1)
    if len(content) > MOST_PIPED_BYTES:
        raise PayloadTooLarge(
            f"More than {MOST_PIPED_BYTES >> 20} MB are piped in.", hint="Ask about less at once."
        )
    try:
        return content.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            "What is piped in is not text in UTF-8.", hint="Convert it to text first."
        ) from error
