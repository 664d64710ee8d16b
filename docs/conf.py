"""The book as a site: `make site`. Sphinx reads the notebooks as `make book` executed them, and asks no other host for
anything."""

project = "prefnb"
copyright = "the prefnb authors, Apache-2.0"  # noqa: A001: Sphinx's own name
extensions = ["myst_nb", "sphinx-mathjax-offline"]
html_theme = "furo"
html_title = "prefnb"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_js_files = ["from_disk.js"]
nb_execution_mode = "off"  # what is shown is what `make book` has executed
nb_ipywidgets_js = {}  # widgets have a picture before them; their scripts would come from another host
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", 0)]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
suppress_warnings = [
    "mystnb.unknown_mime_type",
    "myst.header",
]  # a widget's place; a notebook may begin a section at ###
