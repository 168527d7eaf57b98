"""Notes from which facts are to be taken as JSON."""

from __future__ import annotations

import json
import random

from glasslipper.puppeteer.exam.task import Split, Task

_NAMES = ["Maria Lopez", "Tom Becker", "Aiko Tanaka", "Omar Haddad", "Lena Novak", "Paul Okoye"]
_ITEMS = ["lamps", "chairs", "notebooks", "monitors", "bicycles", "kettles", "tents", "violins"]
_COLOURS = ["blue", "red", "green", "black", "white", "yellow"]
_CITIES = ["Lyon", "Osaka", "Lagos", "Graz", "Porto", "Quito", "Bergen", "Izmir"]
_NUMBERS = ["two", "three", "four", "six", "eight", "nine", "twelve", "twenty"]
_VALUES = [2, 3, 4, 6, 8, 9, 12, 20]


def draw(split: Split, number: int) -> Task:
    """Return a note and the facts in it."""
    chance = random.Random(f"extraction/{split}/{number}")  # noqa: S311 - tasks, not secrets
    note, facts, keys = _note(split, chance)
    return Task(
        id=f"extraction-{split}-{number}",
        kind="extraction",
        form="json",
        text=f"{note}\nExtract a JSON object with the keys {keys}.",
        gold=json.dumps(facts, sort_keys=True),
    )


def _note(split: Split, chance: random.Random) -> tuple[str, dict[str, str | int], str]:
    name, item = chance.choice(_NAMES), chance.choice(_ITEMS)
    colour, city = chance.choice(_COLOURS), chance.choice(_CITIES)
    count, price = chance.randint(2, 90), chance.randint(3, 400)
    which = chance.randrange(len(_VALUES))
    word, value = _NUMBERS[which], _VALUES[which]
    order = '"item" (plural noun only), "colour", "count" (number)'
    if split == "train":
        shapes = [
            (
                f"{name} ordered {count} {colour} {item}.",
                {"item": item, "colour": colour, "count": count},
                order,
            ),
            (
                f"Please ship {word} {item} to {city}, {price} dollars each.",
                {"item": item, "count": value, "city": city, "price": price},
                '"item", "count" (number), "city", "price" (number)',
            ),
            (
                f"{name} moved from {city} last May and is {count} years old.",
                {"name": name, "city": city, "age": count},
                '"name", "city", "age" (number)',
            ),
        ]
    else:
        shapes = [
            (
                f"We still need {count} {item}, all {colour}, says {name}.",
                {"item": item, "colour": colour, "count": count},
                order,
            ),
            (
                f"For the shop in {city}: {word} {item}. One costs {price} dollars.",
                {"item": item, "count": value, "city": city, "price": price},
                '"item", "count" (number), "city", "price" (number)',
            ),
            (
                f"At the age of {count}, {name} lives in {city}.",
                {"name": name, "city": city, "age": count},
                '"name", "city", "age" (number)',
            ),
        ]
    return chance.choice(shapes)
