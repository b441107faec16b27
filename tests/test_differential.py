"""Random specs: what is generated computes what the equations say, gradients and running statistics included.

`make test` compares 10 specs, `make fuzz` 2,000 (CLDFC_FUZZ / 50).
"""

import os
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from networks import some, trained_and_folded
from random_specs import feature_specs, random_specs

from cldfc.compilation import Compilation
from cldfc.diagnostics import Source
from cldfc.verify.equivalence import report_lines, tried_shapes, verify_forms
from cldfc.verify.outcome import Trial, candidates_of, smaller

COUNT = max(10, int(os.environ.get("CLDFC_FUZZ", "0")) // 50)
TOLERANCE = 1e-10


def agree(text: str) -> None:
    """Fail unless all forms of a spec agree with its equations."""
    source = Source("random.cldf", text)
    network = smaller(Compilation(source))
    forms = candidates_of(network)
    report = verify_forms(network, forms, TOLERANCE)
    assert report.agrees, "\n".join(["", text, *report_lines(report, TOLERANCE)])
    folded_agrees(source)


@torch.no_grad()
def folded_agrees(source: Source) -> None:
    """Fail unless the network for inference gives what the trained one gives, as far as rounding allows."""
    inference = Compilation(source).folded()
    trained, folded = trained_and_folded(inference)
    kinds = {family.name: family.kind for family in inference.trained.program.inputs}
    images = {
        name: torch.randn(3, *shape, dtype=torch.float64)
        for name, shape in tried_shapes(Compilation(source))[0].items()
    }
    given_images = Trial({}, images, kinds, "eval", 0).arguments(images)
    for expected, found in zip(*(tensors_of(network(*given_images)) for network in (trained, folded)), strict=True):
        assert (found - expected).abs().max() <= TOLERANCE * max(1, float(expected.abs().max())), source.text


def tensors_of(outputs: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return (outputs,) if isinstance(outputs, torch.Tensor) else outputs


@settings(max_examples=COUNT * 3 // 5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(random_specs())
def test_every_kind_of_network(text: str):
    agree(text)


@settings(max_examples=COUNT * 2 // 5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(feature_specs())
def test_variations_of_algorithm_2(text: str):
    agree(text)


# Faults in generated code are found

PLANTED = """\
model Planted
let J = 2
levels ℓ = 1..J
let ν@ℓ = 3, 2
steps i = 1..ν
let c@ℓ = 4, 6
input f : 3 × 9 × 9
output h : 3
let σ = relu ∘ bn
kernel θ : 3×3 → c@1
kernel A@ℓ : 3×3 → c@ℓ
kernel B@ℓ,i : 3×3 → c@ℓ groups 2
kernel R@ℓ : 3×3 → c@ℓ bias
scalar ω@ℓ = 0.5
u@1,0 = σ ∘ θ * f
u@ℓ,i = u@ℓ,i-1 + ω@ℓ * σ ∘ B@ℓ,i * tanh(u@ℓ,0 - A@ℓ * u@ℓ,i-1) + 1/(i+1) * sum(j = 0..i-1 : relu(u@ℓ,j))
u@ℓ+1,0 = R@ℓ+1 *_2 maxpool[3, stride=1](u@ℓ,ν)
h = linear ∘ avgpool ∘ σ(u@J,ν)
"""


def test_generated_code_is_right_without_a_fault():
    network = Compilation(Source("planted.cldf", PLANTED))
    assert verify_forms(network, candidates_of(network), TOLERANCE).agrees


@pytest.mark.parametrize(
    ("right", "wrong"),
    some(
        [
            ("u[0] - self.A", "u[0] + self.A"),
            ("u[i] = u[i - 1] + x", "u[i] = u[0] + x"),
            ("x + 1 / (i + 1)", "x + 1 / i"),
            ("for j in range(i))", "for j in range(1, i + 1))"),
            ("x = torch.tanh(u[0]", "x = torch.relu(u[0]"),
            ('x = self.omega[f"{level}"] * x', 'x = self.omega["1"] * x'),
            ('F.relu(self.bn_B[f"{level}_{i}"](self.B', 'F.relu(self.bn_B[f"{level}_1"](self.B'),
            ('(self.B[f"{level}_{i}"](x))', '(self.B[f"{level}_1"](x))'),
            ("F.relu(self.bn_theta(self.theta(f)))", "self.bn_theta(F.relu(self.theta(f)))"),
            # Wrong in eval mode alone, in the gradients alone, in the running statistics alone.
            ("self.bn_u = nn.BatchNorm2d(6)", "self.bn_u = nn.BatchNorm2d(6, track_running_stats=False)"),
            ("+ x + 1 / (i + 1)", "+ x.detach() + 1 / (i + 1)"),
            ("self.bn_u = nn.BatchNorm2d(6)", "self.bn_u = nn.BatchNorm2d(6, momentum=0.01)"),
            ("F.max_pool2d(u[self.nu[level]], 3, stride=1, padding=1)", "F.avg_pool2d(u[self.nu[level]], 3, 1, 1)"),
            ("padding=size // 2,", "padding=size // 2, padding_mode='circular',"),
            ("(u[self.nu[2]])), 1)", "(u[self.nu[2] - 1])), 1)"),
        ],
        3,
    ),
)
def test_a_fault_in_generated_code_is_found(right: str, wrong: str):
    network = Compilation(Source("planted.cldf", PLANTED))
    forms = candidates_of(network)
    form = next(form for form in forms if form.name == "simplified")
    assert form.code.count(right) == 1
    assert not verify_forms(network, (replace(form, code=form.code.replace(right, wrong)),), TOLERANCE).agrees
