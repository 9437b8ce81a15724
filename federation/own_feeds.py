"""Own feeds: what this store published, under the origin in force and under those it had before [I2] [T1].

They alone know what was shown and what was withheld. A former origin is ours up to the seq at which it was left;
another copy of the store may go on under it, and that is as foreign as any.
"""

from __future__ import annotations

from federation.errors import DamagedFeed
from federation.folder import FeedFolder
from journal import Store


class OwnFeeds:
    """The feeds of one store, by origin."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._feeds: dict[str, FeedFolder] = {}

    @property
    def origins(self) -> list[str]:
        """The origin in force, and those before."""
        return [self._store.origin, *(entry.origin for entry in self._store.previous)]

    @property
    def identity(self) -> str:
        """All that says what is ours, as one text: caches that depend on it are begun anew when it changes."""
        return " ".join([*(f"{entry.origin}@{entry.last_seq}" for entry in self._store.previous), self._store.origin])

    def feed(self, origin: str) -> FeedFolder:
        """The feed under one of our origins."""
        if origin not in self._feeds:
            self._feeds[origin] = FeedFolder(self._store.disk, self._store.folder / "feed" / origin)
        return self._feeds[origin]

    def passed(self) -> int:
        """Up to which seq of ours a publish under a former origin went; 0 when there was none."""
        heads = [(self.feed(entry.origin).head(), entry.last_seq) for entry in self._store.previous]
        return max((min(head.last_seq, left_at) for head, left_at in heads if head is not None), default=0)

    def left_at(self, origin: str) -> int:
        """Up to which seq a former origin is ours; 0 for any other."""
        return max((entry.last_seq for entry in self._store.previous if entry.origin == origin), default=0)

    def owner(self, seq: int) -> str:
        """The origin of ours that a seq belongs to."""
        return next((entry.origin for entry in self._store.previous if seq <= entry.last_seq), self._store.origin)

    def has_line(self, origin: str, seq: int) -> bool:
        """Whether the feed under a former origin shows a record; not when it cannot be read: `verify` tells that."""
        try:
            return self.feed(origin).find(seq) is not None
        except DamagedFeed:
            return False
