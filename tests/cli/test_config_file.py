"""config.toml on the disk: missing, unreadable, changed whole or not at all."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from eventsync import config, config_editing
from eventsync.errors import ConfigError
from journal import Disk, DiskFailed


class FullDisk(Disk):
    """A disk on which nothing more can be written."""

    def _write(self, descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")


def add(name: str) -> config.Config:
    return config_editing.change(
        Disk(), Path("config.toml").absolute(), lambda text: config_editing.add_remote(text, name, "/bus")
    )


def test_a_missing_file_is_all_defaults() -> None:
    assert config.read(Disk(), Path("config.toml")) == config.Config()


def test_a_change_makes_the_file_and_keeps_it_private() -> None:
    assert add("bus").remotes["bus"].url == "/bus"
    path = Path("config.toml")
    assert config.read(Disk(), path).remotes["bus"].url == "/bus"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"\xff", b"= nonsense"])
def test_what_cannot_be_read_is_neither_used_nor_changed(content: bytes) -> None:
    path = Path("config.toml")
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        config.read(Disk(), path)
    assert caught.value.path == "config.toml"
    with pytest.raises(ConfigError):
        add("bus")
    assert path.read_bytes() == content


def test_a_folder_in_its_place_is_an_error_that_names_it() -> None:
    Path("config.toml").mkdir()
    with pytest.raises(ConfigError) as caught:
        config.read(Disk(), Path("config.toml"))
    assert caught.value.path == "config.toml"


def test_a_change_that_would_not_be_valid_leaves_the_file() -> None:
    add("bus")
    before = Path("config.toml").read_bytes()
    with pytest.raises(ConfigError):
        config_editing.change(Disk(), Path("config.toml").absolute(), lambda text: "typo = 1\n" + text)
    assert Path("config.toml").read_bytes() == before


def test_a_full_disk_leaves_the_file() -> None:
    add("bus")
    before = Path("config.toml").read_bytes()
    with pytest.raises(DiskFailed):
        config_editing.change(
            FullDisk(), Path("config.toml").absolute(), lambda text: config_editing.add_remote(text, "b", "/b")
        )
    assert Path("config.toml").read_bytes() == before
    assert sorted(path.name for path in Path().iterdir()) == ["config.toml"]
