"""What the ledger knows of choices and how they turned out: openings joined with their rewards.

A reward is feedback on the answer's generation, by whoever may see it, or on its session, by the
key that had it; the last word counts, and a word about the answer more than one about its session.
Reads, never writes.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from glasslipper.kernel.ports import Opening
from glasslipper.ledger.read.scan import Lake


class Judged(Struct, frozen=True, kw_only=True):
    """An opening, by which policy, what came of it (0 to 1), and what the episode cost (USD)."""

    policy: str
    opening: Opening
    reward: float
    usd: float
    noted_ms: int = 0


class _Step(Struct):
    charged_nanousd: int = 0
    spent_nanousd: int = 0


class _Body(Struct):
    policy: str
    steps: list[_Step] = []
    opening: Opening | None = None


_EPISODES = """
    SELECT f.generation_id, f.key_id, f.noted_ms, f.body, g.session_id
    FROM late_facts AS f LEFT JOIN generations AS g ON g.id = f.generation_id
    WHERE f.kind = 'episode' AND f.noted_ms >= ? ORDER BY f.noted_ms, f.id"""
_SAID = """
    SELECT generation_id, session_id, key_id, reward FROM feedback
    WHERE noted_ms >= ? AND reward IS NOT NULL ORDER BY noted_ms, id"""


class Traffic(Struct, frozen=True, kw_only=True):
    """How many episodes there were, and those that somebody has judged, oldest first."""

    episodes: int
    judged: list[Judged]


def read(home: Path, *, since_ms: int = 0) -> Traffic:
    """Read a ledger.

    Raises:
        StoreFailed: Its files cannot be read.
    """
    with Lake(home) as lake:
        said = lake.rows(_SAID, (since_ms,))
        of_answers = {str(one): _reward(reward) for one, _, _, reward in said if one is not None}
        of_sessions = {
            (str(session), str(key)): _reward(reward)
            for one, session, key, reward in said
            if one is None and session is not None
        }
        rows = lake.rows(_EPISODES, (since_ms,))
    judged: list[Judged] = []
    for generation, key, noted_ms, body, session in rows:
        reward = of_answers.get(str(generation), of_sessions.get((str(session), str(key))))
        told = _body(body)
        if reward is None or told is None or told.opening is None:
            continue
        judged.append(
            Judged(
                policy=told.policy,
                opening=told.opening,
                reward=reward,
                usd=sum(max(one.charged_nanousd, one.spent_nanousd) for one in told.steps) / 1e9,
                noted_ms=int(str(noted_ms)),
            )
        )
    return Traffic(episodes=len(rows), judged=judged)


def _reward(said: object) -> float:
    return min(max(float(str(said)), 0.0), 1.0)


def _body(text: object) -> _Body | None:
    try:
        return _bodies.decode(str(text))
    except msgspec.DecodeError:
        return None


_bodies = msgspec.json.Decoder(_Body)
