// What Gradio leaves to be desired for the keyboard and for screen readers, mended wherever it
// comes to stand on the page.
(() => {
  const MENDED = [
    // a field whose only name is a title
    ['input[title]:not([aria-label])', field => field.setAttribute('aria-label', field.title)],
    // a key of Gradio's own table of words, on a button around another button
    ['button[aria-label="common.upload"]', button => {
      for (const name of ['title', 'aria-haspopup']) button.removeAttribute(name);
      button.setAttribute('aria-label', 'Upload');
      button.setAttribute('role', 'group');
      button.tabIndex = -1;
    }],
  ];
  const mend = root => {
    for (const [selector, change] of MENDED) {
      if (root.matches(selector)) change(root);
      root.querySelectorAll(selector).forEach(change);
    }
  };
  const observer = new MutationObserver(changes => {
    for (const {type, target, addedNodes} of changes) {
      if (type == 'attributes') mend(target);
      else addedNodes.forEach(node => { if (node.nodeType == 1) mend(node); });
    }
  });
  const start = () => {
    observer.observe(document.body, {subtree: true, childList: true, attributes: true,
                                     attributeFilter: ['aria-label', 'title']});
    mend(document.body);
  };
  if (document.body) start();
  else document.addEventListener('DOMContentLoaded', start);
})();
