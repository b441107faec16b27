"""Bounds of ‖A‖ for given kernels, by their symbols.

The symbol of a kernel says what it does to a wave: L * exp(iθ·x) = L̂(θ) exp(iθ·x) on an infinite grid. On a map padded
with zeros its norm is no larger than there, so max |L̂| bounds ‖L *‖; a periodic map has some of these waves. A stride s
folds s² waves that the coarse grid cannot tell apart: ‖L *_s‖² ≤ max Σ |L̂|² / s². A signal is a map of one row. For
kernels of volumes the bound is the sum of all |entries|, which stencils of the Laplacian attain.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from cldfc.algebra.linearity import lets_of
from cldfc.network.program import Program
from cldfc.ops.convolution import Nested
from cldfc.syntax import tree
from cldfc.syntax.format import format_symbol

Entries = Mapping[tuple[int, ...], float]
"""The numbers of a kernel by their places; (0, 0) is the middle."""

_Stride = int | tree.Expression | tuple[int | tree.Expression, ...]

_SAMPLES = 8
"""Points on a wave of the highest frequency in |L̂|², from which its peaks are looked for."""
_LARGEST_WORK = 1_000_000
"""The most cosines of a symbol whose maximum is searched; for a larger kernel the sum of all |entries| is the bound."""
_FINEST, _ROUNDING = 1e-7, 1e-12
"""Of an angle, and of |L̂|², which is flat at its peak."""


def norm_bound(let: tree.Let, program: Program) -> float | None:
    """A bound of ‖A‖ at all levels for a linear operator whose kernels are all given; None for any other.

    The bound of a composition is the product of the bounds of its parts.
    """
    return _NormBounds(program).operator(let.values[0])


class _NormBounds:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.lets = lets_of(program.spec)
        statements = program.spec.statements
        self.fixed = {s.symbol.name: s.values[0] for s in statements if isinstance(s, tree.Scalar) and s.is_fixed}

    def operator(self, expression: tree.Expression) -> float | None:
        if (entries := self.entries(expression)) is not None:
            return norm_of(entries)
        match expression:
            case tree.Symbol(name) if name in self.lets:
                return self.operator(self.lets[name].values[0])
            case tree.Star(left, stride, right, _, _):
                own = self.left(left, stride)
                return own if right is None else _product(own, self.operator(right))
            case tree.Compose(outer, inner):
                return _product(self.operator(outer), self.operator(inner))
            case tree.Apply(outer, inner):
                return _product(self.largest(outer) or self.operator(outer), self.operator(inner))
            case tree.Quotient(above, below):
                divisor = self.number(below)
                return _product(self.operator(above), 1 / abs(divisor)) if divisor else None
            case tree.Sum(terms):
                found = [self.operator(term) for term in terms]
                return math.fsum(bound for bound in found if bound is not None) if None not in found else None
            case _:
                return None

    def left(self, left: tree.Expression, stride: _Stride) -> float | None:
        """The bound of `K *_s`, of its adjoint and of `K *^s`, which have the same norm; or of a number."""
        factor, entries = self.largest(left), self.given(left)
        if factor is not None or entries is None:
            return factor
        strides = stride if isinstance(stride, tuple) else (stride,) * self.program.dimension
        found = [each if isinstance(each, int) else self.number(each) for each in strides]
        known = tuple(int(each) for each in found if each is not None)
        return norm_of(entries, known) if len(known) == len(found) else None

    def given(self, kernel: tree.Expression) -> Entries | None:
        """The numbers of a given kernel, unless it pads by `reflect` or `replicate`."""
        match kernel:
            case tree.Adjoint(tree.Symbol(name)) | tree.Symbol(name) if name in self.program.parameters:
                declared = self.program.parameters[name]
                dilation = declared.attributes["dilation"].constant if "dilation" in declared.attributes else 1
                statement, numbers = declared.statement, declared.start.numbers
                if not isinstance(statement, tree.KernelStatement) or not statement.is_fixed:
                    return None
                if statement.boundary in ("reflect", "replicate") or not isinstance(dilation, int):
                    return None
                spacing = -dilation if isinstance(kernel, tree.Adjoint) else dilation
                return {tuple(spacing * at for at in place): entry for place, entry in _places(numbers)}
            case _:
                return None

    def entries(self, expression: tree.Expression) -> Entries | None:
        """An operator that is one kernel in itself: multiples and sums of given ones without stride, and `identity`."""
        match expression:
            case tree.Symbol("identity"):
                return {(0,) * self.program.dimension: 1.0}
            case tree.Symbol(name) if name in self.lets:
                return self.entries(self.lets[name].values[0])
            case tree.Star(left, 1, None):
                return self.given(left) if self.is_centred(left) else None
            case tree.Star(left, 1, right) | tree.Apply(left, right) if right is not None:
                factor, rest = self.number(left), self.entries(right)
                return None if factor is None or rest is None else _sum([rest], [factor])
            case tree.Sum(terms, signs):
                found = [self.entries(term) for term in terms]
                known = [entries for entries in found if entries is not None]
                return _sum(known, signs) if len(known) == len(found) else None
            case _:
                return None

    def is_centred(self, kernel: tree.Expression) -> bool:
        """Whether the padding leaves the middle of a kernel at its pixel, so that kernels add up entry by entry."""
        symbol = kernel.kernel if isinstance(kernel, tree.Adjoint) else kernel
        declared = self.program.parameters.get(symbol.name) if isinstance(symbol, tree.Symbol) else None
        statement = None if declared is None else declared.statement
        return isinstance(statement, tree.KernelStatement) and not statement.padding and statement.boundary != "valid"

    def largest(self, expression: tree.Expression) -> float | None:
        """The absolute value of a number; of a constant that differs from level to level the largest."""
        match expression:
            case tree.Symbol(name) if name in self.program.constants:
                return max(map(abs, self.program.constants[name].values))
            case _:
                number = self.number(expression)
                return None if number is None else abs(number)

    def number(self, expression: tree.Expression) -> float | None:
        """A number that is the same wherever the operator is used."""
        match expression:
            case tree.Number(value):
                return float(value)
            case tree.Symbol(name) if name in self.program.constants:
                values = {*self.program.constants[name].values}
                return float(values.pop()) if len(values) == 1 else None
            case tree.Symbol(name) if name in self.fixed:
                return self.number(self.fixed[name])
            case tree.Quotient(above, below):
                over, under = self.number(above), self.number(below)
                return over / under if over is not None and under else None
            case tree.Star(left, 1, right) | tree.Apply(left, right) if right is not None:
                return _product(self.number(left), self.number(right))
            case tree.Power(base, exponent):
                power, times = self.number(base), self.number(exponent)
                return power**times if power is not None and power > 0 and times is not None else None
            case tree.Sum(terms, signs):
                found = [self.number(term) for term in terms]
                known = [number for number in found if number is not None]
                signed = [sign * number for sign, number in zip(signs, known, strict=False)]
                return math.fsum(signed) if len(known) == len(found) else None
            case _:
                return None


def _places(numbers: float | Nested) -> Iterator[tuple[tuple[int, ...], float]]:
    """The numbers of a kernel, each with its place from the middle on."""
    if not isinstance(numbers, tuple):
        yield (), float(numbers)
        return
    for at, part in enumerate(numbers):
        yield from (((at - len(numbers) // 2, *place), entry) for place, entry in _places(part))


def _product(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one * other


def _sum(parts: Sequence[Entries], factors: Sequence[float]) -> Entries:
    total: dict[tuple[int, ...], float] = {}
    for part, factor in zip(parts, factors, strict=True):
        for place, entry in part.items():
            total[place] = total.get(place, 0.0) + factor * entry
    return total


def norm_of(entries: Entries, strides: tuple[int, ...] = ()) -> float:
    """The square root of max Σ |L̂|² / s², up to rounding; Σ |entries| for a kernel that is too large to search."""
    dimension = len(next(iter(entries)))
    if dimension > 2:
        return math.fsum(map(abs, entries.values()))
    ahead = (0,) * (2 - dimension)
    strides = (*(1 for _ in ahead), *(strides or (1,) * dimension))
    kept = {(*ahead, *place): entry for place, entry in entries.items() if entry}
    power = _power(kept, strides)
    degrees = [max((abs(wave[axis]) for wave in power), default=0) for axis in (0, 1)]
    counts = [max(1, _SAMPLES * degree // stride) for degree, stride in zip(degrees, strides, strict=True)]
    if math.prod(counts) * len(power) > _LARGEST_WORK:
        return math.fsum(map(abs, kept.values()))
    steps = [2 * math.pi / stride / count for stride, count in zip(strides, counts, strict=True)]
    places = [(steps[0] * row, steps[1] * column) for row in range(counts[0]) for column in range(counts[1])]
    heights = sorted(((_height(power, place), place) for place in places), reverse=True)
    # The second derivatives are bounded, and so is how much higher a peak can be than the nearest point.
    bend = sum(abs(part) * (wave[0] ** 2 + wave[1] ** 2) for wave, part in power.items())
    beyond = bend * (steps[0] ** 2 + steps[1] ** 2) / 8
    best = heights[0][0]
    for height, place in heights:
        if height + beyond <= best:
            break
        best = max(best, _climb(power, place))
    return math.sqrt(max(best, 0.0))


def _power(entries: Entries, strides: tuple[int, ...]) -> dict[tuple[int, int], float]:
    """Σ |L̂|² / s² as Σ p cos(wave · θ): the waves whose numbers the stride does not divide cancel."""
    found: dict[tuple[int, int], float] = {(0, 0): 0.0}
    for (y, x), entry in entries.items():
        for (v, u), other in entries.items():
            wave = y - v, x - u
            if wave[0] % strides[0] == 0 and wave[1] % strides[1] == 0:
                wave = max(wave, (-wave[0], -wave[1]))
                found[wave] = found.get(wave, 0.0) + entry * other
    return found


def _height(power: Mapping[tuple[int, int], float], place: tuple[float, float]) -> float:
    return sum(part * math.cos(wave[0] * place[0] + wave[1] * place[1]) for wave, part in power.items())


def _climb(power: Mapping[tuple[int, int], float], place: tuple[float, float]) -> float:
    """The peak that Newton's method finds, with each step shortened until it leads upwards."""
    best = _height(power, place)
    while True:
        one = other = first = mixed = second = 0.0
        for (row, column), part in power.items():
            angle = row * place[0] + column * place[1]
            slope, bend = -part * math.sin(angle), -part * math.cos(angle)
            one, other = one + row * slope, other + column * slope
            first, mixed, second = (
                first + row * row * bend,
                mixed + row * column * bend,
                second + column * column * bend,
            )
        # Bent downwards in all directions, so that the step leads up.
        least = (first + second) / 2 + math.hypot((first - second) / 2, mixed)
        shift = max(0.0, least) + _ROUNDING * (abs(first) + abs(second) + 1)
        first, second = first - shift, second - shift
        size = first * second - mixed * mixed
        step = (mixed * other - second * one) / size, (mixed * one - first * other) / size
        while max(map(abs, step)) > _FINEST:
            near = place[0] + step[0], place[1] + step[1]
            if (height := _height(power, near)) > best * (1 + _ROUNDING):
                break
            step = step[0] / 2, step[1] / 2
        else:
            return best
        best, place = height, near


def linear_fact(let: tree.Let, program: Program) -> str:
    """`linear`, or `linear, ‖𝒜@ℓ‖ ≤ 8`; four digits, rounded up."""
    bound = norm_bound(let, program)
    if bound is None:
        return "linear"
    last = 10.0 ** (math.floor(math.log10(bound)) - 3) if bound else 1.0
    # Rounding errors must not push a bound up to the next digit.
    return f"linear, ‖{format_symbol(let.symbol)}‖ ≤ {math.ceil(bound / last - 1e-6) * last:.6g}"
