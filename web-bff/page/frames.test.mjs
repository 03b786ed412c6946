/**
 * The pure half of the page, run by `node --test`. Each case is a line of a table.
 */

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  LineSplitter, begin, condition, finish, parse, receive, receiveWhole, summary,
} from "./frames.js";

/** All lines of a stream that comes in these chunks of bytes. */
function linesOf(chunks) {
  const splitter = new LineSplitter();
  const lines = chunks.flatMap((chunk) => splitter.push(chunk));
  return [...lines, ...splitter.end()];
}

const bytes = (text) => new TextEncoder().encode(text);

test("lines are the same wherever the stream is cut", () => {
  const text = '{"a":"é"}\n{"b":"漢字"}\r\n\n{"c":"👋🏽"}';
  const expected = ['{"a":"é"}', '{"b":"漢字"}\r', '{"c":"👋🏽"}'];
  const whole = bytes(text);
  assert.deepEqual(linesOf([whole]), expected);
  assert.deepEqual(linesOf([...whole].map((byte) => Uint8Array.of(byte))), expected, "byte by byte");
  for (let at = 0; at <= whole.length; at += 1) {
    assert.deepEqual(linesOf([whole.slice(0, at), whole.slice(at)]), expected, `cut at ${at}`);
  }
});

test("a line is handed on as soon as it ends, and the last one without a newline", () => {
  const splitter = new LineSplitter();
  assert.deepEqual(splitter.push(bytes("one\ntw")), ["one"]);
  assert.deepEqual(splitter.push(bytes("o")), []);
  assert.deepEqual(splitter.push(bytes("\nthree")), ["two"]);
  assert.deepEqual(splitter.end(), ["three"]);
  assert.deepEqual(splitter.end(), []);
});

test("a stream that ends within a character loses that character alone", () => {
  assert.deepEqual(linesOf([bytes("one\ntwo é").slice(0, -1)]), ["one", "two \ufffd"]);
});

/** The state after these frames, the end of the stream included. */
const after = (frames, names = []) => finish(frames.reduce(receive, begin(names)));

/** Each part of a state as `name state[ label]`, and the line at the end or the problem. */
function shown(state) {
  const parts = [...state.parts].map(([name, part]) => {
    const { state: kind, label } = condition(part);
    return label === "" ? `${name} ${kind}` : `${name} ${kind} (${label})`;
  });
  return [...parts, state.problem === null ? summary(state) : `problem: ${state.problem.detail}`];
}

const report = (parts) => ({
  report: { completeness: 1, parts: Object.fromEntries(parts.map(([name, outcome, reason]) =>
    [name, { outcome, ...(reason && { reason }) }])) },
});
const frame = (part, outcome, data = null, reason = undefined) => ({ part, outcome, reason, data });

const CASES = [
  ["what is awaited is loading until the end", [], ["profile"],
    ["profile missing (not available just now)", "problem: The answer broke off before its end."]],
  ["all parts land",
    [frame("profile", "ok", { name: "Mara" }), frame("links", "ok", []),
      report([["profile", "ok"], ["links", "ok"]])],
    ["profile", "links"], ["profile shown", "links shown", "2 of 2 parts"]],
  ["parts stand in the order in which they are awaited, others behind them",
    [frame("weather", "ok", 1), frame("links", "ok", []), frame("profile", "ok", {}),
      report([["profile", "ok"], ["links", "ok"], ["weather", "ok"]])],
    ["profile", "links"], ["profile shown", "links shown", "weather shown", "3 of 3 parts"]],
  ["every outcome has its words",
    [frame("a", "cached", 1), frame("b", "stale", 1, "timeout"), frame("c", "fallback", 1, "status"),
      frame("d", "partial", 1, "too_large"), frame("e", "failed", null, "timeout"),
      frame("f", "skipped", null, "condition"), frame("g", "invented", 1), frame("h", "invented"),
      report([])],
    [],
    ["a shown (from the cache)", "b stale (last known value: timeout)",
      "c fallback (stand-in value: status)", "d shown (incomplete: too large)",
      "e missing (not available just now: timeout)", "f missing (left out: condition)",
      "g shown (invented)", "h missing (invented)", "0 of 0 parts"]],
  ["missing parts are named, and a fallback counts as delivered",
    [frame("profile", "ok", {}), frame("usage", "fallback", {}, "status"),
      frame("clicks", "failed", null, "timeout"),
      report([["profile", "ok"], ["usage", "fallback", "status"], ["clicks", "failed", "timeout"]])],
    ["profile", "usage"],
    ["profile shown", "usage fallback (stand-in value: status)",
      "clicks missing (not available just now: timeout)", "2 of 3 parts; missing: clicks"]],
  ["a part that failed without a frame is shown as missing, a delivered one is only counted",
    [frame("profile", "ok", {}),
      report([["profile", "ok"], ["joined", "ok"], ["hooks", "skipped", "cancelled"]])],
    [], ["profile shown", "hooks missing (left out: cancelled)", "2 of 3 parts; missing: hooks"]],
  ["a part that is awaited and not part of the answer goes",
    [frame("profile", "ok", {}), report([["profile", "ok"]])],
    ["profile", "summary"], ["profile shown", "1 of 1 parts"]],
  ["the report has the last word on how a part ended",
    [frame("links", "ok", []), report([["links", "partial", "timeout"]])],
    [], ["links shown (incomplete: timeout)", "1 of 1 parts"]],
  ["an error keeps what has landed and gives up what has not",
    [frame("profile", "ok", {}), { error: { status: 502, detail: "A part failed." } }],
    ["profile", "links"],
    ["profile shown", "links missing (not available just now)", "problem: A part failed."]],
  ["a line that is no frame ends the answer", [frame("a", "ok", 1), parse("<html>")], [],
    ["a shown", "problem: The gateway sent a line that is not understood."]],
  ["a line that is JSON and no object is none either", [parse("[1]")], [],
    ["problem: The gateway sent a line that is not understood."]],
  ["kinds of frames that are not known are passed over",
    [{ hello: 1 }, { part: 7 }, { report: null }, frame("a", "ok", 1), report([["a", "ok"]])], [],
    ["a shown", "1 of 1 parts"]],
  ["names that objects have anyway are names like any other",
    [parse('{"part":"__proto__","outcome":"ok","data":1}'),
      parse('{"report":{"parts":{"__proto__":{"outcome":"ok"},"constructor":{"outcome":"failed"}}}}')],
    [],
    ["__proto__ shown", "constructor missing (not available just now)",
      "1 of 2 parts; missing: constructor"]],
];

for (const [name, frames, names, expected] of CASES) {
  test(name, () => assert.deepEqual(shown(after(frames, names)), expected));
}

test("a later frame of a part replaces the earlier, and no other part changes", () => {
  const links = frame("links", "ok", [{ id: "x7Kp2" }]);
  const first = [links, frame("profile", "ok", {})].reduce(receive, begin([]));
  const second = receive(first, frame("links", "ok", [{ id: "x7Kp2", clicks: 12 }]));
  assert.deepEqual([...second.parts.keys()], ["links", "profile"]);
  assert.deepEqual(second.parts.get("links").data, [{ id: "x7Kp2", clicks: 12 }]);
  assert.equal(second.parts.get("profile"), first.parts.get("profile"), "the same object");
  assert.deepEqual(first.parts.get("links").data, links.data, "the earlier state is as it was");
});

const WHOLE = [
  ["an answer at once: members are parts, and null is missing",
    { profile: { name: "Mara" }, clicks: null, _meta: { completeness: 0.5 } }, null,
    ["profile shown", "clicks missing (not available just now)", "1 of 2 parts; missing: clicks"]],
  ["what Aggregate-Status says of an answer at once is shown",
    { profile: {}, clicks: null, usage: { plan: "unknown" } },
    "profile;o=ok;ms=12, clicks;o=failed;r=timeout;ms=800, usage;o=fallback;r=status;status=503;ms=4",
    ["profile shown", "clicks missing (not available just now: timeout)",
      "usage fallback (stand-in value: status)", "2 of 3 parts; missing: clicks"]],
  ["a status that is not understood is none", { profile: {} }, ";;=,o=ok,profile,, x;y",
    ["profile shown", "1 of 1 parts"]],
  ["an answer that is no object is a problem", [1, 2], null,
    ["profile missing (not available just now)",
      "problem: The gateway sent something that is no dashboard."]],
];

for (const [name, body, status, expected] of WHOLE) {
  test(name, () => {
    assert.deepEqual(shown(finish(receiveWhole(begin(["profile"]), body, status))), expected);
  });
}
