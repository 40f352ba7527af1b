"""How a chapter reads, measured in a browser of 1280 × 800: a screen is 800 pixels.

`measures` gives the figures of an open page, `faults` says which of them are past the limits that
CONTRIBUTING names. Nothing here knows pytest: tests/test_reading_pages.py runs it over the chapters
and over a page that is bad on purpose.
"""

SCREEN = 800  # pixels

# What is measured: (the most that is allowed, what it says of a page).
LIMITS = {
    "screens": (30, "screens in all"),
    "first picture": (1.5, "screens above the first picture"),
    "first move": (3, "screens above the first thing to move"),
    "lines of code": (250, "lines of code shown"),
    "share of code": (0.20, "of the height is code"),
    "verdicts": (3, "screens of verdicts, all of them open"),
    "crowded": (0, "paragraphs with more than four numbers"),
    "cut": (0, "cells of code cut at their right edge"),
}

MEASURE = r"""SCREEN => {
  const main = document.querySelector("main article") || document.querySelector("main");
  const box = e => e.getBoundingClientRect();
  const seen = e => e.checkVisibility() && box(e).height > 0;
  const screens = pixels => Math.round(10 * pixels / SCREEN) / 10;
  const above = list => list.length ? screens(box(list[0]).top - box(main).top) : null;
  const all = selector => [...main.querySelectorAll(selector)].filter(seen);

  const code = all(".cell_input pre");
  const lines = code.map(e => e.innerText.trimEnd().split("\n").length);
  const tall = list => list.reduce((sum, e) => sum + box(e).height, 0);

  // No prose: tables, lists, captions, forms, folded text, cards.
  const NO_PROSE = ".cell_input, table, form, .widget-area, figure, figcaption, li, details, " +
    ".claim, .course-card";
  const numbers = e => {
    const copy = e.cloneNode(true);
    for (const part of copy.querySelectorAll("a, code, mjx-container, .math, script, style"))
      part.remove();
    const NUMBER = /(?<![\w.])[-−+]?\d+(?:[.,]\d+)*(?:-\d+)*(?![\w])/g;
    return (copy.textContent.match(NUMBER) || []).length;
  };
  const crowded = all("p").filter(e => !e.closest(NO_PROSE) && numbers(e) > 4);

  const verdicts = [...main.querySelectorAll("section")].find(
    e => /Verdicts/.test(e.querySelector("h2")?.innerText ?? ""));
  const found = {
    "screens": screens(box(main).height),
    "first picture": above(
      all("figure, .moving-figure, canvas, img, svg").filter(e => box(e).height > 80)),
    "first move": above(all("input[type=range], .moving-figure, [role=slider]")),
    "lines of code": lines.reduce((a, b) => a + b, 0),
    "share of code": Math.round(100 * tall(code) / box(main).height) / 100,
    "crowded": crowded.map(e => e.innerText.slice(0, 90)),
    "cut": code.filter(e => e.scrollWidth > e.clientWidth + 1)
      .map(e => e.innerText.split("\n").reduce((a, b) => b.length > a.length ? b : a)),
  };
  // Last, because it changes the page: verdicts as they are once all have been bet on.
  for (const e of main.querySelectorAll(".bet-cover")) e.remove();
  for (const e of main.querySelectorAll(".bet-covered")) e.classList.remove("bet-covered");
  found["verdicts"] = verdicts ? screens(box(verdicts).height) : null;
  return found;
}"""


def measures(page):
    """Return {measure: figure} of an open chapter; for "crowded" and "cut" a list of what is."""
    return page.evaluate(MEASURE, SCREEN)


def faults(found):
    """Say what is past its limit; a page without a picture or a thing to move has a fault too."""
    said = []
    for name, (most, what) in LIMITS.items():
        value = found[name]
        amount = len(value) if isinstance(value, list) else value
        if amount is None and name != "verdicts":
            said.append(f"{name}: there is none")
        elif amount is not None and amount > most:
            which = f": {'; '.join(value)}" if isinstance(value, list) else ""
            said.append(f"{amount} {what}, at most {most}{which}")
    return said


def in_a_line(found):
    """Return the figures of a chapter in one line, as the end of a run prints them."""
    amounts = {name: len(v) if isinstance(v, list) else v for name, v in found.items()}
    return ", ".join(f"{name} {amounts[name]}" for name in LIMITS)
