"""What models are used for, and which models for what. Figures 8 to 11 and 21 to 25."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from glasslipper.report import words
from glasslipper.report.charts import areas, bars, lines, panels
from glasslipper.report.section import Finding, Missing, Part, Result, Section, Table
from glasslipper.report.sections import forms
from glasslipper.report.sections.judged import Judged, Known, Members
from glasslipper.report.sections.sources import ORDER
from glasslipper.report.study import Row, Study

NAMES_PX = 140
"""Room for the names of tags, in all charts of a figure."""


def _corrected(known: Mapping[str, Known]) -> dict[str, Finding]:
    return {
        f"corrected/{name}" if name else "corrected": one.corrected
        for name, one in known.items()
        if one.corrected is not None
    }


def _mix(study: Study, rows: Sequence[Row], whose: str, source: str) -> Result | Missing:
    weeks = forms.by_week(rows, "task", label=words.title)
    if not weeks.weeks:
        return Missing(
            what=f"No classified tokens went to {whose}.",
            how=f"{forms.NO_TASKS.how} Whose weights are open, `--models FILE` can tell.",
        )
    named = [name for name in weeks.names if name != "Other"]
    tasks = {words.title(row["task"]): row["task"] for row in rows}
    judged, whole = Judged(study), Members(source=source)
    known = {
        tasks[name]: judged.share(Members(task=tasks[name], source=source), whole) for name in named
    }
    ranked = sorted(named, key=lambda name: -known[tasks[name]].value)
    second = f", {ranked[1].lower()} {known[tasks[ranked[1]]].text()}" if ranked[1:] else ""
    first = known[tasks[ranked[0]]]
    return Result(
        claim=f"{ranked[0]} makes up {first.text()} of what {whose} are asked{second}",
        chart=areas.shares(weeks.weeks, weeks.names, [weeks.share(n) for n in weeks.names]),
        table=forms.share_table(weeks),
        findings=_corrected(known)
        | {f"share/{name.lower()}": weeks.overall(name) for name in named},
        notes=(first.note(),),
    )


def open_tasks(study: Study) -> Result | Missing:
    """Show what open models are asked."""
    return _mix(study, study.ask("open_tasks"), "open models", "Open")


def china_tasks(study: Study) -> Result | Missing:
    """Show what open models from China are asked."""
    return _mix(study, study.ask("china_tasks"), "open models from China", "Open, China")


def _sources_of(study: Study, task: str) -> Result | Missing:
    rows = [row for row in study.ask("task_sources") if row["task"] == task]
    weeks = forms.by_week(rows, "source", order=ORDER)
    if not weeks.weeks:
        return Missing(what=f"No generation is labelled {task}.", how=forms.NO_TASKS.how)
    judged, whole = Judged(study), Members(task=task)
    known = {one: judged.share(Members(task=task, source=one), whole) for one in weeks.names}
    name = max(weeks.names, key=lambda one: known[one].value)
    before, after = forms.ends(weeks, name)
    part = "most" if known[name].value > 0.5 else "the largest part"
    return Result(
        claim=f"{name} models serve {part} of {task}, {known[name].text()}: their share"
        f" {forms.moved(before, after)}{known[name].of_labels()}",
        chart=areas.shares(
            weeks.weeks,
            weeks.names,
            [weeks.share(n) for n in weeks.names],
            title=f"Share of {task} tokens",
        ),
        table=forms.share_table(weeks),
        findings=_corrected(known) | {f"share/{one}": weeks.overall(one) for one in weeks.names},
        notes=(known[name].note(),),
    )


def programming_sources(study: Study) -> Result | Missing:
    """Show whose models write code."""
    return _sources_of(study, "programming")


def roleplay_sources(study: Study) -> Result | Missing:
    """Show whose models play roles."""
    return _sources_of(study, "roleplay")


def programming_share(study: Study) -> Result | Missing:
    """Show the share of programming among classified tokens."""
    weeks = forms.by_week(study.ask("task_sources"), "task", order=("programming",))
    everything = forms.by_week(study.ask("task_sources"), "task", most=40)
    if not weeks.weeks:
        return Missing(what="No generation is labelled programming.", how=forms.NO_TASKS.how)
    shares = everything.share("programming")
    before, after = forms.ends(everything, "programming")
    known = Judged(study).share(Members(task="programming"), Members())
    return Result(
        claim=f"Programming {forms.moved(before, after)} of all classified tokens"
        f"{known.of_labels()}; over the whole span it is {known.text()}",
        chart=lines.over_weeks(
            everything.weeks,
            {"Programming": shares},
            title="Share of classified tokens",
            form=".0%",
        ),
        table=Table(
            headings=("Week", "Programming%"),
            rows=[[w, round(v, 4)] for w, v in zip(everything.weeks, shares, strict=True)],
        ),
        findings=_corrected({"": known})
        | {
            "share": everything.overall("programming"),
            "first_weeks": before,
            "last_weeks": after,
        },
        notes=(known.note(),),
    )


def programming_authors(study: Study) -> Result | Missing:
    """Show whose models write code, by author."""
    rows = study.ask("programming_authors")
    weeks, everyone = forms.by_week(rows, "author"), forms.by_week(rows, "author", most=400)
    if not weeks.weeks:
        return Missing(what="No generation is labelled programming.", how=forms.NO_TASKS.how)
    judged, whole = Judged(study), Members(task="programming")
    known = {
        one: judged.share(Members(task="programming", author=one), whole) for one in everyone.names
    }
    named = [one for one in weeks.names if one != "Other"]
    name = max(named, key=lambda one: known[one].value)
    before, after = forms.ends(weeks, name)
    return Result(
        claim=f"{words.title(name)} {forms.moved(before, after)} of programming"
        f"{known[name].of_labels()}; over the whole span it is {known[name].text()}",
        chart=areas.shares(
            weeks.weeks,
            weeks.names,
            [weeks.share(n) for n in weeks.names],
            title="Share of programming tokens",
        ),
        table=forms.share_table(weeks),
        findings=_corrected(known)
        | {f"share/{one}": everyone.overall(one) for one in everyone.names},
        notes=(known[name].note(),),
    )


def _tag(tag: str | None) -> str:
    """Return a tag without its group, as people read it within a sentence."""
    return words.spaced((tag or "untagged").rpartition(".")[2])


def _subtags(study: Study, first: int, last: int) -> Result | Missing:
    rows = study.ask("subtags")
    sums: dict[str, float] = {}
    for row in rows:
        sums[row["task"]] = sums.get(row["task"], 0.0) + float(row["t"])
    chosen = [task for task, value in forms.largest(sums) if value][first:last]
    if not chosen or not any(row["tag"] for row in rows):
        return Missing(
            what="There are no finer tags for " + ("these tasks." if chosen else "more tasks."),
            how="Classifiers give a `tag` beside the `task`; see `glasslipper ledger import`.",
        )
    charts: list[tuple[str, dict[str, object]]] = []
    table: list[list[str | float | int | None]] = []
    findings: dict[str, Finding] = {}
    largest: tuple[float, str, str] = (0.0, "", "")
    tags = Counter(row["task"] for row in rows)
    leading = next((task for task in chosen if tags[task] > 1), chosen[0])
    for task in chosen:
        inside = [row for row in rows if row["task"] == task]
        shares = [float(row["t"]) / sums[task] for row in inside]
        names = [words.title(_tag(row["tag"])) for row in inside]
        charts.append(
            (
                words.title(task),
                bars.ranked(
                    names[:5],
                    shares[:5],
                    [words.percent(v) for v in shares[:5]],
                    width=150,
                    names_px=NAMES_PX,
                ),
            )
        )
        for row, share in zip(inside, shares, strict=True):
            table.append([task, row["tag"] or "untagged", int(row["t"]), round(share, 4)])
            findings[f"share/{task}/{row['tag']}"] = share
            if task == leading:
                largest = max(largest, (share, task, row["tag"]))
    _, task, tag = largest
    known = Judged(study).share(Members(task=task, tag=tag), Members(task=task))
    return Result(
        claim=f"Inside {task}, {_tag(tag)} leads with {known.text()}",
        chart=panels.grid(charts, columns=2),
        table=Table(headings=("Task", "Tag", "Tokens#", "Share%"), rows=table),
        findings=findings | _corrected({f"{task}/{tag}": known}),
        notes=(known.note(),),
    )


def subtags_large(study: Study) -> Result | Missing:
    """Look inside the six largest tasks."""
    return _subtags(study, 0, 6)


def subtags_small(study: Study) -> Result | Missing:
    """Look inside the next six."""
    return _subtags(study, 6, 12)


def author_tasks(study: Study) -> Result | Missing:
    """Show what the models of six authors are asked."""
    rows = study.ask("author_tasks")
    sums: dict[str, float] = {}
    for row in rows:
        sums[row["author"]] = sums.get(row["author"], 0.0) + float(row["t"])
    authors = [name for name, value in forms.largest(sums) if value][:6]
    if not authors:
        return forms.NO_TASKS
    charts: list[tuple[str, dict[str, object]]] = []
    table: list[list[str | float | int | None]] = []
    findings: dict[str, Finding] = {}
    best: list[tuple[float, str, str]] = []
    judged = Judged(study)
    known: dict[str, Known] = {}
    of = {author: [row for row in rows if row["author"] == author] for author in authors}
    shown = {
        author: forms.by_week(mine, "task", most=4, label=words.title)
        for author, mine in of.items()
    }
    everywhere = list(dict.fromkeys(name for weeks in shown.values() for name in weeks.names))
    for author, mine in of.items():
        weeks = shown[author]
        shares = [weeks.share(name) for name in weeks.names]
        charts.append(
            (
                words.title(author or "unknown"),
                areas.shares(
                    weeks.weeks,
                    weeks.names,
                    shares,
                    width=205,
                    height=130,
                    title="",
                    among=everywhere,
                ),
            )
        )
        tasks: dict[str, float] = {}
        for row in mine:
            tasks[row["task"]] = tasks.get(row["task"], 0.0) + float(row["t"])
        for task, value in forms.largest(tasks):
            findings[f"share/{author}/{task}"] = value / (sums[author] or 1.0)
            table.append([author, task, round(value), round(value / (sums[author] or 1.0), 4)])
        task, value = forms.largest(tasks)[0]
        best.append((value / (sums[author] or 1.0), author, task))
        part = Members(task=task, author=author)
        known[f"{author}/{task}"] = judged.share(part, Members(author=author))
    _, author, task = max(best)
    top = known[f"{author}/{task}"]
    return Result(
        claim=f"{words.title(author or 'unknown')} is the most specialised:"
        f" {top.text()} of its tokens are {task}",
        chart=panels.grid(charts, columns=2),
        table=Table(headings=("Author", "Task", "Tokens#", "Share%"), rows=table),
        findings=findings | _corrected(known),
        notes=(top.note(),),
    )


_CLASSIFIED = (
    "Drawn: tokens whose prompts have a topic label, as the classifier gave it. Claimed: corrected"
    " by a judge's sample where there is one."
)

PART = Part(
    name="What for",
    about="Topics of prompts, and whose models are asked about what.",
    sections=(
        Section(
            number=8,
            id="open-tasks",
            name="Tasks of open models",
            sql="open_tasks",
            method=f"Weekly shares. {_CLASSIFIED}",
            study=open_tasks,
        ),
        Section(
            number=9,
            id="china-tasks",
            name="Tasks of open models from China",
            sql="china_tasks",
            method=f"Weekly shares. {_CLASSIFIED}",
            study=china_tasks,
        ),
        Section(
            number=10,
            id="programming-sources",
            name="Programming by source",
            sql="task_sources",
            method=f"Weekly shares within programming. {_CLASSIFIED}",
            study=programming_sources,
        ),
        Section(
            number=11,
            id="roleplay-sources",
            name="Role-play by source",
            sql="task_sources",
            method=f"Weekly shares within role-play. {_CLASSIFIED}",
            study=roleplay_sources,
        ),
        Section(
            number=21,
            id="programming-share",
            name="Programming",
            sql="task_sources",
            method=f"Weekly share. {_CLASSIFIED}",
            study=programming_share,
        ),
        Section(
            number=22,
            id="programming-authors",
            name="Programming by author",
            sql="programming_authors",
            method=f"Weekly shares within programming. {_CLASSIFIED}",
            study=programming_authors,
        ),
        Section(
            number=23,
            id="subtags-large",
            name="Inside the six largest tasks",
            sql="subtags",
            method=(
                "Finer tags as shares of their task's tokens, the whole span, as the classifier "
                "gave them; five by name. Claimed: corrected where a judge gave tags."
            ),
            study=subtags_large,
        ),
        Section(
            number=24,
            id="subtags-small",
            name="Inside the next six tasks",
            sql="subtags",
            method=(
                "Finer tags as shares of their task's tokens, the whole span, as the classifier "
                "gave them; five by name. Claimed: corrected where a judge gave tags."
            ),
            study=subtags_small,
        ),
        Section(
            number=25,
            id="author-tasks",
            name="Fingerprints of authors",
            sql="author_tasks",
            method=f"Weekly shares of tasks within the six largest authors. {_CLASSIFIED}",
            study=author_tasks,
        ),
    ),
)
