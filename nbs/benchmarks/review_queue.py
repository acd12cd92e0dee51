"""How long the page lets an inspector wait in a review of 60 pictures by keys.

    python nbs/benchmarks/review_queue.py [--model neu-lite0] [--images 60]

Starts `python app.py`, gives it drawn pictures as a batch, opens the review in Chromium and names
each by its key and Enter, with a second in which a person would look. Writes review_queue.json
beside itself: milliseconds from a key to the picture that it leads to, and what is left of four
minutes for looking at each picture. Wants playwright and Chromium."""
import shutil
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from app_load import make_pngs, quantiles, start_app
from common import cpu_name, json_beside, make_parser, write_json

LIMIT = 4*60  # seconds that the review may take
LOOK = 1000  # milliseconds in which a person would look at a picture
PICTURE = """() => {
  const picture = document.querySelector('.review .under');
  return picture && picture.complete && picture.naturalWidth ? picture.currentSrc : null;
}"""
OTHER_PICTURE = f"before => {{ const now = ({PICTURE})(); return now && now != before; }}"
LEFT = "n => document.querySelector('.review .left').innerText.startsWith(n + ' of')"


def open_review(page, url, files):
    "Inspect the files as a batch and open the review"
    page.goto(url)
    page.wait_for_selector('.brand .model')
    page.click('button[data-tab-id=batch]')
    page.set_input_files('#batch-files input[type=file]', files)
    shown = f"document.querySelectorAll('#batch-files tr').length == {len(files)}"
    page.wait_for_function(shown)
    page.click('#batch-go')
    page.wait_for_function("document.querySelector('#batch-status').innerText.includes('Done')",
                           timeout=300_000)
    page.click('button[data-tab-id=review]')
    page.wait_for_function(PICTURE)


def name_picture(page, key, left):
    "Milliseconds from the keys to the next picture, or to the end of the queue"
    before = page.evaluate(PICTURE)
    start = time.perf_counter()
    page.keyboard.press(key)
    page.keyboard.press('Enter')
    page.wait_for_function(LEFT, arg=left)
    if left: page.wait_for_function(OTHER_PICTURE, arg=before)
    return (time.perf_counter()-start)*1e3


def measure(model, images):
    "Milliseconds of every picture of the queue"
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for k,png in enumerate(make_pngs(images)): (folder/f'{k:03}.png').write_bytes(png)
        files = sorted(map(str, folder.glob('*.png')))
        process,url,*_ = start_app(model, folder, '--ledger', str(folder/'ledger.db'))
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which('chromium'),
                                                     args=['--no-sandbox'])
                page = browser.new_page(viewport={'width':1280, 'height':800})
                open_review(page, url, files)
                out = []
                for left in range(images-1, -1, -1):
                    page.wait_for_timeout(LOOK)
                    out.append(name_picture(page, str(left%6 + 1), left))
                return out
        finally:
            process.kill()


def main():
    parser = make_parser(__doc__)
    parser.add_argument('--model', default='neu-lite0')
    parser.add_argument('--images', type=int, default=60)
    args = parser.parse_args()
    waits = measure(args.model, args.images)
    spent = sum(waits)/1e3
    result = {'model':args.model, 'images':args.images, 'milliseconds':quantiles(waits),
              'waited_seconds':round(spent, 1), 'limit_seconds':LIMIT,
              'left_for_each_seconds':round((LIMIT-spent)/args.images, 2), 'cpu':cpu_name()}
    write_json(json_beside(__file__), result)
    print(result)


if __name__=='__main__':
    main()
