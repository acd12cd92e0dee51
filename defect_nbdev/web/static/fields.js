// Whoever comes to the field of the right class finds its text selected: typing replaces it.
(() => {
  const isField = node => node.matches('#correct-label input');
  let isFresh = false; // a click that brings the focus would take the selection away again
  document.addEventListener('focusin', ({target}) => {
    if (!isField(target)) return;
    target.select();
    isFresh = true;
  });
  document.addEventListener('click', ({target}) => {
    if (isField(target) && isFresh) target.select();
    isFresh = false;
  });
  document.addEventListener('keydown', () => { isFresh = false; });
})();
