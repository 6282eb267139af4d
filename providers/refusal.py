"""One refusal for every wrong secret: whoever guesses learns nothing from the text."""

from providers.errors import ProofRejected

SENTENCE = "The user name, the password or the one-time code is not valid."


def refused(reason: str, detail: str | None = None) -> ProofRejected:
    """The same sentence for an unknown user, a wrong password or code, a locked or disabled user, a delayed attempt.

    `reason` and `detail` are for audit and metrics only.
    """
    return ProofRejected(SENTENCE, reason=reason, detail=detail)
