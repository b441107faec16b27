"""Generated code: what it looks like (golden files), and that it computes what the graph says."""

import ast
import os
import re
import subprocess
import sys
import weakref

import pytest
import torch
from graph_interpreter import run_graph
from networks import ROOT, SHOWN_SPECS, build, compile_spec, compile_text, randomise, some, spec_text
from torch.utils._python_dispatch import TorchDispatchMode

from cldfc.compilation import Compilation, read_changes
from cldfc.diagnostics import Source
from cldfc.ops import Statistics, all_operators

GOLDEN = ROOT / "tests" / "golden" / "compile"
PAPER_SPECS = [path.stem for path in SHOWN_SPECS]
CASES = sorted(GOLDEN.glob("*.cldf"))


@pytest.mark.parametrize("name", PAPER_SPECS)
def test_paper_specs_look_as_they_should(name, golden):
    golden(GOLDEN / f"{name}.py", compile_spec(name))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_cases_look_as_they_should(path, golden):
    golden(path.with_suffix(".py"), compile_text(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "path", [*CASES, *(ROOT / "specs" / f"{n}.cldf" for n in some(PAPER_SPECS, 2))], ids=lambda p: p.stem
)
def test_code_computes_the_graph(path, monkeypatch):
    monkeypatch.setattr(torch.nn.functional, "dropout", lambda x, rate, training: x * (1 - rate) if training else x)
    source = Source(path.name, path.read_text(encoding="utf-8"))
    # The networks of the paper are as wide as they are, and on small images as slow as the others.
    changes = read_changes(input="3x8x8") if path.stem in PAPER_SPECS else read_changes()
    graph, network = Compilation(source, changes).written, build(Compilation(source, changes).code()).double().train()
    torch.manual_seed(0)
    randomise(network)
    images = torch.randn(3, *graph.program.shape, dtype=torch.float64)
    expected = run_graph(graph, network, images)
    assert (network(images) - expected).abs().max() <= 1e-11 * expected.abs().max()
    assert sum(p.numel() for p in network.parameters()) == sum(p.numbers for p in graph.parameters.values())


def test_cases_contain_all_notation():
    """Of the built-in operators tests/test_operators.py makes networks."""
    sources = [Source(path.name, path.read_text(encoding="utf-8")) for path in CASES]
    used = {type(node.operator) for source in sources for node in Compilation(source).written.nodes()}
    notation = {operator for operator in all_operators() if not operator.__subclasses__() and operator.keyword is None}
    missing = notation - used - {Statistics}  # what is stored for each use of a SharedBatchNorm
    assert not missing, f"no spec of tests/golden/compile has {missing}"


def test_golden_files_are_clean_python():
    paths = sorted(GOLDEN.glob("*.py"))
    # `F` is what everybody calls torch.nn.functional (N812); a class is called what its spec calls the network (N801);
    # equations in docstrings, and names that are too long for a line, are not broken (E501).
    rules = ["--select", "E,F,W,I,N,UP,B,SIM", "--ignore", "N812,N801,E501"]
    for command in (["format", "--check", "-q"], ["check", "-q", *rules]):
        result = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", *map(str, paths)], capture_output=True, text=True
        )
        assert result.returncode == 0, result.stdout + result.stderr
    nodes = [node for path in paths for node in ast.walk(ast.parse(path.read_text()))]
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in imports if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= {"torch", "collections"}  # `Callable`, for fixed points


def test_kernels_that_are_made_apart_keep_their_own_strides():
    """K@4 and K@5 have stride 2; K@6 and K@7, which come next, have not."""
    text = """model Apart
steps i = 1..3
let b@i = 2, 6, 7
input f : 4 × 16 × 16
output h : 3
kernel K@i : 3×3 → 4
u@0 = f
u@i = relu ∘ K@i * u@i-1
v@0 = u@3
v@i = relu ∘ upsample ∘ K@i+2 *_2 v@i-1
w@0 = v@3
w@i = relu ∘ K@{b@i} * w@i-1
h = linear ∘ avgpool(w@3)
"""
    network = build(compile_text(text)).double()
    images = torch.randn(2, 4, 16, 16, dtype=torch.float64)
    expected = run_graph(Compilation(Source("test.cldf", text)).written, network, images)
    assert (network(images) - expected).abs().max() <= 1e-11 * expected.abs().max()


@pytest.mark.parametrize("use", ["A@ℓ * u@ℓ", "A@1 * u@1", "A@J * u@J"])
def test_the_state_dict_does_not_depend_on_how_a_kernel_is_used(use):
    definition = use.replace("A@", "v@").split(" ")[0]
    text = f"""model Use
let J = 1
levels ℓ = 1..J
input f : 1 × 8 × 8
output h : 3
kernel A@ℓ : 3×3 → 4
u@1 = f
{definition} = {use}
h = linear ∘ avgpool(v@1)
"""
    assert list(build(compile_text(text)).state_dict()) == ["A.1.weight", "linear.weight", "linear.bias"]


def test_length_does_not_grow_with_the_steps():
    few = compile_spec("preact18_Al")
    many = compile_spec("preact18_Al", ("2, 1, 1, 1", "12, 11, 11, 11"))
    assert len(few.splitlines()) == len(many.splitlines())
    few, many = (compile_spec("fbresnet", ("2, 2, 2, 2", steps)) for steps in ("1, 2, 1, 3", "30, 40, 50, 60"))
    assert len(few.splitlines()) == len(many.splitlines())


def test_length_does_not_grow_with_the_levels():
    def lines(levels):
        widths = ", ".join(["4"] * levels)
        steps = ", ".join(["1", "2"] * (levels // 2))
        changes = [("J = 4", f"J = {levels}"), ("64, 128, 256, 512", widths)]
        return len(compile_spec("fbresnet", *changes, ("2, 2, 2, 2", steps)).splitlines())

    # The table of steps takes a line for each level, and `12` is so long that a line is broken where `4` was not.
    assert lines(12) - lines(4) <= 14


def test_bytes_do_not_depend_on_the_hash_seed():
    command = [sys.executable, "-m", "cldfc", "compile", "specs/fbresnet.cldf", "-o", "-"]
    # That of this process is another one.
    other = "1" if os.environ.get("PYTHONHASHSEED") == "4711" else "4711"
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": other}, capture_output=True)
    assert done.stdout == compile_spec("fbresnet").encode()


def test_ascii_spelling_gives_the_same_bytes():
    def in_ascii(text):
        table = {"ℓ": "l", "∘": ".", "×": "x", "→": "->", "σ": "sigma", "θ": "theta", "ν": "nu", "Π": "Pi"}
        table |= {"𝒜": "cal_A", "ℬ": "cal_B"}
        return "".join(table.get(character, character) for character in text)

    for name in PAPER_SPECS:
        text = (ROOT / "specs" / f"{name}.cldf").read_text(encoding="utf-8")
        ascii_text = in_ascii(text)
        assert ascii_text.replace("ν", "nu").isascii()
        assert compile_text(ascii_text) == compile_text(text)


def test_order_of_statements_does_not_matter():
    text = (ROOT / "specs" / "fbresnet.cldf").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    one, two = build(compile_text(text)), build(compile_text("\n".join(reversed(lines))))
    two.load_state_dict(one.state_dict())
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(one.eval()(images), two.eval()(images))


def test_a_long_sum_compiles():
    terms = " + ".join(["f"] * 3000)
    source = compile_text(f"model Long\ninput f : 2 × 4 × 4\noutput h : 3\ny = {terms}\nh = linear ∘ avgpool(y)\n")
    network = build(source)
    code = source.split('"""')[2]
    assert max(map(len, code.splitlines())) <= 88
    images = torch.ones(1, 2, 4, 4)
    expected = network.linear(3000 * images.mean((2, 3)))
    assert torch.allclose(network(images), expected)


def test_a_loop_variable_that_is_not_read_has_no_name():
    frame = "model N\ninput f : 1 × 8 × 8\noutput h : 10\nsteps i = 1..3\nkernel D : 3×3 → 4\nkernel {} : 3×3 → 4\n"
    equations = "u@0 = D * f\nu@i = relu(u@i-1 + {} * u@i-1)\nh = linear ∘ avgpool(u@3)\n"
    shared, own = (compile_text(frame.format(A) + equations.format(A)) for A in ("A", "A@i"))
    assert "for _ in range(1, 4):" in shared and "for _ in" not in own


class LiveTensors(TorchDispatchMode):
    """Counts the bytes of tensors that are alive, and the most at any time."""

    def __init__(self):
        super().__init__()
        self.alive: dict[int, tuple[int, torch.Size]] = {}
        self.most = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            place = tensor.untyped_storage().data_ptr()
            if place not in self.alive:
                self.alive[place] = tensor.untyped_storage().nbytes(), tensor.shape
                weakref.finalize(tensor, self.alive.pop, place)
        self.most = max(self.most, sum(size for size, _ in self.alive.values()))
        return result


def most_alive(source):
    """The bytes of intermediate results that are alive at once in inference; and what is alive before the head."""
    network, shapes = build(source).eval(), []
    images = torch.randn(2, *map(int, re.search(r"^f: (.*) →", source, re.M)[1].split(" × ")))
    with torch.no_grad(), LiveTensors() as live:
        network.linear.register_forward_pre_hook(lambda *_: shapes.extend(shape for _, shape in live.alive.values()))
        network(images)
    return live.most, shapes


@pytest.mark.parametrize("back", [2, 3, 5])
def test_memory_does_not_grow_with_the_steps(back):
    """Only as many results are alive as the recurrence reads."""
    text = (GOLDEN / "two_histories.cldf").read_text(encoding="utf-8").replace("6", "{steps}")
    text = text.replace("u@i-2", f"u@i-{back}").replace("i = 2..", f"i = {back}..")
    text = text.replace("u@1 = relu(u@0)", "\n".join(f"u@{i} = tanh(u@{i - 1})" for i in range(1, back)))
    few, many = (text.format(steps=steps) for steps in (8, 40))
    assert most_alive(compile_text(few))[0] == most_alive(compile_text(many))[0]
    source = Source("test.cldf", few)
    graph, network = Compilation(source).written, build(Compilation(source).code()).double()
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    expected = run_graph(graph, network, images)
    assert (network(images) - expected).abs().max() <= 1e-11 * expected.abs().max()


@pytest.mark.parametrize(("name", "channels"), [("fbresnet", "64, 128, 256, 512"), ("lm_resnet", "16, 32, 64")])
def test_maps_of_the_first_level_are_not_kept_to_the_end(name, channels):
    source = compile_spec(name, (channels, re.sub(r"\d+", "4", channels)))
    assert ": dict[" not in source
    _, shapes = most_alive(source)
    assert shapes and not any(32 in shape[2:] for shape in shapes)


def test_values_from_far_back_keep_their_place():
    sources = {name: compile_spec(name) for name in ("unet", "densenet")}
    assert all("x: dict[int, torch.Tensor] = {}" in source for source in sources.values())


BLOCKS = """model Blocks
let J = 2
levels ℓ = 1..J
steps i = 1..2
input f : 2 × 8 × 8
output h : 3
kernel θ : 3×3 → 4
kernel B@ℓ,i : 3×3 → 4
kernel W : 1×1 → 4
{}
x@1,0 = θ * f
x@ℓ,i = x@ℓ,i-1 + {}(x@ℓ,i-1)
x@ℓ+1,0 = maxpool[2](x@ℓ,2)
y = {}(relu(x@J,2))
h = linear ∘ avgpool(y)
"""


STRIDED = """model M
steps i = 1..3
let c@i = 4, 6, 6
let s@i = 2, 1, 2
input f : 3 × 16 × 16
output h : 5
kernel E@i : 3×3 → c@i
let S@i = identity ⊙ sigmoid ∘ linear[c@i] ∘ avgpool
let I@i = S@i ∘ relu ∘ bn ∘ E@i *_{s@i}
x@1 = I@1(f)
x@2 = 2 * I@2(x@1)
x@3 = I@3(x@2)
h = linear ∘ avgpool(x@3)
"""


def test_a_method_serves_uses_with_other_strides_and_widths():
    """Its modules know them; the docstring is the equation."""
    source = compile_text(STRIDED)
    assert source.count("I@i = S@i ∘ relu ∘ bn ∘ E@i *_{s@i}") == 2  # in the text of the spec, and in the method
    assert re.findall(r"def (?!__init__|forward|conv).*", source) == [
        "def apply_i(self, x: torch.Tensor, i: int) -> torch.Tensor:"
    ]
    assert [f"self.apply_i({use})" in source for use in ("f, 1", "x, 2", "x, 3")] == [True, True, True]
    network = build(source).double().train()
    randomise(network)
    images = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    expected = run_graph(Compilation(Source("test.cldf", STRIDED)).simplified, network, images)
    assert (network(images) - expected).abs().max() <= 1e-12 * expected.abs().max()


@pytest.mark.parametrize(
    ("definition", "first", "second", "method"),
    [
        ("let ℬ@ℓ,i = relu ∘ bn ∘ B@ℓ,i *", "ℬ@ℓ,i", "relu", None),  # used once
        ("let ℬ@ℓ,i = tanh ∘ B@ℓ,i * relu", "ℬ@ℓ,i", "ℬ@J,2", "def cal_b(self, x: torch.Tensor, level: int, i: int)"),
        ("let ℬ@i,ℓ = tanh ∘ B@ℓ,i * relu", "ℬ@i,ℓ", "ℬ@2,J", "def cal_b(self, x: torch.Tensor, i: int, level: int)"),
        ("let ℬ@ℓ,i = tanh ∘ B@ℓ,1 * relu", "ℬ@ℓ,i", "ℬ@J,2", "def cal_b(self, x: torch.Tensor, level: int)"),
        ("let S = 1/2 * (tanh ∘ W * relu)", "S", "S", "def s(self, x: torch.Tensor)"),
        (  # step 1 has a kernel with another tag
            "let ℬ@ℓ,i = tanh ∘ B@ℓ,i *\ntie B@ℓ for i >= 2",
            "ℬ@ℓ,i",
            "ℬ@J,2",
            "def cal_b(self, x: torch.Tensor, level: int)",
        ),
        ("let X = 2 * ((relu ∘ W *) - tanh ∘ W * tanh)", "X", "X", "def apply_x(self, x: torch.Tensor)"),
        ("let half = tanh ∘ W * relu", "half", "half", "def half_2(self, x: torch.Tensor)"),  # torch has a `half`
        ("let ℬ@ℓ,i = relu ∘ bn ∘ B@ℓ,i *", "ℬ@ℓ,i", "ℬ@J,2", None),  # each place has a bn of its own name
        ("let 𝒜@ℓ,i = B@ℓ,i *", "𝒜@ℓ,i", "𝒜@J,2", None),  # a kernel
        ("let σ = relu ∘ tanh", "σ", "σ", None),  # no kernel
        ("let ℬ@ℓ,i = dropout[0.5] ∘ B@ℓ,i *", "ℬ@ℓ,i", "ℬ@J,2", None),  # draws at random
    ],
)
def test_a_named_operator_that_is_used_twice_is_a_method(definition, first, second, method, monkeypatch):
    text = BLOCKS.format(definition, first, second)
    source = compile_text(text)
    assert re.findall(r"def (?!__init__|forward|conv).*", source) == ([f"{method} -> torch.Tensor:"] if method else [])
    if method:
        name = method.removeprefix("def ").partition("(")[0]
        assert source.count(f"self.{name}(") == 2
        assert ast.get_docstring(next(n for n in ast.walk(ast.parse(source)) if getattr(n, "name", "") == name))
    monkeypatch.setattr(torch.nn.functional, "dropout", lambda x, rate, training: x * (1 - rate))
    graph, network = Compilation(Source("test.cldf", text)).written, build(source).double()
    images = torch.randn(2, 2, 8, 8, dtype=torch.float64)
    expected = run_graph(graph, network, images)
    assert (network(images) - expected).abs().max() <= 1e-11 * expected.abs().max()


def test_strict_types(tmp_path):
    """pyright finds nothing in networks with each kind of place for values: variables, a tuple, dictionaries."""
    for name in ("fbresnet", "lm_resnet", "unet", "densenet", "fractalnet", "vgg11"):
        (tmp_path / f"{name}.py").write_text(compile_spec(name))
    far = (GOLDEN / "two_histories.cldf").read_text(encoding="utf-8").replace("i = 2..", "i = 5..")
    starts = "\n".join(f"u@{i} = tanh(u@{i - 1})" for i in range(1, 5))
    (tmp_path / "far.py").write_text(compile_text(far.replace("u@i-2", "u@i-5").replace("u@1 = relu(u@0)", starts)))
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    command = [sys.executable, "-m", "pyright", "-p", str(tmp_path), "--pythonpath", sys.executable]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("name", some(["preact18_Al", "unet", "fractalnet", "lenet5"], 3))
def test_channels_and_classes_are_arguments(name):
    """The class with other numbers is the class of the spec with other numbers: the same code but for these."""
    compilation = Compilation(Source("test.cldf", spec_text(name, ("model", "model"))))
    _, *size = compilation.program.shape
    source, other = compilation.code(), compilation.sized((5, *size), 7).code()

    def lines(text):
        return [line for line in text.split('"""', 2)[2].splitlines() if '"""' not in line and "#" not in line]

    changed = [(a, b) for a, b in zip(lines(source), lines(other), strict=True) if a != b]
    assert len(changed) <= 1 and all(a.strip().startswith("def __init__") for a, _ in changed)
    namespace = {"__name__": "generated"}
    exec(compile(source, name, "exec"), namespace)
    network, expected = namespace[compilation.class_name](in_channels=5, num_classes=7), build(other)
    network.load_state_dict(expected.state_dict())
    images = torch.randn(2, 5, *size)
    assert network.eval()(images).shape == (2, 7)
    assert torch.equal(network(images), expected.eval()(images))


FREE = "model Free\ninput f : 4 × 8 × 8\noutput h : 3\n{}\n"


@pytest.mark.parametrize(
    ("body", "arguments"),
    [
        ("kernel K : 3×3 → 4\nh = linear ∘ avgpool ∘ K * f", ["in_channels", "num_classes"]),
        ("kernel K : 3×3 → 4\nh = linear ∘ avgpool ∘ K * relu ∘ bn ∘ maxpool[2](f)", ["in_channels", "num_classes"]),
        ("kernel K : 3×3 → 4\nh = linear ∘ avgpool(f + K * f)", ["num_classes"]),
        ("kernel K : 3×3 → 4\nh = linear ∘ avgpool ∘ K * K * f", ["num_classes"]),  # K gives what it takes
        ("kernel K : 3×3, 4 → 6\nh = linear ∘ avgpool ∘ K * f", ["num_classes"]),
        ("kernel K : 3×3 → 4, groups 2\nh = linear ∘ avgpool ∘ K * f", ["num_classes"]),
        ("h = linear ∘ flatten(f)", ["num_classes"]),
        ("kernel K : 3×3 → 4\nh = linear[3] ∘ avgpool ∘ K * f", ["in_channels"]),
        ("kernel K : 3×3 → 3\nh = avgpool ∘ K * f", ["in_channels"]),
        ("kernel K : 3×3 → 3\nh = linear ∘ avgpool(K * f) + avgpool(K * f)", ["in_channels"]),
        (
            "steps i = 1..3\nkernel K@i : 3×3 → 4\nu@0 = f\nu@i = K@i * u@i-1\nh = linear ∘ avgpool(u@3)",
            ["num_classes"],
        ),
    ],
)
def test_what_the_network_fixes_is_no_argument(body, arguments):
    given = re.search(r"def __init__\(self(.*)\) -> None", compile_text(FREE.format(body)))[1]
    assert re.findall(r"\w+(?=: int)", given) == arguments
