"""Rearrangements: concatenation, flattening, upsampling, shuffling, padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from cldfc.ops.base import Operator, Spreading, choice, whole
from cldfc.ops.size import Size
from cldfc.ops.solver import Dim, Form, Mismatch, Sized, Solver, Unfit, is_spread

_LARGEST_FACTOR = 2**10
_LARGEST_MARGIN = 2**20


@dataclass(frozen=True)
class Concat(Spreading):
    """concat(x, y, …): the channels of all operands one after another, Huang et al. 2017 (DenseNet).

    Beside maps each number of a vector, or of each image, is a channel that is the same in all pixels; beside vectors
    a number of each image is one more.
    """

    linear: ClassVar[bool] = True
    shapes: ClassVar[str] = "C₁×H×W, C₂×H×W, … → (C₁+C₂+…)×H×W; vectors likewise; beside maps also C"
    takes_vectors: ClassVar[bool] = True
    members: Literal["alike", "numbers", "mixed"] = field(default="alike", kw_only=True)
    """Whether all are maps, or all vectors; or numbers of images; or maps and what is spread over them."""

    @property
    def is_unlike(self) -> bool:
        """Whether its members differ in their axes."""
        return bool(self.spread) or self.members == "mixed"

    def at_ranks(self, ranks: Sequence[int | None], rank: int | None) -> Operator:
        if None in ranks:
            reason = "`concat` joins values of each image, but a scalar is the same for all images"
            raise Unfit(reason, "multiply it with a value, or add it to one, as in `x + ω`")
        if not any(ranks):
            return replace(self, members="numbers")
        spread = tuple(rank if own == 0 and rank else 0 for own in ranks)
        is_mixed = rank != 1 and any(own != rank for own in ranks)
        return replace(self, spread=spread if any(spread) else (), members="mixed" if is_mixed else "alike")

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        known = [operand.root().dims for operand in operands]
        ranks = [len(dims) for dims in known if dims is not None]
        if 0 not in ranks and len({*ranks}) < 2:
            shapes.when_ranked([*operands, result], lambda rank: self.join(shapes, operands, result, rank))
        elif any(map(is_spread, operands)):
            raise Mismatch  # it has no batch
        else:
            self.join(shapes, operands, result, max(1, *ranks))

    def join(self, shapes: Solver, operands: list[Form], result: Form, rank: int) -> None:
        """Sizes but the first agree; the first add up."""
        channels, *sides = shapes.dims(result, rank)
        counts: list[Dim] = []
        for operand in operands:
            dims = operand.root().dims
            # What is narrower than a map is spread over it.
            (count, *own) = shapes.dims(operand, rank) if dims is None or len(dims) > 1 else dims or (Dim(1),)
            for one, other in zip(own, sides if own else (), strict=True):
                shapes.equal(one, other)
            counts.append(count)
        shapes.summed(channels, counts)

    def torch(self, operands: list[str], module: str) -> str:
        listed = ", ".join(operands)
        if self.members == "numbers":
            return f"torch.stack([{listed}], 1)"
        return f"join({listed})" if self.members == "mixed" else f"torch.cat([{listed}], 1)"

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return all(operands)


@dataclass(frozen=True)
class SplitChannels(Operator):
    """split(x): the channels of a value in equal parts, as a family, `y@k = split(x, 2)`; or of a vector its numbers.

    The last index on the left counts the parts, from the first value of its range on.
    """

    keyword: ClassVar[str | None] = "split"
    linear: ClassVar[bool] = True
    shapes: ClassVar[str] = "C×H×W → C/parts×H×W; vectors likewise"
    parts: int = whole(2, 2, 2**20)
    place: int = 0

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        shapes.when_ranked([*operands, result], lambda rank: self.take(shapes, operands[0], result, rank))

    def take(self, shapes: Solver, operand: Form, result: Form, rank: int) -> None:
        (channels, *sides), (taken, *others) = shapes.dims(operand, rank), shapes.dims(result, rank)
        for one, other in zip(sides, others, strict=True):
            shapes.equal(one, other)
        reason, help = (
            f"{{}} channels do not divide into {self.parts} parts",
            "write a number of parts that divides them",
        )
        _say_multiple(shapes, channels, taken, self.parts, reason, help)

    def torch(self, operands: list[str], module: str) -> str:
        """The module is the number of the part."""
        return f"torch.chunk({operands[0]}, {self.parts}, 1)[{module or self.place}]"

    def is_view(self) -> bool:
        return True

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return all(operands)


class Flatten(Operator):
    """flatten(x): all numbers of a map as one vector, channel by channel; a vector stays as it is."""

    keyword: ClassVar[str | None] = "flatten"
    linear: ClassVar[bool] = True
    shapes: ClassVar[str] = "C×H×W → C·H·W; n → n"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        length = shapes.vector(result)
        shapes.when_ranked(operands, lambda rank: shapes.multiplied_out(length, shapes.dims(operands[0], rank)))

    def torch(self, operands: list[str], module: str) -> str:
        return f"torch.flatten({operands[0]}, 1)"

    def is_view(self) -> bool:
        return True

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return all(operands)


@dataclass(frozen=True)
class Rearrangement(Operator):
    """A linear operator that moves the numbers of a map, repeats them, or sets zeros beside them."""

    linear: ClassVar[bool] = True

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return all(operands)


_AXES = {"linear": "one axis", "bilinear": "two axes", "trilinear": "three axes"}


@dataclass(frozen=True)
class Upsample(Rearrangement):
    """upsample(x): every number repeated in a square of factor × factor, the nearest neighbour's value.

    `upsample[2, bilinear]` interpolates between the middles of pixels, and is constant beyond the outermost ones. For
    signals the word is `linear`, for volumes `trilinear`.
    """

    keyword: ClassVar[str | None] = "upsample"
    shapes: ClassVar[str] = "C×H×W → C×factor·H×factor·W"
    factor: int = whole(2, 1, _LARGEST_FACTOR)
    mode: str = choice("nearest", "bilinear", "linear", "trilinear")

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        interpolation = ("linear", "bilinear", "trilinear")[shapes.dimension - 1]
        if self.mode not in ("nearest", interpolation):
            reason = f"`{self.mode}` interpolates along {_AXES[self.mode]}, and a map has {shapes.dimension} here"
            raise Unfit(reason, f"write `upsample[{self.factor}, {interpolation}]`")
        channels, *before = shapes.map(operands[0])
        channels_out, *after = shapes.map(result)
        shapes.equal(channels_out, channels)
        for large, small in zip(after, before, strict=True):
            shapes.multiplied(large, small, self.factor)

    def torch(self, operands: list[str], module: str) -> str:
        mode = "" if self.mode == "nearest" else f', mode="{self.mode}"'
        return f"F.interpolate({operands[0]}, scale_factor={self.factor}{mode})"


@dataclass(frozen=True)
class Shuffle(Rearrangement):
    """shuffle(x): the first channel of each group, then the second of each, …, Zhang et al. 2018 (ShuffleNet)."""

    keyword: ClassVar[str | None] = "shuffle"
    shapes: ClassVar[str] = "C×H×W → the same"
    groups: int = whole(2, 2, 2**20)

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        shapes.same(result, operands[0])
        shapes.grouped(shapes.map(operands[0])[0], self.groups)

    def torch(self, operands: list[str], module: str) -> str:
        return f"F.channel_shuffle({operands[0]}, {self.groups})"


@dataclass(frozen=True)
class DepthToSpace(Rearrangement):
    """depth_to_space(x): factor² channels as one that is factor times as high and wide, Shi et al. 2016.

    Pixel shuffle: channel c·factor² + i·factor + j of pixel (y, x) becomes pixel (factor·y + i, factor·x + j).
    """

    keyword: ClassVar[str | None] = "depth_to_space"
    shapes: ClassVar[str] = "C×H×W → C/factor² × factor·H × factor·W"
    factor: int = whole(2, 2, _LARGEST_FACTOR)

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        _check_image(shapes, self.keyword)
        _say_blocks(shapes, shapes.map(operands[0]), shapes.map(result), self.factor)

    def torch(self, operands: list[str], module: str) -> str:
        return f"F.pixel_shuffle({operands[0]}, {self.factor})"


@dataclass(frozen=True)
class SpaceToDepth(Rearrangement):
    """space_to_depth(x): squares of factor × factor pixels as one with factor² as many channels, Shi et al. 2016.

    The inverse of depth_to_space.
    """

    keyword: ClassVar[str | None] = "space_to_depth"
    shapes: ClassVar[str] = "C×H×W → C·factor² × H/factor × W/factor"
    factor: int = whole(2, 2, _LARGEST_FACTOR)

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        _check_image(shapes, self.keyword)
        _say_blocks(shapes, shapes.map(result), shapes.map(operands[0]), self.factor)

    def torch(self, operands: list[str], module: str) -> str:
        return f"F.pixel_unshuffle({operands[0]}, {self.factor})"


def _check_image(shapes: Solver, keyword: str | None) -> None:
    """Raise Unfit for a map that has no squares of pixels."""
    if shapes.dimension != 2:
        axes = "1 axis" if shapes.dimension == 1 else f"{shapes.dimension} axes"
        reason = f"`{keyword}` is for images, and a map has {axes} here"
        raise Unfit(reason, "use a kernel instead, `K *_2 x` or, to enlarge a map, `K *^2 x`")


def _say_blocks(shapes: Solver, deep: Sequence[Dim], wide: Sequence[Dim], factor: int) -> None:
    """`deep` has factor² times the channels of `wide`, and is factor times as low and narrow."""
    area = f"{factor}² = {factor**2}"
    few = f"write a number of channels that {factor**2} divides, or a smaller factor"
    _say_multiple(shapes, deep[0], wide[0], factor**2, f"{{}} channels do not divide by {area}", few)
    for large, small in zip(wide[1:], deep[1:], strict=True):
        reason = f"a side of {{}} pixels does not divide into squares of {factor}×{factor}"
        _say_multiple(shapes, large, small, factor, reason, "write a factor that divides the map, or pad it first")


def _say_multiple(shapes: Solver, large: Dim, small: Dim, factor: int, reason: str, help: str) -> None:
    """`large` = factor · `small`, whichever is known first; what does not divide is refused with the reason."""

    def divide(size: Size) -> None:
        if size % factor:
            raise Unfit(reason.format(size), help)
        shapes.known(small, size // factor)

    shapes.when_known(large, divide)
    shapes.when_known(small, lambda size: shapes.known(large, size * factor))


@dataclass(frozen=True)
class Margins(Rearrangement):
    """What stands at the sides of a map: `[left, right, top, bottom, front, back]`, none where nothing is said.

    A signal has `left` and `right`; only a volume has `front` and `back`, the sides of its first axis.
    """

    left: int = whole(0, 0, _LARGEST_MARGIN)
    right: int = whole(0, 0, _LARGEST_MARGIN)
    top: int = whole(0, 0, _LARGEST_MARGIN)
    bottom: int = whole(0, 0, _LARGEST_MARGIN)
    front: int = whole(0, 0, _LARGEST_MARGIN)
    back: int = whole(0, 0, _LARGEST_MARGIN)

    def say_sides(self, shapes: Solver, small: Sequence[Dim], large: Sequence[Dim]) -> None:
        """`large` is `small` with the margins. Raises Unfit for a side that a map does not have."""
        sides = list(self.settings())
        for name in sides[2 * shapes.dimension :]:
            if getattr(self, name):
                known = ", ".join(f"`{side}`" for side in sides[: 2 * shapes.dimension])
                raise Unfit(f"a map has no `{name}` here", f"its sides are {known}")
        shapes.equal(small[0], large[0])
        widths = self.widths(shapes.dimension)
        margins = [before + behind for before, behind in zip(widths[::2], widths[1::2], strict=True)]
        what = ("numbers", "rows or columns", "planes, rows or columns")[shapes.dimension - 1]
        for inner, outer, margin in zip(small[1:], large[1:], margins[::-1], strict=True):
            _say_margin(shapes, inner, outer, margin, f"`{self.keyword}` with {margin} {what}")

    def widths(self, dimension: int) -> list[int]:
        """As torch takes them, those of the last axis first."""
        return [getattr(self, name) for name in list(self.settings())[: 2 * dimension]]


def _say_margin(shapes: Solver, inner: Dim, outer: Dim, margin: int, what: str) -> None:
    """`outer` = `inner` + margin, whichever is known first."""

    def cut(size: Size) -> None:
        if size <= margin:
            raise Unfit(f"{what} leaves nothing of {size}", "write smaller numbers in the brackets")
        shapes.known(inner, size - margin)

    shapes.when_known(outer, cut)
    shapes.when_known(inner, lambda size: shapes.known(outer, size + margin))


@dataclass(frozen=True)
class Pad(Margins):
    """pad(x): zeros around a map, so many columns and rows at each side: `pad[left, right, top, bottom]`.

    Sides that are not named get none: `pad[bottom=1]` adds one row. A signal has only `left` and `right`; a volume
    also `front` and `back`, the sides of its first axis.
    """

    keyword: ClassVar[str | None] = "pad"
    shapes: ClassVar[str] = "C×H×W → C×(top+H+bottom)×(left+W+right)"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        self.say_sides(shapes, shapes.map(operands[0]), shapes.map(result))

    def torch(self, operands: list[str], module: str) -> str:
        return f"F.pad({operands[0]}, ({', '.join(map(str, self.widths(self.dimension)))}))"


@dataclass(frozen=True)
class Crop(Margins):
    """crop(x): a map without so many columns and rows at each side: `crop[left, right, top, bottom]`.

    The inverse of pad; sides that are not named are left as they are.
    """

    keyword: ClassVar[str | None] = "crop"
    shapes: ClassVar[str] = "C×H×W → C×(H-top-bottom)×(W-left-right)"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        self.say_sides(shapes, shapes.map(result), shapes.map(operands[0]))

    def torch(self, operands: list[str], module: str) -> str:
        sides = ", ".join(str(-side) for side in self.widths(self.dimension))
        return f"F.pad({operands[0]}, ({sides}))"


@dataclass(frozen=True)
class PadChannels(Rearrangement):
    """pad_channels(x): channels of zeros before and behind those of a map, as in He et al. 2015 (option A).

    With `avgpool[1, stride=2]` it is a shortcut without parameters: `pad_channels[back=16] ∘ avgpool[1, stride=2](r)`.
    """

    keyword: ClassVar[str | None] = "pad_channels"
    shapes: ClassVar[str] = "C×H×W → (front+C+back)×H×W"
    front: int = whole(0, 0, _LARGEST_MARGIN)
    back: int = whole(0, 0, _LARGEST_MARGIN)

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        (few, *sides), (many, *others) = shapes.map(operands[0]), shapes.map(result)
        for one, other in zip(sides, others, strict=True):
            shapes.equal(one, other)
        margin = self.front + self.back
        _say_margin(shapes, few, many, margin, f"`{self.keyword}` with {margin} channels")

    def torch(self, operands: list[str], module: str) -> str:
        return f"F.pad({operands[0]}, ({'0, 0, ' * self.dimension}{self.front}, {self.back}))"
