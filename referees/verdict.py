"""What a referee said about one subject, and the table of everything that was said.

Knows no referee.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, field, to_builtins

MOST_REASONS = 12


class Verdict(Struct, kw_only=True):
    """Counts of checks, and why those failed that did; a skipped check says why there too."""

    referee: str
    version: str
    subject: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    why_failed: list[str] = field(default_factory=list)
    why_skipped: list[str] = field(default_factory=list)

    def note(self, name: str, why: str | None) -> None:
        """Count one check: passed if there is no `why`."""
        if why is None:
            self.passed += 1
        else:
            self.failed += 1
            self.why_failed.append(f"{name}: {why}")

    def skip(self, why: str, count: int = 1) -> None:
        """Count checks that were not made."""
        self.skipped += count
        self.why_skipped.append(why)


def absent(referee: str, version: str, subject: str, why: str) -> Verdict:
    """Return the verdict of a referee who is not here."""
    verdict = Verdict(referee=referee, version=version, subject=subject)
    verdict.skip(why)
    return verdict


def as_json(verdicts: Sequence[Verdict]) -> list[object]:
    """Return the verdicts as they stand in the last line of the output."""
    return [to_builtins(one) for one in verdicts]


def write_table(path: Path, verdicts: Sequence[Verdict], *, command: str) -> None:
    """Write what was said as Markdown, failures and omissions in full."""
    total = [sum(getattr(one, name) for one in verdicts) for name in _COUNTS]
    lines = [
        "# What the referees say",
        "",
        f"Written by `{command}` on {datetime.datetime.now(datetime.UTC):%Y-%m-%d}; every referee",
        "was run once, whole. Referees are suites and clients written by others; each runs against",
        "a gateway process over HTTP.",
        "",
        "| referee | version | subject | passed | failed | skipped |",
        "|---|---|---|--:|--:|--:|",
        *[_row(one) for one in verdicts],
        f"| **all** | | | **{total[0]}** | **{total[1]}** | **{total[2]}** |",
    ]
    lines += _list("What failed", [(one, one.why_failed) for one in verdicts])
    lines += _list("What was not checked", [(one, one.why_skipped) for one in verdicts])
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


_COUNTS = ("passed", "failed", "skipped")


def _row(one: Verdict) -> str:
    cells = [one.referee, one.version, one.subject, *(str(getattr(one, n)) for n in _COUNTS)]
    return f"| {' | '.join(cells)} |"


def _list(heading: str, said: Sequence[tuple[Verdict, list[str]]]) -> list[str]:
    lines = []
    for one, reasons in said:
        if not reasons:
            continue
        lines += ["", f"**{one.referee}, {one.subject}**", ""]
        lines += [f"- {_plain(reason)}" for reason in reasons[:MOST_REASONS]]
        if len(reasons) > MOST_REASONS:
            lines.append(f"- and {len(reasons) - MOST_REASONS} more")
    return ["", f"## {heading}", *lines] if lines else []


def _plain(text: str) -> str:
    home = str(Path.home())
    return " ".join(text.replace(home, "~").split())[:400]
