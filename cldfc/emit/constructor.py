"""`__init__`: the parameters of a generated class, in the loops of the network."""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from cldfc.emit import python
from cldfc.emit.loops import ForLoop, Item, Route, Turn, into
from cldfc.emit.naming import Naming, Ownership, ParameterLine
from cldfc.emit.python import loop_name
from cldfc.emit.sizes import Sample
from cldfc.emit.solvers import has_solvers, solver_lines
from cldfc.network.graph import Graph
from cldfc.network.positions import Key, Position
from cldfc.ops import (
    BatchNorm,
    Concat,
    ConvolutionAdjoint,
    DropPath,
    Kernel,
    Operator,
    SharedBatchNorm,
    TrainedSlope,
    TrainedThreshold,
    Unpool,
    WithScalar,
)
from cldfc.ops.solver import whole_size

_DEFAULTS = {
    "stride": "int = 1",
    "padding": "int | tuple[{}] | None = None",
    "padding_mode": 'str = "zeros"',
    "groups": "int = 1",
    "dilation": "int = 1",
    "bias": "bool = False",
}


_AXES = {1: ("size",), 2: ("rows", "columns"), 3: ("planes", "rows", "columns")}
"""The names of one number for each axis in generated code."""


def conv_lines(uses: set[str], dimension: int = 2) -> list[str]:
    """`conv`: He initialisation with the fan of the output; the bias starts at 0.

    torch's own fan_out does not divide by the groups. `uses` may also have `width`, for kernels that are no squares,
    and `strides`, for a stride of each axis.
    """
    start = ['nn.init.kaiming_normal_(kernel.weight, mode="fan_out", nonlinearity="relu")']
    if "groups" in uses:
        area = f"size**{dimension}" if dimension > 1 else "size"
        area = "kernel.weight[0, 0].numel()" if "width" in uses else area
        start = [f"fan = cout // groups * {area}", "nn.init.normal_(kernel.weight, std=(2 / fan) ** 0.5)"]
    about = "zero padding (size - 1) / 2" + " * dilation" * ("dilation" in uses)
    about = f"padding (size - 1) / 2{' * dilation' * ('dilation' in uses)} unless given" if "padding" in uses else about
    same, lines = "dilation * ({} - 1) // 2" if "dilation" in uses else "{} // 2", list[str]()
    padding = same.format("size")
    if "width" in uses:
        axes = _AXES[dimension]
        lines = [f"{', '.join(axes)} = ({', '.join(['size'] * dimension)}) if isinstance(size, int) else size"]
        padding = f"({', '.join(map(same.format, axes))})"
    if "padding" in uses:
        lines = ["if padding is None:", *python.indent([*lines, f"padding = {padding}"])]
        padding = "padding"
    rest = ["padding_mode=padding_mode"] if "padding_mode" in uses else []
    return [
        *_head("conv", ["stride", *_extras(uses)], f"nn.Conv{dimension}d", dimension, uses=uses),
        f'    """A kernel{"" if "bias" in uses else " without bias"}; {about}; He initialisation."""',
        *python.indent(lines),
        *_kernel(f"nn.Conv{dimension}d", uses, [f"padding={padding}", *rest]),
        *(f"    {line}" for line in start),
        *_tail(uses),
    ]


def prolong_lines(uses: set[str], dimension: int = 2) -> list[str]:
    """`prolong`: He initialisation with the cin / groups * (size / stride)^d terms that a result has on average.

    torch's own for this layout of the weight, fan_out, is cin * size^d: it knows neither stride nor groups.
    """
    reach = "dilation * (size - 1) + 1" if "dilation" in uses else "size"
    fan = "2 * groups / cin" if "groups" in uses else "2 / cin"
    std = f"stride / size * ({fan}) ** 0.5"
    if dimension != 2:
        share = "(stride / size) ** 3" if dimension == 3 else "stride / size"
        std = f"({share} * {fan}) ** 0.5"
    what = "A transposed kernel" + " without bias" * ("bias" not in uses)
    return [
        *_head(
            "prolong",
            _extras(uses - {"padding", "padding_mode"}),
            f"nn.ConvTranspose{dimension}d",
            dimension,
            "stride: int",
        ),
        f'    """{what}: `stride` times as large; He initialisation."""',
        f"    excess = {reach} - stride",
        "    padding = max(0, (excess + 1) // 2)",
        *_kernel(f"nn.ConvTranspose{dimension}d", uses, ["padding", "2 * padding - excess"]),
        f"    nn.init.normal_(kernel.weight, std={std})",
        *_tail(uses),
    ]


def _extras(uses: set[str]) -> list[str]:
    """What a network's kernels have beside sizes and stride, in the order of their parameters."""
    return [name for name in ("padding", "padding_mode", "groups", "dilation", "bias") if name in uses]


def _head(
    name: str, optional: list[str], result: str, dimension: int, *required: str, uses: Collection[str] = ()
) -> list[str]:
    """`def conv(…) -> nn.Conv2d:`."""
    each = ", ".join(["int"] * dimension)
    defaults = _DEFAULTS | ({"stride": f"int | tuple[{each}] = 1"} if "strides" in uses else {})
    if dimension == 1:
        defaults["padding"] = "int | None = None"
    size = f"size: int | tuple[{each}]" if "width" in uses else "size: int"
    parameters = ["cin: int", "cout: int", size, *required, *(f"{n}: {defaults[n].format(each)}" for n in optional)]
    return python.call(f"def {name}", parameters, f" -> {result}:", 0)


def _kernel(module: str, uses: set[str], padding: list[str]) -> list[str]:
    """`kernel = nn.Conv2d(…)`."""
    given = [f"{name}={name}" for name in ("dilation", "groups") if name in uses]
    bias = "bias=bias" if "bias" in uses else "bias=False"
    arguments = ["cin", "cout", "size", "stride", *padding, *given, bias]
    return python.indent(python.call(f"kernel = {module}", arguments, "", 1))


def _tail(uses: set[str]) -> list[str]:
    """The end of both functions: a bias of zeros, and the return."""
    zeros = ["    if kernel.bias is not None:", "        nn.init.zeros_(kernel.bias)"]
    return [*(zeros if "bias" in uses else []), "    return kernel", "", ""]


def _start_lines(operator: Operator, module: str, sizes: Mapping[str, str], depth: int) -> list[str]:
    """The lines that initialise a kernel other than by He's rule."""
    if isinstance(operator, BatchNorm) and operator.fixed and operator.affine:
        return [f"freeze({module})"]
    if not isinstance(operator, Kernel):
        return []
    lines = [f"shared({module})"] * ("shared" in operator.rules)
    lines += operator.start.lines(module, sizes.get("groups", "1"))
    return [part for line in lines for part in python.breakable(line, depth)]


def _stencil_lines(dimension: int) -> list[str]:
    """`stencil`, for kernels with given numbers."""
    nested = {1: "row", 2: "rows", 3: "planes"}[dimension]
    kind = f"{'list[' * dimension}float{']' * dimension}"
    parameters = ["kernel: nn.Module", f"{nested}: {kind}", "fixed: bool = False"]
    return [
        *python.call("def stencil", parameters, " -> None:", 0),
        '    """Give each channel of a kernel these numbers; a fixed one is a buffer, saved but not trained."""',
        f"    numbers = torch.tensor({nested}, dtype=kernel.weight.dtype)",
        "    weight = numbers.expand_as(kernel.weight).clone()",
        "    if fixed:",
        "        del kernel.weight",
        '        kernel.register_buffer("weight", weight)',
        "    else:",
        "        kernel.weight = nn.Parameter(weight)",
        "",
        "",
    ]


def rule_lines(rules: Collection[str], has_groups: bool, dimension: int = 2) -> list[str]:
    """What makes weights obey the rules of kernels: `shared` when they are made, the others where they are used."""
    tensor, lines = "torch.Tensor", list[str]()
    axes = ", ".join(str(axis) for axis in range(2, 2 + dimension))
    if "shared" in rules:
        lines += [
            "def shared(kernel: nn.Module) -> None:",
            '    """Leave one kernel for all channels."""',
            "    kernel.weight = nn.Parameter(kernel.weight[:1].detach().clone())",
            "",
            "",
        ]
    if "zero_sum" in rules:
        lines += [
            f"def zero_sum(weight: {tensor}) -> {tensor}:",
            '    """The nearest kernel that gives 0 for a map whose channels are constant."""',
            f"    return weight - weight.mean(({axes}{',' * (dimension == 1)}), keepdim=True)",
            "",
            "",
        ]
    if "symmetric" in rules:
        turned = "weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)" if has_groups else ""
        lines += [
            f"def symmetric(weight: {tensor}{', groups: int = 1' * has_groups}) -> {tensor}:",
            '    """The nearest kernel that is its own adjoint: the convolutions with it are symmetric."""',
            f"    adjoint = {turned or 'weight.transpose(0, 1)'}.flip({axes})",
            "    return (weight + adjoint) / 2",
            "",
            "",
        ]
    if "unit_norm" in rules:
        lines += [
            f"def unit_norm(weight: {tensor}) -> {tensor}:",
            '    """The kernel with each of its filters divided by its norm."""',
            f"    return weight / torch.linalg.vector_norm(weight, dim=(1, {axes}), keepdim=True)",
            "",
            "",
        ]
    return lines


def unpad_lines(dimension: int = 2) -> list[str]:
    """`unpad`, the adjoint of `F.pad` by a mode other than zeros."""
    widths = _AXES[dimension] if dimension > 1 else ("width",)
    parameters = ["x: torch.Tensor", *(f"{name}: int" for name in widths), "mode: str"]
    turns = ", ".join(f"({axis}, {name})" for axis, name in enumerate(widths, 2))
    body = [
        "size = x.shape[axis] - 2 * width",
        "places = torch.arange(size, dtype=torch.float64, device=x.device)",
        "places = F.pad(places[None, None], (width, width), mode=mode)[0, 0].long()",
        "shape = [*x.shape[:axis], size, *x.shape[axis + 1 :]]",
        "x = x.new_zeros(shape).index_add(axis, places, x)",
    ]
    lines = [f"for axis, width in ({turns}):", *python.indent(body), "return x"]
    if dimension == 1:
        lines = [
            body[0].replace("axis", "2"),
            *body[1:3],
            "return x.new_zeros([*x.shape[:2], size]).index_add(2, places, x)",
        ]
    return [
        *python.call("def unpad", parameters, " -> torch.Tensor:", 0),
        '    """The adjoint of padding by a mode: a number of the margin is added where it was taken from."""',
        *python.indent(lines),
        "",
        "",
    ]


def shared_norm_lines(dimension: int = 2) -> list[str]:
    """`shared_norm`, for `bn@ℓ`. Statistics shared by several uses would fit none of them."""
    return [
        *python.call(
            "def shared_norm",
            ["x: torch.Tensor", f"shared: nn.BatchNorm{dimension}d", f"use: nn.BatchNorm{dimension}d"],
            " -> torch.Tensor:",
            0,
        ),
        '    """Batch normalisation with a shared scale and shift, and the statistics of one use."""',
        "    if use.training:",
        "        use.num_batches_tracked.add_(1)",
        "    statistics = use.running_mean, use.running_var",
        "    affine = shared.weight, shared.bias",
        "    return F.batch_norm(x, *statistics, *affine, use.training, use.momentum, use.eps)",
        "",
        "",
    ]


def frozen_norm_lines(dimension: int = 2) -> list[str]:
    """`freeze` and `frozen_norm`, for `bn[fixed]`."""
    norm = f"nn.BatchNorm{dimension}d"
    return [
        f"def freeze(norm: {norm}) -> None:",
        '    """Make scale and shift of a normalisation buffers: saved, but not trained."""',
        '    for name in ("weight", "bias"):',
        "        value = getattr(norm, name).detach()",
        "        delattr(norm, name)",
        "        norm.register_buffer(name, value)",
        "",
        "",
        *python.call(
            "def frozen_norm",
            ["x: torch.Tensor", f"norm: {norm}", f"use: {norm} | None = None"],
            " -> torch.Tensor:",
            0,
        ),
        '    """Batch normalisation by running statistics, in training too; several uses have their own."""',
        "    use = use or norm",
        "    statistics = use.running_mean, use.running_var",
        "    return F.batch_norm(x, *statistics, norm.weight, norm.bias, eps=norm.eps)",
        "",
        "",
    ]


def unpool_lines(dimension: int = 2) -> list[str]:
    """`unpool`: torch's own takes the places, which pooling the same map again gives."""
    return [
        *python.call("def unpool", ["x: torch.Tensor", "y: torch.Tensor", "size: int"], " -> torch.Tensor:", 0),
        '    """Each number of x where the largest of its window stands in y, zeros elsewhere."""',
        f"    _, places = F.max_pool{dimension}d(y, size, return_indices=True)",
        f"    return F.max_unpool{dimension}d(x, places, size, output_size=y.shape[2:])",
        "",
        "",
    ]


def drop_path_lines() -> list[str]:
    """`drop_path`, for `droppath`: torch's own dropout, of one number for each image."""
    parameters = ["x: torch.Tensor", "rate: float", "training: bool"]
    return [
        *python.call("def drop_path", parameters, " -> torch.Tensor:", 0),
        '    """In training each image is 0 with probability `rate`, else divided by 1 - rate."""',
        "    if not training or rate == 0:",
        "        return x",
        "    return x * F.dropout(x.new_ones(x.shape[:1] + (1,) * (x.dim() - 1)), rate, training)",
        "",
        "",
    ]


def _join_lines() -> list[str]:
    """`join`, for a `concat` of maps and of what is spread over them."""
    return [
        "def join(*members: torch.Tensor) -> torch.Tensor:",
        '    """The channels of all members one after another; those of a vector are the same in all pixels."""',
        "    size = torch.broadcast_shapes(*(member.shape[2:] for member in members))",
        "    return torch.cat([member.expand(-1, -1, *size) for member in members], 1)",
        "",
        "",
    ]


def threshold_lines() -> list[str]:
    """`soft_threshold`, with a threshold that is trained; torch's own takes a number."""
    return [
        *python.call("def soft_threshold", ["x: torch.Tensor", "threshold: torch.Tensor"], " -> torch.Tensor:", 0),
        '    """sign(x) · max(0, |x| - threshold)."""',
        "    return torch.sign(x) * F.relu(torch.abs(x) - threshold)",
        "",
        "",
    ]


def slope_lines() -> list[str]:
    """`leaky_relu`, with a slope that is trained; torch's own takes a number."""
    return [
        *python.call("def leaky_relu", ["x: torch.Tensor", "slope: torch.Tensor"], " -> torch.Tensor:", 0),
        '    """max(0, x) + slope · min(0, x)."""',
        "    return torch.where(x > 0, x, slope * x)",
        "",
        "",
    ]


_ENOUGH_FOR_A_LOOP = 3
_BETWEEN = re.compile(r", (?![^()]*\))")
"""Between the arguments of a constructor, not inside `(1, 7)`."""


@dataclass(frozen=True)
class Constructor:
    """Writes `__init__`."""

    names: Naming
    ownership: Ownership
    items: Sequence[Item]

    def lines(self) -> list[str]:
        """Tables and dictionaries first, then the parameters in the loops of the network."""
        parameters = self.parameter_lines()
        sizes = self.names.sizes
        tables = [line for n, e in sizes.tables.items() for line in python.table(sizes.assignment(n), e, 2)]
        starts = [f"{name} = {value}" for name, value in sizes.starts.items()]
        report = ["self.fixed_points: dict[str, tuple[int, float]] = {}"] if has_solvers(self.names.graph) else []
        return ["super().__init__()", *report, *tables, *starts, *parameters]

    def parameter_lines(self) -> list[str]:
        """The lines that make the parameters."""
        several = [name for name in self.names.members if name not in self.names.single]
        lines = [f"self.{self.names.attribute(name)} = nn.{self.container(name)}()" for name in several]
        lines += self.declare(self.items, (), 2)
        alone: dict[Hashable, list[Key]] = {}
        for key in self.ownership.alone:
            alone.setdefault(self.made_alike(key), []).append(key)
        return [*lines, *(line for keys in alone.values() for line in self.make_alone(keys[0][0], keys))]

    def made_alike(self, key: Key) -> Hashable:
        """What all parameters that one line makes have in common."""
        has_bias = self.names.graph.parameters[key].sizes.get("bias", 0)
        return key[0], len(key[1]), self.ownership.made_for[key], has_bias

    @cached_property
    def declared_at(self) -> Mapping[tuple[_Loops, int], list[ParameterLine]]:
        """What is made in each container of the schedule, before the item of an index."""
        found: dict[tuple[_Loops, int], list[ParameterLine]] = {}
        for declaration in self.ownership.declarations:
            found.setdefault((_loops_of(declaration.route), declaration.index), []).append(declaration)
        return found

    def container(self, name: str) -> str:
        """`ModuleDict`, or for scalars `ParameterDict`."""
        stored = self.names.graph.parameters[self.names.members[name][0]]
        return "ParameterDict" if isinstance(stored.operator, WithScalar) else "ModuleDict"

    def declare(self, items: Sequence[Item], route: Route, depth: int) -> list[str]:
        """The parameters that are made in one container of the schedule, and inside it."""
        lines: list[str] = []
        loops = _loops_of(route)
        for index, item in enumerate(items):
            for declaration in self.declared_at.get((loops, index), ()):
                lines += self.make(declaration, depth)
            if isinstance(item, ForLoop):
                lines += self.names.loop(
                    item,
                    self.declare(item.body, into(route, item, False), depth + 1),
                    self.declare(item.rest, into(route, item, True), depth + 2),
                )
        return lines

    def make(self, declaration: ParameterLine, depth: int) -> list[str]:
        """The line that makes the parameters of one declaration."""
        place = declaration.place
        sizes = self.names.size_texts(place, declaration.route)
        module = self.names.module(place.name, place.positions)
        lines = self.assign(module, place.operator.module(sizes), depth)
        lines += _start_lines(place.operator, module, sizes, depth)
        return [*lines, *self.names.sizes.take_updates()]

    def make_alone(self, name: str, keys: list[Key]) -> list[str]:
        """Parameters that no place of the network makes in its loops: one by one, or in loops of their own."""
        indices = self.indices_of(name, len(keys[0][1]))
        axes = _ranges_of([key[1] for key in keys])
        if axes is None or len(axes) != len(indices) or len(keys) < _ENOUGH_FOR_A_LOOP:
            return [line for key in keys for line in self.make_over(name, [key], ())]
        lines = self.make_over(name, sorted(keys), indices)
        for place in reversed(range(len(axes))):
            turns = [dict(zip(indices, prefix, strict=False)) for prefix in axes[place]]
            first = self.names.sizes.fit(f"{name}_first", self.bounds(turns, [r.start for r in axes[place].values()]))
            stop = self.stop(name, self.bounds(turns, [r.stop for r in axes[place].values()]))
            lines = python.loop(loop_name(indices[place]), python.count(first, stop), lines)
        return lines

    def indices_of(self, name: str, arity: int) -> tuple[str, ...]:
        """The index names of a kernel or scalar, after `tie`; nothing for parameters that are not declared."""
        program = self.names.graph.program
        declaration, rule = program.parameters.get(name), program.ties.get(name)
        indices = () if declaration is None else declaration.indices
        if rule is not None and len(indices) != arity:
            return tuple(indices[place] for place in rule.kept)
        return indices

    def bounds(self, turns: list[Turn], values: list[int]) -> list[Sample]:
        """The ends of a loop at each turn of the loops around it."""
        return list(zip(turns, values, strict=True))

    def stop(self, name: str, samples: list[Sample]) -> str:
        """Where a loop ends: a number, a constant, or one more than that."""
        sizes, before = self.names.sizes, [(turn, value - 1) for turn, value in samples]
        constant = sizes.fit_number(samples) or sizes.fit_constant(samples)
        return constant or f"{sizes.fit(f'{name}_last', before)} + 1"

    def make_over(self, name: str, keys: list[Key], loops: tuple[str, ...]) -> list[str]:
        """The line that makes parameters over loops of their own, or a single one."""
        positions = tuple(Position(index, 0) for index in loops) or tuple(Position(None, at) for at in keys[0][1])
        turns = [dict(zip(loops, key[1], strict=False)) for key in keys]
        sizes = self.names.texts_of_sizes(name, turns, keys, lambda _: None)
        operator = self.ownership.made_for[keys[0]]
        module, depth = self.names.module(name, positions), 2 + len(loops)
        lines = self.assign(module, operator.module(sizes), depth)
        lines += _start_lines(operator, module, sizes, depth)
        return [*lines, *self.names.sizes.take_updates()]

    def assign(self, target: str, constructor: str, depth: int) -> list[str]:
        """`target = constructor`, broken if it is too long."""
        function, arguments = constructor.removesuffix(")").split("(", 1)
        if not python.fits(f"{target} = {function}(", depth):
            return [f"{target} = (", python.INDENT + constructor, ")"]
        return python.call(f"{target} = {function}", _BETWEEN.split(arguments), "", depth)


def _ranges_of(tags: list[tuple[int, ...]]) -> list[dict[tuple[int, ...], range]] | None:
    """For each place of the tags, the range of its values by the values before it; None when one has gaps."""
    found: list[dict[tuple[int, ...], range]] = []
    if len({len(tag) for tag in tags}) > 1:
        return None
    for place in range(len(tags[0])):
        values: dict[tuple[int, ...], set[int]] = {}
        for tag in tags:
            values.setdefault(tag[:place], set()).add(tag[place])
        ranges = {prefix: range(min(some), max(some) + 1) for prefix, some in values.items()}
        if any(len(ranges[prefix]) != len(some) for prefix, some in values.items()):
            return None
        found.append(ranges)
    return found


def initialisers(graph: Graph) -> list[str]:
    """What a generated module defines beside its class: how kernels are made, with the parameters that are needed."""
    lines: list[str] = []
    dimension = graph.program.dimension
    written, computed = graph.as_written.operators, graph.operators
    kernels = [stored for stored in graph.parameters.values() if isinstance(stored.operator, Kernel)]
    for is_transposed, write in ((False, conv_lines), (True, prolong_lines)):
        mine = [stored for stored in kernels if stored.operator.is_transposed == is_transposed]
        sizes = [stored.sizes for stored in mine]
        plain = {"groups": 1, "dilation": 1, "bias": 0}
        uses = {name for s in sizes for name, default in plain.items() if s.get(name, default) != default}
        uses |= {"width" for s in sizes if "width" in s or "height" in s} | {"padding" for s in sizes if "padding" in s}
        uses |= {"padding_mode" for stored in mine if getattr(stored.operator, "mode", "zeros") != "zeros"}
        uses |= {"strides" for operator in written if isinstance(getattr(operator, "stride", 1), tuple)}
        lines += write(uses, dimension) if sizes else []
    used = [operator for operator in written if isinstance(operator, Kernel)]
    if any(operator.start.numbers for operator in used):
        lines += _stencil_lines(dimension)
    rules = {rule for operator in used for rule in operator.rules}
    has_groups = any(whole_size(stored.sizes, "groups") > 1 for stored in kernels)
    lines += rule_lines(rules, has_groups, dimension)
    if any(isinstance(operator, ConvolutionAdjoint) and operator.mode != "zeros" for operator in written):
        lines += unpad_lines(dimension)
    norms = [stored.operator for stored in graph.parameters.values() if isinstance(stored.operator, BatchNorm)]
    if any(isinstance(norm, SharedBatchNorm) and not norm.fixed for norm in norms):
        lines += shared_norm_lines(dimension)
    if any(norm.fixed for norm in norms):
        lines += frozen_norm_lines(dimension)
    if any(isinstance(operator, Unpool) for operator in computed):
        lines += unpool_lines(dimension)
    if any(isinstance(operator, DropPath) for operator in computed):
        lines += drop_path_lines()
    if any(isinstance(operator, Concat) and operator.members == "mixed" for operator in computed):
        lines += _join_lines()
    for kind, write in ((TrainedThreshold, threshold_lines), (TrainedSlope, slope_lines)):
        if any(isinstance(operator, kind) for operator in computed):
            lines += write()
    return [*lines, *solver_lines(graph)]


_Loops = tuple[tuple[int, bool], ...]


def _loops_of(route: Route) -> _Loops:
    """The loops that a route leads through, by their `id`, and whether it goes into their `rest`."""
    return tuple((id(hop.loop), hop.into_rest) for hop in route)
