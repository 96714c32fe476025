// The dashboard in Chromium: `make browser-test`.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, afterEach, before, beforeEach, test } from 'node:test';

import { chromium } from 'playwright-core';

import { App, until, Weir } from './peers.mjs';

const LIMIT = 4;
const QUEUE = 6;
const WIDTHS = [1280, 390];
const KILOBYTES_MAX = 64;
const FOLLOW_MS = 2000;
const SOON_MS = 10000; // where the time is not what is tested: machines stall

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const paths = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const executablePath = paths.find((path) => path && existsSync(path));

let browser;
let app;
let weir;
let context;
let page;
let complaints; // what the browser's console says
let requests;

before(async () => {
  assert.ok(executablePath, 'no Chromium: name it in CHROMIUM');
  browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
});

after(() => browser?.close());

beforeEach(async () => {
  app = await new App().start();
  weir = await new Weir(app, ['--concurrency', String(LIMIT), '--queue-length', String(QUEUE)]).start();
});

afterEach(async () => {
  await context?.close();
  context = undefined;
  app.release();
  await weir.stop('SIGKILL');
  app.stop();
});

async function open(width = 1280, colorScheme = 'light') {
  await context?.close();
  context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme, isMobile: width < 500, hasTouch: width < 500 });
  page = await context.newPage();
  complaints = [];
  requests = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.stack));
  page.on('request', (request) => requests.push(request));
  await page.goto(weir.page);
  await until('the page is live', SOON_MS, async () => (await text('#link')) === 'live');
}

const text = async (selector) => (await page.textContent(selector)).replaceAll(/[\u00a0\u202f]/g, ' ').trim();
const shows = (selector, wanted) => async () => {
  const found = await text(selector);
  assert.ok(wanted.test(found), `${selector} is "${found}"`);
  return true;
};

// Fills the slots and the queue, and has two more refused.
async function overload() {
  app.open = false;
  const answers = weir.ask(LIMIT + QUEUE + 2);
  await until('the queue is full', SOON_MS, async () => (await weir.json('status')).queue.depth === QUEUE);
  return answers;
}

test('the page shows that nothing has happened yet', async () => {
  await open();
  await until('no request', SOON_MS, shows('#load .empty', /^No request has arrived/));
  assert.equal(await text('#in-flight'), `0 of ${LIMIT}`);
  assert.equal(await text('#wait'), '–');
  assert.match(await text('#no-phases'), /^No request has finished/);
  assert.deepEqual(complaints, []);
});

test('figures follow the load within 2 s and equal those of /metrics', async (t) => {
  await open();
  const answers = overload();
  const took = await until('the page shows it', FOLLOW_MS, shows('#in-flight', new RegExp(`^${LIMIT} of ${LIMIT}$`)));
  await until('the queue', SOON_MS, shows('#queued', new RegExp(`^${QUEUE}$`)));
  t.diagnostic(`after ${Math.round(took)} ms`);
  assert.equal(await weir.metric('weir_requests_in_flight'), LIMIT);
  assert.equal(await weir.metric('weir_queue_limit'), QUEUE);
  assert.equal((await weir.json('status')).queue.depth, QUEUE);
  await until('the chart follows', SOON_MS, shows('#load [data-column=queued]', new RegExp(`^${QUEUE}$`)));
  await until('the title too', SOON_MS, async () => (await page.title()).startsWith(`${LIMIT} in flight, ${QUEUE} queued`));
  app.release();
  assert.equal((await answers).filter((status) => status === 503).length, 2);
  await until('all is over', SOON_MS, shows('#in-flight', new RegExp(`^0 of ${LIMIT}$`)));
  await until('a wait was measured', SOON_MS, shows('#wait', / (ms|s)$/));
  await until('the refusals', SOON_MS, shows('#refused-more', /^queue full$/));
  assert.deepEqual(complaints, []);
});

test('the last 5 minutes are shown when the page is opened', async () => {
  const answers = overload();
  await until('a whole second of it', SOON_MS, async () => (await weir.json('history')).columns.queued.some((n) => n > QUEUE - 0.01));
  app.release();
  await answers;
  await until('a whole second without', SOON_MS, async () => (await weir.json('history')).columns.queued.at(-1) === 0);
  await open();
  await until('the chart has it', SOON_MS, async () => await page.isHidden('#load .empty'));
  await page.focus('#load .plot');
  let seen = '';
  const all = [];
  for (let i = 0; i < 30 && !seen.includes(`queue ${QUEUE},`); i++) {
    await page.keyboard.press('ArrowLeft');
    seen = await page.getAttribute('#load .plot', 'aria-valuetext');
    all.push(seen);
  }
  assert.ok(seen.includes(`queue ${QUEUE},`), all.slice(0, 10).join('\n'));
  assert.match(seen, new RegExp(`^\\d\\d:\\d\\d:\\d\\d: queue ${QUEUE}, in flight ${LIMIT}, `));
  assert.equal(await text('#waits .at'), seen.slice(0, 8), 'all charts tell of the same second');
  await page.keyboard.press('Escape');
  assert.equal(await text('#load .at'), 'now');
  const reached = await page.getAttribute('#load .plot', 'aria-valuetext');
  assert.match(reached, /^now: queue 0, in flight 0, /);
  assert.deepEqual(complaints, []);
});

test('a restart of weir is shown, and survived', async () => {
  const answers = overload();
  await open();
  await until('it is there', SOON_MS, async () => await page.isHidden('#load .empty'));
  await weir.stop('SIGKILL');
  await until('the page says so', SOON_MS, shows('#link', /^weir has not responded since \d\d:\d\d:\d\d; trying again$/));
  app.release();
  await answers;
  await weir.start();
  await until('it is live again', SOON_MS, shows('#link', /^live$/));
  await until('the figures are new', SOON_MS, shows('#in-flight', new RegExp(`^0 of ${LIMIT}$`)));
  assert.equal(await page.isVisible('#load .empty'), false, 'what was before is still there');
  complaints = complaints.filter((text_of) => !text_of.includes('ERR_CONNECTION'));
  assert.deepEqual(complaints, []);
});

test('a frozen page does not change', async () => {
  await open();
  await page.click('#freeze');
  await until('it is frozen', SOON_MS, shows('#link', /^frozen at /));
  const answers = overload();
  await until('the queue is full', SOON_MS, async () => (await weir.json('status')).queue.depth === QUEUE);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.equal(await text('#queued'), '0');
  await page.click('#freeze');
  await until('it goes on', SOON_MS, shows('#queued', new RegExp(`^${QUEUE}$`)));
  app.release();
  await answers;
});

test('everything comes from weir, in 64 KB', async (t) => {
  await open();
  await until('two rounds', SOON_MS, async () => requests.filter((request) => request.url().includes('/history')).length > 2);
  assert.deepEqual(requests.map((request) => request.url()).filter((url) => !url.startsWith(weir.page) && !url.startsWith('data:')), []);
  const files = requests.filter((request) => !/\/(status|history)/.test(request.url()) && !request.url().startsWith('data:'));
  const sizes = await Promise.all(files.map(async (request) => {
    const { responseBodySize, responseHeadersSize } = await request.sizes();
    return responseBodySize + responseHeadersSize;
  }));
  const kilobytes = sizes.reduce((sum, size) => sum + size, 0) / 1024;
  t.diagnostic(`${files.length} files, ${kilobytes.toFixed(1)} KB with their headers`);
  assert.equal(new Set(files.map((request) => request.url())).size, files.length, 'none twice');
  assert.ok(kilobytes > 10 && kilobytes <= KILOBYTES_MAX, `${kilobytes} KB`);
  const policy = (await fetch(weir.page, { headers: { Accept: 'text/html' } })).headers.get('content-security-policy');
  assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self'; /);
  assert.doesNotMatch(policy, /unsafe|\*|http/);
  assert.deepEqual(complaints, []);
});

test('a second visit loads no file again', async () => {
  await open();
  const again = await context.newPage();
  const stored = [];
  again.on('response', (response) => /\.(js|css)$/.test(response.url()) && stored.push(response.status()));
  await again.goto(weir.page);
  await until('live', SOON_MS, async () => (await again.textContent('#link')) === 'live');
  assert.ok(stored.length >= 5 && stored.every((status) => status === 304 || status === 200));
});

test('axe finds nothing serious, at any width, light and dark', async () => {
  const answers = overload();
  for (const width of WIDTHS) {
    for (const scheme of ['light', 'dark']) {
      await open(width, scheme);
      await until('the figures are there', SOON_MS, shows('#queued', new RegExp(`^${QUEUE}$`)));
      await page.evaluate(() => document.querySelectorAll('details').forEach((part) => { part.open = true; }));
      await until('the table is there', SOON_MS, async () => (await page.locator('#rows tr').count()) > 0);
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
      const told = violations.map(({ id, impact, nodes }) => `${impact}: ${id}: ${nodes.map((node) => node.html).join(' | ').slice(0, 300)}`);
      assert.deepEqual(told.filter((line) => /^(serious|critical|moderate)/.test(line)), [], `${width} px, ${scheme}`);
      assert.deepEqual(complaints, []);
    }
  }
  app.release();
  await answers;
});

test('nothing is wider than the screen, down to 320 px', async () => {
  const answers = overload();
  for (const width of [320, 390, 768, 1280]) {
    await open(width);
    await page.evaluate(() => document.querySelectorAll('details').forEach((part) => { part.open = true; }));
    await until('the table is there', SOON_MS, async () => (await page.locator('#rows tr').count()) > 0);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0, `${width} px`);
  }
  app.release();
  await answers;
});

test('the keyboard reaches everything, in the order of the page', async () => {
  await open();
  const stops = [];
  for (let i = 0; i < 12; i++) {
    await page.keyboard.press('Tab');
    stops.push(await page.evaluate(() => {
      const at = document.activeElement;
      return at.id || at.parentElement.id || at.textContent.trim();
    }));
  }
  assert.deepEqual(stops.slice(0, 11), ['freeze', 'load', 'waits', 'times', 'rows-part', 'totals-part', 'words-part', 'status', 'metrics', 'history', 'config']);
});

test('the sentence is announced when its words change, not with each figure', async () => {
  await open();
  await page.evaluate(() => {
    globalThis.announced = 0;
    new MutationObserver(() => { globalThis.announced += 1; }).observe(document.getElementById('announce'), { childList: true, characterData: true, subtree: true });
  });
  let figure = 10;
  await page.route('**/status', async (route) => {
    const response = await route.fetch();
    figure += 1;
    const advice = figure < 14 ? `${figure} requests wait, ${figure / 4} s each` : 'all is well';
    await route.fulfill({ response, json: { ...(await response.json()), advice } });
  });
  await until('it is well', SOON_MS, shows('#advice', /^all is well$/));
  assert.equal(await page.evaluate(() => globalThis.announced), 2);
  assert.match(await text('#announce'), /all is well$/);
});

test('without scripts the page leads to the figures', async () => {
  await context?.close();
  context = await browser.newContext({ javaScriptEnabled: false });
  page = await context.newPage();
  await page.goto(weir.page);
  assert.match(await text('noscript'), /needs JavaScript/);
  assert.equal(await page.getAttribute('noscript a', 'href'), 'status');
});
