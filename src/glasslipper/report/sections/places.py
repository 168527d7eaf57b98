"""Where requests come from and in which language. Figures 26 to 29."""

from __future__ import annotations

from collections.abc import Mapping

from glasslipper.report import words
from glasslipper.report.charts import areas, bars
from glasslipper.report.section import Missing, Part, Result, Section, Table
from glasslipper.report.sections import forms
from glasslipper.report.study import Study

NO_PLACES = Missing(
    what="No key says in which country it is used.",
    how=(
        "Give keys the label `country` (two letters), such as `country=DE`. Nothing is looked up "
        "by address."
    ),
)


def spend_regions(study: Study) -> Result | Missing:
    """Split spending by continent."""
    rows = [row for row in study.ask("regions") if row["country"]]
    if not rows:
        return NO_PLACES
    for row in rows:
        row["continent"] = study.continent(row["country"])
    weeks = forms.by_week(rows, "continent", "c")
    name = max(weeks.names, key=weeks.overall)
    before, after = forms.ends(weeks, name)
    return Result(
        claim=f"{name} {forms.moved(before, after)} of spending",
        chart=areas.shares(
            weeks.weeks,
            weeks.names,
            [weeks.share(n) for n in weeks.names],
            title="Share of spending",
        ),
        table=forms.share_table(weeks, "Nano-USD"),
        findings={f"share/{one}": weeks.overall(one) for one in weeks.names},
    )


def _tokens(study: Study, *, by_continent: bool) -> dict[str, float]:
    sums: dict[str, float] = {}
    for row in study.ask("regions"):
        if row["country"]:
            name = study.continent(row["country"]) if by_continent else row["country"]
            sums[name] = sums.get(name, 0.0) + float(row["t"])
    return sums


LANGUAGES = {
    "ar": "Arabic", "cs": "Czech", "de": "German", "en": "English", "es": "Spanish",
    "fr": "French", "hi": "Hindi", "id": "Indonesian", "it": "Italian", "ja": "Japanese",
    "ko": "Korean", "nl": "Dutch", "pl": "Polish", "pt": "Portuguese", "ru": "Russian",
    "sv": "Swedish", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese",
    "zh": "Chinese",
}  # fmt: skip
"""Names of languages by their codes (ISO 639-1); others are shown by the code."""


def _ranking(
    sums: dict[str, float], what: str, called: Mapping[str, str] | None = None
) -> Result | Missing:
    if not sums:
        return NO_PLACES
    total = sum(sums.values()) or 1.0
    ranked = [(name, value / total) for name, value in forms.largest(sums)]
    names = [(called or {}).get(name, name) for name, _ in ranked]
    shares = [share for _, share in ranked]
    return Result(
        claim=f"{names[0]} leads with {words.percent(shares[0])} of tokens, among"
        f" {words.plural(len(names), what, what[:-1] + 'ies' if what.endswith('y') else '')}",
        chart=bars.ranked(names[:10], shares[:10], [words.percent(v) for v in shares[:10]]),
        table=Table(
            headings=(words.title(what), "Tokens#", "Share%"),
            rows=[[name, round(sums[name]), round(share, 4)] for name, share in ranked],
        ),
        findings={f"share/{name}": share for name, share in ranked},
    )


def continents(study: Study) -> Result | Missing:
    """Rank the continents."""
    return _ranking(_tokens(study, by_continent=True), "continent")


def countries(study: Study) -> Result | Missing:
    """Rank the countries."""
    return _ranking(_tokens(study, by_continent=False), "country")


def languages(study: Study) -> Result | Missing:
    """Rank the languages of prompts."""
    rows = [row for row in study.ask("languages") if row["language"]]
    if not rows:
        return Missing(what="No prompt's language is known.", how=forms.NO_TASKS.how)
    return _ranking({row["language"]: float(row["t"]) for row in rows}, "language", LANGUAGES)


_DECLARED = "Countries are the label `country` of keys; nothing is looked up by address."

PART = Part(
    name="Where",
    about="Countries as keys declare them, and languages of prompts.",
    sections=(
        Section(
            number=26,
            id="spend-regions",
            name="Spending by continent",
            sql="regions",
            method=f"Weekly shares of what was billed. {_DECLARED}",
            study=spend_regions,
        ),
        Section(
            number=27,
            id="continents",
            name="Continents",
            sql="regions",
            method=f"Shares of tokens, the whole span. {_DECLARED}",
            study=continents,
        ),
        Section(
            number=28,
            id="countries",
            name="Countries",
            sql="regions",
            method=f"Shares of tokens, the whole span. {_DECLARED}",
            study=countries,
        ),
        Section(
            number=29,
            id="languages",
            name="Languages",
            sql="languages",
            method="Shares of tokens by the language of the prompt, the whole span.",
            study=languages,
        ),
    ),
)
