"""Files that a user asked for: links, devices, pipes and descriptors stay what they are."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.output_file import check_file, write_file

WRITE = "import sys; from pathlib import Path; from harness.output_file import write_file; "


def writer(output: str, content: str = "new") -> list[str]:
    """Return the command that writes *content* to *output*, between what it prints itself."""
    code = f"print('before', flush=True); write_file(Path({output!r}), {content.encode()!r}); print('after')"
    return [sys.executable, "-c", WRITE + code]


def test_a_link_stays_and_where_it_leads_is_written() -> None:
    Path("folder").mkdir()
    Path("link").symlink_to("folder/file")
    check_file(Path("link"))
    write_file(Path("link"), b"new")

    assert b"new" == Path("folder/file").read_bytes()
    assert Path("link").is_symlink()
    assert ["file"] == [file.name for file in Path("folder").iterdir()]


def test_a_link_to_itself_is_refused() -> None:
    Path("link").symlink_to("link")

    for refused in (check_file, lambda output: write_file(output, b"")):
        with pytest.raises(HarnessError, match="cannot write 'link': Too many levels of symbolic links"):
            refused(Path("link"))


@pytest.mark.parametrize("output", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
def test_stdout_that_is_a_file_is_written_on_and_not_replaced(output: str) -> None:
    Path("link").symlink_to("/dev/stdout")
    Path("shown").write_text("old\n")
    before = Path("shown").stat().st_ino
    with Path("shown").open("a") as shown:
        subprocess.run(writer(output, "new\n"), stdout=shown, check=True)

    assert "old\nbefore\nnew\nafter\n" == Path("shown").read_text()
    assert before == Path("shown").stat().st_ino
    assert {"link", "shown"} == {file.name for file in Path().iterdir()}


def test_stderr_can_be_written_to() -> None:
    done = subprocess.run(writer("/dev/stderr"), capture_output=True, text=True, check=True)

    assert ("before\nafter\n", "new") == (done.stdout, done.stderr)


def test_descriptor_that_cannot_be_written_to_is_refused_before() -> None:
    Path("input").touch()
    with Path("input").open() as file, pytest.raises(HarnessError, match="it is open for reading only"):
        check_file(Path(f"/dev/fd/{file.fileno()}"))


def test_full_device_is_told_in_words() -> None:
    check_file(Path("/dev/full"))
    with pytest.raises(HarnessError, match="cannot write '/dev/full': No space left on device; choose another"):
        write_file(Path("/dev/full"), b"new")

    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_pipe_that_nobody_reads_is_not_waited_for() -> None:
    os.mkfifo("pipe")
    check_file(Path("pipe"))
    with pytest.raises(HarnessError, match="cannot write 'pipe': nobody reads from it"):
        write_file(Path("pipe"), b"new")


def test_pipe_gets_all_that_is_written() -> None:
    os.mkfifo("pipe")
    content = b"x" * 1_000_000  # more than a pipe holds
    keep = os.open("pipe", os.O_RDWR)  # so that neither end is missing while the other comes
    with Path("read").open("wb") as read, subprocess.Popen(["head", "-c", "1000000", "pipe"], stdout=read):
        check_file(Path("pipe"))
        write_file(Path("pipe"), content)
    os.close(keep)

    assert content == Path("read").read_bytes()


def test_file_that_cannot_be_written_leaves_nothing() -> None:
    Path("folder").mkdir()
    with pytest.raises(HarnessError, match="cannot write 'folder': it is a folder"):
        check_file(Path("folder"))
    with pytest.raises(HarnessError, match="cannot write 'missing/file': No such file or directory"):
        check_file(Path("missing/file"))

    assert ["folder"] == [file.name for file in Path().iterdir()]
