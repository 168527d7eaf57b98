"""A group whose commands are imported when they are called, or when help lists them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click
from click.exceptions import NoSuchCommand


class LazyGroup(click.Group):
    """Commands by name, each at a `module:attribute`."""

    def __init__(self, *, commands_at: Mapping[str, str], **more: object) -> None:
        """Offer the commands of `commands_at`, in its order."""
        super().__init__(**more)  # type: ignore[arg-type]
        self._commands_at = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order given."""
        del ctx
        return list(self._commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command after importing its module, or `None`."""
        del ctx
        place = self._commands_at.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        command: object = getattr(importlib.import_module(module), attribute)
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant; where there is none, name the nearest that there is."""
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:
            names = self.list_commands(ctx)
            raise NoSuchCommand(error.command_name, possibilities=names, ctx=ctx) from None
