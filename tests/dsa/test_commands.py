"""The commands, as a user types them, on a tiny model: fit, serve, ask, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from glasslipper.dsa import adapter as adapters
from glasslipper.dsa import warmup
from glasslipper.dsa.adapter import LayerPlan

pytestmark = pytest.mark.timeout(600)

GLASSLIPPER = Path(sys.executable).with_name("glasslipper")
LICENCE = Path(__file__).parents[2] / "LICENSE"


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory, models_folder: Path) -> dict[str, str]:
    home = tmp_path_factory.mktemp("home")
    kept = {name: text for name, text in os.environ.items() if "KEY" not in name}
    kept |= {"GLASSLIPPER_HOME": str(home), "GLASSLIPPER_MODELS": str(models_folder)}
    return kept | {"OMP_NUM_THREADS": "1", "GLASSLIPPER_DISCOVER": "false"}


def run(environ: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [GLASSLIPPER, *words], env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture(scope="module")
def fitted(environ: dict[str, str], tiny_folder: Path) -> Path:
    words = ["--text", str(LICENCE), "--length", "128", "--effort", "quick", "--threads", "1"]
    words += ["--budget", "64", "--no-report", "--dtype", "float32", "--json"]
    done = run(environ, "dsa", "fit", "--model", str(tiny_folder), *words)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert Path(told["adapter"]) == tiny_folder / "dsa" / "adapter.safetensors"
    assert "indexers: 4 of 4" in done.stderr
    _let_all_layers_select(tiny_folder)
    return tiny_folder


def _let_all_layers_select(folder: Path) -> None:
    """Undo that layers stay dense: with random weights few indexers learn enough in a moment."""
    known = adapters.load(folder / "dsa")
    plan = tuple(LayerPlan("full", 64, n) for n in range(4))
    indexers = {n: warmup.new_indexer(known.model, known.index) for n in range(4)}
    indexers.update(known.indexers)
    adapters.save(dataclasses.replace(known, plan=plan, indexers=indexers), folder / "dsa")


@contextmanager
def served(
    fitted: Path, environ: dict[str, str], *words: str
) -> Generator[tuple[OpenAI, Callable[[], dict[str, float]]]]:
    command = [GLASSLIPPER, "dsa", "serve", "--model", str(fitted), "--port", "0", "--json"]
    command += ["--as", "local/tiny", *words]
    with tempfile.TemporaryDirectory() as home:  # a server tells its key only where it makes one
        env = environ | {"GLASSLIPPER_HOME": home}
        yield from _served(command, env)


def _served(
    command: list[Any], env: dict[str, str]
) -> Generator[tuple[OpenAI, Callable[[], dict[str, float]]]]:
    server = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        ready = json.loads(server.stdout.readline())
        assert "local/tiny" in ready["models"]
        with OpenAI(base_url=ready["url"], api_key=ready["key"], max_retries=0) as client:
            yield client, lambda: metrics(ready, env)
    finally:
        server.terminate()
        server.communicate(timeout=60)


def metrics(ready: dict[str, Any], environ: dict[str, str]) -> dict[str, float]:
    """What `/metrics` says of the details, by name."""
    key = (Path(environ["GLASSLIPPER_HOME"]) / "admin.key").read_text(encoding="utf-8").strip()
    url = ready["url"].removesuffix("/v1").removesuffix("/api") + "/metrics"
    asked = urllib.request.Request(url, headers={"authorization": f"Bearer {key}"})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    found = [line.partition("glasslipper_upstream_details_sum")[2] for line in lines]
    return {
        line.partition('detail="')[2].partition('"')[0]: float(line.rpartition(" ")[2])
        for line in found
        if line
    }


def test_a_fitted_model_answers_through_the_gateway(fitted: Path, environ: dict[str, str]) -> None:
    with served(fitted, environ) as (client, measured):
        stream = client.chat.completions.create(
            model="local/tiny",
            messages=[{"role": "user", "content": "word " * 150}],
            max_tokens=9,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
        usage = chunks[-1].usage
        assert usage is not None
        assert usage.completion_tokens == 9
        assert usage.prompt_tokens > 150
        assert sum(bool(chunk.choices and chunk.choices[0].delta.content) for chunk in chunks) > 1
        with pytest.raises(Exception, match="context"):
            client.chat.completions.create(
                model="local/tiny", messages=[{"role": "user", "content": "word " * 900}]
            )
        with pytest.raises(Exception, match="does not offer"):
            client.chat.completions.create(
                model="local/tiny",
                messages=[{"role": "user", "content": "word"}],
                frequency_penalty=1,
            )
        details = usage.model_extra["upstream_details"]
        assert 0 <= details["attention_missed"] <= details["attention_missed_at_most"] <= 1
        assert details["attention_looks"] > 0
        assert measured()["attention_missed"] == details["attention_missed"]


def test_an_answer_that_misses_too_much_goes_on_densely_and_says_so(
    fitted: Path, environ: dict[str, str]
) -> None:
    ask = {"model": "local/tiny", "max_tokens": 5, "temperature": 0}
    ask["messages"] = [{"role": "user", "content": "word " * 150}]

    def asked(*words: str) -> tuple[str, dict[str, float], dict[str, float]]:
        with served(fitted, environ, *words) as (client, measured):
            answer = client.chat.completions.create(**ask)
            details = answer.usage.model_extra["upstream_details"]
            return answer.choices[0].message.content, details, measured()

    _, patient, counted = asked("--budget", "4", "--threshold", "1")
    assert patient["dense_fallbacks"] == counted["dense_fallbacks"] == 0
    assert patient["attention_missed"] > 0.01
    _, strict, counted = asked("--budget", "4", "--threshold", "0.001")
    assert strict["dense_fallbacks"] == counted["dense_fallbacks"] == 1
    assert strict["attention_looks"] < patient["attention_looks"]


def test_an_eval_that_was_stopped_goes_on_where_it_was(
    fitted: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Some words to read, and some more. " * 80, encoding="utf-8")
    words = ["dsa", "eval", "--model", str(fitted), "--test", str(text), "--length", "400"]
    words += ["--budget", "64", "--threads", "1", "--dtype", "float32"]
    begun = subprocess.Popen(
        [GLASSLIPPER, *words], env=environ, stderr=subprocess.PIPE, encoding="utf-8"
    )
    assert begun.stderr is not None
    for line in begun.stderr:
        if "perplexity" in line:
            begun.send_signal(signal.SIGINT)
            break
    said = begun.communicate(timeout=60)[1]
    assert "Traceback" not in said
    assert "goes on where it was" in said
    (unfinished,) = (fitted / "dsa").glob("judging-*")
    known = {path.name: path.stat().st_mtime_ns for path in unfinished.glob("likelihood*")}
    assert known
    again = subprocess.Popen([GLASSLIPPER, *words, "--json"], env=environ, stdout=subprocess.PIPE)
    while len(list(unfinished.glob("likelihood*"))) == len(known):
        assert again.poll() is None
        time.sleep(0.02)
    for name, written_ns in known.items():
        assert (unfinished / name).stat().st_mtime_ns == written_ns, "measured twice"
    told = json.loads(again.communicate(timeout=300)[0])
    assert told["perplexity"]["text.txt"]["later_half"]["dense"] == 1
    assert Path(told["page"]).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert not unfinished.exists()


def test_a_long_text_is_answered_both_ways_and_the_work_is_drawn(
    fitted: Path, environ: dict[str, str]
) -> None:
    text = Path(environ["GLASSLIPPER_HOME"]) / "text.txt"
    text.write_text("Some words to read. " * 60, encoding="utf-8")
    words = ["ask", "--file", str(text), "--model", str(fitted), "--max-tokens", "3"]
    done = run(environ, *words, "--sparse", "--dense", "What?")
    assert done.returncode == 0, done.stderr
    assert "Work of each token" in done.stdout
    assert "█" in done.stdout
    told = json.loads(run(environ, *words, "--sparse", "--dense", "--json", "What?").stdout)
    dense, sparse = (told[way]["work"][0][1] for way in ("dense", "sparse"))
    assert 0 < sparse < dense


def test_a_bench_times_a_fitted_model_and_one_that_is_not(
    fitted: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    words = ["dsa", "bench", "--model", str(fitted), "--threads", "1", "--length", "200"]
    words += ["--length", "400", "--tokens", "3"]
    told = json.loads(run(environ, *words, "--json").stdout)
    assert told["fitted"]
    assert told["layer"]["k"] == 64
    for length in ("200", "400"):
        for way in ("dense", "sparse"):
            found = told["model"][length][way]
            assert abs(found["prompt_tokens"] - int(length)) <= 2
            assert found["said_per_s"] > 0
            assert found["read_per_s"] > 0
    shown = run(environ, *words, "--adapter", str(tmp_path))
    assert "glasslipper dsa fit" in shown.stderr
    bare = tmp_path / "bare"
    shutil.copytree(fitted, bare, ignore=shutil.ignore_patterns("dsa"))
    words[3] = str(bare)
    shown = run(environ, *words, "--budget", "100")
    assert shown.returncode == 0, shown.stderr
    assert "Timed as if it were fitted" in shown.stderr
    assert "100 tokens kept" in shown.stderr
    assert "32,768" in shown.stdout
    far = run(environ, *words, "--length", "512")
    assert "trained for 512 tokens, not for 515" in far.stderr


def test_bad_input_is_an_error_that_says_what_to_do(
    fitted: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    model = ("--model", str(fitted))
    missing = run(environ, "dsa", "serve", *model, "--adapter", str(tmp_path))
    assert missing.returncode == 1
    assert "glasslipper dsa fit" in missing.stderr
    nowhere = run(environ, "dsa", "serve", "--model", str(tmp_path / "none"))
    assert "There is no model at" in nowhere.stderr
    far = run(environ, "dsa", "serve", *model, "--context", "99999")
    assert "trained for 512 tokens" in far.stderr
    short = tmp_path / "short.txt"
    short.write_text("few words", encoding="utf-8")
    small = ("--length", "128", "--budget", "64", "--out", str(tmp_path))
    few = run(environ, "dsa", "fit", *model, "--text", str(short), *small)
    assert "at least" in few.stderr
    fit = ("dsa", "fit", *model, "--text", str(LICENCE), *small)
    for words, wrong in (
        (("--test", str(short)), "fewer than 128 tokens"),
        (("--test", str(tmp_path / "typo.txt")), "There is no"),
        (("--budget", "256"), "Give --length 512 or more"),
    ):
        refused = run(environ, *fit, *words)
        assert refused.returncode == 1
        assert wrong in " ".join(refused.stderr.split())
        assert "dense model" not in refused.stderr, "work was done before the mistake was told"
