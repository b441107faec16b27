"""`constrain u >= 0`, eq. (1.2) and (3.2): proved for every value of a family, or refused where it breaks."""

from __future__ import annotations

from cldfc.diagnostics import Label, Problems, Span, did_you_mean
from cldfc.network.expand import Expansion, Operation
from cldfc.network.positions import Key, format_key
from cldfc.network.program import Template
from cldfc.ops import BUILTINS, Add, Kernel, Operator
from cldfc.syntax import tree
from cldfc.syntax.format import format_symbol


def prove_constraints(spec: tree.Spec, expansion: Expansion, problems: Problems) -> None:
    """Report each equation by which a constrained family could become negative.

    The proof goes through the operations in their order: relu, sums, zeros, pooling and so on say
    by themselves when their result is ≥ 0 (`Operator.nonnegative`). What was refused once is
    taken for granted afterwards, so that one mistake is reported once.
    """
    constraints = [statement for statement in spec.statements if isinstance(statement, tree.Constrain)]
    if constraints:
        Proof(spec, expansion, problems).run(constraints)


class Proof:
    """Which operations are provably ≥ 0."""

    def __init__(self, spec: tree.Spec, expansion: Expansion, problems: Problems) -> None:
        self.spec = spec
        self.expansion = expansion
        self.problems = problems
        self.holds: list[bool] = []
        self.refused: set[int] = set()

    def run(self, constraints: list[tree.Constrain]) -> None:
        """Go through the network once; at each constrained value, look."""
        families = {name for constraint in constraints if (name := self.family(constraint))}
        wanted = {c.symbol.name: c for c in constraints if c.symbol.name in families}
        tagged = {key[0] for key in self.expansion.values if key[1]}
        results: dict[int, list[Key]] = {}
        for key, at in self.expansion.values.items():
            if key[0] in wanted and (key[1] or key[0] not in tagged):
                results.setdefault(at, []).append(key)
        for at, operation in enumerate(self.expansion.operations):
            holds = operation.operator.nonnegative([self.holds[operand] for operand in operation.operands])
            self.holds.append(holds)
            for key in results.get(at, ()) if not holds else ():
                self.refuse(wanted[key[0]], key, at)
                self.holds[at] = True

    def family(self, constraint: tree.Constrain) -> str | None:
        """The family that a constraint speaks of, or a report."""
        name, bound = constraint.symbol.name, constraint.bound
        if bound.value != 0:
            help = f"write `constrain {name} >= 0`"
            message = f"`{name} >= {bound.span.text}` cannot be proved: only 0 is a bound that operators keep"
            self.problems.report("E0604", message, bound.span, "expected 0", help)
            return None
        known = {key[0] for key in self.expansion.values}
        if name not in known:
            help = did_you_mean(name, known, f"write one of {', '.join(f'`{other}`' for other in sorted(known)[:6])}")
            message = f"the network has no value called `{name}`"
            self.problems.report("E0604", message, constraint.symbol.span, "nothing to constrain", help)
            return None
        return name

    def refuse(self, constraint: tree.Constrain, key: Key, at: int) -> None:
        """A value that may be negative, with the operation that makes it so."""
        culprit = self.culprit(at)
        operation = self.expansion.operations[culprit]
        said = Label(constraint.span, "to hold for every value of the family")
        if operation.instance < 0:
            message = f"`{format_key(key)}` is not provably ≥ 0: the input may be negative"
            name = self.expansion.program.input.name
            help = (
                f"write `{format_key(key)} = relu({name})`" if key[0] != name else "constrain a value that is computed"
            )
            self.problems.report("E0603", message, operation.span, "the input", help, said)
            return
        template = self.expansion.instances[operation.instance].template
        if id(template.statement) in self.refused:
            return
        self.refused.add(id(template.statement))
        text = operation.span.text
        self.problems.report(
            "E0603",
            f"`{format_key(key)}` is not provably ≥ 0: {reason(operation.operator)}",
            subtracted(template, operation),
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
            if isinstance(let, tree.Let) and not let.symbol.tag and outermost(let.values[0]) in ALWAYS:
                return let.symbol.name
        return "relu"


def outermost(expression: tree.Expression) -> str | None:
    """The operator that is applied last."""
    while isinstance(expression, tree.Compose):
        expression = expression.outer
    return expression.name if isinstance(expression, tree.Symbol) else None


def subtracted(template: Template, operation: Operation) -> Span:
    """The first term of a sum that is subtracted, or the whole operation."""
    step = template.steps[operation.step]
    signs = step.operator.signs if isinstance(step.operator, Add) else ()
    return next((span for span, sign in zip(step.terms, signs, strict=False) if sign < 0), operation.span)


def reason(operator: Operator) -> str:
    """Why a result may be negative."""
    if isinstance(operator, Kernel):
        return "a convolution may give negative numbers"
    if isinstance(operator, Add):
        return "a value is subtracted"
    name = operator.keyword or "this operation"
    return f"`{name}` may give negative numbers" if operator.keyword else f"{name} may give negative numbers"


ALWAYS = {name for name, operator in BUILTINS.items() if operator().nonnegative([False])}
"""The built-in operators whose result is ≥ 0 whatever they are applied to."""
