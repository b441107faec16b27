"""`bn@ℓ` shares scale and shift; each use has running statistics of its own."""

import copy
from importlib import import_module

import pytest
import torch
from networks import build, compile_text, only_in_fuzz
from torch import Tensor, nn
from torch.nn import functional as F

from cldfc.compilation import Compilation
from cldfc.diagnostics import Source
from cldfc.network.cost import cost_of_network
from cldfc.training.processes import synchronise_norms
from cldfc.verify.equivalence import verify_forms
from cldfc.verify.outcome import Candidate, candidates_of
from cldfc.weights.import_weights import import_weights

STEPS = """
model Shared
steps i = 1..3
input f : 2 × 5 × 6
output h : 3
kernel A : 3×3 → 4
kernel θ : 3×3 → 4
x@0 = θ * f
x@i = x@i-1 + relu ∘ bn@1 ∘ A * tanh ∘ bn@1(x@i-1)
h = linear ∘ avgpool ∘ bn@1(x@3)
"""
USES = [name for i in (1, 2, 3) for name in (f"stats_x.{i}", f"stats_A.{i}")] + ["stats_x_h"]
"""The statistics, in the order of use."""


class Shared(nn.Module):
    """The same by hand: a norm for each use, all with the scale and the shift of one."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.A = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(4) for _ in USES])
        self.linear = nn.Linear(4, 3)
        for norm in self.norms:
            norm.weight, norm.bias = self.norms[0].weight, self.norms[0].bias

    def forward(self, image: Tensor) -> Tensor:
        x = self.theta(image)
        for i in range(3):
            x = x + F.relu(self.norms[2 * i + 1](self.A(torch.tanh(self.norms[2 * i](x)))))
        return self.linear(self.norms[6](x).mean((2, 3)))


def test_training_is_that_of_norms_with_one_scale_and_shift():
    torch.manual_seed(1)
    ours, theirs = build(compile_text(STEPS)).double(), Shared().double()
    for name in ("theta", "A", "linear"):
        getattr(theirs, name).load_state_dict(getattr(ours, name).state_dict())
    optimizers = [torch.optim.SGD(network.parameters(), 0.1, 0.9) for network in (ours, theirs)]
    for _ in range(4):
        images, labels = torch.randn(6, 2, 5, 6, dtype=torch.float64), torch.randint(3, (6,))
        for network, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            F.cross_entropy(network(images), labels).backward()
            optimizer.step()
    found = ours.state_dict()
    assert torch.allclose(found["bn.weight"], theirs.norms[0].weight, rtol=1e-10)
    assert torch.allclose(found["bn.bias"], theirs.norms[0].bias, rtol=1e-10)
    for use, norm in zip(USES, theirs.norms, strict=True):
        for name, tensor in norm.named_buffers():
            assert torch.allclose(found[f"{use}.{name}"], tensor, rtol=1e-10), (use, name)
    images = torch.randn(3, 2, 5, 6, dtype=torch.float64)
    assert torch.allclose(ours.eval()(images), theirs.eval()(images), rtol=1e-10)


def test_what_is_stored_and_counted():
    """One scale and shift, no tensor under two names, and no parameter more than before."""
    network = build(compile_text(STEPS))
    assert [name for name, _ in network.named_parameters() if "bn" in name] == ["bn.weight", "bn.bias"]
    state = network.state_dict()
    assert len({tensor.data_ptr() for tensor in state.values()}) == len(state)
    cost = cost_of_network(Compilation(Source("test.cldf", STEPS)).simplified)
    assert cost.parameters == sum(tensor.numel() for tensor in network.parameters())
    assert cost.unshared - cost.parameters == 2 * 4 * 6 + 2 * 9 * 4 * 4


def test_its_own_weights_are_imported_and_nothing_is_counted_on_the_way():
    torch.manual_seed(2)
    one, two = (build(compile_text(STEPS)) for _ in range(2))
    one(torch.randn(4, 2, 5, 6))
    import_weights(two, one.state_dict())
    assert two.training
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, two.state_dict()[name]), name


def test_over_several_processes(monkeypatch):
    """With one process, the sums over all are what they are; the statistics move as torch moves them."""
    monkeypatch.setattr("cldfc.training.processes.all_reduce", lambda tensor: None)
    monkeypatch.setattr("cldfc.training.processes.get_world_size", lambda: 1)
    torch.manual_seed(3)
    plain, images = build(compile_text(STEPS)), torch.randn(4, 2, 5, 6)
    together = build(compile_text(STEPS))
    together.load_state_dict(plain.state_dict())
    synchronise_norms(together, "cpu")
    for _ in range(2):
        assert torch.allclose(plain(images), together(images), atol=1e-5)
    for name, tensor in plain.state_dict().items():
        assert torch.allclose(tensor, together.state_dict()[name], atol=1e-5), name
    assert torch.allclose(plain.eval()(images), together.eval()(images), atol=1e-5)


FROZEN = STEPS.replace("tanh ∘ bn@1(x@i-1)", "tanh ∘ bn fixed(x@i-1)").replace(
    "avgpool ∘ bn@1(x@3)", "avgpool ∘ bn(x@3)"
)
KINDS = {"plain": STEPS.replace("bn@1", "bn"), "shared": STEPS, "frozen": FROZEN}


@pytest.mark.parametrize("kind", KINDS)
def test_on_cuda_plain_norms_are_those_of_torch(kind, monkeypatch):
    """In one process they compute what they did; names, order, tensors and modules stay. The others remain ours."""
    monkeypatch.setattr("cldfc.training.processes.all_reduce", lambda tensor: None)
    monkeypatch.setattr("cldfc.training.processes.get_world_size", lambda: 1)
    torch.manual_seed(4)
    plain, images = build(compile_text(KINDS[kind])), torch.randn(4, 2, 5, 6)
    together = build(compile_text(KINDS[kind]))
    together.load_state_dict(plain.state_dict())
    state, parameters = together.state_dict(), dict(together.named_parameters())
    norms = [module for module in together.modules() if isinstance(module, nn.BatchNorm2d)]
    synchronise_norms(together, "cuda")
    assert norms and all(type(norm) is nn.SyncBatchNorm for norm in norms)
    assert [norm for norm in together.modules() if type(norm) is nn.SyncBatchNorm] == norms
    found = together.state_dict()
    assert list(found) == list(state) == list(plain.state_dict())
    assert all(found[name].data_ptr() == tensor.data_ptr() for name, tensor in state.items())
    assert {n: id(p) for n, p in together.named_parameters()} == {n: id(p) for n, p in parameters.items()}
    assert torch.equal(copy.deepcopy(plain).eval()(images), together.eval()(images))
    together.train()
    for _ in range(2):
        one, other = plain(images), together(images)
        assert torch.allclose(one, other, atol=1e-5)
        one.sum().backward()
        other.sum().backward()
    for (name, parameter), mine in zip(plain.named_parameters(), together.parameters(), strict=True):
        assert torch.allclose(parameter.grad, mine.grad, atol=1e-4), name
    for name, tensor in plain.state_dict().items():
        assert torch.allclose(tensor, together.state_dict()[name], atol=1e-5), name
    assert torch.allclose(plain.eval()(images), together.eval()(images), atol=1e-5)
    build(compile_text(KINDS[kind])).load_state_dict(found)


def test_a_norm_of_torch_is_what_torch_makes_of_one():
    """Attribute for attribute; and torch's own conversion fails where scale and shift are buffers."""
    ours = nn.Sequential(nn.BatchNorm2d(3, eps=1e-3, momentum=0.2), nn.BatchNorm2d(3, affine=False)).eval()
    theirs = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(ours))
    synchronise_norms(ours, "cuda")
    for mine, made in zip(ours, theirs, strict=True):
        assert mine.__dict__.keys() == made.__dict__.keys() and repr(mine) == repr(made)
        assert mine.process_group is None and mine.training == made.training
    with pytest.raises(TypeError, match="cannot assign"):
        nn.SyncBatchNorm.convert_sync_batchnorm(build(compile_text(FROZEN)))


FAULTS = {
    "the first step's statistics": ('self.stats_A[f"{i}"]', 'self.stats_A["1"]', ("x@2", "stats_A.2")),
    "statistics exchanged": ('self.stats_A[f"{i}"]', 'self.stats_A[f"{4 - i}"]', ("x@1", "stats_A.1")),
    "a counter forgotten": ("use.num_batches_tracked.add_(1)", "pass", ("x@1", "stats_x.1")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_verify_finds_statistics_that_are_not_those_of_the_use(fault):
    network = Compilation(Source("test.cldf", STEPS))
    written = candidates_of(network)[0]
    old, new, expected = FAULTS[fault]
    assert old in written.code
    report = verify_forms(network, [written, Candidate("faulty", written.code.replace(old, new))], 1e-10)
    assert {row.form for row in report.rows if row.worst > 1e-10} == {"faulty"}
    assert (report.first.value, report.first.parameter) == expected


DIGITS = """
model Digits
let J = 2
levels ℓ = 1..J
steps i = 1..6
let c@ℓ = 8, 16
input f : 1 × 8 × 8
output h : 10
kernel θ : 3×3 → c@1
kernel A@ℓ : 3×3 → c@ℓ
kernel B@ℓ : 3×3 → c@ℓ
kernel R@ℓ : 3×3 → c@ℓ+1
kernel Π@ℓ : 3×3 → c@ℓ+1
f@1 = relu ∘ bn ∘ θ * f
u@1,0 = 0
u@ℓ,i = u@ℓ,i-1 + relu ∘ bn@ℓ ∘ B@ℓ * relu ∘ bn@ℓ(f@ℓ - A@ℓ * u@ℓ,i-1)
u@ℓ+1,0 = Π@ℓ *_2 u@ℓ,6
f@ℓ+1 = R@ℓ *_2 (f@ℓ - A@ℓ * u@ℓ,6) + A@ℓ+1 * u@ℓ+1,0
h = linear ∘ avgpool ∘ relu ∘ bn@J(u@J,6)
"""


@only_in_fuzz
def test_evaluation_is_as_good_as_training():
    """Within 2 points of what the statistics of the batch give; pooled over the steps, they gave chance."""
    digits = import_module("sklearn.datasets").load_digits()
    images, labels = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16, torch.tensor(digits.target)
    torch.manual_seed(0)
    network = build(compile_text(DIGITS))
    order = torch.randperm(len(images))
    train, test = order[:1437], order[1437:]
    batches = [batch for _ in range(4) for batch in train[torch.randperm(len(train))].split(64)]
    optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, len(batches))
    for batch in batches:
        optimizer.zero_grad()
        F.cross_entropy(network(images[batch]), labels[batch]).backward()
        optimizer.step()
        schedule.step()

    @torch.no_grad()
    def accuracy(network: nn.Module) -> float:
        return float((network(images[test]).argmax(1) == labels[test]).double().mean())

    by_batch = accuracy(copy.deepcopy(network).train())
    assert by_batch > 0.8
    assert abs(accuracy(network.eval()) - by_batch) <= 0.02
