"""SDKs and their likes: a scripted conversation of each, with tools and streams.

Each runs in an environment of its own. Their checks stand in `clients/`, are run there, and ask a
gateway in front of `local/smol` and of llmock, which plays a model that is good with tools.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from glasslipper.testing.served import Served
from referees import places, stand
from referees.verdict import Verdict, absent

SCRIPTS = Path(__file__).with_name("clients")
LOCAL = "local/smol"
WAIT_S = 400.0


class Client(Struct, frozen=True, kw_only=True):
    """A client: what it is called, what is installed for it, and its script."""

    name: str
    packages: tuple[str, ...]
    script: str

    @property
    def version(self) -> str:
        """The version of its first package."""
        return self.packages[0].replace("==", "@").rpartition("@")[2]


CLIENTS = (
    Client(name="openai", packages=("openai==3.54.0",), script="openai_client.py"),
    Client(name="anthropic", packages=("anthropic==2.12.0",), script="anthropic_client.py"),
    Client(name="google-genai", packages=("google-genai==3.4.0",), script="genai_client.py"),
    Client(name="mistralai", packages=("mistralai==3.7.0",), script="mistral_client.py"),
    Client(name="openrouter", packages=("openrouter==1.3.84",), script="openrouter_client.py"),
    Client(
        name="openrouter-sdk", packages=("@openrouter/sdk@1.3.19",), script="openrouter_sdk.mjs"
    ),
    Client(
        name="vercel-ai",
        packages=(
            "ai@7.0.173",
            "@ai-sdk/openai-compatible@3.0.92",
            "@openrouter/ai-sdk-provider@3.1.0",
            "zod@4",
        ),
        script="vercel_ai.mjs",
    ),
)

QUICK = ("openai",)
AUTO = "glasslipper/auto"
THROUGH_AUTO = ("openai", "anthropic")
"""Clients that have their conversation a second time, with the orchestrator as their model."""


def referee(*, quick: bool) -> Iterator[Verdict]:
    """Let every SDK have its conversation."""
    chosen = [client for client in CLIENTS if not quick or client.name in QUICK]
    try:
        with stand.llmock() as mock, stand.gateway("clients", **mock.environ()) as served:
            for client in chosen:
                stand.mention(f"{client.name} {client.version}")
                yield _converse(client, served)
                if client.name in THROUGH_AUTO and not quick:
                    yield _converse(client, served, model=AUTO)
    except places.MissingError as why:
        yield absent("clients", "", "every conversation", f"llmock: {why}")


def _converse(client: Client, served: Served, *, model: str = "") -> Verdict:
    subject = "a conversation with tools and streams" + (f", through {model}" if model else "")
    try:
        command = _command(client)
    except places.MissingError as why:
        return absent(client.name, client.version, subject, str(why))
    verdict = Verdict(referee=client.name, version=client.version, subject=subject)
    done = stand.run_quietly(command, wait_s=WAIT_S, environ=environ(served, model))
    (stand.logs() / f"client-{client.name}.log").write_text(done.stderr, encoding="utf-8")
    try:
        told = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        verdict.note("the whole script", (done.stderr or done.stdout)[-400:] or "it said nothing")
        return verdict
    for name, why in told:
        verdict.note(name.replace("_", " "), why)
    return verdict


def _command(client: Client) -> list[Path | str]:
    if client.script.endswith(".py"):
        return [places.python(client.name, *client.packages) / "python", SCRIPTS / client.script]
    folder = places.npm(client.name, *client.packages)
    for script in ("checks.mjs", client.script):
        shutil.copy(SCRIPTS / script, folder / script)
    return ["node", folder / client.script]


def environ(served: Served, model: str = "") -> dict[str, str]:
    """Return what a script must know; `model` stands for the one that is good with tools."""
    return {
        "REFEREE_HOST": served.host,
        "REFEREE_KEY": served.key,
        "REFEREE_ADMIN_KEY": served.admin_key,
        "REFEREE_LOCAL": LOCAL,
        "REFEREE_MOCK": model or stand.MODELS["openai"],
        "NO_PROXY": "127.0.0.1",
    }
