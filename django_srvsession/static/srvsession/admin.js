// Keeps the list of sessions and the overview above it as they are, politely: only while the page is seen, and for a few
// minutes after the last sign of a person, since every request counts as a use of the session and would keep an idle one
// alive. Who is signed out, or may no longer look, is asked for no more. Without this file both are as of when the page was
// loaded.
"use strict";

(() => {
  const AFTER_INPUT = 300_000; // milliseconds
  const ROWS = "#result_list tbody tr";
  const SID = ".field-session code[title], .action-checkbox input";
  const LIST = "[data-srvsession-list]";
  const TOLD = "[data-srvsession-told]";

  // Call `work` every so often; it ends for good where that says so, and comes ever more seldom while that fails.
  const keep = (every, work) => {
    let timer = 0;
    let wait = every;
    let lastInput = Date.now();
    let lastAsked = Date.now();
    let isOver = false;
    let isAsking = false;

    const plan = () => {
      clearTimeout(timer);
      const isDue = !isOver && !isAsking && !document.hidden && Date.now() - lastInput < AFTER_INPUT;
      timer = isDue ? setTimeout(ask, Math.max(lastAsked + wait - Date.now(), 0)) : 0;
    };
    const ask = async () => {
      isAsking = true;
      lastAsked = Date.now();
      try {
        isOver = (await work()) === false;
        wait = every;
      } catch {
        wait = Math.min(wait * 2, AFTER_INPUT);
      }
      isAsking = false;
      plan();
    };
    const noteInput = () => {
      lastInput = Date.now();
      if (timer === 0) plan();
    };

    document.addEventListener("visibilitychange", plan);
    for (const kind of ["pointermove", "pointerdown", "keydown", "scroll"]) {
      document.addEventListener(kind, noteInput, { passive: true });
    }
    plan();
  };

  // Return a page, undefined where nothing has changed, or false where there is nothing to ask for any more.
  const load = async (address, headers = {}) => {
    const answer = await fetch(address, { credentials: "same-origin", redirect: "manual", headers });
    if (answer.type === "opaqueredirect" || [401, 403, 404].includes(answer.status)) return false;
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.status === 204 ? undefined : new DOMParser().parseFromString(await answer.text(), "text/html");
  };

  const keepOverview = (box) => keep(30_000, async () => {
    const page = await load(box.dataset.srvsessionOverview);
    if (!page) return page;
    // The list below stays where it is in the window: there may be a pointer on a row.
    const height = box.offsetHeight;
    box.replaceChildren(...page.body.childNodes);
    box.style.minHeight = `${height}px`;
    window.scrollBy({ top: box.offsetHeight - height, behavior: "instant" });
    return page;
  });

  // By what a row is known: its session's public name.
  const rowsOf = (page) => {
    const named = [...page.querySelectorAll(ROWS)].map((row) => [row.querySelector(SID), row]);
    return new Map(named.filter(([cell]) => cell).map(([cell, row]) => [cell.value ?? cell.title, row]));
  };
  const boxOf = (row) => row.querySelector(".action-select");
  const isInUse = (row) => row.matches(":hover, :focus-within");

  // Do what changes the list, and let the row that is looked at stay where it is in the window.
  const inPlace = (rows, change) => {
    const tops = rows.map((row) => [row, row.getBoundingClientRect().top]);
    const isScrolled = tops.length > 0 && tops[0][1] < 0;
    const looked = tops.filter(([row, top]) => isInUse(row) || (isScrolled && top >= 0));
    looked.sort(([one], [other]) => other.matches(":hover") - one.matches(":hover"));
    change();
    const [row, top] = looked.find(([one]) => one.isConnected) ?? [];
    if (!row) return;
    const moved = () => row.getBoundingClientRect().top - top;
    window.scrollBy({ top: moved(), behavior: "instant" });
    if (moved() < 1) return;
    const page = document.documentElement; // It is not long enough to scroll so far.
    page.style.minHeight = `${page.scrollHeight + moved()}px`;
    window.scrollBy({ top: moved(), behavior: "instant" });
  };

  // Its box, and with it whether it is chosen, stays; so does what has the focus.
  const renew = (row, now) => {
    row.classList.remove("srvsession-gone");
    row.querySelector(".srvsession-gone-words")?.remove();
    for (const [place, cell] of [...row.cells].entries()) {
      const other = now.cells[place];
      const isKept = cell.matches(".action-checkbox, :focus-within") || cell.innerHTML === other?.innerHTML;
      if (!isKept) cell.replaceChildren(...(other?.childNodes ?? []));
    }
  };

  // What is chosen, or has the focus, stays, and while the pointer is on a row all of them do: one that is gone says so.
  const isHeld = (row) => row.parentElement.matches(":hover") || isInUse(row) || boxOf(row)?.checked;

  const strike = (row, words) => {
    const told = document.createElement("span");
    told.className = "srvsession-gone-words visually-hidden";
    told.textContent = ` (${words})`;
    row.classList.add("srvsession-gone");
    row.querySelector("th, td:not(.action-checkbox)")?.append(told);
  };

  const sweep = () => {
    const gone = [...document.querySelectorAll(`${ROWS}.srvsession-gone`)].filter((row) => !isHeld(row));
    if (gone.length === 0) return;
    inPlace([...rowsOf(document).values()], () => gone.forEach((row) => row.remove()));
    countBoxes();
  };

  const mergeRows = (mine, fresh, words) => {
    const body = document.querySelector(ROWS).parentElement;
    let [came, gone, last] = [0, 0, null];
    for (const [sid, row] of mine) {
      if (fresh.has(sid)) {
        renew(row, fresh.get(sid));
      } else if (!row.classList.contains("srvsession-gone")) {
        if (isHeld(row)) strike(row, words);
        else row.remove();
        gone += 1;
      }
    }
    for (const [sid, row] of fresh) {
      if (!mine.has(sid)) {
        if (last) last.after(row);
        else body.prepend(row);
        came += 1;
      }
      last = mine.get(sid) ?? row;
    }
    return [came, gone];
  };

  // From no row to some, or the other way round: the table and the actions come and go with them.
  const replaceAll = (mine, fresh, page) => {
    const form = document.querySelector("#changelist-form");
    const parts = ":scope > :not(input, [role='status'])";
    const now = [...page.querySelectorAll(`#changelist-form${parts.replace(":scope", "")}`)];
    form.querySelectorAll(parts).forEach((part) => part.remove());
    form.prepend(...now);
    const boxes = document.querySelectorAll(`${ROWS} .action-select`);
    if (boxes.length > 0) window.Actions?.(boxes);
    return [fresh.size, mine.size];
  };

  // Django's script counts the boxes that were there when the page was loaded. These are all that are there now.
  const countBoxes = () => {
    const boxes = [...document.querySelectorAll(`${ROWS} .action-select`)];
    const [counter, toggle] = [document.querySelector(".action-counter"), document.querySelector("#action-toggle")];
    if (!counter || !toggle) return;
    const [sel, cnt] = [boxes.filter((box) => box.checked).length, boxes.length];
    counter.dataset.actionsIcnt = String(cnt);
    const words = window.ngettext?.("%(sel)s of %(cnt)s selected", "%(sel)s of %(cnt)s selected", sel);
    if (words) counter.textContent = window.interpolate(words, { sel, cnt }, true);
    toggle.checked = cnt > 0 && sel === cnt;
  };

  const noteChoice = (event) => {
    if (event.type === "click") {
      for (const box of document.querySelectorAll(`${ROWS} .action-select`)) {
        box.checked = event.target.checked;
        box.closest("tr").classList.toggle("selected", box.checked);
      }
    }
    countBoxes();
  };

  const merge = (page) => {
    const [here, there] = [document.querySelector(LIST), page.querySelector(LIST)];
    const told = document.querySelector(TOLD);
    if (!here || !there || !told) return false; // The page is the site's own.
    const [mine, fresh] = [rowsOf(document), rowsOf(page)];
    let counts = [0, 0];
    inPlace([...mine.values()], () => {
      if (mine.size > 0 && (fresh.size > 0 || [...mine.values()].some(isHeld))) {
        counts = mergeRows(mine, fresh, told.dataset.srvsessionGone);
        if (!here.matches(":focus-within")) here.replaceChildren(...there.childNodes);
        here.dataset.srvsessionList = there.dataset.srvsessionList;
      } else {
        counts = replaceAll(mine, fresh, page);
      }
    });
    countBoxes();
    const [came, gone] = counts;
    if (came + gone > 0) told.textContent = told.dataset.srvsessionTold.replace("{came}", came).replace("{gone}", gone);
    return true;
  };

  // The list as it is asked for here, with its filters, search and page; nothing while it is the one that is shown.
  const keepList = () => keep(10_000, async () => {
    sweep();
    const known = document.querySelector(LIST)?.dataset.srvsessionList ?? "";
    const page = await load(location.href, { "X-Srvsession-List": known });
    return page ? merge(page) : page;
  });

  const start = () => {
    document.documentElement.style.overflowAnchor = "none"; // Or the browser scrolls as well.
    const box = document.querySelector("[data-srvsession-overview]");
    if (box) keepOverview(box);
    if (!document.querySelector(LIST)) return;
    keepList();
    // After Django's own, which listens to the table.
    document.addEventListener("change", (event) => event.target.matches(`${ROWS} .action-select`) && noteChoice(event));
    document.addEventListener("click", (event) => event.target.matches("#action-toggle") && noteChoice(event));
  };

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
