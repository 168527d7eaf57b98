"""Behind nginx, as people deploy it; `make test-system` installs nginx."""

import shutil
import socket
import subprocess
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served

CONFIGURATION = """
    daemon off;
    worker_processes 1;
    pid {folder}/nginx.pid;
    error_log {folder}/error.log;
    events {{ worker_connections 256; }}
    http {{
        access_log off;
        client_body_temp_path {folder}/body;
        proxy_temp_path {folder}/proxy;
        fastcgi_temp_path {folder}/fastcgi;
        uwsgi_temp_path {folder}/uwsgi;
        scgi_temp_path {folder}/scgi;
        server {{
            listen 127.0.0.1:{port};
            location / {{ proxy_pass http://{host}; proxy_http_version 1.1; }}
        }}
    }}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture
def gateway(tmp_path: Path, upstream: FakeUpstream) -> Iterator[Served]:
    with Served(tmp_path / "home") as served:
        served.add_model("fake/slow", upstream.url, upstream_model="fake?tokens=20&gap_ms=50")
        yield served


@pytest.fixture
def proxied(tmp_path: Path, gateway: Served) -> Iterator[openai.OpenAI]:
    nginx = shutil.which("nginx")
    assert nginx is not None, "run `make test-system`, which installs nginx"
    port = free_port()
    path = tmp_path / "nginx.conf"
    text = CONFIGURATION.format(folder=tmp_path, port=port, host=gateway.host)
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    with subprocess.Popen([nginx, "-c", str(path), "-e", str(tmp_path / "error.log")]) as process:
        deadline = time.monotonic() + 10
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert time.monotonic() < deadline, "nginx did not start"
        with openai.OpenAI(
            base_url=f"http://127.0.0.1:{port}/api/v1", api_key=gateway.key, max_retries=0
        ) as client:
            yield client
        process.terminate()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_stream_reaches_the_client_word_by_word_through_nginx(
    proxied: openai.OpenAI,
) -> None:
    began = time.monotonic()
    arrivals = [
        time.monotonic() - began
        for chunk in proxied.chat.completions.create(
            model="fake/slow", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        if chunk.choices and chunk.choices[0].delta.content
    ]
    assert len(arrivals) == 20
    assert arrivals[-1] - arrivals[0] > 0.6
    assert arrivals[0] < 0.6


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_client_that_leaves_nginx_is_noticed_behind_it(
    proxied: openai.OpenAI, gateway: Served
) -> None:
    stream = proxied.chat.completions.create(
        model="fake/slow", messages=[{"role": "user", "content": "hi"}], stream=True
    )
    identity = next(iter(stream)).id
    stream.close()
    proxied.close()
    deadline = time.monotonic() + 5
    while True:
        status, answer = gateway.call("GET", f"/v1/generation?id={identity}")
        if status == 200:
            break
        assert time.monotonic() < deadline, "the exchange did not end"
        time.sleep(0.05)
    assert answer["data"]["status"] == "cancelled"
