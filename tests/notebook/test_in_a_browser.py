"""The controls in a real browser: Debian's Chromium, JupyterLab, and a person with a keyboard."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from selenium.webdriver import ActionChains, Chrome, ChromeOptions, ChromeService, Keys
from selenium.webdriver.support.ui import WebDriverWait

from hitl_agent import Runtime

ROOT = Path(__file__).parents[2]
NOTEBOOK = "04_review_in_the_notebook.ipynb"
LAB = ROOT / ".venv" / "jupyter" / "bin" / "jupyter-lab"
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="no Chromium here: on Debian, apt-get install chromium chromium-driver",
    ),
    pytest.mark.skipif(not LAB.exists(), reason="no JupyterLab here: make jupyter"),
]

# whether the notebook is there, with a kernel that has nothing to do
READY = """
const session = window.jupyterapp?.shell?.currentWidget?.sessionContext;
return session?.isReady && session.session?.kernel?.status === "idle";
"""

# the text of what has the focus, as a screen reader would call it
FOCUSED = """
const one = document.activeElement, label = one.id && document.querySelector(`[for="${one.id}"]`);
return one.closest(".hitl-review") ? (label || one).textContent.trim() : "";
"""

# the least contrast of text and what is behind it, by the formula of WCAG 2
CONTRAST = """
const rgb = (colour) => colour.match(/[\\d.]+/g).map(Number);
const light = (colour) => rgb(colour).slice(0, 3).map((one) => one / 255)
  .map((one) => one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
  .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
const behind = (one) => {
  const colour = getComputedStyle(one).backgroundColor;
  return (rgb(colour)[3] ?? 1) === 1 || !one.parentElement ? colour : behind(one.parentElement);
};
const found = [];
for (const one of document.querySelectorAll(".hitl-review :is(bdi, b, i, button, label, pre)")) {
  if (!one.textContent.trim() || !one.offsetParent || one.disabled) continue;
  const [a, b] = [light(getComputedStyle(one).color), light(behind(one))].sort((x, y) => y - x);
  found.push((a + 0.05) / (b + 0.05));
}
return [found.length, Math.min(...found)];
"""


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def until(driver: Any, found: Callable[[Any], Any], seconds: float = 60) -> Any:
    return WebDriverWait(driver, seconds, poll_frequency=0.1).until(found)


@pytest.fixture(params=["light", "dark"])
def theme(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def lab(tmp_path: Path, theme: str, database_url: str) -> Iterator[str]:
    """The address of the notebook in a JupyterLab of this test alone."""
    folders = {name: tmp_path / name.lower() for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR")}
    folders |= {name: tmp_path / name.lower() for name in ("JUPYTER_DATA_DIR", "HOME")}
    settings = tmp_path / "settings"
    own = settings / "@jupyterlab" / "apputils-extension"
    own.mkdir(parents=True)
    (own / "notification.jupyterlab-settings").write_text(
        json.dumps({"fetchNews": "false", "checkForUpdates": False})
    )
    (own / "themes.jupyterlab-settings").write_text(
        json.dumps({"theme": f"JupyterLab {theme.capitalize()}"})
    )
    (tmp_path / "work").mkdir()
    shutil.copy(ROOT / "notebooks" / NOTEBOOK, tmp_path / "work")
    kernel = tmp_path / "here" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    start = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": start, "display_name": "Python 3", "language": "python"})
    )
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [str(LAB), "--allow-root", "--no-browser"]
    command += ["--ip=127.0.0.1", f"--port={port}", f"--notebook-dir={tmp_path / 'work'}"]
    command += ["--IdentityProvider.token=t", "--LabApp.expose_app_in_browser=True"]
    command += ["--LabApp.extension_manager=readonly", f"--LabApp.user_settings_dir={settings}"]
    environment = {
        **os.environ,
        **{name: str(folder) for name, folder in folders.items()},
        "JUPYTER_PATH": str(tmp_path / "here"),
        "PYTHONPATH": str(ROOT),
        "HITL_REVIEWER": "nora",
    }
    with (tmp_path / "lab.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            until(None, lambda _: answers(f"{address}/api?token=t"))
            yield f"{address}/doc/tree/{NOTEBOOK}?token=t"
        finally:
            server.terminate()
            server.wait(30)


def answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=5):
            return True
    except (URLError, OSError):
        return False


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for one in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        "--window-size=1200,1700",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    ):
        options.add_argument(one)
    driver = Chrome(options=options, service=ChromeService(executable_path=str(DRIVER)))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.mark.timeout(300)
def test_a_call_is_approved_with_the_keyboard_and_runs_once(
    browser: Chrome, lab: str, runtime: Runtime, theme: str, tmp_path: Path
) -> None:
    browser.get(lab)
    until(browser, lambda one: one.execute_script(READY))
    browser.execute_async_script(
        "window.jupyterapp.commands.execute('notebook:run-all-cells').then(arguments[0])"
    )
    buttons = ".hitl-review button"
    until(browser, lambda one: one.find_elements("css selector", buttons))
    until(browser, lambda _: not runtime.waiting(graph="payments")[1:])  # the other one is decided
    (request,) = runtime.waiting(graph="payments")
    browser.execute_script(
        "document.querySelector('.hitl-review').scrollIntoView({block: 'start'})"
    )
    browser.save_screenshot(tmp_path / f"{theme}-waits.png")
    number, contrast = browser.execute_script(CONTRAST)
    assert number > 15
    assert contrast >= 4.5

    heading = browser.find_element("css selector", ".hitl-review .hitl bdi")
    ActionChains(browser).click(heading).perform()
    passed: list[str] = []
    while not passed or passed[-1] != "Approve":
        ActionChains(browser).send_keys(Keys.TAB).perform()
        passed.append(browser.execute_script(FOCUSED))
        assert len(passed) < 10, passed
        if passed[-1] == "Reason, or answer":  # and Enter in a field decides nothing
            ActionChains(browser).send_keys("seen", Keys.ENTER).perform()
    assert [one for one in passed if one] == ["Reviewer", "Reason, or answer", "Approve"]
    assert runtime.waiting(graph="payments") == [request]
    ActionChains(browser).send_keys(Keys.SPACE).perform()
    until(browser, lambda one: "approved by nora" in one.page_source)
    until(browser, lambda _: runtime.thread(request.thread_id).thread.status == "done")
    until(browser, lambda one: "paid 120 to printer" in one.page_source)
    browser.save_screenshot(tmp_path / f"{theme}-done.png")
    told = [
        (one["kind"], one["body"].get("reviewer"))
        for one in runtime.history(request.thread_id)
        if one["kind"] in ("decision", "started", "succeeded")
    ]
    assert told == [("decision", "nora"), ("started", None), ("succeeded", None)]
    (decision,) = [
        one["body"] for one in runtime.history(request.thread_id) if one["kind"] == "decision"
    ]
    assert (decision["message"], decision["channel"]) == ("seen", "notebook")
