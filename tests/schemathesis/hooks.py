"""What the document tells in words alone, said so that schemathesis can use it: the lines of
streams, what excludes each other, and how long a request may take.
"""

import json

import schemathesis

NDJSON = "application/x-ndjson"
PROBLEM = "application/problem+json"
# The document allows long polls of 55 s, and a run has hundreds of them.
LONGEST_WAIT_MS = 50


def reference(*names):
    return {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]}


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """A stream is an array of its lines, and a record has exactly one form of value."""
    for calls in raw_schema["paths"].values():
        for call in calls.values():
            for content in [call.get("requestBody", {}), *call["responses"].values()]:
                stream = content.get("content", {}).get(NDJSON)
                if stream is None:
                    continue
                sent = content is call.get("requestBody")
                stream["schema"] = {
                    "type": "array",
                    "items": reference("NewRecord") if sent else reference("ReadRecord", "ControlLine"),
                    "maxItems": 30 if sent else 1_000_000,
                }
                if "example" in stream:
                    stream["example"] = parsed(stream["example"])
    for record in ("NewRecord", "ReadRecord"):
        forms = [{"required": [form]} for form in ("value", "text", "value_base64")]
        raw_schema["components"]["schemas"][record]["oneOf"] = forms


def parsed(text):
    return [json.loads(line) for line in text.splitlines() if line.strip()]


@schemathesis.serializer(NDJSON)
def to_lines(context, value):
    if not isinstance(value, list):
        return json.dumps(value).encode()
    return b"".join(json.dumps(line).encode() + b"\n" for line in value)


@schemathesis.deserializer(NDJSON)
def from_lines(context, response):
    return parsed(response.content.decode())


@schemathesis.hook
def before_call(context, case, **kwargs):
    """Keeps requests short, and takes out of sound ones what would be refused only because two
    parameters exclude each other."""
    body = case.body
    if isinstance(body, dict) and number(body.get("wait_ms")) in range(LONGEST_WAIT_MS, 55_001):
        body["wait_ms"] = LONGEST_WAIT_MS
    query = case.query
    if not query:
        return
    if number(query.get("wait_ms")) in range(LONGEST_WAIT_MS, 55_001):
        query["wait_ms"] = LONGEST_WAIT_MS
    # Endless as a stream, and refused for a page.
    if str(query.get("follow")).lower() == "true":
        query["follow"] = "false"
    if case.meta is None or any(part.mode.is_negative for part in case.meta.components.values()):
        return
    if "from" in query and "cursor" in query:
        del query["from" if len(str(query)) % 2 else "cursor"]
    if NDJSON in str(case.headers.get("accept", "")):
        query.pop("wait_ms", None)
        query.pop("max_bytes", None)
    if case.method == "POST" and case.media_type != "text/plain":
        for of_one_value in ("key", "partition", "timestamp"):
            query.pop(of_one_value, None)


def number(value):
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() else None


def type_of(response):
    return response.headers.get("content-type", [""])[0]


@schemathesis.check
def refusal_is_documented(ctx, response, case):
    """A refusal's status is the answer's, and the document names its code for this call and status.
    (What no path or no method is for is no call of the document.)"""
    if response.status_code == 405 or type_of(response) != PROBLEM:
        return
    problem = response.json()
    assert problem["status"] == response.status_code, f"the problem says status {problem['status']}"
    answers = case.operation.schema.raw_schema["paths"][case.path][case.method.lower()]["responses"]
    content = answers.get(str(response.status_code), {}).get("content", {}).get(PROBLEM, {})
    assert problem["code"] in content.get("examples", {}), (
        f"`{problem['code']}` is not among the documented codes of {response.status_code}"
    )


@schemathesis.check
def stream_says_how_it_ended(ctx, response, case):
    """The last line of a stream is an `end` with the right count, or an `error`."""
    if type_of(response) != NDJSON:
        return
    assert response.content.endswith(b"\n"), "the last line was cut"
    lines = parsed(response.content.decode())
    assert lines[-1].get("op") in ("end", "error"), f"the last line is {json.dumps(lines[-1])[:300]}"
    records = sum("op" not in line for line in lines)
    assert lines[-1].get("records", records) == records, f"{records} records came: {json.dumps(lines[-1])}"
