"""The report as one page that needs no network and no scripts.

The same report gives the same bytes: nothing of the moment of writing is in it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from importlib import resources

from glasslipper.report import words
from glasslipper.report.build import Answered, Report
from glasslipper.report.charts.studio import Order, Studio
from glasslipper.report.page import cells, live
from glasslipper.report.section import Missing, Part, Result

MOST_LETTERS = 100
"""Of a command on one line."""

_TYPED = re.compile(r"`([^`]+)`")

STYLE = resources.files("glasslipper.report") / "page" / "page.css"


def page(
    report: Report,
    *,
    tick: Callable[[Answered], None] | None = None,
    studio: Studio | None = None,
    interactive: bool = False,
) -> str:
    """Return the page; `tick` is called after each section, `studio` has begun its charts.

    An interactive page carries a script with which its charts answer the pointer.
    """
    drawing = studio or Studio()
    script = live.script() if interactive else ""
    style = STYLE.read_text(encoding="utf-8")
    body: list[str] = []
    for part, answered in report.parts:
        body.append(_part(part))
        for one in answered:
            body.append(_section(one, drawing, interactive=interactive))
            if tick is not None:
                tick(one)
        body.append("</section>")
    title = f"State of AI, {report.first} to {report.last}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"{live.policy(script)}"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{title}</title><style>{style}</style></head><body>"
        f'<a class="skip" href="#content">Skip to the figures</a>{_head(report)}'
        f'<div class="frame">{_contents(report)}<main id="content">{"".join(body)}</main></div>'
        f"{_foot(report)}{_run(script)}</body></html>\n"
    )


def _run(script: str) -> str:
    return f'<script type="module">{script}</script>' if script else ""


def _head(report: Report) -> str:
    sums = (
        ("Generations", words.count(report.requests)),
        ("Tokens", words.count(report.tokens)),
        ("Spent", words.usd(report.cost_nanousd)),
        ("Models", f"{report.models:,}"),
    )
    numbers = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in sums)
    generated = (
        (
            '<p class="banner">This ledger was generated. Its models, users and effects are '
            "invented.</p>"
        )
        if report.generated
        else ""
    )
    return (
        '<header><p class="kicker">Glasslipper report</p><h1>The state of AI of your own '
        "traffic</h1>"
        f"<p>{report.first} to {report.last}, UTC</p>{generated}<dl>{numbers}</dl></header>"
    )


def _contents(report: Report) -> str:
    parts = "".join(
        f'<li><a href="#{_anchor(part)}">{html.escape(part.name)}</a><ol>'
        + "".join(
            f'<li{_quiet(one)}><a href="#{one.section.id}">{one.section.number}. '
            f"{html.escape(one.section.name)}</a></li>"
            for one in answered
        )
        + "</ol></li>"
        for part, answered in report.parts
    )
    return f'<nav aria-label="Contents"><ol>{parts}</ol></nav>'


def _quiet(one: Answered) -> str:
    return ' class="empty"' if isinstance(one.result, Missing) else ""


def _anchor(part: Part) -> str:
    return "part-" + part.name.lower().replace(" ", "-")


def _part(part: Part) -> str:
    return (
        f'<section aria-labelledby="{_anchor(part)}"><h2 id="{_anchor(part)}">'
        f'{html.escape(part.name)}</h2><p class="about">{html.escape(part.about)}</p>'
    )


def _section(one: Answered, studio: Studio, *, interactive: bool) -> str:
    section, result = one.section, one.result
    kicker = f'<p class="kicker">Figure {section.number} · {html.escape(section.name)}</p>'
    if isinstance(result, Missing):
        return (
            f'<article id="{section.id}" class="missing">{kicker}'
            f"<h3>{_prose(result.what)}</h3><p>{_prose(result.how)}</p></article>"
        )
    notes = "".join(f'<p class="note">{_prose(note)}</p>' for note in result.notes)
    command = (
        f'<p class="do">To do so:</p><pre class="do" tabindex="0"><code>{_broken(result.command)}'
        "</code></pre>"
        if result.command
        else ""
    )
    return (
        f'<article id="{section.id}">{kicker}<h3>{html.escape(result.claim)}</h3>'
        f"{_figure(one, result, studio, interactive=interactive)}{command}{notes}"
        f'<p class="method">{_prose(section.method)}</p></article>'
    )


def _broken(command: str) -> str:
    """Return a command, a long one with every option that it repeats on a line of its own."""
    text = html.escape(command)
    return text.replace(" --workload ", " \\\n  --workload ") if len(text) > MOST_LETTERS else text


def _prose(text: str) -> str:
    """Return text in which `what is typed` looks so."""
    return _TYPED.sub(r"<code>\1</code>", html.escape(text))


def order_of(one: Answered) -> Order | None:
    """Return the chart of a section, to be drawn; `None` where it has none."""
    section, result = one.section, one.result
    if isinstance(result, Missing) or result.chart is None:
        return None
    return Order(
        spec=result.chart,
        title=f"Figure {section.number}: {section.name}",
        description=f"{result.claim}. The data are in the table below.",
        identity=section.id,
    )


def _figure(one: Answered, result: Result, studio: Studio, *, interactive: bool) -> str:
    section = one.section
    table = cells.as_html(result.table, f"Data of figure {section.number}")
    order = order_of(one)
    if order is None:
        return table
    drawn = studio.take(order)
    return (
        '<figure><div class="chart" tabindex="0" role="group"'
        f' aria-label="Chart of figure {section.number}">{drawn}</div>'
        f"{live.data(order) if interactive else ''}</figure>"
        f"<details><summary>Data of figure {section.number}</summary>{table}</details>"
    )


def _foot(report: Report) -> str:
    cited = f"<p>Market: {html.escape(report.cited)}.</p>" if report.cited else ""
    unit = html.escape(report.options.unit)
    return (
        "<footer><p>Made from the ledger's rows by <code>glasslipper report</code>. Units "
        "of cohorts:"
        f" {unit}s; cells of fewer than {report.options.least} are hidden; intervals are 95 %."
        " Figures 1 to 36 follow “State of AI: An Empirical 100 Trillion Token Study”"
        f" (Aubakirova et al., 2025, arXiv 2601.10088).</p>{cited}</footer>"
    )
