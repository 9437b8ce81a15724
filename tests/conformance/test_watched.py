"""A folder that a child looks at: all that a directory does, and an end at the deadline when the folder hangs [R1].

The double of a file system that hangs is a directory whose system calls never return. It hangs in the child, as the
kernel would let it; nothing but SIGKILL gets it out.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from federation.bridge import BridgeSource
from federation.errors import InvalidUrl, RemoteReadOnly, SourceUnavailable
from federation.model import HEAD_FILE
from federation.transports import Listing, Transport, Wanted
from federation.transports.brainclaw import BrainclawSource
from federation.transports.directory import DirectoryTransport
from federation.transports.watched import Watch, read_deadline
from journal import DamagedStore, Disk
from tests.conformance.test_transports import CAP, S1, A, Bus, FullDirectory, Place, TransportConformance, own_feed
from tests.servers.processes import PATIENCE_SECONDS, alive, wait_for

ROOT = Path(__file__).resolve().parents[2]
HEAD = Wanted(HEAD_FILE, CAP)
SHORT_SECONDS = 1
Open = Callable[[], Transport | BridgeSource]


@pytest.fixture
def watch() -> Iterator[Callable[[Path, Open], Watch]]:
    made: list[Watch] = []

    def make(path: Path, open_place: Open) -> Watch:
        made.append(Watch(path, open_place))
        return made[-1]

    yield make
    for found in made:
        found.end()


class WatchedBus(Bus):
    """A folder that many stores share, reached through a child."""

    def __init__(self, path: Path, watch: Callable[[Path, Open], Watch]) -> None:
        super().__init__(path)
        self._watch = watch

    def transport(self, *, fails_after: int | None = None) -> Transport:
        def open_place() -> Transport:
            full = fails_after is not None
            return FullDirectory(self.path, fails_after) if full else DirectoryTransport(self.path, Disk())  # type: ignore[arg-type]

        found = self._watch(self.path, open_place).open(PATIENCE_SECONDS, Disk())
        assert not isinstance(found, BridgeSource)
        return found


class TestWatchedDirectory(TransportConformance):
    @pytest.fixture
    def place(self, tmp_path: Path, watch: Callable[[Path, Open], Watch]) -> Place:
        return WatchedBus(tmp_path / "bus", watch)


# --- hanging ---------------------------------------------------------------------------------------------------------


class HangingDirectory(DirectoryTransport):
    """A directory in which opening what has this name never returns. Its process id is in `seen`."""

    def __init__(self, path: Path, name: str, seen: Path) -> None:
        super().__init__(path, Disk())
        self._name = name
        seen.write_text(str(os.getpid()))

    def _open(self, name: str | Path, flags: int, within: int | None, opened: ExitStack) -> int:
        if Path(name).name == self._name:
            signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})
            while True:
                signal.pause()
        return super()._open(name, flags, within, opened)


def ask_for_origins(place: Transport, tmp_path: Path) -> object:
    return place.origins()


def fetch_two_files(place: Transport, tmp_path: Path) -> object:
    return place.fetch(A, [HEAD, Wanted(S1, CAP)], tmp_path)


def publish_a_feed(place: Transport, tmp_path: Path) -> object:
    place.publish(A, own_feed(tmp_path / "own", head=b"1", s1=b"1"), [S1, HEAD_FILE], frozenset())
    return None


@pytest.mark.parametrize(
    ("name", "act"),
    [
        (A, ask_for_origins),
        (S1, fetch_two_files),
        (f".tmp-{HEAD_FILE}", publish_a_feed),
    ],
)
def test_a_folder_that_hangs_is_left_at_the_deadline_and_its_child_is_gone(
    tmp_path: Path,
    watch: Callable[[Path, Open], Watch],
    name: str,
    act: Callable[[Transport, Path], object],
) -> None:
    bus = Bus(tmp_path / "bus")
    bus.plant(f"{A}/{HEAD_FILE}", b"0")
    if act is fetch_two_files:
        bus.plant(f"{A}/{S1}", b"0")
    found = watch(bus.path, lambda: HangingDirectory(bus.path, name, tmp_path / "seen"))
    place = found.open(PATIENCE_SECONDS, Disk())
    assert not isinstance(place, BridgeSource)
    found.deadline_seconds = SHORT_SECONDS
    with pytest.raises(SourceUnavailable, match=f"did not answer within {SHORT_SECONDS} seconds") as caught:
        act(place, tmp_path)
    assert (caught.value.path, caught.value.rule) == (str(bus.path), "R1")
    assert not alive(int((tmp_path / "seen").read_text()))
    with pytest.raises(SourceUnavailable, match=f"did not answer within {SHORT_SECONDS} seconds"):
        place.origins()  # at once: nobody is asked any more
    assert (bus.path / A / HEAD_FILE).read_bytes() == b"0"


def test_a_place_that_hangs_when_it_is_opened_is_left_too(tmp_path: Path, watch: Callable[[Path, Open], Watch]) -> None:
    def hang() -> Transport:
        while True:
            signal.pause()

    found = watch(tmp_path, hang)
    with pytest.raises(SourceUnavailable, match=f"within {SHORT_SECONDS} seconds"):
        found.open(SHORT_SECONDS, Disk())
    assert found.is_over


def test_a_child_that_somebody_ends_is_no_answer(tmp_path: Path, watch: Callable[[Path, Open], Watch]) -> None:
    def end() -> Transport:
        os._exit(3)

    with pytest.raises(SourceUnavailable, match="given up"):
        watch(tmp_path, end).open(PATIENCE_SECONDS, Disk())


# --- what goes through -----------------------------------------------------------------------------------------------


class Odd(DirectoryTransport):
    """A place where each question meets another fault."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"), Disk())

    def origins(self) -> Listing:
        raise ZeroDivisionError("a fault of ours")

    def create(self) -> None:
        raise RemoteReadOnly("is for reading", path="somewhere", rule="F1")

    def missing(self, origin: str, folder: Path, names: Sequence[str]) -> tuple[str, ...]:
        raise DamagedStore("cannot be read", path=folder, line=3, seq=4, rule="J11")


def test_errors_come_through_whole(tmp_path: Path, watch: Callable[[Path, Open], Watch]) -> None:
    place = watch(tmp_path, Odd).open(PATIENCE_SECONDS, Disk())
    assert not isinstance(place, BridgeSource)
    with pytest.raises(RemoteReadOnly) as read_only:
        place.create()
    assert str(read_only.value) == "somewhere: is for reading [F1]"
    with pytest.raises(DamagedStore) as damaged:
        place.missing(A, tmp_path, [])
    assert (damaged.value.path, damaged.value.line, damaged.value.seq) == (str(tmp_path), 3, 4)
    with pytest.raises(ZeroDivisionError):
        place.origins()


def test_files_as_large_as_they_get_come_through_whole(tmp_path: Path, watch: Callable[[Path, Open], Watch]) -> None:
    bus = WatchedBus(tmp_path / "bus", watch)
    data = os.urandom(17 * 1024 * 1024)
    bus.plant(f"{A}/{S1}", data)
    assert bus.transport().fetch(A, [Wanted(S1, len(data))], tmp_path) == (S1,)
    assert (tmp_path / S1).read_bytes() == data


def test_a_store_of_another_program_is_read_through_a_child_too(
    tmp_path: Path, watch: Callable[[Path, Open], Watch]
) -> None:
    root = tmp_path / "project" / ".brainclaw"
    (root / "events").mkdir(parents=True)
    (root / "config.yaml").write_text("project_id: x\n")
    (root / "events" / "seg-1.jsonl").write_bytes(b"{}\n")
    found = watch(root, lambda: BrainclawSource(root)).open(PATIENCE_SECONDS, Disk())
    assert isinstance(found, BridgeSource)
    plain = BrainclawSource(root)
    assert (found.config(), found.label(), found.segments(), found.read("seg-1.jsonl", 100)) == (
        plain.config(),
        plain.label(),
        plain.segments(),
        plain.read("seg-1.jsonl", 100),
    )
    with pytest.raises(SourceUnavailable, match="cannot be read"):
        found.read("seg-2.jsonl", 100)


# --- the child -------------------------------------------------------------------------------------------------------


class Telling(DirectoryTransport):
    """A place that tells of the process it is asked in."""

    def origins(self) -> Listing:
        here = Path("/proc/self/fd")
        open_files = [str(link.readlink()) for link in list(here.iterdir()) if link.is_symlink()]
        return Listing((str(os.getpid()), str(os.getsid(0)), *sorted(open_files)))


def test_the_child_shares_neither_terminal_nor_files_with_us(
    tmp_path: Path, watch: Callable[[Path, Open], Watch]
) -> None:
    (tmp_path / "lock").touch()
    with Disk().lock(tmp_path / "lock", 1):
        place = watch(tmp_path, lambda: Telling(tmp_path, Disk())).open(PATIENCE_SECONDS, Disk())
    assert not isinstance(place, BridgeSource)
    process, session, *files = place.origins().origins
    assert process == session != str(os.getsid(0))
    assert {name.partition(":")[0] for name in files} <= {"/dev/null", "pipe"}
    with Disk().lock(tmp_path / "lock", 0):  # a lock is ours alone [J9]
        pass
    assert alive(int(process))


ASKING = """
import os, sys
from pathlib import Path
from tests.conformance.test_watched import Telling, Watch
from journal import Disk
place = Watch(Path("/"), lambda: Telling(Path("/"), Disk())).open(60, Disk())
print(place.origins().origins[0], flush=True)
sys.stdin.read()
"""


def test_the_child_ends_with_us_however_we_end() -> None:
    """It hears that nobody asks any more."""
    with subprocess.Popen(
        [sys.executable, "-c", ASKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as asking:
        assert asking.stdout is not None
        child = int(asking.stdout.readline())
        assert alive(child)
        asking.kill()
    wait_for(lambda: not alive(child))


# --- settings --------------------------------------------------------------------------------------------------------


def test_a_folder_has_one_setting() -> None:
    assert read_deadline({"deadline_seconds": 1}) == 1
    assert read_deadline({"deadline_seconds": 2.5}) == 2.5
    for wrong in ({"deadline_seconds": 0}, {"deadline_seconds": "1"}, {"deadline_seconds": True}):
        with pytest.raises(InvalidUrl, match="between 1 and 86400"):
            read_deadline(wrong)
    with pytest.raises(InvalidUrl, match="no setting 'ref_prefix'"):
        read_deadline({"deadline_seconds": 1, "ref_prefix": "refs/x"})
