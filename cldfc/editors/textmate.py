"""The TextMate grammar by which VS Code and other editors colour specs, from the parser's own patterns.

A TextMate grammar knows nothing of declarations: what stands before a `*` is coloured as a kernel.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from cldfc.ops import BUILTINS
from cldfc.syntax.keywords import REDUCTIONS, STATEMENTS, WORDS_INSIDE
from cldfc.syntax.tokens import PARSER, PATTERNS, SIZED
from cldfc.syntax.words import spell_name

Rule = dict[str, object]

SCOPES = {
    "comment": "comment.line.number-sign",
    "string": "string.quoted.double",
    "noise": "comment.block.latex",
    "reduction": "support.function.reduction",
    "times": "keyword.operator",
    "sign": "keyword.operator",
    "number": "constant.numeric",
    "bracket": "punctuation.section",
}
STATEMENT, WORD, BUILTIN = "keyword.control", "keyword.other", "support.function.builtin"
MODEL, KERNEL, VALUE, TAG = "entity.name.type", "entity.name.function", "variable.other", "variable.parameter.tag"
END_OF_STATEMENT = "^(?![ \\t])"
NAME_AND_TAG = f"({PARSER['NAME']})[ \\t]*({PARSER['TAG']})?"
BEFORE_STAR = r"(?=[ \t]*(?:\*|\\ast|\\cdot))"
BETWEEN_SIZES = r"(?<=[0-9])x(?=[0-9])|(?<=[ \t])x(?=[ \t])"


def textmate_grammar() -> str:
    repository = {"sized": sized(), "statement": statement(), "expression": {"patterns": expression()}}
    included = [{"include": f"#{name}"} for name in repository]
    grammar: Rule = {"name": "CLDF", "scopeName": "source.cldf", "fileTypes": ["cldf"], "patterns": included}
    return json.dumps(grammar | {"repository": repository}, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def words(known: Iterable[str]) -> str:
    """One of some words, the longest first, and no part of a longer one."""
    longest_first = sorted(known, key=lambda word: (-len(word), word))
    return f"(?<![\\w\\\\])(?:{'|'.join(longest_first)})(?!\\w)"


def builtins() -> str:
    """A built-in operator, also as LaTeX writes it: `\\mathrm{relu}`."""
    return "|".join([words(BUILTINS), *(re.escape(spell_name(name, "latex")) for name in BUILTINS)])


def scope(name: str) -> str:
    return f"{name}.cldf"


def captures(*names: str) -> Rule:
    return {str(at): {"name": scope(name)} for at, name in enumerate(names, 1)}


def statement() -> Rule:
    """The word that starts a statement, and the name of a model behind it."""
    others = words(word for word in STATEMENTS if word not in SIZED)
    name = f"(?:(?<=model)[ \\t]+({PARSER['NAME']}))?"
    return {"match": f"^[ \\t]*({others}){name}", "captures": captures(STATEMENT, MODEL)}


def sized() -> Rule:
    """A statement with sizes, in which an `x` stands for `×`, and the kernel that it declares."""
    return {
        "begin": f"^[ \\t]*({words(SIZED)})(?:(?<=kernel)[ \\t]+{NAME_AND_TAG})?",
        "beginCaptures": captures(STATEMENT, KERNEL, TAG),
        "end": END_OF_STATEMENT,
        "patterns": [{"match": BETWEEN_SIZES, "name": scope(SCOPES["times"])}, *expression()],
    }


def expression() -> list[Rule]:
    """What stands in statements and equations; the first rule that fits is meant."""
    inside = words(word for word in WORDS_INSIDE if word not in REDUCTIONS)
    kinds = ("comment", "string", "noise", "reduction", "times", "sign", "number")
    return [
        *({"match": PATTERNS[kind], "name": scope(SCOPES[kind])} for kind in kinds),
        {"match": inside, "name": scope(WORD)},
        {"match": f"({builtins()})[ \\t]*({PARSER['TAG']})?", "captures": captures(BUILTIN, TAG)},
        {"match": NAME_AND_TAG + BEFORE_STAR, "captures": captures(KERNEL, TAG)},
        {"match": NAME_AND_TAG, "captures": captures(VALUE, TAG)},
        {"match": PATTERNS["bracket"], "name": scope(SCOPES["bracket"])},
    ]
