"""What may be written at a place: names in scope, operators, words of the language, letters by their LaTeX names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lsprotocol import types

from cldfc.lsp.documents import Document
from cldfc.lsp.positions import Positions
from cldfc.network.advice import Kind
from cldfc.network.names import Names
from cldfc.ops import BUILTINS
from cldfc.ops.reference import signature
from cldfc.syntax import tree
from cldfc.syntax.format import format_symbol
from cldfc.syntax.keywords import EXAMPLES, WORDS_INSIDE
from cldfc.syntax.lines import format_statement
from cldfc.syntax.spelling import LETTER, ascii_name
from cldfc.syntax.words import COMMANDS, Spelling, spell_name

ItemKind = types.CompletionItemKind
TYPED = re.compile(rf"\\[A-Za-z]*$|{LETTER}(?:{LETTER}|[0-9_])*$")
TAG = re.compile(r"@(?:\{[^}]*|(?:[\w@,]|[+-][0-9])*)$")
KINDS = {
    Kind.KERNEL: ItemKind.Class,
    Kind.SCALAR: ItemKind.Variable,
    Kind.NUMBER: ItemKind.Constant,
    Kind.INDEX: ItemKind.Variable,
    Kind.OPERATOR: ItemKind.Function,
    Kind.VALUE: ItemKind.Field,
}
INDICES = (Kind.INDEX, Kind.NUMBER)


def completions(document: Document, offset: int, spelling: Spelling, encoding: str) -> list[types.CompletionItem]:
    """What may stand at an offset; the editor chooses by what has been typed of it."""
    text = document.current.source.text
    line = text[text.rfind("\n", 0, offset) + 1 : offset]
    found = TYPED.search(line)
    typed = found[0] if found else ""
    before = line.removesuffix(typed)
    written = Positions(text, encoding).range(offset - len(typed), offset)
    items = list(suggestions(document, before, typed, spelling))
    for item in items:
        # In place of what has been typed, which may be the ASCII name of a letter.
        new = item.insert_text or item.label
        item.text_edit = types.TextEdit(written, new)
        item.filter_text = item.filter_text or (ascii_name(new) if typed.isascii() else new)
    return items


def suggestions(document: Document, before: str, typed: str, spelling: Spelling) -> Iterator[types.CompletionItem]:
    if "#" in before:
        return
    if typed.startswith("\\"):
        yield from letters(spelling)
    elif TAG.search(before):
        yield from known_names(document, spelling, INDICES)
    else:
        if not before.strip():
            for word, example in EXAMPLES.items():
                detail = example.replace("`", "")
                yield types.CompletionItem(word, kind=ItemKind.Keyword, detail=detail, insert_text=f"{word} ")
        yield from everything(document, spelling)


def letters(spelling: Spelling) -> Iterator[types.CompletionItem]:
    r"""`\sigma` → `σ`."""
    for letter, command in COMMANDS.items():
        plain = command.replace("{", "").replace("}", "")
        yield types.CompletionItem(spell_name(letter, spelling), kind=ItemKind.Text, detail=command, filter_text=plain)


def everything(document: Document, spelling: Spelling) -> Iterator[types.CompletionItem]:
    yield from known_names(document, spelling, tuple(KINDS))
    for keyword, operator in BUILTINS.items():
        about = (operator.__doc__ or "").partition("\n")[0]
        yield types.CompletionItem(keyword, kind=ItemKind.Function, detail=signature(operator), documentation=about)
    for word in WORDS_INSIDE:
        yield types.CompletionItem(word, kind=ItemKind.Keyword)


def known_names(document: Document, spelling: Spelling, kinds: tuple[Kind, ...]) -> Iterator[types.CompletionItem]:
    found: dict[str, Names] = {}
    for names in (document.known.names, document.current.names):
        found |= dict.fromkeys([*names.declared, *names.by_name], names)
    for name, names in found.items():
        kind = names.kind_of_symbol(name)
        if kind is not None and kind in kinds:
            yield types.CompletionItem(
                spell_name(name, spelling),
                kind=KINDS[kind],
                detail=f"{format_symbol(names.head_of(name)[0], spelling)}: {kind.value}",
                documentation=said_of(names, name, spelling),
                sort_text=f"0{ascii_name(name)}",
            )


def said_of(names: Names, name: str, spelling: Spelling) -> str:
    declared = names.declared.get(name)
    equations = [equation for arity in names.arities(name) for equation in names.families[name, arity]]
    statements: list[tree.Statement] = [*([declared] if declared is not None else []), *equations]
    return "\n".join(format_statement(statement, spelling) for statement in statements)
