"""The equations of the residual form: those of the spec with r in them, without what is no longer needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cldfc.algebra.residual import refusals
from cldfc.algebra.residual.definition import Definition
from cldfc.algebra.residual.derivation import DerivedEquation, Origin
from cldfc.algebra.residual.iteration_form import IterationForm, iteration_of
from cldfc.algebra.residual.rewrite import Rewriting
from cldfc.algebra.residual.start import Start, data_equations, starts
from cldfc.algebra.residual.start_form import StartForm
from cldfc.algebra.residual.vocabulary import family_of
from cldfc.diagnostics import CldfError
from cldfc.network.names import Family
from cldfc.syntax import tree
from cldfc.syntax.walk import mentions


def residual_equations(definition: Definition, puts_data_in: bool) -> list[DerivedEquation]:
    """The equations of the residual form, in the order of the spec; raises CldfError where there is none.

    Corrections are values of their own if both u and r need them, or r several times. `puts_data_in` says whether f may
    disappear into the start of r.
    """
    named = needed(list(Equations(definition, puts_data_in, True).entries()), definition)
    needs_feature = any(definition.of(entry.equation.left) is not None for entry in named)
    if needs_feature or definition.uses > 1:
        return named
    return needed(list(Equations(definition, puts_data_in, False).entries()), definition)


@dataclass(frozen=True)
class Equations:
    """All equations, needed or not, with corrections under a name or without one."""

    definition: Definition
    puts_data_in: bool
    is_named: bool

    def entries(self) -> Iterator[DerivedEquation]:
        """The equations in the order of the spec: r behind u."""
        whole = self.definition
        found = list(self.starts())
        replaced = {id(start.data): (definition, start) for definition, start in found if start.data is not None}
        for equation in whole.words.equations():
            if any(equation is definition.equation for definition in whole.every):
                continue
            if id(equation) in replaced:
                yield StartForm(*replaced[id(equation)], whole).replacement()
            elif (form := self.iteration(equation)) is not None:
                yield from form.entries()
            else:
                right = Rewriting(whole, equation.left).expression(equation.right)
                yield DerivedEquation(replace(equation, right=right), (Origin(equation, {}),))
                for definition, start in found:
                    if start.feature is equation:
                        yield StartForm(definition, start, whole).entry()

    def iteration(self, equation: tree.Equation) -> IterationForm | None:
        """An equation as an iteration, if it is one; that of one step, u@ℓ,1 = …, may as well be a start."""
        whole = self.definition
        definition = iteration_of(equation, whole)
        if definition is None:
            return None
        form = IterationForm(whole, definition, equation, self.is_named)
        if definition.is_numbered(equation):
            try:
                form.split()
            except CldfError:
                return None
        return form

    def starts(self) -> Iterator[tuple[Definition, Start]]:
        """Where residuals start, each with its definition; an equation for f is put in once only."""
        used: list[tree.Equation] = []
        for definition in self.definition.every:
            of_feature = [e for e in definition.words.equations() if family_of(e.left) == definition.family]
            plain = [equation for equation in of_feature if self.iteration(equation) is None]
            for equation in plain:
                if definition.covers(equation.left.tag) and not definition.is_numbered(equation):
                    raise refusals.feature_stays(equation.right, definition)
            data = [e for e in data_equations(definition) if self.puts_data_in and e not in used]
            for start in starts(definition, plain, data):
                used += [] if start.data is None else [start.data]
                yield definition, start


def needed(entries: Sequence[DerivedEquation], definition: Definition) -> list[DerivedEquation]:
    output = next(s.name for s in definition.words.spec.statements if isinstance(s, tree.Output))
    wanted: set[Family] = set()
    open: list[Family] = [(output, 0)]
    while open:
        family = open.pop()
        if family not in wanted:
            wanted.add(family)
            same = (entry for entry in entries if family_of(entry.equation.left) == family)
            # Parameters and operators are among them, but no family is called like one.
            found = (symbol for entry in same for symbol in mentions(entry.equation.right))
            open += [family_of(symbol) for symbol in found if isinstance(symbol, tree.Symbol)]
    return [entry for entry in entries if family_of(entry.equation.left) in wanted]
