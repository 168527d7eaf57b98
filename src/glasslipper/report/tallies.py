"""Narrow sums that the ledger's rollups do not hold, made once for each segment and kept.

They lie in `$GLASSLIPPER_HOME/report/tallies`, named after their segment, their SQL and the late
facts that they saw: a new fact or a new version makes a new file, and the old one goes when
nobody has asked for it for `IDLE_S`: another study may be reading it. What is not sealed yet is
summed up each time. They may be deleted whenever no study runs.
"""

# Every name in these statements is ours.
# ruff: noqa: S608

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from importlib import resources
from pathlib import Path

from glasslipper.ledger.lake import columns, views
from glasslipper.ledger.lake.segments import Segment
from glasslipper.ledger.read.scan import Lake, corrected
from glasslipper.store.duck import text, texts

FOLDER = Path("report") / "tallies"
NAMES = (
    "sessions",
    "doubles",
    "priced",
    "hours",
    "gaps",
    "judged",
    "clocks",
    "gold",
    "compared",
)
"""All tallies, those that take longest first."""

WITH_FACTS = {"judged", "clocks", "gold", "compared"}
ABOUT = (
    "id, day, week, key_id, workload, model_used, task, tag, created_ms, duration_ms,"
    " billed_nanousd, prompt_tokens, completion_tokens"
)
"""What tallies of facts need of the generations that the facts are about."""


IDLE_S = 7_200.0
"""After so long, no study that asked for a file is still reading it."""

ABANDONED_S = 86_400.0
"""After so long, nobody is still writing a file."""

_SQL = resources.files("glasslipper.report") / "sql" / "tallies"


def make(lake: Lake) -> None:
    """Make a view `tally_NAME` of every tally, over segments and fresh rows."""
    folder = lake.home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, list[Path]] = {name: [] for name in NAMES}
    for segment in lake.segments:
        for name, path in _of_segment(lake, folder, segment).items():
            files[name].append(path)
    lake.run("DROP TABLE IF EXISTS one_about; DROP TABLE IF EXISTS one_facts")
    lake.abreast([f"CREATE TABLE fresh_{name} AS {_fresh(name)}" for name in NAMES])
    for name in NAMES:
        sealed = f"SELECT * FROM read_parquet({texts(files[name])}) UNION ALL "
        lake.run(
            f"CREATE VIEW tally_{name} AS {sealed if files[name] else ''}SELECT * FROM fresh_{name}"
        )
    _forget(folder, {path for paths in files.values() for path in paths})


def sql(
    name: str,
    *,
    generations: str,
    attempts: str,
    feedback: str,
    topics: str,
    comparisons: str,
) -> str:
    """Return the SQL of a tally over tables of these names."""
    plain = (_SQL / f"{name}.sql").read_text(encoding="utf-8")
    return plain.format(
        generations=generations,
        attempts=attempts,
        feedback=feedback,
        topics=topics,
        comparisons=comparisons,
    )


def _fresh(name: str) -> str:
    """Return the SQL of a tally over what is not sealed yet."""
    return sql(
        name,
        generations="fresh_generations",
        attempts="fresh_attempts",
        feedback="feedback",
        topics="topics",
        comparisons="comparisons",
    )


def _of_segment(lake: Lake, folder: Path, segment: Segment) -> dict[str, Path]:
    """Return the files of a segment's tallies, made where they are not there yet."""
    stored = segment.file("generations")
    if stored is None:
        return {}
    seen = _facts_seen(lake, segment)
    paths = {name: folder / _file_name(name, segment, seen) for name in NAMES}
    wanted = [name for name, path in paths.items() if not _is_kept(path)]
    if not wanted:
        return paths
    source = f"read_parquet({text(stored)})"
    more = segment.file("attempts")
    beside = f"read_parquet({text(more)})" if more else f"({columns.empty(columns.ATTEMPTS)})"
    lake.run(f"CREATE OR REPLACE TABLE one_facts AS {lake.facts_about(segment)}")
    lake.run(
        f"CREATE OR REPLACE VIEW one_generations AS {views.generations(source)};"
        f"CREATE OR REPLACE VIEW one_attempts AS {views.attempts(source, beside)};"
        f"CREATE OR REPLACE VIEW one_feedback AS {views.feedback('one_facts')};"
        f"CREATE OR REPLACE VIEW one_topics AS {views.topics('one_facts')};"
        f"CREATE OR REPLACE VIEW one_comparisons AS {views.comparisons('one_facts')}"
    )
    parts = {name: paths[name].with_suffix(f".{os.getpid()}.part") for name in wanted}
    made = {name: _made(name, parts[name]) for name in wanted}
    # Labels and costs may be late facts too.
    late = corrected(f"(SELECT * FROM {source} WHERE id IN (SELECT generation_id FROM one_facts))")
    about = (
        f"CREATE OR REPLACE TABLE one_about AS SELECT {ABOUT} FROM"
        f" ({views.generations(f'({late})')})"
    )
    alone = [made[name] for name in wanted if name not in WITH_FACTS]
    with_facts = "; ".join([about, *(made[name] for name in wanted if name in WITH_FACTS)])
    lake.abreast([*alone[:1], with_facts, *alone[1:]] if made.keys() & WITH_FACTS else alone)
    for name in wanted:
        parts[name].replace(paths[name])
    return paths


def _is_kept(path: Path) -> bool:
    """Whether a file is there; if so, note that it has been asked for."""
    try:
        os.utime(path)
    except OSError:
        return path.exists()  # it may be another user's
    return True


def _made(name: str, path: Path) -> str:
    """Return a statement that makes a file of a segment's tally."""
    query = sql(
        name,
        generations="one_about" if name in WITH_FACTS else "one_generations",
        attempts="one_attempts",
        feedback="one_feedback",
        topics="one_topics",
        comparisons="one_comparisons",
    )
    return f"COPY ({query}) TO {text(path)} (FORMAT parquet, COMPRESSION zstd)"


def _facts_seen(lake: Lake, segment: Segment) -> str:
    """Return how many late facts there are about a segment's generations, and how new they are."""
    facts = lake.facts_about(segment)
    found = lake.rows(f"SELECT count(*), max(id) FROM ({facts})")
    return f"{found[0][0]}/{found[0][1]}"


def _file_name(name: str, segment: Segment, facts: str) -> str:
    asked = (_SQL / f"{name}.sql").read_text(encoding="utf-8")
    rows = segment.manifest.files["generations"].sha256
    known = facts if name in WITH_FACTS else ""
    digest = hashlib.sha256(f"{rows}{asked}{known}".encode()).hexdigest()[:16]
    return f"{segment.manifest.name}-{name}-{digest}.parquet"


def _forget(folder: Path, used: set[Path]) -> None:
    """Remove tallies that nobody asks for any more, and what the dead have left half-made."""
    for pattern, kept_s in (("*.parquet", IDLE_S), ("*.part", ABANDONED_S)):
        for path in set(folder.glob(pattern)) - used:
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > kept_s:
                    path.unlink()
