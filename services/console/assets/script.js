// What the page does by itself when it may run a script: live rows, keys, copying, a warning before the session ends. Every
// page works without. Nothing here makes markup: it comes from the server, and one policy lets it in.
"use strict";

const policy = window.trustedTypes
  ? trustedTypes.createPolicy("ssl-manager", { createHTML: (html) => html })
  : { createHTML: (html) => html };
const parse = (html) => {
  const template = document.createElement("template");
  template.innerHTML = policy.createHTML(html);
  return template.content;
};
const find = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// The browser's own zone, for times that the server writes.
{
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const known = document.cookie.split("; ").includes(`zone=${zone}`);
  if (zone && !known) {
    document.cookie = `zone=${zone}; path=/; max-age=31536000; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;
    if (document.body.dataset.idleAt && !/clock=(utc|singapore)/.test(document.cookie)) location.reload();
  }
}

// An error summary takes the focus.
find("[data-focus]")?.focus();

// Back after signing out must not show what was kept.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

// Copy buttons, also those that come with a later state of the page.
const offerCopy = (root) => { for (const button of all("button.copy", root)) button.hidden = false; };
offerCopy(document);
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
  const wait = said + 5000 - Date.now();
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    said = Date.now();
    const line = find("#status-line");
    if (line) line.textContent = text;
  }, Math.max(0, wait));
}

// Before the session ends. Staying signed in leaves the page, and what was typed in it, as it is.
{
  let timer = null;
  const watch = ({ idle_at, expires_at }) => {
    const end = Math.min(Date.parse(idle_at), Date.parse(expires_at));
    const warn = () => {
      const time = find("#session-ends");
      time.textContent = new Date(end).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
      find("#session").hidden = false;
      say(`Your session ends at ${time.textContent}`);
    };
    find("#session").hidden = true;
    clearTimeout(timer);
    timer = setTimeout(warn, Math.max(0, Math.min(end - Date.now() - 120000, 2 ** 31 - 1)));
  };
  const { idleAt, expiresAt } = document.body.dataset;
  if (idleAt) {
    watch({ idle_at: idleAt, expires_at: expiresAt });
    find("#stay").addEventListener("click", async () => {
      const answer = await fetch("/stay", { headers: { accept: "application/json" } }).catch(() => null);
      if (answer?.ok) watch(await answer.json()); else say("The session could not be extended. Sign in again in another tab.");
    });
  }
}

// Something inside is being used: it is left alone until that ends.
function isInUse(element) {
  const selection = getSelection();
  return element.contains(document.activeElement)
    || (!selection.isCollapsed && selection.containsNode(element, true))
    || find("details[open]", element) !== null;
}

// Live rows, a live domain, live figures: one stream per tab, closed while the tab is hidden.
const table = find("#domains");
const domain = find("[data-live-domain]");
const figures = find("[data-live-page]");
const live = domain ?? figures;
const parts = (root) => new Map(all(".live-part", root).map((part) => [part.dataset.part, part]));
// The sections of the page as they came from the server, by id.
const came = new Map(all(".live-part > [id]", live ?? document).map((section) => [section.id, section.outerHTML]));
const pause = find("#pause");
let stream = null;
let cursor = find("[data-cursor]")?.dataset.cursor ?? "";
let paused = false;
const held = new Map();
let counted = null;
let changed = 0;
let figuresTimer = null;

function address() {
  const query = new URLSearchParams(table ? table.dataset.live : "");
  query.delete("page");
  query.delete("last");
  if (table) query.set("list", "1");
  if (table) for (const row of all("tr[data-name]", table)) query.append("on", row.dataset.name);
  if (domain) query.append("on", domain.dataset.liveDomain);
  if (cursor) query.set("cursor", cursor);
  return `/events?${query}`;
}

function setCell(cell, html) {
  const fresh = parse(html);
  const probe = document.createElement("td");
  probe.append(fresh);
  if (probe.innerHTML === cell.innerHTML) return false;
  cell.replaceChildren(...probe.childNodes);
  return true;
}

function applyRow(change) {
  const row = document.getElementById(`d-${change.name}`);
  if (!row || Number(row.dataset.position ?? 0) >= change.position) return;
  if (paused || isInUse(row)) { held.set(change.name, change); return; }
  held.delete(change.name);
  row.dataset.position = change.position;
  row.classList.toggle("gone", change.deleted);
  row.classList.toggle("past", !change.fits);
  if (change.deleted) { changed += 1; say(`${changed} domains changed`); return; }
  let differs = false;
  for (const cell of all("[data-cell]", parse(`<table>${change.html}</table>`))) {
    const mine = find(`[data-cell="${cell.dataset.cell}"]`, row);
    if (mine) differs = setCell(mine, cell.innerHTML) || differs;
  }
  if (!differs) return;
  row.classList.remove("changed");
  void row.offsetWidth;
  row.classList.add("changed");
  changed += 1;
  say(changed === 1 ? "1 domain changed" : `${changed} domains changed`);
}

function release() {
  for (const change of [...held.values()]) applyRow(change);
  if (counted && !paused) applyCounts(counted);
  if (live && live.dataset.stale && !paused) refresh();
}

function applyCounts(counts) {
  counted = counts;
  // An emergency is told also on a page that is paused.
  const banner = find("#banner");
  banner.hidden = counts.emergencies === 0;
  if (find("a", banner).textContent !== counts.emergency) find("a", banner).textContent = counts.emergency;
  document.title = counts.alarm + document.title.replace(/^\([\d,]+!\) /, "");
  if (paused) return;
  for (const count of all("[data-count]")) {
    const value = count.dataset.count === "at_risk" ? counts.at_risk : counts.statuses[count.dataset.count];
    if (value !== undefined) count.textContent = value;
  }
  const more = find("#more-match");
  const shown = Number(find("#matching")?.dataset.matching ?? 0);
  if (!more || counts.matching === undefined) return;
  const news = counts.matching - shown;
  more.hidden = news <= 0;
  if (news > 0) more.replaceChildren(`${news} more match. `, Object.assign(document.createElement("a"), { href: location.href, textContent: "Show" }));
}

// Takes over each section of a part of the page that differs; one that is being used waits until that ends.
function takeOver(part, body) {
  const fresh = new Map([...(body?.children ?? [])].map((section) => [section.id, section]));
  const mine = new Map([...part.children].map((section) => [section.id, section]));
  let differs = false;
  for (const id of new Set([...fresh.keys(), ...mine.keys()])) {
    const html = fresh.get(id)?.outerHTML;
    if (html === came.get(id) && mine.has(id)) continue;
    const old = mine.get(id);
    if (old && isInUse(old)) { live.dataset.stale = "1"; continue; }
    if (html) came.set(id, html); else came.delete(id);
    if (html) mine.set(id, fresh.get(id)); else mine.delete(id);
    if (!html) old.remove(); else if (old) old.replaceWith(fresh.get(id));
    differs = true;
  }
  let last = null;
  for (const id of fresh.keys()) {
    const section = mine.get(id);
    if (!section.isConnected) { if (last) last.after(section); else part.prepend(section); }
    last = section;
  }
  return differs;
}

// Fetches this very page again and takes over what differs.
async function refresh() {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);
  if (answer?.status === 401) location.reload();
  // A domain that is gone still has a page, which says so.
  if (!answer || !(answer.ok || (domain && answer.status === 404))) return;
  const fresh = parse(await answer.text());
  cursor = find("[data-cursor]", fresh)?.dataset.cursor ?? cursor;
  const body = live && find("[data-live-domain], [data-live-page]", fresh);
  if (body) {
    delete live.dataset.stale;
    offerCopy(body);
    const theirs = parts(body);
    const changes = [...parts(live)].map(([name, part]) => takeOver(part, theirs.get(name)));
    if (domain && changes.includes(true)) say(`${domain.dataset.liveDomain} changed`);
    tellAges();
    lookAgain();
  }
  for (const row of all("#domains tr[data-name]", fresh)) {
    const mine = document.getElementById(row.id);
    if (!mine || isInUse(mine)) continue;
    for (const cell of all("[data-cell]", row)) {
      const old = find(`[data-cell="${cell.dataset.cell}"]`, mine);
      if (old) setCell(old, cell.innerHTML);
    }
  }
}

function listen() {
  if (stream || document.hidden || !document.body.dataset.idleAt) return;
  stream = new EventSource(address());
  const away = find("#away");
  stream.addEventListener("row", (event) => {
    const change = JSON.parse(event.data);
    cursor = change.cursor;
    if (table) applyRow(change);
    if (domain && change.name === domain.dataset.liveDomain) { if (paused) domain.dataset.stale = "1"; else refresh(); }
  });
  stream.addEventListener("counts", (event) => {
    applyCounts(JSON.parse(event.data));
    if (!figures) return;
    refresh();
    // The API keeps figures for a few seconds: what changed last is in the next ones.
    clearTimeout(figuresTimer);
    figuresTimer = setTimeout(refresh, 6000);
  });
  stream.addEventListener("resync", (event) => { cursor = event.data; refresh(); });
  stream.addEventListener("away", () => { away.hidden = false; say(away.textContent); });
  // What changed meanwhile may not be told any more.
  stream.addEventListener("back", () => { answered(); refresh(); });
  stream.addEventListener("bye", () => { hush(); setTimeout(listen, 1000); });
  stream.addEventListener("session", () => { hush(); location.reload(); });
  stream.onerror = () => {
    if (away.hidden) say(away.textContent);
    away.hidden = false;
    // Refused, rather than broken off: the session may have ended, or the console is away. The browser does not try again.
    if (stream && stream.readyState === EventSource.CLOSED) { hush(); setTimeout(listen, 5000); refresh(); }
  };
  stream.onopen = answered;
}

function answered() {
  const away = find("#away");
  if (away.hidden) return;
  away.hidden = true;
  say("The page is live again");
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

if (pause) {
  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Resume" : "Pause";
    if (!paused) release();
  });
}
listen();

// A check that was made just now is told by its age, and one that runs is asked for again.
function tellAges() {
  for (const time of all("time.ago")) {
    const seconds = Math.max(0, Math.round((Date.now() - Date.parse(time.dateTime)) / 1000));
    const text = seconds < 60 ? `${seconds} s ago` : seconds < 3600 ? `${Math.floor(seconds / 60)} min ago` : null;
    if (text && time.textContent !== text) time.textContent = text;
  }
}
function lookAgain() {
  if (find("[data-again]")) setTimeout(refresh, 1000);
}
tellAges();
lookAgain();
setInterval(tellAges, 1000);

// What is ticked: its number, all of the page, a range with Shift, and buttons that wait for something to be ticked.
const bulk = find("#bulk");
if (bulk && table) {
  const boxes = () => all('input[name="name"]', table);
  const everything = find('input[name="of"]', bulk);
  const header = find("#all");
  const ticked = find("#ticked");
  header.parentElement.hidden = false;
  header.parentElement.previousElementSibling.hidden = true;
  ticked.hidden = false;
  const tell = () => {
    const count = boxes().filter((box) => box.checked).length;
    ticked.textContent = everything.checked ? "All that match" : `${count} selected`;
    header.checked = count > 0 && count === boxes().length;
    header.indeterminate = count > 0 && !header.checked;
    for (const button of all("button", bulk)) button.disabled = count === 0 && !everything.checked;
  };
  let last = null;
  table.addEventListener("click", (event) => {
    const box = event.target.closest('input[name="name"]');
    if (!box) return;
    const rows = boxes();
    if (event.shiftKey && last?.isConnected) {
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
function showHelp() {
  const open = find("dialog[open]");
  if (open) { open.close(); return; }
  fetch("/help", { headers: { accept: "text/html" } }).then(async (answer) => {
    const help = answer.ok && find("#help", parse(await answer.text()));
    if (!help) { location.href = "/help"; return; }
    const dialog = document.createElement("dialog");
    const close = Object.assign(document.createElement("button"), { type: "button", textContent: "Close" });
    dialog.setAttribute("aria-label", "Help");
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => dialog.remove());
    dialog.append(help, close);
    document.body.append(dialog);
    offerKeys(dialog);
    dialog.showModal();
  }, () => { location.href = "/help"; });
}
function offerKeys(root) {
  const box = find("#keys-on", root);
  if (!box) return;
  box.closest("[hidden]")?.removeAttribute("hidden");
  box.checked = !localStorage.getItem(KEYS_OFF);
  box.addEventListener("change", () => (box.checked ? localStorage.removeItem(KEYS_OFF) : localStorage.setItem(KEYS_OFF, "1")));
}
offerKeys(document);
function step(by) {
  const rows = all("tbody tr", table ?? document.createElement("table"));
  const here = rows.findIndex((row) => row.contains(document.activeElement));
  const next = rows[here < 0 ? (by > 0 ? 0 : rows.length - 1) : here + by];
  const link = next && find("th a", next);
  link?.focus();
  link?.scrollIntoView({ block: "nearest" });
}
function recheck() {
  const button = domain && find('button[name="action"][value="recheck"]');
  if (button) { button.click(); return; }
  const row = document.activeElement.closest?.("tr[data-name]");
  if (!row || !bulk) return;
  const form = Object.assign(document.createElement("form"), { method: "post", action: `/domains/${row.dataset.name}` });
  for (const [name, value] of [["csrf", bulk.elements.csrf.value], ["action", "recheck"]]) {
    form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
  }
  document.body.append(form);
  form.submit();
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || localStorage.getItem(KEYS_OFF)) return;
  if (event.target.closest?.('input:not([type="checkbox"], [type="radio"]), textarea, select, [contenteditable]')) return;
  const keys = { "/": () => find("#q")?.focus(), j: () => step(1), k: () => step(-1), r: recheck, "?": showHelp };
  const does = Object.hasOwn(keys, event.key) && document.body.dataset.idleAt && keys[event.key];
  if (!does || (find("dialog[open]") && event.key !== "?")) return;
  event.preventDefault();
  does();
});
for (const link of all(".legend-link")) {
  link.addEventListener("click", (event) => { event.preventDefault(); showHelp(); });
}

// Names are checked as they are typed, if there is one.
const check = find("#check");
const names = find("#names");
if (check && names) {
  let timer = null;
  let asked = "";
  names.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const lines = names.value.split(/[\s,;]+/).filter(Boolean);
      const name = lines.length === 1 ? lines[0] : "";
      if (name === asked) return;
      asked = name;
      if (!name) { check.replaceChildren(); return; }
      const csrf = names.form.elements.csrf.value;
      const body = new URLSearchParams({ csrf, name });
      const answer = await fetch(check.dataset.check, { method: "POST", body }).catch(() => null);
      if (answer && answer.ok && asked === name) check.replaceChildren(parse(await answer.text()));
    }, 400);
  });
}

// A file goes into the box beside it: as it is if it is text, else as its base64, which the server reads as well.
for (const input of all("input[type=file][data-into]")) {
  const box = document.getElementById(input.dataset.into);
  input.parentElement.hidden = false;
  input.addEventListener("change", async () => {
    const file = input.files[0];
    if (!file) return;
    if (file.size > 64 * 1024) {
      input.value = "";
      say(`${file.name} has over 64 KiB: choose the file of this one certificate or key`);
      return;
    }
    const bytes = new Uint8Array(await file.arrayBuffer());
    let text = null;
    try {
      text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      // Not text.
    }
    if (text === null || text.includes("\0")) {
      text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
    }
    box.value = text;
    input.value = "";
    say(`${file.name} is in the box`);
  });
}
