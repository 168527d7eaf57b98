"""Numbers as people write them are read as people mean them, or refused."""

from decimal import Decimal

import pytest

from glasslipper.kernel import numerals


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", "12"),
        ("0.000004", "0.000004"),
        ("4e-06", "0.000004"),
        ("1,234", "1234"),
        ("1,234,567.89", "1234567.89"),
        ("1.234,50", "1234.50"),
        ("1.234.567", "1234567"),
        ("2,5", "2.5"),
        ("0,123", "0.123"),
        ("$ 1,234.50", "1234.50"),
        ("-$0.75", "-0.75"),
        ("$-0.75", "-0.75"),
        ("(0.75)", "-0.75"),
        ("3.20 USD", "3.20"),
        ("1\u202f234.5", "1234.5"),
        ("1'234.50", "1234.50"),
    ],
)
def test_a_number_is_read_as_it_is_meant(text: str, value: str) -> None:
    assert numerals.read(text) == Decimal(value)


def test_what_can_be_read_in_two_ways_is_read_as_its_neighbours_are() -> None:
    assert numerals.read("1,234", comma_is_point=True) == Decimal("1.234")
    assert numerals.read("1.234", comma_is_point=True) == Decimal(1234)
    assert not numerals.says_comma_is_point("1,234")
    assert numerals.says_comma_is_point("12,50")
    assert numerals.says_comma_is_point("1.234,50")


@pytest.mark.parametrize(
    "text", ["", "abc", "12 EUR", "€5", "1,23,45", "1.2.3", "NaN", "inf", "--5x", "1,234.5.6"]
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no number"):
        numerals.read(text)
