"""What schemathesis is told about the gateway: how its requests are kept in
bounds, bodies that it cannot make by itself, and two checks of our own.
"""

import json
import os

import jsonschema_rs
import schemathesis
from hypothesis import strategies as st

NDJSON = "application/x-ndjson"
# The longest long poll, milliseconds: the document allows 55 s, and a run has many.
LONGEST_WAIT = 50
DOCUMENT = json.loads(os.environ["TIDEGATE_DOCUMENT"]) if "TIDEGATE_DOCUMENT" in os.environ else {}
with open(os.environ["TIDEGATE_OPENAPI"], encoding="utf-8") as file:
    DOCUMENT = json.load(file)


def shape(name):
    """A validator of one of the document's shapes."""
    return jsonschema_rs.Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    )
