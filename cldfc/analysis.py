"""How fast linear iterations with given kernels converge: the spectral radius of the map of errors in a step.

An iteration u@i = E u@i-1 + g is found in the operations. E is applied by executing the equations themselves, from two
states that differ by the error, so smoothers, cycles and momentum need no code of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from math import prod
from typing import Any, cast

import torch
from torch import Tensor

from cldfc.compilation import Compilation
from cldfc.network.ends import GivenShape
from cldfc.network.expand import Instance, Operation
from cldfc.network.positions import Key, format_key
from cldfc.network.program import Template
from cldfc.ops import Divide, InnerProduct, Input, Multiply
from cldfc.ops.size import OpenSize, formula_of, sampled
from cldfc.reference.interpreter import compute_value, open_session
from cldfc.reference.session import EvaluationSession, Value, tensor_of
from cldfc.reference.terms import EquationScope, Expressions
from cldfc.syntax import tree
from cldfc.syntax.walk import changed_parts, mentions, parts_within
from cldfc.training.state import generators_kept
from cldfc.weights.network import build_network

_SMALL = 1024
"""Unknowns up to which matrices are formed: all eigenvalues computed, levels solved exactly."""
_KRYLOV, _RESTARTS, _KEPT = 60, 40, 4
"""Of Arnoldi's method: vectors, restarts, and the number of eigenvectors that each restart keeps."""
_INSIDE, _LARGEST_NUMBER = 15, 1024
"""Of open sizes: what an input measures at least, and which numbers are tried for a name."""
_EXACT, _CLOSE = 1e-10, 1e-5
"""Differences between steps that are alike, and of an eigenvalue that has been found, relative to the largest."""
_MOST_STATES = 8
"""Values that a step may need of the steps before it."""

# It carries no types.
_linalg: Any = torch.linalg


@dataclass(frozen=True, slots=True)
class AnalysedIteration:
    """A chain of values, each found from the one before by the same equation, and what is known of it."""

    name: str
    """`u@1,i`."""
    index: str
    first: int
    last: int
    shape: tuple[int, ...]
    factor: float | None
    """The spectral radius of a step, or the geometric mean over the steps where they differ; None: see `reason`."""
    is_stationary: bool = True
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Convergence:
    """Every iteration of a network, and the recursive operators in their steps, level by level."""

    iterations: tuple[AnalysedIteration, ...]
    cycles: tuple[Cycle, ...]


def analyse_convergence(network: Compilation) -> Convergence:
    """How fast the linear iterations of a network converge, and why others are not linear. Raises CldfError."""
    analysis = _Analysis(network)
    iterations: list[AnalysedIteration] = []
    cycles: dict[str, Cycle] = {}
    with _one_thread():
        for chain in analysis.chains():
            iterations.append(analysis.iteration(chain))
            if iterations[-1].factor is not None and iterations[-1].is_stationary:
                # Of momentum a step has several states, of a cycle one.
                top = iterations[-1].factor if len(analysis.states(chain)) == 1 else None
                cycles |= {cycle.name: cycle for cycle in _cycles(network, chain, top)}
    return Convergence(tuple(iterations), tuple(cycles.values()))


@contextmanager
def _one_thread() -> Generator[None, None, None]:
    """Maps are small here: several threads would wait for each other longer than one needs alone."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def small_sizes(network: Compilation) -> tuple[tuple[str, GivenShape], ...]:
    """Sizes for the inputs that leave some open, as `Changes.inputs`: the smallest maps that still have an inside.

    Their matrices can be formed. On the larger maps that other commands take, a slow iteration has most of its
    eigenvalues so close to 1 that they are hard to tell apart.
    """
    first = {family.name: family.shapes[family.keys[0]] for family in network.program.inputs}
    own = [size for shape in first.values() for size in shape if isinstance(size, OpenSize)]
    every = [formula_of(size) for shape in network.shapes.shapes for size in shape]
    open = {size for size in every if isinstance(size, OpenSize)}
    if not own or any(len(size.names) > 1 for size in own):
        return ()
    for number in range(1, _LARGEST_NUMBER):
        sample = dict.fromkeys((name for size in open for name in size.names), number)
        found = [size.at(sample) for size in open]
        if min(found) >= 1 and all(size.denominator == 1 for size in found):
            if all(size.at(sample) >= _INSIDE for size in own):
                shapes = {name: tuple(int(sampled(size, sample)) for size in shape) for name, shape in first.items()}
                return tuple(shapes.items())
    return ()


@dataclass(frozen=True)
class _Chain:
    """Values of one family that differ in one index, which rises by 1, each by the same equation but for the first."""

    keys: tuple[Key, ...]
    index: str
    place: int
    template: Template

    def name(self) -> str:
        family, tag = self.keys[0]
        return f"{family}@{','.join(self.index if p == self.place else str(at) for p, at in enumerate(tag))}"


@dataclass(frozen=True, slots=True)
class Cycle:
    """A recursive operator at one level, as the step of an iteration on a map of that level."""

    name: str
    """`M@2`."""
    shape: tuple[int, ...]
    factor: float
    two_grids: float | None
    """The factor where the next level is solved exactly; None where that is too large."""


class _NotLinear(Exception):
    """What keeps a step from being linear and given."""


class _Analysis:
    def __init__(self, network: Compilation) -> None:
        self.network = network
        self.expansion = network.shapes.expansion
        self.values = self.expansion.values
        self.named = {at: key for key, at in self.values.items()}
        self.instances: dict[Key, Instance] = {i.value: i for i in self.expansion.instances}
        self.is_given = self.find_given()

    def find_given(self) -> list[bool]:
        """For each operation whether it depends neither on the input nor on what is trained."""
        found: list[bool] = []
        for operation in self.expansion.operations:
            own = not isinstance(operation.operator, Input) and not self.is_trained(operation)
            found.append(own and all(found[operand] for operand in operation.operands))
        return found

    def is_trained(self, operation: Operation) -> bool:
        key = operation.parameter
        return key is not None and self.network.shapes.parameters[key].numbers > 0

    # Chains

    def chains(self) -> Iterator[_Chain]:
        found: dict[Key, tuple[Key, int, str]] = {}
        for key, instance in self.instances.items():
            for place, position in enumerate(instance.template.left):
                before = key[0], (*key[1][:place], key[1][place] - 1, *key[1][place + 1 :])
                if isinstance(position.base, str) and self.is_step(key, before):
                    found[key] = before, place, position.base
                    break
        followers = {(before, place): key for key, (before, place, _) in found.items()}
        for key, (before, place, index) in found.items():
            template = self.instances[key].template
            earlier = found.get(before)
            if earlier is not None and earlier[1] == place and self.instances[before].template is template:
                continue
            keys = [before, key]
            while (after := followers.get((keys[-1], place))) and self.instances[after].template is template:
                keys.append(after)
            yield _Chain(tuple(keys), index, place, template)

    def is_step(self, key: Key, before: Key) -> bool:
        """Whether a value is found from the one before it, on a map of the same size."""
        if before not in self.values or self.values[before] >= self.values[key]:
            return False
        shapes = self.network.shapes.shapes
        if shapes[self.values[key]] != shapes[self.values[before]]:
            return False
        return self.values[key] in self.dependents(self.values[before], self.values[key])

    def dependents(self, source: int, last: int) -> set[int]:
        """The operations up to the last one that depend on another, and that itself."""
        found = {source}
        for at in range(source + 1, last + 1):
            if not found.isdisjoint(self.expansion.operations[at].operands):
                found.add(at)
        return found

    # One chain

    def iteration(self, chain: _Chain) -> AnalysedIteration:
        first, last = chain.keys[1][1][chain.place], chain.keys[-1][1][chain.place]
        shape = self.network.shapes.shapes[self.values[chain.keys[-1]]]
        found = AnalysedIteration(chain.name(), chain.index, first, last, shape, None)
        try:
            steps = self.steps(chain)
            factor, is_stationary = self.factor(steps)
        except _NotLinear as error:
            return replace(found, reason=str(error))
        return replace(found, first=last - len(steps) + 1, factor=factor, is_stationary=is_stationary)

    def steps(self, chain: _Chain) -> list[_Step]:
        """The steps of a chain, from the first one that has all that the last one needs of those before it."""
        places = self.states(chain)
        found: list[_Step] = []
        for back in range(len(chain.keys) - 1):
            keys = [[_shifted(key, place, 1 - after - back) for key, place in places.items()] for after in (1, 0)]
            if not all(key in self.values for key in keys[0]):
                break
            last = max(self.values[key] for key in keys[1])
            fresh = {at for key in keys[0] for at in self.dependents(self.values[key], last)}
            varying = frozenset(key for key, at in self.values.items() if at in fresh)
            found.insert(0, _Step(self.network, tuple(keys[0]), tuple(keys[1]), varying))
        return found

    def states(self, chain: _Chain) -> dict[Key, int]:
        """What the last step of a chain needs of those before it, each with the place of the index in its tag."""
        before, after = chain.keys[-2:]
        operand, result = self.values[before], self.values[after]
        fresh = self.dependents(operand, result)
        earlier = self.values[chain.keys[-3]] if len(chain.keys) > 2 else operand
        # An iteration that starts from the input itself tells nothing of what came before.
        old = self.dependents(earlier, result) if earlier else fresh
        states, wanted, open = {before: chain.place}, set[Key](), [after]
        while open:
            target = open.pop()
            if target in wanted or target in states:
                continue
            wanted.add(target)
            for state in self.needed(self.values[target], operand, fresh, old):
                if state not in states:
                    states[state] = self.place_of(state, chain)
                    open.append(_shifted(state, states[state], 1))
            if len(states) > _MOST_STATES:
                raise _NotLinear(f"a step needs more than {_MOST_STATES} values of those before it")
        return states

    def place_of(self, key: Key, chain: _Chain) -> int:
        """The place of the chain's index in the tag of a value. Raises _NotLinear where the next step has none such."""
        left = self.instances[key].template.left if key in self.instances else ()
        places = [place for place, position in enumerate(left) if position.base == chain.index]
        places = places or [chain.place] * (key[0] == chain.keys[0][0])
        if len(places) != 1 or _shifted(key, places[0], 1) not in self.values:
            raise _NotLinear(f"`{format_key(key)}` has no counterpart in the next step")
        return places[0]

    def needed(self, target: int, operand: int, fresh: set[int], old: set[int]) -> Iterator[Key]:
        """The values of earlier steps that a value is found from; checks that it is so by linear operators."""
        stack, seen = [target], set[int]()
        while stack:
            at = stack.pop()
            if at in seen:
                continue
            seen.add(at)
            key = self.named.get(at)
            if at == operand or (key is not None and at != target and at in old and at not in fresh):
                assert key is not None
                yield key
            elif at in fresh or at in old:
                varying = [o for o in self.expansion.operations[at].operands if o in fresh or o in old]
                self.check_linear(at, varying)
                stack += varying

    def check_linear(self, at: int, varying: Sequence[int]) -> None:
        """Raises _NotLinear where a result is not linear in the operands that vary, or depends on more than them."""
        operation = self.expansion.operations[at]
        others = [operand for operand in operation.operands if operand not in varying]
        match operation.operator:
            case Multiply() | InnerProduct():
                is_linear = len(varying) == 1 and len(operation.operands) == 2
            case Divide():
                is_linear = varying == [operation.operands[0]] and len(operation.operands) == 2
            case operator:
                is_linear, others = operator.linear, []
        text = operation.span.text
        if not is_linear:
            raise _NotLinear(f"`{text}` is not linear")
        if not all(self.is_given[other] for other in others):
            raise _NotLinear(f"`{text}` depends on the input, or on what is trained")
        if self.is_trained(operation):
            assert operation.parameter is not None
            raise _NotLinear(f"`{format_key(operation.parameter)}` is trained")

    def factor(self, steps: Sequence[_Step]) -> tuple[float, bool]:
        """The spectral radius of a step; where steps differ, of all one after another, as a geometric mean."""
        last = steps[-1]
        size = sum(map(prod, last.shapes))
        error = torch.randn(1, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        after = last.apply(error)
        if all(_norm(step.apply(error) - after) <= _EXACT * _norm(after) for step in steps[:-1]):
            return spectral_radius(last.apply, size), True

        def sweep(errors: Tensor) -> Tensor:
            for step in steps:
                errors = step.apply(errors)
            return errors

        return spectral_radius(sweep, size) ** (1 / len(steps)), False


def _shifted(key: Key, place: int, by: int) -> Key:
    """The value that takes the place of another so many steps later."""
    return key[0], (*key[1][:place], key[1][place] + by, *key[1][place + 1 :])


@cache
def _session_of(network: Compilation) -> EvaluationSession:
    """The equations, with what parameters start from: those that count here are given."""
    with generators_kept():
        module = build_network(network.code("written"), network.class_name).double()
    return open_session(network.tree, module.state_dict())


@dataclass(frozen=True)
class _Step:
    """From values of one step to those that take their places in the next."""

    network: Compilation
    states: tuple[Key, ...]
    results: tuple[Key, ...]
    varying: frozenset[Key]
    """The values that depend on the states, and these."""
    known: dict[Key, Tensor] = field(default_factory=dict[Key, Tensor])
    """The other values, once they are computed."""

    @cached_property
    def shapes(self) -> list[tuple[int, ...]]:
        inferred = self.network.shapes
        return [inferred.shapes[inferred.expansion.values[key]] for key in self.states]

    @cached_property
    def session(self) -> EvaluationSession:
        return _session_of(self.network)

    @cached_property
    def of_zero(self) -> Tensor:
        return self.run(torch.zeros(1, sum(map(prod, self.shapes)), dtype=torch.float64))

    def apply(self, error: Tensor) -> Tensor:
        """The errors after the step, one in each row, from those before it."""
        return self.run(error) - self.of_zero

    def run(self, states: Tensor) -> Tensor:
        parts: tuple[Tensor, ...] = torch.split(states, [prod(shape) for shape in self.shapes], 1)
        given = {key: part.view(-1, *shape) for key, part, shape in zip(self.states, parts, self.shapes, strict=True)}
        session = replace(self.session, values={}, statistics={}, uses=[], undecided=[])
        session.values.update({key: value.expand(len(states), *value.shape[1:]) for key, value in self.known.items()})
        session.values.update(given)
        inferred = self.network.shapes
        for key in self.network.program.input_keys:
            shape = inferred.shapes[inferred.expansion.values[key]]
            session.values[key] = torch.zeros(len(states), *shape, dtype=torch.float64)
        found: list[Tensor] = []
        with torch.no_grad():
            for key in self.results:
                compute_value(session, key)
                value = tensor_of(session.values[key])
                assert value is not None
                found.append(value.expand(len(states), *value.shape[1:]).reshape(len(states), -1))
        if not self.known:
            known = {key: tensor_of(value) for key, value in session.values.items() if key not in self.varying}
            self.known.update({key: value[:1] for key, value in known.items() if value is not None})
        return torch.cat(found, 1)


# Cycles


def _cycles(network: Compilation, chain: _Chain, top: float | None) -> Iterator[Cycle]:
    """The levels of the recursive operator in the equation of an iteration, if there is one; `top`: the first factor.

    The equation is taken to another level by taking `M@1`, and all other operators and kernels at that level, there.
    """
    equation, before = chain.template.statement, chain.keys[0]
    parts = (equation.right, *parts_within(equation.right))
    called = {symbol for part in parts if (symbol := _called(part)) is not None}
    recursive = [symbol for symbol in called if symbol.name in network.names.recursive and len(symbol.tag) == 1]
    values = {s.name for s in mentions(equation.right) if isinstance(s, tree.Symbol) and network.names.is_value(s)}
    others = values - {before[0]}
    if len(recursive) != 1 or len(others) > 1:
        return
    work = _Levels(network, chain, recursive[0], *others)
    for level in work.levels[:-1]:
        shape = work.shapes[level]
        size = prod(shape)

        known = top if level == work.top else None
        factor = known if known is not None else spectral_radius(partial(work.damped, level, False), size)
        can_solve = level + 1 in work.shapes and prod(work.shapes[level + 1]) <= _SMALL
        two_grids = spectral_radius(partial(work.damped, level, True), size) if can_solve else None
        yield Cycle(f"{work.name}@{level}", shape, factor, two_grids)


def _called(part: object) -> tree.Symbol | None:
    match part:
        case tree.Apply(tree.Symbol() as symbol, _) | tree.Compose(tree.Symbol() as symbol, _):
            return symbol
        case tree.ApplyToSeveral(tree.Symbol() as symbol, _):
            return symbol
        case _:
            return None


class _Levels:
    """The equation of an iteration at each level of its recursive operator, and the shapes of the maps there."""

    def __init__(self, network: Compilation, chain: _Chain, symbol: tree.Symbol, other: str = "") -> None:
        self.session = _session_of(network)
        self.equation = chain.template.statement
        instance = next(i for i in network.shapes.expansion.instances if i.value == chain.keys[-1])
        self.scope = EquationScope(instance.binding, self.equation.left.tag)
        self.name, self.state, self.values = symbol.name, chain.keys[-2], {chain.keys[-2][0], other}
        (self.top,) = self.session.numbers.indices(symbol, instance.binding)
        self.shapes: dict[int, tuple[int, ...]] = {}
        self.inverses: dict[int, Tensor] = {}
        self.of_zero: dict[tuple[int, bool], Tensor] = {}
        inferred = network.shapes
        shape = inferred.shapes[inferred.expansion.values[self.state]]
        zero = torch.zeros(1, *shape, dtype=torch.float64)
        self.step(self.top, zero, zero)
        self.levels = sorted(self.shapes)

    def damped(self, level: int, exact: bool, errors: Tensor) -> Tensor:
        """The errors after a level's step, one in each row, from those before it."""
        maps = errors.view(-1, *self.shapes[level])
        if (level, exact) not in self.of_zero:
            zero = torch.zeros(1, *self.shapes[level], dtype=torch.float64)
            self.of_zero[level, exact] = self.step(level, zero, zero, exact)
        return (self.step(level, maps, torch.zeros_like(maps), exact) - self.of_zero[level, exact]).flatten(1)

    def step(self, level: int, state: Tensor, right: Tensor, exact: bool = False) -> Tensor:
        """The state after a level's step, for a right side; `exact`: with the next level solved exactly."""
        session = replace(self.session, values={}, statistics={}, uses=[], undecided=[])
        at = self.moved(self.equation.right, level)
        for symbol in mentions(at):
            if isinstance(symbol, tree.Symbol) and symbol.name in self.values:
                key = symbol.name, session.numbers.indices(symbol, self.scope.binding)
                session.values[key] = state if symbol.name == self.state[0] else right
        work = _LevelExpressions(session, self.state, (), iter(()), self.equation, self, level + 1 if exact else None)
        with torch.no_grad():
            value = work.value(at, self.scope)
            session.values[self.state] = value
            session.decide(self.state)
            found = tensor_of(value)
        assert found is not None
        return found

    def moved(self, part: Any, level: int) -> Any:
        """A part of the equation with operators and kernels of the top level taken at another one."""
        match part:
            case tree.Symbol(name, (tree.Index(None, None, self.top) as index,)) if name not in self.values:
                return replace(part, tag=(replace(index, offset=level),))
            case _:
                return replace(part, **changed_parts(part, lambda inner: self.moved(inner, level)))

    def solve(self, level: int, right: Tensor) -> Tensor:
        """The fixed point of a level's step x → E x + M f, (I - E)⁻¹ M f."""
        if level not in self.inverses:
            unit = torch.eye(prod(right.shape[1:]), dtype=torch.float64)
            maps = unit.view(-1, *right.shape[1:])
            zero = torch.zeros_like(maps)
            damped, solved = self.step(level, maps, zero), self.step(level, zero, maps)
            self.inverses[level] = _linalg.solve(unit - damped.flatten(1).T, solved.flatten(1).T)
        return (right.flatten(1) @ self.inverses[level].T).view_as(right)


@dataclass(frozen=True)
class _LevelExpressions(Expressions):
    """An equation of an iteration, in which the operator may be exact at one level."""

    levels: _Levels
    exact: int | None

    def call(self, symbol: tree.Symbol, operands: Sequence[Value], scope: EquationScope) -> Value:
        if symbol.name == self.levels.name:
            (level,) = self.session.numbers.indices(symbol, scope.binding)
            right = tensor_of(operands[-1])
            assert right is not None
            self.levels.shapes[level] = tuple(right.shape[1:])
            if level == self.exact:
                return self.levels.solve(level, right)
        return super().call(symbol, operands, scope)


def spectral_radius(apply: Callable[[Tensor], Tensor], size: int) -> float:
    """The largest |λ| of a linear map of vectors of this size; the map takes several vectors, one in each row.

    For a small map all eigenvalues are computed; else Arnoldi's method is restarted from the vectors damped least.
    """
    if size <= _SMALL:
        matrix = apply(torch.eye(size, dtype=torch.float64)).T
        return float(_linalg.eigvals(matrix).abs().max())
    start = torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    # What the map leads to zero is gone from the start.
    start = apply(start[None])[0]
    largest = 0.0
    for _ in range(_RESTARTS):
        if not _norm(start):
            break
        basis, small, rest = _arnoldi(apply, start / _norm(start))
        values, vectors = cast(tuple[Tensor, Tensor], _linalg.eig(small))
        at = int(values.abs().argmax())
        largest = float(values[at].abs())
        if rest * float(vectors[-1, at].abs()) <= _CLOSE * largest:
            break
        kept = values.abs().argsort(descending=True)[:_KEPT]
        mixed: Tensor = (basis.to(vectors.dtype) @ vectors[:, kept]).sum(1)
        start = max(mixed.real, mixed.imag, key=_norm)
    return largest


def _arnoldi(apply: Callable[[Tensor], Tensor], start: Tensor) -> tuple[Tensor, Tensor, float]:
    """An orthonormal basis, one vector in each column, the map seen in it, and how far it leads out of it."""
    basis, small = [start], torch.zeros(_KRYLOV + 1, _KRYLOV, dtype=start.dtype)
    for column in range(_KRYLOV):
        vector = apply(basis[-1][None])[0]
        known = torch.stack(basis, 1)
        # Twice, for rounding.
        for _ in range(2):
            parts = known.T @ vector
            small[: column + 1, column] += parts
            vector = vector - known @ parts
        rest = _norm(vector)
        if rest <= _EXACT:
            return known, small[: column + 1, : column + 1], 0.0
        small[column + 1, column] = rest
        basis.append(vector / rest)
    return torch.stack(basis[:-1], 1), small[:-1], float(small[-1, -1])


def _norm(vector: Tensor) -> float:
    return float(vector.square().sum().sqrt())
