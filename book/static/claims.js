// The filter above the table of verdicts. Without this script the table is simply complete.

for (const form of document.querySelectorAll("form.claims-filter")) {
  const rows = [...form.parentElement.querySelectorAll("tbody tr")];
  const { verdict, chapter, words } = form.elements;

  function filter() {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const places = [row.dataset.chapter, row.dataset.part];
      row.hidden =
        (verdict.value && verdict.value !== row.dataset.verdict) ||
        (chapter.value && !places.includes(chapter.value)) ||
        !wanted.every((word) => text.includes(word));
    }
    const left = rows.filter((row) => !row.hidden).length;
    form.querySelector("[role=status]").textContent =
      left === 0 ? "No claim fits." : `${left} of ${rows.length} claims shown.`;
  }

  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter)); // when the fields are empty
  form.hidden = false;
  filter(); // a browser may have kept the fields of an earlier visit
}
