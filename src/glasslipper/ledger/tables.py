"""The tables of the ledger's two kinds of file. Knows their columns, runs nothing.

*State* (`state.sqlite`, one for all processes): accounts, keys, budgets, prices, counters, holds,
and the providers' keys that accounts bring along (`byok`, sealed).
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
)

SCALARS = (
    ("id", "TEXT NOT NULL UNIQUE"),
    ("created_ms", "INTEGER NOT NULL"),
    ("key_id", "TEXT NOT NULL"),
    ("model", "TEXT NOT NULL"),
    ("dialect", "TEXT NOT NULL"),
    ("status", "TEXT NOT NULL"),
    ("model_served", "TEXT"),
    ("endpoint", "TEXT"),
    ("provider", "TEXT"),
    ("streamed", "INTEGER"),
    ("finish_reason", "TEXT"),
    ("native_finish_reason", "TEXT"),
    ("error", "TEXT"),
    ("first_token_ms", "INTEGER"),
    ("duration_ms", "INTEGER"),
    ("estimated", "INTEGER"),
    ("held_nanousd", "INTEGER"),
    ("billed_nanousd", "INTEGER"),
    ("charged_nanousd", "INTEGER"),
    ("price_id", "TEXT"),
    ("upstream_id", "TEXT"),
    ("session_id", "TEXT"),
    ("user", "TEXT"),
    ("app", "TEXT"),
    ("referer", "TEXT"),
    ("user_agent", "TEXT"),
    ("is_byok", "INTEGER"),
)
"""Columns of `generations` that are fields of the record of the same name."""

ATTEMPT = (
    ("id", "TEXT NOT NULL PRIMARY KEY"),
    ("endpoint", "TEXT NOT NULL"),
    ("provider", "TEXT NOT NULL"),
    ("model", "TEXT NOT NULL"),
    ("started_ms", "INTEGER NOT NULL"),
    ("status", "TEXT NOT NULL"),
    ("duration_ms", "INTEGER"),
    ("first_token_ms", "INTEGER"),
    ("http_status", "INTEGER"),
    ("error", "TEXT"),
    ("upstream_id", "TEXT"),
    ("billed_nanousd", "INTEGER"),
)
"""Columns of `attempts` that are fields of the attempt of the same name."""

USAGE = (*USAGE_CLASSES, "reported_nanousd")


def _columns(named: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f'"{name}" {kind}' for name, kind in named)


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
        f"""CREATE TABLE generations (
            seq INTEGER PRIMARY KEY,
            {_columns(SCALARS)},
            {", ".join(f'"usage_{name}" INTEGER' for name in USAGE)},
            accounts TEXT NOT NULL,
            labels TEXT NOT NULL
        )""",
        "CREATE INDEX generations_by_key ON generations (key_id, created_ms)",
        f"""CREATE TABLE attempts (
            generation_id TEXT NOT NULL,
            number INTEGER NOT NULL,
            {_columns(ATTEMPT)}
        ) WITHOUT ROWID""",
        "CREATE INDEX attempts_by_generation ON attempts (generation_id)",
        """CREATE TABLE candidates (
            generation_id TEXT NOT NULL,
            number INTEGER NOT NULL,
            endpoint TEXT NOT NULL,
            propensity REAL NOT NULL,
            why TEXT NOT NULL,
            PRIMARY KEY (generation_id, number)
        ) WITHOUT ROWID""",
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
)
