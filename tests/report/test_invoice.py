"""A bill is read in dollars and cents whatever way they are written, or refused."""

from datetime import date
from pathlib import Path

import pytest

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.report import invoice


def bill(tmp_path: Path, text: str) -> list[tuple[date, str, int]]:
    path = tmp_path / "bill.csv"
    path.write_text(text, encoding="utf-8")
    return [(one.day, one.model, one.nanousd) for one in invoice.read(path).lines]


@pytest.mark.parametrize(
    "text",
    [
        'date,model,cost\n2026-01-02,m,"1,234.50"\n2026-01-02,n,$2\n',
        'date,model,cost\n2026-01-02,m,"1.234,50"\n2026-01-02,n,2\n',
        "\ufeff\ndate;model;cost\r\n2026-01-02;m;1234,50\r\n2026-01-02;n;2,000\r\n;;\r\n",
        "start_time\tmodel\tamount_value\tamount_currency\n"
        "1767312000\tm, input\t1000\tusd\n1767312000\tm, output\t234.5\tusd\n1767312000\tn\t2\tusd",
    ],
    ids=["points", "commas", "semicolons", "epoch"],
)
def test_amounts_are_read_as_people_write_them(tmp_path: Path, text: str) -> None:
    sums: dict[str, int] = {}
    for day, model, nanousd in bill(tmp_path, text):
        assert day == date(2026, 1, 2)
        sums[model] = sums.get(model, 0) + nanousd
    assert sums == {"m": 1_234_500_000_000, "n": 2_000_000_000}


def test_an_amount_that_can_be_read_in_two_ways_is_read_as_the_others_are(tmp_path: Path) -> None:
    assert bill(tmp_path, 'day,model,cost\n2026-01-02,m,"1,234"\n2026-01-02,m,"0,50"\n') == [
        (date(2026, 1, 2), "m", 1_234_000_000),
        (date(2026, 1, 2), "m", 500_000_000),
    ]
    assert bill(tmp_path, 'day,model,cost\n2026-01-02,m,"1,234"\n2026-01-02,m,0.50\n') == [
        (date(2026, 1, 2), "m", 1_234_000_000_000),
        (date(2026, 1, 2), "m", 500_000_000),
    ]


def test_a_credit_is_taken_off(tmp_path: Path) -> None:
    found = bill(tmp_path, "day,model,cost\n2026-01-02,m,(0.50)\n2026-01-02,m,-0.25\n")
    assert [nanousd for *_, nanousd in found] == [-500_000_000, -250_000_000]


@pytest.mark.parametrize(
    "text",
    [
        "day,model,cost,currency\n2026-01-02,m,1.5,EUR\n",
        "day,model,cost\n2026-01-02,m,1.5 EUR\n",
        'day,model,cost\n2026-01-02,m,"1,5"\n2026-01-02,m,1.5\n',
        "day,model,cost\n01/02/2026,m,1.5\n",
        "day,model,cost\n",
        "",
    ],
    ids=["currency", "euros", "mixed", "american", "none", "empty"],
)
def test_what_cannot_be_read_for_sure_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidRequest):
        bill(tmp_path, text)


def test_a_short_line_counts_what_it_says(tmp_path: Path) -> None:
    assert bill(tmp_path, "day,cost,model\n2026-01-02,1.5\n") == [
        (date(2026, 1, 2), "", 1_500_000_000)
    ]
