"""Whether an answer is what schema/openapi.yaml says: the part of JSON Schema (2020-12) that stands there, and nothing passed over.

Stricter than the schema: an object with `properties` has no others.
"""

import re
from functools import lru_cache
from pathlib import Path

import yaml

FILE = Path(__file__).resolve().parent.parent.parent / "schema" / "openapi.yaml"
ITEMS_CHECKED = 50  # of a list: the rest is alike

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
SAID_ELSEWHERE = {"description", "example", "examples", "default"}


@lru_cache(maxsize=1)
def document():
    return yaml.load(FILE.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _resolve(schema):
    """A `$ref` has only a description beside it here."""
    while "$ref" in schema:
        found = document()
        for name in schema["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        schema = found
    return schema


@lru_cache(maxsize=1)
def _paths():
    return [(re.compile(re.sub(r"{\w+}", "[^/]+", path) + "$"), methods) for path, methods in document()["paths"].items()]


def answer_schema(method, path, status, content_type):
    """None: the schema says nothing of such an answer."""
    path = path.split("?")[0]
    # Written out before with a parameter in its place: /devices/import is no device's id.
    for pattern, methods in sorted(_paths(), key=lambda known: known[0].pattern.count("[^/]+")):
        if pattern.match(path) and method.lower() in methods:
            answer = methods[method.lower()]["responses"].get(str(status))
            content = _resolve(answer).get("content", {}) if answer else {}
            return content.get(content_type.split(";")[0], {}).get("schema")
    return None


def _is_type(value, name):
    if name in ("integer", "number"):
        return isinstance(value, int if name == "integer" else (int, float)) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def _members(schema):
    """All names that an object may have; None: any."""
    schema = _resolve(schema)
    found = set(schema.get("properties", {}))
    for part in schema.get("allOf", []):
        found |= _members(part) or set()
    return found or None


def check(schema, value, where="the answer", whole=True):
    """AssertionError: it is not so. `whole` false: of a part of allOf, whose members are not all."""
    schema = _resolve(schema)
    unknown = schema.keys() - SAID_ELSEWHERE - {
        *("type", "enum", "const", "pattern", "format", "minimum", "maximum", "minLength", "maxLength"),
        *("required", "properties", "additionalProperties", "items", "minItems", "maxItems", "allOf"),
    }
    assert not unknown, f"tests/lib/openapi.py does not know {unknown}"
    types = schema.get("type", [])
    types = types if isinstance(types, list) else [types]
    assert not types or any(_is_type(value, name) for name in types), f"{where} is no {types}: {value!r}"
    assert "enum" not in schema or value in schema["enum"], f"{where} is none of {schema['enum']}: {value!r}"
    assert "const" not in schema or value == schema["const"], f"{where} is not {schema['const']!r}: {value!r}"
    for part in schema.get("allOf", []):
        check(part, value, where, whole=False)
    if isinstance(value, str):
        assert re.search(schema.get("pattern", ""), value), f"{where} does not look like {schema['pattern']}: {value!r}"
        if schema.get("format") == "date-time":
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value), f"{where} is no time: {value!r}"
    elif isinstance(value, int) and not isinstance(value, bool):
        assert schema.get("minimum", value) <= value <= schema.get("maximum", value), f"{where} is out of range: {value}"
    elif isinstance(value, list):
        assert schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)), f"{where} has {len(value)} items"
        for number, item in enumerate(value[:ITEMS_CHECKED] if "items" in schema else []):
            check(schema["items"], item, f"{where}[{number}]")
    elif isinstance(value, dict):
        _check_object(schema, value, where, whole)


def _check_object(schema, value, where, whole):
    missing = set(schema.get("required", [])) - value.keys()
    assert not missing, f"{where} lacks {sorted(missing)}"
    members = _members(schema)
    more = value.keys() - members if whole and members is not None else None
    assert not more, f"the schema does not know {sorted(more)} of {where}"
    for name, member in schema.get("properties", {}).items():
        if name in value:
            check(member, value[name], f"{where}.{name}")


def check_answer(method, path, status, content_type, value):
    schema = answer_schema(method, path, status, content_type)
    if schema is not None:
        check(schema, value, f"{method} {path}, {status}")
