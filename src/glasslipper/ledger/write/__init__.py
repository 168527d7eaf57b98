"""The writing side of the ledger; only the gateway, flows and the command line import it."""

from glasslipper.ledger.write.ledger import Ledger

__all__ = ["Ledger"]
