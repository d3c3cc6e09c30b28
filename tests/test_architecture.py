"""The import layers: imports only look down."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "models" / "softloc"
COMMANDS = ROOT / "softloc_cli"

LAYERS = (
    {"errors", "timebase", "files", "history", "note_maps", "interrupts", "versions"},
    {"events", "vocabulary", "network", "loss", "decoders", "processes", "curves"},
    {"formats", "perturb", "evaluation", "audio", "losses", "label_scatter"},
    {"features", "decoding", "velocity", "audio_store", "rendering", "diagnosis", "report"},
    {"presets", "model_files", "model_weights", "datasets", "batches", "spool"},
    {"checkpoints", "engines", "joining"},
    {"inference", "training_files", "training_observers", "training_settings"},
    {"streaming", "training_model", "training_state"},
    {"pipeline", "velocity_fitting", "live"},
    {"training_validation"},
    {"training_record"},
    {"training"},
)
LEVEL = {module: level for level, layer in enumerate(LAYERS) for module in layer}

#: Imports inside a layer that are wanted.
ALLOWED = {
    ("timebase", "errors"),
    ("files", "errors"),
    ("note_maps", "errors"),
    ("note_maps", "files"),
    ("batches", "datasets"),
    ("model_files", "model_weights"),
}

#: What these may import of ours: they can be lifted out of the package.
LIFTABLE = ("loss", "network")


def imported_modules(path: Path) -> set[str]:
    """Our modules that a file imports, by their first name below ``softloc``."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.split(".")[1] for name in names if name.startswith("softloc.")}


def library_files() -> list[tuple[str, Path]]:
    files = [
        (path.relative_to(LIBRARY).parts[0].removesuffix(".py"), path)
        for path in sorted(LIBRARY.rglob("*.py"))
    ]
    return [(module, path) for module, path in files if module != "__init__"]


def violations(module: str, imports: set[str]) -> set[str]:
    return {
        name
        for name in imports - {module}
        if LEVEL[name] >= LEVEL[module] and (module, name) not in ALLOWED
    }


def test_every_module_has_a_layer() -> None:
    assert {module for module, _ in library_files()} == set(LEVEL)


@pytest.mark.parametrize(
    ("module", "path"),
    [pytest.param(m, p, id=str(p.relative_to(LIBRARY))) for m, p in library_files()],
)
def test_imports_look_down(module: str, path: Path) -> None:
    assert violations(module, imported_modules(path)) == set()


def test_a_planted_violation_is_found() -> None:
    assert violations("events", {"errors", "pipeline"}) == {"pipeline"}
    assert violations("features", {"decoding"}) == {"decoding"}


@pytest.mark.parametrize("module", LIFTABLE)
def test_liftable_modules_import_nothing_of_ours(module: str) -> None:
    files = [path for name, path in library_files() if name == module]
    assert files
    assert set().union(*map(imported_modules, files)) <= {module}


def test_nothing_imports_the_commands_or_the_benchmarks() -> None:
    for _, path in library_files():
        text = path.read_text(encoding="utf-8")
        assert "softloc_cli" not in text.replace("`softloc_cli.console`", "").replace(
            "``softloc_cli.console``", ""
        )
        assert "import benchmarks" not in text


def test_help_is_cheap() -> None:
    """``softloc --help`` and those of its commands import nothing slow."""
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from softloc_cli.app import app\n"
        "for args in (['--help'], ['transcribe', '--help'], ['train', '--help'],\n"
        "             ['evaluate', '--help'], ['perturb', '--help'], ['convert', '--help'],\n"
        "             ['doctor', '--help'], ['listen', '--help'], ['models', '--help'],\n"
        "             ['models', 'verify', '--help']):\n"
        "    result = CliRunner().invoke(app, args)\n"
        "    assert result.exit_code == 0, result.output\n"
        "slow = {'torch', 'librosa', 'mir_eval', 'pretty_midi', 'soundfile', 'scipy', 'av'}\n"
        "print(sorted(slow & set(sys.modules)))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_importing_softloc_is_cheap() -> None:
    code = "import sys, softloc; print('torch' in sys.modules, softloc.Onset.__module__)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["False", "softloc.events"]
