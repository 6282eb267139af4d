"""What every flow works with, put together once by the application."""

from dataclasses import dataclass

from broker.clock import Now
from broker.directory.directory import Directory
from broker.directory.entries import Entries
from broker.directory.security_keys import SecurityKeys
from broker.flows.authenticate import Authenticator
from broker.flows.codes import Ceremonies, OneTimeCodes, Picture
from broker.flows.denials import Denials
from broker.flows.federate import Federation
from broker.flows.guessing import Guessing
from broker.flows.pace import Pace
from broker.flows.saml import SamlFederation
from broker.ids import Random
from broker.sessions.key_use import KeyUse
from broker.sessions.keyring import Keyring
from broker.sessions.sessions import Sessions
from broker.sessions.tickets import Tickets


@dataclass(frozen=True, slots=True)
class Services:
    """One a process. `ceremonies`: None where browsers would allow no security keys."""

    directory: Directory
    entries: Entries
    security_keys: SecurityKeys
    sessions: Sessions
    keyring: Keyring
    key_use: KeyUse
    authenticator: Authenticator
    denials: Denials
    federation: Federation
    guessing: Guessing
    pace: Pace
    codes: OneTimeCodes
    picture: Picture
    ceremonies: Ceremonies | None
    saml: SamlFederation
    tickets: Tickets
    now: Now
    random: Random
