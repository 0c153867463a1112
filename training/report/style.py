"""The frame of the report's page, which loads and runs nothing, and its style with all colours in one place."""

from __future__ import annotations

import base64
import hashlib

from training.report.words import safe

STYLE = """
:root { color-scheme: light dark; --paper: #fcfbf9; --ink: #1f2023; --dim: #63646a; --hair: #e3e0da; --wash: #f3f1ec;
  --normal: #6f8299; --area: #d3d8de; --hot: #c23b22; }
@media (prefers-color-scheme: dark) { :root { --paper: #16181b; --ink: #e9e7e3; --dim: #a2a3a8; --hair: #303338;
  --wash: #1e2125; --normal: #8ba0ba; --area: #3a414a; --hot: #ff8566; } }
* { box-sizing: border-box; }
body { margin: 0 auto; overflow-x: clip; padding: 2.5rem 1.25rem 4rem; max-width: 66rem;
  background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1, h2, h3, p, dl, dd, figure, ul { margin: 0; padding: 0; }
h1, h2 { font-family: ui-serif, Charter, Georgia, "Liberation Serif", serif; line-height: 1.2; }
h1, td, dd, li, .meta { overflow-wrap: anywhere; unicode-bidi: isolate; }
h1 { font-size: clamp(1.7rem, 5vw, 2.5rem); letter-spacing: -.01em; }
h2 { font-size: 1.45rem; margin: 3.2rem 0 .3rem; }
h3 { font-size: 1rem; line-height: 1.35; }
p, figcaption { max-width: 44rem; }
.kicker { color: var(--dim); font-size: .8rem; letter-spacing: .08em; text-transform: uppercase; margin-bottom: .5rem; }
.lead { font-size: 1.12rem; margin-top: .8rem; }
.note, figcaption, .meta { color: var(--dim); font-size: .875rem; line-height: 1.45; }
.figures { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 1.6rem 2rem;
  margin-top: 2rem; border-top: 2px solid var(--ink); padding-top: 1.3rem; }
.figures dt { font-size: .875rem; font-weight: 600; }
.figures .value { font-size: 2rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.pair { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0 3rem; }
figure, .pair > * { margin-top: 1.6rem; min-width: 0; }
.pair figure { margin-top: 1.6rem; }
figcaption { margin-top: .4rem; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; font-size: .84rem; margin-top: .3rem; }
.legend li { display: flex; align-items: center; gap: .45rem; }
.legend i { flex: none; width: 1.1rem; height: 0; border-top: 2px solid var(--ink); }
.legend .area, .legend .normal, .legend .anomalous { width: .8rem; height: .8rem; border: 0; background: var(--area); }
.legend .normal { background: var(--normal); }
.legend .anomalous { background: var(--hot); }
.legend .typical, .legend .curve { border-color: var(--normal); }
.legend .cut { border-top: 2px dashed; }
.legend .base { border-top: 2px dotted var(--dim); }
.legend .full, .legend .ring, .legend .crowd, .legend .operating { width: .62rem; height: .62rem; border-radius: 50%;
  border: 2px solid var(--hot); }
.legend .full { background: var(--hot); }
.legend .crowd { border: 0; width: .4rem; height: .4rem; background: var(--normal); }
.legend .operating { border-color: var(--ink); background: var(--ink); }
svg { display: block; overflow: visible; }
.chart { width: calc(100% - 3.2rem); margin: 3rem .4rem 3.3rem 2.8rem; }
.wide { height: 19rem; }
.low { height: 6.5rem; }
.square { height: 20rem; }
text { fill: var(--ink); font-size: 13px; }
.tick, .version { fill: var(--dim); font-size: 12px; font-variant-numeric: tabular-nums; }
.name { fill: var(--dim); font-size: 12px; }
.left, .right { text-anchor: end; }
.middle, .version { text-anchor: middle; }
.grid { stroke: var(--hair); }
.line, .dots { fill: none; vector-effect: non-scaling-stroke; stroke: var(--ink); stroke-width: 1.5px; }
.dots { stroke: inherit; stroke-width: inherit; stroke-linecap: round; }
.area { fill: var(--area); }
.normal { fill: var(--normal); }
.anomalous { fill: var(--hot); }
.typical { stroke: var(--normal); }
.cut { stroke-dasharray: 6 4; }
.base { stroke: var(--dim); stroke-width: 2px; stroke-dasharray: 2 3; }
.curve { stroke: var(--normal); stroke-width: 2.5px; }
.switch { stroke: var(--dim); stroke-width: 1px; opacity: .4; }
.crowd { stroke: var(--normal); stroke-width: 3px; opacity: .45; }
.ring { stroke: var(--hot); stroke-width: 6.5px; }
.hole { stroke: var(--paper); stroke-width: 3.8px; }
.halo { stroke: var(--paper); stroke-width: 7.5px; opacity: .7; }
.full { stroke: var(--hot); stroke-width: 5.5px; }
.many.ring { stroke-width: 5px; }
.many.hole { stroke-width: 3px; }
.many.halo { stroke-width: 5px; }
.many.full { stroke-width: 3.6px; }
.operating-halo { stroke: var(--paper); stroke-width: 16px; }
.operating { stroke: var(--ink); stroke-width: 11px; }
.bars { width: 100%; margin-top: .8rem; }
.bar { width: 100%; min-width: 2.5rem; height: .5rem; }
.track { fill: var(--wash); stroke: var(--hair); stroke-width: .5px; }
.part { fill: var(--normal); }
table { border-collapse: collapse; width: 100%; font-size: .9rem; margin-top: .8rem; }
td, th { text-align: left; vertical-align: top; padding: .32rem .8rem .32rem 0; border-bottom: 1px solid var(--hair); }
th { font-weight: 600; }
thead th { color: var(--dim); font-weight: 500; font-size: .82rem; }
td { font-variant-numeric: tabular-nums; }
.n { text-align: right; padding-right: 0; white-space: nowrap; }
.all { max-width: 36rem; }
.wider { overflow-x: auto; }
.half { max-width: 32rem; }
.rates { max-width: 46rem; }
.rates .n { padding-left: 1rem; }
.alerts .note { margin-top: .4rem; }
td small { color: var(--dim); }
.n small { display: block; }
.alerts { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 2.2rem 3rem; margin-top: 1.6rem; }
.alerts article { border-top: 2px solid var(--ink); padding-top: .6rem; min-width: 0; }
.alerts table { font-size: .84rem; table-layout: fixed; margin-top: .4rem; }
.alerts th, .alerts td { overflow-wrap: anywhere; }
.alerts h3 { display: flex; flex-wrap: wrap; justify-content: space-between; column-gap: 1rem; }
.alerts th:first-child { width: 29%; }
.alerts th:nth-child(2) { width: 21%; }
.alerts .share { width: 19%; padding-right: 0; }
.alerts tbody th { font-weight: 500; }
.mark { font-size: .875rem; }
.hit { color: var(--hot); }
summary { cursor: pointer; margin-top: 1.6rem; font-weight: 600; }
footer { margin-top: 3.5rem; border-top: 1px solid var(--hair); padding-top: .8rem; }
@media (max-width: 46rem) {
  body { padding-top: 1.6rem; }
  .pair, .alerts { grid-template-columns: minmax(0, 1fr); }
  .figures { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1.3rem 1.2rem; }
  .figures .value { font-size: 1.6rem; }
  .wide { height: 15rem; }
  .square { height: 17rem; }
  .many.ring { stroke-width: 4px; }
  .many.hole { stroke-width: 2.2px; }
  .many.halo { stroke-width: 3.4px; }
  .many.full { stroke-width: 2.6px; }
}
@media print { figure, article { break-inside: avoid; } body { max-width: none; } }
"""


def policy() -> str:
    """Return the Content-Security-Policy, which allows this page's own style and nothing else."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def page(title: str, body: str) -> str:
    """Render the page. `title` is plain text, escaped here; `body` is HTML."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy()}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{safe(title)} · offbeat evaluation</title>
<style>{STYLE}</style>
</head>
<body>
{body}
</body>
</html>
"""
