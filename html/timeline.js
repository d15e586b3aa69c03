/*
 * The timeline's panel: which span is shown, by hour or by day.
 *
 * Nobody has chosen yet: the last seven days, unless they are empty while
 * there are events elsewhere; then the days around the busiest hour.
 */

import { $, el, mark, setText, table, tableOf } from './dom.js';
import { DAY, HOUR, count, day, days, hour, hourOf, isoDay, number, weekday }
    from './format.js';
import { call } from './api.js';
import { timeline } from './charts.js';

const DAYS_MAX = 3660;
const HOURS_DAYS_MAX = 366;
const HOURS_DAYS_NICE = 14;

const today = () => Math.floor(Date.now() / DAY) * DAY;


/* What to ask for: first and last day, both included, and the step. */
export function viewOf(span, unit) {
    const now = Date.now();
    const end = today();

    switch (span.kind) {
    case '24h':
        return {
            start: Math.floor((now - 23 * HOUR) / DAY) * DAY, end, step: HOUR,
            from: Math.floor(now / HOUR - 23) * HOUR,
        };
    case '7d':
        return { start: end - 6 * DAY, end, step: unit === 'day' ? DAY : HOUR };
    case '30d':
        return { start: end - 29 * DAY, end,
                 step: unit === 'hour' ? HOUR : DAY };
    default:
        return { start: span.start, end: span.end,
                 step: stepOf(span.start, span.end, unit) };
    }
}

function stepOf(start, end, unit) {
    const length = (end - start) / DAY + 1;
    const nice = length <= HOURS_DAYS_NICE ? 'hour' : 'day';

    return length <= HOURS_DAYS_MAX && (unit ?? nice) === 'hour' ? HOUR : DAY;
}

/* Why these dates cannot be asked for, or null. */
export function refusal(start, end) {
    if (!Number.isFinite(start) || !Number.isFinite(end)) {
        return 'Choose both dates';
    }
    if (start > end) {
        return 'The first date is after the last one';
    }
    if ((end - start) / DAY >= DAYS_MAX) {
        return `At most ${number(DAYS_MAX)} days`;
    }
    return null;
}

/* Hours of today that are still to come are no news. */
function rowsOf(data, view) {
    const rows = data
        .map((row) => ({ at: Date.parse(row.date), count: row.count }))
        .filter((row) => row.at >= (view.from ?? -Infinity));
    const now = Date.now();
    let end = rows.length;

    while (end > 1 && rows[end - 1].at > now && rows[end - 1].count === 0) {
        end--;
    }

    return rows.slice(0, end);
}


export class Timeline {
    /* changed() is called when somebody chose another span */
    constructor(changed) {
        this.changed = changed;
        this.span = { kind: '7d' };
        this.unit = null;
        this.chosen = false;
        this.peak = null;
        this.shown = null;
        this.draw = timeline($('timeline-plot'));
        this.drawTable = tableOf($('timeline-table'), () => this.table());
        this.listen();
    }

    listen() {
        for (const input of document.querySelectorAll('[name=span]')) {
            input.addEventListener('change', () => this.choose(input.value));
        }

        for (const input of document.querySelectorAll('[name=unit]')) {
            input.addEventListener('change', () => {
                this.unit = input.value;
                this.chosen = true;
                this.changed();
            });
        }

        for (const id of ['start', 'end']) {
            $(id).addEventListener('change', () => this.chooseDates());
        }

        $('peak-show').addEventListener('click', () => {
            this.chosen = true;
            this.around(Date.parse(this.peak.start));
            this.note(null);
            this.changed();
        });
    }

    choose(kind) {
        this.chosen = true;
        this.unit = null;
        this.note(null);

        if (kind === 'custom') {
            const { start, end } = this.shown ?? viewOf(this.span, null);
            this.span = { kind, start, end };
        } else {
            this.span = { kind };
        }

        this.controls();
        this.changed();
    }

    chooseDates() {
        const start = Date.parse($('start').value);
        const end = Date.parse($('end').value);
        const problem = refusal(start, end);

        setText($('dates-problem'), problem ?? '');

        if (problem === null) {
            this.span = { kind: 'custom', start, end };
            this.chosen = true;
            this.unit = null;
            this.note(null);
            this.changed();
        }
    }

    /* A week around an instant. */
    around(ms) {
        const middle = Math.floor(ms / DAY) * DAY;

        this.span = {
            kind: 'custom',
            start: Math.max(middle - 3 * DAY, 0), end: middle + 3 * DAY,
        };
        this.unit = null;
        this.controls();
    }

    setPeak(peak) {
        this.peak = peak;
        this.pointToPeak();
    }

    /* Says where the busiest hour is, unless the chart shows it already. */
    pointToPeak() {
        if (this.peak === null || this.shown === null) {
            $('peak').hidden = true;
            return;
        }

        const { rows, step } = this.shown;
        const at = Date.parse(this.peak.start);

        $('peak').hidden = step === HOUR && rows.some((row) => row.at === at);
        setText($('peak-text'), `Busiest hour of all: ${hour(at)}, ${
            count(this.peak.count, 'event')}.`);
    }

    async load(signal) {
        const view = viewOf(this.span, this.unit);
        const answer = await this.ask(view, signal);
        const rows = rowsOf(answer.data, view);

        if (!this.chosen && this.peak !== null && this.span.kind === '7d'
            && rows.every((row) => row.count === 0))
        {
            this.around(Date.parse(this.peak.start));
            this.note(`Nothing happened in the last 7 days. Shown are the days
                around the busiest hour.`);
            return this.load(signal);
        }

        this.show(view, rows, answer.note);
    }

    ask(view, signal) {
        const query = new URLSearchParams({
            start: isoDay(view.start), end: isoDay(view.end),
            interval: view.step === HOUR ? 'hour' : 'day',
        });

        return call(`/stats/over-time?${query}`, { signal });
    }

    show(view, rows, exact) {
        this.shown = { ...view, rows };
        this.controls();
        this.draw(rows, view.step);
        this.drawTable();
        this.pointToPeak();
        this.caption(view, rows);
        mark($('timeline-title'), exact);
    }

    caption(view, rows) {
        const total = rows.reduce((sum, row) => sum + row.count, 0);
        const unit = view.step === HOUR ? 'hour' : 'day';
        const most = rows.reduce((best, row) =>
            (row.count > best.count ? row : best), { count: 0 });
        const span = view.from ? 'the last 24 hours'
                               : days(view.start, view.end);

        $('timeline-caption').dataset.total = total;
        setText($('timeline-caption'), total === 0
            ? `No events, ${span}. Times are UTC.`
            : `${count(total, 'event')}, ${span}. Busiest ${unit}: ${
                this.named(most.at, view)}, with ${number(most.count)}.`);
    }

    named(at, view) {
        if (view.step === DAY) {
            return weekday(at);
        }

        return view.start === view.end ? hourOf(at) : hour(at);
    }

    table() {
        const { rows, step } = this.shown ?? { rows: [] };
        const some = rows.filter((row) => row.count > 0);

        return table(step === HOUR ? 'Hours (UTC) that had events'
                                   : 'Days (UTC) that had events', [
            { title: step === HOUR ? 'Hour' : 'Day',
              value: (row) => (step === HOUR ? hour(row.at) : day(row.at)) },
            { title: 'Events', value: (row) => number(row.count),
              numeric: true },
        ], some);
    }

    /* Makes the controls say what is shown. */
    controls() {
        const view = viewOf(this.span, this.unit);
        const long = (view.end - view.start) / DAY >= HOURS_DAYS_MAX;
        const radio = (name, value) =>
            document.querySelector(`[name=${name}][value="${value}"]`);

        radio('span', this.span.kind).checked = true;
        radio('unit', view.step === HOUR ? 'hour' : 'day').checked = true;
        radio('unit', 'day').disabled = this.span.kind === '24h';
        radio('unit', 'hour').disabled = long;
        $('dates').hidden = this.span.kind !== 'custom';

        if (this.span.kind === 'custom'
            && !$('dates').contains(document.activeElement))
        {
            $('start').value = isoDay(view.start);
            $('end').value = isoDay(view.end);
            setText($('dates-problem'), '');
        }
    }

    note(text) {
        const box = $('span-note');

        box.hidden = text === null;

        if (text !== null) {
            const back = el('button', {
                type: 'button', className: 'link',
                textContent: 'Show the last 7 days',
            });
            back.addEventListener('click', () => {
                this.choose('7d');
                document.querySelector('[name=span]:checked').focus();
            });
            box.replaceChildren(text.replace(/\s+/g, ' '), ' ', back);
        }
    }
}
