"""AWS Signature Version 4, the verifier's side: header and presigned form, no I/O and no clock reads.

The order in which a caller runs the steps is AWS's: `present`, `check_time`, `check_scope`, then the access key
(known, active, its token), then `matches`.
"""

from broker.sigv4.checks import check_scope, check_time
from broker.sigv4.presented import HttpRequest, PresentedSignature, present
from broker.sigv4.signature import AWS, S3, Rules, SigningKeys, matches, signing_key

__all__ = [
    "AWS",
    "S3",
    "HttpRequest",
    "PresentedSignature",
    "Rules",
    "SigningKeys",
    "check_scope",
    "check_time",
    "matches",
    "present",
    "signing_key",
]
