"""Coding agents and command lines: each does a small task through us, and its effect is looked at.

llmock plays the model by a script: a call of a tool of the agent's own, then an answer. So a pass
means that the agent understood what the gateway streamed, did it, and sent the result back in a
form that the gateway took. Versions are pinned; homes are temporary.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from glasslipper.testing.served import Served
from referees import places, stand
from referees.verdict import Verdict, absent

WAIT_S = 150.0
WORDS = "Glass slippers fit one foot."


class Place(Struct, frozen=True, kw_only=True):
    """Where an agent works: its home, its project, the gateway, and the model if it is given."""

    home: Path
    project: Path
    served: Served
    given: str = ""

    def model(self, provider: str) -> str:
        """Return the model to ask: the given one, or that of a provider."""
        return self.given or stand.MODELS[provider]

    def environ(self, **more: str) -> dict[str, str]:
        """Return the agent's environment."""
        return {
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "CI": "1",
            **more,
        }


class Run(Struct, kw_only=True):
    """How to start an agent."""

    command: list[Path | str]
    environ: dict[str, str]


class Agent(Struct, frozen=True, kw_only=True):
    """An agent: what is installed, how the model is scripted, how it starts, what it must do."""

    name: str
    version: str
    dialect: str
    fetch: Callable[[], Path]
    script: tuple[Mapping[str, Any], ...]
    start: Callable[[Path, Place], Run]
    writes: str = ""
    """A file of the project that must hold `WORDS` in the end."""

    says: str = ""
    """What its output must hold."""

    model: str = ""
    """The model that it asks, if that is not a provider's."""


def _reply(text: str) -> dict[str, Any]:
    return {"type": "reply", "text": text}


def _call(tool: str, **arguments: object) -> dict[str, Any]:
    """Return the script of a tool call; only requests that offer tools get it."""
    call = {"name": tool, "arguments": arguments}
    return {"type": "reply", "tool_calls": [call], "match": {"tools": True}}


SHELL = f"printf '%s' '{WORDS}' > slippers.txt"


def _llm(binary: Path, place: Place) -> Run:
    folder = place.home / "llm"
    folder.mkdir()
    (folder / "extra-openai-models.yaml").write_text(
        f"""- model_id: ours
  model_name: {place.model("openai")}
  api_base: http://{place.served.host}/v1
  api_key_name: ours
  supports_tools: true
  can_stream: true
""",
        encoding="utf-8",
    )
    (folder / "keys.json").write_text(json.dumps({"ours": place.served.key}), encoding="utf-8")
    write = (
        "def write(name: str, text: str) -> str:\n    open(name, 'w').write(text)\n    return 'ok'"
    )
    command = [binary / "llm", "-m", "ours", "--functions", write, "Write it down."]
    return Run(command=command, environ=place.environ(LLM_USER_PATH=str(folder)))


def _mini(binary: Path, place: Place) -> Run:
    config = place.home / "mini.yaml"
    config.write_text(
        json.dumps(
            {
                "model": {
                    "model_name": f"openai/{stand.MODELS['openai']}",
                    "cost_tracking": "ignore_errors",
                    "model_kwargs": {
                        "api_base": f"http://{place.served.host}/v1",
                        "api_key": place.served.key,
                    },
                },
            }
        ),
        encoding="utf-8",
    )
    command = [binary / "mini", "--yolo", "--exit-immediately", "-t", "Write it down."]
    command += ["-c", "mini.yaml", "-c", config, "-o", place.home / "trajectory.json"]
    environ = place.environ(
        MSWEA_CONFIGURED="true",
        MSWEA_SILENT_STARTUP="1",
        LITELLM_LOCAL_MODEL_COST_MAP="True",
        MSWEA_COST_TRACKING="ignore_errors",
        OPENAI_API_KEY=place.served.key,
    )
    return Run(command=command, environ=environ)


def _aider(binary: Path, place: Place) -> Run:
    flags = "--yes-always --no-git --no-check-update --no-analytics --no-gitignore --stream"
    flags += " --no-show-model-warnings --edit-format whole --no-auto-lint"
    command = [binary / "aider", *flags.split(), "--model", f"openai/{stand.MODELS['openai']}"]
    command += ["--message", "Write it down.", "slippers.txt"]
    environ = place.environ(
        OPENAI_API_BASE=f"http://{place.served.host}/v1",
        OPENAI_API_KEY=place.served.key,
        LITELLM_LOCAL_MODEL_COST_MAP="True",
        AIDER_ANALYTICS_DISABLE="true",
    )
    return Run(command=command, environ=environ)


def _codex(*more: str) -> Callable[[Path, Place], Run]:
    return lambda folder, place: _codex_run(folder, place, more)


def _codex_run(folder: Path, place: Place, more: Sequence[str]) -> Run:
    home = place.home / "codex"
    home.mkdir()
    (home / "config.toml").write_text(
        f"""model = "{place.model("openai")}"
model_provider = "ours"
[model_providers.ours]
name = "ours"
base_url = "http://{place.served.host}/v1"
env_key = "OURS_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
""",
        encoding="utf-8",
    )
    command = [folder / "node_modules/.bin/codex", "exec", "--skip-git-repo-check", *more]
    command += ["--dangerously-bypass-approvals-and-sandbox", "Write it down."]
    environ = place.environ(CODEX_HOME=str(home), OURS_KEY=place.served.key)
    return Run(command=command, environ=environ)


def _claude(folder: Path, place: Place) -> Run:
    program = folder / "node_modules/@anthropic-ai/claude-code-linux-x64/claude"
    model = place.model("anthropic")
    command = [program, "-p", "Write it down.", "--model", model, "--allowedTools", "Write,Bash"]
    environ = place.environ(
        ANTHROPIC_BASE_URL=f"http://{place.served.host}",
        ANTHROPIC_AUTH_TOKEN=place.served.key,
        ANTHROPIC_API_KEY="",
        ANTHROPIC_SMALL_FAST_MODEL=model,
        ANTHROPIC_DEFAULT_HAIKU_MODEL=model,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        DISABLE_AUTOUPDATER="1",
    )
    return Run(command=command, environ=environ)


def _qwen(kind: str) -> Callable[[Path, Place], Run]:
    def start(folder: Path, place: Place) -> Run:
        host = f"http://{place.served.host}"
        base = {"openai": f"{host}/v1", "anthropic": host, "gemini": host}[kind]
        model = {"gemini": "google"}.get(kind, kind)
        offered = {"id": place.model(model), "envKey": "OURS_KEY", "baseUrl": base}
        settings = {
            "modelProviders": {kind: [offered]},
            "security": {"auth": {"selectedType": kind}},
            "model": {"name": place.model(model)},
            "telemetry": {"enabled": False},
        }
        own = place.home / ".qwen"
        own.mkdir()
        (own / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        command = [folder / "node_modules/.bin/qwen", "--yolo", "--auth-type", kind]
        command += ["--model", place.model(model), "-p", "Write it down."]
        return Run(command=command, environ=place.environ(OURS_KEY=place.served.key))

    return start


def _qwen_agent(kind: str, dialect: str) -> Agent:
    return Agent(
        name="qwen-code",
        version="0.24.4",
        dialect=dialect,
        fetch=lambda: places.npm("qwen-code", "@qwen-code/qwen-code@0.24.4"),
        script=(_call("run_shell_command", command=SHELL, is_background=False), _reply("Done.")),
        start=_qwen(kind),
        writes="slippers.txt",
    )


CODEX_PLAIN = ("--disable", "multi_agent", "-c", 'web_search="disabled"')
"""What keeps Codex from offering tools that are no functions."""


def _codex_agent(dialect: str, *more: str) -> Agent:
    return Agent(
        name="codex",
        version="0.169.0",
        dialect=dialect,
        fetch=lambda: places.npm("codex", "@openai/codex@0.169.0"),
        script=(_call("exec_command", cmd=SHELL), _reply("All written.")),
        start=_codex(*more),
        writes="slippers.txt",
        says="All written.",
    )


AGENTS = (
    Agent(
        name="llm",
        version="0.36",
        dialect="chat",
        fetch=lambda: places.python("llm", "llm==0.36"),
        script=(_call("write", name="slippers.txt", text=WORDS), _reply("All written.")),
        start=_llm,
        writes="slippers.txt",
        says="All written.",
    ),
    Agent(
        name="mini-swe-agent",
        version="2.4.6",
        dialect="chat",
        fetch=lambda: places.python("mini-swe-agent", "mini-swe-agent==2.4.6", "mcp==2.3.0"),
        script=(
            _call("bash", command=SHELL),
            _call("bash", command="echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"),
        ),
        start=_mini,
        writes="slippers.txt",
    ),
    Agent(
        name="aider-chat",
        version="0.86.2",
        dialect="chat",
        fetch=lambda: places.python("aider-chat", "aider-chat==0.86.2"),
        script=(_reply(f"Here it is.\n\nslippers.txt\n```\n{WORDS}\n```\n"),),
        start=_aider,
        writes="slippers.txt",
    ),
    _codex_agent("responses, as it comes"),
    _codex_agent("responses, with functions only", *CODEX_PLAIN),
    Agent(
        name="claude-code",
        version="2.1.330",
        dialect="messages",
        fetch=lambda: places.npm("claude-code", "@anthropic-ai/claude-code@2.1.330"),
        script=(_call("Bash", command=SHELL, description="Write"), _reply("All written.")),
        start=_claude,
        writes="slippers.txt",
        says="All written.",
    ),
    _qwen_agent("openai", "chat"),
    _qwen_agent("anthropic", "messages"),
    _qwen_agent("gemini", "gemini"),
)

AUTO = "glasslipper/auto"
THROUGH_AUTO = tuple(
    structs.replace(agent, dialect=f"{agent.dialect}, through {AUTO}", model=AUTO)
    for agent in AGENTS
    if agent.name in ("llm", "claude-code") or agent.dialect == "responses, with functions only"
)
"""Agents whose model is the orchestrator, over each dialect; no local model is on offer then."""

QUICK = ("llm",)


def referee(*, quick: bool, names: Sequence[str] = ()) -> Iterator[Verdict]:
    """Let every agent do its task."""
    wanted = names or (QUICK if quick else ())
    try:
        with stand.llmock() as mock, stand.gateway("agents", **mock.environ()) as served:
            for agent in _chosen(AGENTS, wanted):
                yield _work(agent, mock, served)
        if quick:
            return
        with (
            tempfile.TemporaryDirectory(prefix="glasslipper-no-models-") as none,
            stand.llmock() as mock,
            stand.gateway("agents-auto", GLASSLIPPER_MODELS=none, **mock.environ()) as served,
        ):
            for agent in _chosen(THROUGH_AUTO, wanted):
                yield _work(agent, mock, served)
    except places.MissingError as why:
        yield absent("agents", "", "every task", f"llmock: {why}")


def _chosen(agents: Sequence[Agent], wanted: Sequence[str]) -> list[Agent]:
    return [agent for agent in agents if not wanted or agent.name in wanted]


def _work(agent: Agent, mock: stand.Llmock, served: Served) -> Verdict:
    stand.mention(f"{agent.name} {agent.version}, {agent.dialect}")
    subject = f"a task with its own tools, over {agent.dialect}"
    try:
        folder = agent.fetch()
    except places.MissingError as why:
        return absent(agent.name, agent.version, subject, str(why))
    verdict = Verdict(referee=agent.name, version=agent.version, subject=subject)
    mock.script(*agent.script)
    with tempfile.TemporaryDirectory(prefix="glasslipper-agent-") as root:
        place = Place(
            home=Path(root) / "home",
            project=Path(root) / "project",
            served=served,
            given=agent.model,
        )
        place.home.mkdir()
        place.project.mkdir()
        run = agent.start(folder, place)
        done = stand.run_quietly(
            run.command, wait_s=WAIT_S, environ=run.environ, folder=place.project
        )
        _look(agent, place, done.returncode, done.stdout + done.stderr, verdict)
    _look_behind(mock, verdict)
    place_name = agent.dialect.split(",")[-1].strip().replace("/", "-")
    log = stand.logs() / f"agent-{agent.name}-{place_name}.log"
    log.write_text(done.stdout + done.stderr, encoding="utf-8")
    return verdict


def _look(agent: Agent, place: Place, status: int, said: str, verdict: Verdict) -> None:
    tail = " ".join(said.split())[-300:]
    verdict.note("it ends well", None if status == 0 else f"status {status}: {tail}")
    if agent.writes:
        file = place.project / agent.writes
        found = file.read_text(encoding="utf-8") if file.is_file() else "nothing"
        verdict.note(
            "its tool call was carried out",
            None if WORDS in found else f"{agent.writes} holds {found!r}: {tail}",
        )
    if agent.says:
        verdict.note("it shows the answer", None if agent.says in said else tail)


def _look_behind(mock: stand.Llmock, verdict: Verdict) -> None:
    """Look at what reached the provider."""
    requests = mock.requests()
    bad = [one["status"] for one in requests if one["status"] >= 400]
    verdict.note("the provider took every request", f"it answered {bad}" if bad else None)
    verdict.note("it asked more than nothing", None if requests else "no request came through")
