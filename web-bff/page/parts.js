/**
 * What each part of the dashboard looks like. Values are only ever text: nothing that a service
 * sends becomes markup, an attribute that acts, or an address.
 *
 * A part that is not known, and one whose value has another shape than expected, is shown as JSON.
 */

/** An element with attributes, and children that are elements or texts. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** The heading of a part. */
export const title = (name) => TITLES.get(name) ?? name;

/** What a part's value looks like. */
export function content(name, data) {
  if (data === null) {
    return element("p", { class: "quiet" }, "empty");
  }
  const draw = PARTS.get(name);
  const drawn = isObject(data) && draw !== undefined ? draw(data) : null;
  return drawn ?? element("pre", { tabindex: "0" }, JSON.stringify(data, null, 2));
}

const TITLES = new Map([
  ["profile", "Profile"],
  ["links", "Links"],
  ["summary", "Clicks"],
  ["clicks", "Clicks"],
  ["usage", "Usage"],
  ["hooks", "Webhooks"],
]);

const PARTS = new Map([
  ["profile", profile],
  ["links", links],
  ["summary", clickSummary],
  ["clicks", clickSummary],
  ["usage", usage],
  ["hooks", hooks],
]);

function profile(data) {
  return facts([
    ["Name", data.name],
    ["Email", data.email],
    ["Role", data.role],
    ["Tenant", data.tenant_id],
    ["Tier", data.tier],
  ]);
}

function links(data) {
  if (!Array.isArray(data.items)) {
    return null;
  }
  const rows = data.items.filter(isObject).map((link) => {
    const name = text(link.title) ?? text(link.slug) ?? text(link.id) ?? "";
    const about = [link.short_url, link.is_active === false ? "inactive" : null];
    return row(name, about, clicksOf(link.clicks));
  });
  const isCut = typeof data.total === "number" && data.total > rows.length;
  return list(rows, isCut ? `${rows.length} of ${number(data.total)} links` : null);
}

/** A link's clicks: a number, or what the analytics say of it; nothing where there are none. */
function clicksOf(clicks) {
  const total = isObject(clicks) ? clicks.total : clicks;
  return typeof total === "number" ? `${number(total)} clicks` : null;
}

function clickSummary(data) {
  if (typeof data.total !== "number") {
    return null;
  }
  const drawn = element("div");
  drawn.append(element("p", { class: "figure" }, number(data.total)));
  const days = Array.isArray(data.by_day) ? data.by_day.map((day) => Number(day?.clicks) || 0) : [];
  if (days.length > 1) {
    drawn.append(bars(days));
  }
  for (const [heading, shares] of [["From", data.top_referrers], ["In", data.countries]]) {
    if (Array.isArray(shares)) {
      const said = shares.filter(isObject).map(({ name, clicks }) => [name, clicks]);
      drawn.append(element("h3", {}, heading), facts(said));
    }
  }
  return drawn;
}

function usage(data) {
  const drawn = element("div");
  const { period, overage, currency } = data;
  drawn.append(facts([
    ["Plan", data.plan],
    ["Period", isObject(period) ? `${period.from} to ${period.to}` : null],
    ["Overage", isObject(overage) ? `${overage.amount} ${currency ?? ""}` : null],
  ]));
  for (const [name, used] of Object.entries(data)) {
    if (isObject(used) && typeof used.used === "number" && typeof used.included === "number") {
      const said = `${number(used.used)} of ${number(used.included)} ${name}`;
      const bar = { value: used.used, max: used.included, "aria-label": said };
      drawn.append(element("p", { class: "meter" }, said, element("meter", bar)));
    }
  }
  return drawn;
}

function hooks(data) {
  if (!Array.isArray(data.items)) {
    return null;
  }
  const rows = data.items.filter(isObject).map((hook) => {
    const failures = hook.failures > 0 ? `${number(hook.failures)} failures` : null;
    return row(text(hook.event) ?? text(hook.id) ?? "", [hook.url], failures);
  });
  return list(rows, null);
}

/** Names and values; those without a value are left out. */
function facts(pairs) {
  const said = pairs.map(([name, value]) => [text(name), text(value)]);
  const rows = said.filter(([name, value]) => name !== null && value !== null);
  const pair = ([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value));
  return element("dl", {}, ...rows.map(pair));
}

function row(name, about, figure) {
  const quiet = about.map(text).filter((one) => one !== null).join(" · ");
  const words = element("div", {}, name, element("p", { class: "quiet" }, quiet));
  return element("li", {}, words, ...(figure === null ? [] : [element("span", {}, figure)]));
}

function list(rows, note) {
  const drawn = element("div", {}, element("ul", {}, ...rows));
  if (rows.length === 0) {
    drawn.append(element("p", { class: "quiet" }, "none yet"));
  }
  if (note !== null) {
    drawn.append(element("p", { class: "quiet" }, note));
  }
  return drawn;
}

const SVG = "http://www.w3.org/2000/svg";

/** One bar for each value. Attributes of SVG, since the page's policy allows no inline style. */
function bars(values) {
  const highest = Math.max(...values, 1);
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${values.length * 4} 32`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Clicks by day, ${number(highest)} at the most`);
  values.forEach((value, index) => {
    const height = Math.max(1, (value / highest) * 32);
    const bar = document.createElementNS(SVG, "rect");
    const place = { x: index * 4, y: 32 - height, width: 3, height };
    for (const [key, length] of Object.entries(place)) {
      bar.setAttribute(key, String(length));
    }
    svg.append(bar);
  });
  return svg;
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

const number = (value) => value.toLocaleString("en");

/** A value as text, where it is one; never `[object Object]`. */
function text(value) {
  switch (typeof value) {
    case "string":
      return value;
    case "number":
      return number(value);
    case "boolean":
      return value ? "yes" : "no";
    default:
      return null;
  }
}
