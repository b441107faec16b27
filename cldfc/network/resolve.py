"""Tree → program: names, constants and ranges are resolved, equations become steps."""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Iterator
from dataclasses import dataclass

from cldfc.diagnostics import Label, Problems, Span
from cldfc.network.constants import Constants
from cldfc.network.elaborate import Elaboration, OwnedNames
from cldfc.network.limits import LARGEST_SIZE, MOST_OPERATIONS, report_size
from cldfc.network.names import Names, collect_names, report_missing
from cldfc.network.order import check_order
from cldfc.network.program import IndexRange, KernelDeclaration, Lookup, Position, Positions, Program, Read, Template
from cldfc.network.tags import Tags
from cldfc.ops import BUILTINS
from cldfc.syntax import tree
from cldfc.syntax.format import format_symbol
from cldfc.syntax.spelling import ascii_name
from cldfc.syntax.walk import mentions

LARGEST_KERNEL = 255
IN_MODULE = frozenset({"torch", "nn", "F", "conv", "self"})
"""What a generated module calls its own."""


@dataclass(frozen=True)
class Task:
    """What the network is for, where that is not the spec's own input and output."""

    shape: tuple[int, int, int] | None = None
    classes: int | None = None


def resolve_spec(spec: tree.Spec, task: Task, problems: Problems) -> Program:
    """Resolve a whole spec. Raises CldfError with everything that is wrong in it."""
    names = collect_names(spec, problems)
    check_model(names)
    check_indices(names)
    check_order(names, problems)
    constants = Constants(names, problems)
    tags = Tags(constants, problems)
    ranges = {n: constants.range(n, d.name_span) for n, d in names.declared.items() if isinstance(d, tree.Range)}
    for name in names.declared:
        constants.constant(name)
    kernels = [resolve_kernel(d, constants, tags) for d in names.declared.values() if isinstance(d, tree.Kernel)]
    owned = OwnedNames(dict.fromkeys([*names.declared, *tagged_operators(spec)], ""))
    templates = list(resolve_equations(spec, names, tags, owned, problems))
    check_operators(names, tags, problems)
    sizes = names.input.shape if names.input else ()
    shape = [constants.whole(size, "a size of the input", 1, LARGEST_SIZE) for size in sizes]
    classes = constants.whole(names.output.classes, "a number of classes", 1, LARGEST_SIZE) if names.output else None
    end = len(spec.source.text.rstrip())
    report_missing(names, Span(spec.source, end, end))
    problems.stop_if_any()
    assert names.model and names.input and names.output and classes
    return Program(
        spec=spec,
        model=names.model.name,
        input=names.input,
        shape=task.shape or tuple(size for size in shape if size is not None),
        output=names.output.name,
        classes=task.classes or classes,
        output_span=names.output.name_span,
        constants={n: c for n, c in constants.known.items() if c is not None},
        ranges={n: r for n, r in ranges.items() if r is not None},
        kernels={k.name: k for k in kernels if k is not None},
        templates=tuple(t for t in templates if t is not None),
    )


def resolve_kernel(kernel: tree.Kernel, constants: Constants, tags: Tags) -> KernelDeclaration | None:
    """A declared kernel; its channels may depend on its tag."""
    head = tags.head(kernel.symbol)
    height = constants.whole(kernel.height, "the size of a kernel", 1, LARGEST_KERNEL)
    width = constants.whole(kernel.width, "the size of a kernel", 1, LARGEST_KERNEL)
    if head is None or height is None or width is None:
        return None
    if height != width or height % 2 == 0:
        tags.problems.report(
            "E0401",
            f"`{format_symbol(kernel.symbol)}` is {height}×{width}",
            kernel.height.span.to(kernel.width.span),
            "expected an odd square",
            "write an odd size, as in `3×3`: the padding (k-1)/2 is then a whole number",
        )
        return None
    channels_out = channels(kernel.channels_out, head, constants, tags)
    channels_in = kernel.channels_in and channels(kernel.channels_in, head, constants, tags)
    if channels_out is None or (kernel.channels_in is not None and channels_in is None):
        return None
    return KernelDeclaration(kernel.symbol.name, head, height, channels_in, channels_out, kernel)


def channels(expression: tree.Expression, head: tuple[str, ...], constants: Constants, tags: Tags) -> Position | None:
    """A number of channels: `64`, `c@ℓ`, `c@1`."""
    role = "a number of channels"
    constant = constants.constant(expression.name) if isinstance(expression, tree.Symbol) else None
    if not isinstance(expression, tree.Symbol) or constant is None or (constant.index is None and not expression.tag):
        value = constants.whole(expression, role, 1, LARGEST_SIZE)
        return None if value is None else Position(None, value)
    if len(expression.tag) > 1:
        return constants.names.report_arity(expression)
    if not constants.all_whole(constant, expression.span, role, 1, LARGEST_SIZE):
        return None
    own = expression.tag[0] if expression.tag else None
    if own is not None and tags.position(own, tree.Symbol("", (), own.span), frozenset(head)) is None:
        return None
    inside = tuple(tree.Index(name, None, 0, expression.span) for name in head)
    index = tree.Index(expression.name, own, 0, expression.span)
    return tags.constant_position(constant, index, tree.Symbol("", inside, expression.span), frozenset(head))


def resolve_equations(
    spec: tree.Spec, names: Names, tags: Tags, owned: OwnedNames, problems: Problems
) -> Iterator[Template | None]:
    """Every equation as steps, unless there are too many of these."""
    steps = 0
    for equation in spec.statements:
        if isinstance(equation, tree.Equation):
            template = resolve_equation(equation, names, tags, owned, problems)
            steps += len(template.steps) if template else 0
            if steps > MOST_OPERATIONS:
                report_size(equation.left.span, problems)
                return
            yield template


def resolve_equation(
    equation: tree.Equation, names: Names, tags: Tags, owned: OwnedNames, problems: Problems
) -> Template | None:
    """An equation as steps over the index names of its left side."""
    bound = index_names(equation.left, tags)
    left = None if bound is None else tags.positions(equation.left, bound)
    if bound is None or left is None:
        return None
    family = (equation.left.name, len(left))
    work = Elaboration(names, tags, owned, family, left, problems)
    result = work.value(equation.right, {name: Position(name, 0) for name in bound})
    level = level_position(equation, left, tags)
    if result is None or level is None:
        return None
    return Template(equation, equation.left.name, left, level, tuple(work.steps), result)


def index_names(left: tree.Symbol, tags: Tags) -> frozenset[str] | None:
    """The index names on a left side; None when one of them is not declared."""
    constants = tags.constants
    named = [index for index in left.tag if index.name is not None and not constants.names.is_constant(index.name)]
    ranges = [constants.range(index.name or "", index.span) for index in named]
    return None if None in ranges else frozenset(index.name or "" for index in named)


def level_position(equation: tree.Equation, left: Positions, tags: Tags) -> int | None:
    """Which index of the left side is the level; a range that differs by level needs one."""
    ranges = [tags.constants.ranges.get(p.base) if isinstance(p.base, str) else None for p in left]
    dependent: list[IndexRange] = [range for range in ranges if range is not None and range.level is not None]
    for at, position in enumerate(left):
        if dependent and position.base == dependent[0].level:
            return at
    for at, range in enumerate(ranges):
        if range is None or range.level is None:
            if not isinstance(left[at].base, Lookup):
                return at
    if not dependent:
        return 0
    return tags.problems.report(
        "E0207",
        f"the range of `{dependent[0].name}` differs from level to level, and "
        f"`{format_symbol(equation.left)}` names no level",
        equation.left.span,
        "at which level?",
        f"write the level into the tag: `{equation.left.name}@{dependent[0].level},{dependent[0].name}`",
        Label(dependent[0].span, "declared here"),
    )


def is_python(name: str) -> bool:
    """Whether Python, or what a generated module imports, has a name for itself."""
    return keyword.iskeyword(name) or hasattr(builtins, name) or name in IN_MODULE


def check_indices(names: Names) -> None:
    """The generated loops have the names of the indices, each its own."""
    taken: dict[str, tree.Range] = {}
    for range in names.declared.values():
        if not isinstance(range, tree.Range):
            continue
        name = "level" if range.name == "ℓ" else ascii_name(range.name)
        earlier = taken.setdefault(name, range)
        if is_python(name) or earlier is not range:
            names.problems.report(
                "E0204",
                f"no index can be called `{range.name}`: its loop in Python would be over `{name}`, which is taken",
                range.name_span,
                "already taken",
                "choose another name",
                *[Label(earlier.name_span, "taken by this index")] * (earlier is not range),
            )


def check_model(names: Names) -> None:
    """The generated class has the model's name, which must not hide what its module needs."""
    model = names.model
    if model is None:
        return
    name = ascii_name(model.name)
    if is_python(name):
        names.problems.report(
            "E0204",
            f"no network can be called `{model.name}`: its class in Python would be `{name}`, which is taken",
            model.span,
            "already taken",
            f"choose another name, such as `{name.capitalize()}Net`",
        )


def tagged_operators(spec: tree.Spec) -> set[str]:
    """The built-in operators that a tag shares somewhere; untagged ones may not take their names."""
    found = [mention for statement in spec.statements for mention in mentions(statement)]
    return {mention.name for mention in found if isinstance(mention, tree.Symbol) and mention.tag} & BUILTINS.keys()


def check_operators(names: Names, tags: Tags, problems: Problems) -> None:
    """Operators are checked where they stand, used or not."""
    for let in names.declared.values():
        if not isinstance(let, tree.Let) or names.is_constant(let.symbol.name) or problems.explain(let.symbol.name):
            continue
        first, *others = let.values
        if others:
            problems.report(
                "E0211",
                f"`{let.symbol.name}` is given several operators",
                others[0].span,
                "expected the end",
                "compose them with `∘`",
            )
        head = tags.head(let.symbol)
        if head is not None:
            work = Elaboration(names, tags, OwnedNames({}), ("", 0), (), problems, is_operator=True)
            work.apply(first, Read("x", (), let.span), {name: Position(name, 0) for name in head})
