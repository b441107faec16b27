"""What pydantic finds wrong with a value, in the words of cldfc."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

REASONS = {
    "greater_than": "it must be more than {gt}",
    "greater_than_equal": "it must be at least {ge}",
    "less_than": "it must be less than {lt}",
    "less_than_equal": "it must be at most {le}",
    "finite_number": "it must be finite",
    "int_parsing_size": "it has too many digits",
    "literal_error": "it must be {expected}",
    "missing": "it is missing",
    "extra_forbidden": "there is no such field",
    "json_invalid": "it is not JSON",
    "too_long": "it must have at most {max_length} entries",
    "too_short": "it must have at least {min_length} entries",
}
KINDS = {
    "int": "it must be a whole number",
    "float": "it must be a number",
    "bool": "it must be true or false",
    "string": "it must be text",
    "tuple": "it must be a list",
    "list": "it must be a list",
    "dict": "it must be a table of names and values",
    "model": "it must be a table of names and values",
}
"""By how the types of errors begin."""


def first_error(error: ValidationError) -> tuple[str, object, str]:
    """Of the first value that is wrong: its name, what it is, and why that cannot be."""
    found: Any = error.errors(include_url=False)[0]
    reason = REASONS.get(found["type"]) or KINDS.get(found["type"].partition("_")[0])
    said = reason.format(**found.get("ctx", {})) if reason else found["msg"].removeprefix("Value error, ").rstrip(".")
    return ".".join(map(str, found["loc"])), found["input"], said
