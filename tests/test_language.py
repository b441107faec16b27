"""All forms of the language compile to the mathematics: generated networks equal networks written by hand."""

import pytest
import torch
from handwritten_networks import (
    Damped,
    DenseNet,
    Dilated,
    LeNet5,
    Lista,
    Numbers,
    Operators,
    Reductions,
    ResNeXt,
    Tied,
    TwoStep,
    UNet,
    VCycleMgNet,
)
from networks import ROOT, build, compare, compile_text, some

from cldfc.diagnostics import CldfError, Source
from cldfc.syntax.arrange import format_source

TOLERANCE = 1e-12
GOLDEN = ROOT / "tests" / "golden" / "compile"


def square(size: int, *widths: tuple[int, int]) -> int:
    """Numbers in kernels of size × size, given the channels before and after each."""
    return sum(size * size * cin * cout for cin, cout in widths)


# Each count is worked out from the spec: kernels, 2 numbers for each channel of a normalisation, the classifier.
CASES = {
    "mgnet_v_cycle": (
        VCycleMgNet,
        square(3, (3, 4), (4, 4), (6, 6), (8, 8))  # θ, A
        + square(3, *[(4, 4)] * 5, *[(6, 6)] * 2, *[(8, 8)] * 2)  # B: 2, 1, 2 times; C: 3, 1 times
        + 3 * square(3, (4, 6))  # Π, R, P between levels 1 and 2
        + 2 * square(3, (6, 8))  # Π, R between levels 2 and 3
        + square(3, (8, 6))  # P
        + 2 * 4  # θ's normalisation
        + 2 * 2 * (5 * 4 + 2 * 6 + 2 * 8)  # two of them for each B and C
        + 5 * (4 + 1),
    ),
    "densenet": (
        DenseNet,
        square(3, (3, 8), (8, 4), (12, 4), (16, 4), (10, 4), (14, 4))
        + square(1, (20, 10))
        + 2 * (8 + 12 + 16 + 20 + 10 + 14 + 18)
        + 5 * (18 + 1),
    ),
    "two_step": (
        TwoStep,
        square(3, (3, 4), *[(4, 4)] * 4, *[(6, 6)] * 3, (4, 6), (4, 6)) + 2 * (4 + 3 * 4 + 2 * 6) + 5 + 5 * (6 + 1),
    ),
    "damped": (Damped, square(3, (3, 4), *[(4, 4)] * 8) + 2 * 4 * 11 + 3 + 5 * (4 + 1)),
    "unet": (
        UNet,
        square(3, (1, 3), (3, 3), (3, 6), (6, 6), (6, 12), (12, 12))
        + 2 * (3 + 6 + 12)
        + square(2, (12, 6), (6, 3))
        + (6 + 3)
        + square(3, (12, 6), (6, 6), (6, 3), (3, 3))
        + 2 * 2 * (6 + 3)
        + 5 * (3 + 1),
    ),
    "resnext": (
        ResNeXt,
        square(3, (3, 8))
        + 2 * (square(1, (8, 4), (4, 8)) + square(3, (4, 4)) // 2)
        + 3 * (square(1, (16, 8), (8, 16)) + square(3, (8, 8)) // 4)
        + (square(1, (8, 8), (8, 16)) + square(3, (8, 8)) // 4)
        + square(1, (8, 16))
        + 2 * (8 + 2 * (4 + 4 + 8) + 4 * (8 + 8 + 16) + 16)
        + 5 * (16 + 1),
    ),
    "lenet": (LeNet5, square(5, (1, 6), (6, 16)) + 6 + 16 + 12 * (192 + 1) + 8 * (12 + 1) + 10 * (8 + 1)),
    "ties": (
        Tied,
        square(3, (3, 4), *[(4, 4)] * (4 + 5)) + square(1, *[(4, 4)] * 3) + 2 * 4 * (1 + 2 * 9) + 5 * (4 + 1),
    ),
    "dilated": (
        Dilated,
        square(5, (3, 4)) + square(3, *[(4, 4)] * 3, (2, 6)) + 6 + square(2, (6, 3)) + 2 * 4 * 4 + 5 * (3 + 1),
    ),
    "numbers_and_gates": (
        Numbers,
        square(3, (3, 4), *[(4, 4)] * (2 + 5 + 1)) + square(1, *[(4, 4)] * 5) + 4 * 5 + 5 * (4 + 1),
    ),
    "reductions": (
        Reductions,
        square(3, (3, 4), *[(4, 4)] * (5 + 1)) + square(1, *[(4, 4)] * 9) + 2 * 4 * 9 + 5 * (12 + 1),
    ),
    "operators": (
        Operators,
        square(3, (3, 16), (16, 16)) + square(1, (16, 16)) + 2 * 3 * 16 + 8 * 49 + 2 * 8 + 6 * 9 + 2 * 6 + 5 * 7,
    ),
    "lista": (Lista, square(3, *[(1, 6)] * 4, (6, 1)) + 4 + 5 * (6 + 1)),
}
SHAPES = {
    "mgnet_v_cycle": (3, 12, 12),
    "unet": (1, 8, 12),
    "lenet": (1, 16, 12),
    "dilated": (3, 12, 10),
    "operators": (3, 9, 11),
    "lista": (1, 8, 8),
}


@pytest.fixture(params=CASES)
def case(request):
    text = (GOLDEN / f"{request.param}.cldf").read_text(encoding="utf-8")
    torch.manual_seed(0)
    by_hand, count = CASES[request.param]
    return build(compile_text(text)), by_hand(), count, torch.randn(3, *SHAPES.get(request.param, (3, 8, 8)))


def test_generated_equals_hand_written(case):
    generated, by_hand, _, images = case
    has_dropout = isinstance(by_hand, Operators)
    modes = (False,) if has_dropout else (False, True)
    assert compare(generated, by_hand, str, images, modes) < TOLERANCE


def test_parameters_counted_by_hand(case):
    generated, by_hand, count, _ = case
    assert sum(p.numel() for p in by_hand.parameters()) == count
    assert sum(p.numel() for p in generated.parameters()) == count


def test_start_of_scalars(case):
    """A scalar starts where its declaration says; a fixed one is no parameter."""
    generated, by_hand, _, _ = case
    start = {name: p.item() for name, p in by_hand.named_parameters() if not p.dim()}
    assert {name: p.item() for name, p in generated.named_parameters() if not p.dim()} == start


def test_dropout_drops_in_training_alone():
    network = build(compile_text((GOLDEN / "operators.cldf").read_text(encoding="utf-8")))
    images = torch.randn(3, 3, 9, 11)
    network.train()
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


# Ten or twenty times as many steps; dilations of 2^60 are left out of that.
MORE_STEPS = {
    "reductions": [("ν@ℓ = 3, 2", "ν@ℓ = 30, 20")],
    "mgnet_v_cycle": [("ν@ℓ = 2, 1, 2", "ν@ℓ = 40, 20, 40"), ("μ@ℓ = 3, 1, 0", "μ@ℓ = 60, 20, 0")],
    "densenet": [("ν@ℓ = 3, 2", "ν@ℓ = 60, 40")],
    "two_step": [("ν@ℓ = 3, 2", "ν@ℓ = 60, 40")],
    "damped": [("ν@ℓ = 2, 3", "ν@ℓ = 40, 60")],
    "resnext": [("ν@ℓ = 2, 3", "ν@ℓ = 40, 60")],
    "ties": [("ν@ℓ = 2, 3, 2", "ν@ℓ = 40, 60, 40")],
    "dilated": [("2^i", "i"), ("ν = 3", "ν = 60")],
    "numbers_and_gates": [("ν@ℓ = 2, 3", "ν@ℓ = 40, 60")],
    "lista": [("ν = 4", "ν = 80")],
}


@pytest.mark.parametrize("name", some(MORE_STEPS, 2))
def test_length_does_not_grow_with_the_steps(name):
    text = (GOLDEN / f"{name}.cldf").read_text(encoding="utf-8")
    few = text.replace("2^i", "i") if name == "dilated" else text
    many = text
    for old, new in MORE_STEPS[name]:
        assert old in many
        many = many.replace(old, new)
    assert len(compile_text(many).splitlines()) == len(compile_text(few).splitlines())


# Precedence and parentheses: an expression of the spec, and the same of tensors x, y and a scalar w; k = 2.
EXPRESSIONS = {
    "-x": lambda x, y, w: -x,
    "x - (y - x)": lambda x, y, w: 2 * x - y,
    "x - (-y)": lambda x, y, w: x + y,
    "0 + x - 0": lambda x, y, w: x,
    "2 * (x + y)": lambda x, y, w: 2 * x + 2 * y,
    "(x + y) ⊙ (x - y)": lambda x, y, w: x * x - y * y,
    "-(x ⊙ y)": lambda x, y, w: -x * y,
    "x - 2 * (y - x) - y": lambda x, y, w: 3 * x - 3 * y,
    "w * (x - y) ⊙ y": lambda x, y, w: w * x * y - w * y * y,
    "x ⊙ (y ⊙ x)": lambda x, y, w: x * x * y,
    "x ⊙ (w * y)": lambda x, y, w: w * x * y,
    "w * w * x": lambda x, y, w: w * w * x,
    "-w * x": lambda x, y, w: -w * x,
    "(1/3 - k) * x": lambda x, y, w: -5 * x / 3,
    "(2 - 5) * x ⊙ y": lambda x, y, w: -3 * x * y,
    "1/(k+1) * x": lambda x, y, w: x / 3,
    "1/k/2 * x": lambda x, y, w: x / 4,
    "6/2*3 * x": lambda x, y, w: 9 * x,
    "2^(-1) * x": lambda x, y, w: x / 2,
    "-2^2 * x": lambda x, y, w: -4 * x,
    "concat(x, y, x - y)": lambda x, y, w: torch.cat((x, y, x - y), 1),
    "sum(x, y)": lambda x, y, w: x + y,
    "(relu - 2 * tanh)(x)": lambda x, y, w: x.relu() - 2 * x.tanh(),
    "(identity + w * tanh) ∘ x": lambda x, y, w: x + w * x.tanh(),
    "identity(x + y) ⊙ x": lambda x, y, w: x * x + x * y,
}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression(expression):
    lines = ["model M", "let k = 2", "input f : 2 × 4 × 4", "output h : 3", "scalar w = 0.7"]
    lines += ["kernel A : 3×3 → 2", "kernel B : 3×3 → 2", "x = A * f", "y = B * f", f"z = {expression}"]
    torch.manual_seed(0)
    network = build(compile_text("\n".join([*lines, "h = linear ∘ avgpool(concat(w * z, y))"]))).double()
    images = torch.randn(2, 2, 4, 4).double()
    x, y = network.A(images), network.B(images)
    z = network.w * EXPRESSIONS[expression](x, y, network.w)
    expected = network.linear(torch.cat((z, y), 1).mean((2, 3)))
    assert torch.allclose(network(images), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("constant", "written", "few"), [("ν", "for i >= 2", "i = 1"), ("J", "for ℓ >= 2", "ℓ = 1")])
def test_a_constant_may_leave_nothing_of_a_range(constant, written, few):
    """One step is as the equation of the first step alone says it; the other one has nothing to define."""
    lines = [
        "model Net",
        "levels ℓ = 1..J",
        "steps i = 1..ν",
        "input f : 4 × 8 × 8",
        "output h : 3",
        "kernel B@ℓ,i : 3×3 → 4",
        "r@1,0 = f",
        "r@ℓ+1,0 = r@ℓ,ν",
        f"r@ℓ,i = B@ℓ,i * relu(r@ℓ,i-1) for {few}",
        "h = linear ∘ avgpool(r@J,ν)",
    ]
    sizes = {"J": 2, "ν": 2, constant: 1}
    lines += [f"let {name} = {size}" for name, size in sizes.items()]
    other = f"r@ℓ,i = r@ℓ,i-1 + B@ℓ,i * r@ℓ,i-1 {written}"
    # The equations stand in the docstring of the module.
    one, two = (compile_text("\n".join(text)).split('"""', 2)[2] for text in ([*lines, other], lines))
    assert one == two


@pytest.mark.parametrize("range", ["1..4", r"1, \ldots, 4"])
def test_a_range_that_numbers_leave_empty_is_refused(range):
    """However it is written: no constant has made it small."""
    lines = ["model Net", f"steps i = {range}", "input f : 4 × 8 × 8", "output h : 3"]
    with pytest.raises(CldfError, match=r"`i >= 7` leaves no value of i = 1\.\.4"):
        compile_text("\n".join([*lines, "u@i = f for i >= 7", "h = linear ∘ avgpool(f)"]))


CONSTANTS = "model Net\nlevels ℓ = 1..2\nsteps i = {range}\nlet c@ℓ = {width}\ninput f : 4 × 8 × 8\noutput h : 3\n"


def of_constants(range: str, width: str) -> str:
    return CONSTANTS.format(range=range, width=width) + "kernel A : 3×3 → c@1\nh = linear ∘ avgpool(A * f)\n"


def test_a_constant_may_be_declared_value_by_value():
    """Its values go from the first of its declarations to the last, not to the second."""
    head = "model Cases\nlevels ℓ = 1..4\ninput f : 3 × 8 × 8\noutput h : 6\n"
    rest = "kernel A@ℓ : 3×3 → c@ℓ\nx@0 = f\nx@ℓ = A@ℓ * x@ℓ-1 for ℓ = 1..4\nh = avgpool ∘ x@4\n"
    network = build(compile_text(f"{head}let c@1 = 4\nlet c@2 = 8\nlet c@3 = 5\nlet c@4 = 6\n{rest}"))
    assert sum(p.numel() for p in network.parameters()) == square(3, (3, 4), (4, 8), (8, 5), (5, 6))


def test_a_range_is_at_most_100_000_long():
    compile_text(of_constants("1..100000", "4"))
    with pytest.raises(CldfError, match=r"the range of `i` is longer than 100,000: it goes from 0 to 100000"):
        compile_text(of_constants("0..100000", "4"))


def test_a_number_that_cannot_be_computed_is_told_with_the_indices():
    with pytest.raises(CldfError, match=r"`4/\(ℓ-1\)` is not a number at ℓ = 1: it divides by zero"):
        compile_text(of_constants("1..2", "4/(ℓ-1)"))


WITH_VERSION = "cldf 1\nmodel Net\ninput f : 1 × 8 × 8\noutput h : 10\nh = linear ∘ avgpool(f)\n"


def test_a_version_changes_nothing_and_stays():
    assert compile_text(WITH_VERSION) == compile_text(WITH_VERSION.removeprefix("cldf 1\n"))
    assert format_source(Source("test.cldf", WITH_VERSION), "latex").startswith("cldf 1\n")


def test_of_another_version_nothing_else_is_read():
    with pytest.raises(CldfError) as caught:
        compile_text("cldf 2\nmodel = Net\nsomething of tomorrow\n")
    assert [error.code for error in caught.value.diagnostics] == ["E0110"]
