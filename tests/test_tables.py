"""How rows are laid out as a table."""

from __future__ import annotations

import pytest

from harness.tables import print_table

ROWS = [
    {"model": "resnet18d", "joules": 1.5, "note": None},
    {"model": "模型", "joules": 20000.0, "note": "x" * 1200},
]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What is printed off a terminal."""
    print_table(ROWS, ["model", "joules", "note"], title="Two")
    return capsys.readouterr().out.splitlines()


def test_numbers_are_to_the_right_and_words_to_the_left(lines: list[str]) -> None:
    assert ["Two", "model      joules  note", "resnet18d     1.5  -"] == lines[:3]


def test_wide_characters_take_two_columns(lines: list[str]) -> None:
    assert lines[3].startswith("模型       20,000  xxx")


def test_nothing_is_cut_off_a_terminal(lines: list[str]) -> None:
    assert 4 == len(lines)
    assert lines[3].endswith(" " + "x" * 1200)


def test_line_of_text_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"model": "a\x1b[2Jb\nc"}], ["model"])

    assert "model\na [2Jb c\n" == capsys.readouterr().out


def test_on_a_terminal_long_cells_are_folded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "30")
    print_table(ROWS, ["model", "joules", "note"])

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 40
    assert max(map(len, lines[1:])) <= 30  # the header is bold
