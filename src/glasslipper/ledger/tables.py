"""The tables of the ledger's two kinds of file. Knows their columns, runs nothing.

*State* (`state.sqlite`, one for all processes): accounts, keys, budgets, prices, counters, holds,
the providers' keys that accounts bring along (`byok`, sealed), the rules that another model
answers a workload (`reroutes`), and the segments that imports have made (`imported`). Of what is
billed, a counter's `byok_nanousd` is what such a key was billed for.
*Rows* (`journal/NAME/rows.sqlite`, one for each journal): intents that are open, generations,
attempts, candidates, late facts.

Money is nano-USD, times are Unix milliseconds, a day is the count of days since 1970 in UTC.
"""

from __future__ import annotations

from glasslipper.kernel.money import USAGE_CLASSES
from glasslipper.store import lease

STATE = (
    lease.MIGRATION,
    (
        """CREATE TABLE accounts (
            id TEXT PRIMARY KEY,
            parent TEXT REFERENCES accounts (id),
            kind TEXT NOT NULL,
            name TEXT NOT NULL,
            created_ms INTEGER NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TABLE budgets (
            account TEXT PRIMARY KEY REFERENCES accounts (id),
            limit_nanousd INTEGER NOT NULL,
            period TEXT NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TABLE keys (
            id TEXT PRIMARY KEY,
            hash BLOB NOT NULL UNIQUE,
            hint TEXT NOT NULL,
            name TEXT NOT NULL,
            management INTEGER NOT NULL,
            disabled INTEGER NOT NULL,
            created_ms INTEGER NOT NULL,
            expires_ms INTEGER,
            labels TEXT NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TABLE counters (
            account TEXT NOT NULL,
            day INTEGER NOT NULL,
            charged_nanousd INTEGER NOT NULL,
            billed_nanousd INTEGER NOT NULL,
            generations INTEGER NOT NULL,
            PRIMARY KEY (account, day)
        ) WITHOUT ROWID""",
        """CREATE TABLE holds (
            journal TEXT NOT NULL,
            account TEXT NOT NULL,
            held_nanousd INTEGER NOT NULL,
            PRIMARY KEY (journal, account)
        ) WITHOUT ROWID""",
        """CREATE TABLE counted (
            journal TEXT PRIMARY KEY,
            position INTEGER NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TABLE prices (
            id TEXT PRIMARY KEY,
            endpoint TEXT NOT NULL,
            source TEXT NOT NULL,
            as_of TEXT NOT NULL,
            price TEXT NOT NULL,
            seen_ms INTEGER NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TABLE models (
            id TEXT PRIMARY KEY,
            body TEXT NOT NULL,
            added_ms INTEGER NOT NULL
        ) WITHOUT ROWID""",
    ),
    (
        """CREATE TABLE byok (
            id TEXT PRIMARY KEY,
            account TEXT NOT NULL REFERENCES accounts (id),
            provider TEXT NOT NULL,
            name TEXT NOT NULL,
            sealed BLOB NOT NULL,
            hint TEXT NOT NULL,
            disabled INTEGER NOT NULL,
            counts INTEGER NOT NULL,
            allowed_models TEXT NOT NULL,
            base_url TEXT,
            created_ms INTEGER NOT NULL
        ) WITHOUT ROWID""",
    ),
    ("ALTER TABLE counters ADD COLUMN byok_nanousd INTEGER NOT NULL DEFAULT 0",),
    ("CREATE INDEX accounts_by_parent ON accounts (parent)",),
    (
        """CREATE TABLE reroutes (
            id TEXT PRIMARY KEY,
            key_id TEXT NOT NULL REFERENCES keys (id),
            app TEXT NOT NULL,
            system_print TEXT NOT NULL,
            asked TEXT NOT NULL,
            "to" TEXT NOT NULL,
            created_ms INTEGER NOT NULL,
            UNIQUE (key_id, app, system_print, asked)
        ) WITHOUT ROWID""",
    ),
    ("CREATE TABLE imported (segment TEXT PRIMARY KEY, rows INTEGER NOT NULL) WITHOUT ROWID",),
)

SCALARS: tuple[str, ...] = (
    "id",
    "created_ms",
    "key_id",
    "model",
    "dialect",
    "status",
    "model_served",
    "endpoint",
    "provider",
    "streamed",
    "finish_reason",
    "native_finish_reason",
    "error",
    "first_token_ms",
    "duration_ms",
    "estimated",
    "held_nanousd",
    "billed_nanousd",
    "charged_nanousd",
    "price_id",
    "upstream_id",
    "session_id",
    "user",
    "app",
    "referer",
    "user_agent",
    "is_byok",
    "system_print",
    "turns",
    "tools_offered",
    "tools_called",
)
"""Columns of `generations` that are fields of the record of the same name.

They are computed from the record's JSON when they are read: a row is written far more often than
it is looked at here, and sealed segments are what studies read.
"""

ATTEMPT: tuple[str, ...] = (
    "id",
    "endpoint",
    "provider",
    "model",
    "started_ms",
    "status",
    "duration_ms",
    "first_token_ms",
    "http_status",
    "error",
    "upstream_id",
    "billed_nanousd",
)
"""Columns of `attempts` that are fields of the attempt of the same name."""

USAGE = (*USAGE_CLASSES, "reported_nanousd")


_STORED = {"id", "key_id", "created_ms"}
_FILLED = {
    "held_nanousd",
    "billed_nanousd",
    "charged_nanousd",
    "duration_ms",
    "turns",
    "tools_offered",
    "tools_called",
}


def _read_from_body() -> str:
    """Return the columns that are computed when they are read."""

    def column(name: str, path: str, default: str | None = None) -> str:
        value = f"json_extract(body, '$.{path}')"
        return f'{value if default is None else f"coalesce({value}, {default})"} AS "{name}"'

    scalars = [
        column(name, name, "0" if name in _FILLED else None)
        for name in SCALARS
        if name not in _STORED
    ]
    usage = [column(f"usage_{name}", f"usage.{name}", "0") for name in USAGE[:-1]]
    usage.append(column("usage_reported_nanousd", "usage.reported_nanousd"))
    rest = [column("accounts", "accounts"), column("labels", "labels", "'{}'")]
    return ", ".join([*scalars, *usage, *rest])


_VIEWS = (
    f"""CREATE VIEW generations AS
        SELECT seq, id, key_id, created_ms, body, {_read_from_body()} FROM records""",  # noqa: S608
    f"""CREATE VIEW attempts AS
        SELECT g.id AS generation_id, a.key AS number,
            {", ".join(f"json_extract(a.value, '$.{name}') AS {name}" for name in ATTEMPT)}
        FROM records AS g, json_each(g.body, '$.attempts') AS a""",  # noqa: S608
    """CREATE VIEW candidates AS
        SELECT g.id AS generation_id, c.key AS number,
            json_extract(c.value, '$.endpoint') AS endpoint,
            json_extract(c.value, '$.propensity') AS propensity,
            coalesce(json_extract(c.value, '$.why'), '') AS why
        FROM records AS g, json_each(g.body, '$.candidates') AS c""",
)

ROWS = (
    (
        "CREATE TABLE copied (position INTEGER NOT NULL)",
        "INSERT INTO copied VALUES (0)",
        """CREATE TABLE intents (
            attempt_id TEXT PRIMARY KEY,
            generation_id TEXT NOT NULL,
            body TEXT NOT NULL
        ) WITHOUT ROWID""",
        "CREATE INDEX intents_by_generation ON intents (generation_id)",
        """CREATE TABLE generations (
            seq INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            key_id TEXT NOT NULL,
            created_ms INTEGER NOT NULL,
            body TEXT NOT NULL
        )""",
        """CREATE TABLE late_facts (
            id TEXT PRIMARY KEY,
            generation_id TEXT,
            session_id TEXT,
            key_id TEXT NOT NULL,
            kind TEXT NOT NULL,
            noted_ms INTEGER NOT NULL,
            body TEXT NOT NULL
        ) WITHOUT ROWID""",
        "CREATE INDEX late_facts_by_generation ON late_facts (generation_id)",
        "CREATE INDEX late_facts_by_session ON late_facts (session_id, key_id)",
    ),
    (
        # Computing columns at each insert cost four times the insert itself: now a view does it.
        # AUTOINCREMENT, so that a number is never used again once its row is sealed and gone.
        # `position` is the journal position after the line.
        """CREATE TABLE records (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            position INTEGER NOT NULL,
            id TEXT NOT NULL UNIQUE,
            key_id TEXT NOT NULL,
            created_ms INTEGER NOT NULL,
            body TEXT NOT NULL
        )""",
        "INSERT INTO records SELECT seq, 0, id, key_id, created_ms, body FROM generations",
        "DROP VIEW IF EXISTS attempts",
        "DROP VIEW IF EXISTS candidates",
        "DROP TABLE generations",
        *_VIEWS,
    ),
)
