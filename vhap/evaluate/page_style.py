"""Look and behaviour of the report's page."""

STYLE = """
:root { color-scheme: light dark; --line: #8884; --faint: #8882; --accent: #2a7de1; --text: #1b1f24; --page: #fff;
  --c0: #1b1f24; --c1: #2a7de1; --c2: #d9480f; --c3: #2b8a3e; --c4: #9c36b5; --c5: #b08900; --c6: #0b8793;
  --c7: #c2255c; }
@media (prefers-color-scheme: dark) { :root { --accent: #6cb0ff; --text: #e6e8eb; --page: #15181c;
  --c0: #e6e8eb; --c1: #6cb0ff; --c2: #ff9258; --c3: #69db7c; --c4: #da8ff0; --c5: #ffd43b; --c6: #4fd1dd;
  --c7: #ff8fab; } }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); }
main { max-width: 1180px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 24px; line-height: 1.25; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 32px 0 8px; }
a { color: var(--accent); }
.note { border-left: 3px solid var(--accent); padding-left: 10px; margin: 6px 0; overflow-wrap: anywhere; }
.below { font-size: 13px; opacity: .8; margin: 4px 0 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 150px), 1fr)); gap: 8px; margin: 0; }
.cards div { background: var(--faint); border-radius: 6px; padding: 6px 10px; }
.cards dt { font-size: 12px; opacity: .75; overflow-wrap: anywhere; }
.cards dd { margin: 0; font-size: 19px; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
video { width: 100%; height: auto; border-radius: 6px; display: block; }
#frames { scroll-margin-top: 8px; }
#frames .bar { position: sticky; top: 0; z-index: 1; background: var(--page); padding: 6px 0; }
#frames input { width: 100%; margin: 0; accent-color: var(--accent); }
#frames output { display: block; font-variant-numeric: tabular-nums; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 8px; }
.tile { all: unset; cursor: zoom-in; position: relative; border-radius: 6px; overflow: hidden;
  background: var(--faint); }
.tile:focus-visible { outline: 3px solid var(--accent); }
.tile.large { grid-column: 1 / -1; cursor: zoom-out; }
.tile img { width: 100%; height: auto; display: block; }
.tile span { position: absolute; left: 0; top: 0; padding: 0 8px; font-size: 13px; color: #fff; background: #0009;
  border-bottom-right-radius: 6px; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 460px), 1fr)); gap: 20px 28px; }
.chart { margin: 0; min-width: 0; }
.chart figcaption { display: flex; flex-wrap: wrap; gap: 0 12px; align-items: baseline; margin-bottom: 6px; }
.chart b { font-weight: 600; overflow-wrap: anywhere; }
.legend { display: flex; flex-wrap: wrap; gap: 0 12px; font-size: 13px; }
.legend i { display: inline-block; width: 14px; height: 3px; border-radius: 2px; margin-right: 4px;
  vertical-align: middle; }
.plot { position: relative; height: 150px; margin-left: 46px; border-left: 1px solid var(--line);
  border-bottom: 1px solid var(--line); }
.plot[data-last] { cursor: pointer; }
.plot svg { position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; }
.plot path { fill: none; stroke-width: 1.6; stroke-linejoin: round; stroke-linecap: round;
  vector-effect: non-scaling-stroke; }
.ticks span { position: absolute; left: 0; right: 0; height: 0; border-top: 1px solid var(--faint); font-size: 12px;
  line-height: 0; text-indent: -46px; font-variant-numeric: tabular-nums; }
.dot { position: absolute; width: 11px; height: 11px; margin: 0 0 -5.5px -5.5px; border-radius: 50%;
  border: 2px solid var(--c2); background: var(--page); }
.cursor { position: absolute; top: 0; bottom: 0; width: 0; border-left: 1px dashed var(--accent); }
.x { display: flex; justify-content: space-between; margin-left: 46px; font-size: 12px;
  font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; max-width: 720px; }
th, td { text-align: left; font-weight: 400; padding: 4px 16px 4px 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
td { font-variant-numeric: tabular-nums; } td:first-child { min-width: 13ch; } td.bar { width: 40%; padding-right: 0; }
td.bar i { display: block; height: 10px; border-radius: 3px; background: var(--accent); }
@media (max-width: 640px) { .tiles { grid-template-columns: 1fr 1fr; gap: 4px; } main { padding: 16px 12px 48px; } }
""" + "".join(f".c{k} {{ stroke: var(--c{k}); background: var(--c{k}); }}\n" for k in range(8))

SCRIPT = """
const box = document.getElementById('frames');
if (box) {
  const frames = JSON.parse(box.querySelector('script').textContent);
  const slider = box.querySelector('input'), caption = box.querySelector('output');
  const images = box.querySelectorAll('img');
  let current = 0;
  const show = index => {
    current = Math.min(Math.max(index, 0), frames.length - 1);
    const frame = frames[current];
    slider.value = current;
    caption.textContent = frame.caption;
    images.forEach((image, k) => { image.src = 'data:image/jpeg;base64,' + frame.tiles[k]; });
    document.querySelectorAll('.plot[data-last]').forEach(plot => {
      plot.querySelector('.cursor').style.left = 100 * frame.number / plot.dataset.last + '%';
    });
  };
  const showNumber = number => {
    const distance = k => Math.abs(frames[k].number - number);
    show(frames.reduce((best, _, k) => distance(k) < distance(best) ? k : best, 0));
  };
  const numberIn = hash => { const found = /^#frame=(\\d+)$/.exec(hash); return found && Number(found[1]); };
  const followHash = () => { const number = numberIn(location.hash); if (number !== null) showNumber(number); };
  slider.addEventListener('input', () => show(Number(slider.value)));
  addEventListener('hashchange', followHash);
  document.addEventListener('keydown', event => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const taken = event.altKey || event.ctrlKey || event.metaKey || /^(INPUT|VIDEO)$/.test(event.target.tagName);
    if (step && !taken) show(current + step);
  });
  document.addEventListener('click', event => {
    const at = selector => event.target.closest(selector);
    const tile = at('.tile'), link = at('a[href^="#frame="]'), plot = at('.plot[data-last]');
    if (tile) { tile.classList.toggle('large'); return; }
    if (!link && !plot) return;
    if (link) {
      showNumber(numberIn(link.hash));
    } else {
      const bounds = plot.getBoundingClientRect();
      showNumber(plot.dataset.last * (event.clientX - bounds.left) / bounds.width);
    }
    box.scrollIntoView({ behavior: 'smooth' });
  });
  show(0);
  followHash();
}
"""
