"""The API page says what a reader wants to know, and not how Python keeps it.

Sphinx lists each field of a named tuple as "Alias for field number 0". That says nothing: the
signature names the fields, and the docstring explains them. Of a widget it shows the signature of
traitlets' own `__new__`, which takes anything; what a widget takes stands in its `__init__`.
"""

from inspect import isclass

import traitlets
from sphinx.util.inspect import signature, stringify_signature


def skip_aliases(app, what, name, obj, skip, options):
    return (
        True if (getattr(obj, "__doc__", "") or "").startswith("Alias for field number") else None
    )


def show_what_widgets_take(app, what, name, obj, options, arguments, returned):
    if isclass(obj) and issubclass(obj, traitlets.HasTraits):
        taken = signature(obj.__init__, bound_method=True)
        return stringify_signature(taken, unqualified_typehints=True), returned
    return None


def setup(app):
    app.connect("autodoc-process-signature", show_what_widgets_take)
    app.connect("autodoc-skip-member", skip_aliases)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
