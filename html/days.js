/*
 * The cards of days: who came, and the calls of AI models.  All of it is one
 * answer of /api/v1/dashboard, of the days that are chosen.
 */

import { $, el, setText, table, tableOf } from './dom.js';
import { DAY, count, day, days, isoDay, number, share } from './format.js';
import { call } from './api.js';
import { timeline } from './charts.js';
import { legend, lines } from './lines.js';
import { refusal } from './timeline.js';

const PERCENTILES = ['p50', 'p95', 'p99'];

const seconds = (n) => (n >= 100 ? `${number(Math.round(n))} s`
    : `${Number(n.toPrecision(3))} s`);

const duration = (n) => (n < 60 ? seconds(n)
    : n < 3600 ? `${Math.floor(n / 60)} min ${Math.round(n % 60)} s`
    : `${Math.floor(n / 3600)} h ${Math.round(n % 3600 / 60)} min`);

/* what a bar can be, by the member of a day */
const WORDS = {
    active_users: (n) => count(n, 'active user'),
    logins: (n) => count(n, 'login'),
    registrations: (n) => count(n, 'registration'),
    average_session_time: (n) => `${duration(n)} a session`,
    total_api_calls: (n) => count(n, 'call'),
    error_count: (n) => count(n, 'error'),
    tokens_used: (n) => count(n, 'token'),
};


/* bars of one member of each day, which a row of buttons chooses */

class Bars {
    constructor(id, label) {
        this.id = id;
        this.rows = [];
        this.draw = timeline($(`${id}-plot`), {
            label, whole: false,
            words: (row) => WORDS[this.member](row.count),
            all: (rows) => count(rows.length, 'day'),
        });

        for (const input of this.inputs()) {
            input.addEventListener('change', () => this.show(this.rows));
        }
    }

    inputs() {
        return document.querySelectorAll(`[name=${this.id}-member]`);
    }

    get member() {
        return [...this.inputs()].find((input) => input.checked).value;
    }

    show(rows) {
        this.rows = rows;
        this.draw(rows.map((row) => ({
            at: Date.parse(row.date), count: row[this.member],
        })), DAY);
    }
}


export class Days {
    /* changed() is called when somebody chose other days */
    constructor(changed) {
        this.changed = changed;
        this.data = null;
        this.custom = null;
        this.today = Math.floor(Date.now() / DAY) * DAY;
        this.length = 14;
        this.users = new Bars('visits', 'Users by day');
        this.calls = new Bars('ai', 'Calls of AI models by day');
        this.times = lines($('times-plot'), {
            label: 'Response times by day', value: seconds,
        });
        this.tables = [
            tableOf($('visits-table'), () => this.visits()),
            tableOf($('ai-table'), () => this.models()),
        ];

        legend($('times-legend'), PERCENTILES.map((name) =>
            ({ name, kind: name })));
        this.listen();
    }

    listen() {
        for (const input of document.querySelectorAll('[name=days]')) {
            input.addEventListener('change', () => this.choose(input.value));
        }

        for (const id of ['days-start', 'days-end']) {
            $(id).addEventListener('change', () => this.chooseDates());
        }
    }

    choose(kind) {
        const { start, end } = this.span();

        this.custom = kind === 'custom' ? { start, end } : null;
        this.length = kind === 'custom' ? this.length : Number(kind);
        $('days-dates').hidden = kind !== 'custom';

        if (kind === 'custom') {
            $('days-start').value = isoDay(start);
            $('days-end').value = isoDay(end);
        }

        setText($('days-problem'), '');
        this.changed();
    }

    chooseDates() {
        const start = Date.parse($('days-start').value);
        const end = Date.parse($('days-end').value);
        const problem = refusal(start, end);

        setText($('days-problem'), problem ?? '');

        if (problem === null) {
            this.custom = { start, end };
            this.changed();
        }
    }

    span() {
        const end = this.today;

        return this.custom ?? { start: end - (this.length - 1) * DAY, end };
    }

    async load(signal) {
        const { start, end } = this.span();
        const query = new URLSearchParams({
            start: isoDay(start), end: isoDay(end),
        });
        const { data } = await call(`/api/v1/dashboard?${query}`, { signal });
        const date = Date.parse(data.today.date);

        /* which day it is depends on the zone's time zone */

        if (date !== this.today && this.custom === null) {
            this.today = date;
            await this.load(signal);
            return;
        }

        this.show(data, days(start, end));
    }

    show(data, span) {
        const { user_stats: users, ai_stats: ai } = data.summary;

        this.data = data;
        $('visits').hidden = false;
        $('ai').hidden = ai.total_api_calls === 0
            && data.models.length === 0;

        setText($('visits-sub'), span);
        setText($('ai-sub'), span);

        this.figures('visits-figures', [
            ['Active users', number(users.active_users)],
            ['New users', number(users.new_users)],
            ['Logins', number(users.logins)],
            ['Average session', duration(users.average_session_time)],
        ]);

        this.figures('ai-figures', [
            ['Calls', number(ai.total_api_calls)],
            ['Errors', `${number(ai.error_count)}${ai.error_count
                ? ` (${share(ai.error_count, ai.total_api_calls)})` : ''}`],
            ['Tokens', number(ai.tokens_used)],
            ['p50, p95, p99, seconds', PERCENTILES.map((p) =>
                Number(ai[`${p}_response_time`].toPrecision(3)))
                .join(' · ')],
        ]);

        this.users.show(data.user_stats);
        this.calls.show(data.ai_stats);
        this.times({
            step: DAY, bands: [],
            lines: PERCENTILES.map((name) => ({
                name, kind: name,
                rows: data.ai_stats.map((row) => ({
                    at: Date.parse(row.date),
                    value: row.total_api_calls
                        ? row[`${name}_response_time`] : null,
                })),
            })),
        });
        this.tables.forEach((draw) => draw());
        this.showModels(data.models);
    }

    figures(id, pairs) {
        const box = $(id);

        pairs.forEach(([name, value], i) => {
            const [dt, dd] = box.children[i]?.children ?? [];

            if (dt) {
                setText(dd, value);
                return;
            }

            box.append(el('div', {}, el('dt', { textContent: name }),
                el('dd', { className: 'figure', textContent: value })));
        });
    }

    visits() {
        return table('Users by day', [
            { title: 'Day', value: (row) => day(Date.parse(row.date)) },
            { title: 'Active users', numeric: true,
              value: (row) => number(row.active_users) },
            { title: 'Logins', numeric: true,
              value: (row) => number(row.logins) },
            { title: 'Registrations', numeric: true,
              value: (row) => number(row.registrations) },
            { title: 'Average session', numeric: true,
              value: (row) => duration(row.average_session_time) },
        ], this.data?.user_stats ?? []);
    }

    models() {
        return table('Calls of AI models by day', [
            { title: 'Day', value: (row) => day(Date.parse(row.date)) },
            { title: 'Calls', numeric: true,
              value: (row) => number(row.total_api_calls) },
            { title: 'Errors', numeric: true,
              value: (row) => number(row.error_count) },
            { title: 'Tokens', numeric: true,
              value: (row) => number(row.tokens_used) },
            ...PERCENTILES.map((p) => ({ title: p, numeric: true,
                value: (row) => seconds(row[`${p}_response_time`]) })),
        ], this.data?.ai_stats ?? []);
    }

    showModels(models) {
        $('models').replaceChildren(table('By model', [
            { title: 'Model', value: (row) => row.model },
            { title: 'Calls', numeric: true,
              value: (row) => number(row.total_api_calls) },
            { title: 'Errors', numeric: true,
              value: (row) => number(row.error_count) },
            { title: 'Tokens', numeric: true,
              value: (row) => number(row.tokens_used) },
            { title: 'Average', numeric: true,
              value: (row) => seconds(row.average_response_time) },
            { title: 'p95', numeric: true,
              value: (row) => seconds(row.p95_response_time) },
        ], models));
    }
}
