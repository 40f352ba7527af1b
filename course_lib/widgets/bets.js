// The bets of a chapter: a form a claim, a code for a class, and a button that forgets all.

function render({ model, el }) {
  const { claims, words: pairs } = model.get("state");
  const words = Object.fromEntries(pairs);
  const root = element("div", { class: "course-bets", role: "group", "aria-label": "Your bets" });
  const forms = element("div");
  const status = element("p", { class: "result", role: "status" });
  const code = element("output", { class: "code" });

  // The kernel learns of the bets, so that a verdict can be shown beside its bet.
  const send = () => {
    const all = recallBets(words);
    const ours = claims.filter(({ id }) => all[id]).map(({ id }) => [id, all[id]]);
    model.set("bets", Object.fromEntries(ours));
    model.save_changes();
    const n = ours.length;
    status.textContent = n
      ? `You have bet on ${n} of ${claims.length} claims. The verdicts stand near the chapter's end.`
      : "No bet yet. Bets stay in this browser, and nothing is sent anywhere.";
    if (code.textContent) code.textContent = encodeBets(all);
  };
  const draw = () => {
    forms.replaceChildren(
      ...claims.map(({ id, claim }) => {
        const bet = recallBet(id, words);
        const made = betForm(`${id}. ${claim}`, words, bet, "Bet", (placed, said) => {
          placeBet(id, placed);
          said.textContent = `Your bet: ${inWords(placed)}.`;
        });
        if (bet) made.querySelector(".said").textContent = `Your bet: ${inWords(bet)}.`;
        return made;
      }),
    );
  };
  const forget = pressable("Forget all bets", () => {
    forgetAll();
    code.textContent = "";
    draw();
    status.textContent = "All bets of this book are forgotten.";
  });
  const show = pressable("Show my code for a class", () => {
    const all = recallBets(words);
    code.textContent = Object.keys(all).length ? encodeBets(all) : "Place a bet first.";
  });
  // In a notebook that was opened anew, the kernel may know bets that this browser does not.
  for (const [id, bet] of Object.entries(model.get("bets"))) {
    if (isBet(bet, words) && !recallBet(id, words)) keep(`bet.${id}`, bet);
  }
  draw();
  send();
  document.addEventListener(CHANGED, send);
  const meanings = element(
    "details", {}, element("summary", OWN_KEYS, "What the five words mean"), wordList(words),
  );
  meanings.open = !Object.keys(recallBets(words)).length; // for who meets them for the first time
  root.append(
    meanings,
    forms,
    status,
    element("div", { class: "buttons" }, show, forget, code),
  );
  el.append(root);
  const showStill = hideStill(model.get("still_id"));
  return () => {
    document.removeEventListener(CHANGED, send);
    showStill();
  };
}

export default { render };
