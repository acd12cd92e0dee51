// An image pasted anywhere on the page goes to the inspect tab, if that is on screen.
document.addEventListener('paste', event => {
  const files = [...(event.clipboardData || {files: []}).files];
  const input = document.querySelector('#upload input[type=file]');
  if (!files.length || !input || !document.querySelector('#upload').offsetParent) return;
  const transfer = new DataTransfer();
  transfer.items.add(files[0]);
  input.files = transfer.files;
  input.dispatchEvent(new Event('change', {bubbles: true}));
});
