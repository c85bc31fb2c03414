"""Bring ``.venv`` up to date with the hashed requirements; quick when it already is.

Usage: ``python scripts/install.py SET…`` (scripts/install chooses the Python). Sets are ``setup`` (the tools
that install the rest), ``runtime``, ``dev``, ``docs``, ``clients`` (what tests talk through) and
``bench`` (the peers of the benchmarks); the Python parts of these two have environments of their own,
``.venv-clients`` and ``.venv-bench``.
A set that is in place leaves a stamp, a digest of the files that describe it, so an interrupted run
simply goes on with what is missing. Only the standard library may be imported here.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
STAMPS = VENV / "stamps"
REQUIREMENTS = ROOT / "requirements"
NPM_FOLDERS = {"clients": ROOT / "tests" / "clients", "bench": ROOT / "benchmarks"}

# What each set stands on; npm itself comes with dev.
NEEDS = {
    "setup": (),
    "runtime": ("setup",),
    "dev": ("setup",),
    "docs": ("setup",),
    "clients": ("setup", "dev"),
    "bench": ("setup", "dev"),
}

# uv and npm trust what the machine trusts, as pip does.
TRUST = {"UV_SYSTEM_CERTS": "1", "NODE_USE_SYSTEM_CA": "1"}

# uv does not read pip's configuration, so a mirror that was set for pip is handed on.
PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "cert": "SSL_CERT_FILE",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}


def main(wanted: list[str]) -> int:
    """Install each wanted set and what it stands on; 1 with a sentence when that is not possible."""
    unknown = [name for name in wanted if name not in NEEDS]
    if unknown or not wanted:
        print(f"Unknown set {', '.join(unknown) or '(none)'}; known are {', '.join(NEEDS)}.", file=sys.stderr)
        return 2
    wait_for_other_installations()
    try:
        make_environment()
        for name in dict.fromkeys(part for want in wanted for part in (*NEEDS[want], want)):
            bring_up_to_date(name)
    except subprocess.CalledProcessError as failure:
        command = " ".join(map(str, failure.cmd))
        print(f"\nInstallation stopped: `{command}` ended with code {failure.returncode}.", file=sys.stderr)
        return 1
    return 0


def wait_for_other_installations() -> None:
    """Hold a lock until this process ends, so that two commands at once install one after the other."""
    fcntl.flock(os.open(REQUIREMENTS, os.O_RDONLY), fcntl.LOCK_EX)


# -- the environment ---------------------------------------------------------------------------------


def make_environment() -> None:
    """Create ``.venv``, or create it anew when its Python is gone or the checkout was moved."""
    if is_usable():
        return
    print(f"Making .venv with Python {sys.version.split()[0]} ({sys.executable})", flush=True)
    arguments = [sys.executable, "-m", "venv", "--clear"]
    if find_spec("ensurepip") and find_spec("venv"):
        run(*arguments, VENV)
    else:
        run(*arguments, "--without-pip", VENV)
        install_pip_from_system_package()


def is_usable() -> bool:
    """Whether ``.venv`` was made here, completely, and its Python still runs."""
    configuration = VENV / "pyvenv.cfg"
    if not PYTHON.exists() or not configuration.exists() or str(VENV) not in configuration.read_text():
        return False
    return (
        subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0
    )


def install_pip_from_system_package() -> None:
    """Put pip into ``.venv`` where ``ensurepip`` is missing, as on Debian without python3-venv.

    Debian and Ubuntu keep pip's wheel in a package that anyone may download and unpack: no root needed.
    """
    if not shutil.which("apt-get"):
        sys.exit(
            f"{sys.executable} has no ensurepip module, so .venv cannot get pip: install a complete Python."
        )
    print("This Python has no ensurepip; taking pip from the package python3-pip-whl", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if not download_package("python3-pip-whl", Path(folder)):
            sys.exit(
                "Could not download python3-pip-whl. Run `sudo apt-get install python3-venv`, then try again."
            )
        for package in Path(folder).glob("*.deb"):
            run("dpkg-deb", "--extract", package, folder)
        wheel = next(Path(folder).glob("usr/share/python-wheels/pip-*.whl"))
        run(PYTHON, wheel / "pip", "install", "--quiet", "--no-index", wheel)


def download_package(name: str, folder: Path) -> bool:
    """Download a Debian package without root, with package lists of our own if the machine has none."""
    if apt_get(folder, "download", name):
        return True
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    own = ("-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache")
    return apt_get(folder, *own, "update") and apt_get(folder, *own, "download", name)


def apt_get(folder: Path, *arguments: str) -> bool:
    """Whether this ``apt-get`` command succeeded, run in ``folder``."""
    # Root's apt-get steps down to a user of its own, who may not write here, unless that user is unset.
    command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


# -- the sets ----------------------------------------------------------------------------------------


def bring_up_to_date(name: str) -> None:
    """Install one set unless its stamp says that it is in place."""
    stamp, digest = STAMPS / name, digest_of(name)
    if stamp.exists() and stamp.read_text() == digest:
        return
    print(f"Installing {name}", flush=True)
    if name == "setup":
        install_tools()
    if name in {"runtime", "dev", "docs"}:
        install_packages(name, PYTHON)
    if name in {"runtime", "dev"}:
        install_project()
    if name in NPM_FOLDERS:
        apart = ROOT / f".venv-{name}"
        run(UV, "venv", "--quiet", "--allow-existing", "--python", PYTHON, apart)
        install_packages(name, apart / "bin" / "python")
        install_npm_packages(NPM_FOLDERS[name])
    STAMPS.mkdir(exist_ok=True)
    stamp.write_text(digest)


def digest_of(name: str) -> str:
    """A digest of every file that says what belongs to a set."""
    files = [REQUIREMENTS / f"{name}.txt"]
    if name in {"runtime", "dev"}:
        files.append(ROOT / "pyproject.toml")
    if name in NPM_FOLDERS:
        files += [NPM_FOLDERS[name] / "package.json", NPM_FOLDERS[name] / "package-lock.json"]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files if file.exists())).hexdigest()


def install_tools() -> None:
    """Install uv and the build backend with pip."""
    pip = (PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    run(*pip, "--only-binary", ":all:", "--require-hashes", "-r", REQUIREMENTS / "setup.txt")


def install_packages(name: str, python: Path) -> None:
    """Install a requirements file into the environment of ``python``."""
    uv = (UV, "pip", "install", "--quiet", "--python", python, "--only-binary", ":all:")
    run(*uv, "--require-hashes", "-r", REQUIREMENTS / f"{name}.txt", environment=uv_environment())


def install_project() -> None:
    """Install the project itself, editable, with the build backend that is in place already."""
    uv = (UV, "pip", "install", "--quiet", "--python", PYTHON)
    run(*uv, "--no-deps", "--no-build-isolation", "--editable", ROOT, environment=uv_environment())


def install_npm_packages(folder: Path) -> None:
    """Install exactly what the lock file of ``folder`` names, with the npm that the dev set brings."""
    environment = os.environ | TRUST | {"PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    npm = (VENV / "bin" / "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")
    run(*npm, "--prefix", folder, environment=environment)


def uv_environment() -> dict[str, str]:
    """The environment for uv: this process's own, else what pip is configured with."""
    listing = subprocess.run(
        [PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    configured = dict(re.findall(r"^(?:\w+|:env:)\.([\w-]+)='(.*)'$", listing.stdout, re.MULTILINE))
    handed_on = {PIP_TO_UV[key]: value for key, value in configured.items() if key in PIP_TO_UV}
    return TRUST | handed_on | dict(os.environ)


def run(*command: str | Path, environment: dict[str, str] | None = None) -> None:
    """Run a command, and raise CalledProcessError when it fails."""
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
