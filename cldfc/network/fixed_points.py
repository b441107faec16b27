"""What `fix` and `solve` can look for: their settings, what depends on an unknown, and what is linear in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cldfc.diagnostics import Span
from cldfc.network.numbers import report_unfit
from cldfc.network.program import Operand, Scope, Step, Words, needed_steps
from cldfc.ops import (
    BUILTINS,
    ConjugateGradients,
    Divide,
    FixedPoint,
    Iterated,
    Kernel,
    Multiply,
    Operator,
    Unknown,
    Zero,
)
from cldfc.syntax import tree
from cldfc.syntax.format import format_expression
from cldfc.syntax.walk import mentions

_CONSTANT = "a term does not depend on it"
_WAYS = {"backward": ("implicit", "onestep"), "by": ("iteration", "cg")}


def is_taken(words: Words, fix: tree.Fix, scope: Scope) -> bool:
    """Whether the name of the unknown already means something other than a value, which is reported."""
    declared = words.names.declared.get(fix.name)
    if fix.name not in BUILTINS and fix.name not in scope.values and isinstance(declared, tree.InputStatement | None):
        return False
    message, help = f"`{fix.name}` has a meaning here already", f"choose another name for what `{fix.word}` looks for"
    words.problems.report("E0204", message, fix.name_span, "already taken", help)
    return True


# Settings


def operator_of(words: Words, fix: tree.Fix) -> Iterated | None:
    """What finds the value, with its settings; None when one of them was reported."""
    ways = {name: _way(words, fix, name) for name in _WAYS}
    if None in ways.values():
        return None
    kind = ConjugateGradients if ways["by"] == "cg" and fix.right is not None else FixedPoint
    known = {"tol": "tol", "steps": "steps", "start": "", "by": "", "backward": "", "memory": "memory", "relax": ""}
    refused = [] if fix.right is not None else ["by", "relax"]
    refused += ["memory", "relax", "backward"] if kind is ConjugateGradients else []
    numbers: dict[str, int | float] = {}
    for setting in fix.settings:
        name = setting.name or ""
        if name in refused:
            what = "`fix` has" if fix.right is None else "`solve` by conjugate gradients has"
            allowed = ", ".join(f"`{other}`" for other in known if other not in refused)
            help = f"leave it out; the settings are {allowed}"
            words.problems.report("E0507", f"{what} no `{name}`", setting.span, "not expected here", help)
            return None
        if known[name]:
            value = _number(words, setting, kind)
            if value is None:
                return None
            numbers[name] = value
    if kind is FixedPoint and ways["backward"] == "onestep":
        numbers["onestep"] = 1
    return kind(**numbers)  # pyright: ignore[reportArgumentType]


def _way(words: Words, fix: tree.Fix, name: str) -> str | None:
    """The word behind `by` or `backward`; by default the first possible one."""
    setting, ways = fix.setting(name), _WAYS[name]
    if setting is None:
        return ways[0]
    word = setting.value.name if isinstance(setting.value, tree.Symbol) else ""
    if word in ways:
        return word
    help = f"write {' or '.join(f'`{name} {way}`' for way in ways)}"
    return words.problems.report("E0507", f"`{name} {word}` is not possible", setting.span, "not expected here", help)


def _number(words: Words, setting: tree.Setting, kind: type[Iterated]) -> int | float | None:
    value = words.tags.constants.number(setting.value)
    limits = kind.settings()[setting.name or ""]
    if value is None:
        return None
    if limits.least <= value <= limits.most and (limits.kind == "real" or isinstance(value, int)):
        return float(value) if limits.kind == "real" else value
    number = "number" if limits.kind == "real" else "whole number"
    role = f"`{setting.name}`"
    report_unfit(words.problems, value, setting.value.span, role, limits.least, limits.most, kind=number)
    return None


# What can be found


def depending(steps: Sequence[Step], unknown: int, stop: int) -> set[int]:
    """The steps from an unknown on, up to `stop`, that need it; it is one of them."""
    found = {unknown}
    for at in range(unknown + 1, stop):
        if not found.isdisjoint([operand for operand in steps[at].operands if isinstance(operand, int)]):
            found.add(at)
    return found


def can_be_found(words: Words, steps: Sequence[Step], fix: tree.Fix, body: Operand, unknown: int) -> bool:
    """Whether an expression depends on the unknown, and is the same map in every iteration; else that is reported."""
    found = depending(steps, unknown, len(steps))
    if body not in found:
        message = f"`{fix.body.span.text}` does not depend on `{fix.name}`, so there is nothing to solve"
        help = f"write an expression with `{fix.name}` in it, or the expression alone"
        words.problems.report("E0214", message, fix.body.span, f"without `{fix.name}`", help)
        return False
    changing = next((at for at in sorted(found) if not steps[at].operator.repeatable), None)
    if changing is None:
        return True
    operator, span = steps[changing].operator, steps[changing].span
    message = f"`{operator.keyword or span.text}` is not the same map in every iteration of `{fix.word}`"
    help = f"leave it out, or apply it to what does not depend on `{fix.name}`, such as the data"
    if operator.owns or steps[changing].statistics is not None:
        help = "write `gn[…]` or `ln`, which have no running statistics, or normalise what does not depend on "
        help += f"`{fix.name}`"
    words.problems.report("E0217", message, span, f"applied to what depends on `{fix.name}`", help)
    return False


def is_known_through_itself(words: Words, fix: tree.Fix) -> bool:
    """Whether the right side of an equation, or a start, has the unknown in it, which is reported."""
    start = fix.setting("start")
    for known in (fix.right, start and start.value):
        found = [] if known is None else [m for m in mentions(known) if isinstance(m, tree.Symbol)]
        wrong = next((symbol for symbol in found if symbol.name == fix.name and not symbol.tag), None)
        if wrong is not None and (known is fix.right or not words.names.is_value(wrong)):
            where, name = "on the right of `=`" if known is fix.right else "in the start", fix.name
            message = f"the unknown `{name}` stands {where}"
            help = f"bring all that has `{name}` in it to the left: `solve({name} : {name} - A * {name} = f)`"
            help = help if known is fix.right else "start from a value that is known"
            words.problems.report("E0218", message, wrong.span, "expected what is known", help)
            return True
    return False


def is_linear_equation(words: Words, steps: Sequence[Step], fix: tree.Fix, body: Operand, unknown: int) -> bool:
    """Whether the left side is provably linear in the unknown; else that is reported."""
    right = fix.right
    assert right is not None
    wrong = next(_breaks(steps, body, unknown, words), None)
    if wrong is None:
        return True
    why, span = wrong
    message = f"`{' '.join(fix.body.span.text.split())}` is not provably linear in `{fix.name}`: {why}"
    name = fix.name
    help = f"`fix({fix.name} : …)` finds a value that any expression maps to itself: write the iteration, as in "
    help += f"`fix({name} : {name} + 0.1 * ({format_expression(right)} - …))`"
    help = "bring it to the right side of the equation" if why == _CONSTANT else help
    words.problems.report("E0218", message, span, "not linear", help)
    return False


def _breaks(steps: Sequence[Step], body: Operand, unknown: int, words: Words) -> Iterator[tuple[str, Span]]:
    """What keeps a result from being linear in an unknown, and where.

    The unknown of an inner `fix` counts as linear in it, and so the fixed point of an affine map is linear in the
    terms of that map.
    """
    needed = needed_steps(steps, body)
    linear = {unknown}
    for at in range(unknown + 1, len(steps)):
        step = steps[at]
        inside = [operand in linear for operand in step.operands]
        if at not in needed or (not any(inside) and not isinstance(step.operator, Unknown)):
            continue
        linear.add(at)
        if isinstance(step.operator, Unknown):
            continue
        zero = [isinstance(o, int) and isinstance(steps[o].operator, Zero) for o in step.operands]
        is_all = all(known or none for known, none in zip(inside, zero, strict=True))
        if isinstance(step.operator, Multiply):
            if sum(inside) > 1:
                yield "it is multiplied by itself", step.span
        elif isinstance(step.operator, Divide):
            if inside[1]:
                yield "it is divided by", step.span
        elif isinstance(step.operator, FixedPoint | ConjugateGradients):
            if isinstance(step.operator, ConjugateGradients) and not inside[2]:
                yield _CONSTANT, step.span
        elif not _is_linear(step, step.operator, words):
            yield f"{_what(step.operator)} is not linear", step.span
        elif not is_all:
            yield _CONSTANT, _constant_term(step, inside)


def _is_linear(step: Step, operator: Operator, words: Words) -> bool:
    if isinstance(operator, Kernel) and step.use is not None:
        kernel = words.parameters[step.use.name].statement
        return operator.is_adjoint or not (isinstance(kernel, tree.KernelStatement) and kernel.has_bias)
    return operator.linear


def _what(operator: Operator) -> str:
    if isinstance(operator, Kernel):
        return "a kernel with a bias"
    return f"`{operator.keyword}`" if operator.keyword else "a sum with a number"


def _constant_term(step: Step, inside: Sequence[bool]) -> Span:
    spans = zip(step.terms, inside, strict=False)
    return next((span for span, is_inside in spans if not is_inside), step.span)
