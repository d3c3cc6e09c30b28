"""Tests in environments of their own: `nox -l` lists them, `nox -s tests-3.12` runs one.

Versions of Python that are not installed are skipped (``nox --no-error-on-missing-interpreters``).
"""

import nox

PYTHONS = ("3.11", "3.12", "3.13")
#: Files of tests side by side, each computing with one thread, as `tests/run.sh` does.
PYTEST = ("pytest", "-n", "auto", "--dist", "loadfile")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}

nox.options.sessions = ("tests",)
nox.options.reuse_existing_virtualenvs = True


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests with the versions of ``constraints.txt``."""
    session.install("-c", "constraints.txt", "--group", "test", "-e", ".")
    session.run(*PYTEST, *session.posargs, env=ONE_THREAD)


@nox.session(python=PYTHONS)
def newest(session: nox.Session) -> None:
    """Run the tests with the newest versions that ``pyproject.toml`` allows."""
    session.install("--upgrade", "--group", "test", "-e", ".")
    session.run(*PYTEST, *session.posargs, env=ONE_THREAD)


@nox.session(python=PYTHONS[0])
def minimum(session: nox.Session) -> None:
    """Run the tests with the oldest versions that ``pyproject.toml`` allows."""
    session.install("-c", "constraints-minimum.txt", "--group", "test", "-e", ".")
    # What was new then is deprecated now.
    session.run(*PYTEST, "-o", "filterwarnings=default", *session.posargs, env=ONE_THREAD)


@nox.session(python=PYTHONS[0])
def hashed(session: nox.Session) -> None:
    """Run the tests with files that have the hashes of ``constraints-hashes.txt`` (Linux)."""
    session.install("-c", "constraints.txt", "torch")
    session.install("--require-hashes", "--no-deps", "-r", "constraints-hashes.txt")
    session.install("--no-deps", "--no-build-isolation", "-e", ".")
    session.run(*PYTEST, *session.posargs, env=ONE_THREAD)


@nox.session(python=PYTHONS[0])
def audit(session: nox.Session) -> None:
    """Look ``constraints.txt`` up among the known vulnerabilities."""
    session.install("pip-audit")
    session.run("pip-audit", "-r", "constraints.txt", "--no-deps", "--disable-pip", "--strict")
