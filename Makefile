# Thin: what is longer than a line is in tools/. Every target sets up what it needs.
#   make book PYTHON=/path/to/python3.12    makes .venv with that Python

PYTHON ?=
# tools/bootstrap.py runs under any Python and looks for a fitting one itself.
START := $(shell for p in python3 python py; do if $$p -c "" >/dev/null 2>&1; then echo $$p; break; fi; done)
ifeq ($(OS),Windows_NT)
RUN := .venv/Scripts/python
else
RUN := .venv/bin/python
endif

.DEFAULT_GOAL := help
.PHONY: help env book site-zip pdf test bench lab serve course grade grade-demo clean-notebooks clean
# Two targets at once would build the site into the same folder.
.NOTPARALLEL:

help:
	@echo "make book             build the site: run the notebooks, check every link, into _build/html"
	@echo "make site-zip         build the site and pack it, for readers without a network"
	@echo "make pdf              build the site and print it into one PDF; ARGUMENTS=\"--answers --no-code\""
	@echo "make test             lint, tests, the strict build, every notebook, the site in a browser"
	@echo "make bench            measure beside other libraries, into benchmarks/results"
	@echo "make lab              open JupyterLab on the notebooks"
	@echo "make serve            show the built site at http://localhost:8000"
	@echo "make course           make a course's folder with the problem sets for students, into course"
	@echo "                      SECRET=FILE names what draws their numbers; it is made if missing"
	@echo "make grade            grade what is handed in: make grade SET=pruning, in course"
	@echo "                      ARGUMENTS=\"--again ID\" grades a student once more"
	@echo "make grade-demo       grade a simulated class of 30, into results/grade-demo.json"
	@echo "make clean-notebooks  take the outputs out of the notebooks, as they are committed"
	@echo "make clean            delete _build"
	@echo "make env              make or repair .venv; every target above does this by itself"

env:
	@"$(or $(START),$(PYTHON),python3)" -c "" || { echo "No Python found. Install Python 3.11, 3.12 or 3.13."; exit 1; }
	@"$(or $(START),$(PYTHON),python3)" tools/bootstrap.py $(if $(PYTHON),--python "$(PYTHON)")

book: env
	@$(RUN) tools/build_book.py

site-zip: book
	@$(RUN) tools/build_book.py --zip

pdf: book
	@$(RUN) tools/make_pdf.py $(ARGUMENTS)

test: env
	@$(RUN) tools/run_tests.py

bench: env
	@$(RUN) tools/bench.py

lab: env
	@$(RUN) -m jupyterlab

serve: env
	@test -f _build/html/index.html || { echo "There is no site yet: run make book."; exit 1; }
	@$(RUN) -m http.server --bind 127.0.0.1 --directory _build/html 8000

course: env
	@$(RUN) -m course_lib.coursework course --folder course $(if $(SECRET),--secret "$(SECRET)")

grade: env
	@$(RUN) -m course_lib.coursework grade $(or $(SET),pruning) --folder course $(ARGUMENTS)

grade-demo: env
	@$(RUN) -m course_lib.coursework grade-demo --write results/grade-demo.json

clean-notebooks: env
	@$(RUN) tools/notebooks.py clean

clean:
	rm -rf _build
