"""`glasslipper ask`: one question, its answer as it comes, and what it cost."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Self

import click

from glasslipper.cli import options
from glasslipper.cli.output import mention, print_json, printable
from glasslipper.cli.piped import piped
from glasslipper.kernel.errors import InvalidRequest

DEFAULT_MODEL = "local/smol"


@options.example(
    'glasslipper ask "Why is the sky blue?"',
    'cat notes.txt | glasslipper ask "Summarise this." --max-tokens 200',
    'glasslipper ask --file long.txt --sparse --dense "What is this about?"',
)
@click.command()
@click.argument("words", nargs=-1)
@click.option("-m", "--model", default=DEFAULT_MODEL, help=f"Who answers.  [{DEFAULT_MODEL}]")
@click.option("-s", "--system", help="What the model is told beforehand.")
@click.option("--max-tokens", type=click.IntRange(1), help="The longest answer, in tokens.")
@click.option("--temperature", type=click.FloatRange(0, 2), help="How varied answers are.")
@click.option("--file", type=click.Path(path_type=Path), help="A text that goes before it.")
@click.option("--sparse", is_flag=True, help="Answer about --file here, by sparse attention.")
@click.option("--dense", is_flag=True, help="Answer about --file here, by dense attention.")
@click.option(
    "--adapter",
    type=click.Path(path_type=Path),
    help="Where dsa fit put the adapter.  [beside the model]",
)
@click.option("--device", default="cpu", help="Where those compute: cpu or cuda.  [cpu]")
@options.reaches_server
@options.as_json
def ask(
    *,
    words: tuple[str, ...],
    model: str,
    system: str | None,
    max_tokens: int | None,
    temperature: float | None,
    file: Path | None,
    sparse: bool,
    dense: bool,
    adapter: Path | None,
    device: str,
    url: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Ask a model; what is piped in goes before the question.

    With --sparse, --dense or both, a fitted model answers about --file in this process, and the
    work of each token is drawn. Fit one first: glasslipper dsa fit.
    """
    if sparse or dense:
        if file is None:
            raise click.UsageError("Say which text with --file.")
        from glasslipper.cli.asklong import ask_long

        ask_long(
            file,
            " ".join(words),
            model=model,
            system=system,
            sparse=sparse,
            dense=dense,
            adapter=adapter,
            device=device,
            max_tokens=max_tokens,
            temperature=temperature,
            as_json=as_json,
        )
        return
    from glasslipper.cli.answer import Answer
    from glasslipper.cli.reach import require_server

    turns = [{"role": "system", "content": system}] if system else []
    wish: dict[str, object] = {
        "model": model,
        "messages": [*turns, {"role": "user", "content": _question(" ".join(words), file)}],
        "stream": True,
        "max_tokens": max_tokens,
        "temperature": temperature,
    }
    answer = Answer()
    server = require_server(url, key)
    with closing(server.stream("/chat/completions", wish)) as events, _Page() as page:
        for event in events:
            text = answer.add(event)
            if not as_json:
                page.add(text)
    if as_json:
        print_json(answer.as_json())
    else:
        mention(answer.summary())


class _Page:
    """Standard output, with the answer's words on it as they come."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._last = "\n"

    def add(self, text: str) -> None:
        shown = printable(text) if self._is_terminal else text
        if shown:
            click.echo(shown, nl=False)
            self._last = shown[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Make sure that what follows begins on a line of its own."""
        if self._last != "\n":
            click.echo()


def _question(words: str, file: Path | None) -> str:
    """Return the file, what was piped in and what was said, whichever there is."""
    filed = "" if file is None else _text(file)
    before = "" if sys.stdin is None or sys.stdin.isatty() else piped()
    question = "\n\n".join(part for part in (filed, before, words) if part.strip())
    if not question:
        raise click.UsageError("Say what to ask, or pipe it in.")
    return question


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} cannot be read as text: {error}.") from error
