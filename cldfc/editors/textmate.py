"""The TextMate grammar by which VS Code and other editors colour specs, from the parser's own patterns.

A TextMate grammar knows nothing of declarations: what stands before a `*` is coloured as a kernel.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from cldfc.ops import BUILTINS
from cldfc.syntax.format import spell_name
from cldfc.syntax.keywords import REDUCTIONS, SOLVERS, STATEMENTS, WORDS_INSIDE
from cldfc.syntax.tokens import PARSER, PATTERNS, SIZED

_Rule = dict[str, object]

_SCOPES = {
    "comment": "comment.line.number-sign",
    "string": "string.quoted.double",
    "noise": "comment.block.latex",
    "reduction": "support.function.reduction",
    "times": "keyword.operator",
    "sign": "keyword.operator",
    "number": "constant.numeric",
    "bracket": "punctuation.section",
}
_STATEMENT, _WORD, _BUILTIN = "keyword.control", "keyword.other", "support.function.builtin"
_MODEL, _KERNEL, _VALUE, _TAG = "entity.name.type", "entity.name.function", "variable.other", "variable.parameter.tag"
_END_OF_STATEMENT = "^(?![ \\t])"
_NAME_AND_TAG = f"({PARSER['NAME']})[ \\t]*({PARSER['TAG']})?"
_BEFORE_STAR = r"(?=[ \t]*(?:\*|\\ast|\\cdot))"
_BETWEEN_SIZES = r"(?<=[0-9])x(?=[0-9])|(?<=[ \t])x(?=[ \t])"


def textmate_grammar() -> str:
    repository = {"sized": _sized(), "statement": _statement(), "expression": {"patterns": _expression()}}
    included = [{"include": f"#{name}"} for name in repository]
    grammar: _Rule = {"name": "CLDF", "scopeName": "source.cldf", "fileTypes": ["cldf"], "patterns": included}
    return json.dumps(grammar | {"repository": repository}, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _words(known: Iterable[str]) -> str:
    """One of some words, the longest first, and no part of a longer one."""
    longest_first = sorted(known, key=lambda word: (-len(word), word))
    return f"(?<![\\w\\\\])(?:{'|'.join(longest_first)})(?!\\w)"


def _builtins() -> str:
    """A built-in operator, also as LaTeX writes it: `\\mathrm{relu}`."""
    return "|".join([_words(BUILTINS), *(re.escape(spell_name(name, "latex")) for name in BUILTINS)])


def _scope(name: str) -> str:
    return f"{name}.cldf"


def _captures(*names: str) -> _Rule:
    return {str(at): {"name": _scope(name)} for at, name in enumerate(names, 1)}


def _statement() -> _Rule:
    """The word that starts a statement, and the name of a model behind it."""
    others = _words(word for word in STATEMENTS if word not in SIZED)
    name = f"(?:(?<=model)[ \\t]+({PARSER['NAME']}))?"
    return {"match": f"^[ \\t]*({others}){name}", "captures": _captures(_STATEMENT, _MODEL)}


def _sized() -> _Rule:
    """A statement with sizes, in which an `x` stands for `×`, and the kernel that it declares."""
    return {
        "begin": f"^[ \\t]*({_words(SIZED)})(?:(?<=kernel)[ \\t]+{_NAME_AND_TAG})?",
        "beginCaptures": _captures(_STATEMENT, _KERNEL, _TAG),
        "end": _END_OF_STATEMENT,
        "patterns": [{"match": _BETWEEN_SIZES, "name": _scope(_SCOPES["times"])}, *_expression()],
    }


def _expression() -> list[_Rule]:
    """What stands in statements and equations; the first rule that fits is meant."""
    inside = _words(word for word in WORDS_INSIDE if word not in (*REDUCTIONS, *SOLVERS))
    kinds = ("comment", "string", "noise", "reduction", "times", "sign", "number")
    return [
        *({"match": PATTERNS[kind], "name": _scope(_SCOPES[kind])} for kind in kinds),
        {"match": inside, "name": _scope(_WORD)},
        {"match": f"({_builtins()})[ \\t]*({PARSER['TAG']})?", "captures": _captures(_BUILTIN, _TAG)},
        {"match": _NAME_AND_TAG + _BEFORE_STAR, "captures": _captures(_KERNEL, _TAG)},
        {"match": _NAME_AND_TAG, "captures": _captures(_VALUE, _TAG)},
        {"match": PATTERNS["bracket"], "name": _scope(_SCOPES["bracket"])},
    ]
