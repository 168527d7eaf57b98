"""The reading side of the ledger: it opens every file read-only and changes nothing.

Studies use `read.scan.Lake`: generations, attempts, candidates, late facts and their rollups as
tables for SQL, whether sealed or not. Its docstring names every column. What makes up rows in
bulk, such as a generator, is handed a `write.bulk.Bulk` by the command line: its `load` and `run`
make tables, its `seal` writes a query's rows as a segment, with its rollups.
"""

from glasslipper.ledger.byok import ProviderKey
from glasslipper.ledger.read.accounts import (
    AccountRecord,
    Accounts,
    KeptPrice,
    KeyRecord,
    Spending,
)
from glasslipper.ledger.read.history import LedgerHistory, SpendRow

__all__ = [
    "AccountRecord",
    "Accounts",
    "KeptPrice",
    "KeyRecord",
    "LedgerHistory",
    "ProviderKey",
    "SpendRow",
    "Spending",
]
