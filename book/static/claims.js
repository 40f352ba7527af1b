// The filter above the ledger. Without this script the ledger is simply complete.

for (const form of document.querySelectorAll("form.claims-filter")) {
  const rows = [...form.parentElement.querySelectorAll("[data-chapter]")];
  const { verdict, chapter, words } = form.elements;
  const isCovered = (row) => row.classList.contains("bet-is-covered"); // covers.js

  // What is covered is not searched: a row that comes or goes would give it away.
  function textOf(row) {
    const copy = row.cloneNode(true);
    for (const part of copy.querySelectorAll(".bet-covered, .bet-cover, .bet-while-covered")) {
      part.remove();
    }
    return copy.textContent.toLowerCase();
  }

  function filter() {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = textOf(row);
      const places = [row.dataset.chapter, row.dataset.part];
      row.hidden =
        (verdict.value && (isCovered(row) || verdict.value !== row.dataset.verdict)) ||
        (chapter.value && !places.includes(chapter.value)) ||
        !wanted.every((word) => text.includes(word));
    }
    const left = rows.filter((row) => !row.hidden).length;
    const inChapter = ({ dataset }) =>
      !chapter.value || [dataset.chapter, dataset.part].includes(chapter.value);
    const someCovered = rows.some((row) => isCovered(row) && inChapter(row));
    const what = verdict.value ? "left out" : "not searched";
    const covered =
      someCovered && (verdict.value || wanted.length) ? ` Covered verdicts are ${what}.` : "";
    form.querySelector("[role=status]").textContent =
      (left === 0 ? "No claim fits." : `${left} of ${rows.length} claims shown.`) + covered;
  }

  form.addEventListener("input", filter);
  document.addEventListener("course-covers", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter)); // when the fields are empty
  form.hidden = false;
  filter(); // a browser may have kept the fields of an earlier visit
}
