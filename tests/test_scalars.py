"""Numbers and scalars as values: sums, quotients, powers and functions of them, against modules written by hand."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from networks import compile_text, some
from torch import nn
from torch.nn import functional as F

from cldfc.compilation import Compilation
from cldfc.diagnostics import CldfError, Source
from cldfc.syntax.format import format_statement
from cldfc.verify.equivalence import verify_forms
from cldfc.verify.outcome import candidates_of
from cldfc.weights.network import build_network

HEAD = """model Scalars
levels ℓ = 1..2
steps i = 1..3
input f : 3 × 8 × 8
output h : 5
kernel θ : 3×3 → 4
kernel A@ℓ : 3×3 → 4
kernel R : 3×3 → 4
scalar ω@ℓ = 0.5
scalar τ@i = 0.25
scalar κ = 2
let a = 3
u@1,0 = θ * f
u@2,0 = R *_2 u@1,3
h = linear ∘ avgpool(u@2,3)
"""


def compiled(equation, *statements):
    return Compilation(Source("scalars.cldf", "".join(f"{line}\n" for line in (HEAD.rstrip(), *statements, equation))))


def agrees(network):
    return verify_forms(network, candidates_of(network), 1e-10).agrees


STEPS = {
    "u@ℓ,i = 1 - u@ℓ,i-1 + A@ℓ * u@ℓ,i-1": lambda u, conv, w, t, k, i: 1 - u + conv(u),
    "u@ℓ,i = (1 - ω@ℓ) * u@ℓ,i-1 + ω@ℓ * relu ∘ A@ℓ * u@ℓ,i-1": lambda u, conv, w, t, k, i: (
        (1 - w) * u + w * F.relu(conv(u))
    ),
    "u@ℓ,i = (1-ω@ℓ) u@ℓ,i-1 + ω@ℓ A@ℓ * u@ℓ,i-1": lambda u, conv, w, t, k, i: (1 - w) * u + w * conv(u),
    "u@ℓ,i = u@ℓ,i-1 / 2 + A@ℓ * u@ℓ,i-1 / ω@ℓ": lambda u, conv, w, t, k, i: u / 2 + conv(u / w),
    "u@ℓ,i = u@ℓ,i-1 - 1/ω@ℓ * A@ℓ * (u@ℓ,i-1 + a)": lambda u, conv, w, t, k, i: u - conv(u + 3) / w,
    "u@ℓ,i = τ@i^2 * u@ℓ,i-1 + (κ)^3 A@ℓ * sigmoid(u@ℓ,i-1)": lambda u, conv, w, t, k, i: (
        t**2 * u + k**3 * conv(torch.sigmoid(u))
    ),
    "u@ℓ,i = tanh(κ) u@ℓ,i-1 + softplus(ω@ℓ - 1/i) + A@ℓ * u@ℓ,i-1": lambda u, conv, w, t, k, i: (
        torch.tanh(k) * u + F.softplus(w - 1 / i) + conv(u)
    ),
    "u@ℓ,i = 2 - i * u@ℓ,i-1 / (1 + τ@i * κ) + 1 / (2 + relu ∘ A@ℓ * u@ℓ,i-1)": lambda u, conv, w, t, k, i: (
        2 - i * (u / (1 + t * k)) + 1 / (2 + F.relu(conv(u)))
    ),
    "u@ℓ,i = (identity - ω@ℓ + A@ℓ *)(u@ℓ,i-1) - ω@ℓ / 4": lambda u, conv, w, t, k, i: u - w + conv(u) - w / 4,
}


def soft(x, threshold):
    return torch.sign(x) * F.relu(x.abs() - threshold)


def channelwise(vector):
    return vector[:, None, None]


def shares(weights):
    powers = [weight.exp() for weight in weights]
    return [power / sum(powers) for power in powers]


def largest_and_smallest(u, m, gamma):
    size = (u * u).sum((1, 2, 3), keepdim=True).sqrt()
    mean = m.mean((2, 3), keepdim=True).expand_as(u)
    largest = torch.stack([u, mean, gamma.expand_as(u), m / size, torch.full_like(u, 0.1)]).amax(0)
    return largest - torch.minimum(mean, (gamma + size) * u) / size


# What is declared beside HEAD, the equation, and the same by hand from the network's own parameters.
MORE = {
    "functions of scalars": (
        ["scalar α@ℓ = 0.3"],
        "u@ℓ,i = exp(-α@ℓ) u@ℓ,i-1 + sqrt(1 + α@ℓ^2) cos(κ) A@ℓ * u@ℓ,i-1 - sin(τ@i) + log(2 + abs(α@ℓ)) / i",
        lambda u, n, level, i: (
            torch.exp(-n.alpha[level]) * u
            + torch.sqrt(1 + n.alpha[level] ** 2) * torch.cos(n.kappa) * n.A[level](u)
            - torch.sin(n.tau[f"{i}"])
            + torch.log(2 + n.alpha[level].abs()) / i
        ),
    ),
    "functions of maps": (
        [],
        "u@ℓ,i = exp(tanh(A@ℓ * u@ℓ,i-1)) ⊙ sin(u@ℓ,i-1) + sqrt(1 + abs(u@ℓ,i-1)) - cos ∘ A@ℓ * u@ℓ,i-1",
        lambda u, n, level, i: (
            torch.exp(torch.tanh(n.A[level](u))) * u.sin() + (1 + u.abs()) ** 0.5 - n.A[level](u).cos()
        ),
    ),
    "largest and smallest": (
        ["scalar β = 0.4"],
        "u@ℓ,i = min(max(ω@ℓ, β) * u@ℓ,i-1, A@ℓ * u@ℓ,i-1, 1/2, i) + max(ω@ℓ, 0.1, 0.2) - max(u@ℓ,i-1, κ)",
        lambda u, n, level, i: (
            torch.minimum(torch.maximum(n.omega[level], n.beta) * u, n.A[level](u)).clamp(max=0.5)
            + n.omega[level].clamp(min=0.2)
            - torch.maximum(u, n.kappa)
        ),
    ),
    "one initial value for each level": (
        ["scalar α@ℓ = 1, 0.5", "scalar β@ℓ = 3, 1/4 fixed"],
        "u@ℓ,i = α@ℓ u@ℓ,i-1 + β@ℓ A@ℓ * u@ℓ,i-1",
        lambda u, n, level, i: n.alpha[level] * u + (3 if level == "1" else 0.25) * n.A[level](u),
    ),
    "vectors": (
        ["vector γ@ℓ : 4 = 1e-2", "vector β : 2^2 = 0.1"],
        "u@ℓ,i = u@ℓ,i-1 + γ@ℓ * A@ℓ * relu(u@ℓ,i-1 + β) - (1 - γ@ℓ) u@ℓ,i-1 / (2 + softplus(β)) + ω@ℓ β",
        lambda u, n, level, i: (
            u
            + channelwise(n.gamma[level]) * n.A[level](F.relu(u + channelwise(n.beta)))
            - (1 - channelwise(n.gamma[level])) * u / (2 + channelwise(F.softplus(n.beta)))
            + n.omega[level] * channelwise(n.beta)
        ),
    ),
    "trained thresholds": (
        ["vector λ@ℓ : 4 = 0.1", "scalar μ@i = 0.2"],
        "u@ℓ,i = soft_threshold[λ@ℓ](A@ℓ * u@ℓ,i-1) + soft_threshold[softplus(μ@i) / 4] ∘ A@ℓ * u@ℓ,i-1",
        lambda u, n, level, i: (
            soft(n.A[level](u), channelwise(n.lambda_2[level])) + soft(n.A[level](u), F.softplus(n.mu[f"{i}"]) / 4)
        ),
    ),
    "trained slopes": (
        ["vector λ@ℓ : 4 = 0.1", "scalar μ@i = 0.25", "let g@i = leaky_relu[slope=μ@i]"],
        "u@ℓ,i = leaky_relu[λ@ℓ](A@ℓ * u@ℓ,i-1) - g@i(u@ℓ,i-1)",
        lambda u, n, level, i: F.prelu(n.A[level](u), n.lambda_2[level]) - F.prelu(u, n.mu[f"{i}"][None]),
    ),
    "a number as a value": (
        ["v@ℓ,0 = 1/2", "v@ℓ,i = A@ℓ * v@ℓ,i-1 + 1"],
        "u@ℓ,i = sigmoid(2) ⊙ u@ℓ,i-1 + A@ℓ * (u@ℓ,i-1 + v@ℓ,1)",
        lambda u, n, level, i: (
            torch.sigmoid(torch.tensor(2.0, dtype=u.dtype)) * u
            + n.A[level](u + n.A[level](torch.full_like(u, 1 / 2)) + 1)
        ),
    ),
    "vectors, numbers of images and pooled vectors among maps": (
        ["vector γ@ℓ : 4 = 0.3", "s@ℓ,i = ‖u@ℓ,i-1‖", "v@ℓ,i = avgpool(A@ℓ * u@ℓ,i-1)"],
        "u@ℓ,i = max(u@ℓ,i-1, v@ℓ,i, γ@ℓ, A@ℓ * u@ℓ,i-1 / s@ℓ,i, 1/10) - min(v@ℓ,i, (γ@ℓ + s@ℓ,i) ⊙ u@ℓ,i-1) / s@ℓ,i",
        lambda u, n, level, i: largest_and_smallest(u, n.A[level](u), channelwise(n.gamma[level])),
    ),
    "one vector for each of several declarations": (
        [
            "vector γ@1 : 4 = 0.3",
            "vector γ@ℓ : 4 = 0.5 for ℓ = 2..2",
            "scalar β@i = 1, 2 for i = 1..2",
            "scalar β@3 = 5",
        ],
        "u@ℓ,i = γ@ℓ * u@ℓ,i-1 + β@i A@ℓ * u@ℓ,i-1",
        lambda u, n, level, i: channelwise(n.gamma[level]) * u + n.beta[f"{i}"] * n.A[level](u),
    ),
    "weights that add up to 1": (
        ["steps j = 0..2", "scalar α@i,j = 1/(1+j)"],
        "u@ℓ,i = A@ℓ * sum(j = 0..i-1 : softmax(j = 0..i-1 : α@i,j) * u@ℓ,j)",
        None,
    ),
}


class ByHand(nn.Module):
    """The same network with modules of the generated one."""

    def __init__(self, network, step):
        super().__init__()
        self.network, self.step = network, step

    def forward(self, f):
        given = self.network
        u = given.theta(f)
        for level in (1, 2):
            for i in (1, 2, 3):
                omega, tau, kappa = (self.scalar(*key) for key in (("omega", level), ("tau", i), ("kappa",)))
                u = self.step(u, given.A[f"{level}"], omega, tau, kappa, i)
            u = given.R(u) if level == 1 else u
        return given.linear(u.mean((2, 3)))

    def scalar(self, name, key=None):
        found = getattr(self.network, name, None)
        return None if found is None else found if key is None else found[f"{key}"]


@pytest.mark.parametrize("equation", STEPS)
def test_numbers_and_gradients_are_those_of_a_module_by_hand(equation):
    network = compiled(equation)
    module = build_network(network.code(), "Scalars").double()
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    results = []
    for candidate in (module, ByHand(module, STEPS[equation])):
        module.zero_grad()
        images.grad = None
        scores = candidate(images)
        scores.square().sum().backward()
        results.append([scores.detach(), images.grad, *(p.grad for p in module.parameters())])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("equation", STEPS)
def test_the_equations_executed_agree(equation):
    assert agrees(compiled(equation))


@pytest.mark.parametrize(("equation", "spelling"), some(product(STEPS, ["unicode", "ascii", "latex"]), 2))
def test_what_is_written_is_read_back(equation, spelling):
    network = compiled(equation)
    text = "".join(f"{format_statement(statement, spelling)}\n" for statement in network.tree.statements)
    assert Compilation(Source("again.cldf", text)).code() == network.code()


def test_a_scalar_has_a_name():
    """`let` may name what scalars make; it is one parameter all the same."""
    named = compiled("u@ℓ,i = α@ℓ * u@ℓ,i-1 + A@ℓ * u@ℓ,i-1", "let α@ℓ = 1 / (1 + ω@ℓ)")
    written_out = compiled("u@ℓ,i = 1 / (1 + ω@ℓ) * u@ℓ,i-1 + A@ℓ * u@ℓ,i-1")
    body = named.code().split("def forward")[1]
    assert body == written_out.code().split("def forward")[1]
    assert named.cost.parameters == written_out.cost.parameters
    assert agrees(named)


@pytest.mark.parametrize("first", ["w = sum(j = 1..2 : κ * f)", "w = α@1 f", "u@0,i = f for i = 1..3"])
def test_a_product_without_a_sign_is_one_wherever_it_stands(first):
    """Also behind a statement with an index of its own, and before the `let` that names the scalar."""
    equation = "u@ℓ,i = α@ℓ u@ℓ,i-1 + A@ℓ * u@ℓ,i-1"
    network = compiled(equation, first, "let α@ℓ = β@ℓ / 2", "let β@ℓ = 1 / ω@ℓ")
    written = next(s for s in network.tree.statements if s.span.text.startswith("u@ℓ,i"))
    assert format_statement(written) == "u@ℓ,i = α@ℓ * u@ℓ,i-1 + A@ℓ * u@ℓ,i-1"


def test_a_constant_term_is_not_linear():
    """Theorem 1 needs a linear 𝒜: with `1 +` in it, there is no residual form."""
    spec = compiled("u@ℓ,i = u@ℓ,i-1 + 𝒜@ℓ(u@ℓ,i-1)", "let 𝒜@ℓ = 1 + A@ℓ *")
    with pytest.raises(CldfError):
        _ = spec.residual


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        ("u@ℓ,i = u@ℓ,i-1^2", "is a power, not a value"),
        ("u@ℓ,i = A@ℓ * u@ℓ,i-1 / relu", "is an operator, not a value"),
        ("u@ℓ,i = ω@ℓ *_2 u@ℓ,i-1", "is a scalar, which has no stride"),
        ("u@ℓ,i = (1 - ω@ℓ) *_2 u@ℓ,i-1", "is a scalar, which has no stride"),
        ("u@ℓ,i = u@ℓ,i-1 + A@ℓ / 2", "is a kernel, not a value"),
    ],
)
def test_what_is_refused(equation, message):
    with pytest.raises(CldfError) as refused:
        compiled(equation).check()
    told = refused.value.diagnostics
    assert all(diagnostic.help for diagnostic in told)
    assert any(message in diagnostic.message for diagnostic in told)


class AnyByHand(nn.Module):
    """The same with a step that takes what it needs from the generated network."""

    def __init__(self, network, step):
        super().__init__()
        self.network, self.step = network, step

    def forward(self, f):
        given = self.network
        u = given.theta(f)
        for level in ("1", "2"):
            steps = [u]
            for i in (1, 2, 3):
                if self.step is None:
                    weights = shares([given.alpha[f"{i}_{j}"] for j in range(i)])
                    u = given.A[level](sum(weight * step for weight, step in zip(weights, steps, strict=True)))
                else:
                    u = self.step(u, given, level, i)
                steps.append(u)
            u = given.R(u) if level == "1" else u
        return given.linear(u.mean((2, 3)))


def of(name):
    declared, equation, step = MORE[name]
    return compiled(equation, *declared), step


@pytest.mark.parametrize("name", MORE)
def test_each_form_is_what_it_is_by_hand(name):
    network, step = of(name)
    module = build_network(network.code(), "Scalars").double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    results = []
    for candidate in (module, AnyByHand(module, step)):
        module.zero_grad()
        images.grad = None
        scores = candidate(images)
        scores.square().sum().backward()
        gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
        results.append({"scores": scores.detach(), "images": images.grad, **gradients})
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", MORE)
def test_the_equations_of_each_form_executed_agree(name):
    assert agrees(of(name)[0])


@pytest.mark.parametrize(("name", "spelling"), some(product(MORE, ["unicode", "ascii", "latex"]), 2))
def test_each_form_is_read_back(name, spelling):
    network = of(name)[0]
    text = "".join(f"{format_statement(statement, spelling)}\n" for statement in network.tree.statements)
    assert Compilation(Source("again.cldf", text)).code() == network.code()


POWERS = """model M
steps i = 1..2
input f : 1 × 4 × 4
output x : 1 × 4 × 4
scalar ω = 0.5
scalar τ@i = 0.5
vector v : 1 = 2
let a = 3
let c@i = 1, 2
α@i = ⟨f, f⟩
y@0 = f
y@i = y@i-1 + {} * tanh(y@i-1)
x = y@2
"""


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        (r"\omega^2", "(ω)^2"),
        ("ω^2", "(ω)^2"),
        (r"a^{2} \tau_i^2", "(a)^2 * τ@i^2"),
        (r"\frac{1}{a^2} i^2", "1/(a)^2 * (i)^2"),
        (r"c_i^2 v^{3}", "c@i^2 * (v)^3"),
        (r"\alpha_i^2", "α@i^2"),
        (r"a^{-1} \tau_i^{-2}", "(a)^(-1) * τ@i^(-2)"),
        (r"\tau_2^2 * \tau^{2}", "τ@2^2 * τ@2"),
    ],
)
def test_a_number_in_a_superscript_that_can_be_no_index_is_a_power(written, plain):
    assert compile_text(POWERS.format(written)) == compile_text(POWERS.format(plain))
