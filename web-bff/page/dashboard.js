/**
 * The page: who is here, and the dashboard as it lands.
 *
 * Read in this order: `open` finds out who is here, `logIn` and `logOut` change it, `load` reads
 * the dashboard, `render` shows its state. `frames.js` says what a stream comes to, `parts.js` what
 * a part looks like.
 *
 * The session is a cookie that no script can read; `X-CSRF` says that a page of this origin asks.
 */

import {
  LineSplitter, begin, condition, finish, parse, receive, receiveWhole, summary,
} from "./frames.js";
import { content, element, title } from "./parts.js";

/** The parts that have a place before anything has landed, in their order. */
const AWAITED = ["profile", "links", "summary", "usage", "hooks"];

const STREAM = "application/x-ndjson";

const at = (id) => document.getElementById(id);

/** Ends what is under way when something else is to be shown. */
let underWay = new AbortController();

/** Asks the gateway. */
function ask(path, { headers, ...options } = {}) {
  const { signal } = underWay;
  return fetch(path, { cache: "no-store", signal, ...options, headers: { "X-CSRF": "1", ...headers } });
}

/** Does what a person has asked for, in place of what is under way. */
async function perform(task) {
  underWay.abort();
  underWay = new AbortController();
  const { signal } = underWay;
  showProblem(null);
  try {
    await task();
  } catch (error) {
    if (!signal.aborted) {
      console.error(error);
      render(receive(begin([]), { error: { detail: "The gateway cannot be reached." } }));
    }
  }
}

async function open() {
  const answer = await ask("/bff/user");
  if (answer.status === 401) {
    showLogin();
    return;
  }
  if (!answer.ok) {
    showProblem(await problemOf(answer));
    return;
  }
  showUser(await answer.json());
  await load();
}

async function logIn() {
  const credentials = { email: at("email").value, password: at("password").value };
  at("password").value = "";
  const answer = await ask("/auth/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(credentials),
  });
  if (!answer.ok) {
    showProblem(await problemOf(answer));
    at("password").focus();
    return;
  }
  await open();
  if (!at("login").hidden) {
    showProblem({ detail: "You are logged in, but this browser did not keep the session's cookie." });
  }
}

async function logOut() {
  const answer = await ask("/bff/logout", { method: "POST" });
  // Without a session there is nothing to end.
  if (answer.ok || answer.status === 401) {
    showLogin();
  } else {
    showProblem(await problemOf(answer));
  }
}

/** Reads the dashboard, and shows each part when it lands. */
async function load() {
  let state = begin(AWAITED);
  render(state);
  const answer = await ask("/api/dashboard", { headers: { Accept: STREAM } });
  if (answer.status === 401) {
    showLogin();
    return;
  }
  if (!answer.ok) {
    render(receive(begin([]), { error: await problemOf(answer) }));
    return;
  }
  const { signal } = underWay;
  try {
    if (mediaType(answer) === STREAM) {
      for await (const line of lines(answer)) {
        state = receive(state, parse(line));
        render(state);
      }
    } else {
      const status = answer.headers.get("Aggregate-Status");
      state = receiveWhole(state, await jsonOf(answer), status);
    }
  } catch (error) {
    // The connection broke; what has landed stays, and `finish` says so.
    if (signal.aborted) {
      throw error;
    }
  }
  render(finish(state));
}

async function* lines(answer) {
  const reader = answer.body.getReader();
  const splitter = new LineSplitter();
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
    yield* splitter.push(value);
  }
  yield* splitter.end();
}

const mediaType = (answer) =>
  (answer.headers.get("Content-Type") ?? "").split(";")[0].trim().toLowerCase();

/** The problem in an answer, or what can be said without one. */
async function problemOf(answer) {
  const unexplained = {
    detail: `The gateway answered with status ${answer.status}.`,
    request_id: answer.headers.get("X-Request-Id"),
  };
  if (mediaType(answer) !== "application/problem+json") {
    return unexplained;
  }
  return { ...unexplained, ...(await jsonOf(answer)) };
}

/** A body of JSON; `null` for anything else. */
async function jsonOf(answer) {
  try {
    return await answer.json();
  } catch (error) {
    if (error instanceof SyntaxError) {
      return null;
    }
    throw error;
  }
}

function showLogin() {
  at("user").textContent = "";
  at("actions").hidden = true;
  at("login").hidden = false;
  render(begin([]));
  at("email").focus();
}

function showUser({ user_id: id, role }) {
  at("user").textContent = typeof role === "string" ? `${id}, ${role}` : id;
  at("actions").hidden = false;
  at("login").hidden = true;
}

/** What went wrong, and the id under which the gateway has written it down; `null` for nothing. */
function showProblem(problem) {
  at("problem").hidden = problem === null;
  if (problem === null) {
    at("problem").replaceChildren();
    return;
  }
  const { detail, part, reason, code, request_id: id } = problem;
  const about = [part && `part: ${part}`, reason, code, id && `request id: ${id}`];
  const said = about.filter((one) => typeof one === "string" && one !== "").join(" · ");
  const words = element("p", {}, String(detail ?? "Something went wrong."));
  at("problem").replaceChildren(words, element("p", { class: "quiet" }, said));
}

/** The sections on the page: of each part, what it shows. */
const sections = new Map();

function render(state) {
  for (const [name, { section }] of sections) {
    if (!state.parts.has(name)) {
      section.remove();
      sections.delete(name);
    }
  }
  for (const [name, part] of state.parts) {
    const known = sections.get(name) ?? { section: newSection(name), part: null };
    // A part that has not changed is the same object, and is left alone.
    if (known.part !== part) {
      fill(known.section, name, part);
      sections.set(name, { ...known, part });
    }
  }
  at("status").textContent = summary(state);
  showProblem(state.problem);
}

function newSection(name) {
  // Polite: a part that lands is said when the reader is idle. Only the label is, not the content.
  const label = element("p", { class: "label", "aria-live": "polite" });
  const heading = element("header", {}, element("h2", {}, title(name)), label);
  const section = element("section", { class: "card", "aria-label": title(name) }, heading);
  section.append(element("div", { class: "content" }));
  at("parts").append(section);
  return section;
}

function fill(section, name, part) {
  const { state, label } = condition(part);
  const isEmpty = state === "loading" || state === "missing";
  section.dataset.part = name;
  section.dataset.state = state;
  section.setAttribute("aria-busy", String(state === "loading"));
  section.querySelector(".label").textContent = label;
  section.querySelector(".content").replaceChildren(...(isEmpty ? [] : [content(name, part.data)]));
}

at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  perform(logIn);
});
at("logout").addEventListener("click", () => perform(logOut));
at("reload").addEventListener("click", () => perform(open));

perform(open);
