"""JupyterLab for tests: a server of its own over a copy of the notebooks, and a notebook that is open in a browser.

Nothing of the user's is read or written: settings, runtime files, IPython's history and prefnb's cache are in one temporary folder.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import jupytext
from in_browser import ROOT, SOON, shoot

PATIENCE = 2_400_000  # milliseconds: a notebook takes a minute or two, on a machine with much other work many times that
QUIET = {"@jupyterlab/apputils-extension:announcements": True}  # asks jupyter.org for news


def copy_notebooks(folder: Path, **parameters: object) -> None:
    """The sources and, made anew from them, the .ipynb without outputs; with other defaults for some parameters, where a notebook
    has them."""
    folder.mkdir(parents=True)
    for name in ("jupytext.toml", "glossary.md"):
        shutil.copy(ROOT / "notebooks" / name, folder)
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.py")):
        text = path.read_text(encoding="utf-8")
        for name, value in parameters.items():
            text = re.sub(rf"^({name}: \w+ = )[^#\n]*?(?=  #|$)", rf"\g<1>{value!r}", text, count=1, flags=re.MULTILINE)
        (folder / path.name).write_text(text, encoding="utf-8")
        jupytext.write(jupytext.reads(text, fmt="py:percent"), folder / f"{path.stem}.ipynb")


class Server:
    """A running server: where it is, and what its kernels do."""

    def __init__(self, folder: Path):
        self.folder, self.notebooks, self.token = folder, folder / "notebooks", secrets.token_hex(16)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        own = {name: str(self.folder / name.lower()) for name in
               ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "PREFNB_CACHE",
                "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")}  # fmt: skip
        settings = Path(own["JUPYTER_CONFIG_DIR"]) / "labconfig" / "page_config.json"
        settings.parent.mkdir(parents=True)
        settings.write_text(json.dumps({"disabledExtensions": QUIET}))
        told = {"root_dir": self.notebooks, "ip": "127.0.0.1", "port": self.url.rpartition(":")[2], "port_retries": 0}
        words = [f"--ServerApp.{name}={value}" for name, value in told.items()]
        words += [f"--IdentityProvider.token={self.token}", "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=",
                  "--LabApp.extension_manager=readonly", "--no-browser", "--allow-root"]  # fmt: skip
        self.log = (self.folder / "server.log").open("w")
        self.process = subprocess.Popen([sys.executable, "-m", "jupyterlab", *words], stdout=self.log, stderr=self.log,
                                        cwd=self.folder, env=os.environ | own | {"OMP_NUM_THREADS": "1"})  # fmt: skip
        until = time.monotonic() + SOON / 1000
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("JupyterLab did not start:\n" + (self.folder / "server.log").read_text()[-3000:])
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            return self.asked("api/status") is not None
        except OSError:
            return False

    def asked(self, what: str):
        """An answer of the server's own interface."""
        request = urllib.request.Request(f"{self.url}/{what}", headers={"Authorization": f"token {self.token}"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def busy(self) -> list[str]:
        """The kernels that have not finished."""
        return [one["id"] for one in self.asked("api/kernels") if one["execution_state"] != "idle"]

    def stop(self) -> None:
        """End it, and its kernels with it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


@contextmanager
def serving(folder: Path, **parameters: object) -> Iterator[Server]:
    """A server over a copy of the notebooks with these parameters; it ends whatever happens."""
    copy_notebooks(folder / "notebooks", **parameters)
    server = Server(folder)
    try:
        server.start()
        yield server
    finally:
        if hasattr(server, "process"):
            server.stop()


class Notebook:
    """A notebook that is open in JupyterLab. `said`: dialogs, errors of the page, and requests to other hosts."""

    def __init__(self, browser, server: Server, name: str):
        self.server, self.name, self.said = server, name, []
        self.context = browser.new_context(viewport={"width": 1366, "height": 768})
        self.context.set_default_timeout(SOON)
        self.context.route(lambda url: not url.startswith((server.url, "data:", "blob:")), self._refuse)
        self.page = self.context.new_page()
        self.page.on("dialog", self._dialog)
        self.page.on("pageerror", lambda one: self.said.append(f"error: {one}"))
        self.page.goto(f"{server.url}/lab/workspaces/{name}/tree/{name}.ipynb?token={server.token}&reset")
        self.ready()

    def _refuse(self, route) -> None:
        self.said.append(f"asked {route.request.url}")
        route.abort()

    def _dialog(self, one) -> None:
        if one.type == "beforeunload":  # a reader who leaves without saving
            return one.accept()
        self.said.append(f"dialog: {one.message}")
        one.dismiss()

    def ready(self) -> None:
        """Wait until the notebook is there and its kernel answers."""
        self.page.wait_for_function(
            "() => { const it = window.jupyterapp?.shell.currentWidget?.sessionContext;"
            "return it?.isReady && it.session?.kernel?.status == 'idle' }")  # fmt: skip

    def command(self, name: str, patience: int = SOON, **arguments: object):
        """Do what a menu's entry does, and wait for it."""
        return self.page.evaluate(
            "([name, rest, patience]) => Promise.race([jupyterapp.commands.execute(name, rest).then(done => done ?? null),"
            "new Promise((_, fail) => setTimeout(() => fail(new Error(name + ' took too long')), patience))])",
            [name, arguments, patience])  # fmt: skip

    def start(self, command: str) -> None:
        """Do what a menu's entry does that runs cells, without waiting for it."""
        self.began = time.monotonic()
        self.page.evaluate("name => { window.running = jupyterapp.commands.execute(name); return null }", command)

    def ended(self) -> float:
        """Wait until what `start` started has ended. Seconds since then."""
        self.page.evaluate(
            "patience => Promise.race([window.running.then(() => null), new Promise((_, fail) =>"
            "setTimeout(() => fail(new Error('The cells took too long')), patience))])", PATIENCE)  # fmt: skip
        self.idle()
        return time.monotonic() - self.began

    def idle(self, patience: int = PATIENCE) -> None:
        """Wait until the kernel says that it is idle. It says so too when it has answered a widget while a cell runs: see `ended`."""
        self.page.wait_for_function(
            "() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.status == 'idle'", timeout=patience)  # fmt: skip

    def errors(self) -> list[str]:
        """Tracebacks below the cells, by their last line."""
        return self.page.evaluate(
            "() => [...jupyterapp.shell.currentWidget.content.model.cells].flatMap(cell => cell.toJSON().outputs ?? [])"
            ".filter(one => one.output_type == 'error').map(one => one.ename + ': ' + one.evalue)")  # fmt: skip

    def unrun(self) -> int:
        """Code cells that have not been run."""
        return self.page.evaluate(
            "() => [...jupyterapp.shell.currentWidget.content.model.cells].map(cell => cell.toJSON())"
            ".filter(one => one.cell_type == 'code' && one.source && !one.execution_count).length")  # fmt: skip

    def cell(self, text: str):
        """The first code cell that holds this text, in view; folded sections are opened for it."""
        self.command("notebook:expand-all-headings")
        found = self.page.evaluate(
            "text => { const all = jupyterapp.shell.currentWidget.content;"
            "const i = all.widgets.findIndex(one => one.model.type == 'code' && one.model.sharedModel.getSource().includes(text));"
            "if (i >= 0) { all.activeCellIndex = i; all.mode = 'command'; all.widgets[i].node.dataset.held = text; }"
            "return i }", text)  # fmt: skip
        assert found >= 0, f"{self.name} has no code cell with {text!r}"
        self.page.evaluate("i => jupyterapp.shell.currentWidget.content.scrollToItem(i, 'start')", found)
        cell = self.page.locator(f'.jp-Cell[data-held="{text}"]')
        cell.locator(".jp-OutputArea").first.scroll_into_view_if_needed()
        return cell

    def run_down_to(self, text: str):
        """Run every cell above the one with this text, and that one. The cell."""
        cell = self.cell(text)
        self.command("notebook:run-all-above", PATIENCE)
        self.start("notebook:run-cell")
        self.ended()
        return cell

    def reload(self) -> None:
        """What the browser's button does, unsaved changes or not."""
        self.page.reload()
        self.ready()

    def shoot(self, what: str, at=None) -> None:
        """Screenshots of where `at` is, or of the notebook's beginning."""

        def into(theme: str) -> None:
            self.command("apputils:change-theme", theme=f"JupyterLab {theme.capitalize()}")
            self.page.locator("#jupyterlab-splash").wait_for(state="detached")
            self.page.wait_for_function(f"() => document.body.dataset.jpThemeLight == '{str(theme == 'light').lower()}'")

        def settle() -> None:
            if at is None:
                self.page.evaluate("() => jupyterapp.shell.currentWidget.content.scrollToItem(0, 'start')")
            else:
                at.evaluate("node => node.scrollIntoView({block: 'center'})")
            self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

        shoot(self.page, f"{self.name}-{what}", into, settle)

    def close(self) -> None:
        self.context.close()
