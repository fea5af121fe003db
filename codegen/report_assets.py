"""Style and script of report.html, inline so that the page is one file.

The script only adds to a page that can be read without it: tooltips in place of titles, a cursor,
zooming into stages. It puts text into the page as text, never as markup.
"""

COLOURS = """
:root{color-scheme:light dark;--page:#fbfbfa;--card:#fff;--ink:#1d2530;--soft:#667180;
--line:#dfe3e8;--grid:#e9ecef;--t0:#7fa6d6;--t1:#9bbbe2;--t2:#6792c8;--r0:#5fb3a1;--r1:#7fc6b6;--r2:#48a08d;
--input:#e0a84a;--output:#c96f5f;--state:#9a86c8;--scratch:#b4bac2;--sum:#8f98a3;--peak:#d2483f;
--accent:#2f6db5;--code:#8f98a3;--edge:#fff}
@media(prefers-color-scheme:dark){:root{--page:#14181d;--card:#1b2027;--ink:#e4e8ed;--soft:#93a0ae;
--line:#2d343d;--grid:#262d35;--t0:#42699b;--t1:#5580b5;--t2:#345a8b;--r0:#2e7f6f;--r1:#3d9784;
--r2:#246a5c;--input:#b07f2c;--output:#a55548;--state:#6f5da0;--scratch:#5a636e;--sum:#717b87;
--peak:#ef6f66;--accent:#6ea8ea;--code:#717b87;--edge:#1b2027}}
.area{stroke:var(--edge);stroke-width:.6;vector-effect:non-scaling-stroke}
.tensor.s0{fill:var(--t0)}.tensor.s1{fill:var(--t1)}.tensor.s2{fill:var(--t2)}
.ring.s0{fill:var(--r0)}.ring.s1{fill:var(--r1)}.ring.s2{fill:var(--r2)}
.input{fill:var(--input)}.output{fill:var(--output)}.state{fill:var(--state)}
.scratch{fill:var(--scratch)}.sum,.counters{fill:var(--sum)}
.grid{fill:none;stroke:var(--grid);vector-effect:non-scaling-stroke}
.peak{fill:var(--peak);fill-opacity:.15}
.edge{pointer-events:none;fill:none;stroke:var(--peak);stroke-opacity:.8;
vector-effect:non-scaling-stroke}
.live{fill:var(--accent);fill-opacity:.16;stroke:var(--accent);stroke-width:1.3;
vector-effect:non-scaling-stroke}
.bound{fill:none;stroke:var(--peak);stroke-width:1.2;stroke-dasharray:5 4;
vector-effect:non-scaling-stroke}
.stage{fill:var(--line);stroke:var(--edge);vector-effect:non-scaling-stroke}.stage.flows{fill:var(--r0)}
"""

STYLE = (
    COLOURS
    + """
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:76rem;margin:0 auto;padding:2.2rem 1.4rem 4rem}
h1{font-size:1.75rem;line-height:1.2;margin:0;letter-spacing:-.015em;font-weight:650;
overflow-wrap:anywhere}
h1 small{color:var(--soft);font-weight:400;font-size:1.05rem;letter-spacing:0;white-space:nowrap}
h2{font-size:1.12rem;margin:2.8rem 0 .3rem;font-weight:650}
p{margin:.3rem 0 .9rem;max-width:48rem;color:var(--soft)}
code{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.facts{display:grid;grid-template-columns:repeat(4,1fr);gap:1px;
margin:1.5rem 0 0;padding:0;background:var(--line);border:1px solid var(--line);border-radius:.6rem;
overflow:hidden}
.facts>div{background:var(--card);padding:.7rem .95rem .75rem;box-shadow:0 0 0 1px var(--line)}
.facts dt{color:var(--soft);font-size:.8rem}
.facts dd{margin:0;font-size:1.28rem;font-weight:600;font-variant-numeric:tabular-nums;
letter-spacing:-.01em;line-height:1.35}
.facts dd+dd{font-size:.8rem;font-weight:400;color:var(--soft);letter-spacing:0}
.card{background:var(--card);border:1px solid var(--line);border-radius:.6rem;
padding:1rem 1.1rem .8rem}
.legend{display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;font-size:.82rem;color:var(--soft);
margin:0 0 .7rem;padding:0;list-style:none}
.legend i{display:inline-block;width:.8rem;height:.8rem;border-radius:.2rem;margin-right:.4rem;
vertical-align:-.08rem}
.legend .l-ring{background:var(--r0)}.legend .l-tensor{background:var(--t0)}
.legend .l-input{background:var(--input)}.legend .l-output{background:var(--output)}
.legend .l-state{background:var(--state)}.legend .l-scratch{background:var(--scratch)}
.legend .l-sum,.legend .l-counters{background:var(--sum)}
.legend .l-peak{background:var(--peak);opacity:.4}
.legend .l-bound{height:0;border-top:2px dashed var(--peak);border-radius:0;vertical-align:.22rem;
width:1.1rem}
.legend .l-code{background:var(--code)}.legend .l-weights{background:var(--accent)}
.plot{display:grid;grid-template-columns:3.4rem minmax(0,1fr);column-gap:.5rem;position:relative}
.plot .y{position:relative;font-size:.75rem;color:var(--soft);text-align:right;
font-variant-numeric:tabular-nums}
.plot .y span{position:absolute;right:0;transform:translateY(50%);white-space:nowrap}
.plot .body{position:relative;overflow:hidden}
.plot .name{font-size:.75rem;color:var(--soft);text-align:right;align-self:center}
svg{display:block;width:100%}
svg.arena{height:27rem;border-bottom:1px solid var(--line)}
svg.livebytes{height:6.5rem;border-bottom:1px solid var(--line);border-top:1px solid var(--line)}
svg.stages{height:.8rem;cursor:zoom-in}
.gap{height:.8rem}.gap.small{height:.35rem}
.area:hover{stroke:var(--ink);stroke-width:1.6}
.stage:hover{opacity:.75}
.tag{position:absolute;transform:translate(-50%,50%);font-size:.72rem;line-height:1.15;color:var(--ink);
pointer-events:none;white-space:nowrap;text-align:center;opacity:.85}
@media(max-width:60rem){.tag:not(.placed){display:none}}
.x{position:relative;height:1.2rem;font-size:.75rem;color:var(--soft);overflow:hidden;
font-variant-numeric:tabular-nums}
.x span{position:absolute;transform:translateX(-50%);top:.1rem}
.x span.first{transform:none}
.bar{display:flex;gap:.5rem;align-items:baseline;justify-content:space-between;flex-wrap:wrap;
min-height:1.9rem;margin-top:.3rem;font-size:.82rem;color:var(--soft);font-variant-numeric:tabular-nums}
button{font:inherit;color:var(--accent);background:none;border:1px solid var(--line);
border-radius:.4rem;padding:.1rem .7rem;cursor:pointer}
#cursor{position:absolute;top:0;bottom:0;width:1px;background:var(--ink);opacity:.45;
pointer-events:none;display:none}
#tip{position:fixed;z-index:9;max-width:min(26rem,90vw);background:var(--ink);color:var(--page);
border-radius:.45rem;padding:.45rem .7rem;font-size:.8rem;line-height:1.45;pointer-events:none;
display:none;overflow-wrap:anywhere;box-shadow:0 4px 16px #0004}
#tip b{display:block;font-weight:600}
ol.words{margin:.6rem 0 0;padding:0;list-style:none;columns:2;column-gap:2rem}
ol.words li{break-inside:avoid;padding:.3rem 0;border-bottom:1px solid var(--grid);font-size:.88rem}
ol.words b{font-weight:600}ol.words span{color:var(--soft);display:block}
@media(max-width:50rem){ol.words{columns:1}}
.scroll{overflow-x:auto;margin-top:.6rem;border:1px solid var(--line);border-radius:.6rem;
background:var(--card)}
table{border-collapse:collapse;width:100%;font-size:.84rem;font-variant-numeric:tabular-nums}
th,td{padding:.32rem .7rem;text-align:right;white-space:nowrap;border-bottom:1px solid var(--grid)}
tr:last-child td{border-bottom:0}
th{color:var(--soft);font-weight:500;position:sticky;top:0;background:var(--card)}
.l{text-align:left}
td.name{max-width:15rem;overflow:hidden;text-overflow:ellipsis;color:var(--soft)}
tr.cut td{border-top:1px solid var(--line)}
tbody tr:hover{background:var(--grid)}
tr.at-peak td:first-child{box-shadow:inset 3px 0 var(--peak)}
td.part{background:linear-gradient(to left,color-mix(in srgb,var(--accent) 17%,transparent)
var(--p,0%),transparent 0)}
.flash{display:flex;height:1.5rem;border-radius:.35rem;overflow:hidden;margin:0 0 1.1rem}
.flash div{min-width:1px}
.flash .weights{background:var(--accent)}.flash .code{background:var(--code)}
svg.layers{height:8.5rem;border-bottom:1px solid var(--line)}
.weight{fill:var(--accent)}.weight:hover{opacity:.7}
footer{margin-top:2.6rem;color:var(--soft);font-size:.82rem}
@media(max-width:40rem){main{padding:1.3rem .8rem 3rem}h1{font-size:1.4rem}
.facts{grid-template-columns:repeat(2,1fr)}.facts>div{padding:.5rem .7rem}
.card{padding:.8rem .6rem .6rem;border-radius:.5rem}
.plot{grid-template-columns:2.6rem minmax(0,1fr)}
svg.arena{height:20rem}}
"""
)

SCRIPT = """
'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const by = (selector, within) => [...(within || document).querySelectorAll(selector)];
  const plot = document.getElementById('plot'), body = by('.body', plot)[0];
  const bar = document.getElementById('now'), reset = document.getElementById('reset');
  const tip = document.getElementById('tip'), cursor = document.getElementById('cursor');
  const axis = by('.x', plot)[0], hint = bar.textContent;
  const full = data.edges[data.edges.length - 1], steps = data.edges.length - 1;
  let from = 0, to = full;

  /* Titles become tooltips; without this script the browser shows them itself. */
  const words = new Map();
  for (const title of by('svg title')) {
    words.set(title.parentNode, title.textContent);
    title.parentNode.setAttribute('aria-label', title.textContent);
    title.remove();
  }
  function showTip(event) {
    const text = words.get(event.target);
    tip.style.display = text ? 'block' : 'none';
    if (!text) return;
    const [head, ...rest] = text.split('\\n');
    const bold = document.createElement('b');
    bold.textContent = head;
    tip.replaceChildren(bold, ...rest.flatMap(line => [line, document.createElement('br')]));
    const box = tip.getBoundingClientRect();
    const x = event.clientX + 16 + box.width > innerWidth ? event.clientX - box.width - 12
                                                          : event.clientX + 16;
    const y = Math.min(event.clientY + 16, innerHeight - box.height - 6);
    tip.style.left = Math.max(x, 4) + 'px';
    tip.style.top = Math.max(y, 4) + 'px';
  }
  document.addEventListener('pointermove', showTip);
  document.addEventListener('pointerdown', showTip);
  document.addEventListener('pointerleave', () => { tip.style.display = 'none'; });

  function stepAt(x) {
    let low = 0, high = steps - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (data.edges[middle] <= x) low = middle; else high = middle - 1;
    }
    return low;
  }
  const number = n => n.toLocaleString('en-US');
  function point(event) {
    const box = body.getBoundingClientRect();
    const part = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    const step = stepAt(from + part * (to - from));
    cursor.style.display = 'block';
    cursor.style.left = event.clientX - box.left + 'px';
    const layer = data.layer[step], rows = data.rows[step];
    bar.textContent = layer === undefined ? hint :
      `step ${step} · layer ${layer} ${data.operators[layer]} · ` +
      (rows[1] - rows[0] === 1 ? `row ${rows[0]}` : `rows ${rows[0]} to ${rows[1] - 1}`) +
      ` · ${number(data.live[step])} bytes live`;
  }

  function ticks() {
    const width = axis.clientWidth, shown = [];
    const place = (step, x) => {
      if (x < 0 || x > width || shown.some(other => Math.abs(other.x - x) < 44)) return;
      shown.push({step, x});
    };
    const at = step => (data.edges[step] - from) / (to - from) * width;
    const first = stepAt(from), last = stepAt(to - 1);
    place(first, at(first));
    for (const step of data.cuts) place(step, at(step));
    let every = 1;
    while ((last - first) / every > 12) every *= String(every)[0] === '2' ? 2.5 : 2;
    for (let s = Math.ceil(first / every) * every; s <= last; s += every) place(s, at(s));
    axis.replaceChildren(...shown.map(({step, x}) => {
      const label = document.createElement('span');
      label.textContent = step;
      label.style.left = x + 'px';
      if (x < 12) label.className = 'first';
      return label;
    }));
  }
  function tags() {
    const width = body.clientWidth;
    for (const tag of by('.tag', body)) {
      const [a, b, height] = tag.dataset.box.split(' ').map(Number);
      const left = (Math.max(a, from) - from) / (to - from) * width;
      const right = (Math.min(b, to) - from) / (to - from) * width;
      tag.classList.add('placed');
      tag.style.display = 'block';
      tag.style.left = (left + right) / 2 + 'px';
      const fits = right - left > tag.offsetWidth + 4 && height / 100 * body.clientHeight > 15;
      tag.style.visibility = fits ? 'visible' : 'hidden';
    }
  }
  function draw() {
    for (const svg of by('svg.zoom', plot)) {
      svg.setAttribute('viewBox', `${from} 0 ${to - from} ${svg.viewBox.baseVal.height}`);
    }
    reset.hidden = from === 0 && to === full;
    ticks();
    tags();
  }
  function zoom(a, b) {
    const least = 4;
    if (b - a < least) return;
    from = Math.max(a, 0);
    to = Math.min(b, full);
    draw();
  }
  reset.addEventListener('click', () => zoom(0, full));
  by('.stage', plot).forEach((stage, number) => stage.addEventListener('click', () => {
    const a = data.edges[data.cuts[number]], b = data.edges[data.cuts[number + 1] ?? steps];
    zoom(a - (b - a) * 0.03, b + (b - a) * 0.03);
  }));
  /* A mouse that is dragged over the picture chooses what to zoom into. */
  let start = null;
  const unit = event => {
    const box = body.getBoundingClientRect();
    return from + (event.clientX - box.left) / box.width * (to - from);
  };
  body.addEventListener('pointermove', point);
  body.addEventListener('pointerleave', () => {
    cursor.style.display = 'none';
    bar.textContent = hint;
  });
  body.addEventListener('pointerdown', event => {
    if (event.pointerType === 'mouse' && event.button === 0) start = unit(event);
    point(event);
  });
  addEventListener('pointerup', event => {
    if (start === null) return;
    const end = unit(event), moved = Math.abs(end - start) / (to - from);
    if (moved > 0.02) zoom(Math.min(start, end), Math.max(start, end));
    start = null;
  });
  body.addEventListener('dblclick', () => zoom(0, full));
  addEventListener('resize', draw);
  draw();
})();
"""
