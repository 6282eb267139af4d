"""/login in a real browser: password, code, role, credentials."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from tests.end_to_end.directory_world import CORP, NO_LIMITS, account, age_memory, code, provider, within_a_step
from tests.end_to_end.ldap_client import RIGHT
from tests.end_to_end.test_browser import (
    assert_accessible,
    block,
    browser,
    choose,
    complaints,
    look,
    wait_for,
)
from tests.end_to_end.world import DEV, role_arn
from tests.fakes.redis import RedisServer
from tests.fakes.slapd import Slapd
from tests.gateway import Gateway, running, write_configuration

__all__ = ["browser"]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    place: Path = tmp_path_factory.mktemp("gateway")
    with Slapd(place / "slapd") as directory, RedisServer(place / "redis") as server:
        write_configuration(place, {"dev": account(provider(directory), provider(directory, "other"))}, NO_LIMITS)
        age_memory(server.url)
        with running(Gateway(place, store=server.url)) as gateway:
            yield gateway


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_password_code_role_credentials(gateway: Gateway, browser: webdriver.Chrome, scheme: str) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    browser.get(gateway.url)
    wait_for(browser, "Sign in")
    assert browser.current_url == f"http://localhost:{gateway.port}/login"
    assert_accessible(browser)
    look(browser, f"sign-in-{scheme}")

    form = browser.find_element(By.TAG_NAME, "form")
    fill(browser, "wrong")
    wait_for(browser, "Sign in", after=form)
    alert = browser.find_element(By.CSS_SELECTOR, "[role=alert]")
    assert alert.text == "The user name, the password or the one-time code is not valid."
    assert browser.find_element(By.NAME, "username").get_attribute("value") == "alice"
    assert browser.find_element(By.NAME, "password").get_attribute("value") == ""
    assert Select(browser.find_element(By.NAME, "provider")).first_selected_option.text == "corp"
    assert browser.switch_to.active_element.get_attribute("name") == "password"
    assert_accessible(browser)
    look(browser, f"sign-in-again-{scheme}")
    assert all("403" in each for each in complaints(browser))

    within_a_step(25)  # typing takes its time
    fill(browser, RIGHT, code("alice", steps=-1 if scheme == "light" else 0))
    wait_for(browser, "Choose a role")
    look(browser, f"roles-of-a-directory-{scheme}")
    choose(browser, "role/with-code")
    wait_for(browser, "Credentials for with-code")
    process = json.loads(block(browser, "process"))
    identity = gateway.client(credentials=process).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::{DEV}:assumed-role/with-code/alice"


def test_a_wanted_role_needs_no_choice(gateway: Gateway, browser: webdriver.Chrome) -> None:
    browser.get(f"{gateway.url}/login?provider={CORP}&role={role_arn('engineers', DEV)}")
    wait_for(browser, "Sign in")
    fill(browser, RIGHT)
    wait_for(browser, "Credentials for engineers")


def fill(browser: webdriver.Chrome, password: str, code: str = "") -> None:
    """The form, by its labels, sent with the enter key."""
    Select(browser.find_element(By.NAME, "provider")).select_by_visible_text("corp")
    for name, value in (("username", "alice"), ("code", code), ("password", password)):
        control = browser.find_element(By.NAME, name)
        control.clear()
        control.send_keys(value)
    browser.find_element(By.NAME, "password").send_keys(Keys.ENTER)
