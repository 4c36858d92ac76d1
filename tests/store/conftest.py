from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

_names = count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a real PostgreSQL server of our own, on a Unix socket in a temporary folder, without its database."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server is installed: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'medfl[postgres]'")
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    folder = Path(tempfile.mkdtemp(prefix="medfl-pg-", dir="/tmp"))  # a socket's path must be short
    if os.geteuid() == 0:
        shutil.chown(folder, user)
    folder.chmod(0o755)
    data, settings = folder / "data", f"-k {folder} -c listen_addresses= -c fsync=off"
    control = [str(binaries / "pg_ctl"), "-D", str(data), "-w", "-s"]
    try:
        _as(user, [str(binaries / "initdb"), "-D", str(data), "-A", "trust", "-U", "postgres", "-E", "UTF8", "-N"])
        _as(user, [*control, "-l", str(folder / "log"), "-o", settings, "start"])
        try:
            yield f"postgresql://postgres@/{{name}}?host={folder}"
        finally:
            _as(user, [*control, "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(postgres_server: str) -> str:
    """The URL of a fresh, empty database."""
    import psycopg

    name = f"journal_{next(_names)}"
    with psycopg.connect(postgres_server.format(name="postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return postgres_server.format(name=name)


def _binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    elsewhere = shutil.which("initdb")
    return Path(elsewhere).parent if elsewhere else None


def _as(user: str, command: list[str]) -> None:
    """Run as a user: PostgreSQL refuses to be run by root."""
    prefix = ["runuser", "-u", user, "--"] if os.geteuid() == 0 else []
    done = subprocess.run([*prefix, *command], cwd="/tmp", capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{command[0]}: {done.stdout}{done.stderr}")
