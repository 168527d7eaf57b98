"""The other gateways: how they are fetched, and how they are started in front of the upstream.

What is fetched lies in a folder of its own below the user's cache, one for each version, and is
used again. Neither is a dependency of this project. Knows nothing of how they are measured.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from gateway_load import Target

LITELLM = "1.106.2"
PORTKEY = "1.15.2"

_INSTALL_S = 900.0
_NGINX_PLACES = "/usr/sbin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/bin"


class Missing(RuntimeError):
    """A subject cannot be had here; says why."""


class Recipe(Struct, frozen=True, kw_only=True):
    """How to run a subject in front of an upstream: its command, its environment, its face."""

    command: Sequence[str]
    target: Target
    environ: dict[str, str] = {}


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "glasslipper-bench"


def _installed(name: str, *, may_fetch: bool, fetch: Callable[[Path], None]) -> Path:
    """Return the folder of a peer, which is complete if it holds a file `whole`.

    Raises:
        Missing: It is not there, and may not or cannot be fetched.
    """
    folder = _cache() / name
    if (folder / "whole").exists():
        return folder
    if not may_fetch:
        raise Missing("it is not installed yet; a run without --quick installs it")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        fetch(folder)
    except (OSError, subprocess.SubprocessError) as error:
        raise Missing(f"installing it failed: {error}") from error
    (folder / "whole").touch()
    return folder


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr.fileno(), timeout=_INSTALL_S)


def litellm(folder: Path, *, upstream: str, port: int, may_fetch: bool) -> Recipe:
    """Return LiteLLM's proxy: one worker, one model, a master key and no database.

    Raises:
        Missing: It cannot be installed.
    """

    def fetch(place: Path) -> None:
        uv = Path(sys.executable).parent / "uv"
        _run(uv, "venv", "--quiet", "--python", sys.executable, place / "venv")
        _run(
            *(uv, "pip", "install", "--quiet", "--python", place / "venv/bin/python"),
            f"litellm[proxy]=={LITELLM}",
        )

    place = _installed(f"litellm-{LITELLM}", may_fetch=may_fetch, fetch=fetch)
    key = f"sk-{secrets.token_hex(32)}"
    config = folder / "litellm.yaml"
    config.write_text(
        f"""model_list:
  - model_name: fake
    litellm_params: {{model: openai/fake, api_base: "{upstream}", api_key: sk-none}}
general_settings: {{master_key: {key}}}
""",
        encoding="utf-8",
    )
    options = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    return Recipe(
        command=[str(place / "venv/bin/litellm"), *options, "--num_workers", "1"],
        environ={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"},
        target=Target(
            port=port,
            path="/v1/chat/completions",
            models={"plain": "fake"},
            headers={"authorization": f"Bearer {key}"},
        ),
    )


def portkey(*, upstream: str, port: int, may_fetch: bool, models: dict[str, str]) -> Recipe:
    """Return Portkey's gateway, told by headers where to go.

    Raises:
        Missing: It cannot be installed, or there is no Node.js to run it.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Missing("there is no Node.js with npm on the path")

    def fetch(place: Path) -> None:
        _run(npm, "install", "--no-fund", "--no-audit", "--ignore-scripts", "--prefix", place,
             f"@portkey-ai/gateway@{PORTKEY}")  # fmt: skip

    place = _installed(f"portkey-{PORTKEY}", may_fetch=may_fetch, fetch=fetch)
    program = place / "node_modules/@portkey-ai/gateway/build/start-server.js"
    return Recipe(
        command=[node, str(program), f"--port={port}", "--headless"],
        environ={"NODE_ENV": "production"},
        target=Target(
            port=port,
            path="/v1/chat/completions",
            models=models,
            headers={
                "authorization": "Bearer sk-none",
                "x-portkey-provider": "openai",
                "x-portkey-custom-host": upstream,
            },
        ),
    )


def nginx(
    folder: Path, *, upstreams: tuple[int, int], ports: tuple[int, int], models: dict[str, str]
) -> Recipe:
    """Return nginx: one worker, `proxy_pass`, connections kept on both sides, no log.

    Each of its two ports leads to one of the upstreams: the one that answers, and the one that
    streams.

    Raises:
        Missing: It is not installed.
    """
    program = shutil.which("nginx") or shutil.which("nginx", path=_NGINX_PLACES)
    if program is None:
        raise Missing("nginx is not installed (it is a system package)")
    config = folder / "nginx.conf"
    servers = "".join(
        _NGINX_SERVER.format(port=port, upstream=upstream, name=f"mock{port}")
        for port, upstream in zip(ports, upstreams, strict=True)
    )
    config.write_text(_NGINX.format(servers=servers), encoding="utf-8")
    return Recipe(
        command=[program, "-p", str(folder), "-e", "stderr", "-c", str(config)],
        target=Target(
            port=ports[0],
            stream_port=ports[1],
            path="/v1/chat/completions",
            models=models,
            headers={},
        ),
    )


_NGINX = """daemon off;
worker_processes 1;
worker_rlimit_nofile 32768;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
{servers}}}
"""

_NGINX_SERVER = """
  upstream {name} {{
    server 127.0.0.1:{upstream}; keepalive 2048; keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://{name};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
"""
