// Requests weir's figures every second and shows them. While weir does not respond, the page shows
// that, keeps what it has, and tries again.

import { Charts } from './charts.js';
import { clock, set_text, show_advice, show_figures, show_phases, show_rows, show_totals } from './figures.js';
import { Recent } from './recent.js';

const EVERY_MS = 1000;
const TIMEOUT_MS = 3000;

const by_id = (id) => document.getElementById(id);

const recent = new Recent();
const charts = globalThis.Dygraph ? new Charts(recent) : null;

let latest = null; // the latest /status
let frozen_at = 0; // 0: the page follows weir
let lost_at = 0; // when weir ceased to respond; 0: it does

function show_link(state, text) {
  by_id('link').dataset.state = state;
  set_text(by_id('link'), text);
  document.body.classList.toggle('stale', state === 'lost');
}

async function ask(path) {
  const response = await fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok) {
    throw new Error(`${path}: ${response.status}`);
  }
  return path === 'livez' ? null : response.json();
}

function show(status) {
  show_advice(status, recent);
  show_figures(status, recent);
  show_phases(recent);
  charts?.draw();
  if (by_id('rows-part').open) {
    show_rows(recent);
  }
  if (by_id('totals-part').open) {
    show_totals(status);
  }
}

// While the page is frozen, it shows only whether weir responds: /history has the rest later.
async function look() {
  try {
    const wanted = frozen_at > 0 ? [ask('livez')] : [ask('status'), ask(`history${recent.query}`)];
    const [status, history] = await Promise.all(wanted);
    if (history) {
      recent.merge(history);
      latest = status;
    }
  } catch {
    lost_at ||= Date.now() / 1000;
    show_link('lost', `weir has not responded since ${clock(lost_at)}; trying again`);
    return;
  }
  lost_at = 0;
  show_link(...(frozen_at > 0 ? ['wait', `frozen at ${clock(frozen_at)}`] : ['live', 'live']));
  if (frozen_at === 0 && latest) {
    show(latest);
  }
}

// One after the other: a slow weir gets no more requests than it responds to.
async function look_again() {
  const begun = performance.now();
  if (!document.hidden) {
    await look();
  }
  setTimeout(look_again, Math.max(100, EVERY_MS - (performance.now() - begun)));
}

by_id('freeze').addEventListener('click', () => {
  frozen_at = frozen_at > 0 ? 0 : Date.now() / 1000;
  by_id('freeze').setAttribute('aria-pressed', String(frozen_at > 0));
  look();
});
for (const id of ['rows-part', 'totals-part']) {
  by_id(id).addEventListener('toggle', () => latest && show(latest));
}
document.addEventListener('visibilitychange', () => document.hidden || look());

if (charts === null) {
  document.querySelectorAll('.chart, .pair, #keys').forEach((section) => section.remove());
  by_id('no-charts').hidden = false;
  by_id('rows-part').open = true;
}
look_again();
