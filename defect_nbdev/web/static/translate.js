// Shows the page in the visitor's language. The page is written in English; every text that comes
// to stand on it, and every label for screen readers, is looked up in one table of sentences, whose
// {0} and {1} stand for parts, {0#} for a number. What the table does not have stays English: code.
// The name of a file stays as it is, though the words in it were in the table. `TABLE` and
// `LANGUAGES` come before this script.
const translator = (() => {
  const ATTRIBUTES = ['aria-label', 'placeholder', 'title', 'alt'];
  const SKIPPED = 'script, style, code, pre, textarea, #about-facts, #about-card, #client, '
    + '#language, .review .name, .items .name, [translate=no], '
    + '#batch-table [data-testid^="cell-"][data-testid$="-0"], '
    + '#history-table [data-testid^="cell-"][data-testid$="-0"]';
  const FILE = /^[^:;]*\.[a-z][a-z0-9]{1,4}$/i;
  const NUMBER = '(<?[\\s\\u00a0]?\\d[\\d.,]*(?:[\\s\\u00a0]?%)?)';
  const sources = new WeakMap(); // text node or element -> {English by attribute, what is shown}
  let language = 'en', exact = new Map(), patterns = [];

  const escaped = text => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const patternOf = english => {
    const order = [], parts = english.split(/\{(\d#?)\}/);
    const regex = parts.map((part, i) => {
      if (i % 2 == 0) return escaped(part).replace(/ /g, '[\\s\\u00a0]');
      order.push(part[0]);
      return part.endsWith('#') ? NUMBER : '(.+?)';
    }).join('');
    const fixed = parts.filter((_, i) => i % 2 == 0).join('').replace(/[^a-z]/gi, '').length;
    return {regex: new RegExp(`^${regex}$`, 's'), order, fixed};
  };
  const prepare = () => {
    exact = new Map();
    patterns = [];
    if (language == 'en') return;
    for (const row of TABLE) {
      if (!row.en.includes('{')) exact.set(row.en, row[language]);
      else patterns.push({...patternOf(row.en), to: row[language]});
    }
    patterns.sort((a, b) => b.fixed - a.fixed); // what says most comes first
  };
  // 1,234.5 is 1.234,5 in German; Chinese and Japanese write numbers as English does.
  const ofNumber = text => {
    const isNumber = /^[<\s\u00a0]*\d[\d,]*(\.\d+)?[\s\u00a0]*(%|px²?|m?s|mm²?|m)?$/.test(text);
    if (language != 'de' || !isNumber) return null;
    return text.replace(/[.,]/g, sign => sign == '.' ? ',' : '.');
  };
  const ofPattern = text => {
    for (const {regex, order, fixed, to} of patterns) {
      const found = regex.exec(text);
      if (!found) continue;
      const parts = {}, known = found.slice(1).map(translate);
      if (!fixed && (/[.!?] /.test(text) || !known.some(part => part !== null)))
        continue; // only signs, and several sentences or nothing known
      order.forEach((name, i) => { parts[name] = known[i] ?? found[i + 1]; });
      return to.replace(/\{(\d)#?\}/g, (_, name) => parts[name]);
    }
    return null;
  };
  // A name and a number, as on a button that counts, or a number and a name.
  const ofCount = text => {
    const [, count, counted] = /^(\d[\d,.]*) (.+)$/.exec(text) || [];
    if (exact.get(counted)) return `${ofNumber(count) ?? count} ${exact.get(counted)}`;
    const found = /^(.+?)([\s\u00a0])(\d[\d,.]*(?:[\s\u00a0]?%)?)$/.exec(text);
    const name = found && exact.get(found[1]);
    return name ? name + found[2] + (ofNumber(found[3]) ?? found[3]) : null;
  };
  // A list, or several sentences: each by itself, if so many of them are known.
  const ofParts = (text, between, glue, enough) => {
    const parts = text.split(between);
    if (parts.length == 1) return null;
    const found = parts.map(translate);
    if (!found[enough](part => part !== null)) return null;
    return found.map((part, i) => part ?? parts[i]).join(glue);
  };
  const translate = text => {
    if (FILE.test(text)) return text;
    const plain = text.replace(/\u00a0/g, ' ');
    return exact.get(plain) ?? ofNumber(text) ?? ofCount(text)
      ?? ofParts(text, /(?<=[.!?]) /, ' ', 'every') ?? ofParts(text, /, /, ', ', 'every')
      ?? ofPattern(text)
      ?? ofParts(text, /(?<=[.!?]) /, ' ', 'some') ?? ofParts(text, /; /, '; ', 'some')
      ?? ofParts(text, /, /, ', ', 'some');
  };
  const shownFor = english => {
    const [, before, core, after] = /^(\s*)(.*?)(\s*)$/s.exec(english);
    if (language == 'en' || !core) return english;
    const found = translate(core);
    return found === null ? english : before + found + after;
  };
  const isSkipped = node => {
    const element = node.nodeType == 1 ? node : node.parentElement;
    return !element || element.closest(SKIPPED);
  };
  const show = (node, key, read, write) => {
    const known = sources.get(node) || {}, now = read();
    if (!known[key] || known[key].shown !== now) known[key] = {english: now};
    const shown = shownFor(known[key].english);
    known[key].shown = shown;
    sources.set(node, known);
    if (shown !== now) write(shown);
  };
  const showText = node => {
    if (node.data.trim() && !isSkipped(node))
      show(node, 'text', () => node.data, text => { node.data = text; });
  };
  // What is typed into a field stays; what the page says of the field is translated.
  const isSilent = element =>
    isSkipped(element.matches('textarea') ? element.parentElement : element);
  const showAttributes = element => {
    if (isSilent(element)) return;
    for (const name of ATTRIBUTES) {
      if (!element.hasAttribute(name)) continue;
      show(element, name, () => element.getAttribute(name),
           text => element.setAttribute(name, text));
    }
  };
  const showAll = root => {
    if (root.nodeType == 3) return showText(root);
    if (root.nodeType != 1) return;
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    for (let node = root; node; node = walker.nextNode())
      node.nodeType == 3 ? showText(node) : showAttributes(node);
  };
  const observer = new MutationObserver(changes => {
    for (const {type, target, addedNodes} of changes) {
      if (type == 'childList') addedNodes.forEach(showAll);
      else if (type == 'characterData') showText(target);
      else showAttributes(target);
    }
  });
  const use = name => {
    language = LANGUAGES[name] ? name : 'en';
    prepare();
    document.documentElement.lang = language;
    showAll(document.body);
  };
  const start = () => {
    const wanted = localStorage.getItem('defect language') || navigator.language.slice(0, 2);
    observer.observe(document.body, {subtree: true, childList: true, characterData: true,
                                     attributes: true, attributeFilter: ATTRIBUTES});
    use(wanted);
  };
  const choose = name => {
    localStorage.setItem('defect language', name);
    use(name);
  };
  if (document.body) start();
  else document.addEventListener('DOMContentLoaded', start);
  // For the tests: what stands on the page, or is said of it to a screen reader, in English
  // although another language was asked for.
  const untranslated = () => {
    const found = new Set();
    const check = (node, key, text) => {
      const english = sources.get(node)?.[key]?.english.trim();
      if (english !== text || !/[a-z]{2}/i.test(text)) return;
      if ((key == 'text' ? isSkipped : isSilent)(node)) return;
      if (translate(text) === null) found.add(text); // some words are the same in both languages
    };
    const walker = document.createTreeWalker(document.body,
                                             NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (node.nodeType == 3) check(node, 'text', node.data.trim());
      else for (const name of ATTRIBUTES) check(node, name, (node.getAttribute(name) || '').trim());
    }
    return [...found];
  };
  return {choose, untranslated, get language() { return language; }};
})();
