"""The statements of a spec, sorted and resolved: `kernel`, `scalar`, `tie`, `rename`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import groupby
from math import prod

from cldfc.diagnostics import Label, Problems, Span
from cldfc.network.constants import Constants, Tags, is_transfer, resolve_clause
from cldfc.network.expand import Expansion
from cldfc.network.names import DeclaringStatement, Kind, Names, TaggedStatement
from cldfc.network.numbers import report_unfit
from cldfc.network.positions import (
    LARGEST_FLOAT,
    LARGEST_SIZE,
    Case,
    Formula,
    Key,
    Lookup,
    Position,
    Positions,
    format_key,
)
from cldfc.network.program import Attribute, Declaration, Step, Template, TieRule, Use, Words
from cldfc.ops import BUILTINS, KernelStart
from cldfc.ops.convolution import PADDINGS, SIDES
from cldfc.syntax import tree
from cldfc.syntax.format import format_symbol
from cldfc.syntax.keywords import EXAMPLES, STATEMENTS, WORDS_INSIDE
from cldfc.syntax.side_by_side import Multiples
from cldfc.syntax.spelling import suggest
from cldfc.syntax.walk import fixes, mentions


def collect_names(spec: tree.Tree, problems: Problems) -> Names:
    names = Names(problems, multiples=Multiples.of(spec.statements, spec.likeness))
    without: set[int] = set()
    """The equations, by their identity, in which nothing is looked for."""
    for statement in spec.statements:
        match statement:
            case tree.Model():
                if names.model is not None:
                    _refuse_second(names, "model", statement.span, names.model.span)
                names.model = names.model or statement
            case tree.Output(name):
                if name in names.outputs:
                    _refuse_second(names, f"output {name}", statement.name_span, names.outputs[name].name_span)
                names.outputs.setdefault(name, statement)
            case tree.Equation():
                name, arity = statement.left.name, len(statement.left.tag)
                if (name, arity) not in names.families:
                    names.by_name.setdefault(name, []).append(arity)
                names.families.setdefault((name, arity), []).append(statement)
                likeness = spec.likeness(statement)
                if likeness is None or id(likeness.first) not in without:
                    unknowns = [fix.name for fix in fixes(statement)]
                    names.unknowns.update(unknowns)
                    without.update([] if unknowns else [id(statement)])
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
    _settle_members(names)
    _report_clashes(names)
    _report_double_ends(names)
    names.open = _find_open_names(names)
    return names


def _find_open_names(names: Names) -> dict[str, Span]:
    """The names in heights and widths of inputs that nothing else declares: sizes that are open, and where."""
    found: dict[str, Span] = {}
    for statement in names.inputs.values():
        own = {clause.name for clause in statement.clauses} | {index.name for index in statement.symbol.tag}
        for symbol in (m for size in statement.shape[1:] for m in mentions(size) if isinstance(m, tree.Symbol)):
            is_known = symbol.name in names.declared or symbol.name in names.by_name or symbol.name in BUILTINS
            if not is_known and symbol.name not in own and symbol.name not in names.outputs:
                found.setdefault(symbol.name, symbol.span)
    return found


def _declare(names: Names, statement: DeclaringStatement) -> None:
    name, span = _declared_name(statement)
    if _is_taken(names, name, span):
        return
    earlier = names.declared.get(name)
    if isinstance(statement, TaggedStatement) and (earlier is None or _is_another_case(statement, names, name)):
        names.members.setdefault(name, []).append(statement)
        names.declared.setdefault(name, statement)
    elif earlier is not None:
        message = f"`{name}` is declared twice"
        help = "remove one of the two, or give it another name"
        names.problems.report(
            "E0203", message, span, "declared again", help, Label(_declared_name(earlier)[1], "declared first")
        )
    else:
        names.declared[name] = statement
        if isinstance(statement, tree.InputStatement):
            names.inputs[name] = statement


def _is_another_case(statement: TaggedStatement, names: Names, name: str) -> bool:
    """Whether a declaration may hold for other tags than the earlier ones of its name: `K@1` beside `K@ℓ`."""
    earlier = names.members.get(name, [])
    tag, clauses = statement.symbol.tag, statement.clauses
    return bool(earlier and tag) and all(
        type(other) is type(statement)
        and len(other.symbol.tag) == len(tag)
        and (other.symbol.tag, other.clauses) != (tag, clauses)
        for other in earlier
    )


def _settle_members(names: Names) -> None:
    """Let the most general of several declarations stand for the name; one that holds for all tags stands alone."""

    def is_index(index: tree.Index) -> bool:
        return isinstance(names.declared.get(index.name or ""), tree.Range) and index.at is None

    for name, members in list(names.members.items()):
        first = max(members, key=lambda member: sum(map(is_index, member.symbol.tag)))
        names.declared[name] = first
        is_plain = all(map(is_index, first.symbol.tag)) or is_transfer(first.symbol.tag)
        if len(members) == 1 and not first.clauses and (is_plain or any(i.offset and i.name for i in first.symbol.tag)):
            del names.members[name]


def _is_taken(names: Names, name: str, span: Span) -> bool:
    """Whether a name is one of the language's own, which is reported."""
    if name not in BUILTINS and name not in STATEMENTS and name not in WORDS_INSIDE:
        return False
    what = "a built-in operator" if name in BUILTINS else "a word of the language"
    names.problems.report("E0204", f"`{name}` is {what}", span, "already taken", "choose another name")
    return True


def _declared_name(statement: DeclaringStatement) -> tuple[str, Span]:
    match statement:
        case tree.Let(symbol) | tree.KernelStatement(symbol) | tree.Scalar(symbol) | tree.InputStatement(symbol):
            return symbol.name, symbol.span
        case tree.Range(_, name):
            return name, statement.name_span


def _refuse_second(names: Names, what: str, span: Span, before: Span) -> None:
    message = f"there is a second `{what}`"
    names.problems.report("E0203", message, span, "the second", "keep one of the two", Label(before, "the first"))


def _report_clashes(names: Names) -> None:
    """Equations may not define what a declaration already says."""
    for equation in (equations[0] for equations in names.families.values()):
        left, earlier = equation.left, names.declared.get(equation.left.name)
        if _is_taken(names, left.name, left.span):
            continue
        if earlier is not None and not _is_other_family(earlier, left):
            message = f"`{left.name}` is declared, so no equation may define it"
            help = "give one of the two another name"
            names.problems.report(
                "E0203", message, left.span, "defined again", help, Label(_declared_name(earlier)[1], "declared here")
            )
            names.problems.lost = True


def _report_double_ends(names: Names) -> None:
    """An output is computed, so it is no input, and nothing else that is declared."""
    for name, statement in names.outputs.items():
        earlier = names.declared.get(name)
        if earlier is not None and not (isinstance(earlier, tree.InputStatement) and earlier.symbol.tag):
            message, help = (
                f"the output `{name}` is declared as something else, too",
                "give one of the two another name",
            )
            label = Label(_declared_name(earlier)[1], "declared here")
            names.problems.report("E0203", message, statement.name_span, "an output here", help, label)
            names.problems.lost = True


def _is_other_family(earlier: DeclaringStatement, left: tree.Symbol) -> bool:
    """Whether an equation defines a family that only shares its name with an input: `f@ℓ` beside the input `f`."""
    return isinstance(earlier, tree.InputStatement) and len(earlier.symbol.tag) != len(left.tag)


def report_missing(names: Names, end: Span) -> None:
    present = {"model": names.model, "input": names.inputs, "output": names.outputs}
    missing = [word for word, found in present.items() if not found and not names.problems.explain(word)]
    if missing:
        message = f"there is no {', no '.join(f'`{word}`' for word in missing)} statement"
        names.problems.report("E0301", message, end, "missing", f"add {', '.join(EXAMPLES[word] for word in missing)}")


_LARGEST_KERNEL = 255
_LARGEST_PADDING = 2**16


def resolve_parameters(tags: Tags) -> dict[str, Declaration]:
    found: dict[str, Declaration] = {}
    for name, statement in tags.constants.names.declared.items():
        if not isinstance(statement, tree.KernelStatement | tree.Scalar) or _is_number(statement):
            continue
        cases = tags.constants.cases(name)
        if name in tags.constants.names.members:
            declaration = _resolve_family(name, statement, cases, tags)
        else:
            declaration = _resolve_parameter(statement, None, tags)
        if declaration is None:
            tags.problems.broken.add(name)
        else:
            found[name] = declaration
    return found


def _is_number(statement: tree.KernelStatement | tree.Scalar) -> bool:
    return isinstance(statement, tree.Scalar) and statement.is_fixed


def _resolve_parameter(
    statement: tree.KernelStatement | tree.Scalar, case: Case | None, tags: Tags
) -> Declaration | None:
    if isinstance(statement, tree.KernelStatement):
        return _resolve_kernel(statement, case, tags)
    return _resolve_scalar(statement, case, tags)


def _resolve_family(
    name: str, general: tree.KernelStatement | tree.Scalar, cases: Sequence[Case], tags: Tags
) -> Declaration | None:
    """Several declarations of one name: an attribute that one of them states, all have, if need be by default."""
    found: list[Declaration] = []
    for case in cases:
        assert isinstance(case.statement, tree.KernelStatement | tree.Scalar)
        declaration = _resolve_parameter(case.statement, case, tags)
        if declaration is None:
            return None
        found.append(declaration)
    if not found:
        return None
    said = {key for each in found for key in each.attributes} & {*_CUSTOMARY, "height", "width"}
    found = [replace(each, attributes=_completed(each, said)) for each in found]
    first = next(each for each in found if each.statement is general)
    names = [index.name or "" for index in tags.constants.names.generic(general.symbol).tag]
    indices = tuple(
        own.base if isinstance(own.base, str) else name for own, name in zip(_head(first), names, strict=True)
    )
    return replace(first, indices=indices, case=None, cases=tuple(found))


def _head(declaration: Declaration) -> Positions:
    return declaration.case.head if declaration.case is not None else ()


_CUSTOMARY = {"groups": 1, "dilation": 1, "bias": 0}


def _completed(declaration: Declaration, said: Set[str]) -> dict[str, Attribute]:
    """The attributes that a kernel states, and the defaults of those that only others of its name state."""
    span = declaration.statement.symbol.span
    customary = {
        key: Attribute(Formula(_CUSTOMARY[key]), key, 0, _LARGEST_KERNEL, span) for key in said & _CUSTOMARY.keys()
    }
    size = declaration.attributes.get("size")
    others = {key: size for key in ("height", "width") if key in said and size is not None}
    return {**customary, **others, **declaration.attributes}


def _resolve_kernel(kernel: tree.KernelStatement, case: Case | None, tags: Tags) -> Declaration | None:
    constants = tags.constants
    is_map = is_transfer(kernel.symbol.tag)
    own = kernel.symbol.tag[:1] if is_map else kernel.symbol.tag
    head = _index_names(tree.Symbol(kernel.symbol.name, own, kernel.symbol.span), case, tags)
    if head is None:
        return None
    if _report_dimensions(kernel, constants.names):
        return None
    sizes = dict(zip(SIDES[len(kernel.sizes)], kernel.sizes, strict=True))
    paddings = dict(zip(PADDINGS[len(kernel.sizes)], kernel.padding, strict=False))
    wanted = {
        **{
            name: (size, f"the {name} of a kernel", 1, _LARGEST_KERNEL)
            for name, size in sizes.items()
            if name == "size" or size != kernel.sizes[0]
        },
        "in": (kernel.channels_in, "a number of channels", 1, LARGEST_SIZE),
        "out": (None if kernel.is_each else kernel.channels_out, "a number of channels", 1, LARGEST_SIZE),
        "groups": (kernel.groups, "a number of groups", 1, LARGEST_SIZE),
        "dilation": (kernel.dilation, "a dilation", 1, _LARGEST_KERNEL),
        **{name: (padding, "a padding", 0, _LARGEST_PADDING) for name, padding in paddings.items()},
    }
    attributes: dict[str, Attribute] = {}
    for name, (expression, role, least, most) in wanted.items():
        if expression is not None:
            attribute = _resolve_attribute(expression, role, (least, most), kernel.symbol.tag, constants)
            if attribute is None:
                return None
            attributes[name] = attribute
    if kernel.boundary == "valid":
        attributes["padding"] = Attribute(Formula(0), "a padding", 0, 0, kernel.span)
    given = {"bias": kernel.has_bias, "each": kernel.is_each, "fixed": kernel.is_fixed}
    given["shared"] = "shared" in kernel.rules
    attributes |= {name: Attribute(Formula(1), name, 0, 1, kernel.span) for name, is_given in given.items() if is_given}
    if kernel.is_each and kernel.groups is not None:
        message, help = "`each` has a kernel for each channel, and so its own groups", "leave `groups` out"
        return tags.problems.report("E0203", message, kernel.groups.span, "the second", help)
    start = _resolve_start(kernel, tags)
    if start is None or not _check_rules(kernel, start, tags.problems):
        return None
    is_lower = is_map or ("out" in attributes and _is_next(attributes["out"]))
    return Declaration(kernel.symbol.name, head, attributes, kernel, 0 if is_lower else 1, start, kernel.rules, case)


def _report_dimensions(kernel: tree.KernelStatement, names: Names) -> bool:
    """Whether a size or a padding is for other axes than the network has, which is reported."""
    dimension, count = names.dimension, len(kernel.sizes)
    if count != dimension:
        first = kernel.sizes[0].span.text
        help = f"write a size for each axis: `{'×'.join([first] * dimension)}`"
        names.report_dimension(f"the kernel `{kernel.symbol.name}` is", count, kernel.size_span, help)
        return True
    if len(kernel.padding) not in (0, 1, count):
        place = kernel.padding[0].span.to(kernel.padding[-1].span)
        help = f"write one number for all axes, `padding 1`, or `padding {','.join('1' * count)}`"
        names.report_dimension("this padding is", len(kernel.padding), place, help)
        return True
    return False


def _index_names(symbol: tree.Symbol, case: Case | None, tags: Tags) -> tuple[str, ...] | None:
    if case is None:
        return tags.head(symbol)
    return tuple(position.base for position in case.head if isinstance(position.base, str))


Planes = tuple[tuple[tuple[int | float, ...], ...], ...]
"""The numbers of a kernel, row by row and plane by plane; that of a signal has one row, that of an image one plane."""

# Scaled as is customary: Laplacians to consistency, a prolongation by 2 to a sum of 4, a restriction to 1.
_HAT = (1, 2, 1)
_HATS = tuple(tuple(one * other for other in _HAT) for one in _HAT)
_STENCILS: Mapping[str, tuple[float, Planes]] = {
    "laplace3": (1, (((-1, 2, -1),),)),
    "laplace5": (1, (((0, -1, 0), (-1, 4, -1), (0, -1, 0)),)),
    "laplace9": (1 / 6, (((-1, -4, -1), (-4, 20, -4), (-1, -4, -1)),)),
    "laplace7": (
        1,
        (
            ((0, 0, 0), (0, -1, 0), (0, 0, 0)),
            ((0, -1, 0), (-1, 6, -1), (0, -1, 0)),
            ((0, 0, 0), (0, -1, 0), (0, 0, 0)),
        ),
    ),
    "linear": (1 / 2, ((_HAT,),)),
    "bilinear": (1 / 4, (_HATS,)),
    "trilinear": (1 / 8, tuple(tuple(tuple(factor * e for e in row) for row in _HATS) for factor in _HAT)),
}
_DIMENSION_OF = {"laplace3": 1, "linear": 1, "laplace5": 2, "laplace9": 2, "bilinear": 2, "laplace7": 3, "trilinear": 3}
_INTERPOLATIONS = {1: "linear", 2: "bilinear", 3: "trilinear"}
_ANY_SIZE = ("identity", "average")
_ANY_DIMENSION = ("full_weighting", *_ANY_SIZE)


def _resolve_start(kernel: tree.KernelStatement, tags: Tags) -> KernelStart | None:
    """What a kernel starts from; None when it was reported."""
    stencil, problems = kernel.stencil, tags.problems
    if stencil is None and not kernel.is_fixed:
        std = 0 if kernel.start_number is None else tags.constants.number(kernel.start_number)
        return None if std is None else KernelStart(kernel.start or "he_out", std)
    name = format_symbol(kernel.symbol)
    if stencil is None:
        message, help = f"`{name}` is fixed, and has no numbers", "write them: `= [0 -1 0; -1 4 -1; 0 -1 0] fixed`"
        return problems.report("E0411", message, kernel.symbol.span, "without numbers", help)
    if kernel.start is not None:
        message, help = f"`{name}` starts from numbers, and from `{kernel.start}`", "keep one of the two"
        return problems.report("E0203", message, stencil.span, "the second", help)
    factor = 1 if stencil.factor is None else tags.constants.number(stencil.factor)
    own = {index.name for index in kernel.symbol.tag}
    if any(mention.name in own for side in kernel.sizes for mention in mentions(side)):
        example = "×".join("3" * len(kernel.sizes))
        message = f"`{name}` has given numbers, and a size that differs"
        label, help = Label(stencil.span, "given here"), f"write a size in numbers: `{example}`"
        return problems.report("E0411", message, kernel.size_span, "not one size", help, label)
    role = "the size of a kernel with given numbers"
    sides = [tags.constants.whole(side, role, 1, _LARGEST_KERNEL) for side in kernel.sizes]
    size = tuple(side for side in sides if side is not None)
    if len(size) < len(sides):
        return None
    scale, planes = _planes_of(stencil, size, tags)
    if factor is None or planes is None:
        return None
    depth, height, width = (*(1,) * (3 - len(size)), *size)
    if [[len(row) for row in plane] for plane in planes] != [[width] * height] * depth:
        given, wanted = _describe_numbers(planes), f"{width} numbers"
        if len(size) > 1:
            wanted = f"{height} rows of {wanted}, separated by `;`" if height > 1 else f"1 row of {wanted}"
        if len(size) > 2:
            wanted = f"{depth} planes, separated by `;;`, of {wanted}"
        own = "×".join(map(str, size)) if len(size) > 1 else f"of size {width}"
        message = f"`{name}` is {own}, but its numbers are {given}"
        help, label = f"write {wanted}, or another size", Label(kernel.size_span, "the size")
        return problems.report("E0411", message, stencil.span, given, help, label)
    scaled = tuple(tuple(tuple(factor * scale * entry for entry in row) for row in plane) for plane in planes)
    numbers = (scaled[0][0], scaled[0], scaled)[len(size) - 1]
    return KernelStart(numbers=numbers, is_fixed=kernel.is_fixed)


def _check_rules(kernel: tree.KernelStatement, start: KernelStart, problems: Problems) -> bool:
    """Whether a kernel can obey its rules; if not, that is reported."""
    if not kernel.rules:
        return True
    name, rules, message, help = format_symbol(kernel.symbol), kernel.rules, "", ""
    numbers = list(start.flat)
    size, total = max(map(abs, numbers), default=0.0), sum(numbers)
    if "shared" in rules and not kernel.is_each:
        message, help = f"`{name}` is `shared`, but has channels", "write `each` in their place: `3×3 each shared`"
    elif "shared" in rules and kernel.has_bias:
        message = f"`{name}` is `shared`, and has a bias for each channel"
        help = "leave `bias` out, and add a vector: `K * x + β`"
    elif kernel.is_fixed and any(rule != "shared" for rule in rules):
        message = f"`{name}` is fixed, so that nothing has to keep it `{rules[-1]}`"
        help = f"leave out `{rules[-1]}`, or `fixed`"
    elif "symmetric" in rules and "unit_norm" in rules and not kernel.is_each:
        message = (
            f"`{name}` cannot be both `symmetric` and `unit_norm`: a factor for each output channel breaks symmetry"
        )
        help = "keep one of the two, or write `each`"
    elif "unit_norm" in rules and (kernel.start == "zero" or (numbers and not size)):
        message, help = f"`{name}` starts from zero, and no factor makes its norm 1", "write another start"
    elif "zero_sum" in rules and abs(total) > _ROUNDING * len(numbers) * size:
        message = f"`{name}` keeps the sum of its numbers at 0, but those given add up to {total:g}"
        help = "write numbers whose sum is 0, or leave `zero_sum` out"
    elif "symmetric" in rules and any(
        abs(one - other) > _ROUNDING * size for one, other in zip(numbers, numbers[::-1], strict=True)
    ):
        message = f"`{name}` is symmetric, but the numbers given are others when they are read from the end"
        help = "write numbers with K(-x) = K(x), or leave `symmetric` out"
    if message:
        problems.report("E0418", message, kernel.symbol.span, "cannot be kept", help)
    return not message


_ROUNDING = 1e-12


def _describe_numbers(planes: Planes) -> str:
    """`2 rows of 3`, `5 and 3 numbers`, `3 planes of 3 rows of 3 and 2`."""
    rows = sorted({len(plane) for plane in planes})
    columns = " and ".join(map(str, sorted({len(row) for plane in planes for row in plane})))
    if len(planes) > 1:
        return f"{len(planes)} planes of {' and '.join(map(str, rows))} rows of {columns}"
    return f"{rows[0]} row{'s' * (rows[0] > 1)} of {columns}"


def _planes_of(stencil: tree.Stencil, size: tuple[int, ...], tags: Tags) -> tuple[float, Planes | None]:
    """The numbers of a stencil, plane by plane and row by row, and what they are scaled by."""
    name, dimension = stencil.name, len(size)
    depth, height, width = (*(1,) * (3 - dimension), *size)
    if name is None:
        found = [[[tags.constants.number(entry) for entry in row] for row in plane] for plane in stencil.planes]
        if any(entry is None for plane in found for row in plane for entry in row):
            return 1, None
        return 1, tuple(tuple(tuple(e for e in row if e is not None) for row in plane) for plane in found)
    if name == "average":
        return 1 / prod(size), (((1,) * width,) * height,) * depth
    if name == "identity":
        middle, rows, columns = (depth // 2, height // 2, width // 2), range(height), range(width)
        return 1, tuple(
            tuple(tuple(int((plane, row, column) == middle) for column in columns) for row in rows)
            for plane in range(depth)
        )
    if name == "full_weighting":
        return 1 / 4**dimension, _STENCILS[_INTERPOLATIONS[dimension]][1]
    if _DIMENSION_OF.get(name, dimension) != dimension:
        here = [f"`{other}`" for other in (*(n for n, d in _DIMENSION_OF.items() if d == dimension), *_ANY_DIMENSION)]
        help = f"for these there are {', '.join(here)}, or write numbers"
        tags.constants.names.report_dimension(f"the stencil `{name}` is", _DIMENSION_OF[name], stencil.span, help)
        return 1, None
    if name in _STENCILS:
        return _STENCILS[name]
    known = (*(n for n, d in _DIMENSION_OF.items() if d == dimension), *_ANY_DIMENSION)
    help = suggest(name, known, f"there are {', '.join(f'`{other}`' for other in known)}, or write numbers")
    tags.problems.report("E0201", f"undefined stencil `{name}`", stencil.span, "unknown name", help)
    return 1, None


def _is_next(channels: Attribute) -> bool:
    """Whether channels are those of the next level, `c@ℓ+1`: the kernel's index is the level that it starts from."""
    tables = [p.base.at for p in channels.formula.positions() if isinstance(p.base, Lookup)]
    return any(at.offset == 1 for at in tables)


def _resolve_attribute(
    expression: tree.Expression, role: str, limits: tuple[int, int], head: tuple[tree.Index, ...], constants: Constants
) -> Attribute | None:
    match expression:
        case tree.Number(int(value)) if limits[0] <= value <= limits[1]:
            return Attribute(Formula(value), role, *limits, expression.span)
        case _:
            pass
    names = {index.name for index in head if index.name is not None and not constants.names.is_constant(index.name)}
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


def _resolve_scalar(scalar: tree.Scalar, case: Case | None, tags: Tags) -> Declaration | None:
    head = _index_names(scalar.symbol, case, tags)
    formula = None if head is None else _initial_value(scalar, head, case, tags)
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
    return Declaration(scalar.symbol.name, head, attributes, scalar, case=case)


def _initial_value(scalar: tree.Scalar, head: tuple[str, ...], case: Case | None, tags: Tags) -> Formula | None:
    """The formula of an initial value, or a table of one for each level; None when it was reported."""
    symbol, (value, *others) = scalar.symbol, scalar.values
    if others:
        if case is None:
            table = tags.constants.evaluate(tree.Let(symbol, scalar.values, scalar.span))
        else:
            table = tags.constants.table_of_case(case, scalar)
        known = [] if table is None else [(tags.constants.number(value), value) for value in scalar.values]
        found = [(number, value) for number, value in known if number is not None]
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
    clauses = [
        resolve_clause(clause, frozenset(declaration.indices), tie.symbol.tag, tags.constants) for clause in tie.clauses
    ]
    known = tuple(clause for clause in clauses if clause is not None)
    return TieRule(tuple(kept), declaration.indices, known) if len(known) == len(clauses) else None


@dataclass(frozen=True, slots=True)
class _Renaming:
    """A `rename`, with what its two tags stand for over the index names of the left one."""

    statement: tree.Rename
    old: Positions
    new: Positions

    @property
    def open(self) -> int:
        """How many of its indices are not numbers: of two that apply to a parameter the one with more numbers wins."""
        return sum(position.base is not None for position in self.old)

    def apply(self, use: Use) -> Use | None:
        """A use under its new name; None if this `rename` is about others."""
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

    A `rename` of what does not exist is ignored: another `let σ` may have removed a normalisation.
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
        readings = tuple(rename_uses(template.readings, words)) if template.readings else ()
        changed.append(replace(template, steps=tuple(steps), readings=readings))
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
    """Report where a new name would merge two parameters. Raises CldfError then, because nothing else can be said."""
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
