"""Text as people write it: fit for one line of a message, compared without case and width, matched to a near name.

Knows no argument and no setting: commands and `dataset/` use it too.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from difflib import SequenceMatcher

_WIDE = {0xFF00 + offset: 0x20 + offset for offset in range(1, 0x5F)}  # full-width ASCII


def shown(text: str, longest: int = 60) -> str:
    """Return `text` for one line of a message: at most `longest` characters, invisible ones escaped."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return line if len(line) <= longest else line[: longest - 3] + "..."


def narrow(text: str) -> str:
    """Return `text` with full-width ASCII made plain, and nothing else changed (NFKC would read 10² as 102)."""
    return text.translate(_WIDE)


def folded(text: str) -> str:
    """Return `text` for comparison: without differences of width and case, and without surrounding space."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


def nearest(text: str, candidates: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """Return the candidate most similar to `text`, or None if none reaches `likeness` (0 to 1).

    The comparison ignores case, underscores and hyphens. A candidate that begins with `text` always qualifies.
    """

    def plain(word: str) -> str:
        return folded(word).replace("_", "").replace("-", "")

    def similarity(candidate: str) -> float:
        other = plain(candidate)
        ratio = SequenceMatcher(None, wanted, other, autojunk=False).ratio()
        return max(ratio, likeness) if len(wanted) > 1 and other.startswith(wanted) else ratio

    wanted = plain(text)
    best = max(candidates, key=similarity, default=None)
    return best if best is not None and similarity(best) >= likeness else None
