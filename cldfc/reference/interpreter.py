"""The definition executed: the equations of a spec, evaluated one by one by demand from the output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from cldfc.reference.indices import Binding, Declarations, Key, ReferenceNumbers, Tag, sort_statements
from cldfc.reference.operators import BUILT_IN
from cldfc.reference.parameters import Parameters, name_places, place_key, reduction_turns, reserved_names
from cldfc.reference.session import EvaluationSession, ReferenceUse, Unshaped, Value, format_value, tensor_of
from cldfc.reference.terms import EquationScope, Expressions
from cldfc.syntax import tree
from cldfc.syntax.walk import mentions


def _reads_of(equation: tree.Equation, binding: Binding, numbers: ReferenceNumbers) -> list[Key]:
    """The values on the right of an equation at one choice of its index names, each once."""
    return list(dict.fromkeys(_values_read(equation.right, binding, equation.left.tag, numbers)))


def _values_read(expression: tree.Expression, binding: Binding, tag: Tag, numbers: ReferenceNumbers) -> Iterator[Key]:
    """The values in an expression: those that inner operations need before those that this one needs itself."""
    own: list[Key] = []
    if isinstance(expression, tree.Fix):
        inside = _values_read(expression.body, binding, tag, numbers)
        yield from (key for key in inside if key != (expression.name, ()))
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
        case tree.Fix():
            start = expression.setting("start")
            outside = (start and start.value, expression.right)
            return [(before, binding, tag) for before in outside if before is not None]
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
    """A network at one input: all values by name, the outputs, and what happened to its parameters.

    `statistics` are the updated ones, `uses` stand in the order of computation, `read` are the names of the
    tensors that were needed. Values that follow from zeros alone, and whose shape nothing says, are left out.
    """

    values: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    statistics: Mapping[str, Tensor]
    uses: tuple[ReferenceUse, ...]
    read: frozenset[str]

    @property
    def output(self) -> Tensor:
        """The first output."""
        return next(iter(self.outputs.values()))


def evaluate_spec(
    spec: tree.Tree,
    given: Mapping[str, Tensor],
    images: Tensor | Mapping[str, Tensor],
    training: bool = False,
    classes: int | None = None,
    disturb: Callable[[Tensor], Tensor] | None = None,
) -> _Evaluated:
    """The definition executed: equation by equation, in the order in which the outputs need them, without a graph.

    `spec` has no errors and nothing left to extend; `given` has the tensors of the generated module's state
    dictionary, from which all shapes follow; `images` are batch × channels × height × width, float64, of the only
    input, or of each by its name, `f`, `g@1`, `g@2`; vectors are batch × numbers, a number of each image has no
    other axis. `classes` replaces the number of the scores. In training `bn`
    takes the batch's mean and variance, and its running statistics move towards them (momentum 0.1, unbiased
    variance); `dropout` draws from torch's generator in the order of computation. Autograd leads through it. `disturb`
    is applied to the result of each parameter and to each value. Raises KeyError when a parameter is missing,
    ValueError when one does not have the declared shape, or a value not exactly one definition.
    """
    session = open_session(spec, given, training, classes, disturb)
    known = session.known
    images = images if isinstance(images, Mapping) else {next(iter(known.inputs)): images}
    for name, tensor in images.items():
        family, _, tag = name.partition("@")
        session.values[family, tuple(int(index) for index in tag.split(",") if index)] = tensor
    for name in known.outputs:
        _compute_needed(session, (name, ()))
    for name, statement in known.outputs.items():
        value = session.values[name, ()]
        if len(statement.shape) == 1:
            # What a vector says of the shapes before it is less than what they may have said themselves.
            session.decide((name, ()))
        if tensor_of(value) is None and isinstance(value, Unshaped):
            sizes = _open_sizes(known, session.numbers, images)
            shape = [int(session.numbers.number(size, sizes, ())) for size in statement.shape]
            shape = [classes] if classes and statement.is_scores else shape
            value.shaped((len(next(iter(images.values()))), *shape))
    for name in known.outputs:
        session.decide((name, ()))
    found = {format_value(key): tensor_of(value) for key, value in session.values.items()}
    values = {name: value for name, value in found.items() if value is not None}
    outputs = {name: values[name] if values[name].ndim > 1 else values[name][:, None] for name in known.outputs}
    used = frozenset(session.parameters.used)
    return _Evaluated(values, outputs, session.statistics, tuple(session.uses), used)


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
    lengths = _lengths(known, numbers, classes)
    return EvaluationSession(known, numbers, places, parameters, lengths, training, disturb)


def _lengths(known: Declarations, numbers: ReferenceNumbers, classes: int | None) -> set[int]:
    """How many numbers `linear` may give by itself: as many as one of the outputs that are vectors has."""
    vectors = [statement for statement in known.outputs.values() if len(statement.shape) == 1]
    lengths = [int(numbers.number(statement.shape[0], {}, ())) for statement in vectors]
    scores = next((at for at, statement in enumerate(vectors) if statement.is_scores), None)
    return {classes if classes and at == scores else length for at, length in enumerate(lengths)}


def _open_sizes(known: Declarations, numbers: ReferenceNumbers, images: Mapping[str, Tensor]) -> dict[str, int]:
    """What the sizes that a spec leaves open are in given inputs: `2*N - 1` is a straight line over N."""
    found: dict[str, int] = {}
    for name, statement in known.inputs.items():
        tensor = images.get(name)
        for axis, size in enumerate(statement.shape if tensor is not None else ()):
            symbols = [m.name for m in mentions(size) if isinstance(m, tree.Symbol)]
            unknown = [m for m in symbols if not numbers.is_constant(m) and m not in found]
            if tensor is None or len(set(unknown)) != 1:
                continue
            start, end = (numbers.number(size, {**found, unknown[0]: at}, ()) for at in (0, 1))
            found[unknown[0]] = round((tensor.shape[axis + 1] - start) / (end - start))
    return found


def compute_value(session: EvaluationSession, wanted: Key) -> None:
    """Compute a value, and what it needs."""
    _compute_needed(session, wanted)
    session.decide(wanted)


def _compute_needed(session: EvaluationSession, wanted: Key) -> None:
    """The same, with an explicit stack, because chains may be long; a value that nothing gives a shape has none yet."""
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
    work = Expressions(session, key, key[1], places, equation)
    return work.value(equation.right, EquationScope(binding, equation.left.tag))
