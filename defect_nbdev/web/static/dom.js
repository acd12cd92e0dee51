// What both viewers are built from. Text is set as text, never as HTML.
const make = (tag, kind, parent, text) => {
  const node = document.createElement(tag);
  node.className = kind;
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
};
const makeSvg = (tag, parent, attributes) => {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const name in attributes) node.setAttribute(name, attributes[name]);
  parent.append(node);
  return node;
};
// As `percent` of core.html.
const percent = x => {
  if (x <= 0 || x >= 1) return Math.round(100*x) + '\u00a0%';
  if (x < .0005) return '<\u00a00.1\u00a0%';
  return (x <= .995 ? (100*x).toFixed(1) : Math.min(100*x, 99.99).toFixed(2)) + '\u00a0%';
};

// A slider from 0 to 100 that says its value with `format` and calls `onChange` with it.
const makeSlider = (parent, title, value, format, onChange) => {
  const label = make('label', 'range', parent);
  make('span', '', label, title);
  const input = make('input', '', label), output = make('output', '', label);
  Object.assign(input, {type: 'range', min: 0, max: 100, value});
  const update = () => {
    output.textContent = format(input.value);
    onChange(+input.value);
  };
  input.addEventListener('input', update);
  update();
};
const makeCheckbox = (parent, title, checked, onChange) => {
  const label = make('label', 'check', parent), input = make('input', '', label);
  Object.assign(input, {type: 'checkbox', checked});
  make('span', '', label, title);
  const update = () => onChange(input.checked);
  input.addEventListener('change', update);
  update();
};
