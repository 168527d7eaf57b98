"""The models of the generated year. They are invented: nothing here speaks of a real company.

Prices are dollars per million tokens. Knows no traffic.
"""

from __future__ import annotations

from msgspec import Struct


class Model(Struct, frozen=True, kw_only=True):
    """A model, what is to know about it, and how good it is at what it is asked.

    `parameters_b` are thousand millions of weights, `released_week` counts weeks of the year
    (negative: before it). `role` says what the plan uses it for.
    """

    id: str
    country: str
    open_weights: bool
    parameters_b: float | None
    active_b: float | None
    reasoning: bool
    released_week: int
    usd_in: float
    usd_out: float
    providers: tuple[str, ...]
    quality: float
    role: str = "main"

    @property
    def author(self) -> str:
        """What is before the slash."""
        return self.id.partition("/")[0]


def _closed(
    name: str, country: str, usd: tuple[float, float], quality: float, **more: object
) -> Model:
    fields: dict[str, object] = {
        "id": name,
        "country": country,
        "open_weights": False,
        "parameters_b": None,
        "active_b": None,
        "reasoning": False,
        "released_week": -20,
        "usd_in": usd[0],
        "usd_out": usd[1],
        "providers": (name.partition("/")[0],),
        "quality": quality,
    } | more
    return Model(**fields)  # type: ignore[arg-type]


def _open(
    name: str,
    country: str,
    size: tuple[float, float],
    usd: tuple[float, float],
    quality: float,
    **more: object,
) -> Model:
    sizes = {"open_weights": True, "parameters_b": size[0], "active_b": size[1]}
    hosts = {"providers": ("harbour", "foundry")}
    return _closed(name, country, usd, quality, **(sizes | hosts | more))


MODELS: tuple[Model, ...] = (
    _closed("borealis/aurora-3", "US", (3.0, 15.0), 0.90),
    _closed("borealis/aurora-3-thinking", "US", (3.0, 15.0), 0.92, reasoning=True, released_week=8),
    _closed("kestrel/swift-4", "US", (2.5, 10.0), 0.85, role="old"),
    _closed(
        "kestrel/swift-5", "US", (1.25, 10.0), 0.89, released_week=26, role="new", reasoning=True
    ),
    _closed("kestrel/swift-mini", "US", (0.15, 0.6), 0.80, role="pool_closed"),
    _closed("meridian/atlas-pro", "FR", (2.0, 6.0), 0.82),
    _closed("meridian/atlas-flash", "FR", (0.3, 2.5), 0.81, released_week=9, role="founder"),
    _closed("zenith/comet", "US", (0.2, 1.5), 0.79, reasoning=True, released_week=5, role="steady"),
    _open("lotus/river-v3", "CN", (671, 37), (0.27, 1.1), 0.81, released_week=-6),
    _open(
        "lotus/river-r1",
        "CN",
        (671, 37),
        (0.55, 2.2),
        0.80,
        reasoning=True,
        released_week=5,
        role="boomerang",
    ),
    _open("pagoda/crane-32b", "CN", (32, 32), (0.15, 0.45), 0.77, released_week=3),
    _open(
        "pagoda/crane-235b", "CN", (235, 22), (0.2, 0.85), 0.82, reasoning=True, released_week=18
    ),
    _open("jade/lantern-k2", "CN", (1000, 32), (0.55, 2.2), 0.83, released_week=30),
    _open(
        "prairie/bison-70b",
        "US",
        (70, 70),
        (0.35, 0.4),
        0.78,
        providers=("harbour", "foundry", "northgrid", "silo", "delta", "quarry"),
        role="elastic",
    ),
    _open("prairie/bison-8b", "US", (8, 8), (0.04, 0.06), 0.66),
    _open(
        "tramontane/sirocco-24b", "FR", (24, 24), (0.1, 0.3), 0.74, released_week=13, role="steady"
    ),
)


def named(role: str) -> list[int]:
    """Return the indices of the models that have a role."""
    return [index for index, model in enumerate(MODELS) if model.role == role]
