"""Security keys in a real browser, by its virtual authenticator: register, sign in, role, credentials, remove."""

import json
from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.common.virtual_authenticator import VirtualAuthenticatorOptions
from selenium.webdriver.support.select import Select

from tests.end_to_end.key_world import OWN, World, key_world
from tests.end_to_end.test_browser import assert_accessible, block, browser, choose, look, patience, wait_for
from tests.end_to_end.world import DEV

__all__ = ["browser"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with key_world(tmp_path_factory.mktemp("gateway")) as world:
        yield world


def plug_in(browser: webdriver.Chrome) -> None:
    """A key that a finger is always on."""
    options = VirtualAuthenticatorOptions(
        protocol=VirtualAuthenticatorOptions.Protocol.CTAP2,
        transport=VirtualAuthenticatorOptions.Transport.USB,
        has_resident_key=False,
        has_user_verification=True,
        is_user_verified=True,
    )
    browser.add_virtual_authenticator(options)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("native", [True, False], ids=["JSON by the browser", "JSON by the page"])
def test_register_sign_in_role_credentials(world: World, browser: webdriver.Chrome, scheme: str, native: bool) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    if not native:
        forget = "delete PublicKeyCredential.parseCreationOptionsFromJSON;"
        forget += "delete PublicKeyCredential.parseRequestOptionsFromJSON; delete PublicKeyCredential.prototype.toJSON;"
        browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": forget})
    plug_in(browser)
    name = world.novice()
    browser.get(f"{world.origin}/login")
    wait_for(browser, "Sign in")
    look(browser, f"key-sign-in-{scheme}")
    browser.find_element(By.LINK_TEXT, "Add or remove a security key").click()
    patience(browser).until(lambda driver: "next=keys" in driver.current_url)
    wait_for(browser, "Sign in")
    sign_in(browser, name)

    wait_for(browser, "Your security keys")
    assert_accessible(browser)
    look(browser, f"keys-none-{scheme}")
    type_in(browser, "name", "blue-key", Keys.ENTER)
    wait_for(browser, "Use your security key")
    assert_accessible(browser)
    look(browser, f"key-use-first-{scheme}")
    assert browser.switch_to.active_element.text == "Use security key"
    press(browser)
    wait_for(browser, "Your security keys")
    assert browser.find_element(By.CSS_SELECTOR, ".keys strong").text == "blue-key"
    assert_accessible(browser)
    look(browser, f"keys-{scheme}")

    browser.get(f"{world.origin}/login")
    sign_in(browser, name)
    wait_for(browser, "Use your security key")
    assert_accessible(browser)
    look(browser, f"key-use-{scheme}")
    press(browser)
    wait_for(browser, "Choose a role")
    choose(browser, "role/with-fresh-mfa")
    wait_for(browser, "Credentials for with-fresh-mfa")
    process = json.loads(block(browser, "process"))
    identity = world.gateway.client(credentials=process).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::{DEV}:assumed-role/with-fresh-mfa/{name}"


def test_keys_are_told_apart_and_removed(world: World, browser: webdriver.Chrome) -> None:
    register(browser, world, world.novice(), "first")
    press(browser)
    wait_for(browser, "Your security keys")
    type_in(browser, "name", "the-same-again", Keys.ENTER)
    told(browser, "This key is registered already.")
    assert_accessible(browser)
    look(browser, "keys-again")

    browser.remove_virtual_authenticator()
    plug_in(browser)
    type_in(browser, "name", "x" * 64, Keys.ENTER)
    patience(browser).until(lambda driver: len(driver.find_elements(By.CSS_SELECTOR, ".keys li")) == 2)
    wait_for(browser, "Your security keys")
    look(browser, "keys-two")
    browser.find_element(By.CSS_SELECTOR, "button[aria-label='Remove first']").click()
    patience(browser).until(lambda driver: len(driver.find_elements(By.CSS_SELECTOR, ".keys li")) == 1)
    wait_for(browser, "Your security keys")
    browser.find_element(By.XPATH, "//button[.='Continue to the roles']").click()
    wait_for(browser, "Choose a role")
    choose(browser, "role/with-mfa")
    wait_for(browser, "Credentials for with-mfa")


def test_without_the_right_key(world: World, browser: webdriver.Chrome) -> None:
    name = world.novice()
    register(browser, world, name, "left-at-home")
    browser.remove_virtual_authenticator()
    plug_in(browser)
    browser.get(f"{world.origin}/login")
    sign_in(browser, name)
    wait_for(browser, "Use your security key")
    press(browser)
    told(browser, "That did not work, was cancelled, or took too long. Try again.")
    assert_accessible(browser)
    look(browser, "key-not-there")
    browser.find_element(By.XPATH, "//button[.='Continue without']").click()
    wait_for(browser, "Choose a role")
    choose(browser, "role/told-no")
    wait_for(browser, "Credentials for told-no")


def test_who_may_not_register_is_told_why(world: World, browser: webdriver.Chrome) -> None:
    browser.get(f"{world.origin}/login?next=keys")
    sign_in(browser, "without-leave")
    wait_for(browser, "Your security keys")
    assert "not authorized to perform: iam:EnableMFADevice" in browser.find_element(By.TAG_NAME, "main").text
    assert_accessible(browser)
    look(browser, "keys-refused")


def test_without_scripts_the_page_says_what_is_missing(world: World, browser: webdriver.Chrome) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(f"{world.origin}/login?next=keys")
    sign_in(browser, world.novice())
    wait_for(browser, "Your security keys")
    assert "Security keys need JavaScript." in browser.find_element(By.TAG_NAME, "main").text
    assert not browser.find_element(By.CSS_SELECTOR, "form[data-ceremony] button").is_enabled()
    look(browser, "keys-no-script")
    browser.find_element(By.XPATH, "//button[.='Continue to the roles']").click()
    wait_for(browser, "Choose a role")


def register(browser: webdriver.Chrome, world: World, name: str, label: str) -> None:
    """A first key, up to where it is asked for."""
    plug_in(browser)
    browser.get(f"{world.origin}/login?next=keys")
    sign_in(browser, name)
    wait_for(browser, "Your security keys")
    type_in(browser, "name", label, Keys.ENTER)
    wait_for(browser, "Use your security key")


def sign_in(browser: webdriver.Chrome, name: str) -> None:
    """User name and password, sent with the enter key."""
    wait_for(browser, "Sign in")
    Select(browser.find_element(By.NAME, "provider")).select_by_value(DEV)
    type_in(browser, "username", name)
    type_in(browser, "password", OWN, Keys.ENTER)


def type_in(browser: webdriver.Chrome, name: str, *text: str) -> None:
    """Into the field of that name, in place of what is there."""
    control = browser.find_element(By.NAME, name)
    control.clear()
    control.send_keys(*text)


def press(browser: webdriver.Chrome) -> None:
    """The button that a key is asked for with."""
    browser.find_element(By.CSS_SELECTOR, "form[data-ceremony] button").click()


def told(browser: webdriver.Chrome, text: str) -> None:
    """Wait for what the page says about the key."""
    status = browser.find_element(By.CSS_SELECTOR, "form[data-ceremony] [role=status]")
    patience(browser).until(lambda _: status.text == text, f"{text!r} was not said: {status.text!r}")
