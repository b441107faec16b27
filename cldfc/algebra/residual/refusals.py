"""Why a spec has no residual form, each at its place in the spec."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cldfc.algebra.residual.define_residual import unused_name
from cldfc.algebra.residual.iterations import Iteration, distributed, multiple_of, reachable
from cldfc.algebra.residual.vocabulary import Signed, Vocabulary, family_of, sum_tree
from cldfc.diagnostics import CldfError, Diagnostic, Label, Span, error_of
from cldfc.network.names import Family
from cldfc.syntax import tree
from cldfc.syntax.format import format_expression, format_symbol
from cldfc.syntax.walk import fixes, mentions, parts_within, reductions

if TYPE_CHECKING:
    from cldfc.algebra.residual.definition import Definition

_NEEDED = "write an iteration such as `u@ℓ,i = u@ℓ,i-1 + ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(u@ℓ,i-1))`, as Theorem 1 has it"


def _refusal(code: str, message: str, span: Span, label: str, help: str, *others: Label) -> CldfError:
    return error_of([Diagnostic(code, message, (Label(span, label), *others), help)])


def nothing_iterates(words: Vocabulary) -> CldfError:
    output = next(s for s in words.spec.statements if isinstance(s, tree.Output))
    message = "no equation computes a value from its previous step: there is no iteration"
    return _refusal("E0801", message, output.name_span, "not computed by an iteration", _NEEDED)


def counts_in_steps(spec: tree.Tree) -> CldfError | None:
    """What is not handled: values at a multiple or a part of an index, and sums in steps."""
    values = {statement.left.name for statement in spec.statements if isinstance(statement, tree.Equation)}
    parts = (found for s in spec.statements if isinstance(s, tree.Equation | tree.Let) for found in parts_within(s))
    for found in parts:
        match found:
            case tree.Symbol(name, tag) if name in values and any((i.factor, i.divisor) != (1, 1) for i in tag):
                what = "a value at a multiple of an index"
            case tree.Reduction() if found.by != 1:
                what = "a sum in steps"
            case _:
                continue
        message = f"`{found.span.text}` is {what}, which no residual form is derived for"
        return _refusal("E0809", message, found.span, what, "compile it as it is")
    return None


def is_not_taken_apart(call: tree.Expression, why: str) -> CldfError:
    """An operator with named operands that cannot be written out in an equation."""
    message = f"`{call.span.text}` cannot be written out: {why}"
    help = "write the cycle as a correction, `u@i = u@i-1 + M@1(f - A * u@i-1)`, or the equations without the operator"
    return _refusal("E0809", message, call.span, "an operator with named operands", help)


def has_no_adjoint(operator: tree.Expression) -> CldfError:
    """A part of 𝒜 that the normal equation would need the adjoint of."""
    message = f"`{format_expression(operator)}` has no adjoint that can be written, and the normal equation needs it"
    return _refusal(
        "E0809", message, operator.span, "part of the mapping", "make the mapping of kernels, vectors and numbers"
    )


def reads_no_data(found: Sequence[Iteration], words: Vocabulary) -> CldfError:
    """An iteration that is in residual form already, or that has no residual."""
    smallest = sorted(found, key=lambda iteration: len(words.needs(iteration.family)))
    keeping = [iteration for iteration in smallest if _adds_to_earlier(iteration, words)]
    iteration = [*keeping, *smallest][0]
    name, equation = iteration.equation.left.name, iteration.equation
    label = f"no `f - 𝒜({name})` in it"
    no_difference = f"is a difference of data and a linear mapping of `{name}`"
    data = next(_data_of(iteration, words), None)
    if keeping:
        message = f"`{name}` is in residual form already"
        message += f", or in none: nothing in its iteration {no_difference}" if data else ": its iteration has no data"
        return _refusal("E0802", message, equation.right.span, label, "compile it as it is")
    message = f"the iteration of `{name}` has no data, so there is no residual"
    if data:
        message = f"nothing in the iteration of `{name}` {no_difference}, so there is no residual"
    return _refusal("E0802", message, equation.right.span, label, _NEEDED)


def _adds_to_earlier(iteration: Iteration, words: Vocabulary) -> bool:
    """Whether an iteration adds what it computes to an earlier value, or to a sum of such."""
    left, cycle = iteration.equation.left, _cycle_of(iteration, words)
    parts = distributed(iteration.equation.right, cycle, words)
    return any(multiple_of(part.term, left, iteration.place, words) in cycle for part in parts)


def _data_of(iteration: Iteration, words: Vocabulary) -> Iterator[tree.Symbol]:
    """What the equations of an iteration read besides the values that are iterated."""
    cycle = _cycle_of(iteration, words)
    for equation in words.equations():
        steps = words.positions(equation.left)[iteration.place : iteration.place + 1]
        if family_of(equation.left) in cycle and any(step.base is not None for step in steps):
            yield from (read for read in words.values(equation.right) if family_of(read) not in cycle)


def _cycle_of(iteration: Iteration, words: Vocabulary) -> set[Family]:
    """The families that are computed from each other, step by step, the iterated one among them."""
    reached, own = reachable(words), iteration.family
    return {own, *(other for other in reached.get(own, {}) if own in reached.get(other, {}))}


def hides(terms: Sequence[Signed], iteration: Iteration, words: Vocabulary) -> CldfError:
    """A mapping of features that is not known to be linear, or of a sum over the history that has no name."""
    for part in terms:
        for found in reductions(part.term):
            if words.reads(found, iteration.family) and found.reducer == "sum":
                name = unused_name(words, "yzwv")
                left = format_symbol(replace(iteration.left, name=name))
                text = found.span.text or format_expression(found)
                message = f"`{text}` is an argument of the mapping, and needs a name to have a residual"
                help = f"give it one: `{left} = {text}`, and write `{left}` for it"
                return _refusal("E0806", message, found.span, "a sum over the history", help)
    return _not_linear(terms, iteration, words)


def _not_linear(terms: Sequence[Signed], iteration: Iteration, words: Vocabulary) -> CldfError:
    """A nonlinear 𝒜: (4.2), which can only be iterated on features."""
    function, found = next(
        _nonlinear_operators(terms, iteration, words), (terms[0].term, (_other_sign(terms[0].term),))
    )
    name = function.span.text
    what = f"`{name}` is not linear"
    if "solve" in found:
        what = f"`solve` finds its value up to `tol`, so that `{name}` is not linear to the last digit"
    elif name not in found:
        parts = " and ".join(part if " " in part else f"`{part}`" for part in found)
        what = f"{parts} make{'s' * (len(found) == 1)} `{name}` nonlinear"
    let = words.lets.get(function.name) if isinstance(function, tree.Symbol) else None
    others = [Label(let.values[0].span, "it is this")] if let is not None else []
    message = f"{what}, so (4.2) has no residual form"
    help = "write a linear mapping, as `A@ℓ *`, or stay in feature form, as section 4.1 of the paper does"
    return _refusal("E0803", message, function.span, "not linear", help, *others)


def _nonlinear_operators(
    terms: Sequence[Signed], iteration: Iteration, words: Vocabulary
) -> Iterator[tuple[tree.Expression, tuple[str, ...]]]:
    """The operators on the way to the iterated value that are not linear, the outermost first."""
    for part in terms:
        expression = part.term
        while words.reads(expression, iteration.family):
            match expression:
                case tree.Compose(function, inner) | tree.Apply(function, inner):
                    if broken := words.what_breaks(function):
                        yield function, broken
                    expression = inner
                case tree.Star(left, _, inner) if inner is not None:
                    if broken := words.what_breaks(left):
                        yield left, broken
                    expression = inner
                case tree.Sum(parts):
                    expression = next(part for part in parts if words.reads(part, iteration.family))
                case _:
                    break


def mapping_changes(letter: tree.Expression, step: str, words: Vocabulary) -> CldfError:
    """A mapping A@ℓ,i: one for each step, as in (1.7)."""
    symbol = letter.left if isinstance(letter, tree.Star) else letter
    symbol = symbol.kernel if isinstance(symbol, tree.Adjoint) else symbol
    name = format_expression(symbol)
    message = f"`{name}` differs from step to step: f - 𝒜(u) is a different residual for each `{step}`"
    help = f"share it, as Theorem 1 assumes: `--tie {_without_step(symbol, step)}`"
    if not isinstance(symbol, tree.Symbol) or symbol.name not in words.names.declared:
        help = f"write a mapping that does not depend on `{step}`, as Theorem 1 assumes"
    declared = words.names.declared.get(symbol.name) if isinstance(symbol, tree.Symbol) else None
    is_parameter = isinstance(declared, tree.KernelStatement | tree.Scalar)
    others = [Label(declared.symbol.span, "declared here")] if is_parameter else []
    return _refusal("E0804", message, symbol.span, f"depends on `{step}`", help, *others)


def _without_step(symbol: tree.Expression, step: str) -> str:
    if not isinstance(symbol, tree.Symbol):
        return ""
    tag = tuple(index for index in symbol.tag if index.name != step)
    return format_symbol(tree.Symbol(symbol.name, tag, symbol.span))


def data_changes(term: tree.Expression, step: str, left: tree.Symbol) -> CldfError:
    message = f"`{term.span.text}` differs from step to step, so the data do not cancel"
    own = _without_step(replace(left, name="g"), step)
    help = f"give the data an equation of their own, without `{step}`: `{own} = {term.span.text}`"
    if any(found.name == step for found in mentions(term)):
        help = f"write data that do not depend on `{step}`"
    return _refusal("E0805", message, term.span, "one for each step", help)


def feature_stays(term: tree.Expression, found: Definition) -> CldfError:
    name = found.family[0]
    where = next(iter(found.words.reads(term, found.family)), None)
    span = term.span if term.span.text else (where or term).span
    text = term.span.text if term.span.text and "\n" not in term.span.text else format_expression(term)
    residual = format_expression(sum_tree(found.at(found.head)))
    message = f"`{text}` cannot be expressed in terms of `{residual}`"
    help = f"let earlier values of `{name}` appear only in a sum, with numeric factors at most, or in the residual"
    return _refusal("E0806", message, span, f"`{name}` remains", help)


def data_stay(equation: tree.Equation, found: Definition) -> CldfError:
    data = " + ".join(format_expression(part.term) for part in found.data)
    reads = dict.fromkeys(read.name for each in found.every for read in found.words.reads(equation.right, each.family))
    names = " and ".join(f"`{name}`" for name in reads)
    message = f"the weights of earlier values of {names} do not add up to 1: `{data}` does not cancel"
    help = "write weights that add up to 1, such as 2 and -1"
    return _refusal("E0807", message, equation.right.span, f"`{data}` remains", help)


def has_errors(error: CldfError, found: Definition) -> CldfError:
    """A residual form that says less than the spec: the shape of a zero that only 𝒜(u) determined, for instance."""
    reason = error.diagnostics[0]
    equation = next(e for e in found.words.equations() if family_of(e.left) == found.family)
    message = f"the residual form would have an error: {reason.message}"
    help = f"{reason.help}; `{found.family[0]}` is no longer an argument of the mapping"
    return _refusal("E0808", message, equation.left.span, "of this family", help)


def normal_has_errors(error: CldfError, found: Definition) -> CldfError:
    """A correction that takes data and cannot take features, for instance."""
    reason = error.diagnostics[0]
    equation = next(e for e in found.words.equations() if family_of(e.left) == found.family)
    message = f"the iteration for the normal equation would have an error: {reason.message}"
    return _refusal("E0808", message, equation.left.span, "of this family", reason.help)


def _other_sign(term: tree.Expression) -> str:
    """The word of a `fix` or `solve` in a term, or else `⊙`."""
    return next((fix.word for fix in fixes(term)), "⊙")
