from __future__ import annotations

import json

import pytest

from glasslipper.gateway.dialects.errors import encode_error, error_headers, error_status
from glasslipper.kernel import errors
from glasslipper.kernel.errors import (
    BudgetExhausted,
    GlasslipperError,
    InvalidRequest,
    UpstreamRateLimited,
    UpstreamRefused,
    WrongMethod,
)


def test_an_error_has_a_slug_a_type_a_hint_and_a_path() -> None:
    error = InvalidRequest("`$.n`: no.", param="$.n", hint="Leave it out.")
    assert json.loads(encode_error(error)) == {
        "error": {
            "message": "`$.n`: no. Leave it out.",
            "type": "invalid_request_error",
            "param": "$.n",
            "code": "invalid_request",
            "metadata": {"hint": "Leave it out.", "error_type": "invalid_request"},
        }
    }


def test_an_exhausted_budget_says_what_is_left() -> None:
    error = BudgetExhausted("Too little is left.", left_nanousd=1_500_000_000)
    body = json.loads(encode_error(error))["error"]
    assert (body["type"], body["code"]) == ("insufficient_quota", "budget_exhausted")
    assert body["metadata"]["error_type"] == "payment_required"
    assert body["metadata"]["left_nanousd"] == 1_500_000_000
    assert body["metadata"]["left_usd"] == 1.5
    assert error_status(error) == 402


def test_a_pause_is_told_in_header_and_body() -> None:
    error = UpstreamRateLimited("Slowly.", retry_after_s=7)
    assert error_headers(error) == {"retry-after": "7"}
    assert json.loads(encode_error(error))["error"]["metadata"]["retry_after_s"] == 7


@pytest.mark.parametrize(("upstream", "status"), [(400, 400), (422, 400), (401, 502), (500, 502)])
def test_only_a_request_at_fault_is_the_clients_fault(upstream: int, status: int) -> None:
    error = UpstreamRefused("It said no.", upstream_status=upstream)
    assert error_status(error) == status
    body = json.loads(encode_error(error))["error"]
    assert body["metadata"]["upstream_status"] == upstream
    assert body["type"] == ("invalid_request_error" if status == 400 else "server_error")


def every_error() -> list[type[GlasslipperError]]:
    found = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, GlasslipperError)
    ]
    assert len(found) > 30
    return found


@pytest.mark.parametrize("kind", every_error())
def test_every_error_can_be_told(kind: type[GlasslipperError]) -> None:
    more = {
        BudgetExhausted: {"left_nanousd": 1},
        UpstreamRefused: {"upstream_status": 500},
        WrongMethod: {"allowed": ("POST",)},
    }
    body = json.loads(encode_error(kind("It went wrong.", **more.get(kind, {}))))["error"]
    assert body["message"].startswith("It went wrong. ")
    assert body["code"] == kind.slug
    assert body["type"]
    assert body["metadata"]["error_type"]
