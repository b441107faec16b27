"""Which normalisations were folded for inference, and why others were not: plain lines for the terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from cldfc.algebra.fold_norms import Folded
from cldfc.network.graph import Graph
from cldfc.network.positions import Key, format_key

MOST_NAMES = 4


def folding_lines(folded: Folded) -> list[str]:
    groups: dict[tuple[str, str, str, bool, int], dict[Key, None]] = defaultdict(dict)
    for kept in folded.kept:
        key = kept.kernel or kept.norm.scale
        arity = len(key[1]) if kept.kernel else 0
        groups[key[0], kept.reason, kept.keyword, kept.kernel is not None, arity][key] = None
    total = folded.count + len({kept.norm for kept in folded.kept})
    if not total:
        return ["there is no normalisation to fold"]
    lines = [f"{folded.count:,} of {total:,} normalisation{'s' * (total != 1)} folded into kernels"]
    for (name, reason, keyword, is_kernel, _), keys in sorted(groups.items(), key=lambda group: not group[0][3]):
        if is_kernel:
            who = kernels_text(folded.graph, [*keys], keyword)
        else:
            who = f"{format_key(next(iter(keys)))} stays" if len(keys) == 1 else f"{name} stays, {len(keys):,} times"
        lines.append(f"{who}: {reason}")
    return lines


def kernels_text(graph: Graph, keys: Sequence[Key], keyword: str) -> str:
    """`A@ℓ keeps its bn` where that holds for all of them, or `A@2, A@3 keep their bn`."""
    name, tag = keys[0]
    family = [key for key in graph.parameters if key[0] == name and len(key[1]) == len(tag)]
    if len(keys) == len(family):
        return f"{family_text(graph, name, len(tag))} keeps its {keyword}"
    if len(keys) == 1:
        return f"{format_key(keys[0])} keeps its {keyword}"
    more = ", …" * (len(keys) > MOST_NAMES)
    return f"{', '.join(map(format_key, keys[:MOST_NAMES]))}{more} keep their {keyword}"


def family_text(graph: Graph, name: str, arity: int) -> str:
    """A kernel with the indices that it depends on, which are fewer than those of its declaration where it is tied."""
    indices = graph.program.parameters[name].indices
    if arity < len(indices):
        indices = tuple(indices[place] for place in graph.program.ties[name].kept)
    return f"{name}@{','.join(indices)}" if indices else name
