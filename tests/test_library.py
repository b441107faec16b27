"""Specs by name: those that come with cldfc, from the command line, from Python, from another spec."""

import json
import shutil
from pathlib import Path

import program
import pytest
from networks import ROOT, some
from typer.testing import CliRunner, Result

import cldfc
from cldfc import library
from cldfc.cli import app
from cldfc.cli.options import complete_run, complete_spec
from cldfc.output import printable

SPECS = ROOT / "specs"
OWN = "model Own\ninput f : 3 × 8 × 8\noutput h : 2\nh = linear ∘ avgpool(f)\n"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch) -> Path:
    """Another folder than the checkout."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=given)


def test_names_are_those_of_the_files():
    files = {str(path.relative_to(SPECS).with_suffix("")) for path in SPECS.rglob("*.cldf")}
    assert set(library.spec_names()) == files and len(library.spec_names()) == len(files)


def test_specs_beside_the_package_or_in_it(tmp_path, monkeypatch):
    assert library.folder() == SPECS
    shutil.copytree(SPECS, tmp_path / "cldfc" / "specs")
    monkeypatch.setattr(library, "__file__", str(tmp_path / "cldfc" / "library.py"))
    assert library.folder() == tmp_path / "cldfc" / "specs"


def test_all_are_listed_with_their_counts():
    listed = {one["name"]: one for one in json.loads(run("specs", "--json").stdout)}
    assert set(listed) == set(library.spec_names())
    assert listed["imagenet/resnet18"]["params"] == 11_689_512  # torchvision's resnet18
    assert listed["preact18_Al"]["about"].startswith("Pre-act ResNet-18 with one data-feature mapping A per level")
    specs = cldfc.specs()
    assert [one.name for one in specs] == list(library.spec_names())
    for one in specs:
        if one.name in ("preact18_Al", "mgnet_Bli", "pooling/eq_6_4"):
            assert one.params == cldfc.load(one.name).cost.parameters


@pytest.mark.parametrize(("columns", "charset"), some([("60", "ascii"), ("200", "utf-8")], 2))
def test_lines_are_whole_in_a_pipe_however_narrow(columns, charset, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    lines = CliRunner(charset=charset).invoke(app, ["specs"]).stdout.splitlines()
    assert lines[0].split() == ["name", "parameters", "what", "it", "is"]
    specs = cldfc.specs()
    assert [line.split()[:2] for line in lines[1:]] == [[one.name, f"{one.params:,}"] for one in specs]
    assert [line.split(maxsplit=2)[2] for line in lines[1:]] == [printable(one.about, charset) for one in specs]


def test_a_bundled_spec_is_printed():
    assert run("specs", "pooling/eq_6_4").stdout == (SPECS / "pooling/eq_6_4.cldf").read_text(encoding="utf-8")
    assert json.loads(run("specs", "lista", "--json").stdout)["params"] == 26_794
    wrong = run("specs", "lisat")
    assert (
        wrong.exit_code == 2 and "there is no spec `lisat`" in wrong.stderr and "did you mean `lista`?" in wrong.stderr
    )


def test_what_a_spec_is_fits_into_a_line():
    assert max(len(one.about) for one in cldfc.specs()) <= 135


@pytest.mark.parametrize(
    "arguments",
    [["check"], ["show"], ["compile"], ["compare", "preact18"], ["show", "--json"], ["derive", "--residual"]],
)
def test_commands_take_names(arguments):
    name = "fbresnet" if arguments[0] == "derive" else "preact18_Al"
    result = run(*arguments, name)
    assert result.exit_code == 0, result.output
    assert result.stdout == run(*arguments, str(SPECS / f"{name}.cldf")).stdout.replace(
        str(SPECS / f"{name}.cldf"), name
    )


def test_a_plain_check_takes_names_too(elsewhere):
    result = program.cldfc("check", "preact18_Al", cwd=elsewhere)
    assert (result.returncode, result.stdout) == (0, "preact18_Al: PreActResNet18_Al, 8,038,858 parameters\n")


def test_from_python(elsewhere):
    assert cldfc.load("preact18_Al").cost.parameters == 8_038_858
    with pytest.raises(cldfc.UsageError, match="did you mean `preact18_Al`"):
        cldfc.load("preact18_AI")
    assert "specs" in dir(cldfc) and not {"annotations", "import_module", "TYPE_CHECKING"} & set(dir(cldfc))


def test_a_file_of_that_name_wins(elsewhere):
    (elsewhere / "preact18.cldf").write_text(OWN)
    result = run("check", "preact18")
    assert result.stdout == "preact18: Own, 8 parameters\n"
    assert result.stderr.count("remark: `preact18` is the file `preact18.cldf`") == 1
    plain = program.cldfc("check", "preact18", cwd=elsewhere)
    assert (plain.stdout, plain.stderr) == (result.stdout, result.stderr)
    assert "remark" not in run("check", "preact18.cldf").stderr
    (elsewhere / "fbresnet").mkdir()
    assert "FBResNet" in run("check", "fbresnet").stdout


def test_extend_by_name(elsewhere):
    (elsewhere / "mine.cldf").write_text('extend "imagenet/resnet34"\nmodel Mine\nlet ν = 1\n')
    assert run("check", "mine").exit_code == 0
    assert cldfc.load("mine").cost.parameters < cldfc.load("imagenet/resnet18").cost.parameters
    (elsewhere / "mine.cldf").write_text('extend "preact18_AI"\nmodel Mine\n')
    result = run("check", "mine")
    assert result.exit_code == 1 and "did you mean `preact18_Al`?" in result.stderr


def test_a_circle_through_a_name(elsewhere):
    """A spec of cldfc reads its neighbours, whatever lies in the folder of the one that extends it."""
    (elsewhere / "preact18.cldf").write_text('extend "preact18_Al"\nmodel Mine\n')
    assert run("check", "preact18.cldf").stdout == "preact18.cldf: Mine, 8,038,858 parameters\n"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("preact18_AI", "preact18_Al"),
        ("specs/preact18_Al.cldf", "preact18_Al"),
        ("preact18_Al.cldf", "preact18_Al"),
        ("imagenet/resnet43", "imagenet/resnet34"),
        ("mien", "mine.cldf"),
    ],
)
def test_what_may_be_meant(name, meant, elsewhere):
    (elsewhere / "mine.cldf").write_text(OWN)
    for command in (["check"], ["show"], ["compile"], ["train", "--data", "digits"]):
        result = run(*command, name)
        assert result.exit_code == 2
        assert f"there is no file `{name}`" in result.stderr and f"did you mean `{meant}`?" in result.stderr


def test_nothing_similar():
    assert "`cldfc specs` lists those that come with cldfc" in run("check", "zzzzzz").stderr


def test_a_folder_is_checked_whole(elsewhere):
    (elsewhere / "a" / "b").mkdir(parents=True)
    (elsewhere / "a" / ".hidden").mkdir()
    for path in ("a/one.cldf", "a/b/two.cldf", "a/.hidden/three.cldf"):
        (elsewhere / path).write_text(OWN)
    (elsewhere / "a" / "notes.txt").write_text("no spec")
    result = run("check", "a")
    assert result.stdout == "a/one.cldf: Own, 8 parameters\na/b/two.cldf: Own, 8 parameters\n"
    (elsewhere / "a" / "b" / "two.cldf").write_text("model Own\nh = q\n")
    result = run("check", "a")
    assert result.exit_code == 1 and "a/b/two.cldf" in result.stderr and "a/one.cldf: Own" in result.stdout
    (elsewhere / "empty").mkdir()
    assert run("check", "empty").exit_code == 2


@pytest.mark.parametrize("command", ["check", "show", "compile"])
def test_standard_input(command, elsewhere, monkeypatch):
    (elsewhere / "own.cldf").write_text(OWN)
    library_of_own = run(command, "own.cldf").stdout
    result = program.cldfc(command, "-", cwd=elsewhere, given=OWN.encode())
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[1:] == library_of_own.splitlines()[1:]


def test_a_name_that_others_begin_with(elsewhere):
    begun = {"resnet": "resnet18", "imagenet/res": "imagenet/resnet18", "preact18_Al_B": "preact18_Al_Bl"}
    for name, meant in begun.items():
        assert f"did you mean `{meant}`?" in run("show", name).stderr


def test_python_environments_are_not_looked_into(elsewhere):
    (elsewhere / "own.cldf").write_text(OWN)
    site = elsewhere / "venv" / "lib" / "site-packages"
    site.mkdir(parents=True)
    (site / "other.cldf").write_text("nonsense")
    assert run("check", ".").exit_code == 1
    (elsewhere / "venv" / "pyvenv.cfg").write_text("")
    assert run("check", ".").stdout == "own.cldf: Own, 8 parameters\n"


def test_names_are_not_formatted():
    before = (SPECS / "preact18.cldf").read_bytes()
    result = run("fmt", "--ascii", "preact18")
    assert result.exit_code == 2 and "comes with cldfc, and stays as it is" in result.stderr
    assert (SPECS / "preact18.cldf").read_bytes() == before


def test_a_file_of_ones_own_is_formatted_by_its_name(elsewhere):
    for name in ("mine", "preact18"):
        (elsewhere / f"{name}.cldf").write_text(OWN.replace("h = ", "h   =   "))
        result = run("fmt", name)
        assert (result.exit_code, result.stdout) == (0, f"formatted {name}.cldf\n")
        assert "h = linear" in (elsewhere / f"{name}.cldf").read_text()


def test_completion(elsewhere):
    (elsewhere / "own.cldf").write_text(OWN)
    (elsewhere / "runs" / "own-1").mkdir(parents=True)
    assert complete_spec("preact18_Al_") == [name for name in library.spec_names() if name.startswith("preact18_Al_")]
    assert complete_spec("o") == ["own.cldf"]
    assert complete_run("ow") == complete_run("runs/o") == ["runs/own-1"]
