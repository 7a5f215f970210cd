"""Imports point down, the command line starts without TensorFlow, and every public function says what it does."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import csmri

ROOT = Path(csmri.__file__).parent

# The layer of every module; a package counts as one module and is free inside. `csmri` itself is the version, and
# imports `api` when it is asked for a name.
LAYERS = {
    "csmri": -1,
    "core": 0,
    "config": 1,
    "data": 2,
    "formats": 3,
    "phantom": 3,
    "physics": 3,
    "methods": 4,
    "learning": 5,
    "evaluation": 5,
    "results": 6,
    "run": 7,
    "api": 8,
    "cli": 9,
    "__main__": 10,
}

TREES = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text("utf-8")) for path in ROOT.rglob("*.py")}


def dotted(file: str) -> str:
    """Name a file as Python does: csmri.physics for `kspace/__init__.py`."""
    return ".".join(["csmri", *file.removesuffix(".py").split("/")]).removesuffix(".__init__")


MODULES = {dotted(file) for file in TREES}


def module_of(name: str) -> str:
    """Name the module or package of the table that a dotted name belongs to: kspace for csmri.physics.fourier."""
    return name.split(".")[1] if "." in name else name


def imports(file: str, tree: ast.Module) -> list[tuple[str, int, bool]]:
    """List the csmri modules that a file imports, each with its line and whether it stands inside a function."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = ["csmri", *file.split("/")[:-1]]
            above = package[: len(package) + 1 - node.level] if node.level else []
            stem = ".".join([*above, *([node.module] if node.module else [])])
            # What is imported from a package may be a module of it or a name in it.
            names = [full if (full := f"{stem}.{alias.name}") in MODULES else stem for alias in node.names]
        else:
            continue
        own = [name for name in dict.fromkeys(names) if name.split(".")[0] == "csmri"]
        found += [(name, node.lineno, id(node) in inside) for name in own]
    return found


def violations(trees: dict[str, ast.Module]) -> list[str]:
    """Tell every import that does not point down, and every function-level import outside the command line."""
    found = []
    for file, tree in trees.items():
        module = module_of(dotted(file))
        for name, line, inside in imports(file, tree):
            target = module_of(name)
            if target != module and LAYERS[target] >= LAYERS[module]:
                found.append(f"{file}:{line}: {module} ({LAYERS[module]}) imports {target} ({LAYERS[target]})")
            if inside and module != "cli":
                found.append(f"{file}:{line}: imports {name} inside a function")
    return found


def test_every_module_has_a_layer():
    assert {module_of(name) for name in MODULES} <= set(LAYERS)


def test_imports_point_down():
    assert violations(TREES) == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("methods/unet.py", "from csmri.learning.train import train"),
        ("methods/unet.py", "from csmri.learning import train as training"),
        ("methods/unet.py", "import csmri.learning.train as t"),
        ("methods/unet.py", "from ..learning.train import train"),
        ("methods/unet.py", "from .. import learning"),
        ("physics/fourier.py", "from csmri.methods.model import load"),
        ("data/roi.py", "from ..formats import npz"),
        ("methods/unet.py", "if TYPE_CHECKING:\n    from csmri.learning.train import Batches"),
        ("methods/unet.py", "def f():\n    from csmri.config import Split"),
    ],
)
def test_a_wrong_import_is_found(file, source):
    assert len(violations({file: ast.parse(source)})) == 1


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("physics/initial.py", "from csmri.physics.fourier import fft_y\nfrom . import sampling"),
        ("cli/train.py", "def f():\n    from csmri.learning import train as training"),
        ("methods/unet.py", "from csmri import __version__\nimport tensorflow\nfrom csmri import config"),
    ],
)
def test_a_right_import_is_let_through(file, source):
    assert violations({file: ast.parse(source)}) == []


def test_no_cycle_inside_a_package():
    """Between modules, layers exclude cycles; inside a package only this does."""
    needs = {dotted(file): {name for name, *_ in imports(file, tree)} for file, tree in TREES.items()}
    while leaves := [name for name in needs if not needs[name] & set(needs)]:
        for name in leaves:
            del needs[name]
    assert not needs


def test_help_does_not_load_tensorflow():
    script = (
        "import sys; sys.argv = ['csmri', '--help']\n"
        "from csmri.cli import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        "heavy = {'tensorflow', 'keras', 'matplotlib', 'skimage'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: csmri")
    for command in ("phantom", "prepare", "train", "reconstruct", "evaluate", "export"):
        assert f"\n  {command} " in done.stdout


def public_functions(*, overriding: bool):
    """Find every function, and method of a class, without an underscore in front; `overriding`: of subclasses too."""
    for file, tree in TREES.items():
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
        for body in (tree.body, *(one.body for one in classes if overriding or not one.bases)):
            for node in body:
                if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                    yield f"{file}:{node.lineno} {node.name}", node


def is_count(node: ast.FunctionDef) -> bool:
    return node.name.startswith("n_") and [ast.unparse(decorator) for decorator in node.decorator_list] == ["property"]


def test_public_functions_have_docstrings():
    """What a subclass overrides is documented where it comes from, and `n_frames` by its name."""
    functions = public_functions(overriding=False)
    assert [name for name, node in functions if not ast.get_docstring(node) and not is_count(node)] == []


def test_public_functions_have_annotations():
    def missing(node):
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        names = [a.arg for a in every if a and a.annotation is None and a.arg not in ("self", "cls")]
        return names + ([] if node.returns else ["return"])

    assert {name: lacking for name, node in public_functions(overriding=True) if (lacking := missing(node))} == {}


def test_modules_have_docstrings():
    assert [file for file, tree in TREES.items() if not ast.get_docstring(tree)] == []
