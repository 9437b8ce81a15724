"""The other side: what has to be there for a remote to work, told from its URL and settings.

Pure: a URL in, lines for a person out. What a URL holds as a secret is not in them [R2].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from shlex import quote
from typing import Any, Final

from federation.transports.urls import GitUrl, RsyncUrl, Url

_PREFIX: Final = "refs/eventsync"


def other_side(url: Url | GitUrl | RsyncUrl, settings: Mapping[str, Any]) -> list[str]:
    """What a person has to do there, and in the other stores; lines that begin with spaces are to be typed."""
    if isinstance(url, GitUrl):
        return list(_git(url, settings))
    return list(_folder(url) if isinstance(url, Url) else _rsync(url, settings))


def _folder(url: Url) -> Iterator[str]:
    yield "a folder that each machine reaches in its own way: a network drive, a synced folder, a stick"
    yield "nothing has to be set up: the first push makes the folder, and nothing above it"
    yield "in each other store, with the path that the folder has there:"
    yield f"  eventsync remote add shared {quote(str(url.path))}"


def _rsync(url: RsyncUrl, settings: Mapping[str, Any]) -> Iterator[str]:
    host = f"[{url.host}]" if ":" in url.host else url.host
    user = f"{url.user}@" if url.user else ""
    if url.scheme == "daemon":
        module = url.path.partition("/")[0]
        port = "" if url.port is None else f":{url.port}"
        login = f"--password-file={quote(str(settings['password_file']))} " if "password_file" in settings else ""
        yield f"an rsync daemon with a module [{module}] that may be written: `read only = no` in its rsyncd.conf"
        yield "what is there is listed by:"
        yield f"  rsync {login}{quote(f'rsync://{user}{host}{port}/{url.path}/')}"
    else:
        yield "rsync on a machine that ssh reaches, with a key that is let in and a host that is known; this must work:"
        yield f"  {_ssh(url, settings)} rsync --version"
    yield "the first push makes the folder where it alone is missing; another store there can be pulled from"


def _git(url: GitUrl, settings: Mapping[str, Any]) -> Iterator[str]:
    match url.scheme:
        case "file":
            yield "a bare git repository on this machine; where git is installed, once:"
            yield f"  git init --bare {quote(url.path)}"
        case "ssh":
            yield "a git repository that ssh reaches: an empty project of a forge, or on a machine of your own, once:"
            yield f"  {_ssh(url, settings)} git init --bare {quote(url.path)}"
            yield "a key that is let in and a host that is known, so that nothing is asked; this must work by itself:"
            yield f"  {_with_config(settings)}git ls-remote {quote(address(url))}"
        case "git":
            yield "a git daemon, which asks nobody who they are: to be pulled from; once, where the repository is:"
            yield "  git daemon --export-all --base-path=FOLDER FOLDER"
            yield "stores push to the same repository by its path there, or by ssh"
        case "http" | "https":
            yield "a git repository that http reaches: an empty project of a forge, and a token that may push to it"
            yield "a credential helper of git that knows the token; with one configured, this asks once and keeps it:"
            yield f"  git ls-remote {quote(address(url))}"
    yield from _refs(url, settings)


def _refs(url: GitUrl, settings: Mapping[str, Any]) -> Iterator[str]:
    prefix = str(settings.get("ref_prefix", _PREFIX)).rstrip("/")
    yield f"each store has one ref, {prefix}/<origin>, which clone and pull of a project leave alone:"
    yield f"  {_with_config(settings)}git ls-remote {quote(address(url))} {quote(f'{prefix}/*')}"
    if prefix == _PREFIX and url.scheme in ("ssh", "https"):
        yield 'where only branches are taken: ref_prefix = "refs/heads/eventsync" for this remote in config.toml'


def address(url: GitUrl) -> str:
    """The repository as git itself is told of it; no login in it."""
    if url.scheme == "file":
        return url.path
    host = f"[{url.host}]" if ":" in url.host else url.host
    user = f"{url.user}@" if url.user and url.scheme == "ssh" else ""
    if url.scheme == "ssh" and url.port is None and not url.path.startswith("/"):
        return f"{user}{host}:{url.path}"
    port = "" if url.port is None else f":{url.port}"
    return f"{url.scheme}://{user}{host}{port}{url.path}"


def _ssh(url: GitUrl | RsyncUrl, settings: Mapping[str, Any]) -> str:
    config = ["-F", str(settings["ssh_config"])] if "ssh_config" in settings else []
    port = [] if url.port is None else ["-p", str(url.port)]
    host = f"{url.user}@{url.host}" if url.user else url.host
    return " ".join(map(quote, ["ssh", *config, *port, host]))


def _with_config(settings: Mapping[str, Any]) -> str:
    """How git is told of another config for ssh; nothing where the user's own is used."""
    if "ssh_config" not in settings:
        return ""
    command = f"ssh -F {quote(str(settings['ssh_config']))}"
    return f"GIT_SSH_COMMAND={quote(command)} "
