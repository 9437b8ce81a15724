"""Errors of sharing, as one tree. What foreigners do wrong is a `Refusal` (a value); these are raised.

FederationError
├── UnknownRemote         no remote of that name
├── InvalidUrl            not a form this program allows, or not safe
├── SourceUnavailable     a place cannot be reached, vanished, or a transfer is incomplete: later again
│   └── PlaceMissing      nothing stands there, and the folder around it does: a first push makes it
├── RemoteRefused         the place refused us (authentication)
├── RemoteReadOnly        the place can be pulled from, not pushed to
├── RepositoryUnsupported the place is of a kind or version that this program does not read
├── ProgramUnusable       a program of this machine that a transport needs is missing or too old
├── ForeignDataRefused    the remote holds what must not be overwritten or believed [F5]
│   └── OtherCopyPublished    another copy of this store has published there [R3]
├── DecisionNeeded        a person has to decide first
│   ├── ConflictUndecided a conflict, and nobody said which side is taken [K3]
│   ├── ForkUndecided     an origin signed two histories, and nobody said which is believed [F5]
│   ├── UndoStopped       something was built on what would be taken back, or it cannot be read [K5]
│   ├── CandidateMoved    what was looked at is not what is there now [K5]
│   ├── SecretFound       a record looks as if it held a secret [F1]
│   └── PersonalFound     a record names a person or a machine, and a setting says that none may [F1]
├── NoProject             a store of another program that does not say who it is
├── NoSuchCandidate       no candidate with that id
├── NoSuchHead            no head of an origin that is kept as evidence begins so
├── BlobUnreadable        a payload that stands beside a feed is missing or wrong: one entity's, no more [J13]
└── DamagedFeed           our own feed or a mirror is not what it must be
"""

from __future__ import annotations

from journal import LocatedError


class FederationError(LocatedError):
    """Base of all errors of sharing."""


class UnknownRemote(FederationError):
    """No remote of that name is configured; nothing was done."""


class InvalidUrl(FederationError):
    """A URL that no transport may see; nothing was done."""


class SourceUnavailable(FederationError):
    """A place cannot be reached or is incomplete now; nothing was changed, a later try may work."""


class PlaceMissing(SourceUnavailable):
    """There is no folder of that name yet, or no more, in one that is there; nothing was changed."""


class RemoteRefused(FederationError):
    """The place asked for credentials and did not take ours; nothing was changed."""


class RemoteReadOnly(FederationError):
    """The place can only be pulled from; nothing was changed."""


class RepositoryUnsupported(FederationError):
    """The place is of a kind or version that this program neither reads nor writes; nothing was changed."""


class ProgramUnusable(FederationError):
    """A program of this machine that a transport needs is missing or too old; nothing was done."""


class NoProject(FederationError):
    """A `.brainclaw` folder that is missing, or does not say which project it is; nothing was done."""


class ForeignDataRefused(FederationError):
    """The remote holds data that must not be overwritten or believed; it is untouched."""


class OtherCopyPublished(ForeignDataRefused):
    """The remote holds a feed of this store that this copy of it did not publish; it is untouched."""


class DecisionNeeded(FederationError):
    """A person has to decide; nothing was changed."""


class ConflictUndecided(DecisionNeeded):
    """A candidate conflicts with what is here, and nobody said which of the two is taken; nothing was changed."""


class ForkUndecided(DecisionNeeded):
    """An origin signed two histories that contradict each other; nothing was changed."""


class UndoStopped(DecisionNeeded):
    """The last decision cannot be taken back: an entity was changed since, or cannot be read; nothing was changed."""


class CandidateMoved(DecisionNeeded):
    """A candidate, or the entity it is about, is another than the one that was looked at; nothing was changed."""


class SecretFound(DecisionNeeded):
    """A record that would be published looks as if it held a secret; nothing was published."""


class PersonalFound(DecisionNeeded):
    """A record that would be published names a person's folder or this machine, and may not; nothing was published."""


class NoSuchCandidate(FederationError):
    """No candidate with that id; nothing was changed."""


class NoSuchHead(FederationError):
    """No head that is kept as evidence is the one that is meant; nothing was changed."""


class DamagedFeed(FederationError):
    """Our own feed or a mirror on this disk is not what it must be; it is left as found."""


class BlobUnreadable(FederationError):
    """A payload that stands beside a feed on this disk is missing or another; all else of the feed can be read."""
