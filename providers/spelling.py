"""One form for all spellings of a name that a directory takes for the same (RFC 4518)."""

import stringprep
import unicodedata


def comparable(text: str) -> str:
    """The form in which `caseIgnoreMatch` compares: case folded, NFKC, invisible characters gone, blanks collapsed."""
    shown = "".join(" " if character.isspace() else character for character in text if not _mapped_away(character))
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", shown).casefold())
    return " ".join(folded.split())


def _mapped_away(character: str) -> bool:
    # Table B.1 plus the control and format characters that RFC 4518 §2.2 maps to nothing.
    return stringprep.in_table_b1(character) or (
        unicodedata.category(character) in ("Cc", "Cf") and not character.isspace()
    )
