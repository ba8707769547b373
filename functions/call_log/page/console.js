// The page of the console: data from webhooks goes into text nodes and attributes, never into markup.
// The view (day, filters, open call) is in the URL's fragment, which browsers do not send to servers.

const POLL_SECONDS = 3;
const OTHER_DAY_POLL_SECONDS = 30;
const MAX_POLL_SECONDS = 30;
const PAGE_SIZE = 50;
const MAX_PAGES_PER_REFRESH = 4;
const FULL_REFRESH_EVERY = 5;
const STATISTICS_SECONDS = 15;
const BUSY_DAY_STATISTICS_SECONDS = 60;
const BUSY_DAY_CALLS = 2000;
const ANNOUNCE_SECONDS = 15;
const MAX_CALL_MS = 4 * 3600_000;
const MAX_RINGING_MS = 5 * 60_000;
const MAX_BAR_SECONDS = 600;
const MAX_PRETTY_LENGTH = 64 * 1024;
const MAX_INDENT = 40;
const SETTLED_MS = 60_000;
const SETTLED_POLL_MS = 30_000;

const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

// Providers that the filter always offers; others are added once they have calls.
const PROVIDERS = ["jambonz", "wavix", "bird", "voipstudio"];
const DIRECTIONS = { inbound: ["↘", "in"], outbound: ["↗", "out"] };
const OUTCOMES = {
  answered: "Answered",
  missed: "Missed",
  no_answer: "No answer",
  busy: "Busy",
  rejected: "Rejected",
  cancelled: "Cancelled",
  failed: "Failed",
  under_way: "Under way",
};
// The server counts every call without an end as under way; the page separates old ones by their age.
const COUNTED = { ...OUTCOMES, no_end: "No end reported" };
const UNDER_WAY = {
  initiated: "Setting up",
  ringing: "Ringing",
  early_media: "Early media",
  answered: "Talking",
  held: "On hold",
};
const ICONS = {
  answered: "M1.5 6.5 4.5 9.5 10.5 2.5",
  missed: "M1 3l5 5 5-5M7.5 3H11v3.5",
  no_answer: "M2 6h.1M6 6h.1M10 6h.1",
  busy: "M1.5 1.5h9v9h-9zM4 6h4",
  rejected: "M2 2l8 8M10 2l-8 8",
  cancelled: "M11 6H1.5M5 2.5 1.5 6 5 9.5",
  failed: "M6 1 11.3 10.8H.7zM6 4.8v2.6",
  under_way: "M6 1a5 5 0 1 0 .01 0M6 4.6a1.4 1.4 0 1 0 .01 0",
  not_answered: "M6 1a5 5 0 1 0 .01 0M2.5 2.5l7 7",
  no_end: "M3.6 4a2.4 2.4 0 1 1 3.6 2C6.3 6.600 6 7 6 7.700M6 10.700v.1",
};
const Q850 = {
  1: "unallocated number", 3: "no route to destination", 16: "normal clearing", 17: "user busy", 18: "no user responding",
  19: "no answer from user", 20: "subscriber absent", 21: "call rejected", 22: "number changed", 27: "destination out of order",
  28: "invalid number format", 31: "normal, unspecified", 34: "no circuit available", 38: "network out of order",
  41: "temporary failure", 42: "switching equipment congestion", 47: "resource unavailable", 50: "facility not subscribed",
  55: "incoming calls barred", 57: "bearer capability not authorised", 58: "bearer capability not available",
  63: "service not available", 65: "bearer capability not implemented", 79: "service not implemented",
  87: "not a member of the closed user group", 88: "incompatible destination", 102: "recovery on timer expiry",
  111: "protocol error", 127: "interworking, unspecified",
};
const SIP = {
  200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 407: "Proxy Authentication Required",
  408: "Request Timeout", 410: "Gone", 415: "Unsupported Media Type", 480: "Temporarily Unavailable",
  481: "Call Does Not Exist", 484: "Address Incomplete", 486: "Busy Here", 487: "Request Terminated",
  488: "Not Acceptable Here", 500: "Server Internal Error", 502: "Bad Gateway", 503: "Service Unavailable",
  504: "Server Time-out", 600: "Busy Everywhere", 603: "Decline", 604: "Does Not Exist Anywhere", 607: "Unwanted",
};

// ---------------------------------------------------------------------------------------------- elements

const find = (id) => document.getElementById(id);

// Characters that are invisible or reverse text: controls, direction marks, joiners, tags. Emoji variation selectors stay.
const UNSEEN = /(?![\ufe0e\ufe0f])[\p{Cc}\p{Default_Ignorable_Code_Point}\u2028\u2029\ufff9-\ufffb]/gu;
const asNumber = (mark) => `⟨U+${mark.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
const asInJson = (mark) => mark.split("").map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`).join("");

/** Write out invisible characters except `allowed`: a caller's name must not reverse the rest of the line. */
function legible(text, allowed = "", write = asNumber) {
  return text.replace(UNSEEN, (mark) => (allowed.includes(mark) ? mark : write(mark)));
}

/** Make text safe for an element. Line ends and tabs are harmless in text, but not in an attribute. */
const printable = (child) => (typeof child === "string" ? legible(child, "\n\t") : child);

function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : legible(String(value)));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== "").map(printable));
  return element;
}

function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, legible(String(value)));
  element.append(...children.map(printable));
  return element;
}

function icon(outcome) {
  return svg("svg", { class: "icon", viewBox: "0 0 12 12", "aria-hidden": "true" }, svg("path", { d: ICONS[outcome] }));
}

function unseen(text) {
  return h("span", { class: "unseen" }, text);
}

// ---------------------------------------------------------------------------------------------- time and words

// Milliseconds by which this machine's clock is behind the server's.
let clockDifference = 0;
const now = () => Date.now() + clockDifference;
const dayOf = (ms) => new Date(ms).toISOString().slice(0, 10);
const today = () => dayOf(now());
const dayAfter = (day, days) => dayOf(Date.parse(`${day}T00:00:00Z`) + days * 86_400_000);

/** Return whether a string is a real date: a browser reads 31 February as a day in March. */
function isDay(text) {
  const moment = /^\d{4}-\d\d-\d\d$/.test(text ?? "") ? Date.parse(`${text}T00:00:00Z`) : NaN;
  return !Number.isNaN(moment) && dayOf(moment) === text;
}

function dayText(day, options = { weekday: "long", day: "numeric", month: "long", year: "numeric" }) {
  return new Date(`${day}T00:00:00Z`).toLocaleDateString("en-GB", { ...options, timeZone: "UTC" });
}

const isWholeSecond = (ms) => ms % 1000 === 0;
const utcText = (ms, isWhole = false) => `${new Date(ms).toISOString().replace("T", " ").slice(0, isWhole ? 19 : 23)} UTC`;
const localText = (ms) => new Date(ms).toLocaleString(undefined, { timeZoneName: "short" });

function minutes(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, rest] = [Math.floor(whole / 3600), whole % 3600];
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(Math.floor(rest / 60))}:${two(rest % 60)}` : `${Math.floor(rest / 60)}:${two(rest % 60)}`;
}

function spoken(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const parts = [[Math.floor(whole / 3600), "h"], [Math.floor((whole % 3600) / 60), "min"], [whole % 60, "s"]];
  return parts.filter(([count]) => count).slice(0, 2).map(([count, unit]) => `${count} ${unit}`).join(" ") || "0 s";
}

/** Format the time since the start of a call, without milliseconds if the provider reports whole seconds. */
function since(ms, isWhole) {
  const sign = ms < 0 ? "−" : "+";
  const passed = Math.abs(ms);
  if (isWhole) return `${sign}${minutes(passed / 1000)}`;
  const part = `${passed % 1000}`.padStart(3, "0");
  return `${sign}${passed < 60_000 ? Math.floor(passed / 1000) : minutes(Math.floor(passed / 1000))}.${part}`;
}

const counted = (count, one, many = `${one}s`) => `${count.toLocaleString("en-GB")} ${count === 1 ? one : many}`;

function outcomeOf(call) {
  if (call.outcome) return call.outcome in OUTCOMES ? call.outcome : "failed";
  if (call.lost_at) return "not_answered";
  const age = now() - Date.parse(call.started_at);
  return age > MAX_CALL_MS || (isUnansweredLeg(call) && age > MAX_RINGING_MS) ? "no_end" : "under_way";
}

const isUnansweredLeg = (call) => Boolean(call.parent_call_id) && !call.outcome && !call.answered_at;

/**
 * Return when an unanswered leg stopped ringing. jambonz does not report the end of a leg that lost a ring group or whose
 * caller hung up, so it is inferred from the related calls: a sibling was answered, or the parent ended.
 */
function lostAt(call, related) {
  if (!isUnansweredLeg(call)) return null;
  const siblings = related.filter((other) => other.parent_call_id === call.parent_call_id && other.path !== call.path);
  const parent = related.find((other) => other.call_id === call.parent_call_id);
  const moments = [...siblings.map((sibling) => sibling.answered_at), parent?.ended_at];
  return moments.filter((moment) => moment && Date.parse(moment) >= Date.parse(call.started_at)).sort()[0] ?? null;
}

function outcomeText(call) {
  const outcome = outcomeOf(call);
  if (outcome === "no_end") return COUNTED.no_end;
  if (outcome === "not_answered") return "Not answered";
  return outcome === "under_way" ? UNDER_WAY[call.status] ?? OUTCOMES.under_way : OUTCOMES[outcome];
}

/** Return how an answered call went on: an application answers every call, so "Answered" alone says little. */
function resultOf(call) {
  const isLost = call.result === "abandoned" || call.result === "not_answered";
  if (call.queue && isLost) return outcomeOf(call) === "answered" ? "left the queue" : "missed in queue";
  if (!call.answered_at || !call.flows.length) return "";
  return call.result === "reached" ? "bridged" : call.flows.at(-1);
}

function outcomeLabel(call) {
  const outcome = outcomeOf(call);
  const result = resultOf(call);
  const notConnected = result && !["reached", "in_progress"].includes(call.result) && "not connected to anyone";
  const tip = [notConnected, causeOf(call)].filter(Boolean).join("; ");
  return h("span", { class: `outcome o-${outcome}`, title: tip || null }, icon(outcome), h("span", {}, outcomeText(call)),
    result ? h("small", { class: "result" }, result) : "");
}

const HIDES_ITS_NUMBER = /^(sips?:)?(anonymous|restricted|unavailable)(@|$)/i;

function party(text) {
  return text ? h("span", { class: "party", title: text }, text) : h("span", { class: "no-number" }, "unknown");
}

function caller(text) {
  return HIDES_ITS_NUMBER.test(text ?? "") ? h("span", { class: "no-number", title: text }, "withheld") : party(text);
}

function directionText(direction) {
  const [way, word] = Object.hasOwn(DIRECTIONS, direction) ? DIRECTIONS[direction] : ["·", direction ?? "unknown"];
  return [h("span", { class: "way", "aria-hidden": "true" }, way), legible(word)];
}

const isRinging = (call) => call.status === "ringing" || call.status === "early_media";

/** Return ring and talk seconds; for a call under way, up to now. */
function spans(call) {
  const outcome = outcomeOf(call);
  if (outcome !== "under_way" && outcome !== "not_answered") return { ring: call.ring_seconds ?? null, talk: call.talk_seconds ?? null };
  const until = outcome === "not_answered" ? Date.parse(call.lost_at) : now();
  const seconds = (begin) => Math.max(0, (until - Date.parse(begin)) / 1000);
  return {
    ring: isRinging(call) ? seconds(call.ringing_at ?? call.started_at) : call.ring_seconds ?? null,
    talk: call.answered_at ? seconds(call.answered_at) : null,
  };
}

// ---------------------------------------------------------------------------------------------- state in the URL

const FILTERS = ["day", "number", "provider", "outcome", "direction"];
const MEMBERS = [...FILTERS, "legs", "call"];

/** Read the view from the fragment. Invalid values are dropped, from the URL as well. */
function readState() {
  const parameters = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  const isValid = {
    day: isDay,
    number: (text) => text === text.trim(),
    provider: (text) => /^[a-z]+$/.test(text),
    outcome: (text) => Object.hasOwn(OUTCOMES, text),
    direction: (text) => Object.hasOwn(DIRECTIONS, text),
    legs: (text) => text === "yes",
    call: (text) => /^\/calls\/[a-z]+\/(?!\.{1,2}$)[^/?#]+$/.test(text),
  };
  const read = Object.fromEntries(MEMBERS.map((name) => [name, parameters[name] && isValid[name](parameters[name]) ? parameters[name] : ""]));
  if (Object.entries(parameters).some(([name, text]) => read[name] !== text)) history.replaceState(null, "", MEMBERS.some((name) => read[name]) ? hashOf(read) : location.pathname);
  return read;
}

function hashOf(wanted) {
  return `#${new URLSearchParams(MEMBERS.filter((name) => wanted[name]).map((name) => [name, wanted[name]]))}`;
}

let state = readState();

function go(changes) {
  location.hash = hashOf({ ...state, ...changes });
}

const isAllDays = () => Boolean(state.number) && !state.day;
const dayShown = () => state.day || today();
const listKey = (wanted) => [...FILTERS, "legs"].map((name) => wanted[name]).join("\n");

// ---------------------------------------------------------------------------------------------- requests

class SignedOut extends Error {}

class ApiError extends Error {
  constructor(status, detail) {
    super(legible(detail));
    this.status = status;
  }
}

/** Fetch JSON. Throws SignedOut, ApiError (with a message to show), AbortError or TypeError (no connection). */
async function fetchJson(path, options = {}) {
  // A relative URL, because the API may be published below a path.
  const reply = await fetch(path.replace(/^\//, ""), {
    cache: "no-store",
    ...options,
    headers: { accept: "application/json", ...options.headers },
  });
  const serverTime = Date.parse(reply.headers.get("date") ?? "");
  // The header has whole seconds: ignore small differences.
  if (serverTime && Math.abs(serverTime - now()) > 2000) clockDifference = serverTime - Date.now();
  if (reply.status === 401 && options.method !== "POST") throw new SignedOut();
  if (!reply.ok) {
    const problem = await reply.json().catch(() => ({}));
    throw new ApiError(reply.status, typeof problem.detail === "string" ? problem.detail : `The server returned status ${reply.status}.`);
  }
  return reply.status === 204 ? null : reply.json();
}

// ---------------------------------------------------------------------------------------------- the list

const rows = new Map();
let order = [];
let cursor = null;
let generation = 0;
let pendingRequests = new AbortController();
let rounds = 0;
let unseenCalls = 0;

function queryOf(from) {
  const query = new URLSearchParams({ limit: PAGE_SIZE });
  for (const name of FILTERS) if (state[name]) query.set(name, state[name]);
  // A search for a number includes legs: it may be the number of a dialled phone.
  if (!state.legs && !state.number) query.set("legs", "false");
  if (from) query.set("cursor", from);
  return `calls?${query}`;
}

/** Read pages from a cursor on until there are enough calls: a page can be short without being the last. */
async function readCalls(from, enough, maxPages = MAX_PAGES_PER_REFRESH) {
  const calls = [];
  let next = from;
  for (let page = 0; page < maxPages; page += 1) {
    const response = await fetchJson(queryOf(next), { signal: pendingRequests.signal });
    calls.push(...response.calls);
    next = response.cursor;
    if (!next || enough(calls)) break;
  }
  return { calls, cursor: next };
}

class Row {
  constructor(call) {
    const cell = (name) => h("td", { role: "cell", class: name });
    this.cells = Object.fromEntries(["time", "who", "direction", "provider", "how", "span", "ring", "talk"].map((name) => [name, cell(name)]));
    this.link = h("a", { class: "parties" });
    this.cells.who.append(this.link);
    this.cells.ring.classList.add("figure");
    this.cells.talk.classList.add("figure");
    // The link covers the row, except for cells with their own tooltip.
    const open = (event) => event.target === this.link || this.link.contains(event.target) || this.link.click();
    this.node = h("tr", { role: "row", "data-path": call.path, onclick: open }, ...Object.values(this.cells));
    this.json = "";
    this.update(call);
  }

  /** Show the current state of the call; return whether it has changed. */
  update(call) {
    const json = JSON.stringify(call);
    if (json === this.json) return false;
    const before = this.call;
    this.json = json;
    this.call = call;
    this.startedAt = Date.parse(call.started_at);
    this.node.className = "";
    if (!before || before.started_at !== call.started_at) {
      const started = new Date(call.started_at).toISOString();
      this.cells.time.replaceChildren(
        isAllDays() ? h("span", { class: "date" }, dayText(started.slice(0, 10), { day: "numeric", month: "short", year: "numeric" })) : "",
        h("time", { datetime: call.started_at, title: `${localText(this.startedAt)} (your time)` }, started.slice(11, 19)),
      );
    }
    if (["from", "to", "caller_name", "parent_call_id"].some((name) => !before || before[name] !== call[name])) {
      this.link.replaceChildren(
        call.parent_call_id ? h("span", { class: "leg-sign" }, h("span", { "aria-hidden": "true" }, "↳ "), "leg ") : "",
        caller(call.from),
        call.caller_name ? h("span", { class: "name", title: call.caller_name }, ` ${call.caller_name}`) : "",
        h("span", { class: "to-sign" }, h("span", { "aria-hidden": "true" }, "→"), unseen(" to ")),
        party(call.to));
    }
    this.node.classList.toggle("leg", Boolean(call.parent_call_id));
    this.cells.direction.replaceChildren(...directionText(call.direction));
    this.cells.provider.replaceChildren(call.provider);
    this.cells.how.replaceChildren(outcomeLabel(call));
    this.tick();
    return true;
  }

  /** Update the parts that change with time. */
  tick() {
    const outcome = outcomeOf(this.call);
    const isRunning = outcome === "under_way";
    if (this.isRunning && outcome === "no_end") this.cells.how.replaceChildren(outcomeLabel(this.call));
    this.isRunning = isRunning;
    this.node.classList.toggle("running", isRunning);
    const { ring, talk } = spans(this.call);
    for (const [name, seconds] of [["ring", ring], ["talk", talk]]) {
      const text = seconds === null ? "–" : minutes(seconds);
      if (this.cells[name].textContent !== text) this.cells[name].textContent = text;
      this.cells[name].classList.toggle("none", seconds === null);
    }
    const total = (ring ?? 0) + (talk ?? 0);
    const width = total ? Math.max(5, 100 * Math.sqrt(Math.min(total, MAX_BAR_SECONDS) / MAX_BAR_SECONDS)) : 0;
    const parts = [["ringing-time", ring], ["talking-time", talk]].filter(([, seconds]) => seconds);
    const bar = h("div", { class: "length", "aria-hidden": "true" }, parts.map(([name]) => h("i", { class: name })));
    parts.forEach(([, seconds], index) => (bar.children[index].style.width = `${((width * seconds) / total).toFixed(2)}%`));
    this.cells.span.replaceChildren(bar);
  }

  mark(name) {
    this.node.classList.add(name);
    setTimeout(() => this.node.classList.remove(name), 2400);
  }

  place() {
    this.link.setAttribute("href", hashOf({ ...state, call: this.call.path }));
    const isOpen = state.call === this.call.path;
    this.node.classList.toggle("open-call", isOpen);
    if (isOpen) this.link.setAttribute("aria-current", "true");
    else this.link.removeAttribute("aria-current");
  }
}

/** Show these calls in this order without losing the focus or moving the visible rows. */
function showCalls(received, { isFirst = false } = {}) {
  const calls = received.map((call) => (isUnansweredLeg(call) ? { ...call, lost_at: lostAt(call, received) } : call));
  const body = find("rows");
  for (const skeleton of body.querySelectorAll(".skeleton")) skeleton.remove();
  const anchor = isFirst ? null : firstVisibleRow();
  const anchorTop = anchor?.getBoundingClientRect().top;
  const arrived = [];
  let isChanged = false;
  for (const call of calls) {
    const row = rows.get(call.path);
    if (!row) {
      rows.set(call.path, new Row(call));
      arrived.push(call.path);
    } else {
      const before = row.call;
      if (!row.update(call)) continue;
      row.mark("changed");
      isChanged ||= before.outcome !== call.outcome || before.talk_seconds !== call.talk_seconds;
    }
  }
  order = calls.map((call) => call.path);
  const wanted = new Set(order);
  for (const [path, row] of rows) {
    if (wanted.has(path)) continue;
    // The call has changed and no longer matches the filters.
    isChanged = true;
    row.node.remove();
    rows.delete(path);
  }
  let place = body.firstElementChild;
  for (const path of order) {
    const { node } = rows.get(path);
    if (node === place) place = place.nextElementSibling;
    else body.insertBefore(node, place);
    rows.get(path).place();
  }
  if (!isFirst) for (const path of arrived) rows.get(path).mark("new");
  if (anchor?.isConnected) {
    const moved = anchor.getBoundingClientRect().top - anchorTop;
    if (moved) scrollBy({ top: moved, behavior: "instant" });
  }
  return { arrived, isChanged };
}

/** Return the topmost visible row, or null while the start of the list is visible. */
function firstVisibleRow() {
  const edge = document.querySelector(".bar").getBoundingClientRect().bottom;
  const first = find("rows").firstElementChild;
  if (!first || first.getBoundingClientRect().top >= edge) return null;
  return [...find("rows").children].find((node) => node.getBoundingClientRect().bottom > edge) ?? null;
}

const callsShown = () => order.map((path) => rows.get(path).call);

async function loadList() {
  generation += 1;
  pendingRequests.abort();
  pendingRequests = new AbortController();
  rows.clear();
  order = [];
  cursor = null;
  unseenCalls = 0;
  find("fresh").hidden = true;
  find("empty").hidden = true;
  find("more").hidden = true;
  find("more-note").textContent = "";
  find("rows").replaceChildren(
    ...Array.from({ length: 6 }, () => h("tr", { class: "skeleton", "aria-hidden": "true" }, Array.from({ length: 8 }, () => h("td")))),
  );
  find("list").setAttribute("aria-busy", "true");
  find("statistics").classList.toggle("stale", statistics?.day !== dayShown());
  describe();
  await refresh({ isFirst: true });
}

/** Refresh the list. Usually this reads the newest calls; every few rounds it reads everything that is loaded. */
async function refresh({ isFirst = false } = {}) {
  const mine = generation;
  rounds += 1;
  const isFull = rounds % FULL_REFRESH_EVERY === 0;
  const known = new Set(order);
  const loaded = order.length;
  const received = await readCalls(null, (calls) => {
    if (isFirst || !loaded) return calls.length >= PAGE_SIZE / 2;
    return isFull ? calls.length >= loaded : calls.some((call) => known.has(call.path));
  }, isFull ? Math.ceil(loaded / PAGE_SIZE) + 1 : MAX_PAGES_PER_REFRESH);
  if (mine !== generation) return;
  const last = received.calls.at(-1);
  const meets = received.calls.some((call) => known.has(call.path));
  let calls = received.calls;
  if (isFirst || !received.cursor || (loaded && !meets && last)) {
    // The whole list, or so many new calls that some may be missing between them and the loaded ones.
    ({ cursor } = received);
  } else {
    const receivedPaths = new Set(received.calls.map((call) => call.path));
    const rest = callsShown().filter((call) => !receivedPaths.has(call.path) && (!last || call.started_at <= last.started_at));
    calls = [...received.calls, ...rest];
    if (!rest.length) ({ cursor } = received);
  }
  const { arrived, isChanged } = showCalls(calls, { isFirst });
  find("list").removeAttribute("aria-busy");
  if (arrived.length && !isFirst) announce(arrived.length);
  describe();
  if (!isFirst) await refreshCall();
  if (isFirst || areStatisticsDue(arrived.length > 0 || isChanged)) await loadStatistics();
}

async function loadMore() {
  const mine = generation;
  const button = find("more");
  button.disabled = true;
  try {
    const received = await readCalls(cursor, (calls) => calls.length >= PAGE_SIZE / 2);
    if (mine !== generation) return;
    const known = new Set(order);
    const added = received.calls.filter((call) => !known.has(call.path));
    ({ cursor } = received);
    const hadFocus = document.activeElement === button;
    showCalls([...callsShown(), ...added], { isFirst: true });
    describe();
    find("more-note").textContent = !added.length && cursor ? "No matches on these pages. Load more to continue the search." : "";
    if (hadFocus && added.length) rows.get(added[0].path).link.focus({ preventScroll: true });
  } catch (error) {
    failed(error);
  } finally {
    button.disabled = false;
  }
}

const isFiltered = () => FILTERS.some((name) => name !== "day" && state[name]);

/** Update the heading, the filters and the text of an empty list. */
function describe() {
  const loading = find("list").hasAttribute("aria-busy");
  const heading = find("list-heading");
  const all = cursor ? countOfAll() : null;
  const words = !cursor ? counted(order.length, "call") : all > order.length ? `The newest ${order.length} of ${counted(all, "call")}` : `The newest ${counted(order.length, "call")}`;
  const count = h("strong", {}, words);
  const where = isAllDays() ? "on all days" : state.day && state.day !== today() ? `on ${dayText(state.day)}` : "today";
  heading.replaceChildren(...(loading ? ["Loading calls…"] : [count, ` ${where}${cursor ? "" : ", newest first"}. Times are UTC.`]));
  find("more").hidden = !cursor || loading;
  const empty = find("empty");
  empty.hidden = loading || order.length > 0 || Boolean(cursor);
  if (!empty.hidden) empty.replaceChildren(...emptyText());
  if (!loading && !order.length && cursor) find("more-note").textContent = "No matches so far. Load more to continue the search.";
  for (const row of rows.values()) row.place();

  const shown = dayShown();
  find("day-heading").replaceChildren(
    ...(isAllDays() ? ["Calls from or to one number"] : [shown === today() ? "Today, " : "", dayText(shown), " ", h("small", {}, "UTC")]),
  );
  if (find("day").dataset.shown !== shown) {
    // Only if it has changed: the user may be typing another date.
    find("day").value = shown;
    find("day").dataset.shown = shown;
  }
  find("day").max = today();
  find("day-after").disabled = shown >= today();
  find("day-today").disabled = !state.day;
  find("statistics").hidden = isAllDays();
  const narrowed = [state.number && "number", state.direction && "direction"].filter(Boolean);
  find("totals-note").hidden = !narrowed.length;
  find("totals-note").textContent = `Totals and chart show all calls of the day. The ${narrowed.join(" and ")} ${narrowed.length > 1 ? "filters apply" : "filter applies"} only to the list.`;
  const withCalls = (statistics?.counts ?? []).map((count) => count.provider).sort();
  fill("provider", "All", [...new Set([...PROVIDERS, ...withCalls, state.provider])].filter(Boolean).map((name) => [name, name]));
  fill("direction", "Both", [["inbound", "Inbound"], ["outbound", "Outbound"]]);
  fill("outcome", "All", Object.entries({ ...OUTCOMES, under_way: "Under way or no end reported" }));
  find("legs").checked = Boolean(state.legs || state.number);
  find("legs").disabled = Boolean(state.number);
  find("clear").hidden = !isFiltered();
  document.title = `callhooks – ${isAllDays() ? "a number" : dayText(shown, { day: "numeric", month: "short" })}`;
}

function fill(name, all, options) {
  const select = find(name);
  const wanted = ["", ...options.map(([value]) => value)];
  if ([...select.options].map((option) => option.value).join() !== wanted.join()) {
    select.replaceChildren(h("option", { value: "" }, all), ...options.map(([value, text]) => h("option", { value }, text)));
  }
  select.value = wanted.includes(state[name]) ? state[name] : "";
  select.classList.toggle("set", Boolean(state[name]));
}

function showNumber() {
  find("number").value = state.number;
  find("number").classList.toggle("set", Boolean(state.number));
  if (state.number) find("scope").value = state.day ? "day" : "all";
}

function emptyText() {
  if (isFiltered()) {
    return [
      h("h3", {}, "No calls match these filters"),
      h("p", {}, isAllDays() ? "All days were searched." : "Only this day was searched."),
      state.number ? h("p", {}, "Enter the full number with its country code, such as +44 20 7946 0123.") : "",
      h("p", {}, h("button", { type: "button", onclick: clearFilters }, "Clear filters")),
    ];
  }
  if (dayShown() !== today()) return [h("h3", {}, "No calls on this day"), h("p", {}, "Older calls may have expired (RetentionDays).")];
  return [
    h("h3", {}, "No calls yet today"),
    h("p", {}, "Calls appear here as they arrive."),
    ...(LOOPBACK.has(location.hostname)
      ? [h("p", {}, "Send a recorded call:"), h("code", {}, "callhooks send events/jambonz/new_call.json --new-call")]
      : [h("p", {}, "If you expected calls, run:"), h("code", {}, "callhooks doctor --stack NAME")]),
  ];
}

function clearFilters() {
  go({ number: "", provider: "", outcome: "", direction: "" });
  find("number").focus();
}

let announcedAt = 0;

/** Announce new calls to screen readers and to users who have scrolled, but not each one separately. */
function announce(count) {
  if (firstVisibleRow()) {
    unseenCalls += count;
    find("fresh").textContent = `↑ ${counted(unseenCalls, "new call")}`;
    find("fresh").hidden = false;
  }
  pendingNews += count;
  if (now() - announcedAt < ANNOUNCE_SECONDS * 1000) return;
  announcedAt = now();
  find("news").textContent = counted(pendingNews, "new call");
  pendingNews = 0;
}

let pendingNews = 0;

// ---------------------------------------------------------------------------------------------- the chart

let statistics = null;
let statisticsAt = 0;

/** Return whether to read the statistics. They cost a read of the whole day: on a busy day, not for each change. */
function areStatisticsDue(hasChanges) {
  const isBusy = statistics?.counts.reduce((sum, { calls }) => sum + calls, 0) > BUSY_DAY_CALLS;
  const seconds = isBusy ? BUSY_DAY_STATISTICS_SECONDS : hasChanges ? 0 : STATISTICS_SECONDS;
  return now() - statisticsAt >= seconds * 1000;
}

async function loadStatistics() {
  if (isAllDays()) return;
  const mine = generation;
  const counts = [];
  let next = null;
  let day = dayShown();
  do {
    const query = new URLSearchParams({ ...(state.day && { day: state.day }), ...(!state.legs && { legs: "false" }) });
    if (next) query.set("cursor", next);
    const response = await fetchJson(`stats?${query}`, { signal: pendingRequests.signal });
    if (mine !== generation) return;
    ({ day, cursor: next } = response);
    counts.push(...response.counts);
  } while (next);
  statisticsAt = now();
  find("statistics").classList.remove("stale");
  const json = JSON.stringify([day, counts, state.provider, state.outcome, state.legs, Math.floor(now() / 3600_000)]);
  if (statistics?.json === json) return;
  const byAge = counts.map((count) => (count.outcome === "under_way" && isLongAgo(day, count.hour) ? { ...count, outcome: "no_end" } : count));
  statistics = { json, day, legs: state.legs, counts: byAge };
  showStatistics();
  describe();
}

/** Return whether an hour is so long ago that its calls must have ended. */
const isLongAgo = (day, hour) => Date.parse(`${day}T00:00:00Z`) + (hour + 1) * 3600_000 + MAX_CALL_MS <= now();

/** Return the length of the complete list, or null if the statistics do not cover its filters. */
function countOfAll() {
  if (state.number || state.direction || statistics?.day !== dayShown() || statistics.legs !== state.legs) return null;
  const outcomes = state.outcome === "under_way" ? ["under_way", "no_end"] : [state.outcome];
  return statistics.counts
    .filter((count) => (!state.provider || count.provider === state.provider) && (!state.outcome || outcomes.includes(count.outcome)))
    .reduce((sum, { calls }) => sum + calls, 0);
}

function showStatistics() {
  const counts = statistics.counts.filter((count) => !state.provider || count.provider === state.provider);
  const hours = Array.from({ length: 24 }, () => Object.fromEntries(Object.keys(COUNTED).map((outcome) => [outcome, 0])));
  const sums = Object.fromEntries(Object.keys(COUNTED).map((outcome) => [outcome, 0]));
  let talk = 0;
  for (const { hour, outcome, calls, talk_seconds: seconds } of counts) {
    const known = outcome in COUNTED ? outcome : "failed";
    if (hours[hour]) hours[hour][known] += calls;
    sums[known] += calls;
    talk += Number(seconds) || 0;
  }
  const all = Object.values(sums).reduce((sum, count) => sum + count, 0);
  const ended = all - sums.under_way - sums.no_end;
  const share = ended ? Math.round((100 * sums.answered) / ended) : null;

  find("totals").replaceChildren(
    ...[
      ["Calls", all.toLocaleString("en-GB")],
      ["Answer rate (finished calls)", share === null ? "–" : `${share} %`],
      ["Under way", sums.under_way.toLocaleString("en-GB")],
      ...(sums.no_end ? [[COUNTED.no_end, sums.no_end.toLocaleString("en-GB")]] : []),
      ["Talk time", talk ? spoken(talk) : "–"],
      ["Average talk time", sums.answered && talk ? minutes(talk / sums.answered) : "–"],
    ].map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
  find("chart-caption").textContent = `Calls by hour (UTC) and outcome, ${state.provider ? `${state.provider} only` : "all providers"}`;
  showPlot(hours);
  showLegend(sums);
  showNumbers(hours, sums);
}

function showPlot(hours) {
  const total = (hour) => Object.values(hour).reduce((sum, count) => sum + count, 0);
  const max = Math.max(...hours.map(total));
  const top = niceMaximum(max);
  const drawing = svg("svg", { viewBox: "0 0 240 100", preserveAspectRatio: "none", "aria-hidden": "true" });
  for (const y of [0, 50]) drawing.append(svg("line", { class: "grid", x1: 0, x2: 240, y1: y, y2: y }));
  hours.forEach((hour, index) => {
    const column = svg("g", { class: "column" });
    const lines = Object.entries(COUNTED).filter(([outcome]) => hour[outcome]).map(([outcome, name]) => `${name} ${hour[outcome]}`);
    const name = `${String(index).padStart(2, "0")}–${String(index + 1).padStart(2, "0")} UTC: ${counted(total(hour), "call")}`;
    column.append(svg("title", {}, [name, ...lines].join("\n")), svg("rect", { class: "hover", x: index * 10, y: 0, width: 10, height: 100 }));
    let y = 100;
    for (const outcome of Object.keys(COUNTED)) {
      if (!hour[outcome]) continue;
      const height = (100 * hour[outcome]) / top;
      y -= height;
      const isDim = state.outcome && state.outcome !== filterOf(outcome);
      column.append(
        svg("g", { class: `stack o-${outcome}${isDim ? " dim" : ""}`, "data-outcome": outcome, "data-hour": index },
          svg("rect", { x: index * 10 + 1.2, y, width: 7.6, height: Math.max(height / 2, height - 0.9) })),
      );
    }
    drawing.append(column);
  });
  drawing.append(svg("line", { class: "base", x1: 0, x2: 240, y1: 100, y2: 100 }));
  const marks = Array.from({ length: 8 }, (_, index) => h("span", {}, `${String(index * 3).padStart(2, "0")}:00`));
  find("plot").replaceChildren(
    drawing,
    ...(max ? [h("span", { class: "most", "aria-hidden": "true" }, String(top))] : []),
    h("div", { class: "hours", "aria-hidden": "true" }, marks),
  );
}

function niceMaximum(max) {
  if (max <= 2) return 2;
  const power = 10 ** Math.floor(Math.log10(max));
  return [1, 2, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= max && step % 2 === 0) ?? 20 * power;
}

/** Return the filter that shows the calls of a counted outcome. */
const filterOf = (outcome) => (outcome === "no_end" ? "under_way" : outcome);
const LEGEND_TIPS = {
  under_way: "Show all calls without an end: under way or no end reported",
  no_end: "Started over 4 hours ago. Show all calls without an end: under way or no end reported",
};

function showLegend(sums) {
  const legend = find("legend");
  const focused = legend.contains(document.activeElement) ? document.activeElement.dataset.outcome : null;
  legend.replaceChildren(
    ...Object.entries(COUNTED).filter(([outcome]) => outcome !== "no_end" || sums.no_end).map(([outcome, name]) =>
      h("button", {
        type: "button",
        class: `o-${outcome}${sums[outcome] ? "" : " none"}`,
        "data-outcome": outcome,
        "aria-pressed": String(state.outcome === filterOf(outcome)),
        title: LEGEND_TIPS[outcome],
        onclick: () => go({ outcome: state.outcome === filterOf(outcome) ? "" : filterOf(outcome) }),
      }, icon(outcome), h("span", {}, name), h("b", {}, sums[outcome].toLocaleString("en-GB")))),
  );
  if (focused) legend.querySelector(`[data-outcome="${focused}"]`)?.focus();
}

function showNumbers(hours, sums) {
  const columns = Object.entries(COUNTED).filter(([outcome]) => sums[outcome]);
  const line = (name, count) => h("tr", {}, h("th", { scope: "row" }, name), columns.map(([outcome]) => h("td", {}, String(count[outcome]))));
  find("chart-table").replaceChildren(
    columns.length
      ? h("table", {},
          h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Hour (UTC)"), columns.map(([, name]) => h("th", { scope: "col" }, name)))),
          h("tbody", {},
            hours.map((hour, index) => (columns.some(([outcome]) => hour[outcome]) ? line(`${String(index).padStart(2, "0")}:00`, hour) : null)),
            line("Total", sums)))
      : h("p", { class: "hint" }, "No calls yet."),
  );
}

// ---------------------------------------------------------------------------------------------- events

const ENDS = ["call.completed", "call.busy", "call.no_answer", "call.rejected", "call.cancelled", "call.failed", "call.missed"];
const CALLER = ["caller", "from", "originator", "calling", "calling_party", "src"];
const CALLED = ["callee", "called", "to", "receiver", "called_party", "dst"];

/** Return whether the response to an event is verbs. Event hooks get `[]`, which jambonz ignores. */
function returnsVerbs(event) {
  return Array.isArray(event.answer) && (event.answer.length > 0 || Boolean(event.details.flow));
}

/**
 * Return the arrows of an event in order, as [from lane, to lane, part]; none if the event is a note on a lane.
 * Lanes are `from`, `provider`, `callhooks` and `to`. An inbound call of jambonz is answered by the application.
 */
function arrowsOf(event, call) {
  const isOutbound = call.direction === "outbound";
  const isJambonz = call.provider === "jambonz";
  const far = isOutbound ? "to" : "from";
  const arrows = [];
  switch (event.kind) {
    case "call.initiated": {
      // jambonz and Bird place an outbound call themselves; a Wavix trunk or a VoIPstudio user calls its provider.
      const isPlaced = isOutbound && (isJambonz || call.provider === "bird");
      arrows.push(isPlaced ? ["provider", "to"] : ["from", "provider"]);
      break;
    }
    case "call.ringing":
      arrows.push(["provider", "to"]);
      break;
    case "call.early_media":
    case "call.answered":
      arrows.push(isJambonz && !isOutbound ? ["provider", "from"] : ["to", "provider"]);
      break;
    case "call.held":
    case "call.resumed":
      // jambonz reports the phone at the far end of the leg, VoIPstudio its own user.
      arrows.push([isJambonz ? far : isOutbound ? "from" : "to", "provider"]);
      break;
    case "call.dtmf":
      arrows.push([isJambonz ? far : "from", "provider"]);
      break;
    case "call.media":
      if (event.details.text) arrows.push([event.details.channel === 2 ? "to" : far, "provider"]);
      break;
    case "call.verb":
      arrows.push(["provider", "callhooks", "hook"]);
      break;
    default:
      if (ENDS.includes(event.kind)) arrows.push(...arrowsOfEnd(event, far));
  }
  if (returnsVerbs(event)) {
    if (event.kind !== "call.verb") arrows.push(["provider", "callhooks", "hook"]);
    arrows.push(["callhooks", "provider", "answer"]);
  }
  return arrows;
}

function arrowsOfEnd(event, far) {
  const reported = event.details.call_termination_by ?? event.details.hangup_source;
  const by = typeof reported === "string" ? reported.toLowerCase() : "";
  // jambonz always calls the phone of a leg "caller", whatever the direction.
  if (event.details.call_termination_by && CALLER.includes(by)) return [[far, "provider"]];
  if (CALLER.includes(by)) return [["from", "provider"]];
  if (CALLED.includes(by)) return [["to", "provider"]];
  if (event.kind === "call.cancelled") return [["from", "provider"]];
  if (event.kind === "call.busy" || event.kind === "call.rejected") return [["to", "provider"]];
  return [["provider", "from"], ["provider", "to"]];
}

const SHOWN_BY_NAME = ["call.verb", "call.other", "tool.called"];

/** Return whether an event reports a person or a machine. Wavix repeats its flag in every media event. */
function isDetection(event) {
  return event.kind === "call.media" && "machine_detected" in event.details && !event.details.media;
}

/** Return the kind in words, or the event's own name for kinds that cover many events. */
function titleOf(event) {
  const kind = event.kind.replace("call.", "").replaceAll("_", " ").replace(".", " ");
  return SHOWN_BY_NAME.includes(event.kind) ? event.name || kind : kind;
}

/** Return the lane of a note. */
function laneOf(event) {
  if (event.kind === "tool.called") return "callhooks";
  if (isDetection(event)) return "to";
  return "provider";
}

/** Return the details of an event in a few words. */
function summaryOf(event) {
  const { details } = event;
  const said = details.text && `“${details.text}”`;
  const keys = details.digits && `keys ${details.digits}`;
  const machine = isDetection(event) && (details.machine_detected ? "a machine" : "a person");
  const media = details.media && [details.media, details.media_status].filter(Boolean).join(" ");
  const byKind = {
    "call.initiated": [details.click_to_call && "click to call accepted"],
    "call.dtmf": [keys, details.dtmf_target && `to ${details.dtmf_target}`],
    "call.media": [media ?? event.name, machine, said, keys, details.reason],
    "call.verb": [event.status !== "in-progress" && event.status, keys, said, details.dial_call_status, details.queue_position && `position ${details.queue_position}`],
    "call.billed": [details.charge !== undefined && `${details.charge} USD`, details.disposition, details.duration_seconds !== undefined && `${details.duration_seconds} s`],
    "tool.called": ["tool", details.vendor],
    "queue.joined": [details.queue, details.queue_length !== undefined && `${details.queue_length} waiting`],
    "queue.left": [details.queue, details.reason],
    "queue.wrapup": [event.status],
  };
  const ofEnd = [details.media ? media : details.reason, details.cause_code !== undefined && `Q.850 ${details.cause_code}`, details.sip_status !== undefined && `SIP ${details.sip_status}`, details.call_termination_by ?? details.hangup_source];
  const words = byKind[event.kind] ?? (ENDS.includes(event.kind) ? ofEnd : []);
  return [...new Set(words.filter(Boolean).map(String))].join(" · ");
}

// The most important members of each verb, in display order; other verbs show all their plain members.
const KEY_MEMBERS = {
  say: ["text", "loop"],
  play: ["url", "loop"],
  gather: ["input", "numDigits", "minDigits", "maxDigits", "finishOnKey", "timeout", "say", "play"],
  dial: ["target", "callerId", "timeout", "timeLimit", "answerOnBridge"],
  enqueue: ["name", "priority"],
  dequeue: ["name", "timeout"],
  conference: ["name"],
  listen: ["url", "maxLength", "finishOnKey"],
  stream: ["url"],
  llm: ["vendor", "model"],
  pause: ["length"],
  redirect: ["actionHook"],
  tag: ["data"],
  config: ["bargeIn", "recognizer", "synthesizer", "amd", "record", "listen"],
  "sip:decline": ["status", "reason"],
  "sip:refer": ["referTo"],
  "sip:request": ["method"],
  message: ["to", "from", "text"],
  dtmf: ["dtmf"],
  alert: ["message"],
};
const SECONDS = ["timeout", "timeLimit", "length", "maxLength"];

const TARGETS = { phone: "phones", user: "users", sip: "SIP addresses", teams: "Teams users" };

function plainText(value, name = "") {
  if (Array.isArray(value)) {
    const texts = value.map((one) => plainText(one, name));
    if (name !== "target" || value.length < 2) return texts.join(", ");
    const [type, ...others] = new Set(value.map((one) => one?.type));
    if (others.length || !(type in TARGETS)) return `${texts.join(", ")}, rung simultaneously`;
    return `${value.map((one) => plainText({ ...one, type: null }, name)).join(", ")} (${TARGETS[type]}, rung simultaneously)`;
  }
  if (value && typeof value === "object") {
    if (name === "target") return [value.number ?? value.sipUri ?? value.name ?? value.tenant ?? "", value.type && `(${value.type})`].filter(Boolean).join(" ");
    if (name === "say") return `“${plainText(value.text ?? "")}”`;
    if (name === "play") return plainText(value.url ?? "");
    return Object.entries(value).map(([key, member]) => `${key} ${typeof member === "object" ? "…" : member}`).join(", ");
  }
  const text = String(value);
  if (SECONDS.includes(name)) return `${text} s`;
  return name === "text" ? `“${text}”` : text;
}

function verbItem(verb) {
  const name = verb && typeof verb === "object" ? String(verb.verb ?? Object.keys(verb)[0] ?? "?") : "?";
  const members = verb && typeof verb === "object" ? (verb.verb ? verb : verb[name]) : {};
  const plain = Object.keys(members ?? {}).filter((key) => !["verb", "id"].includes(key) && typeof members[key] !== "object");
  const wanted = (Object.hasOwn(KEY_MEMBERS, name) ? KEY_MEMBERS[name] : plain).filter((key) => members?.[key] !== undefined && members[key] !== null);
  return h("li", {}, h("span", { class: "verb" }, name), h("div", {}, wanted.map((key) => {
    const text = plainText(members[key], key);
    const isQuote = ["text", "say"].includes(key);
    return h("span", { class: isQuote ? "member quote" : "member" }, isQuote || key === "url" ? "" : h("b", {}, `${key} `), text);
  }).flatMap((member) => [member, " "])));
}

/** Indent JSON. Works on the text, so that every number keeps its notation. */
function pretty(text) {
  if (text.length > MAX_PRETTY_LENGTH) return text;
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  const parts = [];
  let [depth, last] = [0, ""];
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g)) {
    const [closes, wasOpened] = ["}]".includes(token), last !== "" && "{[".includes(last)];
    if (closes) depth -= 1;
    if (last === "," || wasOpened !== closes) parts.push(`\n${"  ".repeat(Math.min(depth, MAX_INDENT))}`);
    parts.push(token === ":" ? ": " : token);
    if ("{[".includes(token)) depth += 1;
    last = token;
  }
  return parts.join("");
}

// ---------------------------------------------------------------------------------------------- one call

let opened = null;
const expanded = new Set();

async function openCall({ takeFocus }) {
  const panel = find("call");
  opened = { path: state.call, json: "", pausedUntil: 0 };
  expanded.clear();
  find("console").classList.add("open");
  panel.hidden = false;
  panel.scrollTop = 0;
  if (isPhone()) scrollTo({ top: 0, behavior: "instant" });
  panel.setAttribute("aria-busy", "true");
  panel.replaceChildren(callTop([h("h2", { id: "call-heading", tabindex: "-1" }, "Loading call…")]));
  if (takeFocus) find("call-heading").focus();
  await refreshCall();
}

function callTop(heading) {
  return h("div", { class: "call-head" }, h("div", { class: "call-top" }, h("div", {}, heading),
    h("button", { type: "button", class: "quiet", id: "close", "aria-label": "Close call", onclick: closeCall }, "Close ", h("span", { "aria-hidden": "true" }, "✕"))));
}

const isPhone = () => matchMedia("(max-width: 63.99rem)").matches;

function closeCall() {
  go({ call: "" });
}

function hideCall() {
  const path = opened?.path;
  const hadFocus = find("call").contains(document.activeElement) || document.activeElement === document.body;
  opened = null;
  find("call").hidden = true;
  find("call").replaceChildren();
  find("console").classList.remove("open");
  if (hadFocus) (rows.get(path)?.link ?? find("list-heading")).focus();
}

async function refreshCall() {
  const mine = opened;
  if (!mine || Date.now() < mine.pausedUntil) return;
  try {
    const received = await fetchJson(mine.path);
    if (mine !== opened) return;
    // A call that ended a while ago changes only if an event arrives late.
    const isSettled = received.call.outcome !== null && now() - Date.parse(received.call.last_event_at) > SETTLED_MS;
    mine.pausedUntil = isSettled ? Date.now() + SETTLED_POLL_MS : 0;
    const text = JSON.stringify(received);
    if (text !== mine.json) showCall(viewOf(received));
    mine.json = text;
  } catch (error) {
    if (error instanceof SignedOut) throw error;
    if (mine === opened && !mine.json) {
      const words = error.status === 404 ? "This call does not exist, or it has expired." : errorText(error);
      find("call").replaceChildren(callTop([h("h2", { id: "call-heading", tabindex: "-1" }, "Cannot show this call"), h("p", {}, words)]));
    }
    if (error.status !== 404) throw error;
  } finally {
    if (mine === opened) find("call").removeAttribute("aria-busy");
  }
}

/** Prepare a response for display: infer which legs stopped ringing, and find the precision of its times. */
function viewOf(response) {
  const related = [response.call, ...response.legs];
  const [call, ...legs] = related.map((one) => ({ ...one, lost_at: lostAt(one, related) }));
  const steps = stepsOf({ call, legs, timeline: response.timeline });
  const isWhole = [call.started_at, ...steps.filter(({ moment }) => moment !== null).map(({ moment }) => moment)]
    .every((moment) => isWholeSecond(new Date(moment).getTime()));
  const known = { ...response, call, legs, steps, isWhole };
  return { ...known, bars: barsOf(known) };
}

function showCall(view) {
  const panel = find("call");
  const { call } = view;
  const focused = panel.contains(document.activeElement) ? document.activeElement.id : null;
  const scrolled = [panel.scrollTop, scrollY];
  const lanes = lanesOf(view);
  const list = h("ol", { class: "events", "aria-label": "Events in order" });
  const wires = h("div", { class: "wires", "aria-hidden": "true" });
  list.append(h("li", { role: "presentation", class: "wires-of", "aria-hidden": "true" }, wires));
  view.steps.forEach((step) => list.append(step.event ? eventItem(step, view, lanes) : stepItem(step, view, lanes)));
  if (!call.outcome && !call.lost_at) list.append(tailItem(call));

  const head = callTop([
    h("h2", { id: "call-heading", tabindex: "-1" }, caller(call.from), h("span", { class: "to-sign" }, h("span", { "aria-hidden": "true" }, "→"), unseen(" to ")), party(call.to)),
    namesOf(call),
    h("p", { class: "gist", id: "gist" }, ...gistOfCall(call)),
  ]);
  head.append(factsOf(view), ...legsOf(view));
  const ladder = h("div", { class: `ladder${Math.max(...view.steps.map(({ moment }) => moment ?? 0)) - Date.parse(call.started_at) >= 3600_000 ? " over-an-hour" : ""}${view.isWhole ? " whole" : ""}${lanes.length > 3 ? " many" : ""}` },
    h("h3", { class: "unseen" }, "Ladder"),
    h("p", { class: "ladder-key" }, ...keyOf(view)),
    laneHeads(lanes, view), list,
    view.omitted_events ? h("p", { class: "notice" }, `${counted(view.omitted_events, "further event")} stored but not shown, because the response would be too large.`) : null);
  panel.replaceChildren(head, ladder);
  opened.call = call;
  opened.layOut = () => layOut(list, wires, lanes, view);
  opened.layOut();
  watcher.disconnect();
  watcher.observe(list);
  [panel.scrollTop] = scrolled;
  if (isPhone()) scrollTo({ top: scrolled[1], behavior: "instant" });
  if (focused) find(focused)?.focus({ preventScroll: true });
}

const watcher = new ResizeObserver(() => opened?.layOut?.());

function namesOf(call) {
  const names = [call.caller_name && `from ${call.caller_name}`, call.called_name && `to ${call.called_name}`].filter(Boolean);
  return names.length ? h("p", { class: "names" }, names.join(", ")) : null;
}

function gistOfCall(call) {
  const { ring, talk } = spans(call);
  const parts = [["rang", ring], ["talked", talk], ["on hold", call.hold_seconds ?? null], ["wrap-up", call.wrapup_seconds ?? null]].filter(([, seconds]) => seconds !== null);
  return [
    outcomeLabel(call),
    h("span", {}, ...directionText(call.direction)),
    h("span", {}, h("span", { class: "what" }, "via "), call.provider),
    ...parts.map(([name, seconds]) => h("span", { "data-span": name }, h("span", { class: "what" }, `${name} `), minutes(seconds))),
  ];
}

function causeOf(call) {
  const named = (name, number, words) => `${name} ${number}${words[number] ? ` (${words[number]})` : ""}`;
  return [
    call.cause,
    call.cause_code !== null && call.cause_code !== undefined && named("Q.850", call.cause_code, Q850),
    call.sip_status !== null && call.sip_status !== undefined && named("SIP", call.sip_status, SIP),
  ].filter(Boolean).join(", ");
}

function factsOf({ call, isWhole }) {
  const started = Date.parse(call.started_at);
  const machine = call.machine_detected === null || call.machine_detected === undefined ? null : call.machine_detected ? "Yes" : "No";
  const queue = call.queue && (call.missed_in_queue ? `${call.queue}, not answered` : call.queue);
  const facts = [
    ["Started", h("time", { datetime: call.started_at, title: `${localText(started)} (your time)` }, utcText(started, isWhole))],
    ["Status", call.status],
    ["Cause", causeOf(call)],
    ["Ended by", call.ended_by],
    ["Cost", call.cost && [call.cost, call.currency].filter(Boolean).join(" ")],
    ["Keys", call.dtmf?.length ? h("span", { class: "keys" }, call.dtmf.join(" ")) : null],
    ["Answering machine", machine],
    ["Queue", queue ?? (call.missed_in_queue ? "Not answered" : null)],
    ["Trunk", call.trunk],
    ["Tags", call.tags?.length ? h("span", {}, call.tags.map((tag) => h("span", { class: "tag" }, tag))) : null],
  ].filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
  const data = Object.entries(call.customer_data ?? {});
  if (data.length) facts.push(h("div", { class: "wide" }, h("dt", {}, "Customer data"), h("dd", {}, data.map(([name, value]) => h("span", { class: "tag" }, `${name}: ${value}`)))));
  facts.push(h("div", { class: "wide" }, h("dt", {}, `Call id at ${call.provider}`), h("dd", { class: "id" }, call.call_id)));
  return h("dl", { class: "facts" }, facts);
}

/** Return the legs that a call dialled, by start time. */
function dialledBy(call, legs) {
  return legs.filter((leg) => leg.parent_call_id === call.call_id && leg.path !== call.path).sort((one, other) => Date.parse(one.started_at) - Date.parse(other.started_at));
}

function legsOf({ call, legs }) {
  const dialled = dialledBy(call, legs);
  const parent = legs.filter((leg) => leg.call_id === call.parent_call_id);
  const siblings = call.parent_call_id ? legs.filter((leg) => leg.parent_call_id === call.parent_call_id && leg.path !== call.path) : [];
  const grouped = new Set([...dialled, ...parent, ...siblings]);
  const groups = [
    ["Leg of", parent],
    ["Other legs of that call", siblings],
    ["Legs", dialled],
    ["Other parts of this conversation", legs.filter((leg) => !grouped.has(leg))],
  ];
  return groups.filter(([, members]) => members.length).map(([name, members]) => h("div", { class: "legs" }, h("h3", {}, name), h("ul", {}, members.map((leg) =>
    h("li", {}, h("span", { class: "time" }, new Date(leg.started_at).toISOString().slice(11, 19)),
      h("a", { href: hashOf({ ...state, call: leg.path }) }, caller(leg.from), " → ", party(leg.to)),
      h("span", {}, ...directionText(leg.direction)), outcomeLabel(leg))))));
}

// ---------------------------------------------------------------------------------------------- the ladder

/**
 * Return the steps of a ladder in order: the events; dial, answer and end of each dialled leg; and the start and ringing
 * of the call if they are known only from later events. Each step has a `moment` (ms), null for a bill.
 */
function stepsOf({ call, legs, timeline }) {
  const steps = timeline.map((event, index) => ({ event, index, moment: event.kind === "call.billed" ? null : Date.parse(event.occurred_at) }));
  const insert = (step, least, isBehind) => {
    const place = steps.findIndex((other, index) => index >= least && (other.moment === null || isBehind(other)));
    steps.splice(place === -1 ? steps.length : place, 0, step);
    return steps.indexOf(step) + 1;
  };
  const hasEvent = (...kinds) => timeline.some((event) => kinds.includes(event.kind));
  const started = Date.parse(call.started_at);
  if (!hasEvent("call.initiated") && !steps.some(({ moment }) => moment !== null && moment <= started)) insert({ what: "started", moment: started }, 0, () => true);
  if (call.ringing_at && !hasEvent("call.ringing", "call.early_media")) {
    const moment = Date.parse(call.ringing_at);
    insert({ what: "rang", moment }, steps[0]?.what === "started" ? 1 : 0, (other) => other.moment >= moment);
  }
  if (call.lost_at) steps.push({ what: "not answered", moment: Date.parse(call.lost_at) });
  for (const leg of dialledBy(call, legs)) {
    let least = 0;
    for (const [what, text] of [["dialled", leg.started_at], ["answered", leg.answered_at], ["ended", leg.ended_at ?? leg.lost_at]]) {
      if (!text) continue;
      const moment = Date.parse(text);
      // At the same moment, the end of a leg comes before its parent's events; a dial or a lost ring group comes after.
      const isFirst = what === "ended" && (!leg.lost_at || leg.lost_at === call.ended_at);
      least = insert({ what, leg, moment }, least, (other) => other.moment > moment || (isFirst && other.moment === moment && other.event));
    }
  }
  return steps;
}

/** Return the lane of the dialled parties. In an inbound jambonz call it is `to`, because the application is the callee. */
function legLaneOf({ call, legs }) {
  if (!dialledBy(call, legs).length) return null;
  return isAnsweredByApplication(call) ? "to" : "dialled";
}

const isAnsweredByApplication = (call) => call.provider === "jambonz" && call.direction !== "outbound";

function lanesOf(view) {
  const { call, timeline } = view;
  const usesCallhooks = timeline.some((event) => laneOf(event) === "callhooks" || arrowsOf(event, call).flat().includes("callhooks"));
  return ["from", "provider", ...(usesCallhooks ? ["callhooks"] : []), "to", ...(legLaneOf(view) === "dialled" ? ["dialled"] : [])];
}

/** Return the arrows of an event in this call. If legs use the callee's lane, an end has no arrow to the callee. */
function arrowsIn(view, event) {
  const arrows = arrowsOf(event, view.call);
  const isTheirs = legLaneOf(view) === "to" && ENDS.includes(event.kind);
  return isTheirs ? arrows.filter((arrow) => !arrow.includes("to")) : arrows;
}

function laneHeads(lanes, view) {
  const { call } = view;
  const names = [...new Set(dialledBy(call, view.legs).map((leg) => leg.to))];
  const dialled = [h("span", { class: "role" }, "dialled"), names.length === 1 ? party(names[0]) : h("b", {}, `${names.length} parties`)];
  const heads = {
    from: [h("span", { class: "role" }, "from"), caller(call.from)],
    provider: [h("span", { class: "role" }, "provider"), h("b", {}, call.provider)],
    callhooks: [h("span", { class: "role" }, "call plan"), h("b", {}, "callhooks")],
    to: legLaneOf(view) === "to" ? dialled : [h("span", { class: "role" }, "to"), party(call.to)],
    dialled,
  };
  const width = distance(lanes);
  return h("div", { class: "lanes", "aria-hidden": "true" }, lanes.map((lane) => {
    const head = h("div", { class: lane, "data-lane": lane }, heads[lane]);
    head.style.width = `${width}%`;
    head.style.marginLeft = `${percent(lanes, lane) - width / 2}%`;
    return head;
  }));
}

function keyOf(view) {
  const { call } = view;
  const rule = h("span", {}, h("i", { class: "rule", id: "rule" }), h("span", { id: "rule-text" }));
  const drawn = new Set(view.bars.map(({ name }) => name));
  const words = [["ringing-time", "ring"], ["talking-time", "talk"], ["hold-time", "hold"]];
  return [rule, ...words.filter(([name]) => drawn.has(name)).map(([name, word]) => h("span", {}, h("i", { class: name }), word))];
}

/** Return the bars on the lanes for ringing, talking and hold. */
function barsOf(view) {
  const { call, timeline } = view;
  const bars = [];
  const add = (name, lane, begin, end, leg) => begin !== null && end > begin && bars.push({ name, lane, begin, end, leg });
  const read = (text) => (text ? Date.parse(text) : null);
  const latest = Math.max(...view.steps.map(({ moment }) => moment ?? 0), outcomeOf(call) === "under_way" ? now() : 0);
  const end = read(call.ended_at ?? call.lost_at) ?? latest;
  const answering = isAnsweredByApplication(call) ? "provider" : "to";
  const answered = read(call.answered_at);
  const isToRing = call.ring_seconds !== null || isRinging(call);
  if (isToRing && outcomeOf(call) !== "no_end") add("ringing-time", answering, read(call.ringing_at ?? call.started_at), answered ?? end);
  const held = [];
  for (const event of timeline) {
    const last = held.at(-1);
    if (event.kind === "call.held" && (!last || last.length === 2)) held.push([Date.parse(event.occurred_at)]);
    if (event.kind === "call.resumed" && last?.length === 1) last.push(Date.parse(event.occurred_at));
  }
  if (answered !== null) for (const lane of ["from", answering]) add("talking-time", lane, answered, end);
  for (const [begin, finish = end] of held) for (const lane of ["from", answering]) add("hold-time", lane, begin, finish);
  for (const leg of dialledBy(call, view.legs)) {
    const lane = legLaneOf(view);
    const outcome = outcomeOf(leg);
    const finish = read(leg.ended_at ?? leg.lost_at) ?? (outcome === "under_way" ? latest : null);
    const answeredAt = read(leg.answered_at);
    const rung = answeredAt ?? finish;
    if (rung !== null && leg.ring_seconds !== null) add("ringing-time", lane, rung - leg.ring_seconds * 1000, rung, leg);
    else if (rung !== null && isRinging(leg)) add("ringing-time", lane, Date.parse(leg.started_at), rung, leg);
    if (answeredAt !== null && finish !== null) add("talking-time", lane, answeredAt, finish, leg);
  }
  return bars;
}

const SLOT = 12;

/** Return the offset of each leg from the middle of its lane, in pixels: simultaneous legs are side by side. */
function slotsOf(bars) {
  const slots = [];
  const places = new Map();
  const legs = [...new Set(bars.map(({ leg }) => leg).filter(Boolean))];
  for (const leg of legs) {
    const own = bars.filter((bar) => bar.leg === leg);
    const begin = Math.min(...own.map((bar) => bar.begin));
    const free = slots.findIndex((until) => until <= begin);
    const place = free === -1 ? slots.length : free;
    slots[place] = Math.max(...own.map((bar) => bar.end));
    places.set(leg, place);
  }
  return { width: Math.max(1, slots.length) * SLOT, offset: (leg) => (places.has(leg) ? (places.get(leg) - (slots.length - 1) / 2) * SLOT : 0) };
}

/** Return the right margin (CSS) of text next to a lane: it may reach to the next lane that has bars. */
function roomBeside(view, lanes, lane) {
  const { bars } = view;
  const next = lanes.slice(lanes.indexOf(lane) + 1).find((other) => bars.some((bar) => bar.lane === other));
  if (!next) return "0px";
  const legs = bars.filter((bar) => bar.lane === next && bar.leg);
  return `calc(${100 - percent(lanes, next)}% + ${(legs.length ? slotsOf(legs).width : SLOT) / 2}px)`;
}

// Distance of the outer lanes from the edge, relative to the distance between lanes; labels are between the lanes.
const EDGE = 0.25;
const distance = (lanes) => 100 / (lanes.length - 1 + 2 * EDGE);
const percent = (lanes, lane) => distance(lanes) * (lanes.indexOf(lane) + EDGE);
const LANE_WORDS = (call) => ({ from: "the caller", provider: call.provider, callhooks: "callhooks", to: "the callee", dialled: "the dialled party" });

function eventItem({ event, index }, view, lanes) {
  const { call } = view;
  const arrows = arrowsIn(view, event);
  const at = Date.parse(event.occurred_at);
  const isBill = event.kind === "call.billed";
  const clock = isBill ? "after" : since(at - Date.parse(call.started_at), view.isWhole);
  const item = h("li", { class: "event", "data-kind": event.kind, "data-key": event.key },
    clockOf(at, clock, view));
  const tone = ENDS.includes(event.kind) ? `o-${outcomeOf(call)}` : event.kind === "call.answered" ? "o-answered" : "";
  const gist = summaryOf(event);
  const label = labelOf;
  const rawId = `raw-${index}`;
  const toggle = h("button", {
    type: "button", class: "raw-toggle", id: `toggle-${index}`, "aria-controls": rawId, "aria-expanded": String(expanded.has(event.key)),
    "aria-label": `Raw JSON of ${titleOf(event)} at ${clock}`, title: `Raw JSON of ${event.kind}`,
    onclick: () => toggleRaw(item, event, index),
  }, "{ }");

  if (!arrows.length) {
    item.append(noteOf(view, lanes, laneOf(event), labelOf(titleOf(event), gist)));
  }
  let firstEnd = null;
  arrows.forEach(([from, to, part], place) => {
    const isSecondEnd = place > 0 && !part;
    const texts = {
      hook: place ? label("requests verbs") : label(titleOf(event), gist),
      answer: label(event.answer.length ? counted(event.answer.length, "verb") : "no verbs: continues"),
    };
    const text = isSecondEnd ? "" : texts[part] ?? label(titleOf(event), gist);
    const hop = hopOf(view, lanes, [from, to, part ?? "event"], text, part ? "hook" : tone);
    if (isSecondEnd) {
      // The provider notifies both parties at once: the second arrow is on the line of the first.
      hop.classList.add("at-once");
      firstEnd.append(hop);
    } else item.append(hop);
    firstEnd ??= hop;
  });
  if (returnsVerbs(event) && event.answer.length) {
    const verbs = h("ol", { class: "verbs", "aria-label": "Verbs in the response" }, event.answer.map(verbItem));
    verbs.style.setProperty("--lane", `${percent(lanes, "provider")}%`);
    verbs.style.setProperty("--first-lane", `${percent(lanes, "from")}%`);
    verbs.style.marginRight = roomBeside(view, lanes, "provider");
    item.append(verbs);
  }
  item.append(toggle);
  if (expanded.has(event.key)) item.append(rawOf(event, index));
  return item;
}

const labelOf = (name, extra) => h("span", { class: "label" }, h("b", {}, name), extra ? " " : "", extra ? h("span", { class: "say" }, extra) : "");

function clockOf(at, text, { isWhole }) {
  return h("div", { class: "clock" },
    h("time", { datetime: new Date(at).toISOString(), title: `${localText(at)} (your time)` }, text), h("span", { class: "absolute" }, utcText(at, isWhole)));
}

function noteOf(view, lanes, lane, text) {
  const isLast = lanes.indexOf(lane) === lanes.length - 1;
  const mark = h("i", { class: "mark", "aria-hidden": "true" });
  mark.style.left = `${percent(lanes, lane)}%`;
  const where = h("div", { class: "where" }, text, unseen(` (note at ${LANE_WORDS(view.call)[lane]})`));
  where.style.marginLeft = isLast ? "0" : `${percent(lanes, lane)}%`;
  where.style.marginRight = isLast ? `${100 - percent(lanes, lane)}%` : roomBeside(view, lanes, lane);
  return h("div", { class: `hop note ${isLast ? "from-right" : ""}`, "data-lane": lane }, mark, where);
}

/** Return an arrow with its label above it, between lanes that have bars; `shift` moves its end away from the lane. */
function hopOf(view, lanes, [from, to, part], text, tone, shift = 0) {
  const words = LANE_WORDS(view.call);
  const isToRight = lanes.indexOf(from) < lanes.indexOf(to);
  const [first, last] = isToRight ? [from, to] : [to, from];
  const shaft = h("i", { class: `shaft ${isToRight ? "right" : "left"}`, "aria-hidden": "true" });
  shaft.style.left = `calc(${percent(lanes, first)}% + 6px)`;
  shaft.style.width = `calc(${percent(lanes, last) - percent(lanes, first)}% - 12px + ${shift}px)`;
  const where = h("div", { class: "where" }, text, unseen(` from ${words[from]} to ${words[to]}`));
  where.style.marginLeft = `${percent(lanes, first)}%`;
  where.style.marginRight = roomBeside(view, lanes, first);
  return h("div", { class: `hop ${tone}`, "data-from": from, "data-to": to, "data-part": part }, where, shaft);
}

/** Return a step without an event of the call: an inferred start or ringing, or a step of a leg. */
function stepItem({ what, leg, moment }, view, lanes) {
  const item = h("li", { class: `event step${leg ? " of-leg" : ""}`, "data-step": what, "data-leg": leg?.path },
    clockOf(moment, since(moment - Date.parse(view.call.started_at), view.isWhole), view));
  if (!leg) {
    item.append(noteOf(view, lanes, "provider", labelOf(what, what === "not answered" ? "inferred from the other legs" : "inferred from a later event")));
    return item;
  }
  const lane = legLaneOf(view);
  const outcome = outcomeOf(leg);
  const link = h("a", { href: hashOf({ ...state, call: leg.path }), title: "Open the ladder of this leg" }, leg.to ?? "unknown");
  const isByLeg = what === "answered" || outcome === "busy" || outcome === "rejected";
  const ends = what === "ended" && outcome === "answered" ? ["ended", minutes(leg.talk_seconds ?? 0)] : [outcomeText(leg).toLowerCase(), outcome === "not_answered" ? "" : causeOf(leg)];
  const [name, extra] = { dialled: ["dials", ""], answered: ["answers", ""], ended: ends }[what];
  const text = h("span", { class: "label" }, ...(what === "dialled" ? [h("b", {}, name), " ", link] : [link, " ", h("b", {}, name)]), extra ? h("span", { class: "say" }, ` ${extra}`) : "");
  const tone = what === "dialled" ? "" : what === "answered" ? "o-answered" : `o-${outcome}`;
  item.append(hopOf(view, lanes, what !== "dialled" && isByLeg ? [lane, "provider", "leg"] : ["provider", lane, "leg"], text, tone, slotsOf(view.bars).offset(leg)));
  return item;
}

function tailItem(call) {
  const text = outcomeOf(call) === "no_end" ? outcomeText(call).toLowerCase() : `${outcomeText(call).toLowerCase()} …`;
  return h("li", { class: "event tail" }, h("div", { class: "clock" }, h("span", { id: "tail-clock" }, "")), h("div", { class: "hop note" }, h("div", { class: "where" }, h("span", { class: "label" }, text))));
}

function toggleRaw(item, event, index) {
  const button = item.querySelector(".raw-toggle");
  const isOpen = !expanded.delete(event.key);
  if (isOpen) {
    expanded.add(event.key);
    item.append(rawOf(event, index));
  } else item.querySelector(".raw").remove();
  button.setAttribute("aria-expanded", String(isOpen));
}

function rawOf(event, index) {
  const facts = [
    ["kind", event.kind],
    ["occurred", utcText(Date.parse(event.occurred_at))],
    ["received", utcText(Date.parse(event.received_at))],
    ["name", event.name],
    ["status", event.status],
    ["query", event.query],
    ...Object.entries(event.details).map(([name, value]) => [name, String(value)]),
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
  const panel = h("div", { class: "raw", id: `raw-${index}` }, h("dl", {}, facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
  const block = (title, text, shown) => {
    const shownAs = h("pre", { tabindex: "0", role: "region", "aria-label": title }, shown);
    const copy = h("button", { type: "button", onclick: () => copyText(text, copy, shownAs) }, "Copy");
    panel.append(h("h4", {}, h("span", {}, title), copy), shownAs);
  };
  if (event.body_omitted) panel.append(h("p", { class: "hint" }, "The body is stored but not shown, because the response would be too large."));
  else if (event.body) block(event.body_is_base64 ? "Body, as base64" : "Body", event.body, event.body_is_base64 ? event.body : pretty(event.body));
  if (event.answer !== null && event.answer !== undefined && event.answer !== "") {
    const text = typeof event.answer === "string" ? event.answer : JSON.stringify(event.answer, null, 2);
    block(`Answer, status ${event.answer_status}`, text, text);
  }
  return panel;
}

async function copyText(text, button, shownAs) {
  try {
    // Escape invisible characters as JSON does, so that programs read the same text.
    await navigator.clipboard.writeText(legible(text, "\n\r\t", asInJson));
    button.textContent = "Copied";
  } catch {
    // Without permission for the clipboard, select the text, so that the user can copy it with the keyboard.
    getSelection().selectAllChildren(shownAs);
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = "Copy"), 1600);
}

const MIN_GAP = 6;
const MAX_GAP = 130;
const BREAK_GAP = 46;
const DRAWN_HEIGHT = 560;

/**
 * Position the events by time. A second has the same length everywhere. Events that are closer than a line of text are
 * moved apart, and a gap over MAX_GAP is cut and labelled with its duration.
 */
function layOut(list, wires, lanes, view) {
  for (const gap of list.querySelectorAll(".gap")) gap.remove();
  const items = [...list.querySelectorAll(".event")];
  for (const item of items) item.style.marginTop = "0px";
  const moments = view.steps.map(({ moment }) => moment);
  if (items.length > moments.length) moments.push(Math.max(...moments.filter(Boolean), now()));
  const known = moments.filter((moment) => moment !== null);
  const whole = known.length ? (Math.max(...known) - Math.min(...known)) / 1000 : 0;
  const scale = Math.min(16, Math.max(3, DRAWN_HEIGHT / Math.max(whole, 1)));
  const anchorOf = (item) => {
    const shaft = item.querySelector(".shaft, .mark");
    return shaft ? item.offsetTop + shaft.offsetTop + (shaft.className === "mark" ? 4 : 0) : item.offsetTop + 10;
  };
  // Measure everything before moving anything, because a call may have thousands of events.
  const anchors = items.map(anchorOf);

  let latest = null;
  let moved = 0;
  items.forEach((item, index) => {
    const moment = moments[index];
    if (moment === null) {
      item.style.marginTop = "18px";
      moved += 18;
      return;
    }
    if (latest !== null) {
      const seconds = Math.max(0, (moment - latest.moment) / 1000);
      const wanted = seconds * scale;
      const natural = anchors[index] + moved - latest.anchor;
      const isCut = wanted > Math.max(MAX_GAP, natural + MIN_GAP);
      const margin = isCut ? Math.max(MAX_GAP - natural, BREAK_GAP) : Math.max(MIN_GAP, wanted - natural);
      item.style.marginTop = `${margin}px`;
      moved += margin;
      if (isCut) {
        const mark = h("div", { class: "gap" }, h("span", {}, `⋯ ${spoken(seconds)} ⋯`));
        mark.style.top = `${-margin / 2 - 10 - 4}px`;
        item.prepend(mark);
      }
    }
    if (latest === null || moment >= latest.moment) latest = { moment, anchor: anchors[index] + moved };
  });

  const ruleSeconds = [1, 2, 5, 10, 20, 30].find((seconds) => seconds * scale >= 24) ?? 30;
  find("rule").style.width = `${ruleSeconds * scale}px`;
  find("rule-text").textContent = `= ${ruleSeconds} s; long gaps are cut and labelled`;
  drawWires(items, moments, wires, lanes, view, anchorOf);
}

function drawWires(items, moments, wires, lanes, view, anchorOf) {
  const points = [];
  items.forEach((item, index) => {
    const moment = moments[index];
    const { leg } = view.steps[index] ?? {};
    if (moment !== null && (!points.length || moment >= points.at(-1)[0])) points.push([moment, anchorOf(item), leg]);
  });
  const heightAt = (moment, leg) => {
    // Of several events at one moment, the last one counts.
    const same = points.findLast((point) => point[0] === moment && leg && point[2] === leg) ?? points.findLast(([point]) => point === moment);
    if (same) return same[1];
    const after = points.findIndex(([point]) => point > moment);
    if (after === -1) return points.at(-1)[1];
    if (after === 0) return points[0][1];
    const [[t0, y0], [t1, y1]] = [points[after - 1], points[after]];
    return y0 + ((y1 - y0) * (moment - t0)) / (t1 - t0);
  };
  const isOpenEnded = !view.call.outcome && !view.call.lost_at;
  wires.replaceChildren(...lanes.map((lane) => {
    const wire = h("span", { class: `wire${isOpenEnded ? " open" : ""}` });
    wire.style.left = `${percent(lanes, lane)}%`;
    return wire;
  }));
  if (!points.length) return;
  const bars = barsOf(view);
  const { offset } = slotsOf(bars);
  for (const { name, lane, begin, end, leg } of bars) {
    const mark = h("i", { class: name, "data-lane": lane, "data-leg": leg?.path, "data-seconds": ((end - begin) / 1000).toFixed(3) });
    mark.style.left = leg ? `calc(${percent(lanes, lane)}% + ${offset(leg)}px)` : `${percent(lanes, lane)}%`;
    mark.style.top = `${heightAt(begin, leg)}px`;
    mark.style.height = `${Math.max(2, heightAt(end, leg) - heightAt(begin, leg))}px`;
    wires.append(mark);
  }
}

// ---------------------------------------------------------------------------------------------- signing in and out

const SIGNED_IN_ONLY = ["console", "sign-out", "show-keys", "live", "skip"];
let isSignedIn = null;

function showSignedIn() {
  if (isSignedIn) return;
  isSignedIn = true;
  find("sign-in").hidden = true;
  for (const id of SIGNED_IN_ONLY) find(id).hidden = false;
}

/** Remove all data from the page and show the sign-in form. The view stays in the URL. */
function showSignIn() {
  const hadSession = isSignedIn;
  isSignedIn = false;
  generation += 1;
  pendingRequests.abort();
  clearTimeout(nextPoll);
  hideCall();
  rows.clear();
  order = [];
  statistics = null;
  for (const id of ["rows", "totals", "plot", "legend", "chart-table", "news"]) find(id).replaceChildren();
  find("number").value = "";
  for (const id of SIGNED_IN_ONLY) find(id).hidden = true;
  find("keys").close();
  if (hadSession) find("sign-in-reason").textContent = "Your session has expired. Sign in again to continue where you left off.";
  find("sign-in").hidden = false;
  find(find("username").value ? "password" : "username").focus();
}

async function signIn(event) {
  event.preventDefault();
  const form = find("sign-in");
  const button = form.querySelector("button");
  const error = find("sign-in-error");
  error.textContent = "";
  button.disabled = true;
  try {
    await fetchJson("session", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ username: find("username").value, password: find("password").value }),
    });
    find("password").value = "";
    await start();
    find("list-heading").focus({ preventScroll: true });
  } catch (problem) {
    if (problem instanceof ApiError) error.textContent = problem.status === 401 ? "Wrong user name or password." : problem.message;
    else error.textContent = "Cannot reach callhooks. Try again in a moment.";
    find("password").select();
  } finally {
    button.disabled = false;
  }
}

async function signOut() {
  try {
    await fetchJson("session", { method: "DELETE" });
  } catch (error) {
    if (!(error instanceof SignedOut)) {
      failed(error);
      return;
    }
  }
  isSignedIn = null;
  history.replaceState(null, "", location.pathname);
  state = readState();
  find("sign-in-reason").textContent = "You are signed out.";
  showSignIn();
}

// ---------------------------------------------------------------------------------------------- polling

let nextPoll = 0;
let failures = 0;
let updatedAt = 0;
let triesAt = 0;

function schedule() {
  clearTimeout(nextPoll);
  if (!isSignedIn || document.hidden) return;
  const usual = isAllDays() || dayShown() !== today() ? OTHER_DAY_POLL_SECONDS : POLL_SECONDS;
  const seconds = failures ? Math.min(MAX_POLL_SECONDS, POLL_SECONDS * 2 ** failures) : usual;
  triesAt = now() + seconds * 1000;
  nextPoll = setTimeout(() => work(refresh), seconds * 1000);
}

/** Run a task that sends requests, and show whether it succeeded. */
async function work(task) {
  clearTimeout(nextPoll);
  const mine = generation;
  try {
    await task();
    failures = 0;
    updatedAt = now();
    find("trouble").hidden = true;
    showSignedIn();
  } catch (error) {
    if (error.name === "AbortError" && mine !== generation) return;
    failed(error);
  }
  showLive();
  schedule();
}

const errorText = (error) => (error instanceof ApiError ? error.message : "Cannot reach callhooks.");

function failed(error) {
  if (error instanceof SignedOut) {
    showSignIn();
    return;
  }
  failures += 1;
  showSignedIn();
  const trouble = find("trouble");
  const words = errorText(error);
  const isEmpty = find("list").hasAttribute("aria-busy");
  const next = isEmpty ? "Retrying…" : "Showing the last data received. Retrying…";
  const text = error instanceof ApiError && error.status < 500 ? words : `${words} ${next}`;
  if (trouble.textContent !== text) trouble.textContent = text;
  trouble.hidden = false;
  if (isEmpty) {
    find("list").removeAttribute("aria-busy");
    find("rows").replaceChildren();
    find("list-heading").textContent = "Cannot load calls.";
  }
}

function showLive() {
  const live = find("live");
  live.classList.toggle("late", failures > 0);
  const age = Math.max(0, Math.round((now() - updatedAt) / 1000));
  const wait = Math.max(0, Math.round((triesAt - now()) / 1000));
  find("live-text").textContent = failures ? `Not updated. Retrying in ${wait} s` : `Updated ${age} s ago`;
}

function everySecond() {
  if (!isSignedIn || document.hidden) return;
  showLive();
  for (const row of rows.values()) if (row.isRunning) row.tick();
  const call = opened?.call;
  if (!call || outcomeOf(call) !== "under_way") return;
  find("gist").replaceChildren(...gistOfCall(call));
  find("tail-clock").textContent = `+${minutes((now() - Date.parse(call.started_at)) / 1000)}`;
}

async function start() {
  isSignedIn = null;
  state = readState();
  showNumber();
  await work(() => Promise.all([loadList(), state.call ? openCall({ takeFocus: false }) : null]));
}

let openedByKey = false;

function onHashChange() {
  const before = state;
  state = readState();
  if (!isSignedIn) return;
  showNumber();
  const takeFocus = !openedByKey;
  openedByKey = false;
  const isOtherCall = state.call !== before.call;
  if (isOtherCall && !state.call) hideCall();
  if (listKey(state) !== listKey(before)) {
    work(() => Promise.all([loadList(), isOtherCall && state.call ? openCall({ takeFocus }) : null]));
  } else {
    for (const row of rows.values()) row.place();
    if (isOtherCall && state.call) work(() => openCall({ takeFocus }));
  }
}

function move(step) {
  const focused = document.activeElement?.closest?.("tr")?.dataset.path ?? state.call;
  const index = order.indexOf(focused);
  const path = order[index === -1 ? 0 : index + step];
  if (!path) return;
  rows.get(path).link.focus();
  if (state.call && !isPhone()) {
    openedByKey = true;
    go({ call: path });
  }
}

function onKey(event) {
  if (!isSignedIn || find("keys").open || event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = event.target.matches("input, select, textarea");
  if (event.key === "Escape" && state.call && !isTyping) closeCall();
  else if (isTyping) return;
  else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "/") find("number").focus();
  else if (event.key === "?") find("keys").showModal();
  else return;
  event.preventDefault();
}

find("sign-in").addEventListener("submit", signIn);
find("sign-out").addEventListener("click", signOut);
find("show-keys").addEventListener("click", () => find("keys").showModal());
find("hide-keys").addEventListener("click", () => find("keys").close());
find("skip").addEventListener("click", () => (rows.get(order[0])?.link ?? find("list-heading")).focus());
find("day").addEventListener("change", (event) => isDay(event.target.value) && go({ day: event.target.value === today() && !state.number ? "" : event.target.value }));
find("day-before").addEventListener("click", () => go({ day: dayAfter(dayShown(), -1) }));
find("day-after").addEventListener("click", () => {
  const next = dayAfter(dayShown(), 1);
  go({ day: next >= today() ? "" : next });
});
find("day-today").addEventListener("click", () => go({ day: "" }));
find("filters").addEventListener("submit", (event) => {
  event.preventDefault();
  const number = find("number").value.trim();
  const inDay = find("scope").value === "day";
  go({ number, day: number && !inDay ? "" : number && inDay ? dayShown() : state.day });
});
find("number").addEventListener("search", (event) => event.target.value || !state.number || go({ number: "" }));
find("scope").addEventListener("change", () => state.number && find("filters").requestSubmit());
for (const name of ["provider", "direction", "outcome"]) find(name).addEventListener("change", (event) => go({ [name]: event.target.value }));
find("legs").addEventListener("change", (event) => go({ legs: event.target.checked ? "yes" : "" }));
find("clear").addEventListener("click", clearFilters);
find("more").addEventListener("click", loadMore);
find("fresh").addEventListener("click", () => {
  scrollTo({ top: find("list").getBoundingClientRect().top + scrollY - 80 });
  find("fresh").hidden = true;
  unseenCalls = 0;
  rows.get(order[0])?.link.focus({ preventScroll: true });
});
addEventListener("scroll", () => {
  if (!find("fresh").hidden && !firstVisibleRow()) {
    find("fresh").hidden = true;
    unseenCalls = 0;
  }
}, { passive: true });
addEventListener("hashchange", onHashChange);
addEventListener("keydown", onKey);
addEventListener("online", () => isSignedIn && work(refresh));
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(nextPoll);
  else if (isSignedIn) work(refresh);
});
setInterval(everySecond, 1000);
start();
