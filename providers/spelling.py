"""Names as others need them: in one form for all spellings (RFC 4518), or as that of a session."""

import re
import stringprep
import unicodedata

_SESSION_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}")


def comparable(text: str) -> str:
    """The form in which `caseIgnoreMatch` compares: case folded, NFKC, invisible characters gone, blanks collapsed."""
    shown = "".join(" " if character.isspace() else character for character in text if not _mapped_away(character))
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", shown).casefold())
    return " ".join(folded.split())


def session_name(text: str) -> str | None:
    """The text where it can name a session (STS, RoleSessionName), else None."""
    return text if _SESSION_NAME.fullmatch(text) else None


def _mapped_away(character: str) -> bool:
    # Table B.1 plus the control and format characters that RFC 4518 §2.2 maps to nothing.
    return stringprep.in_table_b1(character) or (
        unicodedata.category(character) in ("Cc", "Cf") and not character.isspace()
    )
