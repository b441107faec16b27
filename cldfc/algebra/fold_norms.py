"""`bn ∘ K * x` as one convolution: in evaluation, batch normalisation is a scale and a shift for each channel."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cldfc.algebra.norms_after import Norm, norm_of, norms_after_kernels
from cldfc.algebra.norms_kept import KeptNorm, explain_kept
from cldfc.network.expand import Instance
from cldfc.network.graph import Graph, validate_graph
from cldfc.network.positions import Key
from cldfc.network.program import Operand, Step, Template
from cldfc.network.rebuild import Revised, change_template, keep_needed, rebuild_graph
from cldfc.ops import BatchNorm


@dataclass(frozen=True, slots=True)
class Folded:
    """A network for inference.

    `trained` is the network before. `pairs` has the kernels that took up a normalisation, each with it; `count` says
    how many normalisations are gone, `kept` which ones stay and why.
    """

    trained: Graph
    graph: Graph
    pairs: Mapping[Key, Norm]
    count: int
    kept: Sequence[KeptNorm]


def fold_norms(graph: Graph) -> Folded:
    """The network in evaluation with batch normalisations folded into the kernels before them, which get a bias.

    A kernel takes up a normalisation if all its uses are read by that one and by nothing else. Left alone are a
    normalisation before a convolution, whose zero padding would lack the shift, one after a sum or an activation,
    and `gn` and `ln`, which depend on the data. Parameters that are no longer used are gone. The mathematics:
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
    pairs: dict[Key, Norm] = {}
    for kernel, (first, *others) in norms_after_kernels(graph).items():
        if first is not None and all(norm == first for norm in others):
            pairs[kernel] = first
    work = Fold(graph, pairs)
    revised = [work.revise(number, instance) for number, instance in enumerate(graph.instances)]
    rebuilt = rebuild_graph(graph, keep_needed(revised, (graph.program.output, ())))
    used = {key for node in rebuilt.nodes() for key in node.stored}
    norms = {norm_of(node) for node in rebuilt.nodes()}
    parameters = {key: stored for key, stored in graph.parameters.items() if key in used}
    for key in pairs.keys() & used:
        parameters[key] = replace(parameters[key], sizes={**parameters[key].sizes, "bias": 1})
    folded = replace(rebuilt, parameters=parameters, written=None)
    validate_graph(folded)
    return Folded(graph, folded, pairs, len(set(pairs.values()) - norms), explain_kept(graph, pairs))


@dataclass
class Fold:
    graph: Graph
    pairs: Mapping[Key, Norm]
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
