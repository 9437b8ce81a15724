"""Exits: ONE table of what each error means to the caller: exit code, class in JSON, and the hint that helps.

Pure, and imports nothing heavy: rows are found by the name of the error's class, or of one it derives from. Codes are
an API (docs/cli.md); a hint names a command or a document, never something destructive to paste.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

DONE: Final = 0
BUG: Final = 1
USAGE: Final = 2
PARTLY: Final = 3
AUTHENTICATION: Final = 4
FOREIGN_REFUSED: Final = 5
NOT_HERE: Final = 10
LOCKED: Final = 11
DAMAGED: Final = 12
TOO_NEW: Final = 13
DISK: Final = 14
DECISION: Final = 22
UNAVAILABLE: Final = 75  # EX_TEMPFAIL of sysexits.h
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells count
TERMINATED: Final = 143  # 128 + SIGTERM

MEANINGS: Final[Mapping[int, str]] = MappingProxyType(
    {
        DONE: "done",
        BUG: "bug",
        USAGE: "usage",
        PARTLY: "partly done",
        AUTHENTICATION: "authentication",
        FOREIGN_REFUSED: "foreign data refused",
        NOT_HERE: "no store here, or unknown remote",
        LOCKED: "locked",
        DAMAGED: "damaged local data",
        TOO_NEW: "format too new",
        DISK: "local disk error",
        DECISION: "needs a decision",
        UNAVAILABLE: "unreachable or incomplete, retry later",
        INTERRUPTED: "interrupted",
        TERMINATED: "terminated",
    }
)

# When everything failed, each in its own way: the code that is told. What concerns this store comes first, then what
# only a person can settle; the further down, the likelier it is that waiting is enough.
GRAVITY: Final = (
    TERMINATED,
    INTERRUPTED,
    BUG,
    DISK,
    DAMAGED,
    TOO_NEW,
    FOREIGN_REFUSED,
    DECISION,
    AUTHENTICATION,
    NOT_HERE,
    USAGE,
    LOCKED,
    UNAVAILABLE,
)


class Exit(NamedTuple):
    """One row of the table."""

    code: int
    slug: str
    hint: str | None


_UNEXPECTED: Final = Exit(
    BUG, "bug", "this is a fault of eventsync: please report it with what the same command prints with -v"
)

TABLE: Final[Mapping[str, Exit]] = MappingProxyType(
    {
        # The local store.
        "NotAStore": Exit(NOT_HERE, "not_a_store", "`eventsync init` makes a store here; --store PATH names another"),
        "OnlyEntityFiles": Exit(
            NOT_HERE,
            "only_entity_files",
            "`eventsync init` makes a store of its own from them, as after a git clone; then pull from the other one",
        ),
        "StoreExists": Exit(USAGE, "store_exists", "`eventsync identity show` tells which store it is"),
        "StoreLocked": Exit(
            LOCKED,
            "store_locked",
            "the lock goes with the process that holds it: try again, or wait longer by EVENTSYNC_LOCK_TIMEOUT",
        ),
        "StoreCopied": Exit(
            DECISION,
            "store_copied",
            "`eventsync identity keep` if it was moved and no other copy is in use; `eventsync identity renew` if "
            "another one goes on; `eventsync identity show` tells what differs",
        ),
        "FormatTooNew": Exit(TOO_NEW, "format_too_new", "a newer eventsync reads it; nothing was changed"),
        "InvalidInput": Exit(USAGE, "invalid_input", "the limits are in docs/format.md"),
        "SchemaFailed": Exit(
            USAGE, "schema_failed", "`eventsync schema TYPE` prints it; without the key schema_version anything goes"
        ),
        "NoSuchEntity": Exit(
            USAGE, "no_such_entity", "`eventsync ls` lists what is there, `eventsync ls --deleted` also what was"
        ),
        "NoSuchRecord": Exit(USAGE, "no_such_record", "`eventsync log --limit 1` tells how far the log goes"),
        "EntityRedacted": Exit(
            USAGE,
            "entity_redacted",
            "`eventsync put` writes it anew, `eventsync log --entity` lists what is left",
        ),
        "DamagedStore": Exit(
            DAMAGED, "damaged_store", "`eventsync doctor` tells what is damaged and what helps, and changes nothing"
        ),
        "KeyMissing": Exit(
            DAMAGED,
            "key_missing",
            "reading, pulling and deciding go on; put the key back from a backup, or `eventsync identity renew` makes "
            "another one and a new identity",
        ),
        "LogShorterThanKnown": Exit(
            DAMAGED,
            "log_shorter_than_known",
            "records were lost, perhaps by a restore: keep the folder as it is and read docs/format.md [J11]",
        ),
        "CacheUnreadable": Exit(
            DAMAGED, "cache_unreadable", "the records are safe; `eventsync rebuild` makes the caches again"
        ),
        "CursorUnreadable": Exit(
            DAMAGED,
            "cursor_unreadable",
            "`eventsync unseen READER --since SEQ --ack` sets it anew, with 0 from the beginning; the records are safe",
        ),
        "DiskFailed": Exit(DISK, "disk_failed", "the log is as it was: see to free space and rights, then try again"),
        "StoreReadOnly": Exit(
            DISK, "store_read_only", "`eventsync verify` tells what the failed write left, once the disk works again"
        ),
        # Sharing.
        "UnknownRemote": Exit(
            NOT_HERE,
            "unknown_remote",
            "`eventsync remote add NAME PATH` adds one, `eventsync remote list` lists what is there",
        ),
        "InvalidUrl": Exit(USAGE, "invalid_url", "the forms are in docs/cli.md under `remote add`"),
        "RepositoryUnsupported": Exit(
            USAGE,
            "repository_unsupported",
            "nothing was changed there; another repository does: `git init --bare --object-format=sha1 PATH` makes one",
        ),
        "SourceUnavailable": Exit(
            UNAVAILABLE,
            "source_unavailable",
            "is the drive mounted, the network there? nothing was changed, try again later",
        ),
        "PlaceMissing": Exit(
            UNAVAILABLE,
            "place_missing",
            "is the drive mounted? a first push makes the folder where it alone is missing; nothing was changed",
        ),
        "RemoteRefused": Exit(
            AUTHENTICATION,
            "remote_refused",
            "the place asked for credentials and did not take ours; nothing was changed",
        ),
        "RemoteReadOnly": Exit(
            USAGE,
            "remote_read_only",
            "another store, one feed and a .brainclaw folder can be pulled from only; push to a folder of your own",
        ),
        "ProgramUnusable": Exit(
            USAGE,
            "program_unusable",
            "install it, or reach the place in another way: docs/transports.md; nothing was changed",
        ),
        "ForeignDataRefused": Exit(
            FOREIGN_REFUSED,
            "foreign_data_refused",
            "both sides are as they were; docs/format.md, `When something is wrong`, tells what this can mean",
        ),
        "OtherCopyPublished": Exit(
            FOREIGN_REFUSED,
            "other_copy_published",
            "both sides are as they were; `eventsync identity renew --at SEQ` gives this copy an identity of its own "
            "from that seq on, and what the other one wrote can then be pulled",
        ),
        "DecisionNeeded": Exit(DECISION, "decision_needed", "nothing was changed; the message says what is missing"),
        "ConflictUndecided": Exit(
            DECISION,
            "conflict_undecided",
            "`eventsync diff CND` shows both; `accept CND --merge` or `--edit` puts them together, `--theirs` takes "
            "theirs, `reject CND` keeps yours",
        ),
        "ForkUndecided": Exit(
            DECISION,
            "fork_undecided",
            "`eventsync origin show ORIGIN` shows both; `eventsync origin trust ORIGIN --keep` believes what you hold, "
            "`--take HEAD` the other, `eventsync origin block ORIGIN` neither",
        ),
        "UndoStopped": Exit(
            DECISION,
            "undo_stopped",
            "`eventsync log --entity TYPE/ID` tells what came after; `eventsync edit` goes on from there",
        ),
        "CandidateMoved": Exit(DECISION, "candidate_moved", "`eventsync diff CND` shows what it is now"),
        "SecretFound": Exit(
            DECISION,
            "secret_found",
            "nothing was published; change the secret first, then `eventsync redact SEQ --reason TEXT` takes it "
            "out of the record; `eventsync publish --help` if it is no secret",
        ),
        "PersonalFound": Exit(
            DECISION,
            "personal_found",
            '`[publish].home_paths = "warn"` only tells of it; `eventsync publish --help` if it may go out this once',
        ),
        "NoProject": Exit(USAGE, "no_project", "SRC is a .brainclaw folder, or the folder that one is in"),
        "NoSuchCandidate": Exit(USAGE, "no_such_candidate", "`eventsync inbox` lists the candidates"),
        "NoSuchHead": Exit(USAGE, "no_such_head", "`eventsync origin show ORIGIN` names the heads that are kept"),
        "BlobUnreadable": Exit(
            DAMAGED, "blob_unreadable", "`eventsync pull` asks for it again; everything else can be read and decided"
        ),
        "DamagedFeed": Exit(
            DAMAGED, "damaged_feed", "`eventsync doctor` tells what is damaged and what helps, and changes nothing"
        ),
        # The tool.
        "ConfigError": Exit(USAGE, "invalid_config", "the keys of config.toml are listed in docs/cli.md"),
        "RemoteExists": Exit(
            USAGE,
            "remote_exists",
            "`eventsync remote set-url NAME URL` changes where it is, `eventsync remote list` lists all",
        ),
        "UnknownOrigin": Exit(USAGE, "unknown_origin", "`eventsync origin list` lists the origins this store knows"),
        "InvalidArgument": Exit(USAGE, "usage", None),
        "InputUnreadable": Exit(USAGE, "input_unreadable", None),
        "NotOurFile": Exit(
            USAGE,
            "not_our_file",
            "`inspect` reads segments, slices, heads, checkpoints, payloads and the small files of a store",
        ),
        "LibraryMissing": Exit(
            USAGE, "library_missing", "`pip install 'eventsync[secrets]'`, or take the setting out of config.toml"
        ),
        "ScheduleFailed": Exit(
            USAGE, "schedule_failed", "`eventsync schedule` prints what there is to put in place, to do it by hand"
        ),
        "EditorFailed": Exit(USAGE, "editor_failed", "set EDITOR; `eventsync edit TYPE ID --set key=value` needs none"),
        "ChangedMeanwhile": Exit(DECISION, "changed_meanwhile", "`eventsync show` tells what it is now"),
        "OutputFailed": Exit(DISK, "output_failed", "what the command did is done; only its report is incomplete"),
        "ClickException": Exit(USAGE, "usage", None),
        "KeyboardInterrupt": Exit(INTERRUPTED, "interrupted", None),
        "Abort": Exit(INTERRUPTED, "interrupted", None),  # click's: Ctrl-C at a question
        "Terminated": Exit(TERMINATED, "terminated", None),
        # What the rooms below let through.
        "OSError": Exit(DISK, "disk_failed", "see to free space and rights, then try again"),
        "OperationalError": Exit(  # sqlite3: the cache cannot be opened or written
            DISK, "cache_failed", "the records are safe: see to free space and rights of the store's folder"
        ),
    }
)


def exit_of(error: BaseException) -> Exit:
    """The row of an error: that of its class or of the nearest one it derives from; a bug when there is none."""
    for kind in type(error).__mro__:
        row = TABLE.get(kind.__name__)
        if row is not None:
            return row
    return _UNEXPECTED


def combine(codes: Sequence[int]) -> int:
    """One exit code for several (remote, origin) results.

    All done is done; all failed alike is that code; failures beside successes are "partly"; failures of several kinds
    are the gravest of them by GRAVITY, and a code nobody knows is a bug. An interruption wins over everything.
    """
    different = set(codes) - {DONE}
    for interrupted in different & {INTERRUPTED, TERMINATED}:
        return interrupted
    if not different:
        return DONE
    if DONE in codes or PARTLY in different:
        return PARTLY
    if len(different) == 1:
        return different.pop()
    return min(different, key=lambda code: GRAVITY.index(code) if code in GRAVITY else GRAVITY.index(BUG))
