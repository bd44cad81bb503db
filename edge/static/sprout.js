// Events are hints: who hears one reads again, and changes what did.
const $ = (id) => document.getElementById(id);
const all = (words, root = document) => [...root.querySelectorAll(words)];
const on = (name, act) => document.addEventListener(name, act);
const AGES = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [1 / 0, 86400, "d"]];
const tick = (root) => {
  for (const time of all("[data-age], [data-countdown]", root)) {
    const past = Math.round((Date.now() - Date.parse(time.dateTime)) / 1000), left = Math.abs(past);
    const [, unit, word] = AGES.find(([limit]) => past < limit);
    const clock = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, 0)}`;
    const text = "age" in time.dataset ? `${Math.floor(Math.max(0, past) / unit)} ${word} ago`
      : past > 0 ? `${clock} ago` : `in ${clock}`;
    if (time.textContent !== text) time.textContent = text;
  }
};

// Nodes are known by id or place: what is typed or open stays.
const morph = (old, fresh) => {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== 1) { old.data = fresh.data; return; }
  for (const { name, value } of fresh.attributes) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  const wanted = new Set([...fresh.children].map((each) => each.id));
  const known = new Map([...old.children].map((each) => [each.id, each]));
  let place = old.firstChild;
  const step = () => { const node = place; place = node.nextSibling; return node; };
  for (const child of [...fresh.childNodes]) {
    while (place?.id && !wanted.has(place.id)) step().remove();
    const twin = child.id ? known.get(child.id) : place?.id ? null : place;
    if (twin?.nodeName !== child.nodeName) { old.insertBefore(child, place); continue; }
    if (twin === place) step(); else old.insertBefore(twin, place);
    morph(twin, child);
  }
  while (place) step().remove();
};
const patch = (id, page) => {
  const old = $(id), fresh = page.getElementById(id);
  if (fresh && old.nodeName === fresh.nodeName) {
    morph(old, fresh);
    htmx.process(old);
  } else if (id === "main") location.reload(); else patch("main", page);
};

// Without a stream the page polls; unseen, it has none: browsers have six for all tabs.
let polling = 0;
const reread = () => htmx.trigger(document.body, "sprout:reread");
const listening = (heard) => {
  $("stale").hidden = heard;
  clearInterval(polling);
  polling = heard ? 0 : setInterval(reread, 5000);
};
on("htmx:sseOpen", () => { listening(true); reread(); });
on("htmx:sseError", ({ detail }) => detail.error && listening(false));
let stream;
htmx.createEventSource = (url) => {
  stream = new EventSource(url);
  if (document.hidden) stream.close();
  return stream;
};
on("visibilitychange", () => {
  stream?.close();
  if (!document.hidden) stream?.onerror();
});

const unseen = ({ firstElementChild: first, lastElementChild: last }) => first &&
  (last.getBoundingClientRect().bottom < 0 || first.getBoundingClientRect().top > innerHeight);
on("htmx:beforeRequest", (event) => {
  const { elt } = event.detail;
  if (!elt.matches(".part") || !unseen(elt)) return;
  elt.dataset.late = "";
  event.preventDefault();
});
setInterval(() => {
  tick(document);
  for (const part of all("[data-late]")) {
    if (unseen(part)) continue;
    delete part.dataset.late;
    htmx.trigger(part, "sprout:look");
  }
}, 1000);

// Nothing moves under a hand.
let missed = false;
for (const left of ["focusout", "mouseout"]) {
  on(left, (event) => {
    const list = event.target.closest("[data-held]");
    if (!missed || !list || list.contains(event.relatedTarget)) return;
    missed = false;
    setTimeout(reread);
  });
}
on("htmx:beforeSwap", ({ detail }) => {
  const { target, elt } = detail;
  if (target.matches("[data-held]:is(:hover, :focus-within)") ||
    all("input", target).some((input) => input.value !== input.defaultValue)) {
    missed = true;
    detail.shouldSwap = false;
  } else if ("live" in target.dataset && elt === target && !detail.isError) {
    detail.shouldSwap = false;
    const page = new DOMParser().parseFromString(detail.serverResponse, "text/html");
    [document, page].forEach(tick);
    for (const id of [target.id, target.dataset.also]) if (id) patch(id, page);
  }
});
on("htmx:afterSettle", () => tick(document));
tick(document);

let went = 0;
const menus = (shut) => all(".menu[open]").filter(shut).forEach((menu) => { menu.open = false; });
on("click", (event) => menus((menu) => !menu.contains(event.target)));
on("keydown", (event) => {
  const { key, target } = event;
  if (key === "Escape") menus(() => true);
  if (event.ctrlKey || event.metaKey || event.altKey ||
    target.closest("input, textarea, select, dialog")) return;
  const place = Date.now() - went < 1500 && all("[data-key]").find((a) => a.dataset.key === key);
  went = key === "g" ? Date.now() : 0;
  if (place) place.click();
  else if (key === "/") $("q").focus();
  else if (key === "?") $("keys").showModal();
  else return;
  event.preventDefault();
});
