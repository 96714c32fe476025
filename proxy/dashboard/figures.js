// How figures are written, and where they stand on the page.

import { SECONDS } from './recent.js';

const THIN = '\u202f'; // between a number and its unit
const NONE = '–';

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });

const by_id = (id) => document.getElementById(id);

export function set_text(node, text) {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

// ---- numbers --------------------------------------------------------------------------------

export function count(n) {
  return n === null || n === undefined ? NONE : typeof n === 'string' ? n : whole.format(n);
}

// Of a mean: "0.4", "12".
export function level(n) {
  return typeof n === 'number' && n > 0 && n < 9.95 && Math.abs(n - Math.round(n)) >= 0.05 ? tenths.format(n) : count(n);
}

export function rate(n) {
  return n === null || n === undefined ? NONE : n > 0 && n < 99.95 ? tenths.format(n) : whole.format(n);
}

// Three significant digits with their unit.
export function seconds(s) {
  if (s === null || s === undefined) {
    return NONE;
  }
  if (s > 0 && s < 0.000005) {
    return `<0.01${THIN}ms`;
  }
  const [value, unit] = s < 0.9995 ? [s * 1000, 'ms'] : [s, 's'];
  if (value >= 119.5 && unit === 's') {
    return `${Math.floor(value / 60)}${THIN}min ${Math.round(value % 60)}${THIN}s`;
  }
  const digits = value === 0 || value >= 99.5 ? 0 : value >= 9.95 ? 1 : 2;
  return `${value.toFixed(digits)}${THIN}${unit}`;
}

function span_of_time(s) {
  const units = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const first = Math.max(0, units.findIndex(([length]) => s >= length));
  const parts = [];
  let rest = Math.max(0, Math.floor(s));
  for (const [length, unit] of units.slice(first === -1 ? 3 : first).slice(0, 2)) {
    parts.push(`${Math.floor(rest / length)}${THIN}${unit}`);
    rest %= length;
  }
  return parts.join(' ');
}

export function clock(time, with_seconds = true) {
  const options = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
  return new Date(time * 1000).toLocaleTimeString('en', with_seconds ? { ...options, second: '2-digit' } : options);
}

const words = (name) => name.replaceAll('_', ' ');

// ---- the figures of now ---------------------------------------------------------------------

// The number large, its unit small.
function set_big(id, text, after = '') {
  const node = by_id(id);
  const [number, ...unit] = text.split(THIN);
  const small = [unit.join(THIN), after].filter(Boolean).join(' ');
  const whole_text = small ? `${number} ${small}` : number;

  if (node.dataset.text === whole_text) {
    return;
  }
  node.dataset.text = whole_text;
  node.replaceChildren(number);
  if (small) {
    const unit_node = document.createElement('small');
    unit_node.textContent = small;
    node.append('\u00a0', unit_node);
  }
}

const more = (id, text) => set_text(by_id(id), text || '\u00a0');

const RATE_SECONDS = 10;

function rate_of(recent, column) {
  const values = recent.known(column, RATE_SECONDS);
  return values.length > 0 ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
}

function show_load(status) {
  const waiting = status.queue.depth;
  const limited = typeof status.limit === 'number';

  set_big('in-flight', count(status.in_flight), limited ? `of ${count(status.limit)}` : '');
  more('in-flight-more', limited ? `peak ${count(status.recent?.in_flight_peak)} in 1${THIN}min` : 'no limit');
  set_big('queued', count(waiting));
  more('queued-more', waiting > 0 ? `oldest wait ${seconds(status.queue.oldest_wait_seconds)}`
    : `peak ${count(status.recent?.queue_peak)} in 1${THIN}min`);
}

function show_times(status) {
  const rows = [['wait', status.recent?.wait_seconds], ['app-time', status.recent?.app_seconds]];

  for (const [id, times] of rows) {
    const known = times !== undefined && times.p99 !== null;
    set_big(id, seconds(known ? times.p99 : null));
    more(`${id}-more`, known ? `p50 ${seconds(times.p50)}` : `none in 1${THIN}min`);
  }
}

// The most frequent reason in the last minute; if none was refused then, how many were in all.
function about_refusals(totals, reasons) {
  const [name, n] = Object.entries(reasons).sort((a, b) => b[1] - a[1])[0] ?? ['', 0];
  const all = Object.values(totals.rejected).reduce((sum, count_of) => sum + count_of, 0);
  return n > 0 ? words(name) : all > 0 ? `${count(all)} in all` : 'none so far';
}

function show_rates(status, recent) {
  set_big('finished', rate(rate_of(recent, 'finished')), '/s');
  more('finished-more', `${rate(rate_of(recent, 'errors'))} errors/s`);
  set_big('refused', rate(rate_of(recent, 'rejected')), '/s');
  more('refused-more', about_refusals(status.totals, recent.reasons));
  set_big('orphans', count(status.orphans));
  more('orphans-more', `clients gone ${rate(rate_of(recent, 'client_gone'))}/s`);
}

// How many wait inside may be known while how many are worked on is not.
function show_parallelism(app) {
  const known = typeof app?.parallelism === 'number';
  const hidden = app?.hidden_queue ?? null;

  set_big('parallelism', known ? level(app.parallelism) : NONE, known ? 'at once' : '');
  more('parallelism-more', hidden === null ? 'not known' : hidden > 0 ? `${level(hidden)} wait inside` : 'none waits inside');
}

export function show_figures(status, recent) {
  show_load(status);
  show_times(status);
  show_rates(status, recent);
  show_parallelism(status.app);
}

// ---- the app's state, the advice, the modes --------------------------------------------------

let announced = '';

// Figures change every second; a screen reader hears the sentence again when its words change.
function announce(text) {
  const without_figures = text.replace(/[\d.,]+/g, '');
  if (without_figures !== announced) {
    announced = without_figures;
    set_text(by_id('announce'), text);
  }
}

function modes_of(status) {
  const modes = [];
  if (status.paused) {
    modes.push('paused');
  }
  if (status.draining) {
    modes.push('draining');
  }
  if (status.enforcing === false) {
    modes.push('dry run');
  }
  if (status.overload?.active) {
    modes.push('overload');
  }
  return modes;
}

function show_modes(modes) {
  const list = by_id('chips');
  if (list.dataset.text === modes.join()) {
    return;
  }
  list.dataset.text = modes.join();
  list.replaceChildren(...modes.map((mode) => {
    const item = document.createElement('li');
    item.textContent = mode;
    return item;
  }));
}

export function show_advice(status, recent) {
  const state = status.app?.state ?? status.upstream.state;
  const advice = status.advice ?? '';

  by_id('app').dataset.state = state;
  set_text(by_id('state'), words(state));
  set_text(by_id('advice'), advice || '\u00a0');
  announce(`App: ${words(state)}. ${advice}`);
  show_modes(modes_of(status));
  set_text(by_id('about'), `${recent.version} · up ${span_of_time(recent.end - recent.start)}`);
  document.title = `${count(status.in_flight)} in flight, ${count(status.queue.depth)} queued · weir`;
}

// ---- the phases -----------------------------------------------------------------------------

// In the order in which a request passes through them.
const PHASES = ['head', 'body_wait', 'queue', 'connect', 'send', 'first_byte', 'transfer', 'backpressure', 'delivery'];

function make_phases() {
  for (const phase of PHASES) {
    const part = document.createElement('i');
    part.dataset.phase = phase;
    by_id('bar').append(part);

    const item = document.createElement('li');
    const swatch = document.createElement('i');
    swatch.className = 'swatch';
    swatch.dataset.phase = phase;
    item.append(swatch, words(phase), document.createElement('b'), document.createElement('span'));
    by_id('parts').append(item);
  }
}

export function show_phases(recent) {
  const finished = ['finished', 'rejected', 'client_gone'].reduce((sum, column) => sum + recent.sum(column, 60), 0);
  const total = PHASES.reduce((sum, phase) => sum + (recent.phases[phase] ?? 0), 0);

  if (by_id('bar').childElementCount === 0) {
    make_phases();
  }
  for (const id of ['bar', 'parts']) {
    by_id(id).hidden = total === 0;
  }
  by_id('no-phases').hidden = total > 0;
  set_text(by_id('phases-total'), total > 0 && finished > 0 ? `last minute · mean ${seconds(total / finished)}` : 'last minute');
  PHASES.forEach((phase, i) => {
    const spent = recent.phases[phase] ?? 0;
    const share = total > 0 ? spent / total : 0;
    const item = by_id('parts').children[i];
    by_id('bar').children[i].hidden = share === 0;
    by_id('bar').children[i].style.flexGrow = share;
    item.className = spent > 0 ? '' : 'none';
    set_text(item.querySelector('b'), finished > 0 ? seconds(spent / finished) : NONE);
    set_text(item.querySelector('span'), share > 0 && share < 0.001 ? `<${THIN}0.1${THIN}%` : `${(share * 100).toFixed(1)}${THIN}%`);
  });
}

// ---- the tables -----------------------------------------------------------------------------

const STEP = 10;

function row_of(recent, end) {
  const m = (column) => recent.mean(column, STEP, end);
  const s = (column) => recent.sum(column, STEP, end);
  const h = (column) => recent.max(column, STEP, end);
  return [
    clock(end), level(m('in_flight')), level(m('queued')), count(recent.at(end, 'limit') ?? 'none'),
    count(s('finished')), count(s('rejected')), count(s('client_gone')),
    seconds(h('wait_p50')), seconds(h('wait_p99')), seconds(h('app_p50')), seconds(h('app_p99')),
  ];
}

function cell(text, i) {
  const node = document.createElement(i === 0 ? 'th' : 'td');
  if (i === 0) {
    node.scope = 'row';
  }
  node.textContent = text;
  return node;
}

// At most every 10 s, so that the table can be read.
export function show_rows(recent) {
  const body = by_id('rows');
  const rows = [];

  if (Math.abs(recent.end - Number(body.dataset.end ?? 0)) < STEP) {
    return;
  }
  for (let time = recent.end; time > recent.end - SECONDS; time -= STEP) {
    if (recent.known('in_flight', STEP, time).length > 0) {
      const row = document.createElement('tr');
      row.append(...row_of(recent, time).map(cell));
      rows.push(row);
    }
  }
  body.replaceChildren(...rows);
  body.dataset.end = String(rows.length > 0 ? recent.end : 0);
}

export function show_totals(status) {
  const { requests, rejected, orphaned, requeued } = status.totals;
  const rows = [
    ...Object.entries(requests).map(([source, n]) => [`ended by ${words(source)}`, n]),
    ...Object.entries(rejected).map(([reason, n]) => [`refused: ${words(reason)}`, n]),
    ['orphaned', orphaned], ['requeued', requeued], ['accounting errors', status.totals.accounting_errors],
  ];
  by_id('totals').replaceChildren(...rows.map(([name, n]) => {
    const row = document.createElement('div');
    const term = document.createElement('dt');
    const value = document.createElement('dd');
    term.textContent = name;
    value.textContent = count(n);
    row.append(term, value);
    return row;
  }));
}
