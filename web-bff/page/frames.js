/**
 * What arrives of a dashboard, as state: bytes become lines, lines frames, frames the state that is
 * shown. Pure: no DOM, no network; every function returns a new state and changes none.
 *
 * Read in this order: `LineSplitter` cuts the stream, `parse` reads a line, `begin`, `receive`,
 * `receiveWhole` and `finish` make the state, `condition` and `summary` say it in words.
 *
 * A state is `{ parts, delivered, problem }`:
 * - `parts`: a Map from a part's name to `{ outcome, reason, data }`; the outcome `null` is a part
 *   that has not landed yet
 * - `delivered`: `null` until the end, then a Map from each part's name to whether it came
 * - `problem`: `null`, or the members of the problem that ended the answer
 */

/** Cuts a stream of bytes into lines of text; a character may lie across two chunks. */
export class LineSplitter {
  #decoder = new TextDecoder();
  #rest = "";

  /** The lines that this chunk ends. */
  push(chunk) {
    const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split("\n");
    this.#rest = lines.pop();
    return lines.filter(isSaid);
  }

  /** The last line, where it did not end in a newline. */
  end() {
    const last = this.#rest + this.#decoder.decode();
    this.#rest = "";
    return [last].filter(isSaid);
  }
}

const isSaid = (line) => line.trim() !== "";

/** The frame of a line. A line that is none ends the answer, as a broken connection does. */
export function parse(line) {
  try {
    const frame = JSON.parse(line);
    if (isObject(frame)) {
      return frame;
    }
  } catch {
    // Said below, as for a line that is JSON but no object.
  }
  return { error: { detail: "The gateway sent a line that is not understood." } };
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** The state in which these parts are awaited. */
export function begin(names) {
  const awaited = { outcome: null, reason: null, data: null };
  return { parts: new Map(names.map((name) => [name, awaited])), delivered: null, problem: null };
}

/** The state after one more frame. A frame of a kind that is not known changes nothing. */
export function receive(state, frame) {
  if (typeof frame.part === "string") {
    const { outcome, reason = null, data = null } = frame;
    const parts = new Map(state.parts);
    // Set again in place: a part that comes twice keeps where it stands.
    parts.set(frame.part, { outcome: String(outcome), reason, data });
    return { ...state, parts };
  }
  if (isObject(frame.report)) {
    const { parts } = frame.report;
    return reported(state, isObject(parts) ? Object.entries(parts) : []);
  }
  if (isObject(frame.error)) {
    return failed(state, frame.error);
  }
  return state;
}

/**
 * The state after the whole answer at once, from a gateway that does not send parts as they land:
 * the object's members are the parts. `status` is the value of `Aggregate-Status`, or `null`.
 */
export function receiveWhole(state, body, status) {
  if (!isObject(body)) {
    return failed(state, { detail: "The gateway sent something that is no dashboard." });
  }
  const said = outcomes(status ?? "");
  let next = state;
  for (const [part, data] of Object.entries(body)) {
    // Not a part: what the answer says of itself.
    if (part === "_meta") {
      continue;
    }
    const { outcome, reason } = said.get(part) ?? { outcome: data === null ? "failed" : "ok" };
    next = receive(next, { part, outcome, reason, data });
    said.set(part, { outcome, reason });
  }
  return reported(next, said);
}

/** The items of `Aggregate-Status`, such as `usage;o=fallback;r=status;status=503`. */
function outcomes(status) {
  const found = new Map();
  for (const item of status.split(",")) {
    const [name, ...parameters] = item.split(";").map((text) => text.trim());
    const value = (key) => parameters.find((one) => one.startsWith(`${key}=`))?.slice(key.length + 1);
    if (name !== "" && value("o") !== undefined) {
      found.set(name, { outcome: value("o"), reason: value("r") ?? null });
    }
  }
  return found;
}

/** The state once the stream has ended: without report and problem it has broken off. */
export function finish(state) {
  if (state.delivered !== null || state.problem !== null) {
    return state;
  }
  return failed(state, { detail: "The answer broke off before its end." });
}

/**
 * The last word on every part. One that failed without a frame of its own is shown as missing; one
 * that is awaited and not part of the answer goes.
 */
function reported(state, entries) {
  const parts = new Map(state.parts);
  const delivered = new Map();
  for (const [name, said] of entries) {
    const { outcome, reason = null } = isObject(said) ? said : {};
    const seen = parts.get(name) ?? { outcome: null, reason: null, data: null };
    const settled = { outcome: String(outcome), reason, data: seen.data };
    const isDelivered = condition(settled).state !== "missing";
    delivered.set(name, isDelivered);
    const isNews = seen.outcome !== settled.outcome || seen.reason !== settled.reason;
    if (isNews && (seen.outcome !== null || !isDelivered)) {
      parts.set(name, settled);
    }
  }
  for (const [name, { outcome }] of parts) {
    if (outcome === null) {
      parts.delete(name);
    }
  }
  return { parts, delivered, problem: null };
}

/** What has landed stays; what has not will not come. */
function failed(state, problem) {
  const parts = new Map(state.parts);
  for (const [name, { outcome }] of parts) {
    if (outcome === null) {
      parts.set(name, { outcome: "failed", reason: null, data: null });
    }
  }
  return { parts, delivered: null, problem };
}

/** For each outcome: the state a part is shown in, and what is said of it. */
const CONDITIONS = new Map([
  ["ok", ["shown", ""]],
  ["cached", ["shown", "from the cache"]],
  ["partial", ["shown", "incomplete"]],
  ["stale", ["stale", "last known value"]],
  ["fallback", ["fallback", "stand-in value"]],
  ["failed", ["missing", "not available just now"]],
  ["skipped", ["missing", "left out"]],
]);

/** How a part is shown: its state, and the label that says so; plain ok needs none. */
export function condition({ outcome, reason, data }) {
  if (outcome === null) {
    return { state: "loading", label: "loading" };
  }
  // An outcome of a later version: what can be shown is.
  const unknown = [data === null ? "missing" : "shown", outcome];
  const [state, words] = CONDITIONS.get(outcome) ?? unknown;
  const why = typeof reason === "string" ? reason.replaceAll("_", " ") : "";
  return { state, label: words !== "" && why !== "" ? `${words}: ${why}` : words };
}

/** `4 of 5 parts; missing: clicks`; empty until the answer has ended well. */
export function summary({ delivered }) {
  if (delivered === null) {
    return "";
  }
  const missing = [...delivered].filter(([, came]) => !came).map(([name]) => name);
  const count = `${delivered.size - missing.length} of ${delivered.size} parts`;
  return missing.length === 0 ? count : `${count}; missing: ${missing.join(", ")}`;
}
