"""Which paths may hang: by the kernel's table and by symlinks, the last of which nobody reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from federation.transports.mounts import leaves_local, may_hang, read_mounts

TABLE = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /mnt/nas rw,relatime shared:9 - nfs4 nas:/export rw,vers=4.2
24 22 0:22 / /srv/ann/my\\040phone rw - fuse.sshfs phone: rw
25 22 0:23 / /tmp rw - tmpfs tmpfs rw
26 23 8:2 / /mnt/nas/disk rw - ext4 /dev/sdb1 rw
27 22 0:24 / /mnt/auto rw - autofs systemd-1 rw
28 27 8:3 / /mnt/auto rw - vfat /dev/sdc1 rw
30 22 0:5 / /dev rw - devtmpfs udev rw
31 30 0:26 / /dev/shm rw - tmpfs tmpfs rw
29 22 0:25 / /mnt/new rw - somethingfs x rw
"""
LINKS = {
    "/srv/ann/bus": "/mnt/nas/bus",
    "/srv/ann/stick": "../../mnt/auto",
    "/srv/ann/near": "docs/../bus",
    "/srv/ann/up": "..",
    "/tmp/round": "round",
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", False),
        ("/srv/ann/plain", False),
        ("/tmp/bus", False),
        ("/dev/shm/bus", False),
        ("/mnt/nas", True),
        ("/mnt/nas/bus", True),
        ("/mnt/nas/disk/bus", True),  # local, but the way to it is not
        ("/mnt/nasty", False),
        ("/srv/ann/my phone/bus", True),
        ("/mnt/auto/bus", False),  # the one on top counts
        ("/mnt/new/bus", True),  # a type nobody knows
        ("/srv/ann/bus/x", True),
        ("/srv/ann/stick/bus", False),
        ("/srv/ann/near", True),
        ("/srv/ann/up/ann/bus", True),
        ("/srv/ann/plain/../bus", True),
        ("/tmp/round/x", False),  # leads nowhere, and says so at once
    ],
)
def test_a_path_may_hang_when_it_leaves_what_is_local(path: str, expected: bool) -> None:
    asked: list[str] = []

    def link_at(place: str) -> str | None:
        asked.append(place)
        return LINKS.get(place)

    assert leaves_local(Path(path), read_mounts(TABLE), link_at) is expected
    assert not any(place.startswith(("/mnt/nas/", "/srv/ann/my phone")) for place in asked)


def test_all_may_hang_where_the_root_does_or_nothing_is_known() -> None:
    assert leaves_local(Path("/x"), {"/": "nfs"}, lambda _: None)
    assert leaves_local(Path("/x"), read_mounts(""), lambda _: None)


def test_what_the_kernel_provides_is_not_taken_for_a_disk() -> None:
    assert may_hang(Path("/proc/self"))
