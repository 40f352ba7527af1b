// Definitions of glossary terms: the style sheet shows them where a mouse hovers or a key leads.
// This script adds what it cannot: the first tap shows one and only the second follows the link,
// Escape puts it away, and the browser does not show the same text a second time.

for (const term of document.querySelectorAll("a[data-definition]")) {
  term.setAttribute("aria-description", term.dataset.definition); // as the title did
  term.removeAttribute("title");
  let shown = false; // before this tap

  term.addEventListener("pointerdown", () => {
    shown = term === document.activeElement && !term.classList.contains("is-closed");
  });
  term.addEventListener("click", (event) => {
    if (event.pointerType === "touch" && !shown) {
      event.preventDefault();
      term.classList.remove("is-closed");
      term.focus();
    }
  });
  for (const leave of ["blur", "pointerleave"]) {
    term.addEventListener(leave, () => term.classList.remove("is-closed"));
  }
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const term of document.querySelectorAll("a[data-definition]:is(:hover, :focus)")) {
    term.classList.add("is-closed");
  }
});
