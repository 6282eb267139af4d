"""Sign-in in a real browser (Debian's chromium, by its driver) at an identity provider of other authors (samlify)."""

import json
import os
import re
import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.wait import WebDriverWait

from tests.end_to_end.refusals import refused
from tests.end_to_end.saml_world import CORP, PROD_CORP, accounts, with_a_past
from tests.end_to_end.test_login_command import Program
from tests.end_to_end.world import DEV, PROD, role_arn
from tests.fakes.background import Background
from tests.fakes.idp import AWS, key_pair
from tests.fakes.redis import RedisServer
from tests.fakes.saml_idp import SamlIdpServer, form
from tests.gateway import Gateway, running, write_configuration
from tests.waiting import WITHIN, until

NARROW, WIDE = (360, 740), (1280, 900)
ROLES = [
    f"{role_arn('deploy', DEV)},{CORP}",
    f"{CORP},{role_arn('everything', DEV)}",
    f"{role_arn('audit', PROD)},{PROD_CORP}",
    f"{role_arn('nobody', PROD)},{PROD_CORP}",
]
REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"


@dataclass(frozen=True)
class World:
    """A gateway, and the identity provider that it knows and that knows it."""

    gateway: Gateway
    idp: SamlIdpServer
    own: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("gateway")
    with RedisServer(directory / "redis") as server:
        with_a_past(server)
        (directory / "encryption.pem").write_bytes(key_pair("encryption").pem)
        settings = {"saml": {"encryption_keys": ["encryption.pem"]}}
        write_configuration(directory, {}, settings)
        with running(Gateway(directory, store=server.url)) as gateway:
            own = f"http://localhost:{gateway.port}"
            attributes = {f"{AWS}Role": ROLES, f"{AWS}RoleSessionName": ["alice@example.test"]}
            idp = SamlIdpServer(_read(f"{own}/saml/metadata"), attributes=attributes)
            with Background(idp):
                metadata = _read(f"{idp.url}/metadata")
                described = accounts(metadata)
                posting = metadata.replace(REDIRECT, "urn:oasis:names:tc:SAML:2.0:bindings:SOAP")
                described["dev"]["SAMLProviders"][1]["SamlMetadataDocument"] = posting
                write_configuration(directory, described, settings)
                until(lambda: "configuration loaded" in gateway.log)
                yield World(gateway, idp, own)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        raise RuntimeError("there is no browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", f"user-data-dir={tmp_path}"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        browser.set_window_size(*WIDE)
        yield browser
        assert complaints(browser) == [], "the browser refused something, or a script failed"
    finally:
        browser.quit()


def complaints(browser: webdriver.Chrome) -> list[str]:
    """What the console says since it was last asked."""
    entries: list[dict[str, str]] = browser.get_log("browser")  # type: ignore[no-untyped-call]
    return [entry["message"] for entry in entries]


def wait_for(browser: webdriver.Chrome, title: str, *, after: WebElement | None = None) -> None:
    """Until the whole page is there. `after`: of the page before, where that has the same title."""

    def came(driver: webdriver.Chrome) -> bool:
        if after is not None and not staleness_of(after)(driver):
            return False
        whole = driver.execute_script("return document.readyState") == "complete"
        return bool(whole and driver.title.startswith(title))

    patience(browser).until(came, f"{title!r} did not come")


def patience(browser: webdriver.Chrome) -> WebDriverWait[webdriver.Chrome]:
    """Waits, also between two pages, when the driver may ask about one that is just going."""
    return WebDriverWait(browser, WITHIN, ignored_exceptions=[WebDriverException])


def block(browser: webdriver.Chrome, name: str) -> str:
    return str(browser.find_element(By.ID, name).get_property("textContent"))


def choose(browser: webdriver.Chrome, name: str) -> None:
    """With the keyboard alone: to the roles, along them, and on."""
    keyboard = webdriver.ActionChains(browser)
    keyboard.send_keys(Keys.TAB).perform()
    for _ in browser.find_elements(By.CSS_SELECTOR, "input[type=radio]"):
        focused = browser.switch_to.active_element
        if name in (focused.get_attribute("value") or ""):
            break
        keyboard.send_keys(Keys.ARROW_DOWN).perform()
    keyboard.send_keys(Keys.SPACE, Keys.ENTER).perform()


def look(browser: webdriver.Chrome, name: str) -> None:
    """Both widths: nothing lies beyond the edge. The pictures are kept where `SOJOURN_SCREENSHOTS` says."""
    for width, height in (NARROW, WIDE):
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        overflow = browser.execute_script(
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert overflow == 0, f"{name} is wider than {width} pixels"
        directory = os.environ.get("SOJOURN_SCREENSHOTS")
        if directory is not None:
            browser.save_screenshot(str(Path(directory) / f"{name}-{width}.png"))
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def assert_accessible(browser: webdriver.Chrome) -> None:
    """What can be told by a program: language, title, headings, labels, contrast."""
    root = browser.find_element(By.TAG_NAME, "html")
    assert root.get_attribute("lang") == "en" and browser.title
    assert len(browser.find_elements(By.TAG_NAME, "h1")) == 1
    assert len(browser.find_elements(By.TAG_NAME, "main")) == 1
    for control in browser.find_elements(By.CSS_SELECTOR, "input:not([type=hidden]), button, pre"):
        if control.is_displayed():
            assert control.accessible_name, control.get_attribute("outerHTML")
    assert browser.execute_script(_CONTRAST) == []


# WCAG 2.2 §1.4.3: text against the nearest background that is painted.
_CONTRAST = """
const light = (rgb) => rgb.slice(0, 3).map((c) => c / 255)
  .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
const behind = (node) => {
  for (; node; node = node.parentElement) {
    const colour = parse(getComputedStyle(node).backgroundColor);
    if (colour.length === 3 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const found = [];
for (const node of document.querySelectorAll('body *')) {
  if (![...node.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
  const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) found.push(`${node.outerHTML.slice(0, 80)} ${ratio}`);
}
return found;
"""


def test_sign_in_that_begins_here(world: World, browser: webdriver.Chrome) -> None:
    browser.get(f"{world.gateway.url}/saml/login?provider={CORP}")
    wait_for(browser, "Choose a role")
    offered = browser.find_elements(By.CSS_SELECTOR, "input[type=radio]")
    assert [each.get_attribute("value") for each in offered] == [
        role_arn("deploy", DEV),
        role_arn("everything", DEV),
        role_arn("audit", PROD),
    ]
    assert [each.text for each in browser.find_elements(By.TAG_NAME, "legend")] == [
        f"acme-dev {DEV}",
        f"acme-production {PROD}",
    ]
    assert_accessible(browser)
    look(browser, "roles")
    choose(browser, "role/audit")
    wait_for(browser, "Credentials for audit")
    assert_accessible(browser)
    look(browser, "credentials")
    process = json.loads(block(browser, "process"))
    identity = world.gateway.client(credentials=process).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::{PROD}:assumed-role/audit/alice@example.test"
    copy = browser.find_element(By.CSS_SELECTOR, "button[data-copy=environment]")
    browser.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"origin": world.own, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]},
    )
    copy.click()
    patience(browser).until(lambda _: copy.text == "Copied")
    copied = browser.execute_async_script("navigator.clipboard.readText().then(arguments[0], () => arguments[0](null))")
    assert copied in (None, block(browser, "environment"))
    secret = process["SecretAccessKey"]
    browser.get(f"{world.own}/health/live")
    browser.back()
    assert secret not in browser.page_source, "nothing was cached"
    _forget_complaints(browser)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_sign_in_by_post(world: World, browser: webdriver.Chrome, scheme: str) -> None:
    """The identity provider takes requests by POST only; and the pages can be read by day and night."""
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    portal = CORP.replace("corp", "portal")
    browser.get(f"{world.own}/saml/login?provider={portal}")
    wait_for(browser, "Access denied")
    assert_accessible(browser)
    look(browser, f"denied-{scheme}")
    assert world.gateway.audit[-1]["eventName"] == "SamlSignIn"
    browser.get(f"{world.own}/saml/login?provider={CORP}")
    wait_for(browser, "Choose a role")
    assert_accessible(browser)
    look(browser, f"roles-{scheme}")
    _forget_complaints(browser)


@pytest.mark.parametrize("mode", ["assertion", "response", "both"])
def test_sign_in_that_begins_there(world: World, browser: webdriver.Chrome, mode: str) -> None:
    browser.get(f"{world.idp.url}/start?mode={mode}")
    wait_for(browser, "Choose a role")
    choose(browser, "role/deploy")
    wait_for(browser, "Credentials for deploy")
    process = json.loads(block(browser, "process"))
    assert world.gateway.client(credentials=process).get_caller_identity()["Account"] == DEV


def test_sign_in_for_a_terminal(world: World, browser: webdriver.Chrome, tmp_path: Path) -> None:
    program = Program(tmp_path, world.gateway, "--saml", CORP, "--json")
    browser.get(program.address)
    wait_for(browser, "Choose a role")
    (words,) = re.findall(r"\b[A-Z2-7]{4}-[A-Z2-7]{4}\b", browser.find_element(By.TAG_NAME, "main").text)
    assert_accessible(browser)
    look(browser, "roles-terminal")
    choose(browser, "role/deploy")
    wait_for(browser, "Signed in")
    status, output, errors = program.end()
    assert status == 0 and words in errors
    assert json.loads(output)["AccountId"] == DEV


def test_boto3_with_its_assertions(world: World) -> None:
    client = world.gateway.client()
    for mode in ("assertion", "response", "both"):
        for encrypted in (0, 1):
            fields = form(_read(f"{world.idp.url}/start?mode={mode}&encrypted={encrypted}"))
            asked: dict[str, Any] = {
                "RoleArn": role_arn("audit", PROD),
                "PrincipalArn": PROD_CORP,
                "SAMLAssertion": fields["SAMLResponse"],
            }
            assert client.assume_role_with_saml(**asked)["Subject"] == "alice"
            with refused("InvalidIdentityToken", "used before"):
                client.assume_role_with_saml(**asked)


def _forget_complaints(browser: webdriver.Chrome) -> None:
    """Chromium complains of every page that is a refusal."""
    for each in complaints(browser):
        assert "Failed to load resource: the server responded with a status of 40" in each


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        text: str = answer.read().decode()
        return text
