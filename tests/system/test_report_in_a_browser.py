"""The pages of the report in a real Chromium, judged by axe; `make test-system` installs both."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Tab, browser

from glasslipper.cli import run

pytestmark = pytest.mark.timeout(400)
"""A page is made, drawn and judged in each: more than the usual time on a busy machine."""

JUDGE = (
    "axe.run().then(r => ({passes: r.passes.length, violations: r.violations.map(v => ({id: v.id,"
    " impact: v.impact, nodes: v.nodes.slice(0, 3).map(n => n.html.slice(0, 300))}))}))"
)
NOW = "{behavior: 'instant'}"
LIVE = "document.querySelectorAll('.chart[data-live]').length"
CHARTS = "document.querySelectorAll('.chart').length"
TRACES = Path(os.environ.get("GLASSLIPPER_DATA", "../shared/data")) / "traffic"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "home"
    wish = ["--rows", "60000", "--everything", "--json"]
    assert run(["report", "demo", str(folder), *wish]) == 0
    return folder


@pytest.fixture(scope="module")
def plain(demo: Path) -> Path:
    return demo / "report.html"


@pytest.fixture(scope="module")
def live(demo: Path) -> Path:
    page = demo / "live.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLASSLIPPER_HOME", str(demo))
        same = ["--invoice", str(demo / "invoice.csv")]
        assert run(["report", "--interactive", "--json", "--out", str(page), *same]) == 0
    return page


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


def bring_to_life(tab: Tab) -> None:
    """Go down the page as a reader does, until each chart has come into view."""
    for number in range(tab.run(CHARTS)):
        tab.run(f"document.querySelectorAll('.chart')[{number}].scrollIntoView({NOW})")
        tab.until(f"document.querySelectorAll('.chart')[{number}].dataset.live === 'yes'")


def complaints_of_axe(tab: Tab) -> list[object]:
    tab.run(Path(os.environ["GLASSLIPPER_AXE"]).read_text(encoding="utf-8") + ";0")
    result = tab.run(JUDGE)
    assert result["passes"] > 10
    return [one for one in result["violations"] if one["impact"] in ("serious", "critical")]


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_axe_has_no_serious_complaint_about_the_page(
    tab: Tab, plain: Path, width: int, dark: bool
) -> None:
    tab.open(plain, width=width, dark=dark)
    assert complaints_of_axe(tab) == []
    assert (tab.complaints(), tab.addresses()) == ([], [])


@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_is_wider_than_its_window(tab: Tab, plain: Path, width: int) -> None:
    tab.open(plain, width=width)
    assert tab.run("document.documentElement.scrollWidth") <= width


def test_on_a_phone_the_words_of_a_chart_can_be_read(tab: Tab, plain: Path) -> None:
    tab.open(plain, width=390)
    sizes = tab.run(
        "[...document.querySelectorAll('.chart svg')].map(s => 12 *"
        " s.getBoundingClientRect().width / s.viewBox.baseVal.width)"
    )
    assert min(sizes) > 8


def test_every_chart_of_an_interactive_page_comes_to_life_and_nothing_is_loaded(
    tab: Tab, live: Path
) -> None:
    tab.open(live)
    assert tab.run(LIVE) < tab.run(CHARTS), "charts far away wait until they are wanted"
    bring_to_life(tab)
    assert tab.run(CHARTS) > 40
    empty = tab.run(
        "[...document.querySelectorAll('.chart')].filter(c => c.querySelectorAll("
        "'svg .mark-rect path, svg .mark-area path, svg .mark-line path, svg .mark-symbol path,"
        " svg .mark-rule line').length === 0).map(c => c.closest('article').id)"
    )
    assert empty == []
    assert (tab.complaints(), tab.addresses()) == ([], [])
    assert complaints_of_axe(tab) == []


def drawn_as(tab: Tab, figure: str) -> dict[str, float]:
    return tab.run(
        "(() => { const r = document.querySelector('#" + figure + " .chart svg')"
        ".getBoundingClientRect(); return {x: r.x, y: r.y, w: r.width, h: r.height} })()"
    )


@pytest.mark.parametrize(
    ("figure", "height", "told"),
    [
        ("open-share", 0.3, ("Week of", "Closed", "Open, China", "%")),
        ("weekly-tokens", 0.3, ("Week of", "Closed", "M")),
        ("retention", 0.12, ("Months", "2026-")),
        ("rhythm", 0.5, ("Day", "hour, UTC", "Is")),
    ],
)
def test_the_pointer_is_told_what_a_place_of_a_chart_holds(
    tab: Tab, live: Path, figure: str, height: float, told: tuple[str, ...]
) -> None:
    tab.open(live)
    tab.run(f"document.getElementById('{figure}').scrollIntoView({NOW})")
    tab.until(f"document.querySelector('#{figure} .chart').dataset.live === 'yes'")
    at = drawn_as(tab, figure)
    for along in (0.33, 0.34):
        tab.point_at(at["x"] + at["w"] * along, at["y"] + at["h"] * height)
    shown = "document.querySelector('#vg-tooltip-element.visible')?.innerText"
    tab.until(f"!!{shown}", 20)
    text = tab.run(shown)
    assert all(word in text for word in told), text


def test_the_days_of_an_interactive_chart_are_those_of_utc_wherever_it_is_looked_at(
    tab: Tab, live: Path
) -> None:
    figure = "document.querySelector('#open-share .chart')"
    words = (
        f"[...{figure}.querySelectorAll('.role-axis-label text')]"
        ".map(t => [t.textContent, t.getAttribute('transform')].join(' '))"
    )
    shown = []
    try:
        for zone in ("UTC", "America/Los_Angeles", "Pacific/Kiritimati"):
            tab.call("Emulation.setTimezoneOverride", timezoneId=zone)
            tab.open(live)
            tab.run(f"document.getElementById('open-share').scrollIntoView({NOW})")
            tab.until(f"{figure}.dataset.live === 'yes'")
            shown.append(tab.run(words))
    finally:
        tab.call("Emulation.setTimezoneOverride", timezoneId="")
    assert any(label.startswith("Oct 2026") for label in shown[0])
    assert shown[1] == shown[0]
    assert shown[2] == shown[0]


def test_an_interactive_page_looks_like_the_plain_one_where_scripts_are_off(
    tab: Tab, plain: Path, live: Path
) -> None:
    looks = []
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        for page in (plain, live):
            tab.open(page)
            looks.append(
                tab.run("[...document.querySelectorAll('.chart')].map(c => c.innerHTML.length)")
            )
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)
    assert len(looks[0]) > 40
    assert looks[0] == looks[1]


def test_pages_of_real_traces_stand_up_to_axe(tab: Tab, tmp_path: Path) -> None:
    if not TRACES.exists():
        pytest.skip(f"{TRACES} is not here.")
    maker = [sys.executable, "benchmarks/report_traces.py", str(tmp_path)]
    told = subprocess.run(maker, capture_output=True, encoding="utf-8", timeout=110, check=True)
    for line in told.stdout.splitlines():
        made = json.loads(line)
        assert made["html_bytes"] < 3_000_000
        assert made["with_data"] >= 5
        tab.open(Path(made["page"]))
        assert complaints_of_axe(tab) == []
        assert (tab.complaints(), tab.addresses()) == ([], [])
