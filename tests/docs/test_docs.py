"""What the documents say is true."""

import re
from pathlib import Path

import click
import pytest

from glasslipper.cli import glasslipper as program

ROOT = Path(__file__).parents[2]


def test_every_runtime_package_is_named_with_its_reason_and_there_are_few() -> None:
    table = (ROOT / "docs" / "DEPENDENCIES.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| ([a-z0-9-]+) \| \w", table, re.MULTILINE)
    locked = (ROOT / "requirements" / "run.txt").read_text(encoding="utf-8")
    installed = set(re.findall(r"^([a-z0-9-]+)==", locked, re.MULTILINE))
    assert set(named) - {"package"} == installed
    assert len(installed) <= 25


def test_the_requirement_files_hold_hashes_and_no_addresses() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text, path
        assert text.count("==") <= text.count("--hash=sha256:"), path


def commands(group: click.Command, names: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(group, click.Group):
        return [names]
    context = click.Context(group)
    found: list[tuple[str, ...]] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found += commands(command, (*names, name))
    return found


def test_the_readme_gives_a_first_result_by_line_25_and_is_short() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert any("glasslipper ask" in line for line in lines[:25])


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_every_file_and_target_that_a_document_names_exists(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"`make ([a-z-]+)", text):
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / link).exists(), link


def test_every_command_shows_an_example() -> None:
    for names in commands(program):
        command: click.Command = program
        for name in names:
            assert isinstance(command, click.Group)
            found = command.get_command(click.Context(command), name)
            assert found is not None
            command = found
        assert "Example" in (command.epilog or ""), names
