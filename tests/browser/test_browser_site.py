"""The site, read from disk by a browser that has no network: every page, on a phone and on a screen, in light and in dark."""

from __future__ import annotations

import subprocess
import sys

import pytest
from in_browser import ROOT, SOON, browser, needed, shoot, sizes

needed()

PAGES = sorted([path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")] + ["index", "glossary", "search", "genindex"])
PHONE = {"width": 390, "height": 844}

# Text whose colour hardly differs from what is behind it: [ratio, text]. Contrast as WCAG has it, colours blended as they lie.
PALE = """
() => {
  const paint = document.createElement('canvas').getContext('2d', {willReadFrequently: true})
  const colours = new Map()
  const rgba = (text) => {
    if (!colours.has(text)) {
      paint.clearRect(0, 0, 1, 1); paint.fillStyle = text; paint.fillRect(0, 0, 1, 1)
      const [r, g, b, a] = paint.getImageData(0, 0, 1, 1).data
      colours.set(text, [r, g, b, a / 255])
    }
    return colours.get(text)
  }
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]))
  const behind = (node) => {
    if (!node) return rgba(getComputedStyle(document.body).backgroundColor).slice(0, 3)
    const own = rgba(getComputedStyle(node).backgroundColor)
    return own[3] == 1 ? own.slice(0, 3) : over(own, behind(node.parentElement))
  }
  const light = (c) => c.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0)
  const found = [], seen = new Set()
  const walk = document.createTreeWalker(document.querySelector('.main, main, body'), NodeFilter.SHOW_TEXT)
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement, text = walk.currentNode.textContent.trim()
    if (!text || seen.has(node) || node.closest('script, style, noscript, svg, .headerlink') || !node.checkVisibility()) continue
    seen.add(node)
    const back = behind(node), front = over(rgba(getComputedStyle(node).color), back)
    const [a, b] = [light(back), light(front)].sort((x, y) => y - x)
    const ratio = (a + 0.05) / (b + 0.05)
    if (ratio < 3) found.push([Math.round(ratio * 100) / 100, text.slice(0, 60)])
  }
  return found
}
"""


# What reaches beyond the right edge and can be reached in no way: neither it nor anything around it scrolls.
CUT = """
() => [...document.querySelectorAll('article *')].filter(node => {
  if (!node.checkVisibility() || node.closest('svg, mjx-assistive-mml, .headerlink, .visually-hidden')) return false
  if (node.getBoundingClientRect().right <= innerWidth + 1) return false
  for (let around = node; around.tagName != 'ARTICLE'; around = around.parentElement)
    if (/auto|scroll/.test(getComputedStyle(around).overflowX)) return false
  return true
}).map(node => node.tagName + ' ' + node.className + ': ' + node.textContent.trim().slice(0, 40))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run([sys.executable, ROOT / "docs" / "build.py", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


class Reader:
    """Somebody with a phone and without a network who reads the site; `said`: whatever went wrong on the way."""

    def __init__(self, chromium, site):
        self.site, self.said = site, []
        self.context = chromium.new_context(viewport=PHONE)
        self.context.set_offline(True)
        self.context.set_default_timeout(SOON)
        self.page = self.context.new_page()
        self.page.on("request", lambda one: None if one.url.startswith(("file:", "data:", "blob:")) else self.said.append(one.url))
        self.page.on("requestfailed", lambda one: self.said.append(f"failed: {one.url}"))
        self.page.on("console", lambda one: self.said.append(one.text) if one.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda one: self.said.append(str(one)))

    def open(self, name, question=""):
        """Go to a page and wait until its formulas are set and its pictures there."""
        self.page.goto((self.site / f"{name}.html").as_uri() + question)
        if self.page.locator(".math").count():
            self.page.wait_for_function("() => window.MathJax?.startup?.promise")
            self.page.evaluate("() => MathJax.startup.promise.then(() => null)")
        self.page.evaluate("() => Promise.all([...document.images].map(one => { one.loading = 'eager'; return one.decode().catch(() => 0) }))")
        return self

    def shoot(self, name):
        shoot(self.page, f"site-{name}", lambda theme: self.page.emulate_media(color_scheme=theme),
              wanted=[tuple(PHONE.values()), *sizes()])


@pytest.fixture(scope="module")
def reader(chromium, site):
    made = Reader(chromium, site)
    yield made
    made.context.close()


@pytest.fixture(scope="module", params=PAGES)
def opened(chromium, site, request):
    """One reader a page, for all that is asked of every page."""
    made = Reader(chromium, site).open(request.param)
    yield made
    made.context.close()


def test_a_page_needs_no_network_and_has_no_errors(opened):
    """A script, a font or a picture of another host, or one that is not there."""
    assert opened.said == []
    assert opened.page.locator("img").evaluate_all("all => all.filter(one => !one.naturalWidth).map(one => one.src)") == []


def test_formulas_are_set(opened):
    """Raw TeX, or a formula with an error in red."""
    assert opened.page.locator("mjx-container").count() == opened.page.locator(".math").count()
    assert opened.page.locator("mjx-merror, [data-mjx-error]").count() == 0


def test_solutions_are_folded(opened):
    """A solution that is read before the exercise is."""
    assert opened.page.locator("article details[open]").count() == 0


def test_a_phone_s_page_need_not_be_pushed_to_the_side(opened):
    """A table, a picture or a line of code that is wider than the screen and does not scroll within itself."""
    assert opened.page.evaluate("() => document.scrollingElement.scrollWidth") <= PHONE["width"]
    assert opened.page.evaluate(CUT) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_pale(opened, scheme):
    """Text in a colour that was made for the other theme."""
    opened.page.emulate_media(color_scheme=scheme)
    opened.page.locator("article details").evaluate_all("all => all.forEach(one => { one.open = true })")
    assert opened.page.evaluate(PALE) == []


def test_tokens_are_seen_with_their_colours(reader):
    """The strips of slow motion, without which a reader on paper or on a phone sees nothing move."""
    tokens = reader.open("02_dpo").page.locator('article span[title$=" nats"]')
    assert tokens.count() > 20 and tokens.first.is_visible()
    assert len(set(tokens.evaluate_all("all => all.map(one => getComputedStyle(one).backgroundColor)"))) > 5
    reader.shoot("02_dpo-top")
    tokens.first.evaluate("one => one.scrollIntoView({block: 'center'})")
    reader.shoot("02_dpo-tokens")


def test_a_solution_opens(reader):
    """Solutions that stay shut, or that are no more than a heading."""
    solution = reader.open("02_dpo").page.locator("article details").first
    assert not solution.locator("p").first.is_visible()
    solution.locator("summary").click()
    assert solution.locator("p").first.is_visible()


def test_search_finds_notebooks_from_disk(reader):
    """A search that waits for a server."""
    found = reader.open("search", "?q=margin").page.locator("#search-results li a[href*='02_dpo']").first
    found.wait_for()
    reader.shoot("search")
    found.click()
    reader.page.wait_for_url("**/02_dpo.html*")
    assert reader.said == []
