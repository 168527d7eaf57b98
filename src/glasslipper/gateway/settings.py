"""What the gateway can be told: one frozen value, from defaults, `settings.toml` and environment.

Later sources win. Every variable is `GLASSLIPPER_` and the setting's name in capitals.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from glasslipper.kernel.errors import SetupMissing
from glasslipper.store.database import Durability

FILE = "settings.toml"


class ToolServer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An MCP server: a command or an address.

    Attributes:
        command: The program and its arguments; it speaks over its standard streams.
        env: What its environment has besides the bare one.
        url: The address of a server that speaks streamable HTTP.
        headers: What goes with each request there, such as Authorization.
        allow: Globs of its tools that may be called, such as `read_*`.
        deny: Globs of those that may not; a denial wins.
    """

    command: tuple[str, ...] = ()
    env: dict[str, str] = {}
    url: str = ""
    headers: dict[str, str] = {}
    allow: tuple[str, ...] = ("*",)
    deny: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is neither, or both."""
        if bool(self.command) == bool(self.url):
            raise ValueError("a tool server has either a `command` or a `url`")


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of one gateway process.

    Attributes:
        host: The address to listen on.
        port: The port to listen on; 0 takes any free one.
        workers: How many gateway processes share the port; more than one have a keeper beside
            them, which runs what must be single.
        durability: What an acknowledged record survives: `process` or `power`.
        engine: Whether local models run in a `thread` of the gateway or in a child `process`.
        threads: Threads that one local model computes with.
        slots: Requests that one local model serves at once.
        queue: Requests that may wait for a local model; more are answered 429.
        cpu_hour_usd: What an hour of this machine's CPU costs, in USD: the price of local models.
        classify: Whether every request is labelled with what it is about, on this machine.
        judge_model: The model that labels a sample of the requests anew; none if empty.
        judge_share: The share of requests that it is asked about, between 0 and 1.
        judge_key: The name or id of the key that pays it; its budget is all that judging may cost.
        keep_prompts: The share of requests whose prompts, system prompts too, are kept in the
            ledger, to be asked again of other models; 0 keeps none.
        auto_explore: The share of the episodes of `glasslipper/auto` that open by chance, so that
            `glasslipper puppeteer learn` has something to learn from; 0 never does.
        tools: MCP servers by name, whose tools policies of `glasslipper/auto` may call; only from
            `settings.toml`, as tables `[tools.NAME]`.
        discover: Whether model servers that run on this machine are looked for and offered.
        max_body_bytes: The largest request body.
        header_timeout_s: How long a client may take to send a request's header.
        body_timeout_s: How long a client may take to send a request's body.
        write_timeout_s: How long a client may leave unread what it was sent.
        connect_timeout_s: How long an upstream may take to accept a connection.
        first_byte_timeout_s: How long an upstream may take to begin its answer.
        between_bytes_timeout_s: How long an upstream's stream may be silent.
        total_timeout_s: How long an attempt may take.
        drain_timeout_s: How long a stopping server waits for running exchanges.
    """

    host: str = "127.0.0.1"
    port: int = 7331
    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    durability: Durability = "process"
    engine: Literal["thread", "process"] = "thread"
    threads: int = 1
    slots: int = 4
    queue: int = 32
    cpu_hour_usd: str = "0.04"
    classify: bool = False
    judge_model: str = ""
    judge_share: Annotated[float, Meta(ge=0, le=1)] = 0.01
    judge_key: str = ""
    keep_prompts: Annotated[float, Meta(ge=0, le=1)] = 0.0
    auto_explore: Annotated[float, Meta(ge=0, le=1)] = 0.0
    tools: dict[str, ToolServer] = {}
    discover: bool = True
    max_body_bytes: int = 32 << 20
    header_timeout_s: float = 20.0
    body_timeout_s: float = 60.0
    write_timeout_s: float = 120.0
    connect_timeout_s: float = 10.0
    first_byte_timeout_s: float = 120.0
    between_bytes_timeout_s: float = 120.0
    total_timeout_s: float = 1_800.0
    drain_timeout_s: float = 30.0


def load(home: Path, environ: Mapping[str, str] = os.environ, **chosen: object) -> Settings:
    """Return the settings of a home: `chosen` over environment over file over defaults.

    Raises:
        SetupMissing: The file or a variable says something that is not a setting.
    """
    values: dict[str, object] = {}
    path = home / FILE
    if path.is_file():
        try:
            values.update(tomllib.loads(path.read_text(encoding="utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SetupMissing(f"{path} is not TOML: {error}.", hint=f"Correct {path}.") from error
    for name in set(Settings.__struct_fields__) - {"tools"}:
        variable = f"GLASSLIPPER_{name.upper()}"
        if environ.get(variable, "") != "":
            values[name] = environ[variable]
    values.update({name: value for name, value in chosen.items() if value is not None})
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SetupMissing(
            f"A setting is wrong: {error}.", hint=f"Look at {path} and the GLASSLIPPER_ variables."
        ) from error
