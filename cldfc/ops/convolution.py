"""Operators with a declared kernel: convolution, prolongation and their adjoints; and `linear`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import ClassVar, cast

from cldfc.ops.base import FLOAT, OPERAND, Kept, Operator, Spreading, whole
from cldfc.ops.size import Size
from cldfc.ops.solver import Dim, Form, Shape, Sized, Sizes, Solver, Unfit, whole_size


def _help_for_even(dimension: int) -> str:
    example = f"kernel K : {'×'.join('4' * dimension)} → 16, padding 1"
    return f"write an odd size, or a `padding` behind the channels: `{example}`"


Nested = tuple["float | Nested", ...]
SIDES = {1: ("size",), 2: ("size", "width"), 3: ("size", "height", "width")}
"""The names of a kernel's sizes, axis by axis; those equal to the first may be left out."""
PADDINGS = {dimension: ("padding", *(f"padding_{name}" for name in names[1:])) for dimension, names in SIDES.items()}


@dataclass(frozen=True, slots=True)
class KernelStart:
    """What a kernel starts from: a way to draw it, `he_out` unless stated, or the numbers of a stencil.

    These are nested by axes: the rows of an image, the planes of rows of a volume.
    """

    name: str = "he_out"
    std: float = 0
    numbers: Nested = ()
    is_fixed: bool = False

    @property
    def flat(self) -> list[float]:
        """The numbers of a stencil in the order in which they are written."""
        return list(_flattened(self.numbers))

    def lines(self, module: str, groups: str) -> list[str]:
        """The lines after the constructor of its module, which draws it by He's rule."""
        weight = f"{module}.weight"
        if self.numbers:
            return [f"stencil({module}, {_entries_text(self.numbers)}{', fixed=True' * self.is_fixed})"]
        shared = f", groups={groups}" if groups != "1" else ""
        known = {
            "he": [f'nn.init.kaiming_normal_({weight}, nonlinearity="relu")'],
            "torch": [f"{module}.reset_parameters()"],
            "zero": [f"nn.init.zeros_({weight})"],
            "identity": [f"nn.init.dirac_({weight}{shared})"],
            "orthogonal": [f"nn.init.orthogonal_({weight})"],
            "normal": [f"nn.init.normal_({weight}, std={self.std})"],
        }
        return known.get(self.name, [])


def _flattened(entries: float | Nested) -> Iterator[float]:
    if isinstance(entries, tuple):
        for part in entries:
            yield from _flattened(part)
    else:
        yield entries


@dataclass(frozen=True)
class Kernel(Operator):
    """What convolution, prolongation and their adjoints share: a kernel, perhaps in groups.

    It is linear unless its declaration says `bias`, which only the sizes of its parameter know; an adjoint always is.
    """

    linear: ClassVar[bool] = True
    is_layer: ClassVar[bool] = True
    parameters: ClassVar[str] = "C/g·C'·k², and C' with bias"
    stride: int | tuple[int, ...] = 1
    start: KernelStart = KernelStart()
    rules: tuple[str, ...] = ()
    """What training keeps of the kernel: the stored weight is unconstrained, and made to obey where it is used."""

    def grouped(self, shapes: Solver, parameter: Sized) -> None:
        self.obey_rules(shapes, parameter)
        if parameter.given.get("each"):
            shapes.equal(parameter.dimension("in"), parameter.dimension("out"))
        elif self.start.numbers:
            for name in ("in", "out"):
                shapes.when_known(parameter.dimension(name), _check_one_channel)
        groups = whole_size(parameter.given, "groups")
        if groups > 1:
            shapes.grouped(parameter.dimension("in"), groups)
            shapes.grouped(parameter.dimension("out"), groups)

    def obey_rules(self, shapes: Solver, parameter: Sized) -> None:
        """Raise Unfit for a use of the kernel to which its rules do not apply."""
        if "zero_sum" in self.rules and prod(_sides(parameter.given, self.dimension)) == 1:
            raise Unfit("a single number whose sum is 0 is 0", "leave `zero_sum` out, or write a larger size")
        if "unit_norm" in self.rules and self.is_transposed:
            reason = "`unit_norm` is about the numbers that lead to a channel by a convolution, not by `*^s`"
            raise Unfit(reason, "prolong by the adjoint of a convolution, as in `Kᵀ *_2 x`, or leave `unit_norm` out")
        if "symmetric" not in self.rules:
            return
        sides = () if self.is_transposed else _axes(parameter.given, self.stride, self.dimension)
        mode = getattr(self, "mode", "zeros")
        if not sides or any(side.stride > 1 or side.reach - 1 != 2 * side.padding for side in sides):
            reason = "a symmetric kernel leads from a map to one of the same size"
            raise Unfit(reason, "use it without a stride or another padding, or leave `symmetric` out")
        if mode not in ("zeros", "circular"):
            reason = f"with `{mode}` numbers from inside the map stand around it, and no kernel is symmetric"
            raise Unfit(reason, "write `circular`, or nothing for zeros around the map, or leave `symmetric` out")
        before = parameter.dimension("in")

        def match(channels: Size) -> None:
            size = before.root().size
            if size not in (None, channels):
                reason = f"a symmetric kernel has as many input as output channels, not {size} and {channels}"
                raise Unfit(reason, "write the same number of channels, or leave `symmetric` out")
            shapes.known(before, channels)

        shapes.when_known(parameter.dimension("out"), match)

    def weight_text(self, module: str, sizes: Mapping[str, str]) -> str:
        """The weight in Python, as its rules make it."""
        text, is_shared = f"{module}.weight", "shared" in self.rules
        for rule in self.rules:
            if rule != "shared":
                in_groups = rule == "symmetric" and not is_shared and sizes.get("groups", "1") != "1"
                text = f"{rule}({text}{f', {module}.groups' * in_groups})"
        return f"{text}.expand({module}.groups{', -1' * (1 + self.dimension)})" if is_shared else text

    def torch(self, operands: list[str], module: str) -> str:
        """A call of its module; that of an adjoint is the kernel's, which knows its own sizes."""
        if self.is_adjoint:
            return self.torch_unlike(operands, module, {"size": "size", "groups": "groups", "dilation": "dilation"})
        return f"{module}({operands[0]})"

    @abstractmethod
    def torch_unlike(
        self, operands: list[str], module: str, sizes: Mapping[str, str] | None = None, beyond: str = "0"
    ) -> str:
        """The same by a function, with the weight of a module that was made for another use.

        `beyond` says by how many rows and columns the result of an adjoint exceeds the smallest possible one.
        """

    def arguments(self, sizes: Mapping[str, str], module: str, rest: Mapping[str, str]) -> str:
        """`, stride=2, padding=1`: the arguments of a function of torch beside the weight, without defaults."""
        given = {"stride": str(self.stride), **rest}
        for name in ("groups", "dilation"):
            given[name] = text if (text := sizes.get(name, "1")).isdecimal() else f"{module}.{name}"
        defaults = {"stride": "1", "padding": "0", "output_padding": "0", "groups": "1", "dilation": "1"}
        return "".join(f", {name}={text}" for name, text in given.items() if text != defaults[name])

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return OPERAND

    def keeps_made(self, sizes: Sizes) -> int:
        """The bytes of the weight that obeys the rules, which is made anew in each use and kept by autograd."""
        weight, outputs = self.stored({**sizes, "bias": 0}), 1 if "shared" in self.rules else whole_size(sizes, "out")
        numbers, is_made = 0, False
        for rule in self.rules:
            if rule == "unit_norm":
                # The norms, and what is divided by them.
                numbers += outputs + weight * is_made
            is_made = is_made or rule != "shared"
        return FLOAT * (numbers + weight * is_made)

    def multiply_adds(self, operands: list[Shape], result: Shape, sizes: Sizes) -> int:
        """One for each number of the kernel at each of its places: the pixels of the smaller map."""
        _, *sides = result if self.is_transposed == self.is_adjoint else operands[0]
        return self.weights(sizes) * whole_size(sizes, "in") * prod(sides)

    def stored(self, sizes: Sizes) -> int:
        numbers = prod(_sides(sizes, self.dimension))
        weights = numbers if sizes.get("shared") else self.weights(sizes) * whole_size(sizes, "in")
        weights = 0 if sizes.get("fixed") else weights
        return weights + whole_size(sizes, "bias", 0) * whole_size(sizes, "out")

    def size_text(self, sizes: Sizes) -> str:
        """`3×3`, as declared."""
        return "×".join(map(str, _sides(sizes, self.dimension)))

    def weights(self, sizes: Sizes) -> int:
        """How many numbers of the kernel stand for one channel before it."""
        return whole_size(sizes, "out") // whole_size(sizes, "groups") * prod(_sides(sizes, self.dimension))


def _entries_text(entries: float | Nested) -> str:
    if isinstance(entries, tuple):
        return f"[{', '.join(map(_entries_text, entries))}]"
    return str(int(entries)) if entries == int(entries) else repr(entries)


def _check_one_channel(channels: Size) -> None:
    """Raise Unfit where a stencil, which is the same for each channel, would be used between several."""
    if channels > 1:
        help = "write `each` in place of the channels, as in `kernel W : 3×3 each = laplace5`"
        raise Unfit(f"a stencil is for one channel, and cannot lead from or to {channels}", help)


def _sides(sizes: Sizes, dimension: int) -> list[int]:
    """The sizes of a kernel, axis by axis."""
    return [whole_size(sizes, name, whole_size(sizes, "size")) for name in SIDES[dimension]]


@dataclass(frozen=True, slots=True)
class _Axis:
    """A kernel along one axis of a map; without a stated padding, it is (size - 1) / 2 · dilation."""

    size: int
    stride: int
    dilation: int
    padding: int
    is_stated: bool

    @property
    def reach(self) -> int:
        return self.dilation * (self.size - 1) + 1

    def after(self, whole: Size) -> Size:
        """How many places the kernel has on so many pixels. Raises Unfit when it does not fit once."""
        if whole + 2 * self.padding < self.reach:
            reason = f"a kernel of {self.size} does not fit into a map of size {whole}"
            raise Unfit(reason, "write a smaller kernel, or a larger `padding`")
        return (whole + 2 * self.padding - self.reach) // self.stride + 1

    def least(self, places: Size) -> Size:
        """The fewest pixels on which it has so many places."""
        return (places - 1) * self.stride + self.reach - 2 * self.padding

    def usual(self, places: Size) -> Size:
        """`stride` times as many pixels as it has places, if it has so many places on them."""
        least = self.least(places)
        return min(max(least, self.stride * places), least + self.stride - 1)

    def connect(self, shapes: Solver, small: Dim, large: Dim) -> None:
        """Say that the kernel leads from `large` to `small` pixels."""
        if self.reach - 1 == 2 * self.padding:
            shapes.divided(small, large, self.stride)
        else:
            shapes.when_known(large, lambda size: shapes.known(small, self.after(size)))
            if self.stride == 1:
                shapes.when_known(small, lambda size: shapes.known(large, self.before(size)))

    def before(self, places: Size) -> Size:
        size = self.least(places)
        if size < 1:
            help = "write a smaller `padding`"
            raise Unfit(f"a kernel of {self.size} with a padding of {self.padding} gives no {places} pixels", help)
        return size

    def least_size(self, mode: str) -> int:
        """A map large enough for a padding that takes its numbers from it."""
        return {"circular": self.padding, "reflect": self.padding + 1}.get(mode, 1)

    def check_margin(self, mode: str, size: Size) -> None:
        """Raise Unfit where a map is too small for numbers of its own around it."""
        most: Size = {"circular": size, "reflect": size - 1}.get(mode, self.padding)
        if self.padding > most:
            reason = f"a `{mode}` padding of {self.padding} is more than a map of size {size} has"
            raise Unfit(reason, "write a smaller `padding`, or `replicate`")


def stride_text(stride: int | tuple[int, ...]) -> str:
    """`2`, or `2,1` for rows and columns."""
    return str(stride) if isinstance(stride, int) else ",".join(map(str, stride))


def _axes(sizes: Sizes, stride: int | tuple[int, ...], dimension: int) -> list[_Axis]:
    """A kernel along each axis. Raises Unfit for one that has no middle, where no padding is stated."""
    dilation, is_stated = whole_size(sizes, "dilation"), "padding" in sizes
    sides = _sides(sizes, dimension)
    if not is_stated and any(dilation * (side - 1) % 2 for side in sides):
        text = "×".join(map(str, sides))
        raise Unfit(f"a kernel of {text} has no middle; a convolution needs an odd one", _help_for_even(dimension))
    paddings = [dilation * (side - 1) // 2 for side in sides]
    if is_stated:
        paddings = [whole_size(sizes, name, whole_size(sizes, "padding")) for name in PADDINGS[dimension]]
    steps = stride if isinstance(stride, tuple) else (stride,) * dimension
    return [
        _Axis(side, step, dilation, padding, is_stated)
        for side, step, padding in zip(sides, steps, paddings, strict=True)
    ]


@dataclass(frozen=True)
class Convolution(Kernel):
    """K * x and K *_s x: convolution with zero padding (k-1)/2 · dilation and stride s, eq. (2.1), (2.2).

    Its kernel may state another width of padding, or pad with values of the map itself. It is linear; affine if its
    kernel is declared with `bias`.
    """

    of_module: ClassVar[tuple[str, ...]] = ("stride",)
    shapes: ClassVar[str] = "C×H×W → C'×⌈H/s⌉×⌈W/s⌉; with padding p: H' = ⌊(H + 2p - k)/s⌋ + 1"
    stride: int | tuple[int, ...] = 1
    mode: str = "zeros"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        axes = _axes(parameter.given, self.stride, self.dimension)
        channels, *before = shapes.map(operands[0])
        shapes.equal(channels, parameter.dimension("in"))
        self.grouped(shapes, parameter)
        out = parameter.dimension("out")
        if self.mode != "zeros":
            for axis, size in zip(axes, before, strict=True):
                shapes.when_known(size, partial(axis.check_margin, self.mode))
        if self.stride == 1 and all(axis.reach - 1 == 2 * axis.padding for axis in axes):
            return shapes.is_shape(result, (out, *before))
        channels_out, *after = shapes.map(result)
        shapes.equal(channels_out, out)
        for axis, small, large in zip(axes, after, before, strict=True):
            axis.connect(shapes, small, large)
        return None

    def torch_unlike(
        self, operands: list[str], module: str, sizes: Mapping[str, str] | None = None, beyond: str = "0"
    ) -> str:
        given = _keywords(sizes or {}, module)
        bias = f", {module}.bias" if "bias" in given else ""
        rest = "".join(f", {name}={given[name]}" for name in ("dilation", "groups") if name in given)
        operand, padding = operands[0], f", padding={module}.padding"
        if self.rules:
            texts = _all_text(_padding_texts(sizes or {}, module, self.dimension)) if "size" in (sizes or {}) else ""
            padding = f", padding={texts}" * (texts != "0") if module not in texts else padding
        if self.mode != "zeros":
            widths = [width for width in _padding_texts(sizes or {}, module, self.dimension)[::-1] for _ in "ab"]
            operand, padding = f'F.pad({operand}, ({", ".join(widths)}), mode="{self.mode}")', ""
        step = (sizes or {}).get("stride", str(self.stride))
        stride, weight = f", stride={step}" * (step != "1"), self.weight_text(module, sizes or {})
        return f"F.conv{self.dimension}d({operand}, {weight}{bias}{stride}{padding}{rest})"

    def module(self, sizes: Mapping[str, str]) -> str:
        size = _all_text([sizes.get(name, sizes["size"]) for name in SIDES[self.dimension]])
        text = sizes.get("stride", str(self.stride))
        stride = f", stride={text}" if text != "1" else ""
        padding = f", padding={_all_text(_padding_texts(sizes, '', self.dimension))}" if "padding" in sizes else ""
        mode = f', padding_mode="{self.mode}"' if self.mode != "zeros" else ""
        return f"conv({sizes['in']}, {sizes['out']}, {size}{stride}{padding}{mode}{_arguments(sizes)})"


def _all_text(texts: Sequence[str]) -> str:
    """Expressions for all axes as torch takes them: one where they are the same."""
    return texts[0] if len(set(texts)) == 1 else f"({', '.join(texts)})"


def _padding_texts(sizes: Mapping[str, str], module: str, dimension: int) -> list[str]:
    """The padding of each axis in Python: as it is stated, or (k-1)/2 · dilation."""
    if "padding" in sizes:
        return [sizes.get(name, sizes["padding"]) for name in PADDINGS[dimension]]
    sides, dilation = [sizes.get(name, sizes["size"]) for name in SIDES[dimension]], sizes.get("dilation", "1")
    if not all(text.isdecimal() for text in (*sides, dilation)):
        return [f"{module}.padding[{axis}]" for axis in range(dimension)]
    return [str(int(dilation) * (int(side) - 1) // 2) for side in sides]


def _keywords(sizes: Mapping[str, str], module: str) -> dict[str, str]:
    """What a module has beside its weight, where that is not torch's default."""
    defaults = {"dilation": "1", "groups": "1", "bias": "0"}
    return {name: f"{module}.{name}" for name, default in defaults.items() if sizes.get(name, default) != default}


def _arguments(sizes: Mapping[str, str]) -> str:
    """The arguments of a constructor for what a declaration says beside the sizes of a kernel."""
    found = [f", {n}={sizes[n]}" for n in ("groups", "dilation") if sizes.get(n, "1") != "1"]
    return "".join([*found, *[", bias=True"] * (sizes.get("bias", "0") != "0")])


@dataclass(frozen=True)
class Prolongation(Kernel):
    """K *^s x: transposed convolution whose result is exactly s times as large, Long et al. 2015.

    With e = dilation · (k-1) + 1 - s, it pads by p = max(0, ⌈e/2⌉) and adds 2p - e at the end.
    """

    is_transposed: ClassVar[bool] = True
    shapes: ClassVar[str] = "C×H×W → C'×s·H×s·W"
    stride: int = 1

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        size, dilation = _square(parameter.given, self.dimension), whole_size(parameter.given, "dilation")
        if _prolongation_padding(size, dilation, self.stride)[1] >= max(self.stride, dilation):
            raise _no_middle(size, self.dimension)
        channels, *before = shapes.map(operands[0])
        shapes.equal(channels, parameter.dimension("in"))
        self.grouped(shapes, parameter)
        channels_out, *after = shapes.map(result)
        shapes.equal(channels_out, parameter.dimension("out"))
        for large, small in zip(after, before, strict=True):
            shapes.multiplied(large, small, self.stride)

    def torch_unlike(
        self, operands: list[str], module: str, sizes: Mapping[str, str] | None = None, beyond: str = "0"
    ) -> str:
        sizes = sizes or {}
        padding, rest = _prolongation_padding(int(sizes["size"]), int(sizes.get("dilation", "1")), self.stride)
        given = _keywords(sizes, module)
        numbers = {"padding": padding, "output_padding": rest}
        texts = [f", {module}.bias" if "bias" in given else "", f", stride={self.stride}"]
        texts += [f", {name}={numbers[name]}" for name in numbers if numbers[name]]
        texts += [f", {name}={given[name]}" for name in ("groups", "dilation") if name in given]
        return f"F.conv_transpose{self.dimension}d({operands[0]}, {self.weight_text(module, sizes)}{''.join(texts)})"

    def module(self, sizes: Mapping[str, str]) -> str:
        return f"prolong({sizes['in']}, {sizes['out']}, {sizes['size']}, {self.stride}{_arguments(sizes)})"


def _prolongation_padding(size: int, dilation: int, stride: int) -> tuple[int, int]:
    """What torch calls padding and output_padding where the result is exactly stride times as large."""
    excess = dilation * (size - 1) + 1 - stride
    padding = max(0, -(-excess // 2))
    return padding, 2 * padding - excess


def _square(sizes: Sizes, dimension: int) -> int:
    """The size of a kernel that prolongs. Raises Unfit when it is not a square or cube, or states a padding."""
    if "width" in sizes or "height" in sizes:
        help = "write a square, as in `4×4`; a convolution may have a rectangle"
        help = help if dimension == 2 else "write a cube, as in `2×2×2`; a convolution may have other sizes"
        raise Unfit(f"a kernel of {'×'.join(map(str, _sides(sizes, dimension)))} cannot prolong", help)
    if "padding" in sizes:
        help = "leave the padding out, or use the adjoint of a convolution, as in `Kᵀ *_2 x`"
        raise Unfit("a prolongation makes its result exactly s times as large, whatever padding is stated", help)
    return whole_size(sizes, "size")


def _no_middle(size: int, dimension: int) -> Unfit:
    reason = f"a kernel of {'×'.join([str(size)] * dimension)} has no middle; without stride it needs an odd one"
    return Unfit(reason, "write an odd size, or a stride, as in `K *^2 x`")


def least_map(operator: Convolution | ConvolutionAdjoint, sizes: Sizes) -> tuple[int, ...]:
    """How large the map must be along each axis, for the numbers of its own that stand around it."""
    return tuple(axis.least_size(operator.mode) for axis in _axes(sizes, operator.stride, operator.dimension))


@dataclass(frozen=True)
class ConvolutionAdjoint(Kernel):
    """Aᵀ * x and Aᵀ *_s x: the adjoint of A *_s, ⟨A *_s x, y⟩ = ⟨x, Aᵀ *_s y⟩ for all x and y.

    It has the weight of A, and no bias. Among the sizes that A *_s takes to that of the operand, its result has the one
    that other values require; if none do, it is s times as large.
    """

    is_adjoint: ClassVar[bool] = True
    shapes: ClassVar[str] = "C'×⌈H/s⌉×⌈W/s⌉ → C×H×W"
    parameters: ClassVar[str] = "those of A"
    stride: int | tuple[int, ...] = 1
    mode: str = "zeros"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        axes = _axes(parameter.given, self.stride, self.dimension)
        channels, *before = shapes.map(operands[0])
        shapes.equal(channels, parameter.dimension("out"))
        self.grouped(shapes, parameter)
        channels_in, *after = shapes.map(result)
        shapes.equal(channels_in, parameter.dimension("in"))
        for axis, small, large in zip(axes, before, after, strict=True):
            if self.mode != "zeros":
                shapes.when_known(large, partial(axis.check_margin, self.mode))
            axis.connect(shapes, small, large)
            if axis.stride > 1:
                shapes.suppose(large, small, axis.usual)

    def beyond(self, operand: Shape, result: Shape, sizes: Sizes) -> tuple[int, ...]:
        """By how much the result exceeds the smallest possible one on each axis: torch's output_padding."""
        axes = zip(_axes(sizes, self.stride, self.dimension), operand[1:], result[1:], strict=True)
        return tuple(cast(int, large - axis.least(small)) for axis, small, large in axes)

    def torch_unlike(
        self, operands: list[str], module: str, sizes: Mapping[str, str] | None = None, beyond: str = "0"
    ) -> str:
        sizes = sizes or {}
        widths = _padding_texts(sizes, module, self.dimension)
        padding = "0" if self.mode != "zeros" else _all_text(widths)
        padding = f"{module}.padding" if f"{module}.padding[" in padding else padding
        rest = {"padding": padding, "output_padding": beyond}
        weight = self.weight_text(module, sizes)
        text = f"F.conv_transpose{self.dimension}d({operands[0]}, {weight}{self.arguments(sizes, module, rest)})"
        return text if self.mode == "zeros" else f'unpad({text}, {", ".join(widths)}, "{self.mode}")'

    def module(self, sizes: Mapping[str, str]) -> str:
        return Convolution(self.stride, self.start, self.rules, self.mode, dimension=self.dimension).module(sizes)


@dataclass(frozen=True)
class ProlongationAdjoint(Kernel):
    """Kᵀ *^s x: the adjoint of K *^s, the restriction to a map that is exactly s times as small.

    It has the weight of K, and no bias.
    """

    is_transposed: ClassVar[bool] = True
    is_adjoint: ClassVar[bool] = True
    shapes: ClassVar[str] = "C'×s·H×s·W → C×H×W"
    stride: int = 1
    parameters: ClassVar[str] = "those of K"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        size, dilation = _square(parameter.given, self.dimension), whole_size(parameter.given, "dilation")
        if _prolongation_padding(size, dilation, self.stride)[1] >= self.stride:
            raise _no_middle(size, self.dimension)
        channels, *before = shapes.map(operands[0])
        shapes.equal(channels, parameter.dimension("out"))
        self.grouped(shapes, parameter)
        channels_in, *after = shapes.map(result)
        shapes.equal(channels_in, parameter.dimension("in"))
        for large, small in zip(before, after, strict=True):
            shapes.when_known(large, self.check)
            shapes.multiplied(large, small, self.stride)

    def check(self, size: Size) -> None:
        if size % self.stride:
            help = "use a kernel as a convolution, `K *_s x`, or another stride"
            raise Unfit(f"a map of size {size} is not {self.stride} times as large as another", help)

    def torch_unlike(
        self, operands: list[str], module: str, sizes: Mapping[str, str] | None = None, beyond: str = "0"
    ) -> str:
        sizes = sizes or {}
        size, dilation = sizes["size"], sizes.get("dilation", "1")
        is_known = size.isdecimal() and dilation.isdecimal()
        padding = _prolongation_padding(int(size), int(dilation), self.stride)[0] if is_known else f"{module}.padding"
        rest = {"padding": str(padding)}
        weight = self.weight_text(module, sizes)
        return f"F.conv{self.dimension}d({operands[0]}, {weight}{self.arguments(sizes, module, rest)})"

    def module(self, sizes: Mapping[str, str]) -> str:
        return Prolongation(self.stride, dimension=self.dimension).module(sizes)


@dataclass(frozen=True)
class Linear(Spreading):
    """linear(x) = W x + b: as many numbers as `outputs` says, or as the network has classes.

    With its bias it is affine, so it does not count as linear. It takes a number of each image as a vector of one.
    """

    keyword: ClassVar[str | None] = "linear"
    owns: ClassVar[str | None] = "linear"
    of_module: ClassVar[tuple[str, ...]] = ("outputs",)
    is_layer: ClassVar[bool] = True
    shapes: ClassVar[str] = "n → outputs"
    parameters: ClassVar[str] = "(n + 1)·outputs"
    outputs: int | None = whole(None, 1, 2**20)

    def at_ranks(self, ranks: Sequence[int | None], rank: int | None) -> Operator:
        if ranks[0] is None:
            reason = "`linear` is of a vector or a number of each image, and a scalar is the same for all"
            raise Unfit(reason, "write a scalar itself, as in `ω * x`, or apply `linear` to a value of the images")
        return replace(self, spread=(1,)) if ranks[0] == 0 else self

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        out = parameter.dimension("out")
        if self.outputs is not None:
            shapes.known(out, self.outputs)
        if operands[0].root().dims == ():
            shapes.known(parameter.dimension("in"), 1)
        else:
            shapes.equal(shapes.vector(operands[0]), parameter.dimension("in"))
        shapes.equal(shapes.vector(result), out)

    def torch(self, operands: list[str], module: str) -> str:
        return f"{module}({operands[0]})"

    def stored(self, sizes: Sizes) -> int:
        return whole_size(sizes, "out") * (whole_size(sizes, "in") + 1)

    def module(self, sizes: Mapping[str, str]) -> str:
        return f"nn.Linear({sizes['in']}, {sizes['out']})"

    def multiply_adds(self, operands: list[Shape], result: Shape, sizes: Sizes) -> int:
        return whole_size(sizes, "in") * whole_size(sizes, "out")

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return OPERAND
