"""Secrets of servers in the page: typed in, and not seen again."""

from __future__ import annotations

import re

from playwright.async_api import expect

SECRET = "s3cret-of-the-test"


async def test_a_secret_is_typed_in_and_not_seen_again(seen, showcase, kept):
    page = seen.page
    await seen.open()
    await seen.button("Settings").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_text("Secrets in the keyring of the system").click()
    await dialog.get_by_label("Name of the variable").fill("API KEY")
    await dialog.get_by_label("Its value").fill(SECRET)
    await dialog.get_by_label("Its value").press("Enter")
    await expect(dialog.get_by_role("alert")).to_contain_text("is no name of a variable")
    await expect(dialog.get_by_label("Its value")).to_have_value("")
    seen.wrong.clear()  # the browser's own word on an answer that is an error
    await dialog.get_by_label("Name of the variable").fill("API_KEY")
    await dialog.get_by_label("Its value").fill(SECRET)
    await seen.button("Keep it", dialog).click()
    await expect(dialog.get_by_label("Secrets that are used")).to_contain_text("API_KEY")
    await expect(dialog.get_by_label("Its value")).to_have_value("")
    assert list(kept.values()) == [SECRET]
    assert SECRET not in await page.content()
    await seen.check_access()
    await seen.shoot("secrets")
    await seen.button("Save and connect anew", dialog).click()
    await expect(dialog).to_have_count(0)
    await showcase.connected()
    assert showcase.secrets == ["API_KEY"]
    await seen.button("Settings").click()
    await dialog.get_by_text("Secrets in the keyring of the system").click()
    await dialog.get_by_role("button", name=re.compile("^Forget")).press("Enter")
    await expect(dialog.get_by_label("Secrets that are used")).to_have_count(0)
    assert kept == {}
