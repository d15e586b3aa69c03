/*
 * The box for a list: what is pasted, dropped or chosen goes to the server
 * as it is, and its summary, or what is wrong with it, is shown.
 */

import { $, el, table } from './dom.js';
import { count, day, hourOf, hourOfDay, bytes, number, time }
    from './format.js';
import { call } from './api.js';
import { bars } from './charts.js';

const PATIENCE = 120000;
const NAMES_MAX = 50;

const EXAMPLE = [
    ['alice', '09:10:01', 'login'], ['bob', '09:15:12', 'view'],
    ['alice', '10:03:23', 'purchase'], ['alice', '09:42:21', 'login'],
    ['charlie', '09:01:05', 'login'], ['bob', '11:13:45', 'logout'],
    ['bob', '09:55:32', 'login'], ['charlie', '09:23:02', 'view'],
].map(([user, clock, action]) => ({
    user_id: user, timestamp: `2025-09-23T${clock}Z`, action_type: action,
}));

const example = () => `[\n${EXAMPLE.map((event) =>
    `  ${JSON.stringify(event)}`).join(',\n')}\n]`;


/* what came back */

function figure(title, value, detail) {
    return el('div', {},
        el('dt', { textContent: title }),
        el('dd', { className: 'figure' }, value, detail
            ? el('small', { textContent: detail, title: detail }) : ''));
}

function figures(data) {
    const window = data.peak_activity_window;
    const active = data.most_active_user;
    const second = data.peak_activity_time;
    const at = window && Date.parse(window.start);

    return el('dl', { className: 'figures' },
        figure('Events', number(data.total_events), second
            && `busiest second: ${time(second.value)}, ${
                number(second.count)}`),
        figure('Users', number(data.total_unique_users), active
            && `most active: ${active.value}, ${number(active.count)}`),
        figure('Busiest hour', window ? number(window.count) : '–', window
            && `${day(at)}, ${hourOf(at)}`),
        figure('Busiest hour of the day', data.peak_activity_hour
            ? number(data.peak_activity_hour.count) : '–',
        data.peak_activity_hour
            && hourOfDay(data.peak_activity_hour.value)));
}

function users(data) {
    const shown = data.unique_users.slice(0, NAMES_MAX);
    const more = data.total_unique_users - shown.length;

    return [
        el('h3', { textContent: 'Users' }),
        el('ul', { className: 'names' }, ...shown.map((name) =>
            el('li', { textContent: name, title: name }))),
        more > 0 ? el('p', { className: 'muted',
                             textContent: `and ${number(more)} more` }) : null,
    ];
}

function showSummary(place, data) {
    const rows = Object.entries(data.action_wise_counts)
        .map(([name, n]) => ({ name, count: n }))
        .sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1));
    const plot = el('div', { className: 'plot' });

    place.replaceChildren(...[
        el('h3', { textContent: `Summary of ${
            count(data.total_events, 'event')}` }),
        figures(data),
        rows.length ? el('h3', { textContent: 'Actions' }) : null,
        rows.length ? plot : null,
        ...(rows.length ? users(data) : []),
    ].filter((node) => node !== null));

    if (rows.length) {
        bars(plot, 'Actions of the list')(rows, data.total_events);
    }
}

function showError(place, error) {
    const errors = Array.isArray(error.problem?.errors)
        ? error.problem.errors : [];
    const box = el('div', { className: 'refused' },
        el('h3', { textContent: error.problem?.title
            ?? 'The list could not be summarised' }),
        el('p', { textContent: error.message }));

    if (errors.length) {
        box.append(table('What is wrong, by position in the list', [
            { title: 'Event', value: (row) => String(row.index ?? '') },
            { title: 'Field', value: (row) => row.field ?? '' },
            { title: 'What is wrong', value: (row) => row.detail ?? '' },
        ], errors));
    }

    place.replaceChildren(box);
}


/* what is sent */

export function summaryBox() {
    const list = $('list');
    const place = $('list-result');
    let file = null;
    let running = null;

    const setFile = (chosen) => {
        file = chosen;
        list.hidden = file !== null;
        $('file').hidden = file === null;
        $('file-name').textContent = file
            ? `${file.name}, ${bytes(file.size)}` : '';
        $('choose').value = '';
    };

    const send = async () => {
        const body = file ?? list.value;

        if (file === null && list.value.trim() === '') {
            place.replaceChildren(el('p', { className: 'problem',
                textContent: 'Paste a list or choose a file first.' }));
            list.focus();
            return;
        }

        running?.abort();
        running = new AbortController();

        const { signal } = running;

        busy(true);

        try {
            const { data } = await call('/usage-summary', {
                method: 'POST', body, signal, patience: PATIENCE,
                headers: { 'Content-Type': 'application/json' },
            });
            showSummary(place, data);

        } catch (error) {
            if (signal.aborted) {
                return;
            }
            showError(place, error);
        }

        busy(false);
    };

    const busy = (on) => {
        $('summarise-go').disabled = on;
        $('summarise-go').textContent = on ? 'Summarising…' : 'Summarise';
        place.setAttribute('aria-busy', on);
        $('clear').hidden = false;
    };

    const clear = () => {
        running?.abort();
        setFile(null);
        list.value = '';
        busy(false);
        place.replaceChildren();
        $('clear').hidden = true;
        list.focus();
    };

    const take = (chosen) => {
        if (chosen) {
            setFile(chosen);
            send();
        }
    };

    $('summarise-go').addEventListener('click', send);
    $('clear').addEventListener('click', clear);
    $('choose').addEventListener('change', (event) =>
        take(event.target.files[0]));
    $('file-remove').addEventListener('click', () => {
        setFile(null);
        list.focus();
    });
    $('example').addEventListener('click', () => {
        setFile(null);
        list.value = example();
        send();
    });
    list.addEventListener('keydown', (event) => {
        if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
            send();
        }
    });

    dropping($('drop'), take);
}

function dropping(box, take) {
    const over = (on) => box.classList.toggle('over', on);
    const files = (event) => event.dataTransfer.types.includes('Files');

    box.addEventListener('dragover', (event) => {
        if (files(event)) {
            event.preventDefault();
            over(true);
        }
    });
    box.addEventListener('dragleave', () => over(false));
    box.addEventListener('drop', (event) => {
        over(false);
        if (files(event)) {
            event.preventDefault();
            take(event.dataTransfer.files[0]);
        }
    });

    /* a file that misses the box must not replace the page */
    for (const type of ['dragover', 'drop']) {
        window.addEventListener(type, (event) => {
            if (files(event)) {
                event.preventDefault();
            }
        });
    }
}
