"""The wheel holds what the folders hold, once, and needs no more than it says."""

import json
import re
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

from support.former_name import lines_with_the_former_name

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("scheduler", "stores", "jobs", "triggers")
SHIPPED = {".py", ".sql", ".json", ".typed"}
LOADED_BY_IMPORT = """
import json, sys
before = set(sys.modules)
import duly.scheduler, duly.stores, duly.jobs, duly.triggers
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


def in_folders() -> set[str]:
    """Every shipped kind of file below the four folders, as `stores/postgres/sql/lock.sql`."""
    files = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))
    return {path.relative_to(ROOT).as_posix() for path in files if path.suffix in SHIPPED}


def in_wheel() -> set[str]:
    """Every file that the installed wheel brought, below `duly/`."""
    files = [path.as_posix() for path in metadata.files("duly") or ()]
    return {file.removeprefix("duly/") for file in files if file.startswith("duly/") and not file.endswith(".pyc")}


def needed_by(distribution: str) -> set[str]:
    """The distribution and everything that it requires without an extra, by normalised name."""
    needed = {normalised(distribution)}
    for requirement in metadata.requires(distribution) or ():
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        if "extra ==" not in requirement and "sys_platform" not in requirement:
            needed |= needed_by(name)
    return needed


def normalised(distribution: str) -> str:
    """The name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_the_wheel_holds_exactly_the_files_of_the_folders() -> None:
    """A new subfolder stands in pyproject's `packages`, and data in a folder that `package-data` names."""
    assert in_wheel() == in_folders()


def test_the_wheel_brings_no_other_top_level_package() -> None:
    """`jobs` and its like would collide with the user's own."""
    tops = {path.parts[0] for path in metadata.files("duly") or () if path.suffix in SHIPPED and ".dist-info" not in path.parts[0]}

    assert tops == {"duly"}


def test_the_wheel_does_not_bear_the_former_name() -> None:
    """Code, data and metadata."""
    paths = [Path(str(path.locate())) for path in metadata.files("duly") or () if path.suffix != ".pyc"]

    assert paths
    assert lines_with_the_former_name(path for path in paths if path.is_file()) == []


@pytest.mark.parametrize("name", FOLDERS)
def test_there_is_no_second_copy_of_a_package(name: str) -> None:
    """The bare name of a folder of the checkout cannot be imported."""
    spec = find_spec(name)
    locations = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]

    assert not [place for place in locations if place and Path(place).is_relative_to(ROOT / name)]


def test_the_namespace_holds_no_code() -> None:
    """`duly` is a namespace package: other distributions may live in it."""
    spec = find_spec("duly")

    assert spec is not None
    assert spec.origin is None


@pytest.mark.parametrize("name", FOLDERS)
def test_each_top_package_is_marked_as_typed(name: str) -> None:
    """A type checker of a user believes our annotations."""
    assert f"{name}/py.typed" in in_wheel()


def test_importing_the_library_loads_only_what_it_requires() -> None:
    """The drivers of the extras are imported in their own rooms, not on the way in."""
    ran = subprocess.run([sys.executable, "-I", "-c", LOADED_BY_IMPORT], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    distributions = metadata.packages_distributions()

    loaded = {normalised(name) for module in json.loads(ran.stdout) for name in distributions.get(module, ())}

    assert "duly" in loaded
    assert loaded <= needed_by("duly")
