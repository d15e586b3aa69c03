/*
 * The form that posts an event, and what can go wrong with a search.
 */

import assert from 'node:assert/strict';
import { get, shot, until, visit } from './browser.mjs';
import { IMAGE } from './data.mjs';
import { narrow, text, unhurt } from './seen.mjs';
import { cells, ids, path, search } from './stored.mjs';
import { promise } from './tap.mjs';

const total = async () => (await get('/stats/total')).total_events;

/* The browser logs what it was refused: those, and nothing else. */
function logged(complaints, status, times) {
    assert.equal(complaints.length, times, complaints.join('\n'));
    assert.ok(complaints.every((line) => status.test(line)));
    complaints.length = 0;
}

async function fill(page, fields) {
    for (const [id, value] of Object.entries(fields)) {
        await page.fill(`#post-${id}`, value);
    }

    await page.click('#post-go');
}

/* [ids of the fields that are marked] */
const marked = (page) =>
    page.$$eval('[aria-invalid]', (all) => all.map((one) => one.id));

const BIG = '{"n":12345678901234567890,"a":{"b":[]}}';

export async function posting() {
    const options = { timezoneId: 'Asia/Tokyo' };

    await visit(path({ user_id: 'pia' }), options, async (page, complaints) => {
        await until(() => text(page, '#status'), 'No events');
        await page.click('#post-open');
        assert.equal(
            await page.evaluate('document.activeElement.id'),
            'post-user',
        );

        await promise('what is missing is said before it is sent', async () => {
            const before = await total();

            await fill(page, { properties: '[1]' });
            assert.deepEqual(await marked(page), [
                'post-user',
                'post-type',
                'post-properties',
            ]);
            assert.match(
                await text(page, '#post-properties-problem'),
                /JSON object/,
            );
            await fill(page, { user: 'pia', type: 'try', properties: '{"a":' });
            assert.deepEqual(await marked(page), ['post-properties']);
            assert.match(
                await text(page, '#post-properties-problem'),
                /not JSON/,
            );
            assert.equal(await total(), before);
        });

        await promise('an event is stored as it was written', async () => {
            await fill(page, { time: '2016-02-29T09:00', properties: BIG });
            await until(
                async () =>
                    (await cells(page, '#post-result')).map((row) =>
                        row.slice(0, 4),
                    ),
                [
                    [
                        '29 Feb 2016, 09:00:00',
                        'try',
                        'pia',
                        '"n": 12345678901234567890, "a": {"b": []}',
                    ],
                ],
            );

            const [id] = await ids(page, '#post-result');
            const [event] = await get('/events/?user_id=pia');

            assert.deepEqual(event, {
                ...event,
                id,
                user_id: 'pia',
                event_type: 'try',
                timestamp: '2016-02-29T00:00:00Z',
            });
            await until(() => ids(page), [id]);
            assert.deepEqual(await marked(page), []);
            await shot(page, 'events-posted');
        });

        await promise('what the server refuses is marked, too', async () => {
            await fill(page, {
                user: 'u'.repeat(256),
                time: '2969-01-01T00:00',
            });
            await until(() => marked(page), ['post-user', 'post-time']);
            assert.equal(
                await text(page, '#post-user-problem'),
                'Must have at most 255 bytes.',
            );
            assert.match(
                await text(page, '#post-time-problem'),
                /24 hours ahead/,
            );
            await until(
                () => page.evaluate('document.activeElement.id'),
                'post-user',
            );
            logged(complaints, /422/, 1);
            await shot(page, 'events-refused');
        });

        await promise('hostile ones are text here as well', async () => {
            await fill(page, { user: IMAGE, type: IMAGE, time: '' });
            await until(
                async () =>
                    (await cells(page, '#post-result')).map((row) => row[2]),
                [IMAGE],
            );
            await unhurt(page);
        });

        await promise('sent again after no answer, it counts once', async () => {
            const before = await total();

            await page.route(
                '**/events/',
                async (route) => {
                    await route.fetch();
                    await route.abort();
                },
                { times: 1 },
            );
            await fill(page, { user: 'pia' });
            await until(
                async () => /cannot be reached/.test(
                    await text(page, '#post-result'),
                ),
                true,
            );
            logged(complaints, /ERR_FAILED/, 1);
            assert.equal(await total(), before + 1);
            await page.click('#post-go');
            await until(
                async () => (await ids(page, '#post-result')).length,
                1,
            );
            assert.equal(await total(), before + 1);

            /* and a second one like it is a second one */
            await page.click('#post-go');
            await until(total, before + 2);
        });
    });
}

const PROBLEM = 'application/problem+json';

/* Answers the next search in place of the server. */
const answer = (page, status, contentType, body) =>
    page.route(
        '**/events/?*',
        (route) => route.fulfill({ status, contentType, body }),
        { times: 1 },
    );

export async function troubles() {
    await visit('/events.html', {}, async (page, complaints) => {
        const trouble = () => text(page, '#trouble');
        const says = (pattern) =>
            until(async () => pattern.test(await trouble()), true);

        await until(async () => (await ids(page)).length, 50);

        await promise('nothing found: it says so, and what to do', async () => {
            await search(page, { user: 'nobody at all' });
            await until(() => text(page, '#status'), 'No events');
            assert.match(await text(page, '#nothing'), /spelled/);
            assert.equal(await page.locator('#downloads').isVisible(), false);
            await shot(page, 'events-nothing');
            await page.click('#nothing >> text=Show all events');
            await until(async () => (await ids(page)).length, 50);
        });

        await promise('what cannot be asked is marked by field', async () => {
            await search(page, {
                user: '\u00e9'.repeat(128),
                from: '2020-01-02T00:00',
                to: '2020-01-01T00:00',
            });
            await says(/cannot be asked/);
            assert.deepEqual(await marked(page), ['user']);
            assert.match(await text(page, '#user-problem'), /255 bytes/);
            assert.equal(
                await page.evaluate('document.activeElement.id'),
                'user',
            );
            await search(page, { user: '' });
            await until(() => marked(page), ['from']);
            assert.match(await text(page, '#from-problem'), /behind "to"/);
            await shot(page, 'events-wrong');
            logged(complaints, /422/, 2);
            await search(page, { to: '2020-01-03T00:00' });
            await until(() => marked(page), []);
            await until(() => page.locator('#trouble > *').count(), 0);
            await page.click('#clear');
            await until(async () => (await ids(page)).length, 50);
        });

        await promise('closed to this host: whom to ask', async () => {
            await answer(page, 403, 'text/html', '<h1>403 Forbidden</h1>');
            await search(page, { type: 'login' });
            await says(/closed to this host[^]*events\.conf/);
            assert.equal(await page.locator('#rows > *').count(), 0);
            assert.equal(await page.locator('#pager').isVisible(), false);
            logged(complaints, /403/, 1);
            await shot(page, 'events-closed');
        });

        await promise('not ready: again later, by a button', async () => {
            await answer(
                page,
                503,
                PROBLEM,
                '{"title":"Service Unavailable","status":503,' +
                    '"detail":"the store is 300000 events behind"}',
            );
            await search(page, { type: '' });
            await says(/no answer yet[^]*300000 events behind/);
            logged(complaints, /503/, 1);
            await page.click('#trouble button');
            await until(async () => (await ids(page)).length, 50);
            assert.equal(await page.locator('#trouble > *').count(), 0);
        });

        await promise('no network: it says so, and comes back', async () => {
            /* all else stays: the browser asks for the icon when it likes */
            await page.route(
                '**/events/?*',
                (route) => route.abort('internetdisconnected'),
                { times: 1 },
            );
            await search(page, { order: 'asc' });
            await says(/No connection[^]*cannot be reached/);
            await page.click('#trouble button');
            await until(async () => (await ids(page)).length, 50);
            logged(complaints, /ERR_INTERNET/, 1);
        });

        await promise('an answer that lacks events says so', async () => {
            await page.route(
                '**/events/?*',
                async (route) => {
                    const response = await route.fetch();
                    await route.fulfill({
                        response,
                        headers: {
                            ...response.headers(),
                            'x-analytics-exact': 'false; a part is damaged',
                        },
                    });
                },
                { times: 1 },
            );
            await search(page, {});
            await until(
                () => text(page, '#exact'),
                'Events may be missing: a part is damaged.',
            );
        });

        await page.setViewportSize({ width: 320, height: 640 });
        await narrow(page);
    });
}
