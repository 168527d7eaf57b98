"""The reading side of the ledger: it opens every file read-only and changes nothing."""

from glasslipper.ledger.read.accounts import Accounts, KeyRecord, Spending
from glasslipper.ledger.read.history import LedgerHistory, SpendRow

__all__ = ["Accounts", "KeyRecord", "LedgerHistory", "SpendRow", "Spending"]
