"use strict";
// Countdowns, the lost-stream banner, and re-reading when the stream is back.  Events are hints.
(() => {
  const tick = () => {
    for (const time of document.querySelectorAll("time[data-countdown]")) {
      const left = Math.round((Date.parse(time.dateTime) - Date.now()) / 1000);
      const minutes = Math.floor(Math.abs(left) / 60);
      const seconds = String(Math.abs(left) % 60).padStart(2, "0");
      time.title ||= time.dateTime;
      time.textContent = left < 0 ? `${minutes}:${seconds} ago` : `${minutes}:${seconds} from now`;
    }
  };
  setInterval(tick, 1000);
  document.addEventListener("htmx:afterSettle", tick);
  tick();

  let lost = false;
  const banner = (shown) => {
    document.getElementById("stale").hidden = !shown;
  };
  document.body.addEventListener("htmx:sseError", () => {
    lost = true;
    banner(true);
  });
  document.body.addEventListener("htmx:sseOpen", () => {
    banner(false);
    if (lost) {
      lost = false;
      htmx.trigger(document.body, "sprout:reread");
    }
  });
  document.body.addEventListener("htmx:sseClose", () => {
    lost = true;
    banner(true);
  });

  // Open details stay open when their section is swapped.
  const open = new Set();
  const key = (node) => node.closest("tr")?.querySelector("time")?.dateTime;
  document.body.addEventListener("htmx:beforeSwap", () => {
    open.clear();
    for (const node of document.querySelectorAll("details.data[open]")) open.add(key(node));
  });
  document.body.addEventListener("htmx:afterSwap", () => {
    for (const node of document.querySelectorAll("details.data")) {
      if (open.has(key(node))) node.open = true;
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.closest("input, textarea, select")) {
      event.preventDefault();
      document.getElementById("q").focus();
    }
  });
})();
