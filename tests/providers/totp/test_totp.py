"""One-time codes: RFC 6238's values, the window, reuse, delays, drift, QR codes."""

import asyncio
import base64
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from providers.devices import Device, DeviceState
from providers.errors import ProofRejected
from providers.refusal import SENTENCE
from providers.totp import Totp, otpauth_url, qr_code
from tests.fakes.clock import Clock

# The seed of RFC 6238, appendix B, and its eight-digit values cut to six.
RFC_SEED = base64.b32encode(b"12345678901234567890").decode()
RFC_VALUES = {59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 20000000000: "353130"}
DEVICE = Device("device", RFC_SEED)


class Memory:
    """One process's memory of devices."""

    def __init__(self, began: datetime) -> None:
        self.states: dict[str, DeviceState] = {}
        self.began = began

    async def read(self, device: str) -> DeviceState | None:
        await asyncio.sleep(0)
        return self.states.get(device)

    async def swap(self, device: str, expected: DeviceState | None, state: DeviceState) -> bool:
        await asyncio.sleep(0)
        if self.states.get(device) != expected:
            return False
        self.states[device] = state
        return True

    async def since(self) -> datetime:
        return self.began


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime.fromtimestamp(1_800_000_000, UTC))


@pytest.fixture
def memory(clock: Clock) -> Memory:
    return Memory(clock() - timedelta(days=1))


@pytest.fixture
def totp(memory: Memory, clock: Clock) -> Totp:
    return Totp(memory, now=clock)


@pytest.fixture
def code(clock: Clock) -> Callable[[int], str]:
    """The code so many steps from now."""
    return lambda steps: pyotp.TOTP(RFC_SEED).at(clock() + timedelta(seconds=30 * steps))


async def reason(totp: Totp, *codes: str, resync: bool = False) -> str | None:
    """Why refused, None where accepted; the sentence is always the same."""
    try:
        if len(codes) == 1:
            await totp.verify(DEVICE, codes[0])
        elif resync:
            await totp.resync(DEVICE, *codes)
        else:
            await totp.enroll(DEVICE, *codes)
    except ProofRejected as error:
        return error.reason if error.sentence == SENTENCE else error.sentence
    return None


@pytest.mark.parametrize(("at", "value"), RFC_VALUES.items())
async def test_the_values_of_the_standard(at: int, value: str) -> None:
    when = datetime.fromtimestamp(at, UTC)
    assert await reason(Totp(Memory(datetime.fromtimestamp(-100, UTC)), now=lambda: when), value) is None


@pytest.mark.parametrize("steps", [-1, 0, 1])
async def test_the_step_before_the_present_and_the_next_are_good_once(
    totp: Totp, code: Callable[[int], str], steps: int
) -> None:
    assert await reason(totp, code(steps)) is None
    assert await reason(totp, code(steps)) == "code_used"


@pytest.mark.parametrize("steps", [-3, -2, 2, 3])
async def test_other_steps_are_not_good(totp: Totp, code: Callable[[int], str], steps: int) -> None:
    assert await reason(totp, code(steps)) == "code"


@pytest.mark.parametrize("order", list(itertools.permutations((-1, 0, 1))))
async def test_the_three_are_good_in_any_order(totp: Totp, code: Callable[[int], str], order: tuple[int, ...]) -> None:
    for number, steps in enumerate(order):
        assert await reason(totp, code(steps)) is None
        for used in order[: number + 1]:
            assert await reason(totp, code(used)) == "code_used"


async def test_what_was_used_stays_used_as_time_goes_on_and_back(
    totp: Totp, code: Callable[[int], str], clock: Clock
) -> None:
    assert await reason(totp, code(0)) is None
    clock.advance(timedelta(seconds=30))
    assert await reason(totp, code(1)) is None
    assert await reason(totp, code(-1)) == "code_used"
    assert await reason(totp, code(0)) is None
    clock.advance(timedelta(seconds=-300))
    for steps in (-1, 0, 1):
        assert await reason(totp, code(steps)) == "code_used"
    clock.advance(timedelta(seconds=600))
    for steps in (0, -1):
        assert await reason(totp, code(steps)) is None


async def test_none_before_an_enrolment_is_good(totp: Totp, code: Callable[[int], str]) -> None:
    assert await reason(totp, code(0), code(1)) is None
    for steps in (-1, 0, 1):
        assert await reason(totp, code(steps)) == "code_used"


@pytest.mark.parametrize("bend", ["{} ", " {}", "{}\n", "0{}", "\uff11{}", "", "1234567", "12345", "-12345", "123 456"])
async def test_only_six_ascii_digits_are_a_code(totp: Totp, code: Callable[[int], str], bend: str) -> None:
    assert await reason(totp, bend.format(code(0))) == "code"
    arabic = code(0).translate({ord(str(i)): chr(0x660 + i) for i in range(10)})
    assert await reason(totp, arabic) == "code"
    assert await reason(totp, code(0)) is None


async def test_wrong_codes_delay_the_device_ever_longer_up_to_an_hour(
    totp: Totp, memory: Memory, code: Callable[[int], str], clock: Clock
) -> None:
    for _ in range(5):
        assert await reason(totp, code(9)) == "code"
    for minutes in (1, 2, 4, 8, 16, 32, 60, 60):
        assert await reason(totp, code(0)) == "code_delayed"
        clock.advance(timedelta(minutes=minutes, seconds=-1))
        assert await reason(totp, code(0)) == "code_delayed"
        clock.advance(timedelta(seconds=1))
        assert await reason(totp, "x") == "code"
    clock.advance(timedelta(hours=1))
    assert await reason(totp, code(0)) is None
    for _ in range(4):
        assert await reason(totp, code(9)) == "code"
    assert await reason(totp, code(1)) is None
    assert memory.states["device"].wrong == 0


async def test_a_used_code_is_no_guess_and_is_not_counted(totp: Totp, code: Callable[[int], str]) -> None:
    assert await reason(totp, code(0)) is None
    for _ in range(20):
        assert await reason(totp, code(0)) == "code_used"
    assert await reason(totp, code(1)) is None


async def test_one_of_fifty_uses_wins_and_five_of_two_hundred_guesses_are_tried(
    totp: Totp, memory: Memory, code: Callable[[int], str]
) -> None:
    ends = await asyncio.gather(*(reason(totp, code(0)) for _ in range(50)))
    assert ends.count(None) == 1
    ends = await asyncio.gather(*(reason(totp, code(9)) for _ in range(200)))
    assert (ends.count("code"), memory.states["device"].wrong) == (5, 5)


async def test_codes_are_refused_while_the_memory_is_too_young(
    totp: Totp, memory: Memory, code: Callable[[int], str], clock: Clock
) -> None:
    memory.began = clock()
    clock.advance(timedelta(seconds=89))
    assert await reason(totp, code(0)) == "code_memory"
    clock.advance(timedelta(seconds=1))
    assert await reason(totp, code(1)) is None


async def test_enrolling_takes_two_codes_in_a_row_and_uses_them_up(totp: Totp, code: Callable[[int], str]) -> None:
    assert await reason(totp, code(0), code(0)) == "code"
    assert await reason(totp, code(-1), code(1)) == "code"
    assert await reason(totp, code(0), code(-1)) == "code"
    assert await reason(totp, code(-1), code(0)) is None
    assert await reason(totp, code(-1), code(0)) == "code_used"
    assert await reason(totp, code(0)) == "code_used"
    assert await reason(totp, code(1)) is None


@pytest.mark.parametrize("drift", [-12, -2, 2, 15, 20])
async def test_a_device_whose_clock_is_off_is_good_after_a_resync(
    totp: Totp, code: Callable[[int], str], clock: Clock, drift: int
) -> None:
    assert await reason(totp, code(drift)) == "code"
    assert await reason(totp, code(drift - 1), code(drift), resync=True) is None
    clock.advance(timedelta(minutes=5))
    assert await reason(totp, code(drift)) is None
    assert await reason(totp, code(drift + 1)) is None
    assert await reason(totp, code(drift + 2)) == "code"


async def test_a_resync_has_an_end_and_counts_like_other_attempts(totp: Totp, code: Callable[[int], str]) -> None:
    assert await reason(totp, code(20), code(21), resync=True) == "code"
    assert await reason(totp, code(-22), code(-21), resync=True) == "code"
    for _ in range(3):
        assert await reason(totp, "000000", "abcdef", resync=True) == "code"
    assert await reason(totp, code(-1), code(0), resync=True) == "code_delayed"


async def test_a_device_that_is_right_again_loses_its_drift(
    totp: Totp, memory: Memory, code: Callable[[int], str], clock: Clock
) -> None:
    assert await reason(totp, code(9), code(10), resync=True) is None
    assert memory.states["device"].drift == 10
    clock.advance(timedelta(minutes=10))
    assert await reason(totp, code(-1), code(0), resync=True) is None
    assert memory.states["device"].drift == 0


def test_the_text_and_the_picture_for_an_authenticator() -> None:
    url = otpauth_url("SEED", user="alice/x", account="111122223333")
    assert url == (
        "otpauth://totp/Amazon%20Web%20Services:alice%2Fx@111122223333?secret=SEED&issuer=Amazon%20Web%20Services"
    )
    assert pyotp.parse_uri(otpauth_url(RFC_SEED, user="a", account="1")).secret == RFC_SEED
    assert qr_code(url).startswith(b"\x89PNG\r\n\x1a\n")


def test_no_seed_is_shown() -> None:
    assert RFC_SEED not in repr(DEVICE)
