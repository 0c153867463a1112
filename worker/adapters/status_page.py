"""The page at `/`: shows `/api/status`, loads nothing from elsewhere, and sets every value as text."""

from __future__ import annotations

import base64
import hashlib

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --dim: #888; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; margin: 0; }
h2 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 500; color: var(--dim); }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
#note { color: var(--dim); }
#note.stale { color: #c22; font-weight: 600; }
"""

_SCRIPT = """
const show = value => value === null || value === undefined ? "-"
  : typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(4)))
  : typeof value === "object" ? JSON.stringify(value) : String(value);
const isMap = value => value !== null && typeof value === "object" && !Array.isArray(value);
const words = name => name.replaceAll("_", " ");
const element = (tag, text) => {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  return made;
};
const row = (tag, texts) => {
  const made = element("tr");
  for (const text of texts) made.append(element(tag, text));
  return made;
};
const pairs = map => {
  const table = element("table");
  for (const [name, value] of Object.entries(map)) {
    const line = element("tr");
    line.append(element("th", words(name)), element("td", show(value)));
    table.append(line);
  }
  return table;
};
const listing = items => {
  if (items.length === 0) return element("p", "none");
  if (!items.every(isMap)) return pairs(Object.fromEntries(items.map((item, i) => [String(i + 1), item])));
  const names = [...new Set(items.flatMap(item => Object.keys(item)))];
  const table = element("table");
  table.append(row("th", names.map(words)));
  for (const item of items) table.append(row("td", names.map(name => show(item[name]))));
  return table;
};
const draw = status => {
  const plain = {}, parts = [];
  for (const [name, value] of Object.entries(status)) {
    if (value !== null && typeof value === "object") {
      parts.push(element("h2", words(name)), Array.isArray(value) ? listing(value) : pairs(value));
    } else plain[name] = value;
  }
  document.getElementById("status").replaceChildren(pairs(plain), ...parts);
};
const note = document.getElementById("note");
const refresh = async () => {
  try {
    const answer = await fetch("api/status", {cache: "no-store", signal: AbortSignal.timeout(4000)});
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    draw(await answer.json());
    note.className = "";
    note.textContent = "as of " + new Date().toLocaleTimeString();
  } catch (error) {
    note.className = "stale";
    note.textContent = "no answer from the worker: " + error.message;
  }
  setTimeout(refresh, 2000);
};
refresh();
"""

PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>offbeat</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>offbeat</h1>
<p id="note">reading the status</p>
<main id="status"></main>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src {_hash(_STYLE)}",
        f"script-src {_hash(_SCRIPT)}",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Allows only this page's own style and script, so that no text in a status can run, whatever it holds."""
