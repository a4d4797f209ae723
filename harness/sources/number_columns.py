"""Which columns of a CSV or Parquet file hold numbers."""

from __future__ import annotations

from pathlib import Path

from harness.errors import HarnessError
from harness.sources.tabular import load_csv, parse_number, read_header
from harness.tables import plain

_PARQUET = b"PAR1"


def number_columns(path: Path, delimiter: str | None = None) -> list[str]:
    """Return the names of the columns of *path* in which every cell is a number or missing, and one is a number.

    A name that two columns bear is left out. Raises HarnessError for a file that cannot be read.
    """
    with path.open("rb") as file:
        if file.read(len(_PARQUET)) == _PARQUET:
            return _parquet_columns(path)
    return _csv_columns(path, "\t" if delimiter in ("tab", "\\t") else delimiter or ",")


def _csv_columns(path: Path, delimiter: str) -> list[str]:
    header = read_header(path, delimiter)
    frame = load_csv(path, delimiter, [name for name in header if header.count(name) == 1])
    return [str(name) for name in frame if _are_numbers(frame[name].tolist())]


def _are_numbers(cells: list[str]) -> bool:
    some = False
    for cell in cells:
        number = parse_number(cell)
        if number is None:
            return False
        some = some or number == number
    return some


def _parquet_columns(path: Path) -> list[str]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise HarnessError("Parquet needs pyarrow: pip install 'pepr-harness[parquet]'") from error

    try:
        schema = pyarrow.parquet.read_schema(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise HarnessError(f"{str(path)!r} is a damaged Parquet file: {plain(error)}; write it again") from error
    numeric = (pyarrow.types.is_integer, pyarrow.types.is_floating, pyarrow.types.is_decimal)
    return [field.name for field in schema if any(is_kind(field.type) for is_kind in numeric)]
