"""The demo: a story for visitors, played on real files, which asks nothing of the machine and leaves nothing on it."""

from __future__ import annotations

from pathlib import Path

from tests.cli.answers import Program


def test_the_demo_shares_over_a_folder_and_a_repository_without_git_and_leaves_nothing(
    program: Program, tmp_path: Path
) -> None:
    for name in ("no-programs", "temporary", "home", "data"):
        (tmp_path / name).mkdir()
    surroundings = {
        "PATH": str(tmp_path / "no-programs"),
        "TMPDIR": str(tmp_path / "temporary"),
        "HOME": str(tmp_path / "home"),
        "EVENTSYNC_DATA_DIR": str(tmp_path / "data"),
    }
    told = program("demo", env=surroundings)
    assert (told.code, told.err) == (0, "")
    for line in (
        "laptop: push to bus  pushed",
        "conflict  plan/pln_1",
        "laptop: push to hub  pushed",
        "hub: refs/eventsync/es1",
        "new      trap/trp_1  server  Late clock",
    ):
        assert line in told.out
    assert max(map(len, told.out.splitlines())) <= 120
    assert [list((tmp_path / name).iterdir()) for name in ("temporary", "home", "data")] == [[], [], []]
    assert not Path(".eventsync").exists()
