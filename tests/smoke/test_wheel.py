"""The wheel as a user gets it: built, installed into a fresh environment, served, and asked.

The server runs from that environment in a child process; the official `openai` client runs
here. Every answer is one of `local/smol` or of the static vectors.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from openai import AuthenticationError, NotFoundError, OpenAI

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).with_name("uv")
SMOL, VECTORS = "local/smol", "local/static-256"
STOP_S = 30

PERSON: dict[str, object] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 40},
        "age": {"type": "integer"},
        "likes": {"enum": ["tea", "coffee"]},
    },
    "required": ["name", "age", "likes"],
    "additionalProperties": False,
}
WEATHER: dict[str, object] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 40},
        "unit": {"enum": ["celsius", "fahrenheit"]},
    },
    "required": ["city", "unit"],
    "additionalProperties": False,
}
FRANCE: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]


class Installed(NamedTuple):
    """A fresh environment with the wheel in it, and the home that it works on."""

    python: Path
    command: Path
    environ: Mapping[str, str]
    folder: Path

    def run(self, *arguments: str | Path) -> str:
        """Return what a command of the environment prints."""
        done = subprocess.run(
            arguments,
            env=self.environ,
            cwd=self.folder,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def uv(*arguments: str | Path) -> None:
    done = subprocess.run([UV, *arguments], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(
    tmp_path_factory: pytest.TempPathFactory,
    models_folder: Path,
    smol_path: Path,
    vector_paths: tuple[Path, Path],
) -> Installed:
    assert smol_path.exists()
    assert all(path.exists() for path in vector_paths)
    folder = tmp_path_factory.mktemp("wheel")
    uv(
        "build",
        "--wheel",
        "--no-build-isolation",
        "--python",
        sys.executable,
        "--out-dir",
        folder,
        ROOT,
    )
    (wheel,) = folder.glob("*.whl")
    uv("venv", "--python", sys.executable, folder / "venv")
    python = folder / "venv/bin/python"
    pip = ("pip", "install", "--python", python)
    uv(*pip, "--require-hashes", "-r", ROOT / "requirements/run.txt")
    uv(*pip, "--no-deps", wheel)
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GLASSLIPPER_HOME": str(folder / "home"),
        "GLASSLIPPER_MODELS": str(models_folder),
    }
    return Installed(python, python.with_name("glasslipper"), environ, folder)


@pytest.fixture(scope="module")
def client(installed: Installed) -> Iterator[OpenAI]:
    """A client of the installed server, with the first key; the server must end well."""
    with subprocess.Popen(
        [installed.command, "up", "--port", "0", "--json"],
        env=installed.environ,
        cwd=installed.folder,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as server:
        try:
            assert server.stdout is not None
            announced = json.loads(server.stdout.readline())
            assert announced["pid"] == server.pid
            with OpenAI(
                base_url=announced["url"], api_key=announced["key"], max_retries=0, timeout=60
            ) as made:
                yield made
        finally:
            server.send_signal(signal.SIGTERM)
            status = server.wait(STOP_S)
    assert status == 0


def extra(answer: Any) -> dict[str, Any]:
    """What is in an answer's usage beyond OpenAI's members."""
    return answer.usage.model_extra


def look(client: OpenAI, path: str, **query: str) -> dict[str, Any]:
    answer: Any = client.get(path, cast_to=object, options={"params": query})
    return answer["data"]


def test_what_runs_is_the_wheel_and_only_what_the_requirements_name(installed: Installed) -> None:
    where = installed.run(installed.python, "-c", "import glasslipper; print(glasslipper.__file__)")
    assert Path(where.strip()).is_relative_to(installed.folder / "venv")
    version = installed.run(installed.command, "--version")
    assert "0.1.0" in version


def test_both_default_models_are_listed(client: OpenAI) -> None:
    assert {SMOL, VECTORS} <= {model.id for model in client.models.list()}


def test_a_question_is_answered(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=SMOL, messages=FRANCE, temperature=0, max_tokens=32
    )
    (choice,) = answer.choices
    assert "Paris" in (choice.message.content or "")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 5
    assert 0 < answer.usage.completion_tokens <= 32
    assert extra(answer)["cost_nanousd"] > 0


def test_an_answer_streams_word_by_word_and_ends_with_its_cost(client: OpenAI) -> None:
    with client.chat.completions.create(
        model=SMOL, messages=FRANCE, temperature=0, max_tokens=32, stream=True
    ) as stream:
        chunks = list(stream)
    words = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "Paris" in "".join(words)
    assert sum(bool(word) for word in words) > 3
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert extra(chunks[-1])["cost_nanousd"] > 0


def test_json_keeps_to_the_schema(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=SMOL,
        messages=[{"role": "user", "content": "Describe a person called Ada."}],
        max_tokens=120,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "person", "strict": True, "schema": PERSON},
        },
    )
    person = json.loads(answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert person.keys() == {"name", "age", "likes"}
    assert isinstance(person["name"], str)
    assert type(person["age"]) is int
    assert person["likes"] in ("tea", "coffee")


def test_a_tool_is_called_with_arguments_that_keep_to_its_schema(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=SMOL,
        messages=[{"role": "user", "content": "What is the weather in Rome?"}],
        max_tokens=120,
        tools=[{"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}],
        tool_choice="required",
    )
    (choice,) = answer.choices
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls"
    assert call.type == "function"
    assert call.function.name == "get_weather"
    arguments = json.loads(call.function.arguments)
    assert arguments.keys() == {"city", "unit"}
    assert isinstance(arguments["city"], str)
    assert arguments["unit"] in ("celsius", "fahrenheit")


def test_vectors_of_like_things_are_alike(client: OpenAI) -> None:
    texts = ["a cat sat on the mat", "the kitten lies on a rug", "quarterly tax returns"]
    made = client.embeddings.create(model=VECTORS, input=texts)
    cat, kitten, tax = (vector.embedding for vector in made.data)
    assert {len(cat), len(kitten), len(tax)} == {256}

    def likeness(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert likeness(cat, kitten) > likeness(cat, tax) + 0.1
    assert made.usage.prompt_tokens > 10


def test_what_a_call_cost_stands_in_its_generation_and_is_taken_from_the_key(
    client: OpenAI,
) -> None:
    before = look(client, "/key")
    answer = client.chat.completions.create(model=SMOL, messages=FRANCE, max_tokens=8)
    cost_nanousd = extra(answer)["cost_nanousd"]
    record = look(client, "/generation", id=answer.id)
    assert record["charged_nanousd"] == cost_nanousd > 0
    assert (record["status"], record["model"]) == ("ok", SMOL)
    assert record["cpu_us"] > 0
    after = look(client, "/key")
    assert after["usage_nanousd"] - before["usage_nanousd"] == cost_nanousd
    assert after["generations"] - before["generations"] == 1
    assert after["held_nanousd"] == 0


def test_errors_arrive_as_the_clients_own(client: OpenAI) -> None:
    with pytest.raises(NotFoundError) as unknown:
        client.chat.completions.create(model="nobody/nothing", messages=FRANCE)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(AuthenticationError):
        client.with_options(api_key="sk-gl-wrong").chat.completions.create(
            model=SMOL, messages=FRANCE
        )


def test_the_command_line_asks_the_running_server(client: OpenAI, installed: Installed) -> None:
    spent = look(client, "/credits")
    words = installed.run(
        installed.command,
        *("ask", "What is the capital of France?", "--temperature", "0", "--max-tokens", "16"),
    )
    assert len(words.split()) > 1
    listed = json.loads(installed.run(installed.command, "models", "list", "--json"))
    assert SMOL in json.dumps(listed)
    assert look(client, "/credits")["total_usage_nanousd"] >= spent["total_usage_nanousd"]
