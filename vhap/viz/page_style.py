"""Look and behaviour of the report's page."""

STYLE = """
:root { color-scheme: light dark; --line: #8883; --accent: #2a7de1; }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1100px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 26px; margin: 0 0 8px; } h2 { font-size: 18px; margin: 32px 0 8px; }
.note { border-left: 3px solid var(--accent); padding-left: 10px; margin: 6px 0; }
video, #frames img { width: 100%; height: auto; border-radius: 6px; display: block; }
#frames input { width: 100%; margin: 10px 0 0; accent-color: var(--accent); }
figure { margin: 0; } figcaption { font-variant-numeric: tabular-nums; opacity: .75; }
table { border-collapse: collapse; min-width: 50%; }
th, td { text-align: left; font-weight: 400; padding: 4px 24px 4px 0; border-bottom: 1px solid var(--line); }
td { font-variant-numeric: tabular-nums; } td.bar { width: 40%; }
td.bar i { display: block; height: 10px; border-radius: 3px; background: var(--accent); }
.curve { margin: 0 0 12px; color: var(--accent); } .curve figcaption { color: CanvasText; }
.curve svg { width: 100%; border-bottom: 1px solid var(--line); }
"""

SCRIPT = """
const box = document.getElementById('frames');
if (box) {
  const data = JSON.parse(box.querySelector('script').textContent);
  const slider = box.querySelector('input');
  slider.addEventListener('input', () => {
    box.querySelector('img').src = data.pictures[slider.value];
    box.querySelector('figcaption').textContent = data.names[slider.value];
  });
}
"""
