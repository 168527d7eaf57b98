"""schemathesis: does every operation do what our OpenAPI document says of it?

The gateway runs with a management key in front of the scripted fake upstream, on a home that may
be ruined. Keys that the run makes or switches off are nobody's.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from glasslipper.testing import FakeUpstream
from referees import places, stand
from referees.verdict import Verdict, absent

NAME = "schemathesis"
VERSION = "4.32.5"
MODEL = "referee/model"
EXAMPLES = 10
EXAMPLES_QUICK = 2
WAIT_S = 900.0

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance,negative_data_rejection,"
    "unsupported_method,allow_header_conformance,use_after_free,ensure_resource_availability,"
    "ignored_auth"
)
"""All but `positive_data_acceptance`: the schema cannot say which models there are."""


def referee(*, quick: bool) -> Iterator[Verdict]:
    """Judge our own document."""
    subject = "GET /openapi.json"
    try:
        program = places.python(NAME, f"{NAME}=={VERSION}") / "st"
    except places.MissingError as why:
        yield absent(NAME, VERSION, subject, str(why))
        return
    stand.mention(f"{NAME}: {subject}")
    with (
        tempfile.TemporaryDirectory() as folder,
        FakeUpstream(tokens=4) as upstream,
        stand.gateway("schemathesis") as served,
    ):
        served.add_model(MODEL, upstream.url)
        report = Path(folder) / "report.json"
        examples = EXAMPLES_QUICK if quick else EXAMPLES
        command = [program, "run", f"http://{served.host}/openapi.json", "--no-color"]
        command += ["--header", f"Authorization: Bearer {served.admin_key}", "--workers", "1"]
        command += ["--max-examples", str(examples), "--seed", "20261123", "--no-shrink"]
        command += ["--phases", "fuzzing" if quick else "coverage,fuzzing"]
        command += ["--checks", CHECKS, "--continue-on-failure", "--generation-database", "none"]
        command += ["--report", "json", "--report-json-path", report]
        command += ["--suppress-health-check", "all", "--request-timeout", "20"]
        done = stand.run_quietly(command, wait_s=WAIT_S, folder=Path(folder))
        yield _verdict(subject, report, done.stdout + done.stderr)


def _verdict(subject: str, report: Path, said: str) -> Verdict:
    verdict = Verdict(referee=NAME, version=VERSION, subject=subject)
    try:
        found = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        verdict.note("the whole run", said[-300:] or "it said nothing")
        return verdict
    cases = found["test_cases"]
    verdict.passed = cases["generated"] - cases["with_failures"] - cases["without_checks"]
    verdict.failed = cases["with_failures"]
    verdict.skipped = cases["without_checks"]
    verdict.why_skipped = ["cases that no check applies to"] if verdict.skipped else []
    for failure in found["failures"]:
        where = ", ".join(failure["operations"])
        verdict.why_failed.append(f"{failure['code']} {failure['title']}: {where}")
    verdict.why_failed += [f"error: {error}" for error in found["errors"]]
    if not found["complete"]:
        verdict.note("the whole run", f"it stopped early: {found['stop_reason']}")
    return verdict
