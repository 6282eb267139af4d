"""Settings of the server, and how configuration files become checked values with their faults' lines."""

from broker.settings.faults import ConfigurationError, Fault, Stamp
from broker.settings.loading import Overrides
from broker.settings.model import ProxyRule, Settings
from broker.settings.sources import LoadedFile

__all__ = ["ConfigurationError", "Fault", "LoadedFile", "Overrides", "ProxyRule", "Settings", "Stamp"]
