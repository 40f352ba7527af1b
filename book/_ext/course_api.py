"""The API page says what a reader wants to know, and not how Python keeps it.

Sphinx lists each field of a named tuple as "Alias for field number 0". That says nothing: the
signature names the fields, and the docstring explains them.
"""


def skip_aliases(app, what, name, obj, skip, options):
    return (
        True if (getattr(obj, "__doc__", "") or "").startswith("Alias for field number") else None
    )


def setup(app):
    app.connect("autodoc-skip-member", skip_aliases)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
