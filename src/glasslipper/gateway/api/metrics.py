"""`GET /metrics`: what the process has served, for Prometheus.

The numbers are read when they are asked for; nothing is kept here. Costs are in USD, because
that is what people plot; the ledger has them exactly.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from glasslipper.gateway.house import House
from glasslipper.gateway.http import Http
from glasslipper.gateway.tally import LATENCY_EDGES_MS, Served, Spread, Sum
from glasslipper.kernel.money import usd

if TYPE_CHECKING:
    from prometheus_client.core import Metric

TEXT = b"text/plain; version=0.0.4; charset=utf-8"
_LABELS = list(Served._fields)


async def scrape(house: House, http: Http) -> None:
    """Answer `GET /metrics`, to a management key."""
    from prometheus_client import CollectorRegistry, generate_latest

    house.gatekeeper.admit_manager(http.header(b"authorization"))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(house))
    await http.reply(200, generate_latest(registry), kind=TEXT)


class _Collector:
    def __init__(self, house: House) -> None:
        self._house = house

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        tally = self._house.desk.tally
        tally.fold()
        yield _counted("exchanges", "Exchanges that ended", tally.exchanges)
        yield _counted("prompt_tokens", "Tokens that went in", tally.prompt_tokens)
        yield _counted("completion_tokens", "Tokens that came out", tally.completion_tokens)
        charged = {who: usd(amount) for who, amount in tally.charged_nanousd.items()}
        yield _counted("charged_usd", "What budgets paid, in USD", charged)
        yield _spread("first_token_seconds", "Time to the first token", tally.first_token)
        yield _spread("duration_seconds", "Time of a whole exchange", tally.duration)
        yield _by_name("errors", "Requests refused", "code", tally.refused)
        yield _by_name("unlabelled", "Late facts that were not made", "kind", tally.skipped)
        yield _details(tally.details)
        running = len(self._house.desk.running)
        yield GaugeMetricFamily("glasslipper_running", "Exchanges that run now", value=running)


def _counted(name: str, words: str, counts: dict[Served, int] | dict[Served, float]) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"glasslipper_{name}", words, labels=_LABELS)
    for who, amount in counts.items():
        family.add_metric(list(who), amount)
    return family


def _by_name(name: str, words: str, label: str, counts: dict[str, int]) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"glasslipper_{name}", words, labels=[label])
    for which, number in counts.items():
        family.add_metric([which], number)
    return family


def _details(sums: dict[tuple[str, str], Sum]) -> Metric:
    from prometheus_client.core import SummaryMetricFamily

    words = "What upstreams measured of their own work"
    family = SummaryMetricFamily("glasslipper_upstream_details", words, labels=["model", "detail"])
    for who, found in sums.items():
        family.add_metric(list(who), found.count, found.total)
    return family


def _spread(name: str, words: str, spreads: dict[str, Spread]) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(f"glasslipper_{name}", words, labels=["model"])
    edges = [*(str(edge / 1000) for edge in LATENCY_EDGES_MS), "+Inf"]
    for model, spread in spreads.items():
        buckets = list(zip(edges, map(float, itertools.accumulate(spread.counts)), strict=True))
        family.add_metric([model], buckets, sum_value=spread.total_ms / 1000)
    return family
