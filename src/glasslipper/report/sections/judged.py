"""Shares that rest on topic labels: corrected by a judge where there is one, bounded elsewhere.

A share is of a `Part` within a `Whole`: a task of what somebody's models serve, somebody's models
of a task, a tag of a task. Where a judge labelled a sample, the share is corrected by it and has
an interval. Where none did, what is known is only between which bounds it lies whatever the
unlabelled tokens are. Knows no section.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from glasslipper.classify import shares
from glasslipper.report import words
from glasslipper.report.estimates import Estimate
from glasslipper.report.study import Row, Study

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]
    Floats = NDArray[np.float64]


class Members(Struct, frozen=True, kw_only=True):
    """Whom a share is of; what is left out may be anything. `source` is a beginning."""

    task: str | None = None
    tag: str | None = None
    author: str | None = None
    source: str | None = None


class Known(Struct, frozen=True, kw_only=True):
    """What is known of a share: the classifier's own, and the corrected one if there is one.

    `low` and `high` are bounds of the share of all tokens, wherever the unlabelled ones belong.
    """

    told: float
    corrected: Estimate | None
    low: float
    high: float
    unlabelled: float

    @property
    def value(self) -> float:
        """The best that is known of the share."""
        return self.told if self.corrected is None else self.corrected.value

    def of_labels(self) -> str:
        """Return words for a number beside this share that is not corrected as this one is."""
        return "" if self.corrected is None else " by the classifier's labels"

    def text(self) -> str:
        """Return the share in words, with its interval if it has one."""
        if self.corrected is None:
            return words.percent(self.told)
        return f"{words.percent(self.corrected.value)} {words.span(self.corrected)}"

    def note(self) -> str:
        """Return what the share rests on."""
        if self.corrected is not None:
            return (
                f"The claim is corrected by {self.corrected.n:,} judged requests "
                "(prediction-powered inference); drawn is what the classifier says, "
                f"{words.percent(self.told)} over the whole span."
            )
        return (
            "All shares are the classifier's own, not corrected by a judge. "
            f"{words.percent(self.unlabelled)} of tokens have no label: whatever they are about, "
            f"the {words.percent(self.told)} of the labelled ones may be "
            f"{words.percent(self.low)} to {words.percent(self.high)} of all."
        )


class Judged:
    """The labels of one study and what a judge says of them."""

    def __init__(self, study: Study) -> None:
        """Look at a study; queries run when they are needed."""
        self._study = study

    @cached_property
    def _labels(self) -> list[Row]:
        return self._study.ask("labelled")

    @cached_property
    def _gold(self) -> list[Row]:
        return self._study.ask("gold_cells")

    def share(self, part: Members, whole: Members) -> Known:
        """Return what is known of a part's share of a whole's tokens."""
        rows = self._labels
        tokens = _numbers(rows, "t")
        unlabelled = _column(rows, "task") == ""
        in_whole, in_part = _chosen(rows, whole), _chosen(rows, part)
        labelled = tokens[in_whole & ~unlabelled].sum()
        own = tokens[in_part].sum()
        may_be_whole = _chosen(rows, _anywhere(whole)) & unlabelled
        may_be_part = _chosen(rows, _anywhere(part)) & unlabelled
        open_part = tokens[may_be_part].sum()
        open_rest = tokens[may_be_whole].sum() - open_part
        if whole.task is None or (part.author is None and part.source is None):
            open_rest = tokens[may_be_whole].sum()
        return Known(
            told=_ratio(own, labelled),
            corrected=self._corrected(part, whole, own, tokens[in_whole].sum()),
            low=_ratio(own, labelled + open_rest),
            high=_ratio(own + open_part, labelled + open_part),
            unlabelled=_ratio(
                tokens[may_be_whole].sum(), tokens[_chosen(rows, _anywhere(whole))].sum()
            ),
        )

    def _corrected(
        self, part: Members, whole: Members, own: float, every: float
    ) -> Estimate | None:
        gold = self._gold
        if not gold or (part.tag is not None and not any(row["judged_tag"] for row in gold)):
            return None
        sums = [_numbers(gold, name) for name in ("times", "t", "tt")]
        members = [
            _chosen(gold, who, task=task, tag=tag).astype(np.float64)
            for task, tag in (("judged", "judged_tag"), ("labelled", "labelled_tag"))
            for who in (part, whole)
        ]
        cells = [shares.Cell(*row) for row in np.column_stack([*sums, *members]).tolist()]
        of = int(_numbers(self._labels, "n").sum())
        found = shares.share_of_sums(float(own), float(every), of, cells)
        if found.judged < shares.FEWEST_JUDGED:
            return None
        return Estimate(value=found.value, low=found.low, high=found.high, n=found.judged)


def _anywhere(members: Members) -> Members:
    """Return the same members of whatever task and tag."""
    return Members(author=members.author, source=members.source)


def _chosen(rows: list[Row], who: Members, *, task: str = "task", tag: str = "tag") -> Mask:
    chosen = np.ones(len(rows), dtype=bool)
    for name, value in ((task, who.task), (tag, who.tag), ("author", who.author)):
        if value is not None:
            chosen &= _column(rows, name) == value
    if who.source is not None:
        start = who.source
        chosen &= np.array([str(row["source"]).startswith(start) for row in rows], dtype=bool)
    return chosen


def _column(rows: list[Row], name: str) -> NDArray[np.object_]:
    return np.array([row[name] or "" for row in rows], dtype=object)


def _numbers(rows: list[Row], name: str) -> Floats:
    return np.array([float(row[name]) for row in rows], dtype=np.float64)


def _ratio(above: float, below: float) -> float:
    return float(above / below) if below else 0.0
