"""The definition executed: its values are those written out by hand, its names those of the generated module."""

import re

import pytest
import torch
from networks import ROOT, build, some
from torch.nn import functional as F

from cldfc.compilation import Compilation
from cldfc.diagnostics import Problems, Source
from cldfc.reference.interpreter import evaluate_spec
from cldfc.syntax.read import read_source, read_spec

SPECS = sorted(
    [*ROOT.glob("specs/**/*.cldf"), *ROOT.glob("examples/*.cldf"), *ROOT.glob("tests/golden/compile/*.cldf")]
)


def prepared(source, side=64):
    """The tree, the generated network and random images of a spec; `side` is what the spec leaves open."""
    network = build(Compilation(source).code())
    shape = (size if isinstance(size, int) else side for size in Compilation(source).program.shape)
    images = torch.randn(2, *shape, dtype=torch.float64)
    return read_spec(source, Problems()), network.double(), images


# How often a fixed point iterates depends on numbers.
COUNTED = [path for path in SPECS if not re.search(r"= (fix|solve)\(", path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("path", some(COUNTED, 28), ids=lambda path: path.relative_to(ROOT).with_suffix("").as_posix())
def test_names_and_shapes_are_those_of_the_generated_module(path):
    """On the meta device, for nothing is computed; the reference refuses a kernel that has not the declared shape."""
    with torch.device("meta"):
        spec, network, images = prepared(read_source(path), 63 if path.parent.name == "multigrid" else 64)
        noise = torch.rand(2, 1, dtype=torch.float64)
        is_told = path.stem == "ffdnet"
        given = {"f": images, "σ": noise[:, 0]} if is_told else images
        found = evaluate_spec(spec, network.state_dict(), given, training=True)
    assert found.read | found.statistics.keys() == network.state_dict().keys()
    result = network(images, noise) if is_told else network(images)
    results = result if isinstance(result, tuple) else (result,)
    assert [output.shape for output in found.outputs.values()] == [output.shape for output in results]


FEATURES = """model Features
levels ℓ = 1..2
steps i = 1..ν
let ν@ℓ = 2, 1
input f : 3 × 8 × 8
output h : 4
kernel θ : 3×3 → 4
kernel A@ℓ : 3×3 → 2 + 2 * ℓ
kernel B@ℓ,i : 3×3 → 2 + 2 * ℓ
kernel Π : 3×3 → 6
kernel R : 1×1 → 6
let σ = relu ∘ bn
f@1 = θ * f
u@1,0 = 0
u@ℓ,i = u@ℓ,i-1 + 1/2^i * σ ∘ B@ℓ,i * relu(f@ℓ - A@ℓ * u@ℓ,i-1)
u@2,0 = Π *_2 u@1,ν
f@2 = R *_2 (f@1 - A@1 * u@1,ν) + A@2 * u@2,0
h = linear ∘ avgpool(u@2,ν)
"""


def test_values_by_name_are_those_written_by_hand():
    spec, network, images = prepared(Source("test.cldf", FEATURES))
    w = network.state_dict()
    found = evaluate_spec(spec, w, images, training=False).values

    def step(level, i, f, u):
        name = f"{level}_{i}"
        x = F.conv2d(F.relu(f - F.conv2d(u, w[f"A.{level}.weight"], padding=1)), w[f"B.{name}.weight"], padding=1)
        norm = [w[f"bn_B.{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return u + F.relu(F.batch_norm(x, *norm)) / 2**i

    f = F.conv2d(images, w["theta.weight"], padding=1)
    expected = {"f": images, "f@1": f, "u@1,0": torch.zeros_like(f)}
    expected["u@1,1"] = step(1, 1, f, expected["u@1,0"])
    expected["u@1,2"] = step(1, 2, f, expected["u@1,1"])
    expected["u@2,0"] = F.conv2d(expected["u@1,2"], w["Pi.weight"], stride=2, padding=1)
    rest = f - F.conv2d(expected["u@1,2"], w["A.1.weight"], padding=1)
    expected["f@2"] = F.conv2d(rest, w["R.weight"], stride=2)
    expected["f@2"] = expected["f@2"] + F.conv2d(expected["u@2,0"], w["A.2.weight"], padding=1)
    expected["u@2,1"] = step(2, 1, expected["f@2"], expected["u@2,0"])
    expected["h"] = F.linear(expected["u@2,1"].mean((2, 3)), w["linear.weight"], w["linear.bias"])
    assert found.keys() == expected.keys()
    assert all(torch.allclose(found[name], expected[name], rtol=1e-12, atol=1e-12) for name in expected)


def test_uses_stand_in_the_order_of_computation():
    spec, network, images = prepared(Source("test.cldf", FEATURES))
    uses = evaluate_spec(spec, network.state_dict(), images).uses
    assert [(use.module, use.value) for use in uses[:5]] == [
        ("theta", "f@1"),
        ("A.1", "u@1,1"),
        ("B.1_1", "u@1,1"),
        ("bn_B.1_1", "u@1,1"),
        ("A.1", "u@1,2"),
    ]
    assert [use.value for use in uses if use.module == "A.1"] == ["u@1,1", "u@1,2", "f@2"]


def text_of(*lines, input="2 × 4 × 4"):
    return "\n".join(["model M", f"input f : {input}", "output h : 3", *lines, ""])


def test_running_statistics_move_by_their_definition():
    spec, network, images = prepared(Source("test.cldf", text_of("h = linear ∘ avgpool ∘ bn(f)")))
    state = network.state_dict()
    state["bn_f.running_mean"] += 3
    found = evaluate_spec(spec, state, images, training=True).statistics
    assert torch.allclose(found["bn_f.running_mean"], 0.9 * 3 + 0.1 * images.mean((0, 2, 3)))
    assert torch.allclose(found["bn_f.running_var"], 0.9 + 0.1 * images.var((0, 2, 3), unbiased=True))
    assert found["bn_f.num_batches_tracked"] == 1


# A zero, and the same with a zero that has a shape.
ZEROS = {
    "x = 0 + f": "x = f",
    "x = f - σ(0)": "x = f - σ(f - f)",
    "x = f ⊙ sigmoid(0)": "x = 1/2 * f",
    "x = f + K * σ(0)": "x = f + K * σ(f - f)",
    "x = f + K * bend(0)": "x = f + K * (softplus - tanh)(f - f)",
    "x = N * concat(0, f)": "x = N * concat(f - f, f)",
    "x = N * σ(concat(f, 0))": "x = N * σ(concat(f, f - f))",
    "z = 0\nx = K * relu(z) + f - z": "x = f",
    "x = G * concat(0, O * 0, f)": "x = G * concat(f - f, O * (f - f), O * (f - f), f)",
    "z = 0\nx = (1 + ⟨z, f⟩) * f": "x = f",
}


@pytest.mark.parametrize("zero", ZEROS)
def test_a_zero_has_the_shape_that_fits(zero):
    lines = ["let σ = relu ∘ bn", "let bend = softplus - tanh", "kernel K : 3×3, 2 → 2", "kernel N : 3×3, 4 → 4"]
    lines += ["kernel O : 3×3, 2 → 1", "kernel G : 3×3, 6 → 2", "h = linear ∘ avgpool(x)"]
    spec, network, images = prepared(Source("test.cldf", text_of(zero, *lines)))
    other = read_spec(Source("test.cldf", text_of(ZEROS[zero], *lines)), Problems())
    state = network.state_dict()
    renamed = {name.replace("bn_0", "bn_f"): tensor for name, tensor in state.items()}
    found, expected = evaluate_spec(spec, state, images, True), evaluate_spec(other, renamed, images, True)
    assert torch.allclose(found.output, expected.output, rtol=1e-12, atol=1e-12)
    assert torch.allclose(network.train()(images), expected.output, rtol=1e-12, atol=1e-12)


def test_a_missing_parameter_is_named():
    spec, network, images = prepared(Source("test.cldf", FEATURES))
    state = network.state_dict()
    del state["B.1_2.weight"]
    with pytest.raises(KeyError, match=r"B\.1_2"):
        evaluate_spec(spec, state, images)


def test_a_kernel_of_another_size_is_refused():
    spec, network, images = prepared(Source("test.cldf", FEATURES))
    state = network.state_dict() | {"B.1_2.weight": torch.zeros(4, 4, 1, 1).double()}
    with pytest.raises(ValueError, match=r"B\.1_2"):
        evaluate_spec(spec, state, images)


def test_a_value_that_needs_itself_is_refused():
    text = text_of("x = y", "y = x", "h = linear ∘ avgpool(x)")
    spec = read_spec(Source("test.cldf", text), Problems())
    with pytest.raises(ValueError, match="depends on itself"):
        evaluate_spec(spec, {}, torch.zeros(1, 2, 4, 4))


def test_a_chain_may_be_long():
    lines = ["steps i = 1..1500", "x@0 = f", "x@i = x@i-1 + 1/1500 * x@i-1", "h = linear ∘ avgpool(x@1500)"]
    spec, network, images = prepared(Source("test.cldf", text_of(*lines)))
    found = evaluate_spec(spec, network.state_dict(), images).values["x@1500"]
    assert torch.allclose(found, images * (1 + 1 / 1500) ** 1500, rtol=1e-11)


def test_dropout_draws_from_the_generator_of_torch():
    spec, network, images = prepared(Source("test.cldf", text_of("h = linear ∘ avgpool ∘ dropout[0.25](f)")))
    torch.manual_seed(4)
    dropped = F.dropout(images, 0.25)
    torch.manual_seed(4)
    found = evaluate_spec(spec, network.state_dict(), images, training=True).output
    assert torch.allclose(found, network.linear(dropped.mean((2, 3))))
