"""A policy as one file: arrays and a line of JSON in a zip (`.npz`), no code.

Reading refuses pickles, unknown versions and files that lack something.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import IO, cast

import numpy as np

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.puppeteer.belief import Ensemble
from glasslipper.puppeteer.encode import Scale
from glasslipper.puppeteer.outcomes import Floats
from glasslipper.puppeteer.policy import Dial, Policy
from glasslipper.puppeteer.posterior import Scorer
from glasslipper.puppeteer.shelf import get, get_values, put, put_values
from glasslipper.store.files import replacing

FORMAT = 1
"""The version of the format."""

MOST_BYTES = 1 << 30
"""A file that would unpack to more than this is not read."""

_Plain = ("models", "kinds", "unit_usd")


def save(policy: Policy, target: Path | IO[bytes], *, card: Mapping[str, object] = {}) -> None:
    """Write a policy and its card; a file is written as a whole or not at all.

    Raises:
        StoreFailed: The file cannot be written.
    """
    if isinstance(target, Path):
        with replacing(target) as file:
            save(policy, file, card=card)
        return
    arrays: dict[str, Floats] = {"skill": policy.skill}
    for item in fields(Scale):
        if item.name not in _Plain:
            arrays[f"scale|{item.name}"] = getattr(policy.scale, item.name)
    for fold, scorers in enumerate(policy.ensemble.scorers):
        for member, scorer in enumerate(scorers):
            put(arrays, f"scorer|{fold}|{member}", scorer.parameters)
    for fold, trust in enumerate(policy.ensemble.trusts):
        put(arrays, f"trust|{fold}", trust)
    for fold, values in enumerate(policy.values):
        put_values(arrays, fold, values)
    about = {
        "format": FORMAT,
        "models": policy.scale.models,
        "kinds": policy.scale.kinds,
        "unit_usd": policy.scale.unit_usd,
        "pool": policy.pool,
        "dials": [[dial.price, dial.accuracy, dial.usd] for dial in policy.dials],
        "named": policy.named,
        "shape": [len(policy.ensemble.scorers), len(policy.ensemble.scorers[0])],
        "levels": len(policy.values[0].levels),
        "reads_slots": policy.ensemble.scorers[0][0].reads_slots,
        "card": dict(card),
    }
    np.savez(target, about=np.array(json.dumps(about)), **arrays)  # type: ignore[arg-type]


def load(path: Path) -> tuple[Policy, dict[str, object]]:
    """Read a policy and its card.

    Raises:
        InvalidRequest: The file is no policy, or of a newer version.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            if sum(one.file_size for one in packed.infolist()) > MOST_BYTES:
                raise InvalidRequest(f"{path} unpacks to more than a policy has.")
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in file.files}
        about = cast("dict[str, object]", json.loads(str(arrays.pop("about"))))
        if about["format"] != FORMAT:
            raise InvalidRequest(
                f"{path} is a policy of format {about['format']}; this version reads {FORMAT}.",
                hint="Train it again, or update Glasslipper.",
            )
        return _policy(about, arrays), cast("dict[str, object]", about["card"])
    except (
        OSError,
        EOFError,
        AttributeError,
        LookupError,
        ValueError,
        TypeError,
        MemoryError,
        RuntimeError,  # encrypted, packed in a way that is not known, nested without end
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise InvalidRequest(
            f"{path} is not a policy: {error}.",
            hint="`glasslipper puppeteer train` makes one.",
        ) from error


def _policy(about: Mapping[str, object], arrays: Mapping[str, Floats]) -> Policy:
    folds, each = cast("list[int]", about["shape"])
    levels = cast("int", about["levels"])
    scale = Scale(
        models=tuple(cast("list[str]", about["models"])),
        kinds=tuple(cast("list[str]", about["kinds"])),
        unit_usd=float(cast("float", about["unit_usd"])),
        **{
            item.name: arrays[f"scale|{item.name}"]
            for item in fields(Scale)
            if item.name not in _Plain
        },
    )
    reads = bool(about["reads_slots"])
    scorers = [
        [Scorer(get(arrays, f"scorer|{f}|{m}"), reads_slots=reads) for m in range(each)]
        for f in range(folds)
    ]
    values = [get_values(arrays, fold, levels=levels) for fold in range(folds)]
    return Policy(
        scale=scale,
        ensemble=Ensemble(scorers, [get(arrays, f"trust|{fold}") for fold in range(folds)]),
        values=values,
        pool=tuple(cast("list[int]", about["pool"])),
        skill=arrays["skill"],
        dials=[Dial(*dial) for dial in cast("list[tuple[float, float, float]]", about["dials"])],
        named=cast("dict[str, float]", about["named"]),
    )
