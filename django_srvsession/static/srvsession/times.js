// Says times by the reader's clock: in the time zone of the browser, and in its way of writing the page's language. Keeps
// "3 minutes ago" up to date. Without this file, the server's words stay.
(() => {
  "use strict";

  const TIMES = "time[data-srvsession-time]";
  const MINUTE = 60; // All in seconds.
  const WEEK = 7 * 24 * 60 * MINUTE;
  const WITHOUT_YEAR = 300 * 24 * 60 * MINUTE;
  const UNITS = [["day", 24 * 60 * MINUTE], ["hour", 60 * MINUTE], ["minute", MINUTE]];

  const page = document.documentElement.lang || "en";
  const ofPage = (language) => language.split("-")[0] === page.split("-")[0];
  const language = navigator.languages.find(ofPage) ?? page; // British dates on an English page.

  const format = (options) => new Intl.DateTimeFormat(language, options);
  const clock = format({ hour: "numeric", minute: "2-digit" });
  const day = format({ month: "short", day: "numeric" });
  const dayAndClock = format({ month: "short", day: "numeric", hour: "numeric", minute: "2-digit" });
  const dayAndYear = format({ year: "numeric", month: "short", day: "numeric" });
  const exact = format({ dateStyle: "long", timeStyle: "long" });
  const now = new Intl.RelativeTimeFormat(language, { numeric: "auto" }).format(0, "second");
  const relative = new Intl.RelativeTimeFormat(language);

  function ago(age) {
    const unit = UNITS.find(([, seconds]) => age >= seconds);
    return unit ? relative.format(-Math.floor(age / unit[1]), unit[0]) : now;
  }

  function isOfDay(moment, name) {
    const [year, month, date] = name.split("-").map(Number);
    return moment.getFullYear() === year && moment.getMonth() + 1 === month && moment.getDate() === date;
  }

  function text(time, moment) {
    const style = time.dataset.srvsessionTime;
    const age = (Date.now() - moment) / 1000;
    if (style === "relative" && age < WEEK) return ago(age);
    if (style === "clock") return (isOfDay(moment, time.dataset.srvsessionDay) ? clock : dayAndClock).format(moment);
    if (Math.abs(age) > WITHOUT_YEAR) return dayAndYear.format(moment);
    return (style === "relative" ? day : dayAndClock).format(moment);
  }

  function say() {
    for (const time of document.querySelectorAll(TIMES)) {
      const moment = new Date(time.dateTime);
      if (Number.isNaN(moment.valueOf())) continue;
      const words = text(time, moment);
      if (time.textContent !== words) time.textContent = words;
      time.dataset.srvsessionExact = exact.format(moment);
    }
  }

  function sayWhereSeen() {
    if (!document.hidden) say();
  }

  say();
  setInterval(sayWhereSeen, 20_000);
  document.addEventListener("visibilitychange", sayWhereSeen);
  document.addEventListener("srvsession:shown", say); // A part of the page is new.
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && document.activeElement?.matches(TIMES)) document.activeElement.blur();
  });
})();
