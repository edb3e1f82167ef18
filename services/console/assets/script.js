// What the page does by itself when it may run a script: live rows, keys, copying, a warning before the session ends. Every
// page works without. Nothing here makes markup: it comes from the server, and one policy lets it in. Controls that need
// this script have the class `scripted`; the style sheet shows them once it runs.
"use strict";

document.documentElement.classList.add("has-script");
const policy = window.trustedTypes?.createPolicy("ssl-manager", { createHTML: (html) => html });
const parse = (html) => {
  const template = document.createElement("template");
  template.innerHTML = policy ? policy.createHTML(html) : html;
  return template.content;
};
const find = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const get = (address, accept = "text/html") => fetch(address, { headers: { accept } }).catch(() => null);
const { idleAt, expiresAt } = document.body.dataset;

// The browser's own zone, for times that the server writes.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && !document.cookie.split("; ").includes(`zone=${zone}`)) {
  document.cookie = `zone=${zone}; path=/; max-age=31536000; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;
  if (idleAt && !/clock=(utc|singapore)/.test(document.cookie)) location.reload();
}

// Back after signing out must not show what was kept.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  button.textContent = "Copied";
  say(`Copied ${button.dataset.copy}`);
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
});

// One polite line for screen readers, at most every five seconds.
let said = 0;
let waiting = null;
function say(text) {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    said = Date.now();
    const line = find("#status-line");
    if (line) line.textContent = text;
  }, Math.max(0, said + 5000 - Date.now()));
}

// Before the session ends. Staying signed in leaves the page, and what was typed in it, as it is.
let warning = null;
function warnBefore(end) {
  find("#session").hidden = true;
  clearTimeout(warning);
  warning = setTimeout(() => {
    const time = find("#session-ends");
    time.textContent = new Date(end).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    find("#session").hidden = false;
    say(`Your session ends at ${time.textContent}`);
  }, Math.max(0, Math.min(end - Date.now() - 120000, 2 ** 31 - 1)));
}
if (idleAt) {
  warnBefore(Math.min(Date.parse(idleAt), Date.parse(expiresAt)));
  find("#stay").addEventListener("click", async () => {
    const answer = await get("/stay", "application/json");
    if (answer?.ok) warnBefore(Date.parse((await answer.json()).ends_at));
    else say("The session could not be extended. Sign in again in another tab.");
  });
}

// Live rows, a live domain, live figures: one stream per tab, closed while the tab is hidden.
const table = find("#domains");
const domain = find("[data-live-domain]");
const figures = find("[data-live-page]");
const away = find("#away");
// The parts of the page as they came from the server, by id.
const came = new Map(all(".live-part > [id]").map((part) => [part.id, part.outerHTML]));
// Rows that wait until they are no longer used, by name; and whether a part of the page waits.
const held = new Map();
let isStale = false;
let counted = null;
let stream = null;
let cursor = find("[data-cursor]")?.dataset.cursor ?? "";
let paused = false;
let changed = 0;
let figuresTimer = null;

// What has the focus, a selection, or open details is left alone until that ends.
function isInUse(element) {
  const selection = getSelection();
  return element.contains(document.activeElement)
    || (!selection.isCollapsed && selection.containsNode(element, true))
    || find("details[open]", element) !== null;
}

function setCells(row, fresh) {
  let differs = false;
  for (const cell of all("[data-cell]", fresh)) {
    const mine = find(`[data-cell="${cell.dataset.cell}"]`, row);
    if (!mine || mine.innerHTML === cell.innerHTML) continue;
    mine.replaceChildren(...cell.childNodes);
    differs = true;
  }
  return differs;
}

function applyRow(change) {
  const row = document.getElementById(`d-${change.name}`);
  if (!row || Number(row.dataset.position ?? 0) >= change.position) return;
  if (paused || isInUse(row)) { held.set(change.name, change); return; }
  held.delete(change.name);
  row.dataset.position = change.position;
  row.classList.toggle("gone", change.deleted);
  row.classList.toggle("past", !change.fits);
  if (!change.deleted && !setCells(row, parse(`<table>${change.html}</table>`))) return;
  row.classList.remove("changed");
  void row.offsetWidth;
  row.classList.toggle("changed", !change.deleted);
  changed += 1;
  say(changed === 1 ? "1 domain changed" : `${changed} domains changed`);
}

function applyCounts(counts) {
  counted = counts;
  // An emergency is told also on a page that is paused.
  const banner = find("#banner");
  banner.hidden = counts.emergencies === 0;
  find("a", banner).textContent = counts.emergency;
  document.title = counts.alarm + document.title.replace(/^\([\d,]+!\) /, "");
  if (paused) return;
  const figures = { at_risk: counts.at_risk, ...counts.statuses };
  for (const count of all("[data-count]")) count.textContent = figures[count.dataset.count] ?? count.textContent;
  const news = (counts.matching ?? 0) - Number(find("#matching")?.dataset.matching ?? 0);
  const more = find("#more-match");
  if (more) more.hidden = news <= 0;
  if (more && news > 0) find("span", more).textContent = news;
}

// Fetches this very page again and takes over the parts and rows that differ.
async function refresh() {
  const answer = await get(location.href);
  if (answer?.status === 401) location.reload();
  // A domain that is gone still has a page, which says so.
  if (!answer || !(answer.ok || (domain && answer.status === 404))) return;
  const fresh = parse(await answer.text());
  cursor = find("[data-cursor]", fresh)?.dataset.cursor ?? cursor;
  isStale = false;
  let differs = false;
  for (const [id, html] of came) {
    const theirs = fresh.getElementById(id);
    if (!theirs || theirs.outerHTML === html) continue;
    const mine = document.getElementById(id);
    if (isInUse(mine)) { isStale = true; continue; }
    came.set(id, theirs.outerHTML);
    mine.replaceWith(theirs);
    differs = true;
  }
  if (domain && differs) say(`${domain.dataset.liveDomain} changed`);
  for (const row of all("#domains tr[data-name]", fresh)) {
    const mine = document.getElementById(row.id);
    if (mine && !isInUse(mine)) setCells(mine, row);
  }
  tellAges();
}

function release() {
  for (const change of [...held.values()]) applyRow(change);
  if (paused) return;
  if (counted) applyCounts(counted);
  if (isStale) refresh();
}

function address() {
  const query = new URLSearchParams(table?.dataset.live);
  query.delete("page");
  query.delete("last");
  if (table) query.set("list", "1");
  for (const row of all("#domains tr[data-name]")) query.append("on", row.dataset.name);
  if (domain) query.append("on", domain.dataset.liveDomain);
  if (cursor) query.set("cursor", cursor);
  return `/events?${query}`;
}

function setAway(isAway) {
  if (away.hidden !== isAway) return;
  away.hidden = !isAway;
  say(isAway ? away.textContent : "The page is live again");
}

function listen() {
  if (stream || document.hidden || !idleAt) return;
  stream = new EventSource(address());
  const on = {
    row: (data) => {
      const change = JSON.parse(data);
      cursor = change.cursor;
      if (table) applyRow(change);
      if (change.name !== domain?.dataset.liveDomain) return;
      isStale = true;
      if (!paused) refresh();
    },
    counts: (data) => {
      applyCounts(JSON.parse(data));
      if (!figures) return;
      refresh();
      // The API keeps figures for a few seconds: what changed last is in the next ones.
      clearTimeout(figuresTimer);
      figuresTimer = setTimeout(refresh, 6000);
    },
    resync: (data) => { cursor = data; refresh(); },
    away: () => setAway(true),
    // What changed meanwhile may not be told any more.
    back: () => { setAway(false); refresh(); },
    bye: () => { hush(); setTimeout(listen, 1000); },
    session: () => { hush(); location.reload(); },
  };
  for (const [name, act] of Object.entries(on)) stream.addEventListener(name, (event) => act(event.data));
  stream.onopen = () => setAway(false);
  stream.onerror = () => {
    setAway(true);
    // Refused, rather than broken off: the session may have ended, or the console is away. The browser does not try again.
    if (stream?.readyState === EventSource.CLOSED) { hush(); setTimeout(listen, 5000); refresh(); }
  };
}

function hush() {
  stream?.close();
  stream = null;
}

document.addEventListener("visibilitychange", () => (document.hidden ? hush() : listen()));
addEventListener("pagehide", hush);
document.addEventListener("focusout", () => setTimeout(release, 0));
document.addEventListener("toggle", () => setTimeout(release, 0), true);
document.addEventListener("selectionchange", () => { if (getSelection().isCollapsed) release(); });
find("#pause")?.addEventListener("click", ({ target }) => {
  paused = !paused;
  target.setAttribute("aria-pressed", String(paused));
  target.textContent = paused ? "Resume" : "Pause";
  release();
});
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
if (bulk && table) {
  const boxes = () => all('input[name="name"]', table);
  const everything = bulk.elements.of;
  const header = find("#all");
  const tell = () => {
    const count = boxes().filter((box) => box.checked).length;
    find("#ticked").textContent = everything.checked ? "All that match" : `${count} selected`;
    header.checked = count > 0 && count === boxes().length;
    header.indeterminate = count > 0 && !header.checked;
    for (const button of all("button", bulk)) button.disabled = count === 0 && !everything.checked;
  };
  let last = null;
  table.addEventListener("click", ({ target: box, shiftKey }) => {
    if (box.name !== "name") return;
    const rows = boxes();
    if (shiftKey && last?.isConnected) {
      const [from, to] = [rows.indexOf(last), rows.indexOf(box)].sort((a, b) => a - b);
      for (const between of rows.slice(from, to + 1)) between.checked = box.checked;
    }
    last = box;
    tell();
  });
  header.addEventListener("change", () => { for (const box of boxes()) box.checked = header.checked; tell(); });
  everything.addEventListener("change", tell);
  // After Back a browser ticks again what was ticked.
  addEventListener("pageshow", tell);
  tell();
}

// Keys, unless they were switched off in this browser. Nothing happens while somebody types.
const KEYS_OFF = "keys-off";
const dialog = find("#help-dialog");
async function showHelp() {
  if (dialog.open || find("main #help")) { dialog.close(); return; }
  const answer = await get("/help");
  const help = answer?.ok && find("#help", parse(await answer.text()));
  if (!help) { location.href = "/help"; return; }
  find("div", dialog).replaceChildren(help);
  offerKeys();
  dialog.showModal();
}
function offerKeys() {
  const box = find("#keys-on");
  if (!box) return;
  box.checked = !localStorage.getItem(KEYS_OFF);
  box.addEventListener("change", () => (box.checked ? localStorage.removeItem(KEYS_OFF) : localStorage.setItem(KEYS_OFF, "1")));
}
offerKeys();
function step(by) {
  const rows = all("#domains tbody tr");
  const here = rows.findIndex((row) => row.contains(document.activeElement));
  const link = find("th a", rows[here < 0 && by < 0 ? rows.length - 1 : here + by] ?? document.createElement("tr"));
  link?.focus();
  link?.scrollIntoView({ block: "nearest" });
}
function recheck() {
  const name = document.activeElement.closest("tr[data-name]")?.dataset.name;
  const form = find("#one");
  if (domain) find('button[name="action"][value="recheck"]')?.click();
  else if (name && form) { form.action = `/domains/${name}`; form.submit(); }
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || localStorage.getItem(KEYS_OFF)) return;
  if (event.target.closest?.('input:not([type="checkbox"], [type="radio"]), textarea, select, [contenteditable]')) return;
  const keys = { "/": () => find("#q")?.focus(), j: () => step(1), k: () => step(-1), r: recheck, "?": showHelp };
  if (!idleAt || !Object.hasOwn(keys, event.key) || (dialog.open && event.key !== "?")) return;
  event.preventDefault();
  keys[event.key]();
});
find(".legend-link")?.addEventListener("click", (event) => { event.preventDefault(); showHelp(); });

// Names are checked as they are typed, if there is one.
const check = find("#check");
let checking = null;
let asked = "";
find("#names")?.addEventListener("input", ({ target: names }) => {
  clearTimeout(checking);
  checking = setTimeout(async () => {
    const lines = names.value.split(/[\s,;]+/).filter(Boolean);
    const name = lines.length === 1 ? lines[0] : "";
    if (!check || name === asked) return;
    asked = name;
    if (!name) { check.replaceChildren(); return; }
    const body = new URLSearchParams({ csrf: names.form.elements.csrf.value, name });
    const answer = await fetch(check.dataset.check, { method: "POST", body }).catch(() => null);
    if (answer?.ok && asked === name) check.replaceChildren(parse(await answer.text()));
  }, 400);
});

// A file goes into the box beside it: as it is if it is text, else as its base64, which the server reads as well.
for (const input of all("input[type=file][data-into]")) {
  input.addEventListener("change", async () => {
    const file = input.files[0];
    if (!file) return;
    const isLarge = file.size > 64 * 1024;
    if (!isLarge) {
      const bytes = new Uint8Array(await file.arrayBuffer());
      const text = new TextDecoder().decode(bytes);
      const isText = !/[\0\ufffd]/.test(text);
      document.getElementById(input.dataset.into).value = isText ? text : btoa(String.fromCharCode(...bytes));
    }
    say(isLarge ? `${file.name} has over 64 KiB: choose the file of this one certificate or key` : `${file.name} is in the box`);
    input.value = "";
  });
}
