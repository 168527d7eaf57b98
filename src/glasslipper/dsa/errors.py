"""What can go wrong in this room, in words for whoever asked.

Each error has a sentence, a `hint` that says what to do next, and a `slug` that never changes.

    DsaError
    ├─ ModelUnfit        the model cannot be made sparse, or cannot be read
    ├─ AdapterUnfit      the adapter belongs to another model, or is damaged
    ├─ TextTooShort      there is not enough text to learn from or to judge by
    ├─ BudgetUnfit       more tokens to keep than can be judged
    ├─ ContextExceeded   more tokens than the model was trained for
    ├─ CacheFull         there is no page left for another token
    ├─ NoCompiler        the C++ kernel cannot be built here
    └─ NotANumber        the model produced NaN or infinity
"""

from __future__ import annotations


class DsaError(Exception):
    """Something that whoever asked can put right."""

    slug = "dsa"

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Say what is wrong, and in `hint` what to do next."""
        super().__init__(message)
        self.hint = hint


class ModelUnfit(DsaError):
    """The model cannot be made sparse, or cannot be read."""

    slug = "model_unfit"


class AdapterUnfit(DsaError):
    """The adapter belongs to another model, or is damaged."""

    slug = "adapter_unfit"


class TextTooShort(DsaError):
    """There is not enough text to learn from or to judge by."""

    slug = "text_too_short"


class BudgetUnfit(DsaError):
    """More tokens to keep than the sequences allow to judge."""

    slug = "budget_unfit"


class ContextExceeded(DsaError):
    """More tokens than the model was trained for."""

    slug = "context_exceeded"


class CacheFull(DsaError):
    """There is no page left for another token."""

    slug = "cache_full"


class NoCompiler(DsaError):
    """The C++ kernel cannot be built here; the torch path does without."""

    slug = "no_compiler"


class NotANumber(DsaError):
    """The model produced NaN or infinity."""

    slug = "not_a_number"
