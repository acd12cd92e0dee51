// The review: answers in a list, the least sure first, one large picture, and a key for everything.
// Runs after dom.js, as the body of a function of (element, props, watch, server). `server` has the
// functions of ReviewQueue; every text is set as text, never as HTML.
const root = element.querySelector('.review');
const NO_DEFECT = 'no defect', PREFETCHED = 4;
const queue = {items: [], classes: [], titles: {}, signs: {}, filters: {}, item: null, saved: []};
const EMPTY = {item: null, view: null, name: null, boxes: [], drawn: false, selected: -1};
const shown = {...EMPTY};
const ways = {evidence: true, boxes: true, drawing: false, original: false};
const fetched = new Map(), parts = {};
const ask = async (name, data) => {
  try { return await server[name](data); }
  catch (error) { return {problem: 'The page does not answer. Is it still running?'}; }
};
// What is redrawn keeps the focus of somebody who goes by the Tab key.
const redraw = (place, fill) => {
  const active = document.activeElement, key = active && active.dataset.key;
  const byKey = key && place.contains(active) && active.matches(':focus-visible');
  place.replaceChildren();
  fill();
  if (byKey) [...place.querySelectorAll('button')].find(b => b.dataset.key == key)?.focus();
};

// --- the list -------------------------------------------------------------------------------
const FILTERS = {
  verdict: item => item.verdict, label: item => item.label, steel: item => item.steel,
};
const passes = (item, except) => Object.entries(queue.filters).every(
  ([kind, value]) => kind == except || FILTERS[kind](item) == value);
const listed = () => queue.items.filter(item => passes(item));
const open = items => items.filter(item => item.corrected === null);

const drawChips = () => redraw(parts.chips, () => {
  for (const [kind, valueOf] of Object.entries(FILTERS)) {
    const counts = new Map();
    for (const item of queue.items.filter(item => passes(item, kind))) {
      const value = valueOf(item);
      if (value) counts.set(value, (counts.get(value) || 0) + (item.corrected === null));
    }
    const group = make('div', 'group', parts.chips);
    for (const [value, n] of counts) {
      const words = kind == 'verdict' ? queue.titles[value] : value;
      const chip = make('button', 'chip', group, `${words} ${n}`);
      chip.type = 'button';
      chip.dataset.key = `${kind} ${value}`;
      chip.setAttribute('aria-pressed', queue.filters[kind] == value);
      chip.addEventListener('click', () => {
        if (queue.filters[kind] == value) delete queue.filters[kind];
        else queue.filters[kind] = value;
        drawList();
        const items = listed();
        if (!items.includes(queue.item)) openItem(open(items)[0] || items[0]);
      });
    }
  }
});
const drawList = () => {
  drawChips();
  const items = listed();
  parts.left.textContent = `${open(items).length} of ${items.length} left`;
  parts.more.hidden = !queue.more;
  let current = null;
  redraw(parts.list, () => { for (const item of items) current = makeItem(item) || current; });
  if (current) keepInSight(current);
};
const makeItem = item => {
  const place = make('li', '', parts.list), button = make('button', `item ${item.kind}`, place);
  button.type = 'button';
  button.dataset.key = item.id;
  const isOpen = item.corrected === null;
  make('span', 'sign', button, isOpen ? queue.signs[item.verdict] : '●');
  make('span', 'name', button, item.name);
  const isNameless = item.verdict == 'unrecognised' && !item.of_scan;
  const said = isNameless ? queue.titles[item.verdict] : item.named;
  make('span', 'said', button, isOpen ? said : item.corrected);
  button.classList.toggle('done', !isOpen);
  button.addEventListener('click', () => { openItem(item); showPicture(); });
  if (item != queue.item) return null;
  button.setAttribute('aria-current', 'true');
  return place;
};
// Scrolls the list alone: on a phone it lies below the picture, which must not move.
const keepInSight = node => {
  const {list} = parts, top = node.offsetTop - list.offsetTop;
  if (top < list.scrollTop) list.scrollTop = top;
  const beyond = top + node.offsetHeight - list.clientHeight;
  if (beyond > list.scrollTop) list.scrollTop = beyond;
};

// Where the list lies below the picture, what was chosen there would open out of sight.
const showPicture = () => {
  const {top, bottom} = parts.body.getBoundingClientRect();
  if (top < -40 || bottom < 0) parts.body.scrollIntoView({behavior: 'smooth'});
};

// --- one answer -----------------------------------------------------------------------------
const fetchItem = item => {
  if (!fetched.has(item.id)) {
    fetched.set(item.id, ask('open_item', item.id).then(view => {
      if (view.problem) fetched.delete(item.id); // it may be there the next time
      return view;
    }));
    if (fetched.size > PREFETCHED) fetched.delete(fetched.keys().next().value);
  }
  return fetched.get(item.id);
};
const openItem = async item => {
  queue.item = item || null;
  Object.assign(shown, EMPTY); // nothing can be said of a picture that is not there yet
  parts.note.value = '';
  drawNames();
  drawList();
  if (!item) return drawNothing();
  const view = await fetchItem(item);
  if (queue.item != item) return; // somebody has gone on meanwhile
  Object.assign(shown, {item, view, boxes: (view.boxes || []).map(box => [...box])});
  if (item.corrected !== null) shown.name = item.corrected;
  else if (item.verdict == 'certain') shown.name = item.label;
  else if (item.verdict == 'no_defect') shown.name = NO_DEFECT;
  parts.note.value = item.note || '';
  zoom.reset();
  drawAnswer();
  const next = neighbour(1);
  if (next && !view.problem) fetchItem(next);
};
const neighbour = step => {
  const items = listed();
  return items[items.indexOf(queue.item) + step];
};
const drawNothing = () => {
  shown.view = null;
  parts.body.hidden = true;
  parts.empty.hidden = false;
};
const say = words => { parts.status.textContent = words; };

const drawAnswer = () => {
  const {view} = shown, {item} = queue;
  parts.body.hidden = false;
  parts.empty.hidden = true;
  parts.card.className = `said ${item.kind}`;
  parts.title.textContent = view.problem ? 'Not to be seen' : view.title;
  parts.sure.textContent = view.problem ? '' : view.named;
  parts.reason.textContent = view.problem || view.reason;
  parts.steel.textContent = item.steel ? `Steel: ${item.steel}` : '';
  parts.facts.textContent = `${item.name}, ${item.time}`;
  parts.stage.hidden = Boolean(view.problem);
  if (!view.problem) {
    parts.canvas.style.aspectRatio = `${view.width}/${view.height}`;
    parts.canvas.style.setProperty('--ratio', view.width/view.height);
    parts.under.src = view.surface;
    parts.under.alt = `the surface in ${item.name}`;
    parts.svg.setAttribute('viewBox', `0 0 ${view.width} ${view.height}`);
  }
  drawNames();
  drawLayers();
};
const names = () => [...queue.classes, NO_DEFECT];
const keyOf = i => i == queue.classes.length ? '0' : i < 9 ? String(i + 1) : '';
const drawNames = () => {
  redraw(parts.names, () => names().forEach((name, i) => {
    const button = make('button', 'choose', parts.names);
    button.type = 'button';
    make('kbd', '', button, keyOf(i));
    make('span', '', button, name);
    button.setAttribute('aria-pressed', shown.name == name);
    button.dataset.key = name;
    button.addEventListener('click', () => choose(name));
  }));
  parts.confirm.textContent = shown.name ? `Confirm: ${shown.name}` : 'Choose a name first';
  parts.confirm.disabled = !shown.name;
};
const choose = name => {
  if (!shown.view) return;
  shown.name = name;
  if (shown.selected >= 0 && name != NO_DEFECT) {
    shown.boxes[shown.selected][0] = name;
    shown.drawn = true;
  }
  drawNames();
  drawLayers();
};

// --- confirm and undo -----------------------------------------------------------------------
const confirmName = async () => {
  const {item} = queue;
  if (!item || shown.item != item || queue.saving) return;
  if (!shown.name) return say('Choose a name first: the keys stand beside the names.');
  const boxes = shown.drawn ? shown.boxes : null, label = shown.name, note = parts.note.value;
  queue.saving = true;
  const told = await ask('save_item', {id: item.id, label, note, boxes, by: parts.by.value});
  queue.saving = false;
  if (told.problem) return say(told.problem);
  Object.assign(item, {corrected: told.label, note});
  queue.saved.push({item, correction: told.correction});
  fetched.delete(item.id);
  const left = open(listed());
  say(`${item.name}: ${told.label}. ${left.length} left.`);
  const items = listed(), at = items.indexOf(item);
  openItem(items.slice(at + 1).find(other => other.corrected === null) || left[0] || item);
};
const undo = async () => {
  const last = queue.saved.pop();
  if (!last) return say('There is nothing to undo.');
  const {item, correction} = last;
  const told = await ask('undo_item', {id: item.id, correction});
  if (told.problem) return say(told.problem);
  Object.assign(item, {corrected: told.label, note: told.note || ''});
  fetched.delete(item.id);
  say(`${item.name}: undone.`);
  openItem(item);
};

// --- layers: evidence and boxes ---------------------------------------------------------------
const corners = ([, x0, y0, x1, y1]) => [[x0, y0], [x1, y0], [x0, y1], [x1, y1]];
const drawLayers = () => {
  const {view} = shown;
  if (!view || view.problem) return;
  const target = view.classes.find(item => item.name == (shown.name || view.label));
  parts.heat.src = (target || view.classes[0]).layer;
  parts.heat.hidden = !target || !ways.evidence || ways.original;
  parts.svg.style.visibility = ways.boxes && !ways.original ? '' : 'hidden';
  parts.svg.replaceChildren();
  shown.boxes.forEach((box, i) => {
    const [name, x0, y0, x1, y1] = box;
    const attributes = {x: x0, y: y0, width: x1 - x0, height: y1 - y0};
    const kind = i == shown.selected ? 'box selected' : 'box';
    const rect = makeSvg('rect', parts.svg, {...attributes, class: kind, 'data-box': i});
    makeSvg('title', rect, {}).textContent = name;
    if (i != shown.selected) return;
    const side = 8*view.width/parts.canvas.getBoundingClientRect().width;
    corners(box).forEach(([x, y], corner) => makeSvg('rect', parts.svg, {
      x: x - side/2, y: y - side/2, width: side, height: side, class: 'handle',
      'data-box': i, 'data-corner': corner}));
  });
  for (const [way, button] of Object.entries(parts.ways))
    button.setAttribute('aria-pressed', ways[way]);
  parts.stage.classList.toggle('drawing', ways.drawing);
};
const toggle = way => {
  ways[way] = !ways[way];
  if (way == 'drawing' && ways.drawing) ways.boxes = true;
  drawLayers();
};
const strikeOut = () => {
  if (shown.selected < 0) return say('Choose a box first.');
  shown.boxes.splice(shown.selected, 1);
  Object.assign(shown, {selected: -1, drawn: true});
  drawLayers();
};

// --- the picture: wheel and pinch zoom, a drag moves it; boxes are drawn and moved -------------
const zoom = {
  scale: 1, x: 0, y: 0,
  apply() {
    parts.canvas.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
  },
  reset() {
    Object.assign(this, {scale: 1, x: 0, y: 0});
    this.apply();
  },
  by(factor, clientX, clientY) {
    const stage = parts.stage.getBoundingClientRect();
    const scale = Math.min(20, Math.max(1, this.scale*factor)), ratio = scale/this.scale;
    const px = clientX - stage.left - parts.canvas.offsetLeft;
    const py = clientY - stage.top - parts.canvas.offsetTop;
    this.x = px - (px - this.x)*ratio;
    this.y = py - (py - this.y)*ratio;
    this.scale = scale;
    if (scale == 1) this.x = this.y = 0;
    this.apply();
    drawLayers();
  },
};
const toImage = event => {
  const {left, top, width, height} = parts.canvas.getBoundingClientRect(), {view} = shown;
  const inside = (x, most) => Math.round(Math.min(most, Math.max(0, x)));
  return [inside((event.clientX - left)/width*view.width, view.width),
          inside((event.clientY - top)/height*view.height, view.height)];
};
const touches = new Map();
let gesture = null;
const beginGesture = event => {
  const [x, y] = toImage(event), {box, corner} = event.target.dataset;
  if (corner !== undefined) {
    const opposite = corners(shown.boxes[box])[3 - corner];
    return {kind: 'draw', box: +box, from: opposite, name: shown.boxes[box][0]};
  }
  if (ways.drawing) {
    const name = shown.name && shown.name != NO_DEFECT ? shown.name : shown.view.label;
    shown.boxes.push([name, x, y, x, y]);
    return {kind: 'draw', box: shown.boxes.length - 1, from: [x, y], name, isNew: true};
  }
  if (box !== undefined) {
    shown.selected = +box;
    return {kind: 'move', box: +box, from: [x, y], start: [...shown.boxes[box]]};
  }
  shown.selected = -1;
  return {kind: 'pan', from: [event.clientX - zoom.x, event.clientY - zoom.y]};
};
const continueGesture = event => {
  const [x, y] = toImage(event), {kind, box, from} = gesture;
  if (kind == 'pan') {
    if (zoom.scale == 1) return;
    zoom.x = event.clientX - from[0];
    zoom.y = event.clientY - from[1];
    return zoom.apply();
  }
  if (kind == 'draw') {
    const edges = [Math.min(x, from[0]), Math.min(y, from[1]),
                   Math.max(x, from[0]), Math.max(y, from[1])];
    shown.boxes[box] = [gesture.name, ...edges];
  } else {
    const [name, x0, y0, x1, y1] = gesture.start, {width, height} = shown.view;
    const dx = Math.min(width - x1, Math.max(-x0, x - from[0]));
    const dy = Math.min(height - y1, Math.max(-y0, y - from[1]));
    if (!dx && !dy) return;
    shown.boxes[box] = [name, x0 + dx, y0 + dy, x1 + dx, y1 + dy];
  }
  Object.assign(shown, {selected: box, drawn: true});
  drawLayers();
};
const endGesture = () => {
  if (gesture && gesture.kind == 'draw') {
    const [, x0, y0, x1, y1] = shown.boxes[gesture.box];
    if (x1 - x0 < 2 || y1 - y0 < 2) { // a click, not a box
      shown.boxes.splice(gesture.box, 1);
      shown.selected = -1;
    }
  }
  gesture = null;
  drawLayers();
};
const spread = () => {
  const [a, b] = touches.values();
  return {length: Math.hypot(a.x - b.x, a.y - b.y), x: (a.x + b.x)/2, y: (a.y + b.y)/2};
};
const connectStage = () => {
  const {stage} = parts;
  stage.addEventListener('wheel', event => {
    event.preventDefault();
    zoom.by(Math.exp(-event.deltaY/400), event.clientX, event.clientY);
  }, {passive: false});
  stage.addEventListener('dblclick', () => { zoom.reset(); drawLayers(); });
  stage.addEventListener('pointerdown', event => {
    event.preventDefault();
    stage.setPointerCapture(event.pointerId);
    touches.set(event.pointerId, {x: event.clientX, y: event.clientY});
    if (touches.size == 1) gesture = beginGesture(event);
    else {
      if (gesture && gesture.isNew) shown.boxes.splice(gesture.box, 1); // it was no box
      shown.selected = -1;
      gesture = {kind: 'pinch', last: spread()};
    }
    drawLayers();
  });
  stage.addEventListener('pointermove', event => {
    if (!touches.has(event.pointerId)) return;
    touches.set(event.pointerId, {x: event.clientX, y: event.clientY});
    if (!gesture) return;
    if (gesture.kind != 'pinch') return continueGesture(event);
    const now = spread();
    zoom.by(now.length/gesture.last.length, now.x, now.y);
    gesture.last = now;
  });
  for (const end of ['pointerup', 'pointercancel']) stage.addEventListener(end, event => {
    touches.delete(event.pointerId);
    endGesture();
  });
};

// --- keys -------------------------------------------------------------------------------------
const KEYS = {
  Enter: confirmName, u: undo, e: () => toggle('evidence'), b: () => toggle('boxes'),
  d: () => toggle('drawing'), Delete: strikeOut, Backspace: strikeOut,
  ArrowRight: () => step(1), ArrowDown: () => step(1), ArrowLeft: () => step(-1),
  ArrowUp: () => step(-1), Escape: () => { ways.drawing = false; zoom.reset(); drawLayers(); },
};
const step = by => { const item = neighbour(by); if (item) openItem(item); };
const isTyping = target => target.matches('input, textarea, select, [contenteditable=true]');
// Enter and the arrows belong to a button that somebody reached by the Tab key; one that was only
// clicked keeps the focus, and no claim to them.
let goesByTab = false;
const noteTab = event => {
  goesByTab = event.type == 'keydown' && (event.key == 'Tab' || goesByTab);
};
const hasOwnKeys = target =>
  goesByTab && target.closest('button, a, summary, [role=tab], [role=button]');
const onKey = event => {
  if (!root.isConnected) return document.removeEventListener('keydown', onKey);
  if (root.offsetParent === null || event.ctrlKey || event.metaKey || event.altKey) return;
  if (isTyping(event.target)) {
    if (event.key == 'Escape') event.target.blur();
    return;
  }
  const name = names().find((_, i) => keyOf(i) == event.key && event.key);
  const act = name ? () => choose(name) : KEYS[event.key];
  if (event.key == 'o' && !event.repeat) { ways.original = true; drawLayers(); }
  const isArrow = event.key.startsWith('Arrow');
  if (!act || (event.repeat && !isArrow)) return;
  if ((event.key == 'Enter' || isArrow) && hasOwnKeys(event.target)) return;
  event.preventDefault();
  act();
};
const onKeyUp = event => {
  if (event.key != 'o') return;
  ways.original = false;
  drawLayers();
};

// --- the layout -------------------------------------------------------------------------------
const makeWay = (parent, way, key, words) => {
  const button = make('button', 'way', parent);
  button.type = 'button';
  make('kbd', '', button, key);
  make('span', '', button, words);
  button.addEventListener('click', () => toggle(way));
  return button;
};
const makeField = (parent, words) => {
  const label = make('label', 'field', parent);
  make('span', '', label, words);
  return make('input', '', label);
};
const layOut = () => {
  root.replaceChildren();
  const head = make('div', 'head', root);
  parts.left = make('strong', 'left', head);
  parts.more = make('button', 'more', head, 'Older answers wait, too: load the list again');
  parts.more.type = 'button';
  parts.more.hidden = true;
  parts.more.addEventListener('click', load);
  parts.chips = make('div', 'chips', head);
  parts.status = make('p', 'status', root);
  parts.status.setAttribute('role', 'status');
  parts.empty = make('p', 'empty', root);
  parts.body = make('div', 'body', root);
  parts.list = make('ol', 'items', parts.body);
  parts.list.setAttribute('aria-label', 'Answers, the least sure first');
  const middle = make('div', 'middle', parts.body);
  parts.stage = make('div', 'stage', middle);
  parts.canvas = make('div', 'canvas', parts.stage);
  parts.under = make('img', 'under', parts.canvas);
  parts.heat = make('img', 'heat', parts.canvas);
  parts.heat.alt = '';
  parts.svg = makeSvg('svg', parts.canvas, {class: 'boxes', preserveAspectRatio: 'none'});
  for (const image of [parts.under, parts.heat]) image.draggable = false;
  const tools = make('div', 'tools', middle);
  parts.ways = {
    evidence: makeWay(tools, 'evidence', 'E', 'evidence'),
    boxes: makeWay(tools, 'boxes', 'B', 'boxes'),
    drawing: makeWay(tools, 'drawing', 'D', 'draw a box'),
  };
  make('span', 'hint', tools, 'O held: original. Wheel or pinch: zoom. Del: strike out a box.');
  const side = make('div', 'side', parts.body);
  parts.card = make('div', 'said', side);
  parts.title = make('h2', '', parts.card);
  parts.sure = make('p', 'sure', parts.card);
  parts.reason = make('p', '', parts.card);
  parts.steel = make('p', '', parts.card);
  parts.facts = make('p', 'quiet', parts.card);
  parts.names = make('div', 'names', side);
  parts.note = makeField(side, 'Why (for people)');
  parts.note.maxLength = 500;
  parts.by = makeField(side, 'Your name');
  parts.by.maxLength = 80;
  const buttons = make('div', 'buttons', side);
  parts.confirm = make('button', 'confirm', buttons);
  parts.undo = make('button', 'undo', buttons, 'Undo');
  for (const button of [parts.confirm, parts.undo]) button.type = 'button';
  parts.confirm.title = 'Enter';
  parts.undo.title = 'U';
  parts.confirm.addEventListener('click', confirmName);
  parts.undo.addEventListener('click', undo);
  connectStage();
};
const load = async () => {
  const told = await ask('list_items', null);
  Object.assign(queue, {items: []}, told, {saved: [], filters: {}});
  fetched.clear();
  parts.empty.textContent = told.problem || 'No answer waits here. Inspect an image, a batch, '
    + 'or let defect_inspect write to the same ledger.';
  openItem(open(queue.items)[0] || queue.items[0]);
};
layOut();
drawNothing();
for (const kind of ['keydown', 'pointerdown']) document.addEventListener(kind, noteTab, true);
document.addEventListener('keydown', onKey);
document.addEventListener('keyup', onKeyUp);
watch('value', load);
if (props.value) load();
