"""Completion: names in scope, operators, keywords, and letters by their LaTeX commands."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lsprotocol import types

from cldfc.lsp.documents import Document, Positions
from cldfc.network.names import Kind, Names
from cldfc.ops import BUILTINS, Extreme
from cldfc.ops.manual import signature
from cldfc.syntax import tree
from cldfc.syntax.format import COMMANDS, Spelling, format_statement, format_symbol, spell_name
from cldfc.syntax.keywords import EXAMPLES, WORDS_INSIDE
from cldfc.syntax.spelling import LETTER, ascii_name, canonical_name

_ItemKind = types.CompletionItemKind
_TYPED = re.compile(rf"\\[A-Za-z]*$|{LETTER}(?:{LETTER}|[0-9_])*$")
_OPERANDS = re.compile(r"\s*let\b[^=(]*\(([^()=]*)\)\s*:?=")
_TAG = re.compile(r"@(?:\{[^}]*|(?:[\w@,]|[+-][0-9])*)$")
_KINDS = {
    Kind.KERNEL: _ItemKind.Class,
    Kind.SCALAR: _ItemKind.Variable,
    Kind.VECTOR: _ItemKind.Variable,
    Kind.NUMBER: _ItemKind.Constant,
    Kind.INDEX: _ItemKind.Variable,
    Kind.OPERATOR: _ItemKind.Function,
    Kind.VALUE: _ItemKind.Field,
}
_INDICES = (Kind.INDEX, Kind.NUMBER)


def completions(document: Document, offset: int, spelling: Spelling, encoding: str) -> list[types.CompletionItem]:
    """All items that may stand at an offset; the editor filters them by what has been typed."""
    text = document.current.source.text
    line = text[text.rfind("\n", 0, offset) + 1 : offset]
    found = _TYPED.search(line)
    typed = found[0] if found else ""
    before = line.removesuffix(typed)
    written = Positions(text, encoding).range(offset - len(typed), offset)
    items = list(_suggestions(document, before, typed, spelling))
    for item in items:
        # Replaces what has been typed, which may be the ASCII name of a letter.
        new = item.insert_text or item.label
        item.text_edit = types.TextEdit(written, new)
        item.filter_text = item.filter_text or (ascii_name(new) if typed.isascii() else new)
    return items


def _suggestions(document: Document, before: str, typed: str, spelling: Spelling) -> Iterator[types.CompletionItem]:
    if "#" in before:
        return
    if typed.startswith("\\"):
        yield from _letters(spelling)
    elif _TAG.search(before):
        yield from _known_names(document, spelling, _INDICES)
    else:
        if not before.strip():
            for word, example in EXAMPLES.items():
                detail = example.replace("`", "")
                yield types.CompletionItem(word, kind=_ItemKind.Keyword, detail=detail, insert_text=f"{word} ")
        yield from _operands(before, spelling)
        yield from _everything(document, spelling)


def _operands(before: str, spelling: Spelling) -> Iterator[types.CompletionItem]:
    """The operands of the operator that a line defines: u and f in `let S@ℓ(u, f) = …`."""
    head = _OPERANDS.match(before)
    for written in head[1].split(",") if head else ():
        name = spell_name(canonical_name(written.strip()), spelling)
        yield types.CompletionItem(name, kind=_ItemKind.Variable, detail="an operand", sort_text=f"0{ascii_name(name)}")


def _letters(spelling: Spelling) -> Iterator[types.CompletionItem]:
    r"""`\sigma` → `σ`."""
    for letter, command in COMMANDS.items():
        plain = command.replace("{", "").replace("}", "")
        yield types.CompletionItem(spell_name(letter, spelling), kind=_ItemKind.Text, detail=command, filter_text=plain)


def _everything(document: Document, spelling: Spelling) -> Iterator[types.CompletionItem]:
    yield from _known_names(document, spelling, tuple(_KINDS))
    for name in document.known.names.open:
        yield types.CompletionItem(spell_name(name, spelling), kind=_ItemKind.Constant, detail="an open size")
    for keyword, operator in BUILTINS.items():
        about = (operator.__doc__ or "").partition("\n")[0]
        yield types.CompletionItem(keyword, kind=_ItemKind.Function, detail=signature(operator), documentation=about)
    about = (Extreme.__doc__ or "").partition("\n")[0]
    yield types.CompletionItem("max_with", kind=_ItemKind.Function, detail="max_with[a]", documentation=about)
    for word in WORDS_INSIDE:
        yield types.CompletionItem(word, kind=_ItemKind.Keyword)


def _known_names(document: Document, spelling: Spelling, kinds: tuple[Kind, ...]) -> Iterator[types.CompletionItem]:
    found: dict[str, Names] = {}
    for names in (document.known.names, document.current.names):
        found |= dict.fromkeys([*names.declared, *names.by_name], names)
    for name, names in found.items():
        kind = names.kind_of_symbol(name)
        if kind is not None and kind in kinds:
            yield types.CompletionItem(
                spell_name(name, spelling),
                kind=_KINDS[kind],
                detail=f"{format_symbol(names.head_of(name)[0], spelling)}: {kind.value}",
                documentation=_said_of(names, name, spelling),
                sort_text=f"0{ascii_name(name)}",
            )


def _said_of(names: Names, name: str, spelling: Spelling) -> str:
    declared = names.declared.get(name)
    equations = [equation for arity in names.arities(name) for equation in names.families[name, arity]]
    declarations = names.statements_of(name) if declared is not None else []
    statements: list[tree.Statement] = [*declarations, *equations]
    return "\n".join(format_statement(statement, spelling) for statement in statements)
