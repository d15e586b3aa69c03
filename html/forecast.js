/*
 * The forecast: a metric as it was and, with its bands, as it will be.
 */

import { $, el, setText, table, tableOf } from './dom.js';
import { DAY, HOUR, day, hour, isoDay, number } from './format.js';
import { ApiError, call } from './api.js';
import { legend, lines } from './lines.js';

/* what is shown, by what a step is */
const VIEWS = {
    hour: { step: HOUR, before: 7 * DAY, horizon: '3d' },
    day: { step: DAY, before: 60 * DAY, horizon: '14d' },
};

/* how many there are by then: always more, and no news */
const DULL = ['users'];

/* so long it is not asked for again if there is too little history */
const PATIENCE = 5 * 60000;

/* kept by day only */
const DAILY = ['unique', 'new_users', 'sessions', 'session_time'];

const rounded = (n) => number(Math.abs(n) < 10 ? Number(n.toPrecision(3)) : n);


export class Forecast {
    /* changed() is called when somebody chose another metric */
    constructor(changed) {
        this.known = null;
        this.rows = [];
        this.unit = null;
        this.lacking = new Map();
        this.draw = lines($('forecast-plot'), {
            label: 'Forecast', value: (n) => this.value(n),
        });
        this.table = tableOf($('forecast-table'), () => this.rowsTable());

        legend($('forecast-legend'), [
            { name: 'as it was', kind: 'was' },
            { name: 'forecast', kind: 'will' },
            { name: '80 %', kind: 'near' },
            { name: '95 %', kind: 'far' },
        ]);

        $('forecast-metric').addEventListener('change', changed);

        for (const input of this.inputs()) {
            input.addEventListener('change', changed);
        }
    }

    inputs() {
        return document.querySelectorAll('[name=forecast-step]');
    }

    value(n) {
        return this.unit ? `${rounded(n)} ${this.unit}` : rounded(n);
    }

    /* By what it is shown; by day where it is not kept by less. */
    get kind() {
        const [byHour, byDay] = this.inputs();
        const metric = this.known.find((one) =>
            one.metric === $('forecast-metric').value);

        byHour.disabled = DAILY.includes(metric.type);

        return byHour.disabled || byDay.checked ? 'day' : 'hour';
    }

    /* Which metrics there are is asked for once. */
    async metrics(signal) {
        if (this.known === null) {
            const { data } = await call('/metrics/', { signal });

            this.known = data.metrics.filter((one) =>
                !DULL.includes(one.type));
            $('forecast-metric').replaceChildren(...this.known.map((one) =>
                el('option', { textContent: one.metric })));
        }

        return this.known.length > 0;
    }

    async load(signal) {
        if (!await this.metrics(signal)) {
            return;
        }

        const view = VIEWS[this.kind];
        const path = `/metrics/${encodeURIComponent($('forecast-metric')
            .value)}`;
        const query = new URLSearchParams({
            interval: this.kind,
            start: isoDay(Date.now() - view.before), end: isoDay(Date.now()),
        });
        const [past, ahead] = await Promise.all([
            call(`${path}?${query}`, { signal }),
            this.ahead(`${path}/forecast?${new URLSearchParams({
                interval: this.kind, horizon: view.horizon,
            })}`, signal),
        ]);

        this.show(past.data, ahead?.data ?? null, view.step);
    }

    /* Where too little is known to tell, what is known is shown all the same. */
    async ahead(path, signal) {
        const lacking = this.lacking.get(path);

        if (lacking && Date.now() - lacking.at < PATIENCE) {
            this.note(lacking.why);
            return null;
        }

        try {
            const answer = await call(path, { signal });

            this.note(null);
            return answer;
        } catch (error) {
            if (!(error instanceof ApiError) || error.status !== 409) {
                throw error;
            }

            this.lacking.set(path, { at: Date.now(), why: error.message });
            this.note(error.message);
            return null;
        }
    }

    note(text) {
        $('forecast-note').hidden = text === null;
        setText($('forecast-note'), text ?? '');
    }

    show(past, ahead, step) {
        const rows = ahead?.series ?? [];
        const at = (row) => Date.parse(row.time);
        const was = past.series
            .map((row) => ({ at: at(row), value: row.value }))
            .filter((row) => row.at + step <= Date.now());
        const last = was[was.length - 1];

        this.rows = rows;
        this.step = step;
        this.unit = past.unit;
        $('forecast').hidden = false;
        setText($('forecast-sub'), ahead?.season
            ? `repeats every ${ahead.season === '24h' ? '24 hours'
                                                      : '7 days'}` : '');

        this.draw({
            step,
            lines: [
                { name: 'as it was', kind: 'was', rows: was },
                { name: 'forecast', kind: 'will', rows: rows.map((row) =>
                    ({ at: at(row), value: row.value })) },
            ],
            bands: [
                { name: '95 %', kind: 'far', rows: rows.map((row) =>
                    ({ at: at(row), low: row.low95, high: row.high95 })) },
                { name: '80 %', kind: 'near', rows: rows.map((row) =>
                    ({ at: at(row), low: row.low80, high: row.high80 })) },
            ],
        });
        this.table();
        $('forecast-plot').dataset.metric = past.metric;
        $('forecast-plot').dataset.last = last?.value ?? '';
    }

    rowsTable() {
        return table('Forecast', [
            { title: this.step === HOUR ? 'Hour (UTC)' : 'Day',
              value: (row) => (this.step === HOUR ? hour : day)(
                  Date.parse(row.time)) },
            { title: 'Forecast', numeric: true,
              value: (row) => rounded(row.value) },
            { title: '80 %', numeric: true, value: (row) =>
                `${rounded(row.low80)} to ${rounded(row.high80)}` },
            { title: '95 %', numeric: true, value: (row) =>
                `${rounded(row.low95)} to ${rounded(row.high95)}` },
        ], this.rows);
    }
}
