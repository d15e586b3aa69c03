/*
 * The page: asks for the figures, draws what changed, says when it cannot.
 */

import { $, mark, setText, table, tableOf } from './dom.js';
import { bytes, clock, count, number, share, uptime } from './format.js';
import { ApiError, call } from './api.js';
import { loadAlerts } from './alerts.js';
import { bars } from './charts.js';
import { Days } from './days.js';
import { Forecast } from './forecast.js';
import { Person } from './person.js';
import { poll } from './poll.js';
import { summaryBox } from './summary.js';
import { Timeline } from './timeline.js';

const TYPES_SHOWN = 10;
const ALL_EVERY = 60000;          /* ask for everything, changed or not */
const HEALTH_EVERY = 30000;
const PARTS = ['figures', 'timeline', 'visits', 'ai', 'forecast', 'columns'];


/* one of the two charts of names */

class Names {
    constructor(id, label, noun, choose) {
        this.id = id;
        this.noun = noun;
        this.rows = [];
        this.total = 0;
        this.most = Infinity;
        this.chart = bars($(`${id}-plot`), label, choose);
        this.table = tableOf($(`${id}-table`), () => table(label, [
            { title: noun, value: (row) => row.name },
            { title: 'Events', numeric: true,
              value: (row) => number(row.count) },
            { title: 'Share', numeric: true,
              value: (row) => share(row.count, this.total) },
        ], this.rows));
    }

    show(rows, total, note) {
        this.rows = rows;
        this.total = total;
        this.draw();
        mark($(`${this.id}-title`), note);
    }

    draw() {
        this.chart(this.rows.slice(0, this.most), this.total);
        this.table();
    }
}

const types = new Names('types', 'Actions', 'Action');
const person = new Person();
const users = new Names('users', 'Most active users', 'User',
    (name) => person.look(name));
const loadTimeline = latest((signal) => timeline.load(signal));
const loadDays = latest((signal) => days.load(signal));
const loadForecast = latest((signal) => forecast.load(signal));
const timeline = new Timeline(() => loadTimeline().catch(showState));
const days = new Days(() => loadDays().catch(showState));
const forecast = new Forecast(() => loadForecast().catch(showState));

let total = null;                 /* the last answer of /stats/total */
let allAt = -Infinity;
let healthAt = -Infinity;
let upAt = null;                  /* the last time everything went well */


/* the parts, each of which may fail alone */

async function loadTypes() {
    const { data, note } = await call('/stats/by-event-type');
    const rows = data.map((row) =>
        ({ name: row.event_type, count: row.count }));
    const more = $('types-more');

    types.show(rows, sum(rows), note);
    setText($('types-sub'), rows.length ? count(rows.length, 'type') : '');
    more.hidden = rows.length <= TYPES_SHOWN;
    showMore();
}

function showMore() {
    const more = $('types-more');
    const all = more.getAttribute('aria-expanded') === 'true';

    types.most = all ? Infinity : TYPES_SHOWN;
    setText(more, all ? `Show the first ${TYPES_SHOWN}`
                      : `Show all ${number(types.rows.length)}`);
    types.draw();
}

async function loadUsers() {
    const { data, note } = await call(`/stats/by-user?limit=${
        $('users-limit').value}`);

    users.show(data.map((row) => ({ name: row.user_id, count: row.count })),
        total?.total_events ?? 0, note);
    await person.refresh(users.rows[0]?.name ?? null);
}

async function loadRecent() {
    const { data, note } = await call('/stats/recent-activity?minutes=60');

    figure('recent', data.total_events, note);
}

/* The busiest hour comes first: the timeline may turn to it. */
async function loadOverTime() {
    const { data } = await call('/usage-summary');

    timeline.setPeak(data.peak_activity_window);
    await loadTimeline();
}

/* The latest question of a kind is the only one that counts. */
function latest(load) {
    let asking = null;

    return async () => {
        asking?.abort();
        asking = new AbortController();

        const { signal } = asking;

        try {
            await load(signal);
        } catch (error) {
            if (!signal.aborted) {
                throw error;
            }
        }
    };
}

const absent = new Set();

/* What a configuration leaves out, or keeps to others, is not missed. */
async function optional(id, load) {
    if (absent.has(id)) {
        return;
    }

    try {
        await load();
    } catch (error) {
        if (![403, 404].includes(error.status)) {
            throw error;
        }
        absent.add(id);
        $(id).hidden = true;
    }
}

async function loadHealth() {
    const { data } = await call('/health');
    const zones = Object.values(data.zones ?? {});
    const used = zones.map((zone) => `memory ${
        share(zone.memory_used, zone.memory_size)} of ${
        bytes(zone.memory_size)}`);

    setText($('health'), [
        `nginx analytics ${data.version}`, `up ${uptime(data.uptime_seconds)}`,
        ...used, 'times are UTC',
    ].join(' · '));
}


/* drawing */

/* How much is left empty beside one user's card decides where it stands. */
function arrange() {
    const height = (id) => $(id).offsetHeight;
    const beside = height('types') - height('users');

    if ($('columns').dataset.arranged === undefined && height('users') > 0) {
        $('columns').dataset.arranged = '';
        $('columns').classList.toggle('wide', Math.abs(beside)
            < Math.abs(beside + height('person')));
    }
}

const sum = (rows) => rows.reduce((n, row) => n + row.count, 0);

function figure(id, value, note) {
    const node = $(id);
    const text = number(value);

    if (node.firstChild?.nodeValue !== text) {
        node.textContent = text;
    }

    mark(node, note);
}

function showTotal({ data, note }) {
    total = data;
    figure('total-events', data.total_events, null);

    /* the note names the figure that it is about */
    const types = note?.includes('unique_event_types') ?? false;

    figure('unique-users', data.unique_users, types ? null : note);
    figure('unique-types', data.unique_event_types, types ? note : null);

    $('empty').hidden = data.total_events > 0;
    $('timeline').hidden = data.total_events === 0;
    $('columns').hidden = data.total_events === 0;

    for (const id of ['visits', 'ai', 'forecast']) {
        $(id).hidden ||= data.total_events === 0;
    }
}

function showState(error) {
    const down = error !== null;

    if (down && !(error instanceof ApiError)) {
        reportError(error);
    }

    $('live').dataset.state = down ? 'down' : 'up';
    for (const id of PARTS) {
        $(id).classList.toggle('stale', down);
    }
    $('notice').hidden = !down;

    if (!down) {
        upAt = Date.now();
        setText($('live-text'), 'Live');
        $('live').title = 'Asks every 3 seconds for what is new';
        setText($('notice'), '');
        return;
    }

    const since = upAt ? ` The figures are those of ${clock(upAt)} UTC.` : '';

    setText($('live-text'), error.unreachable ? 'No connection' : 'Failing');
    setText($('notice'), `${error.message}. Trying again by itself.${since}`);
}


/* one round; true if all of it went well */

async function round() {
    try {
        const answer = await call('/stats/total');
        const changed = total === null
            || answer.data.total_events !== total.total_events
            || answer.data.unique_users !== total.unique_users
            || Date.now() - allAt > ALL_EVERY;

        showTotal(answer);

        const parts = [loadRecent(), optional('alerts', loadAlerts)];

        if (changed && total.total_events > 0) {
            parts.push(loadTypes(), loadUsers(), loadOverTime(),
                optional('visits', loadDays),
                optional('forecast', loadForecast));
        }

        await all(parts);
        arrange();

        if (changed) {
            allAt = Date.now();
        }

        showState(null);
        health();
        return true;

    } catch (error) {
        allAt = -Infinity;
        showState(error);
        return false;
    }
}

/* Waits for every part, so that no two rounds overlap, then fails as one. */
async function all(parts) {
    const results = await Promise.allSettled(parts);
    const failed = results.find((result) => result.status === 'rejected');

    if (failed) {
        throw failed.reason;
    }
}

/* A server may keep its health to itself. */
function health() {
    if (Date.now() - healthAt > HEALTH_EVERY) {
        healthAt = Date.now();
        loadHealth().catch(() => {});
    }
}


/* the empty page's command */

function command() {
    $('curl').textContent = `curl ${location.origin}/events/ `
        + "-H 'Content-Type: application/json' "
        + `-d '{"user_id":"user_123","event_type":"page_view"}'`;

    if (navigator.clipboard) {
        $('copy').hidden = false;
        $('copy').addEventListener('click', async () => {
            await navigator.clipboard.writeText($('curl').textContent);
            $('copy').textContent = 'Copied';
            setTimeout(() => { $('copy').textContent = 'Copy'; }, 2000);
        });
    }
}

$('types-more').addEventListener('click', (event) => {
    const more = event.currentTarget;

    more.setAttribute('aria-expanded',
        String(more.getAttribute('aria-expanded') !== 'true'));
    showMore();
});

$('users-limit').addEventListener('change', () =>
    loadUsers().catch(showState));

command();
summaryBox();
poll(round);
