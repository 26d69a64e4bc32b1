// Ends a session without leaving the page. Without this file, or when anything is not as expected, the form is sent as
// forms are: nothing here is needed.
(() => {
  "use strict";

  const LIST = "[data-srvsession-list]";
  const STATUS = "[data-srvsession-status]";
  const FORM = "form[data-srvsession-end]";

  function regions(document) {
    const list = document.querySelector(LIST);
    const status = document.querySelector(STATUS);
    return list && status ? { list, status } : null;
  }

  // The session after the one that goes, or the one before, so that the focus stays where the person was.
  function neighbour(form) {
    const cards = [...document.querySelectorAll(FORM)].map((other) => other.closest("li"));
    const place = cards.indexOf(form.closest("li"));
    const next = cards[place + 1] ?? cards[place - 1];
    return next?.id;
  }

  function show(current, page, nextId) {
    current.list.replaceChildren(...page.list.childNodes);
    const focused = document.getElementById(nextId ?? "")?.querySelector("h3") ?? document.querySelector(`${LIST} h2[tabindex]`);
    focused?.focus();
    // Last: a live region is read when its content changes, and after the focus has moved.
    current.status.replaceChildren(...page.status.childNodes);
  }

  async function end(form, current) {
    const nextId = neighbour(form);
    const answer = await fetch(form.action, { method: "POST", body: new FormData(form), credentials: "same-origin" });
    if (answer.status === 404) {
      location.reload(); // It has ended meanwhile: the list is old.
      return;
    }
    const page = answer.ok ? regions(new DOMParser().parseFromString(await answer.text(), "text/html")) : null;
    if (page) {
      show(current, page, nextId);
    } else if (answer.redirected) {
      location.assign(answer.url); // Signed out meanwhile.
    } else {
      form.submit(); // Asks for the password, or says that the store does not answer.
    }
  }

  document.addEventListener("submit", (event) => {
    const form = event.target.closest(FORM);
    const current = regions(document);
    if (!form || !current || event.defaultPrevented) return;
    event.preventDefault();
    const button = form.querySelector("button");
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    end(form, current).catch(() => form.submit());
  });
})();
