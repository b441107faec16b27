"""The equations of the residual form: those of the spec with r in them, without what is no longer needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cldfc.algebra.residual.define_residual import free_name
from cldfc.algebra.residual.definition import Definition
from cldfc.algebra.residual.derivation import Entry, Origin
from cldfc.algebra.residual.iteration import IterationForm, is_iteration
from cldfc.algebra.residual.rewrite import Rewriting
from cldfc.algebra.residual.start import Start, starts
from cldfc.algebra.residual.start_form import StartForm
from cldfc.algebra.residual.vocabulary import family_of
from cldfc.network.names import Family
from cldfc.syntax import tree
from cldfc.syntax.walk import mentions

CORRECTIONS = ("e", "d", "ε", "correction")


def residual_equations(definition: Definition, puts_data_in: bool) -> list[Entry]:
    """The equations of the residual form, in the order of the spec; raises CldfError where there is none.

    Corrections are values of their own if both u and r need them, or r several times. `puts_data_in` says whether f may
    disappear into the start of r.
    """
    words = definition.words
    wanted = [name for name in CORRECTIONS if name != definition.name]
    named = needed(list(Equations(definition, puts_data_in, free_name(words, wanted)).entries()), definition)
    needs_feature = any(family_of(entry.equation.left) == definition.family for entry in named)
    if needs_feature or definition.uses > 1:
        return named
    return needed(list(Equations(definition, puts_data_in, None).entries()), definition)


@dataclass(frozen=True)
class Equations:
    """All equations, needed or not, with corrections under a name or without one."""

    definition: Definition
    puts_data_in: bool
    correction: str | None

    def entries(self) -> Iterator[Entry]:
        """The equations in the order of the spec: r behind u."""
        found = self.starts()
        replaced = {id(start.data): start for start in found if start.data is not None}
        for equation in self.definition.words.equations():
            if equation is self.definition.equation:
                continue
            if id(equation) in replaced:
                yield StartForm(self.definition, replaced[id(equation)]).replacement()
            elif is_iteration(equation, self.definition):
                yield from IterationForm(self.definition, equation, self.correction).entries()
            else:
                yield self.rewritten(equation)
                mine = (start for start in found if start.feature is equation)
                yield from (StartForm(self.definition, start).entry() for start in mine)

    def starts(self) -> list[Start]:
        """Where the residual starts."""
        of_feature = [e for e in self.definition.words.equations() if family_of(e.left) == self.definition.family]
        plain = [equation for equation in of_feature if not is_iteration(equation, self.definition)]
        return starts(self.definition, plain, self.puts_data_in)

    def rewritten(self, equation: tree.Equation) -> Entry:
        """An equation with r in it."""
        right = Rewriting(self.definition, equation.left).expression(equation.right)
        return Entry(replace(equation, right=right), (Origin(equation, {}),))


def needed(entries: Sequence[Entry], definition: Definition) -> list[Entry]:
    """The equations of the families that the output needs."""
    output = next(s.name for s in definition.words.spec.statements if isinstance(s, tree.Output))
    wanted: set[Family] = set()
    open: list[Family] = [(output, 0)]
    while open:
        family = open.pop()
        if family not in wanted:
            wanted.add(family)
            same = (entry for entry in entries if family_of(entry.equation.left) == family)
            open += [read for entry in same for read in read_by(entry.equation)]
    return [entry for entry in entries if family_of(entry.equation.left) in wanted]


def read_by(equation: tree.Equation) -> Iterator[Family]:
    """The families that an equation reads; what else is mentioned in it is called like none."""
    return (family_of(found) for found in mentions(equation.right) if isinstance(found, tree.Symbol))
