"""What other packages write into pages that some readers would get wrong.

Each replacement stands for a fault that axe-core reports as serious. The buttons round the page are
in `book/templates`, the colours in `book/static/course.css`.
"""

REPLACEMENTS = {
    # MyST-NB: the label says less than the visible text that it hides, "Show code cell source".
    '<summary aria-label="Toggle hidden content">': "<summary>",
    # Docutils: a list of what are no list items. The entries say themselves what they are.
    '<div role="list" class="citation-list">': '<div class="citation-list">',
}


def mend(app, page, template, context, doctree):
    if "body" in context:
        for written, meant in REPLACEMENTS.items():
            context["body"] = context["body"].replace(written, meant)


def setup(app):
    app.connect("html-page-context", mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
