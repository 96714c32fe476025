// The three charts, drawn by dygraphs. They share the 5 minutes and the selected second. Sections
// of charts are sliders for keyboards and screen readers: their value is that second.

import { SECONDS } from './recent.js';
import { clock, count, level, seconds, set_text } from './figures.js';

const HEADROOM = 1.2; // room above the highest value, for the marks of refusals
const MARK_MAX = 14; // pixels

const WRITE = { count: level, seconds };

let colours = {};

function read_colours() {
  const style = getComputedStyle(document.documentElement);
  colours = new Proxy({}, { get: (_, name) => style.getPropertyValue(`--${name}`).trim() });
}

// ---- scales ---------------------------------------------------------------------------------

// 1, 2 or 5 times a power of ten: at most `most` of them up to `top`.
function step_of(top, most) {
  const power = 10 ** Math.floor(Math.log10(top / most));
  return [1, 2, 5, 10].map((n) => n * power).find((step) => top / step <= most);
}

function ticks_of(write, least) {
  return (low, high, pixels) => {
    const step = Math.max(least, step_of(high, Math.max(2, Math.floor(pixels / 28))));
    const ticks = [];
    for (let i = 0; i * step <= high; i++) {
      ticks.push({ v: i * step, label: write(i * step) });
    }
    return ticks;
  };
}

const axis_seconds = (s) => (s === 0 ? '0' : s < 1 ? `${Math.round(s * 1e6) / 1000} ms` : `${Math.round(s * 1000) / 1000} s`);

// Whole minutes; not one whose label would cover the 0 of the other axis.
function minutes(low, high, pixels) {
  const ticks = [];
  const first = low + (18 * (high - low)) / pixels;
  for (let v = Math.ceil(first / 60000) * 60000; v <= high; v += 60000) {
    ticks.push({ v, label: clock(v / 1000, false) });
  }
  return ticks;
}

// ---- marks ----------------------------------------------------------------------------------

// Stretches of points that are known.
function* stretches(points) {
  let run = [];
  for (const point of points) {
    if (Number.isFinite(point.canvasy) && point.yval !== null) {
      run.push(point);
    } else if (run.length > 0) {
      yield run;
      run = [];
    }
  }
  if (run.length > 0) {
    yield run;
  }
}

// A filled area between this series and the one `below` it, with a line on its upper edge.
function area(fill, line, below) {
  return (e) => {
    const ctx = e.drawingContext;
    const floor = below === null ? null : e.allSeriesPoints[below];
    const bottom = e.plotArea.y + e.plotArea.h;
    const by_x = floor && new Map(floor.map((point) => [point.xval, point.canvasy]));

    for (const run of stretches(e.points)) {
      const base = (point) => by_x?.get(point.xval) ?? bottom;
      const half = run.length === 1 ? 1 : 0; // a single second has a width
      ctx.beginPath();
      run.forEach((p) => ctx.lineTo(p.canvasx - half, p.canvasy));
      ctx.lineTo(run.at(-1).canvasx + half, run.at(-1).canvasy);
      [...run].reverse().forEach((p) => ctx.lineTo(p.canvasx + half, base(p)));
      ctx.lineTo(run[0].canvasx - half, base(run[0]));
      ctx.fillStyle = colours[fill];
      ctx.fill();
      const filled = run.map((p) => base(p) - p.canvasy > 0.5);
      draw_edge(ctx, run.filter((_, i) => filled[i - 1] || filled[i] || filled[i + 1]), colours[line]);
    }
  };
}

// The edge from each point to the next; what is empty for longer has none.
function draw_edge(ctx, points, colour) {
  let before = -Infinity;
  ctx.beginPath();
  for (const p of points) {
    ctx[p.xval - before > 1000 ? 'moveTo' : 'lineTo'](p.canvasx, p.canvasy);
    before = p.xval;
  }
  ctx.strokeStyle = colour;
  ctx.lineWidth = 1.5;
  ctx.stroke();
}

function line(name, width, dash = []) {
  return (e) => {
    const ctx = e.drawingContext;
    ctx.save();
    ctx.strokeStyle = colours[name];
    ctx.fillStyle = colours[name];
    ctx.lineWidth = width;
    ctx.lineJoin = 'round';
    ctx.setLineDash(dash);
    for (const run of stretches(e.points)) {
      ctx.beginPath();
      if (run.length === 1) {
        ctx.arc(run[0].canvasx, run[0].canvasy, width, 0, 7);
        ctx.fill();
      }
      run.forEach((p) => ctx.lineTo(p.canvasx, p.canvasy));
      ctx.stroke();
    }
    ctx.restore();
  };
}

// Bars that hang from the top: how many, relative to the worst second.
function marks(name) {
  return (e) => {
    const ctx = e.drawingContext;
    const most = Math.max(...e.points.map((p) => p.yval || 0));
    const width = Math.max(1.5, e.plotArea.w / SECONDS - 0.5);

    ctx.fillStyle = colours[name];
    for (const p of e.points) {
      if (p.yval > 0) {
        ctx.fillRect(p.canvasx - width / 2, e.plotArea.y, width, 4 + (MARK_MAX - 4) * Math.sqrt(p.yval / most));
      }
    }
  };
}

// Where weir started, if it did so in these 5 minutes.
function draw_starts(starts, label) {
  return (ctx, plot, chart) => {
    ctx.save();
    ctx.strokeStyle = colours.soft;
    ctx.fillStyle = colours.soft;
    ctx.setLineDash([2, 3]);
    ctx.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    for (const start of starts()) {
      const x = chart.toDomXCoord(start * 1000);
      const right = x + 76 > plot.x + plot.w;
      ctx.beginPath();
      ctx.moveTo(x, plot.y);
      ctx.lineTo(x, plot.y + plot.h);
      ctx.stroke();
      ctx.textAlign = right ? 'right' : 'left';
      ctx.fillText(label, x + (right ? -5 : 5), plot.y + MARK_MAX + 14);
    }
    ctx.restore();
  };
}

// ---- a chart --------------------------------------------------------------------------------

const CHARTS = {
  load: {
    columns: ['queued', 'in_flight', 'orphans', 'parallelism', 'limit', 'rejected'],
    plotters: () => [area('queued-fill', 'queued', 1), area('in-flight-fill', 'in-flight', null), area('orphans', 'orphans', null),
      line('parallelism', 2, [2, 3]), line('limit', 1.5, [6, 4]), marks('refused')],
    scaled: (recent) => [...recent.rows(['queued'], true).map((row) => row[1] ?? 0), ...recent.known('limit').filter(Number.isFinite)],
    write: WRITE.count,
    axis: [count, 1],
    axis_width: 34,
    least: 4,
    happened: ['in_flight_peak', 'queue_peak', 'in_flight', 'queued', 'rejected', 'finished'],
  },
  waits: {
    columns: ['wait_p99', 'wait_p90', 'wait_p50'],
    plotters: () => [line('wait-99', 1.5), line('wait-90', 1.5), line('wait-50', 2)],
    scaled: (recent) => recent.known('wait_p99'),
    happened: ['wait_p99'],
    write: WRITE.seconds,
    axis: [axis_seconds, 0],
    axis_width: 46,
    least: 0.01,
  },
  times: {
    columns: ['app_p99', 'app_p90', 'app_p50'],
    plotters: () => [line('app-99', 1.5), line('app-90', 1.5), line('app-50', 2)],
    scaled: (recent) => recent.known('app_p99'),
    happened: ['app_p99'],
    write: WRITE.seconds,
    axis: [axis_seconds, 0],
    axis_width: 46,
    least: 0.01,
  },
};

class Chart {
  #graph = null;

  constructor(id, kind, charts) {
    this.kind = kind;
    this.charts = charts;
    this.section = document.getElementById(id);
    this.plot = this.section.querySelector('.plot');
    this.drawing = document.createElement('div'); // dygraphs empties it
    this.cross = document.createElement('div');
    this.cross.className = 'cross';
    this.cross.hidden = true;
    this.drawing.className = 'drawing';
    this.plot.append(this.drawing, this.cross);
    this.#listen();
  }

  #options(recent) {
    const { columns, plotters, axis, axis_width, least, scaled } = this.kind;
    const top = Math.max(least, ...scaled(recent)) * HEADROOM;
    const draw = plotters();
    return {
      file: recent.rows(columns, columns[0] === 'queued').map((row) => row.map((v) => (typeof v === 'number' ? v : null))),
      labels: ['time', ...columns],
      series: Object.fromEntries(columns.map((name, i) => [name, { plotter: draw[i] }])),
      dateWindow: [(recent.end - SECONDS + 1) * 1000, recent.end * 1000],
      valueRange: [0, top],
      gridLineColor: colours.grid,
      axisLineColor: colours.rule,
      axes: {
        x: { drawGrid: false, ticker: minutes, axisLabelFormatter: String, axisLabelWidth: 40 },
        y: { ticker: ticks_of(...axis), axisLabelFormatter: String, axisLabelWidth: axis_width },
      },
      underlayCallback: draw_starts(() => recent.starts, columns[0] === 'queued' ? 'weir started' : ''),
    };
  }

  draw(recent) {
    const options = this.#options(recent);
    const { file, ...rest } = options;

    if (this.#graph === null) {
      this.#graph = new globalThis.Dygraph(this.drawing, file, {
        ...rest, interactionModel: {}, highlightCircleSize: 0, axisLabelFontSize: 11, axisTickSize: 4, xAxisHeight: 20, resizable: 'passive',
      });
    } else {
      this.#graph.updateOptions(options);
    }
    this.#explain(recent);
  }

  // Why there is nothing to see, if there is nothing.
  #explain(recent) {
    const node = this.section.querySelector('.empty');
    const { none, zero = none } = node.dataset;
    const highest = Math.max(-1, ...this.kind.happened.map((name) => recent.max(name) ?? -1));

    node.hidden = highest > 0;
    set_text(node, highest === 0 ? zero : none);
  }

  mark(time) {
    const area_of = this.#graph?.getArea();
    this.cross.hidden = time === null || !area_of;
    if (!this.cross.hidden) {
      this.cross.style.left = `${this.#graph.toDomXCoord(time * 1000)}px`;
      this.cross.style.height = `${area_of.y + area_of.h}px`;
    }
  }

  #write(recent, time, column) {
    const value = recent.at(time, column);
    const unlimited = column === 'limit' && value === null && recent.at(time, 'in_flight') !== null;
    return unlimited ? 'none' : this.kind.write(value);
  }

  read(recent, time, selected) {
    const parts = [];
    for (const node of this.section.querySelectorAll('[data-column]')) {
      const text = this.#write(recent, time, node.dataset.column);
      set_text(node, text);
      parts.push(`${node.previousSibling.textContent.trim()} ${text}`);
    }
    const at = selected ? clock(time) : 'now';
    const node = this.section.querySelector('.at');
    // The values of now are read out when they are reached, and not every second from then on.
    if (selected || node.textContent !== at || document.activeElement !== this.plot) {
      this.plot.setAttribute('aria-valuetext', `${at}: ${parts.join(', ')}`);
      this.plot.setAttribute('aria-valuenow', String(selected ? time - recent.end : 0));
    }
    set_text(node, at);
  }

  #listen() {
    const point = (event) => {
      const x = event.clientX - this.drawing.getBoundingClientRect().left;
      this.charts.select(Math.round(this.#graph.toDataXCoord(x) / 1000));
    };
    this.plot.addEventListener('pointermove', point);
    this.plot.addEventListener('pointerdown', point);
    this.plot.addEventListener('pointerleave', (event) => {
      if (event.pointerType === 'mouse') {
        this.charts.select(null);
      }
    });
    this.plot.addEventListener('blur', () => this.charts.select(null));
    this.plot.addEventListener('keydown', (event) => this.#on_key(event));
  }

  #on_key(event) {
    const moves = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 60, PageDown: -60, Home: -SECONDS, End: SECONDS };
    if (event.key === 'Escape') {
      this.charts.select(null);
    } else if (event.key in moves && !event.ctrlKey && !event.altKey && !event.metaKey) {
      event.preventDefault();
      this.charts.move(moves[event.key]);
    }
  }
}

// ---- all of them ----------------------------------------------------------------------------

export class Charts {
  #selected = null; // null: now

  constructor(recent) {
    this.recent = recent;
    this.charts = Object.entries(CHARTS).map(([id, kind]) => new Chart(id, kind, this));
    // Neither legends nor a range selector: the page has its own, and theirs have inline styles.
    globalThis.Dygraph.PLUGINS = [globalThis.Dygraph.Plugins.Axes, globalThis.Dygraph.Plugins.Grid];
    read_colours();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      read_colours();
      this.draw();
    });
    addEventListener('resize', () => this.#read());
  }

  draw() {
    if (this.recent.end === 0) {
      return;
    }
    this.charts.forEach((chart) => chart.draw(this.recent));
    this.#read();
  }

  select(time) {
    const { end } = this.recent;
    this.#selected = time === null || end === 0 ? null : Math.min(end, Math.max(end - SECONDS + 1, time));
    this.#read();
  }

  // By seconds; to the end means now, which moves on.
  move(by) {
    const time = (this.#selected ?? this.recent.end) + by;
    this.select(time >= this.recent.end ? null : time);
  }

  #read() {
    const { end } = this.recent;
    if (this.#selected !== null && this.#selected <= end - SECONDS) {
      this.#selected = end - SECONDS + 1;
    }
    for (const chart of this.charts) {
      chart.read(this.recent, this.#selected ?? end, this.#selected !== null);
      chart.mark(this.#selected);
    }
  }
}
