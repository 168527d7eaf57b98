"""Closes what a crash left open.

An attempt whose end nobody saw becomes a generation of status `unknown`, charged with the upper
bound of its input and one token for each byte that was relayed, at the price of its intent and
never above its hold; everything else that the dead process held is given back. All of it can be
interrupted at any point and done again.
"""

from __future__ import annotations

from msgspec import structs

from glasslipper.kernel.money import FREE, amount_nanousd
from glasslipper.kernel.record import Attempt, Generation, Intent
from glasslipper.kernel.usage import Usage
from glasslipper.ledger import lines
from glasslipper.ledger.write import counters, rows
from glasslipper.store.cells import Cells
from glasslipper.store.database import Database
from glasslipper.store.journal import Journal


def recover(journal: Journal, cells: Cells, state: Database) -> int:
    """Close every open exchange of a journal that this process owns; return how many there were."""
    table = rows.open_rows(journal.folder)
    try:
        rows.forget_beyond(table, journal.end)
        rows.copy(table, journal.folder)
        closed = [close(attempts, cells) for attempts in _open_exchanges(table)]
        for generation in closed:
            line = lines.encode(generation)
            journal.reserve(len(line) + 1)
            journal.append(line)
            journal.unreserve(len(line) + 1)
        journal.sync()
        rows.copy(table, journal.folder)
    finally:
        table.close()
    with state.transaction():
        counters.forget_beyond(state, journal.folder.name, journal.end)
        counters.count(state, journal.folder)
        counters.release_all(state, journal.folder.name)
    return len(closed)


def _open_exchanges(table: Database) -> list[list[Intent]]:
    """Return the intents without a generation, the attempts of each exchange in order."""
    found: dict[str, list[Intent]] = {}
    unsettled = """
        SELECT body FROM intents WHERE generation_id NOT IN (SELECT id FROM records)"""
    for (body,) in table.rows(unsettled):
        intent = lines.decode_intent(str(body))
        found.setdefault(intent.generation_id, []).append(intent)
    return [sorted(intents, key=lambda intent: intent.number) for intents in found.values()]


def close(attempts: list[Intent], cells: Cells) -> Generation:
    """Return the generation of an exchange whose end nobody saw."""
    first, last = attempts[0], attempts[-1]
    usage = Usage(input=last.input_units, output=cells.values[last.cell], requests=1)
    price = last.price.price if last.price else FREE
    billed = amount_nanousd(usage, price)
    owed = 0 if last.uncharged else billed
    unseen = [
        Attempt(
            id=intent.attempt_id,
            endpoint=intent.endpoint,
            provider=intent.provider,
            model=intent.model,
            started_ms=intent.created_ms,
            status="unknown",
        )
        for intent in attempts
    ]
    unseen[-1] = structs.replace(unseen[-1], billed_nanousd=billed)
    return Generation(
        id=first.generation_id,
        created_ms=first.created_ms,
        key_id=first.key_id,
        accounts=first.accounts,
        model=first.model,
        dialect=first.dialect,
        status="unknown",
        endpoint=last.endpoint,
        provider=last.provider,
        streamed=first.streamed,
        error="crash",
        usage=usage,
        estimated=True,
        held_nanousd=first.held_nanousd,
        billed_nanousd=billed,
        charged_nanousd=min(owed, first.held_nanousd) if first.held_nanousd else owed,
        price_id=last.price.id if last.price else None,
        session_id=first.session_id,
        user=first.user,
        labels=first.labels,
        attempts=tuple(unseen),
        is_byok=last.is_byok,
    )
