"""The definition executed: the equations of a spec, evaluated one by one by demand from the output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from cldfc.reference.indices import Binding, Key, ReferenceNumbers, Tag, sort_statements
from cldfc.reference.parameters import Parameters, name_places, reduction_turns, reserved_names
from cldfc.reference.session import EvaluationSession, ReferenceUse, Value, format_value, tensor_of
from cldfc.reference.terms import EquationScope, Expressions
from cldfc.syntax import tree


def _reads_of(equation: tree.Equation, binding: Binding, numbers: ReferenceNumbers) -> list[Key]:
    """The values on the right of an equation at one choice of its index names, each once."""
    return list(dict.fromkeys(_values_read(equation.right, binding, equation.left.tag, numbers)))


def _values_read(expression: tree.Expression, binding: Binding, tag: Tag, numbers: ReferenceNumbers) -> Iterator[Key]:
    """The values in an expression: those that inner operations need before those that this one needs itself."""
    own: list[Key] = []
    if isinstance(expression, tree.Fix):
        inside = _values_read(expression.body, binding, tag, numbers)
        yield from (key for key in inside if key != (expression.name, ()))
    for operand, inner in _operands(expression, binding, tag, numbers):
        if numbers.is_number(operand, inner):
            continue
        if not isinstance(operand, tree.Symbol):
            yield from _values_read(operand, inner, tag, numbers)
        elif operand.name not in numbers.known.scalars and operand.name not in numbers.known.lets:
            own.append((operand.name, numbers.indices(operand, inner)))
    yield from own


def _operands(
    expression: tree.Expression, binding: Binding, tag: Tag, numbers: ReferenceNumbers
) -> list[tuple[tree.Expression, Binding]]:
    match expression:
        case tree.Symbol():
            return [(expression, binding)]
        case tree.Quotient(above, below):
            return [(above, binding), (below, binding)]
        case tree.Star(_, _, right) if right is not None:
            return [(right, binding)]
        case tree.Compose(_, argument) | tree.Apply(_, argument):
            return [(argument, binding)]
        case tree.Sum(parts) | tree.Product(parts) | tree.Listing(_, parts):
            return [(part, binding) for part in parts]
        case tree.Reduction(_, name, _, _, body):
            turns = reduction_turns(numbers, expression, binding, tag)
            return [(body, {**binding, name: j}) for j in turns]
        case tree.Fix():
            start = expression.setting("start")
            return [(before, binding) for before in (start and start.value, expression.right) if before is not None]
        case _:
            return []


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
    known = sort_statements(spec)
    numbers = ReferenceNumbers(known)
    parameters = Parameters(given, reserved_names(spec, known), [*known.kernels, *known.scalars])
    places = name_places(spec, known, numbers)
    declared = 0 if known.classes is None else int(numbers.number(known.classes, {}, ()))
    session = EvaluationSession(known, numbers, places, parameters, classes or declared, training, disturb)
    session.values[known.input, ()] = images
    _compute_needed(session, (known.output, ()))
    session.decide((known.output, ()))
    found = {format_value(key): tensor_of(value) for key, value in session.values.items()}
    values = {name: value for name, value in found.items() if value is not None}
    return _Evaluated(values, values[known.output], session.statistics, tuple(session.uses), frozenset(parameters.used))


def _compute_needed(session: EvaluationSession, output: Key) -> None:
    """Compute what the output needs, with a stack of its own, for chains may be long."""
    stack, open = [output], set[Key]()
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


def _definition_of(session: EvaluationSession, key: Key) -> tuple[tree.Equation, dict[str, int]]:
    equations = session.known.equations.get((key[0], len(key[1])), [])
    found = [(equation, session.numbers.match(equation, key[1])) for equation in equations]
    fitting = [(equation, binding) for equation, binding in found if binding is not None]
    if len(fitting) != 1:
        raise ValueError(f"`{format_value(key)}` has {len(fitting)} definitions")
    return fitting[0]


def _compute(session: EvaluationSession, equation: tree.Equation, binding: dict[str, int], key: Key) -> Value:
    places = iter(session.places[id(equation)])
    work = Expressions(session, key, key[1], places)
    return work.value(equation.right, EquationScope(binding, equation.left.tag))
