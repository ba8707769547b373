// The page of the call log. What a webhook carried is put into text nodes and attributes, never into markup.
// What is shown (day, filters, open call) stands in the URL's fragment, which a browser sends to nobody.

const POLL_SECONDS = 3;
const OTHER_DAY_POLL_SECONDS = 30;
const SLOWEST_POLL_SECONDS = 30;
const PAGE_SIZE = 50;
const MOST_PAGES_AT_ONCE = 4;
const DEEP_EVERY = 5;
const STATISTICS_SECONDS = 15;
const STATISTICS_SECONDS_OF_A_BUSY_DAY = 60;
const BUSY_DAY_CALLS = 2000;
const ANNOUNCE_SECONDS = 15;
const LONGEST_CALL_MS = 4 * 3600_000;
const LONGEST_RINGING_MS = 5 * 60_000;
const LONGEST_BAR_SECONDS = 600;
const LARGEST_PRETTY = 64 * 1024;
const DEEPEST_INDENT = 40;
const SETTLED_MS = 60_000;
const SETTLED_POLL_MS = 30_000;

// These are always there to choose from, and others once they have calls.
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
// Calls without an end are told from each other by their age: the server counts them all as under way.
const COUNTED = { ...OUTCOMES, no_end: "No end seen" };
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
  not_taken: "M6 1a5 5 0 1 0 .01 0M2.5 2.5l7 7",
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

// What is not seen, or turns the text around it: controls, marks of direction, joiners, tags. An emoji's own two signs stay.
const UNSEEN = /(?![\ufe0e\ufe0f])[\p{Cc}\p{Default_Ignorable_Code_Point}\u2028\u2029\ufff9-\ufffb]/gu;
const asNumber = (mark) => `⟨U+${mark.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
const asInJson = (mark) => mark.split("").map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`).join("");

/** A text with what is not seen written out, but for `kept`: a caller's name must not turn the rest of the line around. */
function legible(text, kept = "", write = asNumber) {
  return text.replace(UNSEEN, (mark) => (kept.includes(mark) ? mark : write(mark)));
}

/** What is put into an element: lines and tabs do nothing in a text, other than in an attribute. */
const inOrder = (child) => (typeof child === "string" ? legible(child, "\n\t") : child);

function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : legible(String(value)));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== "").map(inOrder));
  return element;
}

function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, legible(String(value)));
  element.append(...children.map(inOrder));
  return element;
}

function icon(outcome) {
  return svg("svg", { class: "icon", viewBox: "0 0 12 12", "aria-hidden": "true" }, svg("path", { d: ICONS[outcome] }));
}

function unseen(text) {
  return h("span", { class: "unseen" }, text);
}

// ---------------------------------------------------------------------------------------------- time and words

// How far this machine's clock is behind that of the server.
let clockDifference = 0;
const now = () => Date.now() + clockDifference;
const dayOf = (ms) => new Date(ms).toISOString().slice(0, 10);
const today = () => dayOf(now());
const dayAfter = (day, days) => dayOf(Date.parse(`${day}T00:00:00Z`) + days * 86_400_000);

/** Whether a text is a date that there is: a browser takes 31 February for a day in March. */
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

/** A time since the call began; a provider that tells whole seconds is given no milliseconds. */
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
  if (call.lost_at) return "not_taken";
  const age = now() - Date.parse(call.started_at);
  return age > LONGEST_CALL_MS || (isUntakenLeg(call) && age > LONGEST_RINGING_MS) ? "no_end" : "under_way";
}

const isUntakenLeg = (call) => Boolean(call.parent_call_id) && !call.outcome && !call.answered_at;

/**
 * When a leg was given up that is still ringing by what is told of it: jambonz tells no end of a leg that lost a ring
 * group or whose caller hung up. It is what is known of the others that says so: a sibling answered, or the parent ended.
 */
function lostAt(call, related) {
  if (!isUntakenLeg(call)) return null;
  const siblings = related.filter((other) => other.parent_call_id === call.parent_call_id && other.path !== call.path);
  const parent = related.find((other) => other.call_id === call.parent_call_id);
  const moments = [...siblings.map((sibling) => sibling.answered_at), parent?.ended_at];
  return moments.filter((moment) => moment && Date.parse(moment) >= Date.parse(call.started_at)).sort()[0] ?? null;
}

function outcomeText(call) {
  const outcome = outcomeOf(call);
  if (outcome === "no_end") return isUntakenLeg(call) ? "No end told" : COUNTED.no_end;
  if (outcome === "not_taken") return "Not taken";
  return outcome === "under_way" ? UNDER_WAY[call.status] ?? OUTCOMES.under_way : OUTCOMES[outcome];
}

/** What an answer came to: an application answers every call, so that it says little by itself. */
function resultOf(call) {
  if (call.missed_in_queue) return outcomeOf(call) === "answered" ? "left the queue" : "missed in queue";
  if (!call.answered_at) return "";
  return call.bridged ? "bridged" : call.flow ?? "";
}

function outcomeLabel(call) {
  const outcome = outcomeOf(call);
  const result = resultOf(call);
  const isNobody = result && call.bridged === false && "connected with nobody";
  const tip = [isNobody, causeOf(call)].filter(Boolean).join("; ");
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

/** Ring and talk seconds, of a call under way up to now. */
function spans(call) {
  const outcome = outcomeOf(call);
  if (outcome !== "under_way" && outcome !== "not_taken") return { ring: call.ring_seconds ?? null, talk: call.talk_seconds ?? null };
  const until = outcome === "not_taken" ? Date.parse(call.lost_at) : now();
  const seconds = (begin) => Math.max(0, (until - Date.parse(begin)) / 1000);
  return {
    ring: isRinging(call) ? seconds(call.ringing_at ?? call.started_at) : call.ring_seconds ?? null,
    talk: call.answered_at ? seconds(call.answered_at) : null,
  };
}

// ---------------------------------------------------------------------------------------------- what the URL says

const FILTERS = ["day", "number", "provider", "outcome", "direction"];
const MEMBERS = [...FILTERS, "legs", "call"];

/** What the fragment says, without what makes no sense; that goes from the URL, too. */
function readState() {
  const told = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  const takes = {
    day: isDay,
    number: (text) => text === text.trim(),
    provider: (text) => /^[a-z]+$/.test(text),
    outcome: (text) => Object.hasOwn(OUTCOMES, text),
    direction: (text) => Object.hasOwn(DIRECTIONS, text),
    legs: (text) => text === "yes",
    call: (text) => /^\/calls\/[a-z]+\/(?!\.{1,2}$)[^/?#]+$/.test(text),
  };
  const read = Object.fromEntries(MEMBERS.map((name) => [name, told[name] && takes[name](told[name]) ? told[name] : ""]));
  if (Object.entries(told).some(([name, text]) => read[name] !== text)) history.replaceState(null, "", MEMBERS.some((name) => read[name]) ? hashOf(read) : location.pathname);
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

// ---------------------------------------------------------------------------------------------- asking

class SignedOut extends Error {}

class Refused extends Error {
  constructor(status, detail) {
    super(legible(detail));
    this.status = status;
  }
}

/** The JSON of an answer. Throws SignedOut, Refused (with words to show), AbortError or TypeError (no connection). */
async function ask(path, options = {}) {
  // Relative, so that the API may be known below a path.
  const reply = await fetch(path.replace(/^\//, ""), {
    cache: "no-store",
    ...options,
    headers: { accept: "application/json", ...options.headers },
  });
  const told = Date.parse(reply.headers.get("date") ?? "");
  // The header has whole seconds: a small difference is none.
  if (told && Math.abs(told - now()) > 2000) clockDifference = told - Date.now();
  if (reply.status === 401 && options.method !== "POST") throw new SignedOut();
  if (!reply.ok) {
    const problem = await reply.json().catch(() => ({}));
    throw new Refused(reply.status, typeof problem.detail === "string" ? problem.detail : `The answer was ${reply.status}.`);
  }
  return reply.status === 204 ? null : reply.json();
}

// ---------------------------------------------------------------------------------------------- the list

const rows = new Map();
let order = [];
let cursor = null;
let generation = 0;
let stopAsking = new AbortController();
let rounds = 0;
let unseenCalls = 0;

function queryOf(from) {
  const query = new URLSearchParams({ limit: PAGE_SIZE });
  for (const name of FILTERS) if (state[name]) query.set(name, state[name]);
  // Who looks for a number may well look for the phone that was dialled.
  if (!state.legs && !state.number) query.set("legs", "false");
  if (from) query.set("cursor", from);
  return `calls?${query}`;
}

/** Pages one after the other, from a cursor on, until there are enough calls: a page may be short and not the last. */
async function readCalls(from, enough, most = MOST_PAGES_AT_ONCE) {
  const calls = [];
  let next = from;
  for (let page = 0; page < most; page += 1) {
    const told = await ask(queryOf(next), { signal: stopAsking.signal });
    calls.push(...told.calls);
    next = told.cursor;
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
    // The link covers the row but for what has a tip of its own.
    const open = (event) => event.target === this.link || this.link.contains(event.target) || this.link.click();
    this.node = h("tr", { role: "row", "data-path": call.path, onclick: open }, ...Object.values(this.cells));
    this.told = "";
    this.update(call);
  }

  /** Take what is told now; says whether that is new. */
  update(call) {
    const told = JSON.stringify(call);
    if (told === this.told) return false;
    const before = this.call;
    this.told = told;
    this.call = call;
    this.startedAt = Date.parse(call.started_at);
    this.node.className = "";
    if (!before || before.started_at !== call.started_at) {
      const started = new Date(call.started_at).toISOString();
      this.cells.time.replaceChildren(
        isAllDays() ? h("span", { class: "date" }, dayText(started.slice(0, 10), { day: "numeric", month: "short", year: "numeric" })) : "",
        h("time", { datetime: call.started_at, title: `${localText(this.startedAt)} here` }, started.slice(11, 19)),
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

  /** What changes with the time alone. */
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
    const width = total ? Math.max(5, 100 * Math.sqrt(Math.min(total, LONGEST_BAR_SECONDS) / LONGEST_BAR_SECONDS)) : 0;
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

/** Show these calls in this order: rows that stay keep their focus, and what is looked at stays where it is. */
function showCalls(told, { isFirst = false } = {}) {
  const calls = told.map((call) => (isUntakenLeg(call) ? { ...call, lost_at: lostAt(call, told) } : call));
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
    // It has changed, so that it is no longer what is asked for.
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

/** The row at the top of what is seen, once the list's beginning is scrolled away. */
function firstVisibleRow() {
  const edge = document.querySelector(".bar").getBoundingClientRect().bottom;
  const first = find("rows").firstElementChild;
  if (!first || first.getBoundingClientRect().top >= edge) return null;
  return [...find("rows").children].find((node) => node.getBoundingClientRect().bottom > edge) ?? null;
}

const callsShown = () => order.map((path) => rows.get(path).call);

async function loadList() {
  generation += 1;
  stopAsking.abort();
  stopAsking = new AbortController();
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

/** Ask again for what is shown. Fresh calls come on top; now and then everything that is loaded is asked for again. */
async function refresh({ isFirst = false } = {}) {
  const mine = generation;
  rounds += 1;
  const isDeep = rounds % DEEP_EVERY === 0;
  const known = new Set(order);
  const loaded = order.length;
  const told = await readCalls(null, (calls) => {
    if (isFirst || !loaded) return calls.length >= PAGE_SIZE / 2;
    return isDeep ? calls.length >= loaded : calls.some((call) => known.has(call.path));
  }, isDeep ? Math.ceil(loaded / PAGE_SIZE) + 1 : MOST_PAGES_AT_ONCE);
  if (mine !== generation) return;
  const last = told.calls.at(-1);
  const meets = told.calls.some((call) => known.has(call.path));
  let calls = told.calls;
  if (isFirst || !told.cursor || (loaded && !meets && last)) {
    // All there is, or so much that is new that between it and what is loaded there may be more.
    ({ cursor } = told);
  } else {
    const asked = new Set(told.calls.map((call) => call.path));
    const rest = callsShown().filter((call) => !asked.has(call.path) && (!last || call.started_at <= last.started_at));
    calls = [...told.calls, ...rest];
    if (!rest.length) ({ cursor } = told);
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
    const told = await readCalls(cursor, (calls) => calls.length >= PAGE_SIZE / 2);
    if (mine !== generation) return;
    const known = new Set(order);
    const added = told.calls.filter((call) => !known.has(call.path));
    ({ cursor } = told);
    const hadFocus = document.activeElement === button;
    showCalls([...callsShown(), ...added], { isFirst: true });
    describe();
    find("more-note").textContent = !added.length && cursor ? "Nothing in what was read just now. Load more goes on reading." : "";
    if (hadFocus && added.length) rows.get(added[0].path).link.focus({ preventScroll: true });
  } catch (error) {
    failed(error);
  } finally {
    button.disabled = false;
  }
}

const isFiltered = () => FILTERS.some((name) => name !== "day" && state[name]);

/** The heading, the filters and the empty list, as they are now. */
function describe() {
  const loading = find("list").hasAttribute("aria-busy");
  const heading = find("list-heading");
  const all = cursor ? countOfAll() : null;
  const words = !cursor ? counted(order.length, "call") : all > order.length ? `The newest ${order.length} of ${counted(all, "call")}` : `The newest ${counted(order.length, "call")}`;
  const count = h("strong", {}, words);
  const where = isAllDays() ? "on all days" : state.day && state.day !== today() ? `on ${dayText(state.day)}` : "today";
  heading.replaceChildren(...(loading ? ["Loading the calls …"] : [count, ` ${where}, newest first. Times are UTC.`]));
  find("more").hidden = !cursor || loading;
  const empty = find("empty");
  empty.hidden = loading || order.length > 0 || Boolean(cursor);
  if (!empty.hidden) empty.replaceChildren(...emptyText());
  if (!loading && !order.length && cursor) find("more-note").textContent = "Nothing in what was read so far. Load more goes on reading.";
  for (const row of rows.values()) row.place();

  const shown = dayShown();
  find("day-heading").replaceChildren(
    ...(isAllDays() ? ["Calls of one number"] : [shown === today() ? "Today, " : "", dayText(shown), " ", h("small", {}, "UTC")]),
  );
  if (find("day").dataset.shown !== shown) {
    // Only then: somebody may be typing another date.
    find("day").value = shown;
    find("day").dataset.shown = shown;
  }
  find("day").max = today();
  find("day-after").disabled = shown >= today();
  find("day-today").disabled = !state.day;
  find("statistics").hidden = isAllDays();
  const narrowed = [state.number && "the number", state.direction && "the direction"].filter(Boolean);
  find("totals-note").hidden = !narrowed.length;
  find("totals-note").textContent = `Totals and chart are of all calls of the day: ${narrowed.join(" and ")} ${narrowed.length > 1 ? "narrow" : "narrows"} the list alone.`;
  const withCalls = (statistics?.counts ?? []).map((count) => count.provider).sort();
  fill("provider", "All", [...new Set([...PROVIDERS, ...withCalls, state.provider])].filter(Boolean).map((name) => [name, name]));
  fill("direction", "Both", [["inbound", "Inbound"], ["outbound", "Outbound"]]);
  fill("outcome", "All", Object.entries({ ...OUTCOMES, under_way: "Under way, no end seen" }));
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
      h("h3", {}, "No call like this"),
      h("p", {}, isAllDays() ? "No call from or to this number is kept." : "No call of this day is like the filters say."),
      state.number ? h("p", {}, "A number is matched whole, with the country code, such as +44 20 7946 0123.") : "",
      h("p", {}, h("button", { type: "button", onclick: clearFilters }, "Clear filters")),
    ];
  }
  if (dayShown() !== today()) return [h("h3", {}, "No call on this day"), h("p", {}, "Calls are kept for as long as the stack's retention says.")];
  return [
    h("h3", {}, "No call today yet"),
    h("p", {}, "Calls show up here as they come in. Send a recorded one:"),
    h("code", {}, "callhooks send events/jambonz/new_call.json --new-call"),
  ];
}

function clearFilters() {
  go({ number: "", provider: "", outcome: "", direction: "" });
  find("number").focus();
}

let announcedAt = 0;

/** Say that calls came, to who cannot see it, and to who has scrolled; not for each one. */
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

/** The whole day is read for them: at once where something is new, but not for each call of a busy day. */
function areStatisticsDue(isNews) {
  const isBusy = statistics?.counts.reduce((sum, { calls }) => sum + calls, 0) > BUSY_DAY_CALLS;
  const seconds = isBusy ? STATISTICS_SECONDS_OF_A_BUSY_DAY : isNews ? 0 : STATISTICS_SECONDS;
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
    const told = await ask(`stats?${query}`, { signal: stopAsking.signal });
    if (mine !== generation) return;
    ({ day, cursor: next } = told);
    counts.push(...told.counts);
  } while (next);
  statisticsAt = now();
  find("statistics").classList.remove("stale");
  const told = JSON.stringify([day, counts, state.provider, state.outcome, state.legs, Math.floor(now() / 3600_000)]);
  if (statistics?.told === told) return;
  const byAge = counts.map((count) => (count.outcome === "under_way" && isLongAgo(day, count.hour) ? { ...count, outcome: "no_end" } : count));
  statistics = { told, day, legs: state.legs, counts: byAge };
  showStatistics();
  describe();
}

/** Whether all calls of an hour began so long ago that one without an end has none. */
const isLongAgo = (day, hour) => Date.parse(`${day}T00:00:00Z`) + (hour + 1) * 3600_000 + LONGEST_CALL_MS <= now();

/** How many calls the list would have without its cursor, where the statistics tell. */
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
      ["Answered, of those that ended", share === null ? "–" : `${share} %`],
      ["Under way", sums.under_way.toLocaleString("en-GB")],
      ...(sums.no_end ? [[COUNTED.no_end, sums.no_end.toLocaleString("en-GB")]] : []),
      ["Talk time", talk ? spoken(talk) : "–"],
      ["On average", sums.answered && talk ? minutes(talk / sums.answered) : "–"],
    ].map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
  find("chart-caption").textContent = `Calls by hour and outcome, UTC${state.provider ? `, ${state.provider} alone` : ", all providers"}`;
  showPlot(hours);
  showLegend(sums);
  showNumbers(hours, sums);
}

function showPlot(hours) {
  const total = (hour) => Object.values(hour).reduce((sum, count) => sum + count, 0);
  const most = Math.max(...hours.map(total));
  const top = niceTop(most);
  const drawing = svg("svg", { viewBox: "0 0 240 100", preserveAspectRatio: "none", "aria-hidden": "true" });
  for (const y of [0, 50]) drawing.append(svg("line", { class: "grid", x1: 0, x2: 240, y1: y, y2: y }));
  hours.forEach((hour, index) => {
    const column = svg("g", { class: "column" });
    const told = Object.entries(COUNTED).filter(([outcome]) => hour[outcome]).map(([outcome, name]) => `${name} ${hour[outcome]}`);
    const name = `${String(index).padStart(2, "0")}–${String(index + 1).padStart(2, "0")} UTC: ${counted(total(hour), "call")}`;
    column.append(svg("title", {}, [name, ...told].join("\n")), svg("rect", { class: "hover", x: index * 10, y: 0, width: 10, height: 100 }));
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
    ...(most ? [h("span", { class: "most", "aria-hidden": "true" }, String(top))] : []),
    h("div", { class: "hours", "aria-hidden": "true" }, marks),
  );
}

function niceTop(most) {
  if (most <= 2) return 2;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= most && step % 2 === 0) ?? 20 * power;
}

/** The filter that shows what is counted so. */
const filterOf = (outcome) => (outcome === "no_end" ? "under_way" : outcome);
const LEGEND_TIPS = {
  under_way: "Shows every call without an end: those under way and those whose end was not seen",
  no_end: "Began over 4 hours ago. Shows every call without an end: these and those under way",
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
  const told = Object.entries(COUNTED).filter(([outcome]) => sums[outcome]);
  const line = (name, count) => h("tr", {}, h("th", { scope: "row" }, name), told.map(([outcome]) => h("td", {}, String(count[outcome]))));
  find("chart-table").replaceChildren(
    told.length
      ? h("table", {},
          h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Hour, UTC"), told.map(([, name]) => h("th", { scope: "col" }, name)))),
          h("tbody", {},
            hours.map((hour, index) => (told.some(([outcome]) => hour[outcome]) ? line(`${String(index).padStart(2, "0")}:00`, hour) : null)),
            line("Day", sums)))
      : h("p", { class: "hint" }, "No call yet."),
  );
}

// ---------------------------------------------------------------------------------------------- what an event says

const ENDS = ["call.completed", "call.busy", "call.no_answer", "call.rejected", "call.cancelled", "call.failed", "call.missed"];
const CALLER = ["caller", "from", "originator", "calling", "calling_party", "src"];
const CALLED = ["callee", "called", "to", "receiver", "called_party", "dst"];

/** Whether jambonz asked what to do: then its answer is verbs. A hook of events is answered `[]`, and that is ignored. */
function isAsked(event) {
  return Array.isArray(event.answer) && (event.answer.length > 0 || Boolean(event.details.flow));
}

/**
 * The arrows of an event, in their order, as [from lane, to lane, what it is]; none for what is a note on a lane.
 * Lanes are `from`, `provider`, `callhooks` and `to`. In an inbound call of jambonz it is the application that answers.
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
      // jambonz tells of the phone at the far end of the leg, VoIPstudio of its own user.
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
  if (isAsked(event)) {
    if (event.kind !== "call.verb") arrows.push(["provider", "callhooks", "hook"]);
    arrows.push(["callhooks", "provider", "answer"]);
  }
  return arrows;
}

function arrowsOfEnd(event, far) {
  const told = event.details.call_termination_by ?? event.details.hangup_source;
  const by = typeof told === "string" ? told.toLowerCase() : "";
  // jambonz calls the phone of a leg the caller, whoever called whom.
  if (event.details.call_termination_by && CALLER.includes(by)) return [[far, "provider"]];
  if (CALLER.includes(by)) return [["from", "provider"]];
  if (CALLED.includes(by)) return [["to", "provider"]];
  if (event.kind === "call.cancelled") return [["from", "provider"]];
  if (event.kind === "call.busy" || event.kind === "call.rejected") return [["to", "provider"]];
  return [["provider", "from"], ["provider", "to"]];
}

const NAMED_BY_THEMSELVES = ["call.verb", "call.other", "tool.called"];

/** Whether an event tells who answered. Wavix repeats its flag with every event of the media. */
function isDetection(event) {
  return event.kind === "call.media" && "machine_detected" in event.details && !event.details.media;
}

/** The kind in words; what has a name of its own goes by that. */
function titleOf(event) {
  const kind = event.kind.replace("call.", "").replaceAll("_", " ").replace(".", " ");
  return NAMED_BY_THEMSELVES.includes(event.kind) ? event.name || kind : kind;
}

/** The lane of what is a note. */
function laneOf(event) {
  if (event.kind === "tool.called") return "callhooks";
  if (isDetection(event)) return "to";
  return "provider";
}

/** What an event tells beside its kind, in a few words. */
function gistOf(event) {
  const { details } = event;
  const said = details.text && `“${details.text}”`;
  const keys = details.digits && `keys ${details.digits}`;
  const machine = isDetection(event) && (details.machine_detected ? "a machine" : "a person");
  const media = details.media && [details.media, details.media_status].filter(Boolean).join(" ");
  const told = {
    "call.dtmf": [keys, details.dtmf_target && `to ${details.dtmf_target}`],
    "call.media": [media ?? event.name, machine, said, keys, details.reason],
    "call.verb": [event.status !== "in-progress" && event.status, keys, said, details.dial_call_status, details.queue_position && `position ${details.queue_position}`],
    "call.billed": [details.charge !== undefined && `${details.charge} USD`, details.disposition, details.duration_seconds !== undefined && `${details.duration_seconds} s`],
    "tool.called": ["tool", details.vendor],
    "queue.joined": [details.queue, details.queue_length !== undefined && `${details.queue_length} waiting`],
    "queue.left": [details.queue, details.reason],
    "queue.wrapup": [event.status],
  };
  const ofEnd = [details.reason, details.cause_code !== undefined && `Q.850 ${details.cause_code}`, details.sip_status !== undefined && `SIP ${details.sip_status}`, details.call_termination_by ?? details.hangup_source];
  const words = told[event.kind] ?? (ENDS.includes(event.kind) ? ofEnd : []);
  return [...new Set(words.filter(Boolean).map(String))].join(" · ");
}

// The members of a verb that tell most, in this order; any other verb shows its plain ones.
const TELLING = {
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
    if (others.length || !(type in TARGETS)) return `${texts.join(", ")}, rung at once`;
    return `${value.map((one) => plainText({ ...one, type: null }, name)).join(", ")} (${TARGETS[type]}, rung at once)`;
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
  const wanted = (Object.hasOwn(TELLING, name) ? TELLING[name] : plain).filter((key) => members?.[key] !== undefined && members[key] !== null);
  return h("li", {}, h("span", { class: "verb" }, name), h("div", {}, wanted.map((key) => {
    const text = plainText(members[key], key);
    const isQuote = ["text", "say"].includes(key);
    return h("span", { class: isQuote ? "member quote" : "member" }, isQuote || key === "url" ? "" : h("b", {}, `${key} `), text);
  }).flatMap((member) => [member, " "])));
}

/** JSON with line ends and indents. Works on the text, so that every number stays as it was sent. */
function pretty(text) {
  if (text.length > LARGEST_PRETTY) return text;
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
    if (last === "," || wasOpened !== closes) parts.push(`\n${"  ".repeat(Math.min(depth, DEEPEST_INDENT))}`);
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
  opened = { path: state.call, told: "", restsUntil: 0 };
  expanded.clear();
  find("console").classList.add("open");
  panel.hidden = false;
  panel.scrollTop = 0;
  if (isPhone()) scrollTo({ top: 0, behavior: "instant" });
  panel.setAttribute("aria-busy", "true");
  panel.replaceChildren(callTop([h("h2", { id: "call-heading", tabindex: "-1" }, "Loading the call …")]));
  if (takeFocus) find("call-heading").focus();
  await refreshCall();
}

function callTop(heading) {
  return h("div", { class: "call-head" }, h("div", { class: "call-top" }, h("div", {}, heading),
    h("button", { type: "button", class: "quiet", id: "close", "aria-label": "Close the call", onclick: closeCall }, "Close ", h("span", { "aria-hidden": "true" }, "✕"))));
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
  if (!mine || Date.now() < mine.restsUntil) return;
  try {
    const told = await ask(mine.path);
    if (mine !== opened) return;
    // What has ended a while ago changes by a late event at most.
    const isSettled = told.call.outcome !== null && now() - Date.parse(told.call.last_event_at) > SETTLED_MS;
    mine.restsUntil = isSettled ? Date.now() + SETTLED_POLL_MS : 0;
    const text = JSON.stringify(told);
    if (text !== mine.told) showCall(understood(told));
    mine.told = text;
  } catch (error) {
    if (error instanceof SignedOut) throw error;
    if (mine === opened && !mine.told) {
      const words = error.status === 404 ? "There is no such call, or it is no longer kept." : wordsOf(error);
      find("call").replaceChildren(callTop([h("h2", { id: "call-heading", tabindex: "-1" }, "This call cannot be shown"), h("p", {}, words)]));
    }
    if (error.status !== 404) throw error;
  } finally {
    if (mine === opened) find("call").removeAttribute("aria-busy");
  }
}

/** An answer with what only all of it together tells: which legs were given up, and how exact its times are. */
function understood(told) {
  const related = [told.call, ...told.legs];
  const [call, ...legs] = related.map((one) => ({ ...one, lost_at: lostAt(one, related) }));
  const steps = stepsOf({ call, legs, timeline: told.timeline });
  const isWhole = [call.started_at, ...steps.filter(({ moment }) => moment !== null).map(({ moment }) => moment)]
    .every((moment) => isWholeSecond(new Date(moment).getTime()));
  const known = { ...told, call, legs, steps, isWhole };
  return { ...known, bars: barsOf(known) };
}

function showCall(told) {
  const panel = find("call");
  const { call } = told;
  const focused = panel.contains(document.activeElement) ? document.activeElement.id : null;
  const scrolled = [panel.scrollTop, scrollY];
  const lanes = lanesOf(told);
  const list = h("ol", { class: "events", "aria-label": "What happened, in order" });
  const wires = h("div", { class: "wires", "aria-hidden": "true" });
  list.append(h("li", { role: "presentation", class: "wires-of", "aria-hidden": "true" }, wires));
  told.steps.forEach((step) => list.append(step.event ? eventItem(step, told, lanes) : stepItem(step, told, lanes)));
  if (!call.outcome && !call.lost_at) list.append(tailItem(call));

  const head = callTop([
    h("h2", { id: "call-heading", tabindex: "-1" }, caller(call.from), h("span", { class: "to-sign" }, h("span", { "aria-hidden": "true" }, "→"), unseen(" to ")), party(call.to)),
    namesOf(call),
    h("p", { class: "gist", id: "gist" }, ...gistOfCall(call)),
  ]);
  head.append(factsOf(told), ...legsOf(told));
  const ladder = h("div", { class: `ladder${Math.max(...told.steps.map(({ moment }) => moment ?? 0)) - Date.parse(call.started_at) >= 3600_000 ? " over-an-hour" : ""}${told.isWhole ? " whole" : ""}${lanes.length > 3 ? " many" : ""}` },
    h("h3", { class: "unseen" }, "Ladder"),
    h("p", { class: "ladder-key" }, ...keyOf(told)),
    laneHeads(lanes, told), list,
    told.omitted_events ? h("p", { class: "notice" }, `${counted(told.omitted_events, "further event")} of this call are kept and not shown here.`) : null);
  panel.replaceChildren(head, ladder);
  opened.call = call;
  opened.layOut = () => layOut(list, wires, lanes, told);
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
  const parts = [["rang", ring], ["talked", talk], ["on hold", call.hold_seconds ?? null]].filter(([, seconds]) => seconds !== null);
  return [
    outcomeLabel(call),
    h("span", {}, ...directionText(call.direction)),
    h("span", {}, h("span", { class: "what" }, "by "), call.provider),
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
  const machine = call.machine_detected === null || call.machine_detected === undefined ? null : call.machine_detected ? "A machine" : "No machine detected";
  const queue = call.queue && (call.missed_in_queue ? `${call.queue}, nobody took it` : call.queue);
  const facts = [
    ["Began", h("time", { datetime: call.started_at, title: `${localText(started)} here` }, utcText(started, isWhole))],
    ["Status", call.status],
    ["Why it ended", causeOf(call)],
    ["Ended by", call.ended_by],
    ["Cost", call.cost && [call.cost, call.currency].filter(Boolean).join(" ")],
    ["Keys", call.dtmf?.length ? h("span", { class: "keys" }, call.dtmf.join(" ")) : null],
    ["Answered by", machine],
    ["Queue", queue ?? (call.missed_in_queue ? "Nobody took it" : null)],
    ["Trunk", call.trunk],
    ["Tags", call.tags?.length ? h("span", {}, call.tags.map((tag) => h("span", { class: "tag" }, tag))) : null],
  ].filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
  const data = Object.entries(call.customer_data ?? {});
  if (data.length) facts.push(h("div", { class: "wide" }, h("dt", {}, "Customer data"), h("dd", {}, data.map(([name, value]) => h("span", { class: "tag" }, `${name}: ${value}`)))));
  facts.push(h("div", { class: "wide" }, h("dt", {}, `${call.provider}'s id of the call`), h("dd", { class: "id" }, call.call_id)));
  return h("dl", { class: "facts" }, facts);
}

/** The legs that a call dialled, in the order of their beginning. */
function dialledBy(call, legs) {
  return legs.filter((leg) => leg.parent_call_id === call.call_id && leg.path !== call.path).sort((one, other) => Date.parse(one.started_at) - Date.parse(other.started_at));
}

function legsOf({ call, legs }) {
  const dialled = dialledBy(call, legs);
  const parent = legs.filter((leg) => leg.call_id === call.parent_call_id);
  const siblings = call.parent_call_id ? legs.filter((leg) => leg.parent_call_id === call.parent_call_id && leg.path !== call.path) : [];
  const told = new Set([...dialled, ...parent, ...siblings]);
  const groups = [
    ["This is a leg of", parent],
    ["Other legs of that call", siblings],
    ["Legs", dialled],
    ["Other parts of this conversation", legs.filter((leg) => !told.has(leg))],
  ];
  return groups.filter(([, members]) => members.length).map(([name, members]) => h("div", { class: "legs" }, h("h3", {}, name), h("ul", {}, members.map((leg) =>
    h("li", {}, h("span", { class: "time" }, new Date(leg.started_at).toISOString().slice(11, 19)),
      h("a", { href: hashOf({ ...state, call: leg.path }) }, caller(leg.from), " → ", party(leg.to)),
      h("span", {}, ...directionText(leg.direction)), outcomeLabel(leg))))));
}

// ---------------------------------------------------------------------------------------------- the ladder

/**
 * What a ladder shows, in its order: the events; the moments of the legs that were dialled; and the start and the ringing
 * where only later events tell of them. Each has its `moment` (ms), null for a bill.
 */
function stepsOf({ call, legs, timeline }) {
  const steps = timeline.map((event, index) => ({ event, index, moment: event.kind === "call.billed" ? null : Date.parse(event.occurred_at) }));
  const insert = (step, least, isBehind) => {
    const place = steps.findIndex((other, index) => index >= least && (other.moment === null || isBehind(other)));
    steps.splice(place === -1 ? steps.length : place, 0, step);
    return steps.indexOf(step) + 1;
  };
  const isTold = (...kinds) => timeline.some((event) => kinds.includes(event.kind));
  const started = Date.parse(call.started_at);
  if (!isTold("call.initiated") && !steps.some(({ moment }) => moment !== null && moment <= started)) insert({ what: "began", moment: started }, 0, () => true);
  if (call.ringing_at && !isTold("call.ringing", "call.early_media")) {
    const moment = Date.parse(call.ringing_at);
    insert({ what: "rang", moment }, steps[0]?.what === "began" ? 1 : 0, (other) => other.moment >= moment);
  }
  if (call.lost_at) steps.push({ what: "not taken", moment: Date.parse(call.lost_at) });
  for (const leg of dialledBy(call, legs)) {
    let least = 0;
    for (const [what, text] of [["dialled", leg.started_at], ["answered", leg.answered_at], ["ended", leg.ended_at ?? leg.lost_at]]) {
      if (!text) continue;
      const moment = Date.parse(text);
      // Its parent goes on once a leg has ended; a leg is dialled, or loses, because of what was before.
      const isFirst = what === "ended" && (!leg.lost_at || leg.lost_at === call.ended_at);
      least = insert({ what, leg, moment }, least, (other) => other.moment > moment || (isFirst && other.moment === moment && other.event));
    }
  }
  return steps;
}

/** The lane of the parties that were dialled: of an inbound jambonz call the called one is the application itself. */
function legLaneOf({ call, legs }) {
  if (!dialledBy(call, legs).length) return null;
  return isAnsweredByApplication(call) ? "to" : "dialled";
}

const isAnsweredByApplication = (call) => call.provider === "jambonz" && call.direction !== "outbound";

function lanesOf(told) {
  const { call, timeline } = told;
  const usesCallhooks = timeline.some((event) => laneOf(event) === "callhooks" || arrowsOf(event, call).flat().includes("callhooks"));
  return ["from", "provider", ...(usesCallhooks ? ["callhooks"] : []), "to", ...(legLaneOf(told) === "dialled" ? ["dialled"] : [])];
}

/** The arrows of an event in this call: where legs stand in the lane of the called party, that party is the application. */
function arrowsIn(told, event) {
  const arrows = arrowsOf(event, told.call);
  const isTheirs = legLaneOf(told) === "to" && ENDS.includes(event.kind);
  return isTheirs ? arrows.filter((arrow) => !arrow.includes("to")) : arrows;
}

function laneHeads(lanes, told) {
  const { call } = told;
  const names = [...new Set(dialledBy(call, told.legs).map((leg) => leg.to))];
  const dialled = [h("span", { class: "role" }, "dialled"), names.length === 1 ? party(names[0]) : h("b", {}, `${names.length} parties`)];
  const heads = {
    from: [h("span", { class: "role" }, "from"), caller(call.from)],
    provider: [h("span", { class: "role" }, "provider"), h("b", {}, call.provider)],
    callhooks: [h("span", { class: "role" }, "call plan"), h("b", {}, "callhooks")],
    to: legLaneOf(told) === "to" ? dialled : [h("span", { class: "role" }, "to"), party(call.to)],
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

function keyOf(told) {
  const { call } = told;
  const rule = h("span", {}, h("i", { class: "rule", id: "rule" }), h("span", { id: "rule-text" }));
  const drawn = new Set(told.bars.map(({ name }) => name));
  const words = [["ringing-time", "ring"], ["talking-time", "talk"], ["hold-time", "hold"]];
  return [rule, ...words.filter(([name]) => drawn.has(name)).map(([name, word]) => h("span", {}, h("i", { class: name }), word))];
}

/** How long who rang, talked and was on hold: bars on the lanes; those of legs at one time stand side by side. */
function barsOf(told) {
  const { call, timeline } = told;
  const bars = [];
  const add = (name, lane, begin, end, leg) => begin !== null && end > begin && bars.push({ name, lane, begin, end, leg });
  const read = (text) => (text ? Date.parse(text) : null);
  const latest = Math.max(...told.steps.map(({ moment }) => moment ?? 0), outcomeOf(call) === "under_way" ? now() : 0);
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
  for (const leg of dialledBy(call, told.legs)) {
    const lane = legLaneOf(told);
    const outcome = outcomeOf(leg);
    const finish = read(leg.ended_at ?? leg.lost_at) ?? (outcome === "under_way" ? latest : null);
    const taken = read(leg.answered_at);
    const rung = taken ?? finish;
    if (rung !== null && leg.ring_seconds !== null) add("ringing-time", lane, rung - leg.ring_seconds * 1000, rung, leg);
    else if (rung !== null && isRinging(leg)) add("ringing-time", lane, Date.parse(leg.started_at), rung, leg);
    if (taken !== null && finish !== null) add("talking-time", lane, taken, finish, leg);
  }
  return bars;
}

const SLOT = 12;

/** Where in its lane a leg stands, in pixels from the middle: those at one time are side by side. */
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

/** How much room the words beside a lane have: up to the next lane that has bars. Returns the CSS of the right margin. */
function roomBeside(told, lanes, lane) {
  const { bars } = told;
  const next = lanes.slice(lanes.indexOf(lane) + 1).find((other) => bars.some((bar) => bar.lane === other));
  if (!next) return "0px";
  const legs = bars.filter((bar) => bar.lane === next && bar.leg);
  return `calc(${100 - percent(lanes, next)}% + ${(legs.length ? slotsOf(legs).width : SLOT) / 2}px)`;
}

// How far the outer lanes are from the edge, in distances of lanes: what is beside them is said between them.
const EDGE = 0.25;
const distance = (lanes) => 100 / (lanes.length - 1 + 2 * EDGE);
const percent = (lanes, lane) => distance(lanes) * (lanes.indexOf(lane) + EDGE);
const LANE_WORDS = (call) => ({ from: "the caller", provider: call.provider, callhooks: "callhooks", to: "the called party", dialled: "the dialled party" });

function eventItem({ event, index }, told, lanes) {
  const { call } = told;
  const arrows = arrowsIn(told, event);
  const at = Date.parse(event.occurred_at);
  const isBill = event.kind === "call.billed";
  const clock = isBill ? "after" : since(at - Date.parse(call.started_at), told.isWhole);
  const item = h("li", { class: "event", "data-kind": event.kind, "data-key": event.key },
    clockOf(at, clock, told));
  const tone = ENDS.includes(event.kind) ? `o-${outcomeOf(call)}` : event.kind === "call.answered" ? "o-answered" : "";
  const gist = gistOf(event);
  const label = labelOf;
  const rawId = `raw-${index}`;
  const toggle = h("button", {
    type: "button", class: "raw-toggle", id: `toggle-${index}`, "aria-controls": rawId, "aria-expanded": String(expanded.has(event.key)),
    "aria-label": `Raw JSON of ${titleOf(event)} at ${clock}`, title: `${event.kind}: raw JSON`,
    onclick: () => toggleRaw(item, event, index),
  }, "{ }");

  if (!arrows.length) {
    item.append(noteOf(told, lanes, laneOf(event), labelOf(titleOf(event), gist)));
  }
  let firstEnd = null;
  arrows.forEach(([from, to, part], place) => {
    const isSecondEnd = place > 0 && !part;
    const texts = {
      hook: place ? label("asks for verbs") : label(titleOf(event), gist),
      answer: label(event.answer.length ? counted(event.answer.length, "verb") : "no verbs: goes on"),
    };
    const text = isSecondEnd ? "" : texts[part] ?? label(titleOf(event), gist);
    const hop = hopOf(told, lanes, [from, to, part ?? "event"], text, part ? "hook" : tone);
    if (isSecondEnd) {
      // Both parties are told at once: the second arrow lies on the line of the first.
      hop.classList.add("at-once");
      firstEnd.append(hop);
    } else item.append(hop);
    firstEnd ??= hop;
  });
  if (isAsked(event) && event.answer.length) {
    const verbs = h("ol", { class: "verbs", "aria-label": "Answered verbs" }, event.answer.map(verbItem));
    verbs.style.setProperty("--lane", `${percent(lanes, "provider")}%`);
    verbs.style.setProperty("--first-lane", `${percent(lanes, "from")}%`);
    verbs.style.marginRight = roomBeside(told, lanes, "provider");
    item.append(verbs);
  }
  item.append(toggle);
  if (expanded.has(event.key)) item.append(rawOf(event, index));
  return item;
}

const labelOf = (name, extra) => h("span", { class: "label" }, h("b", {}, name), extra ? " " : "", extra ? h("span", { class: "say" }, extra) : "");

function clockOf(at, text, { isWhole }) {
  return h("div", { class: "clock" },
    h("time", { datetime: new Date(at).toISOString(), title: `${localText(at)} here` }, text), h("span", { class: "absolute" }, utcText(at, isWhole)));
}

function noteOf(told, lanes, lane, text) {
  const isLast = lanes.indexOf(lane) === lanes.length - 1;
  const mark = h("i", { class: "mark", "aria-hidden": "true" });
  mark.style.left = `${percent(lanes, lane)}%`;
  const where = h("div", { class: "where" }, text, unseen(` (note at ${LANE_WORDS(told.call)[lane]})`));
  where.style.marginLeft = isLast ? "0" : `${percent(lanes, lane)}%`;
  where.style.marginRight = isLast ? `${100 - percent(lanes, lane)}%` : roomBeside(told, lanes, lane);
  return h("div", { class: `hop note ${isLast ? "from-right" : ""}`, "data-lane": lane }, mark, where);
}

/** An arrow with its words above it, which stand between the lanes that have bars; `shift` is its end's way from the lane. */
function hopOf(told, lanes, [from, to, part], text, tone, shift = 0) {
  const words = LANE_WORDS(told.call);
  const isToRight = lanes.indexOf(from) < lanes.indexOf(to);
  const [first, last] = isToRight ? [from, to] : [to, from];
  const shaft = h("i", { class: `shaft ${isToRight ? "right" : "left"}`, "aria-hidden": "true" });
  shaft.style.left = `calc(${percent(lanes, first)}% + 6px)`;
  shaft.style.width = `calc(${percent(lanes, last) - percent(lanes, first)}% - 12px + ${shift}px)`;
  const where = h("div", { class: "where" }, text, unseen(` from ${words[from]} to ${words[to]}`));
  where.style.marginLeft = `${percent(lanes, first)}%`;
  where.style.marginRight = roomBeside(told, lanes, first);
  return h("div", { class: `hop ${tone}`, "data-from": from, "data-to": to, "data-part": part }, where, shaft);
}

/** What no event of the call itself tells: its start and ringing told later, or a moment of a leg. */
function stepItem({ what, leg, moment }, told, lanes) {
  const item = h("li", { class: `event step${leg ? " of-leg" : ""}`, "data-step": what, "data-leg": leg?.path },
    clockOf(moment, since(moment - Date.parse(told.call.started_at), told.isWhole), told));
  if (!leg) {
    item.append(noteOf(told, lanes, "provider", labelOf(what, what === "not taken" ? "by what is told of the other legs" : "as was told later")));
    return item;
  }
  const lane = legLaneOf(told);
  const outcome = outcomeOf(leg);
  const link = h("a", { href: hashOf({ ...state, call: leg.path }), title: "Open the ladder of this leg" }, leg.to ?? "unknown");
  const isByLeg = what === "answered" || outcome === "busy" || outcome === "rejected";
  const ends = what === "ended" && outcome === "answered" ? ["ended", minutes(leg.talk_seconds ?? 0)] : [outcomeText(leg).toLowerCase(), outcome === "not_taken" ? "" : causeOf(leg)];
  const [name, extra] = { dialled: ["dials", ""], answered: ["answers", ""], ended: ends }[what];
  const text = h("span", { class: "label" }, ...(what === "dialled" ? [h("b", {}, name), " ", link] : [link, " ", h("b", {}, name)]), extra ? h("span", { class: "say" }, ` ${extra}`) : "");
  const tone = what === "dialled" ? "" : what === "answered" ? "o-answered" : `o-${outcome}`;
  item.append(hopOf(told, lanes, what !== "dialled" && isByLeg ? [lane, "provider", "leg"] : ["provider", lane, "leg"], text, tone, slotsOf(told.bars).offset(leg)));
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
  if (event.body_omitted) panel.append(h("p", { class: "hint" }, "The body is kept and left out here: the answer would be too large."));
  else if (event.body) block(event.body_is_base64 ? "Body, as base64" : "Body", event.body, event.body_is_base64 ? event.body : pretty(event.body));
  if (event.answer !== null && event.answer !== undefined && event.answer !== "") {
    const text = typeof event.answer === "string" ? event.answer : JSON.stringify(event.answer, null, 2);
    block(`Answer, status ${event.answer_status}`, text, text);
  }
  return panel;
}

async function copyText(text, button, shownAs) {
  try {
    // As JSON writes it, what is not seen stays the same text to a program.
    await navigator.clipboard.writeText(legible(text, "\n\r\t", asInJson));
    button.textContent = "Copied";
  } catch {
    // Without the permission the text is marked, so that the keyboard copies it.
    getSelection().selectAllChildren(shownAs);
    button.textContent = "Marked";
  }
  setTimeout(() => (button.textContent = "Copy"), 1600);
}

const SHORTEST_GAP = 6;
const LONGEST_GAP = 130;
const BREAK_GAP = 46;
const DRAWN_HEIGHT = 560;

/**
 * Put the events where their time is. A second has the same length everywhere; events that are nearer than a line of text
 * are moved apart, and a gap over LONGEST_GAP is cut, which is marked with how long it was.
 */
function layOut(list, wires, lanes, told) {
  for (const gap of list.querySelectorAll(".gap")) gap.remove();
  const items = [...list.querySelectorAll(".event")];
  for (const item of items) item.style.marginTop = "0px";
  const moments = told.steps.map(({ moment }) => moment);
  if (items.length > moments.length) moments.push(Math.max(...moments.filter(Boolean), now()));
  const known = moments.filter((moment) => moment !== null);
  const whole = known.length ? (Math.max(...known) - Math.min(...known)) / 1000 : 0;
  const scale = Math.min(16, Math.max(3, DRAWN_HEIGHT / Math.max(whole, 1)));
  const anchorOf = (item) => {
    const shaft = item.querySelector(".shaft, .mark");
    return shaft ? item.offsetTop + shaft.offsetTop + (shaft.className === "mark" ? 4 : 0) : item.offsetTop + 10;
  };
  // Everything is measured before anything is moved: a call may have thousands of events.
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
      const isCut = wanted > Math.max(LONGEST_GAP, natural + SHORTEST_GAP);
      const margin = isCut ? Math.max(LONGEST_GAP - natural, BREAK_GAP) : Math.max(SHORTEST_GAP, wanted - natural);
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
  find("rule-text").textContent = `is ${ruleSeconds} s down the page; long gaps are cut, and say so`;
  drawWires(items, moments, wires, lanes, told, anchorOf);
}

function drawWires(items, moments, wires, lanes, told, anchorOf) {
  const points = [];
  items.forEach((item, index) => {
    const moment = moments[index];
    const { leg } = told.steps[index] ?? {};
    if (moment !== null && (!points.length || moment >= points.at(-1)[0])) points.push([moment, anchorOf(item), leg]);
  });
  const heightAt = (moment, leg) => {
    // Of several events at one moment the last one counts: an answer at the moment of the start, a hook before the end.
    const same = points.findLast((point) => point[0] === moment && leg && point[2] === leg) ?? points.findLast(([point]) => point === moment);
    if (same) return same[1];
    const after = points.findIndex(([point]) => point > moment);
    if (after === -1) return points.at(-1)[1];
    if (after === 0) return points[0][1];
    const [[t0, y0], [t1, y1]] = [points[after - 1], points[after]];
    return y0 + ((y1 - y0) * (moment - t0)) / (t1 - t0);
  };
  const isOpenEnded = !told.call.outcome && !told.call.lost_at;
  wires.replaceChildren(...lanes.map((lane) => {
    const wire = h("span", { class: `wire${isOpenEnded ? " open" : ""}` });
    wire.style.left = `${percent(lanes, lane)}%`;
    return wire;
  }));
  if (!points.length) return;
  const bars = barsOf(told);
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

/** Take everything away that was shown, and ask who is there; what was open stays in the URL. */
function showSignIn() {
  const hadSession = isSignedIn;
  isSignedIn = false;
  generation += 1;
  stopAsking.abort();
  clearTimeout(nextPoll);
  hideCall();
  rows.clear();
  order = [];
  statistics = null;
  for (const id of ["rows", "totals", "plot", "legend", "chart-table", "news"]) find(id).replaceChildren();
  find("number").value = "";
  for (const id of SIGNED_IN_ONLY) find(id).hidden = true;
  find("keys").close();
  if (hadSession) find("sign-in-reason").textContent = "The session has ended. Sign in again to go on where you were.";
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
    await ask("session", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ username: find("username").value, password: find("password").value }),
    });
    find("password").value = "";
    await start();
    find("list-heading").focus({ preventScroll: true });
  } catch (problem) {
    if (problem instanceof Refused) error.textContent = problem.status === 401 ? "The user name or the password is wrong." : problem.message;
    else error.textContent = "callhooks cannot be reached. Try again in a moment.";
    find("password").select();
  } finally {
    button.disabled = false;
  }
}

async function signOut() {
  try {
    await ask("session", { method: "DELETE" });
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

// ---------------------------------------------------------------------------------------------- going on

let nextPoll = 0;
let failures = 0;
let updatedAt = 0;
let triesAt = 0;

function schedule() {
  clearTimeout(nextPoll);
  if (!isSignedIn || document.hidden) return;
  const usual = isAllDays() || dayShown() !== today() ? OTHER_DAY_POLL_SECONDS : POLL_SECONDS;
  const seconds = failures ? Math.min(SLOWEST_POLL_SECONDS, POLL_SECONDS * 2 ** failures) : usual;
  triesAt = now() + seconds * 1000;
  nextPoll = setTimeout(() => work(refresh), seconds * 1000);
}

/** Do something that asks the server, and say how it went. */
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

const wordsOf = (error) => (error instanceof Refused ? error.message : "callhooks cannot be reached.");

function failed(error) {
  if (error instanceof SignedOut) {
    showSignIn();
    return;
  }
  failures += 1;
  showSignedIn();
  const trouble = find("trouble");
  const words = wordsOf(error);
  const text = error instanceof Refused && error.status < 500 ? words : `${words} What is shown may be old; it is tried again by itself.`;
  if (trouble.textContent !== text) trouble.textContent = text;
  trouble.hidden = false;
  if (find("list").hasAttribute("aria-busy")) {
    find("list").removeAttribute("aria-busy");
    find("rows").replaceChildren();
    find("list-heading").textContent = "The calls could not be read.";
  }
}

function showLive() {
  const live = find("live");
  live.classList.toggle("late", failures > 0);
  const age = Math.max(0, Math.round((now() - updatedAt) / 1000));
  const again = Math.max(0, Math.round((triesAt - now()) / 1000));
  find("live-text").textContent = failures ? `Not updated, next try in ${again} s` : `Updated ${age} s ago`;
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
