// What a chapter's page offers besides its text: a switch for how much code it shows, and for the
// keyboard a link past the text to the figure that moves. Without this script the code is folded as
// its author left it.

(() => {
  const root = document.documentElement;
  const KEY = "sparse-by-experiment.code";
  const folded = [...document.querySelectorAll(".cell details.above-input:not(:has(.cell_output))")];
  let opened = []; // by the switch, and closed again by it

  function show(what) {
    root.dataset.code = what;
    for (const fold of opened) fold.open = false;
    opened = what === "all" ? folded.filter((fold) => !fold.open) : [];
    for (const fold of opened) fold.open = true;
  }

  const form = document.querySelector("form.code-switch");
  if (form) {
    let kept = null;
    try {
      kept = localStorage.getItem(KEY);
    } catch {
      // A private window, or a file's address in some browsers: the choice lasts as long as the page.
    }
    const start = [...form.elements.code].find((choice) => choice.value === kept);
    if (start) start.checked = true;
    form.hidden = false;
    if (start) show(kept);
    form.addEventListener("change", () => {
      const { value } = form.elements.code;
      // What is read stays where it is, although the code above it comes or goes.
      const before = form.getBoundingClientRect().top;
      show(value);
      scrollBy(0, form.getBoundingClientRect().top - before);
      try {
        localStorage.setItem(KEY, value);
      } catch {
        // as above
      }
    });
  }

  // A hundred buttons to copy lie between the reader and the next figure; a mouse finds them.
  const unlist = () => {
    for (const button of document.querySelectorAll("button.copybtn")) button.tabIndex = -1;
  };
  addEventListener("load", unlist);
  unlist();

  const skip = document.querySelector("#pst-skip-link, .skip-link");
  const place = document.getElementById("try-it-and-bet");
  if (skip && place) {
    const link = document.createElement("a");
    link.href = "#try-it-and-bet";
    link.textContent = "Skip to the figure";
    link.addEventListener("click", () => {
      const first = place.querySelector(".moving-figure :is(input, button, select, [tabindex='0'])");
      const target = first ?? place;
      if (!first) target.tabIndex = -1;
      setTimeout(() => target.focus()); // after the browser has gone to the anchor
    });
    skip.append(" ", link);
  }
})();
