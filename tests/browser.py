"""What a real browser has to say about the built site.

Finding a Chromium, serving a folder, opening a page while its requests and errors are written down,
and the checks. A check returns its problems, one text each; an empty list says that all is well.
The checks know nothing of pytest: tests/test_browser.py runs them over the site, and each of them
once over a page that is broken on purpose. tests/conftest.py has the fixtures.
"""

import functools
import gzip
import http.server
import os
import posixpath
import re
import shutil
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[1]
SITE = Path(os.environ.get("COURSE_SITE") or ROOT / "_build" / "html").resolve()
AXE = ROOT / "_build" / "vendor" / "node_modules" / "axe-core" / "axe.min.js"

WIDE, NARROW = 1280, 360  # pixels: a laptop, and a small phone
HEIGHT = 800

# Bytes as they would travel, everything included that a page loads by itself.
HOME_LIMIT = 1_200_000
PAGE_LIMIT = 3_000_000  # a chapter, and any other page

PATIENCE = 10_000  # milliseconds that a page may take for something to appear

# The tests look at what is on this machine. Every other name leads nowhere, at once, and no proxy
# is asked; Playwright's own arguments switch off what a browser does in the background.
ARGUMENTS = [
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--no-proxy-server",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-sandbox",
]


class Missing(Exception):
    """Something that these tests need is not on this machine; the text says how to get it."""


# --- The browser ----------------------------------------------------------------------------


def installed_browsers():
    """Paths of the browsers on this machine that are Chromium inside, the likeliest first."""
    names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
    places = [shutil.which(name) for name in [*names, "msedge", "microsoft-edge"]]
    for app in ("Google Chrome", "Chromium", "Microsoft Edge"):
        places.append(f"/Applications/{app}.app/Contents/MacOS/{app}")
    for variable in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA"):
        folder = Path(os.environ.get(variable, "/nowhere"))
        places.append(str(folder / "Google" / "Chrome" / "Application" / "chrome.exe"))
        places.append(str(folder / "Microsoft" / "Edge" / "Application" / "msedge.exe"))
    return [place for place in dict.fromkeys(places) if place and Path(place).is_file()]


def start(playwright, places=None):
    """Start the first browser that starts: an installed one, else Playwright's own.

    Raises:
        Missing: none starts.
    """
    places = installed_browsers() if places is None else places
    said = []
    for place in [*places, None]:
        try:
            return playwright.chromium.launch(executable_path=place, args=ARGUMENTS)
        except Exception as error:  # Playwright's Error, or the system's where a file is no program
            said.append(f"{place or 'Playwright'}: {str(error).strip().splitlines()[0]}")
    raise Missing(
        "No Chromium or Chrome starts here. Install one, or run: python -m playwright install "
        "chromium. " + "; ".join(said)
    )


@contextmanager
def playwright():
    """Playwright's entrance.

    Raises:
        Missing: the package is not installed.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise Missing("Playwright is not installed. Run: pip install -e .[test]") from None
    with sync_playwright() as entrance:
        yield entrance


def axe_source(path=AXE):
    """The text of axe-core, which is put into each page.

    Raises:
        Missing: the build has not fetched it.
    """
    if not path.is_file():
        raise Missing(
            f"axe-core is not at {path}. `make book` fetches it where npm can be reached."
        )
    return path.read_text(encoding="utf-8")


# --- The site -------------------------------------------------------------------------------


def built_site(folder=SITE):
    """The folder of the built site.

    Raises:
        Missing: there is none.
    """
    if not (folder / "index.html").is_file():
        raise Missing(f"There is no built site at {folder}. Run: make book")
    return folder


class Handler(http.server.SimpleHTTPRequestHandler):
    # Windows looks types up in its registry, where another program may have spoilt them.
    extensions_map = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".css": "text/css",
        ".js": "text/javascript",
        ".svg": "image/svg+xml",
        ".woff": "font/woff",
        ".woff2": "font/woff2",
    }

    def log_message(self, *_):
        """Say nothing: what goes wrong is in the log of the page."""


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # a page asks for some thirty files at once


@contextmanager
def served(folder):
    """Serve a folder on this machine only; yields its address, with a slash at the end."""
    handler = functools.partial(Handler, directory=str(folder))
    with Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def site_pages(folder=SITE):
    """The pages that Sphinx wrote into a folder, as paths from it without the suffix, sorted.

    That leaves out the page that only leads to the home page, and what came with other packages.
    """
    found = []
    for path in Path(folder).rglob("*.html"):
        with path.open(encoding="utf-8", errors="replace") as file:
            if "data-content_root=" in file.read(2000):
                found.append(path.relative_to(folder).with_suffix("").as_posix())
    return sorted(found)


# Parts of a page that the course's own extensions and notebooks make, by their classes.
OWN = r"\b(?:chapter-map|claims-summary|ledger-entry|course-(?:details|quiz|still)|tag_exercise)\b"


def kinds_of_pages(pages, folder=SITE):
    """Of pages of the same kind one each, the shortest; sorted.

    They stand in the same folder, load the same scripts and styles, and hold the same kinds of
    parts. A page beside the folders, such as the search, is a kind of its own.
    """
    kinds = {}
    for page in sorted(pages, key=lambda page: (Path(folder) / f"{page}.html").stat().st_size):
        text = (Path(folder) / f"{page}.html").read_text(encoding="utf-8", errors="replace")
        loaded = re.findall(r"<(?:script|link)\b[^>]*\b(?:src|href)=\"([^\"]*\.(?:js|css))\b", text)
        parts = frozenset(loaded), frozenset(re.findall(OWN, text))
        kinds.setdefault((posixpath.dirname(page) or page, *parts), page)
    return sorted(kinds.values())


# --- A page ---------------------------------------------------------------------------------


@dataclass
class Log:
    """What happened while a page was open. `home` is the address of the site, up to its slash."""

    home: str
    requests: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def is_elsewhere(self, url):
        """Whether an address leads out of the site; what a page holds in itself does not."""
        inside = url.startswith(("data:", "blob:", "about:"))
        # Python and the browser do not escape the same characters in the name of a folder.
        return not inside and not unquote(url).startswith(unquote(self.home))


def watch(page, home):
    """Write down from now on what a page asks for, what fails and what it complains of."""
    log = Log(home)

    def failed(url, why):
        # What is elsewhere cannot be had here, whatever is wrong with it: it is no second problem.
        # The page itself gives requests up when the next page is opened.
        if not log.is_elsewhere(url) and why != "net::ERR_ABORTED":
            log.failures.append(f"{url}: {why}")

    def responded(response):
        if response.status >= 400:
            failed(response.url, response.status)

    def said(message):
        # What could not be loaded is in the log already, there with its address.
        known = ("Failed to load resource", "WebSocket connection to")
        if message.type == "error" and not message.text.startswith(known):
            log.errors.append(message.text)

    def thrown(error):
        # anywidget's clock of two seconds, which a busy machine may overrun; the widget comes all
        # the same, and what keeps it from coming is an error of its own.
        if "[anywidget] Failed to initialize model" not in str(error):
            log.errors.append(f"uncaught: {error}")

    page.on("request", lambda request: log.requests.append(request.url))
    page.on("websocket", lambda socket: log.requests.append(socket.url))
    page.on("requestfailed", lambda request: failed(request.url, request.failure))
    page.on("response", responded)
    page.on("console", said)
    page.on("pageerror", thrown)
    return log


def settle(page):
    """Wait until a page has loaded all that it asks for, its fonts too, and has set its formulas.

    A page that never comes to rest is looked at as it is.
    """
    from playwright.sync_api import TimeoutError

    with suppress(TimeoutError):
        page.wait_for_load_state("networkidle", timeout=PATIENCE)
    page.evaluate(
        """patience => Promise.race([
            Promise.all([document.fonts.ready, window.MathJax?.startup?.promise]),
            new Promise(done => setTimeout(done, patience)),
        ]).then(() => true)""",
        PATIENCE,
    )


@contextmanager
def opened(browser, url, home, theme="light", width=WIDE):
    """Open a page as a first visit does, whose system is light or dark; yields (page, log)."""
    size = {"width": width, "height": HEIGHT}
    context = browser.new_context(color_scheme=theme, viewport=size)
    try:
        page = context.new_page()
        log = watch(page, home)
        page.goto(url)
        settle(page)
        yield page, log
    finally:
        context.close()


def resize(page, width):
    """Change the width of the window, if it is another one, and wait for what the theme does then.

    It lets scrolling boxes take the focus a third of a second after the last of several events of
    size, which on a busy machine come far apart: what it is to have done is waited for, not a time.
    A page on which that never comes is looked at as it is.
    """
    from playwright.sync_api import TimeoutError

    if page.viewport_size["width"] == width:
        return
    page.set_viewport_size({"width": width, "height": HEIGHT})
    page.wait_for_timeout(400)
    with suppress(TimeoutError):
        page.wait_for_function(
            """() => [...document.querySelectorAll("pre, .cell_output > .output")].every(
                e => e.tabIndex === 0 || e.scrollWidth <= e.clientWidth)""",
            timeout=PATIENCE // 2,
        )


def photograph(page, path):
    """Put a picture of a whole page into a JPEG file; of a very long one, its beginning.

    A page of a hundred screens takes three times as long as PNG. A JPEG has at most 65,535 lines.
    """
    height = page.evaluate("document.documentElement.scrollHeight")
    clip = {"x": 0, "y": 0, "width": page.viewport_size["width"], "height": min(height, 65_000)}
    page.screenshot(path=path, full_page=True, clip=clip, type="jpeg", quality=85)


# --- Checks of an open page -----------------------------------------------------------------

# A short way to say which element is meant.
NAME_OF = """
const nameOf = element => {
  const parts = [];
  for (let e = element; e && e !== document.body && parts.length < 3; e = e.parentElement) {
    const classes = [...e.classList].slice(0, 2).map(name => "." + name).join("");
    parts.unshift(e.localName + (e.id ? "#" + e.id : classes));
    if (e.id) break;
  }
  return parts.join(" > ");
};
"""


def requests_elsewhere(log):
    """Requests that leave the site."""
    return sorted({f"asks for {url[:200]}" for url in log.requests if log.is_elsewhere(url)})


def failed_requests(log):
    """Files of the site that are not there, or cannot be loaded."""
    return sorted(set(log.failures))


def console_errors(log):
    """Errors on the console, and errors in scripts that nothing caught."""
    return sorted({text[:300] for text in log.errors})


def other_theme(page, theme):
    """A page that does not follow the system's light or dark."""
    shown = page.evaluate("document.documentElement.dataset.theme")
    return [] if shown == theme else [f"the theme is {shown!r}, not {theme!r}"]


def unrendered_math(page):
    """Formulas that were not set, that hold a mistake, or that stand in the text as source."""
    return page.evaluate(
        "() => {"
        + NAME_OF
        + r"""
        const problems = [];
        for (const e of document.querySelectorAll(".math:not(.math .math)"))
          if (!e.querySelector("mjx-container"))
            problems.push(`not set: ${e.textContent.trim().slice(0, 80)} (${nameOf(e)})`);
        for (const e of document.querySelectorAll("mjx-merror, [data-mjx-error]"))
          problems.push(`a mistake: ${e.dataset.mjxError || e.textContent} (${nameOf(e)})`);
        const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        while (texts.nextNode()) {
          const parent = texts.currentNode.parentElement;
          if (parent.closest("script, style, noscript, textarea, pre, code, mjx-container, .math"))
            continue;
          if (/\\[(\[]/.test(texts.currentNode.data))
            problems.push(`source in the text: ${texts.currentNode.data.trim().slice(0, 80)} ` +
              `(${nameOf(parent)})`);
        }
        return problems;
        }"""
    )


def images_without_text(page):
    """Pictures that say nothing to who cannot see them, unless they are hidden from them too.

    The name of its file is no text for an image: Docutils puts it where an author wrote none.
    """
    return page.evaluate(
        "() => {"
        + NAME_OF
        + r"""
        const problems = [];
        const textOf = e => {
          const ids = (e.getAttribute("aria-labelledby") || "").split(/\s+/).filter(Boolean);
          const labels = ids.map(id => document.getElementById(id)?.textContent || "");
          const title = e.localName === "svg" && e.querySelector(":scope > title")?.textContent;
          return [e.getAttribute("aria-label"), labels.join(" "), e.getAttribute("alt"), title,
            e.getAttribute("title")].map(text => (text || "").trim()).find(Boolean) || "";
        };
        const hidden = "[aria-hidden=true], [role=presentation], [role=none]";
        for (const e of document.querySelectorAll("img, svg, canvas, object, [role=img]")) {
          if (e.closest(hidden) || e.parentElement.closest("svg, mjx-container, [role=img]"))
            continue;
          // An empty alternative says "decoration", which a picture in the text is not.
          if (e.getAttribute("alt") === "" && !e.closest("article")) continue;
          const text = textOf(e);
          if (!text)
            problems.push(`no text for ${nameOf(e)} ${e.getAttribute("src") || ""}`.trim());
          else if (/^\S+\.(png|jpe?g|gif|svg|webp)$/i.test(text))
            problems.push(`only the name of a file for ${nameOf(e)}: ${text}`);
        }
        return problems;
        }"""
    )


def serious_violations(page, axe):
    """What axe-core finds and calls serious or critical, with the elements it means."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(axe + "\n;true")
    violations = page.evaluate(
        """async () => {
        const found = await axe.run(document, {resultTypes: ["violations"]});
        return found.violations.map(v => ({
          id: v.id, impact: v.impact, help: v.help,
          nodes: v.nodes.map(n => n.target.flat().join(" ") + why(n)),
        }));
        function why(node) {
          const data = node.any.map(check => check.data).find(d => d && d.contrastRatio);
          return data ? ` (${data.contrastRatio}: ${data.fgColor} on ${data.bgColor})` : "";
        }
        }"""
    )
    problems = []
    for violation in violations:
        if violation["impact"] in ("serious", "critical"):
            nodes = violation["nodes"]
            more = f" and {len(nodes) - 5} more" if len(nodes) > 5 else ""
            problems.append(
                f"{violation['id']} ({violation['impact']}): {violation['help']}: "
                + "; ".join(nodes[:5])
                + more
            )
    return problems


def sideways_scroll(page):
    """A page that is wider than its window, with the elements that reach farthest."""
    return page.evaluate(
        "() => {"
        + NAME_OF
        + r"""
        const wide = document.documentElement.scrollWidth;
        if (wide <= innerWidth) return [];
        const clipped = e => {
          for (let a = e.parentElement; a && a !== document.body; a = a.parentElement)
            if (getComputedStyle(a).overflowX !== "visible") return true;
        };
        // A box, or text that stands out of it: a long word widens no box.
        const reach = e => {
          const box = e.getBoundingClientRect();
          const inside = getComputedStyle(e).overflowX === "visible" ? e.scrollWidth : 0;
          return Math.round(Math.max(box.right, box.left + inside) + scrollX);
        };
        const out = [...document.body.querySelectorAll("*")].filter(
          e => reach(e) > innerWidth && e.getBoundingClientRect().height && !clipped(e));
        // Of a box and what is in it, the innermost is to blame.
        const inner = out.filter(e => !out.some(other => other !== e && e.contains(other)));
        inner.sort((a, b) => reach(b) - reach(a));
        const names = inner.slice(0, 5).map(e => `${nameOf(e)} reaches ${reach(e)}`);
        return [`${wide} pixels wide in a window of ${innerWidth}: ${names.join("; ")}`];
        }"""
    )


# --- Weight ---------------------------------------------------------------------------------

TEXT_SUFFIXES = {".css", ".html", ".js", ".json", ".mjs", ".svg", ".txt", ".xml", ""}


@functools.cache
def _travelling_bytes(path, _changed):
    content = path.read_bytes()
    return len(gzip.compress(content, 6)) if path.suffix in TEXT_SUFFIXES else len(content)


def travelling_bytes(path):
    """The size of a file as a server sends it: text by gzip, what is packed already as it is."""
    return _travelling_bytes(path, path.stat().st_mtime_ns)


def file_of(log, url, folder):
    """The file of a folder behind an address of the served site; None if there is none."""
    if log.is_elsewhere(url) or not url.startswith(log.home):
        return None
    path = Path(folder) / unquote(urlsplit(url).path).lstrip("/")
    path = path / "index.html" if path.is_dir() else path
    return path if path.is_file() else None


def weight(log, folder):
    """{file: bytes} of all that a page loaded from the site, each file once."""
    files = {file_of(log, url, folder) for url in log.requests} - {None}
    return {path: travelling_bytes(path) for path in files}


def overweight(log, folder, limit):
    """A page that sends more than `limit` bytes, with its heaviest files."""
    sizes = weight(log, folder)
    total = sum(sizes.values())
    if total <= limit:
        return []
    heaviest = sorted(sizes.items(), key=lambda item: -item[1])[:5]
    names = ", ".join(f"{path.name} {size:,}" for path, size in heaviest)
    return [f"{total:,} bytes, {limit:,} allowed: {names}"]


# --- Links ----------------------------------------------------------------------------------


class Anatomy(HTMLParser):
    """The anchors of a page and where it leads."""

    ADDRESSES = {"a": "href", "area": "href", "link": "href", "form": "action", "object": "data"}

    def __init__(self, text):
        super().__init__()
        self.anchors, self.links, self.base = {"", "top"}, [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.anchors.update(value for name, value in attrs if name == "id" and value)
        if tag == "a" and values.get("name"):
            self.anchors.add(values["name"])
        if tag == "base" and values.get("href"):
            self.base = values["href"]
        if tag == "meta" and (values.get("http-equiv") or "").lower() == "refresh":
            self.links += re.findall(r"url=['\"]?([^'\"]+)", values.get("content") or "", re.I)
        address = values.get(self.ADDRESSES.get(tag, "src"))
        if address is not None:
            self.links.append(address)


def broken_links(folder):
    """{page: problems}: links inside the folder that lead to no file, or to no anchor of a page.

    All that pages name is looked at: links, styles, scripts, images, and the page that a page
    leads on to. A name must be written as the file's is, capitals too, though this machine's disk
    may not care. An address from the root of the host is a problem, because the site may stand
    anywhere; only the page for wrong addresses, which is shown at any depth, cannot do without.
    """
    folder = Path(folder)
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    files = {name: path for name, path in files.items() if path.is_file()}
    pages = {
        name: Anatomy(path.read_text(encoding="utf-8", errors="replace"))
        for name, path in files.items()
        # What stands in _static is pieces of the theme, not pages.
        if name.endswith(".html") and not name.startswith("_static/")
    }
    return {name: _broken_links_of(name, page, pages, files) for name, page in pages.items()}


def _broken_links_of(name, page, pages, files):
    problems = []
    for link in dict.fromkeys(link.strip() for link in page.links):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue  # another host's, or none: `mailto:`
        if link.startswith("/") or page.base:
            if name != "404.html":
                problems.append(f"{link}: starts at the root of the host")
            continue
        target = name
        if parts.path:
            folder = posixpath.dirname(name)
            target = posixpath.normpath(posixpath.join(folder, unquote(parts.path)))
            if parts.path.endswith("/") or target == ".":
                target = posixpath.normpath(f"{target}/index.html")
        if target.startswith("../"):
            problems.append(f"{link}: leads out of the site")
        elif target not in files:
            problems.append(f"{link}: no such file")
        elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
            problems.append(f"{link}: no such anchor")
    return problems


# --- Search ---------------------------------------------------------------------------------


def article_text(path, selector):
    """The text of a page's parts that a selector names, in small letters."""
    soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    return " ".join(part.get_text(" ") for part in soup.select(selector)).lower()


@functools.cache
def _letters(path, _changed):
    return re.sub(r"<[^>]*>", " ", path.read_text(encoding="utf-8")).lower()


def letters(path):
    """All text of a page in small letters, scripts too: more than its article, and soon found."""
    return _letters(path, path.stat().st_mtime_ns)


def rare_word(folder, page, others):
    """A word in the prose of a page that stands in none of the others, not even as a part.

    The longest one of those that occur, by preference, once.
    """
    folder = Path(folder)
    prose = re.findall(r"[a-z]{7,}", article_text(folder / f"{page}.html", "article section > p"))
    elsewhere = [letters(folder / f"{name}.html") for name in others]
    counts = Counter(word for word in prose if not any(word in text for text in elsewhere))
    if not counts:
        raise ValueError(f"every word of {page} stands in another page too")
    return min(counts, key=lambda word: (counts[word], -len(word), word))


def search_problems(page, wanted, patience=PATIENCE):
    """A page of search results, just opened, that does not come to list the page `wanted`."""
    from playwright.sync_api import TimeoutError

    try:
        link = f'#search-results a[href*="{wanted}.html"]'
        page.wait_for_selector(link, timeout=patience)
    except TimeoutError:
        shown = page.locator("#search-results").all_inner_texts()
        shown = " ".join(" ".join(shown).split())[:200]
        return [f"{page.url}: {wanted} is not among the results: {shown!r}"]
    return []


def search_with_the_button(page, word):
    """From any page: press the search button, type a word, press Enter."""
    page.locator("button.search-button__button:visible").first.click()
    field = page.locator("dialog[open] input[name=q]")
    field.fill(word)
    with page.expect_navigation():
        field.press("Enter")
