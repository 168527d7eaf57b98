"""Every section's SQL keeps to what DuckDB and ClickHouse share."""

import re
from pathlib import Path

import pytest

from glasslipper.report.sections import PARTS
from glasslipper.report.study import SQL

FILES = sorted(Path(str(SQL)).rglob("*.sql"))

SHARED = {
    "sum", "count", "min", "max", "avg", "median", "max_by", "coalesce", "floor", "least",
    "greatest", "abs", "date_trunc", "date_diff", "year", "month", "lag", "lead", "row_number",
    "cast", "decimal", "over", "filter", "in", "and", "or", "as", "on", "by", "from", "where",
    "when",
}  # fmt: skip
"""Functions that both spell alike and mean alike, and words that a parenthesis may follow."""

FOREIGN = (
    "::", "QUALIFY", "EXCLUDE", "UNNEST", "LIST(", "STRUCT", "ILIKE", "PIVOT", "ASOF", "POSITIONAL",
    "ARG_MAX", "QUANTILE", "SPLIT_PART", "STRFTIME", "EPOCH", "LIMIT 0", "$1", "?",
)  # fmt: skip


def text_of(path: Path) -> str:
    return re.sub(r"--.*", "", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_file_uses_only_what_both_engines_share(path: Path) -> None:
    sql = re.sub(r"'[^']*'", "''", text_of(path))
    called = {name.lower() for name in re.findall(r"([A-Za-z_]\w*)\s*\(", sql)}
    ctes = {name.lower() for name in re.findall(r"(\w+) AS \(", sql)}
    assert called - SHARED - ctes - {"launches"} == set()
    assert [word for word in FOREIGN if word in sql.upper()] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_aggregate_is_named_after_a_column_that_it_reads_unqualified(path: Path) -> None:
    shadowing = re.findall(r"\w+\((\w+)\)(?: AS BIGINT\))? AS (\w+)", text_of(path))
    assert [pair for pair in shadowing if pair[0] == pair[1]] == []


def test_every_section_has_its_file_and_every_file_its_section() -> None:
    asked = {section.sql for part in PARTS for section in part.sections}
    there = {path.stem for path in FILES if path.parent.name == "sections"}
    assert asked <= there
    sources = "".join(
        path.read_text(encoding="utf-8")
        for path in (Path(str(SQL)).parent / "sections").glob("*.py")
    )
    assert [name for name in there if f'"{name}"' not in sources] == []
