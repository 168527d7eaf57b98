"""Translates requests by llm-rosetta: JSON in on standard input, JSON out."""

import json
import sys

from llm_rosetta import convert

made = []
for case in json.load(sys.stdin):
    try:
        body = convert(case["body"], case["target"], source_provider=case["source"])
    except Exception as error:  # noqa: BLE001 - that it cannot is the answer
        made.append({"error": f"{type(error).__name__}: {error}"[:300]})
    else:
        made.append({"body": body})
print(json.dumps(made, default=str))
