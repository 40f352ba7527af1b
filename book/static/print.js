/* What a printed page shows besides its text: solutions and answers only if asked for, code unless
   it is not wanted. The choice stands in the address too (`?print=answers,nocode`), which is how
   tools/make_pdf.py asks. print.css does the rest. */

(() => {
  const root = document.documentElement;
  const asked = new URLSearchParams(location.search).get("print") || "";
  root.dataset.print = asked.split(",").join(" ");
  const form = document.querySelector("form.course-print");
  if (!form) return;
  form.hidden = false;
  form.elements.answers.checked = asked.includes("answers");
  form.elements.code.checked = !asked.includes("nocode");
  const follow = () => {
    const { answers, code } = form.elements;
    root.dataset.print = [answers.checked && "answers", !code.checked && "nocode"]
      .filter(Boolean)
      .join(" ");
  };
  form.addEventListener("change", follow);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    follow();
    window.print();
  });
})();
