"""How long requests are and when they come, as fitted from public traces of real services.

`measured` reads the traces; `shipped` returns the summary of them that comes with the package:
quantiles of lengths, and the share of each hour of the week. Lengths are in tokens.

Sources: Azure LLM inference traces of 2023 (chat and code), Mooncake's conversation trace,
ServeGen's per-client rates of a chat model and a reasoning model.
"""

from __future__ import annotations

import csv
import io
import json
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec import Struct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SUMMARY = Path(__file__).with_name("traces.json")
QUANTILES = 64
"""Steps between the least and the greatest length."""

HOURS = 168

_KINDS = ("chat", "code", "long")
_SERVEGEN = "servegen_msmall_r1_mm.tar.xz"


class Traces(Struct, frozen=True, kw_only=True):
    """Quantiles of prompt and answer lengths by kind of service, and shares of 168 hours."""

    prompt: dict[str, list[float]]
    completion: dict[str, list[float]]
    hour_of_week: list[float]


def shipped() -> Traces:
    """Return the summary that comes with the package."""
    return msgspec.json.decode(SUMMARY.read_bytes(), type=Traces)


def measured(folder: Path) -> Traces:
    """Return a summary of the traces in a folder.

    Raises:
        OSError: One of them is not there.
    """
    lengths = {
        "chat": _azure(folder / "azure_llm_2023_conv.csv"),
        "code": _azure(folder / "azure_llm_2023_code.csv"),
        "long": _mooncake(folder / "mooncake_conversation_trace.jsonl"),
    }
    return Traces(
        prompt={kind: _quantiles(lengths[kind][:, 0]) for kind in _KINDS},
        completion={kind: _quantiles(lengths[kind][:, 1]) for kind in _KINDS},
        hour_of_week=_rhythm(folder / _SERVEGEN),
    )


def _azure(path: Path) -> Floats:
    with path.open(encoding="utf-8") as file:
        rows = [
            (float(row["ContextTokens"]), float(row["GeneratedTokens"]))
            for row in csv.DictReader(file)
        ]
    return np.array(rows)


def _mooncake(path: Path) -> Floats:
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return np.array([(float(line["input_length"]), float(line["output_length"])) for line in lines])


def _quantiles(values: Floats) -> list[float]:
    return [float(value) for value in np.quantile(values, np.linspace(0, 1, QUANTILES + 1))]


def _rhythm(path: Path) -> list[float]:
    """Return each hour's share of a week's requests, both weeks and all clients added up."""
    hours = np.zeros(HOURS)
    with tarfile.open(path) as archive:
        for member in archive:
            if not member.name.endswith("-trace.csv") or "multimodal" in member.name:
                continue
            file = archive.extractfile(member)
            text = file.read().decode() if file else ""
            for row in csv.reader(io.StringIO(text)):
                hour = int(float(row[0])) // 3600 % HOURS
                hours[hour] += float(row[1] or 0)
    return [round(float(share), 6) for share in hours / hours.sum()]
