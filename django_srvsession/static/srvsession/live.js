// Keeps the list of devices as it is: who signs in elsewhere appears, at its end, and who is signed out stays in place and
// is called so. Nothing moves under a pointer. Asks only while the page is seen, and for a few minutes after the last sign
// of a person, since every request counts as a use of the session. Without this file the list is as of when it was loaded.
(() => {
  "use strict";

  const EVERY = 10_000; // milliseconds
  const AFTER_INPUT = 300_000;
  const CARD = "li.session";
  const LIVE_CARD = `${CARD}:not([data-srvsession-ended])`;
  const COUNT = "[data-srvsession-count]";
  const GROUP_COUNT = "[data-srvsession-group-count]";

  const section = document.querySelector("[data-srvsession-live]");
  if (!section) return;
  let known = section.dataset.srvsessionDigest;
  let timer = 0;
  let wait = EVERY;
  let lastInput = Date.now();
  let isAsking = false;

  function plan() {
    clearTimeout(timer);
    timer = !document.hidden && Date.now() - lastInput < AFTER_INPUT ? setTimeout(refresh, wait) : 0;
  }

  // Say of a card that its session has ended; it is as high as before.
  function strike(card, other) {
    const ended = section.querySelector("template").content.cloneNode(true);
    const words = ended.textContent;
    const button = card.querySelector("button");
    const hadFocus = button === document.activeElement;
    button?.replaceWith(ended);
    card.dataset.srvsessionEnded = "";
    if (hadFocus) card.querySelector("[tabindex]")?.focus({ preventScroll: true });
    const group = card.closest(".group");
    const left = group?.querySelector(LIVE_CARD);
    const count = group?.querySelector(GROUP_COUNT);
    const told = left && other.querySelector(`#${left.id}`)?.closest(".group")?.querySelector(GROUP_COUNT);
    if (count) count.textContent = left ? (told?.textContent ?? "") : words;
  }

  function append(cards, other) {
    const list = section.querySelector("ul.sessions");
    if (list) {
      list.append(...cards);
    } else {
      section.querySelector(".empty").replaceWith(other.querySelector("ul.sessions")); // The first other device.
      section.querySelector(".heading-row").replaceWith(other.querySelector(".heading-row"));
    }
  }

  function merge(other) {
    for (const card of section.querySelectorAll(LIVE_CARD)) {
      if (!other.querySelector(`#${card.id}`)) strike(card, other);
    }
    section.querySelector(COUNT).textContent = other.querySelector(COUNT).textContent;
    const cards = [...other.querySelectorAll(CARD)].filter((card) => !document.getElementById(card.id));
    if (cards.length > 0) append(cards, other);
    document.dispatchEvent(new Event("srvsession:shown"));
  }

  async function ask(address, redirect) {
    const answer = await fetch(address, { credentials: "same-origin", redirect });
    if (answer.type === "opaqueredirect") location.reload(); // Signed out here: the next page says why.
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.text();
  }

  async function refresh() {
    if (isAsking) return;
    isAsking = true;
    try {
      const digest = await ask(section.dataset.srvsessionLive, "manual");
      if (digest !== known) {
        const page = new DOMParser().parseFromString(await ask(location.href, "manual"), "text/html");
        const other = page.querySelector("[data-srvsession-live]");
        if (!other) return; // There are several pages now, or the site's own: the list is left as it is.
        merge(other);
        known = other.dataset.srvsessionDigest;
      }
      wait = EVERY;
    } catch {
      wait = Math.min(wait * 2, AFTER_INPUT);
    } finally {
      isAsking = false;
    }
    plan();
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? plan() : refresh()));
  for (const kind of ["pointermove", "pointerdown", "keydown", "scroll"]) {
    document.addEventListener(kind, () => {
      lastInput = Date.now();
      if (timer === 0 && !isAsking) plan();
    }, { passive: true });
  }
  plan();
})();
