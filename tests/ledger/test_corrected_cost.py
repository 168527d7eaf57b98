"""What a generation really cost may become known later; studies and exports see it, budgets not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from recording import fact, make_key, note, plain, record

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.ledger.imports import FORMATS
from glasslipper.ledger.read.scan import Lake
from glasslipper.ledger.read.verify import verify
from glasslipper.ledger.write import Ledger, seal
from glasslipper.ledger.write.importing import take_over

SUMS = (
    "SELECT sum(billed_nanousd), sum(charged_nanousd), count(*), sum(usage_reported_nanousd)"
    " FROM generations",
    "SELECT sum(billed_nanousd), sum(charged_nanousd), sum(requests) FROM usage_daily",
    "SELECT sum(billed_nanousd), sum(charged_nanousd), sum(requests) FROM units_weekly"
    " WHERE unit_kind = 'key'",
)


def sums(home: Path) -> list[tuple[object, ...]]:
    with Lake(home, threads=1) as lake:
        return [tuple(lake.rows(sql)[0]) for sql in SUMS]


@pytest.mark.parametrize("seal_first", [True, False], ids=["sealed", "hot"])
@pytest.mark.parametrize("seal_after", [True, False], ids=["facts-sealed", "facts-hot"])
def test_a_corrected_cost_counts_once_wherever_it_lies(
    tmp_path: Path, *, seal_first: bool, seal_after: bool
) -> None:
    with Ledger(tmp_path) as ledger:
        account = make_key(ledger)
        made = [plain(account, cost=7) for _ in range(3)]
        record(ledger, *made)
        if seal_first:
            seal.seal(tmp_path, seal.NOW)
        assert sums(tmp_path) == [(21, 18, 3, 21), (21, 18, 3), (21, 18, 3)]
        note(
            ledger,
            fact(made[0], "cost", {"billed_nanousd": 99, "source": "bill"}, noted_ms=1),
            fact(made[0], "cost", {"billed_nanousd": 100, "source": "bill"}, noted_ms=2),
            fact(made[1], "cost", {"billed_nanousd": "nonsense"}),
            fact(made[2], "topic", {"task": "legal", "confidence": 1.0, "classifier": "c"}),
        )
        if seal_after:
            seal.seal(tmp_path, seal.NOW)
        assert sums(tmp_path) == [(114, 18, 3, 21), (114, 18, 3), (114, 18, 3)]
        with Lake(tmp_path, threads=1) as lake:
            assert lake.rows(
                "SELECT task, sum(billed_nanousd) FROM usage_daily WHERE requests <> 0"
                " GROUP BY task HAVING sum(requests) > 0 ORDER BY task NULLS FIRST"
            ) == [(None, 107), ("legal", 7)]
    assert verify(tmp_path).holds


def test_a_list_of_costs_is_imported_once_and_the_later_one_counts(tmp_path: Path) -> None:
    home, path = tmp_path / "home", tmp_path / "costs.csv"
    with Ledger(home) as ledger:
        made = [plain(make_key(ledger), cost=7) for _ in range(2)]
        record(ledger, *made)
        for at_s, cost, added in ((1, "0.5", 1), (1, "0.5", 0), (2, "$1,000.25", 1)):
            text = f'generation_id,cost_usd\n{made[0].id},"{cost}"\n'
            path.write_text(text, encoding="utf-8")
            os.utime(path, (at_s, at_s))
            done = take_over(home, "costs", FORMATS["costs"](path, lambda *_: None))
            assert done.facts_added == added
        assert sums(home)[0][:2] == (1_000_250_000_000 + 7, 12)


@pytest.mark.parametrize(
    ("amounts", "why"),
    [(("1.00", "0.50"), "two different costs of gen-1"), (("-1.00",), "cannot have cost")],
)
def test_a_cost_that_cannot_be_or_is_said_in_two_ways_is_refused(
    tmp_path: Path, amounts: tuple[str, ...], why: str
) -> None:
    path = tmp_path / "costs.csv"
    lines = ["generation_id,cost_usd", *(f"gen-1,{amount}" for amount in amounts)]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InvalidRequest, match=why):
        take_over(tmp_path / "home", "costs", FORMATS["costs"](path, lambda *_: None))
    path.write_text("generation_id,cost_usd\ngen-1,1.00\ngen-1,1\n", encoding="utf-8")
    done = take_over(tmp_path / "home", "costs", FORMATS["costs"](path, lambda *_: None))
    assert done.facts_added == 1
