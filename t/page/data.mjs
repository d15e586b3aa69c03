/*
 * What the tests send, and what it adds up to by a count of their own.
 */

import { Buffer } from 'node:buffer';
import { post } from './browser.mjs';

export const DAY = 24 * 3600e3;
export const today = Math.floor(Date.now() / DAY) * DAY;
export const iso = (ms) => new Date(ms).toISOString();

export const SCRIPT = '<script>window.hurt = 1; alert(1)</script>';
export const IMAGE = '"><img src=x onerror="window.hurt = 1; alert(2)">';
export const LONG = 'W'.repeat(250);

export const sent = [];

export async function send(events) {
    const dated = events.map((event) => ({
        timestamp: iso(Date.now()),
        ...event,
    }));

    await post(dated);
    sent.push(...dated);
}

/* by count descending, then by name, by bytes */
export function ranked(key, limit = Infinity) {
    const counts = new Map();

    for (const event of sent) {
        counts.set(event[key], (counts.get(event[key]) ?? 0) + 1);
    }

    return [...counts]
        .sort(
            ([a, m], [b, n]) =>
                n - m || Buffer.compare(Buffer.from(a), Buffer.from(b)),
        )
        .slice(0, limit);
}

export const between = (from, to) =>
    sent.filter(
        (event) =>
            Date.parse(event.timestamp) >= from &&
            Date.parse(event.timestamp) < to,
    );

export const old = (clock, user, type) => ({
    user_id: user,
    event_type: type,
    timestamp: `2015-05-19T${clock}Z`,
});

export const recent = (daysAgo, n, user, type) =>
    Array.from({ length: n }, (_, i) => ({
        user_id: user,
        event_type: type,
        timestamp: iso(
            today - daysAgo * DAY + (daysAgo ? 9 : 0) * 3600e3 + i * 1000,
        ),
    }));

export const LIST = [
    ['alice', '09:10:01', 'login'],
    ['bob', '09:15:12', 'view'],
    ['alice', '10:03:23', 'purchase'],
    ['alice', '09:42:21', 'login'],
    ['charlie', '09:01:05', 'login'],
    ['bob', '11:13:45', 'logout'],
    ['bob', '09:55:32', 'login'],
    ['charlie', '09:23:02', 'view'],
].map(([user, clock, action]) => ({
    user_id: user,
    timestamp: `2025-09-23T${clock}Z`,
    action_type: action,
}));
