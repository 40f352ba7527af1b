// Loaded on pages with widgets, after require.js and before the widget manager.
(() => {
  const here = new URL(".", document.currentScript.src);

  // Widgets of the course are anywidgets; their module lies beside this file.
  requirejs.config({ paths: { anywidget: new URL("anywidget/index", here).href } });

  // What the manager cannot find it looks for at the address that a script names. Without one
  // that is a CDN; with this one it stays a request to this site, which fails and shows in tests.
  document.currentScript.setAttribute("data-jupyter-widgets-cdn", here.href);

  // The manager typesets labels through MathJax 2's queue. The pages have MathJax 3, or none.
  window.addEventListener("load", () => {
    window.MathJax ??= {};
    MathJax.Hub ??= {
      Queue: (...jobs) => {
        for (const [method, , element] of jobs) {
          if (method === "Typeset" && MathJax.typesetPromise) MathJax.typesetPromise([element]);
        }
      },
    };
  });
})();
