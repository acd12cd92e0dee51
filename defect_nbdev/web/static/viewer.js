// Draws `props.value`, the JSON of viewer_data, into the element's .viewer: surface, heatmap and
// boxes on the left, a button for each class on the right. Runs after dom.js, as the body of a
// function of (element, props, watch). What a person has set stays when the next image comes.
const settings = {opacity: 60, divide: 0, boxes: true};

const makeStage = (root, view) => {
  const stage = make('div', 'stage', root);
  stage.style.aspectRatio = view.width + '/' + view.height;
  root.style.setProperty('--ratio', view.width/view.height);
  const surface = make('img', 'under', stage), heat = make('img', 'heat', stage);
  const viewBox = `0 0 ${view.width} ${view.height}`;
  const boxes = makeSvg('svg', stage, {class: 'boxes', viewBox, preserveAspectRatio: 'none'});
  const line = make('div', 'cut', stage);
  surface.src = view.surface;
  surface.alt = 'the surface';
  return {heat, boxes, line};
};
const drawBoxes = (svg, boxes) => {
  svg.replaceChildren();
  for (const [x0, y0, x1, y1] of boxes)
    makeSvg('rect', svg, {x: x0, y: y0, width: x1 - x0, height: y1 - y0});
};
const makeScale = (root, scale) => {
  const bar = make('div', 'scale', root);
  make('div', 'colours', bar);
  const ends = make('div', 'ends', bar);
  bar.title = `full colour is evidence of ${scale.toPrecision(2)} and more`;
  const words = ['none', 'evidence for the class', 'full'];
  for (const text of words) make('span', '', ends, text);
};
const makeSliders = (root, stage) => {
  makeSlider(root, 'Opacity', settings.opacity, x => x + ' %', x => {
    settings.opacity = x;
    stage.heat.style.opacity = x/100;
  });
  makeSlider(root, 'Side by side', settings.divide, x => x == 0 ? 'off' : x + ' %', x => {
    settings.divide = x;
    for (const layer of [stage.heat, stage.boxes]) layer.style.clipPath = `inset(0 0 0 ${x}%)`;
    stage.line.style.left = x + '%';
    stage.line.hidden = x == 0;
  });
};
// Where an answer has no name, a number beside a class would be read as one.
const makeBar = (parent, item, nameless) => {
  const button = make('button', 'bar' + (item.inside ? ' inside' : ''), parent);
  button.type = 'button';
  make('span', 'name', button, item.name);
  const fill = make('span', 'fill', make('span', 'track', button));
  fill.style.width = (nameless ? 0 : 100*item.p) + '%';
  make('span', 'value', button, nameless ? '–' : percent(item.p));
  if (item.inside) button.title = 'in the label set: cannot be excluded';
  return button;
};
const describe = item => {
  const count = item.boxes.length;
  if (!count) return `no evidence for ${item.name}`;
  const places = count + (count > 1 ? ' places' : ' place');
  return `${item.name}: ${percent(item.area)} of the image in ${places}`;
};
const makeClasses = (root, view, stage) => {
  make('h2', '', root, `${view.nameless ? 'Evidence for' : 'Probability of'} each class`);
  make('p', 'quiet', root, 'Choose a class to see where the evidence for it is.');
  const list = make('div', 'bars', root), summary = make('p', 'summary', root), buttons = [];
  const show = chosen => {
    const item = view.classes[chosen];
    stage.heat.src = item.layer;
    stage.heat.alt = `evidence for ${item.name}`;
    drawBoxes(stage.boxes, item.boxes);
    summary.textContent = describe(item);
    buttons.forEach((button, i) => button.setAttribute('aria-pressed', i == chosen));
  };
  view.classes.forEach((item, i) => {
    buttons.push(makeBar(list, item, view.nameless));
    buttons[i].addEventListener('click', () => show(i));
  });
  makeCheckbox(root, 'Boxes', settings.boxes, checked => {
    settings.boxes = checked;
    stage.boxes.style.visibility = checked ? '' : 'hidden';
  });
  show(view.classes.findIndex(item => item.name == view.target));
};
const place = element.closest('[id$="viewer"]');
// From an answer that was opened from a table back to that table.
const makeWayBack = root => {
  const table = place && document.getElementById(place.id.replace('viewer', 'table'));
  if (!table) return;
  const button = make('button', 'back', root, 'Back to the table');
  button.type = 'button';
  button.addEventListener('click', () => table.scrollIntoView({behavior: 'smooth'}));
};
// Under a long table, or on a phone, an answer would come where nobody looks.
const showAnswer = () => {
  const card = place && document.getElementById(place.id.replace('viewer', 'card'));
  if (!card) return;
  const {top, bottom} = card.getBoundingClientRect();
  if (top > .7*innerHeight || bottom < 0) card.scrollIntoView({behavior: 'smooth'});
};
const draw = () => {
  const root = element.querySelector('.viewer');
  root.replaceChildren();
  if (!props.value) {
    make('p', 'empty', root, 'The image and its heatmap appear here.');
    return;
  }
  const view = JSON.parse(props.value);
  makeWayBack(root);
  const left = make('div', 'left', root), right = make('div', 'right', root);
  const stage = makeStage(left, view);
  makeScale(left, view.scale);
  makeSliders(left, stage);
  makeClasses(right, view, stage);
  requestAnimationFrame(showAnswer);
};
watch('value', draw);
draw();
