"""Settings beside the command line: which one counts, what is refused, what is shown."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import soundfile
from clicks import bursts
from typer.testing import CliRunner

from softloc.errors import SettingsError
from softloc_cli.app import app
from softloc_cli.config import DEFAULT_ORIGIN, Option, resolve

COMMANDS = {
    "transcribe": {
        "model": Option("model", is_flag=False, is_multiple=False, default="drums"),
        "format": Option("formats", is_flag=False, is_multiple=False, default=None),
        "skip-existing": Option("skip_existing", is_flag=True, is_multiple=False, default=False),
    },
    "evaluate": {"only": Option("only", is_flag=False, is_multiple=True, default=None)},
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: str, text: str) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    return Path(path)


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    return result.exit_code, result.stdout, result.stderr


def model(path: Path | None = None, **environment: str) -> tuple[object, str]:
    setting = resolve(COMMANDS, "transcribe", path, environment=environment)["model"]
    return setting.value, setting.origin


def test_the_nearest_place_counts(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(here / "home"))
    assert model() == ("drums", DEFAULT_ORIGIN)
    write("home/softloc/config.toml", 'model = "1"')
    assert model() == ("1", str(here / "home/softloc/config.toml"))
    write("pyproject.toml", '[tool.softloc.transcribe]\nmodel = "2"')
    assert model() == ("2", "pyproject.toml [tool.softloc]")
    write("softloc.toml", 'model = "none"\n[transcribe]\nmodel = "3"')
    assert model() == ("3", "softloc.toml")
    chosen, other = write("c.toml", 'model = "4"'), write("d.toml", 'model = "5"')
    assert model(SOFTLOC_CONFIG="c.toml") == ("4", "c.toml")
    assert model(other, SOFTLOC_CONFIG="c.toml") == ("5", "d.toml")
    assert model(chosen, SOFTLOC_MODEL="6") == ("6", "SOFTLOC_MODEL")


def test_values_are_what_the_command_line_would_give(here: Path) -> None:
    write("softloc.toml", '[transcribe]\nformat = ["mid", "csv"]\nskip_existing = true\nmodel = 3')
    settings = resolve(COMMANDS, "transcribe", None, environment={"SOFTLOC_DATA": "x"})
    values = {name: setting.value for name, setting in settings.items()}
    assert values == {"format": "mid,csv", "skip-existing": True, "model": "3"}
    write("softloc.toml", '[evaluate]\nonly = "drums/*"')
    assert resolve(COMMANDS, "evaluate", None, environment={})["only"].value == ["drums/*"]
    for text, value in (("1", True), ("no", False)):
        environment = {"SOFTLOC_SKIP_EXISTING": text}
        settings = resolve(COMMANDS, "transcribe", None, environment=environment)
        assert settings["skip-existing"].value is value


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[transcribe]\nmodle = 'x'", "unknown setting 'modle': did you mean 'model'"),
        ("modle = 'x'", "did you mean 'model'"),
        ("[transcirbe]\nmodel = 'x'", "unknown table [transcirbe]: did you mean 'transcribe'"),
        ("[evaluate]\nmodel = 'x'", "unknown setting 'model'"),
        ("[transcribe]\nskip-existing = 'yes'", "must be true or false"),
        ("[transcribe]\nmodel = true", "must be a text"),
        ("[transcribe]\nmodel = 2020-01-01", "must be a text"),
        ("[transcribe", "cannot be read"),
    ],
)
def test_bad_files(here: Path, text: str, sentence: str) -> None:
    write("softloc.toml", text)
    with pytest.raises(SettingsError, match=r"^softloc\.toml") as caught:
        resolve(COMMANDS, "transcribe", None, environment={})
    assert sentence in str(caught.value)


def test_bad_variables() -> None:
    with pytest.raises(SettingsError, match="SOFTLOC_SKIP_EXISTING: must be 1 or 0"):
        resolve(COMMANDS, "transcribe", None, environment={"SOFTLOC_SKIP_EXISTING": "maybe"})


def test_commands_take_settings_and_flags_win(
    here: Path, click_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write("a.wav", bursts([0.25]), 44_100)
    write("softloc.toml", f'model = "{click_model}"\n[transcribe]\nformat = "csv"\nquiet = true')
    assert run("transcribe", "a.wav") == (0, "", "")
    assert Path("a.softloc.csv").exists()
    assert run("transcribe", "a.wav", "-f", "tsv")[0] == 0
    assert Path("a.softloc.tsv").exists()
    assert "written to" in run("transcribe", "a.wav", "-f", "onsets", "-v")[2], "over quiet"
    other = write("other.toml", '[transcribe]\nformat = "mid"\nskip-existing = true')
    assert run("transcribe", "a.wav", "--config", other)[0] == 0
    assert Path("a.mid").exists()
    assert run("--config", other, "transcribe", "a.wav", "-v")[2] == (
        "a.wav: skipped, its results exist\n"
    )
    assert run("--config", other, "transcribe", "a.wav", "--overwrite")[0] == 0
    monkeypatch.setenv("SOFTLOC_FORMAT", "audacity")
    assert run("transcribe", "a.wav", "--config", other)[0] == 0
    assert Path("a.softloc.txt").exists()


def test_settings_of_results_give_way_to_the_one_that_is_named(
    here: Path, click_model: Path
) -> None:
    soundfile.write("a.wav", bursts([0.5]), 44_100)
    write(
        "softloc.toml",
        f'[transcribe]\nmodel = "{click_model.as_posix()}"\nformat = ["csv", "mid"]\n'
        'name = "{stem}-x.{ext}"\noverwrite = true\n'
        '[convert]\nformat = "mid"\noverwrite = true',
    )
    assert run("transcribe", "a.wav", "-o", "a.tsv")[0] == 0
    code, stdout, _ = run("transcribe", "a.wav", "-o", "-")
    assert (code, stdout) == (0, Path("a.tsv").read_text())
    assert run("transcribe", "a.wav", "-o", "d/")[0] == 0
    assert {path.name for path in Path("d").iterdir()} == {"a-x.csv", "a-x.mid"}
    code, _, stderr = run("transcribe", "a.wav", "-o", "a.tsv", "-f", "csv")
    assert (code, "-f asks for csv" in stderr) == (2, True)
    assert run("convert", "a.tsv", "a.json")[0] == 0
    assert run("convert", "a.tsv", "-o", "-")[1] == Path("a.tsv").read_text()
    assert run("convert", "a.tsv")[0] == 0
    Path("a.mid").write_text("old")
    assert "its results exist" in run("convert", "a.tsv", "--skip-existing")[2]
    assert Path("a.mid").read_text() == "old"


def test_bad_settings_end_a_command_but_no_other(here: Path) -> None:
    write("softloc.toml", "modle = 'x'")
    code, stdout, stderr = run("transcribe", "a.wav")
    assert (code, stdout) == (2, "")
    assert stderr == "error: softloc.toml: unknown setting 'modle': did you mean 'model'?\n"
    assert run("--help")[0] == 0
    assert run("models", "list")[0] == 0
    assert run("--config", "none.toml", "transcribe", "a.wav")[0] == 2


def test_help_shows_the_defaults_that_count(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    write("softloc.toml", "[transcribe]\nmodel = 'mine.safetensors'")
    assert "[default: mine.safetensors]" in run("transcribe", "--help")[1]
    assert "mine.safetensors" not in run("train", "--help")[1]


def test_what_is_shown_can_be_read_again(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("softloc.toml", "[transcribe]\ntempo = 90.5\nskip-existing = true")
    monkeypatch.setenv("SOFTLOC_DEVICE", "cpu")
    code, stdout, stderr = run("config", "show", "--origin")
    assert (code, stderr) == (0, "")
    lines = stdout.splitlines()
    assert "tempo = 90.5  # softloc.toml" in lines
    assert 'device = "cpu"  # SOFTLOC_DEVICE' in lines
    assert 'model = "drums"  # default' in lines
    shown = tomllib.loads(stdout)
    assert {"transcribe", "train", "evaluate", "perturb"} <= set(shown)
    monkeypatch.delenv("SOFTLOC_DEVICE")
    write("softloc.toml", stdout)
    again = run("config", "show")[1]
    assert tomllib.loads(again) == shown
    assert run("config", "show", "transcribe")[1].startswith("[transcribe]\n")
    code, _, stderr = run("config", "show", "transcirbe")
    assert code == 2
    assert "did you mean 'transcribe'" in stderr


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("pyproject.toml", "tool = 3", None),
        ("pyproject.toml", "[[tool]]", None),
        ("pyproject.toml", "[tool]\nsoftloc = 3", "tool.softloc is 3, but has to be a table"),
        ("softloc.toml", "model = " + 3000 * "[", "settings cannot be read"),
        ("softloc.toml", "model = " + 5000 * "9", "settings cannot be read"),
        ("softloc.toml", 'model = "' + (1 << 20) * "x" + '"', "larger than 1 MiB"),
        ("softloc.toml", 'model = "a\\u0000b"', "holds a NUL character"),
    ],
)
def test_odd_files_of_settings_are_refused_in_a_sentence(
    name: str, text: str, message: str | None, here: Path
) -> None:
    write(name, text)
    if message is None:
        assert model()[0] == "drums"
        return
    with pytest.raises(SettingsError, match=message) as caught:
        model()
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no endless device here")
def test_an_endless_file_of_settings_is_refused() -> None:
    with pytest.raises(SettingsError, match="larger than 1 MiB"):
        model(Path("/dev/zero"))
