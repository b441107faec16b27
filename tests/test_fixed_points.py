"""`fix` and `solve`: against long unrolled iterations and dense matrices, values and gradients; what autograd keeps."""

import copy
import re

import pytest
import torch
from networks import ROOT, build
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

from cldfc.compilation import Compilation
from cldfc.diagnostics import CldfError, Source
from cldfc.verify.equivalence import tolerance_for, verify_forms
from cldfc.verify.outcome import candidates_of

HEAD = """model M
levels ℓ = 1..2
input  f : 2 × 8 × 8
output h : 3
kernel θ : 3×3 → 4
kernel A : 3×3 → 4, start normal(0.08)
kernel B : 3×3 → 4, start normal(0.08)
scalar ω = 0.5
g = θ * f
"""
# Where the reference looks for fixed points within fixed points.
QUICK = HEAD.replace("8 × 8", "4 × 4").replace("0.08", "0.02")


def compiled(expression, head=HEAD, rest=""):
    return Compilation(Source("t.cldf", f"{head}{rest}u = {expression}\nh = linear ∘ avgpool(u)\n"))


def network_of(expression, rest="", seed=0):
    torch.manual_seed(seed)
    return build(compiled(expression, rest=rest).code()).double()


def images(count=2):
    return torch.randn(count, 2, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def head(network, u):
    return network.linear(u.mean((2, 3)))


def gradients(network, output):
    network.zero_grad()
    output.square().sum().backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def unrolled(network, step, steps=300):
    """The output after many steps from zero, with autograd through all of them."""
    g = network.theta(images())
    u = torch.zeros_like(g)
    for _ in range(steps):
        u = step(network, u, g)
    return head(network, u)


def relu_step(network, u, g):
    return F.relu(network.A(u) + g)


def assert_alike(network, step, tolerance, gradient_tolerance):
    found = network(images())
    own = gradients(network, found)
    expected = unrolled(network, step)
    theirs = gradients(network, expected)
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()
    assert own.keys() == theirs.keys()
    largest = max(gradient.abs().max() for gradient in theirs.values())
    for name, gradient in theirs.items():
        assert (own[name] - gradient).abs().max() <= gradient_tolerance * largest, name


# Values and gradients


def test_fixed_point_is_the_end_of_a_long_iteration():
    assert_alike(network_of("fix(u : relu(A * u + g), tol 1e-7)"), relu_step, 1e-6, 1e-4)


@pytest.mark.parametrize("memory", [0, 5])
def test_tight_tolerance_gives_exact_gradients(memory):
    network = network_of(f"fix(u : relu(A * u + g), tol 1e-13, steps 500, memory {memory})")
    assert_alike(network, relu_step, 1e-12, 1e-8)


def test_several_values_and_parameters_inside():
    network = network_of("fix(u : tanh(gn[2] ∘ A * u) / 4 + ω B * tanh(u + g) - g ⊙ sigmoid(u), tol 1e-13, steps 500)")

    def step(network, u, g):
        own = torch.tanh(network.gn_A(network.A(u))) / 4
        return own + network.omega * network.B(torch.tanh(u + g)) - g * torch.sigmoid(u)

    assert_alike(network, step, 1e-12, 1e-8)
    assert len(list(network.gn_A.parameters())) == 2  # owned once by the place, however many iterations there are


def test_nested_fixed_points():
    network = network_of(
        "fix(p : tanh(A * p)/2 + fix(q : B * (p + q)/2 + g, tol 1e-14, steps 500), tol 1e-13, steps 500)"
    )

    def step(network, p, g):
        q = torch.zeros_like(p)
        for _ in range(60):
            q = network.B(p + q) / 2 + g
        return torch.tanh(network.A(p)) / 2 + q

    found = network(images())
    own = gradients(network, found)
    expected = unrolled(network, step, 60)
    theirs = gradients(network, expected)
    assert (found - expected).abs().max() < 1e-12
    assert max((own[name] - theirs[name]).abs().max() for name in theirs) < 1e-8


def test_backward_onestep_is_the_gradient_of_the_last_application():
    network = network_of("fix(u : relu(A * u + g), tol 1e-13, steps 500, backward onestep)")
    own = gradients(network, network(images()))
    with torch.no_grad():
        g = network.theta(images())
        u = torch.zeros_like(g)
        for _ in range(300):
            u = relu_step(network, u, g)
    theirs = gradients(network, head(network, relu_step(network, u, network.theta(images()))))
    assert max((own[name] - theirs[name]).abs().max() for name in theirs) < 1e-10
    full = gradients(network, unrolled(network, relu_step))
    assert (full["A.weight"] - own["A.weight"]).abs().max() > 1e-3 * full["A.weight"].abs().max()


def test_gradient_of_the_input():
    network = network_of("fix(u : relu(A * u + g), tol 1e-13, steps 500)")
    f = images().requires_grad_()
    own = torch.autograd.grad(network(f).sum(), f)[0]
    g = network.theta(f)
    u = torch.zeros_like(g)
    for _ in range(300):
        u = relu_step(network, u, g)
    expected = torch.autograd.grad(head(network, u).sum(), f)[0]
    assert torch.allclose(own, expected, rtol=0, atol=1e-10)


def test_second_derivatives_are_refused_not_wrong():
    network = network_of("fix(u : relu(A * u + g))")
    f = images().requires_grad_()
    with pytest.raises(RuntimeError, match="first derivatives"):
        torch.autograd.grad(network(f).sum(), f, create_graph=True)


# Memory and the number of iterations


def saved_numbers(network):
    """How many numbers autograd keeps of a forward pass."""
    sizes = {}

    def pack(tensor):
        sizes[tensor.data_ptr()] = tensor.numel()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        output = network(images())
    assert output.requires_grad
    return sum(sizes.values())


def test_memory_does_not_grow_with_the_iterations():
    few, many = (network_of(f"fix(u : relu(A * u + g), tol 1e-15, steps {n}, memory 0)") for n in (2, 60))
    assert saved_numbers(few) == saved_numbers(many)
    assert (few.fixed_points["u"][0], many.fixed_points["u"][0]) == (2, 60) or many.fixed_points["u"][0] > 20
    unrolled_twice = compiled("relu(A * relu(A * g + g) + g)").code()
    assert saved_numbers(many) < 1.7 * saved_numbers(build(unrolled_twice).double())


def test_anderson_needs_fewer_iterations():
    """u = 0.98 W u + g for a smoothing W: plain iteration takes hundreds of steps."""
    rest = "kernel W : 3×3 each = 1/16 * [1 2 1; 2 4 2; 1 2 1] fixed\n"
    counts = {}
    for memory in (0, 5):
        network = network_of(f"fix(u : 0.98 W * u + g, tol 1e-8, steps 2000, memory {memory})", rest)
        network(images())
        counts[memory], change = network.fixed_points["u"]
        assert change <= 1e-8
    assert 3 * counts[5] < counts[0], counts


def test_report_of_iterations():
    network = network_of("fix(u : relu(A * u + g), tol 1e-6) + fix(v : tanh(B * v + g), steps 3, tol 1e-15)")
    assert network.fixed_points == {}
    network(images()).sum().backward()
    assert set(network.fixed_points) == {"u", "u#2", "u backward", "u#2 backward"}
    assert 3 < network.fixed_points["u"][0] < 50 and network.fixed_points["u"][1] <= 1e-6
    assert network.fixed_points["u#2"][0] == 3 and network.fixed_points["u#2"][1] > 1e-15
    assert "fixed_points" in type(network).__doc__
    assert "fixed_points" not in network.state_dict()


def test_every_image_is_iterated_to_the_tolerance():
    """An image of another scale in the batch does not end the iteration early."""
    network = network_of("fix(u : relu(A * u + g), tol 1e-10, steps 500)")
    alone = images()
    scaled = torch.cat([alone, 1e6 * alone[:1]])
    assert torch.allclose(network(scaled)[:2], network(alone), rtol=0, atol=1e-8)


def test_a_network_of_zeros_is_at_its_fixed_point():
    network = network_of("fix(u : relu(A * u + g))")
    assert torch.isfinite(network(torch.zeros(2, 2, 8, 8, dtype=torch.float64))).all()


# Linear equations


def dense(network, apply, size):
    units = torch.eye(size, dtype=torch.float64).view(size, 4, 8, 8)
    return apply(network, units).flatten(1).T


def normal_equation(network, u):
    image = F.conv2d(u, network.A.weight, padding=1)
    return u + F.conv_transpose2d(image, network.A.weight, padding=1)


@pytest.mark.parametrize("how", ["by cg", "relax 1/2", "by iteration, relax ω"])
def test_solve_against_dense_matrices(how):
    network = network_of(f"solve(u : u + Aᵀ * A * u = g, {how}, tol 1e-13, steps 1000)")
    found = network(images())
    own = gradients(network, found)
    g = network.theta(images())
    u = torch.linalg.solve(dense(network, normal_equation, 256), g.flatten(1).T).T.reshape(g.shape)
    theirs = gradients(network, head(network, u))
    assert (found - head(network, u)).abs().max() < 1e-11
    assert max((own[name] - theirs[name]).abs().max() for name in theirs) < 1e-9
    assert own.get("omega", torch.zeros(1)).abs().max() < 1e-9  # how it is solved does not change the solution


def test_conjugate_gradients_end_after_few_steps():
    network = network_of("solve(u : u + Aᵀ * A * u = g, by cg, tol 1e-10)")
    network(images()).sum().backward()
    count, residual = network.fixed_points["u"]
    assert count < 40 and residual <= 1e-10 and network.fixed_points["u backward"][1] <= 1e-10


def test_conjugate_gradients_refuse_what_is_not_positive():
    network = network_of("solve(u : 0 - u = g, by cg)")
    with pytest.raises(RuntimeError, match="not positive definite"):
        network(images())


def test_fixed_point_of_an_affine_map_is_linear():
    equation = "u + fix(v : 0.1 * B * v + 0.1 * A * u, tol 1e-8, steps 200) = g"
    solved = compiled(f"solve(u : {equation}, tol 1e-8, steps 500)", QUICK)
    assert verify_forms(solved, candidates_of(solved)[:1], 1e-5).agrees
    with pytest.raises(CldfError) as error:
        compiled("solve(u : u + fix(v : tanh(B * v) + A * u) = g)").check()
    assert [diagnostic.code for diagnostic in error.value.diagnostics] == ["E0218"]


# What the compiler knows


def test_parameters_and_cost():
    """Parameters once; multiply-adds with all steps, and one more for autograd: an upper bound."""
    one, many = compiled("relu(A * g + g)"), compiled("fix(u : relu(A * u + g), steps 7)")
    assert one.cost.parameters == many.cost.parameters
    of_a = 4 * 4 * 9 * 64
    assert many.cost.multiply_adds - one.cost.multiply_adds == 7 * of_a
    assert many.cost.convolutions == one.cost.convolutions
    nested = compiled("fix(u : A * u + fix(v : B * (u + v)/4 + g, steps 3), steps 7)")
    assert nested.cost.multiply_adds - compiled("g").cost.multiply_adds == 8 * of_a + 8 * 4 * of_a


def test_sign_is_that_of_the_expression():
    compiled("fix(u : relu(A * u + g))", rest="constrain u >= 0\n").check()
    with pytest.raises(CldfError) as error:
        compiled("fix(u : A * u + relu(g))", rest="constrain u >= 0\n").check()
    assert [diagnostic.code for diagnostic in error.value.diagnostics] == ["E0603"]


def test_unknown_shadows_a_value_and_no_other():
    text = HEAD + "v@ℓ = fix(v : 1/4 * tanh(A * v) + w@ℓ)\nw@1 = g\nw@2 = v@1\n"
    network = Compilation(Source("t.cldf", text + "u = v@2\nh = linear ∘ avgpool(u)\n"))
    assert verify_forms(network, candidates_of(network), tolerance_for([network], 1e-10)).agrees


def test_what_does_not_depend_on_the_unknown_is_computed_once():
    network = network_of("fix(u : tanh(A * u + bn ∘ B * g), tol 1e-8)")
    calls = []
    network.B.register_forward_hook(lambda *_: calls.append(1))
    network(images())
    assert len(calls) == 1 and network.bn_B.num_batches_tracked == 1


@pytest.mark.parametrize("spec", ["mgnet_solved", "mgnet_constrained"])
def test_specs_agree_with_their_equations(spec):
    path = ROOT / "specs" / f"{spec}.cldf"
    text = (
        re.sub("expect .*", "", path.read_text(encoding="utf-8"))
        .replace("32, 64, 128", "4, 6, 8")
        .replace("32 × 32", "8 × 8")
    )
    network = Compilation(Source("t.cldf", text.replace("tol 1e-3, steps 30", "tol 1e-13, steps 500")))
    assert verify_forms(network, candidates_of(network), 1e-10).agrees
    with pytest.raises(CldfError):
        _ = network.residual  # the equation is solved, not iterated: there is no residual to follow


# Training


def test_a_fixed_point_within_another_one_is_compared_with_the_equations():
    """The outer one has no shape yet when the inner one is first reached."""
    inner = "fix(v : tanh(ω * A * v + ω * B * u), tol 1e-8, steps 200)"
    network = compiled(f"fix(u : {inner} + g, tol 1e-8, steps 200)", QUICK)
    assert verify_forms(network, candidates_of(network)[:1], 1e-5).agrees


@pytest.mark.parametrize(("relax", "rests"), [(0.15, True), (1, False)])
def test_an_iteration_that_does_not_end_is_told_apart_from_wrong_code(relax, rests):
    """Scalars are moved by a factor, so that small steps stay small."""
    line = "kernel L : 3×3 each = laplace5 fixed\n" + f"scalar τ = {relax}\n"
    network = compiled("solve(u : L * u + u = g, relax τ, memory 0, tol 1e-12, steps 500)", rest=line)
    report = verify_forms(network, candidates_of(network), 1e-9)
    assert report.agrees == rests
    assert rests or "the iteration for `u` is not at rest after step" in report.problem


def test_two_steps_of_training_lower_the_loss():
    torch.manual_seed(1)
    network = build(compiled("fix(u : relu(gn[2] ∘ A * u + g)) + solve(u : u + Bᵀ * B * u = g, by cg)").code())
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05)
    x, labels = torch.randn(8, 2, 8, 8), torch.arange(8) % 3
    losses = []
    for _ in range(3):
        optimiser.zero_grad()
        loss = F.cross_entropy(network(x), labels)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] > losses[1] > losses[2]
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_half_precision_under_autocast():
    network = build(compiled("fix(u : relu(A * u + g))").code())
    with torch.autocast("cpu", torch.bfloat16):
        loss = network(images().float()).float().sum()
    loss.backward()
    assert torch.isfinite(network.A.weight.grad).all()


def test_copies_and_evaluation():
    network = network_of("fix(u : relu(A * u + g))")
    other = copy.deepcopy(network).eval()
    with torch.no_grad():
        assert torch.equal(other(images()), network(images()))
        assert not other(images()).requires_grad
    with torch.inference_mode():
        other(images())
