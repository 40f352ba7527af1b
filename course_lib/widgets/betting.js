// What the widget of bets and the site's own scripts share: keeping bets, scoring them, the form, and
// the code for a class. Bets stay in this browser. `words` is {verdict: what it means}.

const KEPT = "sparse-by-experiment.";
const STEP = 5; // percent; a confidence is 5, 10, … 100
const KNOWN_ID = /^[A-Z][0-9]{1,3}[a-z]?$/;

// Private windows and some browsers refuse localStorage, at a file's address above all. Then bets are
// kept until the page is left.
globalThis.courseBetsKept ??= (() => {
  try {
    localStorage.setItem(`${KEPT}try`, "1");
    localStorage.removeItem(`${KEPT}try`);
    return localStorage;
  } catch {
    const map = new Map();
    return {
      getItem: (key) => map.get(key) ?? null,
      setItem: (key, text) => map.set(key, text),
      removeItem: (key) => map.delete(key),
      key: (n) => [...map.keys()][n],
      get length() {
        return map.size;
      },
    };
  }
})();

function recall(name) {
  try {
    return JSON.parse(globalThis.courseBetsKept.getItem(KEPT + name));
  } catch {
    return null; // what another program left there
  }
}

function keep(name, value) {
  if (value === null) globalThis.courseBetsKept.removeItem(KEPT + name);
  else globalThis.courseBetsKept.setItem(KEPT + name, JSON.stringify(value));
}

function keptNames() {
  const kept = globalThis.courseBetsKept;
  const keys = Array.from({ length: kept.length }, (_, n) => kept.key(n));
  return keys.filter((key) => key.startsWith(KEPT)).map((key) => key.slice(KEPT.length));
}

function isBet(bet, words) {
  const sure = bet?.confidence;
  return (
    Object.hasOwn(words, bet?.verdict ?? "") &&
    Number.isInteger(sure) && sure >= STEP && sure <= 100 && sure % STEP === 0
  );
}

function recallBet(id, words) {
  const bet = recall(`bet.${id}`);
  return isBet(bet, words) ? bet : null;
}

// All bets, {id: {verdict, confidence}}.
function recallBets(words) {
  const ids = keptNames().filter((name) => name.startsWith("bet.")).map((name) => name.slice(4));
  const found = ids.sort().map((id) => [id, recallBet(id, words)]);
  return Object.fromEntries(found.filter(([id, bet]) => bet && KNOWN_ID.test(id)));
}

const CHANGED = "course-bets";
function tellChange() {
  document.dispatchEvent(new Event(CHANGED));
}

function placeBet(id, bet) {
  keep(`bet.${id}`, bet);
  tellChange();
}

// Bets, and which verdicts were asked for without one.
function forgetAll() {
  for (const name of keptNames()) if (/^(bet|shown|all)\./.test(name)) keep(name, null);
  tellChange();
}

// --- The score ---

// A bet of probability p on a word: (1 − p)² if it comes, p² if not. 0 is best, 1 is worst.
function brier({ verdict, confidence }, came) {
  const p = confidence / 100;
  return verdict === came ? (1 - p) ** 2 : p ** 2;
}

const BRIER =
  "Brier score of a bet: one minus how sure you were, squared, if your word came; how sure you " +
  "were, squared, if not. 0 is best, 1 is worst, and 50% scores 0.25 either way.";

function inWords({ verdict, confidence }, came) {
  const score = came ? ` · Brier ${brier({ verdict, confidence }, came).toFixed(2)}` : "";
  return `${verdict}, ${confidence}% sure${score}`;
}

// --- The code for a class ---

// "SB1", then for each bet the id, the first letter of the word and a letter for the confidence
// (a is 5%, t is 100%), then "-" and four characters that tell a slip of the hand. No name is in it.
const VERSION = "SB1";
const SURE = "abcdefghijklmnopqrst";

function checksum(text) {
  let hash = 0x811c9dc5; // FNV-1a
  for (const byte of new TextEncoder().encode(text)) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  return (hash % 36 ** 4).toString(36).padStart(4, "0");
}

function encodeBets(bets) {
  const parts = Object.keys(bets).sort().map((id) => {
    const { verdict, confidence } = bets[id];
    return id + verdict[0] + SURE[confidence / STEP - 1];
  });
  const text = VERSION + parts.join("");
  return `${text}-${checksum(text)}`;
}

// {id: bet} of a code; an Error that says what is wrong with it.
function decodeBets(code, words) {
  if (code.length > 1000) throw new Error("it is too long for a code");
  const [text, check, ...rest] = code.split("-");
  if (!/^SB[0-9]+/.test(text)) throw new Error(`it does not begin with ${VERSION}`);
  const body = text.slice(VERSION.length);
  if (!text.startsWith(VERSION) || /^[0-9]/.test(body)) {
    throw new Error("it is of another version");
  }
  if (check === undefined || rest.length || check !== checksum(text)) {
    throw new Error("its last four characters do not fit: something is missing or mistyped");
  }
  const letters = Object.fromEntries(Object.keys(words).map((word) => [word[0], word]));
  const bets = {};
  for (const part of body.split(/(?=[A-Z])/)) {
    const found = /^([A-Z][0-9]{1,3}[a-z]?)([a-z])([a-t])$/.exec(part);
    if (!found || !letters[found[2]]) throw new Error("a bet in it cannot be read");
    if (Object.hasOwn(bets, found[1])) throw new Error(`it has two bets on ${found[1]}`);
    bets[found[1]] = { verdict: letters[found[2]], confidence: STEP * (SURE.indexOf(found[3]) + 1) };
  }
  return bets;
}

// --- What is shown ---

function pressable(text, pressed) {
  const made = element("button", { type: "button", ...OWN_KEYS }, text);
  made.addEventListener("click", pressed);
  return made;
}

// The five words with their meanings.
function wordList(words) {
  const rows = Object.entries(words).map(([word, meaning]) =>
    element("div", {}, element("dt", {}, word), element("dd", {}, meaning)),
  );
  return element("dl", { class: "words" }, ...rows);
}

// A claim to bet on. `placed({verdict, confidence})` is called when the button is pressed.
function betForm(legend, words, bet, pressed, placed) {
  const name = uniqueId("bet");
  const radios = Object.entries(words).map(([word, meaning]) => {
    const input = element("input", { type: "radio", name, value: word, ...OWN_KEYS });
    input.checked = bet?.verdict === word;
    input.setAttribute("aria-description", meaning);
    return element("label", { title: meaning }, input, element("span", {}, word));
  });
  const sure = element("input", {
    type: "range", min: STEP, max: 100, step: STEP, id: uniqueId("sure"), ...OWN_KEYS,
  });
  sure.value = bet?.confidence ?? 50;
  const output = element("output", { for: sure.id, "aria-hidden": "true" });
  const tell = () => { // to a screen reader by the range itself
    output.textContent = `${sure.value}%`;
    sure.setAttribute("aria-valuetext", `${sure.value}% sure`);
  };
  sure.addEventListener("input", tell);
  tell();
  const status = element("span", { class: "said", role: "status" });
  const button = pressable(pressed, () => {
    const chosen = fieldset.querySelector("input[type=radio]:checked");
    if (!chosen) status.textContent = "Choose a word first.";
    else placed({ verdict: chosen.value, confidence: Number(sure.value) }, status);
  });
  const label = element("label", { for: sure.id }, "How sure that it comes?");
  const fieldset = element(
    "fieldset", {},
    element("legend", {}, legend),
    element("div", { class: "choices" }, ...radios),
    element("div", { class: "sure" }, label, sure, output, button, status),
  );
  return fieldset;
}
