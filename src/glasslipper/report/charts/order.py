"""What is to be drawn. Knows no study and draws nothing."""

from __future__ import annotations

from msgspec import Struct

from glasslipper.report.charts.frame import Spec


class Order(Struct, frozen=True, kw_only=True):
    """A chart to be drawn; see `draw.svg`."""

    spec: Spec
    title: str
    description: str
    identity: str
