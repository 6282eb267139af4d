"""What a provider says when it does not vouch: a verdict (rejected, expired) or no verdict (unavailable)."""


class ProofError(Exception):
    """Base of the three.

    `sentence` may be shown to the caller: it tells nothing that the presented proof does not say itself.
    `reason` is a short stable word for audit and metrics; `detail` is for the operator only.
    """

    def __init__(self, sentence: str, *, reason: str, detail: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.reason = reason
        self.detail = detail


class ProofRejected(ProofError):
    """The proof is not valid: wrong, malformed, for somebody else, used before."""


class ProofExpired(ProofError):
    """The proof was valid and no longer is."""


class ProviderUnavailable(ProofError):
    """No verdict: the provider, or what it needs, did not answer."""
