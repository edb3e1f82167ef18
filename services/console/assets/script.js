// What the page does by itself when it may run a script: live rows, copying, a warning before the session ends. Every
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

// Before the session ends.
{
  const { idleAt, expiresAt } = document.body.dataset;
  if (idleAt) {
    const end = Math.min(Date.parse(idleAt), Date.parse(expiresAt));
    const warn = () => {
      const time = find("#session-ends");
      time.textContent = new Date(end).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
      find("#session").hidden = false;
      say(`Your session ends at ${time.textContent}`);
    };
    setTimeout(warn, Math.max(0, Math.min(end - Date.now() - 120000, 2 ** 31 - 1)));
  }
}

// Something inside is being used: it is left alone until that ends.
function isInUse(element) {
  const selection = getSelection();
  return element.contains(document.activeElement)
    || (!selection.isCollapsed && selection.containsNode(element, true))
    || find("details[open]", element) !== null;
}

// Live rows and the live domain: one stream per tab, closed while the tab is hidden.
const table = find("#domains");
const domain = find("[data-live-domain]");
// The sections of the domain as they came from the server, by id.
const came = new Map([...(domain?.children ?? [])].map((section) => [section.id, section.outerHTML]));
const pause = find("#pause");
let stream = null;
let cursor = find("[data-cursor]")?.dataset.cursor ?? "";
let paused = false;
const held = new Map();
let counted = null;
let changed = 0;

function address() {
  const query = new URLSearchParams(table ? table.dataset.live.split("?")[1] : "");
  query.delete("page");
  query.delete("last");
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
  if (domain && domain.dataset.stale && !paused) refresh();
}

function applyCounts(counts) {
  counted = counts;
  if (paused) return;
  for (const count of all("[data-count]")) {
    const value = counts.statuses[count.dataset.count];
    if (value !== undefined) count.textContent = value;
  }
  const more = find("#more-match");
  const shown = Number(find("#matching")?.dataset.matching ?? 0);
  if (!more || counts.matching === undefined) return;
  const news = counts.matching - shown;
  more.hidden = news <= 0;
  if (news > 0) more.replaceChildren(`${news} more match. `, Object.assign(document.createElement("a"), { href: location.href, textContent: "Show" }));
}

// Takes over each section of the domain that differs; one that is being used waits until that ends.
function takeOver(body) {
  offerCopy(body);
  delete domain.dataset.stale;
  const fresh = new Map([...body.children].map((section) => [section.id, section]));
  const mine = new Map([...domain.children].map((section) => [section.id, section]));
  let differs = false;
  for (const id of new Set([...fresh.keys(), ...mine.keys()])) {
    const html = fresh.get(id)?.outerHTML;
    if (html === came.get(id)) continue;
    const old = mine.get(id);
    if (old && isInUse(old)) { domain.dataset.stale = "1"; continue; }
    if (html) came.set(id, html); else came.delete(id);
    if (html) mine.set(id, fresh.get(id)); else mine.delete(id);
    if (!html) old.remove(); else if (old) old.replaceWith(fresh.get(id));
    differs = true;
  }
  let last = null;
  for (const id of fresh.keys()) {
    const section = mine.get(id);
    if (!section.isConnected) { if (last) last.after(section); else domain.prepend(section); }
    last = section;
  }
  if (differs) say(`${domain.dataset.liveDomain} changed`);
}

// Fetches this very page again and takes over what differs.
async function refresh() {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);
  if (answer?.status === 401) location.reload();
  // A domain that is gone still has a page, which says so.
  if (!answer || !(answer.ok || (domain && answer.status === 404))) return;
  const fresh = parse(await answer.text());
  cursor = find("[data-cursor]", fresh)?.dataset.cursor ?? cursor;
  const body = domain && find("[data-live-domain]", fresh);
  if (body) takeOver(body);
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
  if (stream || document.hidden || (!table && !domain)) return;
  stream = new EventSource(address());
  const away = find("#away");
  stream.addEventListener("row", (event) => {
    const change = JSON.parse(event.data);
    cursor = change.cursor;
    if (table) applyRow(change);
    if (domain && change.name === domain.dataset.liveDomain) { if (paused) domain.dataset.stale = "1"; else refresh(); }
  });
  stream.addEventListener("counts", (event) => applyCounts(JSON.parse(event.data)));
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
