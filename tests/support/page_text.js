"use strict";
// node page_text.js PAGE_JS < {path: answer}: runs the page's script over stand-ins for the browser and prints the
// text of each element that has an id.
const fs = require("node:fs"), vm = require("node:vm");
const answers = JSON.parse(fs.readFileSync(0, "utf8"));
const elements = new Map();
function made() {
  const parts = [];
  return {
    dataset: {}, value: "", addEventListener() {}, setAttribute() {},
    append: (...given) => parts.push(...given),
    replaceChildren(...given) { parts.length = 0; parts.push(...given); },
    set textContent(text) { parts.length = 0; parts.push(text); },
    get textContent() { return parts.map((part) => part.textContent ?? String(part)).join(" ").trim(); },
  };
}
const document = {
  documentElement: {}, hidden: false,
  createElement: made,
  querySelectorAll: () => [],
  getElementById(id) {
    if (!elements.has(id)) elements.set(id, made());
    return elements.get(id);
  },
};
function shown() {
  process.stdout.write(JSON.stringify(Object.fromEntries([...elements].map(([id, each]) => [id, each.textContent]))));
}
vm.runInNewContext(fs.readFileSync(process.argv[2], "utf8"), {
  document, URLSearchParams, AbortSignal, location: { search: "?lang=en" }, navigator: { language: "en" },
  fetch: async (path) => ({ ok: true, json: async () => answers[path.split("?")[0]] }),
  setTimeout: shown, // set when a round of asking is over
});
