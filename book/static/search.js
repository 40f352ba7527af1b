/* The search page's own search: in sections, see book/_ext/course_search.py.

   It takes the place of Sphinx's search, whose page calls it with what was asked, and uses its
   stemmer where there is one. A section is found if each word begins one of its words; if no
   section has all words, those with the most of them are shown, and the page says so. */

const courseSearch = (() => {
  const PREFERENCE = { chapter: 12, page: 8, term: 8, library: 0 };
  const SHOWN = 3; // sections of a page, before the rest is folded
  const AROUND = 110; // letters on either side of what an excerpt is about

  /* What a word has to begin with: what it has in common with its stem. "pruning" finds "pruned". */
  function beginning(word) {
    let stem = word;
    if (typeof Stemmer === "function") stem = new Stemmer().stemWord(word);
    let same = 0;
    while (same < stem.length && stem[same] === word[same]) same++;
    return word.slice(0, Math.max(same, Math.min(3, word.length)));
  }

  const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const asPattern = (start, flags) =>
    new RegExp(`(?<![\\p{L}\\p{N}])${escaped(start)}[\\p{L}\\p{N}]*`, flags);

  const wordsOf = (query) => query.toLowerCase().match(/[\p{L}\p{N}][\p{L}\p{N}_]*/gu) || [];

  /* All sections with at least one of the words, best first. */
  function find(query, pages) {
    const words = [...new Set(wordsOf(query))];
    const common = typeof stopwords === "undefined" ? [] : stopwords;
    const asked = words.filter((word) => ![...common].includes(word));
    const patterns = (asked.length ? asked : words).map((word) => asPattern(beginning(word), "giu"));
    const whole = query.toLowerCase().trim();
    const found = [];
    pages.forEach(([href, rows], place) => {
      rows.forEach(([kind, anchor, headings, text], row) => {
        // Of a name in the library the last part counts: its module's name is in every other too.
        const title = headings[headings.length - 1];
        const own = kind === "library" ? title.split(".").pop() : title;
        const above = headings.slice(0, -1).join(" ") + (own === title ? "" : ` ${title}`);
        let score = PREFERENCE[kind], matched = 0;
        for (const pattern of patterns) {
          const inOwn = own.match(pattern), inAbove = above.match(pattern), inText = text.match(pattern);
          if (!inOwn && !inText && !inAbove) continue;
          matched += inOwn || inText ? 1 : 0.5; // a heading far above says little of this section
          score += (inOwn ? 10 : 0) + (inAbove ? 2 : 0) + Math.min(inText ? inText.length : 0, 5);
        }
        // The name itself: a term in the glossary, a name in the library.
        if (own.toLowerCase().split(", ").includes(whole)) score += 30;
        if (matched >= 1) found.push({ href, kind, anchor, headings, text, score, matched, place, row });
      });
    });
    const most = Math.max(0, ...found.map((one) => one.matched));
    const best = found.filter((one) => one.matched > most - 0.5);
    best.sort((a, b) => b.score - a.score || a.place - b.place || a.row - b.row);
    return { patterns, found: best, missing: Math.ceil(patterns.length - most) };
  }

  /* The part of a text that has the most of the words, in whole words. */
  function excerpt(text, patterns) {
    const places = patterns.map((pattern) => text.search(new RegExp(pattern.source, "iu")));
    const first = Math.min(...places.filter((place) => place >= 0), Infinity);
    const middle = first === Infinity ? 0 : first;
    let from = Math.max(0, middle - AROUND), to = Math.min(text.length, middle + 2 * AROUND);
    if (from > 0) from = text.indexOf(" ", from) + 1 || from;
    if (to < text.length) to = Math.max(text.lastIndexOf(" ", to), middle);
    return (from > 0 ? "… " : "") + text.slice(from, to) + (to < text.length ? " …" : "");
  }

  const element = (name, text = "", parent = null) => {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    if (parent) parent.append(made);
    return made;
  };

  /* A text with the words marked; never read as HTML. */
  function marked(text, patterns, parent) {
    const any = new RegExp(patterns.map((pattern) => pattern.source).join("|"), "giu");
    let last = 0;
    for (const match of text.matchAll(any)) {
      parent.append(text.slice(last, match.index));
      element("mark", match[0], parent);
      last = match.index + match[0].length;
    }
    parent.append(text.slice(last));
    return parent;
  }

  function section(one, patterns, list) {
    const item = element("li", "", list);
    const link = element("a", "", item);
    const root = document.documentElement.dataset.content_root || "./";
    link.href = root + one.href + (one.anchor ? `#${one.anchor}` : "");
    const inside = one.headings.slice(1);
    marked(inside.length ? inside.join(" › ") : one.headings[0], patterns, link);
    if (one.text) marked(excerpt(one.text, patterns), patterns, element("p", "", item));
  }

  function show(query, pages, out) {
    out.replaceChildren();
    const { patterns, found, missing } = find(query, pages);
    const groups = new Map();
    for (const one of found) groups.set(one.href, [...(groups.get(one.href) || []), one]);
    const status = element("p", "", out);
    status.setAttribute("role", "status");
    const count = (n, name) => `${n} ${name}${n === 1 ? "" : "s"}`;
    status.textContent = !found.length
      ? `Nothing was found for “${query}”. A shorter word, or another one, may help.`
      : `${count(found.length, "section")} on ${count(groups.size, "page")}` +
        (missing > 0 ? ". No section has all the words; these have the most of them." : ".");
    for (const ones of groups.values()) {
      element("h2", ones[0].headings[0], out);
      const list = element("ul", "", out);
      list.className = "search";
      ones.slice(0, SHOWN).forEach((one) => section(one, patterns, list));
      const rest = ones.slice(SHOWN);
      if (!rest.length) continue;
      const fold = element("details", "", out);
      element("summary", `${rest.length} more on this page`, fold);
      const more = element("ul", "", fold);
      more.className = "search";
      rest.forEach((one) => section(one, patterns, more));
    }
  }

  return { find, show };
})();

if (typeof Search !== "undefined" && window.courseSections)
  Search.performSearch = (query) =>
    courseSearch.show(query, window.courseSections, document.getElementById("search-results"));
