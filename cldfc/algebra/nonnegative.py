"""`constrain u >= 0`, eq. (1.2) and (3.2): proved for every value of a family, or refused where it breaks."""

from __future__ import annotations

from collections.abc import Sequence

from cldfc.diagnostics import Label, Problems, Span, did_you_mean
from cldfc.network.expand import Expansion, Operation
from cldfc.network.positions import Key, Positions, bind, format_key
from cldfc.network.program import Template
from cldfc.ops import BUILTINS, Add, Kernel, Operator
from cldfc.syntax import tree
from cldfc.syntax.format import format_symbol


def prove_constraints(spec: tree.Tree, expansion: Expansion, problems: Problems) -> None:
    """Report each equation by which a constrained family could become negative.

    The proof goes through the operations in their order: relu, sums, zeros, pooling and so on say
    by themselves when their result is ≥ 0 (`Operator.nonnegative`). What was refused once is
    taken for granted afterwards, so that one mistake is reported once.
    """
    if expansion.program.constraints:
        _SignProof(spec, expansion, problems).run(expansion.program.constraints)


class _SignProof:
    def __init__(self, spec: tree.Tree, expansion: Expansion, problems: Problems) -> None:
        self.spec = spec
        self.expansion = expansion
        self.problems = problems
        self.holds: list[bool] = []
        self.refused: set[int] = set()

    def run(self, constraints: Sequence[tuple[tree.Constrain, Positions]]) -> None:
        results: dict[int, dict[Key, tree.Constrain]] = {}
        for constraint, positions in constraints:
            for key in self.constrained(constraint, positions):
                results.setdefault(self.expansion.values[key], {}).setdefault(key, constraint)
        for at, operation in enumerate(self.expansion.operations):
            holds = operation.operator.nonnegative([self.holds[operand] for operand in operation.operands])
            self.holds.append(holds)
            for key, constraint in results.get(at, {}).items() if not holds else ():
                self.refuse(constraint, key, at)
                self.holds[at] = True

    def constrained(self, constraint: tree.Constrain, positions: Positions) -> list[Key]:
        symbol, bound, known = constraint.symbol, constraint.bound, self.expansion.values
        if bound.value != 0:
            help = f"write `constrain {symbol.span.text} >= 0`"
            message = (
                f"`{symbol.span.text} >= {bound.span.text}` cannot be proved: 0 is the only bound that operators keep"
            )
            return self.problems.report("E0604", message, bound.span, "expected 0", help) or []
        family = [key for key in known if key[0] == symbol.name]
        if positions:
            found = [key for key in family if len(key[1]) == len(positions) and bind(positions, key[1]) is not None]
        else:
            found = [key for key in family if key[1]] or family
        if not found:
            names = {key[0] for key in known}
            listed = ", ".join(f"`{other}`" for other in [*map(format_key, family), *sorted(names)][:6])
            help = f"write one of {listed}" if family else did_you_mean(symbol.name, names, f"write one of {listed}")
            message = f"the network has no value called `{symbol.span.text}`"
            self.problems.report("E0604", message, symbol.span, "nothing to constrain", help)
        return found

    def refuse(self, constraint: tree.Constrain, key: Key, at: int) -> None:
        culprit = self.culprit(at)
        operation = self.expansion.operations[culprit]
        where = "here" if constraint.symbol.tag else "for every value of the family"
        said = Label(constraint.span, f"to hold {where}")
        if operation.instance < 0:
            message = f"`{format_key(key)}` is not provably ≥ 0: the input may be negative"
            name = self.expansion.program.input_keys[operation.step]
            help = "constrain a value that is computed"
            help = f"write `{format_key(key)} = relu({format_key(name)})`" if key[0] != name[0] else help
            self.problems.report("E0603", message, operation.span, "the input", help, said)
            return
        template = self.expansion.instances[operation.instance].template
        if id(template.statement) in self.refused:
            return
        self.refused.add(id(template.statement))
        text = operation.span.text
        self.problems.report(
            "E0603",
            f"`{format_key(key)}` is not provably ≥ 0: {_reason(operation.operator)}",
            _subtracted(template, operation),
            "may be negative",
            self.help(template, operation, text, culprit == self.expansion.instances[operation.instance].result),
            said,
        )

    def culprit(self, at: int) -> int:
        """The operation that breaks the proof: below sums and what else keeps a sign, the first that does not."""
        while True:
            operation = self.expansion.operations[at]
            keeps = operation.operator.nonnegative([True] * len(operation.operands))
            broken = [operand for operand in operation.operands if not self.holds[operand]]
            if not keeps or not broken:
                return at
            at = broken[0]

    def help(self, template: Template, operation: Operation, text: str, is_last: bool) -> str:
        """The text to write: σ before what may be negative, if the spec has a σ."""
        if isinstance(operation.operator, Add):
            return f"add only what is ≥ 0, or apply `relu` to the sum: `relu({text})`"
        operator = self.activation()
        right = template.statement.right
        if is_last and not isinstance(right, tree.Sum | tree.Product):
            return f"write `{format_symbol(template.statement.left)} = {operator} ∘ {right.span.text}`"
        if operation.operator.keyword:
            return f"apply `{operator}` to its result: `{operator} ∘ {text} ∘ …`"
        return f"write `{operator} ∘ {text}`"

    def activation(self) -> str:
        """An operator of the spec that gives numbers ≥ 0, or `relu`."""
        for let in self.spec.statements:
            if isinstance(let, tree.Let) and not let.symbol.tag:
                last = let.values[0]
                while isinstance(last, tree.Compose):
                    last = last.outer
                if isinstance(last, tree.Symbol) and last.name in _ALWAYS:
                    return let.symbol.name
        return "relu"


def _subtracted(template: Template, operation: Operation) -> Span:
    """The first term of a sum that is subtracted, or the whole operation."""
    step = template.steps[operation.step]
    signs = step.operator.signs if isinstance(step.operator, Add) else ()
    return next((span for span, sign in zip(step.terms, signs, strict=False) if sign < 0), operation.span)


def _reason(operator: Operator) -> str:
    if isinstance(operator, Add):
        return "a value is subtracted"
    what = f"`{operator.keyword}`" if operator.keyword else "this operation"
    return f"{'a convolution' if isinstance(operator, Kernel) else what} may give negative numbers"


_ALWAYS = {name for name, operator in BUILTINS.items() if operator().nonnegative([False])}
"""The built-in operators whose result is ≥ 0 whatever they are applied to."""
