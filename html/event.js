/*
 * Events as the server has them: rows of a table, and one that is open.
 *
 * An event is { text, id, user, type, time, properties, members }: members is
 * [[name, text]], and text and properties are JSON, byte for byte.
 */

import { $, el, setText } from './dom.js';
import { localTime, localTimeExact } from './format.js';
import { excerpt, members, pieces, pretty } from './json.js';

const EXCERPT = 160;
const COLUMNS = ['Time', 'Type', 'User', 'Properties', 'Id'];

export function eventOf(text) {
    const all = members(text);
    const found = Object.fromEntries(all);
    const value = (name) => String(JSON.parse(found[name] ?? '""'));

    return {
        text, members: all,
        id: found.id ?? '',
        user: value('user_id'),
        type: value('event_type'),
        time: value('timestamp'),
        properties: found.metadata ?? '{}',
    };
}

export const eventsOf = (text) => pieces(text).map(eventOf);

/* The page's address with a filter, and no other. */
export const searchFor = (name, value) =>
    `/events.html?${new URLSearchParams({ [name]: value })}`;


/* the table; roles are named, because a narrow page shows it otherwise */

const cell = (className, ...children) => {
    const node = el('td', { className }, ...children);

    node.setAttribute('role', 'cell');
    return node;
};

function row(event) {
    const at = localTime(event.time);
    const open = el('button', {
        type: 'button', className: 'link open', title: event.time,
    }, at);
    const properties = excerpt(event.properties, EXCERPT);
    const node = el('tr', {},
        cell('time', open),
        cell('type', el('span', { textContent: event.type,
                                  title: event.type })),
        cell('user', el('span', { textContent: event.user,
                                  title: event.user })),
        cell('properties', el('span', { textContent: properties })),
        cell('id', el('span', { textContent: event.id })));

    open.setAttribute('aria-haspopup', 'dialog');
    node.setAttribute('role', 'row');
    node.addEventListener('click', () => {
        if (getSelection().isCollapsed) {
            open.focus();
            show(event);
        }
    });
    return node;
}

export function eventTable(caption, events) {
    const heads = COLUMNS.map((title) => {
        const th = el('th', { textContent: title, scope: 'col',
                              className: title.toLowerCase() });
        th.setAttribute('role', 'columnheader');
        return th;
    });
    const head = el('tr', {}, ...heads);
    const thead = el('thead', {}, head);
    const tbody = el('tbody', {}, ...events.map(row));
    const table = el('table', { className: 'events' },
        el('caption', { className: 'sr', textContent: caption }),
        thead, tbody);

    head.setAttribute('role', 'row');
    thead.setAttribute('role', 'rowgroup');
    tbody.setAttribute('role', 'rowgroup');
    table.setAttribute('role', 'table');
    tbody.addEventListener('keydown', walk);
    return table;
}

/* Arrow keys go from row to row. */
function walk(event) {
    const all = [...event.currentTarget.querySelectorAll('.open')];
    const at = all.indexOf(document.activeElement);
    const to = {
        ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1,
    }[event.key];

    if (at >= 0 && all[to] && !event.ctrlKey && !event.altKey
        && !event.metaKey)
    {
        event.preventDefault();
        all[to].focus();
    }
}


/* one event, open */

const plain = (text) => el('span', { className: 'value', textContent: text });

const lead = (name, value, text) =>
    el('a', { href: searchFor(name, value), textContent: text });

function member(event, [name, text]) {
    const pairs = {
        id: () => ['Id', plain(text)],
        user_id: () => ['User', plain(event.user),
            lead(name, event.user, 'This user’s events')],
        event_type: () => ['Type', plain(event.type),
            lead(name, event.type, 'This type’s events')],
        timestamp: () => ['Time', plain(localTimeExact(event.time)),
            el('span', { className: 'muted', textContent: event.time })],
        metadata: () => ['Properties', block(text)],
    };
    const [title, ...values] = Object.hasOwn(pairs, name) ? pairs[name]()
        : [name, block(text)];

    return el('div', {}, el('dt', { textContent: title }),
        el('dd', {}, ...values));
}

function block(text) {
    const node = el('pre', { tabIndex: 0, textContent: pretty(text) });

    node.setAttribute('role', 'group');
    node.setAttribute('aria-label', 'Value as JSON');
    return node;
}

let shown = null;

function show(event) {
    shown = event;
    setText($('event-title'), `Event ${event.id}`);
    setText($('event-copy'), 'Copy as JSON');
    $('event-members').replaceChildren(
        ...event.members.map((one) => member(event, one)));
    $('event').showModal();
    $('event').scrollTop = 0;
}

/* go(search) is called with the query of a link that was followed. */
export function eventDialog(go) {
    const dialog = $('event');

    $('event-close').addEventListener('click', () => dialog.close());

    /* what is around it closes it, too */
    dialog.addEventListener('click', (event) => {
        if (event.target === dialog) {
            dialog.close();
        }
    });

    $('event-members').addEventListener('click', (event) => {
        const link = event.target.closest('a');

        if (link && event.button === 0 && !event.ctrlKey && !event.metaKey
            && !event.shiftKey && !event.altKey)
        {
            event.preventDefault();
            dialog.close();
            go(link.search);
        }
    });

    if (navigator.clipboard) {
        $('event-copy').hidden = false;
        $('event-copy').addEventListener('click', async () => {
            await navigator.clipboard.writeText(shown.text);
            setText($('event-copy'), 'Copied');
        });
    }
}
