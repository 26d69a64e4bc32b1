// Signs a device out without leaving the page, and moves nothing on it: the card stays where it was. Without this file,
// or when anything is not as expected, the form is sent as forms are: nothing here is needed.
(() => {
  "use strict";

  const STATUS = "[data-srvsession-status]";
  const BUTTON = "button[data-srvsession-end]";
  const COUNT = "[data-srvsession-count]";
  const GROUP_COUNT = "[data-srvsession-group-count]";

  let passed = null; // The button whose form the browser sends by itself.

  function sendByBrowser(button) {
    passed = button;
    button.click();
    passed = null;
  }

  function show(card, ended, page) {
    for (const place of document.querySelectorAll(COUNT)) {
      place.textContent = page.querySelector(COUNT)?.textContent ?? "";
    }
    const groupCount = card.closest(".group")?.querySelector(GROUP_COUNT);
    if (groupCount) {
      // On the new page the last one of a group stands alone: "Signed out".
      const told = ended.closest(".group")?.querySelector(GROUP_COUNT) ?? ended.querySelector(".end");
      groupCount.textContent = told?.textContent ?? "";
    }
    card.replaceWith(ended);
    document.dispatchEvent(new Event("srvsession:shown"));
    // Not to the next card: its button would be pressed by a key that is still held.
    ended.querySelector("[tabindex]")?.focus({ preventScroll: true });
    // Last: a live region is read when its content changes, and after the focus has moved.
    document.querySelector(STATUS).replaceChildren(...page.querySelector(STATUS).childNodes);
  }

  async function end(button) {
    const card = button.closest("li");
    const body = new FormData(button.form);
    body.append(button.name, button.value);
    const answer = await fetch(button.formAction, { method: "POST", body, credentials: "same-origin" });
    const page = answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
    const ended = page?.querySelector(`#${card.id}[data-srvsession-ended]`);
    if (ended && page.querySelector(STATUS)) {
      show(card, ended, page);
    } else if (answer.redirected) {
      location.assign(answer.url); // Signed out meanwhile.
    } else {
      sendByBrowser(button); // A question, or the store does not answer.
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest(BUTTON);
    if (!button || button === passed || event.defaultPrevented || !document.querySelector(STATUS)) return;
    event.preventDefault();
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    end(button).catch(() => sendByBrowser(button));
  });
})();
