"""How the command line starts, explains itself and refuses."""

import io
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from glasslipper.cli import glasslipper, run

HEAVY = (
    "asyncio",
    "glasslipper.gateway",
    "glasslipper.ledger",
    "glasslipper.local",
    "http.client",
    "msgspec",
    "numpy",
    "rich",
    "sqlite3",
    "uvicorn",
    "uvloop",
    "xllamacpp",
)


def walk(command: click.Command, names: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    yield " ".join(names), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None, name
            yield from walk(found, (*names, name))


COMMANDS = dict(walk(glasslipper))


@pytest.mark.parametrize(
    "arguments", [["--help"], ["keys", "--help"], ["models", "pull", "--help"]]
)
def test_help_loads_nothing_that_is_slow_to_load(arguments: list[str]) -> None:
    program = (
        "import sys; from glasslipper.cli import run; status = run(sys.argv[1:]);"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr);"
        "sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    assert done.stderr.strip() == "[]"
    assert "Usage: glasslipper" in done.stdout


def test_help_lists_every_command_with_what_it_does(cli: Any) -> None:
    shown = cli.ok("--help")
    for name in ("up", "ask", "models", "keys", "spend", "doctor"):
        assert re.search(rf"^  {name} +[A-Z]", shown, re.MULTILINE), name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_text_shows_an_example(name: str) -> None:
    context = click.Context(COMMANDS[name], info_name=f"glasslipper {name}".strip())
    assert "Example:" in COMMANDS[name].get_help(context)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_can_be_typed(name: str) -> None:
    lines = (COMMANDS[name].epilog or "").splitlines()
    for line in re.findall(r"glasslipper [^|)\n]+", "\n".join(lines)):
        command: click.Command = glasslipper
        words = shlex.split(line)[1:]
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            found = command.get_command(click.Context(command), words.pop(0))
            assert found is not None, line
            command = found
        complaint = ""
        try:
            command.make_context(line, words)
        except click.BadParameter as error:
            complaint = str(error)
        assert not complaint or "does not exist" in complaint  # a file of the user's


def only_groups(command: click.Command) -> bool:
    return isinstance(command, click.Group) and not command.invoke_without_command


@pytest.mark.parametrize(
    "name", [name for name, command in COMMANDS.items() if name and not only_groups(command)]
)
def test_every_command_that_prints_can_print_json(name: str) -> None:
    options = [option for param in COMMANDS[name].params for option in param.opts]
    assert "--json" in options


def test_the_version_is_told(cli: Any) -> None:
    assert re.fullmatch(r"glasslipper, version \d+\.\d+\.\d+\S*\n", cli.ok("--version"))


def test_python_dash_m_is_the_same_program(cli: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "glasslipper", "--version"], capture_output=True, timeout=60
    )
    assert done.stdout.decode() == cli.ok("--version")


def test_a_wrong_command_is_told_with_the_nearest_right_one(cli: Any) -> None:
    done = cli.run("modles")
    assert done.returncode == 2
    assert "Did you mean 'models'?" in done.stderr


def test_wrong_usage_is_an_error_object_with_json(cli: Any) -> None:
    error = cli.error("keys", "create", status=2)
    assert error["code"] == "usage"
    assert "NAME" in error["message"]
    assert error["hint"] == "Try `glasslipper keys create --help`."


@pytest.mark.parametrize(
    "arguments",
    [
        ["keys", "create", "x", "--limit", "much"],
        ["keys", "create", "x", "--limit", "-1"],
        ["keys", "create", "x", "--limit", "nan"],
        ["keys", "create", "x", "--limit", "1e99"],
        ["keys", "create", "x", "--ttl", "0s"],
        ["keys", "create", "x", "--ttl", "soon"],
        ["keys", "create", "x", "--label", "novalue"],
        ["spend", "--since", "1y"],
        ["spend", "--by", "colour"],
        ["models", "add", "x", "./x.gguf", "--price-in", "cheap"],
        ["models", "pull", "local/smol", "--as", "other"],
        ["ask", "hi", "--max-tokens", "0"],
        ["ask"],
    ],
    ids=" ".join,
)
def test_a_value_that_makes_no_sense_is_wrong_usage(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
) -> None:
    monkeypatch.setenv("GLASSLIPPER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    assert run([*arguments, "--json"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert json.loads(told.err)["error"]["code"] == "usage"
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("arguments", [["ledger", "verify", "--json"], ["report", "--json"]])
def test_output_that_finds_no_room_is_told_in_words(cli: Any, arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            cli.command(*arguments),
            stdout=full,
            stderr=subprocess.PIPE,
            env=cli.environ,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert json.loads(done.stderr)["error"]["code"] == "disk_full"
