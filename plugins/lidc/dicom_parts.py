"""What a pickle may hold of pydicom: text, numbers and lists of them, by stand-ins that keep the value and no more.

The published LIDC archive holds the UID of a series as `pydicom.uid.UID`, and the spacing of pixels, which nobody asks
for here, as a `MultiValue` of `DSfloat`. pydicom is not imported.
"""

from __future__ import annotations

from harness.errors import HarnessError

LONGEST_UID = 64
# Each has a `__setstate__` of its own: without one, pickle would set whatever attributes it is told to.


class PickledText(str):
    """A `UID`: text."""

    __slots__ = ()

    def __new__(cls, text: object) -> PickledText:
        # Each is a copy of *text*, which a pickle could ask for again and again.
        if type(text) is not str or len(text) > LONGEST_UID:
            raise HarnessError("expected a UID to be short text, found something else; the pickle is another one")
        return super().__new__(cls, text)

    def __setstate__(self, state: object) -> None:
        """Leave out what pydicom knows besides."""


class PickledNumber(float):
    """A `DSfloat`: a number."""

    __slots__ = ()

    def __new__(cls, number: object) -> PickledNumber:
        if type(number) is not float:
            raise HarnessError("expected a number, found something else; the pickle is damaged or another one")
        return super().__new__(cls, number)

    def __setstate__(self, state: object) -> None:
        """Leave out the text that it was written as."""


class PickledList:
    """A `MultiValue`, whose values are left out."""

    __slots__ = ()

    def __new__(cls) -> PickledList:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        """Leave out the values."""


DICOM_NAMES = {
    ("pydicom.uid", "UID"): PickledText,
    ("pydicom.valuerep", "DSfloat"): PickledNumber,
    ("pydicom.multival", "MultiValue"): PickledList,
}
