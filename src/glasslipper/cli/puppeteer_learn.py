"""`glasslipper puppeteer learn`, `promote`, `watch`, `back`: which policy `auto` follows."""

from __future__ import annotations

from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

import click

from glasslipper.cli import options
from glasslipper.cli.output import mention, print_json, print_table, say

if TYPE_CHECKING:
    from glasslipper.puppeteer.learning import Lesson
    from glasslipper.puppeteer.offpolicy import Estimate
    from glasslipper.puppeteer.versions import Versions

RULE = "the rule that needs no training"


@options.example("glasslipper puppeteer learn", "glasslipper puppeteer learn --since 30d --json")
@click.command()
@click.option(
    "--since", type=options.Since(), default="90d", show_default=True, help="How far back to look."
)
@click.option("--price", type=click.FloatRange(0), help="Reward that a dollar must buy at dial 5.")
@click.option("--linucb", is_flag=True, help="Learn by LinUCB instead of Thompson sampling.")
@options.as_json
def learn(*, since: int, price: float | None, linucb: bool, as_json: bool) -> None:
    """Learn from the ledger whom `glasslipper/auto` should ask; meant for every night.

    Takes the episodes that somebody has judged (a reward from 0 to 1, posted to
    /api/v1/generation/feedback by replay id or session id). What is surely better than the policy
    that runs is promoted, and running servers follow it within a second; else it is watched.
    """
    from glasslipper.puppeteer import learning, traffic
    from glasslipper.store import places

    known = traffic.read(places.home(), since_ms=since)
    way = "linucb" if linucb else "thompson"
    lesson = learning.learn(known.judged, places.policies(), price=price, way=way)
    if as_json:
        print_json({"episodes": known.episodes, **_told(lesson)})
        return
    word = "runs now" if lesson.promoted else "is watched in the shadow"
    say(f"[bold]{lesson.version}[/bold] {word}: {lesson.why}.")
    say(f"It learned from {lesson.judged} judged answers of {known.episodes} episodes.")
    rows = [(name, *_cells(one)) for name, one in lesson.estimates.items()]
    rows += [("gain over what ran", *_cells(lesson.gain))] if lesson.gain else []
    rows += [("what ran, over the rule", *_cells(lesson.over_rule))] if lesson.over_rule else []
    if rows:
        print_table(("estimate", "net reward %#", "low#", "high#"), rows)
    for model in lesson.alarms:
        mention(f"The rewards of {model} have fallen below what was expected of them.")
    if lesson.over_rule is not None and lesson.over_rule.high < 0:
        mention("What runs is surely worse than the rule: `glasslipper puppeteer back`.")


def _cells(one: Estimate) -> tuple[str, str, str]:
    return f"{100 * one.value:+.1f}", f"{100 * one.low:+.1f}", f"{100 * one.high:+.1f}"


def _told(lesson: Lesson) -> dict[str, object]:
    def shown(one: Estimate | None) -> list[float] | None:
        return None if one is None else [round(v, 5) for v in (one.value, one.low, one.high)]

    return {
        "judged": lesson.judged,
        "open_to_chance": lesson.open,
        "models": list(lesson.models),
        "price": lesson.price,
        "estimates": {name: shown(one) for name, one in lesson.estimates.items()},
        "gain": shown(lesson.gain),
        "risk": round(lesson.risk, 6),
        "running_over_rule": shown(lesson.over_rule),
        "shadow_agreed": lesson.shadow_agreed,
        "promoted": lesson.promoted,
        "alarms": list(lesson.alarms),
        "version": lesson.version,
        "why": lesson.why,
    }


@options.example("glasslipper puppeteer back")
@click.command()
@options.as_json
def back(*, as_json: bool) -> None:
    """Let the policy run again that ran before: one switch, which needs nothing."""
    from glasslipper.puppeteer import versions
    from glasslipper.store import places

    _show(versions.switch_back(places.policies()), as_json=as_json)


@options.example("glasslipper puppeteer promote policy.npz")
@click.command()
@click.argument("policy", type=click.Path(path_type=Path, dir_okay=False))
@options.as_json
def promote(*, policy: Path, as_json: bool) -> None:
    """Let `glasslipper/auto` follow POLICY: a file, or one that `policies` lists."""
    from glasslipper.puppeteer import versions
    from glasslipper.store import places

    _show(versions.promote(places.policies(), _taken_in(policy)), as_json=as_json)


@options.example("glasslipper puppeteer watch policy.npz")
@click.command()
@click.argument("policy", type=click.Path(path_type=Path, dir_okay=False))
@options.as_json
def watch(*, policy: Path, as_json: bool) -> None:
    """Let POLICY decide in the shadow of what runs: noted in the ledger, never followed."""
    from glasslipper.puppeteer import versions
    from glasslipper.store import places

    _show(versions.watch(places.policies(), _taken_in(policy)), as_json=as_json)


@options.example("glasslipper puppeteer policies")
@click.command()
@options.as_json
def policies(*, as_json: bool) -> None:
    """List the policies of this home: which one runs, which is watched, what ran before."""
    from glasslipper.cli import puppeteering
    from glasslipper.puppeteer import versions
    from glasslipper.puppeteer.repertoire import Repertoire
    from glasslipper.store import places

    now = versions.read(places.policies())
    found = Repertoire(places.policies(), vectors=puppeteering.vectors)
    found.refresh()
    running = found.running.version
    shadow = found.shadow.version if found.shadow else ""
    if as_json:
        cards = {version: dict(guide.card()) for version, guide in found.named.items()}
        print_json({"running": running, "shadow": shadow, "history": now.history, "cards": cards})
        return
    words = {running: "runs", shadow: "is watched"}
    rows = [(version, words.get(version, "")) for version in sorted(found.named)]
    print_table(("policy", ""), rows)


def _taken_in(policy: Path) -> str:
    """Return the name of a policy in the folder of policies, copied there if it is elsewhere.

    Raises:
        InvalidRequest: It is no policy that can be served.
    """
    from glasslipper.cli import puppeteering
    from glasslipper.puppeteer import repertoire
    from glasslipper.store import places

    folder = places.policies()
    if not policy.exists():
        listed = repertoire.Repertoire(folder, vectors=puppeteering.vectors)
        listed.refresh()
        policy = folder / listed.files.get(str(policy), str(policy))
    repertoire.read(policy, vectors=puppeteering.vectors)
    if policy.resolve().parent == folder.resolve():
        return policy.name
    folder.mkdir(parents=True, exist_ok=True)
    return _copied(policy, folder)


def _copied(policy: Path, folder: Path) -> str:
    """Copy a policy to a name of its own: what ran under its name must stay to go back to."""
    from glasslipper.store.files import replacing

    content = policy.read_bytes()
    every = (f"{policy.stem}-{number}{policy.suffix}" for number in count(2))
    for name in chain([policy.name], every):
        own = folder / name
        if own.exists() and own.read_bytes() != content:
            continue
        with replacing(own) as file:
            file.write(content)
        return name
    raise AssertionError


def _show(now: Versions, *, as_json: bool) -> None:
    if as_json:
        print_json({"running": now.running, "shadow": now.shadow})
        return
    say(f"Running: {now.running or RULE}. Watched: {now.shadow or 'nobody'}.")
