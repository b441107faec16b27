"""`shared`, `zero_sum`, `symmetric`, `unit_norm`: what they are for, what is stored, and where they do not fit."""

from dataclasses import replace

import pytest
import torch
from networks import build, randomise, trained_and_folded

from cldfc.algebra.linearity import operators_of, what_breaks_linearity
from cldfc.compilation import Compilation
from cldfc.diagnostics import CldfError, Source
from cldfc.verify.equivalence import verify_forms
from cldfc.verify.outcome import candidates_of
from cldfc.weights.import_weights import import_weights


def compiled(kernel, value="K * f", shape="4 × 7 × 9"):
    head = ["model M", "input f : 4 × 7 × 9", f"output u : {shape}", f"kernel K : {kernel}", f"u = {value}", ""]
    return Compilation(Source("t.cldf", "\n".join(head)))


def network_of(kernel, *more):
    torch.manual_seed(2)
    return build(compiled(kernel, *more).code()).double()


def pairing(x, y):
    return float((x * y).sum().detach())


@pytest.mark.parametrize(
    "kernel",
    [
        "3×3 → 4, symmetric",
        "5×3 → 4, symmetric, circular",
        "3×3 → 4, dilation 2, symmetric",
        "3×3 → 4, groups 2, symmetric, zero_sum",
        "3×3 each, symmetric, unit_norm",
        "3×3 each shared, symmetric",
        "1×1 → 4, symmetric",
    ],
)
def test_a_symmetric_kernel_is_its_own_adjoint(kernel):
    """⟨A * x, y⟩ = ⟨x, A * y⟩ before and after training, which the same kernel without the rule does not obey."""
    network = network_of(kernel)
    x, y = torch.randn(2, 2, 4, 7, 9, dtype=torch.float64)
    optimizer = torch.optim.Adam(network.parameters(), 0.1)
    for _ in range(3):
        assert pairing(network(x), y) == pytest.approx(pairing(x, network(y)), rel=1e-12)
        optimizer.zero_grad()
        (network(x) - y).square().sum().backward()
        optimizer.step()
    plain = network_of(kernel.replace(", symmetric", ""))
    assert abs(pairing(plain(x), y) - pairing(x, plain(y))) > 1e-3


def test_the_adjoint_of_a_symmetric_kernel_is_itself():
    one, other = (network_of("3×3 → 4, symmetric", value) for value in ("K * f", "Kᵀ * f"))
    x = torch.randn(2, 4, 7, 9, dtype=torch.float64)
    assert torch.allclose(one(x), other(x), rtol=1e-13, atol=1e-13)


def test_zero_sum_gives_zero_for_channels_that_are_constant():
    network = network_of("3×3 → 4, zero_sum, circular")
    x = torch.randn(2, 4, 1, 1, dtype=torch.float64).expand(2, 4, 7, 9)
    assert network(x).abs().max() < 1e-14
    assert network(torch.randn(2, 4, 7, 9, dtype=torch.float64)).abs().max() > 0.1


def test_shared_stays_one_kernel_while_training():
    network, many = network_of("3×3 each shared = laplace5"), network_of("3×3 each = laplace5")
    x = torch.randn(2, 4, 7, 9, dtype=torch.float64)
    assert torch.allclose(network(x), many(x), rtol=1e-13)
    assert [p.numel() for p in network.parameters()] == [9] and [p.numel() for p in many.parameters()] == [36]
    assert compiled("3×3 each shared = laplace5").cost.parameters == 9
    for each in (network, many):
        (each(x) * x.abs()).sum().backward()
    assert torch.allclose(network.K.weight.grad, many.K.weight.grad.sum(0, keepdim=True), rtol=1e-12)


RULES = ["zero_sum", "symmetric", "unit_norm", "zero_sum, symmetric", "unit_norm, zero_sum"]


@pytest.mark.parametrize("rules", RULES)
def test_a_weight_that_obeys_its_rules_is_used_as_it_is(rules):
    """So weights load under the names, and in the shapes, of the same network without rules."""
    network = network_of(f"3×3 → 4, {rules}")
    x = torch.randn(2, 4, 7, 9, dtype=torch.float64)
    rows = torch.eye(4 * 7 * 9, dtype=torch.float64).reshape(-1, 4, 7, 9)
    columns = network(rows)
    plain = network_of("3×3 → 4")
    middle = columns.reshape(4, 7, 9, 4, 7, 9)[:, 3, 4, :, 2:5, 3:6]
    with torch.no_grad():
        plain.K.weight.copy_(middle.transpose(0, 1).flip(2, 3))
    assert torch.allclose(plain(x), network(x), rtol=1e-12, atol=1e-13)
    network.load_state_dict(plain.state_dict())
    assert torch.allclose(plain(x), network(x), rtol=1e-12, atol=1e-13)
    state = {f"theirs.{name}": tensor for name, tensor in plain.state_dict().items()}
    names = import_weights(network, state)
    assert names == {"theirs.K.weight": "K.weight"}


def test_norms_behind_such_kernels_are_not_folded():
    text = "\n".join(
        [
            "model M",
            "input f : 4 × 7 × 9",
            "output h : 5",
            "kernel A : 3×3 → 4, symmetric",
            "kernel B : 3×3 → 4",
            "kernel C : 3×3 each shared",
            "h = linear ∘ avgpool ∘ relu ∘ bn ∘ C * relu ∘ bn fixed ∘ B * relu ∘ bn ∘ A * f",
            "",
        ]
    )
    folded = Compilation(Source("t.cldf", text)).folded()
    assert folded.count == 1
    reasons = {kept.kernel[0]: kept.reason for kept in folded.kept}
    assert "`symmetric`" in reasons["A"] and "`shared`" in reasons["C"]
    trained, inference = trained_and_folded(folded)
    x = torch.randn(2, 4, 7, 9, dtype=torch.float64)
    assert torch.allclose(trained(x), inference(x), rtol=1e-11, atol=1e-11)


RESIDUAL = """model M
steps i = 1..3
input f : 4 × 8 × 8
output h : 5
kernel A : 3×3 → 4, symmetric, zero_sum
kernel B@i : 3×3 each shared
let 𝒜 = A *
u@0 = 0
u@i = u@i-1 + relu ∘ B@i * relu(f - 𝒜(u@i-1))
h = linear ∘ avgpool(u@3)
"""


def test_such_a_kernel_is_linear_for_theorem_1():
    spec = Compilation(Source("t.cldf", RESIDUAL))
    (operator,) = operators_of(spec.written.program.spec)
    assert what_breaks_linearity(operator, spec.written.program.spec) == ()
    candidates = candidates_of(spec)
    assert [candidate.name for candidate in candidates] == ["written", "simplified", "residual"]
    assert verify_forms(spec, candidates, 1e-11).agrees


def test_verify_names_the_value_at_which_another_rule_shows():
    spec = Compilation(Source("t.cldf", RESIDUAL))
    written, *_ = candidates_of(spec)
    wrong = written.code.replace("(weight + adjoint) / 2", "(weight + adjoint) / 3")
    assert wrong != written.code
    found = verify_forms(spec, (replace(written, code=wrong),), 1e-11)
    assert not found.agrees


def test_a_stride_that_differs_from_level_to_level():
    text = RESIDUAL.replace("steps i = 1..3", "steps i = 1..3\nlet s@i = 1, 2, 1")
    text = text.replace("kernel A : 3×3 → 4, symmetric", "kernel A@i : 3×3 → 4, unit_norm").replace("let 𝒜 = A *\n", "")
    lines = [line for line in text.splitlines() if not line.startswith(("u@", "h ="))]
    lines += ["u@0 = f", "u@i = relu ∘ A@i *_{s@i} B@i * u@i-1", "h = linear ∘ avgpool(u@3)", ""]
    spec = Compilation(Source("t.cldf", "\n".join(lines)))
    assert verify_forms(spec, candidates_of(spec), 1e-12).agrees


@pytest.mark.parametrize(
    ("kernel", "value", "said"),
    [
        ("3×3 → 4, shared", "K * f", "write `each` in their place"),
        ("3×3 each shared, bias", "K * f", "add a vector"),
        ("3×3 each, zero_sum = laplace5 fixed", "K * f", "nothing has to keep it `zero_sum`"),
        ("3×3 each, zero_sum = average", "K * f", "those given add up to 1"),
        ("3×3 each, symmetric = [1 2 3; 4 5 6; 7 8 9]", "K * f", "are others when they are read from the end"),
        ("3×3 → 4, symmetric, unit_norm", "K * f", "cannot be both"),
        ("3×3 → 4, unit_norm, start zero", "K * f", "starts from zero"),
        ("3×3 each, unit_norm = [0 0 0; 0 0 0; 0 0 0]", "K * f", "starts from zero"),
        ("1×1 → 4, zero_sum", "K * f", "a single number whose sum is 0 is 0"),
        ("3×3 → 8, symmetric", "K * f", "as many input as output channels, not 4 and 8"),
        ("3×3 → 4, symmetric", "K *_2 f", "from a map to one of the same size"),
        ("3×3 → 4, symmetric", "K *^2 f", "from a map to one of the same size"),
        ("3×3 → 4, symmetric, valid", "K * f", "from a map to one of the same size"),
        ("2×2 → 4, symmetric, padding 1", "K * f", "from a map to one of the same size"),
        ("3×3 → 4, symmetric, reflect", "K * f", "write `circular`"),
        ("4×4 → 4, unit_norm", "K *^2 f", "prolong by the adjoint of a convolution"),
        ("3×3 → 4, symmetric, symmetric", "K * f", "`symmetric` is given twice"),
    ],
)
def test_errors(kernel, value, said):
    with pytest.raises(CldfError) as caught:
        _ = compiled(kernel, value).written
    texts = [text for d in caught.value.diagnostics for text in (d.message, d.help)]
    assert any(said in text for text in texts), texts


def test_frozen_statistics_and_weights_stay_in_a_training_step():
    head = ["model M", "input f : 4 × 7 × 9", "output u : 4 × 7 × 9", "kernel K : 3×3 → 4", "u = bn fixed ∘ K * f", ""]
    network = build(Compilation(Source("t.cldf", "\n".join(head))).code()).double().train()
    randomise(network)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network(torch.randn(2, 4, 7, 9, dtype=torch.float64)).square().sum().backward()
    torch.optim.SGD(network.parameters(), 0.1, weight_decay=0.1).step()
    moved = [name for name, tensor in network.state_dict().items() if not torch.equal(before[name], tensor)]
    assert moved == ["K.weight"]
    plain = build(Compilation(Source("t.cldf", "\n".join(head).replace(" fixed", ""))).code())
    assert set(plain.state_dict()) == set(network.state_dict())
