"""A generated year and the report of it, made once for all tests of a worker."""

import json
from collections.abc import Iterator

import pytest
from studies import Studied, findings, study

from glasslipper.cli.generating import generate
from glasslipper.report.page.html import page
from glasslipper.testing.year import Wish


@pytest.fixture(scope="session")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studied]:
    home = tmp_path_factory.mktemp("year") / "home"
    generate(home, Wish(rows=60_000, seed=7, everything=True))
    report = study(home)
    truth = json.loads((home / "truth.json").read_bytes())
    return Studied(home, truth, report, findings(report), page(report))
