"""What differs between two networks, in words: `here` is the first, `there` the second."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import cast

from torch import Tensor, nn

from cldfc.compilation import Compilation
from cldfc.diagnostics import end_text
from cldfc.network.positions import IndexRange, OutOfRange
from cldfc.network.program import Program
from cldfc.verify.deviation import Pairs, attribute_of, module_of
from cldfc.verify.outcome import is_statistic

_OF_KERNELS = (
    ("kernel_size", "size"),
    ("in_channels", "input channels"),
    ("out_channels", "output channels"),
    ("groups", "groups"),
    ("dilation", "dilation"),
    ("bias", "bias"),
)
_OF_BATCH_NORMS = (("num_features", "channels"), ("eps", "epsilon"), ("momentum", "momentum"), ("affine", "affine"))
_OF_INSTANCE_NORMS = (("num_features", "channels"), ("eps", "epsilon"), ("affine", "affine"))

_SETTINGS: Mapping[type[nn.Module], Sequence[tuple[str, str]]] = {
    nn.Conv1d: _OF_KERNELS,
    nn.Conv2d: _OF_KERNELS,
    nn.Conv3d: _OF_KERNELS,
    nn.BatchNorm1d: _OF_BATCH_NORMS,
    nn.BatchNorm2d: _OF_BATCH_NORMS,
    nn.BatchNorm3d: _OF_BATCH_NORMS,
    nn.GroupNorm: (("num_channels", "channels"), ("num_groups", "groups"), ("eps", "epsilon"), ("affine", "affine")),
    nn.InstanceNorm1d: _OF_INSTANCE_NORMS,
    nn.InstanceNorm2d: _OF_INSTANCE_NORMS,
    nn.InstanceNorm3d: _OF_INSTANCE_NORMS,
    nn.LayerNorm: (("normalized_shape", "channels"), ("eps", "epsilon"), ("elementwise_affine", "affine")),
    nn.PReLU: (("num_parameters", "slopes"),),
    nn.Linear: (("in_features", "inputs"), ("out_features", "outputs"), ("bias", "bias")),
}
"""For a kind of module, the attributes that are compared, and their names in plain words."""


# Two specs


def contrast_specs(here: Compilation, there: Compilation) -> Iterator[str]:
    one, two = here.program, there.program
    if one.shape != two.shape:
        yield f"the input is {end_text(one.shape)} here, {end_text(two.shape)} there"
    if one.classes != two.classes:
        yield f"the output has {one.classes} numbers here, {two.classes} there"
    for name, range in one.ranges.items():
        other = two.ranges.get(name)
        if other is not None and not range.is_explicit and not other.is_explicit:
            yield from _contrast_ranges(range, other, one, two)


def _contrast_ranges(one: IndexRange, two: IndexRange, here: Program, there: Program) -> Iterator[str]:
    """`level 2 has 3 steps here, 2 there`."""
    levels = {*_levels_of_range(one, here), *_levels_of_range(two, there)}
    for level in sorted(levels, key=lambda level: (level is None, level)):
        counts = [_count_of(range, level, program) for range, program in ((one, here), (two, there))]
        # A level that only one side has is reported with the range of levels.
        if counts[0] == counts[1] or None in counts:
            continue
        what = "levels" if one.kind == "levels" else "steps"
        at = "" if level is None else f"level {level} has "
        yield f"{at}{counts[0]} {what} here, {counts[1]} there"


def _levels_of_range(one: IndexRange, program: Program) -> list[int | None]:
    """The levels at which a range may differ."""
    declared = program.ranges.get(one.level or "")
    if declared is None or declared.lower is None or declared.upper is None:
        return [None]
    return list(declared.values({}, None))


def _count_of(range: IndexRange, level: int | None, program: Program) -> int | None:
    """How many values an index takes at a level; None where there is no such level."""
    if range.level is not None and level not in _levels_of_range(range, program):
        return None
    binding = {} if range.level is None or level is None else {range.level: level}
    try:
        return None if range.lower is None or range.upper is None else len(range.values(binding, None))
    except (OutOfRange, KeyError):
        return None


# Two networks


def contrast_networks(one: nn.Module, two: nn.Module, pairs: Pairs) -> list[str]:
    """Modules of the same name, or mapped to each other, that differ; those of one name together."""
    modules, others = _modules_of(one), _modules_of(two)
    names = {n.rpartition(".")[0]: other.rpartition(".")[0] for n, other in [*pairs.names.items(), *pairs.misfits]}
    found: dict[tuple[str, str], list[str]] = {}
    for name, other in names.items():
        if name in modules and other in others:
            for text in _contrast_modules(modules[name], others[other]):
                found.setdefault((attribute_of(name), text), []).append(name)
    return [f"`{same[0] if len(same) == 1 else head}`: {text}" for (head, text), same in sorted(found.items())]


def _modules_of(network: nn.Module) -> dict[str, nn.Module]:
    return dict(cast("Iterator[tuple[str, nn.Module]]", network.named_modules()))  # pyright: ignore[reportUnknownMemberType]


def _contrast_modules(one: nn.Module, two: nn.Module) -> Iterator[str]:
    if type(one) is not type(two):
        yield f"{type(one).__name__} here, {type(two).__name__} there"
        return
    for kind, settings in _SETTINGS.items():
        if isinstance(one, kind):
            for attribute, text in settings:
                here, there = (_setting_text(getattr(module, attribute)) for module in (one, two))
                if here != there:
                    yield f"{text} {here} here, {there} there"


def _setting_text(value: object) -> str:
    match value:
        case Tensor():
            return "yes"
        case None:
            return "none"
        case tuple():
            return "×".join(map(str, cast("tuple[int, ...]", value)))
        case _:
            return str(value)


def alone(pairs: Pairs, matters: Sequence[str]) -> Iterator[str]:
    """What only one side has; `matters` are the names on which the outputs depend."""
    paired = {module_of(name) for name in pairs.names} | {module_of(name) for name in pairs.names.values()}
    mine, theirs = _keys_of(pairs.first, paired), _keys_of(pairs.second, paired)
    needed = {attribute_of(name) for name in matters}
    for head in (head for head in dict.fromkeys([*mine, *theirs]) if head in needed):
        here, there = mine.get(head, []), theirs.get(head, [])
        if here and there and here[0].count("_") != there[0].count("_"):
            yield f"`{head}` is shared in another way: {_some_names(here)} here, {_some_names(there)} there"
            continue
        for names, side in ((here, "here"), (there, "there")):
            if names:
                yield f"{_some_names(names)} {'is' if len(names) == 1 else 'are'} {side} alone"


def _keys_of(names: Sequence[str], paired: Collection[str]) -> dict[str, list[str]]:
    """The modules of some weights, by attribute, without those of which the other side has a part."""
    found: dict[str, list[str]] = {}
    for name in names:
        module = module_of(name)
        known = found.setdefault(attribute_of(name), [])
        if module not in paired and module not in known and not is_statistic(name):
            known.append(module)
    return {head: modules for head, modules in found.items() if modules}


def _some_names(names: Sequence[str]) -> str:
    """`B.1_1`, `B.1_2` and 6 more."""
    shown = ", ".join(f"`{name}`" for name in names[:2])
    return shown if len(names) <= 2 else f"{shown} and {len(names) - 2} more"


def suggest_map(pairs: Pairs, weights: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> Iterator[str]:
    """A `--map` to try: weights of the same shapes that only one side has, under different names."""
    mine, theirs = _shapes_of(pairs.first, weights), _shapes_of(pairs.second, others)
    like = {head: next((other for other, found in theirs.items() if found == mine[head]), None) for head in mine}
    maps = [f"--map {head}={other}" for head, other in like.items() if other is not None and other not in mine]
    if maps:
        yield f"if one is called otherwise there, say so: `{' '.join(maps)}`"


def _shapes_of(names: Sequence[str], weights: Mapping[str, Tensor]) -> dict[str, dict[str, tuple[int, ...]]]:
    """For each attribute, the shapes of its tensors, by the rest of their names."""
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    for name in names:
        found.setdefault(attribute_of(name), {})[name.removeprefix(attribute_of(name))] = tuple(weights[name].shape)
    return found
