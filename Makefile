# make run    executes the DPPO notebook and prints the win rates it measured
# make test   unit tests, then every notebook at its defaults
# make browser-test   notebooks and site in a browser, which it installs if it may; SCREENSHOTS=all: both themes and sizes
# make lab    opens JupyterLab, with notebook 00
# make book   executes every notebook in place, with outputs, and refreshes figures/
# make exercises   writes the notebooks' exercises anew from notebooks/solutions
# make site   the book as a site, in build/site, without asking any other host
# make made   trains again what comes ready-made with the package (data/made)
# make rates  trains every method at every learning rate of one grid, and says which the defaults are
# make claims   trains every policy that the claims of the papers need, and measures it (data/claims); may be interrupted
# make torture   kills, damage and nonsense, with counts of what held
# make edited    edits the loss in every notebook that shows one, and runs it to its end
# make world-report   measures what the pocket world promises
PYTHON ?= python3
BIN := .venv/bin
# A file a process, a thread a process: models this small gain little from a second thread.
AT_ONCE := -n auto --maxprocesses 4 --dist loadfile

.PHONY: run test browser-test lab book exercises site made rates claims torture edited world-report

run: .venv/installed
	mkdir -p runs
	$(BIN)/papermill notebooks/04_dppo.ipynb runs/04_dppo.ipynb -p alpha 10
	$(BIN)/python -m prefnb summary runs/04_dppo runs/04_dppo.ipynb

test: .venv/installed
	$(BIN)/pytest $(AT_ONCE) --ignore=tests/browser tests
	OMP_NUM_THREADS=1 $(BIN)/pytest $(AT_ONCE) --nbmake --nbmake-timeout=900 notebooks

browser-test: .venv/browser
	sh tests/browser/get_chromium.sh
	OMP_NUM_THREADS=1 $(BIN)/pytest -rs tests/browser

lab: .venv/installed
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks/00_pocket_world.ipynb

book: .venv/installed
	$(BIN)/python -m prefnb.book

exercises: .venv/installed
	$(BIN)/python -m prefnb.solutions

site: .venv/installed
	$(BIN)/python docs/build.py

made: .venv/installed
	$(BIN)/python -m prefnb.made

rates: .venv/installed
	$(BIN)/python -m prefnb.learning_rates

claims: .venv/installed
	$(BIN)/python -m prefnb.claims

torture: .venv/installed
	cd tests && ../$(BIN)/python torture.py

edited: .venv/installed
	cd tests && ../$(BIN)/python edited.py

world-report: .venv/installed
	$(BIN)/python -m prefnb.world_report

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $@

.venv/browser: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test,browser]"
	touch $@
