"""Which sessions are found by what: the indexes that each session is filed under, by its time of issue.

Callers' texts never stand in the names of indexes; their fingerprints do, so whoever reads an index compares again.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

from broker.sessions.model import Session
from broker.stores.contract import IndexEntry


def of_account(account: str) -> str:
    """The sessions whose permissions are those of an account."""
    return f"sessions:account:{account}"


def of_principal(arn: str) -> str:
    """The sessions of a role or user, those that go back to a user, or those with this very ARN."""
    return f"sessions:principal:{_fingerprint(arn)}"


def of_provider(arn: str) -> str:
    """The sessions that began with an identity of this provider."""
    return f"sessions:provider:{_fingerprint(arn)}"


def of_source_identity(account: str, source_identity: str) -> str:
    """The sessions of an account with this source identity."""
    return f"sessions:source-identity:{account}:{_fingerprint(source_identity)}"


def entries(session: Session) -> Sequence[IndexEntry]:
    """Where a session is filed."""
    expires_at = datetime.fromtimestamp(session.expires_at, UTC)
    names = [of_account(session.account)]
    principals = {session.principal_arn, session.arn, session.origin_arn or session.arn}
    names += [of_principal(arn) for arn in sorted(principals)]
    if session.federated_provider is not None:
        names.append(of_provider(session.federated_provider))
    if session.source_identity is not None:
        names.append(of_source_identity(session.account, session.source_identity))
    return [IndexEntry(name, session.access_key_id, session.issued_at, expires_at) for name in names]


@lru_cache(maxsize=4096)
def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
