"""`glasslipper keys`: makes keys, shows them, switches them off, sets what they may spend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from glasslipper.cli import options
from glasslipper.cli.output import mention, print_json, print_table

if TYPE_CHECKING:
    from glasslipper.cli.keylist import Key
    from glasslipper.cli.reach import AdminApi

PERIODS = click.Choice(["daily", "weekly", "monthly", "never"])


@options.example("glasslipper keys create ci --limit 5 --reset monthly", "glasslipper keys list")
@click.group()
def keys() -> None:
    """Make and manage the keys that clients show."""


@options.example(
    "glasslipper keys create ci --limit 5 --reset monthly --label team=search",
    "export OPENAI_API_KEY=$(glasslipper keys create laptop --ttl 30d)",
)
@keys.command()
@click.argument("name")
@click.option("--limit", type=options.Dollars(), help="The most that it may spend, in USD.")
@click.option("--reset", type=PERIODS, help="When the limit starts anew.  [never]")
@click.option("--ttl", type=options.Span(), help="How long it is good, such as 1h or 30d.")
@click.option("--management", is_flag=True, help="May manage keys, models and budgets.")
@click.option(
    "--label", "labels", type=options.Label(), multiple=True, help="Goes onto all that it does."
)
@options.reaches_server
@options.as_json
def create(
    *,
    name: str,
    limit: int | None,
    reset: str | None,
    ttl: int | None,
    management: bool,
    labels: tuple[tuple[str, str], ...],
    url: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Make a key called NAME and print it, this once."""
    from glasslipper.cli.keylist import Key
    from glasslipper.cli.reach import admin_api
    from glasslipper.cli.reading import read_answer

    wish: dict[str, object] = {"name": name, "management": management, "labels": dict(labels)}
    if limit is not None:
        wish["limit_nanousd"] = limit
    if reset is not None:
        wish["limit_reset"] = reset
    if ttl is not None:
        wish["ttl_s"] = ttl // 1000
    with admin_api(url, key) as api:
        answer = api.call("POST", "/keys", wish)
    if as_json:
        print_json(answer)
        return
    made = read_answer(answer, Key)
    click.echo(read_answer(answer, str, member="key"))
    mention(f"Key {made.name!r}, {made.id}. It is stored hashed and shown only now.")


@options.example("glasslipper keys list")
@keys.command("list")
@options.reaches_server
@options.as_json
def list_keys(*, url: str | None, key: str | None, as_json: bool) -> None:
    """Show every key and what it spent."""
    from glasslipper.cli.keylist import HEADINGS, Key
    from glasslipper.cli.reach import admin_api
    from glasslipper.cli.reading import read_answer

    with admin_api(url, key) as api:
        answer = api.call("GET", "/keys")
    if as_json:
        print_json(answer)
        return
    print_table(HEADINGS, [found.row() for found in read_answer(answer, list[Key])])


@options.example("glasslipper keys disable ci")
@keys.command()
@click.argument("key_id", metavar="ID")
@options.reaches_server
@options.as_json
def disable(*, key_id: str, url: str | None, key: str | None, as_json: bool) -> None:
    """Make a key, given by its id or its name, work no more."""
    _change(key_id, {"disabled": True}, url=url, key=key, as_json=as_json)


@options.example("glasslipper keys enable ci")
@keys.command()
@click.argument("key_id", metavar="ID")
@options.reaches_server
@options.as_json
def enable(*, key_id: str, url: str | None, key: str | None, as_json: bool) -> None:
    """Let a disabled key work again."""
    _change(key_id, {"disabled": False}, url=url, key=key, as_json=as_json)


@options.example("glasslipper keys limit ci 20 --reset weekly")
@keys.command()
@click.argument("key_id", metavar="ID")
@click.argument("amount", metavar="AMOUNT")
@click.option("--reset", type=PERIODS, help="When the limit starts anew.  [as it was]")
@options.reaches_server
@options.as_json
def limit(
    *,
    key_id: str,
    amount: str,
    reset: str | None,
    url: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Set what a key may spend, in USD; `none` takes the limit away."""
    exact = (
        None if amount == "none" else options.Dollars()(amount, None, click.get_current_context())
    )
    change: dict[str, object] = {"limit_nanousd": exact}
    if reset is not None:
        change["limit_reset"] = reset
    _change(key_id, change, url=url, key=key, as_json=as_json)


def _change(
    named: str, change: dict[str, object], *, url: str | None, key: str | None, as_json: bool
) -> None:
    """Change a key and show it as it is then."""
    from glasslipper.cli.client import in_path
    from glasslipper.cli.keylist import HEADINGS, Key
    from glasslipper.cli.reach import admin_api
    from glasslipper.cli.reading import read_answer

    with admin_api(url, key) as api:
        answer = api.call("PATCH", f"/keys/{in_path(_find(api, named).id)}", change)
    if as_json:
        print_json(answer)
        return
    print_table(HEADINGS, [read_answer(answer, Key).row()])


def _find(api: AdminApi, named: str) -> Key:
    """Return the key with this id or hash, or else the one with this name.

    Raises:
        NotFound: There is none, or more than one.
    """
    from glasslipper.cli.keylist import Key
    from glasslipper.cli.reading import read_answer
    from glasslipper.kernel.errors import NotFound

    known = read_answer(api.call("GET", "/keys"), list[Key])
    exact = [found for found in known if named in (found.id, found.hash)]
    found = exact or [found for found in known if found.name == named]
    if len(found) == 1:
        return found[0]
    if found:
        raise NotFound(
            f"{len(found)} keys are called {named!r}.",
            hint=f"Say which: {', '.join(one.id for one in found)}.",
        )
    raise NotFound(f"There is no key {named!r}.", hint="`glasslipper keys list` shows them.")
