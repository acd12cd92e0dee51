// Draws `props.value`, the JSON of strip_view, into the element's .coil: the strip in lines like a
// text, with a ruler, a numbered outline for each defect and stripes where it was not judged; a
// slider for each class; how many defects a metre has; the chosen defect large below. Runs after
// dom.js, as the body of a function of (element, props, watch).
const drawBox = (parent, line, [x0, y0, x1, y1], attributes) => {
  const from = Math.max(x0, line.a), to = Math.min(x1, line.b);
  const place = {x: from - line.a, y: y0, width: to - from, height: y1 - y0};
  return makeSvg('rect', parent, {...place, ...attributes});
};
// A round distance that has about eight of its kind on a line.
const roundStep = length => {
  const rough = length/8, power = 10**Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map(x => x*power).find(step => step >= rough);
};
const unitOf = view => {
  if (!view.mm) return {name: 'px', size: 1};
  const metres = view.length*view.mm >= 3000;
  return {name: metres ? 'm' : 'mm', size: metres ? 1000/view.mm : 1/view.mm};
};
const drawRuler = (svg, view, line) => {
  const {name, size} = unitOf(view), step = roundStep(view.per/size), tall = 22*view.pixel;
  for (let k = Math.ceil(line.a/size/step); k*step*size <= line.b; k++) {
    const x = k*step*size - line.a, y = view.width;
    makeSvg('rect', svg, {x, y, width: view.pixel, height: tall/3, class: 'tick'});
    const text = makeSvg('text', svg, {x: x + 3*view.pixel, y: y + tall*.85, class: 'at'});
    text.textContent = `${+(k*step).toPrecision(6)} ${name}`;
    text.style.fontSize = `${13*view.pixel}px`;
  }
};
const drawDefect = (svg, view, line, defect, choose) => {
  const rect = drawBox(svg, line, defect.box, {
    class: 'defect', stroke: defect.colour, tabindex: 0, role: 'button',
    'data-n': defect.n, 'aria-label': `${defect.label} ${defect.n}`,
  });
  const number = makeSvg('text', svg, {
    x: Math.max(defect.box[0], line.a) - line.a, y: Math.max(defect.box[1], 16*view.pixel),
    class: 'number', fill: defect.colour, 'data-n': defect.n});
  number.textContent = defect.n;
  number.style.fontSize = `${16*view.pixel}px`;
  rect.addEventListener('click', () => choose(defect));
  rect.addEventListener('keydown', event => {
    if (event.key != 'Enter' && event.key != ' ') return;
    event.preventDefault();
    choose(defect);
  });
};
const drawLine = (root, view, line, choose) => {
  const viewBox = `0 0 ${view.per} ${view.width + 22*view.pixel}`;
  const svg = makeSvg('svg', root, {viewBox, class: 'line'});
  const size = {x: 0, y: 0, width: line.b - line.a, height: view.width};
  makeSvg('image', svg, {href: line.image, ...size, preserveAspectRatio: 'none'});
  const isHere = (from, to) => to > line.a && from < line.b;
  for (const [from, to] of view.missed)
    if (isHere(from, to)) drawMissed(svg, view, line, [from, to]);
  for (const defect of view.defects)
    if (isHere(defect.box[0], defect.box[2])) drawDefect(svg, view, line, defect, choose);
  drawRuler(svg, view, line);
};
const drawMissed = (svg, view, line, [from, to]) => {
  const id = `stripes-${line.a}`, wide = view.width/12;
  if (!svg.querySelector('pattern')) {
    const pattern = makeSvg('pattern', svg, {
      id, width: wide, height: wide, patternUnits: 'userSpaceOnUse',
      patternTransform: 'rotate(45)'});
    makeSvg('rect', pattern, {width: wide, height: wide, class: 'gap'});
    makeSvg('rect', pattern, {width: wide/3, height: wide, class: 'stripe'});
  }
  const attributes = {class: 'missed', fill: `url(#${id})`};
  const rect = drawBox(svg, line, [from, 0, to, view.width], attributes);
  makeSvg('title', rect, {}).textContent = 'not judged';
};
const drawCrop = (panel, {crop, at: [x, y, side], box: [x0, y0, x1, y1], colour}) => {
  const svg = makeSvg('svg', panel, {viewBox: `0 0 ${side} ${side}`, class: 'crop'});
  makeSvg('image', svg, {href: crop, width: side, height: side});
  const place = {x: x0 - x, y: y0 - y, width: x1 - x0, height: y1 - y0};
  makeSvg('rect', svg, {...place, class: 'defect', stroke: colour});
};
// The table of defects is Gradio's; its first column has the number.
const tableRows = () => [...document.querySelectorAll('#strip-table tr, #strip-table [role=row]')];
const rowNumber = row => {
  const cell = row.querySelector('td, [role=gridcell]');
  return cell ? parseInt(cell.textContent, 10) : NaN;
};
const markRow = defect => {
  for (const row of tableRows()) {
    const isChosen = rowNumber(row) == defect.n;
    row.classList.toggle('chosen-row', isChosen);
    if (isChosen) row.scrollIntoView({block: 'nearest'});
  }
};
const showDefect = (root, panel, defect) => {
  panel.replaceChildren();
  for (const outline of root.querySelectorAll('.defect'))
    outline.classList.toggle('chosen', outline.dataset.n == defect.n);
  if (defect.crop) drawCrop(panel, defect);
  const text = make('div', '', panel);
  const title = make('h2', '', text, `${defect.n} · ${defect.label}`);
  title.tabIndex = -1;
  for (const line of defect.facts) make('p', '', text, line);
};
// A slider for each class: defects below it are not shown, and not counted.
const makeLegend = (root, view, onChange) => {
  const legend = make('div', 'legend', root), classes = new Map();
  for (const {label, colour} of view.defects) classes.set(label, colour);
  for (const [label, colour] of classes) {
    const item = make('label', 'sense', legend), own = view.defects.filter(d => d.label == label);
    make('i', '', item).style.background = colour;
    const words = make('span', '', item), input = make('input', '', item);
    Object.assign(input, {type: 'range', min: 0, max: 100, value: 0});
    input.setAttribute('aria-label', `least certainty of ${label}`);
    const update = () => {
      const least = input.value/100, from = `, from ${percent(least)} on`;
      for (const defect of own) Object.assign(defect, {least, hidden: defect.p < least});
      const shown = own.filter(defect => !defect.hidden).length;
      words.textContent = `${label} ${shown} of ${own.length}${least ? from : ''}`;
    };
    input.addEventListener('input', () => { update(); onChange(); });
    update();
  }
  const missed = view.missed.reduce((sum, [from, to]) => sum + to - from, 0);
  if (missed)
    make('span', '', legend, `striped: not judged (${percent(missed/view.length)} of the strip)`);
};
// How many defects begin on each metre, one bar a metre.
const drawDensity = (root, view) => {
  root.replaceChildren();
  if (!view.mm || view.length*view.mm < 3000 || !view.defects.length) return;
  const metre = 1000/view.mm, counts = Array(Math.ceil(view.length/metre)).fill(0);
  for (const {box, hidden} of view.defects) if (!hidden) counts[Math.floor(box[0]/metre)]++;
  const most = Math.max(...counts, 1), viewBox = `0 0 ${counts.length} 1`;
  const svg = makeSvg('svg', root, {viewBox, preserveAspectRatio: 'none', class: 'density'});
  counts.forEach((n, i) => {
    const place = {x: i + .05, y: 1 - n/most, width: .9, height: n/most};
    makeSvg('title', makeSvg('rect', svg, place), {}).textContent = `metre ${i + 1}: ${n}`;
  });
  make('p', 'quiet', root, `Defects a metre, from head to tail; the tallest bar is ${most}.`);
};
// A table of the defects that the sliders leave, with the certainty that each class was asked for.
const offerShown = (root, view) => {
  root.replaceChildren();
  if (!view.defects.some(defect => defect.hidden)) return;
  const lines = [['n', 'class', 'sure', 'least_sure', 'x0', 'y0', 'x1', 'y1']];
  for (const {n, label, p, least, box, hidden} of view.defects)
    if (!hidden) lines.push([n, `"${label.replaceAll('"', '""')}"`, p, least, ...box]);
  const table = lines.map(line => line.join(',')).join('\n') + '\n';
  const link = make('a', 'button', root, 'Save the defects that are shown');
  link.download = 'shown.csv';
  link.href = `data:text/csv;charset=utf-8,${encodeURIComponent(table)}`;
};
const showSensed = (root, view) => {
  for (const node of root.querySelectorAll('.lines [data-n]'))
    node.style.display = view.defects[node.dataset.n - 1].hidden ? 'none' : '';
};
let chooseNumber = () => {};
document.addEventListener('click', event => {
  const row = event.target.closest('#strip-table tr, #strip-table [role=row]');
  if (row) chooseNumber(rowNumber(row));
});
const draw = () => {
  const root = element.querySelector('.coil');
  root.replaceChildren();
  if (!props.value) {
    make('p', 'empty', root, 'The strip and its defects appear here.');
    return;
  }
  const view = JSON.parse(props.value);
  view.pixel = view.per/(root.clientWidth || 1000); // pixels of the strip to one of the screen
  const legend = make('div', '', root), shown = make('div', 'shown', root);
  const lines = make('div', 'lines', root);
  const density = make('div', '', root), panel = make('div', 'panel', root);
  makeLegend(legend, view, () => {
    showSensed(root, view);
    drawDensity(density, view);
    offerShown(shown, view);
  });
  drawDensity(density, view);
  const choose = defect => { showDefect(root, panel, defect); markRow(defect); };
  chooseNumber = n => {
    const defect = view.defects[n - 1];
    if (!defect) return;
    choose(defect);
    root.querySelector(`.lines [data-n="${n}"]`)?.scrollIntoView({block: 'nearest'});
  };
  for (const line of view.lines) drawLine(lines, view, line, choose);
  if (view.defects.length) choose(view.defects.find(defect => defect.crop) || view.defects[0]);
  else make('p', '', panel, 'No defect was found.');
};
watch('value', draw);
draw();
