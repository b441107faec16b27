"""Generated code: what it looks like (golden files), and that it computes what the graph says."""

import ast
import os
import subprocess
import sys

import pytest
import torch
from graph_interpreter import run_graph
from networks import ROOT, SHOWN_SPECS, build, compile_spec, compile_text, randomise

from cldfc.compilation import Compilation
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


@pytest.mark.parametrize("path", [*CASES, *(ROOT / "specs" / f"{n}.cldf" for n in PAPER_SPECS)], ids=lambda p: p.stem)
def test_code_computes_the_graph(path, monkeypatch):
    monkeypatch.setattr(torch.nn.functional, "dropout", lambda x, rate, training: x * (1 - rate) if training else x)
    source = Source(path.name, path.read_text(encoding="utf-8"))
    graph, network = Compilation(source).written, build(Compilation(source).code()).double().train()
    torch.manual_seed(0)
    randomise(network)
    images = torch.randn(3, *graph.program.shape, dtype=torch.float64)
    expected = run_graph(graph, network, images)
    assert (network(images) - expected).abs().max() <= 1e-11 * expected.abs().max()
    assert sum(p.numel() for p in network.parameters()) == sum(p.count() for p in graph.parameters.values())


def test_cases_contain_all_notation():
    """Of the built-in operators tests/test_operators.py makes networks."""
    sources = [Source(path.name, path.read_text(encoding="utf-8")) for path in CASES]
    used = {type(node.operator) for source in sources for node in Compilation(source).written.nodes()}
    notation = {operator for operator in all_operators() if not operator.__subclasses__() and operator.keyword is None}
    missing = notation - used - {Statistics}  # what is stored for each use of a SharedBatchNorm
    assert not missing, f"no spec of tests/golden/compile has {missing}"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.py")), ids=lambda path: path.stem)
def test_golden_files_are_clean_python(path):
    for command in (["format", "--check", "-q"], ["check", "-q"]):
        result = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", str(path)], capture_output=True, text=True
        )
        assert result.returncode == 0, result.stdout + result.stderr
    imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in imports if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} == {"torch"}


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
    seeds = ("0", "1", "4711")
    outputs = {
        subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True).stdout
        for seed in seeds
    }
    assert outputs == {compile_spec("fbresnet").encode()}


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
