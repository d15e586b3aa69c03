/*
 * The page of single events.  Its address is the search; which pages came
 * before is kept with the history, as cursors lead on only.
 */

import { $, el, setText } from './dom.js';
import { count, number, timeZone } from './format.js';
import { ApiError, call } from './api.js';
import { eventDialog, eventTable, eventsOf } from './event.js';
import { eventForm } from './event-post.js';
import { TimeField, firstWrong, sentence, setProblem, setProblems }
    from './fields.js';

const PAGE = 50;
const PATIENCE = 30000;
const FILTERS = ['user_id', 'event_type', 'from', 'to'];

const inputs = {
    user_id: $('user'), event_type: $('type'), from: $('from'), to: $('to'),
};
const times = {
    from: new TimeField(inputs.from), to: new TimeField(inputs.to),
};


/* the search: what the address says */

function searchOf(query) {
    const asked = new URLSearchParams(query);
    const search = {};

    for (const name of [...FILTERS, 'order', 'after']) {
        const value = asked.get(name);

        if (value) {
            search[name] = value;
        }
    }

    if (search.order === 'desc') {
        delete search.order;
    }

    return search;
}

function addressOf(search) {
    const query = String(new URLSearchParams(
        Object.entries(search).filter(([, value]) => value)));

    return `/events.html${query && '?'}${query}`;
}

/* What is asked for, without the page. */
function asked(search) {
    const query = new URLSearchParams({ order: 'desc', ...search });

    query.delete('after');
    return query;
}

const filtered = (search) => FILTERS.some((name) => name in search);

let search = {};
let before = null;          /* cursors of the pages before; null: unknown */
let next = null;

function read() {
    search = searchOf(location.search);
    before = history.state?.before ?? (search.after ? null : []);
}

function go(to, pages) {
    history.pushState({ before: pages }, '', addressOf(to));
    read();
    fill();
    return load();
}


/* the form */

function fill() {
    inputs.user_id.value = search.user_id ?? '';
    inputs.event_type.value = search.event_type ?? '';
    times.from.set(search.from ?? '');
    times.to.set(search.to ?? '');
    $('order').value = search.order === 'asc' ? 'asc' : 'desc';
    $('clear').hidden = Object.keys(search).length === 0;
    settle();
}

function settle() {
    for (const input of Object.values(inputs)) {
        setProblem(input, '');
    }
}

async function submit() {
    settle();

    const whole = [times.from.check(), times.to.check()];

    if (whole.includes(false)) {
        firstWrong($('search-form')).focus();
        return;
    }

    await go(searchOf(new URLSearchParams({
        user_id: inputs.user_id.value, event_type: inputs.event_type.value,
        from: times.from.get(), to: times.to.get(), order: $('order').value,
    })), []);
    firstWrong($('search-form'))?.focus();
}


/* what came back */

function cursorOf(headers) {
    const link = headers.get('Link')?.match(/<([^>]*)>; *rel="next"/);

    return link
        ? new URL(link[1], location.href).searchParams.get('after') : null;
}

/* Direction of time: what follows is older, unless the earliest are first. */
const words = () => (search.order === 'asc' ? ['Older', 'Newer']
                                            : ['Newer', 'Older']);

function pager() {
    const [back, on] = words();

    setText($('previous'), `← ${back}`);
    setText($('next'), `${on} →`);
    $('previous').hidden = !before?.length;
    $('next').hidden = next === null;
    $('first').hidden = !search.after || before?.length === 1;
    $('pager').hidden = !search.after && next === null;
}

function downloads() {
    for (const link of $('downloads').querySelectorAll('a')) {
        const query = asked(search);

        query.set('format', link.dataset.format);
        link.href = `/events/export?${query}`;
    }
}

function statusOf(events) {
    const order = search.order === 'asc' ? 'earliest first' : 'latest first';
    const some = count(events.length, 'event');

    if (!search.after && next === null) {
        return `${some}, ${order}`;
    }

    return before
        ? `Page ${number(before.length + 1)}: ${some}, ${order}`
        : `A later page: ${some}, ${order}`;
}

function show(events, note) {
    $('trouble').replaceChildren();
    $('rows').replaceChildren(...(events.length
        ? [eventTable('Events that were found', events)] : []));
    $('downloads').hidden = events.length === 0;
    $('exact').hidden = note === null;
    setText($('exact'), note ? `Events may be missing: ${note}.` : '');
    setText($('status'), events.length ? statusOf(events) : 'No events');
    showNothing(events.length === 0);
    downloads();
    pager();
}

function showNothing(nothing) {
    const button = (text, act) => {
        const node = el('button', { type: 'button', className: 'quiet',
                                    textContent: text });
        node.addEventListener('click', act);
        return node;
    };

    $('nothing').hidden = !nothing;

    if (!nothing) {
        return;
    }

    $('nothing').replaceChildren(...(search.after ? [
        el('p', { textContent: 'Nothing is left on this page.' }),
    ] : filtered(search) ? [
        el('p', { textContent: 'No event is like that. Look whether the names '
            + 'are spelled as they were sent, or widen the times.' }),
        button('Show all events', () => clear()),
    ] : [
        el('p', { textContent: 'Nothing was collected yet. Post the first '
            + 'event here, or see on the page of the activity how to send '
            + 'it from a terminal.' }),
        button('Post an event', () => openForm()),
    ]));
}


/* what went wrong, and what to do */

const ADVICE = {
    0: ['No connection', 'Look whether the server runs and whether you are '
        + 'online, then try again.'],
    401: ['Single events are closed to you', 'Sign in, then try again.'],
    403: ['Single events are closed to this host', 'Open this page on the '
        + 'server itself, or have your address allowed where the '
        + 'configuration has “analytics_events” (events.conf).'],
    404: ['Single events are not served here', 'The server’s configuration '
        + 'has no “analytics_events” at /events/.'],
    422: ['This cannot be asked for', 'Correct it and search again, or show '
        + 'all events.'],
    503: ['The server has no answer yet', 'Try again in a few seconds.'],
};

function fail(error) {
    if (!(error instanceof ApiError)) {
        reportError(error);
    }

    const [title, advice] = ADVICE[error.status]
        ?? ['The events could not be had', 'Try again later.'];
    const others = setProblems(error.problem?.errors ?? [], inputs);
    const again = el('button', {
        type: 'button', className: 'quiet',
        textContent: error.status === 422 ? 'Show all events' : 'Try again',
    });

    again.addEventListener('click', () =>
        (error.status === 422 ? clear() : load()));
    next = null;

    for (const id of ['downloads', 'nothing', 'pager', 'exact']) {
        $(id).hidden = true;
    }

    $('rows').replaceChildren();
    setText($('status'), '');
    $('trouble').replaceChildren(el('div', { className: 'refused' },
        el('h3', { textContent: title }),
        error.status === 403 ? null
            : el('p', { textContent: sentence(error.message) }),
        ...others.filter(({ field }) => !error.message.startsWith(field))
            .map(({ field, detail }) =>
                el('p', { textContent: `${field}: ${detail}` })),
        el('p', { textContent: advice }), again));
}


/* asking; only the latest question counts */

let running = null;

async function load() {
    running?.abort();
    running = new AbortController();

    const { signal } = running;
    const query = asked(search);

    query.set('limit', PAGE);
    if (search.after) {
        query.set('after', search.after);
    }

    $('results').setAttribute('aria-busy', 'true');

    try {
        const { text, note, headers } = await call(`/events/?${query}`,
            { signal, patience: PATIENCE });
        next = cursorOf(headers);
        show(eventsOf(text), note);

    } catch (error) {
        if (signal.aborted) {
            return;
        }
        fail(error);
    }

    $('results').removeAttribute('aria-busy');
}

/* A page that was turned is read from its start. */
async function turn(to, pages) {
    await go({ ...search, after: to }, pages);
    $('results').focus({ preventScroll: true });
    $('results').scrollIntoView({ block: 'start' });
}

function clear() {
    inputs.user_id.focus();
    return go({}, []);
}

$('next').addEventListener('click', () =>
    turn(next, before && [...before, search.after ?? '']));
$('previous').addEventListener('click', () =>
    turn(before.at(-1), before.slice(0, -1)));
$('first').addEventListener('click', () => turn('', []));
$('clear').addEventListener('click', clear);
$('search-form').addEventListener('submit', (event) => {
    event.preventDefault();
    submit();
});
window.addEventListener('popstate', () => {
    $('event').close();
    read();
    fill();
    load();
});

const openForm = eventForm(() => load());

eventDialog((query) => go(searchOf(query), []));
setText($('zone'), `Times are in your time zone, ${timeZone()}.`);
read();
fill();
load();
