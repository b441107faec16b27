"""Tree → program → operations → shapes: the front end, for a spec that is read and for one that is derived."""

from __future__ import annotations

from cldfc.algebra.nonnegative import prove_constraints
from cldfc.diagnostics import Problems
from cldfc.network.declarations import check_renamed
from cldfc.network.expand import expand_program
from cldfc.network.resolve import Changes, resolve_spec
from cldfc.network.shapes import Inferred, infer_shapes
from cldfc.syntax import tree


def infer_network(spec: tree.Tree, changes: Changes, problems: Problems) -> Inferred:
    """The operations of a tree with their shapes. What is wrong goes to `problems`.

    Raises CldfError with everything that is wrong, when there is no network to speak of.
    """
    program = resolve_spec(spec, changes, problems)
    before = problems.copy()
    expansion = expand_program(program, problems)
    if apart := program.without_shared_strides(expansion.strides()):
        problems.found, problems.places = before.found, before.places
        expansion = expand_program(apart, problems)
    check_renamed(expansion, problems)
    prove_constraints(spec, expansion, problems)
    return infer_shapes(expansion, problems)
