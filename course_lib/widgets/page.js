// What all widgets of the course share: making elements, keys that JupyterLab must not take, and
// what stands in for a widget until it has drawn itself.

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// What takes the focus has this attribute, or JupyterLab takes its arrow keys as shortcuts.
const OWN_KEYS = { "data-lm-suppress-shortcuts": "true" };

let count = 0;
function uniqueId(what) {
  count += 1;
  return `${what}-${count}-${Math.random().toString(36).slice(2, 8)}`;
}

// Hide what stands in for a widget while the widget stands in its place; give back how to undo it.
// By a rule and not by touching the element, which may come into the page after the widget. In print
// it stands.
function hideStill(id) {
  const rule = `@media not print { #${CSS.escape(id)} > div { display: none } }`;
  const style = document.head.appendChild(element("style", {}, rule));
  return () => style.remove();
}
