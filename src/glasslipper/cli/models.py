"""`glasslipper models`: what can be called, and how to get more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from glasslipper.cli import options
from glasslipper.cli.output import mention, print_json, print_table

if TYPE_CHECKING:
    from glasslipper.cli.fetching import Pulled


@options.example("glasslipper models", "glasslipper models pull local/coder-0.5b")
@click.group(invoke_without_command=True)
@options.reaches_server
@options.as_json
@click.pass_context
def models(context: click.Context, *, url: str | None, key: str | None, as_json: bool) -> None:
    """Show the models that can be called; get more."""
    if context.invoked_subcommand is None:
        _list("", url=url, key=key, as_json=as_json)


@options.example("glasslipper models list coder")
@models.command("list")
@click.argument("text", default="")
@options.reaches_server
@options.as_json
def list_models(*, text: str, url: str | None, key: str | None, as_json: bool) -> None:
    """Show the models whose id holds TEXT, or all."""
    _list(text, url=url, key=key, as_json=as_json)


def _list(text: str, *, url: str | None, key: str | None, as_json: bool) -> None:
    from glasslipper.cli.modellist import HEADINGS, offered, row, unfetched
    from glasslipper.cli.reach import admin_api

    with admin_api(url, key) as api:
        found = offered(api.call("GET", "/models"))
    known = found if url else found + unfetched(found)
    wanted = [model for model in known if text.lower() in str(model["id"]).lower()]
    if as_json:
        print_json({"data": wanted})
        return
    print_table(HEADINGS, [row(model) for model in wanted])


@options.example(
    "glasslipper models pull local/coder-0.5b",
    "glasslipper models pull hf:owner/repo-GGUF:model-q4_k_m.gguf --as local/theirs",
)
@models.command()
@click.argument("source", metavar="ID|hf:OWNER/REPO:FILE.gguf")
@click.option("--as", "model_id", metavar="ID", help="What to call a file of the hub.")
@options.as_json
def pull(*, source: str, model_id: str | None, as_json: bool) -> None:
    """Fetch a model onto this machine.

    A second try resumes a broken download.
    """
    from glasslipper.cli import fetching

    if source.startswith(fetching.HUB):
        pulled = fetching.pull_from_hub(source, model_id=model_id, quiet=as_json)
        _offer(pulled)
    elif model_id is not None:
        raise click.UsageError("Models of the catalogue have their own names; leave --as out.")
    else:
        pulled = fetching.pull(source, quiet=as_json)
        _announce(pulled)
    if as_json:
        paths = [str(path) for path in pulled.paths]
        print_json({"id": pulled.id, "paths": paths, "fetched": pulled.is_new})
        return
    word = "is here now" if pulled.is_new else "was here already"
    click.echo(f"{pulled.id} {word}: {pulled.paths[0]}")


def _offer(pulled: Pulled) -> None:
    """Add a file of the hub to the models of this home."""
    from glasslipper.cli.reach import admin_api

    with admin_api(None, None) as api:
        api.call("POST", "/admin/models", {"id": pulled.id, "path": str(pulled.paths[0])})


def _announce(pulled: Pulled) -> None:
    """Let the running server look again; without one there is nobody to tell."""
    from glasslipper.cli.reach import find_server

    server = find_server(None, None)
    if server is not None:
        server.call("POST", "/admin/models/pull", {"id": pulled.id})


@options.example(
    "glasslipper models add local/mine ./mine.gguf",
    "glasslipper models add lab/big http://10.0.0.7:8000/v1 --price-in 0.10 --price-out 0.30",
)
@models.command()
@click.argument("model_id", metavar="ID")
@click.argument("target", metavar="FILE.gguf|URL")
@click.option("--upstream-model", metavar="NAME", help="What the server calls it.  [ID]")
@click.option("--key-env", metavar="VAR", help="The variable that holds the server's key.")
@click.option("--price-in", type=options.Price(), help="USD for a million prompt tokens.")
@click.option("--price-out", type=options.Price(), help="USD for a million answer tokens.")
@click.option("--context", type=click.IntRange(1), help="How many tokens fit in.")
@options.reaches_server
@options.as_json
def add(
    *,
    model_id: str,
    target: str,
    upstream_model: str | None,
    key_env: str | None,
    price_in: str | None,
    price_out: str | None,
    context: int | None,
    url: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Offer a model file, or a model of another server, as ID.

    The server must speak OpenAI's API.
    """
    from glasslipper.cli.reach import admin_api

    is_address = re.match(r"https?://", target) is not None
    place = {"url": target} if is_address else {"path": str(Path(target).expanduser().absolute())}
    stated = {
        "upstream_model": upstream_model,
        "key_env": key_env,
        "price_in": price_in,
        "price_out": price_out,
        "context_tokens": context,
    }
    wish = {"id": model_id, **place, **{k: v for k, v in stated.items() if v is not None}}
    with admin_api(url, key) as api:
        answer = api.call("POST", "/admin/models", wish)
    if as_json:
        print_json(answer)
        return
    click.echo(f"{model_id} is offered now.")
    if is_address and price_in is None:
        mention("Its price is not known, so keys with a budget cannot call it: --price-in.")


@options.example("glasslipper models remove lab/big")
@models.command()
@click.argument("model_id", metavar="ID")
@options.reaches_server
@options.as_json
def remove(*, model_id: str, url: str | None, key: str | None, as_json: bool) -> None:
    """Offer a model that was added no more; its file stays where it is."""
    from glasslipper.cli.client import in_path
    from glasslipper.cli.reach import admin_api

    with admin_api(url, key) as api:
        answer = api.call("DELETE", f"/admin/models/{in_path(model_id)}")
    if as_json:
        print_json(answer)
        return
    click.echo(f"{model_id} is offered no more.")
