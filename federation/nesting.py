"""Nesting: how deep does a JSON text go? Asked before a parser sees it.

Pure. Parsers recurse, and how deep they can depends on who called them; what a foreign line says must not.
"""

from __future__ import annotations

import re
from typing import Final

MAX_NESTING: Final = 256  # levels: far above any document, far below what exhausts Python's stack

# Possessive, and content with a string that never ends, so that no input takes more than one pass.
_TOKENS: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]}]', re.DOTALL)


def nests_too_deep(text: str) -> bool:
    """Whether brackets outside strings open more than MAX_NESTING levels."""
    if text.count("{") + text.count("[") <= MAX_NESTING:
        return False
    depth = 0
    for token in _TOKENS.finditer(text):
        first = text[token.start()]
        depth += 1 if first in "[{" else -1 if first in "]}" else 0
        if depth > MAX_NESTING:
            return True
    return False
