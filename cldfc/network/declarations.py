"""The statements of a spec, sorted and resolved: `kernel`, `scalar`, `tie`, `rename`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import groupby

from cldfc.diagnostics import Label, Problems, Span
from cldfc.network.constants import Constants, Tags, is_transfer, resolve_bound
from cldfc.network.expand import Expansion
from cldfc.network.names import DeclaringStatement, Kind, Names
from cldfc.network.numbers import report_unfit
from cldfc.network.positions import (
    LARGEST_FLOAT,
    LARGEST_SIZE,
    Formula,
    IndexRange,
    Key,
    Lookup,
    Position,
    Positions,
    format_key,
)
from cldfc.network.program import Attribute, Declaration, Step, Template, TieRule, Use, Words
from cldfc.ops import BUILTINS, KernelStart
from cldfc.syntax import tree
from cldfc.syntax.format import format_symbol
from cldfc.syntax.keywords import EXAMPLES, STATEMENTS, WORDS_INSIDE
from cldfc.syntax.spelling import suggest


def collect_names(spec: tree.Tree, problems: Problems) -> Names:
    names = Names(problems)
    for statement in spec.statements:
        match statement:
            case tree.Model():
                _refuse_second(names, "model", names.model, statement.span)
                names.model = names.model or statement
            case tree.Output():
                _refuse_second(names, "output", names.output, statement.name_span)
                names.output = names.output or statement
            case tree.Equation():
                name, arity = statement.left.name, len(statement.left.tag)
                if (name, arity) not in names.families:
                    names.by_name.setdefault(name, []).append(arity)
                names.families.setdefault((name, arity), []).append(statement)
            case tree.Tie():
                names.ties.append(statement)
            case tree.Rename():
                names.renames.append(statement)
            case tree.Constrain():
                names.constraints.append(statement)
            case tree.Let() | tree.KernelStatement() | tree.Scalar() | tree.Range() | tree.InputStatement():
                _declare(names, statement)
            case _:
                # What it says is read where it is checked, and declares no name.
                pass
    _report_clashes(names)
    return names


def _declare(names: Names, statement: DeclaringStatement) -> None:
    name, span = _declared_name(statement)
    if isinstance(statement, tree.InputStatement):
        _refuse_second(names, "input", names.input, span)
        if names.input is not None:
            names.problems.broken.add(name)
        names.input = names.input or statement
    if _is_taken(names, name, span):
        return
    if (earlier := names.declared.get(name)) is not None:
        message = f"`{name}` is declared twice"
        help = "remove one of the two, or give it another name"
        names.problems.report(
            "E0203", message, span, "declared again", help, Label(_declared_name(earlier)[1], "declared first")
        )
    else:
        names.declared[name] = statement


def _is_taken(names: Names, name: str, span: Span) -> bool:
    """Whether a name is one of the language's own, which is reported."""
    if name not in BUILTINS and name not in STATEMENTS and name not in WORDS_INSIDE:
        return False
    what = "a built-in operator" if name in BUILTINS else "a word of the language"
    names.problems.report("E0204", f"`{name}` is {what}", span, "already taken", "choose another name")
    return True


def _declared_name(statement: DeclaringStatement) -> tuple[str, Span]:
    match statement:
        case tree.Let(symbol) | tree.KernelStatement(symbol) | tree.Scalar(symbol):
            return symbol.name, symbol.span
        case tree.Range(_, name) | tree.InputStatement(name):
            return name, statement.name_span


def _refuse_second(
    names: Names, keyword: str, earlier: tree.Model | tree.Output | tree.InputStatement | None, span: Span
) -> None:
    if earlier is not None:
        before = earlier.span if isinstance(earlier, tree.Model) else earlier.name_span
        message = f"there is a second `{keyword}`"
        names.problems.report("E0203", message, span, "the second", "keep one of the two", Label(before, "the first"))


def _report_clashes(names: Names) -> None:
    """Equations may not define what a declaration already says."""
    for equation in (equations[0] for equations in names.families.values()):
        left, earlier = equation.left, names.declared.get(equation.left.name)
        if _is_taken(names, left.name, left.span):
            continue
        if earlier is not None and not (isinstance(earlier, tree.InputStatement) and left.tag):
            message = f"`{left.name}` is declared, so no equation may define it"
            help = "give one of the two another name"
            names.problems.report(
                "E0203", message, left.span, "defined again", help, Label(_declared_name(earlier)[1], "declared here")
            )
            names.problems.lost = True


def report_missing(names: Names, end: Span) -> None:
    present = {"model": names.model, "input": names.input, "output": names.output}
    missing = [word for word, found in present.items() if found is None and not names.problems.explain(word)]
    if missing:
        message = f"there is no {', no '.join(f'`{word}`' for word in missing)} statement"
        names.problems.report("E0301", message, end, "missing", f"add {', '.join(EXAMPLES[word] for word in missing)}")


_LARGEST_KERNEL = 255
_LARGEST_PADDING = 2**16


def resolve_parameters(tags: Tags) -> dict[str, Declaration]:
    found: dict[str, Declaration] = {}
    for name, statement in tags.constants.names.declared.items():
        if isinstance(statement, tree.KernelStatement):
            declaration = _resolve_kernel(statement, tags)
        elif isinstance(statement, tree.Scalar) and not statement.is_fixed:
            declaration = _resolve_scalar(statement, tags)
        else:
            continue
        if declaration is None:
            tags.problems.broken.add(name)
        else:
            found[name] = declaration
    return found


def _resolve_kernel(kernel: tree.KernelStatement, tags: Tags) -> Declaration | None:
    constants = tags.constants
    is_map = is_transfer(kernel.symbol.tag)
    own = kernel.symbol.tag[:1] if is_map else kernel.symbol.tag
    head = tags.head(tree.Symbol(kernel.symbol.name, own, kernel.symbol.span))
    height = constants.whole(kernel.height, "the size of a kernel", 1, _LARGEST_KERNEL)
    width = constants.whole(kernel.width, "the size of a kernel", 1, _LARGEST_KERNEL)
    if head is None or height is None or width is None:
        return None
    rows, columns = (*kernel.padding, *kernel.padding, None, None)[:2]
    if len(kernel.padding) == 1:
        columns = None
    wanted = {
        "in": (kernel.channels_in, "a number of channels", 1, LARGEST_SIZE),
        "out": (None if kernel.is_each else kernel.channels_out, "a number of channels", 1, LARGEST_SIZE),
        "groups": (kernel.groups, "a number of groups", 1, LARGEST_SIZE),
        "dilation": (kernel.dilation, "a dilation", 1, _LARGEST_KERNEL),
        "padding": (rows, "a padding", 0, _LARGEST_PADDING),
        "padding_width": (columns, "a padding", 0, _LARGEST_PADDING),
    }
    attributes = {"size": Attribute(Formula(height), "the size of a kernel", 1, _LARGEST_KERNEL, kernel.height.span)}
    if width != height:
        attributes["width"] = Attribute(Formula(width), "the width of a kernel", 1, _LARGEST_KERNEL, kernel.width.span)
    for name, (expression, role, least, most) in wanted.items():
        if expression is not None:
            attribute = _resolve_attribute(expression, role, (least, most), kernel.symbol.tag, constants)
            if attribute is None:
                return None
            attributes[name] = attribute
    if kernel.boundary == "valid":
        attributes["padding"] = Attribute(Formula(0), "a padding", 0, 0, kernel.span)
    given = {"bias": kernel.has_bias, "each": kernel.is_each, "fixed": kernel.is_fixed}
    attributes |= {name: Attribute(Formula(1), name, 0, 1, kernel.span) for name, is_given in given.items() if is_given}
    if kernel.is_each and kernel.groups is not None:
        message, help = "`each` has a kernel for each channel, and so its own groups", "leave `groups` out"
        return tags.problems.report("E0203", message, kernel.groups.span, "the second", help)
    start = _resolve_start(kernel, (height, width), tags)
    if start is None:
        return None
    is_lower = is_map or ("out" in attributes and _is_next(attributes["out"]))
    return Declaration(kernel.symbol.name, head, attributes, kernel, 0 if is_lower else 1, start)


# Scaled as is customary: Laplacians to consistency, a prolongation by 2 to a sum of 4, a restriction to 1.
_STENCILS: Mapping[str, tuple[float, tuple[tuple[int, ...], ...]]] = {
    "laplace5": (1, ((0, -1, 0), (-1, 4, -1), (0, -1, 0))),
    "laplace9": (1 / 6, ((-1, -4, -1), (-4, 20, -4), (-1, -4, -1))),
    "bilinear": (1 / 4, ((1, 2, 1), (2, 4, 2), (1, 2, 1))),
    "full_weighting": (1 / 16, ((1, 2, 1), (2, 4, 2), (1, 2, 1))),
}
_ANY_SIZE = ("identity", "average")


def _resolve_start(kernel: tree.KernelStatement, size: tuple[int, int], tags: Tags) -> KernelStart | None:
    """What a kernel starts from; None when it was reported."""
    stencil, problems = kernel.stencil, tags.problems
    name = format_symbol(kernel.symbol)
    if stencil is None and kernel.is_fixed:
        message, help = f"`{name}` is fixed, and has no numbers", "write them: `= [0 -1 0; -1 4 -1; 0 -1 0] fixed`"
        return problems.report("E0411", message, kernel.symbol.span, "without numbers", help)
    if stencil is None:
        std = 0 if kernel.start_number is None else tags.constants.number(kernel.start_number)
        return None if std is None else KernelStart(kernel.start or "he_out", std)
    if kernel.start is not None:
        message, help = f"`{name}` starts from numbers, and from `{kernel.start}`", "keep one of the two"
        return problems.report("E0203", message, stencil.span, "the second", help)
    factor = 1 if stencil.factor is None else tags.constants.number(stencil.factor)
    scale, rows = _rows_of(stencil, size, tags)
    if factor is None or rows is None:
        return None
    found = tuple(len(row) for row in rows)
    if found != (size[1],) * size[0]:
        columns = str(found[0]) if len(set(found)) == 1 else " and ".join(map(str, sorted(set(found))))
        message = f"`{name}` is {size[0]}×{size[1]}, but its numbers are {len(rows)} rows of {columns}"
        help = f"write {size[0]} rows of {size[1]} numbers, separated by `;`, or another size"
        label = Label(kernel.height.span.to(kernel.width.span), "the size")
        return problems.report("E0411", message, stencil.span, f"{len(rows)} rows of {columns}", help, label)
    return KernelStart(
        rows=tuple(tuple(factor * scale * entry for entry in row) for row in rows), is_fixed=kernel.is_fixed
    )


def _rows_of(
    stencil: tree.Stencil, size: tuple[int, int], tags: Tags
) -> tuple[float, Sequence[Sequence[int | float]] | None]:
    """The numbers of a stencil, and what they are scaled by."""
    if stencil.name is None:
        rows = [[tags.constants.number(entry) for entry in row] for row in stencil.rows]
        known = [[number for number in row if number is not None] for row in rows]
        return 1, known if known == rows else None
    if stencil.name == "average":
        return 1 / (size[0] * size[1]), [[1] * size[1]] * size[0]
    if stencil.name == "identity":
        middle = (size[0] // 2, size[1] // 2)
        return 1, [[int((row, column) == middle) for column in range(size[1])] for row in range(size[0])]
    if stencil.name in _STENCILS:
        return _STENCILS[stencil.name]
    known = (*_STENCILS, *_ANY_SIZE)
    help = suggest(stencil.name, known, f"there are {', '.join(f'`{name}`' for name in known)}, or write numbers")
    tags.problems.report("E0201", f"undefined stencil `{stencil.name}`", stencil.span, "unknown name", help)
    return 1, None


def _is_next(channels: Attribute) -> bool:
    """Whether channels are those of the next level, `c@ℓ+1`: the kernel's index is the level that it starts from."""
    tables = [p.base.at for p in channels.formula.positions() if isinstance(p.base, Lookup)]
    return any(at.offset == 1 for at in tables)


def _resolve_attribute(
    expression: tree.Expression, role: str, limits: tuple[int, int], head: tuple[tree.Index, ...], constants: Constants
) -> Attribute | None:
    names = {index.name for index in head if index.name is not None}
    formula = constants.formula(expression, names, head)
    if formula is None:
        return None
    if formula.is_fixed():
        if constants.whole(expression, role, *limits) is None:
            return None
    if isinstance(expression, tree.Symbol) and (constant := constants.constant(expression.name)) is not None:
        if not constants.all_whole(constant, expression.span, role, *limits):
            return None
    return Attribute(formula, role, *limits, expression.span)


def _resolve_scalar(scalar: tree.Scalar, tags: Tags) -> Declaration | None:
    head = tags.head(scalar.symbol)
    formula = None if head is None else _initial_value(scalar, head, tags)
    if head is None or formula is None:
        return None
    role, span = "an initial value", scalar.values[0].span.to(scalar.values[-1].span)
    attributes = {"init": Attribute(formula, role, -LARGEST_FLOAT, LARGEST_FLOAT, span)}
    if scalar.channels is not None:
        limits = (1, LARGEST_SIZE)
        channels = _resolve_attribute(
            scalar.channels, "a number of channels", limits, scalar.symbol.tag, tags.constants
        )
        if channels is None:
            return None
        attributes["channels"] = channels
    return Declaration(scalar.symbol.name, head, attributes, scalar)


def _initial_value(scalar: tree.Scalar, head: tuple[str, ...], tags: Tags) -> Formula | None:
    """The formula of an initial value, or a table of one for each level; None when it was reported."""
    symbol, (value, *others) = scalar.symbol, scalar.values
    if others:
        table = tags.constants.evaluate(tree.Let(symbol, scalar.values, scalar.span))
        found = [] if table is None else list(zip(table.values, scalar.values, strict=True))
        formula = None if table is None else Formula(Position(Lookup(table, Position(head[0], 0)), 0))
    else:
        formula = tags.constants.formula(value, frozenset(head), symbol.tag)
        number = tags.constants.number(value) if formula is not None and formula.is_fixed() else 0
        found, formula = [] if number is None else [(number, value)], None if number is None else formula
    for number, written in found:
        if abs(number) > LARGEST_FLOAT:
            limits, role = (-LARGEST_FLOAT, LARGEST_FLOAT), "an initial value"
            return report_unfit(tags.problems, number, written.span, role, *limits, kind="number")
    return formula


# Ties


def resolve_ties(ties: list[tree.Tie], parameters: Mapping[str, Declaration], tags: Tags) -> dict[str, TieRule]:
    found: dict[str, TieRule] = {}
    for name, same in groupby(sorted(ties, key=lambda tie: tie.symbol.name), key=lambda tie: tie.symbol.name):
        statements = list(same)
        declaration = parameters.get(name)
        if declaration is None:
            if not tags.problems.explain(name):
                tags.constants.names.report_kind(statements[0].symbol, Kind.PARAMETER)
            continue
        rules = [_resolve_tie(tie, declaration, tags) for tie in statements]
        known = [rule for rule in rules if rule is not None]
        if len(known) == len(rules) and len(known) > 1:
            first, second = statements[0].symbol, statements[1].symbol
            message = f"`{name}` is tied twice"
            help = "keep one of the two; a `for` may have several clauses: `tie B@ℓ for ℓ >= 2, i >= 1`"
            tags.problems.report("E0203", message, second.span, "tied again", help, Label(first.span, "tied first"))
        elif known:
            found[name] = known[0]
    return found


def _resolve_tie(tie: tree.Tie, declaration: Declaration, tags: Tags) -> TieRule | None:
    kept: list[int] = []
    for index in tie.symbol.tag:
        name = index.name or ""
        if name not in declaration.indices or index.offset or index.at is not None:
            text = format_symbol(tags.constants.names.head_of(declaration.name)[0])
            return tags.problems.report(
                "E0208",
                f"`{index.span.text.strip()}` is not an index of `{text}`",
                index.span,
                "expected one of its indices",
                f"write indices of `{text}`, such as `tie {declaration.name}@{declaration.indices[0]}`"
                if declaration.indices
                else f"`{text}` is already shared across the whole network: remove the `tie`",
                Label(declaration.statement.symbol.span, "declared here"),
            )
        kept.append(declaration.indices.index(name))
    clauses = [resolve_clause(clause, frozenset(declaration.indices), tie.symbol.tag, tags) for clause in tie.clauses]
    known = tuple(clause for clause in clauses if clause is not None)
    return TieRule(tuple(kept), declaration.indices, known) if len(known) == len(clauses) else None


def resolve_clause(
    clause: tree.Clause, bound: Set[str], context: tuple[tree.Index, ...], tags: Tags
) -> IndexRange | None:
    """`i = 1..ν`, `i >= 1`: a range over index names that are bound."""
    if clause.name not in bound:
        return tags.problems.report(
            "E0206",
            f"`{clause.name}` is not an index here",
            clause.name_span,
            "not an index of the tag on the left",
            f"write {' or '.join(f'`{name}`' for name in sorted(bound))}" if bound else "leave out this range",
        )
    ends = [
        None if end is None else resolve_bound(tags.constants, end, bound, context)
        for end in (clause.lower, clause.upper)
    ]
    lower, upper = clause.lower, clause.upper
    if isinstance(lower, tree.Number) and isinstance(upper, tree.Number) and upper.value < lower.value:
        message = f"the range of `{clause.name}` is empty: it goes from {lower.span.text} to {upper.span.text}"
        place = lower.span.to(upper.span)
        return tags.problems.report("E0505", message, place, "cannot be a range", "write the smaller bound first")
    if (clause.lower is not None and ends[0] is None) or (clause.upper is not None and ends[1] is None):
        return None
    return IndexRange("steps", clause.name, ends[0], ends[1], None, clause.span, is_explicit=True)


@dataclass(frozen=True, slots=True)
class _Renaming:
    """A `rename`, with what its two tags stand for over the index names of the left one."""

    statement: tree.Rename
    old: Positions
    new: Positions

    @property
    def open(self) -> int:
        """How many of its indices are not numbers: of two that speak of a parameter the one with more numbers holds."""
        return sum(position.base is not None for position in self.old)

    def apply(self, use: Use) -> Use | None:
        """A use under its new name; None where this speaks of others."""
        found: dict[str, Position] = {}
        for wanted, given in zip(self.old, use.positions, strict=True):
            if isinstance(wanted.base, str):
                at = given.shifted(-wanted.offset)
                if found.setdefault(wanted.base, at) != at:
                    return None
            elif wanted != given:
                return None
        new = tuple(position.substitute(found) for position in self.new)
        return Use(self.statement.new.name, new, new, use.span)


def rename_uses(templates: Sequence[Template], words: Words) -> list[Template]:
    """The equations with their parameters under the names that `rename` statements give.

    A `rename` of what is not there says nothing: another `let σ` may have left a normalisation out.
    """
    found: dict[tuple[str, int], list[_Renaming]] = {}
    for renaming in sorted(_resolve_renames(words), key=lambda renaming: renaming.open):
        symbol = renaming.statement.old
        found.setdefault((symbol.name, len(symbol.tag)), []).append(renaming)
    if not found:
        return list(templates)
    changed: list[Template] = []
    for template in templates:
        steps: list[Step] = []
        for step in template.steps:
            uses = (step.use, step.statistics)
            use, statistics = (use and _renamed_use(use, found, words.problems) for use in uses)
            steps.append(replace(step, use=use, statistics=statistics))
        changed.append(replace(template, steps=tuple(steps)))
    return changed


def _renamed_use(use: Use, renamings: Mapping[tuple[str, int], Sequence[_Renaming]], problems: Problems) -> Use:
    mine = renamings.get((use.name, len(use.positions)), ())
    if not mine:
        return use
    found = [new for new in (renaming.apply(use) for renaming in mine) if new is not None]
    if found:
        return found[0]
    for renaming in mine:
        if _may_meet(renaming.old, use.positions):
            where = ",".join(map(str, use.positions))
            _refuse_rename(
                problems,
                renaming.statement.old,
                f"`{format_symbol(renaming.statement.old)}` is one of the parameters `{use.name}@{where}`",
                "not all of them",
                f"rename them together: `rename {use.name}@{where} → …`",
                Label(use.span, "they stand here"),
            )
    return use


def _may_meet(one: Positions, other: Positions) -> bool:
    return all(a.base is not None or b.base is not None or a == b for a, b in zip(one, other, strict=True))


def _resolve_renames(words: Words) -> list[_Renaming]:
    declared, problems = words.names.declared, words.problems
    given: dict[tuple[str, Positions], tree.Rename] = {}
    found: list[_Renaming] = []
    for statement in words.names.renames:
        old, new = statement.old, statement.new
        if old.name in declared:
            help = "change it where it is declared, and where it is used"
            _refuse_rename(problems, old, f"`{old.name}` gets its name from its declaration", "is declared", help)
            continue
        if new.name in declared or new.name in BUILTINS:
            _refuse_rename(
                problems, new, f"`{new.name}` is the name of something else", "already taken", "choose another name"
            )
            continue
        names = frozenset(i.name for i in old.tag if i.name and not words.names.is_constant(i.name))
        positions = words.tags.positions(old, names), words.tags.positions(new, names)
        if positions[0] is None or positions[1] is None:
            continue
        earlier = given.setdefault((old.name, positions[0]), statement)
        if earlier is not statement:
            label = Label(earlier.old.span, "renamed first")
            message, help = f"`{format_symbol(old)}` is renamed twice", "keep one of the two"
            problems.report("E0203", message, old.span, "renamed again", help, label)
        else:
            found.append(_Renaming(statement, positions[0], positions[1]))
    return found


def check_renamed(expansion: Expansion, problems: Problems) -> None:
    """Report where a new name would make one parameter of two. Raises CldfError then: nothing else can be said."""
    renames = {s.new.name: s for s in expansion.program.spec.statements if isinstance(s, tree.Rename)}
    seen: dict[Key, tuple[object, int, int]] = {}
    for operation in expansion.operations:
        key = operation.parameter
        if key is None or key[0] not in renames:
            continue
        place = (operation.span, operation.instance, operation.step)
        if seen.setdefault(key, place) != place:
            statement = renames.pop(key[0])
            message = f"`{format_key(key)}` would name two parameters"
            help = "give each its own name, and a tag with all indices that the old one has"
            _refuse_rename(
                problems, statement.new, message, "not one for each", help, Label(operation.span, "one of the two")
            )
            problems.stop_if_any()


def _refuse_rename(
    problems: Problems, symbol: tree.Symbol, message: str, label: str, help: str, *others: Label
) -> None:
    problems.report("E0220", message, symbol.span, label, help, *others)
