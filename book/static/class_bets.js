// The bets of a class, drawn from pasted codes. Nothing is sent anywhere, and what is pasted is only
// ever shown as text.

const MOST = 1000; // codes at once

function readCodes(pasted) {
  const lines = pasted.split(/\s+/).filter(Boolean);
  const readers = [];
  const bad = [];
  lines.slice(0, MOST).forEach((code, i) => {
    try {
      readers.push(decodeBets(code, WORDS));
    } catch (error) {
      bad.push({ number: i + 1, code: code.slice(0, 40), why: error.message });
    }
  });
  const doubled = readers.length - new Set(readers.map((bets) => JSON.stringify(bets))).size;
  return { readers, bad, doubled, left: Math.max(0, lines.length - MOST) };
}

const average = (values) => values.reduce((a, b) => a + b, 0) / values.length;

function claimTable({ id, claim, verdict }, bets, open) {
  const row = (...cells) => element("tr", {}, ...cells);
  const words = Object.keys(WORDS).map((word) => {
    const n = bets.filter((bet) => bet.verdict === word).length;
    const bar = element("span", { class: "bar", "aria-hidden": "true" });
    bar.style.width = `${(8 * n) / bets.length}em`;
    const name = element("th", { scope: "row" }, open && word === verdict ? `${word} (came)` : word);
    return row(name, element("td", {}, bar, `${n}`));
  });
  const sure = average(bets.map((bet) => bet.confidence)).toFixed(0);
  const score = open && verdict
    ? ` Mean Brier score ${average(bets.map((bet) => brier(bet, verdict))).toFixed(2)}.` : "";
  return [
    element("h3", {}, claim ? `${id}. ${claim}` : `${id} (a claim that this book does not have)`),
    element("p", {}, `${bets.length} bet${bets.length > 1 ? "s" : ""}, on average ${sure}% sure.${score}`),
    element("table", { class: "course-table" }, element("tbody", {}, ...words)),
  ];
}

function drawClass(root) {
  const claims = JSON.parse(root.dataset.claims);
  const area = element("textarea", { id: uniqueId("codes"), spellcheck: "false", ...OWN_KEYS });
  const label = element("label", { for: area.id }, "The codes, one a line");
  const tick = element("input", { type: "checkbox", ...OWN_KEYS });
  const status = element("p", { role: "status" });
  const result = element("div");
  const update = () => {
    const { readers, bad, doubled, left } = readCodes(area.value);
    const more = [
      bad.length ? `${bad.length} skipped.` : "",
      doubled ? `${doubled} given more than once and counted each time.` : "",
      left ? `${left} beyond the first ${MOST} left out.` : "",
    ];
    status.textContent = area.value.trim()
      ? [`${readers.length} codes read.`, ...more].filter(Boolean).join(" ") : "";
    const known = claims.map(({ id }) => id);
    const others = [...new Set(readers.flatMap(Object.keys))].filter((id) => !known.includes(id));
    const parts = bad.map(({ number, code, why }) =>
      element("p", {}, `Code ${number} is skipped, ${why}: `, element("span", { class: "bad" }, code)),
    );
    for (const claim of [...claims, ...others.sort().map((id) => ({ id }))]) {
      const bets = readers.filter((one) => Object.hasOwn(one, claim.id)).map((one) => one[claim.id]);
      if (bets.length) parts.push(...claimTable(claim, bets, tick.checked));
    }
    result.replaceChildren(...parts);
  };
  area.addEventListener("input", update);
  tick.addEventListener("change", update);
  root.classList.add("course-bets");
  root.append(
    label, area,
    element("p", {}, element("label", {}, tick, "Show the verdicts and the scores")),
    status, result,
  );
}

document.querySelectorAll(".class-bets").forEach(drawClass);
