"""`cldfc.load` and what a `Spec` answers."""

import ast
import copy
import doctest
import gc
import inspect
import json
import linecache
import os
import pickle
import subprocess
import sys
import traceback
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import torch
from networks import ROOT, spec_text
from typer.testing import CliRunner

import cldfc
from cldfc.cli import app
from cldfc.compilation import Compilation, read_changes
from cldfc.diagnostics import CldfError, UsageError
from cldfc.spec import Spec, load, spec_from_text
from cldfc.syntax.read import read_source


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


PREACT, FEATURES = "specs/preact18_Al.cldf", "specs/fbresnet.cldf"
PLAIN = """\
model Plain
input f : 3 × 8 × 8
output h : 10
kernel A : 3×3 → 4
h = linear ∘ avgpool(A * f)
"""


def printed(*arguments):
    result = CliRunner(env={"COLUMNS": "80", "FORCE_COLOR": None}).invoke(app, list(arguments))
    assert result.exit_code == 0
    return "\n".join(line.rstrip() for line in result.stdout.splitlines())


def test_the_page(tmp_path):
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8").replace("```", "")
    test = doctest.DocTestParser().get_doctest(page, {"folder": tmp_path / "run"}, "python.md", "docs/python.md", 0)
    assert len(test.examples) > 15
    results = doctest.DocTestRunner(verbose=False).run(test)
    assert results.failed == 0


def test_the_page_names_every_answer():
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    public = {
        "check",
        "cost",
        "graph",
        "source",
        "build",
        "show",
        "write",
        "compare",
        "derive",
        "train",
        "let",
        "tie",
        "input",
        "classes",
    }
    assert all(f"`{name}" in page for name in public)
    others = {"changed", "spelled", "written", "name", "origin", "changes"}
    assert {name for name in vars(Spec) if not name.startswith("_")} <= public | others


def test_importing_loads_nothing():
    heavy = ["torch", "networkx", "pydantic", "lark", "rich", "typer"]
    code = f"import sys, cldfc; print(sorted(set({heavy}) & sys.modules.keys()), dir(cldfc))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.startswith("[] ") and all(f"'{name}'" in result.stdout for name in cldfc.__all__)
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        cldfc.lod  # noqa: B018


def test_only_build_loads_torch():
    code = (
        f"import sys, cldfc; s = cldfc.load('{PREACT}').let(ν=1); s.cost, s.graph, s.source(), s.compare(s)\n"
        "s._repr_mimebundle_(); assert 'torch' not in sys.modules; sys.modules['torch'] = None\n"
        "try:\n    s.build()\nexcept ImportError as error:\n    print('without', error.name)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "without torch\n"


def test_text_and_files(tmp_path):
    text = spec_text("preact18_Al")
    path = tmp_path / "spec.cldf"
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    sources = {load(spec).source() for spec in (text, str(path), path, PREACT, Path(PREACT))}
    assert len(sources) == 1
    for missing in ("no_such.cldf", "", "model X"):
        with pytest.raises(UsageError):
            load(missing)
    path.write_bytes(b"\xff\n")
    with pytest.raises(CldfError, match="E0107"):
        load(path)
    with pytest.raises(CldfError, match="E0107"):
        load("model X\n\ud800")


def test_text_extends_files_of_the_working_folder():
    assert load(f'extend "{PREACT}"\nmodel Other\n').cost == load(PREACT).cost


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (lambda spec: spec.let("ν = 3,4,6,3"), {"lets": ["ν = 3,4,6,3"]}),
        (lambda spec: spec.let(ν=[3, 4, 6, 3]), {"lets": ["ν = 3,4,6,3"]}),
        (lambda spec: spec.let(nu=(3, 4, 6, 3), c=8), {"lets": ["ν = 3,4,6,3", "c = 8"]}),
        (lambda spec: spec.let(nu=2).let(nu=torch.tensor([3, 4, 6, 3]).numpy()), {"lets": ["ν = 3,4,6,3"]}),
        (lambda spec: spec.let(σ="relu", c=8), {"lets": ["σ = relu", "c = 8"]}),
        (lambda spec: spec.let("sigma = relu", J=4), {"lets": ["σ = relu"]}),
        (lambda spec: spec.tie("B@ℓ for i >= 1", "R@ℓ"), {"ties": ["R@ℓ", "B@ℓ for i >= 1"]}),
        (lambda spec: spec.input(1, 28, 28).classes(7), {"input": "1x28x28", "classes": 7}),
        (lambda spec: spec.classes(7).input(3, 8, 8).input(1, 28, 28), {"input": "1x28x28", "classes": 7}),
    ],
)
def test_changes_are_those_of_the_command_line(change, options):
    spec = load(PREACT)
    before = spec.source()
    assert change(spec).source() == Compilation(read_source(Path(PREACT)), read_changes(**options)).code()
    assert spec.source() == before == load(PREACT).source()


def test_script_letters_as_keywords():
    """Python reads 𝒜 as A."""
    spec = load(FEATURES)
    wanted = spec.let("𝒜@ℓ = σ ∘ A@ℓ *").source()
    assert spec.let(𝒜="σ ∘ A@ℓ *").source() == spec.let(cal_A="σ ∘ A@ℓ *").source() == wanted
    both = load(
        PLAIN.replace("kernel A", "let A = 4\nlet 𝒜 = relu\nkernel K").replace("→ 4", "→ A").replace("A *", "K *")
    )
    assert both.let(A=5).cost.parameters == 9 * 3 * 5 + 6 * 10


def test_an_unknown_let():
    with pytest.raises(CldfError, match="did you mean `σ`"):
        load(PREACT).let(sgma=3).check()


@pytest.mark.parametrize("wrong", [lambda s: s.input(0, 3, 3), lambda s: s.classes(0), lambda s: s.input(3, -2, 2)])
def test_sizes_that_are_none(wrong):
    with pytest.raises(UsageError, match="help: "):
        wrong(load(PREACT))


def test_the_module_that_is_built():
    torch.manual_seed(3)
    network = load(PREACT).let(c=8).build().eval()
    torch.manual_seed(3)
    other = load(PREACT).let(c=8).build("written").eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(network(images), other(images)) and network(images).shape == (2, 10)
    assert type(network).__name__ == "PreActResNet18_Al"


def test_what_is_computed_less_is_seen_in_the_source_alone():
    spec = load(FEATURES)
    assert spec.source() != spec.source("written")
    # Algorithm 2 at ν = 2: θ, two for each of the 8 steps, three and one between levels.
    assert spec.cost.convolutions == 1 + 2 * 8 + 3 * 4


def test_the_graph_is_a_copy():
    spec = load(PREACT)
    spec.graph.clear()
    assert len(spec.graph) == len(load(PREACT).graph) > 50


def test_comparisons():
    one, other = load("specs/preact18.cldf"), load(PREACT)
    comparison = one.compare(other)
    assert str(comparison) == printed("compare", "specs/preact18.cldf", PREACT)
    assert comparison._repr_markdown_().rstrip() == printed("compare", "specs/preact18.cldf", PREACT, "--markdown")
    tied = one.tie("A@ℓ")
    assert [row.spec for row in one.compare(tied).rows] == ["specs/preact18.cldf", "specs/preact18.cldf, tie A@ℓ"]
    assert tied.cost == other.cost


def test_pictures(capsys, monkeypatch, tmp_path):
    spec = load(FEATURES)
    monkeypatch.setenv("COLUMNS", "80")
    spec.show()
    shown = "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines())
    bundle = spec._repr_mimebundle_()
    assert bundle["text/plain"] == shown == printed("show", FEATURES)
    text = "".join(ElementTree.fromstring(bundle["text/html"]).itertext())
    assert "u@ℓ,i   = u@ℓ,i-1 + ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(u@ℓ,i-1))" in text and "12,512,586 parameters stored" in text
    spec.write(tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))["graph"]["cost"]["parameters"] == 12_512_586
    with pytest.raises(UsageError, match="format"):
        spec.write(tmp_path / "x.doc")


def test_a_wrong_spec_is_shown_as_its_report():
    spec = load("model <script>\n# <b> & more\n")
    with pytest.raises(CldfError) as error:
        spec.check()
    bundle = spec._repr_mimebundle_()
    assert bundle["text/plain"] == str(error.value)
    assert "<script>" not in bundle["text/html"]
    assert "".join(ElementTree.fromstring(bundle["text/html"]).itertext()) == str(error.value)


def test_errors_are_those_of_the_command_line(tmp_path):
    path = tmp_path / "wrong.cldf"
    path.write_text(PLAIN.replace("A * f", "B * f").replace("3×3 → 4", "2×2 → 4"), encoding="utf-8")
    with pytest.raises(CldfError) as error:
        load(path).check()
    result = CliRunner().invoke(app, ["check", str(path)])
    assert result.stderr == f"{error.value}\n"
    again = pickle.loads(pickle.dumps(error.value))
    assert str(again) == str(error.value) and again.diagnostics == error.value.diagnostics
    with pytest.raises(UsageError) as missing:
        load("no_such.cldf")
    assert CliRunner().invoke(app, ["check", "no_such.cldf"]).stderr == f"{missing.value}\n"


def test_specs_are_values():
    assert load(PREACT).tie("A@ℓ") == load(PREACT).tie("A@ℓ") != load(PREACT).tie("B@ℓ")
    assert len({load(PREACT), load(PREACT)}) == 1
    with pytest.raises(AttributeError):
        load(PREACT).changes = None
    assert pickle.loads(pickle.dumps(load(PREACT).tie("A@ℓ"))).source() == load(PREACT).tie("A@ℓ").source()


def test_the_package_is_typed():
    """`py.typed` is beside the code, and each public name that is loaded late has a type for checkers."""
    root = Path(cldfc.__file__).parent
    assert (root / "py.typed").is_file()
    tree = ast.parse((root / "__init__.py").read_text(encoding="utf-8"))
    (typed,) = (node for node in tree.body if isinstance(node, ast.If))
    names = {(alias.name, node.module) for node in typed.body for alias in node.names}
    assert dict(names) == cldfc.HOMES


# IPython

SHELL = """
import os, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in sys.stdin.read().split("=====\\n"):
    result = shell.run_cell(cell)
    print("result:", result.result, "success:", result.success)
"""


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """What IPython prints for some cells, in a process of its own."""
    changed = f'extend "{PREACT}"\nlet c = 8\n'
    given = [
        "%load_ext cldfc\n",
        f"%%cldf net\n{changed}",
        "net.cost.parameters\n",
        f"%%cldf\n{PLAIN.replace('A * f', 'B * f')}",
        f"%%cldf two words\n{PLAIN}",
        "import cldfc\ncldfc.load('no_such.cldf')\n",
        "from IPython.utils.capture import capture_output\nimport cldfc.show.terminal\n"
        "cldfc.show.terminal.is_notebook = lambda: True\n"
        "with capture_output() as shown:\n    net.show()\n"
        "data = shown.outputs[0].data\n"
        "sorted(data), len(shown.outputs), shown.stdout, data['text/html'].count('<img')",
    ]
    folder = tmp_path_factory.mktemp("ipython")
    environment = {**os.environ, "IPYTHONDIR": str(folder), "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    result = subprocess.run(
        [sys.executable, "-c", SHELL],
        input="=====\n".join(given),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        check=True,
    )
    return result.stdout.split("result:")


def test_a_cell_is_a_spec_and_shows_its_picture(cells):
    assert "PreActResNet18_Al\n\n  r@1,0   = σ ∘ θ * f" in cells[1]
    count = load(PREACT).let(c=8).cost.parameters
    assert f"{count} success: True" in cells[3]


def test_a_wrong_cell_shows_its_report_alone(cells):
    assert "error[E0201]: undefined name `B`" in cells[3] and "--> <cell>:5:" in cells[3]
    assert "error: `two words` is not a valid name for a variable" in cells[4]
    assert "error: there is no file `no_such.cldf`" in cells[5]
    assert not any("Traceback" in cell for cell in cells)
    assert [("success: False" in cell) for cell in cells[4:7]] == [True, True, True]


def test_show_is_one_output_of_a_notebook_and_draws_once(cells):
    assert "(['text/html', 'text/plain'], 1, '', 1) success: True" in cells[7]
    html = "".join(ElementTree.fromstring(load(PREACT)._repr_mimebundle_()["text/html"]).itertext())
    # Rows of levels are the terminal's picture alone.
    assert "8,038,858 parameters stored" in html and "ℓ=2 " not in html and "ℓ=2 " in printed("show", PREACT)


def test_the_name_of_text_is_said():
    with pytest.raises(CldfError, match="--> <text>:1:1"):
        spec_from_text("modl X\n").check()


def test_the_residual_form_is_a_spec():
    features = cldfc.load(ROOT / "specs" / "fbresnet.cldf").let(c=4).input(3, 16, 16)
    residual = features.derive()
    assert (features.cost.convolutions, residual.cost.convolutions) == (29, 22)
    assert residual.build()(torch.zeros(2, 3, 16, 16)).shape == (2, 10)


# Networks are like any other


def network_and_images():
    network = load("preact18_Al").let("c@ℓ=2,4,6,8").build().double().eval()
    return network, torch.randn(2, 3, 32, 32, dtype=torch.float64)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_a_network_is_copied_and_pickled(again):
    network, images = network_and_images()
    other = again(network)
    assert type(other) is type(network) and torch.equal(other(images), network(images))
    assert list(other.state_dict()) == list(network.state_dict())


def test_a_pickled_network_is_read_by_another_process(tmp_path):
    network, images = network_and_images()
    torch.save((network, images, network(images)), tmp_path / "network.pt")
    code = "import torch; n, x, y = torch.load('network.pt', weights_only=False); assert torch.equal(n(x), y)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True).returncode == 0


def test_a_network_is_traced_and_exported():
    network, images = network_and_images()
    expected = network(images)
    assert torch.equal(torch.fx.symbolic_trace(network)(images), expected)
    more = torch.cat([images, images.flip(0)])
    assert torch.equal(torch.jit.trace(network, images)(more), network(more))
    assert torch.equal(torch.export.export(network, (images,)).module()(images), expected)


def test_a_network_shows_its_source():
    spec = load("preact18_Al")
    shown = inspect.getsource(type(spec.build()))
    assert shown.startswith("class PreActResNet18_Al(nn.Module):") and spec.source().endswith(shown)


def test_a_traceback_shows_the_line():
    """As of any file, also after others have been looked at."""
    network, images = network_and_images()
    with pytest.raises(RuntimeError) as error:
        network(images[:, :2])
    linecache.checkcache()
    lines = [
        frame for frame in traceback.extract_tb(error.value.__traceback__) if "PreActResNet18_Al" in frame.filename
    ]
    assert [frame.line for frame in lines] == ["r = F.relu(self.bn_theta(self.theta(f)))"]


def test_a_class_that_is_not_used_any_more_is_forgotten():
    network, _ = network_and_images()
    name = type(network).__module__
    assert name in sys.modules
    del network
    gc.collect()
    assert name not in sys.modules
