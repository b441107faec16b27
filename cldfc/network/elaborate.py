"""Expressions → steps: operators are expanded where they are used, reductions over their index."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal, cast

from cldfc.diagnostics import Label, Span, did_you_mean
from cldfc.network.constants import Constants, resolve_bound
from cldfc.network.fixed_points import (
    can_be_found,
    is_known_through_itself,
    is_linear_equation,
    is_taken,
    operator_of,
)
from cldfc.network.names import TRAINED, Kind, count_in_words
from cldfc.network.numbers import reciprocal, report_unfit
from cldfc.network.positions import (
    MOST_IN_A_CHAIN,
    MOST_IN_ITSELF,
    MOST_STEPS,
    Binding,
    Case,
    Formula,
    IndexRange,
    Key,
    NotWhole,
    OutOfRange,
    Position,
    Positions,
    bindings_of,
    format_key,
    holding_cases,
    is_left_inside,
)
from cldfc.network.program import (
    Call,
    Declaration,
    Operand,
    Read,
    Reads,
    Scope,
    Step,
    Template,
    Turns,
    Use,
    Words,
    keep_steps,
)
from cldfc.ops import (
    BUILTINS,
    TRAINED_SETTINGS,
    Add,
    BatchNorm,
    Channels,
    Concat,
    ConjugateGradients,
    Convolution,
    ConvolutionAdjoint,
    Divide,
    EuclideanNorm,
    Extreme,
    ExtremeTotal,
    FrozenBatchNorm,
    InnerProduct,
    Kernel,
    Limit,
    LogTotal,
    Multiply,
    MultiplyBy,
    Normalisation,
    Operator,
    OperatorSetting,
    Prolongation,
    ProlongationAdjoint,
    RaiseTo,
    Reciprocal,
    ScalarValue,
    Scale,
    ScaleBy,
    ScaleChannels,
    SharedBatchNorm,
    Shift,
    SplitChannels,
    Total,
    Unknown,
    VectorValue,
    WithNumber,
    Zero,
)
from cldfc.ops.convolution import stride_text
from cldfc.syntax import tree
from cldfc.syntax.build import LARGEST_STRIDE
from cldfc.syntax.format import Formatter, format_symbol
from cldfc.syntax.helps import HELP_FOR_FROZEN
from cldfc.syntax.walk import mentions


def _configure(work: Elaboration, symbol: tree.Symbol, operator: type[Operator], scope: Scope) -> Operator | None:
    """The operator with the numbers in its brackets; None when one of them was reported."""
    if not symbol.settings:
        return _plain_operator(operator)
    constants = work.words.tags.constants
    known = operator.settings()
    given: dict[str, int | float | str] = {}
    for place, setting in enumerate(symbol.settings):
        if _is_flag(setting, known) and setting.value.span.text.strip() not in given:
            given[cast(tree.Symbol, setting.value).name] = 1
            continue
        if setting.upper is not None:
            message = f"only a value has channels to take, and `{symbol.name}` is an operator"
            help = f"give its result a name, `x = {symbol.name}(…)`, and write `x[{setting.span.text}]`"
            return constants.problems.report("E0507", message, setting.span, "not expected here", help)
        if _word_of(setting) == "fixed" and "fixed" not in work.words.names.declared:
            message = f"`{symbol.name}` cannot be `fixed`"
            return constants.problems.report("E0507", message, setting.span, "not expected here", HELP_FOR_FROZEN)
        name = setting.name or _name_by_word(setting, known) or next(iter([*known][place : place + 1]), None)
        if name not in known or name in given:
            return _refuse_setting(symbol, setting, name, known, constants)
        value = _setting_value(work, setting, name, known[name], operator, scope)
        if value is None:
            return None
        given[name] = value
    return operator(**cast("dict[str, Any]", given))


@cache
def _plain_operator(operator: type[Operator]) -> Operator:
    """The operator without brackets, one for all its uses."""
    return operator()


def _name_by_word(setting: tree.Setting, known: dict[str, OperatorSetting]) -> str | None:
    """The setting that a word is one of, wherever it stands."""
    return next((name for name, other in known.items() if _word_of(setting) in other.words), None)


def _word_of(setting: tree.Setting) -> str | None:
    value = setting.value
    return value.name if isinstance(value, tree.Symbol) and not value.tag and not value.settings else None


def _is_flag(setting: tree.Setting, known: Mapping[str, OperatorSetting]) -> bool:
    """Whether a setting is a word alone that is on or off: `ceil`."""
    match setting:
        case tree.Setting(None, tree.Symbol(name, ())) if name in known:
            return (known[name].least, known[name].most) == (0, 1)
        case _:
            return False


def _setting_value(
    work: Elaboration, setting: tree.Setting, name: str, known: OperatorSetting, operator: type[Operator], scope: Scope
) -> int | float | str | None:
    if known.kind == "word":
        found = _word_of(setting)
        if found in known.words:
            return found
        message = f"`{setting.value.span.text}` cannot be the {name} of `{operator.keyword}`"
        help = did_you_mean(found or "", known.words, f"write one of {', '.join(f'`{word}`' for word in known.words)}")
        return work.words.problems.report("E0507", message, setting.value.span, "expected a word", help)
    role = f"the {name} of `{operator.keyword}`"
    return work.number(setting.value, role, known.least, known.most, scope, may_be_real=known.kind == "real")


def _refuse_setting(
    symbol: tree.Symbol,
    setting: tree.Setting,
    name: str | None,
    known: dict[str, OperatorSetting],
    constants: Constants,
) -> None:
    listed = ", ".join(f"`{other}`" for other in known)
    if name in known:
        message, help = f"the {name} of `{symbol.name}` is given twice", "keep one of the two"
    elif not known:
        message, help = f"`{symbol.name}` has no settings", f"write `{symbol.name}` without brackets"
    elif name is None:
        message, help = f"`{symbol.name}` takes at most {len(known)} numbers", f"its settings are {listed}"
    else:
        message = f"`{symbol.name}` has no setting `{name}`"
        help = did_you_mean(name, known, f"its settings are {listed}")
    span, label = (setting.span, "not expected here") if known else (symbol.span, "brackets here")
    constants.problems.report("E0507", message, span, label, help)


def _reduce_values(work: Elaboration, reduction: tree.Reduction, scope: Scope) -> _Value | None:
    """`sum(j = 0..i-1 : …)`: its terms are values, if need be of an equation of their own."""
    inner = [m for m in mentions(reduction.body) if isinstance(m, tree.Symbol) and m.name in scope.unknowns]
    if unknown := next((symbol for symbol in inner if not symbol.tag), None):
        message = f"the terms of a reduction are computed once, and `{unknown.name}` changes in every iteration"
        help = f"write a sum of operators between numbers and apply it, as in `sum(j = 1..3 : A@j *)({unknown.name})`"
        return work.words.problems.report("E0214", message, unknown.span, "looked for", help)
    bounds = _bounds_of(work, reduction, scope)
    name = f"{reduction.name}_2" if reduction.name in work.indices else reduction.name
    inside = scope.inside(reduction.name, Position(name, 0))
    body = reduction.body
    if isinstance(body, tree.Symbol) and not body.settings and work.words.names.is_value(body):
        read = work.read(body, inside)
    else:
        lower, upper = bounds or (None, None)
        known = IndexRange("steps", name, lower, upper, None, reduction.name_span, is_explicit=True, by=reduction.by)
        read = _terms(work, reduction, known, inside)
    if bounds is None or not isinstance(read, Read):
        return None
    operand = Reads(read.family, read.positions, read.span, name, *bounds, reduction.by)
    return work.step(_REDUCERS[reduction.reducer], (operand,), None, reduction.span)


_REDUCERS: Mapping[tree.Reducer, Operator] = {
    "sum": Total(),
    "concat": Concat(),
    "max": ExtremeTotal("max"),
    "min": ExtremeTotal("min"),
    "softmax": LogTotal(),
}


def _share(work: Elaboration, reduction: tree.Reduction, scope: Scope) -> _Value | None:
    """`softmax(j = 0..i : a@i,j)` at j: exp of a@i,j minus the logarithm of the sum of all such powers."""
    name, body = reduction.name, reduction.body
    if name not in scope.values:
        message = f"`{name}` has no value here: `softmax` over an index gives the weight of one value of it"
        help = (
            f"write it inside a sum over `{name}`, as in `sum({name} = 0..4 : softmax({name} = 0..4 : a@{name}) * …)`"
        )
        return work.words.problems.report("E0206", message, reduction.name_span, "no value", help)
    outside = replace(scope, values={other: at for other, at in scope.values.items() if other != name})
    own, whole = work.value(body, scope), _reduce_values(work, reduction, outside)
    if own is None or whole is None:
        return None
    places = (body.span, reduction.span)
    logarithm = work.step(Add((1, -1)), (own, whole), None, reduction.span, places)
    return logarithm if logarithm is None else work.step(BUILTINS["exp"](), (logarithm,), None, reduction.span)


def _terms(work: Elaboration, reduction: tree.Reduction, known: IndexRange, scope: Scope) -> Read | None:
    owner = (work.statement.left.name, len(work.statement.left.tag)) if work.statement else ("", 0)
    family = work.words.families.claim("terms", "", owner, work.reductions)
    counted, found = dict(work.reductions), list[Template | None]()

    def read(inner: Elaboration) -> None:
        found.append(inner.template(inner.value(reduction.body, scope)))
        work.terms += inner.terms
        work.reductions.update(
            {name: max(count, work.reductions.get(name, 0)) for name, count in inner.reductions.items()}
        )

    read_cases(lambda turns: work.inner(family, known, dict(counted), turns), read)
    templates = [template for template in found if template is not None]
    if len(templates) < len(found) or work.statement is None:
        return None
    work.terms += templates
    return Read(family, templates[0].left, reduction.body.span)


def _bounds_of(work: Elaboration, reduction: tree.Reduction, scope: Scope) -> tuple[Position, Position] | None:
    if reduction.name in scope.values:
        message = f"`{reduction.name}` has a value here already"
        help = "choose another name for the index of the reduction"
        return work.words.problems.report("E0204", message, reduction.name_span, "already taken", help)
    constants, level = work.words.tags.constants, _tag_of_terms(reduction) or scope.tag
    found = [resolve_bound(constants, b, scope.values.keys(), level) for b in (reduction.lower, reduction.upper)]
    if found[0] is None or found[1] is None:
        return None
    return found[0].substitute(scope.values), found[1].substitute(scope.values)


def _unroll(work: Elaboration, reduction: tree.Reduction, operand: _Value | None, scope: Scope) -> _Value | None:
    """A reduction of operators, between bounds that are plain numbers."""
    bounds = _bounds_of(work, reduction, scope)
    if bounds is None:
        return None
    span = reduction.lower.span.to(reduction.upper.span)
    if any(bound.base is not None for bound in bounds):
        message = "a reduction of operators has bounds that differ from place to place"
        help = "write numbers, or reduce values: apply each operator inside, as in `sum(j = 1..i : K@j * x)`"
        return work.words.problems.report("E0213", message, span, "expected numbers", help)
    turns = range(bounds[0].offset, bounds[1].offset + (1 if reduction.by > 0 else -1), reduction.by)
    if not turns:
        message = f"the range of `{reduction.name}` is empty"
        help = f"write the {'smaller' if reduction.by > 0 else 'larger'} bound first"
        return work.words.problems.report("E0505", message, span, "no index", help)
    if len(turns) > MOST_STEPS:
        return work.report_size(reduction.span)
    parts = [work.apply(reduction.body, operand, scope.inside(reduction.name, Position(None, j))) for j in turns]
    members = (reduction.body,) * len(turns)
    return work.combine(tree.Listing(reduction.reducer, members, reduction.span), parts)


def _tag_of_terms(reduction: tree.Reduction) -> tuple[tree.Index, ...]:
    """The tag that says the level of `concat(j = 0..ν : x@ℓ,j)`: the first in its body that contains the index."""
    symbols = [found for found in mentions(reduction.body) if isinstance(found, tree.Symbol)]
    own = (symbol.tag for symbol in symbols if any(index.name == reduction.name for index in symbol.tag))
    return next((tag for tag in own if len(tag) > 1), ())


def _find_value(work: Elaboration, fix: tree.Fix, scope: Scope) -> _Value | None:
    """The steps of `fix` or `solve`: its start, the unknown, one application, and what finds the value.

    `solve(u : A * u = f)` is fix(u : u + ω (f - A * u)), unless conjugate gradients find it.
    """
    if is_taken(work.words, fix, scope) or is_known_through_itself(work.words, fix):
        return None
    operator, given = operator_of(work.words, fix), fix.setting("start")
    start = work.value(given.value, scope) if given else work.step(Zero(), (), None, fix.name_span)
    right = None if fix.right is None else work.value(fix.right, scope)
    unknown = None if start is None else work.step(Unknown(fix.name), (start,), None, fix.name_span)
    if not isinstance(unknown, int):
        return None
    work.heads[unknown] = fix.name
    inside = scope.looking_for(fix.name, unknown)
    body = work.value(fix.body, inside)
    if body is None or operator is None or (fix.right is not None and right is None):
        return None
    if not can_be_found(work.words, work.steps, fix, body, unknown):
        return None
    if right is None or fix.right is None:
        return work.step(operator, (body, unknown), None, fix.span)
    if not is_linear_equation(work.words, work.steps, fix, body, unknown):
        return None
    if isinstance(operator, ConjugateGradients):
        return work.step(operator, (body, unknown, right), None, fix.span)
    change = work.step(Add((1, -1)), (right, body), None, fix.span, (fix.right.span, fix.body.span))
    if relax := fix.setting("relax"):
        change = work.multiply(tree.Star(relax.value, 1, None, relax.span), change, inside)
    if change is None:
        return None
    new = work.step(Add((1, 1)), (unknown, change), None, fix.span, (fix.name_span, fix.span))
    return None if new is None else work.step(operator, (new, unknown), None, fix.span)


_Value = int | Read

_MOST_SHOWN = 5
"""How many uses of an operator inside itself a message names."""


class SplitTurns(Exception):
    """An operator or a kernel is not the same for all choices of the index names: the equation is read again for each
    group of choices."""

    def __init__(self, groups: list[list[Binding]]) -> None:
        super().__init__()
        self.groups = groups


def read_cases(start: Callable[[list[Binding] | None], Elaboration], read: Callable[[Elaboration], None]) -> None:
    """Elaborate an expression, once for each group of choices for which its operators have the same declarations."""
    waiting: list[list[Binding] | None] = [None]
    while waiting:
        turns = waiting.pop()
        work = start(turns)
        try:
            read(work)
        except SplitTurns as split:
            waiting += reversed(split.groups)


def mode_of(declaration: Declaration) -> str:
    """How a map is padded where the kernel reaches beyond it."""
    kernel = declaration.statement
    boundary = kernel.boundary if isinstance(kernel, tree.KernelStatement) else None
    return boundary if boundary in ("circular", "reflect", "replicate") else "zeros"


def _is_zero(expression: tree.Expression) -> bool:
    return isinstance(expression, tree.Number) and expression.value == 0


@dataclass
class Elaboration:
    """The steps of one equation, as they are found; None stands for what is wrong and reported.

    The body of an operator is also elaborated by itself, as a check; operators in it are then not expanded.
    """

    words: Words
    statement: tree.Equation | None
    family: tuple[str, int]
    left: Positions
    indices: tuple[str, ...] = ()
    ranges: Mapping[str, IndexRange] = field(default_factory=dict[str, IndexRange])
    level: int = 0
    is_too_large: bool = False
    call: Call | None = None
    """The use of a named operator that is being elaborated."""
    known_calls: dict[Hashable, int] = field(default_factory=dict[Hashable, int])
    """Results of recursive operators: without this cache each level could double the work."""
    steps: list[Step] = field(default_factory=list[Step])
    heads: list[str] = field(default_factory=list[str])
    depths: list[int] = field(default_factory=list[int])
    owned_here: dict[str, int] = field(default_factory=dict[str, int])
    reductions: dict[str, int] = field(default_factory=dict[str, int])
    turns: list[Binding] | None = None
    """For which choices of its index names it is read; None: for all."""
    outer: Elaboration | None = None
    """The equation with the reduction, if these are its terms."""
    lacks: Use | None = None
    formulas: dict[int, Formula] = field(default_factory=dict[int, Formula])
    """Formulas of settings and strides, by the identity of the expression."""
    terms: list[Template] = field(default_factory=list[Template])
    """The terms of its reductions, as equations of their own."""
    claims: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    """The kinds and the heads for which it has claimed names, and these."""

    def template(self, result: _Value | None) -> Template | None:
        """The equation, once its value is known; None if it is wrong, which was reported."""
        if self.statement is None or (result is None and self.outer is not None and self.lacks is None):
            return None
        turns, own = None, self.turns or (self.outer and self.outer.turns)
        if own:
            names = tuple(own[0])
            turns = Turns(names, frozenset(tuple(turn[name] for name in names) for turn in own))
        is_inner = self.outer is not None
        steps = tuple(self.steps)
        if result is not None:
            # What an operator does not read of its operands, such as `0` in `M(0, f)`, is not part of the equation.
            steps, result, _ = keep_steps(steps, result)
        return Template(
            self.statement,
            self.family[0],
            self.left,
            self.level,
            self.ranges,
            steps,
            result,
            is_inner,
            turns=turns,
            lacks=self.lacks,
        )

    def all_turns(self) -> list[Binding]:
        """The choices of its index names for which it is read."""
        if self.turns is None:
            declared = self.words.tags.constants.ranges
            outer = list[Binding]([{}]) if self.outer is None else self.outer.all_turns()
            own = {
                name: range
                for name, range in self.ranges.items()
                if self.outer is None or name not in self.outer.ranges
            }
            found = [turn for known in outer for turn in bindings_of(own, declared, known)]
            self.turns = [turn for turn in found if is_left_inside(self.left, self.ranges, self.level, turn, declared)]
        return self.turns

    def case(self, name: str, positions: Positions, span: Span) -> Case | None:
        """The declaration of a name that holds for a tag; None where none does.

        Raises SplitTurns where that is not the same for all choices of the index names.
        """
        cases = self.words.tags.constants.cases(name)
        groups: dict[tuple[int, ...], list[Binding]] = {}
        turns = list[Binding]([{}]) if all(position.base is None for position in positions) else self.all_turns()
        for turn in turns:
            try:
                tag = tuple([position.value(turn) for position in positions])
            except (OutOfRange, NotWhole, KeyError):
                continue
            groups.setdefault(tuple(holding_cases(cases, tag)), []).append(turn)
        if len(groups) > 1:
            raise SplitTurns(list(groups.values()))
        holding = next(iter(groups), ())
        if len(holding) > 1:
            tag = tuple(position.value(next(iter(groups.values()))[0]) for position in positions)
            return self.words.tags.constants.report_two(cases[holding[0]], cases[holding[1]], tag)
        if not holding:
            self.lacks = Use(name, positions, positions, span)
        return cases[holding[0]] if holding else None

    def value(self, expression: tree.Expression, scope: Scope) -> _Value | None:
        if self.is_too_large:
            return None
        match expression:
            case tree.Number(0):
                return self.step(Zero(), (), None, expression.span)
            case tree.Argument(name):
                return scope.arguments[name]
            case _ if self.words.names.is_number(expression) and self.words.names.kind(expression) is Kind.NUMBER:
                zero = self.step(Zero(), (), None, expression.span)
                return self.with_number(Shift(1), expression, zero, expression.span, scope)
            case tree.Symbol():
                return self.read(expression, scope)
            case tree.Number() | tree.Adjoint() | tree.Star(_, _, None):
                return self.words.names.report_kind(expression, Kind.VALUE)
            case tree.Pairing(left, right):
                return self.pair(expression, [self.value(left, scope), self.value(right, scope)])
            case tree.Norm(inner):
                return self.norm(expression, self.value(inner, scope))
            case tree.ApplyToSeveral(function, arguments):
                return self.apply_to_several(expression, [self.value(part, scope) for part in arguments], scope)
            case tree.Quotient(above):
                is_number = self.is_number(above, scope)
                return self.divide(expression, None if is_number else self.value(above, scope), scope)
            case tree.Power():
                return self.power(expression, scope)
            case tree.Star(_, _, right):
                return self.multiply(expression, right and self.value(right, scope), scope)
            case tree.Compose(function, argument) | tree.Apply(function, argument):
                return self.apply(function, self.value(argument, scope), scope)
            case tree.Sum():
                return self.add(expression, lambda part: self.value(part, scope), scope)
            case tree.Listing("max" | "min"):
                return self.limit(expression, lambda part: self.value(part, scope), scope)
            case tree.Product(parts) | tree.Listing(_, parts):
                return self.combine(expression, [self.value(part, scope) for part in parts])
            case tree.Reduction("softmax"):
                return _share(self, expression, scope)
            case tree.Reduction():
                return _reduce_values(self, expression, scope)
            case tree.Fix():
                return _find_value(self, expression, scope)

    def apply(self, function: tree.Expression, operand: _Value | None, scope: Scope) -> _Value | None:
        """What an operator gives for an operand; checked even where the operand is wrong."""
        if self.is_too_large:
            return None
        if self.is_factor(function, scope) or self.words.names.is_image_number(function):
            return self.multiply(tree.Star(function, 1, None, function.span), operand, scope)
        match function:
            case tree.Symbol():
                return self.apply_symbol(function, operand, scope)
            case (
                tree.Number()
                | tree.Adjoint()
                | tree.Power()
                | tree.Argument()
                | tree.Pairing()
                | tree.Norm()
                | tree.Fix()
            ):
                return self.words.names.report_kind(function, Kind.OPERATOR)
            case tree.ApplyToSeveral() | tree.Reduction("softmax"):
                return self.words.names.report_kind(function, Kind.OPERATOR)
            case tree.Quotient(above):
                return self.divide(function, self.apply(above, operand, scope), scope)
            case tree.Star(_, _, right):
                inner = operand if right is None else self.apply(right, operand, scope)
                return self.multiply(function, inner, scope)
            case tree.Compose(outer, inner) | tree.Apply(outer, inner):
                return self.apply(outer, self.apply(inner, operand, scope), scope)
            case tree.Sum():
                return self.add(function, lambda part: self.term(part, operand, scope), scope)
            case tree.Listing("max" | "min"):
                return self.limit(function, lambda part: self.term(part, operand, scope), scope)
            case tree.Product(parts) | tree.Listing(_, parts):
                return self.combine(function, [self.term(part, operand, scope) for part in parts])
            case tree.Reduction():
                return _unroll(self, function, operand, scope)

    # Symbols

    def read(self, symbol: tree.Symbol, scope: Scope) -> _Value | None:
        if not symbol.tag and symbol.name in scope.unknowns:
            unknown = scope.unknowns[symbol.name]
            return self.channels(symbol, unknown, scope) if symbol.settings else unknown
        declaration = self.words.names.declared.get(symbol.name)
        if self.words.names.kind(symbol) in TRAINED:
            if isinstance(declaration, tree.Let):
                found = self.inside(symbol, declaration, scope)
                return found and self.value(found[0].values[0], found[1])
            use = self.parameter(symbol, scope)
            is_vector = isinstance(declaration, tree.Scalar) and declaration.channels is not None
            return use and self.step(VectorValue() if is_vector else ScalarValue(), (), use, symbol.span)
        if not self.words.names.is_value(symbol):
            return self.words.names.report_kind(symbol, Kind.VALUE)
        positions = self.positions(symbol, scope)
        read = None if positions is None else Read(symbol.name, positions, symbol.span)
        return self.channels(symbol, read, scope) if symbol.settings else read

    def channels(self, symbol: tree.Symbol, read: _Value | None, scope: Scope) -> _Value | None:
        """`x[0..15]`: the channels of a value from the first to the last one."""
        setting = symbol.settings[0]
        if len(symbol.settings) > 1 or setting.upper is None:
            plain = format_symbol(replace(symbol, settings=()))
            message = "the brackets of a value hold its first and its last channel"
            help = f"write `{plain}[0..15]` for the first 16 channels, or `{plain}`"
            return self.words.problems.report("E0507", message, symbol.span, "expected a range", help)
        bounds = (setting.value, setting.upper)
        found = [self.words.tags.constants.formula(bound, scope.values.keys(), scope.tag) for bound in bounds]
        channels = tuple(formula.substitute(scope.values) for formula in found if formula is not None)
        if read is None or len(channels) < len(bounds):
            return None
        places = tuple(bound.span for bound in bounds)
        return self.step(Channels(0, 0), (read,), None, symbol.span, places, channels=channels)

    def apply_symbol(self, symbol: tree.Symbol, operand: _Value | None, scope: Scope) -> _Value | None:
        declaration = self.words.names.declared.get(symbol.name)
        if self.words.names.kind(symbol) != Kind.OPERATOR:
            return self.words.names.report_kind(symbol, Kind.OPERATOR)
        if isinstance(declaration, tree.Let):
            return self.expand(symbol, declaration, [operand], scope, symbol.span)
        return self.builtin(symbol, operand, scope)

    def inside(self, symbol: tree.Symbol, let: tree.Let, scope: Scope) -> tuple[tree.Let, Scope] | None:
        """The declaration that holds where a `let` is used, and what the index names on its left stand for there."""
        self.refuse_settings(symbol)
        if self.words.problems.explain(symbol.name):
            return None
        if len(let.symbol.tag) != len(symbol.tag):
            return self.words.names.report_arity(symbol, scope.tag)
        positions = self.positions(symbol, scope)
        if symbol.name not in self.words.names.members:
            head = self.words.tags.head(let.symbol)
            if head is None or positions is None:
                return None
            return let, Scope(dict(zip(head, positions, strict=True)), let.symbol.tag)
        case = None if positions is None or self.statement is None else self.case(symbol.name, positions, symbol.span)
        if case is None or positions is None or not isinstance(case.statement, tree.Let):
            return None
        values = {own.base: at for own, at in zip(case.head, positions, strict=True) if isinstance(own.base, str)}
        return case.statement, Scope(values, case.statement.symbol.tag)

    def apply_to_several(
        self, application: tree.ApplyToSeveral, operands: list[_Value | None], scope: Scope
    ) -> _Value | None:
        function, names = application.function, self.words.names
        let = names.declared.get(function.name) if isinstance(function, tree.Symbol) else None
        if isinstance(function, tree.Symbol) and isinstance(let, tree.Let) and names.kind(function) is Kind.OPERATOR:
            return self.expand(function, let, operands, scope, application.span)
        if names.kind(function) is not Kind.OPERATOR:
            return names.report_kind(function, Kind.OPERATOR)
        if isinstance(function, tree.Symbol) and function.name in BUILTINS and not function.tag:
            operator = BUILTINS[function.name]
            if operator.takes_operands == len(operands):
                made, known = _configure(self, function, operator, scope), tuple(o for o in operands if o is not None)
                if made is None or len(known) < len(operands):
                    return None
                return self.step(made, known, None, application.span, tuple(a.span for a in application.arguments))
        text = function.span.text
        message = f"`{text}` takes one operand, but is given {len(operands)}"
        help = "give the operands names, as in `let S(u, f) = u + B * (f - A * u)`; `concat(x, y)` joins values"
        return self.words.problems.report("E0216", message, application.span, f"{len(operands)} operands here", help)

    def report_operands(self, symbol: tree.Symbol, let: tree.Let, count: int, span: Span) -> None:
        head = Formatter().let_head(let)
        wanted = max(1, len(let.arguments))
        message = f"`{symbol.name}` takes {count_in_words(wanted, 'operand')}, but is given {count}"
        written = format_symbol(symbol)
        operands = ", ".join(argument.name for argument in let.arguments)
        help = f"write `{written}({operands})`" if let.arguments else f"apply it to one value: `{written}(…)`"
        label, place = count_in_words(count, "operand"), Label(let.symbol.span, f"declared as `{head}`")
        self.words.problems.report("E0216", message, span, f"{label} here", help, place)

    def expand(
        self, symbol: tree.Symbol, let: tree.Let, operands: list[_Value | None], scope: Scope, span: Span
    ) -> _Value | None:
        found = self.inside(symbol, let, scope)
        if found is None or None in operands or self.statement is None:
            return None
        let, inner = found
        if len(self.steps) >= MOST_STEPS:
            return self.report_size(symbol.span)
        if len(operands) != max(1, len(let.arguments)):
            return self.report_operands(symbol, let, len(operands), span)
        is_recursive = symbol.name in self.words.names.recursive
        start, outer, tag = len(self.steps), self.call, self.positions(symbol, scope) or ()
        call = Call(symbol.name, tag, inner.values, symbol.span, let, outer, is_recursive)
        meaning = (id(let), tag, tuple(o if isinstance(o, int | None) else (o.family, o.positions) for o in operands))
        if meaning in self.known_calls:
            return self.known_calls[meaning]
        if is_recursive and not self.may_recur(call):
            return None
        self.call = call if is_recursive or outer is None else outer
        if let.arguments:
            given = {argument.name: operand for argument, operand in zip(let.arguments, operands, strict=True)}
            value = self.value(let.values[0], replace(inner, arguments=given))
        else:
            value = self.apply(let.values[0], operands[0], inner)
        self.call, call.size = outer, len(self.steps) - start
        if is_recursive and isinstance(value, int):
            self.depths[value] = 1  # it gets a line of its own
            if all(map(self.is_repeatable, self.steps[start:])):
                self.known_calls[meaning] = value
        return value

    def is_repeatable(self, step: Step) -> bool:
        """Whether a step gives the same wherever it stands: not if it draws numbers, or owns a parameter."""
        return step.operator.repeatable and (step.use is None or step.use.name in self.words.parameters)

    def may_recur(self, call: Call) -> bool:
        """Whether a recursive operator comes to an end; if not, this is reported."""
        chain = [one for one in call.chain() if one.is_recursive]
        keys = [self.key_of(one) for one in chain]
        ranges = self.words.tags.constants.ranges
        # `M@J` does not say which index it has, another declaration does.
        lets = [let for let in self.words.names.statements_of(call.name) if isinstance(let, tree.Let)]
        tags = [let.symbol.tag for let in lets]
        indices = [next((i.name for i in each if i.name in ranges), None) for each in zip(*tags, strict=True)]
        known = [ranges.get(name or "") for name in indices]
        is_inside = all(
            range is None or range.level is not None or range.contains(at, {})
            for range, at in zip(known, keys[-1][1], strict=True)
        )
        if is_inside and keys[-1] not in keys[:-1] and len(keys) <= MOST_IN_ITSELF:
            return True
        if self.words.problems.explain(call.name):
            return False
        shown = [format_key(key) for key in keys]
        shown = shown if len(shown) <= _MOST_SHOWN else [*shown[:3], "…", shown[-1]]
        message = f"`{shown[0]}` has no end: {' → '.join(shown)}"
        if is_inside and keys[-1] not in keys[:-1]:
            message = f"`{shown[0]}` is inside itself more than {MOST_IN_ITSELF} times: {' → '.join(shown)}"
        head = replace(call.statement.symbol, tag=(tree.Index("J", None, 0, call.span), *call.statement.symbol.tag[1:]))
        help = f"write a case that ends it, as in `let {format_symbol(head)} = …`, and let each use come nearer to it"
        places = (Label(call.statement.symbol.span, "declared here"),)
        label = f"needs `{shown[-1]}` again" if keys[-1] in keys[:-1] else f"needs `{shown[-1]}`"
        self.words.problems.report("E0308", message, call.span, label, help, *places)
        self.words.problems.broken.add(call.name)
        return False

    def key_of(self, call: Call) -> Key:
        """The operator that a call is, for the first choice of the index names."""
        is_fixed = all(position.base is None for position in call.tag)
        turn: Binding = {}
        if not is_fixed:
            turn = next(iter(self.all_turns()), turn)
        return call.name, tuple([position.value(turn) for position in call.tag])

    def builtin(self, symbol: tree.Symbol, operand: _Value | None, scope: Scope) -> _Value | None:
        """A built-in operator; one with parameters has its own here, unless a tag shares them."""
        if (setting := self.trained_setting(symbol, scope)) is not None:
            value = self.value(setting.value, scope)
            if value is None or operand is None or self.positions(symbol, scope) is None:
                return None
            trained = TRAINED_SETTINGS[BUILTINS[symbol.name]]()
            return self.step(trained, (operand, value), None, symbol.span, (symbol.span, setting.span))
        operator = _configure(self, symbol, BUILTINS[symbol.name], scope)
        positions = self.positions(symbol, scope)
        if operator is None or positions is None or operand is None:
            return None
        if operator.takes_operands > 1:
            message = f"`{symbol.name}` takes {count_in_words(operator.takes_operands, 'operand')}, but is given 1"
            help = "write `unpool[2](x, y)`: numbers, and the value whose largest ones say where they belong"
            return self.words.problems.report("E0216", message, symbol.span, "1 operand here", help)
        if isinstance(operator, SplitChannels) and not positions:
            return self.part(symbol, operator, operand)
        if operator.owns is None:
            if positions:
                message = f"`{symbol.name}` has no parameters, so it takes no tag"
                return self.words.problems.report("E0202", message, symbol.span, "a tag here", f"write `{symbol.name}`")
            written = symbol.settings[0].value if operator.of_call and symbol.settings else None
            return self.step(
                operator, (operand,), None, symbol.span, settings=self.varying(operator.of_call or "", written)
            )
        if positions:
            return self.shared(symbol, operator, operand, Use(symbol.name, positions, positions, symbol.span))
        use = self.own(operator.owns, "" if operator.owns == "linear" else self.head(operand), symbol.span)
        given = {setting.name or "outputs": setting.value for setting in symbol.settings if operator.of_module}
        varying = self.varying("outputs", given.get("outputs"))
        if isinstance(operator, BatchNorm) and operator.fixed:
            operator = FrozenBatchNorm(eps=operator.eps, affine=operator.affine, momentum=operator.momentum, fixed=1)
        return self.step(operator, (operand,), use, symbol.span, settings=varying)

    def part(self, symbol: tree.Symbol, operator: SplitChannels, operand: _Value) -> _Value | None:
        """The part of a value that the last index on the left counts, from the first of its range on."""
        if self.statement is None:
            return self.step(operator, (operand,), None, symbol.span)
        last = self.left[-1] if self.left else None
        declared = self.words.tags.constants.ranges
        name = last.base if last is not None and not last.offset and isinstance(last.base, str) else None
        known = None if name is None else self.ranges.get(name)
        text, count = format_symbol(self.statement.left), operator.parts
        if self.outer is not None or known is None or name is None or last is None:
            place = self.statement.left.span
            message = f"`split` gives a family of {count} values, and no index of `{text}` counts them"
            help = f"write `y@k = split(x, {count}) for k = 1..{count}`, and take `y@1` where it is used"
            return self.words.problems.report("E0225", message, symbol.span, "which part?", help, Label(place, "here"))
        try:
            values = known.values({}, declared.get(name))
        except KeyError:
            values = range(0)
        if len(values) != count:
            message = f"`split` gives {count_in_words(count, 'value')}, but `{name}` takes {len(values) or 'other'}"
            help = f"let `{name}` run from 1 to {count}, or split into {len(values) or 2}"
            return self.words.problems.report("E0225", message, symbol.span, f"{count} parts", help)
        place = Formula(last.shifted(-values.start))
        return self.step(operator, (operand,), None, symbol.span, (symbol.span,), channels=(place,))

    def trained_setting(self, symbol: tree.Symbol, scope: Scope) -> tree.Setting | None:
        """The scalar or vector in the brackets of an operator that takes one there."""
        if BUILTINS[symbol.name] not in TRAINED_SETTINGS or len(symbol.settings) != 1 or symbol.tag:
            return None
        setting = symbol.settings[0]
        first = next(iter(BUILTINS[symbol.name].settings()))
        is_first = setting.name in (None, first) and setting.upper is None
        return setting if is_first and self.words.names.kind(setting.value) in TRAINED else None

    def own(self, kind: str, head: str, span: Span) -> Use:
        """A parameter that belongs to this place of the equation, a separate one in each instance."""
        name = self.words.owned.claim(kind, head, self.family, self.owned_here)
        self.claims.append((kind, head, name))
        return Use(name, self.left, self.left, span)

    def shared(self, symbol: tree.Symbol, operator: Operator, operand: _Value, use: Use) -> _Value | None:
        """An operator whose parameter is shared by a tag; running statistics are never shared."""
        if isinstance(operator, Normalisation) and not operator.affine:
            message = f"`{symbol.name}` with `affine=0` has nothing to share, so it takes no tag"
            help = f"write `{format_symbol(replace(symbol, tag=()))}`"
            return self.words.problems.report("E0202", message, symbol.span, "a tag here", help)
        if not isinstance(operator, BatchNorm):
            return self.step(operator, (operand,), use, symbol.span)
        statistics = self.own("stats", self.head(operand), symbol.span)
        shared = SharedBatchNorm(eps=operator.eps, momentum=operator.momentum, fixed=operator.fixed)
        return self.step(shared, (operand,), use, symbol.span, statistics=statistics)

    def head(self, operand: Operand) -> str:
        """The kernel or value that an operand comes from; scalars come from none."""
        return self.heads[operand] if isinstance(operand, int) else self.words.families.wanted(operand.family)

    def refuse_settings(self, symbol: tree.Symbol) -> None:
        if symbol.settings:
            plain = format_symbol(tree.Symbol(symbol.name, symbol.tag, symbol.span))
            is_operator = self.words.names.kind(symbol) == Kind.OPERATOR
            message = f"`{symbol.name}` is not a built-in operator, so it takes no brackets"
            help = f"write `{plain}`" + (f", or `{plain}(…)` to apply it" if is_operator else "")
            self.words.problems.report("E0507", message, symbol.span, "brackets here", help)

    def positions(self, symbol: tree.Symbol, scope: Scope) -> Positions | None:
        found = self.words.tags.positions(symbol, scope.values.keys())
        return found and tuple(position.substitute(scope.values) for position in found)

    # Numbers that are known when the equation is read

    def number(
        self,
        expression: tree.Expression,
        role: str,
        least: float,
        most: float,
        scope: Scope,
        may_be_real: bool = False,
    ) -> int | float | None:
        """A setting or a stride. Raises SplitTurns where it is not the same for all choices of the index names."""
        constants = self.words.tags.constants
        formula = constants.formula(expression, scope.values.keys(), scope.tag)
        if formula is None:
            return None
        formula = formula.substitute(scope.values)
        groups: dict[int | float | None, list[Binding]] = {}
        if formula.is_fixed():
            groups[constants.value(formula, {}, expression.span)] = []
        elif self.statement is None:
            return int(least)  # An operator that is only checked: the numbers are, where it is used.
        for turn in [] if formula.is_fixed() else self.all_turns():
            groups.setdefault(constants.value(formula, dict(turn), expression.span), []).append(turn)
        if len(groups) > 1:
            raise SplitTurns(list(groups.values()))
        self.formulas[id(expression)] = formula
        value, turns = next(iter(groups.items()), (None, list[Binding]()))
        if value is None or (least <= value <= most and (may_be_real or isinstance(value, int))):
            return value
        at = "" if not turns else f" at {', '.join(f'{name} = {index}' for name, index in turns[0].items())}"
        kind = "number" if may_be_real else "whole number"
        report_unfit(self.words.problems, value, expression.span, f"{role}{at}", least, most, kind=kind)
        return None

    def stride(self, star: tree.Star, scope: Scope) -> int | tuple[int, ...] | None:
        sides = star.stride if isinstance(star.stride, tuple) else (star.stride,)
        names = self.words.names
        if len(sides) not in (1, names.dimension):
            help = f"write one stride for all axes, `*_2`, or `*_{{{','.join('2' * names.dimension)}}}`"
            return names.report_dimension(f"`{star.left.span.text}` has strides", len(sides), star.span, help)
        limits = ("a stride", 1, LARGEST_STRIDE, scope)
        found = [side if isinstance(side, int) else self.number(side, *limits) for side in sides]
        whole = [side for side in found if isinstance(side, int)]
        if len(whole) < len(found):
            return None
        return whole[0] if len(set(whole)) == 1 else tuple(whole)

    # Products

    def is_number(self, expression: tree.Expression, scope: Scope) -> bool:
        """Whether an expression is a number, known when compiling; an index counts as one."""
        is_index = isinstance(expression, tree.Symbol) and expression.name in scope.values
        return is_index or self.words.names.is_number(expression)

    def is_factor(self, expression: tree.Expression, scope: Scope) -> bool:
        """Whether an expression is a number, a scalar or a vector."""
        return self.is_number(expression, scope) or self.words.names.is_factor(expression)

    def multiply(self, star: tree.Star, operand: _Value | None, scope: Scope) -> _Value | None:
        left = star.left
        is_factor = self.is_factor(left, scope)
        is_image_number = not is_factor and self.words.names.is_image_number(left)
        if (is_factor or is_image_number) and (star.stride != 1 or star.is_transposed):
            kind = self.words.names.kind(left) or Kind.INDEX
            message = f"`{left.span.text}` is {kind.value}, which has no stride"
            help = f"write `{left.span.text} * …`: only a kernel can have a stride"
            return self.words.problems.report("E0212", message, left.span, "expected a kernel", help)
        if is_image_number:
            pair = self.value(left, scope), operand
            known = tuple(value for value in pair if value is not None)
            return self.step(MultiplyBy(), known, None, star.span) if len(known) == len(pair) else None
        if self.is_number(left, scope):
            return self.with_number(Scale(1), left, operand, star.span, scope)
        declared = self.words.names.declared.get(left.name) if isinstance(left, tree.Symbol) else None
        if is_factor and not isinstance(declared, tree.Scalar):
            return self.combine(tree.Product((left, star), star.span), [self.value(left, scope), operand])
        use = self.parameter(left, scope)
        if use is None or operand is None:
            return None
        if is_factor:
            is_vector = isinstance(declared, tree.Scalar) and declared.channels is not None
            return self.step(ScaleChannels() if is_vector else ScaleBy(), (operand,), use, star.span)
        is_adjoint, declaration = isinstance(left, tree.Adjoint), self.declaration(use)
        if declaration is None:
            return None
        start, rules = declaration.start, declaration.rules
        stride = self.stride(star, scope)
        if stride is None:
            return None
        if star.is_transposed:
            if isinstance(stride, tuple):
                return self.refuse_rectangle(star, f"`{use.name} *^{{{stride_text(stride)}}}`", len(stride))
            operator = (ProlongationAdjoint if is_adjoint else Prolongation)(stride, start, rules)
        else:
            operator = (ConvolutionAdjoint if is_adjoint else Convolution)(stride, start, rules, mode_of(declaration))
        return self.step(operator, (operand,), use, star.span, settings=self.varying("stride", star.stride))

    def varying(self, name: str, written: object) -> tuple[tuple[str, Formula], ...]:
        """A setting with its formula, if that is not a number."""
        formula = self.formulas.get(id(written))
        return () if formula is None or formula.is_fixed() else ((name, formula),)

    def declaration(self, use: Use) -> Declaration | None:
        """The declaration of a kernel where it is used; of several only if they differ in more than sizes."""
        declaration = self.words.parameters[use.name]
        ways = {(each.start, each.rules, mode_of(each)) for each in declaration.cases}
        if len(ways) < 2 or self.statement is None:
            return declaration
        case = self.case(use.name, use.tag, use.span)
        return next((each for each in declaration.cases if each.case is case), None)

    def refuse_rectangle(self, star: tree.Star, what: str, count: int) -> None:
        message = f"{what} has {('two', 'three')[count - 2]} strides"
        help = "prolong by one stride for all axes, as in `K *^2 x`"
        self.words.problems.report("E0401", message, star.span, "expected one stride", help)

    def with_number(
        self, operator: WithNumber, number: tree.Expression, operand: _Value | None, span: Span, scope: Scope
    ) -> _Value | None:
        """What a number does to a value."""
        formula = self.words.tags.constants.formula(number, scope.values.keys(), scope.tag)
        if formula is None or operand is None:
            return None
        return self.step(operator, (operand,), None, span, (number.span,), formula.substitute(scope.values))

    def divide(self, quotient: tree.Quotient, above: _Value | None, scope: Scope) -> _Value | None:
        """A quotient; `above` is the value above the bar, if there is one."""
        numerator, denominator = quotient.numerator, quotient.denominator
        numbers = self.is_number(numerator, scope), self.is_number(denominator, scope)
        if all(numbers):
            return self.words.names.report_kind(quotient, Kind.VALUE)
        if numbers[0]:
            return self.with_number(Reciprocal(1), numerator, self.value(denominator, scope), quotient.span, scope)
        if numbers[1]:
            return self.with_number(Scale(1), reciprocal(denominator), above, quotient.span, scope)
        below = self.value(denominator, scope)
        return None if above is None or below is None else self.step(Divide(), (above, below), None, quotient.span)

    def pair(self, pairing: tree.Pairing | tree.Norm, operands: list[_Value | None]) -> _Value | None:
        known = tuple(operand for operand in operands if operand is not None)
        return self.step(InnerProduct(), known, None, pairing.span) if len(known) == len(operands) else None

    def norm(self, norm: tree.Norm, operand: _Value | None) -> _Value | None:
        return None if operand is None else self.step(EuclideanNorm(), (operand,), None, norm.span)

    def power(self, power: tree.Power, scope: Scope) -> _Value | None:
        names = self.words.names
        match power:
            case tree.Power(tree.Norm(inner) as norm, tree.Number(2)):
                operand = self.value(inner, scope)
                return self.pair(norm, [operand, operand])
            case tree.Power(base) if names.is_image_number(base):
                return self.with_number(RaiseTo(1), power.exponent, self.value(base, scope), power.span, scope)
            case _:
                pass
        if names.kind(power) not in TRAINED:
            return self.words.names.report_kind(power, Kind.VALUE)
        return self.with_number(RaiseTo(1), power.exponent, self.value(power.base, scope), power.span, scope)

    def parameter(self, expression: tree.Expression, scope: Scope) -> Use | None:
        names = self.words.names
        if isinstance(expression, tree.Adjoint) and names.kind(expression) == Kind.KERNEL:
            expression = expression.kernel
        is_symbol = isinstance(expression, tree.Symbol)
        declared = names.declared.get(expression.name) if is_symbol else None
        if not is_symbol or not isinstance(declared, tree.KernelStatement | tree.Scalar):
            return names.report_kind(expression, Kind.KERNEL)
        self.refuse_settings(expression)
        if self.words.problems.explain(expression.name):
            return None
        declaration = self.words.parameters[expression.name]
        positions = self.positions(expression, scope)
        if positions is not None and len(declaration.indices) == 1 and len(positions) == 2:
            if positions[1] == positions[0].shifted(1):
                positions = (positions[declaration.transfer],)
        if positions is not None and len(declaration.indices) != len(positions):
            return names.report_arity(expression, scope.tag)
        return None if positions is None else self.tied(expression, positions)

    def tied(self, symbol: tree.Symbol, positions: Positions) -> Use:
        """The use of a parameter; a `tie` without clauses drops indices of its tag right away."""
        rule = self.words.ties.get(symbol.name)
        kept = positions if rule is None or rule.clauses else tuple(positions[place] for place in rule.kept)
        return Use(symbol.name, positions, kept, symbol.span)

    # Sums, products, reductions

    def term(self, part: tree.Expression, operand: _Value | None, scope: Scope) -> _Value | None:
        """A term of a sum of operators, applied; a scalar or vector in it stands for itself."""
        names = self.words.names
        is_alone = names.kind(part) in TRAINED or (names.is_image_number(part) and names.kind(part) is Kind.VALUE)
        return self.value(part, scope) if is_alone else self.apply(part, operand, scope)

    def limit(
        self, listing: tree.Listing, value: Callable[[tree.Expression], _Value | None], scope: Scope
    ) -> _Value | None:
        """`max(x, y, 1)`: the larger of the values, and then of that and the numbers."""
        numbers = tuple(part for part in listing.members if self.is_number(part, scope))
        parts = tuple(part for part in listing.members if part not in numbers)
        found = [value(part) for part in parts]
        whole = replace(listing, members=parts)
        operand = found[0] if len(parts) == 1 else self.combine(whole, found)
        if not numbers:
            return operand
        which: Literal["max", "min"] = "max" if listing.reducer == "max" else "min"
        bound = numbers[0] if len(numbers) == 1 else replace(listing, members=numbers)
        return self.with_number(Limit(1, which), bound, operand, listing.span, scope)

    def add(self, total: tree.Sum, value: Callable[[tree.Expression], _Value | None], scope: Scope) -> _Value | None:
        """A sum: of its values, and then of all numbers in it at once. A zero is a value, of whatever shape fits."""
        terms = list(zip(total.terms, total.signs, strict=True))
        numbers = [term for term in terms if self.is_number(term[0], scope) and not _is_zero(term[0])]
        if not numbers:
            return self.combine(total, [value(part) for part in total.terms])
        if len(numbers) == len(terms):
            return self.words.names.report_kind(total, Kind.VALUE)
        parts, signs = zip(*[term for term in terms if term not in numbers], strict=True)
        found = [value(part) for part in parts]
        sign = signs[0] if len(parts) == 1 else 1
        operand = found[0] if len(parts) == 1 else self.combine(tree.Sum(parts, signs, total.span), found)
        number = tree.Sum(tuple(part for part, _ in numbers), tuple(sign for _, sign in numbers), numbers[0][0].span)
        return self.with_number(Shift(1, sign), number, operand, total.span, scope)

    def combine(self, expression: tree.Expression, operands: list[_Value | None]) -> _Value | None:
        known = tuple(operand for operand in operands if operand is not None)
        if len(known) < len(operands):
            return None
        match expression:
            case tree.Sum(parts, signs):
                operator: Operator = Add(signs)
            case tree.Product(parts):
                operator = Multiply()
            case tree.Listing("sum", parts):
                operator = Add((1,) * len(parts))
            case tree.Listing("max" | "min" as which, parts):
                operator = Extreme(which)
            case tree.Listing(_, parts):
                operator = Concat()
            case _:
                raise AssertionError(expression)
        return self.step(operator, known, None, expression.span, tuple(part.span for part in parts))

    def inner(
        self, family: str, known: IndexRange, reductions: dict[str, int], turns: list[Binding] | None
    ) -> Elaboration:
        left = (*self.left, Position(known.name, 0))
        indices, ranges = (*self.indices, known.name), {**self.ranges, known.name: known}
        work = Elaboration(self.words, self.statement, (family, len(left)), left, indices, ranges, self.level)
        work.reductions, work.turns, work.outer = reductions, turns, self
        return work

    # Steps

    def step(
        self,
        operator: Operator,
        operands: tuple[Operand, ...],
        use: Use | None,
        span: Span,
        terms: tuple[Span, ...] = (),
        factor: Formula | None = None,
        statistics: Use | None = None,
        channels: tuple[Formula, ...] = (),
        settings: tuple[tuple[str, Formula], ...] = (),
    ) -> _Value | None:
        """Append a step; operators that expand without bound are stopped."""
        depth = 1 + max((self.depths[at] for at in operands if isinstance(at, int)), default=0)
        if len(self.steps) >= MOST_STEPS or depth > MOST_IN_A_CHAIN:
            return self.report_size(span)
        if isinstance(operator, ScalarValue):
            head = ""
        elif use is not None and isinstance(operator, Kernel):
            head = use.name
        else:
            own = operands[1:] if isinstance(operator, MultiplyBy) else operands
            heads = [self.head(operand) for operand in own]
            head = next((head for head in heads if head), "") if heads else "0"
        self.heads.append(head)
        self.depths.append(depth)
        call = self.call
        if self.words.names.dimension != operator.dimension:
            operator = replace(operator, dimension=self.words.names.dimension)
        self.steps.append(
            Step(operator, operands, use, span, terms, factor, statistics, call, channels=channels, settings=settings)
        )
        return len(self.steps) - 1

    def report_size(self, span: Span) -> None:
        name = self.statement.left.name if self.statement else self.family[0]
        what = f"an equation for `{name}`" if name else "this operator"
        if not self.is_too_large:
            message = f"{what} expands to more than {MOST_STEPS:,} operations, or {MOST_IN_A_CHAIN:,} in a chain"
            help = "use fewer nested operators, or give partial results equations of their own"
            self.words.problems.report("E0210", message, span, "too many from here on", help)
        self.is_too_large = True
