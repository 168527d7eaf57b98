"""The page of the report in a real Chromium, judged by axe; `make test-system` installs both."""

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from glasslipper.cli import run

CALM = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("demo") / "home"
    assert run(["report", "demo", str(folder), "--rows", "60000", "--everything", "--json"]) == 0
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_has_no_serious_complaint_about_the_page(page: str, theme: str, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    assert chromium, "Chromium is missing: `make test-system` installs it."
    axe = Path(os.environ["GLASSLIPPER_AXE"]).read_text(encoding="utf-8")
    if theme == "dark":
        page = page.replace("@media(prefers-color-scheme:dark)", "@media all")
    judge = (
        "axe.run().then(r=>{document.documentElement.setAttribute('data-axe',JSON.stringify("
        "{passes:r.passes.length,violations:r.violations.map(v=>({id:v.id,impact:v.impact,"
        "nodes:v.nodes.slice(0,3).map(n=>n.html)}))}))})"
    )
    judged = page.replace("</body>", f"<script>{axe}</script><script>{judge}</script></body>")
    file = tmp_path / "judged.html"
    file.write_text(judged, encoding="utf-8")
    dom = subprocess.run(
        [chromium, *CALM, f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=60000",
         "--dump-dom", file.as_uri()],
        capture_output=True, encoding="utf-8", timeout=110, check=True,
    ).stdout  # fmt: skip
    told = re.search(r'data-axe="([^"]*)"', dom)
    assert told, "axe did not run to its end"
    result = json.loads(html.unescape(told[1]))
    assert result["passes"] > 10
    serious = [one for one in result["violations"] if one["impact"] in ("serious", "critical")]
    assert serious == []
