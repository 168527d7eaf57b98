"""Reports on real traces: Azure's chat and code services of 2023, and Mooncake's conversations.

They tell when requests came and how long they were, and nothing else, so most figures say what is
missing. Writes one page for each into FOLDER.

    python benchmarks/report_traces.py FOLDER
"""

from __future__ import annotations

import csv
import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from glasslipper.cli import studying
from glasslipper.ledger.write.bulk import Bulk
from glasslipper.report.section import Missing

DATA = Path(os.environ.get("GLASSLIPPER_DATA", "../shared/data")) / "traffic"
MOONCAKE_BEGAN_MS = 1_719_792_000_000
"""Its times count from the start, of which only the year is told: 2024."""

Request = tuple[int, str, int, int]
"""When it came (Unix milliseconds), its model, prompt and answer tokens."""


def main() -> None:
    folder = Path(sys.argv[1])
    for name, requests in (("azure", azure()), ("mooncake", mooncake())):
        with tempfile.TemporaryDirectory(prefix="glasslipper-trace-") as home:
            write(Path(home), name, requests)
            found = studying.study(studying.Given(home=Path(home)), lambda what, done, total: None)
            page = folder / f"{name}.html"
            size = studying.write_page(found, page, lambda what, done, total: None)
        answered = sum(not isinstance(one.result, Missing) for one in found.sections)
        told = {"page": str(page), "requests": found.requests, "html_bytes": size}
        print(json.dumps(told | {"sections": len(found.sections), "with_data": answered}))


def azure() -> list[Request]:
    found: list[Request] = []
    for kind in ("conv", "code"):
        with (DATA / f"azure_llm_2023_{kind}.csv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                when = datetime.fromisoformat(row["TIMESTAMP"][:26]).replace(tzinfo=UTC)
                lengths = int(row["ContextTokens"]), int(row["GeneratedTokens"])
                found.append((int(when.timestamp() * 1000), f"azure/{kind}-2023", *lengths))
    return sorted(found)


def mooncake() -> list[Request]:
    text = (DATA / "mooncake_conversation_trace.jsonl").read_text(encoding="utf-8")
    rows = map(json.loads, text.splitlines())
    return [
        (MOONCAKE_BEGAN_MS + int(row["timestamp"]), "moonshotai/kimi",
         int(row["input_length"]), int(row["output_length"]))
        for row in rows
    ]  # fmt: skip


def write(home: Path, name: str, requests: list[Request]) -> None:
    columns = list(zip(*requests, strict=True))
    with Bulk(home) as bulk:
        bulk.load(
            "trace",
            {
                "came_ms": np.array(columns[0]),
                "model": np.array(columns[1], dtype=object),
                "went_in": np.array(columns[2]),
                "came_out": np.array(columns[3]),
                "n": np.arange(len(requests)),
            },
        )
        bulk.seal(
            name,
            "trace",
            generations="SELECT 'gen-' || lpad(CAST(n AS VARCHAR), 26, '0') AS id,"
            " came_ms AS created_ms, 'trace' AS key_id, model,"
            " split_part(model, '/', 1) AS provider,"
            " went_in AS usage_input, came_out AS usage_output FROM trace ORDER BY came_ms",
        )


if __name__ == "__main__":
    main()
