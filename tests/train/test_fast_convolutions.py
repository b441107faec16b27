"""Other algorithms of convolution give the same, with the same gradients: products, side by side, Winograd's method."""

import copy
import itertools
import json

import pytest
import torch
from networks import some
from small_run import IMAGES, RECIPE, SMALL, kill, reached, resume, train
from torch import nn

from cldfc import device
from cldfc.data.catalogue import find
from cldfc.device import Device
from cldfc.diagnostics import UsageError
from cldfc.recipe import change_recipe
from cldfc.runs.evaluate import evaluate_run
from cldfc.runs.run_folder import RunFolder, read_record
from cldfc.runs.training_run import prepare
from cldfc.training.processes import Processes
from cldfc.weights import fast_convolutions, winograd
from cldfc.weights.fast_convolutions import (
    PASSES,
    TRIED_WORK,
    TRIED_WORK_BF16,
    FastConv2d,
    choose,
    find_uses,
    measure_algorithms,
    set_algorithms,
    speed_up_convolutions,
)
from cldfc.weights.network import build_network

KERNELS = [(3, 1, 1), (3, 2, 1), (1, 1, 0), (1, 2, 0), (5, 3, 2), (2, 2, 0)]
MAPS = [(1, 1), (2, 2), (1, 2), (3, 3), (1, 5)]
CASES = [(*kernel, size) for kernel in KERNELS for size in MAPS if min(size) + 2 * kernel[2] >= kernel[0]]
SECOND = "4 → 8, 3×3, stride 2×2, padding 1×1, on 8×8"
CHOSEN = {SECOND: 8, "1 → 4, 3×3, padding 1×1, on 8×8": 4}
"""For the convolutions of the smallest network, where everything pays."""


def agree(usual: nn.Module, fast: nn.Module, images: torch.Tensor) -> None:
    results = []
    for network in (usual, fast):
        given = images.clone(memory_format=torch.preserve_format).requires_grad_()
        output = network(given)
        weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
        (output**2 * weights).sum().backward()
        results.append([output, given.grad, *(p.grad for p in network.parameters())])
        with torch.inference_mode():
            assert torch.equal(network(images), output)
    for a, b in zip(*results, strict=True):
        assert a.shape == b.shape
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.fixture
def laid(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images were laid side by side, in each call."""
    heard, lay = list[int](), fast_convolutions._lay
    monkeypatch.setattr(fast_convolutions, "_lay", lambda *given: heard.append(given[1]) or lay(*given))
    return heard


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("taps", "stride", "padding", "size"), CASES)
def test_same_results_and_gradients(taps, stride, padding, size, bias):
    torch.manual_seed(0)
    usual = nn.Sequential(nn.Conv2d(3, 4, taps, stride, padding, bias=bias)).double()
    short = copy.deepcopy(usual)
    speed_up_convolutions(short)
    images = torch.randn(5, 3, *size, dtype=torch.float64)
    agree(usual, short, images)
    assert short[0].gives_pixel(images, (padding, padding)) <= (usual(images).shape[2:] == (1, 1))


def test_the_short_way_is_taken_on_the_smallest_maps():
    kernel, halving = FastConv2d(3, 4, 3, padding=1), FastConv2d(3, 4, 3, stride=2, padding=1)
    assert kernel.gives_pixel(torch.zeros(1, 3, 1, 1), (1, 1))
    assert not kernel.gives_pixel(torch.zeros(1, 3, 2, 2), (1, 1))
    assert halving.gives_pixel(torch.zeros(1, 3, 2, 2), (1, 1))


def test_weights_keep_their_names():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1))
    before = dict(network.state_dict())
    speed_up_convolutions(network)
    network[0].algorithms = {(4, 4): 2}
    assert network.state_dict().keys() == before.keys()


@pytest.mark.parametrize("taps", some(range(1, 8), 3))
def test_side_by_side_is_the_convolution(taps, laid):
    torch.manual_seed(0)
    others = itertools.cycle(
        itertools.product((1, 2), (1, 2), (False, True), (2, 3, 8), (1, 2, 5, 8), (0, 1), (False, True))
    )
    called = 0
    for size, stride, padding in itertools.product(range(1, 10), (1, 2, 3), range(6)):
        dilation, groups, bias, count, number, more, is_last = next(others)
        reach, rows = dilation * (taps - 1) + 1, size + more
        if reach > size + 2 * padding:
            continue
        # Rows and columns are to differ in everything.
        kernel = nn.Conv2d(4, 6, (1 + more, taps), (1 + more, stride), (more, padding), (1, dilation), groups, bias)
        usual = nn.Sequential(kernel).double()
        fast = copy.deepcopy(usual)
        speed_up_convolutions(fast)
        fast[0].algorithms = {(rows, size): count}
        images = torch.randn(number, 4, rows, size, dtype=torch.float64)
        if is_last:
            images = images.contiguous(memory_format=torch.channels_last)
        laid.clear()
        agree(usual, fast, images)
        is_plain = number == 1 or fast[0].gives_pixel(images, kernel.padding)
        assert set(laid) == (set() if is_plain else {min(count, number)})
        called += not is_plain
    assert called > 25


@pytest.mark.parametrize("settings", [{"padding_mode": "reflect", "padding": 1}, {"padding": "same"}, {}])
def test_what_pads_otherwise_stays_as_it_is(settings, laid):
    usual = nn.Sequential(nn.Conv2d(3, 4, 3, **settings)).double()
    fast = copy.deepcopy(usual)
    speed_up_convolutions(fast)
    fast[0].algorithms = {(4, 4): 2}
    agree(usual, fast, torch.randn(6, 3, 4, 4, dtype=torch.float64))
    assert bool(laid) == (settings == {})
    uses = find_uses(fast.float(), Device("cpu", False), (3, 4, 4))
    assert len(uses) == (settings == {})


MAPS_OF_TILES = [(4, 4), (3, 9), (8, 5), (1, 2), (7, 7)]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("is_last", [False, True])
@pytest.mark.parametrize("passes", [PASSES, *itertools.combinations(PASSES, 2), *((one,) for one in PASSES)])
def test_winograds_method_is_the_convolution(passes, is_last, bias, monkeypatch):
    torch.manual_seed(0)
    called = []
    for name, one in (("convolve", "forward"), ("images_gradient", "images"), ("kernel_gradient", "kernel")):
        usual = getattr(winograd, name)
        monkeypatch.setattr(winograd, name, lambda *given, usual=usual, one=one: called.append(one) or usual(*given))
    monkeypatch.setattr(winograd, "TILES", 5)
    for (rows, columns), padding in itertools.product(MAPS_OF_TILES, [(0, 0), (1, 1), (2, 1), (0, 3)]):
        if rows + 2 * padding[0] < 3 or columns + 2 * padding[1] < 3:
            continue
        usual = nn.Sequential(nn.Conv2d(3, 5, 3, padding=padding, bias=bias)).double()
        fast = copy.deepcopy(usual)
        speed_up_convolutions(fast)
        fast[0].algorithms = {(rows, columns): passes}
        images = torch.randn(7, 3, rows, columns, dtype=torch.float64)
        if is_last:
            images = images.contiguous(memory_format=torch.channels_last)
        called.clear()
        agree(usual, fast, images)
        # Forward once more without gradients.
        is_pixel = fast[0].gives_pixel(images, padding)
        assert sorted(called) == sorted([] if is_pixel else [*passes, *["forward"] * ("forward" in passes)])


@pytest.mark.parametrize(("channels", "size"), [(64, 32), (256, 8)])
def test_winograds_method_is_nearly_as_exact(channels, size):
    """In float32, of the largest value: the forward pass ten times as coarse, the kernel's gradient no coarser."""
    torch.manual_seed(0)
    images, slope = (torch.randn(8, channels, size, size) for _ in range(2))
    kernel = torch.randn(channels, channels, 3, 3)
    precise = [given.double().requires_grad_() for given in (images, kernel)]
    exact = nn.functional.conv2d(*precise, padding=1)
    gradients = torch.autograd.grad(exact, precise, slope.double())
    found = [
        winograd.convolve(images, kernel, (1, 1)),
        winograd.images_gradient(slope, kernel, (1, 1)),
        winograd.kernel_gradient(images, slope, (1, 1)),
    ]
    for one, wanted, most in zip(found, [exact.detach(), *gradients], [3e-5, 3e-5, 2e-5], strict=True):
        assert float((one - wanted).abs().max() / wanted.abs().max()) < most


def test_where_winograds_method_is_tried():
    def tried(*given, size=(8, 8), **settings):
        return FastConv2d(*given, **settings).takes_winograd(size)

    assert tried(64, 32, 3, padding=1)
    assert tried(32, 32, 3, padding=1, size=(3, 3)) and tried(32, 32, 3, padding=1, size=(7, 14))
    # Most of a tile would be of no use.
    assert not tried(32, 32, 3, padding=1, size=(2, 2)) and not tried(32, 32, 3, padding=1, size=(5, 5))
    assert not tried(16, 64, 3, padding=1)
    assert not tried(64, 64, 1) and not tried(64, 64, 3, stride=2) and not tried(64, 64, 3, groups=2)
    assert not tried(64, 64, 3, dilation=2)


def test_in_bfloat16_nothing_takes_winograds_method():
    kernel = FastConv2d(32, 32, 3, padding=1)
    use, fine, coarse = (kernel, (8, 8)), Device("cpu", False), Device("cpu", True)
    set_algorithms([use], {kernel.name_on((8, 8)): PASSES}, coarse)
    assert kernel.algorithms == {}
    set_algorithms([use], {kernel.name_on((8, 8)): PASSES}, fine)
    assert kernel.algorithms == {(8, 8): PASSES}
    network = nn.Sequential(FastConv2d(32, 32, 3, padding=1))
    assert [len(find_uses(network, device, (32, 16, 16))) for device in (fine, coarse)] == [1, 0]


def test_compiled_code_does_not_use_winograds_method(monkeypatch):
    """It stays one piece, and is oneDNN's convolution."""
    kernel = FastConv2d(2, 3, 3, padding=1).double()
    kernel.algorithms = {(4, 4): PASSES}
    images = torch.randn(2, 2, 4, 4, dtype=torch.float64)
    expected = kernel(images)
    monkeypatch.setattr(winograd, "convolve", None)
    compiled = torch.compile(kernel, backend="eager", fullgraph=True)
    assert torch.allclose(compiled(images), expected, rtol=1e-12, atol=1e-12)


def test_a_run_by_winograds_method_resumes_with_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(device, "cpu_has_bf16", lambda: False)
    monkeypatch.setattr(fast_convolutions, "LEAST_WORK", 1)
    monkeypatch.setattr(fast_convolutions, "FEWEST_CHANNELS", 1)
    monkeypatch.setattr(
        fast_convolutions, "fastest", lambda conv, size, *given: PASSES if conv.takes_winograd(size) else 1
    )
    recipe = change_recipe(RECIPE, {"epochs": 2})
    train(tmp_path / "whole", recipe)
    folder = kill(tmp_path / "run", 2, 3, recipe=recipe)
    chosen = {"1 → 4, 3×3, padding 1×1, on 8×8": PASSES}
    assert all(read_record(RunFolder(tmp_path / name)).winograd == chosen for name in ("whole", "run"))
    called, usual = [], winograd.kernel_gradient
    monkeypatch.setattr(winograd, "kernel_gradient", lambda *given: called.append(1) or usual(*given))
    monkeypatch.setattr(fast_convolutions, "fastest", lambda *given: 1)
    resume(folder)
    assert called and reached(folder) == reached(tmp_path / "whole")
    assert evaluate_run(folder, lambda _spec, _record: SMALL).agrees
    usual_run = train(tmp_path / "usual", recipe)
    assert usual_run.record.winograd == {} and reached(tmp_path / "usual") != reached(folder)


def test_second_derivatives():
    kernel = FastConv2d(2, 2, 3, padding=1).double()
    kernel.algorithms = {(2, 3): 2}
    images = torch.randn(3, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(kernel, images) and torch.autograd.gradgradcheck(kernel, images)
    kernel.algorithms = {(2, 3): PASSES}
    assert torch.autograd.gradcheck(kernel, images) and torch.autograd.gradgradcheck(kernel, images)


def test_maps_lie_as_before():
    kernel = FastConv2d(2, 4, 3, padding=1).to(memory_format=torch.channels_last)
    for algorithm in (2, PASSES):
        kernel.algorithms = {(4, 4): algorithm}
        images = torch.randn(4, 2, 4, 4).contiguous(memory_format=torch.channels_last)
        assert kernel(images).is_contiguous(memory_format=torch.channels_last)
    usual = FastConv2d(2, 4, 3, padding=1)
    usual.algorithms = {(4, 4): PASSES}
    assert usual(images.contiguous()).is_contiguous()


class Shared(nn.Module):
    """One kernel on two maps, twice on the smaller one."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.kernel = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.drop, self.norm = nn.Dropout(0.5), nn.BatchNorm2d(4)

    def forward(self, x):
        x = self.kernel(self.drop(self.wide(x)))
        return self.kernel(self.kernel(self.norm(x[:, :, ::2, ::2]))).mean((2, 3))


def test_narrow_maps_are_found_once_for_each_call_and_nothing_changes():
    network = Shared()
    speed_up_convolutions(network)
    before, drawn = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    uses = find_uses(network.train(), Device("cpu", False), (1, 16, 16))
    assert [conv.name_on(size) for conv, size in uses] == ["4 → 4, 3×3, padding 1×1, on 8×8"] * 2
    assert network.training and torch.equal(drawn, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    network(torch.zeros(2, 1, 16, 16))
    assert len(uses) == 2


def test_a_name_says_all_that_decides():
    kernel = FastConv2d(4, 6, (3, 1), (2, 1), (1, 0), (1, 2), 2)
    assert kernel.name_on((8, 4)) == "4 → 6, 3×1, 2 groups, stride 2×1, padding 1×0, dilation 1×2, on 8×4"


def test_the_measurement_draws_nothing_and_leaves_no_gradient(monkeypatch):
    kernel = FastConv2d(64, 64, 3, padding=1)
    monkeypatch.setattr(fast_convolutions, "LEAST_WORK", 1)
    drawn = torch.get_rng_state()
    counts = measure_algorithms([(kernel, (4, 4))], Device("cpu", False), torch.channels_last, 32)
    assert counts.keys() <= {"64 → 64, 3×3, padding 1×1, on 4×4"}
    assert kernel.weight.grad is None and kernel.algorithms == {} and torch.equal(drawn, torch.get_rng_state())


def test_the_fastest_algorithm_is_chosen(monkeypatch):
    """By a clock that goes on when a convolution is computed."""
    now, cost = [0.0], {1: 3.0, 8: 1.0}

    class Timed(FastConv2d):
        def forward(self, input):
            now[0] += cost[self.algorithms[4, 4]]
            return super().forward(input)

    monkeypatch.setattr(fast_convolutions, "perf_counter", lambda: now[0])
    monkeypatch.setattr(fast_convolutions, "LEAST_WORK", 1)
    uses = [(Timed(2, channels, 3, padding=1), (4, 4)) for channels in (2, 3)]
    names = [conv.name_on(size) for conv, size in uses]

    def measured(limit=1000.0):
        monkeypatch.setattr(fast_convolutions, "LIMIT", limit)
        return measure_algorithms(uses, Device("cpu", False), torch.channels_last, 32)

    assert measured() == dict.fromkeys(names, 8)
    # The larger one comes first, and takes longer than the limit.
    assert measured(0.5) == {names[1]: 8}
    cost[1] = 1.1
    assert measured() == {}
    cost[1] = 0.5
    assert measured() == {}


@pytest.mark.parametrize(
    ("algorithm", "seconds", "expected"),
    [
        (8, [1, 1, 1], 8),
        (8, [5, 1, 1], 8),
        (8, [5, 5, 1], 1),
        (8, [3, 3, 2], 1),
        (PASSES, [1, 1, 1], PASSES),
        (PASSES, [1, 2.9, 1], ("forward", "kernel")),
        (PASSES, [9, 9, 1], ("kernel",)),
        (PASSES, [2.9, 3, 3], 1),
    ],
)
def test_passes_are_chosen_one_by_one(algorithm, seconds, expected):
    assert choose([3, 3, 3], seconds, algorithm) == expected


def test_winograds_method_is_measured_where_it_may_pay(monkeypatch):
    heard = []

    def timer(conv, shape, *others):
        heard.append(shape)
        return lambda algorithm: [1, 1, 1] if algorithm == 1 else [0.5, 2, 0.5]

    monkeypatch.setattr(fast_convolutions, "time_passes", timer)

    def found(device, size, stride=1):
        conv = FastConv2d(64, 64, 3, stride, padding=1)
        return fast_convolutions.fastest(conv, (size, size), device, torch.channels_last, 1024)

    fine, coarse = Device("cpu", False), Device("cpu", True)
    assert found(fine, 8) == found(fine, 64) == ("forward", "kernel")
    # Whole multiples of the images that lie side by side, or enough tiles.
    assert heard == [(TRIED_WORK // (64 * 64 * 9 * 64), 64, 8, 8), (16, 64, 64, 64)]
    assert found(coarse, 8) == found(fine, 16, 2) == 1
    assert found(coarse, 64) == 1 and len(heard) == 4
    # A processor with bfloat16 does several times as much meanwhile.
    assert heard[2] == (TRIED_WORK_BF16 // (64 * 64 * 9 * 64) // 4 * 4, 64, 8, 8)


def test_small_work_and_small_batches_are_not_measured(monkeypatch):
    monkeypatch.setattr(fast_convolutions, "fastest", lambda *given: 8)
    kernel = FastConv2d(64, 64, 3, padding=1)
    measured = [
        measure_algorithms([(kernel, (4, 4))], Device("cpu", True), torch.channels_last, n) for n in (512, 1024)
    ]
    assert measured == [{}, {kernel.name_on((4, 4)): 8}]
    assert [fast_convolutions.count_for(4, batch) for batch in (1, 4, 8, 16, 32, 128)] == [1, 1, 2, 4, 8, 8]


def test_the_narrowest_maps_come_first(monkeypatch):
    heard = []
    monkeypatch.setattr(fast_convolutions, "LEAST_WORK", 1)
    monkeypatch.setattr(
        fast_convolutions, "fastest", lambda conv, size, *given: heard.append((conv.out_channels, *size)) or 1
    )
    sizes = [(2, (8, 8)), (9, (4, 4)), (5, (4, 4)), (9, (8, 4)), (2, (8, 8))]
    uses = [(FastConv2d(2, channels, 3, padding=1), size) for channels, size in sizes]
    assert measure_algorithms(uses, Device("cpu", False), torch.channels_last, 32) == {}
    assert heard == [(9, 8, 4), (9, 4, 4), (5, 4, 4), (2, 8, 8)]


def widest(conv, size, device, layout, batch):
    return fast_convolutions.count_for(conv.columns(size[1]), batch)


@pytest.fixture(params=[False, True], ids=["float32", "bfloat16"])
def paying(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU where laying images side by side always pays."""
    monkeypatch.setattr(device, "cpu_has_bf16", lambda: request.param)
    monkeypatch.setattr(fast_convolutions, "LEAST_WORK", 1)
    monkeypatch.setattr(fast_convolutions, "fastest", widest)


@pytest.mark.usefixtures("paying")
def test_a_resumed_run_has_the_same_bits(tmp_path, monkeypatch, laid):
    recipe = change_recipe(RECIPE, {"epochs": 2})
    train(tmp_path / "whole", recipe)
    folder = kill(tmp_path / "run", 2, 3, recipe=recipe)
    records = [read_record(RunFolder(tmp_path / name)) for name in ("whole", "run")]
    assert [record.side_by_side for record in records] == [CHOSEN] * 2
    laid.clear()
    # Another measurement would choose otherwise.
    monkeypatch.setattr(fast_convolutions, "fastest", lambda *given: 1)
    resume(folder)
    assert laid and reached(folder) == reached(tmp_path / "whole")
    assert read_record(RunFolder(folder)).side_by_side == CHOSEN
    laid.clear()
    assert evaluate_run(folder, lambda _spec, _record: SMALL).agrees and laid
    laid.clear()
    plain = train(tmp_path / "plain", recipe)
    assert plain.record.side_by_side == {} and not laid
    resume(kill(tmp_path / "other", 2, 3, recipe=recipe))
    assert reached(tmp_path / "other") == reached(tmp_path / "plain")


@pytest.mark.parametrize(
    "wrong", [{SECOND: 1}, {SECOND: 65}, {SECOND: "many"}, [SECOND], {str(i): 2 for i in range(1001)}]
)
def test_a_wrong_record_is_refused(interrupted, wrong, tmp_path):
    record = json.loads((interrupted / "recipe.json").read_text())
    (tmp_path / "recipe.json").write_text(json.dumps({**record, "side_by_side": wrong}))
    with pytest.raises(UsageError, match="is not the record of a run: `side_by_side"):
        read_record(RunFolder(tmp_path))


@pytest.mark.parametrize("wrong", [{SECOND: 2}, {SECOND: ["result"]}, [SECOND], {str(i): [] for i in range(1001)}])
def test_a_wrong_record_of_winograds_method_is_refused(interrupted, wrong, tmp_path):
    record = json.loads((interrupted / "recipe.json").read_text())
    (tmp_path / "recipe.json").write_text(json.dumps({**record, "winograd": wrong}))
    with pytest.raises(UsageError, match="is not the record of a run: `winograd"):
        read_record(RunFolder(tmp_path))


@pytest.mark.usefixtures("paying")
def test_where_it_is_used_and_where_not(monkeypatch, tmp_path):
    def prepared(recipe=RECIPE, **given):
        task = prepare(build_network(SMALL, "Small"), find(IMAGES), recipe, tmp_path, **given)
        assert bool(task.network.second.algorithms) == bool(task.algorithms)
        return task.algorithms

    assert prepared() == CHOSEN
    assert prepared(algorithms={}) == {}
    assert prepared(algorithms={SECOND: 4}) == {SECOND: 4}
    assert prepared(change_recipe(RECIPE, {"precise": True})) == {}
    assert prepared(change_recipe(RECIPE, {"precise": True}), algorithms={SECOND: 4}) == {}
    monkeypatch.setattr(fast_convolutions, "LEAST_WORK", 2**29)
    assert prepared() == {}


@pytest.mark.usefixtures("paying")
@pytest.mark.parametrize("rank", [0, 1])
def test_all_processes_choose_as_the_first_one(rank, monkeypatch, tmp_path):
    class Pair(Processes):
        def gather(self, value):
            return [value, {}] if rank == 0 else [{SECOND: 2}, value]

        def spread(self, network, images):
            return network

    def measured(*given):
        assert rank == 0
        return widest(*given)

    monkeypatch.setattr(fast_convolutions, "fastest", measured)
    task = prepare(build_network(SMALL, "Small"), find(IMAGES), RECIPE, tmp_path, Pair(rank, 2))
    assert task.algorithms == (CHOSEN if rank == 0 else {SECOND: 2})


def test_a_long_measurement_is_said(monkeypatch, tmp_path):
    from cldfc.runs import training_run

    seconds = iter([0.0, 3.0])
    monkeypatch.setattr(training_run, "perf_counter", lambda: next(seconds))
    heard = []
    prepare(build_network(SMALL, "Small"), find(IMAGES), RECIPE, tmp_path, say=heard.append)
    assert heard == ["measuring which algorithms of convolution are fastest took 3.0 s"]
