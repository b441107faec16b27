"""The definition executed: the equations of a spec, evaluated one by one by demand from the output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from cldfc.reference.indices import Binding, Key, ReferenceNumbers, Tag, sort_statements
from cldfc.reference.operators import BUILT_IN
from cldfc.reference.parameters import Parameters, name_places, place_key, reduction_turns, reserved_names
from cldfc.reference.session import EvaluationSession, ReferenceUse, Value, format_value, tensor_of
from cldfc.reference.terms import EquationScope, Expressions
from cldfc.syntax import tree


def _reads_of(equation: tree.Equation, binding: Binding, numbers: ReferenceNumbers) -> list[Key]:
    """The values on the right of an equation at one choice of its index names, each once."""
    return list(dict.fromkeys(_values_read(equation.right, binding, equation.left.tag, numbers)))


def _values_read(expression: tree.Expression, binding: Binding, tag: Tag, numbers: ReferenceNumbers) -> Iterator[Key]:
    """The values in an expression: those that inner operations need before those that this one needs itself."""
    own: list[Key] = []
    known = numbers.known
    for operand, inner, context in _operands(expression, binding, tag, numbers):
        if numbers.is_number(operand, inner):
            continue
        if not isinstance(operand, tree.Symbol):
            yield from _values_read(operand, inner, context, numbers)
        elif not {operand.name} & {*known.scalars, *known.lets, *known.kernels} and operand.name not in BUILT_IN:
            own.append((operand.name, numbers.indices(operand, inner)))
    yield from own


def _operands(
    expression: tree.Expression, binding: Binding, tag: Tag, numbers: ReferenceNumbers
) -> list[tuple[tree.Expression, Binding, Tag]]:
    """The parts of an expression, each with its index names; of an operator with named operands what it says."""
    match expression:
        case tree.Symbol():
            return [(expression, binding, tag)]
        case tree.Quotient(one, other) | tree.Pairing(one, other):
            return [(one, binding, tag), (other, binding, tag)]
        case tree.Power(inner) | tree.Norm(inner):
            return [(inner, binding, tag)]
        case tree.Star(left, _, right):
            return [(part, binding, tag) for part in (right, left) if part is not None]
        case tree.Compose(function, argument) | tree.Apply(function, argument):
            return [(argument, binding, tag), *_inside(function, binding, tag, numbers)]
        case tree.ApplyToSeveral(function, arguments):
            return [*((part, binding, tag) for part in arguments), *_inside(function, binding, tag, numbers)]
        case tree.Sum(parts) | tree.Product(parts) | tree.Listing(_, parts):
            return [(part, binding, tag) for part in parts]
        case tree.Reduction(_, name, _, _, body):
            turns = reduction_turns(numbers, expression, binding, tag)
            return [(body, {**binding, name: j}, tag) for j in turns]
        case _:
            return []


def _inside(
    function: tree.Expression, binding: Binding, tag: Tag, numbers: ReferenceNumbers
) -> list[tuple[tree.Expression, Binding, Tag]]:
    """What an operator says, in which values may stand where its operands have names."""
    let = numbers.known.lets.get(function.name) if isinstance(function, tree.Symbol) else None
    if let is None or not isinstance(function, tree.Symbol):
        return [] if isinstance(function, tree.Symbol) else [(function, binding, tag)]
    let, inner = numbers.case_at(function.name, numbers.indices(function, binding))
    assert isinstance(let, tree.Let)
    head, body = let.symbol.tag, let.values[0]
    return _inside(body, inner, head, numbers) if isinstance(body, tree.Symbol) else [(body, inner, head)]


@dataclass(frozen=True)
class _Evaluated:
    """A network at one input: all values by name, the output, and what happened to its parameters.

    `statistics` are the updated ones, `uses` stand in the order of computation, `read` are the names of the
    tensors that were needed. Values that follow from zeros alone, and whose shape nothing says, are left out.
    """

    values: Mapping[str, Tensor]
    output: Tensor
    statistics: Mapping[str, Tensor]
    uses: tuple[ReferenceUse, ...]
    read: frozenset[str]


def evaluate_spec(
    spec: tree.Tree,
    given: Mapping[str, Tensor],
    images: Tensor,
    training: bool = False,
    classes: int | None = None,
    disturb: Callable[[Tensor], Tensor] | None = None,
) -> _Evaluated:
    """The definition executed: equation by equation, in the order in which the output needs them, without a graph.

    `spec` has no errors and nothing left to extend; `given` has the tensors of the generated module's state
    dictionary, from which all shapes follow; `images` are batch × channels × height × width, float64. In
    training `bn` takes the batch's mean and variance, and its running statistics move towards them (momentum
    0.1, unbiased variance); `dropout` draws from torch's generator in the order of computation. Autograd leads
    through it. `disturb` is applied to the result of each parameter and to each value. Raises KeyError when a
    parameter is missing, ValueError when one does not have the declared shape, or a value not exactly one definition.
    """
    session = open_session(spec, given, training, classes, disturb)
    output = session.known.output, ()
    session.values[session.known.input, ()] = images
    compute_value(session, output)
    found = {format_value(key): tensor_of(value) for key, value in session.values.items()}
    values = {name: value for name, value in found.items() if value is not None}
    used = frozenset(session.parameters.used)
    return _Evaluated(values, values[session.known.output], session.statistics, tuple(session.uses), used)


def open_session(
    spec: tree.Tree,
    given: Mapping[str, Tensor],
    training: bool = False,
    classes: int | None = None,
    disturb: Callable[[Tensor], Tensor] | None = None,
) -> EvaluationSession:
    """What an evaluation starts from, to which values, such as the input, are given; see `evaluate_spec`."""
    known = sort_statements(spec)
    numbers = ReferenceNumbers(known)
    parameters = Parameters(given, reserved_names(spec, known), [*known.kernels, *known.scalars])
    places = name_places(spec, known, numbers)
    declared = 0 if known.classes is None else int(numbers.number(known.classes, {}, ()))
    return EvaluationSession(known, numbers, places, parameters, classes or declared, training, disturb)


def compute_value(session: EvaluationSession, wanted: Key) -> None:
    """Compute a value, and what it needs, with a stack of its own, for chains may be long."""
    stack, open = [wanted], set[Key]()
    while stack:
        key = stack[-1]
        if key in session.values:
            stack.pop()
            continue
        equation, binding = _definition_of(session, key)
        missing = [need for need in _reads_of(equation, binding, session.numbers) if need not in session.values]
        if missing and key in open:
            raise ValueError(f"`{format_value(key)}` depends on itself")
        open.add(key)
        stack += reversed(missing)
        if not missing:
            session.values[key] = session.disturbed(_compute(session, equation, binding, key))
    session.decide(wanted)


def _definition_of(session: EvaluationSession, key: Key) -> tuple[tree.Equation, dict[str, int]]:
    equations = session.known.equations.get((key[0], len(key[1])), [])
    found = [(equation, session.numbers.match(equation, key[1])) for equation in equations]
    fitting = [(equation, binding) for equation, binding in found if binding is not None]
    most = max((_numbers_of(equation, session) for equation, _ in fitting), default=0)
    fitting = [(equation, binding) for equation, binding in fitting if _numbers_of(equation, session) == most]
    if len(fitting) != 1:
        raise ValueError(f"`{format_value(key)}` has {len(fitting)} definitions")
    return fitting[0]


def _numbers_of(equation: tree.Equation, session: EvaluationSession) -> int:
    """How many numbers stand on the left of an equation; of two for one value that with more of them holds."""
    tag = equation.left.tag
    return sum(index.name is None or session.numbers.is_constant(index.name) for index in tag)


def _compute(session: EvaluationSession, equation: tree.Equation, binding: dict[str, int], key: Key) -> Value:
    places = iter(session.places[place_key(equation, binding, session.known)])
    work = Expressions(session, key, key[1], places)
    return work.value(equation.right, EquationScope(binding, equation.left.tag))
