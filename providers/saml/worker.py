"""The process in which responses and metadata are read: tasks by standard input, answers by standard output.

Messages are MessagePack with a length of four bytes before it. It ends with its input, and so with its parent.
"""

import os
import resource
import struct
import sys
from typing import BinaryIO, Final, TypeAlias

import msgspec

from providers.errors import ProofExpired, ProofRejected
from providers.saml.metadata import IdpMetadata, MetadataFault, parse_metadata
from providers.saml.response import Expectation, Presented, VerifiedAssertion, peek, verify_response

LENGTH: Final = struct.Struct(">I")
_MAX_MEMORY: Final = 1 << 30  # bytes; metadata of 10 MB needs a tenth of it


class ResponseTask(msgspec.Struct, tag=True):
    """For `verify_response`."""

    raw: str
    expected: Expectation


class PeekTask(msgspec.Struct, tag=True):
    """For `peek`."""

    raw: str


class MetadataTask(msgspec.Struct, tag=True):
    """For `parse_metadata`."""

    document: bytes
    certificates: tuple[bytes, ...]


class Verified(msgspec.Struct, tag=True):
    """A response was accepted."""

    assertion: VerifiedAssertion


class Peeked(msgspec.Struct, tag=True):
    """A response as it presents itself."""

    presented: Presented


class Read(msgspec.Struct, tag=True):
    """Metadata was read."""

    metadata: IdpMetadata


class Refused(msgspec.Struct, tag=True):
    """A `ProofRejected`, or a `ProofExpired` where `expired`."""

    expired: bool
    sentence: str
    reason: str
    detail: str | None


class Faulty(msgspec.Struct, tag=True):
    """A `MetadataFault`."""

    fault: str


Task: TypeAlias = ResponseTask | PeekTask | MetadataTask
Answer: TypeAlias = Verified | Peeked | Read | Refused | Faulty


def answer(task: Task) -> Answer:
    """Do it."""
    try:
        if isinstance(task, ResponseTask):
            return Verified(verify_response(task.raw, task.expected))
        if isinstance(task, PeekTask):
            return Peeked(peek(task.raw))
        return Read(parse_metadata(task.document, certificates=task.certificates))
    except (ProofRejected, ProofExpired) as error:
        return Refused(
            expired=isinstance(error, ProofExpired), sentence=error.sentence, reason=error.reason, detail=error.detail
        )
    except MetadataFault as error:
        return Faulty(str(error))
    except Exception as error:  # noqa: BLE001 - whoever sends what nobody thought of must not end the process
        fault = f"{type(error).__name__}: {error}"
        if isinstance(task, MetadataTask):
            return Faulty(fault)
        return Refused(expired=False, sentence="The SAML response is malformed.", reason="unreadable", detail=fault)


def serve(tasks: BinaryIO, answers: BinaryIO) -> None:
    """Until `tasks` ends."""
    decoder, encoder = msgspec.msgpack.Decoder(Task), msgspec.msgpack.Encoder()
    while len(head := tasks.read(LENGTH.size)) == LENGTH.size:
        message = encoder.encode(answer(decoder.decode(tasks.read(*LENGTH.unpack(head)))))
        answers.write(LENGTH.pack(len(message)) + message)
        answers.flush()


def main() -> None:
    """Run as a process."""
    if sys.platform == "linux":  # elsewhere there is no such limit, or none that can be set
        resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY, _MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # there are private keys in memory
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # whatever a library prints is no answer
        serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
