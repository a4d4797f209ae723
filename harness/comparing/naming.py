"""Values as they are named, so that one written in two ways is still one."""

from __future__ import annotations

import math
from typing import Any


def named(value: Any) -> str:
    """Return *value* as it is named: 1, 1.0 and "1.0" are one, seeds of many digits are not; "" is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    text = str(value).strip()
    if isinstance(value, bool) or text.isdecimal():
        return text
    try:
        return f"{float(text):.12g}"
    except ValueError:
        return text
