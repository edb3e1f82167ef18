// What the page does by itself when it may run a script: live rows, keys, copying, a warning before the session ends. Every
// page works without. Nothing here makes markup: it comes from the server, and one policy lets it in. Controls that need
// this script have the class `scripted`; the style sheet shows them once it runs.
"use strict";

document.documentElement.classList.add("has-script");
const policy = window.trustedTypes?.createPolicy("ssl-manager", { createHTML: (html) => html });
const parse = (html) => {
  const template = document.createElement("template");
  template.innerHTML = policy?.createHTML(html) ?? html;
  return template.content;
};
const find = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const ask = (address, options) => fetch(address, options).catch(() => null);
const { idleAt, expiresAt } = document.body.dataset;

// The browser's own zone, for times that the server writes.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && !document.cookie.split("; ").includes(`zone=${zone}`)) {
  document.cookie = `zone=${zone}; path=/; max-age=31536000; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;
  if (idleAt && !/clock=(utc|singapore)/.test(document.cookie)) location.reload();
}

// Back after signing out must not show what was kept.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

// One polite line for screen readers, at most every five seconds.
let said = 0;
let saying = null;
function say(text) {
  clearTimeout(saying);
  saying = setTimeout(() => {
    said = Date.now();
    const line = find("#status-line");
    if (line) line.textContent = text;
  }, said + 5000 - Date.now());
}

document.addEventListener("click", async ({ target }) => {
  const button = target.closest("button.copy");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  button.textContent = "Copied";
  say(`Copied ${button.dataset.copy}`);
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
});

// Two minutes before the session ends. Staying signed in leaves the page, and what was typed in it, as it is.
function warnBefore(end) {
  find("#session").hidden = true;
  setTimeout(() => {
    const time = find("#session-ends");
    time.textContent = new Date(end).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    find("#session").hidden = false;
    say(`Your session ends at ${time.textContent}`);
  }, Math.min(end - Date.now() - 120000, 2 ** 31 - 1));
}
if (idleAt) {
  warnBefore(Math.min(Date.parse(idleAt), Date.parse(expiresAt)));
  find("#stay").addEventListener("click", async () => {
    const answer = await ask("/stay");
    if (answer?.ok) warnBefore(Date.parse((await answer.json()).ends_at));
    else say("The session could not be extended. Sign in again in another tab.");
  });
}

// Changes wait, by the id of their element, while the page is paused, and while the element has the focus, a selection, or
// open details.
const waiting = new Map();
let paused = false;
function isInUse(element) {
  const selection = getSelection();
  return element.contains(document.activeElement)
    || (!selection.isCollapsed && selection.containsNode(element, true))
    || find("details[open]", element) !== null;
}
function applyWaiting() {
  for (const [id, act] of [...waiting]) {
    const element = document.getElementById(id);
    if (paused || (element && isInUse(element))) continue;
    waiting.delete(id);
    if (element) act(element);
  }
}
function change(id, act) {
  waiting.set(id, act);
  applyWaiting();
}
for (const event of ["focusout", "toggle", "selectionchange"]) document.addEventListener(event, () => setTimeout(applyWaiting), true);
find("#pause")?.addEventListener("click", ({ target }) => {
  paused = !paused;
  target.textContent = paused ? "Resume" : "Pause";
  applyWaiting();
});

// Live rows, a live domain, live figures: one stream per tab, closed while the tab is hidden.
const live = find("[data-live]")?.dataset.live ?? "/events?";
const domain = find("[data-live-domain]")?.dataset.liveDomain;
const figures = find("[data-live-page]");
let cursor = find("[data-cursor]")?.dataset.cursor ?? "";
let stream = null;
let changed = 0;

function setCells(row, fresh) {
  const differing = all("[data-cell]", fresh).filter((cell) => {
    const mine = find(`[data-cell="${cell.dataset.cell}"]`, row);
    if (!mine || mine.innerHTML === cell.innerHTML) return false;
    mine.replaceChildren(...cell.childNodes);
    return true;
  });
  return differing.length > 0;
}

function applyRow({ name, position, deleted, fits, html }) {
  change(`d-${name}`, (row) => {
    // Late revisions are dropped.
    if (Number(row.dataset.position ?? 0) >= position) return;
    row.dataset.position = position;
    row.classList.toggle("gone", deleted);
    row.classList.toggle("past", !fits);
    if (!deleted && !setCells(row, parse(`<table>${html}</table>`))) return;
    row.classList.remove("changed");
    void row.offsetWidth;
    row.classList.toggle("changed", !deleted);
    changed += 1;
    say(changed === 1 ? "1 domain changed" : `${changed} domains changed`);
  });
}

function applyCounts(counts) {
  // An emergency is told also on a page that is paused.
  const banner = find("#banner");
  banner.hidden = counts.emergencies === 0;
  find("a", banner).textContent = counts.emergency;
  document.title = counts.alarm + document.title.replace(/^\([\d,]+!\) /, "");
  change("matching", (matching) => {
    for (const count of all("[data-count]")) count.textContent = counts.figures[count.dataset.count] ?? count.textContent;
    const more = (counts.matching ?? 0) - matching.dataset.matching;
    find("#more-match").hidden = more <= 0;
    find("#more-match span").textContent = more;
  });
}

// The parts of the page as they came from the server, by id: they are fetched again, and those that differ take their place.
const parts = new Map(all(".live-part > [id]").map((part) => [part.id, part.outerHTML]));
async function refresh() {
  const answer = await ask(location.href);
  if (answer?.status === 401) location.reload();
  // A domain that is gone still has a page, which says so.
  if (!answer || !(answer.ok || (domain && answer.status === 404))) return;
  const fresh = parse(await answer.text());
  cursor = find("[data-cursor]", fresh)?.dataset.cursor ?? cursor;
  for (const id of parts.keys()) {
    const theirs = fresh.getElementById(id);
    if (!theirs) continue;
    const html = theirs.outerHTML;
    change(id, (mine) => {
      if (parts.get(id) === html) return;
      parts.set(id, html);
      mine.replaceWith(theirs);
      if (domain) say(`${domain} changed`);
    });
  }
  for (const row of all("#domains tr[data-name]", fresh)) {
    if (!waiting.has(row.id)) change(row.id, (mine) => setCells(mine, row));
  }
  tellAges();
}

function setAway(isAway) {
  const away = find("#away");
  if (away.hidden !== isAway) return;
  away.hidden = !isAway;
  say(isAway ? away.textContent : "The page is live again");
}

function hush() {
  stream?.close();
  stream = null;
}

function listen() {
  if (stream || document.hidden || !idleAt) return;
  stream = new EventSource(`${live}&cursor=${cursor}`);
  const on = {
    row: (data) => {
      const row = JSON.parse(data);
      cursor = row.cursor;
      applyRow(row);
      if (row.name === domain) refresh();
    },
    counts: (data) => {
      applyCounts(JSON.parse(data));
      if (!figures) return;
      refresh();
      // The API keeps figures for a few seconds: what changed last is in the next ones.
      setTimeout(refresh, 6000);
    },
    resync: (data) => { cursor = data; refresh(); },
    away: () => setAway(true),
    // What changed meanwhile may not be told any more.
    back: () => { setAway(false); refresh(); },
    bye: () => { hush(); setTimeout(listen, 1000); },
    session: () => location.reload(),
  };
  for (const [name, act] of Object.entries(on)) stream.addEventListener(name, (event) => act(event.data));
  stream.onopen = () => setAway(false);
  stream.onerror = () => {
    setAway(true);
    // Refused, rather than broken off: the session may have ended, or the console is away. The browser does not try again.
    if (stream?.readyState === EventSource.CLOSED) { hush(); setTimeout(listen, 5000); refresh(); }
  };
}
document.addEventListener("visibilitychange", () => (document.hidden ? hush() : listen()));
addEventListener("pagehide", hush);
listen();

// A check that was made just now is told by its age, and one that runs is asked for again.
function tellAges() {
  for (const time of all("time.ago")) {
    const seconds = Math.max(0, Math.round((Date.now() - Date.parse(time.dateTime)) / 1000));
    if (seconds < 3600) time.textContent = seconds < 60 ? `${seconds} s ago` : `${Math.floor(seconds / 60)} min ago`;
  }
}
tellAges();
setInterval(() => { tellAges(); if (find("[data-again]")) refresh(); }, 1000);

// What is ticked: its number, all of the page, a range with Shift, and buttons that wait for something to be ticked.
const bulk = find("#bulk");
if (bulk) {
  const boxes = all('#domains input[name="name"]');
  const [every, matching] = [find("#all"), bulk.elements.of];
  const tell = () => {
    const count = boxes.filter((box) => box.checked).length;
    find("#ticked").textContent = matching.checked ? "All that match" : `${count} selected`;
    find("fieldset", bulk).disabled = count === 0 && !matching.checked;
    every.checked = count === boxes.length;
    every.indeterminate = count > 0 && !every.checked;
  };
  let last = 0;
  find("#domains").addEventListener("click", ({ target, shiftKey }) => {
    const at = boxes.indexOf(target);
    if (at < 0) return;
    if (shiftKey) for (const box of boxes.slice(Math.min(last, at), Math.max(last, at))) box.checked = target.checked;
    last = at;
    tell();
  });
  every.addEventListener("change", () => { for (const box of boxes) box.checked = every.checked; tell(); });
  matching.addEventListener("change", tell);
  // After Back a browser ticks again what was ticked.
  addEventListener("pageshow", tell);
}

// Keys, unless they were switched off in this browser. Nothing happens while somebody types.
const keysOn = find("#keys-on");
if (keysOn) {
  keysOn.checked = localStorage.keys !== "off";
  keysOn.addEventListener("change", () => { localStorage.keys = keysOn.checked ? "on" : "off"; });
}
function step(by) {
  const rows = all("#domains tbody tr");
  const here = rows.findIndex((row) => row.contains(document.activeElement));
  const row = rows.at(here < 0 && by < 0 ? -1 : here + by);
  if (here + by >= 0 || here < 0) row?.querySelector("th a").focus();
}
function recheck() {
  const name = document.activeElement.closest("tr[data-name]")?.dataset.name;
  const form = find("#one");
  if (domain) find('button[name="action"][value="recheck"]')?.click();
  else if (name && form) { form.action = `/domains/${name}`; form.submit(); }
}
const keys = {
  "/": () => find("#q")?.focus(),
  j: () => step(1),
  k: () => step(-1),
  r: recheck,
  "?": () => { if (find("#legend")) find("#legend").togglePopover(); else location.href = "/help"; },
};
document.addEventListener("keydown", (event) => {
  if (!idleAt || localStorage.keys === "off" || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.closest?.('input:not([type="checkbox"], [type="radio"]), textarea, select, [contenteditable]')) return;
  if (!Object.hasOwn(keys, event.key)) return;
  event.preventDefault();
  keys[event.key]();
});

// One name is checked as it is typed.
let checking = null;
find("#names")?.addEventListener("input", ({ target: names }) => {
  clearTimeout(checking);
  checking = setTimeout(async () => {
    const [check, typed] = [find("#check"), names.value];
    const [name, ...others] = typed.split(/[\s,;]+/).filter(Boolean);
    if (!name || others.length > 0) { check.replaceChildren(); return; }
    const body = new URLSearchParams({ csrf: names.form.elements.csrf.value, name });
    const answer = await ask(check.dataset.check, { method: "POST", body });
    if (answer?.ok && names.value === typed) check.replaceChildren(parse(await answer.text()));
  }, 400);
});

// A file goes into the box beside it: as it is if it is text, else as its base64, which the server reads as well.
for (const input of all("input[type=file][data-into]")) {
  input.addEventListener("change", async () => {
    const [file] = input.files;
    if (!file) return;
    input.value = "";
    if (file.size > 64 * 1024) { say(`${file.name} has over 64 KiB: choose the file of this one certificate or key`); return; }
    const bytes = new Uint8Array(await file.arrayBuffer());
    const text = new TextDecoder().decode(bytes);
    const isText = !/[\0\ufffd]/.test(text);
    document.getElementById(input.dataset.into).value = isText ? text : btoa(String.fromCharCode(...bytes));
    say(`${file.name} is in the box`);
  });
}
