"""supervisord: the configuration it gets, how it is started, asked and stopped."""

import os
import shlex
import subprocess
import sys
import xmlrpc.client
from dataclasses import dataclass
from typing import Any

import psutil
from supervisor.xmlrpc import SupervisorTransport

from landpatch.errors import InfrastructureError
from services.stack.parts import GROUPS, Part
from services.stack.state import ROOT, Folders, write_private

STOP_TIMEOUT_S = 90
"""Longer than the groups may take one after the other."""
_DOWN = {"STOPPED", "EXITED", "FATAL"}
"""States that a part does not leave by itself."""


@dataclass(frozen=True, slots=True)
class PartState:
    """What supervisord knows of a part."""

    name: str
    state: str
    pid: int
    uptime_s: float


class Manager:
    """The supervisord of a state folder, if it runs."""

    def __init__(self, folders: Folders) -> None:
        """folders: of the stack."""
        self._folders = folders

    def states(self) -> list[PartState] | None:
        """Every part, sorted by name; None when supervisord does not answer."""
        try:
            known = self._rpc().getAllProcessInfo()
        except (OSError, xmlrpc.client.Error):
            return None
        return sorted(
            (
                PartState(
                    name=info["name"],
                    state=info["statename"],
                    pid=info["pid"],
                    uptime_s=max(info["now"] - info["start"], 0) if info["pid"] else 0,
                )
                for info in known
            ),
            key=lambda part: part.name,
        )

    def start(self, parts: list[Part], environment: dict[str, str]) -> None:
        """Start supervisord and with it the parts. Raises InfrastructureError when that fails."""
        config = self._folders.run / "supervisord.conf"
        write_private(config, configure(self._folders, parts))
        started = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)],
            env=os.environ | environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if started.returncode:
            reason = (started.stderr.strip() or started.stdout.strip() or "no reason given").splitlines()[-1]
            raise InfrastructureError(f"the process manager does not start: {reason}")

    def revive(self) -> None:
        """Start the parts that have stopped for good, and leave the others alone."""
        rpc = self._rpc()
        for info in rpc.getAllProcessInfo():
            if info["statename"] in _DOWN:
                rpc.startProcess(f"{info['group']}:{info['name']}", False)

    def stop(self) -> None:
        """Stop the parts and supervisord, workers first; no error when it does not run."""
        try:
            process = psutil.Process(int(self._rpc().getPID()))
            self._rpc().shutdown()
        except (OSError, xmlrpc.client.Error, psutil.NoSuchProcess):
            return
        psutil.wait_procs([process], timeout=STOP_TIMEOUT_S)

    def _rpc(self) -> Any:
        transport: Any = SupervisorTransport(None, None, serverurl=f"unix://{self._folders.socket}")
        proxy: Any = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
        return proxy.supervisor


def configure(folders: Folders, parts: list[Part]) -> str:
    """The configuration file of supervisord."""
    lines = [
        "[unix_http_server]",
        f"file={_plain(folders.socket)}",
        "chmod=0700",
        "[supervisord]",
        f"logfile={_plain(folders.logs / 'supervisord.log')}",
        "logfile_maxbytes=5MB",
        f"pidfile={_plain(folders.run / 'supervisord.pid')}",
        f"childlogdir={_plain(folders.logs)}",
        f"directory={_plain(ROOT)}",
        "umask=077",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for part in parts:
        lines += _configure_part(folders, part)
    # The parts of a group stop at the same time, the groups one after the other, the last started first.
    for priority, group in enumerate(GROUPS):
        names = [part.name for part in parts if part.group == group]
        if names:
            lines += [f"[group:{group}]", f"programs={','.join(names)}", f"priority={priority}"]
    return "\n".join(lines) + "\n"


def _configure_part(folders: Folders, part: Part) -> list[str]:
    environment = ",".join(f'{name}="{_plain(value)}"' for name, value in part.environment.items())
    return [
        f"[program:{part.name}]",
        "command=" + " ".join(shlex.quote(_plain(word)) for word in part.command),
        f"environment={environment}",
        "autorestart=true",
        "startsecs=1",
        "startretries=3",
        "stopsignal=TERM",
        f"stopwaitsecs={part.stop_wait_s}",
        # A worker tells its children itself; told twice, they would drop the task in their hands.
        "stopasgroup=false",
        "killasgroup=true",
        "redirect_stderr=true",
        f"stdout_logfile={_plain(folders.logs / f'{part.name}.log')}",
        "stdout_logfile_maxbytes=10MB",
        "stdout_logfile_backups=3",
    ]


def _plain(text: object) -> str:
    """supervisord expands `%(…)s`."""
    return str(text).replace("%", "%%")
