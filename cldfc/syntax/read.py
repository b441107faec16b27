r"""File → source → tree: what can be wrong with a file, `extend \"other.cldf\"`, and changes of the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TypeGuard

from cldfc.diagnostics import CldfError, Diagnostic, Label, Problems, Source, Span, UsageError, nearest
from cldfc.library import find_spec, like, spec_names, spec_path, specs_beside
from cldfc.syntax import tree
from cldfc.syntax.parse import parse_spec
from cldfc.syntax.side_by_side import read_in_context
from cldfc.syntax.spelling import suggest

LARGEST_FILE = 10_000_000


STANDARD_INPUT = Path("-")

BUNDLED = "`cldfc specs` lists those that come with cldfc"


def read_source(path: Path) -> Source:
    """The text of a spec, found by path or name: UTF-8, with or without byte order mark, LF or CRLF.

    `-` is standard input. Raises UsageError when the file cannot be read, CldfError when it is not text.
    """
    return decode("<stdin>", standard_input()) if path == STANDARD_INPUT else _read_spec_file(path)


def _read_spec_file(path: Path) -> Source:
    """The same, where `-` is a file like any other. Pipes and devices, which may never end, are not opened."""
    path = find_spec(path)
    try:
        mode = path.stat().st_mode
        if not S_ISREG(mode) and not S_ISDIR(mode):
            raise UsageError(f"`{path}` is not a regular file", "name a .cldf file")
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise _missing_spec(path) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"cannot read `{path}`: {reason}", "name a .cldf file") from None
    return decode(str(path), data)


def decode(name: str, data: bytes) -> Source:
    """The text of the bytes of a file. Raises CldfError when they are not text."""
    if len(data) > LARGEST_FILE:
        raise _not_a_spec(name, "", "E0108", f"the file is larger than {LARGEST_FILE:,} bytes", "split the network")
    text = data.decode("utf-8-sig", errors="replace")
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", errors="replace")
        message, help = f"byte 0x{data[error.start]:02x} is not UTF-8", "save the file as UTF-8"
        raise _not_a_spec(name, text, "E0107", message, help, len(before)) from None
    return Source(name, text)


@cache
def standard_input() -> bytes:
    """What is piped into the command; it can be read once."""
    return sys.stdin.buffer.read(LARGEST_FILE + 1)


def _missing_spec(path: Path) -> UsageError:
    meant, others = like(path), [str(other) for other in specs_beside(path)]
    if meant:
        help = f"did you mean `{meant}`?"
    elif others:
        help = f"in that folder: {', '.join(others[:6])}{', …' * (len(others) > 6)}; {BUNDLED}"
    else:
        help = f"check the path; {BUNDLED}"
    return UsageError(f"there is no file `{path}`", help)


def _not_a_spec(name: str, text: str, code: str, message: str, help: str, at: int = 0) -> CldfError:
    span = Span(Source(name, text), at, min(at + 1, len(text)))
    return CldfError(Diagnostic(code, message, (Label(span, "here"),), help))


MOST_FILES = 100


def read_spec(source: Source, problems: Problems) -> tree.Tree:
    """A spec with all that it starts from. What is wrong, also with other files, goes to `problems`."""
    spec = parse_spec(source, problems)
    extension = _Extension(problems)
    statements = extension.whole(spec, {Path(os.path.abspath(source.name)): None})
    return tree.Tree(statements, source, extension.likenesses)


@dataclass
class _Extension:
    """Follows `extend` from file to file."""

    problems: Problems
    files: int = 1
    known: dict[Path, tuple[tree.Statement, ...]] = field(default_factory=dict[Path, tuple[tree.Statement, ...]])
    likenesses: dict[int, tree.Likeness] = field(default_factory=dict[int, tree.Likeness])

    def whole(self, spec: tree.Tree, open: dict[Path, tree.Extend | None]) -> tuple[tree.Statement, ...]:
        self.likenesses.update(spec.likenesses)
        extends = [statement for statement in spec.statements if isinstance(statement, tree.Extend)]
        if not extends:
            return read_in_context(spec.statements, (), spec.likeness)
        inherited: tuple[tree.Statement, ...] = ()
        for extend in extends:
            inherited = merge(inherited, self.inherited(extend, open))
        own = [statement for statement in spec.statements if not isinstance(statement, tree.Extend)]
        return merge(inherited, read_in_context(own, inherited, spec.likeness))

    def inherited(self, extend: tree.Extend, open: dict[Path, tree.Extend | None]) -> tuple[tree.Statement, ...]:
        path = self.path(extend)
        if path is None:
            self.problems.lost = True
            return ()
        if path in open:
            self.report_circle(extend, path, open)
            return ()
        if path not in self.known:
            self.known[path] = self.read(extend, path, open)
        # Expectations are about the file in which they stand.
        return tuple(statement for statement in self.known[path] if not isinstance(statement, tree.Expect))

    def read(self, extend: tree.Extend, path: Path, open: dict[Path, tree.Extend | None]) -> tuple[tree.Statement, ...]:
        self.files += 1
        if self.files > MOST_FILES:
            self.refuse(extend, "E0703", f"more than {MOST_FILES} files extend one another", "extend fewer files")
            return ()
        try:
            source = _read_spec_file(Path(os.path.relpath(path)))
        except UsageError as error:
            near = nearest(path.name, [other.name for other in path.parent.glob("*.cldf")])
            meant = os.path.join(os.path.dirname(extend.path), near) if near and near != path.name else None
            meant = meant or nearest(extend.path, spec_names())
            self.refuse(extend, "E0704", error.message, f"did you mean `{meant}`?" if meant else error.help)
            return ()
        except CldfError as error:
            self.problems.found += error.diagnostics
            self.problems.lost = True
            return ()
        return self.whole(parse_spec(source, self.problems), {**open, path: extend})

    def path(self, extend: tree.Extend) -> Path | None:
        """The file that is meant: inside the folder of this one, and not through a link."""
        folder = Path(os.path.abspath(extend.span.source.name)).parent
        written = extend.path
        normal = os.path.normpath(written)
        if os.path.isabs(written) or normal == ".." or normal.startswith(f"..{os.sep}") or "\0" in written:
            help = "write a path inside the folder of this file, or move the other file there"
            if os.path.isabs(written):
                return self.refuse(extend, "E0701", f"`{written}` is an absolute path", help)
            return self.refuse(extend, "E0701", f"`{written}` lies outside the folder of this file", help)
        path = folder
        # The spec that comes with cldfc, unless a file of that name is in the folder.
        bundled = spec_path(written)
        if bundled is not None and not os.path.lexists(folder / written):
            return Path(os.path.abspath(bundled))
        for part in Path(normal).parts:
            path = path / part
            try:
                is_link = path.is_symlink()
            except OSError as error:
                return self.refuse(extend, "E0704", f"cannot read `{written}`: {error.strerror}", "name a .cldf file")
            if is_link:
                help = "write the path of the file itself"
                return self.refuse(extend, "E0702", f"`{written}` leads through a symbolic link", help)
        return path

    def refuse(self, extend: tree.Extend, code: str, message: str, help: str) -> None:
        self.problems.report(code, message, extend.span, "not read", help)
        self.problems.lost = True

    def report_circle(self, extend: tree.Extend, path: Path, open: dict[Path, tree.Extend | None]) -> None:
        links = [link for file, link in open.items() if link is not None and file != path]
        others = [Label(link.span, "extended here") for link in links[:3]]
        help = "remove one of the `extend` statements"
        self.problems.report("E0703", f"`{extend.path}` extends itself", extend.span, "a circle", help, *others)
        self.problems.lost = True


def merge(inherited: Sequence[tree.Statement], own: Iterable[tree.Statement]) -> tuple[tree.Statement, ...]:
    """The statements with those of the same head replaced, in place of the first of them.

    `let c = 1`, `u@1 = f` and own `let d = 2`, `let c = 3` give `let c = 3`, `u@1 = f`, `let d = 2`. A declaration for
    all indices takes the place of all of its name, one for some indices, `kernel K@1`, that of one for the same alone.
    """
    own = list(own)
    indices = {statement.name for statement in (*inherited, *own) if isinstance(statement, tree.Range)}
    whole = {head_of(s)[:2] for s in own if _is_tagged(s) and not _is_for_some(s, indices)}
    replaced: dict[Hashable, list[tree.Statement]] = {}
    for statement in own:
        replaced.setdefault(_replaces(statement, whole), []).append(statement)
    merged: list[tree.Statement] = []
    done: set[Hashable] = set()
    for statement in inherited:
        head = _replaces(statement, whole)
        if head not in replaced:
            merged.append(statement)
        elif head not in done:
            done.add(head)
            merged += replaced[head]
    return (*merged, *(statement for statement in own if _replaces(statement, whole) not in done))


def _is_tagged(statement: tree.Statement) -> TypeGuard[tree.Let | tree.KernelStatement | tree.Scalar]:
    return isinstance(statement, tree.Let | tree.KernelStatement | tree.Scalar)


def _is_for_some(statement: tree.Let | tree.KernelStatement | tree.Scalar, indices: set[str]) -> bool:
    """Whether a declaration speaks of some indices alone: by a number or constant in its tag, or by `for`."""
    tag = statement.symbol.tag
    return bool(statement.clauses) or any(index.name not in indices for index in tag)


def _replaces(statement: tree.Statement, whole: set[tuple[Hashable, ...]]) -> Hashable:
    """What a statement replaces; `whole` are names of which all declarations are replaced at once."""
    head = head_of(statement)
    return head[:2] if _is_tagged(statement) and head[:2] in whole else head


def head_of(statement: tree.Statement) -> tuple[Hashable, ...]:
    """What a later statement must share with this one to replace it."""
    match statement:
        case tree.Version() | tree.Model() | tree.Extend():
            return (type(statement),)
        case tree.InputStatement() | tree.Output():
            return type(statement), statement.name
        case tree.Range(_, name):
            return "name", name
        case tree.Let(symbol) | tree.KernelStatement(symbol) | tree.Scalar(symbol):
            return "name", symbol.name, symbol.tag, statement.clauses
        case tree.Tie(symbol):
            return "tie", symbol.name
        case tree.Equation(left):
            return "equation", left, statement.clauses
        case _:
            return type(statement), getattr(statement, fields(statement)[0].name)


def change_spec(spec: tree.Tree, changes: Sequence[Source], problems: Problems) -> tree.Tree:
    """A spec with the statements of the command line in place of its own."""
    statements = spec.statements
    for source in changes:
        own = read_in_context(parse_spec(source, problems).statements, statements)
        for let in own:
            if isinstance(let, tree.Let):
                _check_known(let, statements, problems)
        statements = merge(statements, [_adopt(statement, statements) for statement in own])
    return tree.Tree(statements, spec.source, spec.likenesses)


def _check_known(let: tree.Let, statements: Sequence[tree.Statement], problems: Problems) -> None:
    known = [other.symbol.name for other in statements if isinstance(other, tree.Let)]
    if let.symbol.name not in known:
        help = suggest(let.symbol.name, known, f"the spec has {', '.join(f'`{name}`' for name in known)}")
        message = f"the spec has no `let {let.symbol.name}` to replace"
        problems.report("E0201", message, let.symbol.span, "unknown name", help if known else "write it into the spec")


def _adopt(statement: tree.Statement, others: Sequence[tree.Statement]) -> tree.Statement:
    """`let ν = 3,4,6,3` for `let ν@ℓ = …`: without a tag it takes on that of what it replaces."""
    if not isinstance(statement, tree.Let) or statement.symbol.tag:
        return statement
    for other in others:
        if isinstance(other, tree.Let) and other.symbol.name == statement.symbol.name:
            return replace(statement, symbol=replace(statement.symbol, tag=other.symbol.tag))
    return statement
