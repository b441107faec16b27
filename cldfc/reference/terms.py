"""Expressions at one choice of index names: operators are expanded where they are used, and applied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import reduce
from math import prod
from typing import Any, cast

import torch
from torch import Tensor

from cldfc.reference.indices import Binding, Exact, Key, Tag
from cldfc.reference.modules import after_rename, apply_kernel, apply_owner, apply_scalar, read_scalar
from cldfc.reference.operators import BY_PIXEL, DRAWING, FLAGS, OWNERS, POINTWISE, REARRANGING, SETTINGS, WORDS, unpool
from cldfc.reference.parameters import TermPlaces, is_plain, reduction_turns
from cldfc.reference.session import (
    EvaluationSession,
    Unshaped,
    Value,
    combine_alike,
    concatenate,
    format_value,
    is_zero,
    map_value,
    tensor_of,
)
from cldfc.reference.solutions import MOST_UNKNOWNS, NotSolved, find_fixed_point, follow_gradient, solve_densely
from cldfc.syntax import tree

# It carries no types.
_torch: Any = torch

Setting = int | float | str | Tensor
"""What stands in the brackets of an operator: a number, a word, or a scalar or vector that is trained."""


@dataclass(frozen=True)
class EquationScope:
    """The values of index names at a place, and the tag that says the level for constants without one."""

    binding: Binding
    tag: Tag
    arguments: Mapping[str, Value] = field(default_factory=dict[str, Value])
    """What the operands of an operator are, where they have names."""
    unknowns: Mapping[str, Value] = field(default_factory=dict[str, Value])
    """What `fix` and `solve` look for, by their names."""


@dataclass(frozen=True)
class Expressions:
    """One equation at one choice of its index names, or one term of a reduction in it.

    `indices` is the tag of parameters without one of their own, `places` their names in the order of
    computation.
    """

    session: EvaluationSession
    key: Key
    indices: tuple[int, ...]
    places: Iterator[str | TermPlaces]
    equation: tree.Equation

    def value(self, expression: tree.Expression, scope: EquationScope) -> Value:
        match expression:
            case tree.Number(0):
                return Unshaped()
            case tree.Argument(name):
                return scope.arguments[name]
            case tree.Pairing(left, right):
                return _pair(self.value(left, scope), self.value(right, scope))
            case tree.Norm(inner):
                value = self.value(inner, scope)
                return map_value(_pair(value, value), _root)
            case tree.Power(tree.Norm(inner), tree.Number(2)):
                value = self.value(inner, scope)
                return _pair(value, value)
            case tree.ApplyToSeveral(tree.Symbol("unpool") as function, (one, other)):
                return self.unpooled(function, self.value(one, scope), self.value(other, scope), scope)
            case tree.ApplyToSeveral(tree.Symbol() as function, arguments):
                return self.call(function, [self.value(part, scope) for part in arguments], scope)
            case _ if self.session.numbers.is_number(expression, scope.binding):
                number = self.number(expression, scope)
                return map_value(Unshaped(), lambda zero: zero + number)
            case tree.Symbol(name, tag=(), settings=settings) if name in scope.unknowns:
                value = scope.unknowns[name]
                return self.channels(value, settings[0], scope) if settings else value
            case tree.Symbol(name) if name in self.session.known.lets:
                return self.value(*self.inside(expression, scope))
            case tree.Symbol(name) if name in self.session.known.scalars:
                return read_scalar(self.session, expression, scope.binding, self.key)
            case tree.Symbol(name, settings=settings):
                value = self.session.values[name, self.session.numbers.indices(expression, scope.binding)]
                return self.channels(value, settings[0], scope) if settings else value
            case tree.Quotient(above, below):
                return _combine(expression, [self.operand(above, scope), self.operand(below, scope)])
            case tree.Power(base, exponent):
                power = float(self.session.numbers.number(exponent, scope.binding, scope.tag))
                return map_value(self.value(base, scope), lambda given: given**power)
            case tree.Star(_, _, right) if right is not None:
                return self.multiply(expression, self.value(right, scope), scope)
            case tree.Compose(function, argument) | tree.Apply(function, argument):
                return self.apply(function, self.value(argument, scope), scope)
            case tree.Sum(parts) | tree.Product(parts) | tree.Listing(_, parts):
                return _combine(expression, [self.operand(part, scope) for part in parts])
            case tree.Reduction("softmax", name):
                outside = replace(scope, binding={n: at for n, at in scope.binding.items() if n != name})
                own, all_of_them = self.value(expression.body, scope), self.terms(expression, outside)
                return combine_alike([own, *all_of_them], _share)
            case tree.Reduction(reducer):
                return _reduce(reducer, self.terms(expression, scope))
            case tree.Fix():
                return self.solution(expression, scope)
            case _:
                raise TypeError(f"{expression} is no value")

    def operand(self, expression: tree.Expression, scope: EquationScope) -> Value:
        """A part of an expression; a number in it is spread over the others."""
        if self.session.numbers.is_number(expression, scope.binding) and expression != tree.Number(0, expression.span):
            return self.number(expression, scope)
        return self.value(expression, scope)

    def number(self, expression: tree.Expression, scope: EquationScope) -> Tensor:
        number = self.session.numbers.number(expression, scope.binding, scope.tag)
        return torch.tensor(float(number), dtype=torch.float64)

    def channels(self, value: Value, setting: tree.Setting, scope: EquationScope) -> Value:
        """`x[0..15]`: the channels from the first to the last one."""
        assert setting.upper is not None
        first, last = (self.session.numbers.bound(b, scope.binding, scope.tag) for b in (setting.value, setting.upper))
        if is_zero(value):
            return Unshaped()
        return map_value(value, lambda given: given[:, first : last + 1], _refuse_shape)

    def unpooled(self, symbol: tree.Symbol, x: Value, y: Value, scope: EquationScope) -> Value:
        size = int(self.settings(symbol, scope).get("size", 2))
        if is_zero(x):
            return combine_alike([y, Unshaped()], lambda given: torch.zeros_like(given[0]))
        numbers = tensor_of(x)
        if numbers is None:
            raise ValueError("nothing says the shape of what `unpool` moves")
        return map_value(y, lambda given: unpool(numbers, given, size))

    def part(self, x: Value, parts: int) -> Value:
        """One part of the channels: the one that the last index on the left of the equation counts."""
        numbers, name = self.session.numbers, self.equation.left.tag[-1].name or ""
        here = numbers.match(self.equation, self.key[1]) or {}
        turns = [turn for turn in numbers.bindings(self.equation) if {**turn, name: 0} == {**here, name: 0}]
        place = sorted(turn[name] for turn in turns).index(here[name])
        if is_zero(x):
            return x
        return map_value(
            x,
            lambda given: given.chunk(parts, 1)[place],
            lambda shape: (shape[0], shape[1] * parts, *shape[2:]),
        )

    def terms(self, reduction: tree.Reduction, scope: EquationScope) -> list[Value]:
        """The terms of a reduction; parameters without a tag are their own in each of them."""
        turns = reduction_turns(self.session.numbers, reduction, scope.binding, scope.tag)
        inner = cast("TermPlaces", () if is_plain(reduction.body) else next(self.places))
        found: list[Value] = []
        for turn, j in enumerate(turns):
            places = iter(inner[min(turn, len(inner) - 1)] if inner else ())
            term = replace(self, indices=(*self.indices, j), places=places)
            found.append(term.value(reduction.body, replace(scope, binding={**scope.binding, reduction.name: j})))
        return found

    def solution(self, fix: tree.Fix, scope: EquationScope) -> Value:
        """What an expression maps to itself, or what solves an equation, however the spec has it computed."""
        where = format_value(self.key)
        given, relax, backward = fix.setting("start"), fix.setting("relax"), fix.setting("backward")
        start = self.value(given.value, scope) if given else Unshaped()
        right = None if fix.right is None else self.value(fix.right, scope)
        (inner,), before = cast("TermPlaces", next(self.places)), len(self.session.uses)

        def body(value: Value) -> Value:
            """The expression, or the left side; what is noted of its uses is the last."""
            del self.session.uses[before:]
            unknowns = {**scope.unknowns, fix.name: value}
            return replace(self, places=iter(inner)).value(fix.body, replace(scope, unknowns=unknowns))

        def left(x: Tensor) -> Tensor:
            return _sure(body(x), where)

        def update(x: Tensor) -> Tensor:
            if right is None:
                return left(x)
            change = known_right - left(x)
            if relax is not None:
                factor = tree.Star(relax.value, 1, None, relax.span)
                change = _sure(self.multiply(factor, change, scope), where)
            return x + change

        begin = start if isinstance(start, Tensor) else right if right is not None else body(start)
        if tensor_of(begin) is None and any(tensor_of(unknown) is None for unknown in scope.unknowns.values()):
            # Another one around it asks for shapes, before it has its own.
            return Unshaped()
        first = _sure(begin, where)
        known_right = first if right is None else _sure(right, where)
        is_small = first[0].numel() <= MOST_UNKNOWNS
        is_solved = right is not None and (is_small or _is_cg(fix))
        if is_solved:
            x, turns = solve_densely(left, known_right, where), 0
        else:
            x, turns = find_fixed_point(update, start if isinstance(start, Tensor) else torch.zeros_like(first), where)
        if backward is not None and backward.value == tree.Symbol("onestep", (), backward.span):
            return update(x.detach())
        if not is_solved:
            return follow_gradient(update, x, turns)
        with torch.no_grad():
            update(x)
        return x

    def apply(self, function: tree.Expression, x: Value, scope: EquationScope) -> Value:
        if self.is_factor(function, scope):
            return _combine(tree.Product((function,), function.span), [self.operand(function, scope), x])
        match function:
            case tree.Symbol():
                return self.apply_symbol(function, x, scope)
            case tree.Quotient(above, below):
                return _combine(function, [self.apply(above, x, scope), self.operand(below, scope)])
            case tree.Star(_, _, right):
                return self.multiply(function, x if right is None else self.apply(right, x, scope), scope)
            case tree.Compose(outer, inner) | tree.Apply(outer, inner):
                return self.apply(outer, self.apply(inner, x, scope), scope)
            case tree.Sum(parts) | tree.Product(parts) | tree.Listing(_, parts):
                alone = [self.is_factor(part, scope) for part in parts]
                found = zip(parts, alone, strict=True)
                return _combine(
                    function, [self.operand(p, scope) if is_alone else self.apply(p, x, scope) for p, is_alone in found]
                )
            case tree.Reduction(reducer, name, _, _, body):
                turns = reduction_turns(self.session.numbers, function, scope.binding, scope.tag)
                scopes = [replace(scope, binding={**scope.binding, name: j}) for j in turns]
                return _reduce(reducer, [self.apply(body, x, inner) for inner in scopes])
            case _:
                raise TypeError(f"{function} is no operator")

    def multiply(self, star: tree.Star, x: Value, scope: EquationScope) -> Value:
        left, numbers = star.left, self.session.numbers
        if numbers.is_number(left, scope.binding):
            factor = _plain(numbers.number(left, scope.binding, scope.tag))
            return x if is_zero(x) else map_value(x, lambda given: factor * given)
        if isinstance(left, tree.Symbol) and left.name in self.session.known.scalars:
            return apply_scalar(self.session, left, x, scope.binding, self.key)
        kernel = left.kernel if isinstance(left, tree.Adjoint) else left
        if not isinstance(kernel, tree.Symbol) or kernel.name not in self.session.known.kernels:
            return _combine(tree.Product((left,), left.span), [self.value(left, scope), x])
        return apply_kernel(self.session, star, x, scope.binding, scope.tag, self.key)

    def is_factor(self, expression: tree.Expression, scope: EquationScope) -> bool:
        """Whether an expression is made of numbers and scalars alone, with nothing that it could be applied to."""
        if self.session.numbers.is_number(expression, scope.binding) and not _is_zero(expression):
            return True
        match expression:
            case tree.Symbol(name) if name in self.session.known.lets:
                return self.is_factor(*self.inside(expression, scope))
            case tree.Symbol(name):
                return name in self.session.known.scalars
            case tree.Reduction("softmax", _, _, _, body):
                return self.is_factor(body, scope)
            case tree.Sum(parts) | tree.Product(parts) | tree.Listing("sum" | "max" | "min", parts):
                return not _is_zero(expression) and all(_is_zero(p) or self.is_factor(p, scope) for p in parts)
            case tree.Quotient(one, other) | tree.Star(one, _, other) | tree.Power(one, other):
                return other is not None and self.is_factor(one, scope) and self.is_factor(other, scope)
            case tree.Apply(_, inner) | tree.Compose(_, inner):
                return self.is_factor(inner, scope)
            case _:
                return False

    def inside(self, symbol: tree.Symbol, scope: EquationScope) -> tuple[tree.Expression, EquationScope]:
        """What a `let` stands for where it is used, and its index names there."""
        let, inner = self.case(symbol, scope)
        return let.values[0], inner

    def case(self, symbol: tree.Symbol, scope: EquationScope) -> tuple[tree.Let, EquationScope]:
        indices = self.session.numbers.indices(symbol, scope.binding)
        let, binding = self.session.numbers.case_at(symbol.name, indices)
        assert isinstance(let, tree.Let)
        return let, EquationScope(binding, let.symbol.tag)

    def apply_symbol(self, symbol: tree.Symbol, x: Value, scope: EquationScope) -> Value:
        if symbol.name in self.session.known.lets:
            return self.call(symbol, [x], scope)
        indices = self.session.numbers.indices(symbol, scope.binding)
        settings = self.settings(symbol, scope)
        if symbol.name in OWNERS:
            numbers = {name: value for name, value in settings.items() if not isinstance(value, Tensor)}
            is_shared = bool(symbol.tag) and symbol.name != "bn"
            own = None if is_shared else after_rename(self.session, (cast(str, next(self.places)), self.indices))
            parameter = (symbol.name, indices) if symbol.tag or own is None else own
            return apply_owner(self.session, symbol.name, numbers, parameter, own or parameter, x, self.key)
        if symbol.name == "split":
            return self.part(x, int(cast(int, settings.get("parts", 2))))
        return self.apply_builtin(symbol.name, settings, x)

    def call(self, symbol: tree.Symbol, operands: Sequence[Value], scope: EquationScope) -> Value:
        """A named operator, applied; where its operands have names, it is what it says of them."""
        let, inner = self.case(symbol, scope)
        if not let.arguments:
            return self.apply(let.values[0], operands[0], inner)
        given = {argument.name: operand for argument, operand in zip(let.arguments, operands, strict=True)}
        return self.value(let.values[0], replace(inner, arguments=given))

    def settings(self, symbol: tree.Symbol, scope: EquationScope) -> dict[str, Setting]:
        names = SETTINGS.get(symbol.name, ())
        of_words, words = WORDS.get(symbol.name, ("", ()))
        found: dict[str, Setting] = {}
        for place, setting in enumerate(symbol.settings):
            value = setting.value
            if isinstance(value, tree.Symbol) and value.name in words:
                found[of_words] = value.name
            elif isinstance(value, tree.Symbol) and value.name in FLAGS and value.name in names:
                found[value.name] = 1
            elif not self.session.numbers.is_number(value, scope.binding) and self.is_factor(value, scope):
                found[setting.name or names[place]] = cast(Tensor, self.value(value, scope))
            else:
                found[setting.name or names[place]] = _plain(
                    self.session.numbers.number(value, scope.binding, scope.tag)
                )
        return found

    def apply_builtin(self, name: str, settings: dict[str, Setting], x: Value) -> Value:
        trained = [setting for setting in settings.values() if isinstance(setting, Tensor)]
        if trained:
            return x if is_zero(x) else combine_alike([x, *trained], lambda given: POINTWISE[name](*given))
        if name in DRAWING:
            draw, customary = DRAWING[name]
            rate = float(settings.get("rate", customary))
            return x if is_zero(x) else map_value(x, lambda given: draw(given, rate, self.session.training))
        if name in REARRANGING:
            if is_zero(x):
                return Unshaped()
            return map_value(x, lambda given: REARRANGING[name](given, **settings), _refuse_shape)
        function = {**POINTWISE, **BY_PIXEL}[name]
        if is_zero(x) and not bool(function(torch.zeros(1, 1, device="cpu"), **settings)):
            return x
        return map_value(x, lambda given: function(given, **settings))


def _sure(value: Value, where: str) -> Tensor:
    """A value whose shape is known. Raises NotSolved."""
    found = tensor_of(value)
    if found is None:
        raise NotSolved(f"nothing says the shape of what `{where}` looks for")
    return found


def _is_cg(fix: tree.Fix) -> bool:
    by = fix.setting("by")
    return by is not None and by.value == tree.Symbol("cg", (), by.span)


def _refuse_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape before pooling, which its result does not tell. Raises ValueError."""
    raise ValueError(f"nothing says the shape of a zero from which {shape} is made")


def _is_zero(expression: tree.Expression) -> bool:
    return isinstance(expression, tree.Number) and expression.value == 0


def _pair(x: Value, y: Value) -> Value:
    """The inner product of two values, image by image; with a zero it is 0, whatever the shapes."""
    if is_zero(x) or is_zero(y):
        return Unshaped()
    return map_value(combine_alike([x, y], lambda given: given[0] * given[1]), lambda given: given.flatten(1).sum(1))


def _root(squared: Tensor) -> Tensor:
    """√x, whose derivative at 0 counts as 0: of the subgradients of a norm it is the least."""
    return torch.where(squared > 0, squared, 1).sqrt() * (squared > 0)


def _combine(expression: tree.Sum | tree.Product | tree.Quotient | tree.Listing, values: Sequence[Value]) -> Value:
    match expression:
        case tree.Quotient():
            return combine_alike(values, lambda given: given[0] / given[1])
        case tree.Sum(_, signs):
            return combine_alike(values, lambda given: _signed_sum(given, signs))
        case tree.Product():
            return combine_alike(values, lambda given: prod(given[1:], start=given[0]))
        case tree.Listing(reducer):
            return _reduce(reducer, values)


def _reduce(reducer: tree.Reducer, values: Sequence[Value]) -> Value:
    if reducer == "concat":
        return concatenate(values)
    if reducer != "sum":
        choose = torch.amax if reducer == "max" else torch.amin
        return combine_alike(values, lambda given: choose(torch.stack(_torch.broadcast_tensors(*given)), 0))
    return combine_alike(values, lambda given: _signed_sum(given, [1] * len(given)))


def _share(values: Sequence[Tensor]) -> Tensor:
    """exp(first) / Σ exp(others); the first is one of the others, too."""
    most = reduce(torch.maximum, values)
    return (values[0] - most).exp() / sum((value - most).exp() for value in values[1:])


def _signed_sum(values: Sequence[Tensor], signs: Sequence[int]) -> Tensor:
    return sum((sign * value for sign, value in zip(signs[1:], values[1:], strict=True)), signs[0] * values[0])


def _plain(value: Exact) -> int | float:
    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else float(value)
    return value
