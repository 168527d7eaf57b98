"""`glasslipper import`: takes over what another gateway was told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from glasslipper.cli import options
from glasslipper.cli.output import mention, print_json, printable
from glasslipper.cli.refusal import Refusal
from glasslipper.kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from glasslipper.cli.reach import AdminApi
    from glasslipper.gateway.litellm import Note, Plan, Planned

NOT_FATAL = ("invalid_request", "unsupported", "setup_missing", "not_found")
"""Refusals of one entry, after which the others are still tried."""


@options.example("glasslipper import litellm config.yaml")
@click.group("import")
def imports() -> None:
    """Take over the configuration of another gateway."""


@options.example("glasslipper import litellm config.yaml --dry-run")
@imports.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say what would be taken, and what not.")
@options.reaches_server
@options.as_json
def litellm(*, file: Path, dry_run: bool, url: str | None, key: str | None, as_json: bool) -> None:
    """Offer the models of a LiteLLM proxy's FILE.

    Keys that stand in the file are sealed; it is not changed.
    """
    from glasslipper.cli.reach import admin_api
    from glasslipper.gateway.litellm import plan

    made = plan(_content(file))
    refused: dict[int, str] = {}
    if not dry_run:
        with admin_api(url, key) as api:
            refused = _carry_out(api, made)
    if as_json:
        print_json({"data": _as_json(made, refused), "dry_run": dry_run})
        return
    for planned in made.models:
        _tell(planned, refused.get(planned.entry))
    if made.settings:
        click.echo("settings")
        _tell_notes(made.settings)
    count = sum(one.model is not None and one.entry not in refused for one in made.models)
    word = "would be offered" if dry_run else "are offered now"
    mention(f"{count} of {len(made.models)} entries {word}.")


def _content(file: Path) -> bytes:
    from glasslipper.gateway.litellm.document import MAX_BYTES

    try:
        with file.open("rb") as opened:
            return opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidRequest(
            f"{file} cannot be read: {error.strerror}.", hint="Check the path of the file."
        ) from error


def _carry_out(api: AdminApi, made: Plan) -> dict[int, str]:
    """Offer what is planned; return which entries were refused, and why."""
    refused: dict[int, str] = {}
    for planned in made.models:
        try:
            _offer(api, planned)
        except Refusal as error:
            if error.code not in NOT_FATAL:
                raise
            refused[planned.entry] = error.message
    return refused


def _offer(api: AdminApi, planned: Planned) -> None:
    import msgspec

    if planned.model is None:
        return
    wish: dict[str, object] = msgspec.to_builtins(planned.model)
    if planned.key is not None:
        wish["byok"] = _bring(api, planned, planned.key.text)
    api.call("POST", "/admin/models", wish)


def _bring(api: AdminApi, planned: Planned, secret: str) -> str:
    """Have a key sealed, in place of the one that an earlier import brought for the same."""
    from glasslipper.cli.reading import read_answer
    from glasslipper.ledger.write.keys import ORGANISATION

    if planned.model is None:
        return ""
    name = f"litellm {planned.model.endpoint}"[:200]
    wish: dict[str, object] = {
        "key": secret,
        "base_url": planned.model.url,
        "allowed_models": [planned.model.id],
        "include_byok_in_limit": True,
    }
    known = read_answer(api.call("GET", "/byok"), list[dict[str, object]])
    for one in known:
        if (one.get("name"), one.get("provider")) == (name, planned.slug):
            api.call("PATCH", f"/byok/{one['id']}", wish)
            return str(one["id"])
    wish |= {"provider": planned.slug, "name": name, "account": ORGANISATION}
    answer = api.call("POST", "/byok", wish)
    return str(read_answer(answer, dict[str, object])["id"])


def _tell(planned: Planned, refusal: str | None) -> None:
    words = "not taken" if planned.model is None else f"as {planned.model.endpoint}"
    click.echo(printable(f"{planned.name}: {words if refusal is None else 'refused'}"))
    if refusal is not None:
        click.echo(printable(f"  - {refusal}"))
    for taken in planned.taken if refusal is None else ():
        click.echo(printable(f"  + {taken}"))
    _tell_notes(planned.ignored)


def _tell_notes(notes: tuple[Note, ...]) -> None:
    for note in notes:
        click.echo(printable(f"  - {note.what}: {note.why}"))


def _as_json(made: Plan, refused: dict[int, str]) -> dict[str, object]:
    models = [
        {
            "entry": planned.entry,
            "id": planned.name,
            "endpoint": planned.model.endpoint if planned.model else None,
            "offered": planned.model is not None and planned.entry not in refused,
            "seals_key": planned.key is not None,
            "taken": list(planned.taken),
            "ignored": [{"what": note.what, "why": note.why} for note in planned.ignored],
            "refused": refused.get(planned.entry),
        }
        for planned in made.models
    ]
    settings = [{"what": note.what, "why": note.why} for note in made.settings]
    return {"models": models, "settings": settings}
