"""What pictures show: a block, a chain of parts, for each equation and choice of its indices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from cldfc.network.expand import Instance
from cldfc.network.graph import Graph
from cldfc.network.positions import Binding, Key, Positions
from cldfc.network.program import Program, Read, Reads, Step
from cldfc.ops import (
    Add,
    Channels,
    Concat,
    Divide,
    Extreme,
    ExtremeTotal,
    InnerProduct,
    Kernel,
    Multiply,
    Operator,
    ScalarValue,
    SplitChannels,
    Total,
    Unpool,
    VectorValue,
    WithNumber,
    WithScalar,
    Zero,
)
from cldfc.ops.convolution import stride_text
from cldfc.show.labels import SIGNS, channels_text, configuration, number_word, word
from cldfc.syntax import tree

_MERGING = (Add, Total, Multiply, Divide, Concat, InnerProduct, Extreme, ExtremeTotal, Unpool)


@dataclass(frozen=True, slots=True)
class BoxLabel:
    """A name with its tag, followed by a mark, such as `↓2` for a stride of 2."""

    name: str
    tag: str = ""
    mark: str = ""
    is_adjoint: bool = False

    @property
    def plain(self) -> str:
        """`A1`, `Aᵀ1`, or `terms@1` for a longer name, without the mark."""
        return f"{self.name}{'ᵀ' * self.is_adjoint}{'@' * (len(self.name) > 1 and bool(self.tag))}{self.tag}"

    @property
    def raised(self) -> str:
        """The superscript: the tag, followed by `T` for an adjoint, `2,T`."""
        return ",".join([self.tag] * bool(self.tag) + ["T"] * self.is_adjoint)


def _tag_text(positions: Positions, bindings: Sequence[Binding]) -> str:
    """A tag as text, `1,i`: an index is a number if all bindings agree, otherwise as in the spec."""
    texts: list[str] = []
    for position in positions:
        numbers = {position.value(binding) for binding in bindings}
        texts.append(str(numbers.pop()) if len(numbers) == 1 else str(position))
    return ",".join(texts)


def _kernel_label(operator: Operator, name: str, tag: str) -> BoxLabel:
    if not isinstance(operator, Kernel):
        return BoxLabel(name, tag, "" if isinstance(operator, ScalarValue | VectorValue) else "·")
    arrow = "↑" if operator.is_transposed != operator.is_adjoint else "↓"
    return BoxLabel(
        name, tag, f"{arrow}{stride_text(operator.stride)}" if operator.stride != 1 else "", operator.is_adjoint
    )


def _merge_label(operator: Operator) -> BoxLabel:
    match operator:
        case Multiply():
            return BoxLabel("×")
        case InnerProduct():
            return BoxLabel(SIGNS[type(operator)])
        case Divide():
            return BoxLabel("/")
        case Extreme(which=which) | ExtremeTotal(which=which):
            return BoxLabel(which)
        case Concat():
            return BoxLabel("∥")
        case Unpool():
            return BoxLabel(operator_word(operator))
        case _:
            return BoxLabel("+")


def _operator_label(operators: Sequence[Operator], names: Mapping[tuple[str, ...], str]) -> BoxLabel:
    """A chain of operators in the order of application, parts of it abbreviated by the names in the spec."""
    words = [operator_word(operator) for operator in operators]
    for chain, name in names.items():
        for at in range(len(words) - len(chain), -1, -1):
            if tuple(words[at : at + len(chain)]) == chain:
                words[at : at + len(chain)] = [name]
    return BoxLabel(" ".join(words))


def operator_word(operator: Operator) -> str:
    """`relu`, `maxpool[3, stride=2]`, `0.5·`."""
    if isinstance(operator, Channels):
        return channels_text(operator)
    if isinstance(operator, WithNumber):
        return number_word(operator, "·")
    return word(operator) + configuration(operator)


def short_names(spec: tree.Tree) -> dict[tuple[str, ...], str]:
    """Chains of operators that the spec has a name for, longest first: `(bn, relu)` is σ."""
    found: dict[tuple[str, ...], str] = {}
    for statement in spec.statements:
        if isinstance(statement, tree.Let) and not statement.symbol.tag and len(statement.values) == 1:
            chain = _chain_of(statement.values[0])
            if len(chain) > 1:
                found.setdefault(chain, statement.symbol.name)
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


def _chain_of(expression: tree.Expression | None) -> tuple[str, ...]:
    """The names that an expression composes, in the order of application; empty for any other expression."""
    match expression:
        case tree.Compose(outer, inner):
            before, after = _chain_of(inner), _chain_of(outer)
            return before + after if before and after else ()
        case tree.Symbol(name=name, tag=(), settings=()):
            return (name,)
        case _:
            return ()


Kind = Literal["kernel", "operator", "merge"]
_MOST_STEPS = 3
"""Steps of an equation on one level that are drawn individually; more are folded into one block."""


@dataclass(frozen=True, slots=True)
class Operand:
    """The source of an operand: an earlier part of the block, or values, several if steps are folded."""

    part: int | None
    values: tuple[Key, ...] = ()
    sign: Literal[1, -1] = 1


@dataclass(frozen=True, slots=True)
class BoxPart:
    """One box of a picture: a kernel, a chain of other operators, or the point where operands are merged."""

    kind: Kind
    label: BoxLabel
    operands: tuple[Operand, ...]
    steps: tuple[int, ...]
    """The steps of the equation that it stands for."""
    parameters: tuple[Key, ...] = ()
    """Its kernels or scalars in the spec: one for each folded step, unless the steps share it."""


@dataclass(frozen=True, slots=True)
class Block:
    """A value, or several folded steps of one, with the parts that compute it; `result` is the source of the value."""

    value: Key
    label: BoxLabel
    steps: str
    """`i = 1:6` if steps are folded; otherwise empty."""
    level_at: int | None
    """The position of the level in its tag, if it has one."""
    instances: tuple[int, ...]
    parts: tuple[BoxPart, ...]
    result: Operand | None
    """None if the value is zero."""

    @property
    def level(self) -> int | None:
        return None if self.level_at is None else self.value[1][self.level_at]

    @property
    def family(self) -> tuple[str, tuple[int, ...]]:
        """Its name, and its indices with 0 for the level: the same for corresponding blocks of all levels."""
        name, indices = self.value
        return name, tuple(0 if at == self.level_at else index for at, index in enumerate(indices))

    @property
    def is_folded(self) -> bool:
        return len(self.instances) > 1

    @property
    def reads_itself(self) -> bool:
        return self.value in self.values_read()

    def values_read(self) -> Iterator[Key]:
        for operand in [*(o for part in self.parts for o in part.operands), *([self.result] if self.result else [])]:
            yield from operand.values


def blocks_of(graph: Graph, is_full: bool = False) -> list[Block]:
    """The blocks of a graph, operands first; `is_full` draws every step."""
    places = _level_places(graph.program)
    runs = _fold(graph, places, is_full)
    shown = {graph.instances[n].value: graph.instances[run[0]].value for run in runs for n in run}
    names = short_names(graph.program.spec)
    return [_make_block(graph, run, shown, names, places) for run in runs]


def _fold(graph: Graph, places: Mapping[tuple[str, int], int], is_full: bool) -> list[list[int]]:
    """Groups of instances, each drawn as one block.

    If an equation has many steps on one level, its steps are folded on all levels, so that levels look alike.
    """
    together: dict[tuple[int, int | None], list[int]] = {}
    for number, instance in enumerate(graph.instances):
        together.setdefault((id(instance.template), _level_by_place(places, instance.value)), []).append(number)
    long = {id(graph.instances[run[0]].template.statement) for run in together.values() if len(run) > _MOST_STEPS}
    runs: list[list[int]] = []
    for run in together.values():
        template = graph.instances[run[0]].template
        runs += [run] if id(template.statement) in long and not is_full else [[number] for number in run]
    return sorted(runs)


def _level_places(program: Program) -> dict[tuple[str, int], int]:
    """The position of the level in a family's tag, by name and number of indices; only for families with levels."""
    index, places = index_of_levels(program), dict[tuple[str, int], int]()
    for template in program.templates:
        bases = [position.base for position in template.left]
        if index and index in bases:
            places.setdefault((template.family, len(bases)), bases.index(index))
    for template in program.templates:
        family = template.family, len(template.left)
        if index and template.left and not isinstance(template.left[template.level].base, str):
            places.setdefault(family, template.level)
    return places


def _level_by_place(places: Mapping[tuple[str, int], int], value: Key) -> int | None:
    place = places.get((value[0], len(value[1])))
    return None if place is None else value[1][place]


def index_of_levels(program: Program) -> str:
    """The name of the index that counts levels, `ℓ`; empty if there is none."""
    return next((range.name for range in program.ranges.values() if range.kind == "levels"), "")


def _make_block(
    graph: Graph,
    run: list[int],
    shown: dict[Key, Key],
    names: dict[tuple[str, ...], str],
    places: Mapping[tuple[str, int], int],
) -> Block:
    instances = [graph.instances[number] for number in run]
    first, template = instances[0], instances[0].template
    maker = _Maker(instances, shown, names)
    parts = maker.parts()
    label = BoxLabel(first.value[0], _tag_text(template.left, [i.binding for i in instances]))
    if isinstance(template.result, int):
        is_zero = isinstance(template.steps[template.result].operator, Zero)
        result = None if is_zero else Operand(maker.part_of[template.result])
    else:
        assert template.result is not None
        result = Operand(None, maker.values([template.result] * len(instances)))
    at = places.get((first.value[0], len(first.value[1])))
    return Block(first.value, label, _steps_text(instances), at, tuple(run), parts, result)


def sizes_of(graph: Graph, blocks: Sequence[Block]) -> list[str]:
    """The sizes of the values of a level; without levels, of all values but the output.

    Values of one resolution have one entry, `12…24×32×32`.
    """
    has_levels = any(block.level is not None for block in blocks)
    shapes = [graph.shape(block.value) for block in (blocks if has_levels else blocks[:-1])]
    shapes = [shape for shape in shapes if shape]
    sizes: dict[tuple[int, ...], set[int]] = {}
    for channels, *resolution in shapes:
        sizes.setdefault(tuple(resolution), set()).add(channels)
    ends = {resolution: dict.fromkeys((min(found), max(found))) for resolution, found in sizes.items()}
    return ["×".join(["…".join(map(str, ends[at])), *map(str, at)]) for at in ends]


def _steps_text(instances: Sequence[Instance]) -> str:
    """`i = 1:6`, for each index that takes several values."""
    found = {name: sorted({i.binding[name] for i in instances}) for name in instances[0].binding}
    return ", ".join(f"{name} = {at[0]}:{at[-1]}{_step_text(at)}" for name, at in found.items() if len(at) > 1)


def _step_text(values: Sequence[int]) -> str:
    """` by 2` for values that are 2 apart; empty if they are 1 apart, or unevenly spaced."""
    steps = {other - one for one, other in pairwise(values)}
    return f" by {max(steps)}" if len(steps) == 1 and max(steps) > 1 else ""


class _Maker:
    def __init__(self, instances: list[Instance], shown: dict[Key, Key], names: dict[tuple[str, ...], str]) -> None:
        self.instances = instances
        self.shown = shown
        self.names = names
        self.made: list[BoxPart] = []
        self.part_of: dict[int, int] = {}

    def parts(self) -> tuple[BoxPart, ...]:
        """All parts, operands first; a chain of operators other than kernels and merges is one part."""
        for place, step in enumerate(self.instances[0].template.steps):
            if isinstance(step.operator, Zero):
                continue
            kind, operands = _part_kind(step), tuple(self.operands(step))
            before = operands[0].part if operands else None
            if kind == "operator" and before is not None and self.made[before].kind == "operator":
                whole = self.made[before]
                self.made[before] = replace(whole, steps=(*whole.steps, place))
                self.part_of[place] = before
            else:
                self.part_of[place] = len(self.made)
                self.made.append(BoxPart(kind, BoxLabel(""), operands, (place,), tuple(self.parameters(step))))
        return tuple(replace(part, label=self.label(part)) for part in self.made)

    def label(self, part: BoxPart) -> BoxLabel:
        steps = [self.instances[0].template.steps[place] for place in part.steps]
        if part.kind == "operator":
            return _operator_label([self.operator(step) for step in steps], self.names)
        if part.kind == "merge":
            return _merge_label(steps[0].operator)
        if steps[0].use is None or not self.parameters(steps[0]):
            return _operator_label([self.operator(steps[0])], {})
        tag = _tag_text(steps[0].use.positions, [i.binding for i in self.instances])
        return _kernel_label(self.operator(steps[0]), steps[0].use.name, tag)

    def operator(self, step: Step) -> Operator:
        """The operator of a step; if steps are folded, with the numbers of the first."""
        binding = self.instances[0].binding
        if isinstance(step.operator, SplitChannels):
            return replace(step.operator, place=int(step.channels[0].value(binding)))
        if step.channels:
            first, last = (int(formula.value(binding)) for formula in step.channels)
            return Channels(first, last)
        if isinstance(step.operator, WithNumber) and step.factor is not None:
            return replace(step.operator, factor=float(step.factor.value(binding)))
        return replace(step.operator, **{name: formula.value(binding) for name, formula in step.settings})

    def operands(self, step: Step) -> Iterator[Operand]:
        """The sources of a step's operands, without zeros."""
        signs = step.operator.signs if isinstance(step.operator, Add) else (1,) * len(step.operands)
        template = self.instances[0].template
        for place, operand in enumerate(step.operands):
            sign = signs[place] if place < len(signs) else 1
            if not isinstance(operand, int):
                yield from self.read(operand, sign)
            elif not isinstance(template.steps[operand].operator, Zero):
                yield Operand(self.part_of[operand], (), sign)

    def read(self, operand: Read | Reads, sign: Literal[1, -1]) -> Iterator[Operand]:
        """One operand for each value that is read; a single one for all of them if steps are folded."""
        values = self.values([operand] * len(self.instances))
        if len(self.instances) > 1:
            yield Operand(None, values, sign)
        else:
            yield from (Operand(None, (value,), sign) for value in values)

    def values(self, reads: Iterable[Read | Reads]) -> tuple[Key, ...]:
        """The distinct values read in any of the folded steps, as they are drawn."""
        found: dict[Key, None] = {}
        for read, instance in zip(reads, self.instances, strict=True):
            found |= dict.fromkeys(self.shown.get(key, key) for key in read.keys(instance.binding))
        return tuple(found)

    def parameters(self, step: Step) -> list[Key]:
        if step.use is None or not isinstance(step.operator, Kernel | WithScalar):
            return []
        keys = ((step.use.name, tuple(p.value(i.binding) for p in step.use.positions)) for i in self.instances)
        return list(dict.fromkeys(keys))


def _part_kind(step: Step) -> Kind:
    if step.operator.is_layer or isinstance(step.operator, WithScalar):
        return "kernel"
    return "merge" if isinstance(step.operator, _MERGING) else "operator"
