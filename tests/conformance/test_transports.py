"""What every transport keeps, whatever it goes over: one suite, run for each of them and for the double.

A new transport gets a Place and three lines at the end of this file.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Protocol

import pytest

from federation.errors import SourceUnavailable
from federation.model import HEAD_FILE
from federation.transports import Listing, Transport, Wanted
from federation.transports.directory import DirectoryTransport
from journal import DamagedStore, Disk
from tests.doubles.memory import Link, MemoryPlace, MemoryTransport

A = "es1" + "a" * 32
B = "es1" + "b" * 32
S1 = "seg-00000001-00000009-0123456789ab.jsonl.zst"
S2 = "seg-00000010-00000019-0123456789ab.jsonl.zst"
S3 = "seg-00000020-00000029-0123456789ab.jsonl.zst"
MERGED = "seg-00000001-00000019-abcdefabcdef.jsonl.zst"
BLOB = f"blobs/ab/ab{'0' * 62}.zst"
BESIDE = f"blobs/ab/ab{'1' * 62}.zst"
OTHER = f"blobs/cd/cd{'2' * 62}.zst"
CAP = 1000

# Names that look like one of a blob.
NO_BLOBS = [
    f"blobs/ab/cd{'0' * 62}.zst",
    f"blobs/ab{'0' * 62}.zst",
    f"blobs//ab{'0' * 62}.zst",
    f"blobs/../blobs/ab/ab{'0' * 62}.zst",
    f"blobs/ab/../ab/ab{'0' * 62}.zst",
    f"/blobs/ab/ab{'0' * 62}.zst",
    f"blobs/AB/AB{'0' * 62}.zst",
    f"blobs/ab/ab{'0' * 62}",
    f"blobs/ab/ab{'0' * 63}.zst",
    f"blobs/ab/ab{'0' * 62}.zst\n",
    f"blobs/ab/.tmp-ab{'0' * 62}.zst",
    "blobs/ab",
    "blobs",
]

# What other programs leave beside a feed, and what somebody might put there on purpose.
STRANGE_NAMES = [
    "head.sync-conflict-20260610-140322-ABCDEFG.json",
    S1.removesuffix(".jsonl.zst") + ".sync-conflict-20260610-140322-ABCDEFG.jsonl.zst",
    ".syncthing.head.json.tmp",
    "~syncthing~head.json.tmp",
    ".tmp-head.json",
    ".head.json.Xy12Zz",
    "head.json~",
    "head (copy).json",
    "HEAD.JSON",
    S1.upper(),
    S1.removesuffix(".zst"),
    " head.json",
    "head.json ",
    "head.json\n",
    "-rf",
    "$(touch x)",
    "\x1b[2J",
    "\u202egpj.js",
    "seg-١٢٣٤٥٦٧٨-00000009-0123456789ab.jsonl.zst",
    "README.md",
]


class Place(Protocol):
    """A place as other people and programs reach it, behind the transport's back."""

    def transport(self, *, fails_after: int | None = None) -> Transport:
        """A way there; with `fails_after` it breaks down when so many files were made visible."""
        ...

    def plant(self, path: str, content: bytes) -> None:
        """Put a file there."""
        ...

    def plant_link(self, path: str, target: str) -> None:
        """Put a symlink there."""
        ...

    def vanish(self) -> None:
        """Make the place unreachable."""
        ...

    def content(self) -> dict[str, bytes]:
        """All regular files there."""
        ...

    def stamps(self) -> dict[str, object]:
        """All regular files there; the value is another one when a file was written again."""
        ...


_NAMES = {"head": HEAD_FILE, "s1": S1, "s2": S2, "s3": S3, "merged": MERGED}
_BLOBS = {"blob": BLOB, "beside": BESIDE, "other": OTHER}


def own_feed(folder: Path, **files: bytes) -> Path:
    """A feed of our own, ready to be published."""
    for name, content in files.items():
        path = folder / (_NAMES | _BLOBS)[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TransportConformance:
    """Everything that a transport promises. A subclass gives the fixture `place`: empty, and reachable."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        raise NotImplementedError

    @pytest.fixture
    def staging(self, tmp_path: Path) -> Path:
        folder = tmp_path / "staging"
        folder.mkdir(mode=0o700)
        return folder

    # --- which origins ---

    def test_an_empty_place_has_no_origins(self, place: Place) -> None:
        assert place.transport().origins() == Listing((), 0)

    def test_a_place_names_the_origins_it_holds_in_order(self, place: Place) -> None:
        place.plant(f"{B}/{HEAD_FILE}", b"b")
        place.plant(f"{A}/{HEAD_FILE}", b"a")
        place.plant(f"{A}/{S1}", b"1")
        assert place.transport().origins() == Listing((A, B), 0)

    def test_a_feed_without_a_head_is_not_there_yet(self, place: Place) -> None:
        place.plant(f"{A}/{S1}", b"1")
        place.plant(f"{B}/{HEAD_FILE}", b"b")
        assert place.transport().origins().origins == (B,)

    @pytest.mark.parametrize("name", STRANGE_NAMES)
    def test_what_belongs_to_no_feed_is_ignored_and_counted(self, place: Place, name: str) -> None:
        place.plant(f"{A}/{HEAD_FILE}", b"a")
        place.plant(f"{A}/{name}", b"strange")
        place.plant(name, b"strange")
        assert place.transport().origins() == Listing((A,), 2)

    @pytest.mark.parametrize("name", [A.upper(), A[:-1], A + "a", "es1" + "1" * 32, "brainclaw:x", A + "\n", ".git"])
    def test_a_folder_whose_name_is_no_origin_is_ignored_and_counted(self, place: Place, name: str) -> None:
        place.plant(f"{A}/{HEAD_FILE}", b"a")
        place.plant(f"{name}/{HEAD_FILE}", b"strange")
        assert place.transport().origins() == Listing((A,), 1)

    def test_a_file_named_like_an_origin_is_ignored(self, place: Place) -> None:
        place.plant(A, b"not a folder")
        assert place.transport().origins() == Listing((), 1)

    def test_a_place_that_vanished_is_unavailable_and_not_empty(self, place: Place, staging: Path) -> None:
        place.plant(f"{A}/{HEAD_FILE}", b"a")
        way = place.transport()
        place.vanish()
        with pytest.raises(SourceUnavailable):
            way.origins()
        with pytest.raises(SourceUnavailable):
            way.fetch(A, [Wanted(HEAD_FILE, CAP)], staging)
        with pytest.raises(SourceUnavailable):
            place.transport().origins()

    # --- fetching ---

    def test_what_is_asked_for_is_brought_and_nothing_else(self, place: Place, staging: Path) -> None:
        place.plant(f"{A}/{HEAD_FILE}", b"head")
        place.plant(f"{A}/{S1}", b"1" * 500)
        place.plant(f"{A}/{S2}", b"2")
        place.plant(f"{B}/{S2}", b"of another")
        had = place.transport().fetch(A, [Wanted(S1, CAP), Wanted(HEAD_FILE, CAP)], staging)
        assert sorted(had) == [HEAD_FILE, S1]
        assert {path.name: path.read_bytes() for path in staging.iterdir()} == {HEAD_FILE: b"head", S1: b"1" * 500}

    def test_staged_files_are_private(self, place: Place, staging: Path) -> None:
        place.plant(f"{A}/{HEAD_FILE}", b"head")
        place.transport().fetch(A, [Wanted(HEAD_FILE, CAP)], staging)
        assert stat.S_IMODE((staging / HEAD_FILE).stat().st_mode) == 0o600

    def test_what_is_missing_is_left_out(self, place: Place, staging: Path) -> None:
        place.plant(f"{A}/{S2}", b"2")
        assert place.transport().fetch(A, [Wanted(S1, CAP), Wanted(S2, CAP), Wanted(S3, CAP)], staging) == (S2,)
        assert [path.name for path in staging.iterdir()] == [S2]

    def test_a_missing_origin_has_no_files(self, place: Place, staging: Path) -> None:
        place.plant(f"{A}/{HEAD_FILE}", b"head")
        assert place.transport().fetch(B, [Wanted(HEAD_FILE, CAP)], staging) == ()

    def test_a_file_may_have_as_many_bytes_as_asked_for_and_not_one_more(self, place: Place, staging: Path) -> None:
        place.plant(f"{A}/{S1}", b"x" * CAP)
        place.plant(f"{A}/{S2}", b"x" * (CAP + 1))
        place.plant(f"{A}/{S3}", b"")
        wanted = [Wanted(S1, CAP), Wanted(S2, CAP), Wanted(S3, CAP)]
        assert place.transport().fetch(A, wanted, staging) == (S1, S3)
        assert {path.name: path.stat().st_size for path in staging.iterdir()} == {S1: CAP, S3: 0}

    def test_one_good_slice_is_taken_from_among_hostile_names(self, place: Place, staging: Path) -> None:
        for name in STRANGE_NAMES:
            place.plant(f"{A}/{name}", b"hostile")
        place.plant(f"{A}/{S1}", b"good")
        place.plant("secret", b"not yours")
        asked = [*STRANGE_NAMES, "../secret", f"../{A}/{S1}", "..", ".", "", "secret", S1]
        assert place.transport().fetch(A, [Wanted(name, CAP) for name in asked], staging) == (S1,)
        assert {path.name: path.read_bytes() for path in staging.iterdir()} == {S1: b"good"}

    @pytest.mark.parametrize("origin", ["..", ".", "", "x", f"{A}/../{A}", f"../{A}", A.upper(), A + "\n"])
    def test_a_name_that_is_no_origin_has_no_files(self, place: Place, staging: Path, origin: str) -> None:
        place.plant(f"{A}/{HEAD_FILE}", b"a")
        place.plant(HEAD_FILE, b"a")
        place.plant(f"x/{HEAD_FILE}", b"a")
        assert place.transport().fetch(origin, [Wanted(HEAD_FILE, CAP)], staging) == ()

    def test_symlinks_are_never_followed(self, place: Place, staging: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_bytes(b"not yours")
        place.plant(f"{A}/{S1}", b"1")
        place.plant_link(f"{A}/{HEAD_FILE}", S1)
        place.plant_link(f"{A}/{S2}", str(tmp_path / "secret"))
        place.plant_link(B, A)
        assert place.transport().origins() == Listing((), 3)
        wanted = [Wanted(HEAD_FILE, CAP), Wanted(S1, CAP), Wanted(S2, CAP)]
        assert place.transport().fetch(A, wanted, staging) == (S1,)
        assert place.transport().fetch(B, wanted, staging) == ()
        assert [path.name for path in staging.iterdir()] == [S1]

    def test_fetching_again_brings_what_is_there_now(self, place: Place, staging: Path) -> None:
        for content in (b"a long first head", b"second"):
            place.plant(f"{A}/{HEAD_FILE}", content)
            assert place.transport().fetch(A, [Wanted(HEAD_FILE, CAP)], staging) == (HEAD_FILE,)
            assert (staging / HEAD_FILE).read_bytes() == content

    # --- blobs ---

    def test_blobs_are_part_of_a_feed(self, place: Place) -> None:
        place.plant(f"{A}/{HEAD_FILE}", b"a")
        place.plant(f"{A}/{BLOB}", b"blob")
        place.plant(f"{A}/blobs/ab/strange", b"looked at by name only")
        assert place.transport().origins() == Listing((A,), 0)

    def test_a_file_or_a_link_in_the_place_of_the_blobs_is_ignored_and_counted(
        self, place: Place, staging: Path
    ) -> None:
        place.plant(f"{A}/{HEAD_FILE}", b"a")
        place.plant(f"{A}/blobs", b"no folder")
        place.plant(f"{B}/{HEAD_FILE}", b"b")
        place.plant(f"{B}/elsewhere/ab/ab{'0' * 62}.zst", b"not yours")
        place.plant_link(f"{B}/blobs", "elsewhere")
        assert place.transport().origins() == Listing((A, B), 3)
        for origin in (A, B):
            assert place.transport().fetch(origin, [Wanted(BLOB, CAP)], staging) == ()
        assert list(staging.iterdir()) == []

    def test_a_blob_is_brought_under_its_whole_name(self, place: Place, staging: Path) -> None:
        content = {BLOB: b"x" * CAP, BESIDE: b"x" * (CAP + 1), OTHER: b""}
        for name, data in content.items():
            place.plant(f"{A}/{name}", data)
        place.plant(f"{A}/{S1}", b"1")
        wanted = [Wanted(name, CAP) for name in (BLOB, BESIDE, OTHER, S1)]
        assert place.transport().fetch(A, wanted, staging) == (BLOB, OTHER, S1)
        assert files_in(staging) == {BLOB: b"x" * CAP, OTHER: b"", S1: b"1"}
        modes = {stat.S_IMODE(path.stat().st_mode) for path in staging.rglob("*")}
        assert modes == {0o700, 0o600}

    def test_a_link_is_no_blob_and_leads_to_none(self, place: Place, staging: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_bytes(b"not yours")
        place.plant(f"{A}/{BLOB}", b"good")
        place.plant_link(f"{A}/{BESIDE}", str(tmp_path / "secret"))
        place.plant_link(f"{A}/blobs/cd", "ab")
        elsewhere = BLOB.replace("/ab/", "/cd/")
        assert place.transport().fetch(A, [Wanted(n, CAP) for n in (BESIDE, OTHER, elsewhere, BLOB)], staging) == (
            BLOB,
        )
        assert files_in(staging) == {BLOB: b"good"}

    def test_what_is_no_name_of_a_blob_is_not_brought(self, place: Place, staging: Path) -> None:
        place.plant(f"{A}/{BLOB}", b"good")
        place.plant(f"{A}/blobs/ab/cd{'0' * 62}.zst", b"in the wrong folder")
        asked = [Wanted(name, CAP) for name in [*NO_BLOBS, BLOB]]
        assert place.transport().fetch(A, asked, staging) == (BLOB,)
        assert files_in(staging) == {BLOB: b"good"}

    def test_blobs_are_published_before_the_rest_and_not_again(
        self, place: Place, staging: Path, tmp_path: Path
    ) -> None:
        feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1", blob=b"a blob", other=b"another")
        place.transport().publish(A, feed, [BLOB, OTHER, S1, HEAD_FILE], frozenset())
        before = place.stamps()
        assert place.transport().origins() == Listing((A,), 0)
        own_feed(feed, head=b"2", s2=b"2", beside=b"a third")
        place.transport().publish(A, feed, [BLOB, BESIDE, OTHER, S1, S2, HEAD_FILE], frozenset())
        after = place.stamps()
        changed = {path for path in after if after[path] != before.get(path)}
        assert changed == {f"{A}/{name}" for name in (HEAD_FILE, S2, BESIDE)}
        wanted = [Wanted(name, CAP) for name in (HEAD_FILE, S1, S2, BLOB, BESIDE, OTHER)]
        assert len(place.transport().fetch(A, wanted, staging)) == len(wanted)
        assert files_in(staging) == files_in(feed)

    def test_blobs_that_were_lost_or_torn_there_are_missing(self, place: Place, staging: Path, tmp_path: Path) -> None:
        feed = own_feed(tmp_path / "feed", head=b"1", blob=b"blob", beside=b"beside", other=b"other")
        names = [BLOB, BESIDE, OTHER, HEAD_FILE]
        assert place.transport().missing(A, feed, names) == tuple(names)
        place.transport().publish(A, feed, [BLOB, HEAD_FILE], frozenset())
        place.plant(f"{A}/{OTHER}", b"oth")
        way = place.transport()
        assert way.missing(A, feed, names) == (BESIDE, OTHER)
        way.publish(A, feed, names, frozenset())
        assert place.transport().missing(A, feed, names) == ()
        assert place.content() == {f"{A}/{name}": data for name, data in files_in(feed).items()}

    def test_a_publish_that_breaks_off_shows_blobs_before_slices(self, place: Place, tmp_path: Path) -> None:
        """[F4]"""
        feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1", blob=b"blob")
        with pytest.raises(SourceUnavailable):
            place.transport(fails_after=1).publish(A, feed, [BLOB, S1, HEAD_FILE], frozenset())
        assert place.content().keys() <= {f"{A}/{BLOB}"}
        assert place.transport().origins().origins == ()

    def test_a_blob_that_another_program_tore_is_sent_again(self, place: Place, tmp_path: Path) -> None:
        feed = own_feed(tmp_path / "feed", head=b"1", blob=b"whole", beside=b"2" * len(HEAD_FILE))
        place.plant(f"{A}/{BLOB}", b"who")
        place.plant_link(f"{A}/{BESIDE}", HEAD_FILE)
        place.transport().publish(A, feed, [BLOB, BESIDE, HEAD_FILE], frozenset())
        assert place.content() == {f"{A}/{name}": data for name, data in files_in(feed).items()}

    def test_blobs_that_nobody_lists_go_and_the_others_stay(self, place: Place, staging: Path, tmp_path: Path) -> None:
        feed = own_feed(tmp_path / "feed", head=b"1", blob=b"1", beside=b"2", other=b"3")
        place.transport().publish(A, feed, [BLOB, BESIDE, OTHER, HEAD_FILE], frozenset())
        place.plant(f"{A}/blobs/ab/notes", b"mine")
        own_feed(feed, head=b"2")
        place.transport().publish(A, feed, [BESIDE, HEAD_FILE], frozenset([OTHER]))
        expected = {HEAD_FILE: b"2", BESIDE: b"2", OTHER: b"3", "blobs/ab/notes": b"mine"}
        assert place.content() == {f"{A}/{name}": data for name, data in expected.items()}
        had = place.transport().fetch(A, [Wanted(name, CAP) for name in (BLOB, BESIDE, OTHER)], staging)
        assert had == (BESIDE, OTHER)

    # --- publishing ---

    def test_what_was_published_is_there_for_all(self, place: Place, staging: Path, tmp_path: Path) -> None:
        feed = own_feed(tmp_path / "feed", head=b"head", s1=b"1", s2=b"2")
        place.transport().publish(A, feed, [S1, S2, HEAD_FILE], frozenset())
        assert place.transport().origins() == Listing((A,), 0)
        wanted = [Wanted(HEAD_FILE, CAP), Wanted(S1, CAP), Wanted(S2, CAP)]
        assert place.transport().fetch(A, wanted, staging) == (HEAD_FILE, S1, S2)
        assert place.content() == {f"{A}/{HEAD_FILE}": b"head", f"{A}/{S1}": b"1", f"{A}/{S2}": b"2"}

    def test_only_what_is_named_is_published(self, place: Place, tmp_path: Path) -> None:
        feed = own_feed(tmp_path / "feed", head=b"head", s1=b"1", s2=b"2")
        (feed / ".tmp-1-head.json").write_bytes(b"half")
        place.transport().publish(A, feed, [S2, HEAD_FILE], frozenset())
        assert place.content() == {f"{A}/{HEAD_FILE}": b"head", f"{A}/{S2}": b"2"}

    def test_publishing_again_sends_the_new_slice_and_the_head_only(self, place: Place, tmp_path: Path) -> None:
        feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1", s2=b"2")
        place.transport().publish(A, feed, [S1, S2, HEAD_FILE], frozenset())
        before = place.stamps()
        own_feed(feed, head=b"2", s3=b"3")
        place.transport().publish(A, feed, [S1, S2, S3, HEAD_FILE], frozenset())
        after = place.stamps()
        assert {path for path in after if after[path] != before.get(path)} == {f"{A}/{HEAD_FILE}", f"{A}/{S3}"}
        assert place.content()[f"{A}/{HEAD_FILE}"] == b"2"

    def test_a_slice_that_another_program_tore_is_sent_again(self, place: Place, tmp_path: Path) -> None:
        as_long_as_the_link = b"2" * len(S1)
        feed = own_feed(tmp_path / "feed", head=b"head", s1=b"whole", s2=as_long_as_the_link)
        place.plant(f"{A}/{S1}", b"who")
        place.plant_link(f"{A}/{S2}", S1)
        place.transport().publish(A, feed, [S1, S2, HEAD_FILE], frozenset())
        assert place.content() == {
            f"{A}/{HEAD_FILE}": b"head",
            f"{A}/{S1}": b"whole",
            f"{A}/{S2}": as_long_as_the_link,
        }

    @pytest.mark.parametrize("visible", range(3))
    def test_a_publish_that_breaks_off_leaves_the_former_head_with_all_its_slices(
        self, place: Place, tmp_path: Path, visible: int
    ) -> None:
        former = {f"{A}/{HEAD_FILE}": b"1", f"{A}/{S1}": b"1"}
        feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1")
        place.transport().publish(A, feed, [S1, HEAD_FILE], frozenset())
        own_feed(feed, head=b"2", s2=b"2", s3=b"3")
        names = [HEAD_FILE, S2, S3]  # the head comes last, wherever it is named
        with pytest.raises(SourceUnavailable):
            place.transport(fails_after=visible).publish(A, feed, names, frozenset())
        new = {f"{A}/{name}": content for name, content in [(S2, b"2"), (S3, b"3")][:visible]}
        assert place.content() == former | new
        assert place.transport().origins() == Listing((A,), 0)

        place.transport().publish(A, feed, names, frozenset())
        assert place.content() == {f"{A}/{HEAD_FILE}": b"2", f"{A}/{S2}": b"2", f"{A}/{S3}": b"3"}

    @pytest.mark.parametrize("visible", range(2))
    def test_a_first_publish_that_breaks_off_shows_no_feed(self, place: Place, tmp_path: Path, visible: int) -> None:
        feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1")
        with pytest.raises(SourceUnavailable):
            place.transport(fails_after=visible).publish(A, feed, [S1, HEAD_FILE], frozenset())
        assert place.transport().origins().origins == ()
        place.transport().publish(A, feed, [S1, HEAD_FILE], frozenset())
        assert place.transport().origins() == Listing((A,), 0)

    def test_what_left_the_head_goes_and_what_is_to_be_kept_stays(self, place: Place, tmp_path: Path) -> None:
        feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1", s2=b"2", s3=b"3")
        place.transport().publish(A, feed, [S1, S2, S3, HEAD_FILE], frozenset())
        own_feed(feed, head=b"2", merged=b"12")
        place.transport().publish(A, feed, [MERGED, HEAD_FILE], frozenset([S2, "no such file"]))
        assert sorted(place.content()) == sorted(f"{A}/{name}" for name in [HEAD_FILE, MERGED, S2])

    def test_a_feed_of_which_something_was_taken_back_is_there_without_it(self, place: Place, tmp_path: Path) -> None:
        feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1", s2=b"2", s3=b"3")
        place.transport().publish(A, feed, [S1, S2, S3, HEAD_FILE], frozenset())
        place.plant(f"{B}/{HEAD_FILE}", b"of another")
        own_feed(feed, head=b"2")
        assert place.transport().publish_anew(A, feed, [S1, HEAD_FILE], frozenset([S3])) is True
        assert place.content() == {
            f"{A}/{HEAD_FILE}": b"2",
            f"{A}/{S1}": b"1",
            f"{A}/{S3}": b"3",
            f"{B}/{HEAD_FILE}": b"of another",
        }
        assert place.transport().missing(A, feed, [S1, HEAD_FILE]) == ()

    def test_nothing_but_feed_files_is_removed(self, place: Place, tmp_path: Path) -> None:
        strange = {f"{A}/notes.txt": b"mine", f"{A}/blobs/ab/cd": b"blob", "README.md": b"ours"}
        for path, content in strange.items():
            place.plant(path, content)
        feed = own_feed(tmp_path / "feed", head=b"1")
        place.transport().publish(A, feed, [HEAD_FILE], frozenset())
        assert place.content() == strange | {f"{A}/{HEAD_FILE}": b"1"}

    # --- what was lost there ---

    def test_nothing_is_missing_of_what_was_published(self, place: Place, tmp_path: Path) -> None:
        feed = own_feed(tmp_path / "feed", head=b"head", s1=b"1", s2=b"2")
        names = [S1, S2, HEAD_FILE]
        assert place.transport().missing(A, feed, names) == (S1, S2, HEAD_FILE)
        place.transport().publish(A, feed, names, frozenset())
        before = place.stamps()
        assert place.transport().missing(A, feed, names) == ()
        assert place.transport().missing(A, feed, [S1, HEAD_FILE]) == ()
        assert place.transport().missing(B, feed, names) == tuple(names)
        assert place.stamps() == before

    def test_what_was_lost_there_is_missing_until_it_is_published_again(self, place: Place, tmp_path: Path) -> None:
        feed = own_feed(tmp_path / "feed", head=b"head", s1=b"1", s2=b"2", s3=b"3")
        names = [S1, S2, S3, HEAD_FILE]
        place.transport().publish(A, feed, names, frozenset())
        place.transport().publish(A, feed, [S2, HEAD_FILE], frozenset())  # the others go
        way = place.transport()
        assert way.missing(A, feed, names) == (S1, S3)
        way.publish(A, feed, names, frozenset())
        assert place.transport().missing(A, feed, names) == ()
        assert place.content() == {f"{A}/{path.name}": path.read_bytes() for path in feed.iterdir()}

    def test_what_was_torn_there_is_missing_too(self, place: Place, tmp_path: Path) -> None:
        feed = own_feed(tmp_path / "feed", head=b"head", s1=b"whole", s2=b"as long as a link that leads there")
        names = [S1, S2, HEAD_FILE]
        place.transport().publish(A, feed, names, frozenset())
        place.plant(f"{A}/{S1}", b"who")
        way = place.transport()
        assert way.missing(A, feed, names) == (S1,)
        way.publish(A, feed, names, frozenset())
        assert place.transport().missing(A, feed, names) == ()

    def test_a_place_that_vanished_is_not_one_that_misses_all(self, place: Place, tmp_path: Path) -> None:
        feed = own_feed(tmp_path / "feed", head=b"head")
        place.transport().publish(A, feed, [HEAD_FILE], frozenset())
        place.vanish()
        with pytest.raises(SourceUnavailable):
            place.transport().missing(A, feed, [HEAD_FILE])

    def test_two_origins_side_by_side_do_not_disturb_each_other(
        self, place: Place, staging: Path, tmp_path: Path
    ) -> None:
        one = own_feed(tmp_path / "one", head=b"one", s1=b"1")
        two = own_feed(tmp_path / "two", head=b"two", s2=b"2")
        place.transport().publish(A, one, [S1, HEAD_FILE], frozenset())
        place.transport().publish(B, two, [S2, HEAD_FILE], frozenset())
        before = place.stamps()
        own_feed(one, head=b"one again")
        place.transport().publish(A, one, [HEAD_FILE], frozenset())
        assert {path: stamp for path, stamp in place.stamps().items() if path.startswith(B)} == {
            path: stamp for path, stamp in before.items() if path.startswith(B)
        }
        assert place.transport().origins() == Listing((A, B), 0)
        assert place.transport().fetch(B, [Wanted(HEAD_FILE, CAP), Wanted(S2, CAP)], staging) == (HEAD_FILE, S2)
        assert (staging / HEAD_FILE).read_bytes() == b"two"

    def test_a_feed_that_lacks_a_file_of_its_own_is_not_published(self, place: Place, tmp_path: Path) -> None:
        feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1")
        with pytest.raises(DamagedStore):
            place.transport().publish(A, feed, [S1, S2, HEAD_FILE], frozenset())
        assert place.transport().origins().origins == ()

    @pytest.mark.parametrize(
        ("origin", "names"),
        [
            (A, [S1]),
            (A, []),
            (A, ["../x", HEAD_FILE]),
            (A, ["x", HEAD_FILE]),
            ("..", [HEAD_FILE]),
            (A.upper(), [HEAD_FILE]),
        ],
    )
    def test_what_is_no_feed_is_not_published(
        self, place: Place, tmp_path: Path, origin: str, names: list[str]
    ) -> None:
        feed = own_feed(tmp_path / "feed", head=b"1", s1=b"1")
        (tmp_path / "x").write_bytes(b"x")
        (feed / "x").write_bytes(b"x")
        with pytest.raises(ValueError, match="no feed to publish"):
            place.transport().publish(origin, feed, names, frozenset())
        assert place.content() == {}


# --- the double ------------------------------------------------------------------------------------------------------


class PlaceInMemory:
    """Reaches into a MemoryPlace."""

    def __init__(self) -> None:
        self._place = MemoryPlace()

    def transport(self, *, fails_after: int | None = None) -> Transport:
        return MemoryTransport(self._place, fails_after=fails_after)

    def plant(self, path: str, content: bytes) -> None:
        self._place.files[path] = content

    def plant_link(self, path: str, target: str) -> None:
        self._place.files[path] = Link(target)

    def vanish(self) -> None:
        self._place.reachable = False

    def content(self) -> dict[str, bytes]:
        return {path: content for path, content in self._place.files.items() if isinstance(content, bytes)}

    def stamps(self) -> dict[str, object]:
        return {path: self._place.written.count(path) for path in self.content()}


class TestMemory(TransportConformance):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return PlaceInMemory()


# --- directory -------------------------------------------------------------------------------------------------------


class FullDirectory(DirectoryTransport):
    """A directory on a disk that is full when so many files were made visible."""

    def __init__(self, path: Path, fails_after: int) -> None:
        super().__init__(path, Disk())
        self._left = fails_after

    def _write(self, descriptor: int, data: bytes) -> None:
        if self._left == 0:
            super()._write(descriptor, data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        self._left -= 1
        super()._write(descriptor, data)


class Bus:
    """A folder that many stores share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def transport(self, *, fails_after: int | None = None) -> Transport:
        return DirectoryTransport(self.path, Disk()) if fails_after is None else FullDirectory(self.path, fails_after)

    def plant(self, path: str, content: bytes) -> None:
        (self.path / path).parent.mkdir(parents=True, exist_ok=True)
        (self.path / path).write_bytes(content)

    def plant_link(self, path: str, target: str) -> None:
        (self.path / path).parent.mkdir(parents=True, exist_ok=True)
        (self.path / path).symlink_to(target)

    def vanish(self) -> None:
        self.path.rename(self.path.with_name("elsewhere"))

    def content(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.path)): path.read_bytes() for path in self._files()}

    def stamps(self) -> dict[str, object]:
        found = {str(path.relative_to(self.path)): path.stat() for path in self._files()}
        return {path: (status.st_ino, status.st_mtime_ns) for path, status in found.items()}

    def _files(self) -> list[Path]:
        return [path for path in self.path.rglob("*") if path.is_file() and not path.is_symlink()]


class TestDirectory(TransportConformance):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return Bus(tmp_path / "bus")
