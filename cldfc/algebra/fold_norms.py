"""`bn ∘ K * x` as one convolution: in evaluation, batch normalisation is a scale and a shift for each channel."""

from __future__ import annotations

from collections.abc import Container, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cldfc.network.expand import Instance
from cldfc.network.graph import Graph, Node, Revised, change_template, keep_needed, rebuild_graph, validate_graph
from cldfc.network.positions import Key
from cldfc.network.program import Operand, Step, Template
from cldfc.ops import (
    Add,
    BatchNorm,
    Divide,
    Kernel,
    Multiply,
    Normalisation,
    Operator,
    Reciprocal,
    Scale,
    ScaleBy,
    Shift,
    Total,
)


@dataclass(frozen=True, slots=True)
class _Norm:
    """One normalisation: where its scale and shift are stored, which may be shared, and where its statistics are."""

    scale: Key
    statistics: Key


def _norm_of(node: Node) -> _Norm | None:
    if not isinstance(node.operator, Normalisation) or node.parameter is None:
        return None
    return _Norm(node.parameter, node.statistics or node.parameter)


def _norms_after_kernels(graph: Graph) -> dict[Key, list[_Norm | None]]:
    """For each use of each kernel, the batch normalisation that is alone in reading the result; None without one."""
    readers = _readers_of(graph)
    found: dict[Key, list[_Norm | None]] = {}
    for at, node in enumerate(graph.nodes()):
        if isinstance(node.operator, Kernel) and node.parameter is not None:
            read_by = [graph.node(reader) for reader in readers[at]]
            is_free = not node.operator.is_adjoint and not node.operator.rules
            is_alone = is_free and len(read_by) == 1 and isinstance(read_by[0].operator, BatchNorm)
            found.setdefault(node.parameter, []).append(_norm_of(read_by[0]) if is_alone else None)
    return found


def _readers_of(graph: Graph) -> list[list[int]]:
    """For each operation those that read it, once for each operand."""
    found: list[list[int]] = [[] for _ in graph.inputs]
    for at, operands in enumerate(graph.inputs):
        for operand in operands:
            found[operand].append(at)
    return found


@dataclass(frozen=True, slots=True)
class _KeptNorm:
    """A normalisation that stays, with its keyword, the kernel right before it if there is one, and the reason."""

    norm: _Norm
    keyword: str
    kernel: Key | None
    reason: str


def _explain_kept(graph: Graph, folded: Container[Key]) -> list[_KeptNorm]:
    """A reason for each normalisation that stays when these kernels have taken up theirs, in the order of use."""
    readers, norms = _readers_of(graph), _norms_after_kernels(graph)
    found: dict[_KeptNorm, None] = {}
    for at, node in enumerate(graph.nodes()):
        norm = _norm_of(node)
        if norm is None:
            continue
        before = graph.operands(at)[0]
        kernel = graph.node(before).parameter if isinstance(graph.node(before).operator, Kernel) else None
        keyword = node.operator.keyword or ""
        if not isinstance(node.operator, BatchNorm):
            kernel, reason = None, "it depends on the data"
        elif kernel is None:
            is_padded = any(isinstance(graph.node(reader).operator, Kernel) for reader in readers[at])
            reason = (
                _PADDED if is_padded else f"it follows {_what_precedes(graph.node(before).operator)}, not a convolution"
            )
        elif kernel in folded:
            continue
        elif graph.node(before).operator.is_adjoint:
            reason = "it follows an adjoint, which has no bias"
        elif rules := getattr(graph.node(before).operator, "rules", ()):
            reason = f"its kernel is {' and '.join(f'`{rule}`' for rule in rules)}, which scaled channels are not"
        else:
            reason = _why_not(norms[kernel], len(readers[before]))
        found[_KeptNorm(norm, keyword, kernel, reason)] = None
    return list(found)


_PADDED = "it stands before a convolution, whose zero padding would lack its shift"


def _what_precedes(operator: Operator) -> str:
    match operator:
        case Add() | Total() | Shift():
            return "a sum"
        case Multiply() | Scale() | ScaleBy():
            return "a product"
        case Divide() | Reciprocal():
            return "a quotient"
        case _:
            return f"`{operator.keyword}`" if operator.keyword else f"the {type(operator).__name__.lower()}"


def _why_not(norms: list[_Norm | None], readers: int) -> str:
    if readers > 1:
        return "the result of the convolution is used elsewhere too"
    if None in norms:
        return "the kernel is used without it too"
    if len(set(norms)) == len(norms):
        return f"the kernel is shared by {len(norms)} uses with a bn each"
    return f"the kernel is shared by {len(norms)} uses with {len(set(norms))} bn"


@dataclass(frozen=True, slots=True)
class Folded:
    """A network for inference.

    `trained` is the network before. `pairs` has the kernels that took up a normalisation, each with it; `count` says
    how many normalisations are gone, `kept` which ones stay and why.
    """

    trained: Graph
    graph: Graph
    pairs: Mapping[Key, _Norm]
    count: int
    kept: Sequence[_KeptNorm]


def fold_norms(graph: Graph) -> Folded:
    """The network in evaluation with batch normalisations folded into the kernels before them, which get a bias.

    A kernel takes up a normalisation if that, and nothing else, reads all its uses. No use may be an adjoint, whose
    outputs are the kernel's inputs, and the kernel may have no rule such as `shared` or `symmetric`. Left alone are a
    normalisation before a convolution, whose zero padding would lack the shift, one after a sum or an activation,
    and `gn` and `ln`, which depend on the data. Parameters that are no longer used are removed. The mathematics:
    γ · (K * x + b - μ) / √(σ² + ε) + β is affine in K and b, Ioffe and Szegedy 2015, Algorithm 2.

    Before::

        u = relu(bn(A * f))
        v = bn(u)
        h = linear(avgpool(v))

    After::

        kernel A : 3×3 → 4, bias
        u = relu(A * f)
        v = bn(u)
        h = linear(avgpool(v))
    """
    pairs: dict[Key, _Norm] = {}
    for kernel, (first, *others) in _norms_after_kernels(graph).items():
        if first is not None and all(norm == first for norm in others):
            pairs[kernel] = first
    work = _Fold(graph, pairs)
    revised = [work.revise(number, instance) for number, instance in enumerate(graph.instances)]
    rebuilt = rebuild_graph(graph, keep_needed(revised, graph.program.output_keys))
    used = {key for node in rebuilt.nodes() for key in node.stored}
    norms = {_norm_of(node) for node in rebuilt.nodes()}
    parameters = {key: stored for key, stored in graph.parameters.items() if key in used}
    for key in pairs.keys() & used:
        parameters[key] = replace(parameters[key], sizes={**parameters[key].sizes, "bias": 1})
    folded = replace(rebuilt, parameters=parameters, written=None)
    validate_graph(folded)
    return Folded(graph, folded, pairs, len(set(pairs.values()) - norms), _explain_kept(graph, pairs))


@dataclass
class _Fold:
    graph: Graph
    pairs: Mapping[Key, _Norm]
    known: dict[Hashable, tuple[Template, tuple[int, ...]]] = field(
        default_factory=dict[Hashable, tuple[Template, tuple[int, ...]]]
    )

    def revise(self, number: int, instance: Instance) -> Revised:
        template, members = instance.template, self.graph.members[number]
        changes: dict[int, Step | Operand] = {}
        for at, step in enumerate(template.steps):
            if self.graph.node(members[at]).parameter in self.pairs:
                changes[at] = step
            elif self.is_folded(members[at]):
                changes[at] = step.operands[0]
        if not changes:
            return Revised(template, instance.binding, instance.value, tuple(members))
        # Equations with the same kernels folded stay equal, so that they are still one loop.
        key = id(template), tuple(changes.items())
        if key not in self.known:
            changed, order = change_template(template, changes)
            # Its loops stay as they are, so it counts as rewritten only if it was before.
            self.known[key] = replace(changed, is_rewritten=template.is_rewritten), order
        changed, order = self.known[key]
        return Revised(changed, instance.binding, instance.value, tuple(members[at] for at in order))

    def is_folded(self, at: int) -> bool:
        if not isinstance(self.graph.node(at).operator, BatchNorm):
            return False
        return self.graph.node(self.graph.operands(at)[0]).parameter in self.pairs
