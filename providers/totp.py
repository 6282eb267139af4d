"""One-time codes of virtual MFA devices: TOTP (RFC 6238) with SHA-1, 30 seconds and six digits.

Invariants, for all gateways of one memory of the devices:
 1. a step is accepted at most once, and of those before the latest only what `verify` still takes;
 2. no answer about a code leaves before its attempt is written down, so parallel guesses are counted one by one;
 3. after five wrong codes in a row every answer is that of a wrong code, for a minute and twice as long each time more;
 4. while the memory is younger than any code that could have been used before it began, no code is accepted.
"""

import hmac
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import quote

import pyotp
import segno

from providers.contract import Now
from providers.devices import Device, DeviceState, DeviceStates
from providers.refusal import refused

_STEP_SECONDS = 30
_STEPS_AROUND = 1
_EARLIER = 2 * _STEPS_AROUND  # how far before the latest a step may still be good
_STEPS_TO_RESYNC = 20  # ten minutes either way; each step costs a hash twice
_STEPS_TO_ENROLL = 2  # the codes were read one after the other, and then typed
_CODE = re.compile(r"[0-9]{6}")
_PATIENCE = 5
_FIRST_DELAY, _LONGEST_DELAY = timedelta(minutes=1), timedelta(hours=1)
# From the moment that a code may be used, a step early, to the end of the step after its own.
_CODE_LIFE = timedelta(seconds=3 * _STEP_SECONDS)
_MOST_RACES = 200
_QR_SCALE = 4


_Judge = Callable[[DeviceState], DeviceState | None]
"""The state after a right code; None for a wrong one.

Raises `ProofRejected` for a used one. Nothing was guessed, so nothing is counted: a form sent twice must not shut its
user out.
"""


class Totp:
    """Checks codes of devices."""

    def __init__(self, states: DeviceStates, *, now: Now) -> None:
        self._states = states
        self._now = now

    async def verify(self, device: Device, code: str) -> None:
        """Use `code` up; the step before, the present and the next one are good.

        Raises `ProofRejected` for a wrong, used or delayed code, one sentence for all; and what the memory raises.
        """
        counted = _counter(device)
        present = int(self._now().timestamp()) // _STEP_SECONDS

        def judge(state: DeviceState) -> DeviceState | None:
            middle = present + state.drift
            step = _step(counted, code, range(middle - _STEPS_AROUND, middle + _STEPS_AROUND + 1))
            return None if step is None else _used(state, step)

        await self._attempt(device, judge if _CODE.fullmatch(code) else _never)

    async def enroll(self, device: Device, first: str, second: str) -> None:
        """Two codes in a row, as EnableMFADevice takes them; both are used up. Raises as `verify`."""
        await self._attempt(device, self._pair(device, first, second, around=_STEPS_TO_ENROLL))

    async def resync(self, device: Device, first: str, second: str) -> None:
        """Two codes in a row of a device whose clock is off by minutes, which is remembered. Raises as `verify`."""
        await self._attempt(device, self._pair(device, first, second, around=_STEPS_TO_RESYNC))

    def _pair(self, device: Device, first: str, second: str, *, around: int) -> _Judge:
        if not (_CODE.fullmatch(first) and _CODE.fullmatch(second)):
            return _never
        counted = _counter(device)
        present = int(self._now().timestamp()) // _STEP_SECONDS
        codes = {step: counted(step) for step in range(present - around - 1, present + around + 1)}
        pairs = [step for step in range(present - around, present + around + 1) if _same(codes, step, first, second)]

        def judge(state: DeviceState) -> DeviceState | None:
            if not pairs:
                return None
            # A pair may repeat by chance in so many steps: the one nearest to the present is meant.
            step = min(pairs, key=lambda step: abs(step - present))
            if step <= state.last_step:
                raise refused("code_used")
            drift = step - present
            return replace(state, last_step=step, drift=0 if abs(drift) <= _STEPS_AROUND else drift, unused=0)

        return judge

    async def _attempt(self, device: Device, judge: _Judge) -> None:
        for _ in range(_MOST_RACES):
            known = await self._states.read(device.id)
            state = known or DeviceState()
            now = self._now()
            if state.delayed_until is not None and now < state.delayed_until:
                raise refused("code_delayed")
            right = judge(state)
            after = replace(right, wrong=0, delayed_until=None) if right is not None else _counted(state, now)
            if await self._states.swap(device.id, known, after):
                await self._require_memory(now)
                if right is None:
                    raise refused("code")
                return
        raise refused("code_contended")

    async def _require_memory(self, now: datetime) -> None:
        if now < await self._states.since() + _CODE_LIFE:
            raise refused("code_memory", "the store's memory of used codes is too young; wait a minute and a half")


def otpauth_url(seed: str, *, user: str, account: str) -> str:
    """What an authenticator reads from the QR code, as AWS has it."""
    issuer = quote("Amazon Web Services")
    return f"otpauth://totp/{issuer}:{quote(user, safe='')}@{quote(account, safe='')}?secret={seed}&issuer={issuer}"


def qr_code(url: str) -> bytes:
    """The URL as a QR code, PNG. Takes some 10 ms of computing: not for the event loop."""
    picture = io.BytesIO()
    segno.make(url, error="m", micro=False).save(picture, kind="png", scale=_QR_SCALE)
    return picture.getvalue()


def _counter(device: Device) -> Callable[[int], str]:
    generator = pyotp.TOTP(device.seed, digits=6, interval=_STEP_SECONDS)
    return generator.generate_otp


def _step(counted: Callable[[int], str], code: str, steps: range) -> int | None:
    """The latest of `steps` whose code this is. All are compared: the time tells nothing."""
    found: int | None = None
    for step in steps:
        if hmac.compare_digest(counted(step), code):
            found = step
    return found


def _same(codes: Mapping[int, str], step: int, first: str, second: str) -> bool:
    return hmac.compare_digest(codes[step - 1] + codes[step], first + second)


def _used(state: DeviceState, step: int) -> DeviceState:
    """The state after `step`, whose code was right."""
    ahead = step - state.last_step
    if ahead > 0:
        passed = min(ahead, _EARLIER + 1)
        skipped = (1 << passed - 1) - 1
        return replace(state, last_step=step, unused=(state.unused << passed | skipped) & (1 << _EARLIER) - 1)
    bit = 1 << -ahead - 1 if -_EARLIER <= ahead < 0 else 0
    if not state.unused & bit:
        raise refused("code_used")
    return replace(state, unused=state.unused & ~bit)


def _never(_: DeviceState) -> DeviceState | None:
    return None


def _counted(state: DeviceState, now: datetime) -> DeviceState:
    wrong = state.wrong + 1
    if wrong < _PATIENCE:
        return replace(state, wrong=wrong)
    delay = min(_FIRST_DELAY * 2 ** min(wrong - _PATIENCE, 10), _LONGEST_DELAY)
    return replace(state, wrong=wrong, delayed_until=now + delay)
