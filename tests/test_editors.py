"""Colours: the tokens of a spec, the Pygments lexer, and the TextMate grammar of the VS Code extension."""

import importlib
import json
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator

import pytest
from networks import ROOT, some
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Error, Keyword, Name, Number, Operator, Punctuation, Token, Whitespace

from cldfc.diagnostics import Source
from cldfc.editors.pygments_lexer import CldfLexer
from cldfc.editors.textmate import textmate_grammar
from cldfc.ops import BUILTINS
from cldfc.syntax.arrange import format_source
from cldfc.syntax.format import WORDS
from cldfc.syntax.keywords import REDUCTIONS, SOLVERS, STATEMENTS, WORDS_INSIDE

EXTENSION = ROOT / "editors" / "vscode"
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCKS = [
    (f"{page.name}:{number}", block)
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```cldf\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S))
]
FILES = [
    (str(path.relative_to(ROOT)), path.read_bytes().decode("utf-8-sig"))
    for folder in ("specs", "examples", "tests/golden/compile", "tests/golden/format")
    for path in sorted((ROOT / folder).rglob("*.cldf"))
]


def coloured(text: str) -> list[tuple[object, str]]:
    return [(kind, part) for _, kind, part in CldfLexer().get_tokens_unprocessed(text)]


def by_kind(text: str) -> dict[object, list[str]]:
    found = defaultdict(list)
    for kind, part in coloured(text):
        found[kind].append(part)
    return found


@pytest.mark.parametrize(("name", "text"), FILES + BLOCKS, ids=lambda part: part if "\n" not in part else "")
def test_no_token_is_wrong_and_none_is_lost(name: str, text: str):
    found = coloured(text)
    assert "".join(part for _, part in found) == text
    assert Error not in dict(found)


@pytest.mark.parametrize("spelling", WORDS)
@pytest.mark.parametrize(("name", "text"), some([file for file in FILES if file[0].startswith("specs")], 9))
def test_every_spelling_has_the_same_colours(name: str, text: str, spelling):
    def kinds(written: str) -> list[object]:
        # LaTeX writes `, i = 1:ν` for `for i = 1..ν`, the mark of an adjoint after the tag, and breaks lines elsewhere.
        marks = ("..", "ᵀ", "'", r"^{\top}")
        left_out = (Whitespace, Token.Text, Keyword, Punctuation)
        return [kind for kind, part in coloured(written) if kind not in left_out and part not in marks]

    assert kinds(format_source(Source(name, text), spelling)) == kinds(format_source(Source(name, text)))


def test_the_kinds_of_words_are_told_apart():
    found = by_kind(
        "model M  # a network\nkernel A@ℓ : 3x3, x -> c@ℓ, bias\nlet σ = relu . bn@ℓ\n"
        "x@ℓ = A@ℓ *_2 σ(x@ℓ-1) + concat(j = 0..2 : 0.5 * y@j) for ℓ = 2..J\n"
    )
    assert found[Keyword.Declaration] == ["model", "kernel", "let"]
    assert found[Keyword] == ["bias", "for"]
    assert found[Name.Builtin] == ["relu", "bn", "concat"]
    assert found[Name.Function] == ["A", "A"]
    assert found[Name.Class] == ["M"]
    assert found[Name.Tag] == ["@ℓ", "@ℓ", "@ℓ", "@ℓ", "@ℓ", "@ℓ-1", "@j"]
    assert found[Name.Variable] == ["x", "c", "σ", "x", "σ", "x", "j", "y", "ℓ", "J"]
    assert found[Number] == ["3", "3", "0", "2", "0.5", "2"]
    assert found[Comment.Single] == ["# a network"]
    assert found[Operator] == ["x", "->", "=", ".", "=", "*_2", "+", "=", "..", "*", "=", ".."]


def test_a_character_that_the_language_does_not_have_is_wrong():
    assert by_kind("r = А * f\n")[Error] == ["А"]


def test_the_lexer_is_announced():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, name = project["entry-points"]["pygments.lexers"]["cldf"].split(":")
    assert getattr(importlib.import_module(module), name) is CldfLexer


def test_the_python_of_the_page_about_editors(monkeypatch: pytest.MonkeyPatch):
    page = (ROOT / "docs" / "editors.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    # The entry point is there once the package is installed; the tests may run from a checkout that is not.
    monkeypatch.setitem(get_lexer_by_name.__globals__, "find_plugin_lexers", lambda: [CldfLexer])
    namespace: dict[str, str] = {}
    exec(code, namespace)
    assert '<span class="kd">let</span>' in namespace["page"] and '<span class="nb">relu</span>' in namespace["page"]


# The VS Code extension; that the grammar is the generator's is a golden file.


def rules(node: object) -> Iterator[dict[str, str]]:
    """Every rule of a TextMate grammar."""
    if isinstance(node, dict):
        if "match" in node or "begin" in node:
            yield node
        for part in node.values():
            yield from rules(part)
    elif isinstance(node, list):
        for part in node:
            yield from rules(part)


def test_the_grammar(golden):
    golden(EXTENSION / "syntaxes" / "cldf.tmLanguage.json", textmate_grammar())


def listed(scope: str) -> set[str]:
    """The words that a scope of the grammar stands for."""
    found: set[str] = set()
    for rule in rules(json.loads((EXTENSION / "syntaxes" / "cldf.tmLanguage.json").read_text(encoding="utf-8"))):
        captures = rule.get("captures", rule.get("beginCaptures", {}))
        if scope in (rule.get("name"), captures.get("1", {}).get("name")):
            groups = re.findall(r"\(\?:([a-z0-9_]+(?:\|[a-z0-9_]+)*)\)\(\?!\\w\)", rule.get("match", rule.get("begin")))
            found |= {word for group in groups for word in group.split("|")}
    return found


def test_the_words_of_the_grammar_are_those_of_the_compiler():
    assert listed("keyword.control.cldf") == set(STATEMENTS)
    assert listed("keyword.other.cldf") == set(WORDS_INSIDE) - {*REDUCTIONS, *SOLVERS}
    assert listed("support.function.reduction.cldf") == {*REDUCTIONS, *SOLVERS}
    assert listed("support.function.builtin.cldf") == set(BUILTINS)


def test_the_patterns_of_the_grammar_are_regular_expressions():
    grammar = json.loads((EXTENSION / "syntaxes" / "cldf.tmLanguage.json").read_text(encoding="utf-8"))
    for rule in rules(grammar):
        for key in ("match", "begin", "end"):
            re.compile(rule.get(key, ""))


def test_the_extension_names_files_that_exist():
    manifest = json.loads((EXTENSION / "package.json").read_text(encoding="utf-8"))
    named = [manifest["main"], *(grammar["path"] for grammar in manifest["contributes"]["grammars"])]
    named += [language["configuration"] for language in manifest["contributes"]["languages"]]
    assert all((EXTENSION / name).is_file() for name in named)
    assert manifest["contributes"]["configuration"]["properties"]["cldf.spelling"]["enum"] == list(WORDS)
    json.loads((EXTENSION / "language-configuration.json").read_text(encoding="utf-8"))
