"""Our own export: one line for each generation and each late fact, as journals hold them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.kernel.record import Generation, LateFact
from glasslipper.ledger.imports import rows
from glasslipper.ledger.imports.rows import Priced


def read(path: Path, priced: Priced) -> Iterator[Generation | LateFact]:
    """Yield what the lines say."""
    del priced
    for row in rows.read(path):
        try:
            if "generation" in row:
                yield msgspec.convert(row["generation"], Generation)
            elif "fact" in row:
                yield msgspec.convert(row["fact"], LateFact)
            else:
                yield msgspec.convert(row, Generation)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"{path} is not an export of this ledger: {error}.") from error
