"""`glasslipper classify`: what a text is about, as the gateway would label it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from glasslipper.cli import options

if TYPE_CHECKING:
    from glasslipper.classify import Guess, Seen

SHOWN = 3


@options.example(
    'glasslipper classify "Why does my loop never end?"',
    "glasslipper classify --lines --json < prompts.txt",
)
@click.command()
@click.argument("words", nargs=-1, metavar="TEXT")
@click.option("--lines", is_flag=True, help="Take each line that is piped in as a text of its own.")
@options.as_json
def classify(*, words: tuple[str, ...], lines: bool, as_json: bool) -> None:
    """Tell what TEXT, or what is piped in, is about.

    Topic and task are told where the classifier is sure enough: where it is more likely right
    than wrong on texts of a kind that it has not seen. Nothing leaves this machine.
    """
    from glasslipper.cli.labelling import open_classifier

    texts = list(_texts(words, by_line=lines))
    if not texts:
        raise click.UsageError("Say what to classify, or pipe it in.")
    classifier = open_classifier(fetch=True, quiet=as_json)
    for text in texts:
        seen = classifier.look(text)
        if as_json:
            _print_json(seen, classifier.name, text if lines else None)
        elif lines:
            _print_line(seen, text)
        else:
            _print_table(seen)


def _texts(words: tuple[str, ...], *, by_line: bool) -> Iterator[str]:
    if words:
        yield " ".join(words)
    elif sys.stdin is not None and not sys.stdin.isatty():
        from glasslipper.cli.piped import piped

        content = piped()
        yield from filter(str.strip, content.splitlines() if by_line else [content])


def _print_json(seen: Seen, name: str, text: str | None) -> None:
    from glasslipper.classify import SURE
    from glasslipper.cli.output import print_json

    told: dict[str, object] = {} if text is None else {"text": text}
    for kind, guesses in (("topic", seen.topics), ("tag", seen.tags)):
        best = guesses[0]
        told[kind] = best.label if best.probability >= SURE else None
        told[f"{kind}s"] = {one.label: round(one.probability, 4) for one in guesses[:SHOWN]}
    told |= {"language": seen.language, "code_language": seen.code_language, "classifier": name}
    print_json(told)


def _print_line(seen: Seen, text: str) -> None:
    from glasslipper.cli.output import printable

    columns = (_sure(seen.topics), _sure(seen.tags), seen.language or "-", printable(text))
    click.echo("\t".join(columns))


def _print_table(seen: Seen) -> None:
    for kind, guesses in (("Topic", seen.topics), ("Task", seen.tags)):
        others = ", ".join(f"{one.label} {one.probability:.0%}" for one in guesses[:SHOWN])
        click.echo(f"{kind + ':':<10}{_sure(guesses):<28}({others})")
    click.echo(f"Language: {seen.language or 'cannot tell'}")
    click.echo(f"Code:     {seen.code_language or 'none'}")


def _sure(guesses: tuple[Guess, ...]) -> str:
    from glasslipper.classify import SURE

    return guesses[0].label if guesses[0].probability >= SURE else "not sure"
