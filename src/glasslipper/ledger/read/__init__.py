"""The reading side of the ledger: it opens every file read-only and changes nothing."""

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
