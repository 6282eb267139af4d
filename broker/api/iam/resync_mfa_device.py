"""IAM ResyncMFADevice: two codes in a row tell how far off a device's clock is."""

from broker.api.iam.mfa import shown_two_codes
from broker.flows import mfa_devices

ACTION = shown_two_codes("ResyncMFADevice", mfa_devices.resync)
