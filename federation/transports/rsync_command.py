"""What rsync is asked: the words of each call, and the listing it answers with. Pure.

Every call is a list of words, without a shell; `--` stands before what comes from a URL, names of files go in by
standard input. Only options that are written here are in force: none of the user's environment or config [R2].
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from federation.model import FEED_FILE, FEED_FOLDER, HEAD_FILE
from federation.transports.rsync_settings import RsyncSettings
from federation.transports.ssh import ssh_argv
from federation.transports.urls import RsyncUrl
from journal import ORIGIN

STORE: Final = ".eventsync"
STORE_FEEDS: Final = f"{STORE}/feed/"  # where a store keeps what it publishes
BRAINCLAW: Final = ".brainclaw"

# No shell reads more than the words in these signs, and rrsync, which guards keys of ssh, knows no --secluded-args.
_PLAIN: Final = re.compile(r"[A-Za-z0-9._/@%+=:,-]+", re.ASCII)
_ORIGIN_GLOB: Final = "es1" + "[a-z2-7]" * 32
_AT_ONCE: Final = "--no-inc-recursive"  # all names are known, and checked, before a file comes
_FILES_ONLY: Final = ("--no-links", "--no-devices", "--no-specials", _AT_ONCE)
_VERSION: Final = re.compile(rb"rsync +version +v?([0-9]+)\.([0-9]+)\.([0-9]+)")
_LISTED: Final = re.compile(r"([-a-z])[-a-zA-Z]{9}\S* +([0-9]{1,19}) \S+ \S+ (.+)")
_TEMPORARY: Final = re.compile(r"\.(.+)\.[A-Za-z0-9]{6}", re.ASCII)


class Command(NamedTuple):
    """One call."""

    argv: tuple[str, ...]
    given: str = ""  # its standard input
    environment: Mapping[str, str] = {}  # of its own, beside what is handed on; secrets stand here only
    file_bytes: int | None = None  # the most that a file it writes here may have


class Way(NamedTuple):
    """How each call gets to the place. `root` is the folder there, as rsync names it, with a slash at its end."""

    root: str
    options: tuple[str, ...]
    environment: Mapping[str, str]

    def below(self, folders: str) -> Way:
        """The way to a folder in the place."""
        return self._replace(root=self.root + folders)


def way_to(url: RsyncUrl, settings: RsyncSettings, home: str) -> Way:
    """The way to a place. `home` is the user's home folder: rsync sees none, ssh and its helpers do."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    at = f"{url.user}@{host}" if url.user else host
    path = url.path.rstrip("/") + "/"
    secluded = "--no-secluded-args" if _PLAIN.fullmatch(path) else "--secluded-args"
    if url.scheme == "daemon":
        port = f":{url.port}" if url.port else ""
        options = () if settings.password_file is None or url.password else ("--password-file", settings.password_file)
        # Never without a password: rsync would ask for one, and read it where the names of files come from.
        return Way(f"rsync://{at}{port}/{path}", (secluded, *options), {"RSYNC_PASSWORD": url.password or ""})
    shell = ["env", f"HOME={home}", *ssh_argv(settings.ssh_config, url.port)]
    return Way(f"{at}:{path}", (secluded, "--rsh", " ".join(map(_quoted, shell))), {})


def _quoted(word: str) -> str:
    """A word of --rsh, which rsync takes apart by itself: quotes are doubled within quotes."""
    return word if _PLAIN.fullmatch(word) else "'" + word.replace("'", "''") + "'"


# --- calls -----------------------------------------------------------------------------------------------------------


def list_place(way: Way) -> Command:
    """Name what stands in the place, in feeds there, and in the feeds of a store; not in the folders of blobs."""
    feeds = f"/{STORE_FEEDS}"
    rules = [
        f"- {feeds}*/*/*",
        f"+ {feeds}{_ORIGIN_GLOB}/*",
        f"- {feeds}*/*",
        f"+ {feeds}*",
        f"+ {feeds.rstrip('/')}",
        f"- /{STORE}/*",
        "- /*/*/*",
        f"+ /{_ORIGIN_GLOB}/*",
        "- /*/*",
    ]
    return _listing(way, rules)


def list_feed(way: Way, origin: str) -> Command:
    """Name what stands in one feed of a bus, and what tells that the place is something else."""
    blobs = f"/{origin}/blobs"
    inside = [f"- {blobs}/*/*/*", f"+ {blobs}/*", f"+ {blobs}/*/*", f"- /{origin}/*/*", f"+ /{origin}/*"]
    return _listing(way, [f"+ /{STORE}", f"+ /{BRAINCLAW}", f"+ /{origin}", *inside, "- *"])


def list_kind(way: Way) -> Command:
    """Name only what tells whether the place is there, and is something else than a bus."""
    return _listing(way, [f"+ /{STORE}", f"+ /{BRAINCLAW}", "- *"])


def _listing(way: Way, rules: Sequence[str]) -> Command:
    options = ("--list-only", "--recursive", "--no-human-readable", _AT_ONCE, _RULES)
    return _call(way, options, [way.root], rules)


def bring(way: Way, paths: Iterable[str], into: Path, most_bytes: int, *, held: Sequence[Path] = ()) -> Command:
    """Bring these files, whose paths begin in the place, into a folder, where they stand under the same paths.

    They are found by going down from the place: no symlink there leads anywhere. Of a file that stands in one of the
    folders `held` under the same path only what differs is transferred; none is taken for the same unread.
    """
    folders = {f"{parent}/" for path in paths for parent in Path(path).parents if parent != Path()}
    rules = [*(f"+ /{path}" for path in [*sorted(folders), *paths]), "- *"]
    whole = ("--ignore-times", *(f"--copy-dest={folder}" for folder in held)) if held else ("--whole-file",)
    size = f"--max-size={most_bytes}"
    options = ("--recursive", *_FILES_ONLY, "--no-perms", "--chmod=D700,F600", *whole, size, _RULES)
    return _call(way, options, [way.root, f"{into}/"], rules)._replace(file_bytes=most_bytes)


def make(way: Way, empty: Path) -> Command:
    """Make the folder of the place when it alone is missing. `empty` is an empty folder of ours."""
    return _call(way, ("--dirs", *_WRITING, _RULES), [f"{empty}/", way.root], ["- *"])


def send(way: Way, origin: str, folder: Path, names: Iterable[str], *options: str) -> Command:
    """Send these files of our feed, each put in place by a rename; each that is taken is named in the answer."""
    asked = ("--ignore-times", "--whole-file", "--out-format=%n", *_WRITING, *options, *_NAMED)
    return _call(way, asked, [f"{folder}/", f"{way.root}{origin}/"], names)


def remove(way: Way, origin: str, empty: Path, names: Iterable[str]) -> Command:
    """Remove these files of our feed, and nothing else: all others are protected.

    `empty` is a folder without files, with the folders that these stand in.
    """
    rules = [*(f"R /{name}" for name in names), "P *"]
    return _call(way, ("--recursive", "--delete", *_WRITING, _RULES), [f"{empty}/", f"{way.root}{origin}/"], rules)


# New files and folders get the rights that are usual in the place.
_WRITING: Final = (*_FILES_ONLY, "--no-perms", "--chmod=ugo=rwX")
_NAMED: Final = ("--relative", "--files-from=-")
_RULES: Final = "--filter=merge -"


def _call(way: Way, options: Sequence[str], places: Sequence[str], lines: Iterable[str]) -> Command:
    argv = ("rsync", "--no-motd", *way.options, *options, "--", *places)
    return Command(argv, "".join(f"{line}\n" for line in lines), way.environment)


# --- over the wire to the worker -------------------------------------------------------------------------------------


def encode_command(command: Command) -> bytes:
    """A call as one line."""
    return json.dumps(command).encode()


# --- answers ---------------------------------------------------------------------------------------------------------


def read_version(output: bytes) -> tuple[int, int, int] | None:
    """What `rsync --version` says; None of a program that is another rsync."""
    found = _VERSION.match(output)
    return None if found is None else (int(found[1]), int(found[2]), int(found[3]))


class Seen(NamedTuple):
    """What a listing showed."""

    is_folder: bool  # the place itself is there
    # Of each origin the files of its feed, and what interrupted calls left of them: sizes, -1 for no regular file.
    feeds: Mapping[str, Mapping[str, int]]
    folders: frozenset[str]  # of origins, those among them that are folders
    others: frozenset[str]  # names in the place that belong to no feed
    ignored: int  # how many names are no feeds and no files of feeds

    def with_heads(self) -> list[str]:
        """The origins that have a head.json, sorted."""
        return sorted(origin for origin in self.folders if self.feeds[origin].get(HEAD_FILE, -1) >= 0)


def read_listing(output: bytes, below: str = "") -> Seen:
    """Read what rsync says with --list-only of the names below a path; other lines of it say nothing to us."""
    is_folder, ignored = False, 0
    feeds: dict[str, dict[str, int]] = {}
    folders, others = set(), set()
    for line in output.decode("utf-8", "replace").split("\n"):
        found = _LISTED.fullmatch(line)
        if found is None:
            continue
        kind, size, path = found[1], int(found[2]), found[3]
        is_folder = is_folder or (path == "." and kind == "d")
        if path == "." or not path.startswith(below):
            continue
        origin, inside, name = path.removeprefix(below).partition("/")
        if not inside and ORIGIN.fullmatch(origin):
            folders |= {origin} if kind == "d" else set()
            feeds.setdefault(origin, {})
            ignored += kind != "d"
        elif ORIGIN.fullmatch(origin) and FEED_FILE.fullmatch(name) and kind != "d":
            feeds.setdefault(origin, {})[name] = size if kind == "-" else -1
            ignored += kind != "-"
        elif not (ORIGIN.fullmatch(origin) and FEED_FOLDER.fullmatch(name) and kind == "d"):
            others |= set() if inside else {origin}
            ignored += 1
            if ORIGIN.fullmatch(origin) and kind == "-" and _is_left_over(name):
                feeds.setdefault(origin, {})[name] = size
    return Seen(is_folder, feeds, frozenset(folders), frozenset(others), ignored)


def _is_left_over(name: str) -> bool:
    """Whether rsync was writing a file of a feed under this name when it was killed: `.head.json.Xy12Zz`."""
    folder, slash, last = name.rpartition("/")
    found = _TEMPORARY.fullmatch(last)
    return found is not None and FEED_FILE.fullmatch(folder + slash + found[1]) is not None
