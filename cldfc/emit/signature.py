"""The arguments and results of `forward`, and its checks of the sizes of its inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, lcm

from cldfc.emit import python
from cldfc.emit.naming import Naming
from cldfc.emit.python import Identifiers, loop_name
from cldfc.network.cost import level_of_instance
from cldfc.network.graph import Graph
from cldfc.network.positions import Key, format_key
from cldfc.network.program import InputFamily, Program
from cldfc.ops import Convolution, ConvolutionAdjoint
from cldfc.ops.convolution import least_map
from cldfc.ops.size import OpenSize, Size, formula_of
from cldfc.syntax.spelling import ascii_name


def argument(names: Naming, family: InputFamily) -> str:
    """`f: torch.Tensor`, `f: list[torch.Tensor]`."""
    kind = "list[torch.Tensor]" if family.kind == "levels" else "torch.Tensor"
    return f"{names.locals.given[family.name, family.arity]}: {kind}"


def result_type(program: Program) -> str:
    return f"{ascii_name(program.model)}Outputs" if len(program.outputs) > 1 else "torch.Tensor"


def _output_fields(program: Program) -> list[str]:
    """What Python calls each output; `count` and `index` are methods of a tuple."""
    fields = Identifiers(("count", "index"))
    return [fields.name(output.name, output.name) for output in program.outputs]


def outputs_class(program: Program) -> list[str]:
    """The class of what `forward` returns, if that is several tensors."""
    if len(program.outputs) == 1:
        return []
    members = (f"{name}: torch.Tensor" for name in _output_fields(program))
    about = f'"""What `{ascii_name(program.model)}` gives."""'
    return [f"class {result_type(program)}(NamedTuple):", *python.indent([about, "", *members]), "", ""]


_CHECKERS: Mapping[str, Sequence[str]] = {
    "check_size": [
        "def check_size(name: str, size: int, needs: dict[int, str], least: int = 1) -> None:",
        '    """Raise ValueError for a size that the strides do not divide, or too small."""',
        "    for divisor, level in needs.items():",
        "        if size % divisor:",
        '            message = f"{name} = {size} is not a multiple of {divisor}"',
        '            raise ValueError(f"{message}, as {level} needs")',
        "    if size < least:",
        '        raise ValueError(f"{name} = {size} is too small: it must be {least} or more")',
    ],
    "check_margin": [
        "def check_margin(name: str, size: int, least: int, place: str) -> None:",
        '    """Raise ValueError for a size that leaves a map smaller than its padding."""',
        "    if size < least:",
        '        message = f"{name} = {size} is too small for the padding of {place}"',
        '        raise ValueError(f"{message}: it must be {least} or more")',
    ],
    "check_shape": [
        "def check_shape(name: str, x: torch.Tensor, *sizes: int) -> None:",
        '    """Raise ValueError for an input whose sizes do not fit the others."""',
        "    if x.shape[-len(sizes) :] != sizes:",
        "        found = tuple(x.shape[-len(sizes) :])",
        '        raise ValueError(f"{name} is a map of {found}, and {sizes} fits the other sizes")',
    ],
    "check_numbers": [
        "def check_numbers(name: str, x: torch.Tensor, *sizes: int) -> None:",
        '    """Raise ValueError for an input that has not so many numbers for each image."""',
        "    if x.shape[1:] != sizes:",
        '        message = f"{name} has the shape {tuple(x.shape)}"',
        "        raise ValueError(f\"{message}, not (batch, {', '.join(str(size) for size in sizes)})\")",
    ],
    "check_count": [
        *python.call(
            "def check_count",
            ["name: str", "x: torch.Tensor | list[torch.Tensor]", "wanted: int"],
            " -> None:",
            0,
        ),
        '    """Raise ValueError for a family of inputs that has other members."""',
        "    count = x.shape[1] if isinstance(x, torch.Tensor) else len(x)",
        "    if count != wanted:",
        '        raise ValueError(f"{name} has {count} members, not {wanted}")',
    ],
}


def checkers(code: str) -> list[str]:
    """The functions of this kind that some code calls."""
    return [line for name, lines in _CHECKERS.items() if f"{name}(" in code for line in [*lines, "", ""]]


@dataclass
class SignatureWriter:
    """Writes the beginning and the end of `forward`; notes which open sizes need a variable."""

    names: Naming
    used: set[str] = field(default_factory=set[str])

    @property
    def graph(self) -> Graph:
        return self.names.graph

    # The end

    def result(self) -> list[str]:
        """The lines that return several outputs."""
        program = self.graph.program
        values = [
            self.names.variable(name, ()) + "[:, None]" * (not self.graph.shape((name, tag)))
            for name, tag in program.output_keys
        ]
        if len(program.outputs) == 1:
            key = program.output_keys[0]
            is_returned = self.graph.shape(key) and any(instance.value == key for instance in self.graph.instances)
            return [] if is_returned else [f"return {values[0]}"]
        return python.call(f"return {result_type(program)}", values, "", 2)

    # Sizes

    def text(self, size: Size) -> str:
        """A size in Python: `H`, `H // 2 + 1`."""
        if not isinstance(size, OpenSize):
            return str(size)
        parts: list[str] = []
        for name, factor in size.terms:
            self.used.add(name)
            term = self.names.open_sizes[name]
            term = term if factor.numerator == 1 else f"{factor.numerator} * {term}"
            parts.append(term if factor.denominator == 1 else f"{term} // {factor.denominator}")
        text = " + ".join([*parts, *([str(size.constant)] if size.constant else [])])
        return text.replace("+ -", "- ")

    def fit(self, name: str, samples: Sequence[tuple[Mapping[str, int], int]]) -> str:
        """An expression for a size at each turn of the loops, from the sizes of the inputs where it is open."""
        formulas = [(turn, formula_of(size)) for turn, size in samples]
        open = [(turn, size) for turn, size in formulas if isinstance(size, OpenSize)]
        if not open:
            return self.names.sizes.fit(name, samples)
        if len({size for _, size in formulas}) == 1:
            return self.text(open[0][1])
        terms = [size.terms[0] for _, size in open if len(size.terms) == 1 and size.terms[0][1].numerator == 1]
        if len(terms) < len(samples) or len({symbol for symbol, _ in terms}) > 1:
            return self.table(formulas)
        symbol = terms[0][0]
        self.used.add(symbol)
        divisors = [(turn, size.terms[0][1].denominator) for turn, size in open]
        constants = [(turn, int(size.constant)) for turn, size in open]
        divisor = self.names.sizes.fit(f"{name}_divisor", divisors)
        text = self.names.open_sizes[symbol]
        if any(number > 1 for _, number in divisors):
            text += f" // ({divisor})" if " " in divisor else f" // {divisor}"
        if any(number for _, number in constants):
            constant = self.names.sizes.fit(f"{name}_rest", constants)
            text += f" - {constant[1:]}" if constant.startswith("-") and constant[1:].isdecimal() else f" + {constant}"
        return text

    def table(self, samples: Sequence[tuple[Mapping[str, int], Size]]) -> str:
        """The sizes written out, by the loop variables."""
        variables = list(samples[0][0])
        for variable in variables:
            values = {turn[variable]: size for turn, size in samples}
            if all(values[turn[variable]] == size for turn, size in samples):
                entries = ", ".join(f"{at}: {self.text(size)}" for at, size in values.items())
                return f"{{{entries}}}[{loop_name(variable)}]"
        entries = ", ".join(f"({', '.join(str(turn[v]) for v in variables)}): {self.text(s)}" for turn, s in samples)
        return f"{{{entries}}}[{', '.join(map(loop_name, variables))}]"

    # The beginning

    def checks(self) -> list[str]:
        """The lines that refuse inputs which do not fit, before anything is computed."""
        counts = [line for family in self.graph.program.inputs for line in self.count(family)]
        if not self.names.open_sizes:
            return counts
        given, shapes = self.variables()
        sizes = [line for name in self.names.open_sizes for line in self.check(name)]
        lines = [line for name, line in given.items() if any(part in self.used for part in name)]
        return [*counts, *lines, *shapes, *sizes]

    def count(self, family: InputFamily) -> list[str]:
        """The checks of an input, except of the sizes of its maps; and a number made of a vector of one."""
        name, lines = self.names.locals.given[family.name, family.arity], list[str]()
        is_sequence, is_number = family.kind == "steps", not any(family.shapes.values())
        if family.kind and (family.is_map or not is_sequence):
            lines.append(f'check_count("{family.name}", {name}, {family.count})')
        if family.is_map:
            return lines
        for key, shape in zip(family.keys, family.given_shapes, strict=True):
            sizes = [str(family.count)] * is_sequence + list(map(str, shape))
            called = family.name if is_sequence else format_key(key)
            lines += python.call("check_numbers", [f'"{called}"', self.tensor(key), *sizes], "", 2)
            if is_sequence:
                break
        if is_number:
            x = self.names.temporaries[0]
            taken = f"[{x}[:, 0] for {x} in {name}]" if family.kind == "levels" else f"{name}[..., 0]"
            lines.append(f"{name} = {taken}")
        return lines

    def variables(self) -> tuple[dict[tuple[str, ...], str], list[str]]:
        """The expression for each open size, from the first input that has it, and the checks of the other inputs."""
        given, shapes = dict[tuple[str, ...], str](), list[str]()
        known: set[str] = set()
        for key in self.given_tensors():
            if not self.names.inputs[key[0], len(key[1])].is_map:
                continue
            name = key[0] if self.names.inputs[key[0], len(key[1])].kind == "steps" else format_key(key)
            _, *sizes = (formula_of(size) for size in self.graph.shape(key))
            new = [size.names[0] for size in sizes if isinstance(size, OpenSize) and len(size.terms) == 1]
            new = [name for name in dict.fromkeys(new) if name not in known]
            value = self.tensor(key)
            is_plain = sizes == [OpenSize.named(name) for name in new]
            if is_plain:
                variables = ", ".join(self.names.open_sizes[name] for name in new)
                taken = f"[-{len(sizes)}:]" if len(sizes) > 1 else "[-1]"
                given[tuple(new)] = f"{variables} = {value}.shape{taken}"
            else:
                for open_size in new:
                    formulas = [(a, s) for a, s in enumerate(sizes) if isinstance(s, OpenSize)]
                    axis, size = next((axis, size) for axis, size in formulas if size.names == [open_size])
                    given[open_size,] = (
                        f"{self.names.open_sizes[open_size]} = {_solved(size, f'{value}.shape[{axis - len(sizes)}]')}"
                    )
                arguments = [f'"{name}"', value, *map(self.text, sizes)]
                shapes += python.call("check_shape", arguments, "", 2)
            known.update(new)
        return given, shapes

    def given_tensors(self) -> Iterable[Key]:
        """The inputs that are separate tensors; the first member of a sequence stands for its one tensor."""
        for family in self.graph.program.inputs:
            yield from family.keys[:1] if family.kind == "steps" else family.keys

    def tensor(self, key: Key) -> str:
        """An input as it is given; that of a sequence is the whole, whose members have one shape."""
        family = self.names.inputs[key[0], len(key[1])]
        name = self.names.locals.given[family.name, family.arity]
        return f"{name}[{family.keys.index(key)}]" if family.kind == "levels" else name

    def check(self, name: str) -> list[str]:
        """The checks of one open size, each for the first level that needs it."""
        needs, least = dict[int, str](), 1
        for key, size in self.sizes_with(name):
            factor = dict(size.terms)[name]
            if all(divisor % factor.denominator for divisor in needs) and factor.denominator > 1:
                needs[factor.denominator] = self.place(key)
            if len(size.terms) == 1 and factor > 0:
                least = max(least, -((size.constant - 1) // factor))
        margins = self.margins(name, max(least, lcm(*needs)))
        if not needs and least == 1:
            return margins
        self.used.add(name)
        table = "{" + ", ".join(f'{divisor}: "{level}"' for divisor, level in needs.items()) + "}"
        more = [f"least={least}"] * (least > lcm(*needs))
        return [*python.call("check_size", [f'"{name}"', self.names.open_sizes[name], table, *more], "", 2), *margins]

    def margins(self, name: str, least: int) -> list[str]:
        """The checks of an open size that the padding of kernels needs, beyond the others."""
        graph, place = self.graph.as_written, ""
        for number, instance in enumerate(graph.instances):
            for at in graph.members[number]:
                node = graph.node(at)
                if not isinstance(node.operator, Convolution | ConvolutionAdjoint) or node.parameter is None:
                    continue
                shape = (
                    graph.node(graph.operands(at)[0]).shape if isinstance(node.operator, Convolution) else node.shape
                )
                leasts = least_map(node.operator, graph.parameters[node.parameter].sizes)
                for size, wanted in zip(map(formula_of, shape[1:]), leasts, strict=True):
                    if isinstance(size, OpenSize) and size.names == [name] and dict(size.terms)[name] > 0:
                        needed = ceil((wanted - size.constant) / dict(size.terms)[name])
                        if needed > least:
                            least, place = needed, f"`{format_key(node.parameter)}` on {self.place(instance.value)}"
        if not place:
            return []
        self.used.add(name)
        return python.call("check_margin", [f'"{name}"', self.names.open_sizes[name], str(least), f'"{place}"'], "", 2)

    def sizes_with(self, name: str) -> Iterable[tuple[Key, OpenSize]]:
        """The sizes of all maps in which a name is, each with the value that it belongs to."""
        graph = self.graph.as_written
        for node in graph.nodes():
            is_input = node.instance < 0
            key = graph.program.input_keys[node.step] if is_input else graph.instances[node.instance].value
            for size in map(formula_of, node.shape):
                if isinstance(size, OpenSize) and name in size.names:
                    yield key, size

    def place(self, key: Key) -> str:
        """`level 2`, or the name of a value that has no level."""
        instance = next((i for i in self.graph.as_written.instances if i.value == key), None)
        family = self.names.inputs.get((key[0], len(key[1])))
        level = None if instance is None else level_of_instance(instance)
        if family is not None and family.kind == "levels":
            level = key[1][0]
        has_levels = any(range.kind == "levels" for range in self.graph.program.ranges.values())
        return f"level {level}" if has_levels and level is not None else f"`{format_key(key)}`"


def _solved(size: OpenSize, given: str) -> str:
    """What a name stands for in a size that is given: the N of 2*N - 1 is (given + 1) // 2."""
    (_, factor), constant = size.terms[0], int(size.constant)
    text = f"{given} {'-' if constant > 0 else '+'} {abs(constant)}" if constant else given
    if factor == 1:
        return text
    text = f"({text})" if constant else text
    text = text if factor.denominator == 1 else f"{text} * {factor.denominator}"
    return text if factor.numerator == 1 else f"{text} // {factor.numerator}"
