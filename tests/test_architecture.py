"""Imports point down, the command line starts without TensorFlow, and every public function says what it does."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import csmri

ROOT = Path(csmri.__file__).parent

# The layer of every module; a package counts as one module and is free inside. The table of the house plan, with what
# it lacks: `csmri` itself (the version) and `errors`, which everything may use, lie below all; `seeds` is on layer 0;
# `phantom` is a package; `export` runs what `training` wrote, so it is one layer higher than there.
# Of the plan's modules, baselines, unrolled, study and report have their place reserved here.
LAYERS = {
    "csmri": -1,
    "errors": -1,
    "config": 0,
    "cine": 0,
    "seeds": 0,
    "scaling": 0,
    "metrics": 0,
    "unet": 0,
    "kspace": 1,
    "roi": 1,
    "formats": 1,
    "phantom": 1,
    "weights": 1,
    "store": 2,
    "baselines": 2,
    "unrolled": 2,
    "pipeline": 3,
    "reconstruction": 3,
    "training": 4,
    "evaluation": 4,
    "export": 5,
    "study": 5,
    "figures": 5,
    "report": 5,
    "cli": 6,
}

SOURCES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in ROOT.rglob("*.py")}


def module_of(file: str) -> str:
    """Name the module or package that a file belongs to, such as kspace for `kspace/fourier.py`."""
    return "csmri" if file == "__init__.py" else file.partition("/")[0].removesuffix(".py")


def imports(file: str, source: str) -> list[tuple[str, int, bool]]:
    """List the csmri modules that a file imports, each with its line and whether it stands inside a function."""
    tree = ast.parse(source)
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # `from csmri.x import y` and `from .x import y`; the latter is resolved as Python does.
            package = ["csmri", *file.split("/")[:-1]]
            base = ".".join(package[: len(package) + 1 - node.level]) + "." if node.level else ""
            stem = (base + (node.module or "")).rstrip(".")
            names = [f"{stem}.{alias.name}" for alias in node.names] if stem == "csmri" else [stem]
        else:
            continue
        for name in names:
            first, _, rest = name.partition(".")
            if first == "csmri":
                target = rest.partition(".")[0]
                known = target in {module_of(other) for other in SOURCES}
                found.append((target if known else "csmri", node.lineno, id(node) in inside))
    return found


def violations(sources: dict[str, str]) -> list[str]:
    """Tell every import that does not point down, and every function-level import outside the command line."""
    found = []
    for file, source in sources.items():
        module = module_of(file)
        for target, line, inside in imports(file, source):
            if target != module and LAYERS[target] >= LAYERS[module]:
                found.append(f"{file}:{line}: {module} ({LAYERS[module]}) imports {target} ({LAYERS[target]})")
            if inside and module != "cli":
                found.append(f"{file}:{line}: imports {target} inside a function")
    return found


def test_every_module_has_a_layer():
    assert {module_of(file) for file in SOURCES} <= set(LAYERS)


def test_imports_point_down():
    assert violations(SOURCES) == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("store.py", "from csmri.pipeline import augment"),
        ("store.py", "from csmri import pipeline"),
        ("store.py", "import csmri.pipeline as p"),
        ("store.py", "from .pipeline import augment"),
        ("store.py", "from . import pipeline"),
        ("kspace/fourier.py", "from csmri.roi import Box"),
        ("kspace/fourier.py", "from ..roi import Box"),
        ("store.py", "if TYPE_CHECKING:\n    from csmri.pipeline import Batches"),
        ("store.py", "def f():\n    from csmri.config import Split"),
    ],
)
def test_a_wrong_import_is_found(file, source):
    assert len(violations({file: source})) == 1


def test_packages_are_free_inside_and_the_command_line_may_wait():
    assert violations({"kspace/initial.py": "from csmri.kspace.fourier import fft_y\nfrom . import sampling"}) == []
    assert violations({"cli/train.py": "def f():\n    from csmri import training"}) == []
    assert violations({"store.py": "from csmri import __version__"}) == []


def test_no_cycle_inside_a_package():
    """Between modules, layers exclude cycles; inside a package only this does."""
    files = {file.removesuffix("/__init__.py").removesuffix(".py").replace("/", "."): file for file in SOURCES}
    graph = {
        name: {other for other in files if other != name and _imports_file(file, other)} for name, file in files.items()
    }
    while leaves := [name for name, needs in graph.items() if not needs & set(graph)]:
        for name in leaves:
            del graph[name]
    assert not graph


def _imports_file(file: str, other: str) -> bool:
    for node in ast.walk(ast.parse(SOURCES[file])):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == f"csmri.{other}":
                return True
            if any(f"{node.module}.{alias.name}" == f"csmri.{other}" for alias in node.names):
                return True
    return False


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


def public_functions():
    """Every function and method whose name, module and class have no underscore in front."""
    for file, source in SOURCES.items():
        tree = ast.parse(source)
        bodies = [tree.body, *(c.body for c in tree.body if isinstance(c, ast.ClassDef) and c.name[0] != "_")]
        for body in bodies:
            for node in body:
                if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                    yield f"{file}:{node.lineno} {node.name}", node


def test_public_functions_have_docstrings():
    # Properties such as `n_frames` are named by the table of the style guide and need no sentence.
    bare = [name for name, node in public_functions() if not ast.get_docstring(node) and not is_count(node)]
    assert bare == []


def is_count(node: ast.FunctionDef) -> bool:
    return node.name.startswith("n_") and [ast.unparse(decorator) for decorator in node.decorator_list] == ["property"]


def test_public_functions_have_annotations():
    def missing(node):
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        names = [a.arg for a in every if a and a.annotation is None and a.arg not in ("self", "cls")]
        return names + ([] if node.returns else ["return"])

    assert {name: lacking for name, node in public_functions() if (lacking := missing(node))} == {}


def test_modules_have_docstrings():
    assert [file for file, source in SOURCES.items() if not ast.get_docstring(ast.parse(source))] == []
