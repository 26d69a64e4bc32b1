// Loads a page again that an outage kept from being shown: once, so that a site that is out is not asked forever. Without
// this file there is the link "Try again".
(() => {
  "use strict";

  const seconds = Number(document.currentScript.dataset.srvsessionRetry);
  const [visit] = performance.getEntriesByType("navigation");
  if (visit && visit.type !== "reload") setTimeout(() => location.reload(), seconds * 1000);
})();
