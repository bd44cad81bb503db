"use strict";
// Countdowns, the lost-stream banner, and re-reading when the stream is back.  Events are hints.
(() => {
  const tick = () => {
    for (const time of document.querySelectorAll("time[data-countdown]")) {
      const left = Math.round((Date.parse(time.dateTime) - Date.now()) / 1000);
      const minutes = Math.floor(Math.abs(left) / 60);
      const seconds = String(Math.abs(left) % 60).padStart(2, "0");
      time.title ||= time.dateTime;
      time.textContent = left < 0 ? `${minutes}:${seconds} ago` : `in ${minutes}:${seconds}`;
    }
  };
  setInterval(tick, 1000);
  document.addEventListener("htmx:afterSettle", tick);
  tick();

  // Without a stream the page asks by itself.  When one opens, whatever happened between the
  // reading of the page and the opening was not heard: read again.
  let polling = 0;
  const reread = () => htmx.trigger(document.body, "sprout:reread");
  const listening = (heard) => {
    document.getElementById("stale").hidden = heard;
    clearInterval(polling);
    polling = heard ? 0 : setInterval(reread, 5000);
  };
  document.body.addEventListener("htmx:sseOpen", () => {
    listening(true);
    reread();
  });
  document.body.addEventListener("htmx:sseError", () => listening(false));

  // Nothing is swapped away under a hand that writes or points: it is read when the hand leaves.
  let missed = false;
  const held = (node) => node.matches("#discovered:is(:hover, :focus-within)") ||
    [...node.querySelectorAll("#discovered input")].some((i) => i.value !== i.defaultValue);
  for (const left of ["focusout", "mouseout"]) {
    document.body.addEventListener(left, (event) => {
      const list = event.target.closest("#discovered");
      if (!missed || !list || list.contains(event.relatedTarget)) return;
      missed = false;
      setTimeout(reread);
    });
  }

  // Open details stay open when their section is swapped.
  const open = new Set();
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    if (held(event.detail.target)) {
      missed = true;
      event.detail.shouldSwap = false;
      return;
    }
    open.clear();
    for (const node of document.querySelectorAll("details.data[open]")) open.add(node.id);
  });
  document.body.addEventListener("htmx:afterSwap", () => {
    for (const node of document.querySelectorAll("details.data")) {
      if (open.has(node.id)) node.open = true;
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.closest("input, textarea, select")) {
      event.preventDefault();
      document.getElementById("q").focus();
    }
  });
})();
