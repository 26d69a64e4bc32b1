// Refreshes the overview above the list of sessions, politely: only while the page is seen, and for a few minutes after
// the last sign of a person, since every request counts as a use of the session and would keep an idle one alive.
"use strict";

(() => {
  const EVERY = 30_000; // milliseconds
  const AFTER_INPUT = 300_000;

  const start = () => {
    const box = document.querySelector("[data-srvsession-overview]");
    if (!box) return;
    let timer = 0;
    let lastInput = Date.now();
    let wait = EVERY;

    const plan = () => {
      clearTimeout(timer);
      timer = 0;
      if (!document.hidden && Date.now() - lastInput < AFTER_INPUT) timer = setTimeout(refresh, wait);
    };

    // The list below stays where it is in the window: there may be a pointer on a row.
    const show = (nodes) => {
      const height = box.offsetHeight;
      box.replaceChildren(...nodes);
      box.style.minHeight = `${height}px`;
      window.scrollBy({ top: box.offsetHeight - height, behavior: "instant" });
    };

    const refresh = async () => {
      try {
        const answer = await fetch(box.dataset.srvsessionOverview, { credentials: "same-origin", redirect: "error" });
        if (answer.status === 401 || answer.status === 403) return;
        if (!answer.ok) throw new Error(String(answer.status));
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        show(page.body.childNodes);
        wait = EVERY;
      } catch {
        wait = Math.min(wait * 2, AFTER_INPUT);
      }
      plan();
    };

    const noteInput = () => {
      lastInput = Date.now();
      if (timer === 0) plan();
    };

    document.documentElement.style.overflowAnchor = "none"; // Or the browser scrolls as well.
    document.addEventListener("visibilitychange", plan);
    for (const kind of ["pointermove", "pointerdown", "keydown", "scroll"]) {
      document.addEventListener(kind, noteInput, { passive: true });
    }
    plan();
  };

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
