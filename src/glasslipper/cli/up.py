"""`glasslipper up`: puts the rooms together and serves them."""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from glasslipper.cli import options
from glasslipper.cli.output import say
from glasslipper.kernel.clock import SystemClock
from glasslipper.store import places

if TYPE_CHECKING:
    from glasslipper.gateway.settings import Settings
    from glasslipper.ledger.write import Ledger
    from glasslipper.local import LocalModels

DEFAULT_MODELS = ("local/smol", "local/static-256")
"""A model that answers and one that embeds: what works with no key."""


@options.example("glasslipper up --port 8080", "glasslipper up --workers 4")
@click.command()
@click.option("--host", help="Address to listen on.  [127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 for any.  [7331]")
@click.option(
    "--durability",
    type=click.Choice(["process", "power"]),
    help="What an acknowledged record survives.  [process]",
)
@click.option(
    "--engine",
    type=click.Choice(["thread", "process"]),
    help="Where local models run.  [thread]",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    help="Gateway processes that share the port; local models then run in a keeper.  [1]",
)
@click.option(
    "--classify/--no-classify",
    default=None,
    help="Label on this machine what requests are about; words are not kept.  [no]",
)
@click.option("--no-fetch", is_flag=True, help=f"Do not fetch {' and '.join(DEFAULT_MODELS)}.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line once ready.")
def up(
    *,
    host: str | None,
    port: int | None,
    durability: str | None,
    engine: str | None,
    workers: int | None,
    classify: bool | None,
    no_fetch: bool,
    as_json: bool,
) -> None:
    """Serve every model behind one API."""
    from glasslipper.gateway import settings as settings_file

    home = places.home()
    settings = settings_file.load(
        home,
        host=host,
        port=port,
        durability=durability,
        engine=engine,
        workers=workers,
        classify=classify,
    )
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    if not no_fetch:
        _fetch_default(quiet=as_json)
    serve(home, settings, as_json=as_json)


def _fetch_default(*, quiet: bool) -> None:
    from glasslipper.cli.fetching import pull

    for model in DEFAULT_MODELS:
        pull(model, quiet=quiet)


def serve(
    home: Path,
    settings: Settings,
    *,
    as_json: bool,
    more: Callable[[LocalModels], None] | None = None,
) -> None:
    """Serve until stopped; `more` may add local models, to the one process that there is then."""
    from glasslipper.cli.serving import run_house
    from glasslipper.gateway.server import listen
    from glasslipper.ledger.write import Ledger
    from glasslipper.ledger.write.sealing import Sealing

    listener = listen(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def ready(models: list[str]) -> None:
        _announce(models, url, first, as_json=as_json)

    if settings.workers > 1 and more is None:
        from glasslipper.cli.workers import supervise

        with Ledger(home, durability=settings.durability, clock=SystemClock()) as ledger:
            first = _first_key(home, ledger)
        with _note(home, url):
            supervise(home, settings, listener, ready=ready)
        return
    with (
        Ledger(home, durability=settings.durability, clock=SystemClock()) as ledger,
        Sealing(home),
    ):
        first = _first_key(home, ledger)
        with _note(home, url):
            run_house(settings, ledger, listener, ready=ready, more=more)


def _announce(models: list[str], url: str, first: str | None, *, as_json: bool) -> None:
    if as_json:
        click.echo(
            json.dumps({"url": f"{url}/api/v1", "pid": os.getpid(), "key": first, "models": models})
        )
        return
    say(f"Glasslipper serves {len(models)} models at [bold]{url}/api/v1[/bold] (also {url}/v1)")
    for model in models[:12]:
        say(f"  {model}")
    if len(models) > 12:
        say(f"  … and {len(models) - 12} more: glasslipper models")
    if first:
        say(f"Your first key, shown only now: [bold]{first}[/bold]")
    else:
        say("Keys: glasslipper keys list, glasslipper keys create NAME")
    say('Try it in a second terminal: glasslipper ask "Why is the sky blue?"')
    say("Stop with Ctrl-C.")


def _first_key(home: Path, ledger: Ledger) -> str | None:
    """Make the command line's own management key, and the user's first key, once for a home."""
    from glasslipper.cli.servers import ADMIN_KEY
    from glasslipper.ledger.write import keys

    path = home / ADMIN_KEY
    if path.exists():
        return None
    now_ms = ledger.clock.now_ms()

    def make(name: str, *, management: bool) -> str:
        new = keys.NewKey(name=name, management=management)
        return ledger.change_now(lambda db: keys.create(db, new, now_ms)).secret

    admin, first = make("command line", management=True), make("first", management=False)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.touch(mode=stat.S_IRUSR | stat.S_IWUSR)
    temporary.write_text(admin, encoding="utf-8")
    try:
        os.link(temporary, path)
    except FileExistsError:
        return None
    finally:
        temporary.unlink()
    return first


@contextmanager
def _note(home: Path, url: str) -> Generator[None]:
    """Say where this server is, so that other commands find it, as long as it serves."""
    from glasslipper.cli.servers import SERVERS

    folder = home / SERVERS
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / f"{os.getpid()}.json"
    temporary = note.with_suffix(".new")
    temporary.write_text(json.dumps({"url": url, "pid": os.getpid()}), encoding="utf-8")
    temporary.replace(note)
    try:
        yield
    finally:
        note.unlink(missing_ok=True)
