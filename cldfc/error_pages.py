"""`cldfc explain E0302`: what an error means, from the pages in `cldfc/explanations/`."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from itertools import groupby

from cldfc.diagnostics import UsageError, did_you_mean

WIDTH = 80
_INDENT = "    "
GROUPS = {
    "01": "The text",
    "02": "Names and kinds",
    "03": "Equations",
    "04": "Shapes",
    "05": "Numbers",
    "06": "What is expected and constrained",
    "07": "Other files",
    "08": "What has no residual form",
    "09": "Remarks",
}

_EXAMPLE = re.compile(r"^(\w+):\n\n```cldf\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_QUOTED = re.compile("`[^`]+`")
_NO_BREAK = "\N{NO-BREAK SPACE}"
_CODE = re.compile(r"[eErR]?(\d{1,4})")


@dataclass(frozen=True, slots=True)
class _Explanation:
    """What one code means: a title, a paragraph, and examples by `Wrong` and `Right`, unless no text can show it."""

    code: str
    title: str
    text: str
    examples: dict[str, str]


@cache
def explanations() -> dict[str, _Explanation]:
    pages = sorted((page for page in files("cldfc").joinpath("explanations").iterdir()), key=lambda page: page.name)
    codes = [(page.name.removesuffix(".md"), page) for page in pages if page.name.endswith(".md")]
    return {code: _read_page(code, page.read_text(encoding="utf-8")) for code, page in codes}


def _read_page(code: str, page: str) -> _Explanation:
    title, _, rest = page.partition("\n\n")
    text = rest.split("\n\nWrong:")[0]
    return _Explanation(code, title.removeprefix("# "), " ".join(text.split()), dict(_EXAMPLE.findall(page)))


def explain_code(code: str | None) -> str:
    """The page of a code as text for a terminal; without one, the list of all. Raises UsageError."""
    return "\n".join(_listing() if code is None else _page_lines(_find_explanation(code)))


def explanations_as_data(code: str | None) -> dict[str, object] | list[dict[str, object]]:
    """The same as plain data, for `--json`; without a code, of all. Raises UsageError."""
    if code is not None:
        return asdict(_find_explanation(code))
    return [asdict(explanation) for explanation in explanations().values()]


def _find_explanation(code: str) -> _Explanation:
    """The explanation of `E0302`, also as `302` or `e302`. Raises UsageError."""
    known = explanations()
    found = _CODE.fullmatch(code.strip())
    number = f"{int(found[1]):04}" if found else ""
    name = next((known_code for known_code in known if known_code[1:] == number), code.strip())
    if name not in known:
        help = did_you_mean(name, known, "`cldfc explain` lists all codes")
        raise UsageError(f"there is no error `{code}`", help)
    return known[name]


def _page_lines(explanation: _Explanation) -> Iterator[str]:
    yield f"{explanation.code}: {explanation.title}"
    yield ""
    text = _QUOTED.sub(lambda code: code[0].replace(" ", _NO_BREAK), explanation.text)
    for line in textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False):
        yield line.replace(_NO_BREAK, " ")
    for word, example in explanation.examples.items():
        yield from ("", f"{word}:", "")
        yield from (f"{_INDENT}{line}".rstrip() for line in example.splitlines())


def _listing() -> Iterator[str]:
    for group, members in groupby(explanations().values(), key=lambda explanation: explanation.code[1:3]):
        yield f"{GROUPS[group]}:"
        yield from (f"  {explanation.code}  {explanation.title}" for explanation in members)
        yield ""
    yield "`cldfc explain E0302` says more about one of them."
