"""The OpenAPI document says what is there, and says it closed."""

import json
import re

import pytest

from glasslipper.gateway.api.openapi import document
from glasslipper.gateway.app import ITEMS, ROUTES

UNDESCRIBED = {
    ("GET", "/models/"): "its path holds a slash, which OpenAPI cannot say",
    ("POST", "/models/"): "Google's own addresses, described by Google",
    ("POST", "/byok/rotate"): "for whoever keeps the server, by hand",
}


def operations() -> dict[tuple[str, str], dict]:
    return {
        (method.upper(), path): operation
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    }


def test_every_address_is_described_or_named_as_not() -> None:
    described = {
        (method, re.sub(r"\{id\}$", "", path.removeprefix("/api/v1")))
        for method, path in operations()
    }
    assert {*ROUTES, *ITEMS} - described == set(UNDESCRIBED)


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(document())
    names = document()["components"]["schemas"]
    for name in re.findall(r"#/components/schemas/([^\"]+)", text):
        assert name in names


@pytest.mark.parametrize("where", sorted(operations()))
def test_what_an_operation_answers_is_closed(where: tuple[str, str]) -> None:
    schemas = document()["components"]["schemas"]
    for answer in operations()[where]["responses"].values():
        reference = answer["content"]["application/json"]["schema"]["$ref"]
        schema = schemas[reference.rpartition("/")[2]]
        assert schema["type"] == "object"
        assert schema["additionalProperties"] is False
