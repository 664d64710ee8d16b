import re
from html import unescape

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from notebook_source import NOTEBOOKS

from prefnb import widgets
from prefnb.judges import Scores

EVIL = "<script>alert('hi')</script> & $x$"


def ask(text):
    return [{"role": "user", "content": text}]


def tags(html):
    return set(re.findall(r"</?([a-zA-Z]+)", html))


def test_no_text_of_a_model_becomes_markup():
    """A <script> would run in the reader's browser; prompts, labels and categories count too."""
    scores = {EVIL: Scores(np.array([1.0]), {EVIL: np.array([0.5])})}
    table = widgets.responses_html([ask(EVIL)], {EVIL: [EVIL]}, scores, [EVIL], rows=[0])
    tokens = widgets.tokens_html([EVIL, EVIL], [True, False])
    for html in (table, tokens):
        assert "script" not in tags(html)
        assert "&lt;script&gt;" in html and "&amp;" in html
    assert table.count("&lt;script&gt;") == 5
    assert 'class="tex2jax_ignore mathjax_ignore"' in table  # nor mathematics


def test_each_response_stands_under_its_label():
    """Columns out of order would praise the wrong model."""
    table = widgets.responses_html(
        [ask("q0"), ask("q1")],
        {"SFT": ["s0", "s1"], "DPO": ["d0", "d1"]},
        {"SFT": Scores(np.array([1.0, 2.0])), "DPO": Scores(np.array([3.0, 4.0]))},
        rows=[1],
    )
    words = re.sub(r"<[^>]*>", " ", table).split()
    assert words == ["SFT", "DPO", "q1", "s1", "score", "2.00", "d1", "score", "4.00"]


def test_the_mask_decides_what_is_bold():
    """Prompt tokens shown as trained on would teach the wrong thing."""
    html = widgets.tokens_html(["Hi", "\n", "yes", "<|im_end|>"], [0, 0, 1, 1])
    assert re.findall(r"<b style[^>]*>(.*?)</b>", html) == ["yes", "&lt;|im_end|&gt;"]
    assert "&#8629;</span><br>" in html and "2 response tokens" in html


def test_of_several_draws_the_first_stands_there_with_its_own_score():
    """The second draw's text, or the mean of the scores beside the first, would be another answer's score."""
    scores = {"DPO": Scores(np.array([[1.0, 2.0], [3.0, 4.0]]), {"fluency": np.array([[0.1, 0.2], [0.3, 0.4]])})}
    table = widgets.responses_html([ask("q0"), ask("q1")], {"DPO": ["a0", "b0", "a1", "b1"]}, scores, rows=[1])
    words = re.sub(r"<[^>]*>", " ", table).split()
    assert words == ["DPO", "q1", "a1", "score", "3.00", "(fluency", "0.30)"]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: widgets.tokens_html(["a"], [1, 0]), "1 tokens but 2 mask"),
        (lambda: widgets.responses_html([ask("q")], {"SFT": []}), "0 responses for 'SFT'"),
        (lambda: widgets.responses_html([ask("q")], {"A": ["a"]}, {"A": Scores(np.zeros(2))}), "2 scores"),
    ],
)
def test_lists_of_different_lengths_are_refused(call, message):
    """A shifted list would show each response under another's prompt."""
    with pytest.raises(ValueError, match=message):
        call()


def test_the_browser_shows_the_category_chosen():
    """The slider counts within the category; leaving it at the end of a longer one must not fail."""
    prompts = [ask(f"q{i}") for i in range(4)]
    box = widgets._browser(prompts, {"SFT": list("abcd")}, None, ["x", "y", "x", "x"])
    (menu, slider), table = box.children[0].children, box.children[1]
    assert menu.options == ("all categories", "x", "y") and "q0" in table.value
    menu.value = "x"
    slider.value = 2
    assert "q3" in table.value
    menu.value = "y"
    assert slider.max == 0 and "q1" in table.value and ">b<" in table.value


def test_a_saved_notebook_shows_three_prompts_without_widgets():
    """What only a widget holds is lost to readers of the saved notebook."""
    source = (
        "from prefnb.widgets import show_responses, show_tokens\n"
        "prompts = [[{'role': 'user', 'content': f'q{i}'}] for i in range(5)]\n"
        "show_responses(prompts, {'SFT': list('abcde')}, categories=list('xyxyx'))\n"
        "show_tokens(['a', 'b'], [0, 1])"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    table, browser, tokens = notebook.cells[0].outputs
    assert all(f"q{i}" in table.data["text/html"] for i in range(3)) and "q3" not in table.data["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in browser.data
    assert browser.data["text/plain"] == "Run this notebook to browse all the prompts here."
    assert "text/html" in tokens.data


def test_a_table_has_a_header_and_a_line_for_every_row(monkeypatch):
    """Markdown without its second line is a paragraph of bars."""
    shown = []
    monkeypatch.setattr(widgets, "display", shown.append)
    widgets.show_table(["policy", "rate"], ["SFT", 0.5])
    assert shown[0].data == "| policy | rate |\n| --- | --- |\n| SFT | 0.500 |"


HOSTILE = [
    '<iframe src="https://example.org"></iframe>',
    '<img src=x onerror="alert(1)">',
    "![a picture](https://example.org/x.png) [a link](javascript:alert(1)) https://example.org",
    "| a | cell |\n|---|---|\n# heading\n- item\n```code```",
    "$\\undefinedmacro$ \\(x\\) $$y$$ `tick` *star* _under_ ~~gone~~ &lt;b&gt;",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_data_stays_text_in_markdown(text):
    """Three live iframes stood in the exported 02, and an <img onerror> from the category column in 07."""
    from nbconvert.filters.markdown_mistune import markdown2html_mistune

    shown = markdown2html_mistune(f"One of them: | **{widgets.escaped(text)}** |")
    assert tags(shown) <= {"p", "span", "br", "strong"} and shown.count("<span") == 1
    assert "mathjax_ignore" in shown
    words = unescape(re.sub(r"<br\s*/?>", "\n", shown.partition("mathjax_ignore")[2].partition(">")[2]))
    assert words.partition("</span>")[0].replace("\n\n", "\n") == text


@pytest.mark.parametrize("name", ["00_pocket_world", "02_dpo", "07_self_improvement"])
def test_the_notebooks_that_write_data_into_markdown_escape_it(name):
    """Every place in their Markdown where a text of the data or the model goes in."""
    source = (NOTEBOOKS / f"{name}.py").read_text(encoding="utf-8")
    places = {"00_pocket_world": "escaped(one.text)", "02_dpo": "escaped(text[:600])"}
    assert places.get(name, "escaped(', '.join(chosen_categories)") in source
    assert not re.search(r"Markdown\(f?\"[^\n]*\{(one\.text|html\.escape|', '\.join\(chosen_categories)", source)


def test_what_is_explored_follows_its_controls_without_an_output_widget(monkeypatch):
    """`interact`'s Output widget made headless runs wait for ever, now and then."""
    import ipywidgets

    shown = []
    monkeypatch.setattr(widgets, "show_widget", lambda widget, instead: shown.append(widget))
    name, times = ipywidgets.Text("a"), ipywidgets.IntSlider(1, 1, 5)
    widgets.explore(lambda name, times: f"<b>{name * times}</b>", name=name, times=times)
    (box,) = shown
    assert "<b>a</b>" in box.children[-1].value
    name.value, times.value = "b", 3
    assert "<b>bbb</b>" in box.children[-1].value
    assert not [one for one in box.children if isinstance(one, ipywidgets.Output)]


def test_strips_say_by_colour_and_line_which_tokens_gained_and_are_no_markup():
    """A gain drawn as a loss; text of a model run as HTML; tokens and numbers that do not belong together."""
    shown = widgets.strips_html([("chosen", ["<b>", "no"], [1.0, -4.0])])
    first, second = shown.split("<span ")[1:]
    assert "0,114,178,0.33" in first and "underline" in first and "+1.00 nats" in first and "&lt;b&gt;" in first
    assert "213,94,0,0.65" in second and "underline" not in second.split(">")[0] and "-4.00 nats" in second
    assert "-3.0 nats in all" in shown and "<b><" not in shown
    with pytest.raises(ValueError, match="2 tokens but 1 values"):
        widgets.strips_html([("chosen", ["a", "b"], [1.0])])
