"""Drawings are kept in files, and the page is the same whatever becomes of those."""

import os
import subprocess
import sys
from pathlib import Path

from studies import Studied, nobody_watches, study

from glasslipper.cli import studying
from glasslipper.cli.drawing import CHARTS
from glasslipper.cli.generating import generate
from glasslipper.report.charts import bars
from glasslipper.report.charts.kept import Kept
from glasslipper.report.charts.order import Order
from glasslipper.report.charts.studio import Studio
from glasslipper.report.page.html import order_of, page
from glasslipper.testing.year import Wish


def order(name: str = "a", identity: str = "one") -> Order:
    spec = bars.ranked([name], [1.0], ["1"])
    return Order(spec=spec, title="A chart", description="What it shows", identity=identity)


def page_of(year: Studied, folder: Path) -> str:
    given = studying.Given(home=year.home, invoice=year.home / "invoice.csv")
    with Studio(Kept(folder)) as studio:
        report = studying.study(given, nobody_watches, studio)
        return page(report, studio=studio)


def test_what_was_kept_is_taken_as_it_was(tmp_path: Path) -> None:
    Kept(tmp_path / "charts").keep(order(), "<svg>drawn before</svg>")
    with Studio(Kept(tmp_path / "charts")) as studio:
        studio.begin(order())
        assert studio.take(order()) == "<svg>drawn before</svg>"
        assert studio.take(order("b", "two")).startswith("<svg xmlns")


def test_a_page_of_kept_drawings_is_the_same_bytes_also_where_every_file_is_damaged(
    year: Studied, tmp_path: Path
) -> None:
    folder = tmp_path / "charts"
    assert page_of(year, folder) == year.html
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len(whole) > 40
    assert page_of(year, folder) == year.html
    for number, path in enumerate(sorted(folder.iterdir())):
        data = path.read_bytes()
        damaged = data[:-9], data.replace(b"<path", b"<PATH", 1), b"", b"\xff" * 99, data[70:]
        path.write_bytes(damaged[number % len(damaged)])
    assert page_of(year, folder) == year.html
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole


def test_another_order_is_another_drawing(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.keep(order(), "this one")
    assert kept.find(order()) == "this one"
    assert kept.find(order("b")) == ""
    assert kept.find(order(identity="other")) == ""


def test_two_reports_at_once_keep_whole_drawings_and_give_the_same_page(tmp_path: Path) -> None:
    home = tmp_path / "home"
    generate(home, Wish(rows=3_000, seed=1))
    pages = [tmp_path / "one.html", tmp_path / "two.html"]
    command = [sys.executable, "-m", "glasslipper", "report", "--json"]
    command += ["--invoice", str(home / "invoice.csv"), "--out"]
    env = os.environ | {"GLASSLIPPER_HOME": str(home)}
    both = [
        subprocess.Popen([*command, str(out)], env=env, stdout=subprocess.DEVNULL) for out in pages
    ]
    assert [one.wait() for one in both] == [0, 0]
    expected = page(study(home))
    assert [out.read_text(encoding="utf-8") for out in pages] == [expected, expected]
    kept = Kept(home / CHARTS)
    orders = [one for answered in study(home).sections if (one := order_of(answered))]
    assert all(kept.find(one) for one in orders)
    assert len(orders) == len(list((home / CHARTS).iterdir())) > 20


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    kept = Kept(tmp_path, most_bytes=2_500)
    names = ["a", "b", "c"]
    for number, name in enumerate(names):
        before = set(tmp_path.iterdir())
        kept.keep(order(name), name * 1_000)
        (made,) = set(tmp_path.iterdir()) - before
        os.utime(made, (number, number))
    assert kept.find(order("a"))
    kept.tidy()
    assert [name for name in names if kept.find(order(name))] == ["a", "c"]


def test_where_nothing_can_be_kept_charts_are_drawn_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    with Studio(Kept(tmp_path / "file" / "charts")) as studio:
        studio.begin(order())
        assert studio.take(order()).startswith("<svg xmlns")
