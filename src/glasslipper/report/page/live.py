"""What makes a page's charts answer the pointer: one script, and each chart's data beside it.

The script is Vega-Lite's own bundle and `live.js`. A page says in its head what it may run and
load (Content-Security-Policy): that script or none, and nothing from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib import resources

from glasslipper.report.charts import draw
from glasslipper.report.charts.frame import VARIABLES
from glasslipper.report.charts.studio import Order

SCRIPT = resources.files("glasslipper.report") / "page" / "live.js"

_COLOUR = re.compile(r'"(#0[0-9a-f]{5})"')


def script() -> str:
    """Return the script of a live page."""
    return draw.bundle(SCRIPT.read_text(encoding="utf-8")).replace("</script", "<\\/script")


def policy(script: str) -> str:
    """Return the element that keeps a page to its own script, or to none, and off the network."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    runs = f"; script-src 'sha256-{digest}'" if script else ""
    return (
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
        f" style-src 'unsafe-inline'{runs}\">"
    )


def data(order: Order) -> str:
    """Return a chart's specification as a block of data, in the page's own colours."""
    spec = order.spec | {"description": f"{order.title}. {order.description}"}
    text = _COLOUR.sub(_themed, json.dumps(spec, sort_keys=True, separators=(",", ":")))
    safe = text.replace("<", "\\u003c")
    return f'<script type="application/json">{safe}</script>'


def _themed(found: re.Match[str]) -> str:
    return f'"{VARIABLES[found[1]]}"' if found[1] in VARIABLES else found[0]
