// The last 5 minutes, second by second, from /history. A second that is missing there, because
// weir was not running, is a gap.

export const SECONDS = 300;

const CLOCK_SET = 5; // by at least so many seconds; less is rounding
const STACKED = ['in_flight', 'queued'];

export class Recent {
  #seconds = new Map(); // UNIX time: { column: value }

  end = 0; // the time of the latest sample; 0: none
  start = 0; // when weir started
  starts = []; // when it started during the last 5 minutes
  version = '';
  phases = {}; // of the last minute: seconds by phase, refusals by reason
  reasons = {};

  // The query for /history.
  get query() {
    return this.end > 0 ? `?since=${this.end}` : '';
  }

  // Adds a response of /history. If the clock was set back, all that was known is forgotten.
  merge(answer) {
    const columns = answer.columns ?? {};
    const n = Math.max(0, ...Object.values(columns).map((values) => values.length));

    if (answer.end < this.end - CLOCK_SET) {
      this.#seconds.clear();
      this.end = 0;
    }
    for (let i = 0; i < n; i++) {
      const second = {};
      for (const [name, values] of Object.entries(columns)) {
        second[name] = values[i + values.length - n] ?? null;
      }
      this.#seconds.set(Math.round(answer.end) - (n - 1 - i), second);
    }
    this.end = Math.max(this.end, Math.round(answer.end));
    this.version = answer.version ?? '';
    this.phases = answer.phases ?? {};
    this.reasons = answer.reasons ?? {};
    this.#note_start(Math.round(answer.started));
    this.#forget();
  }

  #note_start(started) {
    if (Math.abs(started - this.start) <= 1) {
      return;
    }
    this.start = started;
    this.starts.push(started);
  }

  #forget() {
    const first = this.end - SECONDS;
    for (const time of this.#seconds.keys()) {
      if (time <= first) {
        this.#seconds.delete(time);
      }
    }
    this.starts = this.starts.filter((time) => time > first);
  }

  // The value of a column at a time; null: not known.
  at(time, column) {
    return this.#seconds.get(time)?.[column] ?? null;
  }

  // One row a second, the oldest first: [time, value...]. `rise` stacks queued on in_flight.
  rows(columns, rise = false) {
    const rows = [];
    for (let time = this.end - SECONDS + 1; time <= this.end; time++) {
      const row = [time * 1000, ...columns.map((name) => this.at(time, name))];
      if (rise && row[1] !== null) {
        row[1] = STACKED.reduce((sum, name) => sum + (this.at(time, name) ?? 0), 0);
      }
      rows.push(row);
    }
    return rows;
  }

  // The values that are known in the `seconds` up to `end`.
  known(column, seconds = SECONDS, end = this.end) {
    const values = [];
    for (let time = end - seconds + 1; time <= end; time++) {
      const value = this.at(time, column);
      if (value !== null) {
        values.push(value);
      }
    }
    return values;
  }

  sum(column, seconds, end) {
    return this.known(column, seconds, end).reduce((sum, value) => sum + value, 0);
  }

  mean(column, seconds, end) {
    const values = this.known(column, seconds, end);
    return values.length > 0 ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
  }

  max(column, seconds, end) {
    const values = this.known(column, seconds, end);
    return values.length > 0 ? Math.max(...values) : null;
  }
}
