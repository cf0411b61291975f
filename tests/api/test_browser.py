"""The pages in a real browser: nothing from elsewhere, nothing on the console, nothing wider than the window."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.serving import make_server

if TYPE_CHECKING:
    from tests.api.conftest import Desk

pytestmark = pytest.mark.browser
CHROMIUM = shutil.which("chromium")
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGES = ("/?still=1", "/experiments/digits-v2", "/experiments/digits-v3", "/experiments/digits-aa?still=1", "/try",
         "/experiments/digits-aa/rollback")  # fmt: skip
# Contrast of every text against what is behind it, as the browser paints it: WCAG 2.2 AA.
CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const found = rgb(getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const node of document.querySelectorAll("main *, header *, footer *")) {
    const own = [...node.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim());
    if (!own || node.closest("svg") || node.closest("option")) continue;
    const style = getComputedStyle(node);
    const [a, b] = [light(rgb(style.color)), light(behind(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) bad.push(`${node.tagName} ${node.textContent.trim().slice(0, 40)} ${ratio.toFixed(2)}`);
  }
  return bad;
}"""
NAMELESS = """() => [...document.querySelectorAll("a, button, input:not([type=hidden]), textarea, select, svg[role=img]")]
  .filter((n) => !(n.textContent.trim() || n.getAttribute("aria-label") || (n.labels && n.labels.length)))
  .map((n) => n.outerHTML.slice(0, 80))"""


@pytest.fixture
def address(told: Desk) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, told.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed: apt-get install chromium")
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1200])
def test_every_page_is_complete_quiet_readable_and_fits(
    address: str, chromium: Any, scheme: str, width: int
) -> None:
    context = chromium.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=True
    )
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda problem: said.append(str(problem)))
    page.on("request", lambda request: asked.append(request.url))
    for path in PAGES:
        page.goto(address + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.evaluate(CONTRAST) == [], path
        assert page.evaluate(NAMELESS) == [], path
        assert page.locator("h1").count() == 1
        assert len(page.screenshot()) > 8_000, path
    assert said == []
    assert [url for url in asked if not url.startswith(address)] == []
    context.close()


def test_a_person_without_javascript_pauses_an_experiment_by_keyboard(
    address: str, chromium: Any, told: Desk
) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/experiments/digits-aa?still=1")
    page.get_by_role("link", name="pause …").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Your name").fill("ana")
    page.get_by_label("Reason").fill("looking at it")
    page.get_by_role("button", name="Pause").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/experiments/digits-aa")
    assert "PAUSED" in page.locator("h1").inner_text()
    assert "paused by ana: looking at it" in page.content()
    assert told.run("digits-aa")["paused"] is True
    context.close()
