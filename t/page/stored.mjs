/*
 * Single events that the tests post, and which of them are asked for: found
 * by a filter and a sort of their own.
 */

import assert from 'node:assert/strict';
import { BASE } from './browser.mjs';

export const at = (ms) => new Date(ms).toISOString();

/* Returns the events with the ids that the server gave them. */
export async function store(events) {
    const answer = await fetch(`${BASE}/events/`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(events),
    });

    assert.equal(answer.status, 201);

    const { first_id: first } = await answer.json();

    return events.map((event, i) => ({ ...event, id: first + i }));
}

const ms = (event) => Date.parse(event.timestamp);

/* Ids, the latest first; of events with the same time, the last stored. */
export const latest = (events, wanted = () => true) =>
    events
        .filter(wanted)
        .sort((a, b) => ms(b) - ms(a) || b.id - a.id)
        .map((event) => event.id);

/* the page's address */

export const path = (filters) =>
    `/events.html?${new URLSearchParams(filters)}`;

export const address = (page) => new URL(page.url());

export const query = (page) => Object.fromEntries(address(page).searchParams);

/* what the page shows */

export const ids = (page, within = '#rows') =>
    page.$$eval(`${within} td.id`, (cells) =>
        cells.map((cell) => Number(cell.textContent)),
    );

export const cells = (page, within = '#rows') =>
    page.$$eval(`${within} tbody tr`, (rows) =>
        rows.map((row) => [...row.cells].map((cell) => cell.textContent)),
    );

/* Once it has its answer. */
export const settled = (page) =>
    page.locator('#results:not([aria-busy])').waitFor();

export async function search(page, fields) {
    for (const [id, value] of Object.entries(fields)) {
        if (id === 'order') {
            await page.selectOption('#order', value);
        } else {
            await page.fill(`#${id}`, value);
        }
    }

    await page.click('#search-form [type=submit]');
}
