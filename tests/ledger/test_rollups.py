"""What rollups add up to is what the rows do."""

from pathlib import Path

import pytest

from glasslipper.ledger.lake import segments
from glasslipper.ledger.read.scan import Lake
from glasslipper.ledger.write.bulk import Bulk

ROWS = """
    SELECT 'gen-' || printf('%06d', n) AS id, 1768000000000 + n * 900000 AS created_ms,
        'key/' || n % 3 AS key_id, 'lab/' || n % 4 AS model, 'openai' AS provider,
        CASE WHEN n % 5 < 2 THEN NULL ELSE 'u-' || n % 7 END AS "user",
        CASE WHEN n % 2 = 0 THEN 'app/' || n % 6 END AS app,
        CASE WHEN n % 3 = 0 THEN 'coding' END AS task,
        CASE WHEN n % 11 = 0 THEN 'error' WHEN n % 13 = 0 THEN 'cancelled' ELSE 'ok' END AS status,
        CASE WHEN n % 4 = 0 THEN 'tool_calls' END AS finish_reason, n % 9 AS tools_offered,
        n AS usage_input, n % 17 AS usage_output, n * 31 AS billed_nanousd, n % 2 = 1 AS streamed
    FROM range(3000) AS r(n)"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rollups")
    with Bulk(folder, threads=2) as bulk:
        bulk.seal("made", "one", generations=f"{ROWS} WHERE n < 2000")
        bulk.seal("made", "two", generations=f"{ROWS} WHERE n >= 2000")
    return folder


@pytest.mark.parametrize(
    ("kind", "unit"), [("workload", "workload"), ("key", "key_id"), ("user", '"user"')]
)
def test_units_add_up_to_their_rows(home: Path, kind: str, unit: str) -> None:
    sums = "sum(prompt_tokens), sum(completion_tokens), sum(charged_nanousd), sum(billed_nanousd)"
    with Lake(home) as lake:
        rolled = lake.rows(
            f"SELECT week, unit, model, author, task, sum(requests), {sums} FROM units_weekly"
            f" WHERE unit_kind = '{kind}' GROUP BY ALL ORDER BY ALL"
        )
        rows = lake.rows(
            f"SELECT week, {unit}, model_used, author, task, count(*), {sums} FROM generations"
            f" WHERE {unit} IS NOT NULL GROUP BY ALL ORDER BY ALL"
        )
    assert rolled == rows
    assert len(rows) > 20


def test_days_add_up_to_their_rows(home: Path) -> None:
    with Lake(home) as lake:
        rolled = lake.rows(
            "SELECT day, model, sum(ok), sum(cancelled), sum(failed), sum(tool_call_requests),"
            " sum(tools_offered_requests), sum(streamed_requests), sum(byok_requests)"
            " FROM usage_daily GROUP BY ALL ORDER BY ALL"
        )
        rows = lake.rows(
            "SELECT day, model_used, sum(CAST(status = 'ok' AS INT)),"
            " sum(CAST(status = 'cancelled' AS INT)), sum(CAST(status = 'error' AS INT)),"
            " sum(CAST(coalesce(finish_reason = 'tool_calls', false) AS INT)),"
            " sum(CAST(tools_offered > 0 AS INT)), sum(CAST(streamed AS INT)), 0"
            " FROM generations GROUP BY ALL ORDER BY ALL"
        )
    assert rolled == rows
    assert len(segments.found_in(home)) == 2
