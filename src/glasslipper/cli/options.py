"""Options that several commands share, and the kinds of values that options take."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import click

from glasslipper.kernel.clock import DAY_MS

Command = TypeVar("Command", bound=Callable[..., object])
Program = TypeVar("Program", bound=click.Command)

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": DAY_MS, "w": 7 * DAY_MS}

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
interactive = click.option(
    "--interactive", is_flag=True, help="Charts answer the pointer: 1 MB of script in the page."
)


def example(*lines: str) -> Callable[[Program], Program]:
    """End a command's help with lines that can be typed."""

    def add(command: Program) -> Program:
        command.epilog = "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)
        return command

    return add


def reaches_server(command: Command) -> Command:
    """Add the options that say which server a command talks to."""
    url = click.option(
        "--url",
        envvar="GLASSLIPPER_URL",
        help="Address of a server.  [the one that runs on this machine]",
    )
    key = click.option(
        "--key",
        envvar="GLASSLIPPER_API_KEY",
        help="Key to show it.  [this machine's own]",
    )
    return url(key(command))


class Dollars(click.ParamType[int]):
    """An amount of US dollars, as nano-USD."""

    name = "USD"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return exact nano-USD."""
        from glasslipper.kernel.money import nanousd

        if isinstance(value, int):
            return value
        try:
            amount = nanousd(str(value).strip().removeprefix("$"))
        except ValueError:
            self.fail(f"{value!r} is not an amount of dollars, such as 5 or 0.25.", param, ctx)
        if not 0 <= amount < 2**62:
            self.fail("An amount is zero or more, and below four thousand million.", param, ctx)
        return amount


class Price(click.ParamType[str]):
    """A price in US dollars, kept as the exact text."""

    name = "USD"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the text of the number."""
        text = str(value).strip().removeprefix("$")
        Dollars().convert(text, param, ctx)
        return text


class Span(click.ParamType[int]):
    """A length of time such as 90s, 30m, 12h, 7d or 2w, in milliseconds."""

    name = "TIME"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return milliseconds."""
        if isinstance(value, int):
            return value
        span_ms = _span_ms(str(value).strip())
        if span_ms is None:
            self.fail(f"{value!r} is not a length of time, such as 30m, 12h or 7d.", param, ctx)
        return span_ms


def _span_ms(text: str) -> int | None:
    found = re.fullmatch(r"([1-9][0-9]{0,8})([smhdw])", text)
    return int(found[1]) * _UNITS_MS[found[2]] if found else None


class Since(click.ParamType[int]):
    """A length of time before now, or a day such as 2026-11-01 (UTC), as Unix milliseconds."""

    name = "TIME|DAY"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return Unix milliseconds."""
        if isinstance(value, int):
            return value
        text = str(value).strip()
        span_ms = _span_ms(text)
        if span_ms is not None:
            return max(int(datetime.now(UTC).timestamp() * 1000) - span_ms, 0)
        try:
            day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            wanted = "neither a length of time, such as 7d, nor a day, such as 2026-11-01"
            self.fail(f"{value!r} is {wanted}.", param, ctx)
        return int(day.timestamp() * 1000)


class Label(click.ParamType[tuple[str, str]]):
    """A name and a value, written name=value."""

    name = "NAME=VALUE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return the two."""
        label, equals, content = str(value).partition("=")
        if not label or not equals:
            self.fail(f"{value!r} is not a label, such as team=search.", param, ctx)
        return label, content
