// Draws `props.value`, the JSON of strip_view, into the element's .coil: the strip in lines like a
// text, an outline for each defect, and the chosen defect large below. Runs after dom.js, as the
// body of a function of (element, props, watch).
const drawBox = (parent, line, [x0, y0, x1, y1], attributes) => {
  const from = Math.max(x0, line.a), to = Math.min(x1, line.b);
  const place = {x: from - line.a, y: y0, width: to - from, height: y1 - y0};
  return makeSvg('rect', parent, {...place, ...attributes});
};
const drawDefect = (svg, line, defect, choose) => {
  const rect = drawBox(svg, line, defect.box, {
    class: 'defect', stroke: defect.colour, tabindex: 0, role: 'button',
    'data-n': defect.n, 'aria-label': `${defect.n} ${defect.label}`,
  });
  rect.addEventListener('click', () => choose(defect));
  rect.addEventListener('keydown', event => {
    if (event.key != 'Enter' && event.key != ' ') return;
    event.preventDefault();
    choose(defect);
  });
};
const drawLine = (root, view, line, choose) => {
  const svg = makeSvg('svg', root, {viewBox: `0 0 ${view.per} ${view.width}`, class: 'line'});
  const size = {x: 0, y: 0, width: line.b - line.a, height: view.width};
  makeSvg('image', svg, {href: line.image, ...size, preserveAspectRatio: 'none'});
  const isHere = (from, to) => to > line.a && from < line.b;
  for (const [from, to] of view.missed)
    if (isHere(from, to)) drawBox(svg, line, [from, 0, to, view.width], {class: 'missed'});
  for (const defect of view.defects)
    if (isHere(defect.box[0], defect.box[2])) drawDefect(svg, line, defect, choose);
};
const drawCrop = (panel, {crop, at: [x, y, side], box: [x0, y0, x1, y1], colour}) => {
  const svg = makeSvg('svg', panel, {viewBox: `0 0 ${side} ${side}`, class: 'crop'});
  makeSvg('image', svg, {href: crop, width: side, height: side});
  const place = {x: x0 - x, y: y0 - y, width: x1 - x0, height: y1 - y0};
  makeSvg('rect', svg, {...place, class: 'defect', stroke: colour});
};
const showDefect = (root, panel, defect) => {
  panel.replaceChildren();
  for (const outline of root.querySelectorAll('.defect'))
    outline.classList.toggle('chosen', outline.dataset.n == defect.n);
  if (defect.crop) drawCrop(panel, defect);
  const text = make('div', '', panel);
  make('h3', '', text, `${defect.n} · ${defect.label}`);
  for (const line of defect.facts) make('p', '', text, line);
};
const makeLegend = (root, view) => {
  const legend = make('div', 'legend', root), counts = {};
  for (const {label, colour} of view.defects) (counts[label] ||= {colour, count: 0}).count++;
  for (const label in counts) {
    const item = make('span', '', legend);
    make('i', '', item).style.background = counts[label].colour;
    make('span', '', item, `${label} (${counts[label].count})`);
  }
  if (view.missed.length) make('span', '', legend, 'grey: not inspected');
};
const draw = () => {
  const root = element.querySelector('.coil');
  root.replaceChildren();
  if (!props.value) {
    make('p', 'empty', root, 'The strip and its defects appear here.');
    return;
  }
  const view = JSON.parse(props.value);
  makeLegend(root, view);
  const lines = make('div', 'lines', root), panel = make('div', 'panel', root);
  const choose = defect => showDefect(root, panel, defect);
  for (const line of view.lines) drawLine(lines, view, line, choose);
  if (view.defects.length) choose(view.defects.find(defect => defect.crop) || view.defects[0]);
  else make('p', '', panel, 'No defect was found.');
};
watch('value', draw);
draw();
