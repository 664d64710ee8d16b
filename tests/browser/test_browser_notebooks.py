"""Notebooks in JupyterLab, as a reader has them: every cell runs, and what can be moved, typed and pressed does what it says.

The notebooks are copies with few prompts and answers; what they train is ready-made but for what they train before your eyes.
All start at once, so that two cores have something to do, and are asked when all have ended.
"""

from __future__ import annotations

import json
import re

import pytest
from in_browser import SOON, browser, needed

needed()

import lab

NAMES = ("02_dpo", "04_dppo", "11_leaderboard", "12_be_the_annotator")
SMALL = dict(test_prompts=24, draws=1)
HOSTILE = ('<img src=x onerror=alert(1)> & "quotes"', "What is $x$, or $y_1$ and \\(z\\)?", "Which bird is this: 🦉🏳️‍🌈?",
           "ما هو هذا الطائر؟ owl", "<script>alert(2)</script>*bold* [a](javascript:alert(3))")  # fmt: skip

# Notes the time from the next key or release of the mouse until `node` has been drawn anew.
WATCH = """
node => {
  let began = null
  window.redrawn = null
  for (const kind of ['keydown', 'pointerup']) document.addEventListener(kind, () => { began ??= performance.now() }, {capture: true})
  const watch = new MutationObserver(() => {
    if (began === null) return
    watch.disconnect()
    requestAnimationFrame(() => { window.redrawn = performance.now() - began })
  })
  watch.observe(node, {childList: true, subtree: true, characterData: true, attributes: true})
}
"""
BYTES = "async image => Array.from(new Uint8Array(await (await fetch(image.src)).arrayBuffer())).join()"


@pytest.fixture(scope="module")
def books(tmp_path_factory):
    """{name: an open notebook whose cells have all run}."""
    with browser() as chromium, lab.serving(tmp_path_factory.mktemp("lab"), **SMALL) as server:
        opened = {name: lab.Notebook(chromium, server, name) for name in NAMES}
        for one in opened.values():
            one.start("notebook:run-all-cells")
        for one in opened.values():
            one.seconds = one.ended()
        yield opened
        for one in opened.values():
            one.close()


def widget(cell, label):
    """The widget in a cell's output that has a slider with this label, and that slider's handle."""
    control = cell.page.locator(".widget-inline-hbox", has=cell.page.get_by_text(label, exact=True))
    found = cell.locator(".widget-vbox", has=control).last
    return found, found.locator(control).locator(".noUi-handle")


def until_redrawn(page, patience=SOON):
    """Milliseconds from the key, or the mouse's release, to the change."""
    page.wait_for_function("() => window.redrawn !== null", timeout=patience)
    return round(page.evaluate("() => window.redrawn"))


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_runs_in_the_browser(books, name, record_property):
    """A cell that fails in JupyterLab alone, or a page that shows an error, opens a dialog or asks another host."""
    book = books[name]
    record_property(f"{name}, all cells, s", round(book.seconds))
    book.shoot("top")
    assert (book.errors(), book.unrun(), book.server.busy(), book.said) == ([], 0, [], [])


def test_a_key_moves_the_loss_explorer_and_its_picture_follows(books, record_property):
    """Sliders that move and change nothing, or that the keyboard cannot move."""
    book = books["02_dpo"]
    explorer, handle = widget(book.cell("explorer.show("), "d_chosen")
    picture = explorer.locator("svg")
    before, value = picture.screenshot(), handle.get_attribute("aria-valuenow")
    explorer.locator(".widget-html-content").last.evaluate(WATCH)
    handle.focus()
    handle.press("ArrowRight")
    record_property("loss explorer, from key to picture, ms", until_redrawn(book.page))
    assert float(handle.get_attribute("aria-valuenow")) == float(value) + 0.5
    assert picture.screenshot() != before
    book.shoot("explorer", explorer)


def test_a_number_in_the_formula_is_dragged_with_its_slider_and_the_picture(books, record_property):
    """A formula that stands still while the sliders move, or whose numbers cannot be taken hold of."""
    book = books["02_dpo"]
    explorer, handle = widget(book.cell("explorer.show("), "beta")
    number = explorer.locator(".prefnb-formula [data-name=beta]")
    number.scroll_into_view_if_needed()
    before, value, box = explorer.locator("svg").screenshot(), float(number.text_content()), number.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    book.page.mouse.move(x, y)
    book.page.mouse.down()
    book.page.mouse.move(x + 60, y, steps=6)
    book.page.mouse.up()
    wanted = f"{value + 0.1:.2f}"  # a step for every six pixels
    book.page.wait_for_function("([handle, wanted]) => Number(handle.getAttribute('aria-valuenow')).toFixed(2) == wanted",
                                arg=[handle.element_handle(), wanted])  # fmt: skip
    assert number.text_content() == wanted
    explorer.get_by_text(f"beta {float(wanted):g}", exact=False).wait_for()
    assert explorer.locator("svg").screenshot() != before
    book.shoot("formula", explorer)
    explorer.locator(".widget-html-content").last.evaluate(WATCH)
    number.press("ArrowLeft")
    record_property("formula, from key to picture, ms", until_redrawn(book.page))


def test_slow_motion_goes_on_and_back(books):
    """A slider whose steps show the same tokens, or that does not go back to where it was."""
    book = books["02_dpo"]
    film, handle = widget(book.cell("slow_motion.show("), "step")
    seen = []
    for key, step in (("Home", 0), ("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", 8)):
        handle.press(key)
        film.get_by_text(f"After {step} of 8 steps").wait_for()
        seen.append(film.locator("[title$=' nats']").evaluate_all("all => all.map(one => one.title)"))
    assert seen[1] == seen[3] and len({tuple(one) for one in seen}) == 4
    book.shoot("slow_motion", film)


def test_a_released_slider_trains_and_adds_an_attempt(books, record_property):
    """A slider that trains while it is dragged, or that shows no more than what was there."""
    book = books["02_dpo"]
    cell = book.cell("by_hand.show(")
    retrainer, handle = widget(cell, "beta")
    told, image = retrainer.locator(".widget-html-content").last, retrainer.locator("img")
    before = image.evaluate(BYTES)
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    book.page.mouse.move(x, y)
    book.page.mouse.down()
    book.page.mouse.move(x + 60, y, steps=6)
    book.idle()
    assert image.evaluate(BYTES) == before  # not before it is let go
    image.evaluate(WATCH)
    book.page.mouse.up()
    record_property("retrain, from release to picture, ms", until_redrawn(book.page, lab.PATIENCE))
    book.idle()
    value = re.search(r"^beta (\S+): .*papermill 02_dpo\.ipynb out\.ipynb -p beta \1$", told.inner_text())
    assert value and float(value[1]) > 0.1, told.inner_text()
    assert image.evaluate(BYTES) != before
    book.shoot("retrain", retrainer)


def test_training_stops_at_the_button_and_says_so(books):
    """A run that can be stopped only by stopping the kernel, or a traceback in its place."""
    book = books["02_dpo"]
    cell = book.cell("live=plots.LiveFigure()")
    book.start("notebook:run-cell")
    button = cell.get_by_role("button", name="Stop training here")
    button.click(timeout=lab.PATIENCE)
    told = cell.get_by_text("Training was stopped by hand after")
    told.wait_for()
    book.ended()
    book.shoot("stopped", told)
    book.idle()
    assert book.errors() == [] and button.count() == 0


@pytest.mark.parametrize("prompt", HOSTILE)
def test_the_chat_answers_and_shows_every_text_as_text(books, prompt, record_property):
    """Markup of a prompt that becomes markup of the page."""
    book = books["11_leaderboard"]
    chat = book.cell("chat.show(").locator(".widget-vbox", has=book.page.locator("input[type=text]")).last
    shown = chat.locator(".widget-html-content").last
    box = chat.locator("input[type=text]")
    shown.evaluate(WATCH)
    box.fill(prompt)
    box.press("Enter")
    record_property("chat, from Enter to four answers, ms", until_redrawn(book.page))
    assert shown.locator("b").first.text_content() == prompt
    assert [shown.get_by_text(name, exact=True).count() for name in ("SFT", "dpo", "kto", "rloo")] == [1] * 4
    assert shown.locator("img, script, a, em, mjx-container").count() == 0
    book.shoot(f"chat-{HOSTILE.index(prompt)}", chat)
    assert book.said == []


def test_five_labels_by_the_keyboard_are_there_after_a_reload(books, record_property):
    """A label that the next pair overtakes, keys that the notebook takes for its own, or labels that a closed tab loses."""
    book = books["12_be_the_annotator"]
    cell = book.cell("widget.show()")
    annotator = cell.locator(".prefnb-annotator")
    annotator.focus()
    cells, waits = book.page.locator(".jp-Cell").count(), []
    for done, key in enumerate(("ArrowLeft", "ArrowRight", "ArrowDown", "ArrowLeft", "z", "ArrowRight", "ArrowLeft")):
        pair = annotator.get_attribute("data-pair")
        annotator.evaluate(WATCH)
        annotator.press(key)
        waits.append(until_redrawn(book.page))
        book.page.wait_for_function("([node, pair]) => node.dataset.pair != pair", arg=[annotator.element_handle(), pair])
        if done == 0:
            book.shoot("annotator", annotator)
    record_property("annotator, from key to next pair, ms", waits)
    assert annotator.locator(".progress").inner_text().startswith("5 of ")
    kept = book.server.notebooks / "runs" / "annotations" / "12_be_the_annotator.jsonl"
    assert len([json.loads(line) for line in kept.read_text().splitlines()]) == 7  # five, one more, and one taken back
    assert book.page.locator(".jp-Cell").count() == cells
    following = annotator.get_attribute("data-pair")
    book.reload()
    again = book.run_down_to("widget.show()").locator(".prefnb-annotator")
    assert again.locator(".progress").inner_text().startswith("5 of ")
    assert again.get_attribute("data-pair") == following
    assert book.said == []
