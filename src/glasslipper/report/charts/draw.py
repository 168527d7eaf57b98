"""Draws Vega-Lite as SVG that takes its colours from the page. The only importer of vl-convert.

The same specification gives the same bytes. Knows no study.
"""

from __future__ import annotations

import html
import itertools
import json
import re

from glasslipper.report.charts.frame import VARIABLES, Spec
from glasslipper.report.charts.hover import still

VEGA_LITE = "6.4"

_COLOUR = re.compile(r' (fill|stroke)="(#0[0-9a-f]{5})"')
_TAG = re.compile(r"<(?!/)[^>]*>")
_NUMBER = re.compile(r'(opacity=")?(-?\d+\.\d{2,})')
_ROLES = re.compile(
    r' (?:role="graphics-[a-z]+"|aria-(?:roledescription|hidden)="[^"]*"'
    r'|pointer-events="none"|class="[^"]*")'
)


def svg(spec: Spec, *, title: str, description: str, identity: str) -> str:
    """Return a chart as one inline SVG element, named for those who cannot see it.

    `identity` makes its ids unique on a page.
    """
    import vl_convert

    drawn: str = vl_convert.vegalite_to_svg(
        json.dumps(still(spec), sort_keys=True), vl_version=VEGA_LITE
    )
    drawn = _ROLES.sub("", drawn)
    drawn = _COLOUR.sub(_themed, drawn)
    drawn = _TAG.sub(_rounded, drawn)
    drawn = _own_ids(drawn, identity)
    head, _, rest = drawn.partition(">")
    size = re.search(r'viewBox="[^"]*"', head)
    box = size[0] if size else ""
    width = re.search(r' width="(\d+)', head)
    wide = width[1] if width else "680"
    names = f"{identity}-t {identity}-d"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} width="{wide}" style="--w:{wide}"'
        f' role="img" aria-labelledby="{names}">'
        f'<title id="{identity}-t">{html.escape(title)}</title>'
        f'<desc id="{identity}-d">{html.escape(description)}</desc>{rest}'
    )


def bundle(snippet: str) -> str:
    """Return a script that holds all that draws charts in a browser, and then runs a snippet."""
    import vl_convert

    return vl_convert.javascript_bundle(snippet, vl_version=VEGA_LITE)


def version() -> str:
    """Return which version of what draws."""
    from importlib.metadata import version as version_of

    return f"vl-convert {version_of('vl-convert-python')}, Vega-Lite {VEGA_LITE}"


def warm_up() -> None:
    """Load what draws, which takes as long as many charts."""
    import vl_convert

    empty = {"data": {"values": [{"x": 1}]}, "mark": "point", "encoding": {"x": {"field": "x"}}}
    vl_convert.vegalite_to_svg(json.dumps(empty), vl_version=VEGA_LITE)


def _rounded(tag: re.Match[str]) -> str:
    """Return a tag whose places are rounded to a tenth of a pixel; texts stay as they are."""
    return _NUMBER.sub(_short, tag[0])


def _short(found: re.Match[str]) -> str:
    """Return a number in as many digits as one can see: of a tint, more than of a place."""
    if found[1]:
        return f"{found[1]}{float(found[2]):.2f}"
    return f"{float(found[2]):.1f}".removesuffix(".0")


def _themed(found: re.Match[str]) -> str:
    variable = VARIABLES.get(found[2])
    return f' {found[1]}="{variable}"' if variable else found[0]


def _own_ids(drawn: str, identity: str) -> str:
    """Rename clip paths, whose numbers go on counting from chart to chart."""
    found = list(dict.fromkeys(re.findall(r'id="([^"]+)"', drawn)))
    for number, old in zip(itertools.count(1), found):
        new = f"{identity}-{number}"
        drawn = drawn.replace(f'id="{old}"', f'id="{new}"').replace(f"url(#{old})", f"url(#{new})")
    return drawn
