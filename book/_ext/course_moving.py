"""A chapter's moving figure on a page that is no notebook, without the widget manager.

A figure brings its whole script and state with it (`course_lib.widgets`), so all that it needs is
something to keep the state in. What stands in for it without a script comes along.
"""

import html
import json
import re

MIME = "application/vnd.jupyter.widget-state+json"
EXPORT = re.compile(r"export default \{ render \};?\s*\Z")

# What anywidget hands to a figure, as far as figures use it.
MODEL = """
  const heard = {};
  const model = {
    get: (name) => given[name],
    set(name, value) {
      if (given[name] === value) return;
      given[name] = value;
      for (const hear of heard[`change:${name}`] ?? []) hear();
    },
    save_changes() {},
    on: (event, hear) => (heard[event] ??= []).push(hear),
    off: (event, hear) => (heard[event] = (heard[event] ?? []).filter((h) => h !== hear)),
  };"""


def first_moving(notebook):
    """The first moving figure of an executed notebook as HTML; empty if there is none."""
    states = notebook.get("metadata", {}).get("widgets", {}).get(MIME, {}).get("state", {})
    states = {name: one["state"] for name, one in states.items()}
    for cell in notebook["cells"]:
        outputs = [output.get("data", {}) for output in cell.get("outputs", [])]
        stills = "".join("".join(data.get("text/html", "")) for data in outputs)
        for data in outputs:
            view = data.get("application/vnd.jupyter.widget-view+json", {})
            state = states.get(view.get("model_id"), {})
            still = state.get("still_id")
            is_figure = EXPORT.search(state.get("_esm", "")) and "course-figure" in stills
            if still and is_figure and f'id="{still}"' in stills:
                return markup(state, stills)
    return ""


def markup(state, still):
    """A figure from its widget's state, and what stands in for it."""
    given = {name: value for name, value in state.items() if not name.startswith("_")}
    given = json.dumps(given).replace("</", "<\\/")
    code = EXPORT.sub("", state["_esm"]).replace("</script", "<\\/script")
    place = html.escape(f"moved-{state['still_id']}")
    return (
        f'<style>{state["_css"]}</style><div id="{place}"></div>{still}\n'
        f"<script>(() => {{\n{code}\n  const given = {given};{MODEL}\n"
        f'  render({{ model, el: document.getElementById("{place}") }});\n}})();</script>'
    )
