// A quiz: questions with one right option, several, or a number. All is judged here; nothing is
// stored and nothing is sent. Texts come as HTML that Python has escaped.

function rich(tag, markup, attributes = {}) {
  const made = element(tag, attributes);
  made.innerHTML = markup;
  return made;
}

const signOf = ({ right }) => (right ? "✓" : "✗");

// What a text may mean as a number. Commas and points may part thousands or decimals; where both
// readings are possible both count, for they are a thousand times apart.
function readings(text, unit) {
  let digits = text.trim();
  if (unit && digits.endsWith(unit)) digits = digits.slice(0, -unit.length);
  digits = digits.replace(/[\s'’]/g, "").replace("−", "-");
  const found = [];
  for (const [point, comma] of [".,", ",."]) {
    const whole = `(\\d*|[1-9]\\d{0,2}(\\${comma}\\d{3})+)`;
    if (new RegExp(`^[+-]?${whole}(\\${point}\\d*)?(e[+-]?\\d+)?$`, "i").test(digits)) {
      found.push(Number.parseFloat(digits.replaceAll(comma, "").replace(point, ".")));
    }
  }
  return found.filter(Number.isFinite);
}

// The part of a question that takes the answer. `judge` gives {problem} for what is no answer, else
// whether it is right, which of the options were given, and what to say besides.

function choices({ kind, options }) {
  const type = kind === "one" ? "radio" : "checkbox";
  const name = uniqueId("question");
  const rows = options.map((option) => {
    const input = element("input", { type, name, id: uniqueId("option"), ...OWN_KEYS });
    const sign = element("span", { class: "sign", "aria-hidden": "true" });
    const label = element("label", { for: input.id }, rich("span", option.text), sign);
    return { option, input, sign, row: element("div", { class: "option" }, input, label) };
  });
  const judge = () => {
    const given = rows.filter(({ input }) => input.checked).map(({ option }) => option);
    if (!given.length) return { problem: "Choose an answer first." };
    for (const { option, input, sign } of rows) {
      sign.textContent = input.checked ? ` ${signOf(option)}` : "";
    }
    const good = given.filter(({ right }) => right).length;
    const missing = options.filter(({ right }) => right).length - good;
    const right = good === given.length && missing === 0;
    const note = missing ? `Right ones that you did not tick: ${missing}.` : "";
    return { right, given, note: kind === "several" ? note : "" };
  };
  return { parts: rows.map(({ row }) => row), judge };
}

function number({ unit, tolerance, hint, options }) {
  const id = uniqueId("number");
  const field = { type: "text", inputmode: "decimal", autocomplete: "off", size: 12 };
  const input = element("input", { id, ...field, ...OWN_KEYS });
  const label = element("label", { for: id }, unit ? `Your answer in ${unit}` : "Your answer");
  const judge = () => {
    const text = input.value.trim();
    if (!text) return { problem: "Write a number first." };
    const values = readings(text, unit);
    if (!values.length) {
      return { problem: `“${text}” is not a number. Write digits, such as 0.25 or 1,200.` };
    }
    const reach = tolerance * (1 + 1e-9); // the edge belongs to it, whatever was rounded
    const near = options.find(({ value }) => values.some((one) => Math.abs(one - value) <= reach));
    return near ? { right: near.right, given: [near] } : { right: false, given: [], note: hint };
  };
  return { parts: [element("div", { class: "number" }, label, input)], judge };
}

// Options with the reasons why they are right or wrong.
function reasons(options) {
  return element(
    "ul",
    {},
    ...options.map((option) => {
      const sign = element("span", { class: "sign" }, `${signOf(option)} `);
      return element("li", {}, sign, rich("strong", option.text), rich("div", option.why));
    }),
  );
}

function solution({ options }) {
  const others = options.filter(({ right }) => !right);
  const parts = [reasons(options.filter(({ right }) => right))];
  if (others.length) {
    const summary = element("summary", OWN_KEYS, "What is wrong with the others?");
    parts.push(element("details", {}, summary, reasons(others)));
  }
  return parts;
}

function button(text, pressed) {
  const made = element("button", { type: "button", ...OWN_KEYS }, text);
  made.addEventListener("click", pressed);
  return made;
}

// One question; `tried(right)` is called for each answer that is one.
function drawQuestion(question, name, tried) {
  const answer = (question.kind === "number" ? number : choices)(question);
  const legend = element("legend", {}, element("span", {}, `${name} · ${question.task}`), " ");
  legend.append(rich("strong", question.ask));
  const feedback = element("div", { class: "feedback", "aria-live": "polite" });
  const say = (state, head, ...parts) => {
    fieldset.dataset.state = state;
    feedback.replaceChildren(element("p", { class: "head" }, head), ...parts);
  };

  const check = () => {
    const { problem, right, given, note } = answer.judge();
    if (problem) return say("", problem);
    tried(right);
    reveal.hidden = right;
    if (right) return say("right", "✓ Right.", ...solution(question));
    const parts = given.length ? [reasons(given)] : [];
    if (note) parts.push(rich("p", note));
    parts.push(rich("p", `To read again: “${question.where}”.`));
    const partly = given.length && given.every((option) => option.right);
    return say("wrong", partly ? "✗ Not all yet." : "✗ Not right.", ...parts);
  };
  const reveal = button("Show the answer", () => say("", "The answer:", ...solution(question)));
  reveal.hidden = true;

  const buttons = element("div", { class: "buttons" }, button("Check", check), reveal);
  const fieldset = element("fieldset", {}, legend, ...answer.parts, buttons, feedback);
  fieldset.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.localName === "input") {
      event.preventDefault();
      check();
    }
  });
  return fieldset;
}

function render({ model, el }) {
  const { questions } = model.get("state");
  const root = element("div", { class: "course-quiz", role: "group", "aria-label": "Quiz" });
  const result = element("p", { class: "result", "aria-live": "polite" });
  const firstTries = new Map(); // by question, whether the first answer was right
  const tell = () => {
    const right = [...firstTries.values()].filter(Boolean).length;
    const left = questions.length - firstTries.size;
    const more = left ? `, ${left} to go.` : ".";
    result.textContent = firstTries.size
      ? `${right} of ${firstTries.size} right at the first try${more}`
      : `${questions.length} questions. Nothing is stored and nothing is sent.`;
  };
  questions.forEach((question, i) => {
    const tried = (right) => {
      if (!firstTries.has(i)) firstTries.set(i, right);
      tell();
    };
    root.append(drawQuestion(question, `Question ${i + 1} of ${questions.length}`, tried));
  });
  tell();
  root.append(result);
  el.append(root);
  return hideStill(model.get("still_id"));
}

export default { render };
