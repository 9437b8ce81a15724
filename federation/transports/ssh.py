"""How the ssh of this system is called, whatever program goes over it. Pure.

In batch mode: it never asks. It opens nothing beside the one session, and leaves nothing behind. Keys, ports and jump
hosts come from the user's config, or from the one that a remote names.
"""

from __future__ import annotations

from typing import Final

_OPTIONS: Final = {
    "BatchMode": "yes",
    "ConnectTimeout": "30",  # seconds
    "ServerAliveInterval": "15",  # seconds
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "PermitLocalCommand": "no",
    "RequestTTY": "no",
    "ControlMaster": "no",  # one that is there is used; a new one would outlive us
    "LogLevel": "ERROR",
}


def ssh_argv(config: str | None, port: int | None) -> list[str]:
    """The words of the command up to the host; the caller puts more options or `--` behind them."""
    argv = ["ssh", *(["-F", config] if config else [])]
    argv += [part for name, value in _OPTIONS.items() for part in ("-o", f"{name}={value}")]
    return argv + (["-p", str(port)] if port else [])
