"""A connection to DuckDB runs statements one after the other, or side by side."""

import pytest

from glasslipper.kernel.errors import StoreFailed
from glasslipper.store.duck import Duck


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_statements_abreast_all_take_effect(threads: int) -> None:
    with Duck(threads=threads) as duck:
        duck.run("CREATE VIEW numbers AS SELECT range AS n FROM range(1000)")
        duck.abreast(
            [f"CREATE TABLE t{k} AS SELECT sum(n + {k}) AS s FROM numbers" for k in range(6)]
        )
        sums = [duck.rows(f"SELECT s FROM t{k}")[0][0] for k in range(6)]
        assert sums == [499_500 + 1000 * k for k in range(6)]
        assert duck.rows("SELECT current_setting('threads')") == [(threads,)]


def test_what_goes_wrong_abreast_is_told_and_the_connection_lives_on() -> None:
    with Duck(threads=2) as duck:
        with pytest.raises(StoreFailed, match="nowhere"):
            duck.abreast(["CREATE TABLE fine AS SELECT 1", "SELECT * FROM nowhere"])
        assert duck.rows("SELECT * FROM fine") == [(1,)]
        assert duck.rows("SELECT current_setting('threads')") == [(2,)]


def test_statements_abreast_know_the_same_time_zone() -> None:
    with Duck(threads=2) as duck:
        zone = "SELECT current_setting('TimeZone') AS z"
        duck.abreast([f"CREATE TABLE one AS {zone}", f"CREATE TABLE two AS {zone}"])
        assert duck.rows("SELECT * FROM one UNION ALL SELECT * FROM two") == [("UTC",), ("UTC",)]


def test_a_table_has_the_names_of_its_columns_also_without_rows() -> None:
    with Duck(threads=1) as duck:
        assert duck.table("SELECT 1 AS a, 'x' AS b") == (["a", "b"], [(1, "x")])
        assert duck.table("SELECT 1 AS a WHERE false") == (["a"], [])
