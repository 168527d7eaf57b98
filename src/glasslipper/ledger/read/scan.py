"""The whole ledger as tables for SQL: sealed segments and what is not sealed yet, as one.

`Lake` opens DuckDB over one home, as it is at that moment. Every query is to be written in the
subset of SQL that DuckDB and ClickHouse share. Text columns may be NULL where a value is unknown;
counts and amounts never are, except where this says so. Money is nano-USD, `…_ms` are
milliseconds (moments: since 1970, UTC), `…_at` are timestamps in UTC, `day` and `week` are dates
(a week begins on Monday).

`generations`: one row for each exchange.

    id, created_ms, created_at, day, week, key_id, accounts (JSON array of ids, nearest first)
    model (as asked for), model_served, model_used (served, else asked for), author (of
      model_used: what is before its slash, or ''), endpoint, provider, dialect, streamed, is_byok
    status ('ok', 'error', 'cancelled', 'truncated', 'unknown'), finish_reason ('stop', 'length',
      'tool_calls', 'content_filter', 'error'), native_finish_reason, error (slug), upstream_id
    first_token_ms (may be NULL), duration_ms, estimated (usage is ours, not the provider's)
    usage_input, usage_cache_read, usage_cache_write, usage_cache_write_1h, usage_input_audio,
      usage_input_image, usage_output, usage_reasoning, usage_output_audio, usage_output_image,
      usage_requests, usage_searches, usage_cpu_us; prompt_tokens (the first six), and
      completion_tokens (the next four)
    billed_nanousd, charged_nanousd, held_nanousd, usage_reported_nanousd (may be NULL), price_id
    session_id, "user", app, referer, user_agent, labels (JSON object), country (label `country`)
    system_print, workload (key, app and system_print, joined by '/'), turns, tools_offered,
      tools_called
    task, tag, language, code_language, classifier, task_confidence: what the prompt is about

`attempts`: one row for each upstream call: generation_id, number (0 is the first), id, endpoint,
provider, model (as the provider calls it), status, error, upstream_id, started_ms, started_at,
day, duration_ms, first_token_ms, http_status, billed_nanousd.

`candidates`: the endpoints that might have served: generation_id, number, endpoint, propensity,
why.

`late_facts`: id, kind, noted_ms, key_id, generation_id, session_id, body (JSON); and of them

    feedback     id, noted_ms, noted_at, key_id, generation_id, session_id, reward, category
    topics       id, kind ('topic' from a classifier, 'judged' from a model that was asked),
                 noted_ms, key_id, generation_id, task, tag, language, code_language, classifier,
                 task_confidence. A topic that was known when its generation was sealed is in
                 `generations` only; one that came later is in both, the last one said counts
    comparisons  id, noted_ms, key_id, generation_id, other (a model that was asked the same),
                 better ('this', 'other', 'neither'), judged_by
    corrections  id, noted_ms, key_id, generation_id, billed_nanousd (what it really cost), source;
                 the last of them is what `generations` and the rollups say was billed

Rollups, already summed for each segment. Sum them again: a key may have several rows.

    usage_daily    day, model (used), author, provider, task, tag, language, country: requests,
                   ok, cancelled, failed, prompt_tokens, completion_tokens, usage_… (the ten
                   token classes, searches, cpu_us), billed_nanousd, charged_nanousd,
                   tool_call_requests, tool_call_tokens (finish reason `tool_calls`),
                   tools_offered_requests, tools_offered_tokens, streamed_requests,
                   byok_requests, turns, duration_ms, first_token_ms, first_tokens (how many had)
    units_weekly   week, unit_kind ('workload', 'key', 'user'), unit, model, author, task:
                   requests, prompt_tokens, completion_tokens, charged_nanousd, billed_nanousd
    latency_daily  day, model, provider, measure ('first_token_ms', 'duration_ms', 'token_us'),
                   bucket, requests; bucket b holds values from 2 ** (b / 8) up to the next one
    attempts_daily day, provider, model, status, error, http_status: attempts, duration_ms,
                   billed_nanousd

From the state file: `prices` (id, endpoint, source, as_of, seen_ms, and price_input,
price_output, … in nano-USD per million units, fallbacks applied), `keys` (id, name, created_ms),
`accounts` (id, parent, kind, name).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from glasslipper.kernel.record import TOPIC_FACT
from glasslipper.ledger.lake import columns, rollups, views
from glasslipper.ledger.lake.columns import Column
from glasslipper.ledger.lake.segments import Segment
from glasslipper.ledger.read import hot, statefile
from glasslipper.store.duck import MEMORY_BYTES, Cells, Duck, Values, text, texts

if TYPE_CHECKING:
    from glasslipper.store.duck import Array

_ENDS = "SELECT min(generation_id), max(generation_id) FROM topic_facts"

_ENDS_OF_FILES = """
    SELECT file_name,
        CASE WHEN bool_or(unknown) THEN '' ELSE min(stats_min_value) END,
        CASE WHEN bool_or(unknown) THEN '~' ELSE max(stats_max_value) END
    FROM (
        SELECT *, stats_min_value IS NULL
            AND coalesce(stats_null_count, 0) < num_values AS unknown
        FROM parquet_metadata({files}) WHERE path_in_schema = 'generation_id')
    GROUP BY file_name
    HAVING bool_or(unknown) OR min(stats_min_value) IS NOT NULL"""
"""The least and the greatest generation that a file has facts about; none, if it has none."""

STORED: dict[str, tuple[Column, ...]] = {
    "generations": columns.GENERATIONS,
    "attempts": columns.ATTEMPTS,
    "candidates": columns.CANDIDATES,
    "late_facts": columns.LATE_FACTS,
}


class Lake:
    """The tables of one home at one moment. Use it as a context, or `close` it.

    Tables and views that a study makes beside them live as long as it does.
    """

    def __init__(
        self,
        home: Path,
        *,
        memory_bytes: int = MEMORY_BYTES,
        threads: int | None = None,
        spill: Path | None = None,
    ) -> None:
        """Open the ledger in `home` for reading.

        `threads` are as many as there are processors, if left out; `spill` is a folder with room
        for what does not fit into `memory_bytes`.

        Raises:
            StoreFailed: The files cannot be read.
            StoreNewer: A newer program wrote them.
        """
        self.home = home
        self._duck = Duck(memory_bytes=memory_bytes, threads=threads, spill=spill)
        self._ends_of_facts: list[tuple[Path, str, str]] | None = None
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        lines = self._duck.folder / "hot.ndjson"
        self.segments: list[Segment]
        self.segments, self.hot_rows = hot.write_lines(self.home, lines)
        self._load_hot(lines)
        lines.unlink()
        for table, kept in STORED.items():
            self._unite(table, kept)
        has_late_topics, has_costs = self._find_late_topics(), self._find_costs()
        is_corrected = has_late_topics or has_costs
        if is_corrected:
            self._duck.run(
                "CREATE OR REPLACE VIEW stored_generations AS SELECT * FROM"
                f" ({corrected('sealed_generations')})"
                " UNION ALL SELECT * FROM hot_generations"
            )
        self._make_views()
        if is_corrected:
            self._correct_rollups()
        statefile.load(self._duck, self.home)

    def _load_hot(self, lines: Path) -> None:
        """Make tables of the lines, with the same columns as segments have."""
        run = self._duck.run
        run(f"CREATE TEMP TABLE hot_lines AS SELECT * FROM {columns.lines_of([lines])}")
        run(f"CREATE TEMP TABLE hot_labelled AS {columns.with_topics('hot_lines')}")
        run(f"CREATE TABLE hot_generations AS {columns.generations_of('hot_labelled')}")
        run(f"CREATE TABLE hot_attempts AS {columns.attempts_of('hot_labelled')}")
        run(f"CREATE TABLE hot_candidates AS {columns.candidates_of('hot_labelled')}")
        run(f"CREATE TABLE hot_late_facts AS {columns.late_facts_of('hot_lines')}")
        run("DROP TABLE hot_labelled; DROP TABLE hot_lines")

    def _unite(self, table: str, kept: Sequence[Column]) -> None:
        files = self._files(table)
        sealed = f"SELECT * FROM read_parquet({texts(files)})" if files else columns.empty(kept)
        self._duck.run(f"CREATE VIEW sealed_{table} AS {sealed}")
        if table == "late_facts" and files:
            # Facts stay where they were for a while after they are sealed.
            self._duck.run(
                "DELETE FROM hot_late_facts WHERE id IN (SELECT id FROM sealed_late_facts)"
            )
        self._duck.run(
            f"CREATE VIEW stored_{table} AS"
            f" SELECT * FROM sealed_{table} UNION ALL SELECT * FROM hot_{table}"
        )

    def _find_late_topics(self) -> bool:
        """Make a table of the topics said about generations after those were sealed, if any were.

        A topic fact beside its generation in the same segment was superseded when it was sealed.
        """
        kind = f"kind = '{TOPIC_FACT}'"
        facts = self._files("late_facts")
        sealed = f" UNION ALL SELECT * FROM {_with_segment(facts)} WHERE {kind}" if facts else ""
        self._duck.run(
            "CREATE TEMP TABLE topic_facts AS"
            f" SELECT *, '' AS segment FROM hot_late_facts WHERE {kind}{sealed}"
        )
        likely = self._files_with(self._duck.row(_ENDS) or (None, None))
        if not likely:
            said = ", ".join(columns.TOPIC.values())
            self._duck.run(
                f"CREATE TABLE late_topics AS SELECT id, {said} FROM sealed_generations LIMIT 0"
            )
            return False
        said = ", ".join(
            f"arg_max(topic.{name}, (noted_ms, id)) AS {column}"
            for name, column in columns.TOPIC.items()
        )
        self._duck.run(
            f"""CREATE TABLE late_topics AS SELECT about AS id, {said} FROM (
                SELECT f.id, f.noted_ms, g.id AS about, {columns.topic_of("f.body")} AS topic
                FROM topic_facts AS f JOIN {_with_segment(likely)} AS g
                ON g.id = f.generation_id AND g.segment <> f.segment)
            GROUP BY about"""
        )
        found = self._duck.row("SELECT count(*) FROM late_topics")
        return bool(found and found[0])

    def _find_costs(self) -> bool:
        """Make a table of what generations really cost; tell whether any are sealed.

        Those that are not are corrected where they are.
        """
        self._duck.run(
            "CREATE TABLE late_costs AS"
            " SELECT generation_id AS id, arg_max(billed_nanousd, (noted_ms, id)) AS really_nanousd"
            f" FROM ({views.corrections('stored_late_facts')})"
            " WHERE billed_nanousd >= 0 AND generation_id IS NOT NULL GROUP BY generation_id"
        )
        found = self._duck.row("SELECT count(*) FROM late_costs")
        if not (found and found[0]):
            return False
        self._duck.run(
            "CREATE OR REPLACE TABLE hot_generations AS"
            f" {views.recosted('hot_generations', 'late_costs')}"
        )
        return True

    def facts_about(self, segment: Segment) -> str:
        """Return a query for all late facts about the generations of a segment.

        It reads the files that may hold such facts, by their own statistics, and no others.
        """
        if self._ends_of_facts is None:
            files = self._files("late_facts")
            found = self._duck.rows(_ENDS_OF_FILES.format(files=texts(files))) if files else []
            self._ends_of_facts = [(Path(path), low, high) for path, low, high in found]
        span = segment.manifest.span
        near = [
            path
            for path, low, high in self._ends_of_facts
            if low <= span.last_id and high >= span.first_id
        ]
        sealed = f"SELECT * FROM read_parquet({texts(near)}) UNION ALL " if near else ""
        between = f"BETWEEN {text(span.first_id)} AND {text(span.last_id)}"
        return f"""
            SELECT * FROM ({sealed}SELECT * FROM hot_late_facts) WHERE generation_id {between}"""

    def _files_with(self, ends: Cells) -> list[Path]:
        """Return the files that may hold generations with ids from one to the other."""
        first, last = ends
        if first is None or last is None:
            return []
        return [
            path
            for one in self.segments
            if (path := one.file("generations")) is not None
            and one.manifest.span.first_id <= last
            and one.manifest.span.last_id >= first
        ]

    def _correct_rollups(self) -> None:
        """Take back what the rollups say of corrected generations, and add them as they are now."""
        run = self._duck.run
        run(
            "CREATE TABLE was_stored AS"
            " SELECT * FROM sealed_generations SEMI JOIN"
            " (SELECT id FROM late_topics UNION SELECT id FROM late_costs) AS late USING (id)"
        )
        run(f"CREATE VIEW was_generations AS {views.generations('was_stored')}")
        now = corrected("was_stored")
        run(f"CREATE VIEW now_generations AS {views.generations(f'({now})')}")
        for name in rollups.KEYS:
            sql = rollups.ROLLUPS[name]
            was = rollups.over(sql, generations="was_generations", attempts="attempts")
            now = rollups.over(sql, generations="now_generations", attempts="attempts")
            back = rollups.taken_back(name, self._duck.names(was), was)
            run(f"INSERT INTO hot_{name} {back} UNION ALL {now}")

    def _make_views(self) -> None:
        run = self._duck.run
        run(f"CREATE VIEW generations AS {views.generations('stored_generations')}")
        run(f"CREATE VIEW attempts AS {views.attempts('stored_generations', 'stored_attempts')}")
        run("CREATE VIEW candidates AS SELECT * FROM stored_candidates")
        run("CREATE VIEW late_facts AS SELECT * FROM stored_late_facts")
        run(f"CREATE VIEW feedback AS {views.feedback('stored_late_facts')}")
        run(f"CREATE VIEW topics AS {views.topics('stored_late_facts')}")
        run(f"CREATE VIEW comparisons AS {views.comparisons('stored_late_facts')}")
        run(f"CREATE VIEW corrections AS {views.corrections('stored_late_facts')}")
        run(f"CREATE VIEW fresh_generations AS {views.generations('hot_generations')}")
        run(f"CREATE VIEW fresh_attempts AS {views.attempts('hot_generations', 'hot_attempts')}")
        for name, sql in rollups.ROLLUPS.items():
            fresh = rollups.over(sql, generations="fresh_generations", attempts="fresh_attempts")
            run(f"CREATE TABLE hot_{name} AS {fresh}")
            files = self._files(name)
            sealed = f"SELECT * FROM read_parquet({texts(files)}) UNION ALL " if files else ""
            run(f"CREATE VIEW {name} AS {sealed}SELECT * FROM hot_{name}")

    def _files(self, table: str) -> list[Path]:
        return [path for one in self.segments if (path := one.file(table)) is not None]

    @property
    def identity(self) -> str:
        """A text that is the same for the same sealed rows and the same hot rows, as a hash."""
        digest = hashlib.sha256()
        for segment in self.segments:
            for name, file in sorted(segment.manifest.files.items()):
                digest.update(f"{segment.path}/{name}:{file.sha256}\n".encode())
        for table in ("generations", "late_facts"):
            for (identifier,) in self.rows(f"SELECT id FROM hot_{table} ORDER BY id"):
                digest.update(f"{identifier}\n".encode())
        return digest.hexdigest()

    def run(self, sql: str, values: Values = ()) -> None:
        """Run a statement for what it does, such as making a table or a view beside these."""
        self._duck.run(sql, values)

    def abreast(self, statements: Sequence[str]) -> None:
        """Run statements that need nothing of one another, the longest first, at once."""
        self._duck.abreast(statements)

    def rows(self, sql: str, values: Values = ()) -> list[Cells]:
        """Run one query and return all its rows; `?` stands for a value."""
        return self._duck.rows(sql, values)

    def table(self, sql: str, values: Values = ()) -> tuple[list[str], list[Cells]]:
        """Run one query and return the names of its columns, and all its rows."""
        return self._duck.table(sql, values)

    def names(self, sql: str) -> list[str]:
        """Return the names of the columns of a query."""
        return self._duck.names(sql)

    def columns(self, sql: str, values: Values = ()) -> dict[str, Array]:
        """Run one query and return its columns as arrays; a NULL makes a masked array."""
        return self._duck.columns(sql, values)

    def load(self, table: str, columns: Mapping[str, Array]) -> None:
        """Make or replace a table from arrays of equal length; `None` in an object is NULL."""
        self._duck.load(table, columns)

    def copy(self, sql: str, path: Path) -> None:
        """Write the rows of one query to a Parquet file, compressed with zstd."""
        self._duck.run(f"COPY ({sql}) TO {text(path)} (FORMAT parquet, COMPRESSION zstd)")

    def close(self) -> None:
        """Close it and remove what it spilled; a second time does nothing."""
        self._duck.close()

    def __enter__(self) -> Lake:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def corrected(stored: str) -> str:
    """Return stored generations with the topics and costs that became known later.

    It is SQL for a connection on which a `Lake` was opened.
    """
    return views.recosted(f"({views.relabelled(stored, 'late_topics')})", "late_costs")


def _with_segment(files: Sequence[Path]) -> str:
    """Return SQL for the rows of files, and the folder of the segment that each is in."""
    rows = f"SELECT * FROM read_parquet({texts(files)}, filename = true)"
    return f"(SELECT * EXCLUDE (filename), parse_dirpath(filename) AS segment FROM ({rows}))"
