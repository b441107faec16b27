"""Expressions → steps: operators are expanded where they are used, reductions over their index."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, cast

from cldfc.diagnostics import Span, did_you_mean
from cldfc.network.constants import Constants, resolve_bound
from cldfc.network.names import TRAINED, Kind
from cldfc.network.numbers import reciprocal, report_unfit
from cldfc.network.positions import MOST_IN_A_CHAIN, MOST_STEPS, Formula, IndexRange, Position, Positions
from cldfc.network.program import Call, Operand, Read, Reads, Scope, Step, Template, Use, Words
from cldfc.ops import (
    BUILTINS,
    TRAINED_SETTINGS,
    Add,
    BatchNorm,
    Channels,
    Concat,
    Convolution,
    ConvolutionAdjoint,
    Divide,
    Extreme,
    Kernel,
    Limit,
    LogTotal,
    Multiply,
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
    Total,
    VectorValue,
    WithNumber,
    Zero,
)
from cldfc.syntax import tree
from cldfc.syntax.format import format_symbol
from cldfc.syntax.walk import mentions


def _configure(symbol: tree.Symbol, operator: type[Operator], constants: Constants) -> Operator | None:
    """The operator with the numbers in its brackets; None when one of them was reported."""
    known = operator.settings()
    given: dict[str, int | float | str] = {}
    for place, setting in enumerate(symbol.settings):
        if _is_flag(setting, known) and setting.value.span.text.strip() not in given:
            given[cast(tree.Symbol, setting.value).name] = 1
            continue
        if setting.upper is not None:
            message = f"channels are taken of a value, and `{symbol.name}` is an operator"
            help = f"give its result a name, `x = {symbol.name}(…)`, and write `x[{setting.span.text}]`"
            return constants.problems.report("E0507", message, setting.span, "not expected here", help)
        name = setting.name or _name_by_word(setting, known) or next(iter([*known][place : place + 1]), None)
        if name not in known or name in given:
            return _refuse_setting(symbol, setting, name, known, constants)
        value = _setting_value(setting, name, known[name], operator, constants)
        if value is None:
            return None
        given[name] = value
    return operator(**given)


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
    setting: tree.Setting, name: str, known: OperatorSetting, operator: type[Operator], constants: Constants
) -> int | float | str | None:
    if known.kind == "word":
        found = _word_of(setting)
        if found in known.words:
            return found
        message = f"`{setting.value.span.text}` cannot be the {name} of `{operator.keyword}`"
        help = did_you_mean(found or "", known.words, f"write one of {', '.join(f'`{word}`' for word in known.words)}")
        return constants.problems.report("E0507", message, setting.value.span, "expected a word", help)
    value = constants.number(setting.value)
    if value is None:
        return None
    is_fit = known.least <= value <= known.most and (known.kind == "real" or isinstance(value, int))
    if is_fit:
        return value
    role = f"the {name} of `{operator.keyword}`"
    kind = "whole number" if known.kind == "whole" else "number"
    report_unfit(constants.problems, value, setting.value.span, role, known.least, known.most, kind=kind)
    return None


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
    bounds = _bounds_of(work, reduction, scope)
    name = f"{reduction.name}_2" if reduction.name in work.indices else reduction.name
    inside = scope.inside(reduction.name, Position(name, 0))
    body = reduction.body
    if isinstance(body, tree.Symbol) and not body.settings and work.words.names.is_value(body):
        read = work.read(body, inside)
    else:
        lower, upper = bounds or (None, None)
        known = IndexRange("steps", name, lower, upper, None, reduction.name_span, is_explicit=True)
        read = _terms(work, reduction, known, inside)
    if bounds is None or not isinstance(read, Read):
        return None
    operand = Reads(read.family, read.positions, read.span, name, *bounds)
    return work.step(_REDUCERS[reduction.reducer], (operand,), None, reduction.span)


_REDUCERS: Mapping[tree.Reducer, Operator] = {
    "sum": Total(),
    "concat": Concat(),
    "max": Extreme("max"),
    "min": Extreme("min"),
    "softmax": LogTotal(),
}


def _share(work: Elaboration, reduction: tree.Reduction, scope: Scope) -> _Value | None:
    """`softmax(j = 0..i : a@i,j)` at j: exp of a@i,j minus the logarithm of the sum of all such powers."""
    name, body = reduction.name, reduction.body
    if name not in scope.values:
        message = f"`{name}` has no value here: `softmax` over an index gives its share to one value of it"
        help = (
            f"write it inside a sum over `{name}`, as in `sum({name} = 0..4 : softmax({name} = 0..4 : a@{name}) * …)`"
        )
        return work.words.problems.report("E0206", message, reduction.name_span, "no value", help)
    outside = Scope({other: at for other, at in scope.values.items() if other != name}, scope.tag)
    own, whole = work.value(body, scope), _reduce_values(work, reduction, outside)
    if own is None or whole is None:
        return None
    places = (body.span, reduction.span)
    logarithm = work.step(Add((1, -1)), (own, whole), None, reduction.span, places)
    return logarithm if logarithm is None else work.step(BUILTINS["exp"](), (logarithm,), None, reduction.span)


def _terms(work: Elaboration, reduction: tree.Reduction, known: IndexRange, scope: Scope) -> Read | None:
    owner = (work.statement.left.name, len(work.statement.left.tag)) if work.statement else ("", 0)
    family = work.words.families.claim("terms", "", owner, work.reductions)
    inner = work.inner(family, known)
    result = inner.value(reduction.body, scope)
    if result is None or work.statement is None:
        return None
    steps, left = tuple(inner.steps), inner.left
    work.words.inner.append(
        Template(work.statement, family, left, work.level, inner.ranges, steps, result, is_inner=True)
    )
    return Read(family, left, reduction.body.span)


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
    turns = range(bounds[0].offset, bounds[1].offset + 1)
    if not turns:
        message, help = f"the range of `{reduction.name}` is empty", "write the smaller bound first"
        return work.words.problems.report("E0505", message, span, "no index", help)
    if len(turns) > MOST_STEPS:
        return work.report_size(reduction.span)
    parts = [work.apply(reduction.body, operand, scope.inside(reduction.name, Position(None, j))) for j in turns]
    members = (reduction.body,) * len(turns)
    return work.combine(tree.Listing(reduction.reducer, members, reduction.span), parts)


def _tag_of_terms(reduction: tree.Reduction) -> tuple[tree.Index, ...]:
    """The tag that says the level of `concat(j = 0..ν : x@ℓ,j)`: the first in its body that the index stands in."""
    symbols = [found for found in mentions(reduction.body) if isinstance(found, tree.Symbol)]
    own = (symbol.tag for symbol in symbols if any(index.name == reduction.name for index in symbol.tag))
    return next((tag for tag in own if len(tag) > 1), ())


_Value = int | Read


def _is_zero(expression: tree.Expression) -> bool:
    return isinstance(expression, tree.Number) and expression.value == 0


@dataclass
class Elaboration:
    """The steps of one equation, as they are found; None stands for what is wrong and reported.

    The body of an operator is elaborated by itself to be checked; others in it are not expanded then.
    """

    words: Words
    statement: tree.Equation | None
    family: tuple[str, int]
    left: Positions
    indices: tuple[str, ...] = ()
    ranges: Mapping[str, IndexRange] = field(default_factory=dict[str, IndexRange])
    level: int = 0
    is_too_large: bool = False
    is_in_call: bool = False
    steps: list[Step] = field(default_factory=list[Step])
    heads: list[str] = field(default_factory=list[str])
    depths: list[int] = field(default_factory=list[int])
    owned_here: dict[str, int] = field(default_factory=dict[str, int])
    reductions: dict[str, int] = field(default_factory=dict[str, int])

    def value(self, expression: tree.Expression, scope: Scope) -> _Value | None:
        if self.is_too_large:
            return None
        match expression:
            case tree.Number(0):
                return self.step(Zero(), (), None, expression.span)
            case _ if self.words.names.kind(expression) is Kind.NUMBER:
                zero = self.step(Zero(), (), None, expression.span)
                return self.with_number(Shift(1), expression, zero, expression.span, scope)
            case tree.Symbol():
                return self.read(expression, scope)
            case tree.Number() | tree.Adjoint() | tree.Star(_, _, None):
                return self.words.names.report_kind(expression, Kind.VALUE)
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

    def apply(self, function: tree.Expression, operand: _Value | None, scope: Scope) -> _Value | None:
        """What an operator gives for an operand; checked even where the operand is wrong."""
        if self.is_too_large:
            return None
        if self.is_factor(function, scope):
            return self.multiply(tree.Star(function, 1, None, function.span), operand, scope)
        match function:
            case tree.Symbol():
                return self.apply_symbol(function, operand, scope)
            case tree.Number() | tree.Adjoint() | tree.Power():
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
        declaration = self.words.names.declared.get(symbol.name)
        if self.words.names.kind(symbol) in TRAINED:
            if isinstance(declaration, tree.Let):
                inner = self.inside(symbol, declaration, scope)
                return inner and self.value(declaration.values[0], inner)
            use = self.parameter(symbol, scope)
            is_vector = isinstance(declaration, tree.Scalar) and declaration.channels is not None
            return use and self.step(VectorValue() if is_vector else ScalarValue(), (), use, symbol.span)
        if not self.words.names.is_value(symbol):
            return self.words.names.report_kind(symbol, Kind.VALUE)
        positions = self.positions(symbol, scope)
        read = None if positions is None else Read(symbol.name, positions, symbol.span)
        return self.channels(symbol, read, scope) if symbol.settings else read

    def channels(self, symbol: tree.Symbol, read: Read | None, scope: Scope) -> _Value | None:
        """`x[0..15]`: the channels of a value from the first to the last one."""
        setting = symbol.settings[0]
        if len(symbol.settings) > 1 or setting.upper is None:
            plain = format_symbol(replace(symbol, settings=()))
            message = "in the brackets of a value stand its first and its last channel"
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
            return self.expand(symbol, declaration, operand, scope)
        return self.builtin(symbol, operand, scope)

    def inside(self, symbol: tree.Symbol, let: tree.Let, scope: Scope) -> Scope | None:
        """What the index names on the left of a `let` stand for where it is used."""
        self.refuse_settings(symbol)
        if self.words.problems.explain(symbol.name):
            return None
        if len(let.symbol.tag) != len(symbol.tag):
            return self.words.names.report_arity(symbol, scope.tag)
        head, positions = self.words.tags.head(let.symbol), self.positions(symbol, scope)
        if head is None or positions is None:
            return None
        return Scope(dict(zip(head, positions, strict=True)), let.symbol.tag)

    def expand(self, symbol: tree.Symbol, let: tree.Let, operand: _Value | None, scope: Scope) -> _Value | None:
        inner = self.inside(symbol, let, scope)
        if inner is None or operand is None or self.statement is None:
            return None
        head, positions = tuple(inner.values), tuple(inner.values.values())
        if len(self.steps) >= MOST_STEPS:
            return self.report_size(symbol.span)
        start, self.is_in_call, is_inner = len(self.steps), True, self.is_in_call
        value = self.apply(let.values[0], operand, inner)
        self.is_in_call = is_inner
        if not is_inner:
            call = Call(symbol.name, head, positions, start, len(self.steps) - start, symbol.span)
            self.steps[start:] = [replace(step, call=call) for step in self.steps[start:]]
        return value

    def builtin(self, symbol: tree.Symbol, operand: _Value | None, scope: Scope) -> _Value | None:
        """A built-in operator; one with parameters has its own here, unless a tag shares them."""
        if (setting := self.trained_setting(symbol, scope)) is not None:
            value = self.value(setting.value, scope)
            if value is None or operand is None or self.positions(symbol, scope) is None:
                return None
            trained = TRAINED_SETTINGS[BUILTINS[symbol.name]]()
            return self.step(trained, (operand, value), None, symbol.span, (symbol.span, setting.span))
        operator = _configure(symbol, BUILTINS[symbol.name], self.words.tags.constants)
        positions = self.positions(symbol, scope)
        if operator is None or positions is None or operand is None:
            return None
        if operator.owns is None:
            if positions:
                message = f"`{symbol.name}` has no parameters, so it takes no tag"
                return self.words.problems.report("E0202", message, symbol.span, "a tag here", f"write `{symbol.name}`")
            return self.step(operator, (operand,), None, symbol.span)
        if positions:
            return self.shared(symbol, operator, operand, Use(symbol.name, positions, positions, symbol.span))
        use = self.own(operator.owns, "" if operator.owns == "linear" else self.head(operand), symbol.span)
        return self.step(operator, (operand,), use, symbol.span)

    def trained_setting(self, symbol: tree.Symbol, scope: Scope) -> tree.Setting | None:
        """The scalar or vector in the brackets of an operator that takes one there."""
        if BUILTINS[symbol.name] not in TRAINED_SETTINGS or len(symbol.settings) != 1 or symbol.tag:
            return None
        setting = symbol.settings[0]
        first = next(iter(BUILTINS[symbol.name].settings()))
        is_first = setting.name in (None, first) and setting.upper is None
        return setting if is_first and self.words.names.kind(setting.value) in TRAINED else None

    def own(self, kind: str, head: str, span: Span) -> Use:
        """What this place of the equation has for itself in each instance."""
        return Use(self.words.owned.claim(kind, head, self.family, self.owned_here), self.left, self.left, span)

    def shared(self, symbol: tree.Symbol, operator: Operator, operand: _Value, use: Use) -> _Value | None:
        """An operator whose parameter is shared by a tag; running statistics are never shared."""
        if isinstance(operator, Normalisation) and not operator.affine:
            message = f"`{symbol.name}` with `affine=0` has nothing to share, so it takes no tag"
            help = f"write `{format_symbol(replace(symbol, tag=()))}`"
            return self.words.problems.report("E0202", message, symbol.span, "a tag here", help)
        if not isinstance(operator, BatchNorm):
            return self.step(operator, (operand,), use, symbol.span)
        statistics = self.own("stats", self.head(operand), symbol.span)
        shared = SharedBatchNorm(eps=operator.eps, momentum=operator.momentum)
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
        if is_factor and (star.stride != 1 or star.is_transposed):
            kind = self.words.names.kind(left) or Kind.INDEX
            message = f"`{left.span.text}` is {kind.value}, which has no stride"
            help = f"write `{left.span.text} * …`: only a kernel can have a stride"
            return self.words.problems.report("E0212", message, left.span, "expected a kernel", help)
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
        is_adjoint, start = isinstance(left, tree.Adjoint), self.words.parameters[use.name].start
        if star.is_transposed:
            if isinstance(star.stride, tuple):
                return self.refuse_rectangle(star, f"`{use.name} *^{{{star.stride[0]},{star.stride[1]}}}`")
            operator = (ProlongationAdjoint if is_adjoint else Prolongation)(star.stride, start)
        else:
            kernel = self.words.parameters[use.name].statement
            boundary = kernel.boundary if isinstance(kernel, tree.KernelStatement) else None
            mode = boundary if boundary in ("circular", "reflect", "replicate") else "zeros"
            operator = (ConvolutionAdjoint if is_adjoint else Convolution)(star.stride, start, mode)
        return self.step(operator, (operand,), use, star.span)

    def refuse_rectangle(self, star: tree.Star, what: str) -> None:
        message, help = f"{what} has two strides", "prolong by one stride for rows and columns, as in `K *^2 x`"
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

    def power(self, power: tree.Power, scope: Scope) -> _Value | None:
        if self.words.names.kind(power) not in TRAINED:
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
        """The use of a parameter; a `tie` without clauses leaves out places of its tag at once."""
        rule = self.words.ties.get(symbol.name)
        kept = positions if rule is None or rule.clauses else tuple(positions[place] for place in rule.kept)
        return Use(symbol.name, positions, kept, symbol.span)

    # Sums, products, reductions

    def term(self, part: tree.Expression, operand: _Value | None, scope: Scope) -> _Value | None:
        """A term of a sum of operators, applied; a scalar or vector in it stands for itself."""
        is_alone = self.words.names.kind(part) in TRAINED
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

    def inner(self, family: str, known: IndexRange) -> Elaboration:
        left = (*self.left, Position(known.name, 0))
        indices, ranges = (*self.indices, known.name), {**self.ranges, known.name: known}
        work = Elaboration(self.words, self.statement, (family, len(left)), left, indices, ranges, self.level)
        work.reductions = self.reductions
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
            heads = [self.head(operand) for operand in operands]
            head = next((head for head in heads if head), "") if heads else "0"
        self.heads.append(head)
        self.depths.append(depth)
        self.steps.append(Step(operator, operands, use, span, terms, factor, statistics, channels=channels))
        return len(self.steps) - 1

    def report_size(self, span: Span) -> None:
        name = self.statement.left.name if self.statement else self.family[0]
        what = f"an equation for `{name}`" if name else "this operator"
        if not self.is_too_large:
            message = f"{what} expands to more than {MOST_STEPS:,} operations, or {MOST_IN_A_CHAIN:,} in a chain"
            help = "use fewer nested operators, or give partial results equations of their own"
            self.words.problems.report("E0210", message, span, "too many from here on", help)
        self.is_too_large = True
