"""What the compiler says of signs and linearity, against the numbers."""

import pytest
import torch
from networks import build, compile_text, randomise

from cldfc.algebra.linearity import operators_of, what_breaks_linearity
from cldfc.compilation import Compilation
from cldfc.diagnostics import CldfError, Problems, Source
from cldfc.syntax.parse import parse_spec

HEAD = """model Tried
input f : 2 × 4 × 4
kernel A : 3×3 → 2
kernel B : 3×3 → 2, bias
scalar w = 2
let σ = relu ∘ bn
"""

# An expression, whether it is proved to be ≥ 0 for every f, and how many numbers it has.
SIGNS = {
    "relu(f)": (True, 32),
    "relu(f) + abs(f)": (True, 32),
    "relu(f) - softplus(f)": (False, 32),
    "2 * relu(f)": (True, 32),
    "-1/2 * relu(f)": (False, 32),
    "w * relu(f)": (False, 32),
    "relu(f) ⊙ sigmoid(f)": (True, 32),
    "abs(f) ⊙ tanh(f)": (False, 32),
    "maxpool[2] ∘ relu(f)": (True, 8),
    "maxpool[2](f)": (False, 8),
    "avgpool[2] ∘ abs(f)": (True, 8),
    "concat(relu(f), softplus(f))": (True, 64),
    "concat(relu(f), f)": (False, 64),
    "A * relu(f)": (False, 32),
    "σ ∘ A * f": (True, 32),
    "bn ∘ relu(f)": (False, 32),
    "sum(j = 1..2 : j * relu(f))": (True, 32),
    "sum(j = 0..2 : (j-1) * abs(f)) - abs(f)": (False, 32),
    "upsample ∘ relu(f)": (True, 128),
    "leaky_relu ∘ relu(f)": (True, 32),
    "leaky_relu(f)": (False, 32),
    "soft_threshold ∘ relu(f)": (True, 32),
    "silu(f)": (False, 32),
    "max(A * f, relu(f))": (True, 32),
    "max(A * f, f)": (False, 32),
    "min(A * f, relu(f))": (False, 32),
    "min(abs(f), relu(f))": (True, 32),
    "dropout ∘ relu(f)": (True, 32),
    "identity ∘ relu(f) + 0": (True, 32),
}


@pytest.mark.parametrize("expression", SIGNS)
def test_signs(expression):
    is_proved, numbers = SIGNS[expression]
    text = f"{HEAD}output h : {numbers}\ny = {expression}\nh = flatten(y)\n"
    network = build(compile_text(text)).double()
    randomise(network)
    with torch.no_grad():
        lowest = min(network(torch.randn(8, 2, 4, 4, dtype=torch.float64)).min() for _ in range(20))
    constrained = Source("test.cldf", f"{text}constrain y >= 0\n")
    if is_proved:
        Compilation(constrained).check()
        assert lowest >= 0
    else:
        with pytest.raises(CldfError) as caught:
            Compilation(constrained).check()
        assert [diagnostic.code for diagnostic in caught.value.diagnostics] == ["E0603"]
        assert lowest < 0 or expression == "w * relu(f)"  # negative when ω is, which training decides


# An operator, and what breaks its linearity; in training mode, where bn is no affine map.
LINEARITY = {
    "A *": (),
    "A *_2 A *": (),
    "2 * A * - identity": (),
    "w * A *": (),
    "avgpool[2] ∘ A *": (),
    "upsample": (),
    "B *": ("the bias of B",),
    "A * relu": ("relu",),
    "relu ∘ A * relu": ("relu",),
    "σ ∘ A *": ("relu", "bn"),
    "bn ∘ A *": ("bn",),
    "A * ⊙ A *": ("⊙",),
    "A * + tanh": ("tanh",),
    "sum(j = 1..2 : j * A *)": (),
    "sum(j = 1..2 : j * abs)": ("abs",),
    "maxpool[2] ∘ A *": ("maxpool",),
}


@pytest.mark.parametrize("operator", LINEARITY)
def test_linearity(operator):
    numbers = 8 if "_2" in operator or "pool" in operator else 128 if operator == "upsample" else 32
    text = f"{HEAD}output h : {numbers}\nlet G = {operator}\nh = flatten ∘ G(f)\n"
    spec = parse_spec(Source("test.cldf", text), Problems())
    let = next(let for let in operators_of(spec) if let.symbol.name == "G")
    broken = what_breaks_linearity(let, spec)
    assert broken == LINEARITY[operator]
    network = build(compile_text(text)).double()
    randomise(network)
    x, y = torch.randn(2, 4, 2, 4, 4, dtype=torch.float64)
    with torch.no_grad():
        difference = network(2 * x - 3 * y) - (2 * network(x) - 3 * network(y))
    assert (difference.abs().max() < 1e-10) == (not broken)


# The same of operators with named operands and of recursive ones; f is the image, k another value.
FIX = "tol 1e-14, steps 200"
OF_VALUES = {
    "(x) = x + A * x": (),
    "(x) = x + 1": ("a constant term",),
    "(x) = k": ("a constant term",),
    "(x) = ⟨x, k⟩ * x": ("*",),
    "(x) = ⟨x, k⟩ * k": (),
    "(x) = ⟨x, x⟩ * k": ("⟨·,·⟩",),
    "(x) = ‖x‖ * k": ("‖·‖",),
    "(x) = x ⊙ k": (),
    "(x) = x / w": (),
    "(x) = w / (3 + x)": ("/",),
    "(x) = max(x, k)": ("max",),
    f"(x) = fix(u : 0.02 * A * u + x, {FIX})": (),
    f"(x) = fix(u : 0.02 * A * u + x + k, {FIX})": ("a constant term",),
    f"(x) = fix(u : relu(0.02 * A * u + x), {FIX})": ("relu",),
    f"(x) = fix(u : 0.02 * (A * u) ⊙ tanh(x) + x, {FIX})": ("⊙", "tanh"),
    f"(x) = solve(u : 9 * u + Aᵀ * A * u = x, by cg, {FIX})": (),
    f"(x) = solve(u : 9 * u + Aᵀ * A * u = relu(x), by cg, {FIX})": ("relu",),
    f"(x) = solve(u : 9 * u + Aᵀ * A * u = x + k, by cg, {FIX})": ("a constant term",),
    "(x) = unpool[2](avgpool[2](x), k)": (),
    "(x) = unpool[2](avgpool[2](x), x)": ("unpool",),
    "@2 = 1/4 * identity\nlet G@ℓ = A * + A * G@ℓ+1 ∘ A * for ℓ = 1..1": (),
    "@ℓ = A * + A * G@ℓ+1 ∘ A * for ℓ = 1..1\nlet G@2 = 1/4 * identity": (),
    "@2 = 1/4 * relu\nlet G@ℓ = A * + A * G@ℓ+1 ∘ A * for ℓ = 1..1": ("relu",),
    "@2 = 1/4 * identity\nlet G@ℓ(x) = x + G@ℓ+1(A * x) for ℓ = 1..1": (),
    "@2 = 1/4 * identity\nlet G@ℓ(x) = k + G@ℓ+1(A * x) for ℓ = 1..1": ("a constant term",),
}


@pytest.mark.parametrize("operator", OF_VALUES)
def test_linearity_of_operators_with_named_operands_and_of_recursive_ones(operator):
    at = "@1" if operator.startswith("@") else ""
    text = f"{HEAD}output h : 32\nlevels ℓ = 1..2\nk = 1 + 0 * relu(f)\nlet G{operator}\nh = flatten ∘ G{at}(f)\n"
    spec = parse_spec(Source("test.cldf", text), Problems())
    let = next(let for let in operators_of(spec) if let.symbol.name == "G")
    broken = what_breaks_linearity(let, spec)
    assert broken == OF_VALUES[operator]
    network = build(compile_text(text)).double()
    randomise(network)
    x, y = torch.randn(2, 4, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        difference = network(2 * x - 3 * y) - (2 * network(x) - 3 * network(y))
    assert (difference.abs().max() < 1e-10) == (not broken)


def test_constants_are_no_operators():
    spec = parse_spec(Source("test.cldf", "let a = 1\nlet b@ℓ = 2 * a\nlet σ = relu\nlet 𝒜@ℓ = 2 * σ\n"), Problems())
    assert [let.symbol.name for let in operators_of(spec)] == ["σ", "𝒜"]


@pytest.mark.parametrize(
    ("tag", "breaks"),
    [
        ("", True),
        ("@ℓ,i", True),
        ("@1,i", False),
        ("@ℓ,0", False),
        ("@2,0", False),
        ("@2,1", True),
        ("@2,i", True),
        ("@ℓ,ν", True),
        ("@1,ν", False),
        ("@ℓ,i-1", True),
        ("@i,i", True),
        ("@ℓ,ℓ-1", False),
    ],
)
def test_a_constraint_speaks_of_the_values_of_its_tag(tag, breaks):
    """Level 1 adds relu ∘ A * u, level 2 adds A * u; a name stands for every index, twice for the same."""
    lines = ["model M", "levels ℓ = 1..2", "steps i = 1..ν", "let ν@ℓ = 2, 2", "input f : 3 × 8 × 8", "output h : 2"]
    lines += ["kernel A@ℓ,i : 3×3 → 3", "u@1,0 = relu(f)", "u@1,i = u@1,i-1 + relu ∘ A@1,i * u@1,i-1", "u@2,0 = u@1,2"]
    if tag == "@ℓ,ℓ-1":
        lines.append("u@2,i = u@2,i-1 + relu(A@2,i * u@2,i-1) for i <= 1")
        lines.append("u@2,i = u@2,i-1 + A@2,i * u@2,i-1 for i >= 2")
    else:
        lines.append("u@2,i = u@2,i-1 + A@2,i * u@2,i-1")
    source = Source("test.cldf", "\n".join([*lines, "h = linear ∘ avgpool(u@2,2)", f"constrain u{tag} >= 0"]))
    if breaks:
        with pytest.raises(CldfError) as caught:
            Compilation(source).check()
        assert [found.code for found in caught.value.diagnostics] == ["E0603"]
    else:
        Compilation(source).check()
